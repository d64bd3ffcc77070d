//! What is particular about the PostgreSQL adapter, on real servers and poolers.
//!
//! Counts turns on the wire, breaks connections in the middle of things, and looks at what is in the database
//! afterwards. What every adapter must do alike is the conformance suite's.

use std::thread;
use std::time::Duration;

use whimbrel::splitter::{Item, Rules, Splitter};
use whimbrel_adapter_api::{
    Adapter, BodyFailed, Class, ConnectOptions, Done, Error, ErrorKind, Failure, HISTORY_COLUMNS, Isolation,
    Liveness, Marking, Mode, Opened, Phase, RowSet, Rows, Secret, Session, Span, State, TableName, Text,
    TransactionOptions, Value, ValueKind,
};
use whimbrel_adapter_postgres::Postgres as Adapted;
use whimbrel_conformance::DOWN_SCRIPT;
use whimbrel_conformance::work::{Held, Script};
use whimbrel_tests::{Database, Fault, Loss, Networked, Pool, Postgres, Proxy, Target, servers, until};

const TABLE: &str = "whimbrel_migrations";

fn options(url: &str) -> ConnectOptions {
    ConnectOptions::new(Secret::new(url))
}

fn open(url: &str) -> Opened {
    Adapted.connect(&options(url)).expect("the server takes the session")
}

fn refused(url: &str) -> Error {
    let error = Adapted.connect(&options(url)).err().expect("the session is refused");
    assert!(!format!("{error:?}").contains(&servers().postgres.password), "{error:?}");
    error
}

fn told(failure: &Failure) -> (Phase, ErrorKind, State) {
    (failure.phase, failure.error.kind, failure.state)
}

fn history_of(database: &Postgres) -> Vec<String> {
    database.lines(&format!("SELECT position, state, statements_done FROM {TABLE} ORDER BY position"))
}

#[test]
fn tls_is_what_the_url_asks_for() {
    let database = Postgres::fresh();
    let servers = servers();
    let (right, wrong) = (servers.authority.display(), servers.other_authority.display());
    let encrypted = |query: &str| {
        let mut target = Target::open(&Adapted, &format!("{}?{query}", database.url()));
        target.row("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[])
    };
    for query in [
        String::new(),
        "sslmode=require".to_owned(),
        "sslmode=require&channel_binding=require".to_owned(),
        format!("sslmode=verify-ca&sslrootcert={right}"),
        format!("sslmode=verify-full&sslrootcert={right}"),
    ] {
        assert_eq!(encrypted(&query), [Value::Bool(true)], "{query}");
    }
    for query in ["sslmode=disable", "sslmode=allow"] {
        assert_eq!(encrypted(query), [Value::Bool(false)], "{query}");
    }
    for query in [
        format!("sslmode=verify-ca&sslrootcert={wrong}"),
        format!("sslmode=require&sslrootcert={wrong}"),
        format!("sslmode=verify-full&sslrootcert={wrong}"),
        "sslmode=verify-full&sslrootcert=/nowhere/ca.pem".to_owned(),
    ] {
        assert_eq!(refused(&format!("{}?{query}", database.url())).kind, ErrorKind::Tls, "{query}");
    }
    let error = refused(&format!("{}?sslmode=disable&channel_binding=require", database.url()));
    assert_eq!(error.kind, ErrorKind::Authentication);
}

#[test]
fn a_name_that_the_certificate_does_not_have_matters_to_verify_full_alone() {
    let database = Postgres::fresh();
    let authority = servers().authority.display();
    let port = database.address().port();
    let url = database.url().replace(&format!("127.0.0.1:{port}"), &format!("elsewhere.invalid:{port}"));
    let with = |mode: &str| format!("{url}?hostaddr=127.0.0.1&sslmode={mode}&sslrootcert={authority}");
    open(&with("verify-ca"));
    assert_eq!(refused(&with("verify-full")).kind, ErrorKind::Tls);
}

#[test]
fn a_server_that_wants_tls_gets_it_where_the_url_permits() {
    let database = Postgres::fresh();
    let server = &servers().postgres;
    let url = database.url_as(&server.tls_only_user, &server.password);
    for mode in ["allow", "prefer", "require"] {
        open(&format!("{url}?sslmode={mode}"));
    }
    assert_eq!(refused(&format!("{url}?sslmode=disable")).kind, ErrorKind::Authentication);
}

#[test]
fn a_socket_is_a_host_too() {
    let database = Postgres::fresh();
    let mut target = Target::open(&Adapted, &database.url_socket());
    assert_eq!(target.row("SELECT inet_client_addr() IS NULL", &[]), [Value::Bool(true)]);
    open(&format!("{}?sslmode=require", database.url_socket()));
}

#[test]
fn refusals_say_what_is_wrong() {
    let database = Postgres::fresh();
    let server = &servers().postgres;
    for address in [database.address(), Pool::Transaction.address()] {
        let at =
            |password: &str, name: &str| format!("postgres://{}:{password}@{address}/{name}", server.user);
        let wrong_password = refused(&at("wrong", database.name()));
        assert_eq!(wrong_password.kind, ErrorKind::Authentication, "{wrong_password:?}");
        let missing = refused(&at(&server.password, "no_such_database"));
        assert_eq!(missing.kind, ErrorKind::DatabaseMissing, "{missing:?}");
    }
    assert_eq!(refused("postgres://user@/db?host=/nowhere").kind, ErrorKind::Unreachable);
}

#[test]
fn the_next_host_is_tried_when_one_is_not_there_or_not_as_wanted() {
    let database = Postgres::fresh();
    let address = database.address().to_string();
    let url = database.url().replace(&address, &format!("127.0.0.1:1,{address}"));
    open(&url);
    open(&format!("{url}?target_session_attrs=read-write"));
    open(&format!("{url}?target_session_attrs=primary"));
    open(&format!("{url}?target_session_attrs=prefer-standby"));
    assert_eq!(refused(&format!("{url}?target_session_attrs=standby")).kind, ErrorKind::Unreachable);
}

#[test]
fn a_silent_server_is_given_up_in_time() {
    let database = Postgres::fresh();
    // Takes connections and never says a word.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = mute.local_addr().expect("it is bound");
    let error = refused(&format!("{}?connect_timeout=2", database.url_at(address)));
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Unreachable, "no answer within 2 s"));
}

