//! Whole runs on DuckDB, whose file belongs to one process at a time. Its adapter is a workspace of its own, as a stranger's.

use std::process::{Command, Output};

use insta::assert_snapshot;
use whimbrel_tests::{Project, Running, servers, until};

fn library() -> String {
    servers()
        .duckdb
        .target
        .join("debug/libwhimbrel_adapter_duckdb.so")
        .to_str()
        .expect("a path of cargo's")
        .to_owned()
}

/// Returns a project with a folder for a database in `birds.duckdb`.
fn project(files: &[(&str, &str)]) -> Project {
    let project = Project::new().plugins_toml(&format!(
        "default = \"duckdb\"\n\n[adapters.duckdb]\npath = \"{}\"\n\n[databases.duckdb]\nurl = \"duckdb:birds.duckdb\"\n",
        library()
    ));
    files
        .iter()
        .fold(project, |project, (name, text)| project.file(&format!("migrations/duckdb/{name}"), text))
}

const BIRDS: (&str, &str) = (
    "001_birds.sql",
    "CREATE TABLE birds (id BIGINT PRIMARY KEY, name VARCHAR);\nINSERT INTO birds VALUES (1, 'wren');\n",
);

/// Runs tests of its workspace.
fn cargo_test(which: &[&str]) -> Output {
    let build = &servers().duckdb;
    let mut test = Command::new(env!("CARGO"));
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../adapters/duckdb/Cargo.toml");
    test.args(["test", "--quiet", "--locked", "--manifest-path", manifest]).args(which);
    test.arg("--target-dir").arg(&build.target).env("DUCKDB_LIB_DIR", &build.engine);
    test.env("LD_LIBRARY_PATH", &build.engine).output().expect("cargo runs")
}

#[test]
fn its_own_tests_pass() {
    let outcome = cargo_test(&["--lib", "--test", "sessions"]);
    let told = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success(), "{told}{}", String::from_utf8_lossy(&outcome.stderr));
}

