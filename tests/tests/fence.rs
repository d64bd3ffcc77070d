//! Several runs at once behave as one after the other, on every engine and through a transaction pooler.
//!
//! The overlap is made, not hoped for: the test holds a lock on the history that lets runs read and not write, until
//! all of them have read. Where the engine has no such lock, ten runs start at once.

use mysql::prelude::Queryable;
use rstest::rstest;
use whimbrel_tests::Product::{MariaDb, MySql};
use whimbrel_tests::{
    Database, Engine, MySqlDatabase, Outcome, Pool, Postgres, Product, Project, Sqlite, until,
};

/// Migrations that leave a trace for each time they run.
fn counting(folder: &str) -> Project {
    let project = Project::new().file(
        &format!("migrations/{folder}/001_runs.sql"),
        "CREATE TABLE runs (migration integer NOT NULL);\nINSERT INTO runs VALUES (1);\n",
    );
    add(&project, folder, 2);
    project.write(
        &format!("migrations/{folder}/003_more.sql"),
        "CREATE TABLE more (id integer PRIMARY KEY);\nINSERT INTO runs VALUES (3);\n",
    );
    add(&project, folder, 4);
    project
}

/// Adds a migration of one row, and the script that takes it back.
fn add(project: &Project, folder: &str, number: u32) {
    let path = |direction| format!("migrations/{folder}/{number:03}_row.{direction}.sql");
    project.write(&path("up"), format!("INSERT INTO runs VALUES ({number});\n"));
    project.write(&path("down"), format!("DELETE FROM runs WHERE migration = {number};\n"));
}

fn applied_once(database: &dyn Database, outcomes: Vec<Outcome>) {
    for outcome in outcomes {
        let _ = outcome.exits(0);
    }
    assert_eq!(database.lines("SELECT migration FROM runs ORDER BY migration"), ["1", "2", "3", "4"]);
    let history = "SELECT position, migration, direction, state FROM whimbrel_migrations ORDER BY position";
    let expected =
        ["1|001_runs|up|applied", "2|002_row|up|applied", "3|003_more|up|applied", "4|004_row|up|applied"];
    assert_eq!(database.lines(history), expected);
}

fn ten_at_once(database: &dyn Database, url: &str, folder: &str) {
    let project = counting(folder);
    // They keep apart, whatever each of them sends at once.
    let modes: &[&[&str]] = match database.engine() {
        Engine::MariaDb | Engine::MySql => &[&[], &["--batch"]],
        _ => &[&[], &["--batch"], &["--single-transaction"]],
    };
    let up = |mode: &&[&str]| project.spawn(["up", folder, "--url", url].iter().chain(*mode));
    let runs: Vec<_> = modes.iter().cycle().take(10).map(up).collect();
    applied_once(database, runs.into_iter().map(|run| run.wait()).collect());
}

#[test]
fn ten_runs_on_a_fresh_sqlite_apply_each_migration_once() {
    let database = Sqlite::fresh();
    ten_at_once(&database, &database.url(), "sqlite");
}

#[test]
fn ten_runs_on_a_fresh_postgres_apply_each_migration_once() {
    let database = Postgres::fresh();
    ten_at_once(&database, &database.url(), "postgres");
}

#[test]
fn ten_runs_through_a_transaction_pooler_apply_each_migration_once() {
    let database = Postgres::fresh();
    ten_at_once(&database, &database.pooler_url(Pool::Transaction), "postgres");
}

#[test]
fn ten_runs_on_one_pooled_server_connection_apply_each_migration_once() {
    let database = Postgres::fresh();
    ten_at_once(&database, &database.pooler_url(Pool::Single), "postgres");
}

#[test]
fn ten_runs_through_a_session_pooler_apply_each_migration_once() {
    let database = Postgres::fresh();
    ten_at_once(&database, &database.pooler_url(Pool::Session), "postgres");
}

#[test]
fn ten_runs_of_a_role_that_owns_only_its_schema_apply_each_migration_once() {
    let database = Postgres::fresh();
    let tenant = database.role_with_password("tenant", "nothing but a schema");
    let name = database.name();
    database.execute(&format!(
        "CREATE SCHEMA nest AUTHORIZATION {tenant}; ALTER DATABASE {name} SET search_path = nest, public; \
         REVOKE CREATE, TEMPORARY ON DATABASE {name} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC"
    ));
    ten_at_once(&database, &database.url_as(&tenant, "nothing but a schema"), "postgres");
}

#[rstest]
fn ten_runs_on_a_fresh_mysql_apply_each_migration_once(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    ten_at_once(&database, &database.url(), "mysql");
}

/// A database on which runs can be made to overlap.
trait Overlap: Database {
    /// The folder of migrations.
    fn folder(&self) -> &'static str;

    /// Lets runs read the history and not write to it, starts all of them, waits until each has read and wants to
    /// write, and lets go.
    fn overlapping(&self, project: &Project, commands: &[&[&str]]) -> Vec<Outcome>;

    fn start(&self, project: &Project, commands: &[&[&str]]) -> Vec<whimbrel_tests::Running> {
        let url = self.url();
        let command = |words: &&[&str]| {
            let [name, options @ ..] = words else { panic!("a command has a name") };
            let words = [*name, self.folder()].into_iter().chain(options.iter().copied());
            project.spawn(words.chain(["--url", &url]))
        };
        commands.iter().map(command).collect()
    }
}

impl Overlap for Postgres {
    fn folder(&self) -> &'static str {
        "postgres"
    }

    fn overlapping(&self, project: &Project, commands: &[&[&str]]) -> Vec<Outcome> {
        let mut holder = self.client();
        holder
            .batch_execute("BEGIN; LOCK TABLE whimbrel_migrations IN SHARE MODE")
            .expect("nobody else holds the history");
        let runs = self.start(project, commands);
        let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                       WHERE NOT l.granted AND d.datname = current_database()";
        wait_for(self, waiting, commands.len());
        holder.batch_execute("COMMIT").expect("the lock is released");
        runs.into_iter().map(|run| run.wait()).collect()
    }
}

