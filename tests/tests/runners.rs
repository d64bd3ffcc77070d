//! Several runs at once on one SQLite database, kept apart by its write lock and the history.

use std::fs;

use insta::assert_snapshot;
use whimbrel_tests::birds::{database, empty, history};
use whimbrel_tests::{Database, Outcome, Project, Running, built_file, until};

/// Lets runs read and not write until all of them want to write, and returns how they end.
///
/// Each command's first script holds a setting that is made around it; `-v` says so when the script is handed to the
/// adapter, which is after the history was read and before the write lock is asked for.
fn overlapping(project: &Project, commands: &[&[&str]]) -> Vec<Outcome> {
    overlapping_with(project, commands, || {})
}

/// Does the same, and something else before runs may write.
fn overlapping_with(project: &Project, commands: &[&[&str]], meanwhile: impl FnOnce()) -> Vec<Outcome> {
    let holder = database(project).client();
    holder.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    let logs: Vec<String> = (0..commands.len()).map(|number| format!("run-{number}.log")).collect();
    let runs: Vec<Running> = commands
        .iter()
        .zip(&logs)
        .map(|(command, log)| {
            let program = built_file("whimbrel");
            let words =
                ["-c", "exec \"$0\" \"$@\" -v 2> \"$LOG\"", program.to_str().expect("a path of cargo's")];
            let words = words.into_iter().chain(command.iter().copied());
            project.program("sh", words).env("LOG", project.path(log)).spawn()
        })
        .collect();
    for log in &logs {
        let said = || fs::read_to_string(project.path(log)).unwrap_or_default();
        until(&format!("{log} says what it runs"), || said().contains("is set around the whole file"));
    }
    meanwhile();
    holder.execute_batch("COMMIT").expect("the lock is released");
    runs.into_iter().map(Running::wait).collect()
}

const SETTING: &str = "PRAGMA synchronous = FULL;\n";

/// Returns a project with a table that notes which migrations ran, and so many migrations.
fn noting(count: u32) -> Project {
    let project = empty().file("migrations/sqlite/000_notes.sql", "CREATE TABLE notes (migration);\n");
    (1..=count).fold(project, |project, number| {
        project
            .file(
                &format!("migrations/sqlite/{number:03}_note.up.sql"),
                format!("{SETTING}INSERT INTO notes VALUES ({number});\n"),
            )
            .file(
                &format!("migrations/sqlite/{number:03}_note.down.sql"),
                format!("{SETTING}DELETE FROM notes WHERE migration = {number};\n"),
            )
    })
}

fn notes(project: &Project) -> Vec<String> {
    database(project).lines("SELECT migration FROM notes ORDER BY migration")
}

/// Returns who did what, in order.
fn log(project: &Project) -> Vec<String> {
    database(project).lines("SELECT migration, direction, state FROM whimbrel_migrations ORDER BY position")
}

#[test]
fn two_downs_at_once_take_back_one_migration() {
    let project = noting(3);
    let _ = project.run(["up"]).exits(0);
    for outcome in overlapping(&project, &[&["down"], &["down"]]) {
        let _ = outcome.exits(0);
    }
    assert_eq!(notes(&project), ["1", "2"]);
    assert_eq!(log(&project).split_off(4), ["003_note|down|reverted"]);
}

#[test]
fn two_ups_of_one_step_apply_one_migration() {
    let project = noting(3);
    let _ = project.run(["up", "--to", "1"]).exits(0);
    let step: &[&str] = &["up", "--steps", "1"];
    for outcome in overlapping(&project, &[step, step]) {
        let _ = outcome.exits(0);
    }
    assert_eq!(notes(&project), ["1", "2"]);
    assert_eq!(log(&project).split_off(2), ["002_note|up|applied"]);
}

#[test]
fn an_up_beside_a_down_behaves_as_one_after_the_other() {
    let project = noting(3);
    let _ = project.run(["up", "--to", "2"]).exits(0);
    for outcome in overlapping(&project, &[&["up"], &["down"]]) {
        let _ = outcome.exits(0);
    }
    let up_first = ["003_note|up|applied", "003_note|down|reverted"];
    let down_first = ["002_note|down|reverted", "002_note|up|applied", "003_note|up|applied"];
    let log = log(&project).split_off(3);
    match log.len() {
        2 => assert_eq!((log, notes(&project).len()), (up_first.map(str::to_owned).to_vec(), 2)),
        _ => assert_eq!((log, notes(&project).len()), (down_first.map(str::to_owned).to_vec(), 3)),
    }
}

