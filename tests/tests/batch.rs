//! Many migrations at once: `--batch` sends them together, each for itself; `--single-transaction` makes them one.

use std::time::Duration;

use insta::assert_snapshot;
use rstest::rstest;
use whimbrel::plan::Target;
use whimbrel::runner::{Grouping, Silent};
use whimbrel::source::Migrations;
use whimbrel::{Migrator, Options};
use whimbrel_adapter_api::{Adapter, ConnectOptions, Secret};
use whimbrel_tests::{Database, Engine, Networked, Outcome, Pool, Postgres, Project, Proxy, Sqlite};

/// Returns a project with a table and so many migrations that each put one row into it.
fn rows(folder: &str, count: u32) -> Project {
    let project = Project::new();
    project.write(&format!("migrations/{folder}/000001_log.sql"), "CREATE TABLE log (entry integer);\n");
    (2..=count).for_each(|number| row(&project, folder, number));
    project
}

fn row(project: &Project, folder: &str, number: u32) {
    let statement = format!("INSERT INTO log VALUES ({number});\n");
    project.write(&format!("migrations/{folder}/{number:06}_row.sql"), statement);
}

fn log(database: &dyn Database) -> Vec<String> {
    database.lines("SELECT entry FROM log ORDER BY entry")
}

fn applied(database: &dyn Database) -> Vec<String> {
    database.lines("SELECT migration FROM whimbrel_migrations WHERE state = 'applied' ORDER BY position")
}

fn up(project: &Project, database: &dyn Database, flags: &[&str]) -> Outcome {
    let (folder, url) = (database.engine().adapter(), database.url());
    project.run(["up", folder, "--url", &url].iter().chain(flags))
}

/// Returns the turns of one `up`, counted behind the login.
fn turns(project: &Project, database: &dyn Networked, flags: &[&str], exit: i32) -> u32 {
    let proxy = Proxy::before(database);
    // What is on its way must not look like an answer that was waited for.
    proxy.delay(Duration::from_millis(20));
    let url = proxy.plain_url(database);
    let _ = project.run(["up", database.engine().adapter(), "--url", &url].iter().chain(flags)).exits(exit);
    assert_eq!(proxy.connections(), 1);
    proxy.turns()
}

const NETWORKED: [Engine; 3] = [Engine::Postgres, Engine::MariaDb, Engine::MySql];

#[test]
fn a_hundred_migrations_cost_as_many_turns_as_they_fill_messages() {
    for engine in NETWORKED {
        let (database, project) = (engine.fresh(), rows(engine.adapter(), 100));
        let turns = turns(&project, database.as_ref(), &["--batch"], 0);
        assert!(turns <= 3 + 1, "{engine:?}: {turns}");
        assert_eq!(log(database.as_ref()).len(), 99, "{engine:?}");
        assert_eq!(applied(database.as_ref()).len(), 100, "{engine:?}");
    }
}

/// Migrations of which the fourth fails, in every way that the server finds out at another time.
fn defects(engine: Engine) -> Vec<(&'static str, String)> {
    let all = [
        ("a syntax error", "INSERT INTO log VALUES (40);\nINSERT INTOO log VALUES (4);\n".to_owned()),
        (
            "an error at run time",
            "INSERT INTO log VALUES (40);\nINSERT INTO nowhere VALUES (4);\n".to_owned(),
        ),
        ("an error in the first statement", "INSERT INTO nowhere VALUES (4);\n".to_owned()),
    ];
    let deferred = "CREATE TABLE late (id integer UNIQUE DEFERRABLE INITIALLY DEFERRED);\n\
                    INSERT INTO late VALUES (1), (1);\n";
    let large = |last: &str| {
        let filler = (0..600).map(|_| format!("INSERT INTO log /* {} */ VALUES (41);\n", "x".repeat(1000)));
        filler.chain([format!("{last};\n")]).collect::<String>()
    };
    let own = match engine {
        Engine::Postgres => vec![
            ("a deferred constraint", deferred.to_owned()),
            ("a name that only the analysis misses", "SELECT nothing FROM log;\n".to_owned()),
            ("a role that it may not take", "SET ROLE nobody_at_all;\n".to_owned()),
            ("data of a COPY", "COPY log FROM stdin;\n40\nforty\n\\.\n".to_owned()),
            ("nothing sent, and an error", "COPY nowhere FROM stdin;\n40\n\\.\n".to_owned()),
        ],
        _ => Vec::new(),
    };
    let long = [
        ("a syntax error in a large file", large("INSERT INTOO log VALUES (4)")),
        ("an error at run time in a large file", large("INSERT INTO nowhere VALUES (4)")),
    ];
    all.into_iter().chain(own).chain(long).collect()
}

