//! Whole runs on ClickHouse, which takes nothing back and knows no unique key.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use insta::assert_snapshot;
use whimbrel_adapter_api::{Adapter, ConnectOptions, Count, NewRow, RowState, Secret, TableName, Text};
use whimbrel_conformance::Client;
use whimbrel_tests::{ClickHouse, Project, Running, servers, until};

/// Takes the lease of the last row for over, as after half a minute.
const LEASE_IS_OVER: &str = "INSERT INTO whimbrel_migrations SELECT * REPLACE (subtractSeconds(lease_until, 60) AS lease_until, \
     version + 1 AS version) FROM whimbrel_migrations WHERE state = 'started' ORDER BY position DESC, version DESC LIMIT 1";

const TABLE: &str = "CREATE TABLE birds (id Int64, name String) ENGINE = MergeTree ORDER BY id;\n";

/// A project with a folder for ClickHouse.
struct Stage {
    project: Project,
    database: ClickHouse,
}

impl Stage {
    fn new(files: &[(&str, &str)]) -> Self {
        let write = |project: Project, (name, text): &(&str, &str)| {
            project.file(&format!("migrations/clickhouse/{name}"), text)
        };
        let (project, database) = (files.iter().fold(Project::new(), write), ClickHouse::fresh());
        let project = project
            .plugins_toml("default = \"clickhouse\"\n\n[databases.clickhouse]\nurl = \"${CLICKHOUSE_URL}\"\n")
            .env("CLICKHOUSE_URL", database.url());
        Stage { project, database }
    }

    fn shown(&self, command: &[&str]) -> String {
        self.project.run(command).redacted_with(&[(r"'[0-9a-f]{32}:", "'[SESSION]:")])
    }

    /// Returns what the history says, version by version.
    fn versions(&self) -> Vec<String> {
        self.database.lines(
            "SELECT position, migration, direction, state, statements_done, statements_total \
             FROM whimbrel_migrations ORDER BY version",
        )
    }

    fn names(&self) -> Vec<String> {
        self.database.lines("SELECT name FROM birds ORDER BY id")
    }
}

