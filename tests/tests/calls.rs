//! What the host asks of an adapter, call by call.
//!
//! The adapter is a recording one before SQLite. What is sent to a server in these calls is told by the tests of the
//! engines.

use std::sync::Arc;

use insta::assert_snapshot;
use whimbrel::plan::Target;
use whimbrel::runner::Silent;
use whimbrel::source::Migrations;
use whimbrel::{Migrator, Options};
use whimbrel_adapter_api::{Adapter, ConnectOptions, Connection, Secret};
use whimbrel_conformance::fakes::{Calls, Recording};
use whimbrel_tests::{Database, Project, Sqlite};

/// Migrations, and a session that is written down.
struct Stage {
    project: Project,
    database: Sqlite,
    adapter: Recording,
    calls: Calls,
}

impl Stage {
    fn new(files: &[(&str, &str)]) -> Self {
        let project = files
            .iter()
            .fold(Project::new(), |project, (name, text)| project.file(&format!("set/{name}"), text));
        let (adapter, calls) = Recording::new(Arc::new(whimbrel_adapter_sqlite::Sqlite));
        Stage { project, database: Sqlite::fresh(), adapter, calls }
    }

    fn connect(&self) -> Box<dyn Connection> {
        let options = ConnectOptions::new(Secret::new(self.database.url()));
        self.adapter.connect(&options).expect("the file can be made").connection
    }

    fn migrator(&self) -> Migrator {
        let migrations = Migrations::read(&self.project.path("set")).expect("the set is in order");
        Migrator::new(migrations, Options::new("birds", self.adapter.info()))
    }

    /// Returns the calls since the last time.
    fn calls(&self) -> String {
        self.calls.take().join("\n")
    }
}

const BIRDS: (&str, &str) = ("001_birds.sql", "CREATE TABLE birds (id);\nINSERT INTO birds VALUES (1);\n");
const BIRDS_DOWN: (&str, &str) = ("001_birds.down.sql", "DROP TABLE birds;\n");
const SITES: (&str, &str) =
    ("002_sites.sql", "-- no-transaction\nCREATE TABLE sites (id);\nDELETE FROM sites;\n");

#[test]
fn a_first_run_reads_creates_the_history_and_hands_out_one_batch_for_each_migration() {
    let stage = Stage::new(&[BIRDS, SITES]);
    let mut connection = stage.connect();
    let _ = stage.migrator().up(connection.as_mut(), &Target::All, &mut Silent).expect("the set runs");
    assert_snapshot!(stage.calls(), @r#"
    connect ReadWrite
    dialect without facts
    read 4 texts
      text 1 fails: TableMissing
    dialect with facts
    run
      Atomic batch of 0 statements
        opening     BEGIN IMMEDIATE; CREATE TABLE
        closing     COMMIT
      done: 0 statements
      no more
    run
      Atomic batch of 2 statements
        opening     BEGIN IMMEDIATE; INSERT INTO
        closing     PRAGMA busy_timeout; PRAGMA foreign_keys; PRAGMA ignore_check_constraints; PRAGMA legacy_alter_table; PRAGMA recursive_triggers; PRAGMA writable_schema; UPDATE "main"."whimbrel_migrations"; COMMIT
        script      CREATE TABLE; INSERT INTO
      done: 2 statements
      Stepwise batch of 2 statements
        opening     INSERT INTO
        mark        UPDATE "main"."whimbrel_migrations"
        closing     PRAGMA busy_timeout; PRAGMA foreign_keys; PRAGMA ignore_check_constraints; PRAGMA legacy_alter_table; PRAGMA recursive_triggers; PRAGMA writable_schema; UPDATE "main"."whimbrel_migrations"
        failed      UPDATE "main"."whimbrel_migrations"
        cleanup     PRAGMA busy_timeout; PRAGMA foreign_keys; PRAGMA ignore_check_constraints; PRAGMA legacy_alter_table; PRAGMA recursive_triggers; PRAGMA writable_schema
        script      CREATE TABLE; DELETE FROM
      done: 2 statements
      no more
    "#);
}

#[test]
fn nothing_to_do_is_one_read() {
    let stage = Stage::new(&[BIRDS]);
    let _ = stage.migrator().up(stage.connect().as_mut(), &Target::All, &mut Silent).expect("the set runs");
    let _ = stage.calls();
    let _ =
        stage.migrator().up(stage.connect().as_mut(), &Target::All, &mut Silent).expect("it is up to date");
    assert_snapshot!(stage.calls(), @r"
    connect ReadWrite
    dialect without facts
    read 4 texts
    dialect with facts
    ");
    let _ = stage.migrator().status(stage.connect().as_mut()).expect("it can be read");
    assert_snapshot!(stage.calls(), @r"
    connect ReadWrite
    dialect without facts
    read 2 texts
    dialect with facts
    ");
}

#[test]
fn behind_a_failure_nothing_is_asked_for() {
    let stage =
        Stage::new(&[BIRDS, ("002_sites.sql", "SELECT 1;\nSELEC 2;\n"), ("003_visits.sql", "SELECT 3;\n")]);
    let mut connection = stage.connect();
    let error =
        stage.migrator().up(connection.as_mut(), &Target::All, &mut Silent).expect_err("a typing error");
    assert_eq!(error.done.len(), 1);
    assert_snapshot!(stage.calls(), @r#"
    connect ReadWrite
    dialect without facts
    read 4 texts
      text 1 fails: TableMissing
    dialect with facts
    run
      Atomic batch of 0 statements
        opening     BEGIN IMMEDIATE; CREATE TABLE
        closing     COMMIT
      done: 0 statements
      no more
    run
      Atomic batch of 2 statements
        opening     BEGIN IMMEDIATE; INSERT INTO
        closing     PRAGMA busy_timeout; PRAGMA foreign_keys; PRAGMA ignore_check_constraints; PRAGMA legacy_alter_table; PRAGMA recursive_triggers; PRAGMA writable_schema; UPDATE "main"."whimbrel_migrations"; COMMIT
        script      CREATE TABLE; INSERT INTO
      done: 2 statements
      Atomic batch of 2 statements
        opening     BEGIN IMMEDIATE; INSERT INTO
        closing     PRAGMA busy_timeout; PRAGMA foreign_keys; PRAGMA ignore_check_constraints; PRAGMA legacy_alter_table; PRAGMA recursive_triggers; PRAGMA writable_schema; UPDATE "main"."whimbrel_migrations"; COMMIT
        script      SELECT 1; SELEC 2
      failed: Statement(1), Syntax, 1 complete, 0 stay, RolledBack
      no more
    "#);
}

#[test]
fn a_step_back_runs_the_down_script() {
    let stage = Stage::new(&[BIRDS, BIRDS_DOWN]);
    let mut connection = stage.connect();
    let migrator = stage.migrator();
    let _ = migrator.up(connection.as_mut(), &Target::All, &mut Silent).expect("the set runs");
    let _ = stage.calls();
    let _ = migrator.down(connection.as_mut(), &Target::Steps(1), &mut Silent).expect("it goes back");
    assert_snapshot!(stage.calls(), @r#"
    dialect without facts
    read 2 texts
    dialect with facts
    run
      Atomic batch of 1 statements
        opening     BEGIN IMMEDIATE; INSERT INTO
        closing     PRAGMA busy_timeout; PRAGMA foreign_keys; PRAGMA ignore_check_constraints; PRAGMA legacy_alter_table; PRAGMA recursive_triggers; PRAGMA writable_schema; UPDATE "main"."whimbrel_migrations"; COMMIT
        script      DROP TABLE
      done: 1 statements
      no more
    "#);
}