/// What is left of a failure, and what was said of it.
fn end(
    project: &Project,
    database: &dyn Database,
    flags: &[&str],
) -> (Option<i32>, String, Vec<String>, Vec<String>) {
    let outcome = up(project, database, flags);
    (outcome.code, outcome.redacted(), log(database), applied(database))
}

/// Sent one by one or all at once: nobody can tell from what is left, or from what is said.
#[rstest]
fn a_failure_in_the_middle_is_the_same_at_once_as_one_by_one(
    #[values(Engine::Sqlite, Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
) {
    for (what, text) in defects(engine) {
        let project = rows(engine.adapter(), 7);
        project.write(&format!("migrations/{}/000004_row.sql", engine.adapter()), text);
        let (strict, batch) = (engine.fresh_database(), engine.fresh_database());
        let (one_by_one, at_once) =
            (end(&project, strict.as_ref(), &[]), end(&project, batch.as_ref(), &["--batch"]));
        assert_eq!(one_by_one, at_once, "{engine:?}, {what}");
        assert_eq!(at_once.2, ["2", "3"], "{engine:?}, {what}");
        assert_eq!(at_once.3, ["000001_log", "000002_row", "000003_row"], "{engine:?}, {what}");

        row(&project, engine.adapter(), 4);
        let _ = up(&project, batch.as_ref(), &["--batch"]).exits(0);
        assert_eq!(log(batch.as_ref()), ["2", "3", "4", "5", "6", "7"], "{engine:?}, {what}");
    }
}

/// A large file has messages of its own; what is around it still shares one. PostgreSQL answers its opening before them.
#[test]
fn large_files_among_small_ones_cost_what_their_bytes_fill() {
    for engine in NETWORKED {
        let (database, project) = (engine.fresh(), rows(engine.adapter(), 12));
        let long = |count: u32| {
            format!("INSERT INTO log /* {} */ VALUES (0);\n", "x".repeat(1000)).repeat(count as usize)
        };
        let mut bytes = 0;
        let openings = if engine == Engine::Postgres { 4 } else { 0 };
        for (number, count) in [(4, 500), (5, 300), (8, 300), (9, 1), (10, 300)] {
            let text = long(count);
            bytes += text.len();
            project.write(&format!("migrations/{}/{number:06}_row.sql", engine.adapter()), text);
        }
        let turns = turns(&project, database.as_ref(), &["--batch"], 0) as usize;
        let most = 3 + bytes.div_ceil(256 * 1024) + openings;
        assert!(turns <= most, "{engine:?}: {turns} turns for {bytes} bytes");
        assert_eq!(log(database.as_ref()).len(), 6 + 1401, "{engine:?}");
        assert_eq!(applied(database.as_ref()).len(), 12, "{engine:?}");
    }
}

/// Behind a message that leaves no transaction open, a pooler may lend the connection to somebody else.
#[rstest]
fn a_pooler_is_sent_no_message_ahead(#[values(Pool::Transaction, Pool::Single, Pool::Session)] pool: Pool) {
    let (database, project) = (Postgres::fresh(), rows("postgres", 40));
    let long = format!("INSERT INTO log /* {} */ VALUES (0);\n", "x".repeat(1000)).repeat(300);
    for number in [10, 11, 25] {
        project.write(&format!("migrations/postgres/{number:06}_row.sql"), &long);
    }
    project.write("migrations/postgres/000030_row.sql", "-- no-transaction\nINSERT INTO log VALUES (30);\n");
    let up = || project.spawn(["up", "postgres", "--batch", "--url", &database.pooler_url(pool)]);
    let runs: Vec<_> = (0..4).map(|_| up()).collect();
    for run in runs {
        let _ = run.wait().exits(0);
    }
    assert_eq!(applied(&database).len(), 40);
    assert_eq!(log(&database).len(), 36 + 900);
}

