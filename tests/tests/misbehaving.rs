//! Adapters that hang, lie or talk nonsense: the host survives, says what is the matter, and loses nothing.

use std::fs;

use insta::assert_snapshot;
use rstest::rstest;
use whimbrel_tests::{
    Database, Fault, Loss, Networked, Outcome, Postgres, Product, Project, Proxy, Running, Sqlite,
    probe_library, until,
};

/// Returns a project with three migrations for the probe, the last of which runs until it is interrupted.
fn project() -> Project {
    let library = fs::read(probe_library()).expect("it was built");
    let endless =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;\n";
    Project::new()
        .plugins_toml("plugins = [\"plugins\"]\n\n[databases.probe]\nurl = \"probe:birds.db\"\n")
        .file("plugins/libwhimbrel_adapter_probe.so", library)
        .file("migrations/probe/001_species.up.sql", "CREATE TABLE species (id);\n")
        .file("migrations/probe/001_species.down.sql", "DROP TABLE species;\n")
        .file("migrations/probe/002_sites.sql", "CREATE TABLE sites (id);\n")
        .file("migrations/probe/003_endless.sql", format!("CREATE TABLE never (id);\n{endless}"))
}

/// Returns what the history says, and which tables there are.
fn truth(project: &Project) -> String {
    let database = Sqlite::at(project.path("birds.db"));
    let rows = "SELECT position, migration, direction, state FROM whimbrel_migrations ORDER BY position";
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'whimbrel_migrations'";
    format!("{:?} {:?}", database.lines(rows), database.lines(tables))
}

const FIRST: &str = r#"["1|001_species|up|applied"] ["species"]"#;
const BOTH: &str = r#"["1|001_species|up|applied", "2|002_sites|up|applied"] ["species", "sites"]"#;

/// Starts a command whose adapter hangs in a method, and waits until it does.
fn hanging(project: &Project, command: &[&str], method: &str) -> Running {
    let url = format!("probe:birds.db?hang={method}");
    let run = project.spawn(command.iter().copied().chain(["--url", &url]));
    until("it hangs", || fs::read_to_string(project.path("hangs")).is_ok_and(|hangs| hangs == method));
    project.remove("hangs");
    run
}

/// Returns the outcome of a command whose adapter lies.
fn lied_to(project: &Project, command: &[&str], lie: &str) -> Outcome {
    let url = format!("probe:birds.db?lie={lie}");
    project.run(command.iter().copied().chain(["--url", &url]))
}

fn shown(outcome: &Outcome) -> String {
    outcome.redacted_with(&[(r"(heard of it for) \d+", "$1 [N]"), (r"(cut: )\d+", "$1[N]")])
}

