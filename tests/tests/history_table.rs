//! The history table in trouble: locked, out of reach for a role, named by a script.

use insta::assert_snapshot;
use rstest::rstest;
use whimbrel_tests::Product::{MariaDb, MySql};
use whimbrel_tests::{Database, Outcome, Postgres, Product, Project, Sqlite, servers};

fn up(project: &Project, database: &dyn Database) -> Outcome {
    project.run(["up", database.engine().adapter(), "--url", &database.url()])
}

fn one(folder: &str, text: &str) -> Project {
    Project::new().file(&format!("migrations/{folder}/001_birds.sql"), text)
}

/// Another table would be another history: everything would be run a second time.
#[test]
fn a_locked_database_is_no_reason_to_keep_the_history_elsewhere() {
    let database = Sqlite::fresh();
    let project = one("sqlite", "CREATE TABLE birds (id);\n");
    let holder = database.client();
    holder.execute_batch("BEGIN EXCLUSIVE").expect("nobody else is there");
    assert_snapshot!(up(&project, &database).redacted(), @r"
    exit: 6
    --- stdout
    --- stderr
    error[lock-held]: another session keeps the history table `whimbrel_migrations` locked
      caused by: database is locked
    state: nothing was run
    hint: let it finish, and run this again
    ");
    holder.execute_batch("ROLLBACK").expect("it was begun");
    let _ = up(&project, &database).exits(0);
}

#[test]
fn a_role_that_may_not_write_the_history_is_told_what_to_grant() {
    let database = Postgres::fresh();
    let project = one("postgres", "CREATE TABLE birds (id integer);\n");
    let _ = up(&project, &database).exits(0);
    let reader = database.role("reader");
    let url = database.url_as(&reader, &servers().postgres.password);
    let command = ["up", "postgres", "--url", &url];
    let hidden = [(reader.as_str(), "[READER]")];
    assert_snapshot!(project.run(command).redacted_with(&hidden), @r"
    exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: cannot read the history table `whimbrel_migrations`
      caused by: permission denied for table whimbrel_migrations
    state: nothing was run
    hint: grant this role SELECT on `whimbrel_migrations`, and INSERT and UPDATE as well where it is to run migrations
    ");
    database.execute(&format!("GRANT SELECT ON whimbrel_migrations TO {reader}"));
    project.write("migrations/postgres/002_nests.sql", "CREATE TABLE nests (id integer);\n");
    assert_snapshot!(project.run(command).redacted_with(&hidden), @r"
    exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: cannot write to the history table `public.whimbrel_migrations`
      `002_nests` was about to begin
      caused by: permission denied for table whimbrel_migrations
    state: nothing was run
    hint: grant this role SELECT on `public.whimbrel_migrations`, and INSERT and UPDATE as well where it is to run migrations
    ");
}

/// A dump of the whole database holds the history as well: where nothing rolls back, it would be dropped, and the next
/// run would begin from nothing.
#[rstest]
fn a_script_that_drops_the_history_is_refused_where_nothing_rolls_back(
    #[values(MariaDb, MySql)] server: Product,
) {
    let database = server.fresh();
    let project = one("mysql", "CREATE TABLE birds (id int);\n");
    let _ = up(&project, &database).exits(0);
    project.write(
        "migrations/mysql/002_dump.sql",
        "INSERT INTO birds VALUES (1);\n\nDROP TABLE IF EXISTS birds, `whimbrel_migrations`;\n",
    );
    assert_snapshot!(up(&project, &database).redacted(), @r"
    exit: 7
    --- stdout
    --- stderr
    error[refused]: the script names the history table `whimbrel_migrations`
      --> migrations/mysql/002_dump.sql:3:1
      3 | DROP TABLE IF EXISTS birds, `whimbrel_migrations`;
        | ^
      it runs statement by statement, and what it does to the history could not be rolled back
    state: nothing was run
    hint: take the statement out; leave the history table out of a dump
    ");
    assert_eq!(database.lines("SELECT migration FROM whimbrel_migrations"), ["001_birds"]);
    assert_eq!(database.lines("SELECT * FROM birds"), [""; 0]);
    // The name as data harms nobody.
    project.write(
        "migrations/mysql/002_dump.sql",
        "CREATE TABLE names (name text);\nINSERT INTO names VALUES ('whimbrel_migrations');\n",
    );
    let _ = up(&project, &database).exits(0);
}

#[test]
fn a_script_for_the_history_table_that_fails_is_shown_where_and_leaves_nothing() {
    let database = Sqlite::fresh();
    let project = one("sqlite", "CREATE TABLE birds (id);\n");
    let tables = || database.lines("SELECT name FROM sqlite_schema");
    project.write(
        "migrations/sqlite/000_migrations_table.sql",
        "CREATE TABLE nests (id);\nINSERT INTO eggs VALUES (1);\n",
    );
    assert_snapshot!(up(&project, &database).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: cannot create the history table `main.whimbrel_migrations`
      --> migrations/sqlite/000_migrations_table.sql:2:1
      2 | INSERT INTO eggs VALUES (1);
        | ^
      caused by: no such table: eggs
    state: nothing was run
    ");
    assert_eq!(tables(), [""; 0]);

    project.write(
        "migrations/sqlite/000_migrations_table.sql",
        "CREATE TABLE whimbrel_migrations (position);\n",
    );
    assert_snapshot!(up(&project, &database).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: cannot create the history table `main.whimbrel_migrations`
      --> migrations/sqlite/000_migrations_table.sql
      caused by: no such column: migration
    state: nothing was run
    hint: the table that this file creates must have the name and columns of the history
    ");
    assert_eq!(tables(), [""; 0]);
}
