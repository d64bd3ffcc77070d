//! Adapters in a process of their own, where what ends them costs one error.
//!
//! That they do what they do otherwise is told by the suite; see `conformance`.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};
use rstest::rstest;
use whimbrel_tests::{
    Database, Engine, Outcome, Project, Proxy, Running, Sqlite, built_file, probe_library, until,
};

/// Returns a project whose adapter is isolated, with these migrations.
fn project(migrations: &[(&str, &str)]) -> Project {
    let settings = format!(
        "[adapters.probe]\npath = \"{}\"\nisolate = true\n\n[databases.probe]\nurl = \"probe:birds.db\"\n",
        probe_library().display()
    );
    let project = Project::new().plugins_toml(&settings);
    let add = |project: Project, (name, text): &(&str, &str)| {
        project.file(&format!("migrations/probe/{name}.sql"), text)
    };
    migrations.iter().fold(project, add)
}

const SPECIES: (&str, &str) = ("001_species", "CREATE TABLE species (name TEXT);\n");

fn shown(outcome: &Outcome) -> String {
    outcome.redacted_with(&[(r"(heard of it for) \d+", "$1 [N]")])
}

/// Returns what is in the database, as another client sees it.
fn truth(project: &Project) -> String {
    let database = Sqlite::at(project.path("birds.db"));
    let rows = "SELECT migration, state, statements_done FROM whimbrel_migrations ORDER BY position";
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'whimbrel_migrations'";
    format!("{:?} {:?}", database.lines(rows), database.lines(tables))
}

