//! Fresh databases on the ClickHouse of this run.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::database::{path_text, unique_name};
use crate::servers::{Server, servers};

/// A database of its own. It is gone when the value is dropped.
#[derive(Debug)]
pub struct ClickHouse {
    name: String,
}

impl ClickHouse {
    /// Creates an empty database.
    pub fn fresh() -> Self {
        let name = unique_name();
        ask("default", &format!("CREATE DATABASE {name}")).unwrap_or_else(|error| panic!("{error}"));
        Self { name }
    }

    /// Returns the name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the url with the owner's password.
    pub fn url(&self) -> String {
        url(&servers().clickhouse, &self.name)
    }

    /// Returns the url that asks for TLS with the server's certificate and name verified.
    pub fn url_tls(&self) -> String {
        let authority = path_text(&servers().authority);
        format!("{}?secure=true&ca={authority}", url(&servers().clickhouse_tls, &self.name))
    }

    /// Runs one statement and returns each row as one line, the cells separated by `|`.
    pub fn lines(&self, sql: &str) -> Vec<String> {
        let rows = ask(&self.name, sql).unwrap_or_else(|error| panic!("{error}\nin: {sql}"));
        rows.lines().map(|line| line.replace('\t', "|").replace("\\N", "NULL")).collect()
    }

    /// Runs one statement whose rows do not matter.
    pub fn execute(&self, sql: &str) {
        self.lines(sql);
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        // A second panic would hide the first, and what is left goes with the server anyway.
        let _ = ask("default", &format!("DROP DATABASE IF EXISTS {}", self.name));
    }
}

fn url(server: &Server, database: &str) -> String {
    let Server { host, port, user, password, .. } = server;
    format!("clickhouse://{user}:{password}@{host}:{port}/{database}")
}

/// Sends one statement in a request of its own, and returns the rows or the server's words.
fn ask(database: &str, sql: &str) -> Result<String, String> {
    let Server { user, password, .. } = &servers().clickhouse;
    let address = servers().clickhouse.address();
    let mut request =
        format!("POST /?database={database} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    let headers = [("User", user.as_str()), ("Key", password.as_str())];
    for (name, value) in headers {
        write!(request, "X-ClickHouse-{name}: {value}\r\n").expect("a text grows");
    }
    write!(request, "Content-Length: {}\r\n\r\n{sql}", sql.len()).expect("a text grows");
    let mut answer = String::new();
    let exchanged = TcpStream::connect(address).and_then(|mut stream| {
        stream.write_all(request.as_bytes())?;
        stream.read_to_string(&mut answer)
    });
    exchanged.map_err(|error| format!("cannot ask the ClickHouse of this run: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split_whitespace().nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(body.trim().to_owned()),
    }
}
