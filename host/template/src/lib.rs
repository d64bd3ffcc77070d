//! The @NAME@ adapter of Whimbrel.
//!
//! Over a toy engine in memory for now. Decides nothing: what runs, and in which order, is the host's affair.

mod connection;
mod dialect;
mod engine;
mod error;

use std::sync::Arc;

use whimbrel_adapter_api::{
    Adapter, Canceller, ConnectOptions, Error, ErrorKind, Fence, Identity, Info, Opened, Plugin, Quirks,
    Secret, Sharing,
};

use crate::connection::EngineConnection;
use crate::engine::Database;

whimbrel_adapter_api::export_adapter!(@TYPE@);

/// The adapter.
#[derive(Clone, Copy, Debug, Default)]
pub struct @TYPE@;

impl Plugin for @TYPE@ {
    const IDENTITY: Identity = Identity {
        name: "@NAME@",
        version: env!("CARGO_PKG_VERSION"),
        // Other names that a folder of migrations may have.
        aliases: &[],
        schemes: &["@NAME@"],
        // Decide what keeps two runs apart: a unique key, an exclusive `CREATE`, or nothing.
        fence: Fence::UniqueKey,
        // Decide what your engine can do. With `Transactions` and `TransactionalDdl` a migration is
        // all or nothing; the toy has neither, so it is recorded statement by statement.
        capabilities: &[],
    };
}

impl Adapter for @TYPE@ {
    fn info(&self) -> Info {
        Info::new(&Self::IDENTITY)
    }

    fn check_url(&self, url: &Secret) -> Result<(), Error> {
        place(url).map(drop)
    }

    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error> {
        // Connect here, once: the host does the waiting. With `Access::ReadOnly` leave no trace, not
        // even an empty file.
        let Place::Here(name) = place(&options.url)? else {
            return Err(Error::new(ErrorKind::Unreachable, "the toy has no server to reach"));
        };
        let connection = EngineConnection::over(Database::named(name));
        Ok(Opened::new(Box::new(connection), Arc::new(NoCanceller)))
    }

    // The facts that the conformance suite cannot find out. Look through all of `Quirks`: each that
    // is not true of your engine is a check that fails.
    fn quirks(&self) -> Quirks {
        let mut quirks = Quirks::default();
        quirks.create_schema = None;
        quirks.drop_schema = None;
        quirks.sharing = Sharing::Private;
        quirks
    }
}

/// Where a database is.
enum Place<'a> {
    /// In this process, under this name.
    Here(&'a str),
    /// On a server.
    Server,
}

const SCHEME: &str = "@NAME@:";
const FORM: &str = "write `@NAME@:birds`";

/// Reads a url. Replace it by what your engine needs, and refuse what you do not know. The whole url
/// never stands in a message: it may hold a password.
fn place(url: &Secret) -> Result<Place<'_>, Error> {
    let invalid = |what: &str| Err(Error::new(ErrorKind::InvalidUrl, what).with_hint(FORM));
    match url.reveal().strip_prefix(SCHEME) {
        None => invalid("the url has another scheme"),
        Some("") => invalid("the url names no database"),
        Some(rest) if rest.starts_with("//") => Ok(Place::Server),
        Some(name) => Ok(Place::Here(name)),
    }
}

/// Declared by the lack of `Capability::Cancel`. Replace it by the engine's own way to stop a
/// statement, if there is one.
struct NoCanceller;

impl Canceller for NoCanceller {
    fn cancel(&self) -> Result<(), Error> {
        Err(Error::unsupported("stopping a statement"))
    }
}
