//! An adapter as a stranger would write it, for Whimbrel's own tests.
//!
//! Serves `probe:PATH` with SQLite underneath, one statement at a time, by the helpers that the contract offers. With
//! `probe:PATH?panic=METHOD` it panics in the method of that name: `check_url`, `connect`, `cancel`, `drop`, `text`,
//! or any of the connection's own. With `crash=METHOD` it ends its process by a fault of memory there, with `abort=METHOD`
//! by a call of `abort`; and so it does at the statement `SELECT 'crash here'` or `SELECT 'abort here'`. With `hang=METHOD` it
//! never comes back from it, and says so in a file `hangs`. With `lie=WHAT` it says what is not so (see `lies`), with `garbage=METHOD` it
//! fails with a message that nobody should print. With `error=METHOD` it fails in `check_url` or `connect` instead. Where a
//! `password=…` follows, it quotes its url, as no adapter should. Without a path the database is in memory. With
//! `PROBE_PANICS_ON_LOAD` in the environment it panics before there is an adapter to ask, with `PROBE_HAS_NO_FENCE` it says
//! that nothing keeps two runs apart.

mod connection;
mod crash;
mod dialect;
mod lies;

use std::sync::Arc;

use rusqlite::{InterruptHandle, OpenFlags};
use whimbrel_adapter_api::{
    Access, Adapter, Canceller, Capability, ConnectOptions, Error, ErrorKind, Fence, Identity, Info, Opened,
    Plugin, Secret, export_adapter,
};

use crate::connection::{ProbeConnection, from_driver};

export_adapter!(Probe);

/// The adapter.
#[derive(Clone, Copy, Debug)]
pub struct Probe;

impl Default for Probe {
    fn default() -> Self {
        // There is no url yet that could say it.
        if std::env::var_os("PROBE_PANICS_ON_LOAD").is_some() {
            panic!("the probe was told to panic when it is loaded");
        }
        Probe
    }
}

impl Plugin for Probe {
    const IDENTITY: Identity = Identity {
        name: "probe",
        version: env!("CARGO_PKG_VERSION"),
        aliases: &["sonde"],
        schemes: &["probe"],
        fence: Fence::UniqueKey,
        capabilities: &[
            Capability::Transactions,
            Capability::TransactionalDdl,
            Capability::Savepoints,
            Capability::Cancel,
            Capability::StatementLimit,
        ],
    };
}

impl Adapter for Probe {
    fn info(&self) -> Info {
        let mut info = Info::new(&Self::IDENTITY);
        if std::env::var_os("PROBE_HAS_NO_FENCE").is_some() {
            info.fence = Fence::None;
        }
        info
    }

    fn check_url(&self, url: &Secret) -> Result<(), Error> {
        let (_, trap) = parse(url)?;
        trap.spring("check_url");
        trap.fail("check_url")
    }

    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error> {
        let (path, trap) = parse(&options.url)?;
        trap.spring("connect");
        trap.fail("connect")?;
        trap.talk("connect")?;
        let handle = match (path, options.access) {
            ("", _) => rusqlite::Connection::open_in_memory(),
            (path, Access::ReadOnly) if !std::path::Path::new(path).exists() => {
                let error = Error::new(ErrorKind::DatabaseMissing, format!("there is no file `{path}`"));
                return Err(error);
            }
            (path, Access::ReadOnly) => {
                rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            }
            (path, _) => rusqlite::Connection::open(path),
        };
        let handle = handle.map_err(|error| from_driver(&error))?;
        let canceller = Interrupt { handle: handle.get_interrupt_handle(), trap: trap.clone() };
        Ok(Opened::new(Box::new(ProbeConnection::new(handle, trap)), Arc::new(canceller)))
    }
}

fn parse(url: &Secret) -> Result<(&str, Trap), Error> {
    let invalid = || Error::new(ErrorKind::InvalidUrl, "a url looks like `probe:PATH?panic=METHOD`");
    let rest = url.reveal().strip_prefix("probe:").ok_or_else(invalid)?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut trap = Trap::default();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=').ok_or_else(invalid)? {
            ("panic", method) => trap.panics = Some(method.into()),
            ("crash", method) => trap.crashes = Some(method.into()),
            ("abort", method) => trap.aborts = Some(method.into()),
            ("hang", method) => trap.hangs = Some(method.into()),
            ("lie", lie) => trap.lies = Some(lie.into()),
            ("garbage", method) => trap.talks = Some(method.into()),
            ("error", method) => trap.fails = Some(method.into()),
            ("password", password) => trap.quote = format!(": {}, {password:?}", url.reveal()).into(),
            _ => return Err(invalid()),
        }
    }
    Ok((path, trap))
}

/// The methods that panic, crash, hang or fail, if any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trap {
    panics: Option<Arc<str>>,
    crashes: Option<Arc<str>>,
    aborts: Option<Arc<str>>,
    hangs: Option<Arc<str>>,
    lies: Option<Arc<str>>,
    talks: Option<Arc<str>>,
    fails: Option<Arc<str>>,
    /// What stands behind the message.
    quote: Arc<str>,
}

impl Trap {
    #[track_caller]
    pub(crate) fn spring(&self, method: &str) {
        if self.panics.as_deref() == Some(method) {
            panic!("the probe was told to panic in `{method}`{}", self.quote);
        }
        if self.crashes.as_deref() == Some(method) {
            crash::fault();
        }
        if self.aborts.as_deref() == Some(method) {
            std::process::abort();
        }
        if self.hangs.as_deref() == Some(method) {
            // For a test that waits until it hangs.
            let _ = std::fs::write("hangs", method);
            loop {
                std::thread::park();
            }
        }
    }

    pub(crate) fn is_honest(&self) -> bool {
        self.lies.is_none()
    }

    pub(crate) fn lies(&self, lie: &str) -> bool {
        self.lies.as_deref() == Some(lie)
    }

    /// Returns what no adapter should say, where it was told to.
    pub(crate) fn talk(&self, method: &str) -> Result<(), Error> {
        match self.talks.as_deref() == Some(method) {
            true => Err(lies::garbage()),
            false => Ok(()),
        }
    }

    fn fail(&self, method: &str) -> Result<(), Error> {
        match self.fails.as_deref() == Some(method) {
            true => Err(Error::new(
                ErrorKind::InvalidUrl,
                format!("the probe was told to fail in `{method}`{}", self.quote),
            )),
            false => Ok(()),
        }
    }
}

struct Interrupt {
    handle: InterruptHandle,
    trap: Trap,
}

impl Canceller for Interrupt {
    fn cancel(&self) -> Result<(), Error> {
        self.trap.spring("cancel");
        self.handle.interrupt();
        Ok(())
    }
}
