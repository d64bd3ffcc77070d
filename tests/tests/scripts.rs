//! Scripts as people write them, on SQLite: failures, transactions, settings around them, and what is refused.

use std::fs;

use insta::assert_snapshot;
use whimbrel_tests::birds::{database, empty, history, project, tables};
use whimbrel_tests::{Database, Project};

#[track_caller]
fn succeed(project: &Project, arguments: &[&str]) {
    let _ = project.run(arguments).exits(0);
}

/// Returns a project with this one migration.
fn one(text: impl AsRef<[u8]>) -> Project {
    empty().file("migrations/sqlite/001_one.sql", text)
}

/// Two tables, of which the second points to the first, with rows.
const PARENT_AND_CHILD: &str = "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id) ON DELETE CASCADE);
INSERT INTO parent VALUES (1, 'one'), (2, 'two');
INSERT INTO child VALUES (10, 1), (20, 2);
";

/// The rebuild of a table that SQLite's manual advises.
const REBUILD: &str = "PRAGMA foreign_keys = OFF;
CREATE TABLE parent_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO parent_new SELECT id, name FROM parent;
DROP TABLE parent;
ALTER TABLE parent_new RENAME TO parent;
PRAGMA foreign_keys = ON;
";

#[test]
fn a_failing_statement_rolls_its_migration_back_and_keeps_the_ones_before() {
    let project = project()
        .file(
            "migrations/sqlite/003_counts/up.sql",
            "CREATE TABLE counts (seen INTEGER);\n\n-- the mistake\nCREATE INDEX by_day\n    ON counts (dya);\n\
             INSERT INTO counts VALUES (1);\n",
        )
        .file("migrations/sqlite/004_more.sql", "CREATE TABLE more (id);\n")
        .file("migrations/sqlite/005_most.sql", "CREATE TABLE most (id);\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 1
    --- stdout
    applied  001_species  [N] ms
    applied  002_sites  [N] ms
    --- stderr
    error[statement]: no such column: dya
      --> migrations/sqlite/003_counts/up.sql:5:16
      5 |     ON counts (dya);
        |                ^
    state: `003_counts` was rolled back; `001_species` and `002_sites` were applied in this run and stay
    hint: fix the file and run `whimbrel up sqlite` again
    ");
    assert_eq!(tables(&project), ["sites", "species"]);
    assert_snapshot!(history(&project).join("\n"), @r"
    1|001_species|1|up|applied|1 of 1
    2|002_sites|1|up|applied|1 of 1
    ");
    project.write("migrations/sqlite/003_counts/up.sql", "CREATE TABLE counts (seen INTEGER);\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  003_counts  [N] ms
    applied  004_more  [N] ms
    applied  005_most  [N] ms
    3 migrations applied to sqlite, now at 005_most
    --- stderr
    ");
}

#[test]
fn a_syntax_error_is_shown_at_its_column() {
    let project = one("CREATE TABLE a (id);\n\tCREATE TABEL b (id);\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: near "TABEL": syntax error
      --> migrations/sqlite/001_one.sql:2:9
      2 | 	CREATE TABEL b (id);
        | 	       ^
    state: `001_one` was rolled back
    hint: fix the file and run `whimbrel up sqlite` again
    "#);
}

#[test]
fn a_failing_down_leaves_the_migration_applied() {
    let project =
        project().file("migrations/sqlite/003_counts/down.sql", "DROP TABLE counts;\nDROP TABLE nowhere;\n");
    succeed(&project, &["up"]);
    assert_snapshot!(project.run(["down", "--steps", "2"]).redacted(), @r"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: no such table: nowhere
      --> migrations/sqlite/003_counts/down.sql:2:1
      2 | DROP TABLE nowhere;
        | ^
    state: `003_counts` is still applied; what its down script did was rolled back
    hint: fix the file and run `whimbrel down sqlite` again
    ");
    assert_eq!(tables(&project), ["counts", "sites", "species"]);
}

#[test]
fn one_transaction_around_the_whole_file_becomes_ours() {
    let project = one("BEGIN;\nCREATE TABLE a (id);\nCREATE TABLE b (id;\nCOMMIT;\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: incomplete input
      --> migrations/sqlite/001_one.sql:3:1
      3 | CREATE TABLE b (id;
        | ^
    state: `001_one` was rolled back
    hint: fix the file and run `whimbrel up sqlite` again
    ");
    project.write(
        "migrations/sqlite/001_one.sql",
        "-- made by a dump\nBEGIN TRANSACTION;\nCREATE TABLE a (id);\nCREATE TABLE b (id);\nEND;\n",
    );
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  001_one  [N] ms
    1 migration applied to sqlite, now at 001_one
    --- stderr
    ");
    assert_eq!(tables(&project), ["a", "b"]);
}

#[test]
fn other_transaction_control_is_refused_before_anything_runs() {
    let project = project()
        .file("migrations/sqlite/004_split.sql", "CREATE TABLE a (id);\nCOMMIT;\nCREATE TABLE b (id);\n")
        .file("migrations/sqlite/005_twice.sql", "BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN;\nSELECT 2;\nCOMMIT;\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[transaction-control]: `COMMIT` inside a migration
      --> migrations/sqlite/004_split.sql:2:1
      2 | COMMIT;
        | ^
      every migration runs in a transaction of its own; this would end or split it
    state: nothing was run
    hint: take it out, or split the file; one BEGIN … COMMIT around everything is fine

    error[transaction-control]: `BEGIN` inside a migration
      --> migrations/sqlite/005_twice.sql:1:1
      1 | BEGIN;
        | ^
      every migration runs in a transaction of its own; this would end or split it
    state: nothing was run
    hint: take it out, or split the file; one BEGIN … COMMIT around everything is fine

    error[transaction-control]: `COMMIT` inside a migration
      --> migrations/sqlite/005_twice.sql:3:1
      3 | COMMIT;
        | ^
      every migration runs in a transaction of its own; this would end or split it
    state: nothing was run
    hint: take it out, or split the file; one BEGIN … COMMIT around everything is fine

    error[transaction-control]: `BEGIN` inside a migration
      --> migrations/sqlite/005_twice.sql:4:1
      4 | BEGIN;
        | ^
      every migration runs in a transaction of its own; this would end or split it
    state: nothing was run
    hint: take it out, or split the file; one BEGIN … COMMIT around everything is fine

    error[transaction-control]: `COMMIT` inside a migration
      --> migrations/sqlite/005_twice.sql:6:1
      6 | COMMIT;
        | ^
      every migration runs in a transaction of its own; this would end or split it
    state: nothing was run
    hint: take it out, or split the file; one BEGIN … COMMIT around everything is fine
    ");
    assert_eq!(project.run(["verify"]).code, Some(1));
    assert!(!project.path("birds.db").exists() || tables(&project).is_empty());
}

#[test]
fn savepoints_inside_a_file_are_its_own_affair() {
    let project = one(
        "SAVEPOINT here;\nCREATE TABLE a (id);\nROLLBACK TO here;\nRELEASE here;\nCREATE TABLE b (id);\n",
    );
    succeed(&project, &["up"]);
    assert_eq!(tables(&project), ["b"]);
}

#[test]
fn a_table_that_others_point_to_can_be_rebuilt() {
    let project = one(PARENT_AND_CHILD).file("migrations/sqlite/002_rebuild.sql", REBUILD);
    let outcome = project.run(["up", "-v"]);
    assert_snapshot!(outcome.redacted_with(&[(r"library   \S+", "library   [FILE]")]), @r"
    exit: 0
    --- stdout
    applied  001_one  [N] ms
    applied  002_rebuild  [N] ms
    2 migrations applied to sqlite, now at 002_rebuild
    --- stderr
    adapter   sqlite 0.1.0: the folder has the name of the adapter `sqlite`
    library   [FILE]
    url       sqlite:birds.db, from plugins.toml:4:7
    note: 002_rebuild, line 1: `PRAGMA foreign_keys = OFF` has no effect inside a transaction: it is set around the whole file and put back after it
    ");
    // Dropping the parent with foreign keys on would have deleted them.
    assert_eq!(database(&project).lines("SELECT * FROM child"), ["10|1", "20|2"]);
}

#[test]
fn a_rebuild_that_loses_rows_is_rolled_back() {
    let project = one(PARENT_AND_CHILD).file(
        "migrations/sqlite/002_rebuild.sql",
        REBUILD.replace("FROM parent;", "FROM parent WHERE id = 1;"),
    );
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 1
    --- stdout
    applied  001_one  [N] ms
    --- stderr
    note: 002_rebuild, line 1: `PRAGMA foreign_keys = OFF` has no effect inside a transaction: it is set around the whole file and put back after it
    error[statement]: foreign key check: `child` points to rows that `parent` does not have (1 of them)
      --> migrations/sqlite/002_rebuild.sql
      after its last statement
    state: `002_rebuild` was rolled back; `001_one` was applied in this run and stays
    hint: fix the file and run `whimbrel up sqlite` again
    ");
    assert_eq!(database(&project).lines("SELECT * FROM parent"), ["1|one", "2|two"]);
}

#[test]
fn a_rebuild_tolerates_what_was_wrong_before() {
    let project = one(format!(
        "{PARENT_AND_CHILD}PRAGMA foreign_keys = OFF;\nINSERT INTO child VALUES (30, 3);\nPRAGMA foreign_keys = ON;\n"
    ));
    assert_eq!(project.run(["up"]).code, Some(1));
    let client = database(&project).client();
    client
        .execute_batch(&format!(
            "PRAGMA foreign_keys = OFF; {PARENT_AND_CHILD} INSERT INTO child VALUES (30, 3);"
        ))
        .expect("the rows go in unchecked");
    project.write("migrations/sqlite/001_one.sql", REBUILD);
    succeed(&project, &["up"]);
    assert_eq!(database(&project).lines("SELECT * FROM child"), ["10|1", "20|2", "30|3"]);
}

#[test]
fn a_setting_that_a_file_leaves_behind_does_not_reach_the_next_one() {
    let project =
        one(format!("{PARENT_AND_CHILD}PRAGMA foreign_keys = OFF;\nPRAGMA recursive_triggers = ON;\n")).file(
            "migrations/sqlite/002_next.sql",
            "CREATE TABLE seen AS SELECT (SELECT foreign_keys FROM pragma_foreign_keys) AS keys, \
         (SELECT recursive_triggers FROM pragma_recursive_triggers) AS triggers;\n",
        );
    succeed(&project, &["up"]);
    assert_eq!(database(&project).lines("SELECT * FROM seen"), ["1|0"]);
}

/// What a script creates for its session alone would otherwise be there under the next one, and stand before the tables
/// of the same name that it means.
#[test]
fn attached_databases_and_temporary_tables_of_a_file_do_not_reach_the_next_one() {
    let attached = "ATTACH 'other.db' AS other;\nCREATE TABLE other.notes (text);\n";
    let temporary = "CREATE TEMP TABLE birds (name);
CREATE TEMP VIEW \"all \"\"birds\" AS SELECT * FROM birds;
CREATE TEMP TRIGGER seen AFTER INSERT ON birds BEGIN SELECT 1; END;
";
    let both = format!("{attached}{temporary}");
    let firsts = [attached, temporary, both.as_str()];
    for (header, first) in firsts.into_iter().flat_map(|first| [("", first), ("-- no-transaction\n", first)])
    {
        let project = one(format!("{header}{first}")).file(
            "migrations/sqlite/002_next.sql",
            "CREATE TABLE left AS SELECT (SELECT count(*) FROM pragma_database_list WHERE name = 'other') AS databases, \
             (SELECT count(*) FROM sqlite_temp_schema) AS objects;\n",
        );
        succeed(&project, &["up"]);
        assert_eq!(database(&project).lines("SELECT * FROM left"), ["0|0"], "{header}{first}");
    }
}

#[test]
fn vacuum_runs_alone_and_without_a_transaction() {
    let project = project().file("migrations/sqlite/004_tidy.sql", "-- tidy up\nVACUUM;\n");
    assert_snapshot!(project.run(["up", "--dry-run", "--steps", "4"]).redacted(), @r"
    exit: 0
    --- stdout
    4 migrations would run on sqlite, in this order

    -- up 001_species: 1 statement, in one transaction
    CREATE TABLE species (id INTEGER PRIMARY KEY, name TEXT NOT NULL);

    -- up 002_sites: 1 statement, in one transaction
    -- Migration: where we watch
    -- Rollback: DROP TABLE sites;

    CREATE TABLE sites (name TEXT);

    -- up 003_counts: 1 statement, in one transaction
    CREATE TABLE counts (seen INTEGER);

    -- up 004_tidy: 1 statement, statement by statement, without a transaction
    -- tidy up
    VACUUM;
    --- stderr
    ");
    succeed(&project, &["up"]);
    assert_snapshot!(history(&project).join("\n"), @r"
    1|001_species|1|up|applied|1 of 1
    2|002_sites|1|up|applied|1 of 1
    3|003_counts|1|up|applied|1 of 1
    4|004_tidy|1|up|applied|1 of 1
    ");
}

#[test]
fn vacuum_among_other_statements_is_refused() {
    let project = project().file("migrations/sqlite/004_tidy.sql", "DELETE FROM counts;\nVACUUM;\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[mixed-transaction]: `VACUUM` cannot run in a transaction, and the rest of the file needs one
      --> migrations/sqlite/004_tidy.sql:2:1
      2 | VACUUM;
        | ^
    state: nothing was run
    hint: move it to a migration of its own; or add `-- no-transaction` and accept that a failure leaves the statements before it in the database
    ");
    assert!(!project.path("birds.db").exists() || tables(&project).is_empty());
}

#[test]
fn without_a_transaction_a_failure_is_exact_to_the_statement() {
    let project =
        one("-- no-transaction\nCREATE TABLE a (id INTEGER PRIMARY KEY);\nINSERT INTO a VALUES (1);\n\
         INSERT INTO a VALUES (1);\nCREATE TABLE b (id);\n")
        .file("migrations/sqlite/002_two.sql", "CREATE TABLE c (id);\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 5
    --- stdout
    --- stderr
    error[partly-applied]: `001_one` stopped after 2 of 4 statements, and they cannot be undone
      --> migrations/sqlite/001_one.sql:4:1
      4 | INSERT INTO a VALUES (1);
        | ^
      caused by: UNIQUE constraint failed: a.id
    state: statements 1-2 of `001_one` are in the database; nothing else runs until it is settled
    hint: fix statement 3 and run `whimbrel up sqlite` again, which goes on there; or settle it by hand and say so: `whimbrel repair sqlite 001_one --applied` or `--reverted`
    ");
    assert_eq!(tables(&project), ["a"]);
    assert_snapshot!(history(&project).join("\n"), @"1|001_one|1|up|failed|2 of 4");
    let runner = [(r"\S+@\S+ pid \d+, whimbrel [\d.]+, sqlite [\d.]+", "[RUNNER]")];
    assert_snapshot!(project.run(["up"]).redacted_with(&runner), @r"
    exit: 5
    --- stdout
    --- stderr
    note: 001_one, goes on at statement 3 of 4: those before it are in the database
    error[partly-applied]: `001_one` stopped after 2 of 4 statements, and they cannot be undone
      --> migrations/sqlite/001_one.sql:4:1
      4 | INSERT INTO a VALUES (1);
        | ^
      caused by: UNIQUE constraint failed: a.id
    state: statements 1-2 of `001_one` are in the database; nothing else runs until it is settled
    hint: fix statement 3 and run `whimbrel up sqlite` again, which goes on there; or settle it by hand and say so: `whimbrel repair sqlite 001_one --applied` or `--reverted`
    ");
    assert_snapshot!(project.run(["status"]).redacted(), @r"
    exit: 0
    --- stdout
    started  001_one  [TIME]  [N] ms
    pending  002_two
    sqlite: 1 pending, 1 started
    --- stderr
    ");
    assert_eq!(project.run(["down"]).code, Some(5));
    assert_eq!(project.run(["verify"]).code, Some(1));

    database(&project).execute("CREATE TABLE b (id)");
    assert_snapshot!(project.run(["repair", "001", "--applied"]).redacted(), @r#"
    exit: 0
    --- stdout
    recorded 001_one as applied; no SQL of it was run
    --- stderr
    runs  BEGIN IMMEDIATE
    runs  INSERT INTO "main"."whimbrel_migrations" (position, previous, migration, attempt, direction, state, checksum, statements_done, statements_total, statement_checksums, lease_until, started_at, finished_at, duration_ms, down_script, applied_by) VALUES (3, 2, '001_one', 3, 'up', 'applied', 'v1:9ea379513ccf246eeb73c131fb47c2237f5f84baed59be4c27421f8bf5d4bf1f', 0, 0, 'v2:9e641cde04aaeff5:c201da2djdb58ca52jdb58ca52j24055fd7j', NULL, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 0, NULL, '[USER]@[HOST] pid [PID], whimbrel 0.1.0, sqlite 0.1.0')
    runs  COMMIT
    "#);
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  002_two  [N] ms
    1 migration applied to sqlite, now at 002_two
    --- stderr
    ");
}

/// The failure rolls back what the script began, and the count must not promise it.
#[test]
fn without_a_transaction_of_ours_the_scripts_own_is_counted_once_it_is_committed() {
    let project = one("-- no-transaction\nCREATE TABLE b (x);\nBEGIN;\nINSERT INTO b VALUES (1);\n\
         INSERT INTO b VALUES (2);\nINSERT INTO nowhere VALUES (3);\nCOMMIT;\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 5
    --- stdout
    --- stderr
    error[partly-applied]: `001_one` stopped after 1 of 6 statements, and they cannot be undone
      --> migrations/sqlite/001_one.sql:6:1
      6 | INSERT INTO nowhere VALUES (3);
        | ^
      caused by: no such table: nowhere
    state: statement 1 of `001_one` is in the database; nothing else runs until it is settled
    hint: fix statement 2 and run `whimbrel up sqlite` again, which goes on there; or settle it by hand and say so: `whimbrel repair sqlite 001_one --applied` or `--reverted`
    ");
    assert_eq!(database(&project).lines("SELECT * FROM b"), [""; 0]);
    assert_snapshot!(history(&project).join("\n"), @"1|001_one|1|up|failed|1 of 6");
}

#[test]
fn a_partly_applied_migration_can_be_settled_as_undone() {
    let project = one("-- no-transaction\nCREATE TABLE a (id);\nCREATE TABLE a (id);\n");
    let _ = project.run(["up"]).exits(5);
    database(&project).execute("DROP TABLE a");
    succeed(&project, &["repair", "001", "--reverted"]);
    project.write(
        "migrations/sqlite/001_one.sql",
        "-- no-transaction\nCREATE TABLE a (id);\nCREATE TABLE b (id);\n",
    );
    succeed(&project, &["up"]);
    assert_eq!(tables(&project), ["a", "b"]);
}

#[test]
fn a_failure_of_the_first_statement_without_a_transaction_leaves_nothing() {
    let project = one("-- no-transaction\nCREATE TABEL a (id);\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: near "TABEL": syntax error
      --> migrations/sqlite/001_one.sql:2:8
      2 | CREATE TABEL a (id);
        |        ^
    state: no statement of `001_one` is in the database
    hint: fix the file and run `whimbrel up sqlite` again
    "#);
    project.write("migrations/sqlite/001_one.sql", "-- no-transaction\nCREATE TABLE a (id);\n");
    succeed(&project, &["up"]);
    assert_snapshot!(history(&project).join("\n"), @r"
    1|001_one|1|up|failed|0 of 1
    2|001_one|2|up|applied|1 of 1
    ");
}

/// VACUUM runs in no transaction. The file that said so is gone when the stored script is needed.
#[test]
fn a_stored_script_still_knows_that_it_runs_without_a_transaction() {
    let project = empty()
        .file("migrations/sqlite/001_one/up.sql", "CREATE TABLE a (id);\n")
        .file("migrations/sqlite/001_one/down.sql", "DROP TABLE a;\nVACUUM;\n")
        .file("migrations/sqlite/001_one/metadata.toml", "transaction = false\n");
    succeed(&project, &["up"]);
    fs::remove_dir_all(project.path("migrations/sqlite/001_one")).expect("the directory is there");
    succeed(&project, &["down"]);
    assert_eq!(tables(&project), [""; 0]);
}

#[test]
fn triggers_keep_their_bodies() {
    let project = one("CREATE TABLE a (id, at TEXT);\nCREATE TABLE log (what TEXT);\n\
         CREATE TRIGGER noted AFTER INSERT ON a\nWHEN new.id > 0\nBEGIN\n  INSERT INTO log VALUES ('in; ' || new.id);\n  \
         UPDATE a SET at = CASE WHEN new.id = 1 THEN 'first' ELSE 'later' END WHERE id = new.id;\nEND;\n\
         INSERT INTO a (id) VALUES (1), (2);\n");
    succeed(&project, &["up"]);
    assert_eq!(database(&project).lines("SELECT * FROM a"), ["1|first", "2|later"]);
    assert_eq!(database(&project).lines("SELECT * FROM log"), ["in; 1", "in; 2"]);
    assert_eq!(history(&project), ["1|001_one|1|up|applied|4 of 4"]);
}

#[test]
fn statements_may_return_rows() {
    let project = one(
        "SELECT 1;\nCREATE TABLE a (id);\nINSERT INTO a VALUES (7) RETURNING id;\nPRAGMA user_version = 3;\n",
    );
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  001_one  [N] ms
    1 migration applied to sqlite, now at 001_one
    --- stderr
    ");
    assert_eq!(database(&project).lines("SELECT * FROM a"), ["7"]);
}

#[test]
fn a_string_without_an_end_is_refused_with_its_place() {
    let project = one("CREATE TABLE a (id);\nINSERT INTO a VALUES ('open);\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[script]: the string that begins here is never closed
      --> migrations/sqlite/001_one.sql:2:23
      2 | INSERT INTO a VALUES ('open);
        |                       ^
    state: nothing was run
    ");
    assert!(!project.path("birds.db").exists() || tables(&project).is_empty());
}

#[test]
fn a_violated_constraint_is_told_in_the_databases_words() {
    let project = one(
        "CREATE TABLE a (id INTEGER PRIMARY KEY);\nINSERT INTO a VALUES (1);\nINSERT INTO a VALUES (1);\n",
    );
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: UNIQUE constraint failed: a.id
      --> migrations/sqlite/001_one.sql:3:1
      3 | INSERT INTO a VALUES (1);
        | ^
    state: `001_one` was rolled back
    hint: fix the file and run `whimbrel up sqlite` again
    ");
}

/// What `.dump` of the shell writes, and the manual's recipe for a rebuild: a setting, and then the transaction.
#[test]
fn a_dump_sets_foreign_keys_before_its_transaction() {
    let project = one(format!(
        "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE child_first (parent REFERENCES later (id));\n\
         INSERT INTO child_first VALUES (1);\n{PARENT_AND_CHILD}CREATE TABLE later (id INTEGER PRIMARY KEY);\n\
         INSERT INTO later VALUES (1);\nCOMMIT;\n"
    ))
    .file(
        "migrations/sqlite/002_rebuild.sql",
        REBUILD.replace("OFF;", "OFF;\nBEGIN;").replace("PRAGMA foreign_keys = ON;", "COMMIT;\nPRAGMA main.foreign_keys(ON);"),
    );
    succeed(&project, &["up"]);
    assert_eq!(history(&project), ["1|001_one|1|up|applied|8 of 8", "2|002_rebuild|1|up|applied|4 of 4"]);
    assert_eq!(database(&project).lines("SELECT * FROM child"), ["10|1", "20|2"]);
}

#[test]
fn a_setting_with_a_schema_is_made_around_the_transaction_and_put_back() {
    let project = one(PARENT_AND_CHILD)
        .file(
            "migrations/sqlite/002_rebuild.sql",
            format!(
                "PRAGMA main.synchronous = OFF;\n{}",
                REBUILD.replace("foreign_keys", "Main . foreign_keys")
            ),
        )
        .file(
            "migrations/sqlite/003_next.sql",
            "CREATE TABLE seen AS SELECT (SELECT foreign_keys FROM pragma_foreign_keys) AS keys, \
             (SELECT synchronous FROM pragma_synchronous) AS synchronous;\n",
        );
    succeed(&project, &["up"]);
    assert_eq!(database(&project).lines("SELECT * FROM child"), ["10|1", "20|2"]);
    assert_eq!(database(&project).lines("SELECT keys, synchronous > 0 FROM seen"), ["1|1"]);
}

#[test]
fn a_rebuild_with_a_schema_before_the_setting_is_checked_as_well() {
    let lossy = REBUILD
        .replace("foreign_keys", "main.foreign_keys")
        .replace("FROM parent;", "FROM parent WHERE id = 1;");
    let project = one(PARENT_AND_CHILD).file("migrations/sqlite/002_rebuild.sql", lossy);
    let outcome = project.run(["up"]).exits(1);
    assert!(outcome.stderr.contains("foreign key check: `child`"), "{}", outcome.stderr);
    assert_eq!(database(&project).lines("SELECT * FROM parent"), ["1|one", "2|two"]);
}