impl Overlap for MySqlDatabase {
    fn folder(&self) -> &'static str {
        "mysql"
    }

    fn overlapping(&self, project: &Project, commands: &[&[&str]]) -> Vec<Outcome> {
        let mut holder = self.client();
        holder.query_drop("LOCK TABLES whimbrel_migrations READ").expect("nobody else holds the history");
        let runs = self.start(project, commands);
        let waiting = format!(
            "SELECT COUNT(*) FROM information_schema.processlist \
             WHERE db = '{}' AND state LIKE 'Waiting for table%'",
            self.name()
        );
        wait_for(self, &waiting, commands.len());
        holder.query_drop("UNLOCK TABLES").expect("the lock is released");
        runs.into_iter().map(|run| run.wait()).collect()
    }
}

/// Asks until the answer is the number; a run that never comes is ended by its own deadline and the test's.
fn wait_for(database: &dyn Database, question: &str, number: usize) {
    until("the other run has come so far", || database.lines(question) == [number.to_string()]);
}

fn fresh(engine: Engine) -> Box<dyn Overlap> {
    match engine {
        Engine::Postgres => Box::new(Postgres::fresh()),
        Engine::MariaDb => Box::new(MariaDb.fresh()),
        Engine::MySql => Box::new(MySql.fresh()),
        Engine::Sqlite => panic!("SQLite has no lock that lets runs read and not write"),
    }
}

/// Returns a project of which everything up to `to` is applied.
fn applied_up_to(database: &dyn Overlap, to: &str) -> Project {
    let folder = database.folder();
    let project = counting(folder);
    let _ = project.run(["up", folder, "--to", to, "--url", &database.url()]).exits(0);
    project
}

fn rows(database: &dyn Database) -> Vec<String> {
    database.lines("SELECT migration FROM runs ORDER BY migration")
}

fn log(database: &dyn Database) -> Vec<String> {
    database.lines("SELECT migration, direction, state FROM whimbrel_migrations ORDER BY position")
}

#[rstest]
fn two_ups_of_one_step_apply_the_same_migration_once(
    #[values(Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
) {
    let database = fresh(engine);
    let database = database.as_ref();
    let project = applied_up_to(database, "001");
    let step: &[&str] = &["up", "--steps", "1"];
    let outcomes = database.overlapping(&project, &[step, step]);
    let mut said: Vec<String> = outcomes.into_iter().map(|outcome| outcome.exits(0).stdout).collect();
    said.sort();
    assert_eq!(rows(database), ["1", "2"]);
    assert_eq!(log(database), ["001_runs|up|applied", "002_row|up|applied"]);
    assert!(
        said[0].starts_with("applied  002_row")
            && said[1].ends_with(", at 002_row; 2 migrations are pending\n"),
        "{said:?}"
    );
}

#[rstest]
fn two_downs_take_back_one_migration(
    #[values(Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
) {
    let database = fresh(engine);
    let database = database.as_ref();
    let project = counting(database.folder());
    add(&project, database.folder(), 5);
    let _ = project.run(["up", database.folder(), "--url", &database.url()]).exits(0);
    for outcome in database.overlapping(&project, &[&["down"], &["down"]]) {
        let _ = outcome.exits(0);
    }
    assert_eq!(rows(database), ["1", "2", "3", "4"]);
    assert_eq!(log(database).split_off(4), ["005_row|up|applied", "005_row|down|reverted"]);
}

/// Whichever of the two is first, the other one does what it would have done after it.
#[rstest]
fn an_up_and_a_down_behave_as_one_after_the_other(
    #[values(Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
) {
    let database = fresh(engine);
    let database = database.as_ref();
    let project = applied_up_to(database, "004");
    add(&project, database.folder(), 5);
    for outcome in database.overlapping(&project, &[&["up"], &["down"]]) {
        let _ = outcome.exits(0);
    }
    let (rows, log) = (rows(database), log(database).split_off(4));
    let up_first = ["005_row|up|applied", "005_row|down|reverted"];
    let down_first = ["004_row|down|reverted", "004_row|up|applied", "005_row|up|applied"];
    match log.len() {
        2 => assert_eq!((log, rows.len()), (up_first.map(str::to_owned).to_vec(), 4)),
        _ => assert_eq!((log, rows.len()), (down_first.map(str::to_owned).to_vec(), 5)),
    }
}

/// A stepwise migration commits its started row first; whoever finds it waits until it is settled.
#[rstest]
fn an_up_and_a_down_with_ddl_behave_as_one_after_the_other_on_mysql(
    #[values(MariaDb, MySql)] server: Product,
) {
    let database = server.fresh();
    let project = applied_up_to(&database, "004");
    let path = |name: &str| format!("migrations/mysql/{name}.sql");
    project.write(&path("004_row.down"), "CREATE TABLE taken_back (id integer);\nDROP TABLE taken_back;\n");
    project.write(&path("005_table.up"), "CREATE TABLE made (id integer);\n");
    project.write(&path("005_table.down"), "DROP TABLE made;\n");
    for outcome in database.overlapping(&project, &[&["up"], &["down"]]) {
        let _ = outcome.exits(0);
    }
    let up_first = ["005_table|up|applied", "005_table|down|reverted"];
    let down_first = ["004_row|down|reverted", "004_row|up|applied", "005_table|up|applied"];
    let log = log(&database).split_off(4);
    assert!(log == up_first || log == down_first, "{log:?}");
}
