//! What is particular about the MySQL adapter, on a real server.
//!
//! Counts turns on the wire, breaks connections, and looks at what is in the database afterwards. What every adapter
//! must do alike is the conformance suite's.

use std::time::Duration;

use mysql::prelude::Queryable;
use rstest::rstest;
use whimbrel_adapter_api::{
    Adapter, BodyFailed, ConnectOptions, Done, Error, ErrorKind, Feature, Head, Limits, Liveness, Mode,
    Opened, Phase, Rows, Secret, Session, State, TableName, Text, TransactionOptions, Value, ValueKind,
};
use whimbrel_adapter_mysql::MySql as Adapted;
use whimbrel_conformance::DOWN_SCRIPT;
use whimbrel_conformance::work::Script;
use whimbrel_tests::Product::{MariaDb, MySql};
use whimbrel_tests::{Database, Fault, Loss, MySqlDatabase, Product, Proxy, Target, until};

const TABLE: &str = "whimbrel_migrations";

fn open(url: &str) -> Opened {
    Adapted.connect(&ConnectOptions::new(Secret::new(url))).expect("the server takes the session")
}

fn refused(url: &str) -> Error {
    Adapted.connect(&ConnectOptions::new(Secret::new(url))).err().expect("the session is refused")
}

fn state_of(database: &MySqlDatabase) -> Vec<String> {
    database.lines(&format!("SELECT position, state, statements_done FROM {TABLE} ORDER BY position"))
}

fn no_lock_is_left(target: &mut Target, head: &Head) {
    assert_eq!(target.row("SELECT IS_USED_LOCK(?)", &[Value::text(&head.attempt)]), [Value::Null]);
}

#[rstest]
fn a_migration_is_one_turn_and_so_is_the_history(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    // Facts and table; connecting asked nothing.
    assert_eq!((proxy.turns(), proxy.connections()), (2, 2));
    proxy.forget();

    let name = TableName::new(TABLE);
    let texts = [Text::Facts { history: &name }, Text::History { history: &target.history }];
    let texts: Vec<String> = texts.iter().filter_map(|text| target.dialect.text(text)).flatten().collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut rows = Rows::default();
    target.connection.read(&texts, &mut rows).expect("both can be read");
    assert_eq!(proxy.turns(), 1);
    assert_eq!(rows.sets[1].columns, whimbrel_adapter_api::HISTORY_COLUMNS);

    proxy.forget();
    let first = [
        "CREATE TABLE birds (id INT PRIMARY KEY, note TEXT) -- no line break",
        "INSERT INTO birds VALUES (1, 'a')",
    ];
    let script = Script::of(target.head(1, Mode::Stepwise, 2), &first)
        .then(target.head(2, Mode::Atomic, 1), &[&["INSERT INTO birds VALUES (2, 'b')"]]);
    assert_eq!(target.outcomes(script), [Ok(Done::new(2)), Ok(Done::new(1))]);
    assert_eq!(proxy.turns(), 2);
    assert_eq!(state_of(&database), ["1|applied|2", "2|applied|1"]);
    assert_eq!(target.down_script(1).expect("it is stored"), DOWN_SCRIPT);
}

#[rstest]
fn batches_that_need_not_wait_share_a_turn(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY)");
    proxy.forget();
    let mut script = Script::default();
    for position in 1..=20 {
        let statement = format!("INSERT INTO birds VALUES ({position})");
        script = script.then(target.head(position, Mode::Atomic, 1), &[&[&statement]]);
    }
    assert_eq!(target.outcomes(script.as_asked()), vec![Ok(Done::new(1)); 20]);
    assert_eq!(proxy.turns(), 1);
    assert_eq!(database.lines("SELECT COUNT(*) FROM birds"), ["20"]);
}

#[rstest]
fn a_key_that_is_taken_is_told_with_its_name(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY)");
    let error = target.failure(Mode::Atomic, &["INSERT INTO birds VALUES (1), (1)"]).error;
    assert_eq!((error.kind, error.native), (ErrorKind::Constraint, Some(1062)));
    assert_eq!(error.sqlstate.as_deref(), Some("23000"));
    assert_eq!(error.constraint.as_deref(), Some("PRIMARY"));
    assert_eq!(error.table.as_deref(), server.either(None, Some("birds")));
}

