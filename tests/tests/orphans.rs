//! What a killed run leaves at work on the server, and runs that wait beside it.

use rstest::rstest;
use whimbrel_tests::Product::{MariaDb, MySql};
use whimbrel_tests::{Database, Pool, Postgres, Product, Project, Running, until};

/// Whether the run that builds the index is killed while it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Builder {
    Killed,
    Alive,
}

/// Makes every lease end before it begins, so that nobody waits for half a minute.
const LEASES_ARE_OVER: &str = "
    CREATE FUNCTION long_ago() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.lease_until := NEW.lease_until - interval '1 hour'; RETURN NEW; END $$;
    CREATE TRIGGER long_ago BEFORE INSERT OR UPDATE ON whimbrel_migrations
        FOR EACH ROW EXECUTE FUNCTION long_ago()";

const AT_WORK: &str = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
                       AND query LIKE 'CREATE INDEX%' AND wait_event = 'virtualxid'";

/// An index that is built concurrently waits for every transaction that began before it. Runs that wait for the builder
/// have none, or all of them would wait for each other; and what the builder made is found, whoever it was.
#[rstest]
fn runs_wait_for_an_index_and_do_not_keep_it_from_being_built(
    #[values(Builder::Killed, Builder::Alive)] builder: Builder,
    #[values(None, Some(Pool::Transaction))] pool: Option<Pool>,
) {
    let database = Postgres::fresh();
    let url = pool.map_or_else(|| database.url(), |pool| database.pooler_url(pool));
    let project = Project::new()
        .file("migrations/postgres/001_flock.sql", "CREATE TABLE flock (bird text);\n")
        .file("migrations/postgres/002_index.sql", "CREATE INDEX CONCURRENTLY by_bird ON flock (bird);\n");
    let _ = project.run(["up", "postgres", "--steps", "1", "--url", &url]).exits(0);
    database.execute(LEASES_ARE_OVER);
    let mut writer = database.client();
    writer.batch_execute("BEGIN; INSERT INTO flock VALUES ('whimbrel')").expect("nobody else writes");

    let run = project.spawn(["up", "postgres", "--url", &url]);
    until("the index waits for the writer", || !database.lines(AT_WORK).is_empty());
    if builder == Builder::Killed {
        run.kill();
    }
    let impatient = project.run(["up", "postgres", "--url", &url, "--wait-for-runner", "0s"]).exits(6);
    assert!(impatient.mentions("another run is at work on `postgres`"), "{impatient:?}");
    let waiting = [(); 3].map(|()| project.spawn(["up", "postgres", "--url", &url]));
    waiting.iter().for_each(|run| run.until_reported("waiting for"));
    writer.batch_execute("COMMIT").expect("it was open");

    for run in waiting.map(Running::wait) {
        let _ = run.exits(0);
    }
    let expected = if builder == Builder::Killed { None } else { Some(0) };
    assert_eq!(run.wait().code, expected);
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_bird'::regclass";
    assert_eq!(database.lines(valid), ["t"]);
    let log =
        database.lines("SELECT migration, state, statements_done FROM whimbrel_migrations ORDER BY position");
    match builder {
        Builder::Killed => {
            assert_eq!(log, ["001_flock|applied|1", "002_index|failed|0", "002_index|applied|1"])
        }
        Builder::Alive => assert_eq!(log, ["001_flock|applied|1", "002_index|applied|1"]),
    }
}

/// Copies a table: it lasts for as long as somebody is in the table.
#[rstest]
fn runs_wait_for_an_alter_whose_run_was_killed(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let project = Project::new()
        .file("migrations/mysql/001_flock.sql", "CREATE TABLE flock (bird varchar(20));\n")
        .file(
            "migrations/mysql/002_alter.sql",
            "ALTER TABLE flock ADD COLUMN seen integer, ALGORITHM = COPY;\n",
        );
    let up = ["up", "mysql", "--url", &database.url()];
    let _ = project.run([&up[..], &["--steps", "1"]].concat()).exits(0);
    database.execute(
        "INSERT INTO flock WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
         SELECT 'whimbrel' FROM n a, n b",
    );

    let run = project.spawn(up);
    let at_work = "SELECT state FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'ALTER TABLE flock%'";
    until("the table is being copied", || database.lines(at_work).concat().contains("copy to tmp table"));
    run.kill();
    assert_eq!(run.wait().signal, Some(9));
    database.execute(
        "UPDATE whimbrel_migrations SET lease_until = '2001-01-01 00:00:00' WHERE state = 'started'",
    );
    let impatient = project.run([&up[..], &["--wait-for-runner", "0s"]].concat()).exits(6);
    assert!(impatient.mentions("another run is at work on `mysql`"), "{impatient:?}");
    assert_eq!(database.lines(at_work).len(), 1, "it was at work all the while");

    let after = project.run(up).exits(0);
    assert_eq!(after.stdout, "mysql is up to date, at 002_alter\n");
    let log =
        database.lines("SELECT migration, state, statements_done FROM whimbrel_migrations ORDER BY position");
    assert_eq!(log, ["001_flock|applied|1", "002_alter|applied|1"]);
}
