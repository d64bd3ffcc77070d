//! Loads one library. The only unsafe code of this crate.

use std::path::Path;
use std::sync::Arc;

use whimbrel_adapter_api::Adapter;
use whimbrel_adapter_api::loading::{LoadError, adapter_from_symbol};

/// Why a library could not be loaded.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The loader of the system refuses it, in its own words.
    Loader(String),
    /// It was loaded, and its header was refused.
    Header(LoadError),
}

/// Loads the library at `path` and returns the adapter whose header is `symbol`.
///
/// The library is never unloaded: thread-locals and statics of its drivers may be in use to the end.
pub(super) fn load(path: &Path, symbol: &str) -> Result<Arc<dyn Adapter>, Refusal> {
    // A name without a slash would be searched for in LD_LIBRARY_PATH.
    let path = path.canonicalize().map_err(|error| Refusal::Loader(error.to_string()))?;
    let library = open(&path).map_err(|error| Refusal::Loader(words(&error)))?;
    // SAFETY: the address is only looked up here. It is read by `adapter_from_symbol`, as the pointer to a header.
    let found = unsafe { library.get::<*const std::ffi::c_void>(symbol) };
    let address = found.map_err(|error| Refusal::Loader(words(&error)))?.as_raw_ptr();
    std::mem::forget(library);
    // SAFETY: the note names `symbol` as the static that `export_adapter!` wrote, the library stays loaded because its
    // handle was forgotten, and a null pointer is allowed.
    unsafe { adapter_from_symbol(address.cast_const()) }.map_err(Refusal::Header)
}

/// Makes every symbol resolve now, so that a missing one is an error here and not a crash in the middle of a
/// migration, and keeps the symbols of one adapter from those of another.
#[cfg(unix)]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    let flags = libloading::os::unix::RTLD_NOW | libloading::os::unix::RTLD_LOCAL | libc::RTLD_NODELETE;
    // SAFETY: the initialisers of an adapter run with the rights of this program. An adapter is trusted code: which
    // ones are loaded is decided by the search order, which holds no folder that was not configured or installed.
    unsafe { Library::open(Some(path), flags) }
}

#[cfg(windows)]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: the initialisers of an adapter run with the rights of this program. An adapter is trusted code: which
    // ones are loaded is decided by the search order, which holds no folder that was not configured or installed.
    unsafe { Library::new(path) }
}

#[cfg(unix)]
use libloading::os::unix::Library;
#[cfg(windows)]
use libloading::os::windows::Library;

/// Returns the loader's own words; libloading shows only what it was doing.
fn words(error: &libloading::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}
