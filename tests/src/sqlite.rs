//! SQLite databases in files.

use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection};
use tempfile::TempDir;

use crate::database::{Database, Engine, Row, output_of, path_text};
use crate::record::Record;
use crate::servers::servers;

/// A SQLite database in a file, which need not exist yet.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    directory: Option<TempDir>,
}

impl Sqlite {
    /// Returns a database in a directory of its own. The file is not there until somebody writes.
    pub fn fresh() -> Self {
        let directory = tempfile::Builder::new().prefix("whimbrel-sqlite-").tempdir();
        let directory = directory.unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        Self { path: directory.path().join("test.db"), directory: Some(directory) }
    }

    /// Returns the database in a file that somebody else takes care of.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), directory: None }
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a session that the test holds itself.
    pub fn client(&self) -> Connection {
        Connection::open(&self.path)
            .unwrap_or_else(|error| panic!("cannot open {}: {error}", self.path.display()))
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        if self.directory.is_some() && !std::thread::panicking() {
            Record::of_this_test().keep_file("database", &self.path);
        }
    }
}

impl Database for Sqlite {
    fn engine(&self) -> Engine {
        Engine::Sqlite
    }

    fn url(&self) -> String {
        format!("sqlite:{}", path_text(&self.path))
    }

    fn try_query(&self, sql: &str) -> Result<Vec<Row>, String> {
        all_rows(&self.client(), sql).map_err(|error| error.to_string())
    }

    fn dump(&self) -> String {
        // Sorted: the order of creation is not part of a schema.
        let schema = "SELECT sql || ';' FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name";
        output_of(
            Command::new(&servers().programs.sqlite3)
                .args(["-readonly", "-batch"])
                .arg(&self.path)
                .arg(schema),
        )
    }
}

fn all_rows(connection: &Connection, sql: &str) -> Result<Vec<Row>, rusqlite::Error> {
    let mut batch = Batch::new(connection, sql);
    let mut rows = Vec::new();
    while let Some(mut statement) = batch.next()? {
        let columns = statement.column_count();
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let cells = (0..columns).map(|column| row.get_ref(column).map(text));
            rows.push(cells.collect::<Result<Row, _>>()?);
        }
    }
    Ok(rows)
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}
