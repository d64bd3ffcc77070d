//! How often the binary waits for the server, counted on the wire after the login.
//!
//! One turn reads, one turn runs a migration. Whoever adds a question to the server finds it here.

use std::time::Duration;

use mysql::prelude::Queryable;
use postgres::Client;
use rstest::rstest;
use whimbrel_tests::Product::{MariaDb, MySql};
use whimbrel_tests::{
    Database, Engine, Message, MySqlDatabase, Networked, Outcome, Pool, Postgres, Product, Project, Protocol,
    Proxy, Running, until,
};

/// Returns a project with so many migrations, each one statement of DDL.
fn tables(folder: &str, count: u32) -> Project {
    let project = Project::new();
    add_tables(&project, folder, 1, count);
    project
}

fn add_tables(project: &Project, folder: &str, first: u32, last: u32) {
    for number in first..=last {
        let path = |direction| format!("migrations/{folder}/{number:03}_table.{direction}.sql");
        project.write(&path("up"), format!("CREATE TABLE made_{number} (id integer PRIMARY KEY);\n"));
        project.write(&path("down"), format!("DROP TABLE made_{number};\n"));
    }
}

/// Returns the connections and turns of one run.
#[track_caller]
fn counted(project: &Project, proxy: &Proxy, url: &str, arguments: &[&str], exit: i32) -> (u32, u32) {
    proxy.forget();
    let arguments = arguments.iter().copied().chain(["--url", url]);
    let _ = project.run(arguments).exits(exit);
    (proxy.connections(), proxy.turns())
}