#[test]
fn ten_runs_at_once_apply_each_migration_once() {
    let project = noting(5);
    let runs: Vec<Running> = (0..10).map(|_| project.spawn(["up"])).collect();
    for run in runs {
        let _ = run.wait().exits(0);
    }
    assert_eq!(notes(&project), ["1", "2", "3", "4", "5"]);
    assert_eq!(history(&project).len(), 6);
}

#[test]
fn a_run_that_waits_in_vain_says_so() {
    let project = noting(1);
    let _ = project.run(["up", "--steps", "1"]).exits(0);
    let holder = database(&project).client();
    holder.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    let outcome = project.run(["up", "--wait-for-runner", "0s", "--lock-timeout", "10ms"]);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 6
    --- stdout
    --- stderr
    note: 001_note, line 1: `PRAGMA synchronous = FULL` has no effect inside a transaction: it is set around the whole file and put back after it
    error[lock-held]: another run is at work on `sqlite`
      caused by: database is locked
    state: nothing was run; waited 0 s
    hint: let it finish, or wait longer with `--wait-for-runner 10m`
    ");
    holder.execute_batch("COMMIT").expect("the lock is released");
    let _ = project.run(["up"]).exits(0);
}

#[test]
fn an_interrupted_run_rolls_back_and_says_so() {
    let endless =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;\n";
    let project =
        noting(1).file("migrations/sqlite/002_endless.sql", format!("CREATE TABLE a (id);\n{endless}"));
    let run = project.spawn(["up", "--format", "jsonl"]);
    let client = || database(&project);
    until("the endless statement runs", || {
        project.path("birds.db").exists()
            && client()
                .try_query("SELECT 1 FROM whimbrel_migrations WHERE position = 2")
                .is_ok_and(|rows| !rows.is_empty())
            && client().try_query("PRAGMA busy_timeout = 0; BEGIN IMMEDIATE; ROLLBACK").is_err()
    });
    run.interrupt();
    let outcome = run.wait().exits(130);
    assert_snapshot!(outcome.redacted(), @r#"
    exit: 130
    --- stdout
    {"event":"applied","id":"000_notes","duration_ms":[N]}
    {"event":"applied","id":"001_note","duration_ms":[N]}
    {"event":"report","database":"sqlite","adapter":"sqlite","applied":[{"id":"000_notes","duration_ms":[N]},{"id":"001_note","duration_ms":[N]}],"reverted":[],"failed":{"id":"002_endless","error":{"name":"interrupted","message":"interrupted in `002_endless`","file":null,"line":null,"column":null,"sqlstate":null,"state":"`002_endless` was rolled back; `000_notes` and `001_note` were applied in this run and stay","hint":"the next run goes on from there","cause":null,"facts":[]}},"errors":[{"name":"interrupted","message":"interrupted in `002_endless`","file":null,"line":null,"column":null,"sqlstate":null,"state":"`002_endless` was rolled back; `000_notes` and `001_note` were applied in this run and stay","hint":"the next run goes on from there","cause":null,"facts":[]}],"state":"`002_endless` was rolled back; `000_notes` and `001_note` were applied in this run and stay"}
    --- stderr
    note: 001_note, line 1: `PRAGMA synchronous = FULL` has no effect inside a transaction: it is set around the whole file and put back after it
    error[interrupted]: interrupted in `002_endless`
    state: `002_endless` was rolled back; `000_notes` and `001_note` were applied in this run and stay
    hint: the next run goes on from there
    "#);
    assert_eq!(notes(&project), ["1"]);
    assert_eq!(log(&project), ["000_notes|up|applied", "001_note|up|applied"]);
}

#[test]
fn a_file_that_changes_after_it_was_planned_is_rolled_back() {
    let project = noting(3);
    let _ = project.run(["up", "--to", "1"]).exits(0);
    let edit = || {
        project.write("migrations/sqlite/003_note.up.sql", "INSERT INTO notes VALUES (4);\n");
    };
    let outcome = overlapping_with(&project, &[&["up"]], edit).remove(0);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 4
    --- stdout
    applied  002_note  [N] ms
    --- stderr
    ");
    let log = project.read("run-0.log");
    assert_snapshot!(&log[log.find("error").expect("it failed")..], @r"
    error[changed-while-read]: the script was changed during the run: the file changed after it was planned
      --> migrations/sqlite/003_note.up.sql
    state: `003_note` was rolled back; `002_note` was applied in this run and stays
    hint: run it again; the new text is checked first
    ");
    assert_eq!(notes(&project), ["1", "2"]);
    let _ = project.run(["up"]).exits(0);
    assert_eq!(notes(&project), ["1", "2", "4"]);
}
