//! The library in an application: migrations in the binary, over a handle that the application lends.
//!
//! What an adapter does linked in and loaded is told by `conformance`, and inside tokio by `either_way`.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection as Handle;
use whimbrel::error::Name;
use whimbrel::plan::Target;
use whimbrel::runner::{Cancellation, Grouping, Job, Observer, Silent};
use whimbrel::source::{Dir, Migrations};
use whimbrel::{Migrator, Options};
use whimbrel_adapter_api::Adapter;
use whimbrel_adapter_sqlite::{Sqlite, SqliteConnection};

static DEMO: Dir<'static> = whimbrel::include_dir!("$CARGO_MANIFEST_DIR/../migrations/sqlite");

fn embedded() -> Migrations {
    Migrations::embedded(&DEMO).expect("the demo set is in order")
}

/// The settings around a transaction of several are put back to what they were before the first of them.
#[test]
fn one_transaction_leaves_the_settings_of_a_borrowed_handle_as_they_were() {
    let project = whimbrel_tests::Project::new()
        .file("birds/001_nests.sql", "PRAGMA foreign_keys = OFF;\nCREATE TABLE nests (id integer);\n")
        .file("birds/002_eggs.sql", "CREATE TABLE eggs (id integer);\n")
        .file("birds/003_birds.sql", "CREATE TABLE birds (id integer);\n");
    let mut handle = Handle::open_in_memory().expect("a database in memory");
    handle.execute_batch("PRAGMA foreign_keys = ON").expect("a setting");
    let mut options = Options::new("app", Sqlite.info());
    options.grouping = Grouping::SingleTransaction;
    let migrations = Migrations::read(&project.path("birds")).expect("they are in order");
    let mut connection = SqliteConnection::over(&mut handle);
    let report = Migrator::new(migrations, options).up(&mut connection, &Target::All, &mut Silent);
    assert_eq!(report.expect("they run").done.len(), 3);
    drop(connection);
    let keys: i64 =
        handle.query_row("PRAGMA foreign_keys", [], |row| row.get(0)).expect("the handle is still there");
    assert_eq!(keys, 1);
}

#[test]
fn migrations_in_the_binary_run_over_a_borrowed_handle() {
    let mut handle = Handle::open_in_memory().expect("a database in memory");
    let migrator = Migrator::new(embedded(), Options::new("app", Sqlite.info()));
    {
        let mut connection = SqliteConnection::over(&mut handle);
        let report = migrator.up(&mut connection, &Target::All, &mut Silent).expect("the demo set runs");
        assert_eq!(report.now_at.map(|id| id.0), embedded().list.last().map(|last| last.id.0.clone()));
    }
    let count: i64 = handle
        .query_row("SELECT count(*) FROM whimbrel_migrations", [], |row| row.get(0))
        .expect("the handle is still the application's");
    assert_eq!(usize::try_from(count), Ok(embedded().list.len()));
    let mut connection = SqliteConnection::over(&mut handle);
    let report = migrator.down(&mut connection, &Target::Steps(1), &mut Silent).expect("it goes back");
    assert_eq!(report.done.len(), 1);
}

/// Asks for the end when the first migration is complete.
struct Enough(Arc<Cancellation>);

impl Observer for Enough {
    fn finished(&mut self, _job: &Job, _duration: Duration) {
        self.0.cancel();
    }
}

#[test]
fn a_cancelled_run_ends_between_two_migrations() {
    let mut handle = Handle::open_in_memory().expect("a database in memory");
    let options = Options::new("app", Sqlite.info());
    let mut enough = Enough(Arc::clone(&options.cancellation));
    let migrator = Migrator::new(embedded(), options);
    let mut connection = SqliteConnection::over(&mut handle);
    let error = migrator.up(&mut connection, &Target::All, &mut enough).expect_err("it was cancelled");
    assert_eq!((error.problems[0].name, error.done.len()), (Name::Interrupted, 1));
    let count: i64 = handle
        .query_row("SELECT count(*) FROM whimbrel_migrations", [], |row| row.get(0))
        .expect("the handle is still the application's");
    assert_eq!(count, 1);
}
