//! Keeps what the suites bring to light, so that it can be searched for passwords when they are done.
//!
//! `cargo xtask test` names a folder beside its servers, and searches it after the last test. Kept are what every run of
//! a program prints, the files it writes, and the rows of the histories.
//!
//! Judges nothing, and keeps nothing where no servers were started: the tests that need none run just the same.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process, thread};

use crate::servers::{self, servers};

/// No leak needs more of a file to be seen.
const LARGEST: u64 = 8 << 20;

/// Keeps what belongs to one test, under that test's name.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    test: String,
}

impl Record {
    /// Returns the record of the test that calls, whose name its thread bears.
    pub(crate) fn of_this_test() -> Self {
        let suite = env::current_exe().ok().and_then(|path| Some(path.file_stem()?.to_str()?.to_owned()));
        let suite = suite.unwrap_or_default();
        let suite = suite.rsplit_once('-').map_or(suite.as_str(), |(name, _)| name);
        let thread = thread::current();
        let test = thread.name().unwrap_or("another_thread").replace("::", "-");
        Self { test: format!("{suite}.{test}") }
    }

    /// Keeps some bytes: what they are is part of the file's name.
    ///
    /// # Panics
    ///
    /// When they cannot be written: what is not kept would pass the search.
    pub(crate) fn keep(&self, what: &str, bytes: &[u8]) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let Some(folder) = folder().filter(|_| !bytes.is_empty()) else { return };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}.{}.{number}.{what}", self.test, process::id()));
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }

    /// Keeps a file, if it is one.
    pub(crate) fn keep_file(&self, what: &str, path: &Path) {
        let is_small = |path: &Path| path.symlink_metadata().is_ok_and(|facts| facts.len() <= LARGEST);
        if folder().is_some() && path.is_file() && is_small(path) {
            self.keep(what, &fs::read(path).unwrap_or_default());
        }
    }
}

/// Returns the folder of the record, if this run has one.
pub(crate) fn folder() -> Option<&'static Path> {
    servers::are_there().then(|| servers().record.as_path())
}
