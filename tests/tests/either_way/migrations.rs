//! Migrations through the library, as an application runs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use whimbrel::error::{Name, Problem};
use whimbrel::plan::Target;
use whimbrel::runner::{Cancellation, Job, Observer, Silent};
use whimbrel::source::{Dir, Migrations};
use whimbrel::{Migrator, Options};
use whimbrel_adapter_api::{Adapter, Canceller, Connection, Opened};

use crate::scratch::{Scratch, column};
use crate::sessions::ENDLESS;

static DEMO: Dir<'static> = whimbrel::include_dir!("$CARGO_MANIFEST_DIR/../migrations/sqlite");

const SET: &[(&str, &str)] = &[
    ("001_species.up.sql", "CREATE TABLE species (id);\nINSERT INTO species VALUES (1), (2);\n"),
    ("001_species.down.sql", "DROP TABLE species;\n"),
    ("002_sites.up.sql", "-- Rollback: DROP TABLE sites\nCREATE TABLE sites (id);\n"),
    ("003_visits.sql", "-- no-transaction\nCREATE TABLE visits (id);\nCREATE INDEX visit ON visits (id);\n"),
    ("003_visits.down.sql", "-- no-transaction\nDROP INDEX visit;\nDROP TABLE visits;\n"),
];

fn migrator(adapter: &dyn Adapter, migrations: Migrations) -> Migrator {
    Migrator::new(migrations, Options::new("birds", adapter.info()))
}

/// Writes down what a run tells, but for how long it took.
#[derive(Default)]
struct Diary(Vec<String>);

impl Observer for Diary {
    fn started(&mut self, job: &Job) {
        self.0.push(format!("{} starts", job.step.id));
    }

    fn progress(&mut self, job: &Job, statements: u64, bytes: u64) {
        self.0.push(format!("{}: {statements} statements, {bytes} bytes", job.step.id));
    }

    fn finished(&mut self, job: &Job, _duration: Duration) {
        self.0.push(format!("{} ends", job.step.id));
    }
}

fn history(connection: &mut dyn Connection) -> Vec<String> {
    column(
        connection,
        "SELECT position || ' ' || migration || ' ' || attempt || ' ' || direction || ' ' || state || ' ' || \
         statements_done || '/' || statements_total FROM whimbrel_migrations ORDER BY position",
    )
}

/// Returns what is in the database, and what the history stores beside its rows.
fn left(connection: &mut dyn Connection) -> Vec<String> {
    let schema = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    let stored = "SELECT coalesce(checksum, '-') || ' ' || coalesce(down_script, '-') FROM whimbrel_migrations \
                  ORDER BY position";
    [history(connection), column(connection, schema), column(connection, stored)].concat()
}

fn tables(connection: &mut dyn Connection) -> Vec<String> {
    let text =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'whimbrel_migrations' ORDER BY name";
    column(connection, text)
}

pub(crate) fn up_and_down(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.open(adapter).connection;
    let connection = connection.as_mut();
    let migrator = migrator(adapter, scratch.migrations(SET));
    let mut diary = Diary::default();
    let report = migrator.up(connection, &Target::All, &mut diary).expect("the set runs");
    assert_eq!(report.done.len(), 3);
    assert_eq!(tables(connection), ["sites", "species", "visits"]);
    let mut told = left(connection);
    let report = migrator.up(connection, &Target::All, &mut diary).expect("there is nothing to do");
    assert_eq!(report.done.len(), 0);
    let report = migrator.down(connection, &Target::Steps(2), &mut diary).expect("the set goes back");
    assert_eq!(report.now_at.map(|id| id.0).as_deref(), Some("001_species"));
    assert_eq!(tables(connection), ["species"]);
    let _ = migrator.redo(connection, 1, &mut diary).expect("it goes back and forth");
    assert_eq!(
        history(connection),
        [
            "1 001_species 1 up applied 2/2",
            "2 002_sites 1 up applied 1/1",
            "3 003_visits 1 up applied 2/2",
            "4 003_visits 2 down reverted 2/2",
            "5 002_sites 2 down reverted 1/1",
            "6 001_species 2 down reverted 1/1",
            "7 001_species 3 up applied 2/2",
        ]
    );
    assert!(diary.0.contains(&"003_visits ends".to_owned()), "{:?}", diary.0);
    told.extend(left(connection));
    told.extend(diary.0);
    told
}

