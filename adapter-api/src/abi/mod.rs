//! The stable ABI between a host and an adapter that was built apart from it.
//!
//! [`plugin`] turns what an author wrote into ABI objects, [`host`] turns these back into the same traits, so that a
//! caller cannot tell a loaded adapter from one that is linked in. This is the only place that names abi_stable.
//!
//! Three things are checked here and nowhere else: that both sides agree on the layout of everything, that no panic
//! crosses, and that what comes from the other side is UTF-8 and of a kind that this side knows.

mod cells;
mod convert;
mod header;
mod host;
mod panics;
mod plugin;
mod quirks;
mod text;
// Public inside a private module, because abi_stable's macros write public items about them.
#[allow(missing_docs, unreachable_pub, non_local_definitions)]
mod traits;
#[allow(missing_docs, unreachable_pub, non_local_definitions)]
mod types;

#[cfg(test)]
mod tests;

pub use header::{LoadError, adapter_from_symbol};
pub use text::EncodedText;

/// What [`export_adapter!`](crate::export_adapter) writes into an author's crate.
#[doc(hidden)]
pub mod private {
    pub use abi_stable::library::LibHeader;

    pub use super::header::header;
    pub use crate::Plugin;
    pub use crate::note::EncodedNote;
}

/// Makes a library of an adapter: `export_adapter!(MyAdapter);`, once, at the root of the crate.
///
/// `MyAdapter` implements [`Plugin`](crate::Plugin). The crate has the types `cdylib` and `rlib`; linked as `rlib`,
/// the macro adds two statics that nobody reads.
#[macro_export]
macro_rules! export_adapter {
    ($adapter:ty) => {
        #[cfg(panic = "abort")]
        ::core::compile_error!("an adapter needs panic = \"unwind\": a panic must not end the host");

        const _: () = {
            #[unsafe(export_name = ::core::concat!("whimbrel_adapter_v1_", ::core::env!("CARGO_CRATE_NAME")))]
            static HEADER: $crate::__private::LibHeader = $crate::__private::header::<$adapter>();

            #[used]
            #[cfg_attr(not(any(target_vendor = "apple", windows)), unsafe(link_section = ".note.whimbrel"))]
            static NOTE: $crate::__private::EncodedNote = $crate::__private::EncodedNote::new(
                &<$adapter as $crate::__private::Plugin>::IDENTITY,
                <$adapter as $crate::__private::Plugin>::MIN_HOST,
                ::core::concat!("whimbrel_adapter_v1_", ::core::env!("CARGO_CRATE_NAME")),
                $crate::note::TARGET,
            );
        };
    };
}
