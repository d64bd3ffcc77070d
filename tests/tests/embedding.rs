//! The library in an application: migrations in the binary, adapters linked in or loaded, with and without tokio.

use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::Connection as Handle;
use tempfile::TempDir;
use whimbrel::config::{Caller, Config, Flags};
use whimbrel::error::Name;
use whimbrel::plan::Target;
use whimbrel::plugin::Search;
use whimbrel::runner::{Cancellation, Job, Observer, Silent};
use whimbrel::source::{Dir, Migrations};
use whimbrel::{AdapterFactory, Migrator, Options};
use whimbrel_adapter_api::{
    Access, Adapter, BodyFailed, Canceller, ConnectOptions, Connection, Error, ErrorKind, Opened, Rows,
    Secret, TableName, TransactionOptions, Value, ValueKind,
};
use whimbrel_adapter_probe::Probe;
use whimbrel_adapter_sqlite::{Sqlite, SqliteConnection};
use whimbrel_tests::built_file;

static DEMO: Dir<'static> = whimbrel::include_dir!("$CARGO_MANIFEST_DIR/../migrations/sqlite");

fn embedded() -> Migrations {
    Migrations::embedded(&DEMO).expect("the demo set is in order")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Chooses the adapter of this name as an application does that takes everything but the url for granted.
fn chosen(factory: &AdapterFactory, adapter: &str, url: &str) -> Arc<dyn Adapter> {
    let flags = Flags { caller: Caller::Application, url: Some(Secret::new(url)), ..Flags::default() };
    let config = Config::from_flags(&flags).expect("nothing is configured");
    let database = config.database(Some(adapter)).expect("it is named");
    factory.choose(&database).expect("the adapter is there").adapter
}

fn loaded(adapter: &str, url: &str) -> Arc<dyn Adapter> {
    let beside = built_file("whimbrel");
    let factory = AdapterFactory::new(Search::nowhere().directory(beside.parent().expect("its folder")));
    chosen(&factory, adapter, url)
}

fn linked(adapter: Arc<dyn Adapter>, url: &str) -> Arc<dyn Adapter> {
    let name = adapter.info().name;
    chosen(&AdapterFactory::new(Search::nowhere()).with_linked(adapter), &name, url)
}

fn open(adapter: &dyn Adapter, url: &str) -> Opened {
    adapter.connect(&ConnectOptions::new(Secret::new(url))).expect("the file can be made")
}

/// Applies the demo set and returns what the history and the schema say.
fn apply(adapter: &dyn Adapter, url: &str) -> (Vec<String>, Vec<String>) {
    let mut connection = open(adapter, url).connection;
    let migrator = Migrator::new(embedded(), Options::new("app", adapter.info()));
    let report = migrator.up(connection.as_mut(), &Target::All, &mut Silent).expect("the demo set runs");
    assert_eq!(report.done.len(), embedded().list.len());
    let history = "SELECT position || ' ' || migration || ' ' || direction || ' ' || state || ' ' || checksum || ' ' || \
                   statements_done || ' ' || coalesce(down_script, '-') FROM whimbrel_migrations ORDER BY position";
    let schema = "SELECT name || ': ' || sql FROM sqlite_schema WHERE sql IS NOT NULL AND name <> 'whimbrel_migrations' \
                  ORDER BY name";
    (column(connection.as_mut(), history), column(connection.as_mut(), schema))
}

fn column(connection: &mut dyn Connection, sql: &str) -> Vec<String> {
    let rows = query(connection, sql, &[]).expect("the query is right");
    let text = |row: Vec<Value<'static>>| row[0].as_text().expect("a column of text").to_owned();
    rows.into_iter().map(text).collect()
}

fn query(
    connection: &mut dyn Connection,
    sql: &str,
    parameters: &[Value<'_>],
) -> Result<Vec<Vec<Value<'static>>>, Error> {
    let mut rows = Rows::default();
    connection.query(sql, parameters, &mut rows)?;
    Ok(rows.sets.into_iter().next().map(|set| set.rows).unwrap_or_default())
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

#[test]
fn linked_in_or_loaded_the_result_is_the_same() {
    let folder = folder();
    let url = |scheme: &str, name: &str| format!("{scheme}:{}", folder.path().join(name).display());
    let (one, two, three) =
        (url("sqlite", "linked.db"), url("sqlite", "loaded.db"), url("probe", "probe.db"));
    let from_linked = apply(linked(Arc::new(Sqlite), &one).as_ref(), &one);
    let from_loaded = apply(loaded("sqlite", &two).as_ref(), &two);
    assert_eq!(from_linked, from_loaded);
    assert!(from_linked.0.len() >= 12, "{:?}", from_linked.0);
    // The stranger's adapter knows nothing of settings around a transaction, so it gets a set without any.
    let simple: Migrations = Migrations::read(&simple_set(folder.path())).expect("a set in order");
    let run = |adapter: &dyn Adapter, url: &str| {
        let mut connection = open(adapter, url).connection;
        let migrator = Migrator::new(simple.clone(), Options::new("app", adapter.info()));
        let _ = migrator.up(connection.as_mut(), &Target::All, &mut Silent).expect("the set runs");
        let _ =
            migrator.down(connection.as_mut(), &Target::Steps(1), &mut Silent).expect("the set goes back");
        let history = "SELECT position || migration || direction || state || coalesce(checksum, '-') \
                       FROM whimbrel_migrations ORDER BY position";
        column(connection.as_mut(), history)
    };
    let sqlite = url("sqlite", "simple.db");
    let linked_probe = run(linked(Arc::new(Probe), &three).as_ref(), &three);
    assert_eq!(linked_probe.len(), 3);
    assert_eq!(linked_probe, run(loaded("sqlite", &sqlite).as_ref(), &sqlite));
}

fn simple_set(folder: &Path) -> PathBuf {
    let set = folder.join("set");
    std::fs::create_dir(&set).expect("the folder is ours");
    for (name, text) in [
        ("001_a.up.sql", "CREATE TABLE a (id);\n"),
        ("001_a.down.sql", "DROP TABLE a;\n"),
        ("002_b.up.sql", "CREATE TABLE b (id);\nINSERT INTO b VALUES (1);\n"),
        ("002_b.down.sql", "DROP TABLE b;\n"),
    ] {
        std::fs::write(set.join(name), text).expect("the folder is ours");
    }
    set
}

#[tokio::test]
async fn everything_works_inside_a_runtime() {
    let folder = folder();
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (one, two) = (url("linked.db"), url("loaded.db"));
    let here = apply(linked(Arc::new(Sqlite), &one).as_ref(), &one);
    assert_eq!(here, apply(loaded("sqlite", &two).as_ref(), &two));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_on_a_thread_for_blocking_work() {
    let folder = folder();
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let runs = [url("linked.db"), url("loaded.db")].map(|url| {
        tokio::task::spawn_blocking(move || {
            let adapter = match url.contains("linked") {
                true => linked(Arc::new(Sqlite), &url),
                false => loaded("sqlite", &url),
            };
            apply(adapter.as_ref(), &url)
        })
    });
    let [one, two] = runs;
    assert_eq!(one.await.expect("it does not panic"), two.await.expect("it does not panic"));
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

/// Asks for the end while the first migration runs, until it has ended.
struct Impatient {
    cancellation: Arc<Cancellation>,
    canceller: Arc<dyn Canceller>,
    over: Arc<AtomicBool>,
}

impl Observer for Impatient {
    fn started(&mut self, _job: &Job) {
        let (canceller, over) = (Arc::clone(&self.canceller), Arc::clone(&self.over));
        self.cancellation.cancel();
        thread::spawn(move || {
            while !over.load(Ordering::Acquire) {
                canceller.cancel().expect("an interrupt is always delivered");
                thread::yield_now();
            }
        });
    }
}

#[test]
fn a_running_statement_can_be_cancelled_in_a_loaded_adapter() {
    let folder = folder();
    let set = folder.path().join("set");
    std::fs::create_dir(&set).expect("the folder is ours");
    let endless =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;\n";
    std::fs::write(set.join("001_endless.sql"), endless).expect("the folder is ours");
    let url = format!("sqlite:{}", folder.path().join("app.db").display());
    let adapter = loaded("sqlite", &url);
    let Opened { mut connection, canceller } = open(adapter.as_ref(), &url);
    let options = Options::new("app", adapter.info());
    let mut impatient =
        Impatient { cancellation: Arc::clone(&options.cancellation), canceller, over: Arc::default() };
    let over = Arc::clone(&impatient.over);
    let migrator = Migrator::new(Migrations::read(&set).expect("a set in order"), options);
    let outcome = migrator.up(connection.as_mut(), &Target::All, &mut impatient);
    over.store(true, Ordering::Release);
    let error = outcome.expect_err("it was cancelled");
    assert_eq!((error.problems[0].name, error.done.len()), (Name::Interrupted, 0));
}

/// A session of the adapter in its library, with a table.
fn session() -> (TempDir, Box<dyn Connection>) {
    let folder = folder();
    let url = format!("sqlite:{}", folder.path().join("app.db").display());
    let mut connection = open(loaded("sqlite", &url).as_ref(), &url).connection;
    connection
        .execute_raw("CREATE TABLE birds (name TEXT); CREATE TABLE \"Odd \"\"Name\" (id); CREATE VIEW seen AS SELECT 1")
        .expect("the database is empty");
    (folder, connection)
}

fn birds(connection: &mut dyn Connection) -> Vec<String> {
    column(connection, "SELECT name FROM birds ORDER BY name")
}

#[test]
fn execute_raw_runs_a_whole_script_and_points_at_the_failure() {
    let (_folder, mut connection) = session();
    connection
        .execute_raw(
            "INSERT INTO birds VALUES ('wren'); SELECT * FROM birds; INSERT INTO birds VALUES ('kite');",
        )
        .expect("the script is right");
    assert_eq!(birds(connection.as_mut()), ["kite", "wren"]);
    let error = connection.execute_raw("SELECT 1;\nSELECT 2;\nSELEC 3").expect_err("the third is wrong");
    assert_eq!((error.kind, error.position), (ErrorKind::Syntax, Some(20)));
    assert!(connection.ping().is_ok());
}

#[test]
fn every_kind_of_value_goes_in_and_comes_out() {
    let (_folder, mut connection) = session();
    let connection = connection.as_mut();
    for (given, expected) in [
        (Value::Null, Value::Null),
        (Value::Bool(true), Value::Int(1)),
        (Value::Int(i64::MIN), Value::Int(i64::MIN)),
        (Value::UInt(7), Value::Int(7)),
        (Value::Float(0.1), Value::Float(0.1)),
        (Value::text("l'été \u{1f426}"), Value::text("l'été \u{1f426}")),
        (Value::text(""), Value::text("")),
        (Value::Bytes(vec![0, 255, 7].into()), Value::Bytes(vec![0, 255, 7].into())),
        (Value::Typed(ValueKind::Date, "2026-01-31".into()), Value::text("2026-01-31")),
    ] {
        assert_eq!(
            query(connection, "SELECT ?1", slice::from_ref(&given)),
            Ok(vec![vec![expected]]),
            "{given:?}"
        );
    }
    for (refused, kind) in [
        (Value::UInt(u64::MAX), ErrorKind::Other),
        (Value::Array(vec![Value::Int(1)]), ErrorKind::Unsupported),
    ] {
        let error =
            query(connection, "SELECT ?1", slice::from_ref(&refused)).expect_err("SQLite has no such value");
        assert_eq!(error.kind, kind, "{refused:?}: {error}");
    }
}

#[test]
fn a_query_is_one_statement_with_all_of_its_parameters() {
    let (_folder, mut connection) = session();
    let connection = connection.as_mut();
    let rows = query(connection, "SELECT ?2, ?1", &[1.into(), "two".into()]);
    assert_eq!(rows, Ok(vec![vec![Value::text("two"), Value::Int(1)]]));
    assert!(query(connection, "SELECT 1; SELECT 2", &[]).is_err());
    assert!(query(connection, "SELECT ?1", &[]).is_err());
    assert!(query(connection, "", &[]).is_err());
}

#[test]
fn table_exists_takes_names_letter_by_letter() {
    let (_folder, mut connection) = session();
    let mut exists = |name: TableName| connection.table_exists(&name).expect("a name is a name");
    for (name, expected) in [
        ("birds", true),
        ("seen", true),
        ("Odd \"Name", true),
        ("odd \"name", false),
        ("Birds", false),
        ("bird%", false),
        ("absent", false),
    ] {
        assert_eq!(exists(TableName::new(name)), expected, "{name}");
    }
    assert!(exists(TableName::new("birds").in_schema("main")));
    assert!(!exists(TableName::new("birds").in_schema("temp")));
    assert!(!exists(TableName::new("birds").in_schema("nowhere")));
}

fn add(connection: &mut dyn Connection, bird: &str) {
    query(connection, "INSERT INTO birds VALUES (?1)", &[bird.into()]).expect("the table is there");
}

#[test]
fn a_transaction_keeps_or_takes_back_what_its_body_did() {
    let (_folder, mut connection) = session();
    let options = TransactionOptions::default();
    let kept = connection.transaction(&options, &mut |inner| {
        add(inner, "wren");
        Ok(())
    });
    assert_eq!(kept, Ok(()));
    let given_up = connection.transaction(&options, &mut |inner| {
        add(inner, "kite");
        Err(BodyFailed)
    });
    assert_eq!(given_up.expect_err("the body gave up").kind, ErrorKind::BodyFailed);
    assert_eq!(birds(connection.as_mut()), ["wren"]);
}

#[test]
fn a_transaction_inside_another_is_taken_back_alone() {
    let (_folder, mut connection) = session();
    let options = TransactionOptions::default();
    let outer = connection.transaction(&options, &mut |outer| {
        add(outer, "wren");
        let inner = outer.transaction(&TransactionOptions::default(), &mut |inner| {
            add(inner, "kite");
            Err(BodyFailed)
        });
        assert_eq!(inner.expect_err("the body gave up").kind, ErrorKind::BodyFailed);
        outer
            .transaction(&TransactionOptions::default(), &mut |inner| {
                add(inner, "rook");
                Ok(())
            })
            .map_err(|_| BodyFailed)
    });
    assert_eq!(outer, Ok(()));
    assert_eq!(birds(connection.as_mut()), ["rook", "wren"]);
}

/// The panic is the application's own: it must come out where it went in, on the other side of the boundary and back.
#[test]
fn a_panic_in_the_body_of_a_transaction_is_taken_back_and_goes_on() {
    let (_folder, mut connection) = session();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        connection.transaction(&TransactionOptions::default(), &mut |inner| {
            add(inner, "wren");
            panic!("the body of the application");
        })
    }));
    let panic = panic.expect_err("the panic comes through");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the body of the application"));
    assert_eq!(birds(connection.as_mut()), [""; 0]);
    let again = connection.transaction(&TransactionOptions::default(), &mut |inner| {
        add(inner, "kite");
        Ok(())
    });
    assert_eq!((again, birds(connection.as_mut())), (Ok(()), vec!["kite".to_owned()]));
}

#[test]
fn a_reading_transaction_takes_no_writes() {
    let (_folder, mut connection) = session();
    let mut options = TransactionOptions::default();
    options.access = Access::ReadOnly;
    let mut refused = None;
    let outcome = connection.transaction(&options, &mut |inner| {
        refused = query(inner, "INSERT INTO birds VALUES ('wren')", &[]).err();
        Err(BodyFailed)
    });
    assert!(outcome.is_err());
    assert_eq!(refused.map(|error| error.kind), Some(ErrorKind::ReadOnly));
    add(connection.as_mut(), "kite");
    assert_eq!(birds(connection.as_mut()), ["kite"]);
    assert!(connection.close().is_ok());
}