#[test]
fn every_kind_of_value_reaches_a_column_of_its_type_and_comes_back() {
    let database = Postgres::fresh();
    let mut target = Target::open(&Adapted, &database.url());
    target.execute(
        "CREATE TYPE mood AS ENUM ('calm', 'wild');
         CREATE DOMAIN wing AS numeric CHECK (VALUE > 0);
         CREATE TABLE everything (a_bool bool, a_small smallint, an_int int, a_big bigint, a_real real, a_double float8,
           a_numeric numeric, a_text text, a_varchar varchar(9), a_char char(3), a_name name, a_bytea bytea, a_date date,
           a_time time, a_timestamp timestamp, a_timestamptz timestamptz, an_interval interval, a_uuid uuid, a_json json,
           a_jsonb jsonb, a_mood mood, a_wing wing, some_ints int[], some_bigs bigint[], some_texts text[],
           some_moods mood[], an_inet inet, a_timetz timetz, a_cidr cidr)",
    );
    let typed = |kind, text: &'static str| Value::Typed(kind, text.into());
    let row = [
        Value::Bool(true),
        Value::Int(-7),
        Value::Int(2_000_000_000),
        Value::Int(i64::MIN),
        Value::Float(1.5),
        Value::Float(-1e300),
        typed(ValueKind::Decimal, "-12345678901234567890.00100"),
        Value::text("ä 'quoted' \\ $1"),
        Value::text("short"),
        Value::text("abc"),
        Value::text("name"),
        Value::Bytes([0, 1, 255, b'\\'].as_slice().into()),
        typed(ValueKind::Date, "2024-02-29"),
        typed(ValueKind::Time, "13:05:00.25"),
        typed(ValueKind::Timestamp, "2026-01-31 13:05:00"),
        typed(ValueKind::TimestampTz, "2026-01-31 13:05:00.000001+00"),
        typed(ValueKind::Interval, "1 year 2 mons -3 days +04:05:06.7"),
        typed(ValueKind::Uuid, "0192f0c1-2345-7abc-8def-0123456789ab"),
        typed(ValueKind::Json, "{\"a\" : [1]}"),
        typed(ValueKind::Json, "{\"a\": [1]}"),
        typed(ValueKind::Other, "wild"),
        typed(ValueKind::Decimal, "0.5"),
        Value::Array(vec![Value::Int(1), Value::Null, Value::Int(3)]),
        Value::Array(vec![
            Value::Array(vec![Value::Int(1), Value::Int(2)]),
            Value::Array(vec![Value::Int(3), Value::Int(4)]),
        ]),
        Value::Array(vec![Value::text("a,\"b\""), Value::text("NULL"), Value::text("")]),
        Value::Array(vec![typed(ValueKind::Other, "calm")]),
        typed(ValueKind::Other, "10.0.0.1"),
        typed(ValueKind::Other, "13:05:00+05:30"),
        typed(ValueKind::Other, "10.0.0.0/8"),
    ];
    let places: Vec<String> = (1..=row.len()).map(|place| format!("${place}")).collect();
    let inserted = format!("INSERT INTO everything VALUES ({}) RETURNING *", places.join(", "));
    assert_eq!(target.row(&inserted, &row), row);
    let nulls = vec![Value::Null; row.len()];
    assert_eq!(target.row(&inserted, &nulls), nulls);
    // The same values as literals.
    let literals: Vec<String> = row.iter().map(|value| target.dialect.literal(value)).collect();
    let literals = literals.join(", ").replace("ARRAY['calm']", "'{calm}'");
    assert_eq!(target.row(&format!("INSERT INTO everything VALUES ({literals}) RETURNING *"), &[]), row);
    // And as the server itself would write them, so that ours is not merely consistent.
    let written = database.lines("SELECT a_numeric, an_interval, a_timetz, a_json FROM everything LIMIT 1");
    let expected =
        "-12345678901234567890.00100|1 year 2 mons -3 days +04:05:06.7|13:05:00+05:30|{\"a\" : [1]}";
    assert_eq!(written, [expected]);
}

#[test]
fn values_read_here_are_the_ones_that_the_server_writes() {
    let database = Postgres::fresh();
    let mut target = Target::open(&Adapted, &database.url());
    let cases = [
        ("numeric", "0"),
        ("numeric", "0.0001"),
        ("numeric", "10000"),
        ("numeric", "99999999.9999"),
        ("numeric", "-0.10"),
        ("numeric", "NaN"),
        ("numeric", "100000000000000000000"),
        ("numeric", "0.00000000000000001"),
        ("date", "0044-03-15 BC"),
        ("date", "infinity"),
        ("date", "1900-03-01"),
        ("date", "12026-01-01"),
        ("timestamp", "1969-12-31 23:59:59.999999"),
        ("timestamp", "-infinity"),
        ("timestamp", "0001-12-31 23:00:00 BC"),
        ("timestamptz", "2026-06-01 00:00:00+00"),
        ("interval", "-1 years -2 mons +3 days -04:05:06"),
        ("interval", "100:00:00.000001"),
        ("time", "24:00:00"),
        ("timetz", "01:02:03.5-08"),
        ("inet", "::1"),
        ("inet", "10.0.0.1/24"),
        ("cidr", "10.0.0.1/32"),
        ("cidr", "2001:db8::/32"),
    ];
    target.execute("SET timezone = 'UTC'");
    for (of, text) in cases {
        let row = target
            .row(&format!("SELECT '{text}'::{of} AS ours, format('%s', '{text}'::{of}) AS theirs"), &[]);
        assert_eq!(row[0].as_text(), row[1].as_text(), "{of} {text}");
    }
}

#[test]
fn parameters_behave_like_literals() {
    let database = Postgres::fresh();
    let mut target = Target::open(&Adapted, &database.url());
    assert_eq!(
        target.row("SELECT $1 + 1, $2 || 'b'", &[5.into(), "a".into()]),
        [Value::Int(6), Value::text("ab")]
    );
    assert_eq!(target.row("SELECT date '2026-01-01' + $1", &[30.into()])[0].as_text(), Some("2026-01-31"));
    let array = Value::Array(vec![Value::Int(1), Value::Int(1 << 40)]);
    assert_eq!(target.row("SELECT 1 = ANY ($1)", &[array]), [Value::Bool(true)]);
    let texts = Value::Array(vec![Value::text("x"), Value::text("y")]);
    assert_eq!(
        target.row("SELECT 'y' = ANY ($1), cardinality($1::text[])", &[texts]),
        [Value::Bool(true), Value::Int(2)]
    );
    let unsigned = Value::UInt(u64::MAX);
    assert_eq!(target.row("SELECT $1", &[unsigned])[0].as_text(), Some("18446744073709551615"));
}

#[test]
fn a_type_that_is_not_known_is_refused_with_the_cure() {
    let database = Postgres::fresh();
    let mut target = Target::open(&Adapted, &database.url());
    let error = target.query("SELECT '(1,2)'::point AS place", &[]).expect_err("unknown");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert_eq!(error.message, "this adapter does not support the type `point` of the column `place`");
    assert_eq!(error.hint.as_deref(), Some("select it as text: `place::text`"));
    assert_eq!(target.connection.ping(), Ok(()));
}

