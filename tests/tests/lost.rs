//! Any turn may be the last: the connection is lost at each of them, in every way, and the next `up` is right.

use std::thread;

use rstest::rstest;
use whimbrel_tests::{Database, Engine, Fault, Loss, Networked, Outcome, Project, Proxy, until};

/// What all of it leaves in the log, once each.
const LOG: [&str; 5] = ["1", "2", "3", "4", "5"];

/// Returns migrations of every kind: schema, rows, both with a header, rows.
fn project(folder: &str, header: &str) -> Project {
    let both = format!(
        "{header}CREATE TABLE sites (id integer);\nINSERT INTO log VALUES (3);\nINSERT INTO log VALUES (4);\n"
    );
    let migrations = [
        ("001_log", "CREATE TABLE log (entry integer);\n"),
        ("002_rows", "INSERT INTO log VALUES (1);\nINSERT INTO log VALUES (2);\n"),
        ("003_steps", &both),
        ("004_last", "INSERT INTO log VALUES (5);\n"),
    ];
    let file = |project: Project, (id, text): (&str, &str)| {
        project.file(&format!("migrations/{folder}/{id}.sql"), text)
    };
    migrations.into_iter().fold(Project::new(), file)
}

/// Waits until the server has done what it was sent.
fn until_quiet(database: &dyn Database) {
    let others = match database.engine() {
        Engine::Postgres => {
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        }
        _ => {
            "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        }
    };
    until("the server is done", || database.lines(others) == ["0"]);
}

/// Returns the ids of what the history calls applied. A table that is not there yet holds none.
fn applied(database: &dyn Database) -> Vec<String> {
    let rows = "SELECT migration FROM whimbrel_migrations WHERE state = 'applied' ORDER BY position";
    let rows = database.try_query(rows).unwrap_or_default();
    rows.into_iter().flatten().flatten().collect()
}

/// Checks that a run said what is so.
fn is_true(outcome: &Outcome, database: &dyn Database, fault: &Fault) {
    let told = format!("{fault:?}: {outcome:?}");
    assert!(matches!(outcome.code, Some(8 | 5)), "{told}");
    let applied = applied(database);
    if outcome.stdout.is_empty() {
        // It was lost before anything was begun.
        assert!(applied.is_empty() || outcome.mentions("state"), "{told}");
        return;
    }
    let report = outcome.json();
    let claimed: Vec<&str> =
        report["applied"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()).collect();
    assert!(applied.iter().map(String::as_str).take(claimed.len()).eq(claimed.iter().copied()), "{told}");
    let state = report["failed"]["error"]["state"].as_str().unwrap_or_default();
    let in_doubt = state.contains("either applied or not") || state.contains("may be in the database or not");
    // What was lost may be in only where it says so.
    assert!(applied.len() == claimed.len() || in_doubt, "{applied:?} are applied: {told}");
    assert_eq!(
        outcome.code,
        Some(if state.contains("may be in the database or not") { 5 } else { 8 }),
        "{told}"
    );
}

/// Returns every fault that a run of so many turns and bytes can meet.
fn faults(turns: u32, bytes: u64) -> Vec<Fault> {
    let of_turn =
        |turn| [Fault::Request { turn, loss: Loss::Close }, Fault::Reply { turn, loss: Loss::Reset }];
    let in_between = (0..bytes).step_by(797).map(|count| Fault::Bytes { count, loss: Loss::Reset });
    let swallowed = ["LOG VALUES (1)", "LOG VALUES (3)", "LOG VALUES (5)"]
        .map(|text| Fault::LostReply { text: text.to_owned() });
    (1..=turns).flat_map(of_turn).chain(in_between).chain(swallowed).collect()
}

/// Runs `up` through a proxy, and returns how it ended.
fn up_by_way_of(proxy: &Proxy, project: &Project, database: &dyn Networked, flags: &[&str]) -> Outcome {
    let url = proxy.plain_url(database);
    let up = ["up", database.engine().adapter(), "--format", "json", "--url", &url];
    project.run(up.iter().chain(flags))
}

#[rstest]
fn whatever_turn_is_the_last_the_next_up_is_right(
    #[values(Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
    #[values(&[], &["--batch"])] flags: &[&str],
) {
    lose_each_turn(&project(engine.adapter(), "-- no-transaction\n"), engine, flags);
}

#[test]
fn whatever_turn_is_the_last_of_a_single_transaction_the_next_up_is_right() {
    lose_each_turn(&project("postgres", ""), Engine::Postgres, &["--single-transaction"]);
}

/// Loses the connection of as many runs as there are ways to lose it.
fn lose_each_turn(project: &Project, engine: Engine, flags: &[&str]) {
    let undisturbed = engine.fresh();
    let proxy = Proxy::before(undisturbed.as_ref());
    let _ = up_by_way_of(&proxy, project, undisturbed.as_ref(), flags).exits(0);

    let faults = faults(proxy.turns(), proxy.client_bytes());
    // The next `up` waits a second before it takes a runner for gone: several do so at once.
    thread::scope(|scope| {
        for some in faults.chunks(faults.len().div_ceil(LANES)) {
            scope.spawn(move || some.iter().for_each(|fault| loses(project, engine, flags, fault)));
        }
    });
}

/// How many runs there are at once.
const LANES: usize = 4;

/// Loses the connection of a run, and looks what it says and what comes of it.
fn loses(project: &Project, engine: Engine, flags: &[&str], fault: &Fault) {
    let database = engine.fresh();
    let proxy = Proxy::before(database.as_ref());
    proxy.fault(fault.clone());
    let outcome = up_by_way_of(&proxy, project, database.as_ref(), flags);
    assert!(proxy.fault_struck(), "{fault:?} never came");
    until_quiet(database.as_ref());
    is_true(&outcome, database.as_ref(), fault);

    // As if it had been lost long ago.
    let over = "UPDATE whimbrel_migrations SET lease_until = '2001-01-01 00:00:00' WHERE state = 'started'";
    let _ = database.try_query(over);
    let next = project.run(["up", engine.adapter(), "--url", &database.url()]).exits(0);
    assert_eq!(database.lines("SELECT entry FROM log ORDER BY entry"), LOG, "{fault:?}: {next:?}");
    assert_eq!(database.lines("SELECT count(*) FROM sites"), ["0"]);
    assert_eq!(applied(database.as_ref()), ["001_log", "002_rows", "003_steps", "004_last"]);
}