#[test]
fn a_fault_in_a_migration_is_one_error_and_the_next_run_goes_on() {
    let sites = ("002_sites", "CREATE TABLE sites (name TEXT);\nSELECT 'crash here';\n");
    let project = project(&[SPECIES, sites, ("003_flights", "CREATE TABLE flights (name TEXT);\n")]);
    assert_snapshot!(shown(&project.run(["up", "probe"])), @r"
    exit: 9
    --- stdout
    applied  001_species  [N] ms
    --- stderr
    error[adapter-crashed]: the adapter `probe` crashed while running `002_sites`
      --> migrations/probe/002_sites.sql
      caused by: the process of the adapter was ended by signal 11 (SIGSEGV)
    state: read again afterwards: `002_sites` is not applied, unless a server is still at work on it; 2 pending, 1 applied
    hint: `whimbrel up probe` looks at the history and goes on from there; report this to the adapter's author
    ");
    assert_eq!(truth(&project), r#"["001_species|applied|1"] ["species"]"#);
    project.write("migrations/probe/002_sites.sql", "CREATE TABLE sites (name TEXT);\n");
    assert_snapshot!(shown(&project.run(["up", "probe"])), @r"
    exit: 0
    --- stdout
    applied  002_sites  [N] ms
    applied  003_flights  [N] ms
    2 migrations applied to probe, now at 003_flights
    --- stderr
    ");
}

#[test]
fn a_call_of_abort_is_told_like_a_fault() {
    let project = project(&[("001_species", "CREATE TABLE species (name TEXT);\nSELECT 'abort here';\n")]);
    assert_snapshot!(shown(&project.run(["up", "probe", "--format", "json"])), @r#"
    exit: 9
    --- stdout
    {
      "database": "probe",
      "adapter": "probe",
      "applied": [],
      "reverted": [],
      "failed": {
        "id": "001_species",
        "error": {
          "name": "adapter-crashed",
          "message": "the adapter `probe` crashed while running `001_species`",
          "file": "migrations/probe/001_species.sql",
          "line": null,
          "column": null,
          "sqlstate": null,
          "state": "read again afterwards: `001_species` is not applied, unless a server is still at work on it; 1 pending",
          "hint": "`whimbrel up probe` looks at the history and goes on from there; report this to the adapter's author",
          "cause": "the process of the adapter was ended by signal 6 (SIGABRT)",
          "facts": []
        }
      },
      "errors": [
        {
          "name": "adapter-crashed",
          "message": "the adapter `probe` crashed while running `001_species`",
          "file": "migrations/probe/001_species.sql",
          "line": null,
          "column": null,
          "sqlstate": null,
          "state": "read again afterwards: `001_species` is not applied, unless a server is still at work on it; 1 pending",
          "hint": "`whimbrel up probe` looks at the history and goes on from there; report this to the adapter's author",
          "cause": "the process of the adapter was ended by signal 6 (SIGABRT)",
          "facts": []
        }
      ],
      "state": "read again afterwards: `001_species` is not applied, unless a server is still at work on it; 1 pending"
    }
    --- stderr
    error[adapter-crashed]: the adapter `probe` crashed while running `001_species`
      --> migrations/probe/001_species.sql
      caused by: the process of the adapter was ended by signal 6 (SIGABRT)
    state: read again afterwards: `001_species` is not applied, unless a server is still at work on it; 1 pending
    hint: `whimbrel up probe` looks at the history and goes on from there; report this to the adapter's author
    "#);
}

#[test]
fn a_fault_in_a_script_without_a_transaction_says_how_far_it_came() {
    let script = |third: &str| {
        format!(
            "-- no-transaction\nCREATE TABLE sites (name TEXT);\nCREATE TABLE flights (name TEXT);\n\
             SELECT '{third}';\n"
        )
    };
    let project = project(&[SPECIES, ("002_sites", &script("crash here"))]);
    assert_snapshot!(shown(&project.run(["up", "probe"])), @r"
    exit: 9
    --- stdout
    applied  001_species  [N] ms
    --- stderr
    error[adapter-crashed]: the adapter `probe` crashed while running `002_sites`
      --> migrations/probe/002_sites.sql
      caused by: the process of the adapter was ended by signal 11 (SIGSEGV)
    state: read again afterwards: statements 1-2 of `002_sites` are in the database; statement 3 and what follows may be in the database or not; 1 applied, 1 started
    hint: the server may still be at work on it; `whimbrel up probe` waits for that, and looks how far it came
    ");
    assert_eq!(
        truth(&project),
        r#"["001_species|applied|1", "002_sites|started|2"] ["species", "sites", "flights"]"#
    );
    project.write("migrations/probe/002_sites.sql", script("all is well"));
    assert_snapshot!(shown(&project.run(["up", "probe"])), @r"
    exit: 5
    --- stdout
    --- stderr
    waiting for another run ([USER]@[HOST] pid [PID], whimbrel 0.1.0, probe 0.3.0)
    error[partly-applied]: the run that was at work on statement 3 of `002_sites` is gone
      --> migrations/probe/002_sites.sql:4:1
      4 | SELECT 'all is well';
        | ^
      and it was edited since
    state: statements 1-2 of `002_sites` are in the database; statement 3 may be in the database or not
    hint: look whether it is in, then say so: `whimbrel repair probe 002_sites --resume-at 4` if it is, `--resume-at 3` if it is not; then go on with `whimbrel up probe`
    ");
}

#[test]
fn a_fault_in_a_down_script_says_that_the_migration_is_applied() {
    let down = ("001_species.down", "DROP TABLE species;\nSELECT 'crash here';\n");
    let project = project(&[("001_species.up", SPECIES.1), down]);
    let _ = project.run(["up", "probe"]).exits(0);
    assert_snapshot!(shown(&project.run(["down", "probe"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-crashed]: the adapter `probe` crashed while running `001_species`
      --> migrations/probe/001_species.down.sql
      caused by: the process of the adapter was ended by signal 11 (SIGSEGV)
    state: read again afterwards: `001_species` is applied; 1 applied
    hint: `whimbrel down probe` looks at the history and goes on from there; report this to the adapter's author
    ");
    assert_eq!(truth(&project), r#"["001_species|applied|1"] ["species"]"#);
}

/// Wherever it happens, it is said, and nothing else is.
#[test]
fn a_fault_anywhere_is_an_error() {
    let methods = ["check_url", "connect", "dialect", "text", "read", "run", "close", "drop"];
    let outcomes = methods.map(|method| {
        let project = project(&[SPECIES]);
        let outcome = project.run(["up", "probe", "--url", &format!("probe:birds.db?crash={method}")]);
        format!("# {method}\n{}", shown(&outcome))
    });
    assert_snapshot!(outcomes.join("\n"), @r"
    # check_url
    exit: 9
    --- stdout
    --- stderr
    error[adapter-crashed]: the url of `probe` cannot be used: the process of the adapter was ended by signal 11 (SIGSEGV)
      the url is probe:birds.db?crash=check_url, from `--url` (command line)

    # connect
    exit: 9
    --- stdout
    --- stderr
    error[adapter-crashed]: the adapter crashed
      caused by: the process of the adapter was ended by signal 11 (SIGSEGV)
    hint: the url comes from `--url` (command line)

    # dialect
    exit: 9
    --- stdout
    --- stderr
    error[adapter-crashed]: the adapter crashed
      caused by: the process of the adapter was ended by signal 11 (SIGSEGV)
    state: nothing was run
    hint: report this to the adapter's author

    # text
    exit: 9
    --- stdout
    --- stderr
    error[adapter-crashed]: the adapter crashed
      caused by: the process of the adapter was ended by signal 11 (SIGSEGV)
    state: nothing was run
    hint: report this to the adapter's author

    # read
    exit: 9
    --- stdout
    --- stderr
    error[adapter-crashed]: the adapter crashed
      caused by: the process of the adapter was ended by signal 11 (SIGSEGV)
    state: nothing was run
    hint: report this to the adapter's author

    # run
    exit: 9
    --- stdout
    --- stderr
    error[adapter-crashed]: the adapter crashed
      caused by: the process of the adapter was ended by signal 11 (SIGSEGV)
    state: no migration was run
    hint: report this to the adapter's author

    # close
    exit: 0
    --- stdout
    applied  001_species  [N] ms
    1 migration applied to probe, now at 001_species
    --- stderr

    # drop
    exit: 0
    --- stdout
    applied  001_species  [N] ms
    1 migration applied to probe, now at 001_species
    --- stderr
    ");
}

#[test]
fn without_isolation_a_fault_is_the_end_of_the_program() {
    let project = project(&[SPECIES]);
    let settings = project.read("plugins.toml").replace("isolate = true", "isolate = false");
    project.write("plugins.toml", settings);
    let outcome = project.run(["up", "probe", "--url", "probe:birds.db?crash=run"]);
    assert_eq!(outcome.signal, Some(Signal::SIGSEGV as i32), "{}", shown(&outcome));
}

const ENDLESS: (&str, &str) = (
    "002_endless",
    "CREATE TABLE sites (name TEXT);\nWITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;\n",
);

/// Starts a run, and waits until its endless statement is at work.
fn endless(project: &Project, options: &[&str]) -> Running {
    let run = project.spawn(["up", "probe"].iter().chain(options));
    until("the endless statement runs", || {
        let client = Sqlite::at(project.path("birds.db"));
        let first = "SELECT 1 FROM whimbrel_migrations WHERE position = 1";
        client.try_query(first).is_ok_and(|rows| !rows.is_empty())
            && client.try_query("PRAGMA busy_timeout = 0; BEGIN IMMEDIATE; ROLLBACK").is_err()
    });
    run
}

#[test]
fn an_adapter_that_hangs_after_a_signal_is_killed() {
    let project = project(&[SPECIES, ENDLESS]);
    let run = endless(&project, &["--url", "probe:birds.db?hang=cancel"]);
    run.terminate();
    assert_snapshot!(shown(&run.wait()), @r"
    exit: 143
    --- stdout
    applied  001_species  [N] ms
    --- stderr
    error[terminated]: interrupted in `002_endless`, and the adapter `probe` does not come back
      --> migrations/probe/002_endless.sql
      waited 8 s for it
      caused by: the process of the adapter was killed, because it did not come back
    state: `002_endless` is either applied or not there at all; the next run knows; `001_species` was applied in this run and stays
    hint: `whimbrel up probe` looks at the history and goes on from there; report this to the adapter's author
    ");
    assert_eq!(truth(&project), r#"["001_species|applied|1"] ["species"]"#);
}

#[test]
fn an_adapter_that_hangs_beyond_the_statement_timeout_is_killed_and_the_history_read_again() {
    let project = project(&[SPECIES, ENDLESS]);
    let limits = ["--statement-timeout", "10ms", "--url", "probe:birds.db?hang=cancel"];
    assert_snapshot!(shown(&endless(&project, &limits).wait()), @r"
    exit: 9
    --- stdout
    applied  001_species  [N] ms
    --- stderr
    error[adapter-hangs]: the adapter `probe` does not come back from `002_endless`
      --> migrations/probe/002_endless.sql
      nothing was heard of it for [N] s, much longer than the statement timeout allows
      cancelling did not help
      caused by: the process of the adapter was killed, because it did not come back
    state: read again afterwards: `002_endless` is not applied, unless a server is still at work on it; 1 pending, 1 applied
    hint: `whimbrel up probe` looks at the history and goes on from there; report this to the adapter's author
    ");
    assert_eq!(truth(&project), r#"["001_species|applied|1"] ["species"]"#);
}

/// Returns the processes whose parent is this one.
fn children(process: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    text.split_whitespace().map(|number| number.parse().expect("a number")).collect()
}

#[test]
fn the_process_of_the_adapter_ends_with_the_program() {
    let project = project(&[SPECIES, ENDLESS]);
    let run = endless(&project, &[]);
    let children = children(run.pid());
    assert_eq!(children.len(), 1, "one process for the adapter");
    run.kill();
    until("it has ended", || !Path::new(&format!("/proc/{}", children[0])).exists());
    assert_eq!(truth(&project), r#"["001_species|applied|1"] ["species"]"#);
}

/// Nothing but the watch is left to notice it.
#[test]
fn the_process_of_an_adapter_that_hangs_ends_with_the_program_too() {
    let project = project(&[SPECIES]);
    let run = project.spawn(["up", "probe", "--url", "probe:birds.db?hang=check_url"]);
    until("it hangs", || project.path("hangs").exists());
    let children = children(run.pid());
    run.kill();
    until("it has ended", || !Path::new(&format!("/proc/{}", children[0])).exists());
}

/// As a supervisor does that stops every process of a service, and as Ctrl-C at a terminal would.
#[test]
fn a_signal_to_all_processes_interrupts_the_run_and_crashes_nothing() {
    let project = project(&[SPECIES, ENDLESS]);
    let run = endless(&project, &[]);
    let pid = |number: u32| Pid::from_raw(number.try_into().expect("a pid is a pid_t"));
    for child in children(run.pid()).into_iter().map(pid) {
        assert_ne!(getpgid(Some(child)), getpgid(Some(pid(run.pid()))), "it is in a group of its own");
        kill(child, Signal::SIGTERM).expect("it runs");
    }
    run.terminate();
    assert_snapshot!(shown(&run.wait()), @r"
    exit: 143
    --- stdout
    applied  001_species  [N] ms
    --- stderr
    error[terminated]: interrupted in `002_endless`
    state: `002_endless` was rolled back; `001_species` was applied in this run and stays
    hint: the next run goes on from there
    ");
}

/// Neither in its arguments, which everybody can see, nor in a file with its memory.
#[test]
fn the_process_of_the_adapter_shows_no_password_and_leaves_no_core() {
    let project = project(&[SPECIES, ENDLESS]);
    let run = endless(&project, &["--url", "probe:birds.db?password=w1mbr3l"]);
    let child = children(run.pid())[0];
    let arguments = fs::read_to_string(format!("/proc/{child}/cmdline")).expect("it runs");
    assert!(arguments.contains("host") && !arguments.contains("w1mbr3l"), "{arguments}");
    let limits = fs::read_to_string(format!("/proc/{child}/limits")).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("there is one");
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"]);
    let status = fs::read_to_string(format!("/proc/{child}/status")).expect("it runs");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    run.kill();
}

/// Nobody else speaks its language.
#[test]
fn the_process_of_an_adapter_is_not_started_by_hand() {
    let mut command = Command::new(built_file("whimbrel"));
    command.args(["adapters", "host"]).arg(probe_library()).stdin(Stdio::null());
    let outcome = command.output().expect("it is built");
    assert_eq!((outcome.status.code(), outcome.status.signal()), (Some(2), None));
    assert_snapshot!(String::from_utf8_lossy(&outcome.stderr), @r"
    error[usage]: this is started by `whimbrel` itself
      caused by: Socket operation on non-socket (os error 88)
    ");
}

/// One more process is none of the server's business.
#[rstest]
fn turns_are_the_same(#[values(Engine::Postgres, Engine::MariaDb)] engine: Engine) {
    let (folder, database) = (engine.adapter(), engine.fresh());
    let settings = format!("[adapters.{folder}]\nisolate = true\n");
    let project = (1..=3).fold(Project::new().plugins_toml(&settings), |project, number| {
        let script = format!("CREATE TABLE made_{number} (id integer PRIMARY KEY);\n");
        project.file(&format!("migrations/{folder}/{number:03}_table.sql"), script)
    });
    let proxy = Proxy::before(database.as_ref());
    let url = proxy.plain_url(database.as_ref());
    for turns in [2 + 3, 1] {
        proxy.forget();
        let _ = project.run(["up", folder, "--url", &url]).exits(0);
        assert_eq!((proxy.connections(), proxy.turns()), (1, turns), "{folder}");
    }
}
