//! PostgreSQL, MariaDB, MySQL, PgBouncer and ClickHouse's engine for one test run.
//!
//! Each server listens on a free port of 127.0.0.1, keeps its data in a private directory below the system's
//! temporary one, asks for a password and offers TLS. What a test must know to connect stands in a JSON file.
//!
//! The servers refuse to run as root, so root starts them as the user `postgres`. Their data is thrown away at
//! the end, so tests need not wait until it is on the disk.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use account::Account;
use certificates::Certificates;
use clickhouse::ClickHouse;
use mysql::{MySql, Product};
use pgbouncer::{PgBouncer, Pooling};
use postgres::{Postgres, Version};

use crate::engines::{Engines, duckdb_target};
use crate::unpacked;

mod account;
mod certificates;
mod clickhouse;
mod mysql;
mod pgbouncer;
mod postgres;
mod process;

/// The administrator of every server.
const OWNER: &str = "owner";

/// The user whom the servers refuse without TLS.
const TLS_ONLY: &str = "tls_only";

/// The password of both users. Long enough that a test may search any output for it.
pub(crate) const PASSWORD: &str = "kestrel-4711-quill";

/// What tests give to users of their own: every character that a url, a shell, SQL, json or a password file escapes.
pub(crate) const AWKWARD_PASSWORD: &str = r#"plover:5@/?#%&='"\kite 63"#;

const HOST: &str = "127.0.0.1";

/// The servers of one run; they stop when this is dropped.
///
/// The fields are dropped in this order: a pooler before its server, the directory when nobody uses it.
#[derive(Debug)]
pub(crate) struct Servers {
    poolers: [PgBouncer; 3],
    postgres: Postgres,
    postgres_17: Postgres,
    mariadb: MySql,
    mysql: MySql,
    clickhouse: ClickHouse,
    directory: TempDir,
}

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// As anybody's server does: what is timed is what users wait for.
    Kept,
    /// It does not, which makes tests several times as fast.
    Waived,
}

/// What all servers of a run share.
#[derive(Debug)]
struct Ground {
    durability: Durability,
    account: Account,
    directory: PathBuf,
    certificates: Certificates,
}

impl Servers {
    /// Starts all servers and waits until they answer.
    pub(crate) fn start(engines: &Engines, durability: Durability) -> Result<Self> {
        let Engines { mysql: unpacked, chdb, postgres_17, .. } = engines;
        let account = Account::for_servers()?;
        let directory = tempfile::Builder::new().prefix("whimbrel-servers-").tempdir()?;
        account.own(directory.path())?;
        let certificates = Certificates::make(&account, directory.path())?;
        let ground = Ground { durability, account, directory: directory.path().to_owned(), certificates };

        // All prepare their data directories at the same time, which is most of the wait; and MySQL, which is ready for it
        // first, starts meanwhile.
        let clickhouse = clickhouse::launch(&ground, chdb)?;
        let mysql = mysql::Prepared::start(&ground, Product::MySql(unpacked))?;
        let mariadb = mysql::Prepared::start(&ground, Product::MariaDb)?;
        let postgres = postgres::Prepared::start(&ground, Version::Debian)?;
        let postgres_17 = postgres::Prepared::start(&ground, Version::Unpacked(postgres_17, "postgres-17"))?;
        let mysql = mysql.launch(&ground)?;
        let postgres = postgres.launch(&ground)?;
        let postgres_17 = postgres_17.launch(&ground)?;
        let mariadb = mariadb.launch(&ground)?.until_it_answers()?;
        let mysql = mysql.until_it_answers()?;
        let clickhouse = clickhouse.until_it_answers()?;
        let poolers = [
            PgBouncer::start(&ground, &postgres, Pooling::Transaction)?,
            PgBouncer::start(&ground, &postgres, Pooling::SingleTransaction)?,
            PgBouncer::start(&ground, &postgres, Pooling::Session)?,
        ];
        let servers = Self { poolers, postgres, postgres_17, mariadb, mysql, clickhouse, directory };
        servers.write_facts(&ground, engines)?;
        Ok(servers)
    }

