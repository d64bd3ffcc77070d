//! What passes by itself is tried again as a whole migration, and what another run has taken over is left to it.

use insta::assert_snapshot;
use mysql::prelude::Queryable;
use rstest::rstest;
use whimbrel_tests::{Database, Engine, Postgres, Product, Project, until};

const BOTH: &str = "UPDATE flock SET seen = seen + 1;\nUPDATE sites SET seen = seen + 1;\n";

/// Looks until the database answers with a row.
fn wait_for(database: &dyn Database, sql: &str) {
    until("the database answers", || !database.lines(sql).is_empty());
}

#[test]
fn a_migration_that_lost_a_deadlock_runs_again_on_postgres() {
    let database = Postgres::fresh();
    database.execute(
        "CREATE TABLE flock (seen integer); INSERT INTO flock VALUES (0); \
         CREATE TABLE sites (seen integer); INSERT INTO sites VALUES (0)",
    );
    // Whoever waited for so long when a deadlock is there loses it: the run does, and never the other session.
    database.execute(&format!("ALTER DATABASE {} SET deadlock_timeout = '2s'", database.name()));
    let mut other = database.client();
    let begin = "SET deadlock_timeout = '1h'; BEGIN; UPDATE sites SET seen = 10";
    other.batch_execute(begin).expect("nobody else has it");

    let project = Project::new().file("migrations/postgres/001_both.sql", BOTH);
    // To wait for another run is one thing, to run again another.
    let run = project.spawn(["up", "postgres", "--url", &database.url(), "--wait-for-runner", "0s"]);
    wait_for(
        &database,
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    other.batch_execute("UPDATE flock SET seen = 10; COMMIT").expect("the other one loses the deadlock");

    assert_snapshot!(run.wait().redacted(), @r"
    exit: 0
    --- stdout
    applied  001_both  [N] ms
    1 migration applied to postgres, now at 001_both
    --- stderr
    note: 001_both was rolled back and runs again: deadlock detected
    ");
    assert_eq!(database.lines("SELECT flock.seen, sites.seen FROM flock, sites"), ["11|11"], "it ran once");
}

#[test]
fn a_migration_that_lost_a_deadlock_runs_again_on_mariadb() {
    let database = Product::MariaDb.fresh();
    database.execute(
        "CREATE TABLE flock (seen integer); INSERT INTO flock VALUES (0); \
         CREATE TABLE sites (seen integer); INSERT INTO sites VALUES (0); \
         CREATE TABLE heavy (n integer)",
    );
    let mut other = database.client();
    // The transaction that has changed less is the one that loses.
    other.query_drop("START TRANSACTION").expect("a transaction");
    other.query_drop("INSERT INTO heavy SELECT seq FROM seq_1_to_1000").expect("a thousand rows");
    other.query_drop("UPDATE sites SET seen = 10").expect("nobody else has it");

    let project = Project::new().file("migrations/mysql/001_both.sql", BOTH);
    let run = project.spawn(["up", "mysql", "--url", &database.url()]);
    let waits = "SELECT 1 FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() \
                 AND info LIKE '%UPDATE sites%' AND time_ms > 200";
    wait_for(&database, waits);
    other.query_drop("UPDATE flock SET seen = 10").expect("the other one loses the deadlock");
    other.query_drop("COMMIT").expect("all of it is done");

    assert_snapshot!(run.wait().redacted(), @r"
    exit: 0
    --- stdout
    applied  001_both  [N] ms
    1 migration applied to mysql, now at 001_both
    --- stderr
    note: 001_both was rolled back and runs again: Deadlock found when trying to get lock; try restarting transaction
    ");
    assert_eq!(database.lines("SELECT flock.seen, sites.seen FROM flock, sites"), ["11|11"], "it ran once");
}

#[test]
fn what_is_rolled_back_again_and_again_is_an_error_in_the_end() {
    let database = Postgres::fresh();
    let script = "DO $$ BEGIN RAISE serialization_failure USING MESSAGE = 'not now'; END $$;\n";
    let project = Project::new().file("migrations/postgres/001_never.sql", script);
    let run = project.run(["up", "postgres", "--url", &database.url()]);
    assert_snapshot!(run.redacted(), @r"
    exit: 1
    --- stdout
    --- stderr
    note: 001_never was rolled back and runs again: not now
    note: 001_never was rolled back and runs again: not now
    note: 001_never was rolled back and runs again: not now
    error[statement]: not now
      --> migrations/postgres/001_never.sql:1:1
      1 | DO $$ BEGIN RAISE serialization_failure USING MESSAGE = 'not now'; END $$;
        | ^
      PL/pgSQL function inline_code_block line 1 at RAISE
    state: `001_never` was rolled back
    hint: other sessions keep getting in its way; run `whimbrel up postgres` again when they are done
    ");
}

/// Nobody can see from the text that a procedure commits. What was rolled back then is not all of it.
#[rstest]
fn a_deadlock_behind_a_hidden_commit_runs_nothing_twice(
    #[values(Product::MariaDb, Product::MySql)] server: Product,
) {
    let database = server.fresh();
    database.execute(
        "CREATE TABLE flock (seen integer); CREATE PROCEDURE hidden() CREATE TABLE made (id integer)",
    );
    let script = "INSERT INTO flock VALUES (1);\nCALL hidden();\n\
                  SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'a deadlock';\n";
    let project = Project::new().file("migrations/mysql/001_hidden.sql", script);
    let run = project.run(["up", "mysql", "--url", &database.url()]).exits(5);
    assert!(run.mentions("statement 1 may be in the database or not"), "{run:?}");
    assert_eq!(database.lines("SELECT seen FROM flock"), ["1"]);
}

/// A runner that was stopped for longer than its lease, and wakes up.
#[test]
fn a_run_whose_migration_was_taken_over_stops_at_its_next_mark() {
    let database = Postgres::fresh();
    let mut other = database.client();
    other.batch_execute("SELECT pg_advisory_lock(7)").expect("nobody else has it");
    let script = "-- no-transaction\nCREATE TABLE one ();\nSELECT pg_advisory_lock(7);\nCREATE TABLE two ();\n\
                  CREATE TABLE three ();\nCREATE TABLE four ();\n";
    let project = Project::new().file("migrations/postgres/001_four.sql", script);
    let run = project.spawn(["up", "postgres", "--url", &database.url()]);
    wait_for(
        &database,
        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = \
                         (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    other
        .batch_execute(
            "UPDATE whimbrel_migrations SET state = 'failed'; \
             INSERT INTO whimbrel_migrations SELECT 2, 1, migration, 2, direction, 'started', checksum, 1, 5, \
             statement_checksums, now() + interval '1 hour', now(), NULL, NULL, NULL, 'ana@build-7 pid 4121' \
             FROM whimbrel_migrations; SELECT pg_advisory_unlock(7)",
        )
        .expect("the history is there");
    assert_snapshot!(run.wait().redacted(), @r"
    exit: 6
    --- stdout
    --- stderr
    error[lock-held]: another run has taken `001_four` over from this one
      --> migrations/postgres/001_four.sql
      after its statement 2, when that was noted in the history
    state: statements 1-2 of `001_four` are in the database; nothing else runs until it is settled
    hint: let the other run finish; `whimbrel up postgres` does what is left
    ");
    let left = "SELECT count(*) FROM pg_tables WHERE tablename IN ('three', 'four')";
    assert_eq!(database.lines(left), ["0"], "at most the statement that was on its way ran");
    let rows = "SELECT position, state, statements_done FROM whimbrel_migrations ORDER BY position";
    assert_eq!(database.lines(rows), ["1|failed|1", "2|started|1"], "neither row is its own any more");
}

/// The statement in which a run slept is taken back with its mark, where it can be, and nothing behind it runs.
#[rstest]
fn what_a_run_does_after_it_was_taken_over_is_taken_back(
    #[values(Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
) {
    let database = engine.fresh();
    let (header, waits, soon) = match engine {
        Engine::Postgres => {
            ("-- no-transaction\n", "SELECT i FROM gate FOR UPDATE", "now() + interval '1 hour'")
        }
        _ => ("", "SELECT i FROM gate FOR UPDATE", "UTC_TIMESTAMP(3) + INTERVAL 1 HOUR"),
    };
    database.execute("CREATE TABLE gate (i integer); INSERT INTO gate VALUES (1)");
    let script = format!(
        "{header}CREATE TABLE flock (seen integer);\nINSERT INTO flock SELECT i FROM gate FOR UPDATE;\n\
         CREATE TABLE sites (id integer);\n"
    );
    let folder = engine.adapter();
    let project = Project::new().file(&format!("migrations/{folder}/001_flock.sql"), &script);
    let release = hold(database.as_ref(), waits);
    let run = project.spawn(["up", folder, "--url", &database.url()]);
    until("the run stands at the gate", || is_waiting(database.as_ref()));
    database.execute("UPDATE whimbrel_migrations SET state = 'failed'");
    database.execute(&format!(
        "INSERT INTO whimbrel_migrations SELECT 2, 1, migration, 2, direction, 'started', checksum, 1, 3, \
         statement_checksums, {soon}, started_at, NULL, NULL, NULL, 'ana@build-7 pid 4121' FROM whimbrel_migrations"
    ));
    release();
    let outcome = run.wait().exits(6);
    assert!(outcome.mentions("another run has taken `001_flock` over from this one"), "{outcome:?}");
    assert!(outcome.mentions("after its statement 1, when that was noted"), "{outcome:?}");
    assert_eq!(database.lines("SELECT count(*) FROM flock"), ["0"]);
    assert!(database.try_query("SELECT * FROM sites").is_err(), "nothing behind it ran");
}

/// Rows that share a transaction go with it, whether the next one of them fails or not.
#[rstest]
fn rows_that_share_a_transaction_are_taken_back_when_the_run_was_taken_over(
    #[values(Product::MariaDb, Product::MySql)] server: Product,
    #[values("COMMIT", "ROLLBACK")] ends: &str,
) {
    let database = server.fresh();
    database.execute("CREATE TABLE flock (bird integer PRIMARY KEY)");
    let mut other = database.client();
    other.query_drop("START TRANSACTION; INSERT INTO flock VALUES (2)").expect("nobody else writes");
    let script = "CREATE TABLE sites (id integer);\nINSERT INTO flock VALUES (1);\nINSERT INTO flock VALUES (2);\n\
                  INSERT INTO flock VALUES (3);\nCREATE TABLE behind (id integer);\n";
    let project = Project::new().file("migrations/mysql/001_flock.sql", script);
    let run = project.spawn(["up", "mysql", "--url", &database.url()]);
    until("the run waits for the other one's row", || is_waiting(&database));
    database.execute("UPDATE whimbrel_migrations SET state = 'failed'");
    database.execute(
        "INSERT INTO whimbrel_migrations SELECT 2, 1, migration, 2, direction, 'started', checksum, 1, 5, \
         statement_checksums, UTC_TIMESTAMP(3) + INTERVAL 1 HOUR, started_at, NULL, NULL, NULL, 'ana@build-7 pid 4121' \
         FROM whimbrel_migrations",
    );
    other.query_drop(ends).expect("it was open");
    let outcome = run.wait().exits(6);
    assert!(outcome.mentions("another run has taken `001_flock` over from this one"), "{outcome:?}");
    assert!(outcome.mentions("state: statement 1 of `001_flock` is in the database"), "{outcome:?}");
    let others: &[&str] = if ends == "COMMIT" { &["2"] } else { &[] };
    assert_eq!(database.lines("SELECT bird FROM flock"), others, "none of ours stayed");
    assert!(database.try_query("SELECT * FROM behind").is_err(), "nothing behind it ran");
    let rows = "SELECT position, state, statements_done FROM whimbrel_migrations ORDER BY position";
    assert_eq!(database.lines(rows), ["1|failed|1", "2|started|1"], "neither row is its own any more");
}

/// Takes a lock in a transaction, and returns what ends it.
fn hold(database: &dyn Database, lock: &str) -> Box<dyn FnOnce()> {
    let url = database.url();
    if database.engine() == Engine::Postgres {
        let mut client = postgres::Client::connect(&url, postgres::NoTls).expect("the server takes a client");
        client.batch_execute(&format!("BEGIN; {lock}")).expect("nobody else has it");
        return Box::new(move || client.batch_execute("COMMIT").expect("it was open"));
    }
    let mut client = mysql::Conn::new(url.as_str()).expect("the server takes a client");
    client.query_drop(format!("START TRANSACTION; {lock}")).expect("nobody else has it");
    Box::new(move || client.query_drop("COMMIT").expect("it was open"))
}

/// Returns whether a statement on the gate is at work.
fn is_waiting(database: &dyn Database) -> bool {
    let statements = match database.engine() {
        Engine::Postgres => {
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        }
        _ => {
            "SELECT 1 FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() \
             AND info LIKE 'INSERT INTO flock%'"
        }
    };
    !database.lines(statements).is_empty()
}
