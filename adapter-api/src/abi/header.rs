//! The one symbol of an adapter's library, and what the host does with it.
//!
//! [`export_adapter!`](crate::export_adapter) writes a header that abi_stable can check before any of the adapter's
//! own code runs. The header of each adapter has its own name, so that several can be linked into one program.

use std::ffi::c_void;
use std::mem::transmute;
use std::ptr::NonNull;
use std::sync::Arc;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::{CheckingGlobals, check_layout_compatibility_with_globals};
use abi_stable::library::{
    __call_root_module_loader, AbiHeaderRef, CheckTypeLayout, LibHeader, LibraryError, RootModuleResult,
};
use abi_stable::prefix_type::PrefixTypeTrait;

use super::convert::{answer, result};
use super::host::import_adapter;
use super::panics::{contained, keep_messages};
use super::plugin::export_adapter;
use super::traits::{AdapterBox, Answer, Root, RootRef};
use crate::note::API_VERSION;
use crate::{Adapter, Plugin};

/// Turns the header of an adapter into the adapter.
///
/// The layout of everything that crosses is compared first; the adapter's own code runs only when it agrees. A library
/// that was loaded gets its own panic hook, which prints nothing; an adapter that is linked in leaves the program's.
///
/// # Errors
///
/// [`LoadError`]. The library can stay loaded after each of them.
///
/// # Safety
///
/// - `symbol` is null or the address of the symbol that the note of the library names: a static that
///   [`export_adapter!`](crate::export_adapter) wrote, or one that is aligned to a pointer, begins with 40 readable bytes,
///   and does not begin as abi_stable's own headers do.
/// - The library is never unloaded: the adapter, its thread-locals and its statics refer to its code.
pub unsafe fn adapter_from_symbol(symbol: *const c_void) -> Result<Arc<dyn Adapter>, LoadError> {
    let symbol = NonNull::new(symbol.cast_mut()).ok_or(LoadError::NoHeader)?;
    // SAFETY: `AbiHeaderRef` is a transparent wrapper of a non-null pointer; the caller promises that it can be read.
    let header = unsafe { transmute::<NonNull<c_void>, AbiHeaderRef>(symbol) };
    let root = check(header.upgrade().map_err(refusal)?)?;
    let adapter = result((root.adapter())(image())).map_err(|error| LoadError::Panicked(error.message))?;
    import_adapter(adapter).map_err(|error| LoadError::Panicked(error.message))
}

/// Why the header of a library was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no header that this version of the ABI's library can read.
    #[error("the symbol is not the header of an adapter")]
    NoHeader,
    /// The adapter was built with types of another layout.
    #[error(
        "the adapter was built with whimbrel-adapter-api {adapter}, this program with {host}: {differences}"
    )]
    Layout {
        /// The version that the adapter was built with.
        adapter: String,
        /// The version that this program was built with.
        host: String,
        /// What differs, shortened.
        differences: String,
    },
    /// The adapter panicked before it could be used.
    #[error("{0}")]
    Panicked(String),
}

/// Returns the header of an adapter, for [`export_adapter!`](crate::export_adapter).
#[must_use]
pub const fn header<P: Plugin + 'static>() -> LibHeader {
    // SAFETY: `load` returns a `RootRef`, erased by abi_stable's own function for it.
    unsafe { LibHeader::from_constructor::<RootRef>(load::<P>, CheckTypeLayout::Yes) }
}

extern "C" fn load<P: Plugin + 'static>() -> RootModuleResult {
    __call_root_module_loader(|| Root { adapter: make::<P> }.leak_into_prefix())
}

extern "C" fn make<P: Plugin + 'static>(host: usize) -> Answer<AdapterBox> {
    answer(contained(|| {
        if host != image() {
            keep_messages();
        }
        export_adapter(Box::new(P::default()))
    }))
}

/// Returns a number that is the same for all code of one program or library, and differs between them.
///
/// An adapter that is linked into the host sees the host's own number: then the panic hook is the host's affair.
fn image() -> usize {
    static PLACE: u8 = 0;
    (&raw const PLACE).addr()
}

/// Compares the layouts, and returns the root of the library.
///
/// abi_stable's own check lets a library have more than the program knows, but not less. The library of an older minor
/// version has less, so there the two are compared in each other's place. What the library does not have is not read then:
/// abi_stable keeps the number of fields with every table, and calls the default body of a method that is missing.
///
/// abi_stable also remembers what it compared for as long as the process lasts, in case one library hands an object to another,
/// and takes a newer library for a wrong one where an older one was before it. No object of ours goes from one library to
/// another, so each is compared for itself.
fn check(header: &'static LibHeader) -> Result<RootRef, LoadError> {
    // Without one, abi_stable would take the library at its word.
    let theirs = header.layout().ok_or(LoadError::NoHeader)?;
    let (less, more) = if is_older(header.version_strings().version.as_str()) {
        (theirs, RootRef::LAYOUT)
    } else {
        (RootRef::LAYOUT, theirs)
    };
    check_layout_compatibility_with_globals(less, more, &CheckingGlobals::new())
        .map_err(|report| layout_error(header, shorten(&report.to_string())))?;
    // SAFETY: the layouts were compared in the line above: what one side does not have comes last on the other side, and
    // whatever both have is in the same place.
    unsafe { header.init_root_module_with_unchecked_layout::<RootRef>() }
        .map_err(|error| refused(header, error))
}

/// Returns whether a version is of an earlier minor version than this crate. Another major version is not comparable.
fn is_older(version: &str) -> bool {
    let major_and_minor = |version: &str| {
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    match (major_and_minor(version), major_and_minor(API_VERSION)) {
        (Some((major, minor)), Some((our_major, our_minor))) => major == our_major && minor < our_minor,
        _ => false,
    }
}

fn refused(header: &LibHeader, error: LibraryError) -> LoadError {
    match error {
        LibraryError::RootModule { .. } => {
            LoadError::Panicked("the adapter panicked while it was loaded".to_owned())
        }
        LibraryError::AbiInstability(report) => layout_error(header, shorten(&report.to_string())),
        LibraryError::IncompatibleVersionNumber { .. } => {
            layout_error(header, "another major version".to_owned())
        }
        other => refusal(other),
    }
}

fn layout_error(header: &LibHeader, differences: String) -> LoadError {
    let adapter = header.version_strings().version.to_string();
    LoadError::Layout { adapter, host: API_VERSION.to_owned(), differences }
}

fn refusal(error: LibraryError) -> LoadError {
    match error {
        LibraryError::InvalidCAbi { .. } => LoadError::Layout {
            adapter: "an unknown version".to_owned(),
            host: API_VERSION.to_owned(),
            differences: "another calling convention".to_owned(),
        },
        _ => LoadError::NoHeader,
    }
}

/// Keeps what differs, once each. The full report prints every type on both sides: about 100 KB.
fn shorten(report: &str) -> String {
    let mut differences: Vec<&str> =
        report.lines().filter_map(|line| line.trim().strip_prefix("Error:")).map(str::trim).collect();
    differences.sort_unstable();
    differences.dedup();
    differences.join(", ")
}
