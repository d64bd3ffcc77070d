//! What lies in a folder of migrations, well-formed or not, and how it compares with what was applied.

use insta::assert_snapshot;
use whimbrel_tests::birds::{database, empty, history, project, tables};
use whimbrel_tests::{Database, Project};

#[track_caller]
fn succeed(project: &Project, arguments: &[&str]) {
    let _ = project.run(arguments).exits(0);
}

/// The columns of the history, as a user would write the table.
const OWN_TABLE: &str = "CREATE TABLE whimbrel_migrations (
    position INTEGER PRIMARY KEY, previous INTEGER REFERENCES whimbrel_migrations, migration TEXT NOT NULL,
    attempt INTEGER NOT NULL, direction TEXT NOT NULL, state TEXT NOT NULL, checksum TEXT,
    statements_done INTEGER NOT NULL, statements_total INTEGER NOT NULL, statement_checksums TEXT, lease_until TEXT,
    started_at TEXT NOT NULL, finished_at TEXT, duration_ms INTEGER, down_script TEXT, applied_by TEXT NOT NULL,
    note TEXT DEFAULT 'ours', UNIQUE (migration, attempt)
);
";

#[test]
fn the_three_forms_may_be_mixed() {
    let project =
        project().file("migrations/sqlite/2025-01-08-000001_old/up.sql", "CREATE TABLE old (id);\n");
    succeed(&project, &["up"]);
    assert_snapshot!(history(&project).join("\n"), @r"
    1|001_species|1|up|applied|1 of 1
    2|002_sites|1|up|applied|1 of 1
    3|003_counts|1|up|applied|1 of 1
    4|2025-01-08-000001_old|1|up|applied|1 of 1
    ");
    let _ = project.run(["down", "--steps", "4"]).exits(4);
    project.write("migrations/sqlite/2025-01-08-000001_old/down.sql", "DROP TABLE old;\n");
    succeed(&project, &["down", "--to", "0"]);
    assert_eq!(tables(&project), [""; 0]);
}

#[test]
fn metadata_toml_says_what_a_header_says() {
    let project = empty()
        .file("migrations/sqlite/001_vacuum/up.sql", "CREATE TABLE a (id);\nVACUUM;\n")
        .file("migrations/sqlite/001_vacuum/metadata.toml", "title = \"tidy up\"\ntransaction = false\n");
    assert_snapshot!(project.run(["plan"]).redacted(), @r"
    exit: 0
    --- stdout
    1 migration would run on sqlite, in this order

    -- up 001_vacuum: 2 statements, statement by statement, without a transaction
    CREATE TABLE a (id);
    VACUUM;
    --- stderr
    ");
    succeed(&project, &["up"]);
    project.write("migrations/sqlite/002_wrong/up.sql", "");
    project.write("migrations/sqlite/002_wrong/metadata.toml", "tilte = \"x\"\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r#"
    exit: 4
    --- stdout
    --- stderr
    error[metadata]: unknown key `tilte`
      --> migrations/sqlite/002_wrong/metadata.toml:1:1
      1 | tilte = "x"
        | ^
    state: nothing was run
    hint: did you mean `title`?
    "#);
}

#[test]
fn a_rollback_header_is_the_down_script() {
    let project = empty().file(
        "migrations/sqlite/001_birds.sql",
        "-- Migration: birds\n-- Rollback: DROP TABLE nests;\n-- Rollback: DROP TABLE birds;\n\
         CREATE TABLE birds (id);\nCREATE TABLE nests (id);\n",
    );
    succeed(&project, &["up"]);
    assert_snapshot!(project.run(["down", "--dry-run"]).redacted(), @r"
    exit: 0
    --- stdout
    1 migration would run on sqlite, in this order

    -- down 001_birds: 2 statements, in one transaction
                 DROP TABLE nests;
                 DROP TABLE birds;
    --- stderr
    ");
    succeed(&project, &["down"]);
    assert_eq!(tables(&project), [""; 0]);
}

#[test]
fn a_mistake_in_a_rollback_header_is_shown_in_its_line() {
    let project = empty().file(
        "migrations/sqlite/001_birds.sql",
        "-- Migration: birds\n-- Rollback: DROP TABEL birds;\nCREATE TABLE birds (id);\n",
    );
    succeed(&project, &["up"]);
    assert_snapshot!(project.run(["down"]).redacted(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: near "TABEL": syntax error
      --> migrations/sqlite/001_birds.sql:2:19
      2 |              DROP TABEL birds;
        |                   ^
    state: `001_birds` is still applied; what its down script did was rolled back
    hint: fix the file and run `whimbrel down sqlite` again
    "#);
}

#[test]
fn the_users_own_history_table_is_created_once() {
    let project = project().file("migrations/sqlite/000_migrations_table.sql", OWN_TABLE);
    succeed(&project, &["up", "--steps", "1"]);
    succeed(&project, &["up"]);
    assert_snapshot!(history(&project).join("\n"), @r"
    1|001_species|1|up|applied|1 of 1
    2|002_sites|1|up|applied|1 of 1
    3|003_counts|1|up|applied|1 of 1
    ");
    let notes = database(&project).lines("SELECT DISTINCT note FROM whimbrel_migrations");
    assert_eq!(notes, ["ours"]);
    assert_eq!(project.run(["status", "--exit-code"]).code, Some(0));
}

#[test]
fn a_history_table_without_our_columns_is_refused_and_taken_back() {
    let project = project().file(
        "migrations/sqlite/000_migrations_table.sql",
        "CREATE TABLE whimbrel_migrations (version TEXT);\n",
    );
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: cannot create the history table `main.whimbrel_migrations`
      --> migrations/sqlite/000_migrations_table.sql
      caused by: no such column: position
    state: nothing was run
    hint: the table that this file creates must have the name and columns of the history
    ");
    assert_eq!(database(&project).lines("SELECT name FROM sqlite_schema"), [""; 0]);
    project.write("migrations/sqlite/000_migrations_table.sql", "CREATE TABLE something_else (id);\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: cannot create the history table `main.whimbrel_migrations`
      --> migrations/sqlite/000_migrations_table.sql
      caused by: no such table: main.whimbrel_migrations
    state: nothing was run
    hint: the table that this file creates must have the name and columns of the history
    ");
    assert_eq!(database(&project).lines("SELECT name FROM sqlite_schema"), [""; 0]);
}

#[test]
fn a_mistake_in_the_file_of_the_history_table_is_shown_with_its_place() {
    let project = project().file(
        "migrations/sqlite/000_migrations_table.sql",
        "-- ours\nCREATE TABEL whimbrel_migrations (version TEXT);\n",
    );
    assert_snapshot!(project.run(["up"]).redacted(), @r#"
    exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: cannot create the history table `main.whimbrel_migrations`
      --> migrations/sqlite/000_migrations_table.sql:2:8
      2 | CREATE TABEL whimbrel_migrations (version TEXT);
        |        ^
      caused by: near "TABEL": syntax error
    state: nothing was run
    "#);
}

#[test]
fn a_table_of_that_name_that_is_not_ours_is_left_alone() {
    let project = project();
    database(&project).execute("CREATE TABLE whimbrel_migrations (version TEXT)");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: cannot read the history table `whimbrel_migrations`
      caused by: no such column: position
    state: nothing was run
    hint: if `whimbrel_migrations` belongs to another tool, keep the history elsewhere with `--table NAME`
    ");
    assert_eq!(tables(&project), [""; 0]);
}

#[test]
fn a_file_without_statements_is_applied() {
    let project = empty()
        .file("migrations/sqlite/001_empty.sql", "")
        .file("migrations/sqlite/002_words.sql", "-- nothing to do here\n/* nor here */ ;;\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  001_empty  [N] ms
    applied  002_words  [N] ms
    2 migrations applied to sqlite, now at 002_words
    --- stderr
    ");
    assert_snapshot!(history(&project).join("\n"), @r"
    1|001_empty|1|up|applied|0 of 0
    2|002_words|1|up|applied|0 of 0
    ");
}

#[test]
fn a_byte_order_mark_and_line_ends_do_not_change_a_file() {
    let project = project();
    succeed(&project, &["up"]);
    let text = project.read("migrations/sqlite/002_sites.sql");
    project.write(
        "migrations/sqlite/002_sites.sql",
        format!("\u{feff}{}\r\n\r\n", text.trim_end().replace('\n', "\r\n")),
    );
    succeed(&project, &["verify"]);
    succeed(&project, &["redo", "--steps", "2"]);
    project.write("migrations/sqlite/002_sites.sql", text.replace("(name", "( name"));
    let _ = project.run(["verify"]).exits(1);
}

#[test]
fn text_that_is_not_utf_8_is_refused_before_anything_runs() {
    let project = project()
        .file("migrations/sqlite/004_latin.sql", b"CREATE TABLE a (id);\nSELECT 'caf\xe9';\n")
        .file("migrations/sqlite/005_wide.sql", b"\xff\xfeS\0E\0");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[file-unreadable]: the text is UTF-16, and scripts are UTF-8
      --> migrations/sqlite/005_wide.sql
    state: nothing was run
    hint: save it as UTF-8, for example with `iconv -f UTF-16 -t UTF-8 migrations/sqlite/005_wide.sql`
    ");
    project.remove("migrations/sqlite/005_wide.sql");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[script]: the text is not UTF-8 from here on
      --> migrations/sqlite/004_latin.sql:2:12
      2 | SELECT 'caf�';
        |            ^
    state: nothing was run
    ");
    assert!(!project.path("birds.db").exists() || tables(&project).is_empty());
}

#[test]
fn every_problem_of_a_folder_is_reported_at_once() {
    let project = project()
        .file("migrations/sqlite/002_again.sql", "")
        .file("migrations/sqlite/005_gone.down.sql", "")
        .file("migrations/sqlite/v6_name.sql", "")
        .file("migrations/sqlite/007_twice.sql", "")
        .file("migrations/sqlite/007_twice.up.sql", "")
        .file("migrations/sqlite/008_needs.sql", "-- depends: 001_speceis\n")
        .file("migrations/sqlite/009_hollow/readme.txt", "");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[file-name]: `009_hollow` holds no `up.sql`
      --> migrations/sqlite/009_hollow
    state: nothing was run
    hint: add `up.sql`, or delete the directory

    error[file-name]: `v6_name.sql` is no migration's name: a migration is called by its version, `_` and a name
      --> migrations/sqlite/v6_name.sql
    state: nothing was run
    hint: rename it to `6_name.sql`

    error[down-without-up]: `005_gone` has a down script and no up script
      --> migrations/sqlite/005_gone.down.sql
    state: nothing was run
    hint: add the up script of `005_gone`, or delete this file

    error[duplicate-file]: `007_twice` has 2 up scripts
      --> migrations/sqlite/007_twice.sql
      --> migrations/sqlite/007_twice.up.sql
    state: nothing was run
    hint: keep one of them

    error[duplicate-version]: two files have version 2
      --> migrations/sqlite/002_again.sql
      --> migrations/sqlite/002_sites.sql
    state: nothing was run
    hint: rename the newer one to 009

    error[dependency-missing]: `008_needs` depends on `001_speceis`, which is not there
      --> migrations/sqlite/008_needs.sql:1:13
      1 | -- depends: 001_speceis
        |             ^
    state: nothing was run
    hint: did you mean `001_species`?
    ");
    assert!(!project.path("birds.db").exists());
}

#[test]
fn an_edited_file_stops_the_run_before_any_statement() {
    let project = project();
    succeed(&project, &["up", "--steps", "1"]);
    project.write("migrations/sqlite/001_species.up.sql", "CREATE TABLE species (id);\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[edited-after-apply]: `001_species` changed after it was applied
      --> migrations/sqlite/001_species.up.sql
      applied [TIME] with checksum v1:33e85d81, the file now has v1:592e1f98
    state: nothing was run
    hint: restore the file and put the change in a new migration; to keep the edit, `whimbrel repair sqlite 001_species --accept-checksum`
    ");
    assert_eq!(tables(&project), ["species"]);
}

#[test]
fn a_missing_file_stops_the_run_before_any_statement() {
    let project = project();
    succeed(&project, &["up", "--steps", "2"]);
    project.remove("migrations/sqlite/002_sites.sql");
    let runner = [(r"\S+@\S+ pid \d+, whimbrel [\d.]+, sqlite [\d.]+", "[RUNNER]")];
    assert_snapshot!(project.run(["up"]).redacted_with(&runner), @r"
    exit: 4
    --- stdout
    --- stderr
    error[file-missing]: `002_sites` is applied and its file is gone
      applied [TIME] by [RUNNER]
    state: nothing was run
    hint: restore the file: was it renamed, or is it on another branch?
    ");
    assert_eq!(tables(&project), ["sites", "species"]);
}

#[test]
fn a_late_migration_runs_only_when_allowed() {
    let project = project();
    succeed(&project, &["up", "--steps", "1"]);
    succeed(&project, &["repair", "003", "--applied"]);
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[out-of-order]: `002_sites` is pending and older than `003_counts`
      --> migrations/sqlite/002_sites.sql
      `003_counts` is already applied
    state: nothing was run
    hint: give it a version after the newest one, or run it late with `--allow-out-of-order`
    ");
    assert_eq!(tables(&project), ["species"]);
    let _ = project.run(["verify"]).exits(1);
    assert_snapshot!(project.run(["up", "--allow-out-of-order"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  002_sites  [N] ms
    1 migration applied to sqlite, now at 003_counts
    --- stderr
    ");
}

#[test]
fn a_migration_whose_dependency_is_not_there_is_refused() {
    let project = project()
        .file("migrations/sqlite/004_nests.sql", "-- depends: 009_later\nCREATE TABLE nests (id);\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[dependency-missing]: `004_nests` depends on `009_later`, which is not there
      --> migrations/sqlite/004_nests.sql:1:13
      1 | -- depends: 009_later
        |             ^
    state: nothing was run
    hint: name a migration of this folder by its id
    ");
}

#[test]
fn what_is_wrong_with_files_history_and_scripts_is_told_together() {
    let project = project();
    let _ = project.run(["up", "--to", "001"]).exits(0);
    project.write("migrations/sqlite/001_species.up.sql", "CREATE TABLE species (edited INTEGER);\n");
    project.write("migrations/sqlite/004_open.sql", "SELECT 'never closed;\n");
    for command in [["up"], ["verify"]] {
        let outcome = project.run(command);
        for name in ["error[edited-after-apply]", "error[script]"] {
            assert!(outcome.stderr.contains(name), "{command:?} {outcome:?}");
        }
    }
}
