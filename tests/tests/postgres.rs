//! Files as people write them for PostgreSQL, and the ways to a server, through the real binary.

use std::ops::Range;

use insta::assert_snapshot;
use rstest::rstest;
use whimbrel_tests::{Database, Networked, Outcome, Pool, Postgres, Project, Protocol, Proxy, servers};

/// Returns a project with these files in the folder `postgres`.
fn project(files: &[(&str, &str)]) -> Project {
    let project = Project::new();
    for (name, text) in files {
        project.write(&format!("migrations/postgres/{name}"), text);
    }
    project
}

fn up_at(project: &Project, url: &str) -> Outcome {
    project.run(["up", "postgres", "--url", url])
}

fn up(project: &Project, database: &Postgres) -> Outcome {
    up_at(project, &database.url())
}

/// Runs one file on a fresh database.
fn up_with(text: &str) -> (Postgres, Outcome) {
    let database = Postgres::fresh();
    let outcome = up(&project(&[("001_file.sql", text)]), &database);
    (database, outcome)
}

fn applied(database: &Postgres) -> Vec<String> {
    database.lines("SELECT migration FROM whimbrel_migrations WHERE state = 'applied' ORDER BY position")
}

// Transactions

#[test]
fn an_outer_transaction_becomes_the_migrations_own() {
    let database = Postgres::fresh();
    let project = project(&[
        (
            "001_whole.sql",
            "-- With a remark before it.\nBEGIN;\nCREATE TABLE kept (id integer);\nCOMMIT;\n-- And one after.\n",
        ),
        ("002_fails.sql", "BEGIN;\nCREATE TABLE lost (id integer);\nSELECT 1 / 0;\nCOMMIT;\n"),
    ]);
    let outcome = up(&project, &database).exits(1);
    assert!(outcome.stderr.contains("002_fails.sql:3:1"), "{}", outcome.stderr);
    assert_eq!(applied(&database), ["001_whole"]);
    assert_eq!(
        database.lines("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"),
        ["kept", "whimbrel_migrations"]
    );
}