#[test]
fn a_query_points_at_the_byte_that_is_wrong() {
    let database = Postgres::fresh();
    let mut target = Target::open(&Adapted, &database.url());
    let error = target.query("SELECT 'ä', nope", &[]).expect_err("no such column");
    assert_eq!((error.sqlstate.as_deref(), error.position), (Some("42703"), Some(13)));
    let error = target.connection.execute_raw("SELECT 1;\nSELECT 'ö' FROM nope").expect_err("no such table");
    assert_eq!((error.kind, error.position), (ErrorKind::TableMissing, Some(27)));
}

#[test]
fn facts_and_an_absent_history_are_one_turn() {
    let database = Postgres::fresh();
    let proxy = Proxy::before(&database);
    let mut opened = open(&proxy.url(&database));
    assert_eq!(proxy.turns(), 0);
    let name = TableName::new(TABLE);
    let dialect = opened.connection.dialect(&RowSet::default()).expect("no facts are needed");
    let texts = [Text::Facts { history: &name }, Text::History { history: &name }];
    let texts: Vec<String> = texts.iter().filter_map(|text| dialect.text(text)).flatten().collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut rows = Rows::default();
    let error = opened.connection.read(&texts, &mut rows).expect_err("there is no table");
    assert_eq!((error.set, error.error.kind), (1, ErrorKind::TableMissing));
    assert_eq!(proxy.turns(), 1);
    let facts = opened.connection.dialect(&rows.sets[0]).expect("the facts came before the error").facts();
    assert!(facts.server.starts_with("PostgreSQL "), "{facts:?}");
    assert_eq!((facts.database.as_str(), facts.schema.as_str()), (database.name(), "public"));
    assert_eq!(facts.history_schema, None);

    // Twice: an aborted transaction must not be left behind.
    Target::ready(&Adapted, &database.url());
    let mut rows = Rows::default();
    opened.connection.read(&texts, &mut rows).expect("the table is there");
    assert_eq!(rows.sets[1].columns, HISTORY_COLUMNS);
    assert_eq!(rows.sets[0].first("history_schema"), Some(&Value::text("public")));
    let error =
        opened.connection.read(&["SELECT 1", "SELECT 2", "SELEKT 3"], &mut rows).expect_err("a syntax error");
    assert_eq!((error.set, error.error.kind, error.error.position), (2, ErrorKind::Syntax, Some(0)));
}

#[test]
fn a_transactional_migration_is_one_turn_and_many_are_one_too() {
    let database = Postgres::fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    proxy.forget();
    let first =
        ["CREATE TABLE birds (id int PRIMARY KEY) -- a comment to the end", "INSERT INTO birds VALUES (0)"];
    let outcomes = target.outcomes(Script::of(target.head(1, Mode::Atomic, 2), &first));
    assert_eq!(outcomes, [Ok(Done::new(2))]);
    assert_eq!(proxy.turns(), 1);
    // Far enough away that no answer arrives while there is still something to send.
    proxy.delay(Duration::from_millis(200));
    proxy.forget();
    let mut script = Script::default();
    for position in 2..=51 {
        let statement = format!("INSERT INTO birds VALUES ({position})");
        script = script.then(target.head(position, Mode::Atomic, 1), &[&[&statement]]);
    }
    assert_eq!(target.outcomes(script.as_asked()), vec![Ok(Done::new(1)); 50]);
    assert_eq!(proxy.turns(), 1);
    assert_eq!(database.lines("SELECT count(*) FROM birds"), ["51"]);
    assert_eq!(database.lines(&format!("SELECT count(*) FROM {TABLE} WHERE state = 'applied'")), ["51"]);
    assert_eq!(target.down_script(1).expect("it is stored"), DOWN_SCRIPT);
}

#[test]
fn a_failing_statement_is_named_and_everything_is_rolled_back() {
    let database = Postgres::fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    proxy.forget();
    let failure = target
        .failure(Mode::Atomic, &["CREATE TABLE birds (id int)", "SELECT 'ä', nope FROM birds", "SELECT 3"]);
    assert_eq!(told(&failure), (Phase::Statement(1), ErrorKind::ColumnMissing, State::RolledBack));
    assert_eq!((failure.completed, failure.committed, failure.error.position), (1, 0, Some(13)));
    assert_eq!(proxy.turns(), 2, "one for the batch, one for the ROLLBACK");

    let failure = target
        .failure(Mode::Atomic, &["CREATE TABLE birds (id int)", "SELECT 2", "/* ö */ CREATE TABEL x ()"]);
    assert_eq!(told(&failure), (Phase::Statement(2), ErrorKind::Syntax, State::RolledBack));
    assert_eq!((failure.completed, failure.error.position), (0, Some(16)));

    let failure = target
        .failure(Mode::Atomic, &["SELECT 1", "DO $$ BEGIN RAISE EXCEPTION 'no' USING HINT = 'ask'; END $$"]);
    assert_eq!(told(&failure), (Phase::Statement(1), ErrorKind::Other, State::RolledBack));
    assert_eq!(failure.error.sqlstate.as_deref(), Some("P0001"));
    assert_eq!(failure.error.hint.as_deref(), Some("ask"));
    assert!(failure.error.detail.is_some_and(|detail| detail.contains("line 1 at RAISE")));

    let deferred = "CREATE TABLE birds (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)";
    let failure = target.failure(Mode::Atomic, &[deferred, "INSERT INTO birds VALUES (1), (1)"]);
    assert_eq!(told(&failure), (Phase::Commit, ErrorKind::Constraint, State::RolledBack));
    assert_eq!(failure.completed, 2);

    assert_eq!(database.lines("SELECT to_regclass('birds')"), ["NULL"]);
    assert_eq!(history_of(&database), Vec::<String>::new());
    assert_eq!(target.connection.ping(), Ok(()));
}

