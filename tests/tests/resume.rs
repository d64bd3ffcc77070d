//! Half done migrations: `up` goes on at the statement that failed, refuses what was edited under it, and leaves alone
//! what it cannot know.

use insta::assert_snapshot;
use mysql::prelude::Queryable;
use rstest::rstest;
use whimbrel_tests::{Database, Engine, Outcome, Postgres, Product, Project, Proxy, Sqlite, until};

/// A database of each engine with a script that runs statement by statement there.
struct Case {
    database: Box<dyn Database>,
    /// What makes a script run statement by statement.
    header: &'static str,
}

fn cases() -> Vec<Case> {
    let no_transaction = "-- no-transaction\n";
    vec![
        Case { database: Box::new(Product::MariaDb.fresh()), header: "" },
        Case { database: Box::new(Product::MySql.fresh()), header: "" },
        Case { database: Box::new(Postgres::fresh()), header: no_transaction },
        Case { database: Box::new(Sqlite::fresh()), header: no_transaction },
    ]
}

impl Case {
    fn mariadb() -> Self {
        cases().remove(0)
    }

    /// Returns a project whose only migration has stopped in the middle.
    fn half_done(&self, statements: &str) -> Project {
        let project = self.project(statements);
        let _ = self.up(&project).exits(5);
        project
    }

    /// Returns a project with one migration of these statements, one on each line behind the header.
    fn project(&self, statements: &str) -> Project {
        Project::new().file(&self.path(), format!("{}{statements}", self.header))
    }

    fn path(&self) -> String {
        format!("migrations/{}/001_flock.sql", self.database.engine().adapter())
    }

    fn edit(&self, project: &Project, from: &str, to: &str) {
        let text = project.read(&self.path());
        assert!(text.contains(from), "{text}");
        project.write(&self.path(), text.replace(from, to));
    }

    fn up(&self, project: &Project) -> Outcome {
        self.command(project, "up")
    }

    fn command(&self, project: &Project, command: &str) -> Outcome {
        project.run([command, self.database.engine().adapter(), "--url", &self.database.url()])
    }

    fn log(&self) -> Vec<String> {
        self.database.lines(
            "SELECT attempt, direction, state, statements_done, statements_total FROM whimbrel_migrations ORDER BY position",
        )
    }

    fn seen(&self) -> Vec<String> {
        self.database.lines("SELECT bird FROM flock ORDER BY bird")
    }
}

/// Statement 3 fails.
const FIVE: &str = "CREATE TABLE flock (bird varchar(20));\n\
                    INSERT INTO flock VALUES ('whimbrel');\n\
                    INSERT INTO flok VALUES ('curlew');\n\
                    CREATE TABLE sites (name varchar(20));\n\
                    INSERT INTO flock VALUES ('godwit');\n";

#[test]
fn up_goes_on_at_the_failed_statement_once_it_is_mended() {
    for case in cases() {
        let project = case.project(FIVE);
        let failed = case.up(&project).exits(5);
        assert!(failed.mentions("stopped after 2 of 5 statements"), "{failed:?}");
        assert_eq!(case.log(), ["1|up|failed|2|5"]);
        case.edit(&project, "flok", "flock");
        let resumed = case.up(&project).exits(0);
        assert!(resumed.mentions("goes on at statement 3 of 5"), "{resumed:?}");
        assert_eq!(case.seen(), ["curlew", "godwit", "whimbrel"], "each statement ran once");
        assert_eq!(case.log(), ["1|up|failed|2|5", "2|up|applied|5|5"]);
        let _ = case.command(&project, "verify").exits(0);
        assert!(case.up(&project).exits(0).mentions("up to date"), "all of it is there");
    }
}

#[test]
fn a_resumed_migration_that_fails_again_is_resumed_again() {
    for case in cases() {
        let project = case.half_done(FIVE);
        case.edit(&project, "flok VALUES", "flock VALUES");
        case.edit(&project, "CREATE TABLE sites", "CREATE TABLE flock");
        let again = case.up(&project).exits(5);
        assert!(again.mentions("stopped after 3 of 5 statements"), "{again:?}");
        assert_eq!(case.log(), ["1|up|failed|2|5", "2|up|failed|3|5"]);
        case.edit(&project, "CREATE TABLE flock (name", "CREATE TABLE sites (name");
        let _ = case.up(&project).exits(0);
        assert_eq!(case.seen(), ["curlew", "godwit", "whimbrel"]);
    }
}