pub(crate) fn demo(adapter: &dyn Adapter) -> Vec<String> {
    let embedded = Migrations::embedded(&DEMO).expect("the demo set is in order");
    let scratch = Scratch::new();
    let mut connection = scratch.open(adapter).connection;
    let migrator = migrator(adapter, embedded.clone());
    let report = migrator.up(connection.as_mut(), &Target::All, &mut Silent).expect("the demo set runs");
    assert_eq!(report.done.len(), embedded.list.len());
    left(connection.as_mut())
}

/// The middle one of three migrations whose second of three statements fails.
fn with_a_failure(failing: &str) -> [(&str, &str); 3] {
    [
        ("001_species.sql", "CREATE TABLE species (id);\n"),
        ("002_sites.sql", failing),
        ("003_visits.sql", "CREATE TABLE visits (id);\n"),
    ]
}

/// Runs until the failure, and returns its one problem.
fn failure(connection: &mut dyn Connection, migrator: &Migrator, diary: &mut Diary) -> Problem {
    let mut error = migrator.up(connection, &Target::All, diary).expect_err("a statement is wrong");
    let done: Vec<&str> = error.done.iter().map(|settled| settled.id.0.as_str()).collect();
    assert_eq!(done, ["001_species"]);
    assert_eq!(error.problems.len(), 1, "{error}");
    error.problems.remove(0)
}

pub(crate) fn failing_as_a_whole(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.open(adapter).connection;
    let connection = connection.as_mut();
    let failing = "CREATE TABLE sites (id);\nINSERT INTO\n  nowhere VALUES (1);\nCREATE TABLE more (id);\n";
    let migrations = scratch.migrations(&with_a_failure(failing));
    let migrator = migrator(adapter, migrations);
    let mut diary = Diary::default();
    let problem = failure(connection, &migrator, &mut diary);
    assert_eq!(problem.name, Name::Statement);
    assert_eq!((problem.places[0].line, problem.places[0].column), (Some(2), Some(1)));
    assert_eq!(tables(connection), ["species"]);
    assert_eq!(history(connection), ["1 001_species 1 up applied 1/1"]);
    let mut told = vec![scratch.told(&problem)];
    told.extend(left(connection));
    told.extend(diary.0);
    told
}

pub(crate) fn failing_step_by_step(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.open(adapter).connection;
    let connection = connection.as_mut();
    let failing =
        "-- no-transaction\nCREATE TABLE sites (id);\nINSERT INTO sites SELEC 1;\nCREATE TABLE more (id);\n";
    let migrations = scratch.migrations(&with_a_failure(failing));
    let migrator = migrator(adapter, migrations);
    let mut diary = Diary::default();
    let problem = failure(connection, &migrator, &mut diary);
    assert_eq!(problem.name, Name::PartlyApplied);
    assert_eq!((problem.places[0].line, problem.places[0].column), (Some(3), Some(19)));
    assert_eq!(tables(connection), ["sites", "species"]);
    assert_eq!(history(connection), ["1 001_species 1 up applied 1/1", "2 002_sites 1 up failed 1/3"]);
    let mut told = vec![scratch.told(&problem)];
    told.extend(left(connection));
    told.extend(diary.0);
    told
}

/// Asks for the end as soon as a migration has started, over and over until there is one.
struct Impatient {
    cancellation: Arc<Cancellation>,
    canceller: Arc<dyn Canceller>,
    over: Arc<AtomicBool>,
    asking: Option<JoinHandle<()>>,
}

impl Observer for Impatient {
    fn started(&mut self, _job: &Job) {
        let (canceller, over) = (Arc::clone(&self.canceller), Arc::clone(&self.over));
        self.cancellation.cancel();
        self.asking = Some(thread::spawn(move || {
            while !over.load(Ordering::Acquire) {
                canceller.cancel().expect("a request is always delivered");
                thread::yield_now();
            }
        }));
    }
}

pub(crate) fn cancelled(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let Opened { mut connection, canceller, .. } = scratch.open(adapter);
    let options = Options::new("birds", adapter.info());
    let cancellation = Arc::clone(&options.cancellation);
    let mut impatient = Impatient { cancellation, canceller, over: Arc::default(), asking: None };
    let migrator = Migrator::new(scratch.migrations(&[("001_endless.sql", ENDLESS)]), options);
    let outcome = migrator.up(connection.as_mut(), &Target::All, &mut impatient);
    impatient.over.store(true, Ordering::Release);
    impatient.asking.expect("the migration has started").join().expect("it asks in peace");
    let error = outcome.expect_err("it has no other end");
    assert_eq!((error.problems[0].name, error.done.len()), (Name::Interrupted, 0));
    assert_eq!(connection.ping(), Ok(()));
    // Not its state: some request may have met the statement that rolls back.
    vec![error.to_string()]
}
