//! Where the servers of this run are.
//!
//! Reads the file that `cargo xtask test` names in `WHIMBREL_TEST_SERVERS`, once per test process.
//!
//! Never looks for a server elsewhere, and never lets a test pass because there is none.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs};

use serde::Deserialize;

const VARIABLE: &str = "WHIMBREL_TEST_SERVERS";

/// The servers of this run and what belongs to them.
#[derive(Debug, Deserialize)]
pub struct Servers {
    /// PostgreSQL itself.
    pub postgres: Server,
    /// PostgreSQL 17.
    pub postgres_17: Server,
    /// DuckDB.
    pub duckdb: DuckDbBuild,
    /// MariaDB.
    pub mariadb: Server,
    /// MySQL.
    pub mysql: Server,
    /// ClickHouse.
    pub clickhouse: Server,
    /// The same with TLS.
    pub clickhouse_tls: Server,
    /// PgBouncer in transaction mode.
    pub pooler_transaction: Server,
    /// PgBouncer in transaction mode, all clients of a database on one server connection.
    pub pooler_single: Server,
    /// PgBouncer in session mode.
    pub pooler_session: Server,
    /// The certificate of the authority that signed every server's certificate.
    pub authority: PathBuf,
    /// The certificate of an authority that signed none of them.
    pub other_authority: PathBuf,
    /// The engines' own clients.
    pub programs: Programs,
    /// A password with every character that a url, a shell, SQL, json or a password file escapes.
    pub awkward_password: String,
    /// The folder for everything that is to be searched for passwords after the tests.
    pub record: PathBuf,
}

/// The adapter of DuckDB, which is built apart.
#[derive(Debug, Deserialize)]
pub struct DuckDbBuild {
    /// The folder of DuckDB's library.
    pub engine: PathBuf,
    /// The target directory of the adapter.
    pub target: PathBuf,
}

/// How to reach one server.
#[derive(Debug, Deserialize)]
pub struct Server {
    /// The address it listens on.
    pub host: IpAddr,
    /// The port it listens on.
    pub port: u16,
    /// The administrator.
    pub user: String,
    /// The password of the administrator and of the user below.
    pub password: String,
    /// The administrator whom the server refuses without TLS.
    pub tls_only_user: String,
    /// The unix socket: the directory for PostgreSQL, the socket itself for MariaDB and MySQL, none for a pooler.
    pub socket: Option<PathBuf>,
}

/// Full paths of the engines' own clients.
#[derive(Debug, Deserialize)]
pub struct Programs {
    /// PostgreSQL's client.
    pub psql: PathBuf,
    /// PostgreSQL's dump.
    pub pg_dump: PathBuf,
    /// What makes a data directory for PostgreSQL.
    pub initdb: PathBuf,
    /// PostgreSQL's server.
    pub postgres: PathBuf,
    /// MariaDB's client.
    pub mariadb: PathBuf,
    /// MariaDB's dump.
    pub mariadb_dump: PathBuf,
    /// MySQL's client.
    pub mysql: PathBuf,
    /// MySQL's dump.
    pub mysqldump: PathBuf,
    /// SQLite's client.
    pub sqlite3: PathBuf,
    /// What counts calls of the kernel.
    pub strace: PathBuf,
}

/// Returns the servers of this run.
///
/// # Panics
///
/// When no servers were started for this test process.
pub fn servers() -> &'static Servers {
    static SERVERS: LazyLock<Servers> = LazyLock::new(read);
    &SERVERS
}

/// Returns whether servers were started for this test process.
pub(crate) fn are_there() -> bool {
    env::var_os(VARIABLE).is_some()
}

impl Server {
    /// Returns the address and the port.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

fn read() -> Servers {
    let Some(path) = env::var_os(VARIABLE) else {
        panic!(
            "this test needs the servers that `cargo xtask test` starts ({VARIABLE} is not set): \
             run it with `cargo xtask test NAME`, or run `cargo xtask servers` and set the variable as it says"
        );
    };
    let text = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{VARIABLE} names {path:?}, which cannot be read ({error}): have the servers been stopped?")
    });
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{path:?} is no description of the servers: {error}"))
}