#[test]
fn what_follows_a_failure_is_not_reached() {
    let database = Postgres::fresh();
    for first in ["SELECT nope", "SELEKT", "INSERT INTO due VALUES (1), (1)"] {
        let mut target = Target::ready(&Adapted, &database.url());
        target.execute("CREATE TABLE IF NOT EXISTS due (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
        let mut script = Script::of(target.head(1, Mode::Atomic, 1), &[first]).as_asked();
        for position in 2..=4 {
            let statement = format!("CREATE TABLE table_{position} ()");
            script = script.then(target.head(position, Mode::Atomic, 1), &[&[&statement]]);
        }
        let outcomes = target.outcomes(script);
        let told: Vec<_> =
            outcomes.iter().map(|outcome| told(outcome.as_ref().expect_err("it fails"))).collect();
        assert_eq!(told[0].2, State::RolledBack, "{first}");
        assert_eq!(told[1..], [(Phase::NotReached, ErrorKind::NotReached, State::RolledBack); 3], "{first}");
        assert_eq!(
            database.lines("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'table_%'"),
            ["0"],
            "{first}"
        );
        assert_eq!(history_of(&database), Vec::<String>::new(), "{first}");
    }
}

#[test]
fn a_script_that_ends_its_transaction_is_found_out() {
    let database = Postgres::fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    let failure = target
        .failure(Mode::Atomic, &["CREATE TABLE birds (id int)", "ROLLBACK", "CREATE TABLE nests (id int)"]);
    assert_eq!(told(&failure), (Phase::Closing, ErrorKind::TransactionEnded, State::Unknown));
}

#[test]
fn the_history_is_hidden_from_the_roles_of_supabase() {
    let database = Postgres::fresh();
    // Roles belong to the whole server, so they may be there from an earlier run.
    for role in ["anon", "authenticated"] {
        let _ = database.try_query(&format!("CREATE ROLE {role}"));
    }
    database.execute(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, PUBLIC",
    );
    Target::ready(&Adapted, &database.url());
    let grantees = format!(
        "SELECT count(*) FROM information_schema.role_table_grants
         WHERE table_name = '{TABLE}' AND grantee IN ('anon', 'authenticated', 'PUBLIC')"
    );
    assert_eq!(database.lines(&grantees), ["0"]);
    Target::ready(&Adapted, &database.url());
}

#[test]
fn a_script_in_pieces_costs_one_turn_more_and_stays_atomic() {
    let database = Postgres::fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    let filler = "x".repeat(250 * 1024);
    let insert = format!("INSERT INTO birds VALUES ('{filler}')");
    let pieces = |last: &str| {
        let mut pieces = vec![Held::sql(&["CREATE TABLE birds (note text)", &insert])];
        pieces.extend((0..4).map(|_| Held::sql(&[&insert])));
        pieces.push(Held::sql(&[last]));
        pieces
    };
    proxy.forget();
    let failure =
        target.failing(Script::default().then_pieces(target.head(1, Mode::Atomic, 7), pieces("SELECT nope")));
    assert_eq!(told(&failure), (Phase::Statement(6), ErrorKind::ColumnMissing, State::RolledBack));
    assert_eq!(failure.error.position, Some(7));
    // A syntax error in the first message must not let the second run outside the transaction.
    let broken: &[&[&str]] = &[&["CREATE TABLE birds (note text)", "SELEKT"], &["CREATE TABLE stray ()"]];
    let failure = target.failing(Script::default().then(target.head(1, Mode::Atomic, 3), broken));
    assert_eq!(told(&failure), (Phase::Statement(1), ErrorKind::Syntax, State::RolledBack));
    assert_eq!(database.lines("SELECT to_regclass('birds'), to_regclass('stray')"), ["NULL|NULL"]);

    let outcomes =
        target.outcomes(Script::default().then_pieces(target.head(1, Mode::Atomic, 7), pieces("SELECT 1")));
    assert_eq!(outcomes, [Ok(Done::new(7))]);
    let largest = proxy.messages().iter().map(|message| message.length).max();
    assert!(largest.is_some_and(|length| length < 300 * 1024), "{largest:?}");
    assert_eq!(
        database.lines("SELECT count(*), sum(length(note)) FROM birds"),
        [format!("5|{}", 5 * 250 * 1024)]
    );
}

/// The host leaves the text as it is, and says where the statements are that are to be run.
#[test]
fn what_the_host_took_out_is_not_sent() {
    const TEXT: &str =
        "BEGIN;\nCREATE TABLE birds (id int);\nTAKEN OUT;\nINSERT INTO birds VALUES (1);\nCOMMIT;\n";
    let database = Postgres::fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    let statements = ["CREATE TABLE birds (id int)", "INSERT INTO birds VALUES (1)"].map(|statement| {
        let start = TEXT.find(statement).expect("it is there") as u32;
        Span::new(start, start + statement.len() as u32, Marking::Marked)
    });
    let mut pieces = vec![Held { text: TEXT.into(), spans: statements.to_vec(), ..Held::default() }];
    pieces.extend(Held::copy("COPY birds FROM stdin", &["2\n"]));
    pieces[1].text.extend_from_slice(b"TAKEN OUT;\n");
    for (position, mode) in [(1, Mode::Atomic), (2, Mode::Stepwise)] {
        let script = Script::default().then_pieces(target.head(position, mode, 3), pieces.clone());
        assert_eq!(target.outcomes(script), [Ok(Done::new(3))], "{mode:?}");
        assert_eq!(database.lines("SELECT id FROM birds ORDER BY id"), ["1", "2"], "{mode:?}");
        database.execute("DROP TABLE birds");
    }
}

/// The server keeps the parse trees of a whole message.
#[test]
fn a_script_in_pieces_has_short_messages() {
    let database = Postgres::fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    let inserts = vec!["INSERT INTO birds VALUES ('curlew')"; 5_000];
    let pieces: &[&[&str]] = &[&["CREATE TABLE birds (note text)"], &inserts, &inserts];
    proxy.forget();
    let outcomes = target.outcomes(Script::default().then(target.head(1, Mode::Atomic, 10_001), pieces));
    assert_eq!(outcomes, [Ok(Done::new(10_001))]);
    assert_eq!(database.lines("SELECT count(*) FROM birds"), ["10000"]);
    let lengths: Vec<_> = proxy.messages().iter().map(|message| message.length).collect();
    assert!(lengths.iter().all(|length| *length <= 17 * 1024), "{lengths:?}");
}

#[test]
fn a_stop_takes_the_batch_back_and_ends_the_run() {
    let database = Postgres::fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    let script = Script::of(target.head(1, Mode::Atomic, 1), &["CREATE TABLE eggs ()"])
        .then(target.head(2, Mode::Atomic, 2), &[&["CREATE TABLE birds ()"], &["CREATE TABLE nests ()"]])
        .then(target.head(3, Mode::Atomic, 1), &[&["SELECT 1"]]);
    // Piece 0 and the end of the first batch, piece 2 of the second, then no more.
    let script = script.as_asked().stopping_at(3);
    let outcomes = target.outcomes(script);
    assert_eq!(outcomes.len(), 2);
    assert_eq!(outcomes[0], Ok(Done::new(1)));
    assert_eq!(
        told(outcomes[1].as_ref().expect_err("it was stopped")),
        (Phase::Statement(1), ErrorKind::Stopped, State::RolledBack)
    );
    assert_eq!(database.lines("SELECT to_regclass('birds'), to_regclass('eggs')"), ["NULL|eggs"]);
    assert_eq!(target.connection.ping(), Ok(()));
}

#[test]
fn copy_streams_its_data_inside_the_transaction() {
    let database = Postgres::fresh();
    for url in [database.url(), database.pooler_url(Pool::Transaction), database.pooler_url(Pool::Single)] {
        database.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        let mut target = Target::ready(&Adapted, &url);
        let mut pieces = vec![Held::sql(&["CREATE TABLE birds (id int, note text)"])];
        pieces.extend(Held::copy("COPY birds FROM stdin (FREEZE)", &["1\tone\n2\t", "zwei ö\n", "3\t\\N\n"]));
        pieces.push(Held::sql(&["INSERT INTO birds VALUES (4, 'four')"]));
        pieces.extend(Held::copy("COPY birds (id) FROM STDIN", &[]));
        let outcomes =
            target.outcomes(Script::default().then_pieces(target.head(1, Mode::Atomic, 4), pieces));
        assert_eq!(outcomes, [Ok(Done::new(4))], "{url}");
        assert_eq!(
            database.lines("SELECT * FROM birds ORDER BY id"),
            ["1|one", "2|zwei ö", "3|NULL", "4|four"]
        );
        assert_eq!(history_of(&database), ["1|applied|4"]);
    }
}

#[test]
fn a_broken_copy_is_a_failed_statement() {
    let database = Postgres::fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    let batch = |target: &Target, copy: Vec<Held>| {
        let mut pieces = vec![Held::sql(&["CREATE TABLE birds (id int)"])];
        pieces.extend(copy);
        Script::default().then_pieces(target.head(1, Mode::Atomic, 2), pieces)
    };
    let many = "7\n".repeat(100_000);
    for (copy, sqlstate) in [
        (Held::copy("COPY birds FROM STDIN", &["1\nx\n", &many]), "22P02"),
        (Held::copy("COPY birds FROMM STDIN", &["1\n"]), "42601"),
    ] {
        let failure = target.failing(batch(&target, copy));
        assert_eq!((failure.phase, failure.state), (Phase::Statement(1), State::RolledBack), "{failure:?}");
        assert_eq!(failure.error.sqlstate.as_deref(), Some(sqlstate));
    }
    let stopped = batch(&target, Held::copy("COPY birds FROM STDIN", &["1\n", "2\n"])).stopping_at(3);
    let failure = target.failing(stopped);
    assert_eq!(told(&failure), (Phase::Statement(1), ErrorKind::Stopped, State::RolledBack));
    assert_eq!(database.lines("SELECT to_regclass('birds')"), ["NULL"]);
    let whole = batch(&target, Held::copy("COPY birds FROM STDIN", &[&many]));
    assert_eq!(target.outcomes(whole), [Ok(Done::new(2))]);
}

/// The driver loses count of the server's answers when a COPY cannot even begin. The failure must be told all the
/// same, and the session must not go on with answers to other questions.
#[test]
fn a_copy_that_cannot_begin_is_told_and_costs_the_session() {
    let database = Postgres::fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    let pieces = Held::copy("COPY nests FROM STDIN", &["1\n"]);
    let heard = target.run(Script::default().then_pieces(target.head(1, Mode::Atomic, 1), pieces));
    let failure = heard.outcomes[0].as_ref().expect_err("there is no such table");
    assert_eq!(told(failure), (Phase::Statement(0), ErrorKind::TableMissing, State::RolledBack));
    assert_eq!(heard.answer.map_err(|error| error.session), Err(Session::Lost));
    assert_eq!(target.connection.ping().map_err(|error| error.session), Err(Session::Lost));
    drop(target);
    assert_eq!(Target::open(&Adapted, &database.url()).outcomes(Script::default()), []);
    assert_eq!(history_of(&database), Vec::<String>::new());
}

#[test]
fn copy_finds_a_free_name_on_a_pooled_server_connection() {
    let database = Postgres::fresh();
    let url = database.pooler_url(Pool::Single);
    let mut target = Target::ready(&Adapted, &url);
    // Names that other clients of the pooler left behind on the one server connection; the driver counts its own up.
    target.execute(
        "DO $$ BEGIN FOR i IN 0..30 LOOP EXECUTE format('PREPARE s%s AS SELECT 1', i); END LOOP; END $$",
    );
    let mut pieces = vec![Held::sql(&["CREATE TABLE birds (id int)"])];
    pieces.extend(Held::copy("COPY birds FROM STDIN", &["1\n"]));
    let outcomes = target.outcomes(Script::default().then_pieces(target.head(1, Mode::Atomic, 2), pieces));
    assert_eq!(outcomes, [Ok(Done::new(2))]);
    assert_eq!(database.lines("SELECT id FROM birds"), ["1"]);
}

#[test]
fn stepwise_work_is_marked_and_bears_the_name_of_its_attempt() {
    let database = Postgres::fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    database.execute("CREATE TABLE birds (id int); CREATE TABLE seen (name text)");
    let statements = [
        "CREATE INDEX CONCURRENTLY birds_id ON birds (id)",
        "INSERT INTO seen SELECT current_setting('application_name')",
        "~BEGIN",
        "~INSERT INTO birds VALUES (1)",
        "COMMIT",
    ];
    // Far enough away that no answer arrives between two messages of one turn.
    proxy.delay(Duration::from_millis(50));
    proxy.forget();
    let head = target.head(1, Mode::Stepwise, 5);
    let attempt = head.attempt.clone();
    assert_eq!(target.outcomes(Script::of(head, &statements)), [Ok(Done::new(5))]);
    assert_eq!(proxy.turns(), 9, "each message is answered before the next is sent");
    assert_eq!(database.lines("SELECT name FROM seen"), [attempt]);
    assert_eq!(history_of(&database), ["1|applied|5"]);
    assert_eq!(
        target.row("SELECT current_setting('application_name'), current_setting('lock_timeout')", &[]),
        [Value::text("whimbrel"), Value::text("0")]
    );
}

#[test]
fn what_a_script_did_in_its_own_transaction_goes_with_its_failure() {
    let database = Postgres::fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    let statements =
        ["CREATE TABLE birds (id int)", "~BEGIN", "~INSERT INTO birds VALUES (1)", "SELECT nope"];
    let failure = target.failure(Mode::Stepwise, &statements);
    assert_eq!(told(&failure), (Phase::Statement(3), ErrorKind::ColumnMissing, State::Committed));
    assert_eq!((failure.completed, failure.committed, failure.error.position), (3, 1, Some(7)));
    assert_eq!(database.lines("SELECT count(*) FROM birds"), ["0"]);
    assert_eq!(history_of(&database), ["1|failed|1"]);
    assert_eq!(target.row("SELECT current_setting('application_name')", &[]), [Value::text("whimbrel")]);
}

#[test]
fn a_stepwise_script_must_not_end_inside_its_own_transaction() {
    let database = Postgres::fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    let failure = target
        .failure(Mode::Stepwise, &["CREATE TABLE birds (id int)", "~BEGIN", "~INSERT INTO birds VALUES (1)"]);
    assert_eq!((failure.phase, failure.committed, failure.state), (Phase::Closing, 1, State::Committed));
    assert_eq!(history_of(&database), ["1|failed|1"]);
    assert_eq!(database.lines("SELECT count(*) FROM birds"), ["0"]);
}

#[test]
fn copy_works_in_a_stepwise_batch_too() {
    let database = Postgres::fresh();
    for url in [database.url(), database.pooler_url(Pool::Transaction)] {
        database.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        let mut target = Target::ready(&Adapted, &url);
        let mut pieces = vec![Held::sql(&["CREATE TABLE birds (id int)"])];
        pieces.extend(Held::copy("COPY birds FROM STDIN", &["1\n2\n"]));
        pieces.push(Held::sql(&["~BEGIN"]));
        pieces.extend(Held::copy("~COPY birds FROM STDIN", &["3\n"]));
        pieces.push(Held::sql(&["COMMIT"]));
        let outcomes =
            target.outcomes(Script::default().then_pieces(target.head(1, Mode::Stepwise, 5), pieces));
        assert_eq!(outcomes, [Ok(Done::new(5))]);
        assert_eq!(database.lines("SELECT count(*) FROM birds"), ["3"]);
        assert_eq!(history_of(&database), ["1|applied|5"]);
    }
}

#[test]
fn an_attempt_is_alive_while_the_server_works_on_it() {
    let database = Postgres::fresh();
    let stranger = database.role("stranger");
    let role = database.url_as(&stranger, &servers().postgres.password);
    for url in [database.url(), database.pooler_url(Pool::Transaction)] {
        database.execute(&format!("DROP TABLE IF EXISTS {TABLE}"));
        let mut watcher = Target::ready(&Adapted, &database.url());
        let mut reader = Target::open(&Adapted, &role);
        let mut blocker = database.client();
        blocker.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(4711)").expect("nobody holds it");
        let mut target = Target::open(&Adapted, &url);
        let head = target.head(1, Mode::Stepwise, 1);
        let attempt = head.attempt.clone();
        let asked = |target: &mut Target| target.connection.alive(&attempt).expect("it can be asked");
        assert_eq!(asked(&mut watcher), Liveness::Gone);
        thread::scope(|scope| {
            let running =
                scope.spawn(|| target.outcomes(Script::of(head, &["SELECT pg_advisory_xact_lock(4711)"])));
            let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            until("the statement waits", || database.lines(waits) != ["0"]);
            assert_eq!(asked(&mut watcher), Liveness::Alive, "{url}");
            assert_eq!(asked(&mut reader), Liveness::Unknown, "{url}");
            blocker.batch_execute("COMMIT").expect("the lock is given back");
            assert_eq!(running.join().expect("the runner does not panic"), [Ok(Done::new(1))]);
        });
        assert_eq!(asked(&mut watcher), Liveness::Gone);
    }
}

#[test]
fn a_script_leaves_nothing_behind_in_the_session() {
    let database = Postgres::fresh();
    let role = database.role("clerk");
    let mut target = Target::ready(&Adapted, &database.url());
    let grant = format!("GRANT {role} TO CURRENT_USER");
    let set_role = format!("SET ROLE {role}");
    let statements = [
        "SELECT pg_catalog.set_config('search_path', '', false)",
        "SET client_encoding = 'LATIN1'",
        "SELECT pg_advisory_lock(1)",
        "CREATE TEMP TABLE scratch (id int)",
        "LISTEN birds",
        "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
        &grant,
        &set_role,
    ];
    let outcomes = target.outcomes(Script::of(target.head(1, Mode::Atomic, 8), &statements));
    assert_eq!(outcomes, [Ok(Done::new(8))]);
    let left = "SELECT current_setting('search_path'), current_setting('client_encoding'), current_user = session_user,
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
        to_regclass('scratch') IS NULL, (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_cursors WHERE is_holdable)";
    let clean = [
        Value::text("\"$user\", public"),
        Value::text("UTF8"),
        Value::Bool(true),
        Value::Int(0),
        Value::Bool(true),
        Value::Int(0),
        Value::Int(0),
    ];
    assert_eq!(target.row(left, &[]), clean);
}

#[test]
fn notices_come_with_the_batch_that_caused_them_and_ours_not_at_all() {
    let database = Postgres::fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    target.execute("DO $$ BEGIN RAISE NOTICE 'before'; END $$");
    let mut script = Script::default();
    for position in 1..=20 {
        let statement = format!("DO $$ BEGIN RAISE NOTICE '{position}'; END $$");
        script = script.then(target.head(position, Mode::Atomic, 1), &[&[&statement]]);
    }
    let heard = target.run(script.as_asked());
    assert_eq!(heard.answer, Ok(()));
    let notices = heard.notices.into_iter().map(|(batch, notice)| (batch, notice.message));
    let expected: Vec<_> = (0..20).map(|batch| (batch, (batch + 1).to_string())).collect();
    assert_eq!(notices.collect::<Vec<_>>(), expected);
    let script = Script::of(target.head(21, Mode::Atomic, 2), &["SELECT 1", "nope"]);
    let heard = target.run(script);
    assert_eq!((heard.answer, heard.notices), (Ok(()), Vec::new()), "nothing ran, and the ROLLBACK is ours");
}

/// The rows of a script are thrown away as they come, however many there are.
#[test]
fn a_script_may_select_more_than_fits() {
    let database = Postgres::fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    let before = resident();
    let select = "SELECT repeat('x', 1000) FROM generate_series(1, 100000)";
    assert_eq!(target.outcomes(Script::of(target.head(1, Mode::Atomic, 1), &[select])), [Ok(Done::new(1))]);
    target.execute(select);
    let grown = resident().saturating_sub(before);
    assert!(grown < 50 * 1024, "{grown} KiB for 2 x 100 MB of rows");
}

/// Waits until the server has no session with this number.
fn until_it_is_gone(database: &Postgres, pid: i64) {
    let left = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    until("the session is gone", || database.lines(&left) == ["0"]);
}

/// Returns how much memory this process has in use, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the system tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("there is such a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_lost_reply_leaves_every_sent_batch_in_doubt() {
    for batches in [1, 2] {
        let database = Postgres::fresh();
        let proxy = Proxy::before(&database);
        let mut target = Target::ready(&Adapted, &proxy.url(&database));
        proxy.forget();
        // Far enough away that both are sent before the first reply.
        proxy.delay(Duration::from_millis(100));
        match batches {
            1 => proxy.fault(Fault::LostReply { text: "COMMIT".to_owned() }),
            _ => proxy.fault(Fault::Reply { turn: 1, loss: Loss::Close }),
        }
        let mut script = Script::default();
        for position in 1..=batches {
            let statement = format!("CREATE TABLE birds_{position} ()");
            script = script.then(target.head(position, Mode::Atomic, 1), &[&[&statement]]);
        }
        let heard = target.run(script.as_asked());
        let error = heard.answer.expect_err("the session is gone");
        assert_eq!((error.kind, error.session), (ErrorKind::ConnectionLost, Session::Lost));
        let told: Vec<_> =
            heard.outcomes.iter().map(|outcome| told(outcome.as_ref().expect_err("in doubt"))).collect();
        assert_eq!(told, vec![(Phase::Commit, ErrorKind::ConnectionLost, State::InDoubt); batches as usize]);
        let gone = target.connection.ping().expect_err("it is gone");
        assert_eq!(gone.session, Session::Lost);
        if batches == 1 {
            assert_eq!(database.lines("SELECT to_regclass('birds_1')"), ["birds_1"], "it had committed");
        }
    }
}