/// What cannot be cancelled may still be at work, and nobody has to send a second signal to hear that.
#[test]
fn an_adapter_that_hangs_is_given_up_after_a_signal() {
    let project = project();
    let run = hanging_in_the_endless_one(&project, &[]);
    run.interrupt();
    until("it is cancelled", || project.path("hangs").exists());
    assert_snapshot!(shown(&run.wait()), @r"
    exit: 130
    --- stdout
    applied  001_species  [N] ms
    applied  002_sites  [N] ms
    --- stderr
    error[interrupted]: interrupted in `003_endless`, and the adapter `probe` does not come back
      --> migrations/probe/003_endless.sql
      waited 8 s for it
    state: unknown for `003_endless`, which may still be at work on the server; `001_species` and `002_sites` were applied in this run and stay
    hint: run `whimbrel verify probe` before anything else
    ");
    assert_eq!(truth(&project), BOTH);
    let run = hanging_in_the_endless_one(&project, &["--format", "json"]);
    run.terminate();
    assert_snapshot!(shown(&run.wait()), @r#"
    exit: 143
    --- stdout
    {
      "database": "probe",
      "adapter": "probe",
      "applied": [],
      "reverted": [],
      "failed": {
        "id": "003_endless",
        "error": {
          "name": "terminated",
          "message": "interrupted in `003_endless`, and the adapter `probe` does not come back",
          "file": "migrations/probe/003_endless.sql",
          "line": null,
          "column": null,
          "sqlstate": null,
          "state": "unknown for `003_endless`, which may still be at work on the server",
          "hint": "run `whimbrel verify probe` before anything else",
          "cause": null,
          "facts": [
            "waited 8 s for it"
          ]
        }
      },
      "errors": [
        {
          "name": "terminated",
          "message": "interrupted in `003_endless`, and the adapter `probe` does not come back",
          "file": "migrations/probe/003_endless.sql",
          "line": null,
          "column": null,
          "sqlstate": null,
          "state": "unknown for `003_endless`, which may still be at work on the server",
          "hint": "run `whimbrel verify probe` before anything else",
          "cause": null,
          "facts": [
            "waited 8 s for it"
          ]
        }
      ],
      "state": "unknown for `003_endless`, which may still be at work on the server"
    }
    --- stderr
    error[terminated]: interrupted in `003_endless`, and the adapter `probe` does not come back
      --> migrations/probe/003_endless.sql
      waited 8 s for it
    state: unknown for `003_endless`, which may still be at work on the server
    hint: run `whimbrel verify probe` before anything else
    "#);
}

/// Starts a run whose last statement never ends and cannot be cancelled.
fn hanging_in_the_endless_one(project: &Project, options: &[&str]) -> Running {
    let command = ["up", "probe", "--url", "probe:birds.db?hang=cancel"];
    let run = project.spawn(command.iter().chain(options));
    until("the endless statement runs", || {
        let client = Sqlite::at(project.path("birds.db"));
        client
            .try_query("SELECT 1 FROM whimbrel_migrations WHERE position = 2")
            .is_ok_and(|rows| !rows.is_empty())
            && client.try_query("PRAGMA busy_timeout = 0; BEGIN IMMEDIATE; ROLLBACK").is_err()
    });
    run
}

#[test]
fn a_second_signal_ends_at_once_and_says_what_is_not_known() {
    let project = project();
    let run = hanging_in_the_endless_one(&project, &[]);
    run.interrupt();
    until("it is cancelled", || project.path("hangs").exists());
    run.interrupt();
    assert_snapshot!(shown(&run.wait()), @r"
    exit: 130
    --- stdout
    applied  001_species  [N] ms
    applied  002_sites  [N] ms
    --- stderr
    error[interrupted]: interrupted in `003_endless`, twice: ended at once
      --> migrations/probe/003_endless.sql
    state: unknown for `003_endless`, which may still be at work on the server; `001_species` and `002_sites` were applied in this run and stay
    hint: run `whimbrel verify probe` before anything else
    ");
}

#[test]
fn wherever_an_adapter_hangs_a_signal_ends_it() {
    let up = ["up", "probe", "--steps", "1"];
    let commands: [(&[&str], &[&str]); 4] = [
        (&["status", "probe"], &["dialect", "text", "read"]),
        (&["baseline", "probe", "2"], &["dialect", "text", "read", "run", "execute"]),
        (&up, &["dialect", "text", "read", "run", "execute"]),
        (&["down", "probe"], &["dialect", "text", "read", "run", "execute"]),
    ];
    let begun = commands.into_iter().flat_map(|(command, methods)| {
        methods.iter().map(move |method| {
            let project = project();
            let _ = project.run(up).exits(0);
            let run = hanging(&project, command, method);
            run.terminate();
            (project, command[0], method, run)
        })
    });
    // All of them at once: each has its grace.
    let begun: Vec<_> = begun.collect();
    let mut seen = Vec::new();
    for (project, command, method, run) in begun {
        let outcome = run.wait();
        let lines = outcome.stderr.lines().filter(|line| !line.starts_with("  "));
        seen.push(format!("{command} {method}: {}", lines.collect::<Vec<_>>().join("\n  ")));
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(143), ""), "{command} {method}");
        assert_eq!(truth(&project), FIRST, "{command} {method}");
    }
    assert_snapshot!(seen.join("\n"), @r"
    status dialect: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: nothing was changed
    status text: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: nothing was changed
    status read: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: nothing was changed
    baseline dialect: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: it is either recorded or not
      hint: look at `whimbrel history probe`, and run it again if it is not there
    baseline text: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: it is either recorded or not
      hint: look at `whimbrel history probe`, and run it again if it is not there
    baseline read: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: it is either recorded or not
      hint: look at `whimbrel history probe`, and run it again if it is not there
    baseline run: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: it is either recorded or not
      hint: look at `whimbrel history probe`, and run it again if it is not there
    baseline execute: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: it is either recorded or not
      hint: look at `whimbrel history probe`, and run it again if it is not there
    up dialect: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: nothing was run
    up text: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: nothing was run
    up read: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: nothing was run
    up run: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: nothing was run
    up execute: error[terminated]: interrupted in `002_sites`, and the adapter `probe` does not come back
      state: unknown for `002_sites`, which may still be at work on the server
      hint: run `whimbrel verify probe` before anything else
    down dialect: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: nothing was run
    down text: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: nothing was run
    down read: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: nothing was run
    down run: error[terminated]: interrupted, and the adapter `probe` does not come back
      state: nothing was run
    down execute: error[terminated]: interrupted in the down script of `001_species`, and the adapter `probe` does not come back
      state: unknown for the down script of `001_species`, which may still be at work on the server
      hint: run `whimbrel verify probe` before anything else
    ");
}

/// The network swallows what the server says, whether it commits or is reached by the cancellation: nobody hears of it.
#[rstest]
#[case::postgres("postgres", &Postgres::fresh(), "sslmode=disable")]
#[case::mariadb("mysql", &Product::MariaDb.fresh(), "ssl-mode=DISABLED")]
#[case::mysql("mysql", &Product::MySql.fresh(), "ssl-mode=DISABLED")]
fn a_server_that_falls_silent_is_given_up_after_a_signal(
    #[case] folder: &str,
    #[case] database: &dyn Networked,
    #[case] without_tls: &str,
) {
    let project = Project::new()
        .file(&format!("migrations/{folder}/001_birds.sql"), "CREATE TABLE birds (id int);\n")
        .file(&format!("migrations/{folder}/002_bird.sql"), "INSERT INTO birds VALUES (1);\n");
    let _ = project.run(["up", folder, "--to", "1", "--url", &database.url()]).exits(0);
    let proxy = Proxy::before(database);
    // The first turn reads, the second is the migration.
    proxy.fault(Fault::Reply { turn: 2, loss: Loss::Silence });
    let url = format!("{}?{without_tls}", proxy.url(database));
    let run = project.spawn(["up", folder, "--url", &url]);
    proxy.wait_for_fault();
    run.interrupt();
    let outcome = run.wait().exits(130);
    let state = "state: unknown for `002_bird`, which may still be at work on the server\n";
    assert!(outcome.stderr.contains(state), "{}", outcome.stderr);
    // Either it was committed, or the cancellation was quicker and it is applied now.
    let _ = project.run(["up", folder, "--url", &database.url()]).exits(0);
    assert_eq!(database.lines("SELECT id FROM birds"), ["1"]);
}

/// There is nothing to take back.
#[test]
fn an_adapter_that_hangs_before_it_is_connected_is_left_at_once() {
    let project = project();
    let run = hanging(&project, &["up", "probe"], "connect");
    run.interrupt();
    assert_snapshot!(shown(&run.wait()), @r"
    exit: 130
    --- stdout
    --- stderr
    error[interrupted]: interrupted while connecting
    state: nothing was changed
    ");
    let run = hanging(&project, &["up", "probe"], "check_url");
    run.interrupt();
    assert_snapshot!(shown(&run.wait()), @r"
    signal: 2
    --- stdout
    --- stderr
    ");
    assert!(!project.path("birds.db").exists());
}

/// What was done is done.
#[test]
fn a_session_that_does_not_end_is_left_behind() {
    let project = project();
    let run = hanging(&project, &["up", "probe", "--to", "2"], "drop");
    assert_snapshot!(shown(&run.wait()), @r"
    exit: 0
    --- stdout
    applied  001_species  [N] ms
    applied  002_sites  [N] ms
    2 migrations applied to probe, now at 002_sites
    --- stderr
    warning[adapter-hangs]: the adapter `probe` does not come back from ending its session
    hint: report this to the adapter's author
    ");
    assert_eq!(truth(&project), BOTH);
}

/// Without such a limit, a long statement looks the same as an adapter that hangs.
#[test]
fn an_adapter_that_outstays_the_statement_timeout_is_cancelled_and_then_given_up() {
    let [obeys, hangs] = [project(), project()];
    let limit = ["up", "probe", "--statement-timeout", "10ms", "--url"];
    let obeys_run = obeys.spawn(limit.iter().chain(&["probe:birds.db"]));
    let hangs_run = hangs.spawn(limit.iter().chain(&["probe:birds.db?hang=cancel"]));
    assert_snapshot!(shown(&obeys_run.wait()), @r"
    exit: 1
    --- stdout
    applied  001_species  [N] ms
    applied  002_sites  [N] ms
    --- stderr
    error[statement]: interrupted
      --> migrations/probe/003_endless.sql:2:1
      2 | WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;
        | ^
      cancelled: nothing was heard of it for [N] s, much longer than the statement timeout allows
    state: `003_endless` was rolled back; `001_species` and `002_sites` were applied in this run and stay
    hint: allow more with `--statement-timeout`
    ");
    assert_snapshot!(shown(&hangs_run.wait()), @r"
    exit: 9
    --- stdout
    applied  001_species  [N] ms
    applied  002_sites  [N] ms
    --- stderr
    error[adapter-hangs]: the adapter `probe` does not come back from `003_endless`
      --> migrations/probe/003_endless.sql
      nothing was heard of it for [N] s, much longer than the statement timeout allows
      cancelling did not help
    state: unknown for `003_endless`, which may still be at work on the server; `001_species` and `002_sites` were applied in this run and stay
    hint: run `whimbrel verify probe` before anything else, and report this to the adapter's author
    ");
    assert_eq!([truth(&obeys), truth(&hangs)], [BOTH, BOTH]);
}

/// The adapter sends a migration in one message, and waits for everything behind it.
#[test]
fn a_server_that_falls_silent_is_given_up_long_after_the_statement_timeout() {
    let database = Postgres::fresh();
    let project = Project::new()
        .file("migrations/postgres/001_birds.sql", "CREATE TABLE birds (id int);\n")
        .file("migrations/postgres/002_bird.sql", "INSERT INTO birds VALUES (1);\n");
    let _ = project.run(["up", "postgres", "--to", "1", "--url", &database.url()]).exits(0);
    let proxy = Proxy::before(&database);
    // The first turn reads, the second is the migration.
    proxy.fault(Fault::Reply { turn: 2, loss: Loss::Silence });
    let url = format!("{}?sslmode=disable", proxy.url(&database));
    let outcome = project.run(["up", "postgres", "--statement-timeout", "10ms", "--url", &url]);
    assert_snapshot!(shown(&outcome), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-hangs]: the adapter `postgres` does not come back from `002_bird`
      --> migrations/postgres/002_bird.sql
      nothing was heard of it for [N] s, much longer than the statement timeout allows
      cancelling did not help
    state: unknown for `002_bird`, which may still be at work on the server
    hint: run `whimbrel verify postgres` before anything else, and report this to the adapter's author
    ");
    let _ = project.run(["up", "postgres", "--url", &database.url()]).exits(0);
    assert_eq!(database.lines("SELECT id FROM birds"), ["1"]);
}

/// Every file of `pg_dump` begins like this. What it does then may take longer than our limit and all that is added to it.
#[test]
fn a_script_that_lifts_the_statement_timeout_itself_is_left_alone() {
    let database = Postgres::fresh();
    let long = "SET statement_timeout = 0;\nSELECT pg_sleep(14);\n";
    let project = Project::new()
        .file("migrations/postgres/001_birds.sql", "CREATE TABLE birds (id int);\n")
        .file("migrations/postgres/002_long.sql", long);
    let _ = project.run(["up", "postgres", "--to", "1", "--url", &database.url()]).exits(0);
    let outcome = project.run(["up", "postgres", "--statement-timeout", "100ms", "--url", &database.url()]);
    assert_snapshot!(shown(&outcome), @r"
    exit: 0
    --- stdout
    applied  002_long  [N] ms
    1 migration applied to postgres, now at 002_long
    --- stderr
    ");
}

/// The next command finds out: the history lies in the database and not in the adapter.
#[test]
fn what_an_adapter_only_claims_to_have_done_is_done_by_the_next_run() {
    let project = project();
    let _ = project.run(["up", "probe", "--to", "1"]).exits(0);
    assert_snapshot!(shown(&lied_to(&project, &["up", "probe", "--to", "2"], "success")), @r"
    exit: 0
    --- stdout
    applied  002_sites  [N] ms
    1 migration applied to probe, now at 002_sites
    --- stderr
    ");
    assert_eq!(truth(&project), FIRST);
    assert_snapshot!(shown(&project.run(["status", "probe"])), @r"
    exit: 0
    --- stdout
    applied  001_species  [TIME]  [N] ms
    pending  002_sites
    pending  003_endless
    probe: 2 pending, 1 applied
    --- stderr
    ");
    let _ = project.run(["up", "probe", "--to", "2"]).exits(0);
    assert_eq!(truth(&project), BOTH);
}

#[test]
fn lies_about_a_migration_are_found_out() {
    let lies = ["count", "twice", "order", "silence"];
    let mut seen = Vec::new();
    for lie in lies {
        let project = project();
        let _ = project.run(["up", "probe", "--to", "1"]).exits(0);
        let outcome = lied_to(&project, &["up", "probe", "--to", "2"], lie);
        seen.push(format!("{lie}: {}", shown(&outcome)));
        let _ = project.run(["up", "probe", "--to", "2"]).exits(0);
        assert_eq!(truth(&project), BOTH, "{lie}");
    }
    assert_snapshot!(seen.join("\n"), @r"
    count: exit: 9
    --- stdout
    --- stderr
    error[adapter-misbehaved]: the adapter broke its contract
      --> migrations/probe/002_sites.sql
      at its commit
      caused by: the adapter says that 2 statements ran, which is not what it was given
    state: unknown for `002_sites`
    hint: run `whimbrel verify probe` before anything else

    twice: exit: 9
    --- stdout
    applied  002_sites  [N] ms
    --- stderr
    error[adapter-misbehaved]: the adapter broke its contract
      caused by: the adapter says what became of a batch that is not under way
    state: `002_sites` was applied in this run and stays

    order: exit: 9
    --- stdout
    --- stderr
    error[adapter-misbehaved]: the adapter broke its contract
      --> migrations/probe/002_sites.sql
      on its way to the server
      caused by: the adapter says what became of a batch that is not under way
    state: unknown for `002_sites`
    hint: run `whimbrel verify probe` before anything else

    silence: exit: 9
    --- stdout
    --- stderr
    error[adapter-misbehaved]: the adapter broke its contract
      --> migrations/probe/002_sites.sql
      on its way to the server
      caused by: the adapter does not say what became of a batch
    state: unknown for `002_sites`
    hint: run `whimbrel verify probe` before anything else
    ");
}

#[test]
fn lies_about_the_history_are_found_out() {
    let project = project();
    let _ = project.run(["up", "probe", "--to", "2"]).exits(0);
    let mut seen = Vec::new();
    for lie in ["no-rows", "reversed", "doubled", "short-rows"] {
        // Of what was applied and nothing more, `up` reads no positions that could be out of order.
        let first = if lie == "reversed" { "history" } else { "up" };
        let outcomes = [first, "status"].map(|command| lied_to(&project, &[command, "probe"], lie));
        assert_eq!(outcomes[0].code, outcomes[1].code, "{lie}");
        seen.push(format!("{lie}: {}", shown(&outcomes[0])));
        assert_eq!(truth(&project), BOTH, "{lie}");
    }
    assert_snapshot!(seen.join("\n"), @r"
    no-rows: exit: 9
    --- stdout
    --- stderr
    error[adapter-misbehaved]: the adapter says that it has read the history, and hands over a part of it
    state: nothing was run
    hint: report this to the adapter's author

    reversed: exit: 9
    --- stdout
    --- stderr
    error[adapter-misbehaved]: the adapter hands over row 1 of the history after row 2
    hint: report this to the adapter's author

    doubled: exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: position 1 stands twice in the history table `main.whimbrel_migrations`
      its primary key is gone, and with it what keeps two runs apart
    state: nothing was run
    hint: remove the row that is too many, and make `position` the primary key again

    short-rows: exit: 9
    --- stdout
    --- stderr
    error[adapter-misbehaved]: the adapter says that it has read the history, and hands over a part of it
    state: nothing was run
    hint: report this to the adapter's author
    ");
}

#[test]
fn a_dialect_without_texts_is_refused_before_anything_is_run() {
    let project = project();
    let _ = project.run(["up", "probe", "--to", "1"]).exits(0);
    let mut seen = Vec::new();
    for lie in ["no-texts", "empty-texts", "no-begin", "no-record", "no-finish"] {
        seen.push(format!("{lie}: {}", shown(&lied_to(&project, &["up", "probe"], lie))));
        assert_eq!(truth(&project), FIRST, "{lie}");
    }
    assert_snapshot!(seen.join("\n"), @r"
    no-texts: exit: 9
    --- stdout
    --- stderr
    error[adapter-misbehaved]: the adapter has no text for reading the history
    state: nothing was run
    hint: report this to the adapter's author

    empty-texts: exit: 9
    --- stdout
    --- stderr
    error[adapter-misbehaved]: the adapter has no text for reading the history
    state: nothing was run
    hint: report this to the adapter's author

    no-begin: exit: 9
    --- stdout
    --- stderr
    error[adapter-misbehaved]: the adapter has an empty text where one is needed to keep a history
    state: nothing was run
    hint: report this to the adapter's author

    no-record: exit: 9
    --- stdout
    --- stderr
    error[adapter-misbehaved]: the adapter has an empty text where one is needed to keep a history
    state: nothing was run
    hint: report this to the adapter's author

    no-finish: exit: 9
    --- stdout
    --- stderr
    error[adapter-misbehaved]: the adapter has an empty text where one is needed to keep a history
    state: nothing was run
    hint: report this to the adapter's author
    ");
}

/// A terminal would clear its screen, change its title, or believe a hint that is not ours.
#[test]
fn what_an_adapter_says_cannot_reach_the_terminal() {
    let project = project();
    let is_fit = |text: &str| !text.contains(|letter: char| letter.is_control() && letter != '\n');
    let mut seen = Vec::new();
    for method in ["connect", "read", "execute"] {
        let url = format!("probe:birds.db?garbage={method}");
        for format in ["human", "json"] {
            let outcome = project.run(["up", "probe", "-v", "--url", &url, "--format", format]);
            assert!(is_fit(&outcome.stdout) && is_fit(&outcome.stderr), "{method} {format}");
            assert!(outcome.stderr.len() < 20_000, "{method} {format}: {}", outcome.stderr.len());
            assert!(!outcome.stderr.contains("\nhint: run something else"), "{method} {format}");
            if format == "json" {
                let said = outcome.json()["errors"][0]["cause"].to_string();
                assert!(said.contains("long long"), "{method}: {said}");
            } else {
                seen.push(outcome);
            }
        }
    }
    let short = [(r"(long ){10,}", "long … "), (r"(longer ){10,}", "longer … "), (r"(cut: )\d+", "$1[N]")];
    let seen = seen.iter().map(|outcome| outcome.redacted_with(&short)).collect::<String>();
    assert_snapshot!(seen, @r"
    exit: 8
    --- stdout
    --- stderr
    adapter   probe 0.3.0: the folder has the name of the adapter `probe`
    library   plugins/libwhimbrel_adapter_probe.so
    url       probe:birds.db?garbage=connect, from `--url` (command line)
    error[connection]: cannot reach probe:birds.db?garbage=connect
      caused by: \u{1b}[2J\u{1b}]0;title\u{7}a\u{0}b\u{9b}31m\u{202e}\u{d}c
        hint: run something else
        long … … (cut: [N] more characters)
    hint: \u{1b}[2J\u{1b}]0;title\u{7}a\u{0}b\u{9b}31m\u{202e}\u{d}clonger … … (cut: [N] more characters)
    exit: 4
    --- stdout
    --- stderr
    adapter   probe 0.3.0: the folder has the name of the adapter `probe`
    library   plugins/libwhimbrel_adapter_probe.so
    url       probe:birds.db?garbage=read, from `--url` (command line)
    error[history-unreadable]: cannot read the history table `whimbrel_migrations`
      caused by: \u{1b}[2J\u{1b}]0;title\u{7}a\u{0}b\u{9b}31m\u{202e}\u{d}c
        hint: run something else
        long … … (cut: [N] more characters)
    state: nothing was run
    exit: 4
    --- stdout
    --- stderr
    adapter   probe 0.3.0: the folder has the name of the adapter `probe`
    library   plugins/libwhimbrel_adapter_probe.so
    url       probe:birds.db?garbage=execute, from `--url` (command line)
    error[history-unreadable]: cannot create the history table `main.whimbrel_migrations`
      caused by: \u{1b}[2J\u{1b}]0;title\u{7}a\u{0}b\u{9b}31m\u{202e}\u{d}c
        hint: run something else
        long … … (cut: [N] more characters)
    state: nothing was run
    ");
}

#[test]
fn notices_and_progress_that_make_no_sense_do_no_harm() {
    let project = project();
    let outcome = lied_to(&project, &["up", "probe", "-v", "--to", "1"], "notices").exits(0);
    assert!(!outcome.stderr.contains('\u{1b}') && outcome.stderr.len() < 20_000);
    assert!(outcome.stderr.contains("\n001_species  warning\\u{1b}[2j: "), "{}", outcome.stderr);
    let _ = lied_to(&project, &["up", "probe", "--to", "2"], "progress").exits(0);
    assert_eq!(truth(&project), BOTH);
}

/// Two runs at once cannot be told from one, so it has to be said that there is one.
#[test]
fn a_change_on_which_nothing_keeps_two_runs_apart_has_to_be_confirmed() {
    let project = project().env("PROBE_HAS_NO_FENCE", "1");
    let url = ["--url", "probe:birds.db"];
    let run = |arguments: &[&'static str]| project.run(arguments.iter().chain(&["probe"]).chain(&url));
    assert_snapshot!(shown(&run(&["up"])), @r"
    exit: 7
    --- stdout
    --- stderr
    error[refused]: nothing keeps two runs on `probe` apart
      the adapter `probe` has no fence, so both would apply the same migrations
    state: nothing was run
    hint: when no other run is at work, add `--confirm probe`
    ");
    for arguments in [&["down"][..], &["redo"], &["up", "--confirm", "other"]] {
        let _ = run(arguments).exits(7);
    }
    assert!(!project.path("birds.db").exists());
    let _ = run(&["up", "--to", "2", "--confirm", "probe"]).exits(0);
    let _ = run(&["status"]).exits(0);
    assert_eq!(truth(&project), BOTH);
}
