//! A database in a folder of its own, and what is told of it.

use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use whimbrel::source::Migrations;
use whimbrel_adapter_api::{Access, Adapter, ConnectOptions, Connection, Opened, Rows, Secret, Value};

/// A folder with room for one database; gone when dropped.
pub(crate) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Scratch { folder: tempfile::tempdir().expect("a temporary directory") }
    }

    /// Returns the database's file, which need not be there yet.
    fn file(&self) -> PathBuf {
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

    /// Opens a session on a database with a table.
    pub(crate) fn with_birds(&self, adapter: &dyn Adapter) -> Opened {
        let mut opened = self.open(adapter);
        let script = "CREATE TABLE birds (name TEXT PRIMARY KEY)";
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

/// Returns the first column of a query, which is text.
pub(crate) fn column(connection: &mut dyn Connection, sql: &str) -> Vec<String> {
    let mut rows = Rows::default();
    assert_eq!(connection.query(sql, &[], &mut rows), Ok(()));
    let text = |row: &Vec<Value<'_>>| row[0].as_text().expect("a column of text").to_owned();
    rows.sets.iter().flat_map(|set| &set.rows).map(text).collect()
}

pub(crate) fn add(connection: &mut dyn Connection, bird: &str) {
    let added = connection.query("INSERT INTO birds VALUES (?1)", &[bird.into()], &mut Rows::default());
    assert_eq!(added, Ok(()));
}

pub(crate) fn birds(connection: &mut dyn Connection) -> Vec<String> {
    column(connection, "SELECT name FROM birds ORDER BY name")
}