/// With a dozen things to recover from, a failing batch still costs no more than its bound.
#[test]
fn a_failure_at_once_costs_no_more_turns() {
    for engine in NETWORKED {
        for text in ["INSERT INTOO log VALUES (4);\n", "INSERT INTO nowhere VALUES (4);\n"] {
            let (database, project) = (engine.fresh(), rows(engine.adapter(), 50));
            project.write(&format!("migrations/{}/000040_row.sql", engine.adapter()), text);
            let turns = turns(&project, database.as_ref(), &["--batch"], 1);
            // The table, the history, the message, what is sent again, what is put in order.
            assert!(turns <= 2 + 3, "{engine:?}, {text}: {turns}");
            assert_eq!(applied(database.as_ref()).len(), 39, "{engine:?}, {text}");
        }
    }
}

#[rstest]
fn one_transaction_is_all_or_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    for (what, text) in defects(engine) {
        let (database, project) = (engine.fresh_database(), rows(engine.adapter(), 7));
        project.write(&format!("migrations/{}/000004_row.sql", engine.adapter()), text);
        let outcome = up(&project, database.as_ref(), &["--single-transaction"]).exits(1);
        assert!(outcome.stdout.is_empty(), "nothing is told as applied: {outcome:?}");
        let state =
            "state: `000004_row` was rolled back; everything else of its transaction was rolled back too";
        assert!(outcome.mentions(state), "{engine:?}, {what}: {outcome:?}");
        assert_eq!(applied(database.as_ref()), [""; 0], "{engine:?}, {what}");

        row(&project, engine.adapter(), 4);
        let _ = up(&project, database.as_ref(), &["--single-transaction"]).exits(0);
        assert_eq!(log(database.as_ref()), ["2", "3", "4", "5", "6", "7"], "{engine:?}, {what}");
        assert_eq!(applied(database.as_ref()).len(), 7);
    }
}

/// Each migration finds the session as it would find it in a transaction of its own.
#[test]
fn in_one_transaction_no_migration_meets_the_settings_of_another() {
    let database = Postgres::fresh();
    let project = rows("postgres", 4);
    project
        .write("migrations/postgres/000002_row.sql", "SET search_path = ''; SET LOCAL lock_timeout = 5;\n");
    let look = "INSERT INTO log SELECT count(*) FROM pg_settings WHERE source = 'session' \
                AND name IN ('search_path', 'lock_timeout');\n";
    project.write("migrations/postgres/000003_row.sql", look);
    let _ = up(&project, &database, &["--single-transaction", "--statement-timeout", "30s"]).exits(0);
    assert_eq!(log(&database), ["0", "4"]);
}

#[test]
fn foreign_keys_are_off_for_all_of_one_transaction_and_on_again_behind_it() {
    let database = Sqlite::fresh();
    let project = rows("sqlite", 2);
    let tables = "CREATE TABLE nests (id integer PRIMARY KEY);\n\
                  CREATE TABLE eggs (nest integer REFERENCES nests (id));\nINSERT INTO nests VALUES (1);\n\
                  INSERT INTO eggs VALUES (1);\n";
    project.write("migrations/sqlite/000003_tables.sql", tables);
    let rebuild = "PRAGMA foreign_keys = OFF;\nCREATE TABLE new (id integer PRIMARY KEY, name text);\n\
                   INSERT INTO new (id) SELECT id FROM nests;\nDROP TABLE nests;\n\
                   ALTER TABLE new RENAME TO nests;\nPRAGMA foreign_keys = ON;\n";
    project.write("migrations/sqlite/000004_rebuild.sql", rebuild);
    let _ = up(&project, &database, &["--single-transaction"]).exits(0);
    assert_eq!(database.lines("SELECT nest FROM eggs"), ["1"], "nothing was deleted with the table");

    project.write("migrations/sqlite/000005_row.sql", "INSERT INTO log VALUES (5);\n");
    project.write("migrations/sqlite/000006_orphan.sql", "PRAGMA foreign_keys = OFF;\nDELETE FROM nests;\n");
    let outcome = up(&project, &database, &["--single-transaction"]).exits(1);
    assert!(outcome.mentions("foreign key"), "{outcome:?}");
    assert_eq!(log(&database), ["2"]);
}