#[rstest]
fn a_stepwise_failure_is_exact_to_the_statement_and_recorded(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    proxy.forget();
    let failure = target.failure(
        Mode::Stepwise,
        &[
            "CREATE TABLE a (id INT)",
            "SET SESSION sql_mode = 'ANSI_QUOTES'",
            "CREATE\n  TABEL b (id INT)",
            "CREATE TABLE c (id INT)",
        ],
    );
    assert_eq!((failure.phase, failure.completed, failure.committed), (Phase::Statement(2), 2, 2));
    assert_eq!((failure.state, failure.error.kind), (State::Committed, ErrorKind::Syntax));
    assert_eq!(failure.error.position, Some(9), "{}", failure.error.message);
    assert_eq!(proxy.turns(), 2);
    assert_eq!(state_of(&database), ["1|failed|2"]);
    assert_eq!(database.lines("SHOW TABLES LIKE '_'"), ["a"]);
    let head = target.head(1, Mode::Stepwise, 4);
    no_lock_is_left(&mut target, &head);
    let mode = target.row("SELECT @@sql_mode", &[]).remove(0);
    assert!(!mode.as_text().expect("it is text").contains("ANSI_QUOTES"));
}

#[rstest]
fn a_mark_stands_behind_every_statement_even_when_the_client_dies(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    let head = target.head(1, Mode::Stepwise, 3);
    let attempt = head.attempt.clone();
    let mut watcher = Target::open(&Adapted, &database.url());
    let mut blocker = database.client();
    blocker.query_drop("CREATE TABLE gate (id INT PRIMARY KEY)").expect("the table is new");
    // A row and not the table: MariaDB ends a session that waits for a table when its client is gone.
    blocker.query_drop("START TRANSACTION; INSERT INTO gate VALUES (1)").expect("nobody else has it");
    proxy.forget();
    proxy.fault(Fault::Reply { turn: 1, loss: Loss::Close });
    // The packet's first answers come at once, and with them the cut; the server goes on to the gate.
    let heard = target.run(Script::of(
        head,
        &["CREATE TABLE a (id INT)", "INSERT INTO gate VALUES (1)", "CREATE TABLE b (id INT)"],
    ));
    let error = heard.answer.expect_err("the connection was cut");
    assert_eq!((error.kind, error.session), (ErrorKind::ConnectionLost, Session::Lost));
    let failure = heard.outcomes[0].clone().expect_err("nothing was heard of it");
    assert_eq!((failure.state, failure.completed), (State::Unknown, 0));
    // The connection ends with the first answer, which may be before the server has come to the lock.
    until("the orphan is at work", || watcher.connection.alive(&attempt) == Ok(Liveness::Alive));
    blocker.query_drop("ROLLBACK").expect("it was inserted");
    // Whoever waits for the lock of the attempt gets it when the orphan is through.
    blocker.query_drop(format!("DO GET_LOCK('{attempt}', 60)")).expect("the orphan comes to its end");
    blocker.query_drop(format!("DO RELEASE_LOCK('{attempt}')")).expect("it was got");
    assert_eq!(watcher.connection.alive(&attempt), Ok(Liveness::Gone));
    assert_eq!(database.lines("SHOW TABLES LIKE '_'"), ["a", "b"]);
    assert_eq!(state_of(&database), ["1|applied|3"]);
}

#[rstest]
fn a_lost_answer_leaves_an_atomic_batch_in_doubt(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY)");
    proxy.fault(Fault::LostReply { text: "COMMIT".to_owned() });
    let script = Script::of(target.head(1, Mode::Atomic, 1), &["INSERT INTO birds VALUES (1)"])
        .then(target.head(2, Mode::Atomic, 1), &[&["INSERT INTO birds VALUES (2)"]]);
    let heard = target.run(script.as_asked());
    heard.answer.expect_err("the connection was cut");
    assert_eq!(heard.outcomes.len(), 2);
    for outcome in heard.outcomes {
        assert_eq!(outcome.expect_err("the answer was lost").state, State::InDoubt);
    }
    assert_eq!(state_of(&database), ["1|applied|1", "2|applied|1"]);
}

