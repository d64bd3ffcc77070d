//! From the symbol of a library to the adapter, and why not.

use std::ffi::c_void;

use abi_stable::StableAbi;
use abi_stable::library::{
    __call_root_module_loader, CheckTypeLayout, LibHeader, RootModule, RootModuleResult,
};
use abi_stable::package_version_strings;
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_types::VersionStrings;

use super::toy::Part;
use crate::abi::header::{LoadError, adapter_from_symbol, header};
use crate::note::API_VERSION;
use crate::{Adapter, ConnectOptions, Error, Identity, Info, Opened, Plugin, Secret};

fn refusal(symbol: *const c_void) -> LoadError {
    // SAFETY: every caller passes null or a static of this file, all of them longer than 40 bytes.
    unsafe { adapter_from_symbol(symbol) }.err().expect("the header is refused")
}

#[test]
fn a_header_gives_the_adapter_and_leaves_the_programs_panic_hook() {
    static HEADER: LibHeader = header::<Part>();
    // SAFETY: the static is a header of this crate.
    let adapter = unsafe { adapter_from_symbol((&raw const HEADER).cast()) }.unwrap();
    assert_eq!(adapter.info(), Part::default().info());
    // With the hook of a loaded library the message would have a place.
    let mut opened = adapter.connect(&ConnectOptions::new(Secret::new("toy:box"))).unwrap();
    let error = opened.connection.alive("no such word").unwrap_err();
    assert_eq!(error.message, "the adapter panicked: called `Option::unwrap()` on a `None` value");
}

static NEVER_MADE: LibHeader = header::<Unmade>();

struct Unmade;

impl Default for Unmade {
    fn default() -> Self {
        panic!("no {}", "toys");
    }
}

impl Plugin for Unmade {
    const IDENTITY: Identity = Part::IDENTITY;
}

impl Adapter for Unmade {
    fn info(&self) -> Info {
        Info::new(&Self::IDENTITY)
    }

    fn check_url(&self, _: &Secret) -> Result<(), Error> {
        Ok(())
    }

    fn connect(&self, _: &ConnectOptions) -> Result<Opened, Error> {
        Err(Error::unsupported("anything"))
    }
}

#[test]
fn an_adapter_that_panics_when_it_is_made_is_refused() {
    let refusal = refusal((&raw const NEVER_MADE).cast());
    assert_eq!(refusal, LoadError::Panicked("the adapter panicked: no toys".to_owned()));
}

#[test]
fn no_symbol_and_no_header_are_refused() {
    static TEXT: [u64; 32] = [0x7468_6769_7262; 32];
    assert_eq!(refusal(std::ptr::null()), LoadError::NoHeader);
    assert_eq!(refusal((&raw const TEXT).cast()), LoadError::NoHeader);
}

/// A library whose ABI went another way.
// The derive writes accessors.
#[allow(dead_code, unreachable_pub)]
mod strange {
    use super::*;

    #[repr(C)]
    #[derive(StableAbi)]
    #[sabi(kind(Prefix(prefix_ref = StrangeRef)))]
    pub struct Strange {
        #[sabi(last_prefix_field)]
        pub adapter: u8,
    }

    impl RootModule for StrangeRef {
        abi_stable::declare_root_module_statics! {StrangeRef}
        const BASE_NAME: &'static str = "strange";
        const NAME: &'static str = "strange";
        const VERSION_STRINGS: VersionStrings = package_version_strings!();
    }

    pub(super) extern "C" fn load() -> RootModuleResult {
        __call_root_module_loader(|| Strange { adapter: 0 }.leak_into_prefix())
    }
}

#[test]
fn another_layout_is_refused_in_a_few_lines() {
    // SAFETY: `load` returns a `StrangeRef`.
    static STRANGE: LibHeader =
        unsafe { LibHeader::from_constructor::<strange::StrangeRef>(strange::load, CheckTypeLayout::Yes) };
    let LoadError::Layout { adapter, host, differences } = refusal((&raw const STRANGE).cast()) else {
        panic!("the layout is taken for the same")
    };
    assert_eq!((adapter.as_str(), host.as_str()), (API_VERSION, API_VERSION));
    assert_eq!(differences, "mismatched type");
}