#[test]
fn an_edit_of_the_applied_part_is_refused() {
    for case in cases() {
        let project = case.half_done(FIVE);
        case.edit(&project, "flok", "flock");
        case.edit(&project, "'whimbrel'", "'ruff'");
        let refused = case.up(&project).exits(4);
        assert!(refused.mentions("its statement 2 was changed since"), "{refused:?}");
        assert_eq!(case.log(), ["1|up|failed|2|5"], "nothing was run");
        case.edit(&project, "'ruff'", "'whimbrel'");
        let _ = case.up(&project).exits(0);
    }
}

#[test]
fn comments_in_the_applied_part_may_change() {
    for case in cases() {
        let project = case.half_done(FIVE);
        case.edit(&project, "INSERT INTO flok", "\n-- The second one, /* mended */.\nINSERT INTO flock");
        let _ = case.up(&project).exits(0);
        assert_eq!(case.seen(), ["curlew", "godwit", "whimbrel"]);
    }
}

#[test]
fn the_messages_name_the_way_on() {
    let case = Case::mariadb();
    let project = case.project(FIVE);
    assert_snapshot!(case.up(&project).redacted(), @r"
    exit: 5
    --- stdout
    --- stderr
    error[partly-applied]: `001_flock` stopped after 2 of 5 statements, and they cannot be undone
      --> migrations/mysql/001_flock.sql:3:1
      3 | INSERT INTO flok VALUES ('curlew');
        | ^
      caused by: Table '[DATABASE].flok' doesn't exist
    state: statements 1-2 of `001_flock` are in the database; nothing else runs until it is settled
    hint: fix statement 3 and run `whimbrel up mysql` again, which goes on there; or settle it by hand and say so: `whimbrel repair mysql 001_flock --applied` or `--reverted`
    ");
    case.edit(&project, "'whimbrel'", "'ruff'");
    assert_snapshot!(case.up(&project).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[edited-after-apply]: `001_flock` stopped after 2 statements, and its statement 2 was changed since
      --> migrations/mysql/001_flock.sql:2:1
      2 | INSERT INTO flock VALUES ('ruff');
        | ^
    state: statements 1-2 of `001_flock` are in the database; nothing was run
    hint: restore statement 2 and put the change behind statement 2, or in a new migration; or settle it by hand and say so: `whimbrel repair mysql 001_flock --applied` or `--reverted`
    ");
    assert_snapshot!(case.command(&project, "verify").redacted(), @r"
    exit: 1
    --- stdout
    --- stderr
    error[partly-applied]: `001_flock` stopped after 2 of 5 statements
      attempt 1 by [USER]@[HOST] pid [PID], whimbrel 0.1.0, mysql 0.1.0
    state: its statements 1-2 are in the database; nothing else runs until it is settled
    hint: `whimbrel up mysql` goes on from there; or settle it by hand and say so: `whimbrel repair mysql 001_flock --applied` or `--reverted`

    error[edited-after-apply]: `001_flock` stopped after 2 statements, and its statement 2 was changed since
      --> migrations/mysql/001_flock.sql:2:1
      2 | INSERT INTO flock VALUES ('ruff');
        | ^
    state: statements 1-2 of `001_flock` are in the database; nothing was run
    hint: restore statement 2 and put the change behind statement 2, or in a new migration; or settle it by hand and say so: `whimbrel repair mysql 001_flock --applied` or `--reverted`
    ");
    case.edit(&project, "'ruff'", "'whimbrel'");
    case.edit(&project, "flok", "flock");
    assert_snapshot!(case.command(&project, "plan").redacted(), @r"
    exit: 0
    --- stdout
    1 migration would run on mysql, in this order

    -- up 001_flock: 5 statements, statement by statement, without a transaction
    -- goes on at statement 3 of 5: those before it are in the database
    CREATE TABLE flock (bird varchar(20));
    INSERT INTO flock VALUES ('whimbrel');
    INSERT INTO flock VALUES ('curlew');
    CREATE TABLE sites (name varchar(20));
    INSERT INTO flock VALUES ('godwit');
    --- stderr
    ");
    assert_snapshot!(case.up(&project).redacted(), @r"
    exit: 0
    --- stdout
    applied  001_flock  [N] ms
    1 migration applied to mysql, now at 001_flock
    --- stderr
    note: 001_flock, goes on at statement 3 of 5: those before it are in the database
    ");
}

/// Statement 3 lasts for as many seconds as `pause` says.
fn lasting(engine: Engine, third: Third) -> String {
    let third = match (engine, third) {
        (Engine::Postgres, Third::Data) => {
            "UPDATE gate SET seen = seen + 1 FROM (SELECT pg_sleep(seconds) FROM pause) AS paused"
        }
        (Engine::Postgres, Third::Schema) => {
            "CREATE MATERIALIZED VIEW gate_seen AS SELECT pg_sleep(seconds)::text FROM pause"
        }
        (_, Third::Data) => "UPDATE gate SET seen = seen + 1 WHERE SLEEP((SELECT seconds FROM pause)) = 0",
        (_, Third::Schema) => "CREATE TABLE gate_seen AS SELECT SLEEP(seconds) AS slept FROM pause",
    };
    FIVE.replace("INSERT INTO flok VALUES ('curlew')", third)
}

/// What statement 3 does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Third {
    Data,
    Schema,
}

impl Case {
    /// Starts `up`, kills it while statement 3 lasts, and ends what the server still does for it.
    fn killed_in_the_third_statement(&self, project: &Project) {
        self.killed_at_work_in(self.database.as_ref(), project);
    }

    /// Does the same to a script that works in another database by then.
    fn killed_at_work_in(&self, other: &dyn Database, project: &Project) {
        let database = self.database.as_ref();
        let run = project.spawn(["up", database.engine().adapter(), "--url", &database.url()]);
        let (sessions, end, long_ago) = match database.engine() {
            Engine::Postgres => (
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'",
                "SELECT pg_terminate_backend({})",
                "now() - interval '1 hour'",
            ),
            _ => (
                "SELECT id FROM information_schema.processlist WHERE db = DATABASE() \
                 AND state IN ('User sleep', 'Waiting for table metadata lock')",
                "KILL {}",
                "'2001-01-01 00:00:00'",
            ),
        };
        until("statement 3 is at work", || !other.lines(sessions).is_empty());
        run.kill();
        assert_eq!(run.wait().signal, Some(9));
        database.execute(&end.replace("{}", &other.lines(sessions).concat()));
        until("the server has ended it", || other.lines(sessions).is_empty());
        database.execute(&format!("UPDATE whimbrel_migrations SET lease_until = {long_ago}"));
    }
}

/// What was at work when the run died is known not to be in the database: a change of rows shares a transaction with its
/// mark, and of schema the catalogue tells.
#[rstest]
fn up_goes_on_at_the_statement_in_which_its_run_was_killed(
    #[values(0, 1, 2)] server: usize,
    #[values(Third::Data, Third::Schema)] third: Third,
) {
    let case = cases().remove(server);
    case.database.execute(
        "CREATE TABLE gate (seen integer); INSERT INTO gate VALUES (0); \
         CREATE TABLE pause (seconds integer); INSERT INTO pause VALUES (600)",
    );
    let project = case.project(&lasting(case.database.engine(), third));
    case.killed_in_the_third_statement(&project);
    case.database.execute("UPDATE pause SET seconds = 0");
    assert_eq!(case.log(), ["1|up|started|2|5"]);
    case.edit(&project, "'whimbrel'", "'ruff'");
    let refused = case.up(&project).exits(4);
    assert!(refused.mentions("its statement 2 was changed since"), "{refused:?}");
    case.edit(&project, "'ruff'", "'whimbrel'");
    let resumed = case.up(&project).exits(0);
    assert!(resumed.mentions("goes on at statement 3 of 5"), "{resumed:?}");
    assert_eq!(case.seen(), ["godwit", "whimbrel"], "each statement ran once");
    let seen = if third == Third::Data { "SELECT seen FROM gate" } else { "SELECT count(*) FROM gate_seen" };
    assert_eq!(case.database.lines(seen), ["1"]);
    assert_eq!(case.log(), ["1|up|failed|2|5", "2|up|applied|5|5"]);
}

/// What a trigger writes to such a table stays when its statement is taken back.
#[rstest]
fn beside_a_table_without_transactions_no_missing_mark_is_trusted(#[values(0, 1)] server: usize) {
    let case = cases().remove(server);
    case.database.execute(
        "CREATE TABLE gate (seen integer); INSERT INTO gate VALUES (0); \
         CREATE TABLE pause (seconds integer); INSERT INTO pause VALUES (600); \
         CREATE TABLE watched (seen integer) ENGINE = MyISAM; \
         CREATE TRIGGER watching BEFORE UPDATE ON gate FOR EACH ROW INSERT INTO watched VALUES (NEW.seen)",
    );
    let project = case.project(&lasting(case.database.engine(), Third::Data));
    case.killed_in_the_third_statement(&project);
    let refused = case.up(&project).exits(5);
    assert!(
        refused.mentions("statement 3 and those right behind it may be in the database or not"),
        "{refused:?}"
    );
    assert!(refused.mentions("`watched` has no transactions"), "{refused:?}");
}

/// A procedure may commit what nobody meant to be committed: our row with it, and no mark.
#[rstest]
fn what_a_hidden_commit_left_behind_is_not_run_again(#[values(0, 1)] server: usize) {
    let case = cases().remove(server);
    case.database.execute(
        "CREATE TABLE flock (bird varchar(20)); CREATE PROCEDURE hidden() CREATE TABLE made (id integer)",
    );
    case.database.execute(
        "CREATE TABLE gate (seen integer); INSERT INTO gate VALUES (0); \
         CREATE TABLE pause (seconds integer); INSERT INTO pause VALUES (600)",
    );
    let project = case.project(
        "INSERT INTO flock VALUES ('whimbrel');\nCALL hidden();\n\
         UPDATE gate SET seen = seen + 1 WHERE SLEEP((SELECT seconds FROM pause)) = 0;\n",
    );
    case.killed_in_the_third_statement(&project);
    case.database.execute("UPDATE pause SET seconds = 0");
    let refused = case.up(&project).exits(5);
    assert!(refused.mentions("statement 1 may be in the database or not"), "{refused:?}");
    assert_eq!(case.seen(), ["whimbrel"], "it is in the database once");
}

/// The server may have come to the end of a statement and not to its mark.
#[rstest]
fn what_is_gone_is_not_dropped_again(#[values(0, 1)] server: usize) {
    let case = cases().remove(server);
    case.database.execute("CREATE TABLE gate (seen integer)");
    let project = case.project(&FIVE.replace("INSERT INTO flok VALUES ('curlew')", "DROP TABLE gate"));
    let mut reader = mysql::Conn::new(case.database.url().as_str()).expect("the server takes a client");
    reader.query_drop("START TRANSACTION; SELECT * FROM gate").expect("the table is there");
    case.killed_in_the_third_statement(&project);
    reader.query_drop("COMMIT; DROP TABLE gate").expect("the table is still there");
    let resumed = case.up(&project).exits(0);
    assert!(resumed.mentions("goes on at statement 4 of 5"), "{resumed:?}");
    assert_eq!(case.seen(), ["godwit", "whimbrel"]);
    assert_eq!(case.log(), ["1|up|failed|2|5", "2|up|applied|5|5"]);
}

/// What was to take the place of an index stays behind, marked as invalid, and would be one more with every attempt.
#[test]
fn an_index_that_was_not_rebuilt_leaves_nothing_behind_in_the_end() {
    let database = Postgres::fresh();
    database.execute("CREATE TABLE flock (bird text); CREATE INDEX by_bird ON flock (bird)");
    let mut writer = database.client();
    writer.batch_execute("BEGIN; INSERT INTO flock VALUES ('ruff')").expect("nobody else writes");
    let script = "REINDEX INDEX CONCURRENTLY by_bird;\n";
    let project = Project::new().file("migrations/postgres/001_flock.sql", script);
    let up = || project.run(["up", "postgres", "--statement-timeout", "300ms", "--url", &database.url()]);
    assert_snapshot!(up().redacted(), @r"
    exit: 5
    --- stdout
    --- stderr
    error[partly-applied]: `001_flock` failed at its first statement, which left something behind
      --> migrations/postgres/001_flock.sql:1:1
      1 | REINDEX INDEX CONCURRENTLY by_bird;
        | ^
      caused by: canceling statement due to statement timeout
    state: no statement of `001_flock` is in the database; the index `by_bird_ccnew` is there and invalid
    hint: fix what made it fail and run `whimbrel up postgres` again, which runs `DROP INDEX CONCURRENTLY public.by_bird_ccnew` first
    ");
    writer.batch_execute("COMMIT").expect("it was open");
    let _ = up().exits(0);
    let indexes = "SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'flock'::regclass";
    assert_eq!(database.lines(indexes), ["by_bird|t"]);
}

#[test]
fn settings_of_the_applied_part_hold_for_the_rest() {
    let case = Case::mariadb();
    let project = case.half_done(
        "SET @@lock_wait_timeout = 7;\nCREATE TABLE flock (bird varchar(20));\n\
         INSERT INTO nowhere VALUES (@@lock_wait_timeout);\n",
    );
    case.edit(&project, "nowhere", "flock");
    let _ = case.up(&project).exits(0);
    assert_eq!(case.seen(), ["7"]);
}

#[test]
fn what_ended_with_the_session_is_not_gone_on_without() {
    let case = Case::mariadb();
    let project = case.half_done(
        "CREATE TABLE flock (bird varchar(20));\nSET @bird = CONCAT('whim', 'brel');\nINSERT INTO nowhere VALUES (1);\n",
    );
    case.edit(&project, "nowhere VALUES (1)", "flock VALUES (@bird)");
    assert_snapshot!(case.up(&project).redacted(), @r"
    exit: 5
    --- stdout
    --- stderr
    error[partly-applied]: `001_flock` stopped after 2 statements, and what its line 2 made ended with the session
      --> migrations/mysql/001_flock.sql:2:1
      2 | SET @bird = CONCAT('whim', 'brel')
        | ^
    state: statements 1-2 of `001_flock` are in the database
    hint: finish or undo it by hand and say so: `whimbrel repair mysql 001_flock --applied` or `--reverted`
    ");
    assert_eq!(case.seen(), [""; 0]);
}

#[test]
fn a_down_script_is_gone_on_with_too() {
    let case = Case::mariadb();
    let project =
        case.project("CREATE TABLE flock (bird varchar(20));\nCREATE TABLE sites (name varchar(20));\n");
    project.write("migrations/mysql/001_flock.down.sql", "DROP TABLE sites;\nDROP TABLE flok;\n");
    let _ = case.up(&project).exits(0);
    let _ = case.command(&project, "down").exits(5);
    let _ = case.up(&project).exits(5);
    project.write("migrations/mysql/001_flock.down.sql", "DROP TABLE sites;\nDROP TABLE flock;\n");
    let _ = case.command(&project, "down").exits(0);
    assert_eq!(case.log(), ["1|up|applied|2|2", "2|down|failed|1|2", "3|down|reverted|2|2"]);
}

/// Names mean what they mean by the settings of the script.
#[test]
fn what_is_left_behind_is_sought_where_the_script_has_put_it() {
    let database = Postgres::fresh();
    database.execute(
        "CREATE SCHEMA nest; CREATE TABLE nest.flock (bird text); INSERT INTO nest.flock VALUES ('ruff'), ('ruff')",
    );
    let script = "-- no-transaction\nSET search_path = nest;\n\
                  CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS one_each ON flock (bird);\n";
    let project = Project::new().file("migrations/postgres/001_flock.sql", script);
    let up = || project.run(["up", "postgres", "--url", &database.url()]);
    let failed = up().exits(5);
    assert!(failed.mentions("DROP INDEX CONCURRENTLY nest.one_each"), "{failed:?}");
    database.execute("DELETE FROM nest.flock WHERE ctid = (SELECT max(ctid) FROM nest.flock)");
    let _ = up().exits(0);
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'nest.one_each'::regclass";
    assert_eq!(database.lines(valid), ["t"]);
}

/// A table that is not where one looks may be where the script has dropped nothing yet.
#[rstest]
fn what_is_elsewhere_is_not_taken_for_dropped(#[values(0, 1)] server: usize) {
    let case = cases().remove(server);
    let nest = [Product::MariaDb, Product::MySql][server].fresh();
    nest.execute("CREATE TABLE gate (seen integer)");
    let project = case.project(&format!(
        "CREATE TABLE flock (bird varchar(20));\nUSE {};\nDROP TABLE gate;\nCREATE TABLE sites (id integer);\n",
        nest.name()
    ));
    let mut reader = nest.client();
    reader.query_drop("START TRANSACTION; SELECT * FROM gate").expect("the table is there");
    case.killed_at_work_in(&nest, &project);
    reader.query_drop("COMMIT").expect("it was open");
    let _ = case.up(&project).exits(0);
    assert_eq!(nest.lines("SHOW TABLES"), ["sites"]);
    assert_eq!(case.log(), ["1|up|failed|2|4", "2|up|applied|4|4"]);
}

/// `IF NOT EXISTS` would take the invalid index for a good one.
#[test]
fn an_invalid_index_is_named_and_removed_before_its_statement_runs_again() {
    let database = Postgres::fresh();
    database.execute("CREATE TABLE flock (bird text); INSERT INTO flock VALUES ('ruff'), ('ruff')");
    let script =
        "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS one_each ON flock (bird);\n";
    let project = Project::new().file("migrations/postgres/001_flock.sql", script);
    let up = || project.run(["up", "postgres", "--url", &database.url()]);
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'one_each'::regclass";
    assert_snapshot!(up().redacted(), @r#"
    exit: 5
    --- stdout
    --- stderr
    error[partly-applied]: `001_flock` failed at its first statement, which left something behind
      --> migrations/postgres/001_flock.sql:2:1
      2 | CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS one_each ON flock (bird);
        | ^
      Key (bird)=(ruff) is duplicated.
      caused by: could not create unique index "one_each"
    state: no statement of `001_flock` is in the database; the index `one_each` is there and invalid
    hint: fix what made it fail and run `whimbrel up postgres` again, which runs `DROP INDEX CONCURRENTLY public.one_each` first
    "#);
    assert_eq!(database.lines(valid), ["f"]);
    database.execute("DELETE FROM flock WHERE ctid = (SELECT max(ctid) FROM flock)");
    let _ = up().exits(0);
    assert_eq!(database.lines(valid), ["t"]);
}

/// A commit for each row would wait for the disk each time.
#[rstest]
fn rows_in_a_row_share_a_transaction_and_stay_when_one_of_them_fails(#[values(0, 1)] server: usize) {
    let case = cases().remove(server);
    let database = [Product::MariaDb, Product::MySql][server].fresh();
    let proxy = Proxy::before(&database);
    let project = case.project(
        "CREATE TABLE flock (bird varchar(20) PRIMARY KEY);\nINSERT INTO flock VALUES ('whimbrel');\n\
         INSERT INTO flock VALUES ('curlew');\nINSERT INTO flock VALUES ('curlew' );\n\
         INSERT INTO flock VALUES ('godwit');\nINSERT INTO flock VALUES ('plover');\n",
    );
    let up = || project.run(["up", "mysql", "--url", &proxy.plain_url(&database)]);
    let log = "SELECT state, statements_done, statements_total FROM whimbrel_migrations ORDER BY position";
    let commits = || proxy.client_text().matches("COMMIT AND NO CHAIN").count();
    let failed = up().exits(5);
    assert!(failed.mentions("stopped after 3 of 6 statements"), "{failed:?}");
    assert_eq!(database.lines(log), ["failed|3|6"]);
    assert_eq!(database.lines("SELECT bird FROM flock"), ["curlew", "whimbrel"]);
    assert_eq!(proxy.turns(), 4, "the history, its table, the script, the failure");
    assert_eq!(commits(), 2, "behind the rows, which was not reached, and where the failure was found");

    case.edit(&project, "'curlew' ", "'ruff'");
    proxy.forget();
    let _ = up().exits(0);
    assert_eq!(database.lines(log), ["failed|3|6", "applied|6|6"]);
    assert_eq!(database.lines("SELECT bird FROM flock"), ["curlew", "godwit", "plover", "ruff", "whimbrel"]);
    assert_eq!(commits(), 1);
}

/// A deadlock takes back all that shares a transaction, and the history does not say otherwise. What shares none with it,
/// as in a table that keeps what a ROLLBACK takes back, is not written again.
#[rstest]
fn rows_that_the_server_took_back_are_written_again(#[values(0, 1)] server: usize) {
    let case = cases().remove(server);
    let database = [Product::MariaDb, Product::MySql][server].fresh();
    database.execute(
        "CREATE TABLE sites (id integer PRIMARY KEY); CREATE TABLE heavy (id integer PRIMARY KEY); \
         INSERT INTO heavy VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14)",
    );
    let mut other = database.client();
    other
        .query_drop("START TRANSACTION; DELETE FROM heavy; INSERT INTO sites VALUES (1)")
        .expect("nobody else writes");
    let project = case.project(
        "CREATE TABLE flock (id integer) ENGINE = MyISAM;\nINSERT INTO flock VALUES (1);\nINSERT INTO sites VALUES (2);\n\
         INSERT INTO sites VALUES (1);\nINSERT INTO flock VALUES (2);\n",
    );
    let up = ["up", "mysql", "--url", &database.url()];
    let run = project.spawn(up);
    let waiting = "SELECT 1 FROM information_schema.processlist WHERE db = DATABASE() \
                   AND info LIKE 'INSERT INTO sites VALUES (1)%'";
    until("the run waits for the other one", || !database.lines(waiting).is_empty());
    // Who has written less loses.
    other.query_drop("SELECT * FROM sites WHERE id = 2 FOR UPDATE; ROLLBACK").expect("the run loses");
    let failed = run.wait().exits(5);
    assert!(failed.mentions("Deadlock found"), "{failed:?}");
    assert_eq!(database.lines("SELECT * FROM flock"), ["1"]);
    assert_eq!(database.lines("SELECT * FROM sites"), [""; 0], "it was taken back");
    let log = "SELECT state, statements_done, statements_total FROM whimbrel_migrations ORDER BY position";
    assert_eq!(database.lines(log), ["failed|2|5"]);
    let _ = project.run(up).exits(0);
    assert_eq!(database.lines("SELECT * FROM flock ORDER BY id"), ["1", "2"]);
    assert_eq!(database.lines("SELECT * FROM sites ORDER BY id"), ["1", "2"]);
}

/// Whoever waits for a lock in vain loses that statement, and not those before it.
#[rstest]
fn rows_before_a_lock_that_was_waited_for_in_vain_stay(#[values(0, 1)] server: usize) {
    let case = cases().remove(server);
    let database = [Product::MariaDb, Product::MySql][server].fresh();
    database.execute("CREATE TABLE sites (id integer PRIMARY KEY)");
    let mut other = database.client();
    other.query_drop("START TRANSACTION; INSERT INTO sites VALUES (1)").expect("nobody else writes");
    let project = case.project(
        "CREATE TABLE flock (id integer);\nINSERT INTO sites VALUES (2);\nINSERT INTO sites VALUES (1);\n\
         INSERT INTO sites VALUES (3);\n",
    );
    let up = ["up", "mysql", "--lock-timeout", "1s", "--url", &database.url()];
    let failed = project.run(up).exits(5);
    assert!(failed.mentions("stopped after 2 of 4 statements"), "{failed:?}");
    assert_eq!(database.lines("SELECT * FROM sites"), ["2"]);
    other.query_drop("ROLLBACK").expect("it was open");
    let _ = project.run(up).exits(0);
    assert_eq!(database.lines("SELECT * FROM sites ORDER BY id"), ["1", "2", "3"]);
}