#[rstest]
fn a_connection_lost_before_the_commit_was_sent_is_no_doubt(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY, note MEDIUMTEXT)");
    proxy.forget();
    proxy.cut_after_turn(1);
    let note = "x".repeat(200 * 1024);
    let [first, second] = [1, 2].map(|id| format!("INSERT INTO birds VALUES ({id}, '{note}')"));
    let script = Script::default().then(target.head(1, Mode::Atomic, 2), &[&[&first], &[&second]]);
    let heard = target.run(script);
    heard.answer.expect_err("the connection was cut");
    let failure = heard.outcomes[0].clone().expect_err("the answer was lost");
    assert_eq!((failure.state, failure.committed), (State::RolledBack, 0));
    assert_eq!(state_of(&database), Vec::<String>::new());
}

#[rstest]
fn a_position_that_another_runner_is_about_to_take_is_a_lost_fence(
    #[values(MariaDb, MySql)] server: Product,
) {
    let database = server.fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    database.execute("CREATE TABLE birds (id INT)");
    let script = Script::of(target.head(1, Mode::Atomic, 1), &["INSERT INTO birds VALUES (1)"]);
    assert_eq!(target.outcomes(script), [Ok(Done::new(1))]);
    // Another runner's row is not committed yet.
    let mut other = database.client();
    other.query_drop("START TRANSACTION").expect("it begins");
    other
        .query_drop(format!(
            "INSERT INTO {TABLE} SELECT 2, 1, '002', 1, direction, state, checksum, 0, 0, NULL, NULL, started_at, NULL, \
             NULL, NULL, '' FROM {TABLE}"
        ))
        .expect("the position is free");
    let mut limits = Limits::default();
    limits.lock = Some(Duration::from_secs(2));
    let head = target.limited_head(2, Mode::Atomic, 1, &limits).expect("every text is there");
    let failure = target.failing(Script::of(head, &["INSERT INTO birds VALUES (2)"]));
    assert_eq!((failure.phase, failure.error.kind), (Phase::Opening, ErrorKind::FenceTaken));
    assert_eq!(failure.error.native, Some(1205));
    assert_eq!(database.lines("SELECT id FROM birds"), ["1"]);
}

#[rstest]
fn a_commit_in_the_script_is_noticed(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    database.execute("CREATE TABLE birds (id INT)");
    let failure = target.failure(Mode::Atomic, &["INSERT INTO birds VALUES (1)", "ROLLBACK"]);
    assert_eq!((failure.phase, failure.state), (Phase::Closing, State::Unknown));
    assert_eq!(failure.error.kind, ErrorKind::TransactionEnded);
    assert_eq!(state_of(&database), Vec::<String>::new());
}

/// Exit 1 means "as it was before", and these rows stay.
#[rstest]
fn a_failure_behind_a_hidden_commit_is_recorded_with_what_stays(#[values(MariaDb, MySql)] server: Product) {
    for hidden in ["CREATE TABLE nests (id INT)", "COMMIT"] {
        let database = server.fresh();
        let mut target = Target::ready(&Adapted, &database.url());
        database.execute("CREATE TABLE birds (id INT)");
        database.execute(&format!("CREATE PROCEDURE hidden() {hidden}"));
        let failure =
            target.failure(Mode::Atomic, &["INSERT INTO birds VALUES (1)", "CALL hidden()", "SELECT nope"]);
        assert_eq!((failure.phase, failure.completed), (Phase::Statement(2), 2), "{hidden}");
        assert_eq!((failure.state, failure.committed), (State::Committed, 2), "{hidden}");
        assert!(failure.error.detail.expect("it says why").contains("ended the transaction"), "{hidden}");
        assert_eq!(database.lines("SELECT id FROM birds"), ["1"], "{hidden}");
        assert_eq!(state_of(&database), ["1|failed|2"], "{hidden}");
    }
}

/// What is in the database cannot be told, and nothing is claimed.
#[rstest]
fn a_failure_behind_any_other_hidden_end_is_of_unknown_state(#[values(MariaDb, MySql)] server: Product) {
    for (hidden, row) in [("ROLLBACK", None), ("BEGIN COMMIT; START TRANSACTION; END", Some("1|started|0"))] {
        let database = server.fresh();
        let mut target = Target::ready(&Adapted, &database.url());
        database.execute("CREATE TABLE birds (id INT)");
        database.client().query_drop(format!("CREATE PROCEDURE hidden() {hidden}")).expect("it is new");
        let inserts = "INSERT INTO birds VALUES (1)";
        let failure = target.failure(Mode::Atomic, &[inserts, "CALL hidden()", inserts, "SELECT nope"]);
        assert_eq!((failure.state, failure.committed), (State::Unknown, 0), "{hidden}");
        assert_eq!(database.lines("SELECT id FROM birds"), ["1"], "{hidden}");
        assert_eq!(state_of(&database), Vec::from_iter(row), "{hidden}");
    }
}

