//! What tests ask of a database, whichever engine it is on.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::mysql::Product;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::wire::Protocol;

/// A row of a result as text, `None` for NULL.
pub type Row = Vec<Option<String>>;

/// The engines that the suites run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// SQLite, in a file.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MariaDB, which the MySQL adapter serves.
    MariaDb,
    /// MySQL.
    MySql,
}

impl Engine {
    /// Returns the name of the adapter, which is also a name for a folder of migrations.
    pub fn adapter(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::MariaDb | Self::MySql => "mysql",
        }
    }

    /// Returns a fresh database.
    pub fn fresh_database(self) -> Box<dyn Database> {
        match self {
            Self::Sqlite => Box::new(Sqlite::fresh()),
            Self::Postgres => Box::new(Postgres::fresh()),
            Self::MariaDb => Box::new(Product::MariaDb.fresh()),
            Self::MySql => Box::new(Product::MySql.fresh()),
        }
    }

    /// Returns a fresh database behind a network address.
    ///
    /// # Panics
    ///
    /// For SQLite, which has no wire.
    pub fn fresh(self) -> Box<dyn Networked> {
        match self {
            Self::Sqlite => panic!("SQLite has no wire"),
            Self::Postgres => Box::new(Postgres::fresh()),
            Self::MariaDb => Box::new(Product::MariaDb.fresh()),
            Self::MySql => Box::new(Product::MySql.fresh()),
        }
    }
}

/// A database of one test. It is gone when the value is dropped.
///
/// Each call opens a session of its own, so that what a test looks at is never coloured by what it did before.
pub trait Database {
    /// Returns the engine.
    fn engine(&self) -> Engine;

    /// Returns the url with the owner's password.
    fn url(&self) -> String;

    /// Runs statements and returns all rows of all of them, or the server's message.
    fn try_query(&self, sql: &str) -> Result<Vec<Row>, String>;

    /// Returns the schema as the engine's own tool tells it, without what differs from dump to dump.
    fn dump(&self) -> String;

    /// Runs statements and returns all rows of all of them.
    fn query_text(&self, sql: &str) -> Vec<Row> {
        self.try_query(sql).unwrap_or_else(|error| panic!("{error}\nin: {sql}"))
    }

    /// Runs statements whose rows do not matter.
    fn execute(&self, sql: &str) {
        self.query_text(sql);
    }

    /// Returns each row as one line, the cells separated by `|`, NULL as `NULL`: made to be compared as a whole.
    fn lines(&self, sql: &str) -> Vec<String> {
        let cell = |cell: Option<String>| cell.unwrap_or_else(|| "NULL".to_owned());
        let line = |row: Row| row.into_iter().map(cell).collect::<Vec<_>>().join("|");
        self.query_text(sql).into_iter().map(line).collect()
    }
}

/// A database behind a network address, which a [`Proxy`](crate::Proxy) can stand before.
pub trait Networked: Database {
    /// Returns where its server listens.
    fn address(&self) -> SocketAddr;

    /// Returns what its clients speak.
    fn protocol(&self) -> Protocol;

    /// Returns the url with another address in it.
    fn url_at(&self, address: SocketAddr) -> String;

    /// Returns the same without TLS, which the adapters would try first; the one of MySQL opens a second connection when
    /// the server does without.
    fn plain_url_at(&self, address: SocketAddr) -> String {
        let parameter = match self.protocol() {
            Protocol::MySql => "ssl-mode=DISABLED",
            _ => "sslmode=disable",
        };
        format!("{}?{parameter}", self.url_at(address))
    }
}

/// Returns a text in the form that a part of a url must have.
pub fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Returns a name that no other test on the same server has.
pub(crate) fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("whimbrel_test_{}_{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs a client program and returns what it printed.
pub(crate) fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("{command:?} printed no UTF-8: {error}"))
}

/// Returns a path as text, for a url.
pub(crate) fn path_text(path: &Path) -> &str {
    path.to_str().unwrap_or_else(|| panic!("{} is not UTF-8", path.display()))
}
