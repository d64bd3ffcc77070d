//! One instance of DuckDB for each file, however many sessions this process has on it.
//!
//! The lock on a file keeps out other processes, but not a second instance within this one, which would know nothing of what
//! the first one writes. So whoever opens a file that is open gets a session of the same instance.

use std::collections::BTreeMap;
use std::path::PathBuf;
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
            Some(instance) if instance.access == Access::ReadOnly && access != Access::ReadOnly => {
                let message = format!("this process has `{}` open for reading", path.display());
                return Err(Error::new(ErrorKind::InUse, message));
            }
            Some(instance) => instance,
            None => Arc::new(Instance { first: Mutex::new(open()?), access }),
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
}

impl Drop for Share {
    fn drop(&mut self) {
        // Nobody may open the file again while the last one is about to close it.
        let _instances = open_ones();
        self.0.take();
    }
}
