//! The MySQL and MariaDB adapter of Whimbrel.
//!
//! Speaks to the server through crate `mysql`. What belongs to one migration travels in one packet of several
//! statements, so that a migration costs one turn; `run.rs` says how the answers are told apart.
//!
//! Decides nothing: what runs, and in which order, is the host's affair.

mod connection;
mod dialect;
mod error;
mod lexer;
mod quirks;
mod run;
mod statement;
mod tls;
mod traces;
mod url;
mod values;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mysql::prelude::Queryable;
use mysql::{Conn, Opts};
use whimbrel_adapter_api::{
    Adapter, Canceller, Capability, ConnectOptions, Error, ErrorKind, Fence, Identity, Info, Opened, Plugin,
    Quirks, Secret,
};

use crate::connection::MySqlConnection;
use crate::url::Settings;

/// The adapter.
#[derive(Clone, Copy, Debug, Default)]
pub struct MySql;

impl Plugin for MySql {
    const IDENTITY: Identity = Identity {
        name: "mysql",
        version: env!("CARGO_PKG_VERSION"),
        aliases: &["mariadb"],
        schemes: &["mysql", "mariadb"],
        fence: Fence::UniqueKey,
        capabilities: &[
            Capability::Transactions,
            Capability::Savepoints,
            Capability::Pipelining,
            Capability::Cancel,
            Capability::Liveness,
        ],
    };
}

whimbrel_adapter_api::export_adapter!(MySql);

impl Adapter for MySql {
    fn info(&self) -> Info {
        Info::new(&Self::IDENTITY).with_password_variable("MYSQL_PWD")
    }

    fn check_url(&self, url: &Secret) -> Result<(), Error> {
        Settings::parse(url.reveal()).map(drop)
    }

    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error> {
        let mut settings = Settings::parse(options.url.reveal())?;
        if settings.password.as_deref().unwrap_or_default().is_empty() {
            settings.password = options.password.as_ref().map(|password| password.reveal().to_owned());
        }
        let (handle, used) = tls::connect(&settings, &options.application)?;
        let closed = Arc::new(AtomicBool::new(false));
        let canceller =
            KillQuery { options: used, session: handle.connection_id(), closed: Arc::clone(&closed) };
        let connection = MySqlConnection::new(handle, closed, options.lock_limit);
        Ok(Opened::new(Box::new(connection), Arc::new(canceller)))
    }

    fn quirks(&self) -> Quirks {
        quirks::quirks()
    }
}

/// Stops the running statement from a second session with the same settings.
struct KillQuery {
    options: Opts,
    session: u32,
    closed: Arc<AtomicBool>,
}

impl Canceller for KillQuery {
    fn cancel(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let unreachable = |error: &mysql::Error| {
            let cause = error::while_connecting(error);
            match cause.kind {
                ErrorKind::Permission => cause,
                _ => {
                    let mut error = cause;
                    error.kind = ErrorKind::Unreachable;
                    error
                }
            }
        };
        let mut second = Conn::new(self.options.clone()).map_err(|error| unreachable(&error))?;
        match second.query_drop(format!("KILL QUERY {}", self.session)) {
            // The session ended by itself in the meantime: nothing runs.
            Err(mysql::Error::MySqlError(error)) if error.code == error::NO_SUCH_THREAD => Ok(()),
            other => other.map_err(|error| unreachable(&error)),
        }
    }
}
