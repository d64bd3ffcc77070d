//! Files, databases, histories and clocks that are not as they should be: a clear error, and nothing lost.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use insta::assert_snapshot;
use mysql::prelude::Queryable;
use nix::unistd::geteuid;
use whimbrel_tests::birds::{database, empty, history, project, tables};
use whimbrel_tests::{Database, Outcome, Postgres, Product, Project, built_file};

/// Returns the error alone, on every engine the same.
fn refusal(outcome: &Outcome) -> &str {
    outcome.stderr.lines().next().unwrap_or_default()
}

#[test]
fn what_no_engine_takes_is_refused_with_its_place_before_anything_runs() {
    let (postgres, mariadb) = (Postgres::fresh(), Product::MariaDb.fresh());
    let urls =
        [("sqlite", "sqlite:birds.db".to_owned()), ("postgres", postgres.url()), ("mysql", mariadb.url())];
    for (text, refused, place) in [
        (&b"SELECT 1;\nSELECT 'a\0b';\n"[..], "a NUL byte", "2:10"),
        (b"SELECT 1;\nSELECT 'caf\xe9';\n", "the text is not UTF-8 from here on", "2:12"),
        (b"SELECT 1;\nSELECT 'open;\n", "the string that begins here is never closed", "2:8"),
        (b"SELECT 1; /* open", "the comment that begins here is never closed", "1:11"),
    ] {
        for (folder, url) in &urls {
            let project = Project::new()
                .file(&format!("migrations/{folder}/001_first.sql"), "CREATE TABLE first (id int);\n")
                .file(&format!("migrations/{folder}/002_wrong.sql"), text);
            let outcome = project.run(["up", folder, "--url", url]).exits(4);
            assert_eq!(refusal(&outcome), format!("error[script]: {refused}"), "{folder}");
            let place = format!("\n  --> migrations/{folder}/002_wrong.sql:{place}\n");
            assert!(outcome.mentions(&place) && outcome.mentions("state: nothing was run"), "{outcome:?}");
        }
    }
    let tables =
        "SELECT count(*) FROM information_schema.tables WHERE table_name IN ('first', 'whimbrel_migrations')";
    assert_eq!(postgres.lines(tables), ["0"]);
    assert_eq!(mariadb.lines(&format!("{tables} AND table_schema = DATABASE()")), ["0"]);
}

// The excerpt under the message held the whole line.
#[test]
fn of_a_line_as_long_as_a_file_no_more_is_shown_than_fits() {
    let project = empty();
    let path = "migrations/sqlite/001_long.sql";
    let statement = format!("INSERT INTO a VALUES (length('{}'));", "x".repeat(100_000));
    let text = format!("CREATE TABLE a (id);{}INSERT INTO nowhere VALUES (1);", statement.repeat(100));
    project.write(path, text);
    let outcome = project.run(["up"]).exits(1);
    assert!(
        outcome.mentions("error[statement]: no such table: nowhere\n  --> migrations/sqlite/001_long.sql:1:")
    );
    assert!(outcome.stderr.len() < 1000, "{}", outcome.stderr);
    // There is no place for a mark in what is shown of the line.
    assert!(!outcome.mentions("^"), "{}", outcome.stderr);
    assert_eq!(tables(&project), [""; 0]);
}

#[test]
fn a_disk_that_is_full_takes_the_migration_back() {
    let project = project();
    let _ = project.run(["up", "--to", "001"]).exits(0);
    project.write(
        "migrations/sqlite/002_sites.sql",
        "PRAGMA max_page_count = 12;\nCREATE TABLE sites (name TEXT);\n\
         INSERT INTO sites VALUES (hex(zeroblob(40000)));\n",
    );
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: database or disk is full
      --> migrations/sqlite/002_sites.sql:3:1
      3 | INSERT INTO sites VALUES (hex(zeroblob(40000)));
        | ^
    state: `002_sites` was rolled back
    hint: make room for the database, then run `whimbrel up sqlite` again
    ");
    assert_eq!(tables(&project), ["species"]);
    assert_eq!(history(&project), ["1|001_species|1|up|applied|1 of 1"]);
}

/// Runs as somebody whom rights bind: root may write whatever is read-only.
fn bound_by_rights(project: &Project, arguments: &[&str]) -> Outcome {
    let program = built_file("whimbrel");
    if !geteuid().is_root() {
        return project.program(program, arguments).run();
    }
    let setpriv = ["--bounding-set=-dac_override,-dac_read_search", program.to_str().expect("cargo's path")];
    project.program("setpriv", [&setpriv, arguments].concat()).run()
}

fn set_mode(project: &Project, path: &str, mode: u32) {
    fs::set_permissions(project.path(path), Permissions::from_mode(mode)).expect("it is ours");
}