#[test]
fn a_session_lost_before_the_commit_was_sent_took_nothing_along() {
    let database = Postgres::fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    proxy.forget();
    proxy.fault(Fault::Reply { turn: 1, loss: Loss::Reset });
    let pieces: &[&[&str]] = &[&["CREATE TABLE birds ()"], &["CREATE TABLE nests ()"]];
    let heard = target.run(Script::default().then(target.head(1, Mode::Atomic, 2), pieces));
    assert_eq!(heard.answer.expect_err("it is gone").session, Session::Lost);
    assert_eq!(heard.outcomes[0].as_ref().expect_err("it failed").state, State::RolledBack);
    assert_eq!(database.lines("SELECT to_regclass('birds')"), ["NULL"]);
}

#[test]
fn a_session_that_an_administrator_ends_says_so() {
    let database = Postgres::fresh();
    let mut target = Target::open(&Adapted, &database.url());
    let [Value::Int(pid)] = target.row("SELECT pg_backend_pid()", &[])[..] else { panic!("a number") };
    database.execute(&format!("SELECT pg_terminate_backend({pid})"));
    until_it_is_gone(&database, pid);
    let error = target.connection.ping().expect_err("it is gone");
    assert_eq!((error.kind, error.session), (ErrorKind::ConnectionLost, Session::Lost));
    assert_eq!(error.sqlstate.as_deref(), Some("57P01"));
    assert!(target.close().is_err());
}

