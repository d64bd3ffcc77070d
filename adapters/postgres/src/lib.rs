//! The PostgreSQL and Supabase adapter of Whimbrel.
//!
//! Speaks to servers from 13 on, directly or through a pooler in transaction mode, with the types of `postgres` over
//! the `tokio-postgres` beneath it. Loaded at run time as `postgres` or `supabase`, or linked into an application,
//! where it also works inside the application's own runtime.
//!
//! Decides nothing: what runs, and in which order, is the host's affair.

mod cancel;
mod connect;
mod connection;
mod dialect;
mod error;
mod lexer;
mod message;
mod pgpass;
mod quirks;
mod run;
mod session;
mod tls;
mod traces;
mod url;
mod values;

use std::sync::Arc;

use whimbrel_adapter_api::{
    Adapter, Capability, ConnectOptions, Error, Fence, Identity, Info, Opened, Plugin, Quirks, Secret,
};

whimbrel_adapter_api::export_adapter!(Postgres);

/// The adapter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postgres;

impl Plugin for Postgres {
    const IDENTITY: Identity = Identity {
        name: "postgres",
        version: env!("CARGO_PKG_VERSION"),
        aliases: &["supabase", "postgresql"],
        schemes: &["postgres", "postgresql"],
        fence: Fence::UniqueKey,
        capabilities: &[
            Capability::Transactions,
            Capability::TransactionalDdl,
            Capability::Savepoints,
            Capability::Pipelining,
            Capability::CopyFromStdin,
            Capability::Arrays,
            Capability::Cancel,
            Capability::Liveness,
            Capability::StatementLimit,
        ],
    };
}

impl Adapter for Postgres {
    fn info(&self) -> Info {
        Info::new(&Self::IDENTITY)
            .with_password_variable("PGPASSWORD")
            .with_password_file("PGPASSFILE", ".pgpass")
    }

    fn check_url(&self, url: &Secret) -> Result<(), Error> {
        url::parse(url.reveal()).map(drop)
    }

    // A session that only reads leaves no trace on a server, so `options.access` needs nothing: a pooler would refuse
    // or pass on whatever made the session read-only.
    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error> {
        let mut settings = url::parse(options.url.reveal())?;
        settings.complete(options);
        let application = settings.application.take().unwrap_or_else(|| options.application.clone());
        settings.config.application_name(&application);
        let (session, cancel) = session::open(settings)?;
        let connection = connection::PostgresConnection::new(session, application, options.lock_limit);
        Ok(Opened::new(Box::new(connection), Arc::new(cancel)))
    }

    fn quirks(&self) -> Quirks {
        quirks::quirks()
    }
}