#[test]
fn a_file_that_is_read_only_can_be_looked_at_and_is_left_as_it_is() {
    let project = project();
    let _ = project.run(["up", "--to", "001"]).exits(0);
    set_mode(&project, "birds.db", 0o444);
    assert_snapshot!(bound_by_rights(&project, &["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: cannot write to the history table `main.whimbrel_migrations`
      `002_sites` was about to begin
      caused by: attempt to write a readonly database
    state: nothing was run
    hint: connect to a server that takes writes, or make the file and its folder writable
    ");
    let _ = bound_by_rights(&project, &["status"]).exits(0);
    let _ = bound_by_rights(&project, &["verify"]).exits(0);
    let _ = project.run(["up", "--url", "file:birds.db?mode=ro"]).exits(4);
    assert_eq!(tables(&project), ["species"]);
}

#[test]
fn a_folder_that_is_read_only_takes_no_new_database() {
    let project = project().file("shelf/.keep", "");
    set_mode(&project, "shelf", 0o555);
    let outcome = bound_by_rights(&project, &["up", "--url", "sqlite:shelf/birds.db"]);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 8
    --- stdout
    --- stderr
    error[connection]: cannot reach sqlite:shelf/birds.db
      caused by: unable to open database file: file:shelf/birds.db
    hint: it cannot be created: look at the rights of the folder `shelf`; the url comes from `--url` (command line)
    ");
    set_mode(&project, "shelf", 0o755);
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_is() {
    let text = "A letter about birds, long enough to be taken for the first page of something. ".repeat(20);
    let project = project().file("birds.db", &text);
    let outcome = project.run(["up"]).exits(4);
    assert!(outcome.mentions("caused by: file is not a database\nstate: nothing was run"), "{outcome:?}");
    assert_eq!(project.read("birds.db"), text);
}

#[test]
fn a_history_that_would_be_gone_with_the_session_is_refused() {
    let project = project();
    let outcome = project.run(["up", "--table", "temp.notes"]).exits(4);
    assert!(outcome.mentions("the history table `temp.notes`\n"), "{outcome:?}");
    assert_eq!(tables(&project), [""; 0]);
}

/// Returns a project whose first migration is applied, in a history without constraints that was edited by hand.
fn edited_by_hand(edit: &str) -> Project {
    let project = project();
    let _ = project.run(["up", "--to", "001"]).exits(0);
    database(&project).execute(&format!(
        "CREATE TABLE copy AS SELECT * FROM whimbrel_migrations; DROP TABLE whimbrel_migrations; \
         ALTER TABLE copy RENAME TO whimbrel_migrations; {edit}"
    ));
    project
}

#[test]
fn a_row_that_was_written_by_hand_is_refused_with_the_column() {
    for (edit, told) in [
        ("state = 'paused'", "its `state` is `paused`"),
        ("state = NULL", "its `state` is empty or of another type"),
        ("direction = 'sideways'", "its `direction` is `sideways`"),
        ("attempt = 'many'", "its `attempt` is `many`"),
        ("statements_done = -1", "its `statements_done` is `-1`"),
        ("statements_total = x'00'", "its `statements_total` is empty or of another type"),
        ("position = NULL", "its `position` is empty or of another type"),
    ] {
        let project = edited_by_hand(&format!("UPDATE whimbrel_migrations SET {edit}"));
        for command in ["up", "down", "status", "verify", "history", "plan"] {
            // Of what was applied and nothing more, `up` does not read how many statements it had.
            if command == "up" && edit.starts_with("statements") {
                continue;
            }
            let outcome = project.run([command]).exits(4);
            assert!(refusal(&outcome).ends_with("cannot be understood"), "{edit}: {outcome:?}");
            let hint = "\nhint: was it written by hand, or by a newer version of whimbrel?";
            assert!(outcome.mentions(told) && outcome.mentions(hint), "{edit}: {outcome:?}");
        }
        assert_eq!(tables(&project), ["species"], "{edit}");
    }
}

// Two runs collide on the number of a row. Without the key both would have gone through.
#[test]
fn a_history_that_has_lost_its_key_is_refused() {
    let project = edited_by_hand("INSERT INTO whimbrel_migrations SELECT * FROM whimbrel_migrations");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: position 1 stands twice in the history table `main.whimbrel_migrations`
      its primary key is gone, and with it what keeps two runs apart
    state: nothing was run
    hint: remove the row that is too many, and make `position` the primary key again
    ");
    let _ = project.run(["status"]).exits(4);
    assert_eq!(tables(&project), ["species"]);
}

#[test]
fn a_row_that_was_removed_leaves_the_others_as_they_are() {
    let project = project();
    let _ = project.run(["up", "--to", "002"]).exits(0);
    database(&project)
        .execute("PRAGMA foreign_keys = OFF; DELETE FROM whimbrel_migrations WHERE position = 1");
    database(&project).execute("DROP TABLE species");
    let outcome = project.run(["up"]).exits(4);
    assert!(outcome.mentions("error[out-of-order]: `001_species` is pending"), "{outcome:?}");
    let _ = project.run(["up", "--allow-out-of-order"]).exits(0);
    let numbers = database(&project).lines("SELECT position, migration FROM whimbrel_migrations ORDER BY 1");
    assert_eq!(numbers, ["2|002_sites", "3|001_species", "4|003_counts"]);
}

#[test]
fn columns_of_a_newer_version_do_no_harm() {
    let project = project();
    let _ = project.run(["up", "--to", "001"]).exits(0);
    database(&project)
        .execute("ALTER TABLE whimbrel_migrations ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'");
    let _ = project.run(["up"]).exits(0);
    let _ = project.run(["verify"]).exits(0);
    assert_eq!(database(&project).lines("SELECT DISTINCT mood FROM whimbrel_migrations"), ["calm"]);
}

/// Leaves the row of a run that is gone, whose lease ends so far from now.
fn leave_started(database: &dyn Database, times: &str) {
    database.execute(&format!(
        "INSERT INTO whimbrel_migrations (position, previous, migration, attempt, direction, state, \
         statements_done, statements_total, lease_until, started_at, applied_by) VALUES \
         (2, 1, '002_sites', 1, 'up', 'started', 1, 3, {times}, 'ana@build-7 pid 4121')"
    ));
}

// A server's clock that was a day ahead when the run died kept everybody out for that day.
#[test]
fn a_lease_beyond_all_measure_keeps_nobody_out() {
    let (postgres, mariadb) = (Postgres::fresh(), Product::MariaDb.fresh());
    let sqlite = project();
    let server = Project::new()
        .file("migrations/postgres/001_species.sql", "CREATE TABLE species (id int);\n")
        .file("migrations/mysql/001_species.sql", "CREATE TABLE species (id int);\n")
        .file("migrations/postgres/002_sites.sql", "CREATE TABLE sites (id int);\n")
        .file("migrations/mysql/002_sites.sql", "CREATE TABLE sites (id int);\n");
    let up = |project: &Project, database: &dyn Database, more: &[&str]| {
        let folder = database.engine().adapter();
        project.run([&["up", folder, "--url", &database.url(), "--wait-for-runner", "10m"], more].concat())
    };
    let day = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+1 day')";
    for (project, database, times) in [
        (&sqlite, &database(&sqlite) as &dyn Database, format!("{day}, {day}")),
        (&server, &postgres, "now() + interval '1 day', now() + interval '1 day'".to_owned()),
        (&server, &mariadb, "now(3) + INTERVAL 1 DAY, now(3) + INTERVAL 1 DAY".to_owned()),
    ] {
        let _ = up(project, database, &["--to", "001"]).exits(0);
        leave_started(database, &times);
        let outcome = up(project, database, &[]).exits(5);
        assert!(outcome.mentions("of `002_sites` is gone"), "{outcome:?}");
    }
}

#[test]
fn a_lease_that_may_be_true_is_waited_for() {
    let project = project();
    let _ = project.run(["up", "--to", "001"]).exits(0);
    let soon = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+29 seconds')";
    leave_started(&database(&project), &format!("{soon}, {soon}"));
    let outcome = project.run(["up", "--wait-for-runner", "100ms"]).exits(6);
    assert!(outcome.mentions("waiting for another run (ana@build-7 pid 4121)"), "{outcome:?}");
}

/// A reader waits for a lock as well, and servers let it wait for ever.
#[test]
fn a_history_that_somebody_keeps_locked_is_given_up_in_time() {
    let (postgres, mariadb, mysql) = (Postgres::fresh(), Product::MariaDb.fresh(), Product::MySql.fresh());
    let project = Project::new()
        .file("migrations/postgres/001_species.sql", "CREATE TABLE species (id int);\n")
        .file("migrations/mysql/001_species.sql", "CREATE TABLE species (id int);\n");
    let mut on_postgres = postgres.client();
    let mut on_mysql = [mariadb.client(), mysql.client()];
    let databases: [&dyn Database; 3] = [&postgres, &mariadb, &mysql];
    let run = |command: &str, database: &dyn Database| {
        project.run([command, database.engine().adapter(), "--url", &database.url(), "--lock-timeout", "1s"])
    };
    for database in databases {
        let _ = run("up", database).exits(0);
    }
    on_postgres.batch_execute("BEGIN; LOCK TABLE whimbrel_migrations").expect("nobody else has it");
    for client in &mut on_mysql {
        client.query_drop("LOCK TABLES whimbrel_migrations WRITE").expect("nobody else has it");
    }
    for database in databases {
        for command in ["up", "status"] {
            let outcome = run(command, database).exits(6);
            assert!(outcome.mentions("another session keeps the history table"), "{outcome:?}");
        }
    }
}
