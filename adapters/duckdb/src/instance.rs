//! One instance of DuckDB for each file, however many sessions this process has on it.
//!
//! The lock on a file keeps out other processes, but not a second instance within this one, which would know nothing of what
//! the first one writes. So whoever opens a file that is open gets a session of the same instance.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use duckdb::Connection as Handle;
use whimbrel_adapter_api::{Access, Error, ErrorKind};

/// The instances that are open, by the full path of their file.
static OPEN: Mutex<BTreeMap<PathBuf, Weak<Instance>>> = Mutex::new(BTreeMap::new());

fn open_ones() -> MutexGuard<'static, BTreeMap<PathBuf, Weak<Instance>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open file. It is closed with the last of its sessions.
pub(crate) struct Instance {
    first: Mutex<Handle>,
    access: Access,
    file: Option<FileId>,
    attempts: Attempts,
}

/// A session's share of an instance.
pub(crate) struct Share(Option<Arc<Instance>>);

impl Share {
    /// Returns a session on the file at `path`, of the instance that is there or of a new one that `open` makes.
    pub(crate) fn of(
        path: PathBuf,
        access: Access,
        open: impl FnOnce() -> Result<Handle, Error>,
    ) -> Result<(Self, Handle), Error> {
        let mut instances = open_ones();
        let instance = match instances.get(&path).and_then(Weak::upgrade) {
            // The log beside the path is the old one's, and would be taken for the new one's.
            Some(instance) if instance.file != file_id(&path) => {
                let message =
                    format!("this process has the file open that was at `{}` before", path.display());
                return Err(Error::new(ErrorKind::InUse, message));
            }
            Some(instance) if instance.access == Access::ReadOnly && access != Access::ReadOnly => {
                let message = format!("this process has `{}` open for reading", path.display());
                return Err(Error::new(ErrorKind::InUse, message));
            }
            Some(instance) => instance,
            None => {
                let (first, attempts) = (Mutex::new(open()?), Attempts::default());
                Arc::new(Instance { first, access, file: file_id(&path), attempts })
            }
        };
        let handle = instance.first.lock().unwrap_or_else(PoisonError::into_inner).try_clone();
        let handle = handle.map_err(|error| Error::new(ErrorKind::Other, error.to_string()))?;
        instances.retain(|_, instance| instance.strong_count() > 0);
        instances.insert(path, Arc::downgrade(&instance));
        Ok((Share(Some(instance)), handle))
    }

    /// Returns the share of a database in memory, which has one session.
    pub(crate) fn none() -> Self {
        Share(None)
    }

    /// Returns the attempts that are at work in the database.
    pub(crate) fn attempts(&self) -> Attempts {
        self.0.as_ref().map(|instance| instance.attempts.clone()).unwrap_or_default()
    }

    pub(crate) fn is_at_work(&self, attempt: &str) -> bool {
        self.attempts().all().contains_key(attempt)
    }
}

/// The attempts that are at work in a database, and how often each is. There are no others: a file belongs to one process.
#[derive(Clone, Default)]
pub(crate) struct Attempts(Arc<Mutex<BTreeMap<String, u32>>>);

impl Attempts {
    /// Notes that an attempt is at work.
    pub(crate) fn begin(&self, attempt: String) -> AtWork {
        *self.all().entry(attempt.clone()).or_default() += 1;
        AtWork { attempts: self.clone(), attempt }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt that is at work, until this is dropped.
pub(crate) struct AtWork {
    attempts: Attempts,
    attempt: String,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let mut all = self.attempts.all();
        match all.get_mut(&self.attempt) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(all.remove(&self.attempt)),
        }
    }
}

/// What tells a file from another one that stands at the same path later: its device and its number there.
type FileId = (u64, u64);

fn file_id(path: &Path) -> Option<FileId> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

impl Drop for Share {
    fn drop(&mut self) {
        // Nobody may open the file again while the last one is about to close it.
        let _instances = open_ones();
        self.0.take();
    }
}
