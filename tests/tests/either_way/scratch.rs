//! A database in a folder of its own, and what is told of it.

use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use whimbrel::source::Migrations;
use whimbrel_adapter_api::{
    Access, Adapter, ConnectOptions, Connection, Error, Opened, RowSet, Rows, Secret, Value,
};

/// A folder with room for one database; gone when dropped.
pub(crate) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Scratch { folder: tempfile::tempdir().expect("a temporary directory") }
    }

    /// Returns the database's file, which need not be there yet.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("birds.db")
    }

    pub(crate) fn options(&self, adapter: &dyn Adapter, access: Access) -> ConnectOptions {
        let url = format!("{}:{}", adapter.info().name, self.file().display());
        let mut options = ConnectOptions::new(Secret::new(url));
        options.access = access;
        options
    }

    pub(crate) fn open(&self, adapter: &dyn Adapter) -> Opened {
        adapter.connect(&self.options(adapter, Access::ReadWrite)).expect("the file can be made")
    }

    /// Opens a session on a database with some tables and a view.
    pub(crate) fn with_birds(&self, adapter: &dyn Adapter) -> Opened {
        let mut opened = self.open(adapter);
        let script = "CREATE TABLE birds (name TEXT PRIMARY KEY); CREATE TABLE \"Odd \"\"Name\" (id INTEGER); \
                      CREATE VIEW seen AS SELECT 1";
        opened.connection.execute_raw(script).expect("the database is empty");
        opened
    }

    /// Returns the migrations of these files.
    pub(crate) fn migrations(&self, files: &[(&str, &str)]) -> Migrations {
        let folder = self.folder.path().join("migrations");
        fs::create_dir_all(&folder).expect("the folder is ours");
        for (name, text) in files {
            fs::write(folder.join(name), text).expect("the folder is ours");
        }
        Migrations::read(&folder).expect("the set is in order")
    }

    /// Returns all that there is to know of something, without the one thing that no two checks share: their folder.
    pub(crate) fn told(&self, what: &dyn Debug) -> String {
        format!("{what:?}").replace(&self.folder.path().display().to_string(), "[FOLDER]")
    }
}

/// Runs one statement and returns its rows.
pub(crate) fn query(
    connection: &mut dyn Connection,
    sql: &str,
    parameters: &[Value<'_>],
) -> Result<RowSet, Error> {
    let mut rows = Rows::default();
    connection.query(sql, parameters, &mut rows)?;
    assert!(rows.sets.len() <= 1, "one statement has one set");
    Ok(rows.sets.pop().unwrap_or_default())
}

/// Returns the first column of a query, which is text.
pub(crate) fn column(connection: &mut dyn Connection, sql: &str) -> Vec<String> {
    let set = query(connection, sql, &[]).expect("the query is right");
    let text = |row: &Vec<Value<'_>>| row[0].as_text().expect("a column of text").to_owned();
    set.rows.iter().map(text).collect()
}

pub(crate) fn add(connection: &mut dyn Connection, bird: &str) {
    query(connection, "INSERT INTO birds VALUES (?1)", &[bird.into()]).expect("the table is there");
}

pub(crate) fn birds(connection: &mut dyn Connection) -> Vec<String> {
    column(connection, "SELECT name FROM birds ORDER BY name")
}
