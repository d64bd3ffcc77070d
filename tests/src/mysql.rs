//! Fresh databases on the MariaDB and on the MySQL of this run.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Mutex;

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder, Value};
use regex::Regex;

use crate::database::{Database, Engine, Networked, Row, output_of, path_text, unique_name};
use crate::record::{self, Record};
use crate::servers::{Programs, Server, servers};
use crate::wire::Protocol;

/// The servers that speak MySQL's protocol. A test that takes one runs on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// MariaDB.
    MariaDb,
    /// MySQL.
    MySql,
}

/// A database of its own on one of them.
#[derive(Debug)]
pub struct MySqlDatabase {
    product: Product,
    name: String,
    users: Mutex<Vec<String>>,
}

impl Product {
    /// Creates an empty database.
    pub fn fresh(self) -> MySqlDatabase {
        let name = unique_name();
        self.maintain(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
        MySqlDatabase { product: self, name, users: Mutex::default() }
    }

    /// Returns how to reach the server.
    pub fn server(self) -> &'static Server {
        match self {
            Self::MariaDb => &servers().mariadb,
            Self::MySql => &servers().mysql,
        }
    }

    /// Returns what each of the servers calls something.
    pub fn either<T>(self, mariadb: T, mysql: T) -> T {
        match self {
            Self::MariaDb => mariadb,
            Self::MySql => mysql,
        }
    }

    /// Runs a statement that concerns the server and not one of the tests' databases.
    fn maintain(self, sql: &str) {
        let outcome = self.connect(None).and_then(|mut connection| connection.query_drop(sql));
        outcome.unwrap_or_else(|error| panic!("{error}\nin: {sql}"));
    }

    fn connect(self, database: Option<&str>) -> Result<Conn, mysql::Error> {
        let Server { host, port, user, password, .. } = self.server();
        let options = OptsBuilder::new()
            .ip_or_hostname(Some(host.to_string()))
            .tcp_port(*port)
            .user(Some(user))
            .pass(Some(password))
            .db_name(database)
            // Otherwise the client asks the server for its socket and moves there.
            .prefer_socket(false);
        Conn::new(options)
    }
}

impl MySqlDatabase {
    /// Returns the server that it is on.
    pub fn product(&self) -> Product {
        self.product
    }

    /// Returns the name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the url that asks for TLS with the server's certificate and name verified.
    pub fn url_tls(&self) -> String {
        let authority = path_text(&servers().authority);
        format!("{}?ssl-mode=VERIFY_IDENTITY&ssl-ca={authority}", self.url())
    }

    /// Returns the url for another user.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        url(user, password, self.address(), &self.name)
    }

    /// Creates a user without any right, under a name that no other test has, and returns the name. It has the
    /// owner's password and is dropped with the database.
    pub fn user(&self, suffix: &str) -> String {
        self.user_with_password(suffix, &self.product.server().password)
    }

    /// Creates such a user with a password of its own.
    pub fn user_with_password(&self, suffix: &str, password: &str) -> String {
        let user = format!("{}_{suffix}", self.name);
        let password = password.replace('\\', "\\\\").replace('\'', "''");
        self.product.maintain(&format!("CREATE USER {user}@'%' IDENTIFIED BY '{password}'"));
        self.users.lock().expect("no test panics while it adds a user").push(user.clone());
        user
    }

    /// Opens a session that the test holds itself.
    pub fn client(&self) -> Conn {
        self.product.connect(Some(&self.name)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Keeps the rows of the histories for the search after the tests.
    fn keep_histories(&self, connection: &mut Conn) -> Result<(), mysql::Error> {
        let limit = self.product.either("max_statement_time = 5", "max_execution_time = 5000");
        connection.query_drop(format!("SET lock_wait_timeout = 5, {limit}"))?;
        let find = format!(
            "SELECT table_name FROM information_schema.columns \
             WHERE table_schema = '{}' AND column_name = 'down_script'",
            self.name
        );
        let tables: Vec<String> = connection.query(find)?;
        for table in tables {
            let rows = all_rows(connection, &format!("SELECT * FROM `{}`.`{table}`", self.name))?;
            let lines: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
            Record::of_this_test().keep("history", lines.join("\n").as_bytes());
        }
        Ok(())
    }
}

impl Database for MySqlDatabase {
    fn engine(&self) -> Engine {
        self.product.either(Engine::MariaDb, Engine::MySql)
    }

    fn url(&self) -> String {
        self.url_at(self.address())
    }

    fn try_query(&self, sql: &str) -> Result<Vec<Row>, String> {
        all_rows(&mut self.client(), sql).map_err(|error| error.to_string())
    }

    fn dump(&self) -> String {
        let Server { host, port, user, password, .. } = self.product.server();
        let Programs { mariadb_dump, mysqldump, .. } = &servers().programs;
        let mut dump = Command::new(self.product.either(mariadb_dump, mysqldump));
        dump.env("MYSQL_PWD", password).args(["--no-defaults", "-h", &host.to_string()]);
        dump.args(["-P", &port.to_string(), "-u", user, "--no-data", "--skip-comments"]);
        dump.args(["--routines", "--events", "--triggers", &self.name]);
        let counter = Regex::new(r" AUTO_INCREMENT=\d+").expect("the pattern is valid");
        let kept: Vec<String> = output_of(&mut dump)
            .lines()
            // A guard of newer clients that names no object.
            .filter(|line| !line.contains("enable the sandbox mode"))
            .map(|line| counter.replace_all(line, "").replace(&self.name, "[DATABASE]"))
            .collect();
        kept.join("\n")
    }
}

impl Networked for MySqlDatabase {
    fn address(&self) -> SocketAddr {
        self.product.server().address()
    }

    fn protocol(&self) -> Protocol {
        Protocol::MySql
    }

    fn url_at(&self, address: SocketAddr) -> String {
        let Server { user, password, .. } = self.product.server();
        url(user, password, address, &self.name)
    }
}

impl Drop for MySqlDatabase {
    fn drop(&mut self) {
        // A second panic would hide the first, and what is left goes with the servers anyway.
        let Ok(mut connection) = self.product.connect(None) else { return };
        // A session that a test left behind may hold a lock on a table, and the drop would wait for it.
        let ours = format!("SELECT id FROM information_schema.processlist WHERE db = '{}'", self.name);
        let sessions: Vec<u64> = connection.query(ours).unwrap_or_default();
        for session in sessions {
            let _ = connection.query_drop(format!("KILL {session}"));
        }
        if record::folder().is_some() && !std::thread::panicking() {
            // A view of this name, or a table that cannot be read any more, is no history.
            let _ = self.keep_histories(&mut connection);
        }
        let _ = connection.query_drop(format!("DROP DATABASE IF EXISTS {}", self.name));
        for user in self.users.get_mut().map(std::mem::take).unwrap_or_default() {
            let _ = connection.query_drop(format!("DROP USER IF EXISTS {user}@'%'"));
        }
    }
}

/// Reads the results of all statements: the error of a later one comes only with its own result.
fn all_rows(connection: &mut Conn, sql: &str) -> Result<Vec<Row>, mysql::Error> {
    let mut results = connection.query_iter(sql)?;
    let mut rows = Vec::new();
    while let Some(set) = results.iter() {
        for row in set {
            rows.push(row?.unwrap().into_iter().map(text).collect());
        }
    }
    Ok(rows)
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true)),
    }
}

fn url(user: &str, password: &str, address: SocketAddr, database: &str) -> String {
    format!("mysql://{user}:{password}@{address}/{database}")
}