#[test]
fn a_running_statement_is_cancelled_over_tls_and_through_a_pooler() {
    let database = Postgres::fresh();
    for url in [database.url_tls(), database.pooler_url(Pool::Transaction)] {
        database.execute(&format!("DROP TABLE IF EXISTS {TABLE}"));
        let mut target = Target::ready(&Adapted, &url);
        let canceller = target.canceller.clone();
        thread::scope(|scope| {
            let running = scope.spawn(|| target.failure(Mode::Atomic, &["SELECT pg_sleep(600)"]));
            let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
            until("the statement sleeps", || database.lines(sleeps) != ["0"]);
            canceller.cancel().expect("the request is delivered");
            let failure = running.join().expect("the runner does not panic");
            assert_eq!(
                told(&failure),
                (Phase::Statement(0), ErrorKind::Cancelled, State::RolledBack),
                "{url}"
            );
        });
        target.connection.ping().expect("the session goes on");
        target.close().expect("the session ends in order");
        assert_eq!(canceller.cancel(), Ok(()), "nothing runs any more");
    }
}

#[test]
fn a_statement_that_runs_too_long_is_told_from_a_cancelled_one() {
    let database = Postgres::fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    let failure = target.failure(Mode::Atomic, &["SET LOCAL statement_timeout = 50", "SELECT pg_sleep(600)"]);
    assert_eq!(told(&failure), (Phase::Statement(1), ErrorKind::StatementTimeout, State::RolledBack));
    database.execute("CREATE TABLE birds ()");
    let mut holder = database.client();
    holder.batch_execute("BEGIN; LOCK TABLE birds").expect("nobody holds it");
    let failure = target.failure(Mode::Atomic, &["SET LOCAL lock_timeout = 50", "SELECT FROM birds"]);
    assert_eq!(told(&failure), (Phase::Statement(1), ErrorKind::LockTimeout, State::RolledBack));
}

