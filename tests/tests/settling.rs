//! Migrations that are neither applied nor pending, and commands that go back and forth: nothing is taken back that
//! cannot be applied again, and nothing half done is passed over.

use std::fs;

use insta::assert_snapshot;
use whimbrel_tests::birds::{database, history, project, tables};
use whimbrel_tests::{Database, Fault, Postgres, Project, Proxy};

/// Returns the project with its three migrations applied.
fn applied() -> Project {
    let project = project();
    let _ = project.run(["up"]).exits(0);
    project
}

#[test]
fn redo_takes_nothing_back_that_would_be_refused_on_the_way_up() {
    let project = applied();
    project.write("migrations/sqlite/003_counts/up.sql", "CREATE TABLE counts (seen INTEGER);\nCOMMIT;\n");
    let outcome = project.run(["redo"]).exits(4);
    assert!(outcome.stderr.contains("error[transaction-control]"), "{outcome:?}");
    assert_eq!(history(&project).len(), 3, "nothing was run");
}

#[test]
fn redo_takes_nothing_back_whose_file_is_gone() {
    let project = applied();
    fs::remove_dir_all(project.path("migrations/sqlite/003_counts")).expect("the directory is there");
    assert_snapshot!(project.run(["redo"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[file-missing]: `003_counts` cannot be applied again: its file is gone
    state: nothing was run
    hint: to take it back for good, `whimbrel down sqlite`
    ");
    assert_eq!(tables(&project), ["counts", "sites", "species"]);
}

#[test]
fn redo_takes_nothing_back_that_is_meant_for_another_environment() {
    let project = applied();
    project
        .write("migrations/sqlite/003_counts/up.sql", "-- env: dev\nCREATE TABLE counts (seen INTEGER);\n");
    let outcome = project.run(["redo"]).exits(7);
    assert!(outcome.stderr.contains("meant for dev"), "{outcome:?}");
    assert_eq!(history(&project).len(), 3, "nothing was run");
}

/// Leaves the row behind that a run leaves which is killed in the middle of a script without transaction.
fn abandon(project: &Project) {
    database(project).execute(
        "INSERT INTO whimbrel_migrations (position, previous, migration, attempt, direction, state, \
         statements_done, statements_total, lease_until, started_at, applied_by) VALUES \
         (2, 1, '002_sites', 1, 'up', 'started', 1, 3, '2001-01-01T00:00:00.000Z', '2001-01-01T00:00:00.000Z', \
         'ana@build-7 pid 4121')",
    );
}

/// Returns a project whose second migration was left behind.
fn abandoned() -> Project {
    let project = project();
    let _ = project.run(["up", "--to", "001"]).exits(0);
    abandon(&project);
    project
}

#[test]
fn what_a_dead_run_left_behind_is_found_and_settled() {
    let project = abandoned();
    assert_snapshot!(project.run(["verify"]).redacted(), @r"
    exit: 1
    --- stdout
    --- stderr
    error[partly-applied]: the run that was at work on `002_sites` is gone
      ana@build-7 pid [PID], since [TIME]
    state: 1 of 3 statements are noted as complete, statement 2 may be in the database or not
    hint: `whimbrel up sqlite` goes on from there; or settle it by hand and say so: `whimbrel repair sqlite 002_sites --applied` or `--reverted`

    error[partly-applied]: the run that was at work on statement 2 of `002_sites` is gone
      --> migrations/sqlite/002_sites.sql
      the history keeps no checksums of its statements
    state: statement 1 of `002_sites` is in the database
    hint: finish or undo it by hand and say so: `whimbrel repair sqlite 002_sites --applied` or `--reverted`
    ");
    let _ = project.run(["up"]).exits(5);
    let _ = project.run(["baseline", "003"]).exits(5);
    let _ = project.run(["repair", "002", "--reverted"]).exits(0);
    let _ = project.run(["up"]).exits(0);
    assert_eq!(tables(&project), ["counts", "sites", "species"]);
}

#[test]
fn a_half_done_migration_shows_although_its_file_is_gone() {
    let project = abandoned();
    project.remove("migrations/sqlite/002_sites.sql");
    let status = project.run(["status", "--format", "json"]).exits(0).json();
    assert_eq!(status["counts"]["started"], 1, "{status:#}");
}

#[test]
fn a_repair_beside_a_writer_gives_up_in_time() {
    let project = abandoned();
    let client = database(&project).client();
    client.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    let outcome = project.run(["repair", "002", "--reverted", "--wait-for-runner", "100ms"]).exits(6);
    assert!(outcome.stderr.contains("error[lock-held]"), "{outcome:?}");
}

#[test]
fn a_repaired_migration_keeps_its_down_script_although_its_file_is_gone() {
    let project = applied();
    fs::remove_dir_all(project.path("migrations/sqlite/003_counts")).expect("the directory is there");
    database(&project).execute(
        "INSERT INTO whimbrel_migrations (position, previous, migration, attempt, direction, state, \
         statements_done, statements_total, started_at, applied_by) VALUES \
         (4, 3, '003_counts', 2, 'down', 'failed', 1, 2, '2001-01-01T00:00:00.000Z', 'ana')",
    );
    let _ = project.run(["repair", "003_counts", "--applied"]).exits(0);
    let _ = project.run(["down"]).exits(0);
    assert_eq!(tables(&project), ["sites", "species"]);
}

#[test]
fn a_fence_that_nobody_else_took_is_told_in_the_engines_words() {
    let table = "CREATE TABLE whimbrel_migrations (position INTEGER PRIMARY KEY, previous INTEGER, \
                 migration TEXT UNIQUE, attempt INTEGER, direction TEXT, state TEXT, checksum TEXT, \
                 statements_done INTEGER, statements_total INTEGER, statement_checksums TEXT, lease_until TEXT, started_at TEXT, \
                 finished_at TEXT, duration_ms INTEGER, down_script TEXT, applied_by TEXT);\n";
    let project = project().file("migrations/sqlite/000_migrations_table.sql", table);
    let _ = project.run(["up"]).exits(0);
    let outcome = project.run(["down", "--wait-for-runner", "100ms"]).exits(6);
    assert!(outcome.stderr.contains("UNIQUE constraint failed"), "{outcome:?}");
}

/// The statement ends its own session, as a failing network or an operator would.
#[test]
fn a_script_without_transaction_that_loses_its_session_says_what_may_be_in() {
    let database = Postgres::fresh();
    let project = Project::new().file(
        "migrations/postgres/001_cut.sql",
        "-- no-transaction\nCREATE TABLE kept (id integer);\nSELECT pg_terminate_backend(pg_backend_pid());\n\
         CREATE TABLE never (id integer);\n",
    );
    let outcome = project.run(["up", "postgres", "--url", &database.url()]);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 5
    --- stdout
    --- stderr
    error[partly-applied]: the connection was lost in the middle of `001_cut`
      --> migrations/postgres/001_cut.sql:3:1
      3 | SELECT pg_terminate_backend(pg_backend_pid());
        | ^
      caused by: terminating connection due to administrator command
    state: statement 1 of `001_cut` is in the database; statement 2 and what follows may be in the database or not
    hint: the server may still be at work on it; `whimbrel up postgres` waits for that, and looks how far it came
    ");
    assert_eq!(database.lines("SELECT state, statements_done FROM whimbrel_migrations"), ["started|1"]);
}

#[test]
fn a_lost_answer_to_a_commit_is_in_doubt_and_the_next_run_knows() {
    let database = Postgres::fresh();
    let proxy = Proxy::before(&database);
    let project = Project::new()
        .file("migrations/postgres/001_kept.sql", "CREATE TABLE kept (id integer PRIMARY KEY);\n");
    let url = format!("{}?sslmode=disable", proxy.url(&database));
    proxy.fault(Fault::LostReply { text: "insert into".into() });
    let outcome = project.run(["up", "postgres", "--url", &url]);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 8
    --- stdout
    --- stderr
    error[in-doubt]: the connection was lost while `001_kept` was being committed
      --> migrations/postgres/001_kept.sql
      at its commit
      caused by: connection closed
    state: `001_kept` is either applied or not there at all; the next run knows
    hint: `whimbrel up postgres` looks at the history and goes on from there
    ");
    let again = project.run(["up", "postgres", "--url", &database.url()]).exits(0);
    assert!(again.stdout.contains("up to date, at 001_kept"), "{again:?}");
}
