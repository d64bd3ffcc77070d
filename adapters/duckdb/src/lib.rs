//! The DuckDB adapter of Whimbrel.
//!
//! DuckDB is a library within this process, and a database file belongs to one process at a time. Transactions take schema
//! changes back and never wait: of two that want the same the second fails, at the latest when it commits.
//!
//! Decides nothing: what runs, and in which order, is the host's affair.

mod connection;
mod dialect;
mod error;
mod instance;
mod lexer;
mod quirks;
mod run;
mod statements;
mod traces;
mod url;
mod values;

use std::sync::Arc;

use duckdb::InterruptHandle;
use whimbrel_adapter_api::{
    Adapter, Canceller, Capability, ConnectOptions, Error, Fence, Identity, Info, Opened, Plugin, Quirks,
    Secret,
};

use crate::connection::DuckDbConnection;

whimbrel_adapter_api::export_adapter!(DuckDb);

/// The adapter.
#[derive(Clone, Copy, Debug, Default)]
pub struct DuckDb;

impl Plugin for DuckDb {
    const IDENTITY: Identity = Identity {
        name: "duckdb",
        version: env!("CARGO_PKG_VERSION"),
        aliases: &[],
        schemes: &["duckdb"],
        fence: Fence::UniqueKey,
        capabilities: &[
            Capability::Transactions,
            Capability::TransactionalDdl,
            Capability::Arrays,
            Capability::Cancel,
            Capability::Liveness,
        ],
    };
}

impl Adapter for DuckDb {
    fn info(&self) -> Info {
        Info::new(&Self::IDENTITY)
    }

    fn check_url(&self, url: &Secret) -> Result<(), Error> {
        url::parse(url.reveal()).map(drop)
    }

    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error> {
        let (share, handle) = url::parse(options.url.reveal())?.open(options.access)?;
        let canceller = Interrupt(handle.interrupt_handle());
        let connection = DuckDbConnection::over(handle, share)?;
        Ok(Opened::new(Box::new(connection), Arc::new(canceller)))
    }

    fn quirks(&self) -> Quirks {
        quirks::quirks()
    }
}

/// Stops the running statement by DuckDB's own interrupt.
struct Interrupt(Arc<InterruptHandle>);

impl Canceller for Interrupt {
    fn cancel(&self) -> Result<(), Error> {
        self.0.interrupt();
        Ok(())
    }
}
