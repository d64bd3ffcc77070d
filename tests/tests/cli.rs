//! Every command of the program on SQLite: what it prints, how it exits, what it leaves in the database.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;
use whimbrel_tests::birds::{database, empty, history, project, tables};
use whimbrel_tests::{Database, Outcome, Project, Running, built_file, until};

/// Runs a command that has to succeed and whose output another test shows.
#[track_caller]
fn succeed(project: &Project, arguments: &[&str]) {
    let _ = project.run(arguments).exits(0);
}

/// Returns the outcome without what differs from machine to machine in a history: versions and the name of the user.
fn shown(outcome: &Outcome) -> String {
    outcome.redacted_with(&[(r"\S+@\S+ pid \d+, whimbrel [\d.]+, sqlite [\d.]+", "[RUNNER]")])
}

#[test]
fn up_applies_what_is_pending_and_says_where_the_database_is_now() {
    let project = project();
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  001_species  [N] ms
    applied  002_sites  [N] ms
    applied  003_counts  [N] ms
    3 migrations applied to sqlite, now at 003_counts
    --- stderr
    ");
    assert_eq!(tables(&project), ["counts", "sites", "species"]);
    assert_snapshot!(history(&project).join("\n"), @r"
    1|001_species|1|up|applied|1 of 1
    2|002_sites|1|up|applied|1 of 1
    3|003_counts|1|up|applied|1 of 1
    ");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 0
    --- stdout
    sqlite is up to date, at 003_counts
    --- stderr
    ");
}

#[test]
fn up_goes_as_far_as_it_is_told() {
    let project = project();
    assert_snapshot!(project.run(["up", "--steps", "1"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  001_species  [N] ms
    1 migration applied to sqlite, now at 001_species
    --- stderr
    ");
    assert_snapshot!(project.run(["up", "--to", "2"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  002_sites  [N] ms
    1 migration applied to sqlite, now at 002_sites
    --- stderr
    ");
    assert_snapshot!(project.run(["up", "sqlite", "--to", "003_counts"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  003_counts  [N] ms
    1 migration applied to sqlite, now at 003_counts
    --- stderr
    ");
    assert_snapshot!(project.run(["up", "--to", "004"]).redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[migration-unknown]: there is no migration `004`
    hint: the folder holds `001_species` to `003_counts`
    ");
    assert_snapshot!(project.run(["up", "--to", "00"]).redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[migration-unknown]: `00` is the beginning of 3 migrations
      `001_species`, `002_sites`, `003_counts`
    hint: name one in full
    ");
}

// It once said that the database is up to date, which a reader of the log believes.
#[test]
fn up_that_has_nothing_to_do_says_what_is_pending_all_the_same() {
    let project = project();
    succeed(&project, &["up", "--steps", "2"]);
    let mut told = String::new();
    for line in ["up --to 002", "up --to 001", "up --steps 0", "down --to 002"] {
        told += &project.run(line.split_whitespace()).exits(0).stdout;
    }
    succeed(&project, &["down", "--to", "0"]);
    told += &project.run(["up", "--steps", "0"]).exits(0).stdout;
    succeed(&project, &["up"]);
    told += &project.run(["up", "--to", "002"]).exits(0).stdout;
    assert_snapshot!(told, @r"
    nothing to do on sqlite, at 002_sites; 1 migration is pending
    nothing to do on sqlite, at 002_sites; 1 migration is pending
    nothing to do on sqlite, at 002_sites; 1 migration is pending
    nothing to do on sqlite, at 002_sites; 1 migration is pending
    nothing to do on sqlite: nothing is applied; 3 migrations are pending
    sqlite is up to date, at 003_counts
    ");
}

#[test]
fn down_takes_one_step_back_unless_told_otherwise() {
    let project = project();
    succeed(&project, &["up"]);
    assert_snapshot!(project.run(["down"]).redacted(), @r"
    exit: 0
    --- stdout
    reverted 003_counts  [N] ms
    1 migration reverted on sqlite, now at 002_sites
    --- stderr
    ");
    assert_eq!(tables(&project), ["sites", "species"]);
    assert_snapshot!(project.run(["down", "--to", "001"]).redacted(), @r"
    exit: 0
    --- stdout
    reverted 002_sites  [N] ms
    1 migration reverted on sqlite, now at 001_species
    --- stderr
    ");
    succeed(&project, &["up"]);
    assert_snapshot!(project.run(["down", "--steps", "2"]).redacted(), @r"
    exit: 0
    --- stdout
    reverted 003_counts  [N] ms
    reverted 002_sites  [N] ms
    2 migrations reverted on sqlite, now at 001_species
    --- stderr
    ");
    assert_snapshot!(project.run(["down", "--to", "0"]).redacted(), @r"
    exit: 0
    --- stdout
    reverted 001_species  [N] ms
    1 migration reverted on sqlite, nothing is applied
    --- stderr
    ");
    assert_snapshot!(project.run(["down"]).redacted(), @r"
    exit: 0
    --- stdout
    nothing to do on sqlite: nothing is applied; 3 migrations are pending
    --- stderr
    ");
    assert_eq!(tables(&project), [""; 0]);
}

#[test]
fn down_to_a_migration_that_is_not_applied_is_refused() {
    let project = project();
    succeed(&project, &["up", "--steps", "2"]);
    assert_snapshot!(project.run(["down", "--to", "003"]).redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[migration-unknown]: `003_counts` is not applied, so nothing can be taken back to it
    state: nothing was run
    hint: `whimbrel status` shows what is applied
    ");
    assert_snapshot!(project.run(["down", "--to", "nowhere"]).redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[migration-unknown]: `nowhere` is not applied, so nothing can be taken back to it
    state: nothing was run
    hint: `whimbrel status` shows what is applied
    ");
    assert_eq!(tables(&project), ["sites", "species"]);
}

#[test]
fn down_uses_the_stored_script_when_the_file_is_gone() {
    let project = project();
    succeed(&project, &["up"]);
    project.remove("migrations/sqlite/003_counts/up.sql");
    project.remove("migrations/sqlite/003_counts/down.sql");
    std::fs::remove_dir(project.path("migrations/sqlite/003_counts")).expect("it is empty");
    assert_snapshot!(project.run(["down"]).redacted(), @r"
    exit: 0
    --- stdout
    reverted 003_counts  [N] ms
    1 migration reverted on sqlite, now at 002_sites
    --- stderr
    ");
    assert_eq!(tables(&project), ["sites", "species"]);
}

#[test]
fn down_without_a_script_says_how_to_write_one() {
    let project = empty().file("migrations/sqlite/001_species.sql", "CREATE TABLE species (id);\n");
    succeed(&project, &["up"]);
    assert_snapshot!(project.run(["down"]).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[irreversible]: nothing takes `001_species` back
      --> migrations/sqlite/001_species.sql
    state: nothing was run
    hint: write `001_species.down.sql`, or a header `-- Rollback: <sql>`
    ");
    assert_eq!(tables(&project), ["species"]);
}

#[test]
fn redo_takes_back_and_applies_again() {
    let project = project();
    succeed(&project, &["up"]);
    assert_snapshot!(project.run(["redo"]).redacted(), @r"
    exit: 0
    --- stdout
    reverted 003_counts  [N] ms
    applied  003_counts  [N] ms
    1 migration reverted and 1 applied again on sqlite, now at 003_counts
    --- stderr
    ");
    assert_snapshot!(project.run(["redo", "--steps", "2"]).redacted(), @r"
    exit: 0
    --- stdout
    reverted 003_counts  [N] ms
    reverted 002_sites  [N] ms
    applied  002_sites  [N] ms
    applied  003_counts  [N] ms
    2 migrations reverted and 2 applied again on sqlite, now at 003_counts
    --- stderr
    ");
    assert_snapshot!(history(&project).join("\n"), @r"
    1|001_species|1|up|applied|1 of 1
    2|002_sites|1|up|applied|1 of 1
    3|003_counts|1|up|applied|1 of 1
    4|003_counts|2|down|reverted|1 of 1
    5|003_counts|3|up|applied|1 of 1
    6|003_counts|4|down|reverted|1 of 1
    7|002_sites|2|down|reverted|1 of 1
    8|002_sites|3|up|applied|1 of 1
    9|003_counts|5|up|applied|1 of 1
    ");
}

#[test]
fn status_shows_how_every_migration_stands() {
    let project =
        project().file("migrations/sqlite/004_secret.sql", "-- env: production\nCREATE TABLE secret (id);\n");
    succeed(&project, &["up", "--to", "002"]);
    project.write("migrations/sqlite/001_species.up.sql", "CREATE TABLE species (id);\n");
    project.remove("migrations/sqlite/002_sites.sql");
    assert_snapshot!(project.run(["status"]).redacted(), @r"
    exit: 0
    --- stdout
    missing  002_sites    [TIME]  [N] ms
    changed  001_species  [TIME]  [N] ms
    pending  003_counts
    skipped  004_secret
    sqlite: 1 pending, 1 changed, 1 missing, 1 skipped
    --- stderr
    ");
    assert_snapshot!(project.run(["status", "--env", "production"]).redacted(), @r"
    exit: 0
    --- stdout
    missing  002_sites    [TIME]  [N] ms
    changed  001_species  [TIME]  [N] ms
    pending  003_counts
    pending  004_secret
    sqlite: 2 pending, 1 changed, 1 missing
    --- stderr
    ");
}

#[test]
fn status_exits_with_3_only_when_asked_to_and_something_is_pending() {
    let project = project();
    let codes = |project: &Project| {
        [&["status"][..], &["status", "--exit-code"]].map(|arguments| project.run(arguments).code)
    };
    assert_eq!(codes(&project), [Some(0), Some(3)]);
    succeed(&project, &["up"]);
    assert_eq!(codes(&project), [Some(0), Some(0)]);
}

#[test]
fn plan_shows_what_up_would_run_with_its_sql() {
    let project = project();
    assert_snapshot!(project.run(["plan"]).redacted(), @r"
    exit: 0
    --- stdout
    3 migrations would run on sqlite, in this order

    -- up 001_species: 1 statement, in one transaction
    CREATE TABLE species (id INTEGER PRIMARY KEY, name TEXT NOT NULL);

    -- up 002_sites: 1 statement, in one transaction
    -- Migration: where we watch
    -- Rollback: DROP TABLE sites;

    CREATE TABLE sites (name TEXT);

    -- up 003_counts: 1 statement, in one transaction
    CREATE TABLE counts (seen INTEGER);
    --- stderr
    ");
    assert_eq!(project.run(["up", "--dry-run"]).stdout, project.run(["plan"]).stdout);
    succeed(&project, &["up"]);
    assert_snapshot!(project.run(["plan"]).redacted(), @r"
    exit: 0
    --- stdout
    nothing to run on sqlite
    --- stderr
    ");
    assert_snapshot!(project.run(["down", "--dry-run"]).redacted(), @r"
    exit: 0
    --- stdout
    1 migration would run on sqlite, in this order

    -- down 003_counts: 1 statement, in one transaction
    DROP TABLE counts;
    --- stderr
    ");
    assert_eq!(tables(&project).len(), 3);
}

#[test]
fn looking_at_a_database_that_is_not_there_does_not_create_it() {
    let project = project();
    for arguments in [
        &["status"][..],
        &["plan"],
        &["history"],
        &["verify"],
        &["up", "--dry-run"],
        &["down", "--dry-run"],
        &["plan", "--out", "plan.json"],
    ] {
        let _ = project.run(arguments).exits(0);
        assert!(!project.path("birds.db").exists(), "{arguments:?}");
    }
    assert_snapshot!(project.run(["history"]).redacted(), @r"
    exit: 0
    --- stdout
    sqlite has no history yet
    --- stderr
    ");
    assert_snapshot!(project.run(["verify"]).redacted(), @r"
    exit: 0
    --- stdout
    sqlite: files and history agree
    --- stderr
    ");
}

#[test]
fn a_kept_plan_runs_as_long_as_nothing_has_changed() {
    let project = project();
    assert_snapshot!(project.run(["plan", "--out", "plan.json"]).redacted(), @r"
    exit: 0
    --- stdout
    wrote 3 migrations of sqlite to plan.json
    --- stderr
    ");
    assert_snapshot!(project.run(["up", "--plan", "plan.json"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  001_species  [N] ms
    applied  002_sites  [N] ms
    applied  003_counts  [N] ms
    3 migrations applied to sqlite, now at 003_counts
    --- stderr
    ");
}

#[test]
fn a_kept_plan_is_refused_when_something_changed() {
    let project = project();
    succeed(&project, &["plan", "--out", "plan.json"]);
    project.write("migrations/sqlite/004_more.sql", "CREATE TABLE more (id);\n");
    assert_snapshot!(project.run(["up", "--plan", "plan.json"]).redacted(), @r"
    exit: 7
    --- stdout
    --- stderr
    error[refused]: what is pending is not what was planned
      --> plan.json
      not planned: `004_more`
    state: nothing was run
    hint: look at the new plan, then write it again with `whimbrel plan --out`
    ");
    project.remove("migrations/sqlite/004_more.sql");
    project.write("migrations/sqlite/002_sites.sql", "CREATE TABLE sites (other TEXT);\n");
    assert_snapshot!(project.run(["up", "--plan", "plan.json"]).redacted(), @r"
    exit: 7
    --- stdout
    --- stderr
    error[refused]: what is pending is not what was planned
      --> plan.json
      edited since: `002_sites`
    state: nothing was run
    hint: look at the new plan, then write it again with `whimbrel plan --out`
    ");
    assert_snapshot!(project.run(["up", "--plan", "absent.json"]).redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[usage]: the plan cannot be read
      --> absent.json
      caused by: No such file or directory (os error 2)
    hint: write it with `whimbrel plan --out`
    ");
}

#[test]
fn a_file_that_is_no_plan_is_told_with_what_is_missing() {
    let project = project();
    let mut told = String::new();
    for text in [
        "",
        "{}",
        "{\"whimbrel_plan\": 1}",
        "{\"whimbrel_plan\": 2, \"migrations\": []}",
        "{\"whimbrel_plan\": 1, \"migrations\": [{\"checksum\": null}]}",
        "{\"database\": \"sqlite\", \"migrations\": [\"001_species\"]}",
    ] {
        project.write("plan.json", text);
        told += &project.run(["up", "--plan", "plan.json"]).exits(2).stderr;
    }
    assert_snapshot!(told, @r#"
    error[usage]: the plan cannot be read
      --> plan.json
      caused by: EOF while parsing a value at line 1 column 0
    hint: write it with `whimbrel plan --out`
    error[usage]: the plan cannot be read
      --> plan.json
      caused by: missing field `whimbrel_plan` at line 1 column 2
    hint: write it with `whimbrel plan --out`
    error[usage]: the plan cannot be read
      --> plan.json
      caused by: missing field `migrations` at line 1 column 20
    hint: write it with `whimbrel plan --out`
    error[usage]: the plan cannot be read
      --> plan.json
      caused by: it is of form 2, and this version reads form 1
    hint: write it with `whimbrel plan --out`
    error[usage]: the plan cannot be read
      --> plan.json
      caused by: missing field `id` at line 1 column 54
    hint: write it with `whimbrel plan --out`
    error[usage]: the plan cannot be read
      --> plan.json
      caused by: invalid type: string "001_species", expected struct Planned at line 1 column 51
    hint: write it with `whimbrel plan --out`
    "#);
    assert_eq!(tables(&project), [""; 0]);
}

#[test]
fn history_shows_every_attempt() {
    let project = project();
    succeed(&project, &["up", "--steps", "2"]);
    succeed(&project, &["down"]);
    assert_snapshot!(shown(&project.run(["history"])), @r"
    exit: 0
    --- stdout
       1  [TIME]  up   applied   001_species  1/1  [N] ms  [RUNNER]
       2  [TIME]  up   applied   002_sites    1/1  [N] ms  [RUNNER]
       3  [TIME]  down reverted  002_sites    1/1  [N] ms  [RUNNER]
    --- stderr
    ");
}

#[test]
fn verify_compares_files_with_history() {
    let project = project();
    succeed(&project, &["up", "--steps", "2"]);
    assert_snapshot!(project.run(["verify"]).redacted(), @r"
    exit: 0
    --- stdout
    sqlite: files and history agree
    --- stderr
    ");
    project.write("migrations/sqlite/001_species.up.sql", "CREATE TABLE species (id);\n");
    project.remove("migrations/sqlite/002_sites.sql");
    assert_snapshot!(shown(&project.run(["verify"])), @r"
    exit: 1
    --- stdout
    --- stderr
    error[edited-after-apply]: `001_species` changed after it was applied
      --> migrations/sqlite/001_species.up.sql
      applied [TIME] with checksum v1:33e85d81, the file now has v1:592e1f98
    hint: restore the file and put the change in a new migration; to keep the edit, `whimbrel repair sqlite 001_species --accept-checksum`

    error[file-missing]: `002_sites` is applied and its file is gone
      applied [TIME] by [RUNNER]
    hint: restore the file: was it renamed, or is it on another branch?
    ");
}

#[test]
fn repair_accepts_an_edit() {
    let project = project();
    succeed(&project, &["up"]);
    project.write("migrations/sqlite/001_species.up.sql", "CREATE TABLE species (id);\n");
    let _ = project.run(["up"]).exits(4);
    assert_snapshot!(project.run(["repair", "sqlite", "001", "--accept-checksum"]).redacted(), @r#"
    exit: 0
    --- stdout
    recorded 001_species with the checksum of its file; no SQL of it was run
    --- stderr
    runs  BEGIN IMMEDIATE
    runs  INSERT INTO "main"."whimbrel_migrations" (position, previous, migration, attempt, direction, state, checksum, statements_done, statements_total, statement_checksums, lease_until, started_at, finished_at, duration_ms, down_script, applied_by) VALUES (4, 3, '001_species', 2, 'up', 'applied', 'v1:592e1f98a8c23f52bbee810a613d39bbb271f47b86fcf8c6577173f84405a03e', 0, 0, 'v2:af55700113f9bbbf:', NULL, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 0, 'DROP TABLE species;
    ', '[USER]@[HOST] pid [PID], whimbrel 0.1.0, sqlite 0.1.0')
    runs  COMMIT
    "#);
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 0
    --- stdout
    sqlite is up to date, at 003_counts
    --- stderr
    ");
    assert_snapshot!(project.run(["repair", "001", "--accept-checksum"]).redacted(), @r"
    exit: 7
    --- stdout
    --- stderr
    error[refused]: `001_species` was not edited: its checksum is the recorded one
    state: nothing was changed
    ");
}

// An accepted checksum is a new row, and rows are taken back newest first: so `down` once took back the first
// migration under the feet of the others.
#[test]
fn an_accepted_edit_does_not_change_the_order_in_which_migrations_are_taken_back() {
    let project = project();
    succeed(&project, &["up"]);
    project.write("migrations/sqlite/001_species.up.sql", "CREATE TABLE species (id);\n");
    succeed(&project, &["repair", "001", "--accept-checksum"]);
    assert_snapshot!(project.run(["down", "--to", "002"]).redacted(), @r"
    exit: 0
    --- stdout
    reverted 003_counts  [N] ms
    1 migration reverted on sqlite, now at 002_sites
    --- stderr
    ");
    assert_eq!(tables(&project), ["sites", "species"]);
}

#[test]
fn an_accepted_edit_keeps_its_down_script() {
    let project = project();
    succeed(&project, &["up", "--steps", "1"]);
    project.write("migrations/sqlite/001_species.up.sql", "CREATE TABLE species (id);\n");
    succeed(&project, &["repair", "001", "--accept-checksum"]);
    project.remove("migrations/sqlite/001_species.up.sql");
    project.remove("migrations/sqlite/001_species.down.sql");
    let _ = project.run(["down"]).exits(0);
    assert_eq!(tables(&project), [""; 0]);
}

#[test]
fn repair_records_what_was_done_by_hand() {
    let project = project();
    assert_snapshot!(project.run(["repair", "001", "--applied"]).redacted(), @r#"
    exit: 0
    --- stdout
    recorded 001_species as applied; no SQL of it was run
    --- stderr
    runs  BEGIN IMMEDIATE
    runs  INSERT INTO "main"."whimbrel_migrations" (position, previous, migration, attempt, direction, state, checksum, statements_done, statements_total, statement_checksums, lease_until, started_at, finished_at, duration_ms, down_script, applied_by) VALUES (1, NULL, '001_species', 1, 'up', 'applied', 'v1:33e85d81e83e43db754c91e8dfe19ce2e558dd9b9de223d5b005d7981b7e56a8', 0, 0, 'v2:078f64d6517119cc:', NULL, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 0, 'DROP TABLE species;
    ', '[USER]@[HOST] pid [PID], whimbrel 0.1.0, sqlite 0.1.0')
    runs  COMMIT
    "#);
    assert_eq!(tables(&project), [""; 0]);
    assert_snapshot!(project.run(["repair", "001", "--applied"]).redacted(), @r"
    exit: 7
    --- stdout
    --- stderr
    error[refused]: `001_species` is already applied
    state: nothing was changed
    ");
    assert_snapshot!(project.run(["repair", "001", "--reverted"]).redacted(), @r#"
    exit: 0
    --- stdout
    recorded 001_species as taken back; no SQL of it was run
    --- stderr
    runs  BEGIN IMMEDIATE
    runs  INSERT INTO "main"."whimbrel_migrations" (position, previous, migration, attempt, direction, state, checksum, statements_done, statements_total, statement_checksums, lease_until, started_at, finished_at, duration_ms, down_script, applied_by) VALUES (2, 1, '001_species', 2, 'down', 'reverted', 'v1:33e85d81e83e43db754c91e8dfe19ce2e558dd9b9de223d5b005d7981b7e56a8', 0, 0, 'v2:078f64d6517119cc:', NULL, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 0, NULL, '[USER]@[HOST] pid [PID], whimbrel 0.1.0, sqlite 0.1.0')
    runs  COMMIT
    "#);
    assert_snapshot!(project.run(["repair", "001", "--reverted"]).redacted(), @r"
    exit: 7
    --- stdout
    --- stderr
    error[refused]: `001_species` is not applied, so there is nothing to take back
    state: nothing was changed
    ");
    assert_snapshot!(project.run(["repair", "009", "--applied"]).redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[migration-unknown]: there is no migration `009`
    state: nothing was changed
    ");
    assert_snapshot!(history(&project).join("\n"), @r"
    1|001_species|1|up|applied|0 of 0
    2|001_species|2|down|reverted|0 of 0
    ");
}

#[test]
fn baseline_takes_a_database_as_it_is() {
    let project = project();
    database(&project).execute("CREATE TABLE species (id); CREATE TABLE sites (id)");
    assert_snapshot!(project.run(["baseline", "002"]).redacted(), @r"
    exit: 0
    --- stdout
    baseline 001_species
    baseline 002_sites
    2 migrations taken as applied to sqlite; no SQL was run
    --- stderr
    ");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  003_counts  [N] ms
    1 migration applied to sqlite, now at 003_counts
    --- stderr
    ");
    assert_snapshot!(project.run(["baseline", "sqlite", "002"]).redacted(), @r"
    exit: 0
    --- stdout
    everything up to there is already applied to sqlite
    --- stderr
    ");
    assert_snapshot!(history(&project).join("\n"), @r"
    1|001_species|1|up|baseline|0 of 0
    2|002_sites|1|up|baseline|0 of 0
    3|003_counts|1|up|applied|1 of 1
    ");
}

#[test]
fn new_writes_a_pair_of_files() {
    let project = empty();
    let outcome = project.run(["new", "Add species"]);
    let stamp = [(r"\d{14}|\d{4}-\d\d-\d\d-\d{6}", "[STAMP]")];
    assert_snapshot!(outcome.redacted_with(&stamp), @r"
    exit: 0
    --- stdout
    created  migrations/sqlite/001_add_species.sql
    created  migrations/sqlite/001_add_species.down.sql
    --- stderr
    ");
    let _ = project.run(["up"]).exits(0);
}

#[test]
fn every_alias_does_what_its_command_does() {
    for (alias, command) in [
        ("migrate", "up"),
        ("run", "up"),
        ("apply", "up"),
        ("rollback", "down"),
        ("revert", "down"),
        ("undo", "down"),
        ("info", "status"),
    ] {
        let [one, other] = [alias, command].map(|command| {
            let project = project();
            succeed(&project, &["up", "--steps", "2"]);
            let outcome = project.run([command]).exits(0);
            (outcome.redacted(), tables(&project))
        });
        assert_eq!(one, other, "{alias}");
    }
    let _ = empty().run(["create", "birds"]).exits(0);
}

#[test]
fn help_shows_commands_options_and_examples() {
    assert_snapshot!(empty().run(["--help"]).redacted(), @r"
    exit: 0
    --- stdout
    A database migration tool whose databases are plugins

    Usage: whimbrel [OPTIONS] <COMMAND>

    Commands:
      up           Applies what is pending [aliases: migrate, run, apply]
      down         Takes back what was applied last, one step unless told otherwise [aliases: rollback,
                   revert, undo]
      redo         Takes back what was applied last and applies it again
      status       Shows how every migration stands [alias: info]
      plan         Shows what `up` would run, with its SQL; runs nothing
      history      Shows every attempt, oldest first
      verify       Compares the files with the history; writes nothing
      repair       Records what you found out about a migration
      baseline     Takes everything up to ID as applied, without running it
      new          Begins a migration [alias: create]
      adapters     Shows the adapters
      completions  Writes completions for a shell to standard output

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Common options:
          --config <FILE>
              The configuration [default: plugins.toml]

          --url <URL>
              Where the database is

          --dir <DIR>
              Where the folders of migrations are

          --adapter <NAME>
              The adapter, when the folder's name does not tell

          --table <NAME>
              The history table [default: whimbrel_migrations]

          --env <NAME>
              The environment, for migrations that are meant for some only

          --wait-for-runner <DURATION>
              How long to wait for another run

          --wait-for-database <DURATION>
              How long to wait for a server that is starting

          --lock-timeout <DURATION>
              How long a statement may wait for a lock

          --statement-timeout <DURATION>
              How long a statement may run

          --confirm <NAME>
              Confirms a change to a database that is marked as production, or on which nothing keeps
              two runs apart

          --format <FORMAT>
              How results are written

              Possible values:
              - human: For people
              - json:  One document at the end
              - jsonl: One line for each event
              
              [default: human]

          --no-color
              No colours (`NO_COLOR` does the same)

      -q, --quiet
              Only results and errors

      -v, --verbose...
              What was chosen and why; what the server says

    Examples:
      whimbrel up                        apply what is pending to the default database
      whimbrel up supabase --steps 1     apply one migration to the database in migrations/supabase
      whimbrel status --exit-code        exit 3 when migrations are pending
      whimbrel new add_email --in mysql  begin a migration

    Exit codes:
      0         done, or nothing to do
      1         a migration failed and was rolled back; the answer of `verify` is no
      2         usage or configuration
      3         migrations are pending (`status --exit-code`)
      4         files and history disagree; nothing was run
      5         partly applied: needs a resumed `up` or `repair`
      6         another run is at work
      7         refused by a safety rule
      8         connection or authentication
      9         adapter unknown, missing, refused or broken
      130, 143  interrupted
    --- stderr
    ");
    assert_snapshot!(empty().run(["up", "--help"]).redacted(), @r"
    exit: 0
    --- stdout
    Applies what is pending

    Usage: whimbrel up [OPTIONS] [DATABASE]

    Arguments:
      [DATABASE]
              The folder under the migrations [default: `default` of plugins.toml]

    Options:
          --to <ID>
              Up to this migration, or back to it: its id, its version or a unique beginning

          --steps <N>
              So many migrations

          --dry-run
              Shows what would run, and runs nothing

          --allow-out-of-order
              Applies pending migrations that are older than applied ones

          --batch
              Sends many migrations at once, each in its own transaction

          --single-transaction
              Runs everything in one transaction

          --plan <FILE>
              Runs exactly what `plan --out` wrote, or nothing

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Common options:
          --config <FILE>
              The configuration [default: plugins.toml]

          --url <URL>
              Where the database is

          --dir <DIR>
              Where the folders of migrations are

          --adapter <NAME>
              The adapter, when the folder's name does not tell

          --table <NAME>
              The history table [default: whimbrel_migrations]

          --env <NAME>
              The environment, for migrations that are meant for some only

          --wait-for-runner <DURATION>
              How long to wait for another run

          --wait-for-database <DURATION>
              How long to wait for a server that is starting

          --lock-timeout <DURATION>
              How long a statement may wait for a lock

          --statement-timeout <DURATION>
              How long a statement may run

          --confirm <NAME>
              Confirms a change to a database that is marked as production, or on which nothing keeps
              two runs apart

          --format <FORMAT>
              How results are written

              Possible values:
              - human: For people
              - json:  One document at the end
              - jsonl: One line for each event
              
              [default: human]

          --no-color
              No colours (`NO_COLOR` does the same)

      -q, --quiet
              Only results and errors

      -v, --verbose...
              What was chosen and why; what the server says

    Examples:
      whimbrel up                            everything that is pending
      whimbrel up supabase --to 007          up to and with version 7
      whimbrel plan supabase --out plan.json && whimbrel up supabase --plan plan.json
    --- stderr
    ");
}

#[test]
fn a_mistake_on_the_command_line_is_told_as_every_other_error_is() {
    let mut told = String::new();
    for line in [
        "upp",
        "frobnicate",
        "-q",
        "adapters lst",
        "up --stesp 1",
        "--steps 1 up",
        "status --frobnicate",
        "status -x",
        "status sqlite more",
        "up --to 1 --steps 1",
        "up -q -v",
        "up --to 1 --to 2",
        "up --steps",
        "up --steps some",
        "up --wait-for-runner soon",
        "status --format",
        "status --format jsn",
        "status --format xml",
        "repair 001",
        "repair --applied",
        "repair",
        "repair 001 --applied --reverted",
        "repair a b c --applied",
        "migrate --plan a --to 1",
        "new",
        "completions",
        "completions tcsh",
    ] {
        let outcome = empty().run(line.split_whitespace()).exits(2);
        assert_eq!(outcome.stdout, "", "{line}");
        told += &format!("$ whimbrel {line}\n{}", outcome.stderr);
    }
    assert_snapshot!(told, @r"
    $ whimbrel upp
    error[usage]: unknown command `upp`
    hint: did you mean `up`?
    $ whimbrel frobnicate
    error[usage]: unknown command `frobnicate`
    hint: `whimbrel --help` lists the commands and options
    $ whimbrel -q
    error[usage]: no command is given
    hint: `whimbrel --help` lists the commands and options
    $ whimbrel adapters lst
    error[usage]: unknown command `lst`
    hint: did you mean `list`?
    $ whimbrel up --stesp 1
    error[usage]: unknown option `--stesp`
    hint: did you mean `--steps`?
    $ whimbrel --steps 1 up
    error[usage]: unknown option `--steps`
    hint: `whimbrel up --help` shows what it takes
    $ whimbrel status --frobnicate
    error[usage]: unknown option `--frobnicate`
    hint: `whimbrel status --help` shows what it takes
    $ whimbrel status -x
    error[usage]: unknown option `-x`
    hint: `whimbrel status --help` shows what it takes
    $ whimbrel status sqlite more
    error[usage]: unexpected argument `more`
    hint: `whimbrel status --help` shows what it takes
    $ whimbrel up --to 1 --steps 1
    error[usage]: `--to` and `--steps` exclude each other
    hint: leave one of them out
    $ whimbrel up -q -v
    error[usage]: `--quiet` and `--verbose` exclude each other
    hint: leave one of them out
    $ whimbrel up --to 1 --to 2
    error[usage]: `--to` is given more than once
    hint: `whimbrel up --help` shows what it takes
    $ whimbrel up --steps
    error[usage]: `--steps` needs a value
    hint: `whimbrel up --help` shows what it takes
    $ whimbrel up --steps some
    error[usage]: `--steps` does not take `some`
    hint: write a whole number, such as `2`
    $ whimbrel up --wait-for-runner soon
    error[usage]: `--wait-for-runner` does not take `soon`
    hint: write a number and a unit, such as `10m`, `5s` or `500ms`
    $ whimbrel status --format
    error[usage]: `--format` needs a value
    hint: it takes `human`, `json` or `jsonl`
    $ whimbrel status --format jsn
    error[usage]: `--format` does not take `jsn`
    hint: did you mean `json`?
    $ whimbrel status --format xml
    error[usage]: `--format` does not take `xml`
    hint: it takes `human`, `json` or `jsonl`
    $ whimbrel repair 001
    error[usage]: `repair` needs `--applied`, `--reverted`, `--accept-checksum` or `--resume-at`
    hint: `whimbrel repair --help` shows what it takes
    $ whimbrel repair --applied
    error[usage]: `repair` needs `ID`
    hint: `whimbrel repair --help` shows what it takes
    $ whimbrel repair
    error[usage]: `repair` needs `--applied`, `--reverted`, `--accept-checksum` or `--resume-at`, and `ID`
    hint: `whimbrel repair --help` shows what it takes
    $ whimbrel repair 001 --applied --reverted
    error[usage]: `--applied` and `--reverted` exclude each other
    hint: leave one of them out
    $ whimbrel repair a b c --applied
    error[usage]: unexpected argument `c`
    hint: `whimbrel repair --help` shows what it takes
    $ whimbrel migrate --plan a --to 1
    error[usage]: `--plan` and `--to` exclude each other
    hint: leave one of them out
    $ whimbrel new
    error[usage]: `new` needs `NAME`
    hint: `whimbrel new --help` shows what it takes
    $ whimbrel completions
    error[usage]: `completions` needs `SHELL`
    hint: `whimbrel completions --help` shows what it takes
    $ whimbrel completions tcsh
    error[usage]: `SHELL` does not take `tcsh`
    hint: did you mean `zsh`?
    ");
}

#[test]
fn nothing_asked_for_shows_the_help() {
    let outcome = empty().run([""; 0]).exits(2);
    assert!(outcome.stderr.contains("Usage: whimbrel [OPTIONS] <COMMAND>"), "{}", outcome.redacted());
}

// A url in the wrong place is the likeliest mistake, and its password would end in the log of a job.
#[test]
fn a_mistake_on_the_command_line_is_told_without_what_may_be_a_secret() {
    let url = "postgres://ana:hunter2@db/birds";
    for arguments in [
        &[url][..],
        &["up", "sqlite", url],
        &["up", "--ulr", url],
        &["up", "--ulr=postgres://ana:hunter2@db/birds"],
        &["up", "--url", url, "--frobnicate"],
        &["up", "--url", url, "--url", url],
        &["up", "--wait-for-runner", url],
        &["up", "--steps", url],
        &["up", "--steps", "url: hunter2"],
        &["up", "--format", url],
        &["repair", "sqlite", "001", url, "--applied"],
        &["adapters", url],
        &["up", "--quiet=postgres://ana:hunter2@db/birds"],
        &["up", "-qpostgres://ana:hunter2@db/birds"],
    ] {
        let outcome = empty().run(arguments).exits(2);
        assert!(outcome.stderr.starts_with("error[usage]: "), "{arguments:?}: {}", outcome.redacted());
        assert!(!outcome.mentions("hunter2"), "{arguments:?}: {}", outcome.redacted());
    }
}

#[test]
fn a_signal_ends_a_run_that_waits_for_the_database() {
    // It takes the connection and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = silent.local_addr().expect("it has an address").port();
    let project = project()
        .file("migrations/postgres/001_species.sql", "CREATE TABLE species (id int);\n")
        .env("WHIMBREL_POSTGRES_URL", format!("postgres://ana:hunter2@127.0.0.1:{port}/birds"));
    let mut told = String::new();
    for arguments in [
        &["up", "postgres", "--wait-for-database", "10m"][..],
        &["repair", "postgres", "001", "--applied"],
        &["status", "postgres", "--format", "jsonl"],
    ] {
        for signal in [Running::interrupt, Running::terminate] {
            let run = project.spawn(arguments);
            let _open = silent.accept().expect("the run connects");
            signal(&run);
            told += &run.wait().redacted();
        }
    }
    assert_snapshot!(told, @r#"
    exit: 130
    --- stdout
    --- stderr
    error[interrupted]: interrupted while connecting
    state: nothing was changed
    exit: 143
    --- stdout
    --- stderr
    error[terminated]: interrupted while connecting
    state: nothing was changed
    exit: 130
    --- stdout
    --- stderr
    error[interrupted]: interrupted while connecting
    state: nothing was changed
    exit: 143
    --- stdout
    --- stderr
    error[terminated]: interrupted while connecting
    state: nothing was changed
    exit: 130
    --- stdout
    {"event":"error","database":"postgres","adapter":"postgres","error":{"name":"interrupted","message":"interrupted while connecting","file":null,"line":null,"column":null,"sqlstate":null,"state":"nothing was changed","hint":null,"cause":null,"facts":[]},"errors":[{"name":"interrupted","message":"interrupted while connecting","file":null,"line":null,"column":null,"sqlstate":null,"state":"nothing was changed","hint":null,"cause":null,"facts":[]}]}
    --- stderr
    error[interrupted]: interrupted while connecting
    state: nothing was changed
    exit: 143
    --- stdout
    {"event":"error","database":"postgres","adapter":"postgres","error":{"name":"terminated","message":"interrupted while connecting","file":null,"line":null,"column":null,"sqlstate":null,"state":"nothing was changed","hint":null,"cause":null,"facts":[]},"errors":[{"name":"terminated","message":"interrupted while connecting","file":null,"line":null,"column":null,"sqlstate":null,"state":"nothing was changed","hint":null,"cause":null,"facts":[]}]}
    --- stderr
    error[terminated]: interrupted while connecting
    state: nothing was changed
    "#);
}

#[test]
fn a_signal_ends_a_repair_that_waits_for_another_writer() {
    let project = project();
    succeed(&project, &["up", "--steps", "1"]);
    let holder = database(&project).client();
    holder.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    let runs = [&["repair", "001", "--reverted"][..], &["baseline", "003"]].map(|line| project.spawn(line));
    for run in &runs {
        // From here on a signal is heard, wherever the run is: it cannot end before the other writer does.
        until("the run has opened the file", || has_open(run, &project.path("birds.db")));
        run.terminate();
    }
    for outcome in runs.map(|run| run.wait().exits(143)) {
        assert!(outcome.stderr.contains("error[terminated]: interrupted"), "{}", outcome.redacted());
        assert!(outcome.stderr.contains("\nstate: nothing was "), "{}", outcome.redacted());
    }
    holder.execute_batch("COMMIT").expect("the lock is released");
    assert_eq!(history(&project), ["1|001_species|1|up|applied|1 of 1"]);
}

/// Returns whether the run has this file open.
fn has_open(run: &Running, file: &Path) -> bool {
    let open = std::fs::read_dir(format!("/proc/{}/fd", run.pid())).into_iter().flatten().flatten();
    let file = std::fs::canonicalize(file).expect("the file is there");
    open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|open| open == file)
}

#[test]
fn history_names_the_account_where_no_variable_names_the_user() {
    let project = project();
    succeed(&project, &["up", "--steps", "1"]);
    let _ = project.command(["up", "--steps", "1"]).env("LOGNAME", "ana").run().exits(0);
    let account = project.program("id", ["--user", "--name"]).run().exits(0).stdout;
    let users = database(&project)
        .lines("SELECT substr(applied_by, 1, instr(applied_by, '@') - 1) FROM whimbrel_migrations");
    assert_eq!(users, [account.trim(), "ana"]);
}

#[test]
fn completions_are_written_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let outcome = empty().run(["completions", shell]).exits(0);
        assert!(outcome.stdout.contains("accept-checksum"), "{shell}");
        assert_eq!(outcome.stderr, "", "{shell}");
    }
}

#[test]
fn quiet_keeps_results_and_errors() {
    let project = project();
    succeed(&project, &["up", "--to", "001"]);
    succeed(&project, &["repair", "003", "--applied"]);
    let project = project.plugins_toml(
        "default = \"sqlite\"\n\n[databases.sqlite]\nurl = \"sqlite:birds.db\"\nout_of_order = \"warn\"\n",
    );
    assert_snapshot!(project.run(["up", "-q"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  002_sites  [N] ms
    1 migration applied to sqlite, now at 003_counts
    --- stderr
    ");
    succeed(&project, &["repair", "002", "--reverted"]);
    database(&project).execute("DROP TABLE sites");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  002_sites  [N] ms
    1 migration applied to sqlite, now at 003_counts
    --- stderr
    warning[out-of-order]: `002_sites` is pending and older than `003_counts`
      --> migrations/sqlite/002_sites.sql
      `003_counts` is already applied
    ");
}

#[test]
fn nothing_is_coloured_where_there_is_no_terminal() {
    let project = project();
    for arguments in [&["up"][..], &["status"], &["plan"], &["up", "--to", "9"], &["adapters"]] {
        assert!(!project.run(arguments).mentions("\u{1b}"), "{arguments:?}");
    }
}

#[test]
fn results_that_cannot_be_written_are_an_error_unless_the_reader_is_gone() {
    let project = project();
    succeed(&project, &["up"]);
    let program = built_file("whimbrel");
    let full = ["-c".as_ref(), "exec \"$0\" history > /dev/full".as_ref(), program.as_os_str()];
    assert_snapshot!(project.program("sh", full).run().redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[output-unwritable]: the results cannot be written
      caused by: No space left on device (os error 28)
    state: the command was carried out
    ");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let gone = Command::new(&program).arg("history").current_dir(project.path("")).stdout(writer).output();
    let gone = gone.expect("the program starts");
    assert_eq!((gone.status.code(), String::from_utf8_lossy(&gone.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn a_path_given_to_new_is_said_to_come_from_its_option() {
    let outcome = project().run(["new", "birds", "--in", "../../y"]).exits(2);
    assert!(outcome.mentions("it comes from `--in` (command line)"), "{}", outcome.stderr);
}