/// Linked into its own tests, loaded from its library, and in a process of its own.
#[test]
fn it_passes_the_suite_each_way() {
    let linked = cargo_test(&["--test", "conformance"]);
    let table = String::from_utf8_lossy(&linked.stdout);
    assert!(linked.status.success(), "{table}{}", String::from_utf8_lossy(&linked.stderr));
    for settings in ["", "[adapters.duckdb]\nisolate = true\n"] {
        let project = Project::new().plugins_toml(settings);
        let loaded = project.run(["adapters", "test", &library(), "--url", "duckdb:check.duckdb"]).exits(0);
        assert_eq!(loaded.stdout.trim(), table.trim());
    }
    let others: Vec<&str> = table.lines().filter(|line| !line.starts_with("passed")).collect();
    assert_snapshot!(others.join("\n"), @r"
    refused  transactions  a transaction inside another is taken back alone: as it declares
    refused  atomic        data inside a script is taken in, or refused: as it declares
    refused  batches       batches that may be sent at once are run in order too: as it declares
    refused  limits        a statement does not run beyond its limit: as it declares
    refused  kills         what the server still does for a killed process is known: as it declares
    duckdb: 69 passed, 5 refused
    ");
}

#[test]
fn a_failed_migration_is_taken_back_and_gone_on_with() {
    let project = project(&[
        BIRDS,
        ("002_sites.up.sql", "CREATE TABLE sites (id BIGINT);\nINSERT INTO bird VALUES (2, 'kite');\n"),
        ("002_sites.down.sql", "DROP TABLE sites;\n"),
    ]);
    assert_snapshot!(project.run(["up"]).redacted(), @r#"
    exit: 1
    --- stdout
    applied  001_birds  [N] ms
    --- stderr
    error[statement]: Table with name bird does not exist!
        Did you mean "birds"?
      --> migrations/duckdb/002_sites.up.sql:2:1
      2 | INSERT INTO bird VALUES (2, 'kite');
        | ^
    state: `002_sites` was rolled back; `001_birds` was applied in this run and stays
    hint: fix the file and run `whimbrel up duckdb` again
    "#);
    project
        .write("migrations/duckdb/002_sites.up.sql", "CREATE TABLE sites (id BIGINT);\nSET threads = 1;\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  002_sites  [N] ms
    1 migration applied to duckdb, now at 002_sites
    --- stderr
    ");
    assert_snapshot!(project.run(["down"]).redacted(), @r"
    exit: 0
    --- stdout
    reverted 002_sites  [N] ms
    1 migration reverted on duckdb, now at 001_birds
    --- stderr
    ");
    assert_snapshot!(project.run(["status"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  001_birds  [TIME]  [N] ms
    pending  002_sites
    duckdb: 1 pending, 1 applied
    --- stderr
    ");
}

#[test]
fn a_failure_without_a_transaction_is_exact_to_the_statement() {
    let project = project(&[(
        "001_birds.sql",
        "-- no-transaction\nCREATE TABLE birds (id BIGINT);\nCHECKPOINT;\nINSERT INTO birds VALUES ('x');\n",
    )]);
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 5
    --- stdout
    --- stderr
    error[partly-applied]: `001_birds` stopped after 2 of 3 statements, and they cannot be undone
      --> migrations/duckdb/001_birds.sql:4:27
      4 | INSERT INTO birds VALUES ('x');
        |                           ^
      caused by: Could not convert string 'x' to INT64
    state: statements 1-2 of `001_birds` are in the database; nothing else runs until it is settled
    hint: fix statement 3 and run `whimbrel up duckdb` again, which goes on there; or settle it by hand and say so: `whimbrel repair duckdb 001_birds --applied` or `--reverted`
    ");
    project.write(
        "migrations/duckdb/001_birds.sql",
        "-- no-transaction\nCREATE TABLE birds (id BIGINT);\nCHECKPOINT;\nINSERT INTO birds VALUES (1);\n",
    );
    let _ = project.run(["up"]).exits(0);
    assert_snapshot!(project.run(["verify"]).redacted(), @r"
    exit: 0
    --- stdout
    duckdb: files and history agree
    --- stderr
    ");
}

#[test]
fn reading_creates_no_file() {
    let project = project(&[BIRDS]);
    for command in [&["status"][..], &["plan"], &["history"], &["verify"], &["up", "--dry-run"]] {
        let _ = project.run(command).exits(0);
    }
    assert!(!project.path("birds.duckdb").exists());
}

#[test]
fn ten_runs_at_once_wait_for_each_other() {
    let files: Vec<(String, String)> = (2..=5)
        .map(|number| {
            (format!("{number:03}_bird.sql"), format!("INSERT INTO birds VALUES ({number}, 'x');\n"))
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let project = project(&[&[BIRDS], files.as_slice()].concat());
    let runs: Vec<Running> = (0..10).map(|_| project.spawn(["up", "--wait-for-runner", "100s"])).collect();
    for run in runs {
        let _ = run.wait().exits(0);
    }
    let history = project.run(["history"]).exits(0);
    assert_eq!(
        history.stdout.lines().filter(|line| line.contains(" applied ")).count(),
        5,
        "{}",
        history.stdout
    );
}

#[test]
fn a_file_that_another_process_has_is_said_to_be_in_use() {
    let slow = "SELECT count(*) FROM range(10000000) a, range(10000) b WHERE a.range + b.range < 0;\n";
    let project = project(&[BIRDS, ("002_slow.sql", slow)]);
    let running = project.spawn(["up"]);
    let look = || project.run(["status", "--wait-for-runner", "0s"]);
    until("the file is in use", || look().code == Some(6));
    let outcome = look();
    assert_snapshot!(outcome.redacted_with(&[(r"pid \d+", "pid [PID]")]), @r"
    exit: 6
    --- stdout
    --- stderr
    error[lock-held]: another process (pid [PID]) has `birds.duckdb` to itself
    hint: let it finish, or wait longer with `--wait-for-runner 10m`
    ");
    running.kill();
    let _ = running.wait();
    project.write("migrations/duckdb/002_slow.sql", "SELECT 1;\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  002_slow  [N] ms
    1 migration applied to duckdb, now at 002_slow
    --- stderr
    ");
}