#[rstest]
fn tables_without_transactions_are_told(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    database
        .execute("CREATE TABLE birds (id INT) ENGINE = MyISAM; CREATE TABLE nests (id INT) ENGINE = InnoDB");
    let mut target = Target::ready(&Adapted, &database.url());
    assert_eq!(target.facts.tables_without_transactions, ["birds"]);
    let failure = target.failure(Mode::Atomic, &["INSERT INTO birds VALUES (1)", "SELECT nope"]);
    assert_eq!(failure.state, State::Unknown);
    assert!(failure.error.detail.expect("it says why").contains("without transactions"));
}

#[rstest]
fn statements_with_many_answers_do_not_confuse_the_count(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    database.execute("CREATE PROCEDURE three() BEGIN SELECT 1; SELECT 2; SELECT 3; END");
    database.execute("CREATE PROCEDURE breaks() BEGIN SELECT 1; SELECT * FROM nowhere; END");
    proxy.forget();
    let mut statements = vec!["SELECT 1 UNION SELECT 2", "CALL three()", "/*!50001 CALL three() */"];
    if server == MariaDb {
        // MySQL has these inside of programs alone.
        statements
            .extend(["IF 1 THEN SELECT 1; SELECT 2; END IF", "BEGIN NOT ATOMIC SELECT 4; SELECT 5; END"]);
    }
    let done = statements.len() as u64;
    statements.push("CALL breaks()");
    let failure = target.failure(Mode::Stepwise, &statements);
    assert_eq!((failure.phase, failure.completed), (Phase::Statement(done), done));
    assert_eq!(failure.error.kind, ErrorKind::TableMissing);
    assert_eq!(proxy.turns(), 2);
    database.execute(&format!("DELETE FROM {TABLE}"));
    proxy.forget();
    // What a prepared statement answers is not known beforehand: each costs a turn.
    let failure = target.failure(
        Mode::Stepwise,
        &[
            "PREPARE p FROM 'CALL three()'",
            "EXECUTE p",
            server.either("EXECUTE IMMEDIATE 'SELECT 1'", "EXECUTE p"),
            "SELECT nope",
        ],
    );
    assert_eq!((failure.phase, failure.completed), (Phase::Statement(3), 3));
    assert_eq!(proxy.turns(), 4);
}

#[rstest]
fn a_large_file_travels_in_packets_and_a_huge_statement_is_refused_unsent(
    #[values(MariaDb, MySql)] server: Product,
) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY, note LONGTEXT)");
    proxy.forget();
    let note = "x".repeat(100 * 1024);
    let statements: Vec<String> =
        (0..10).map(|id| format!("INSERT INTO birds VALUES ({id}, '{note}')")).collect();
    let pieces: Vec<Vec<&str>> =
        statements.chunks(2).map(|pair| pair.iter().map(String::as_str).collect()).collect();
    let pieces: Vec<&[&str]> = pieces.iter().map(Vec::as_slice).collect();
    let script = Script::default().then(target.head(1, Mode::Atomic, 10), &pieces);
    assert_eq!(target.outcomes(script), [Ok(Done::new(10))]);
    assert_eq!(proxy.turns(), 5);
    let longest = proxy.messages().iter().map(|message| message.text.len()).max();
    assert!(longest.expect("there are messages") <= 256 * 1024);

    // One statement above 256 KiB and below the server's limit goes alone.
    let long = format!("INSERT INTO birds VALUES (11, '{}')", "y".repeat(1024 * 1024));
    let script = Script::of(target.head(2, Mode::Atomic, 1), &[&long]);
    assert_eq!(target.outcomes(script), [Ok(Done::new(1))]);

    proxy.forget();
    let limit = target.facts.largest_message.expect("the server says it") as usize;
    let huge = format!("INSERT INTO birds VALUES (12, '{}')", "z".repeat(limit));
    let script = Script::of(target.head(3, Mode::Atomic, 2), &["INSERT INTO birds VALUES (13, '')", &huge]);
    let failure = target.failing(script);
    assert_eq!((failure.phase, failure.error.kind), (Phase::Statement(1), ErrorKind::TooLarge));
    assert!(failure.error.message.contains(&limit.to_string()), "{}", failure.error.message);
    assert!(failure.error.hint.expect("there is a way out").contains("max_allowed_packet"));
    assert_eq!(proxy.turns(), 0);
}

