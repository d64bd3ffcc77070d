//! Fresh databases on the PostgreSQL of this run, reached directly or through PgBouncer.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Mutex;

use postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::database::{Database, Engine, Networked, Row, output_of, path_text, unique_name};
use crate::record::{self, Record};
use crate::servers::{Server, servers};
use crate::wire::Protocol;

/// A PostgreSQL database of its own.
#[derive(Debug)]
pub struct Postgres {
    name: String,
    roles: Mutex<Vec<String>>,
}

/// The poolers before the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// A server connection for one transaction.
    Transaction,
    /// The same, with a single server connection for all clients of a database.
    Single,
    /// A server connection for as long as the client stays.
    Session,
}

impl Postgres {
    /// Creates an empty database.
    pub fn fresh() -> Self {
        let name = unique_name();
        maintain(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        Self { name, roles: Mutex::default() }
    }

    /// Returns the name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the url that asks for TLS with the server's certificate and name verified.
    pub fn url_tls(&self) -> String {
        let authority = path_text(&servers().authority);
        format!("{}?sslmode=verify-full&sslrootcert={authority}", self.url())
    }

    /// Returns the url over the unix socket.
    pub fn url_socket(&self) -> String {
        let Server { port, user, password, socket, .. } = &servers().postgres;
        let directory = socket.as_deref().expect("xtask gives PostgreSQL a socket");
        let directory = path_text(directory).replace('/', "%2F");
        format!("postgres://{user}:{password}@{directory}:{port}/{}", self.name)
    }

    /// Returns the url for another role.
    pub fn url_as(&self, role: &str, password: &str) -> String {
        url(role, password, servers().postgres.address(), &self.name)
    }

    /// Returns the url through PgBouncer.
    pub fn pooler_url(&self, pool: Pool) -> String {
        self.url_at(pool.address())
    }

    /// Creates a role that may log in and nothing else, under a name that no other test has, and returns the
    /// name. It has the owner's password and is dropped with the database.
    pub fn role(&self, suffix: &str) -> String {
        self.role_with_password(suffix, &servers().postgres.password)
    }

    /// Creates such a role with a password of its own.
    pub fn role_with_password(&self, suffix: &str, password: &str) -> String {
        let role = format!("{}_{suffix}", self.name);
        let password = password.replace('\'', "''");
        maintain(&format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'"));
        self.roles.lock().expect("no test panics while it adds a role").push(role.clone());
        role
    }

    /// Opens a session that the test holds itself.
    pub fn client(&self) -> Client {
        connect(&self.name)
    }

    /// Keeps the rows of the histories for the search after the tests.
    fn keep_histories(&self) {
        let Ok(mut client) = configuration(&self.name).connect(NoTls) else { return };
        let find = "SET statement_timeout = '5s'; \
             SELECT format('SELECT history::text FROM %I.%I AS history', table_schema, table_name) \
             FROM information_schema.columns WHERE column_name = 'down_script'";
        let histories = rows(&client.simple_query(find).unwrap_or_default());
        for query in histories.into_iter().flatten().flatten() {
            let rows = rows(&client.simple_query(&query).unwrap_or_default());
            let lines: Vec<String> = rows.into_iter().flatten().flatten().collect();
            Record::of_this_test().keep("history", lines.join("\n").as_bytes());
        }
    }
}

impl Database for Postgres {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    fn url(&self) -> String {
        self.url_at(self.address())
    }

    fn try_query(&self, sql: &str) -> Result<Vec<Row>, String> {
        let messages = self.client().simple_query(sql).map_err(|error| told(&error))?;
        Ok(rows(&messages))
    }

    fn dump(&self) -> String {
        let Server { host, port, user, password, .. } = &servers().postgres;
        let mut dump = Command::new(&servers().programs.pg_dump);
        dump.env("PGPASSWORD", password).args(["--schema-only", "-h", &host.to_string()]);
        dump.args(["-p", &port.to_string(), "-U", user, "-d", &self.name]);
        let noise = |line: &&str| {
            ["\\restrict", "\\unrestrict", "-- Dumped "].iter().any(|start| line.starts_with(start))
        };
        let kept: Vec<String> = output_of(&mut dump)
            .lines()
            .filter(|line| !noise(line))
            .map(|line| line.replace(&self.name, "[DATABASE]"))
            .collect();
        kept.join("\n")
    }
}

impl Networked for Postgres {
    fn address(&self) -> SocketAddr {
        servers().postgres.address()
    }

    fn protocol(&self) -> Protocol {
        Protocol::Postgres
    }

    fn url_at(&self, address: SocketAddr) -> String {
        let Server { user, password, .. } = &servers().postgres;
        url(user, password, address, &self.name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A second panic would hide the first, and what is left goes with the servers anyway.
        if record::folder().is_some() && !std::thread::panicking() {
            self.keep_histories();
        }
        let mut client = match configuration("postgres").connect(NoTls) {
            Ok(client) => client,
            Err(_) => return,
        };
        // The poolers still hold sessions.
        let _ = client.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        for role in self.roles.get_mut().map(std::mem::take).unwrap_or_default() {
            let _ = client.batch_execute(&format!("DROP ROLE IF EXISTS {role}"));
        }
    }
}

impl Pool {
    /// Returns where the pooler listens.
    pub fn address(self) -> SocketAddr {
        let servers = servers();
        match self {
            Self::Transaction => servers.pooler_transaction.address(),
            Self::Single => servers.pooler_single.address(),
            Self::Session => servers.pooler_session.address(),
        }
    }
}

fn rows(messages: &[SimpleQueryMessage]) -> Vec<Row> {
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

/// Runs a statement that concerns the server and not one of the tests' databases.
fn maintain(sql: &str) {
    let outcome = connect("postgres").batch_execute(sql);
    outcome.unwrap_or_else(|error| panic!("{}\nin: {sql}", told(&error)));
}

fn connect(database: &str) -> Client {
    let client = configuration(database).connect(NoTls);
    client.unwrap_or_else(|error| panic!("cannot connect to the PostgreSQL of this run: {}", told(&error)))
}

fn configuration(database: &str) -> Config {
    let Server { host, port, user, password, .. } = &servers().postgres;
    let mut configuration = Config::new();
    configuration.host(&host.to_string()).port(*port).user(user).password(password).dbname(database);
    configuration
}

/// Returns the server's own words, which the client's error hides behind `db error`.
fn told(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{}: {}", error.code().code(), error.message()),
        None => error.to_string(),
    }
}

fn url(user: &str, password: &str, address: SocketAddr, database: &str) -> String {
    format!("postgres://{user}:{password}@{address}/{database}")
}