#[test]
fn a_failed_folder_is_mended_and_gone_on_with() {
    let stage = Stage::new(&[
        ("001_birds.sql", TABLE),
        (
            "002_names.sql",
            "INSERT INTO birds VALUES (1, 'wren; small');\nINSERT INTO bird VALUES (2, 'kite');\n\
             INSERT INTO birds VALUES (3, 'rook');\n",
        ),
        ("003_seen.sql", "ALTER TABLE birds ADD COLUMN seen Date;\n"),
    ]);
    assert_snapshot!(stage.shown(&["up"]), @r"
    exit: 5
    --- stdout
    applied  001_birds  [N] ms
    --- stderr
    error[partly-applied]: `002_names` stopped after 1 of 3 statements, and they cannot be undone
      --> migrations/clickhouse/002_names.sql:2:1
      2 | INSERT INTO bird VALUES (2, 'kite');
        | ^
      caused by: Table [DATABASE].bird does not exist. Maybe you meant [DATABASE].birds?. (UNKNOWN_TABLE)
    state: statement 1 of `002_names` is in the database; nothing else runs until it is settled; `001_birds` was applied in this run and stays
    hint: fix statement 2 and run `whimbrel up clickhouse` again, which goes on there; or settle it by hand and say so: `whimbrel repair clickhouse 002_names --applied` or `--reverted`
    ");
    assert_snapshot!(stage.shown(&["status"]), @r"
    exit: 0
    --- stdout
    applied  001_birds  [TIME]  [N] ms
    started  002_names  [TIME]  [N] ms
    pending  003_seen
    clickhouse: 1 pending, 1 applied, 1 started
    --- stderr
    ");
    stage.project.write(
        "migrations/clickhouse/002_names.sql",
        "INSERT INTO birds VALUES (1, 'wren; small');\nINSERT INTO birds VALUES (2, 'kite');\n\
         INSERT INTO birds VALUES (3, 'rook');\n",
    );
    assert_snapshot!(stage.shown(&["up"]), @r"
    exit: 0
    --- stdout
    applied  002_names  [N] ms
    applied  003_seen  [N] ms
    2 migrations applied to clickhouse, now at 003_seen
    --- stderr
    note: 002_names, goes on at statement 2 of 3: those before it are in the database
    ");
    assert_snapshot!(stage.shown(&["status"]), @r"
    exit: 0
    --- stdout
    applied  001_birds  [TIME]  [N] ms
    applied  002_names  [TIME]  [N] ms
    applied  003_seen   [TIME]  [N] ms
    clickhouse: 3 applied
    --- stderr
    ");
    assert_snapshot!(stage.shown(&["up"]), @r"
    exit: 0
    --- stdout
    clickhouse is up to date, at 003_seen
    --- stderr
    ");
    assert_eq!(stage.names(), ["wren; small", "kite", "rook"]);
    assert_snapshot!(stage.versions().join("\n"), @r"
    1|001_birds|up|started|0|1
    1|001_birds|up|started|1|1
    1|001_birds|up|applied|1|1
    2|002_names|up|started|0|3
    2|002_names|up|started|1|3
    2|002_names|up|failed|1|3
    3|002_names|up|started|1|3
    3|002_names|up|started|2|3
    3|002_names|up|started|3|3
    3|002_names|up|applied|3|3
    4|003_seen|up|started|0|1
    4|003_seen|up|started|1|1
    4|003_seen|up|applied|1|1
    ");
    assert_snapshot!(stage.shown(&["verify"]), @r"
    exit: 0
    --- stdout
    clickhouse: files and history agree
    --- stderr
    ");
}

#[test]
fn a_step_back_and_forth_leaves_what_was_before() {
    let stage = Stage::new(&[("001_birds.sql", TABLE), ("001_birds.down.sql", "DROP TABLE birds;\n")]);
    let _ = stage.project.run(["up"]).exits(0);
    let _ = stage.project.run(["redo"]).exits(0);
    let _ = stage.project.run(["down"]).exits(0);
    let tables = "SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name";
    assert_eq!(stage.database.lines(tables), ["whimbrel_migrations", "whimbrel_migrations_fence"]);
    assert_snapshot!(stage.shown(&["history"]), @r"
    exit: 0
    --- stdout
       1  [TIME]  up   applied   001_birds  1/1  [N] ms  [USER]@[HOST] pid [PID], whimbrel 0.1.0, clickhouse 0.1.0
       2  [TIME]  down reverted  001_birds  1/1  [N] ms  [USER]@[HOST] pid [PID], whimbrel 0.1.0, clickhouse 0.1.0
       3  [TIME]  up   applied   001_birds  1/1  [N] ms  [USER]@[HOST] pid [PID], whimbrel 0.1.0, clickhouse 0.1.0
       4  [TIME]  down reverted  001_birds  1/1  [N] ms  [USER]@[HOST] pid [PID], whimbrel 0.1.0, clickhouse 0.1.0
    --- stderr
    ");
}

#[test]
fn reading_writes_nothing() {
    let stage = Stage::new(&[("001_birds.sql", TABLE)]);
    for command in [&["status"][..], &["plan"], &["history"], &["verify"], &["up", "--dry-run"]] {
        let _ = stage.project.run(command).exits(0);
    }
    let tables = stage.database.lines("SELECT count() FROM system.tables WHERE database = currentDatabase()");
    assert_eq!(tables, ["0"]);
}

#[test]
fn ten_runs_at_once_apply_each_migration_once() {
    let files: Vec<(String, String)> = (2..=6)
        .map(|number| {
            (format!("{number:03}_bird.sql"), format!("INSERT INTO birds VALUES ({number}, 'bird');\n"))
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let stage = Stage::new(&[&[("001_birds.sql", TABLE)], files.as_slice()].concat());
    let runs: Vec<Running> =
        (0..10).map(|_| stage.project.spawn(["up", "--wait-for-runner", "100s"])).collect();
    for run in runs {
        let _ = run.wait().exits(0);
    }
    assert_eq!(stage.database.lines("SELECT id FROM birds ORDER BY id"), ["2", "3", "4", "5", "6"]);
    let applied = stage.versions().into_iter().filter(|version| version.contains("|applied|"));
    assert_eq!(applied.collect::<BTreeSet<_>>().len(), 6);
}

/// The statement outlives its runner. The lease is taken for over, as after half a minute.
#[test]
fn a_run_that_was_killed_is_gone_on_with_when_the_server_is_done() {
    let slow = "INSERT INTO birds SELECT 2, 'slow' || toString(sleepEachRow(1)) FROM numbers(4) \
                SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 100000000;\n";
    let script =
        format!("INSERT INTO birds VALUES (1, 'wren');\n{slow}INSERT INTO birds VALUES (3, 'kite');\n");
    let stage = Stage::new(&[("001_birds.sql", TABLE), ("002_slow.sql", &script)]);
    let running = stage.project.spawn(["up"]);
    let at_work = "SELECT count() FROM system.processes WHERE startsWith(Settings['log_comment'], 'whimbrel:') \
         AND query LIKE '%sleepEachRow%' AND current_database = currentDatabase()";
    until("the slow statement is at work", || stage.database.lines(at_work) == ["1"]);
    running.kill();
    stage.database.execute(LEASE_IS_OVER);
    assert_snapshot!(stage.shown(&["up"]), @r"
    exit: 5
    --- stdout
    --- stderr
    waiting for another run ([USER]@[HOST] pid [PID], whimbrel 0.1.0, clickhouse 0.1.0)
    error[partly-applied]: the run that was at work on statement 2 of `002_slow` is gone
      --> migrations/clickhouse/002_slow.sql:2:1
      2 | INSERT INTO birds SELECT 2, 'slow' || toString(sleepEachRow(1)) FROM numbers(4) SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 100000000;
        | ^
    state: statement 1 of `002_slow` is in the database; statement 2 may be in the database or not
    hint: look whether it is in, then say so: `whimbrel repair clickhouse 002_slow --resume-at 3` if it is, `--resume-at 2` if it is not; then go on with `whimbrel up clickhouse`
    ");
    assert_snapshot!(stage.shown(&["repair", "002_slow", "--resume-at", "3"]), @r"
    exit: 0
    --- stdout
    recorded 002_slow as half done, to go on at statement 3; no SQL of it was run
    --- stderr
    runs  INSERT INTO `[DATABASE]`.`whimbrel_migrations` (position, previous, migration, attempt, direction, state, checksum, statements_done, statements_total, statement_checksums, lease_until, started_at, finished_at, duration_ms, down_script, applied_by, session, version) SELECT 3, toInt64(2), '002_slow', 2, 'up', 'failed', 'v1:187e9a36d7bd6a6e3f1f9de67a43e92be2d6b9029c988e370b30cc0f32494ecf', 2, 3, 'v2:9fdd1c2fbe3b17f0:7f0d763dmc56aa332m8e05d01fm', NULL, now64(3, 'UTC'), now64(3, 'UTC'), 0, NULL, '[USER]@[HOST] pid [PID], whimbrel 0.1.0, clickhouse 0.1.0', '[SESSION]:3', toUnixTimestamp64Nano(now64(9, 'UTC'))
    runs  ALTER TABLE `[DATABASE]`.`whimbrel_migrations_fence` ADD COLUMN p3 UInt8 COMMENT '[SESSION]:3'
    runs  INSERT INTO `[DATABASE]`.`whimbrel_migrations` SELECT * REPLACE ('failed' AS state, toInt64(1) AS statements_done, NULL AS lease_until, now64(3, 'UTC') AS finished_at, dateDiff('millisecond', started_at, now64(3, 'UTC')) AS duration_ms, greatest(latest.version + 1, toUnixTimestamp64Nano(now64(9, 'UTC'))) AS version) FROM (SELECT * FROM (SELECT * FROM `[DATABASE]`.`whimbrel_migrations` WHERE (concat('p', toString(position)), session) IN (SELECT name, comment FROM system.columns WHERE database = '[DATABASE]' AND table = 'whimbrel_migrations_fence') ORDER BY position, state = 'started', if(state = 'started', -version, version) LIMIT 1 BY position) WHERE position = 2 AND state = 'started') AS latest
    ");
    assert_snapshot!(stage.shown(&["up"]), @r"
    exit: 0
    --- stdout
    applied  002_slow  [N] ms
    1 migration applied to clickhouse, now at 002_slow
    --- stderr
    note: 002_slow, goes on at statement 3 of 3: those before it are in the database
    ");
    assert_eq!(stage.names(), ["wren", "slow0", "slow0", "slow0", "slow0", "kite"]);
}

#[test]
fn what_stands_is_recorded_without_transactions() {
    let stage = Stage::new(&[
        ("001_birds.sql", TABLE),
        ("002_sites.sql", "SELECT 1;\n"),
        ("003_more.sql", "SELECT 2;\n"),
    ]);
    assert_snapshot!(stage.shown(&["baseline", "002"]), @r"
    exit: 0
    --- stdout
    baseline 001_birds
    baseline 002_sites
    2 migrations taken as applied to clickhouse; no SQL was run
    --- stderr
    ");
    assert_snapshot!(stage.shown(&["repair", "003", "--applied"]), @r"
    exit: 0
    --- stdout
    recorded 003_more as applied; no SQL of it was run
    --- stderr
    runs  INSERT INTO `[DATABASE]`.`whimbrel_migrations` (position, previous, migration, attempt, direction, state, checksum, statements_done, statements_total, statement_checksums, lease_until, started_at, finished_at, duration_ms, down_script, applied_by, session, version) SELECT 3, toInt64(2), '003_more', 1, 'up', 'applied', 'v1:8e7003d62f9d8cbd28da2f243bb0d215bfd4622c716be09be89a8764d9f4c7cb', 0, 0, 'v2:040eedb4e2060691:ebbb5b33m', NULL, now64(3, 'UTC'), now64(3, 'UTC'), 0, NULL, '[USER]@[HOST] pid [PID], whimbrel 0.1.0, clickhouse 0.1.0', '[SESSION]:3', toUnixTimestamp64Nano(now64(9, 'UTC'))
    runs  ALTER TABLE `[DATABASE]`.`whimbrel_migrations_fence` ADD COLUMN p3 UInt8 COMMENT '[SESSION]:3'
    ");
    assert_snapshot!(stage.shown(&["repair", "003", "--reverted"]), @r"
    exit: 0
    --- stdout
    recorded 003_more as taken back; no SQL of it was run
    --- stderr
    runs  INSERT INTO `[DATABASE]`.`whimbrel_migrations` (position, previous, migration, attempt, direction, state, checksum, statements_done, statements_total, statement_checksums, lease_until, started_at, finished_at, duration_ms, down_script, applied_by, session, version) SELECT 4, toInt64(3), '003_more', 2, 'down', 'reverted', 'v1:8e7003d62f9d8cbd28da2f243bb0d215bfd4622c716be09be89a8764d9f4c7cb', 0, 0, 'v2:040eedb4e2060691:ebbb5b33m', NULL, now64(3, 'UTC'), now64(3, 'UTC'), 0, NULL, '[USER]@[HOST] pid [PID], whimbrel 0.1.0, clickhouse 0.1.0', '[SESSION]:4', toUnixTimestamp64Nano(now64(9, 'UTC'))
    runs  ALTER TABLE `[DATABASE]`.`whimbrel_migrations_fence` ADD COLUMN p4 UInt8 COMMENT '[SESSION]:4'
    ");
    assert_snapshot!(stage.shown(&["status"]), @r"
    exit: 0
    --- stdout
    applied  001_birds  [TIME]  [N] ms
    applied  002_sites  [TIME]  [N] ms
    pending  003_more
    clickhouse: 1 pending, 2 applied
    --- stderr
    ");
    assert_snapshot!(stage.shown(&["up", "--single-transaction"]), @r"
    exit: 0
    --- stdout
    applied  003_more  [N] ms
    1 migration applied to clickhouse, now at 003_more
    --- stderr
    ");
}

#[test]
fn a_script_leaves_nothing_behind_in_the_session() {
    let stage = Stage::new(&[
        ("001_birds.sql", TABLE),
        ("002_settings.sql", "SET max_threads = 1;\nUSE system;\nCREATE TEMPORARY TABLE notes (id Int64);\n"),
        (
            "003_settings.sql",
            "INSERT INTO birds SELECT getSetting('max_threads') = 1, currentDatabase() FROM system.one;\n",
        ),
    ]);
    let _ = stage.project.run(["up"]).exits(0);
    assert_eq!(stage.database.lines("SELECT id, name FROM birds"), [format!("0|{}", stage.database.name())]);
}

#[test]
fn a_url_that_leads_nowhere_says_why() {
    let stage = Stage::new(&[("001_birds.sql", TABLE)]);
    let _ = stage.project.run(["up", "--url", &stage.database.url_tls()]).exits(0);
    let url = stage.database.url();
    let [password, port] = [&servers().clickhouse.password, &servers().clickhouse.port.to_string()];
    for (wrong, exit, words) in [
        (url.replace(password, "hunter2"), 8, "refuses this user or password"),
        (url.replace(stage.database.name(), "nowhere"), 8, "Database nowhere does not exist"),
        (url.replace(port, "1"), 8, "cannot reach"),
        (format!("{url}?secure=true"), 8, "cannot reach"),
        (url.replace(port, "9000"), 2, "port 9000 speaks ClickHouse's native protocol"),
        (
            format!("{}?secure=true", stage.database.url_tls().split('?').next().unwrap_or_default()),
            8,
            "certificate",
        ),
    ] {
        let outcome = stage.project.run(["up", "--url", &wrong]).exits(exit);
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    }
}

/// What a cluster does with it is not run anywhere: the engine of the tests is a single node, and says so.
#[test]
fn a_cluster_is_asked_for_the_tables_of_the_history() {
    let stage = Stage::new(&[("001_birds.sql", TABLE)]);
    let url = format!("{}?cluster=birds", stage.database.url());
    assert_snapshot!(stage.shown(&["up", "--url", &url]), @r"
    exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: cannot create the history table `[DATABASE].whimbrel_migrations`
      caused by: Requested cluster 'birds' not found. (CLUSTER_DOESNT_EXIST)
    state: nothing was run
    ");
}

/// A balancer may have sent the run that died to another server of the cluster than the one that is asked.
#[test]
fn a_dead_run_is_looked_for_on_the_whole_cluster() {
    let database = ClickHouse::fresh();
    let options = ConnectOptions::new(Secret::new(format!("{}?cluster=birds", database.url())));
    let mut opened = whimbrel_adapter_clickhouse::ClickHouse.connect(&options).expect("the server is there");
    let error = opened.connection.alive("whimbrel:birds:1").expect_err("there is no such cluster");
    assert_eq!(error.native, Some(701), "{error}");
}

/// The table of the history was dropped without the one beside it, in which every position is taken.
#[test]
fn a_fence_without_its_history_is_said_to_be_left_behind() {
    let stage = Stage::new(&[("001_birds.sql", "SELECT 1;\n")]);
    let _ = stage.project.run(["up"]).exits(0);
    stage.database.execute("DROP TABLE whimbrel_migrations");
    assert_snapshot!(stage.shown(&["up"]), @r"
    exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: cannot create the history table `[DATABASE].whimbrel_migrations`
      caused by: the history is gone, and `[DATABASE]`.`whimbrel_migrations_fence` beside it is not: if it was meant to go, drop that table too
    state: nothing was run
    ");
    stage.database.execute("DROP TABLE whimbrel_migrations_fence");
    let _ = stage.project.run(["up"]).exits(0);
}

/// The newer version of a row is the one that was written later, and not the one with the later time.
#[test]
fn a_clock_that_is_set_back_does_not_bring_an_older_row_back() {
    let database = ClickHouse::fresh();
    let opened =
        whimbrel_adapter_clickhouse::ClickHouse.connect(&ConnectOptions::new(Secret::new(database.url())));
    let mut client =
        Client::open(opened.expect("the server is there"), &TableName::new("history")).expect("a session");
    client.create_history().expect("it is not there");
    let history = client.history.clone();
    let mut run = |text: &Text<'_>| {
        let texts = client.text(text).expect("it has that");
        texts.iter().for_each(|text| client.execute(text).expect("it is sound"));
        client.history_lines().expect("the history is there")
    };
    assert_eq!(run(&Text::Record { history: &history, row: &NewRow::new(1, "001_birds", 1) }).len(), 1);
    database.execute(
        "INSERT INTO history SELECT * REPLACE (version + 3600000000000 AS version, 1 AS statements_done) FROM history",
    );
    let (position, lease) = (1, Duration::from_secs(60));
    for (done, line) in [(2, "1 001_birds up started 2/0"), (3, "1 001_birds up started 3/0")] {
        let statements_done = Count::Exactly(done);
        assert_eq!(run(&Text::Mark { history: &history, position, statements_done, lease }), [line]);
    }
    let (state, statements_done) = (RowState::Applied, Count::Exactly(4));
    let finish = Text::Finish { history: &history, position, state, statements_done };
    assert_eq!(run(&finish), ["1 001_birds up applied 4/0"]);
}

/// Another ALTER on a replica, for instance: the server has done nothing, and says so.
#[test]
fn what_the_server_refuses_for_the_moment_is_sent_again() {
    let stage = Stage::new(&[
        ("001_birds.sql", TABLE),
        ("002_seen.sql", "ALTER TABLE birds ADD COLUMN seen Date;\n"),
    ]);
    let between = Between::the_server_and_us("ADD COLUMN seen", 2, Does::Refuses(517));
    let _ = stage.project.run(["up", "--url", &between.url(&stage.database)]).exits(0);
    assert_eq!(between.heard.load(Ordering::Relaxed), 3);
    assert_eq!(stage.versions().len(), 6, "{:?}", stage.versions());
}

/// A replica that has lost its keeper says so in the middle of an INSERT as well, with some of its blocks written.
#[test]
fn what_may_be_written_in_part_is_not_sent_again() {
    let stage = Stage::new(&[
        ("001_birds.sql", TABLE),
        ("002_wren.sql", "INSERT INTO birds SELECT number, 'wren' FROM numbers(3);\n"),
    ]);
    let between = Between::the_server_and_us("'wren'", 1, Does::Refuses(242));
    let _ = stage.project.run(["up", "--url", &between.url(&stage.database)]).exits(5);
    assert_eq!(between.heard.load(Ordering::Relaxed), 1);
    assert_eq!(stage.names(), [""; 0]);
}

/// Two blocks of the second statement are written when the third fails. To run it again would write them twice.
#[test]
fn a_statement_that_fails_among_its_rows_is_not_taken_for_undone() {
    let insert = "INSERT INTO birds SELECT number + throwIf(number = 5, 'no bird'), 'wren' FROM numbers(6) \
                  SETTINGS max_block_size = 2, min_insert_block_size_rows = 1, min_insert_block_size_bytes = 1, \
                  max_threads = 1;\n";
    let script = format!("INSERT INTO birds VALUES (9, 'kite');\n{insert}SELECT 1;\n");
    let stage = Stage::new(&[("001_birds.sql", TABLE), ("002_wren.sql", &script)]);
    assert_snapshot!(stage.shown(&["up"]), @r"
    exit: 5
    --- stdout
    applied  001_birds  [N] ms
    --- stderr
    error[partly-applied]: `002_wren` failed at statement 2 of 3, of which a part may be in the database
      --> migrations/clickhouse/002_wren.sql:2:1
      2 | INSERT INTO birds SELECT number + throwIf(number = 5, 'no bird'), 'wren' FROM numbers(6) SETTINGS max_block_size = 2, min_insert_block_size_rows = 1, min_insert_block_size_bytes = 1, max_threads = 1;
        | ^
      caused by: no bird
    state: statement 1 of `002_wren` is in the database; a part of statement 2 may be; nothing else runs until it is settled; `001_birds` was applied in this run and stays
    hint: take away what is in of statement 2 and say so: `whimbrel repair clickhouse 002_wren --resume-at 2`; or add by hand what is missing, and say `--resume-at 3`; then go on with `whimbrel up clickhouse`
    ");
    assert!(stage.names().len() > 1, "the first block is written");
    assert_eq!(stage.versions().last().map(String::as_str), Some("2|002_wren|up|started|1|3"));
    let repair = ["repair", "002_wren", "--resume-at", "2"];
    let _ = stage.project.run(repair).exits(0);
    stage.project.write(
        "migrations/clickhouse/002_wren.sql",
        "INSERT INTO birds VALUES (9, 'kite');\nINSERT INTO birds VALUES (5, 'wren');\nSELECT 1;\n",
    );
    let _ = stage.project.run(["up"]).exits(0);
}

/// The table is made first and filled then. Run again, the statement would find it there and pass over it.
#[test]
fn a_table_that_was_made_and_not_filled_is_not_taken_for_done() {
    let create = "CREATE TABLE IF NOT EXISTS birds ENGINE = MergeTree ORDER BY id AS \
                  SELECT number + throwIf(number = 5, 'no bird') AS id FROM numbers(6);\n";
    let stage = Stage::new(&[("001_birds.sql", create)]);
    assert_snapshot!(stage.shown(&["up"]), @r"
    exit: 5
    --- stdout
    --- stderr
    error[partly-applied]: `001_birds` failed at statement 1 of 1, of which a part may be in the database
      --> migrations/clickhouse/001_birds.sql:1:1
      1 | CREATE TABLE IF NOT EXISTS birds ENGINE = MergeTree ORDER BY id AS SELECT number + throwIf(number = 5, 'no bird') AS id FROM numbers(6);
        | ^
      caused by: no bird
    state: no statement of `001_birds` is known to be in the database; a part of statement 1 may be; nothing else runs until it is settled
    hint: take away what is in of statement 1 and say so: `whimbrel repair clickhouse 001_birds --resume-at 1`; or add by hand what is missing, and say `--resume-at 2`; then go on with `whimbrel up clickhouse`
    ");
    // This engine takes the table away again when it has failed by itself; other versions do not, and none that was killed.
    stage.database.execute("CREATE TABLE birds (id UInt64) ENGINE = MergeTree ORDER BY id");
    assert_snapshot!(stage.shown(&["up"]), @r"
    exit: 5
    --- stdout
    --- stderr
    error[partly-applied]: the run that was at work on statement 1 of `001_birds` is gone
      --> migrations/clickhouse/001_birds.sql:1:1
      1 | CREATE TABLE IF NOT EXISTS birds ENGINE = MergeTree ORDER BY id AS SELECT number + throwIf(number = 5, 'no bird') AS id FROM numbers(6);
        | ^
      the table `birds` is there
    state: no statement of `001_birds` is known to be in the database; statement 1 may be in the database or not
    hint: look whether it is in, then say so: `whimbrel repair clickhouse 001_birds --resume-at 2` if it is, `--resume-at 1` if it is not; then go on with `whimbrel up clickhouse`
    ");
    assert_eq!(stage.database.lines("SELECT count() FROM birds"), ["0"]);
}

/// The statement was passed on, and its answer never came. To take the proxy's word for the server's would be to run it
/// again, or to say that it is not in.
#[test]
fn the_word_of_a_proxy_is_no_answer_to_a_statement() {
    let stage = Stage::new(&[
        ("001_birds.sql", TABLE),
        (
            "002_wren.sql",
            "INSERT INTO birds VALUES (1, 'kite');\nINSERT INTO birds VALUES (2, 'wren');\nSELECT 1;\n",
        ),
    ]);
    let between = Between::the_server_and_us("'wren'", 1, Does::LosesTheAnswer);
    assert_snapshot!(stage.shown(&["up", "--url", &between.url(&stage.database)]), @r"
    exit: 5
    --- stdout
    applied  001_birds  [N] ms
    --- stderr
    error[partly-applied]: the connection was lost in the middle of `002_wren`
      --> migrations/clickhouse/002_wren.sql:2:1
      2 | INSERT INTO birds VALUES (2, 'wren');
        | ^
      caused by: whoever listens there answers 504 Gateway Timeout, and not like ClickHouse
    state: statement 1 of `002_wren` is in the database; statement 2 and what follows may be in the database or not; `001_birds` was applied in this run and stays
    hint: the server may still be at work on it; `whimbrel up clickhouse` waits for that, and looks how far it came
    ");
    assert_eq!(between.heard.load(Ordering::Relaxed), 1);
    assert_eq!(stage.names(), ["kite", "wren"]);
    assert_eq!(stage.versions().last().map(String::as_str), Some("2|002_wren|up|started|1|3"));
}

/// A session that is idle for too long is forgotten, and one of its name would be another one.
#[test]
fn a_session_that_the_server_has_forgotten_is_not_made_anew() {
    let stage = Stage::new(&[
        ("001_birds.sql", TABLE),
        (
            "002_wren.sql",
            "SET max_threads = 1;\nINSERT INTO birds SELECT getSetting('max_threads'), 'wren';\n",
        ),
    ]);
    let between = Between::the_server_and_us("'wren'", 1, Does::Forgets);
    assert_snapshot!(stage.shown(&["up", "--url", &between.url(&stage.database)]), @r"
    exit: 5
    --- stdout
    applied  001_birds  [N] ms
    --- stderr
    error[partly-applied]: the connection was lost in the middle of `002_wren`
      --> migrations/clickhouse/002_wren.sql:2:1
      2 | INSERT INTO birds SELECT getSetting('max_threads'), 'wren';
        | ^
      caused by: the server has forgotten the session
    state: statement 1 of `002_wren` is in the database; statement 2 and what follows may be in the database or not; `001_birds` was applied in this run and stays
    hint: the server may still be at work on it; `whimbrel up clickhouse` waits for that, and looks how far it came
    ");
    assert_eq!(stage.names(), [""; 0]);
}

/// What stands between us and the server, and hears every request.
struct Between {
    address: SocketAddr,
    /// How many of the requests that are meant have come.
    heard: Arc<AtomicU32>,
}

/// What it does to the requests that are meant, as often as it is told to.
#[derive(Clone, Copy)]
enum Does {
    /// Answers with this code of ClickHouse's.
    Refuses(u32),
    /// Passes the request on, and answers for itself.
    LosesTheAnswer,
    /// Passes the request on as one of a session that the server does not know.
    Forgets,
}

impl Between {
    fn the_server_and_us(text: &'static str, times: u32, does: Does) -> Self {
        let server = servers().clickhouse.address();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let heard = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&heard);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let counted = Arc::clone(&counted);
                let pass_on = move || {
                    serve(client, server, text, &|| {
                        (counted.fetch_add(1, Ordering::Relaxed) < times).then_some(does)
                    })
                };
                thread::spawn(pass_on);
            }
        });
        Between { address, heard }
    }

    fn url(&self, database: &ClickHouse) -> String {
        database.url().replace(&servers().clickhouse.address().to_string(), &self.address.to_string())
    }
}

fn serve(client: TcpStream, server: SocketAddr, text: &str, meant: &dyn Fn() -> Option<Does>) {
    let mut requests = BufReader::new(client.try_clone().expect("a second handle"));
    let mut client = client;
    let upstream = TcpStream::connect(server).expect("the server is there");
    let mut answers = BufReader::new(upstream.try_clone().expect("a second handle"));
    let mut upstream = upstream;
    while let Some(mut request) = message(&mut requests) {
        let is_meant = String::from_utf8_lossy(&request).contains(text);
        let does = if is_meant { meant() } else { None };
        if let Some(Does::Refuses(code)) = does {
            let words = format!("Code: {code}. DB::Exception: Not at the moment. (NOT_NOW)\n");
            let status = format!("500 Internal Server Error\r\nX-ClickHouse-Exception-Code: {code}");
            answer(&mut client, &status, &words);
            continue;
        }
        if let Some(Does::Forgets) = does {
            let other = String::from_utf8_lossy(&request).replacen("session_id=", "session_id=other-", 1);
            request = other.into_bytes();
        }
        upstream.write_all(&request).expect("the server listens");
        let Some(found) = message(&mut answers) else { return };
        match does {
            Some(Does::LosesTheAnswer) => answer(&mut client, "504 Gateway Timeout", "<html>504</html>"),
            _ => client.write_all(&found).expect("the client listens"),
        }
    }
}

fn answer(client: &mut TcpStream, status: &str, words: &str) {
    write!(client, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{words}", words.len())
        .expect("the client listens");
}

/// Reads a request or an answer, whose length stands in its head.
fn message(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let (mut message, mut length) = (Vec::new(), 0);
    loop {
        let begin = message.len();
        stream.read_until(b'\n', &mut message).ok().filter(|read| *read > 0)?;
        let line = String::from_utf8_lossy(&message[begin..]).to_ascii_lowercase();
        if let Some(number) = line.strip_prefix("content-length:") {
            length = number.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    message.extend(body);
    Some(message)
}