#[rstest]
fn unmarked_statements_may_lock_tables_and_read_row_count(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    database.execute("CREATE TABLE birds (id INT); CREATE TABLE counts (number INT)");
    let statements = [
        "~LOCK TABLES birds WRITE, counts WRITE",
        "~INSERT INTO birds VALUES (1), (2), (3)",
        "~INSERT INTO counts SELECT ROW_COUNT()",
        "UNLOCK TABLES",
        "START TRANSACTION",
        "~INSERT INTO birds VALUES (4)",
        "~SELECT nope",
    ];
    let failure = target.failure(Mode::Stepwise, &statements);
    // What the script did in its own transaction went with it.
    assert_eq!((failure.phase, failure.completed, failure.committed), (Phase::Statement(6), 6, 4));
    assert_eq!(database.lines("SELECT number FROM counts"), ["3"]);
    assert_eq!(state_of(&database), ["1|failed|4"]);
}

#[rstest]
fn a_file_that_leaves_its_tables_locked_is_still_settled(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    database.execute("CREATE TABLE birds (id INT)");
    let head = target.head(1, Mode::Stepwise, 2);
    let script = Script::of(head, &["~LOCK TABLES birds WRITE", "~INSERT INTO birds VALUES (1)"]);
    assert_eq!(target.outcomes(script), [Ok(Done::new(2))]);
    database.execute(&format!("DELETE FROM {TABLE}"));
    let failure = target.failure(Mode::Stepwise, &["~LOCK TABLES birds WRITE", "~SELECT * FROM nowhere"]);
    assert_eq!((failure.phase, failure.committed), (Phase::Statement(1), 1));
    assert_eq!(state_of(&database), ["1|failed|1"]);
}

#[rstest]
fn settings_of_a_script_do_not_outlive_it(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    let ask = "SELECT CONCAT_WS('|', @@sql_mode, @@foreign_key_checks, @@unique_checks, @@sql_notes, @@time_zone, \
               @@character_set_client, @@character_set_results, @@collation_connection, @@autocommit, DATABASE(), \
               @@lock_wait_timeout, @@innodb_lock_wait_timeout, CURRENT_ROLE(), @@session.default_storage_engine) s";
    let before = target.row(ask, &[]);
    let statements = [
        "SET NAMES latin1, foreign_key_checks = 0, unique_checks = 0, sql_notes = 0, time_zone = '+05:00'",
        "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', default_storage_engine = 'MyISAM', autocommit = 0",
        "USE information_schema",
        "DO GET_LOCK('left behind', 0)",
    ];
    let head = target.head(1, Mode::Stepwise, 4);
    assert_eq!(target.outcomes(Script::of(head, &statements)), [Ok(Done::new(4))]);
    assert_eq!(target.row(ask, &[]), before);
    assert_eq!(database.lines("SELECT IS_FREE_LOCK('left behind')"), ["1"]);
    assert_eq!(state_of(&database), ["1|applied|4"]);
}

#[rstest]
fn a_role_that_a_script_gives_up_is_taken_again(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let user = database.user("keeper");
    let role = format!("{user}_r");
    database.execute(&format!(
        "CREATE ROLE {role}; GRANT ALL ON {}.* TO {role}; GRANT {role} TO {user}@'%'",
        database.name()
    ));
    database.execute(&match server {
        MariaDb => format!("SET DEFAULT ROLE {role} FOR {user}@'%'"),
        MySql => format!("SET DEFAULT ROLE {role} TO {user}@'%'"),
    });
    // MariaDB lets nobody connect to a database by a role's rights alone.
    database.execute(&format!("GRANT SHOW VIEW ON {}.* TO {user}@'%'", database.name()));
    let mut target = Target::ready(&Adapted, &database.url_as(&user, &server.server().password));
    let head = target.head(1, Mode::Stepwise, 2);
    let script = Script::of(head, &["CREATE TABLE birds (id INT)", "~SET ROLE NONE"]);
    assert_eq!(target.outcomes(script), [Ok(Done::new(2))]);
    let head = target.head(2, Mode::Stepwise, 1);
    let script = Script::of(head, &["CREATE TABLE nests (id INT)"]);
    assert_eq!(target.outcomes(script), [Ok(Done::new(1))]);
    database.execute(&format!("DROP ROLE {role}"));
}