#[test]
fn what_cannot_be_rolled_back_is_refused_in_one_transaction() {
    let project = rows("postgres", 2);
    project.write(
        "migrations/postgres/000003_index.sql",
        "CREATE INDEX CONCURRENTLY log_entry ON log (entry);\n",
    );
    let database = Postgres::fresh();
    assert_snapshot!(up(&project, &database, &["--single-transaction"]).redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[unsupported]: `000003_index` cannot be in one transaction with the others
      --> migrations/postgres/000003_index.sql
      what it does is not taken back by a ROLLBACK, or it is marked `-- no-transaction`
    state: nothing was run
    hint: run it without `--single-transaction`, or `mode` in plugins.toml; or apply what comes before it first, with `--to`
    ");
    assert!(database.try_query("SELECT * FROM log").is_err());
}

#[test]
fn one_transaction_of_data_is_taken_on_an_engine_whose_schema_is_not() {
    for engine in [Engine::MariaDb, Engine::MySql] {
        let (database, project) = (engine.fresh(), rows("mysql", 1));
        let _ = up(&project, database.as_ref(), &[]).exits(0);
        (2..=5).for_each(|number| row(&project, "mysql", number));
        project.write("migrations/mysql/000005_row.sql", "INSERT INTO nowhere VALUES (5);\n");
        let _ = up(&project, database.as_ref(), &["--single-transaction"]).exits(1);
        assert_eq!(log(database.as_ref()), [""; 0], "{engine:?}");
        row(&project, "mysql", 5);
        let _ = up(&project, database.as_ref(), &["--single-transaction"]).exits(0);
        assert_eq!(log(database.as_ref()), ["2", "3", "4", "5"], "{engine:?}");
    }
}

#[test]
fn the_mode_of_the_project_is_what_up_does_and_flags_stand_above_it() {
    let toml = |mode: &str| {
        format!("default = \"sqlite\"\n[databases.sqlite]\nurl = \"sqlite:birds.db\"\nmode = \"{mode}\"\n")
    };
    let project = rows("sqlite", 3).plugins_toml(&toml("single-transaction"));
    project.write("migrations/sqlite/000003_row.sql", "INSERT INTO nowhere VALUES (3);\n");
    let database = Sqlite::at(project.path("birds.db"));
    let _ = project.run(["up"]).exits(1);
    assert_eq!(applied(&database), [""; 0]);
    let _ = project.run(["up", "--batch"]).exits(1);
    assert_eq!(applied(&database), ["000001_log", "000002_row"]);
    let outcome = project.run(["up", "--batch", "--single-transaction"]).exits(2);
    assert!(outcome.mentions("--single-transaction"), "{outcome:?}");
}

#[test]
fn what_happened_in_one_transaction_is_said_as_one_thing() {
    let database = Postgres::fresh();
    let project = rows("postgres", 4);
    project.write(
        "migrations/postgres/000003_row.sql",
        "INSERT INTO log VALUES (3);\nINSERT INTO nowhere VALUES (3);\n",
    );
    assert_snapshot!(up(&project, &database, &["--single-transaction"]).redacted(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: relation "nowhere" does not exist
      --> migrations/postgres/000003_row.sql:2:13
      2 | INSERT INTO nowhere VALUES (3);
        |             ^
    state: `000003_row` was rolled back; everything else of its transaction was rolled back too
    hint: fix the file and run `whimbrel up postgres` again
    "#);
    row(&project, "postgres", 3);
    assert_snapshot!(up(&project, &database, &["--single-transaction"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  000001_log  [N] ms
    applied  000002_row  [N] ms
    applied  000003_row  [N] ms
    applied  000004_row  [N] ms
    4 migrations applied to postgres, now at 000004_row
    --- stderr
    ");
}

/// Whoever takes the row of a migration away takes the ground from those behind it.
#[rstest]
fn nothing_runs_behind_a_row_that_is_gone(
    #[values(Engine::Sqlite, Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
    #[values(
        "DELETE FROM whimbrel_migrations WHERE state = 'started';\n",
        "UPDATE whimbrel_migrations SET state = 'failed' WHERE state = 'started';\n"
    )]
    thief: &str,
) {
    let project = rows(engine.adapter(), 6);
    project.write(&format!("migrations/{}/000004_row.sql", engine.adapter()), thief);
    let (strict, batch) = (engine.fresh_database(), engine.fresh_database());
    let one_by_one = end(&project, strict.as_ref(), &[]);
    assert_eq!(one_by_one.0, Some(5), "{}", one_by_one.1);
    assert_eq!(one_by_one, end(&project, batch.as_ref(), &["--batch"]), "{engine:?}");
    assert_eq!(log(batch.as_ref()), ["2", "3"]);
}

fn linked(engine: Engine) -> Box<dyn Adapter> {
    match engine {
        Engine::Sqlite => Box::new(whimbrel_adapter_sqlite::Sqlite),
        Engine::Postgres => Box::new(whimbrel_adapter_postgres::Postgres),
        Engine::MariaDb | Engine::MySql => Box::new(whimbrel_adapter_mysql::MySql),
    }
}

/// An application goes on with its connection, and what it does there is not to be rolled back with what has failed.
#[rstest]
fn a_failed_transaction_of_several_migrations_is_over(
    #[values(Engine::Sqlite, Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
    #[values(
        "INSERT INTOO log VALUES (4);\n",
        "INSERT INTO nowhere VALUES (4);\n",
        "INSERT INTO log VALUES ('\0');\n"
    )]
    defect: &str,
) {
    let (database, adapter) = (engine.fresh_database(), linked(engine));
    let project = rows(engine.adapter(), 1);
    let _ = up(&project, database.as_ref(), &[]).exits(0);
    (2..=5).for_each(|number| row(&project, engine.adapter(), number));
    project.write(&format!("migrations/{}/000004_row.sql", engine.adapter()), defect);
    let folder = project.path(&format!("migrations/{}", engine.adapter()));
    let mut options = Options::new("app", adapter.info());
    options.grouping = Grouping::SingleTransaction;
    let migrator = Migrator::new(Migrations::read(&folder).expect("they are in order"), options);
    let connect = ConnectOptions::new(Secret::new(database.url()));
    let mut connection = adapter.connect(&connect).expect("the server is up").connection;
    // Some engines take a NUL for a character like any other.
    let applied = migrator.up(connection.as_mut(), &Target::All, &mut Silent).is_ok();
    connection.execute_raw("INSERT INTO log VALUES (100)").expect("the session is in order");
    drop(connection);
    assert_eq!(log(database.as_ref()).last().map(String::as_str), Some("100"), "{engine:?}, {defect:?}");
    assert_eq!(log(database.as_ref()).len(), if applied { 5 } else { 1 }, "{engine:?}, {defect:?}");
}

/// The message behind a large file begins inside the transaction of all.
#[test]
fn behind_a_large_file_in_one_transaction_the_one_that_fails_is_named() {
    let (database, project) = (Postgres::fresh(), rows("postgres", 5));
    let long = format!("INSERT INTO log /* {} */ VALUES (0);\n", "x".repeat(1000)).repeat(600);
    project.write("migrations/postgres/000002_row.sql", long);
    project.write("migrations/postgres/000004_row.sql", "INSERT INTOO log VALUES (4);\n");
    let outcome = up(&project, &database, &["--single-transaction"]).exits(1);
    assert!(outcome.mentions("000004_row.sql:1:8"), "{outcome:?}");
    assert_eq!(applied(&database), [""; 0]);
}

#[test]
fn in_one_transaction_no_migration_meets_the_temporary_tables_of_another() {
    let (database, project) = (Sqlite::fresh(), rows("sqlite", 3));
    project.write("migrations/sqlite/000002_row.sql", "CREATE TEMP TABLE log (entry integer);\n");
    let _ = up(&project, &database, &["--single-transaction"]).exits(0);
    assert_eq!(log(&database), ["3"]);
}

#[test]
fn settings_around_one_transaction_must_agree() {
    let (database, project) = (Sqlite::fresh(), rows("sqlite", 3));
    project.write(
        "migrations/sqlite/000002_row.sql",
        "PRAGMA foreign_keys = OFF;\nINSERT INTO log VALUES (2);\n",
    );
    project.write(
        "migrations/sqlite/000003_row.sql",
        "PRAGMA foreign_keys = ON;\nINSERT INTO log VALUES (3);\n",
    );
    let outcome = up(&project, &database, &["--single-transaction"]).exits(2);
    assert!(outcome.mentions("`000002_row` and `000003_row` want different settings"), "{outcome:?}");
    let _ = up(&project, &database, &["--batch"]).exits(0);
}