#[test]
fn other_transaction_control_is_refused_before_anything_runs() {
    let database = Postgres::fresh();
    let project = project(&[
        ("001_fine.sql", "CREATE TABLE fine (id integer);\n"),
        ("002_splits.sql", "CREATE TABLE a (id integer);\nCOMMIT;\nCREATE TABLE b (id integer);\n"),
        ("003_gives_up.sql", "SELECT 1;\nROLLBACK;\n"),
    ]);
    assert_snapshot!(up(&project, &database).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[transaction-control]: `COMMIT` inside a migration
      --> migrations/postgres/002_splits.sql:2:1
      2 | COMMIT;
        | ^
      every migration runs in a transaction of its own; this would end or split it
    state: nothing was run
    hint: take it out, or split the file; one BEGIN … COMMIT around everything is fine

    error[transaction-control]: `ROLLBACK` inside a migration
      --> migrations/postgres/003_gives_up.sql:2:1
      2 | ROLLBACK;
        | ^
      every migration runs in a transaction of its own; this would end or split it
    state: nothing was run
    hint: take it out, or split the file; one BEGIN … COMMIT around everything is fine
    ");
    assert_eq!(database.lines("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), ["0"]);
}

#[test]
fn options_of_an_outer_transaction_are_refused_and_kept_without_ours() {
    let text = "BEGIN ISOLATION LEVEL SERIALIZABLE;\n\
         CREATE TABLE seen AS SELECT current_setting('transaction_isolation') AS level;\nCOMMIT;\n";
    let (_, outcome) = up_with(text);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[transaction-control]: `BEGIN ISOLATION LEVEL SERIALIZABLE` around a migration: its options cannot be kept
      --> migrations/postgres/001_file.sql:1:1
      1 | BEGIN ISOLATION LEVEL SERIALIZABLE;
        | ^
      the pair around a file becomes the migration's own transaction, which is begun and ended without options
    state: nothing was run
    hint: take `ISOLATION LEVEL SERIALIZABLE` out; or add `-- no-transaction`, and the file's transaction runs as it is written
    ");
    let (database, outcome) = up_with(&format!("-- no-transaction\n{text}"));
    let _ = outcome.exits(0);
    assert_eq!(database.lines("SELECT level FROM seen"), ["serializable"]);
}

#[test]
fn a_transaction_that_is_only_prepared_or_chained_is_not_taken_for_committed() {
    for last in ["PREPARE TRANSACTION 'half'", "COMMIT AND CHAIN"] {
        let (database, outcome) = up_with(&format!("BEGIN;\nCREATE TABLE lost (id integer);\n{last};\n"));
        let outcome = outcome.exits(4);
        let said = format!("error[transaction-control]: `{last}` inside a migration");
        assert!(outcome.stderr.contains(&said), "{}", outcome.stderr);
        assert_eq!(database.lines("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), ["0"]);
    }
}

#[test]
fn an_index_that_is_built_concurrently_runs_by_itself() {
    let database = Postgres::fresh();
    let project = project(&[
        ("001_table.sql", "CREATE TABLE readings (id integer, taken date);\n"),
        (
            "002_index.sql",
            "-- Takes a while in production.\nCREATE INDEX CONCURRENTLY by_day ON readings (taken);\n",
        ),
        ("003_more.sql", "INSERT INTO readings VALUES (1, '2026-01-01');\n"),
    ]);
    let _ = up(&project, &database).exits(0);
    assert_eq!(applied(&database), ["001_table", "002_index", "003_more"]);
    assert_eq!(
        database.lines("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_day'::regclass"),
        ["t"]
    );
}

#[test]
fn a_file_that_mixes_a_concurrent_index_with_other_statements_is_refused_with_the_cure() {
    let (database, outcome) =
        up_with("CREATE TABLE readings (id integer);\nCREATE INDEX CONCURRENTLY by_id ON readings (id);\n");
    assert_snapshot!(outcome.redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[mixed-transaction]: `CREATE INDEX CONCURRENTLY by_id ON readings (id)` cannot run in a transaction, and the rest of the file needs one
      --> migrations/postgres/001_file.sql:2:1
      2 | CREATE INDEX CONCURRENTLY by_id ON readings (id);
        | ^
    state: nothing was run
    hint: move it to a migration of its own; or add `-- no-transaction` and accept that a failure leaves the statements before it in the database
    ");
    assert_eq!(database.lines("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), ["0"]);
}

#[test]
fn a_file_of_three_megabytes_is_one_transaction() {
    let database = Postgres::fresh();
    let row = |number: u32| format!("INSERT INTO rows VALUES ({number}, '{}');\n", "x".repeat(300));
    let rows: String = (0..10_000).map(row).collect();
    assert!(rows.len() > 3_000_000);
    let project = project(&[
        ("001_table.sql", "CREATE TABLE rows (id integer PRIMARY KEY, text text);\n"),
        ("002_rows.sql", &format!("{rows}{}", row(9_999))),
    ]);
    let outcome = up(&project, &database).exits(1);
    assert!(outcome.stderr.contains("002_rows.sql:10001:1"), "{}", outcome.stderr);
    assert_eq!(database.lines("SELECT count(*) FROM rows"), ["0"]);
    assert_eq!(applied(&database), ["001_table"]);

    project.write("migrations/postgres/002_rows.sql", rows);
    let _ = up(&project, &database).exits(0);
    assert_eq!(database.lines("SELECT count(*) FROM rows"), ["10000"]);
}

/// Behind a failed statement the server still takes a ROLLBACK TO, and what follows it would run.
#[rstest]
fn a_savepoint_revives_no_script_that_has_failed(
    #[values(&[], &["--batch"], &["--single-transaction"])] flags: &[&str],
) {
    let database = Postgres::fresh();
    let row = |number: u32| format!("INSERT INTO rows VALUES ({number}, '{}');\n", "x".repeat(1000));
    let many = |numbers: Range<u32>| numbers.map(row).collect::<String>();
    // The failure, or what stands before it, fills a message: the next one begins with what goes back.
    let back = |filler: usize| {
        let fails = format!("INSERT INTO nowhere VALUES ('{}');\n", "x".repeat(filler));
        format!("SAVEPOINT before;\n{fails}ROLLBACK TO before;\n")
    };
    for filler in [10, 20_000, 300_000] {
        let text = format!(
            "CREATE TABLE rows (id integer, text text);\n{}{}{}",
            many(0..300),
            back(filler),
            many(300..600)
        );
        let project = project(&[("001_rows.sql", &text)]);
        let up = ["up", "postgres", "--url", &database.url()];
        let outcome = project.run(up.iter().chain(flags)).exits(1);
        assert!(outcome.mentions("relation \"nowhere\" does not exist"), "{outcome:?}");
        assert!(outcome.mentions("001_rows.sql:303:13"), "{outcome:?}");
        let left = "SELECT to_regclass('rows') IS NULL, count(*) FILTER (WHERE state = 'applied') FROM whimbrel_migrations";
        assert_eq!(database.lines(left), ["t|0"], "{filler}: {outcome:?}");
    }
}

// What a file leaves behind

/// The head of every file that pg_dump writes.
const DUMP_HEAD: &str = "\
\\restrict 3kN0aHq9wDbJ
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
";

#[test]
fn a_dump_empties_the_search_path_for_itself_alone() {
    for pool in [None, Some(Pool::Single)] {
        let database = Postgres::fresh();
        let url = pool.map_or_else(|| database.url(), |pool| database.pooler_url(pool));
        let dump = format!(
            "{DUMP_HEAD}CREATE TABLE public.imported (id integer NOT NULL);\n\\unrestrict 3kN0aHq9wDbJ\n"
        );
        let project = project(&[
            ("001_dump.sql", &dump),
            (
                "002_plain.sql",
                "ALTER TABLE imported ADD PRIMARY KEY (id);\nCREATE TABLE beside (id integer);\n",
            ),
        ]);
        let _ = up_at(&project, &url).exits(0);
        assert_eq!(database.lines("SELECT 'public.beside'::regclass"), ["beside"], "{pool:?}");
    }
}

/// What a session is like, in one row.
const SESSION: &str = "SELECT current_user = session_user AS own_role, current_setting('search_path') AS path, \
                       current_setting('statement_timeout') AS timeout, current_setting('role') AS role, \
                       (SELECT count(*) FROM pg_locks \
                       WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks, \
                       (SELECT count(*) FROM pg_class \
                       WHERE relpersistence = 't' AND pg_table_is_visible(oid)) AS scratch";

#[test]
fn what_a_file_sets_reaches_neither_the_next_file_nor_the_pools_next_user() {
    let database = Postgres::fresh();
    let role = database.role("other");
    database.execute(&format!("CREATE SCHEMA elsewhere; GRANT ALL ON SCHEMA elsewhere, public TO {role}"));
    let untouched = database.lines(SESSION);
    let leaves = format!(
        "CREATE TEMPORARY TABLE scratch (id integer);\nSELECT pg_advisory_lock(7);\nSET statement_timeout = '77s';\n\
         SET search_path = elsewhere;\nSET ROLE {role};\nCREATE TABLE by_role (id integer);\n"
    );
    let project = project(&[
        ("001_leaves.sql", &leaves),
        ("002_looks.sql", &format!("CREATE TABLE seen AS {SESSION};\n")),
    ]);
    let url = database.pooler_url(Pool::Single);
    let _ = up_at(&project, &url).exits(0);
    let seen = database.lines("SELECT * FROM public.seen");
    assert_eq!(seen, untouched, "the next file");
    assert_eq!(
        database.lines("SELECT pg_get_userbyid(relowner) = session_user FROM pg_class WHERE oid = 'elsewhere.by_role'::regclass"),
        ["f"],
        "the file itself had its role"
    );

    // The pool has one server connection, so this is the one that the run used.
    let mut next = postgres::Client::connect(&url, postgres::NoTls).expect("the pooler takes a session");
    let messages = next.simple_query(SESSION).expect("the session can be looked at");
    let row = messages.iter().find_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.expect("there is a row");
    let row: Vec<&str> = (0..row.len()).map(|column| row.get(column).unwrap_or("NULL")).collect();
    assert_eq!([row.join("|")].to_vec(), untouched, "the pool's next user");
}

#[test]
fn what_a_file_without_a_transaction_sets_does_not_keep_us_from_our_row() {
    let database = Postgres::fresh();
    let role = database.role("other");
    database.execute(&format!("GRANT ALL ON SCHEMA public TO {role}"));
    for (number, (first, last)) in [
        (format!("SET ROLE {role}"), "RESET ROLE"),
        (format!("SET ROLE {role}"), "SELECT 1"),
        (format!("SET SESSION AUTHORIZATION {role}"), "SELECT 1"),
        ("SET default_transaction_read_only = on".to_owned(), "SELECT 1"),
        ("SELECT pg_catalog.set_config('search_path', '', false)".to_owned(), "SELECT 1"),
        ("SET lock_timeout = 1".to_owned(), "SELECT 1"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{number:03}_sets.sql");
        let text = format!("-- no-transaction\n{first};\nSELECT 1;\n{last};\n");
        let project = project(&[(&name, &text)]);
        let table = format!("public.history_{number}");
        let run = ["up", "postgres", "--url", &database.url(), "--table", &table];
        let _ = project.run(run).exits(0);
        let state = database.lines(&format!("SELECT state, statements_done FROM {table}"));
        assert_eq!(state, ["applied|3"], "{first}");
        // What fails is recorded too.
        project.write(
            "migrations/postgres/999_fails.sql",
            format!("-- no-transaction\n{first};\nSELECT 1/0;\n"),
        );
        let _ = project.run(run).exits(5);
        let state = database.lines(&format!("SELECT state, statements_done FROM {table} WHERE position = 2"));
        assert_eq!(state, ["failed|1"], "{first}");
    }
}

#[test]
fn marks_leave_the_files_role_in_force() {
    for set in ["SET ROLE", "SET SESSION AUTHORIZATION"] {
        let database = Postgres::fresh();
        let role = database.role("other");
        database.execute(&format!("GRANT ALL ON SCHEMA public TO {role}"));
        let text =
            format!("-- no-transaction\n{set} {role};\nSELECT 1;\nCREATE TABLE by_role (id integer);\n");
        let _ = up(&project(&[("001_role.sql", &text)]), &database).exits(0);
        let owner =
            database.lines("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'by_role'");
        assert_eq!(owner, [role], "{set}");
    }
}

// What files hold

#[test]
fn notices_show_when_asked_for_and_rows_do_no_harm() {
    let text = "DO $$ BEGIN RAISE NOTICE 'seven rows moved'; END $$;\nSELECT generate_series(1, 7);\n\
                DROP TABLE IF EXISTS never_there;\n";
    let (_, quiet) = up_with(text);
    assert_eq!(quiet.exits(0).stderr, "");
    let database = Postgres::fresh();
    let loud =
        project(&[("001_file.sql", text)]).run(["up", "postgres", "-v", "--url", &database.url()]).exits(0);
    assert!(loud.stderr.contains("001_file  notice: seven rows moved\n"), "{}", loud.stderr);
    assert!(
        loud.stderr.contains("001_file  notice: table \"never_there\" does not exist, skipping\n"),
        "{}",
        loud.stderr
    );
}

#[test]
fn copied_data_arrives_as_it_is_written() {
    let text = "CREATE TABLE words (id integer, word text);\n\
                COPY words (id, word) FROM stdin;\n\
                1\tit's; -- no comment\n\
                2\t\\N\n\
                3\ttab\\there and \\\\ backslash\n\
                4\t$$ BEGIN; ROLLBACK;\n\
                5\t\\\\.\n\
                6\t\n\
                \\.\n\
                COPY words FROM STDIN WITH (FORMAT csv);\n\
                7,\"a \"\"quote\"\", and\n\
                a line\"\n\
                \\.\n\
                INSERT INTO words VALUES (8, 'after');\n";
    let (database, outcome) = up_with(text);
    let _ = outcome.exits(0);
    let expected = [
        "1|it's; -- no comment",
        "2|NULL",
        "3|tab\there and \\ backslash",
        "4|$$ BEGIN; ROLLBACK;",
        "5|\\.",
        "6|",
        "7|a \"quote\", and\na line",
        "8|after",
    ];
    assert_eq!(database.lines("SELECT id, word FROM words ORDER BY id"), expected);
}

#[test]
fn bad_data_is_rolled_back_with_everything_before_it() {
    let (database, outcome) =
        up_with("CREATE TABLE words (id integer);\nCOPY words FROM stdin;\n1\ntwo\n\\.\n");
    assert_snapshot!(outcome.redacted(), @r#"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: invalid input syntax for type integer: "two"
      --> migrations/postgres/001_file.sql:2:1
      2 | COPY words FROM stdin;
        | ^
      COPY words, line 2, column id: "two"
    state: `001_file` was rolled back
    hint: fix the file and run `whimbrel up postgres` again
    "#);
    assert_eq!(database.lines("SELECT to_regclass('words')"), ["NULL"]);
}

#[test]
fn commands_of_psql_are_skipped_where_harmless_and_refused_otherwise() {
    let (_, harmless) = up_with(
        "\\restrict abc\n\\set ON_ERROR_STOP on\n\\echo now\nCREATE TABLE a (id integer);\n\\unrestrict abc\n",
    );
    let _ = harmless.exits(0);
    let (_, refused) =
        up_with("CREATE TABLE a (id integer);\n\\connect other\nCREATE TABLE b (id integer);\n");
    assert_snapshot!(refused.redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[client-command]: `\connect other` is a command of the database's own client, not SQL
      --> migrations/postgres/001_file.sql:2:1
      2 | \connect other
        | ^
    state: nothing was run
    hint: take it out, or write it as SQL
    ");
}

#[test]
fn functions_types_and_quotes_of_every_kind_are_kept_whole() {
    let text = "CREATE TYPE mood AS ENUM ('sad', 'o''k;', 'happy');\n\
                CREATE DOMAIN year AS integer CHECK (VALUE BETWEEN 1900 AND 2100);\n\
                CREATE TABLE people (mood mood, born year, \"odd;name\" text DEFAULT E'it\\'s;');\n\
                CREATE FUNCTION greet(name text) RETURNS text LANGUAGE plpgsql AS $outer$\n\
                DECLARE said text;\nBEGIN\n  EXECUTE $inner$ SELECT 'hello; ' || $1 $inner$ INTO said USING name;\n  RETURN said; /* ; /* nested; */ */\nEND;\n$outer$;\n\
                CREATE FUNCTION twice(n integer) RETURNS integer BEGIN ATOMIC SELECT n; SELECT n * 2; END;\n\
                INSERT INTO people (mood, born) VALUES ('o''k;', 1990);\n";
    let (database, outcome) = up_with(text);
    let _ = outcome.exits(0);
    assert_eq!(database.lines("SELECT greet('Aino'), twice(4)"), ["hello; Aino|8"]);
    assert_eq!(database.lines("SELECT * FROM people"), ["o'k;|1990|it's;"]);
}

// The history table

#[test]
fn a_history_table_in_another_schema_is_refused() {
    let database = Postgres::fresh();
    let project = project(&[("001_a.sql", "CREATE TABLE a (id integer);\n")]);
    let _ = up(&project, &database).exits(0);
    // The current schema is the first of the path; the table is found in a later one.
    database.execute(&format!(
        "CREATE SCHEMA tenant; ALTER DATABASE {} SET search_path = tenant, public",
        database.name()
    ));
    assert_snapshot!(up(&project, &database).redacted(), @r"
    exit: 4
    --- stdout
    --- stderr
    error[history-elsewhere]: the history table is in schema `public`, and the current schema is `tenant`
    state: nothing was run
    hint: to use that one, `--table public.whimbrel_migrations`; to begin a new one, create it in `tenant` first
    ");
    assert_eq!(database.lines("SELECT to_regclass('tenant.whimbrel_migrations')"), ["NULL"]);
}

#[test]
fn a_search_path_without_a_schema_is_refused_before_anything_runs() {
    let database = Postgres::fresh();
    let url = format!("{}?options=-csearch_path%3Dnope", database.url());
    let outcome =
        up_at(&project(&[("001_one.sql", "CREATE TABLE public.one (id integer);\n")]), &url).exits(4);
    assert!(outcome.stderr.contains("there is no current schema"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--table SCHEMA.whimbrel_migrations"), "{}", outcome.stderr);
}

#[test]
fn the_history_table_can_have_another_name_and_schema() {
    let database = Postgres::fresh();
    database.execute("CREATE SCHEMA \"Log\"");
    let project = project(&[("001_a.sql", "CREATE TABLE a (id integer);\n")]);
    let run = |command: &str| {
        project.run([command, "postgres", "--table", "Log.applied-here", "--url", &database.url()]).exits(0)
    };
    let _ = run("up");
    assert_eq!(database.lines("SELECT migration, state FROM \"Log\".\"applied-here\""), ["001_a|applied"]);
    assert_eq!(run("up").stdout, "postgres is up to date, at 001_a\n");
    assert_eq!(database.lines("SELECT to_regclass('public.whimbrel_migrations')"), ["NULL"]);
}

#[test]
fn the_roles_of_the_web_api_cannot_see_the_history() {
    let database = Postgres::fresh();
    // Roles belong to the whole server, and another test may create them in the same moment.
    database.execute(
        "DO $$ DECLARE wanted text; BEGIN FOREACH wanted IN ARRAY ARRAY['anon', 'authenticated'] LOOP \
         BEGIN EXECUTE format('CREATE ROLE %I NOLOGIN', wanted); \
         EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END; END LOOP; END $$; \
         ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, PUBLIC",
    );
    let project = project(&[("001_a.sql", "CREATE TABLE a (id integer);\n")]);
    let _ = up(&project, &database).exits(0);
    let may = |table: &str| {
        database.lines(&format!(
            "SELECT has_table_privilege('anon', '{table}', 'SELECT'), \
             has_table_privilege('authenticated', '{table}', 'SELECT, INSERT, UPDATE, DELETE')"
        ))
    };
    assert_eq!(may("a"), ["t|t"], "the default grants are there");
    assert_eq!(may("whimbrel_migrations"), ["f|f"]);
}

/// The columns of the history, as somebody writes them who wants the table to be their own.
const OWN_TABLE: &str = "-- Our own table, with a remark.\n\
    CREATE TABLE whimbrel_migrations (\n  position bigint PRIMARY KEY,\n  previous bigint REFERENCES whimbrel_migrations (position),\n  \
    migration text NOT NULL, attempt bigint NOT NULL, direction text NOT NULL, state text NOT NULL,\n  checksum text, \
    statements_done bigint NOT NULL, statements_total bigint NOT NULL, statement_checksums text, lease_until timestamptz,\n  \
    started_at timestamptz NOT NULL, finished_at timestamptz, duration_ms bigint, down_script text,\n  \
    applied_by text NOT NULL, team text DEFAULT 'birds'\n);\n\
    COMMENT ON TABLE whimbrel_migrations IS 'ours';\n";

#[test]
fn a_file_of_the_users_own_creates_the_history_table() {
    let database = Postgres::fresh();
    let project =
        project(&[("000_migrations_table.sql", OWN_TABLE), ("001_a.sql", "CREATE TABLE a (id integer);\n")]);
    let _ = up(&project, &database).exits(0);
    assert_eq!(database.lines("SELECT migration, team FROM whimbrel_migrations"), ["001_a|birds"]);
    assert_eq!(up(&project, &database).exits(0).stdout, "postgres is up to date, at 001_a\n");
}

#[test]
fn a_table_of_the_users_own_without_our_columns_is_rolled_back() {
    let database = Postgres::fresh();
    let own = "CREATE TABLE whimbrel_migrations (version text PRIMARY KEY);\n";
    let project =
        project(&[("000_migrations_table.sql", own), ("001_a.sql", "CREATE TABLE a (id integer);\n")]);
    assert_snapshot!(up(&project, &database).redacted(), @r#"
    exit: 4
    --- stdout
    --- stderr
    error[history-unreadable]: cannot create the history table `public.whimbrel_migrations`
      --> migrations/postgres/000_migrations_table.sql
      caused by: column "position" does not exist
    state: nothing was run
    hint: the table that this file creates must have the name and columns of the history
    "#);
    assert_eq!(database.lines("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), ["0"]);
}

// The way to the server

fn status(url: &str) -> Outcome {
    project(&[("001_a.sql", "CREATE TABLE a (id integer);\n")]).run(["status", "postgres", "--url", url])
}

#[test]
fn every_form_of_url_reaches_the_server() {
    let database = Postgres::fresh();
    let server = &servers().postgres;
    let (user, password, port, name) = (&server.user, &server.password, server.port, database.name());
    let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let socket = server.socket.as_deref().expect("there is a socket").display();
    let urls = [
        database.url(),
        database.url_tls(),
        database.url_socket(),
        database.url().replacen("postgres://", "postgresql://", 1),
        format!("postgres://{user}:{encoded}@127.0.0.1:{port}/{name}"),
        format!("postgres:///{name}?host=127.0.0.1&port={port}&user={user}&password={password}"),
        format!("postgres:///{name}?host={socket}&port={port}&user={user}&password={password}"),
        format!("{}?sslmode=disable&application_name=me&options=-c%20search_path%3Dpublic", database.url()),
        format!("{}?sslmode=require", database.url()),
        format!("{}?connect_timeout=5", database.url()),
    ];
    for url in urls {
        let outcome = status(&url).exits(0);
        assert!(outcome.stdout.contains("1 pending"), "{url}: {}", outcome.stdout);
    }
}

#[test]
fn a_wrong_password_is_refused_and_never_shown() {
    let database = Postgres::fresh();
    let outcome = status(&database.url_as("owner", "hunter2-wrong"));
    assert!(!outcome.mentions("hunter2"), "{}", outcome.redacted());
    assert_snapshot!(outcome.redacted(), @r#"
    exit: 8
    --- stdout
    --- stderr
    error[authentication]: postgres://owner:****@127.0.0.1:[PORT]/[DATABASE] refuses this user or password
      caused by: password authentication failed for user "owner"
    hint: the url comes from `--url` (command line)
    "#);
}

#[test]
fn a_server_that_is_down_is_said_to_be_out_of_reach() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = free.local_addr().expect("it has an address").port();
    drop(free);
    let outcome = status(&format!("postgres://owner:hunter2@127.0.0.1:{port}/birds"));
    assert!(!outcome.mentions("hunter2"), "{}", outcome.redacted());
    assert_snapshot!(outcome.redacted(), @r"
    exit: 8
    --- stdout
    --- stderr
    error[connection]: cannot reach postgres://owner:****@127.0.0.1:[PORT]/birds
      caused by: Connection refused (os error 111)
    hint: is the server up? the url comes from `--url` (command line)
    ");
}

#[test]
fn a_database_that_is_missing_is_named() {
    let database = Postgres::fresh();
    let outcome = status(&database.url().replace(database.name(), "no_such_place"));
    assert_snapshot!(outcome.redacted(), @r#"
    exit: 8
    --- stdout
    --- stderr
    error[connection]: cannot reach postgres://owner:****@127.0.0.1:[PORT]/no_such_place
      caused by: database "no_such_place" does not exist
    hint: the url comes from `--url` (command line)
    "#);
}

#[test]
fn a_certificate_that_cannot_be_verified_is_refused() {
    let database = Postgres::fresh();
    let other = servers().other_authority.display();
    let outcome = status(&format!("{}?sslmode=verify-full&sslrootcert={other}", database.url()));
    assert_snapshot!(outcome.redacted(), @r"
    exit: 8
    --- stdout
    --- stderr
    error[connection]: cannot reach postgres://owner:****@127.0.0.1:[PORT]/[DATABASE]?sslmode=verify-full&sslrootcert=[servers]/other-authority.pem
      caused by: invalid peer certificate: UnknownIssuer
    hint: name the authority that signed the server's certificate in the url: `sslrootcert=FILE`; the url comes from `--url` (command line)
    ");
}

#[test]
fn a_certificate_for_another_host_is_refused_by_verify_full_alone() {
    let database = Postgres::fresh();
    let proxy =
        Proxy::start_on("127.0.0.2".parse().expect("an address"), database.address(), Protocol::Opaque);
    let authority = servers().authority.display();
    let url = |mode: &str| format!("{}?sslmode={mode}&sslrootcert={authority}", proxy.url(&database));
    let _ = status(&url("verify-ca")).exits(0);
    let _ = status(&url("verify-full")).exits(8);
}

#[test]
fn a_setting_without_tls_is_refused_where_tls_is_required() {
    let database = Postgres::fresh();
    let server = &servers().postgres;
    let url = database.url_as(&server.tls_only_user, &server.password);
    let _ = status(&format!("{url}?sslmode=require")).exits(0);
    let _ = status(&format!("{url}?sslmode=disable")).exits(8);
}

#[test]
fn a_pooled_url_of_supabase_passes_the_check_of_the_url() {
    // The host does not exist, so it is the name that cannot be found and not the url that is refused.
    let outcome =
        status("postgresql://postgres.abcdefgh:secret@aws-0.pooler.supabase.invalid:6543/postgres").exits(8);
    assert!(outcome.stderr.starts_with("error[connection]"), "{}", outcome.stderr);
}

// Limits

#[test]
fn a_lock_that_is_held_too_long_ends_the_migration() {
    let database = Postgres::fresh();
    let project = project(&[("001_a.sql", "CREATE TABLE a (id integer);\n")]);
    let _ = up(&project, &database).exits(0);
    project.write("migrations/postgres/002_b.sql", "ALTER TABLE a ADD COLUMN name text;\n");
    let mut holder = database.client();
    holder.batch_execute("BEGIN; LOCK TABLE a IN ACCESS SHARE MODE").expect("nobody else holds the table");
    let outcome = project.run(["up", "postgres", "--lock-timeout", "50ms", "--url", &database.url()]);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: canceling statement due to lock timeout
      --> migrations/postgres/002_b.sql:1:1
      1 | ALTER TABLE a ADD COLUMN name text;
        | ^
    state: `002_b` was rolled back
    hint: somebody holds a lock; run `whimbrel up postgres` again, or allow more with `--lock-timeout`
    ");
    drop(holder);
    let _ = up(&project, &database).exits(0);
}

#[test]
fn a_statement_that_takes_too_long_ends_the_migration() {
    let database = Postgres::fresh();
    let project = project(&[("001_slow.sql", "SELECT 1;\nSELECT pg_sleep(60);\n")]);
    let outcome = project.run(["up", "postgres", "--statement-timeout", "50ms", "--url", &database.url()]);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 1
    --- stdout
    --- stderr
    error[statement]: canceling statement due to statement timeout
      --> migrations/postgres/001_slow.sql:2:1
      2 | SELECT pg_sleep(60);
        | ^
    state: `001_slow` was rolled back
    hint: allow more with `--statement-timeout`, then `whimbrel up postgres`
    ");
}
