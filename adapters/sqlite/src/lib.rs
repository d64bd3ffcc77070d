//! The SQLite adapter of Whimbrel.
//!
//! Speaks to SQLite through rusqlite, which brings the library along. Loaded at run time as `sqlite`, or linked into
//! an application, where [`SqliteConnection::over`] borrows a handle that the application has open.
//!
//! Decides nothing: what runs, and in which order, is the host's affair.

mod connection;
mod dialect;
mod error;
mod lexer;
mod quirks;
mod run;
mod traces;
mod url;
mod values;

use std::sync::Arc;

use rusqlite::InterruptHandle;
use whimbrel_adapter_api::{
    Access, Adapter, Canceller, Capability, ConnectOptions, Error, Fence, Identity, Info, Opened, Plugin,
    Quirks, Secret,
};

pub use connection::SqliteConnection;

whimbrel_adapter_api::export_adapter!(Sqlite);

/// The adapter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sqlite;

impl Plugin for Sqlite {
    const IDENTITY: Identity = Identity {
        name: "sqlite",
        version: env!("CARGO_PKG_VERSION"),
        aliases: &["sqlite3"],
        schemes: &["sqlite", "sqlite3", "file"],
        fence: Fence::UniqueKey,
        capabilities: &[
            Capability::Transactions,
            Capability::TransactionalDdl,
            Capability::Savepoints,
            Capability::Cancel,
            Capability::Liveness,
        ],
    };
}

impl Adapter for Sqlite {
    fn info(&self) -> Info {
        Info::new(&Self::IDENTITY)
    }

    fn check_url(&self, url: &Secret) -> Result<(), Error> {
        url::parse(url.reveal()).map(drop)
    }

    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error> {
        let location = url::parse(options.url.reveal())?;
        let handle = match options.access {
            Access::ReadOnly => location.open_for_reading(),
            _ => location.open(),
        }?;
        let canceller = Interrupt(handle.get_interrupt_handle());
        Ok(Opened::new(Box::new(SqliteConnection::over(handle)), Arc::new(canceller)))
    }

    fn quirks(&self) -> Quirks {
        quirks::quirks()
    }
}

/// Stops the running statement by SQLite's own interrupt.
struct Interrupt(InterruptHandle);

impl Canceller for Interrupt {
    fn cancel(&self) -> Result<(), Error> {
        self.0.interrupt();
        Ok(())
    }
}
