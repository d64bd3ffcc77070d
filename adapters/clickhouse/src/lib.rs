//! The ClickHouse adapter of Whimbrel.
//!
//! Speaks to the server over HTTP or HTTPS, one statement for each request. ClickHouse has neither transactions nor unique
//! keys: migrations go statement by statement, and what keeps two runs apart is that a column can be added once. `dialect.rs`
//! says how the history is kept.
//!
//! Decides nothing: what runs, and in which order, is the host's affair.

mod connection;
mod dialect;
mod error;
mod http;
mod lexer;
mod quirks;
mod run;
mod statements;
mod traces;
mod url;
mod values;

use std::sync::Arc;

use whimbrel_adapter_api::{
    Adapter, Canceller, Capability, ConnectOptions, Error, ErrorKind, Fence, Identity, Info, Opened, Plugin,
    Quirks, Secret,
};

use crate::connection::ClickHouseConnection;
use crate::http::Server;
use crate::url::Settings;

whimbrel_adapter_api::export_adapter!(ClickHouse);

/// The adapter.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClickHouse;

impl Plugin for ClickHouse {
    const IDENTITY: Identity = Identity {
        name: "clickhouse",
        version: env!("CARGO_PKG_VERSION"),
        aliases: &["ch"],
        schemes: &["clickhouse"],
        fence: Fence::ExclusiveCreate,
        capabilities: &[Capability::Arrays, Capability::Cancel, Capability::Liveness],
    };
}

impl Adapter for ClickHouse {
    fn info(&self) -> Info {
        Info::new(&Self::IDENTITY).with_password_variable("CLICKHOUSE_PASSWORD")
    }

    fn check_url(&self, url: &Secret) -> Result<(), Error> {
        Settings::parse(url.reveal()).map(drop)
    }

    // A session that only reads leaves no trace on a server, so `options.access` needs nothing.
    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error> {
        let mut settings = Settings::parse(options.url.reveal())?;
        if settings.password.is_empty() {
            let found = options.password.as_ref().map(|password| password.reveal().to_owned());
            settings.password = found.unwrap_or_default();
        }
        let server = Arc::new(Server::new(&settings, &options.application)?);
        let connection = ClickHouseConnection::open(Arc::clone(&server), &settings)?;
        let canceller = KillQuery { server, name: connection.name().to_owned() };
        Ok(Opened::new(Box::new(connection), Arc::new(canceller)))
    }

    fn quirks(&self) -> Quirks {
        quirks::quirks()
    }
}

/// Stops whatever the server does for one session.
struct KillQuery {
    server: Arc<Server>,
    /// What the comments of its queries end with.
    name: String,
}

impl Canceller for KillQuery {
    fn cancel(&self) -> Result<(), Error> {
        let name = dialect::text_literal(&self.name);
        let kill = format!("KILL QUERY WHERE endsWith(Settings['log_comment'], {name}) ASYNC");
        self.server.ask(&[], &kill).map(drop).map_err(|refused| {
            let mut error = error::of_refusal(&refused, &kill);
            if error.kind == ErrorKind::ConnectionLost {
                error.kind = ErrorKind::Unreachable;
            }
            error
        })
    }
}