    /// Returns the file that tells the tests where the servers are.
    pub(crate) fn facts_file(&self) -> PathBuf {
        self.directory.path().join("servers.json")
    }

    /// Returns the folder in which the tests keep what is to be searched for passwords.
    pub(crate) fn record(&self) -> PathBuf {
        self.directory.path().join("record")
    }

    /// Returns the servers' urls, for a person who wants to look around.
    pub(crate) fn urls(&self) -> Vec<String> {
        let [transaction, single, session] = &self.poolers;
        let url = |scheme: &str, port: u16, database: &str| {
            format!("{scheme}://{OWNER}:{PASSWORD}@{HOST}:{port}/{database}")
        };
        vec![
            format!("PostgreSQL             {}", url("postgres", self.postgres.port, "postgres")),
            format!("PostgreSQL 17          {}", url("postgres", self.postgres_17.port, "postgres")),
            format!("PgBouncer, transaction {}", url("postgres", transaction.port, "postgres")),
            format!("PgBouncer, pool of one {}", url("postgres", single.port, "postgres")),
            format!("PgBouncer, session     {}", url("postgres", session.port, "postgres")),
            format!("MariaDB                {}", url("mysql", self.mariadb.port, "mysql")),
            format!("MySQL                  {}", url("mysql", self.mysql.port, "mysql")),
            format!("ClickHouse             {}", url("clickhouse", self.clickhouse.port, "default")),
            format!(
                "authority of the certificates: {}",
                Certificates::authority(self.directory.path()).display()
            ),
        ]
    }

    fn write_facts(&self, ground: &Ground, engines: &Engines) -> Result<()> {
        fs::create_dir(self.record()).context("cannot create the folder of the record")?;
        let [transaction, single, session] = &self.poolers;
        let server = |port: u16, socket: Option<&Path>| {
            json!({
                "host": HOST,
                "port": port,
                "user": OWNER,
                "password": PASSWORD,
                "tls_only_user": TLS_ONLY,
                "socket": socket,
            })
        };
        let facts = json!({
            "postgres": server(self.postgres.port, Some(&self.postgres.socket_directory)),
            "mariadb": server(self.mariadb.port, Some(&self.mariadb.socket)),
            "mysql": server(self.mysql.port, Some(&self.mysql.socket)),
            "postgres_17": server(self.postgres_17.port, Some(&self.postgres_17.socket_directory)),
            "duckdb": { "engine": engines.duckdb, "target": duckdb_target()? },
            "clickhouse": server(self.clickhouse.port, None),
            "clickhouse_tls": server(self.clickhouse.tls_port, None),
            "pooler_transaction": server(transaction.port, None),
            "pooler_single": server(single.port, None),
            "pooler_session": server(session.port, None),
            "authority": Certificates::authority(&ground.directory),
            "other_authority": Certificates::other_authority(&ground.directory),
            "programs": programs(&engines.mysql)?,
            "awkward_password": AWKWARD_PASSWORD,
            "record": self.record(),
        });
        let path = self.facts_file();
        let text = serde_json::to_string_pretty(&facts)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Returns the full paths of the clients that the tests call.
fn programs(unpacked: &unpacked::MySql) -> Result<Value> {
    use crate::packages::path_of;

    Ok(json!({
        "psql": path_of("psql")?,
        "pg_dump": path_of("pg_dump")?,
        "initdb": path_of("initdb")?,
        "postgres": path_of("postgres")?,
        "mariadb": path_of("mariadb")?,
        "mariadb_dump": path_of("mariadb-dump")?,
        "mysql": unpacked.program("mysql"),
        "mysqldump": unpacked.program("mysqldump"),
        "sqlite3": path_of("sqlite3")?,
        "strace": path_of("strace")?,
    }))
}
