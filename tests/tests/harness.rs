//! The harness itself: what the other suites rely on holds.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder};
use postgres::{Client, NoTls};
use rstest::rstest;
use whimbrel_tests::Product::{MariaDb, MySql};
use whimbrel_tests::{
    Database, Engine, Fault, Loss, Networked, Pool, Postgres, Product, Project, Protocol, Proxy, Sqlite,
    servers, until,
};

fn client_of(url: &str) -> Client {
    Client::connect(url, NoTls).expect("the server takes the client")
}

/// Connects without leaving 127.0.0.1, and without asking the server for anything by itself.
fn connection_to(url: &str) -> Result<Conn, mysql::Error> {
    let options = OptsBuilder::from_opts(Opts::from_url(url).expect("the harness makes valid urls"));
    Conn::new(options.prefer_socket(false).max_allowed_packet(Some(16 << 20)))
}

/// Runs psql, whose exit says whether the connection came about.
fn psql(url: &str) -> Result<String, String> {
    let output = Command::new(&servers().programs.psql)
        .args(["--no-psqlrc", "-At", "-c", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", url])
        .output()
        .expect("xtask has found the client");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Runs the server's own client with TLS verified by an authority, or without TLS.
fn client(product: Product, user: &str, options: &[&str]) -> Result<String, String> {
    let programs = &servers().programs;
    let server = product.server();
    let output = Command::new(product.either(&programs.mariadb, &programs.mysql))
        .env("MYSQL_PWD", &server.password)
        .args(["--no-defaults", "-h", "127.0.0.1", "-P", &server.port.to_string(), "-u", user])
        .args(options)
        .args(["-N", "-e", "SHOW STATUS LIKE 'Ssl_version'"])
        .output()
        .expect("xtask has found the client");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn postgres_asks_for_the_password_and_offers_verified_tls() {
    let database = Postgres::fresh();
    assert_eq!(psql(&database.url_tls()), Ok("t".to_owned()));
    assert_eq!(psql(&format!("{}?sslmode=disable", database.url())), Ok("f".to_owned()));

    let wrong = psql(&database.url_as("owner", "wrong")).unwrap_err();
    assert!(wrong.contains("password authentication failed"), "{wrong}");
    let plain = format!("{}?sslmode=disable", database.url_as("tls_only", &servers().postgres.password));
    let plain = psql(&plain).unwrap_err();
    assert!(plain.contains("no encryption"), "{plain}");
    let other = servers().other_authority.display();
    let other = psql(&format!("{}?sslmode=verify-ca&sslrootcert={other}", database.url())).unwrap_err();
    assert!(other.contains("certificate verify failed"), "{other}");
}

#[test]
fn an_address_outside_the_certificate_is_told_apart() {
    let database = Postgres::fresh();
    let address = Ipv4Addr::new(127, 0, 0, 2).into();
    let proxy = Proxy::start_on(address, database.address(), Protocol::Opaque);
    let authority = servers().authority.display();
    let url = |mode: &str| format!("{}?sslmode={mode}&sslrootcert={authority}", proxy.url(&database));
    assert_eq!(psql(&url("verify-ca")), Ok("t".to_owned()));
    let refused = psql(&url("verify-full")).unwrap_err();
    assert!(refused.contains("127.0.0.2"), "{refused}");
    assert_eq!(proxy.connections(), 2);
}

#[rstest]
fn mysql_asks_for_the_password_and_offers_verified_tls(#[values(MariaDb, MySql)] server: Product) {
    let authority = format!("--ssl-ca={}", servers().authority.display());
    let verified = server.either("--ssl-verify-server-cert", "--ssl-mode=VERIFY_IDENTITY");
    // Without TLS the password of MySQL travels under a key of the server's.
    let in_the_clear: &[&str] =
        server.either(&["--skip-ssl"], &["--ssl-mode=DISABLED", "--get-server-public-key"]);
    let encrypted = client(server, "owner", &[&authority, verified]).unwrap();
    assert!(encrypted.contains("TLSv1."), "{encrypted}");
    let plain = client(server, "owner", in_the_clear).unwrap();
    assert_eq!(plain, "Ssl_version");
    assert!(client(server, "tls_only", in_the_clear).unwrap_err().contains("Access denied"));
    assert!(client(server, "tls_only", &[&authority]).unwrap().contains("TLSv1."));
    let other = format!("--ssl-ca={}", servers().other_authority.display());
    let refused = client(server, "owner", &[&other, verified]).unwrap_err();
    assert!(refused.contains(server.either("TLS/SSL error", "certificate verify failed")), "{refused}");
    let wrong = connection_to(&server.fresh().url_as("owner", "wrong")).unwrap_err();
    assert!(wrong.to_string().contains("Access denied"), "{wrong}");
}

#[test]
fn every_pooler_reaches_the_database_with_a_role_of_the_test() {
    let database = Postgres::fresh();
    let role = database.role("reader");
    for pool in [Pool::Transaction, Pool::Single, Pool::Session] {
        let url = database.pooler_url(pool).replace("owner:", &format!("{role}:"));
        let row =
            client_of(&url).query_one("SELECT current_user::text, current_database()::text", &[]).unwrap();
        let found: (String, String) = (row.get(0), row.get(1));
        assert_eq!(found, (role.clone(), database.name().to_owned()), "{pool:?}");
    }
}

#[test]
fn a_pool_of_one_gives_two_clients_the_same_session() {
    let database = Postgres::fresh();
    let pid = |client: &mut Client| match client.simple_query("SELECT pg_backend_pid()").unwrap().remove(1) {
        postgres::SimpleQueryMessage::Row(row) => row.get(0).unwrap().to_owned(),
        other => panic!("no row: {other:?}"),
    };
    let mut clients = [Pool::Single, Pool::Single].map(|pool| client_of(&database.pooler_url(pool)));
    let [first, second] = &mut clients;
    assert_eq!(pid(first), pid(second));
    let mut direct = [database.client(), database.client()];
    let [first, second] = &mut direct;
    assert_ne!(pid(first), pid(second));
}

#[test]
fn a_fresh_database_is_empty_and_gone_in_the_end() {
    let schemata = "SELECT count(*) FROM information_schema.schemata WHERE schema_name = ";
    let databases: [(Box<dyn Database>, &str); 3] = [
        (Box::new(Postgres::fresh()), "SELECT count(*) FROM pg_database WHERE datname = "),
        (Box::new(MariaDb.fresh()), schemata),
        (Box::new(MySql.fresh()), schemata),
    ];
    for (database, count) in databases {
        database.execute("CREATE TABLE birds (id INTEGER PRIMARY KEY, name VARCHAR(20))");
        database.execute("INSERT INTO birds VALUES (1, 'whimbrel'), (2, NULL)");
        assert_eq!(database.lines("SELECT * FROM birds ORDER BY id"), ["1|whimbrel", "2|NULL"]);
        let engine = database.engine();
        let name = database.url().rsplit('/').next().unwrap().to_owned();
        drop(database);
        let other: Box<dyn Database> = match engine {
            Engine::Postgres => Box::new(Postgres::fresh()),
            Engine::MySql => Box::new(MySql.fresh()),
            _ => Box::new(MariaDb.fresh()),
        };
        assert_eq!(other.lines(&format!("{count}'{name}'")), ["0"], "{engine:?}");
    }
}

#[test]
fn a_role_is_gone_with_its_database() {
    let database = Postgres::fresh();
    let role = database.role("reader");
    database.execute(&format!("CREATE TABLE birds (id int); GRANT SELECT ON birds TO {role}"));
    let url = database.url_as(&role, &servers().postgres.password);
    let refused = client_of(&url).batch_execute("INSERT INTO birds VALUES (1)").unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "42501");
    drop(database);
    assert_eq!(
        Postgres::fresh().lines(&format!("SELECT count(*) FROM pg_roles WHERE rolname = '{role}'")),
        ["0"]
    );
}

#[test]
fn the_error_of_a_later_statement_is_an_error() {
    let databases: [Box<dyn Database>; 4] = [
        Box::new(Sqlite::fresh()),
        Box::new(Postgres::fresh()),
        Box::new(MariaDb.fresh()),
        Box::new(MySql.fresh()),
    ];
    for database in databases {
        let error = database.try_query("SELECT 1; SELECT * FROM nowhere").unwrap_err();
        assert!(error.contains("nowhere"), "{:?}: {error}", database.engine());
        assert_eq!(database.lines("SELECT 1; SELECT NULL"), ["1", "NULL"]);
    }
}

#[test]
fn dumps_differ_only_with_the_schema() {
    let sqlite = [Sqlite::fresh(), Sqlite::fresh()].map(|database| Box::new(database) as Box<dyn Database>);
    let postgres =
        [Postgres::fresh(), Postgres::fresh()].map(|database| Box::new(database) as Box<dyn Database>);
    let [mariadb, mysql] = [MariaDb, MySql].map(|server| {
        [server.fresh(), server.fresh()].map(|database| Box::new(database) as Box<dyn Database>)
    });
    for [one, other] in [sqlite, postgres, mariadb, mysql] {
        one.execute("CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER)");
        other.execute("CREATE TABLE b (id INTEGER); CREATE TABLE a (id INTEGER PRIMARY KEY)");
        other.execute("INSERT INTO a VALUES (7)");
        assert_eq!(one.dump(), other.dump());
        assert!(one.dump().contains("CREATE TABLE"), "{}", one.dump());
        other.execute("CREATE INDEX i ON b (id)");
        assert_ne!(one.dump(), other.dump());
    }
}

#[test]
fn one_simple_query_is_one_turn() {
    let database = Postgres::fresh();
    let proxy = Proxy::before(&database);
    for queries in [1, 5] {
        proxy.forget();
        let mut client = client_of(&proxy.url(&database));
        for number in 0..queries {
            client.simple_query(&format!("SELECT {number}; SELECT 'again'")).unwrap();
        }
        client.close().unwrap();
        assert_eq!((proxy.connections(), proxy.turns()), (1, queries));
    }
    assert!(
        proxy.client_text().starts_with("SELECT 0; SELECT 'again'\nSELECT 1;"),
        "{}",
        proxy.client_text()
    );
}

#[test]
fn a_prepared_query_is_two_turns() {
    let database = Postgres::fresh();
    let proxy = Proxy::before(&database);
    let mut client = client_of(&proxy.url(&database));
    client.query("SELECT $1::int", &[&1]).unwrap();
    assert_eq!(proxy.turns(), 2);
    assert_eq!(proxy.client_text(), "SELECT $1::int");
}

#[test]
fn a_pooler_can_stand_behind_the_proxy() {
    let database = Postgres::fresh();
    let proxy = Proxy::start(Pool::Transaction.address(), Protocol::Postgres);
    let mut client = client_of(&proxy.url(&database));
    client.batch_execute("BEGIN; CREATE TABLE a (id int); COMMIT").unwrap();
    assert_eq!(proxy.turns(), 1);
    assert_eq!(proxy.client_text(), "BEGIN; CREATE TABLE a (id int); COMMIT");
}

#[rstest]
fn one_mysql_packet_is_one_turn(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut connection = connection_to(&proxy.url(&database)).unwrap();
    assert_eq!((proxy.connections(), proxy.turns()), (1, 0));
    connection.query_drop("DO 1; CREATE TABLE a (id int); DO 2").unwrap();
    assert_eq!(proxy.turns(), 1);
    for number in 0..4 {
        let found: Option<u32> = connection.query_first(format!("SELECT {number}")).unwrap();
        assert_eq!(found, Some(number));
    }
    assert_eq!(proxy.turns(), 5);
    drop(connection);
    assert_eq!(proxy.turns(), 5);
    let expected = "DO 1; CREATE TABLE a (id int); DO 2\nSELECT 0\nSELECT 1\nSELECT 2\nSELECT 3";
    assert_eq!(proxy.client_text(), expected);
}

#[test]
fn a_delay_is_paid_once_a_turn() {
    let round_trip = Duration::from_millis(40);
    let database = Postgres::fresh();
    let proxy = Proxy::before(&database);
    let mut client = client_of(&proxy.url(&database));
    proxy.delay(round_trip);
    let start = Instant::now();
    for _ in 0..5 {
        client.simple_query("SELECT 1").unwrap();
    }
    assert!(start.elapsed() >= round_trip * 5, "{:?}", start.elapsed());
    assert_eq!(proxy.turns(), 5);
}

#[test]
fn a_cut_comes_after_the_work_and_before_its_reply() {
    for loss in [Loss::Close, Loss::Reset] {
        let database = Postgres::fresh();
        database.execute("CREATE TABLE a (turn int)");
        let proxy = Proxy::before(&database);
        let mut client = client_of(&proxy.url(&database));
        proxy.fault(Fault::Reply { turn: 2, loss });
        client.batch_execute("INSERT INTO a VALUES (1)").unwrap();
        let lost = client.batch_execute("INSERT INTO a VALUES (2)").unwrap_err();
        assert!(lost.as_db_error().is_none(), "{lost}");
        assert!(proxy.fault_struck());
        assert_eq!(database.lines("SELECT turn FROM a ORDER BY turn"), ["1", "2"], "{loss:?}");
        client_of(&proxy.url(&database)).batch_execute("INSERT INTO a VALUES (3)").unwrap();
    }
}

#[rstest]
fn a_request_can_be_lost_before_the_server_sees_it(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    database.execute("CREATE TABLE a (turn int)");
    let proxy = Proxy::before(&database);
    let mut connection = connection_to(&proxy.url(&database)).unwrap();
    proxy.fault(Fault::Request { turn: 2, loss: Loss::Close });
    connection.query_drop("INSERT INTO a VALUES (1)").unwrap();
    connection.query_drop("INSERT INTO a VALUES (2)").unwrap_err();
    assert_eq!(database.lines("SELECT turn FROM a"), ["1"]);
}

#[test]
fn a_message_can_be_cut_in_the_middle() {
    let database = Postgres::fresh();
    database.execute("CREATE TABLE a (turn int)");
    let proxy = Proxy::before(&database);
    let mut client = client_of(&proxy.url(&database));
    proxy.fault(Fault::Bytes { count: 10, loss: Loss::Close });
    client.batch_execute("INSERT INTO a VALUES (1)").unwrap_err();
    assert_eq!(database.lines("SELECT count(*) FROM a"), ["0"]);
}

#[test]
fn the_reply_to_a_commit_can_be_lost() {
    let postgres = Postgres::fresh();
    postgres.execute("CREATE TABLE a (id int)");
    let proxy = Proxy::before(&postgres);
    proxy.fault(Fault::LostReply { text: "commit".to_owned() });
    let mut client = client_of(&proxy.url(&postgres));
    client.batch_execute("INSERT INTO a VALUES (1)").unwrap();
    client.batch_execute("BEGIN; INSERT INTO a VALUES (2); COMMIT").unwrap_err();
    assert!(proxy.fault_struck());
    assert_eq!(postgres.lines("SELECT id FROM a ORDER BY id"), ["1", "2"]);
}

#[rstest]
fn the_reply_to_a_commit_in_a_packet_can_be_lost(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    database.execute("CREATE TABLE a (id int)");
    let proxy = Proxy::before(&database);
    proxy.fault(Fault::LostReply { text: "commit".to_owned() });
    let mut connection = connection_to(&proxy.url(&database)).unwrap();
    connection.query_drop("INSERT INTO a VALUES (1)").unwrap();
    let lost = "BEGIN; SELECT * FROM a; INSERT INTO a VALUES (2); SELECT 7, NULL; DO SLEEP(0.2); COMMIT";
    connection.query_drop(lost).unwrap_err();
    assert!(proxy.fault_struck());
    assert_eq!(database.lines("SELECT id FROM a ORDER BY id"), ["1", "2"]);
}

#[test]
fn a_silent_server_leaves_the_client_waiting() {
    let database = Postgres::fresh();
    let proxy = Proxy::before(&database);
    proxy.fault(Fault::Reply { turn: 1, loss: Loss::Silence });
    let url = proxy.url(&database);
    let project = Project::new();
    let running = project.program(&servers().programs.psql, ["-c", "CREATE TABLE a (id int)", &url]).spawn();
    proxy.wait_for_fault();
    running.kill();
    let outcome = running.wait();
    assert_eq!((outcome.code, outcome.signal), (None, Some(9)));
    assert_eq!(database.lines("SELECT count(*) FROM a"), ["0"]);
}

#[test]
fn nothing_passes_a_partition() {
    let database = Postgres::fresh();
    let proxy = Proxy::before(&database);
    proxy.fault(Fault::Request { turn: 1, loss: Loss::Partition });
    let project = Project::new();
    let url = proxy.url(&database);
    let running = project.program(&servers().programs.psql, ["-c", "CREATE TABLE a (id int)", &url]).spawn();
    proxy.wait_for_fault();
    running.kill();
    assert_eq!(running.wait().signal, Some(9));
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'psql'";
    assert_eq!(database.lines(sessions), ["1"], "the server knows nothing of the client's end");
    assert_eq!(database.lines("SELECT to_regclass('a')"), ["NULL"]);
}

#[test]
fn every_socket_takes_the_owner() {
    let postgres = Postgres::fresh();
    assert_eq!(psql(&postgres.url_socket()), Ok("f".to_owned()));
    for server in [MariaDb, MySql].map(Product::server) {
        let socket = server.socket.as_deref().expect("xtask gives both a socket");
        let url = format!("mysql://owner:{}@localhost?socket={}", server.password, socket.display());
        let found: Option<String> = connection_to(&url).unwrap().query_first("SELECT USER()").unwrap();
        assert_eq!(found.as_deref(), Some("owner@localhost"));
    }
}

#[test]
fn a_run_sees_its_project_and_nothing_of_this_machine() {
    let project = Project::new().file("migrations/sqlite/001_a.sql", "SELECT 1;\n").env("GIVEN", "always");
    let script =
        "cat; cat migrations/*/*.sql; echo \"$GIVEN $ONCE\"; pwd >&2; env | cut -d= -f1 | sort >&2; exit 3";
    let outcome =
        project.program("/bin/sh", ["-c", script]).env("ONCE", "now").input("typed\n").run().exits(3);
    assert_eq!(
        outcome.redacted(),
        "exit: 3\n--- stdout\ntyped\nSELECT 1;\nalways now\n--- stderr\n[DIR]\nGIVEN\nHOME\nLANG\nONCE\nPATH\nPWD\nTZ\n"
    );
}

/// Returns all that was kept of this test, each piece with what it is.
fn kept(test: &str) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(&servers().record).expect("xtask has made the folder") {
        let entry = entry.expect("it can be read");
        let name = entry.file_name().into_string().expect("the harness names it");
        if name.starts_with(&format!("harness.{test}.")) {
            let bytes = std::fs::read(entry.path()).expect("it can be read");
            let what = name.rsplit('.').next().unwrap_or_default().to_owned();
            kept.push((what, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    kept
}

#[test]
fn what_comes_to_light_in_a_test_is_kept_for_the_search_after_it() {
    let of_this_test = || kept("what_comes_to_light_in_a_test_is_kept_for_the_search_after_it");
    let before = of_this_test().len();
    let project = Project::new().file("own.txt", "written by the test");
    let script = "echo to-stdout; echo to-stderr >&2; echo to-a-file > made.txt";
    let _ = project.program("sh", ["-c", script]).run().exits(0);
    // One that is killed has printed too.
    let printed = project.path("printed");
    let running = project.program("sh", ["-c", "echo before-the-end; touch printed; exec sleep 60"]).spawn();
    until("it has printed", || printed.exists());
    drop(running);
    drop(project);
    let postgres = Postgres::fresh();
    postgres.execute("CREATE TABLE other AS SELECT 'a-row-of-postgres' AS down_script");
    drop(postgres);
    let mariadb = MariaDb.fresh();
    mariadb.execute("CREATE TABLE other AS SELECT 'a-row-of-mariadb' AS down_script");
    drop(mariadb);
    let sqlite = Sqlite::fresh();
    sqlite.execute("CREATE TABLE other AS SELECT 'a-row-of-sqlite' AS down_script");
    drop(sqlite);
    let after = of_this_test();
    assert_eq!(after.len(), before + 7, "{after:?}");
    for (what, text) in [
        ("stdout", "to-stdout"),
        ("stderr", "to-stderr"),
        ("stdout", "before-the-end"),
        ("file", "to-a-file"),
        ("history", "a-row-of-postgres"),
        ("history", "a-row-of-mariadb"),
        ("database", "a-row-of-sqlite"),
    ] {
        let is_kept = after.iter().any(|(kept, bytes)| kept == what && bytes.contains(text));
        assert!(is_kept, "{what}: {text} in {after:?}");
    }
}