/// Fails when a client has sent anything that changes data or tables.
#[track_caller]
fn nothing_was_written(proxy: &Proxy) {
    let sent = proxy.client_text().to_uppercase();
    assert!(sent.contains("SELECT"), "nothing was recorded");
    let words = sent.split(|letter: char| !letter.is_ascii_alphabetic() && letter != '_');
    let writing = ["INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "LOCK", "BEGIN", "GRANT"];
    let found: Vec<&str> = words.filter(|word| writing.contains(word)).collect();
    assert!(found.is_empty(), "{found:?} in:\n{sent}");
}

#[rstest]
fn nothing_pending_is_one_turn_on_one_connection_and_writes_nothing(
    #[values(Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
) {
    let (folder, database) = (engine.adapter(), engine.fresh());
    let project = tables(folder, 2);
    let _ = project.run(["up", folder, "--url", &database.url()]).exits(0);
    let proxy = Proxy::before(database.as_ref());
    let url = proxy.plain_url(database.as_ref());
    assert_eq!(counted(&project, &proxy, &url, &["up", folder], 0), (1, 1), "{folder}");
    nothing_was_written(&proxy);
}

#[rstest]
fn looking_at_a_database_is_one_turn_and_writes_nothing(
    #[values(Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
) {
    let (folder, database) = (engine.adapter(), engine.fresh());
    let project = tables(folder, 2);
    let proxy = Proxy::before(database.as_ref());
    let url = proxy.plain_url(database.as_ref());
    let looks = |applied: &str| {
        for command in ["status", "verify", "plan", "history"] {
            let turns = counted(&project, &proxy, &url, &[command, folder], 0);
            assert_eq!(turns, (1, 1), "{command} {folder}, {applied}");
            nothing_was_written(&proxy);
        }
        let turns = counted(&project, &proxy, &url, &["up", folder, "--dry-run"], 0);
        assert_eq!(turns, (1, 1), "up --dry-run {folder}, {applied}");
        nothing_was_written(&proxy);
    };
    looks("with no history table");
    let _ = project.run(["up", folder, "--url", &url]).exits(0);
    looks("with everything applied");
}

/// A pooler costs no turns: nothing is prepared, nothing is asked twice.
#[rstest]
fn behind_a_pooler_it_is_the_same(#[values(Pool::Transaction, Pool::Single, Pool::Session)] pool: Pool) {
    let (database, project) = (Postgres::fresh(), tables("postgres", 3));
    let proxy = Proxy::start(pool.address(), database.protocol());
    let url = proxy.plain_url(&database);
    let up =
        |flags: &[&str], exit| counted(&project, &proxy, &url, &[&["up", "postgres"], flags].concat(), exit);
    assert_eq!(up(&[], 0), (1, 2 + 3), "fresh");
    assert_eq!(up(&[], 0), (1, 1), "nothing pending");
    add_tables(&project, "postgres", 4, 9);
    assert_eq!(up(&["--batch"], 0), (1, 1 + 1), "six at once");
    add_tables(&project, "postgres", 10, 12);
    project.write("migrations/postgres/011_table.up.sql", "CREATE TABLE made_1 (id integer);\n");
    assert_eq!(up(&[], 1), (1, 1 + 2 + 1), "a failure");
}

/// Sent at once, migrations that cannot be rolled back cost no more turns than others.
#[rstest]
fn at_once_six_migrations_are_one_turn(
    #[values(Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
) {
    let (folder, database) = (engine.adapter(), engine.fresh());
    let project = tables(folder, 6);
    let proxy = Proxy::before(database.as_ref());
    let url = proxy.plain_url(database.as_ref());
    assert_eq!(counted(&project, &proxy, &url, &["up", folder, "--batch"], 0), (1, 2 + 1), "{folder}");
}

/// The history comes down in no more bytes than the id and 40 for each row.
#[rstest]
fn a_row_of_the_history_is_few_bytes(
    #[values(Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
) {
    let (folder, database) = (engine.adapter(), engine.fresh());
    let project = tables(folder, 20);
    let proxy = Proxy::before(database.as_ref());
    let url = proxy.plain_url(database.as_ref());
    let down = || {
        let _ = project.run(["up", folder, "--batch", "--url", &url]).exits(0);
        assert_eq!(counted(&project, &proxy, &url, &["up", folder], 0), (1, 1), "{folder}");
        proxy.server_bytes()
    };
    let with_20 = down();
    add_tables(&project, folder, 21, 220);
    let for_each = (down() - with_20).div_ceil(200) as usize;
    assert!(for_each <= "021_table".len() + 40, "{folder}: {for_each} bytes");
}

#[test]
fn a_role_that_may_only_select_finds_nothing_to_do_on_postgres() {
    let database = Postgres::fresh();
    let project = tables("postgres", 2);
    let _ = project.run(["up", "postgres", "--url", &database.url()]).exits(0);
    let reader = database.role("reader");
    database.execute(&format!("GRANT SELECT ON whimbrel_migrations TO {reader}"));
    let url = database.url_as(&reader, &whimbrel_tests::servers().postgres.password);
    only_reads(&project, "postgres", &url);
}

#[rstest]
fn a_user_who_may_only_select_finds_nothing_to_do_on_mysql(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let project = tables("mysql", 2);
    let _ = project.run(["up", "mysql", "--url", &database.url()]).exits(0);
    let reader = database.user("reader");
    database.execute(&format!("GRANT SELECT ON {}.whimbrel_migrations TO {reader}@'%'", database.name()));
    let url = database.url_as(&reader, &server.server().password);
    only_reads(&project, "mysql", &url);
}

#[track_caller]
fn only_reads(project: &Project, folder: &str, url: &str) {
    let outcome = project.run(["up", folder, "--url", url]).exits(0);
    assert_eq!(outcome.stdout, format!("{folder} is up to date, at 002_table\n"));
    for command in ["status", "verify", "plan", "history"] {
        let _ = project.run([command, folder, "--url", url]).exits(0);
    }
}

#[rstest]
fn each_pending_migration_is_one_turn_more(
    #[values(Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
) {
    let (folder, database) = (engine.adapter(), engine.fresh());
    let project = tables(folder, 1);
    let proxy = Proxy::before(database.as_ref());
    let url = proxy.plain_url(database.as_ref());
    assert_eq!(counted(&project, &proxy, &url, &["up", folder], 0), (1, 2 + 1), "{folder}, fresh");
    add_tables(&project, folder, 2, 5);
    assert_eq!(counted(&project, &proxy, &url, &["up", folder], 0), (1, 1 + 4), "{folder}, four more");
    let down = ["down", folder, "--steps", "3"];
    assert_eq!(counted(&project, &proxy, &url, &down, 0), (1, 1 + 3), "{folder}, down");
}

#[rstest]
fn a_failing_migration_is_one_turn_more(
    #[values(Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
) {
    let (folder, database) = (engine.adapter(), engine.fresh());
    let project = tables(folder, 2);
    // Data and no DDL, so that it fails in a transaction on both.
    project.write(
        &format!("migrations/{folder}/003_fails.sql"),
        "INSERT INTO made_1 (id) VALUES (1);\nINSERT INTO made_1 (id) VALUES (1);\n",
    );
    add_tables(&project, folder, 4, 5);
    let proxy = Proxy::before(database.as_ref());
    let url = proxy.plain_url(database.as_ref());
    let turns = counted(&project, &proxy, &url, &["up", folder], 1);
    assert_eq!(turns, (1, 2 + 3 + 1), "{folder}:\n{}", proxy.client_text());
}

#[rstest]
fn a_stepwise_migration_that_fails_is_one_turn_more(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let project = tables("mysql", 1);
    project.write(
        "migrations/mysql/002_fails.sql",
        "CREATE TABLE a (id integer);\nCREATE TABLE a (id integer);\nCREATE TABLE b (id integer);\n",
    );
    let proxy = Proxy::before(&database);
    let url = proxy.plain_url(&database);
    let turns = counted(&project, &proxy, &url, &["up", "mysql"], 5);
    assert_eq!(turns, (1, 2 + 2 + 1), "{}", proxy.client_text());
}

/// Both runs have read the same history when the test lets go of the table, so one of them loses its position.
#[test]
fn a_lost_fence_is_one_turn_more_on_postgres() {
    let database = Postgres::fresh();
    let project = tables("postgres", 1);
    let _ = project.run(["up", "postgres", "--url", &database.url()]).exits(0);
    add_tables(&project, "postgres", 2, 2);
    let proxy = Proxy::before(&database);
    let url = proxy.plain_url(&database);

    let mut holder = database.client();
    holder
        .batch_execute("BEGIN; LOCK TABLE whimbrel_migrations IN SHARE MODE")
        .expect("nobody else holds the table");
    let runs = [(); 2].map(|()| project.spawn(["up", "postgres", "--url", &url]));
    wait_until_blocked(&mut database.client(), 2);
    holder.batch_execute("COMMIT").expect("the lock is released");

    for run in runs {
        let _ = run.wait().exits(0);
    }
    // Each reads and runs; one of them is told that its position is taken, and reads again.
    assert_eq!((proxy.connections(), proxy.turns()), (2, 2 + 2 + 1), "{}", proxy.client_text());
    assert_eq!(
        database.lines("SELECT migration FROM whimbrel_migrations ORDER BY position"),
        ["001_table", "002_table"]
    );
}

fn wait_until_blocked(client: &mut Client, count: i64) {
    let waiting = "SELECT count(*) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database \
                   WHERE NOT l.granted AND d.datname = current_database()";
    let mut blocked = || client.query_one(waiting, &[]).expect("the catalog can be read").get::<_, i64>(0);
    until("the runs wait", || blocked() >= count);
}

#[rstest]
fn a_lost_fence_is_one_turn_more_on_mysql(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let project = tables("mysql", 1);
    let _ = project.run(["up", "mysql", "--url", &database.url()]).exits(0);
    project.write("migrations/mysql/002_row.sql", "INSERT INTO made_1 (id) VALUES (1);\n");
    let proxy = Proxy::before(&database);
    let url = proxy.plain_url(&database);

    for outcome in two_at_once_on_mysql(&database, &project, &url) {
        let _ = outcome.exits(0);
    }
    assert_eq!((proxy.connections(), proxy.turns()), (2, 2 + 2 + 1), "{}", proxy.client_text());
    assert_eq!(
        database.lines("SELECT migration FROM whimbrel_migrations ORDER BY position"),
        ["001_table", "002_row"]
    );
}

#[rstest]
fn a_stepwise_migration_is_one_packet_with_its_marks(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let project = tables("mysql", 1);
    let _ = project.run(["up", "mysql", "--url", &database.url()]).exits(0);
    project.write(
        "migrations/mysql/002_two.sql",
        "CREATE TABLE first (id integer);\nCREATE TABLE second (id integer);\n",
    );
    let proxy = Proxy::before(&database);
    let url = proxy.plain_url(&database);
    assert_eq!(counted(&project, &proxy, &url, &["up", "mysql"], 0), (1, 2));

    let messages = proxy.messages();
    let packets: Vec<&Message> =
        messages.iter().filter(|message| message.text.contains("CREATE TABLE")).collect();
    let [packet] = packets.as_slice() else { panic!("{} packets:\n{}", packets.len(), proxy.client_text()) };
    let expected = [
        "INSERT INTO",
        "CREATE TABLE first",
        "statements_done = 1",
        "CREATE TABLE second",
        "statements_done = 2",
        "state = 'applied'",
    ];
    let found: Vec<Option<usize>> = expected.iter().map(|text| packet.text.find(text)).collect();
    assert!(
        found.iter().all(Option::is_some) && found.is_sorted(),
        "{found:?} of {expected:?} in:\n{}",
        packet.text
    );
}

#[test]
fn a_transactional_migration_is_one_message_on_postgres() {
    let database = Postgres::fresh();
    let project = tables("postgres", 1);
    let _ = project.run(["up", "postgres", "--url", &database.url()]).exits(0);
    add_tables(&project, "postgres", 2, 2);
    let proxy = Proxy::before(&database);
    let url = proxy.plain_url(&database);
    assert_eq!(counted(&project, &proxy, &url, &["up", "postgres"], 0), (1, 2));

    let messages = proxy.messages();
    // The farewell is a message without a text.
    let of_turn: Vec<&Message> =
        messages.iter().filter(|message| message.turn == 2 && !message.text.is_empty()).collect();
    let [message] = of_turn.as_slice() else {
        panic!("{} messages:\n{}", of_turn.len(), proxy.client_text())
    };
    let expected = ["BEGIN", "INSERT INTO", "CREATE TABLE made_2", "RESET ROLE", "UPDATE", ";\nCOMMIT"];
    let found: Vec<Option<usize>> = expected.iter().map(|text| message.text.find(text)).collect();
    assert!(
        found.iter().all(Option::is_some) && found.is_sorted(),
        "{found:?} of {expected:?} in:\n{}",
        message.text
    );
}

/// How often the other run is looked at afterwards depends on how long it takes; what must not cost a turn is to put
/// the session in order.
#[rstest]
fn a_lost_fence_before_a_stepwise_migration_is_cleared_with_the_next_read(
    #[values(MariaDb, MySql)] server: Product,
) {
    let database = server.fresh();
    let project = tables("mysql", 1);
    let _ = project.run(["up", "mysql", "--url", &database.url()]).exits(0);
    add_tables(&project, "mysql", 2, 2);
    let proxy = Proxy::before(&database);
    let url = proxy.plain_url(&database);
    for outcome in two_at_once_on_mysql(&database, &project, &url) {
        let _ = outcome.exits(0);
    }
    let messages = proxy.messages();
    let clearing: Vec<&Message> =
        messages.iter().filter(|message| message.text.starts_with("ROLLBACK")).collect();
    let [clearing] = clearing.as_slice() else { panic!("one fence was lost:\n{}", proxy.client_text()) };
    assert!(
        clearing.text.contains("RELEASE_ALL_LOCKS") && clearing.text.contains("position, migration, attempt"),
        "{}",
        clearing.text
    );
}

/// Runs `up` twice. Both have read the same history when the test lets go of the table.
fn two_at_once_on_mysql(database: &MySqlDatabase, project: &Project, url: &str) -> [Outcome; 2] {
    let mut holder = database.client();
    holder.query_drop("LOCK TABLES whimbrel_migrations READ").expect("nobody else holds the table");
    let runs = [(); 2].map(|()| project.spawn(["up", "mysql", "--url", url]));
    let waiting = format!(
        "SELECT COUNT(*) FROM information_schema.processlist \
         WHERE db = '{}' AND state LIKE 'Waiting for table%'",
        database.name()
    );
    until("both runs wait", || database.lines(&waiting) == ["2"]);
    holder.query_drop("UNLOCK TABLES").expect("the lock is released");
    runs.map(Running::wait)
}

/// A login takes as many turns as the protocol asks for: the server's version of TLS is the one that is offered first, and
/// no driver asks for anything by itself.
#[rstest]
#[case::postgres(Engine::Postgres, "sslmode=disable", 1 + 2)]
#[case::postgres_tls(Engine::Postgres, "sslmode=require", 2 + 1 + 2)]
#[case::mariadb(Engine::MariaDb, "ssl-mode=DISABLED", 1)]
#[case::mariadb_tls(Engine::MariaDb, "ssl-mode=REQUIRED", 1 + 1)]
#[case::mysql_tls(Engine::MySql, "ssl-mode=REQUIRED", 1 + 1 + 1)]
fn a_login_is_no_longer_than_its_protocol(
    #[case] engine: Engine,
    #[case] parameter: &str,
    #[case] login: u32,
) {
    let (folder, database) = (engine.adapter(), engine.fresh());
    let project = tables(folder, 2);
    let up = |url: &str| project.run(["up", folder, "--url", &format!("{url}?{parameter}")]).exits(0);
    let _ = up(&database.url());
    let proxy = Proxy::start(database.address(), Protocol::Opaque);
    // What the client sends without a wait is on its way before an answer could be back.
    proxy.delay(Duration::from_millis(60));
    let _ = up(&database.url_at(proxy.address()));
    let (history, goodbye) = (1, 1);
    assert_eq!((proxy.connections(), proxy.turns()), (1, login + history + goodbye));
}

/// To know the engine of every table is dear, and only matters to what is pending.
#[rstest]
fn tables_without_transactions_are_known_in_the_first_turn_where_something_is_pending(
    #[values(Engine::MariaDb, Engine::MySql)] engine: Engine,
) {
    let (folder, database) = (engine.adapter(), engine.fresh());
    let project = Project::new();
    let pending = |number: u32| {
        let script = format!("INSERT INTO old VALUES ({number});\nINSERT INTO nowhere VALUES (1);\n");
        project.write(&format!("migrations/{folder}/{number:03}_data.up.sql"), script);
    };
    add_tables(&project, folder, 1, 2);
    let proxy = Proxy::before(database.as_ref());
    let url = proxy.plain_url(database.as_ref());
    let run = |words: &[&str], exit| counted(&project, &proxy, &url, &[words, &[folder]].concat(), exit);
    let halfway = "SELECT count(*) FROM whimbrel_migrations WHERE state = 'failed' AND statements_done = 1";

    database.execute("CREATE TABLE old (id integer) ENGINE = MyISAM");
    assert_eq!(run(&["up"], 0), (1, 2 + 2), "no history yet");
    pending(3);
    assert_eq!(run(&["up"], 5), (1, 1 + 1 + 1), "one is pending, and fails");
    assert_eq!(database.lines(halfway), ["1"], "it ran statement by statement");
    project
        .write(&format!("migrations/{folder}/003_data.up.sql"), "INSERT INTO old VALUES (3);\nSELECT 1;\n");
    assert_eq!(run(&["up"], 0), (1, 1 + 1 + 1), "its checksums, and the rest of it");

    assert_eq!(run(&["redo"], 4).0, 1, "it has no down script");
    project.write(&format!("migrations/{folder}/003_data.down.sql"), "DELETE FROM old WHERE id = 3;\n");
    assert!(run(&["redo"], 0).0 == 1, "one more row says `applied`");
    pending(4);
    assert_eq!(run(&["up"], 5), (1, 1 + 1 + 1 + 1), "the history has misled, and one more turn asks");
    assert_eq!(database.lines(halfway), ["2"], "it ran statement by statement");
}