#[test]
fn a_transaction_is_as_isolated_as_asked_and_its_commit_may_fail() {
    let database = Postgres::fresh();
    let mut target = Target::open(&Adapted, &database.url());
    target.execute("CREATE TABLE birds (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    let mut options = TransactionOptions::default();
    options.isolation = Isolation::Serializable;
    let outcome = target.connection.transaction(&options, &mut |inside| {
        inside.execute_raw("INSERT INTO birds VALUES (1)").map_err(|_| BodyFailed)?;
        let mut rows = Rows::default();
        inside.query("SHOW transaction_isolation", &[], &mut rows).map_err(|_| BodyFailed)?;
        assert_eq!(rows.sets[0].rows, [[Value::text("serializable")]]);
        Ok(())
    });
    assert_eq!(outcome, Ok(()));
    let mut commit = |body: &str| {
        let outcome = target.connection.transaction(&TransactionOptions::default(), &mut |inside| {
            let _ = inside.execute_raw(body);
            Ok(())
        });
        outcome.expect_err("it does not commit").sqlstate
    };
    assert_eq!(commit("INSERT INTO birds VALUES (3), (3)").as_deref(), Some("23505"));
    assert_eq!(
        commit("SELECT nope").as_deref(),
        Some("25P02"),
        "an error that the body hides must not look like success"
    );
    assert_eq!(database.lines("SELECT id FROM birds"), ["1"]);
    assert_eq!(target.connection.ping(), Ok(()));
}

#[tokio::test]
async fn it_works_inside_somebody_elses_runtime() {
    let database = tokio::task::spawn_blocking(Postgres::fresh).await.expect("a database is created");
    let work = |database: &Postgres| {
        let mut target = Target::ready(&Adapted, &database.url());
        let outcomes = target.outcomes(Script::of(target.head(1, Mode::Atomic, 1), &["SELECT 1"]));
        assert_eq!(outcomes, [Ok(Done::new(1))]);
        target.canceller.cancel().expect("the request is delivered");
        assert_eq!(target.row("SELECT $1", &[7.into()]), [Value::Int(7)]);
        target.close().expect("the session ends in order");
        // Dropped without being closed.
        Target::open(&Adapted, &database.url());
    };
    work(&database);
    tokio::task::spawn_blocking(move || {
        database.execute(&format!("DROP TABLE {TABLE}"));
        work(&database);
    })
    .await
    .expect("the work does not panic");
}

#[test]
fn a_session_that_is_dropped_ends_on_the_server() {
    let database = Postgres::fresh();
    let mut target = Target::open(&Adapted, &database.url());
    let [Value::Int(pid)] = target.row("SELECT pg_backend_pid()", &[])[..] else { panic!("a number") };
    drop(target);
    until_it_is_gone(&database, pid);
}

#[test]
fn an_index_is_built_concurrently_behind_a_pooler() {
    let database = Postgres::fresh();
    let mut target = Target::ready(&Adapted, &database.pooler_url(Pool::Transaction));
    database.execute("CREATE TABLE birds (id int)");
    let statements = ["CREATE INDEX CONCURRENTLY birds_id ON birds (id)", "SELECT 1"];
    let outcomes = target.outcomes(Script::of(target.head(1, Mode::Stepwise, 2), &statements));
    assert_eq!(outcomes, [Ok(Done::new(2))]);
}

/// What the lexer calls `NoTransaction` the server must refuse inside a transaction, and the reverse.
#[test]
fn statements_are_judged_as_the_server_judges_them() {
    let database = Postgres::fresh();
    let mut target = Target::open(&Adapted, &database.url());
    target.execute(
        "CREATE TABLE birds (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE few PARTITION OF birds FOR VALUES FROM (1) TO (9);
         CREATE TABLE nests (id int CONSTRAINT nests_pkey PRIMARY KEY);
         CLUSTER nests USING nests_pkey",
    );
    let rules = Rules::new(&target.dialect.lexer()).expect("the patterns are sound");
    let refused = [
        "CREATE INDEX CONCURRENTLY ON nests (id)",
        "create /* now */ unique index concurrently if not exists x on nests (id)",
        "DROP INDEX CONCURRENTLY IF EXISTS no_such_index, another",
        "REINDEX TABLE CONCURRENTLY nests",
        "REINDEX INDEX CONCURRENTLY nests_pkey",
        "REINDEX (VERBOSE, CONCURRENTLY) TABLE nests",
        "REINDEX SCHEMA public",
        "REINDEX DATABASE postgres",
        "REINDEX (VERBOSE) SYSTEM postgres",
        "VACUUM (FULL) nests",
        "CLUSTER",
        "CLUSTER VERBOSE",
        "CREATE DATABASE other",
        "DROP DATABASE IF EXISTS no_such_database",
        "ALTER DATABASE postgres SET TABLESPACE pg_default",
        "CREATE TABLESPACE place LOCATION '/nowhere'",
        "DROP TABLESPACE IF EXISTS no_such_place",
        "ALTER SYSTEM SET work_mem = '4MB'",
        "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p",
        "ALTER TABLE birds DETACH PARTITION few CONCURRENTLY",
        "ALTER TABLE IF EXISTS ONLY public.birds DETACH PARTITION public.few CONCURRENTLY",
        "DISCARD ALL",
        "COMMIT PREPARED 'x'",
        "ROLLBACK PREPARED 'x'",
    ];
    let taken = [
        "REINDEX TABLE nests",
        "REINDEX (VERBOSE) TABLE nests",
        "CLUSTER nests",
        "CLUSTER VERBOSE nests",
        "CREATE INDEX ON nests (id)",
        "DISCARD TEMP",
        "ALTER DATABASE postgres RESET work_mem",
        "SAVEPOINT a; ROLLBACK TO SAVEPOINT a",
        "SAVEPOINT a; ROLLBACK WORK TO a",
    ];
    let taken_back = [
        "WITH one AS (SELECT 1 AS id) INSERT INTO nests SELECT id FROM one",
        "TRUNCATE nests",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE UNLOGGED TABLE eggs (id int)",
        "CREATE TYPE colour AS ENUM ('brown')",
        "ALTER TABLE nests ADD COLUMN place text",
        "ALTER TABLE birds DETACH PARTITION few",
        "DROP INDEX IF EXISTS concurrently_named",
        "COMMENT ON TABLE nests IS 'where they breed'",
    ];
    let mut judge = |statement: &str, class: Class, sqlstate: Option<&str>| {
        let classes = classes(&rules, statement);
        assert!(classes.iter().all(|found| *found == class), "{statement}: {classes:?}");
        target.execute("BEGIN");
        let outcome = target.connection.execute_raw(statement);
        let answer = outcome.err().and_then(|error| error.sqlstate);
        assert_eq!(answer.as_deref(), sqlstate, "{statement}");
        target.execute("ROLLBACK");
    };
    for statement in refused {
        judge(statement, Class::NoTransaction, Some("25001"));
    }
    for statement in taken {
        judge(statement, Class::Plain, None);
    }
    for statement in taken_back {
        judge(statement, Class::Transactional, None);
    }
}

#[test]
fn statements_about_the_transaction_and_for_the_client_are_recognised() {
    let database = Postgres::fresh();
    let target = Target::open(&Adapted, &database.url());
    let rules = Rules::new(&target.dialect.lexer()).expect("the patterns are sound");
    for (script, class) in [
        ("begin work", Class::Begin),
        ("START TRANSACTION READ ONLY", Class::Begin),
        ("commit and chain", Class::Begin),
        ("ROLLBACK WORK AND CHAIN", Class::Begin),
        ("COMMIT AND NO CHAIN", Class::Commit),
        ("END", Class::Commit),
        ("PREPARE TRANSACTION 'x'", Class::Rollback),
        ("rollback", Class::Rollback),
        ("ABORT", Class::Rollback),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", Class::Transactional),
        ("SELECT 'a\\'", Class::Plain),
        ("COPY \"Odd\".birds (id, \"from\") FROM stdin WITH (FORMAT csv);\n1\n\\.\n", Class::CopyFromStdin),
        ("COPY birds FROM '/tmp/birds'", Class::Plain),
        ("COPY (SELECT 1) TO STDOUT", Class::ClientCommand),
        ("\\restrict abc\n", Class::Skipped),
        ("\\set ON_ERROR_STOP on\n", Class::Skipped),
        ("\\set name value\n", Class::ClientCommand),
        ("\\i other.sql\n", Class::ClientCommand),
        ("\\encoding utf8\n", Class::Skipped),
        ("\\encoding latin1\n", Class::ClientCommand),
        ("\\x\n", Class::Skipped),
    ] {
        assert_eq!(classes(&rules, script), [class], "{script}");
    }
}

#[test]
fn a_session_without_standard_strings_is_split_by_their_rules() {
    let database = Postgres::fresh();
    database.execute(&format!("ALTER DATABASE {} SET standard_conforming_strings = off", database.name()));
    let mut target = Target::ready(&Adapted, &database.url());
    let rules = Rules::new(&target.dialect.lexer()).expect("the patterns are sound");
    assert_eq!(classes(&rules, "SELECT 'a\\'; SELECT 2; -- '"), [Class::Plain]);
    // Our own literals mean the same as ever.
    let outcomes = target.outcomes(Script::of(target.head(1, Mode::Atomic, 1), &["SELECT 1"]));
    assert_eq!(outcomes, [Ok(Done::new(1))]);
    let stored = database.lines(&format!("SELECT down_script FROM {TABLE}"));
    assert_eq!(stored, [DOWN_SCRIPT]);
}

fn classes(rules: &Rules, script: &str) -> Vec<Class> {
    let mut splitter = Splitter::new(rules, script.as_bytes());
    let mut classes = Vec::new();
    while let Some(item) = splitter.next_item().unwrap_or_else(|error| panic!("{error:?}\nin: {script}")) {
        if let Item::Statement(statement) = item {
            classes.push(statement.class);
        }
    }
    classes
}