#[rstest]
fn a_stop_takes_back_what_was_sent(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut target = Target::ready(&Adapted, &database.url());
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY, note MEDIUMTEXT)");
    let note = "x".repeat(200 * 1024);
    let [first, second, third] = [1, 2, 3].map(|id| format!("INSERT INTO birds VALUES ({id}, '{note}')"));
    let script = Script::default().then(target.head(1, Mode::Atomic, 3), &[&[&first], &[&second], &[&third]]);
    let failure = target.failing(script.stopping_at(2));
    assert_eq!((failure.error.kind, failure.state), (ErrorKind::Stopped, State::RolledBack));
    assert_eq!(database.lines("SELECT COUNT(*) FROM birds"), ["0"]);
}

#[rstest]
fn what_the_adapter_does_not_have_is_refused_before_anything_is_sent(
    #[values(MariaDb, MySql)] server: Product,
) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&Adapted, &proxy.url(&database));
    proxy.forget();
    let mut head = target.head(1, Mode::Atomic, 1);
    head.outside = vec!["SET foreign_key_checks = 0".to_owned()];
    let failure = target.failing(Script::of(head, &["SELECT 1"]));
    assert_eq!((failure.error.kind, failure.state), (ErrorKind::Unsupported, State::RolledBack));
    assert_eq!(proxy.turns(), 0);
}

#[rstest]
fn values_go_in_and_come_out_unchanged(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut connection = open(&database.url()).connection;
    let decimal = Value::Typed(ValueKind::Decimal, "-12.50".into());
    let parameters = [
        Value::Null,
        Value::Int(i64::MIN),
        Value::UInt(u64::MAX),
        Value::Float(0.1),
        Value::text("Größe 🦅 \\ '"),
        Value::Bytes(vec![0, 255, 39].into()),
        Value::Bool(true),
        decimal.clone(),
    ];
    connection
        .execute_raw(
            "CREATE TABLE v (n INT, i BIGINT, u BIGINT UNSIGNED, f DOUBLE, t VARCHAR(40) CHARACTER SET utf8mb4, \
             b VARBINARY(9), o BOOLEAN, d DECIMAL(9,2), day DATE, at DATETIME(3), span TIME(2), stamp TIMESTAMP NULL, \
             y YEAR, bits BIT(10), e ENUM('a','b'), g FLOAT)",
        )
        .expect("the table is new");
    let insert = "INSERT INTO v VALUES (?, ?, ?, ?, ?, ?, ?, ?, '2026-01-31', '2026-01-31 13:05:00.25', '-838:59:58.5', \
                  '2026-01-31 13:05:00', 2026, b'1000000001', 'b', 0.1)";
    connection.query(insert, &parameters, &mut Rows::default()).expect("every kind is taken");
    let (mut text, mut binary) = (Rows::default(), Rows::default());
    connection.query("SELECT * FROM v", &[], &mut text).expect("the table is there");
    connection
        .query("SELECT * FROM v WHERE ? = 1", &[Value::Int(1)], &mut binary)
        .expect("the table is there");
    assert_eq!(text, binary, "the two protocols give the same");
    let row = &text.sets[0].rows[0];
    assert_eq!(row[..6], parameters[..6]);
    let typed = |kind, text: &'static str| Value::Typed(kind, text.into());
    assert_eq!(
        row[6..],
        [
            Value::Int(1),
            decimal,
            typed(ValueKind::Date, "2026-01-31"),
            typed(ValueKind::Timestamp, "2026-01-31 13:05:00.250"),
            typed(ValueKind::Time, "-838:59:58.50"),
            typed(ValueKind::Timestamp, "2026-01-31 13:05:00"),
            Value::Int(2026),
            Value::Int(513),
            typed(ValueKind::Other, "b"),
            Value::Float(0.1),
        ]
    );
}

