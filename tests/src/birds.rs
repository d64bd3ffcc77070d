//! The project that the SQLite suites begin with, and what they look at afterwards.

use crate::{Database, Project, Sqlite};

/// Returns a project with three migrations of one statement each for a database in `birds.db`.
pub fn project() -> Project {
    empty()
        .file(
            "migrations/sqlite/001_species.up.sql",
            "CREATE TABLE species (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n",
        )
        .file("migrations/sqlite/001_species.down.sql", "DROP TABLE species;\n")
        .file(
            "migrations/sqlite/002_sites.sql",
            "-- Migration: where we watch\n-- Rollback: DROP TABLE sites;\n\nCREATE TABLE sites (name TEXT);\n",
        )
        .file("migrations/sqlite/003_counts/up.sql", "CREATE TABLE counts (seen INTEGER);\n")
        .file("migrations/sqlite/003_counts/down.sql", "DROP TABLE counts;\n")
}

/// Returns a project without migrations for a database in `birds.db`.
pub fn empty() -> Project {
    Project::new().plugins_toml("default = \"sqlite\"\n\n[databases.sqlite]\nurl = \"sqlite:birds.db\"\n")
}

/// Returns the database of the project.
pub fn database(project: &Project) -> Sqlite {
    Sqlite::at(project.path("birds.db"))
}

/// Returns what the history says, one line for each row, without times.
pub fn history(project: &Project) -> Vec<String> {
    database(project).lines(
        "SELECT position, migration, attempt, direction, state, statements_done || ' of ' || statements_total \
         FROM whimbrel_migrations ORDER BY position",
    )
}

/// Returns the names of the tables that migrations have made.
pub fn tables(project: &Project) -> Vec<String> {
    database(project).lines(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'whimbrel_migrations' ORDER BY name",
    )
}