#[rstest]
fn an_error_in_a_later_statement_is_told_as_the_server_told_it(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut connection = open(&database.url()).connection;
    let error =
        connection.execute_raw("SELECT 1; SELECT nope; SELECT 2").expect_err("the column is not there");
    assert_eq!((error.native, error.sqlstate.as_deref()), (Some(1054), Some("42S22")));
    let error = connection.execute_raw("SELECT 1;\nSELEC 2; SELECT 3").expect_err("the word is not known");
    assert_eq!((error.kind, error.position), (ErrorKind::Syntax, Some(10)));
    let texts = ["SELECT 7 AS n -- seven", "SELECT * FROM nowhere", "SELECT 8"];
    let error = connection.read(&texts, &mut Rows::default()).expect_err("the table is not there").error;
    assert_eq!((error.kind, error.table.as_deref()), (ErrorKind::TableMissing, Some("nowhere")));
}

#[rstest]
fn a_transaction_whose_body_changes_the_schema_has_ended(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY)");
    let mut connection = open(&database.url()).connection;
    let outcome = connection.transaction(&TransactionOptions::default(), &mut |connection| {
        connection.execute_raw("INSERT INTO birds VALUES (5)").map_err(|_| BodyFailed)?;
        connection.execute_raw("CREATE TABLE nests (id INT)").map_err(|_| BodyFailed)?;
        Err(BodyFailed)
    });
    assert_eq!(outcome.expect_err("DDL commits").kind, ErrorKind::TransactionEnded);
    assert_eq!(database.lines("SELECT id FROM birds"), ["5"]);
}

#[rstest]
fn the_server_may_not_ask_for_files(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    database.execute("CREATE TABLE birds (line TEXT)");
    let mut connection = open(&database.url()).connection;
    let error = connection.execute_raw("LOAD DATA LOCAL INFILE '/etc/hostname' INTO TABLE birds");
    let error = error.expect_err("it is refused");
    assert_eq!((error.kind, error.session), (ErrorKind::Unsupported, Session::Lost));
    assert_eq!(database.lines("SELECT COUNT(*) FROM birds"), ["0"]);
}

#[rstest]
fn refusals_say_what_is_wrong_and_no_secret(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let wrong = refused(&database.url_as(&server.server().user, "hush-hush"));
    assert_eq!((wrong.kind, wrong.native), (ErrorKind::Authentication, Some(1045)));
    assert!(!format!("{wrong:?}").contains("hush-hush"));
    let missing = refused(&database.url().replace(database.name(), "no_such_database"));
    assert_eq!((missing.kind, missing.native), (ErrorKind::DatabaseMissing, Some(1049)));
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = silent.local_addr().expect("it is bound");
    assert_eq!(refused(&format!("mysql://a:b@{address}/c?connect_timeout=1")).kind, ErrorKind::Unreachable);
}

#[rstest]
fn tls_is_what_the_url_demands(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let cipher = |url: &str| {
        let mut rows = Rows::default();
        let status = "SHOW STATUS LIKE 'Ssl_cipher'";
        open(url).connection.query(status, &[], &mut rows).expect("the question is allowed");
        rows.sets[0].rows[0][1].as_text().unwrap_or_default().to_owned()
    };
    assert_ne!(cipher(&database.url_tls()), "");
    assert_ne!(cipher(&database.url()), "", "preferred");
    assert_eq!(cipher(&format!("{}?ssl-mode=DISABLED", database.url())), "");
    let servers = whimbrel_tests::servers();
    let other = servers.other_authority.display();
    for mode in ["VERIFY_CA", "VERIFY_IDENTITY"] {
        let error = refused(&format!("{}?ssl-mode={mode}&ssl-ca={other}", database.url()));
        assert_eq!(error.kind, ErrorKind::Tls, "{error:?}");
    }
    let error = refused(&format!("{}?ssl-ca=/no/such/file.pem", database.url()));
    assert_eq!(error.kind, ErrorKind::Tls);
    assert!(error.message.contains("/no/such/file.pem"));
    // A proxy that takes the offer of TLS away.
    let proxy = Proxy::before(&database);
    assert_eq!(cipher(&proxy.url(&database)), "");
    let error = refused(&format!("{}?ssl-mode=REQUIRED", proxy.url(&database)));
    assert_eq!(error.kind, ErrorKind::Tls);
}

#[rstest]
fn the_facts_are_those_of_the_session(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let target = Target::open(&Adapted, &database.url());
    assert_eq!(
        (target.facts.database.as_str(), target.facts.schema.as_str()),
        (database.name(), database.name())
    );
    let features = target.dialect.lexer().features;
    assert!(features.contains(&Feature::DoubleQuotedStrings), "{features:?}");
}
