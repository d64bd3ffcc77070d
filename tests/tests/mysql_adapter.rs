//! What is particular about the MySQL adapter, on a real server.
//!
//! Counts turns on the wire, breaks connections, and looks at what is in the database afterwards. What every adapter
//! must do alike is the conformance suite's.

use std::collections::VecDeque;
use std::time::Duration;

use mysql::prelude::Queryable;
use rstest::rstest;
use whimbrel_adapter_api::{
    Adapter, BodyFailed, ConnectOptions, Connection, Count, Dialect, Done, Error, ErrorKind, Events, Failure,
    Feature, Head, Limits, Liveness, Marking, Mode, NewRow, Next, Notice, Opened, Phase, Piece, PieceKind,
    Rest, RowSet, RowState, Rows, Secret, Session, Span, State, Stop, TableName, Text, TransactionOptions,
    Value, ValueKind, Work,
};
use whimbrel_tests::Product::{MariaDb, MySql};
use whimbrel_tests::{Database, Fault, Loss, MySqlDatabase, Product, Proxy, until};

const TABLE: &str = "whimbrel_migrations";

fn open(url: &str) -> Opened {
    whimbrel_adapter_mysql::MySql
        .connect(&ConnectOptions::new(Secret::new(url)))
        .expect("the server takes the session")
}

fn refused(url: &str) -> Error {
    whimbrel_adapter_mysql::MySql
        .connect(&ConnectOptions::new(Secret::new(url)))
        .err()
        .expect("the session is refused")
}

/// A session with its dialect and the history table.
struct Target {
    connection: Box<dyn Connection>,
    dialect: Box<dyn Dialect>,
    history: TableName,
}

impl Target {
    fn open(url: &str) -> Self {
        let mut connection = open(url).connection;
        let name = TableName::new(TABLE);
        let first = connection.dialect(&RowSet::default()).expect("the first dialect needs no facts");
        let facts = first.text(&Text::Facts { history: &name }).expect("there is such a text");
        let mut rows = Rows::default();
        connection.read(&[&facts[0]], &mut rows).expect("the facts can be read");
        let dialect = connection.dialect(&rows.sets[0]).expect("the facts are those of the adapter");
        let history = name.in_schema(dialect.facts().schema);
        Target { connection, dialect, history }
    }

    fn ready(url: &str) -> Self {
        let mut target = Self::open(url);
        for text in target.text(&Text::CreateHistory { history: &target.history }) {
            target.connection.execute_raw(&text).expect("the history table can be created");
        }
        target
    }

    fn text(&self, text: &Text<'_>) -> Vec<String> {
        self.dialect.text(text).expect("there is such a text")
    }

    /// Puts a batch together as the host does.
    fn head(&self, position: i64, mode: Mode, statements: u64) -> Head {
        let history = &self.history;
        let limits = Limits { lock: Some(Duration::from_secs(2)), statement: Some(Duration::from_secs(20)) };
        let migration = format!("{position:03}_birds");
        let mut row = NewRow::new(position, &migration, 1);
        row.statements_total = statements;
        row.lease = Some(Duration::from_secs(60));
        row.down_script = Some(r"DELETE FROM birds WHERE note = 'C:\new' -- it''s");
        let mut head =
            Head::new(format!("whimbrel {}:{position}:1", self.dialect.facts().schema), mode, statements);
        head.opening = match mode {
            Mode::Atomic => self.text(&Text::Begin { limits: &limits }),
            _ => self.text(&Text::Limit { limits: &limits }),
        };
        head.opening.extend(self.text(&Text::Record { history, row: &row }));
        let finish =
            |state, statements_done| self.text(&Text::Finish { history, position, state, statements_done });
        head.closing = self.text(&Text::ResetSession);
        head.settles = Some(head.closing.len() as u32);
        head.closing.extend(finish(RowState::Applied, Count::Exactly(statements)));
        head.cleanup = self.text(&Text::ResetSession);
        match mode {
            Mode::Atomic => {
                head.closing.extend(self.text(&Text::Commit));
                head.failed = finish(RowState::Failed, Count::Beyond(0));
            }
            _ => {
                let lease = Duration::from_secs(60);
                head.mark = Some(
                    self.text(&Text::Mark { history, position, statements_done: Count::Beyond(0), lease })
                        .remove(0),
                );
                head.failed = finish(RowState::Failed, Count::Beyond(0));
            }
        }
        head
    }

    fn run(&mut self, script: &mut Script) -> (Result<(), Error>, Heard) {
        let mut heard = Heard::default();
        let outcome = self.connection.run(script, &mut heard);
        (outcome, heard)
    }

    /// Runs one batch that fails and leaves the session usable.
    fn failure(&mut self, mode: Mode, statements: &[&str]) -> Failure {
        let head = self.head(1, mode, statements.len() as u64);
        let (outcome, mut heard) = self.run(&mut Script::of(head, statements));
        assert_eq!(outcome, Ok(()));
        heard.outcomes.remove(0).expect_err("the batch fails")
    }
}

/// A piece as the script keeps it.
type Held = (Vec<u8>, Vec<Span>);

/// Work of several batches, each in one piece unless told otherwise.
#[derive(Default)]
struct Script {
    batches: VecDeque<(Head, VecDeque<Held>)>,
    pieces: VecDeque<Held>,
    piece: Held,
    /// Whether each batch must be settled before the next one.
    strict: bool,
    settling: bool,
    /// Stop instead of the piece with this number.
    stop_at: Option<usize>,
    pulled: usize,
}

impl Script {
    fn of(head: Head, statements: &[&str]) -> Self {
        let mut script = Script::default();
        script.add(head, &[statements]);
        script
    }

    fn add(&mut self, head: Head, pieces: &[&[&str]]) {
        let pieces = pieces.iter().map(|statements| {
            let (mut text, mut spans) = (Vec::new(), Vec::new());
            for statement in *statements {
                let (statement, marking) = match statement.strip_prefix('~') {
                    Some(statement) => (statement, Marking::Unmarked),
                    None => (*statement, Marking::Marked),
                };
                let start = text.len() as u32;
                text.extend_from_slice(statement.as_bytes());
                spans.push(Span::new(start, text.len() as u32, marking));
                text.extend_from_slice(b";\n");
            }
            (text, spans)
        });
        self.batches.push_back((head, pieces.collect()));
    }
}

impl Work for Script {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        if std::mem::take(&mut self.settling) {
            return Ok(Next::Later);
        }
        let Some((head, pieces)) = self.batches.pop_front() else {
            return Ok(Next::End);
        };
        self.pieces = pieces;
        self.settling = self.strict;
        Ok(Next::Batch(head))
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        if self.stop_at == Some(self.pulled) {
            return Err(Stop);
        }
        self.pulled += 1;
        let Some(piece) = self.pieces.pop_front() else {
            return Ok(None);
        };
        self.piece = piece;
        let rest = if self.pieces.is_empty() { Rest::Last } else { Rest::Follows };
        Ok(Some(Piece::new(PieceKind::Sql, rest, &self.piece.0, &self.piece.1)))
    }
}

#[derive(Default)]
struct Heard {
    outcomes: Vec<Result<Done, Failure>>,
}

impl Events for Heard {
    fn progress(&mut self, _batch: u32, _statements: u64, _bytes: u64) {}

    fn notice(&mut self, _batch: u32, _notice: Notice) {}

    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {
        assert_eq!(batch as usize, self.outcomes.len(), "batches are reported once and in order");
        self.outcomes.push(outcome);
    }
}

fn state_of(database: &MySqlDatabase) -> Vec<String> {
    database.lines(&format!("SELECT position, state, statements_done FROM {TABLE} ORDER BY position"))
}

fn no_lock_is_left(target: &mut Target, head: &Head) {
    let mut rows = Rows::default();
    let holder = "SELECT IS_USED_LOCK(?)";
    target
        .connection
        .query(holder, &[Value::text(&head.attempt)], &mut rows)
        .expect("the question is allowed");
    assert_eq!(rows.sets[0].rows[0][0], Value::Null);
}

#[rstest]
fn a_migration_is_one_turn_and_so_is_the_history(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&proxy.url(&database));
    // Facts and table; connecting asked nothing.
    assert_eq!((proxy.turns(), proxy.connections()), (2, 2));
    proxy.forget();

    let history = target.text(&Text::History { history: &target.history }).remove(0);
    let facts = target.text(&Text::Facts { history: &TableName::new(TABLE) }).remove(0);
    let mut rows = Rows::default();
    target.connection.read(&[&facts, &history], &mut rows).expect("both can be read");
    assert_eq!(proxy.turns(), 1);
    assert_eq!(rows.sets[1].columns, whimbrel_adapter_api::HISTORY_COLUMNS);

    proxy.forget();
    let mut script = Script { strict: true, ..Script::default() };
    let first = [
        "CREATE TABLE birds (id INT PRIMARY KEY, note TEXT) -- no line break",
        "INSERT INTO birds VALUES (1, 'a')",
    ];
    script.add(target.head(1, Mode::Stepwise, 2), &[&first]);
    script.add(target.head(2, Mode::Atomic, 1), &[&["INSERT INTO birds VALUES (2, 'b')"]]);
    let (outcome, heard) = target.run(&mut script);
    assert_eq!(outcome, Ok(()));
    assert_eq!(heard.outcomes, [Ok(Done::new(2)), Ok(Done::new(1))]);
    assert_eq!(proxy.turns(), 2);
    assert_eq!(state_of(&database), ["1|applied|2", "2|applied|1"]);
    let down = database.lines(&format!("SELECT down_script FROM {TABLE} WHERE position = 1"));
    assert_eq!(down, [r"DELETE FROM birds WHERE note = 'C:\new' -- it''s"]);
}

#[rstest]
fn batches_that_need_not_wait_share_a_turn(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&proxy.url(&database));
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY)");
    proxy.forget();
    let mut script = Script::default();
    for position in 1..=20 {
        let statement = format!("INSERT INTO birds VALUES ({position})");
        script.add(target.head(position, Mode::Atomic, 1), &[&[&statement]]);
    }
    let (outcome, heard) = target.run(&mut script);
    assert_eq!(outcome, Ok(()));
    assert_eq!(heard.outcomes, vec![Ok(Done::new(1)); 20]);
    assert_eq!(proxy.turns(), 1);
    assert_eq!(database.lines("SELECT COUNT(*) FROM birds"), ["20"]);
}

#[rstest]
fn what_stands_behind_a_failure_is_not_reached(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut target = Target::ready(&database.url());
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY)");
    let mut script = Script::default();
    script.add(target.head(1, Mode::Atomic, 1), &[&["INSERT INTO birds VALUES (1)"]]);
    script.add(
        target.head(2, Mode::Atomic, 2),
        &[&["INSERT INTO birds VALUES (2)", "INSERT INTO birds VALUES (1)"]],
    );
    script.add(target.head(3, Mode::Atomic, 1), &[&["INSERT INTO birds VALUES (3)"]]);
    let (outcome, heard) = target.run(&mut script);
    assert_eq!(outcome, Ok(()));
    assert_eq!(heard.outcomes[0], Ok(Done::new(1)));
    let failure = heard.outcomes[1].clone().expect_err("the key is taken");
    assert_eq!((failure.phase, failure.completed, failure.committed), (Phase::Statement(1), 1, 0));
    assert_eq!((failure.state, failure.error.kind), (State::RolledBack, ErrorKind::Constraint));
    assert_eq!((failure.error.native, failure.error.sqlstate.as_deref()), (Some(1062), Some("23000")));
    assert_eq!(failure.error.constraint.as_deref(), Some("PRIMARY"));
    assert_eq!(failure.error.table.as_deref(), server.either(None, Some("birds")));
    let behind = heard.outcomes[2].clone().expect_err("it was not run");
    assert_eq!((behind.phase, behind.error.kind), (Phase::NotReached, ErrorKind::NotReached));
    assert_eq!(database.lines("SELECT id FROM birds"), ["1"]);
    assert_eq!(state_of(&database), ["1|applied|1"]);
    no_lock_is_left(&mut target, &Head::new("x", Mode::Atomic, 0));
}

#[rstest]
fn a_stepwise_failure_is_exact_to_the_statement_and_recorded(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&proxy.url(&database));
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
    let mut rows = Rows::default();
    target.connection.query("SELECT @@sql_mode", &[], &mut rows).expect("the session is usable");
    assert!(!rows.sets[0].rows[0][0].as_text().expect("it is text").contains("ANSI_QUOTES"));
}

#[rstest]
fn a_mark_stands_behind_every_statement_even_when_the_client_dies(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&proxy.url(&database));
    let head = target.head(1, Mode::Stepwise, 3);
    let attempt = head.attempt.clone();
    let mut watcher = Target::open(&database.url());
    let mut blocker = database.client();
    blocker.query_drop("CREATE TABLE gate (id INT PRIMARY KEY)").expect("the table is new");
    // A row and not the table: MariaDB ends a session that waits for a table when its client is gone.
    blocker.query_drop("START TRANSACTION; INSERT INTO gate VALUES (1)").expect("nobody else has it");
    proxy.forget();
    proxy.fault(Fault::Reply { turn: 1, loss: Loss::Close });
    // The packet's first answers come at once, and with them the cut; the server goes on to the gate.
    let (outcome, heard) = target.run(&mut Script::of(
        head,
        &["CREATE TABLE a (id INT)", "INSERT INTO gate VALUES (1)", "CREATE TABLE b (id INT)"],
    ));
    let error = outcome.expect_err("the connection was cut");
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
    let mut target = Target::ready(&proxy.url(&database));
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY)");
    proxy.fault(Fault::LostReply { text: "COMMIT".to_owned() });
    let mut script = Script::default();
    script.add(target.head(1, Mode::Atomic, 1), &[&["INSERT INTO birds VALUES (1)"]]);
    script.add(target.head(2, Mode::Atomic, 1), &[&["INSERT INTO birds VALUES (2)"]]);
    let (outcome, heard) = target.run(&mut script);
    outcome.expect_err("the connection was cut");
    for outcome in heard.outcomes {
        assert_eq!(outcome.expect_err("the answer was lost").state, State::InDoubt);
    }
    assert_eq!(state_of(&database), ["1|applied|1", "2|applied|1"]);
}

#[rstest]
fn a_connection_lost_before_the_commit_was_sent_is_no_doubt(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&proxy.url(&database));
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY, note MEDIUMTEXT)");
    proxy.forget();
    proxy.cut_after_turn(1);
    let note = "x".repeat(200 * 1024);
    let [first, second] = [1, 2].map(|id| format!("INSERT INTO birds VALUES ({id}, '{note}')"));
    let mut script = Script::default();
    script.add(target.head(1, Mode::Atomic, 2), &[&[&first], &[&second]]);
    let (outcome, heard) = target.run(&mut script);
    outcome.expect_err("the connection was cut");
    let failure = heard.outcomes[0].clone().expect_err("the answer was lost");
    assert_eq!((failure.state, failure.committed), (State::RolledBack, 0));
    assert_eq!(state_of(&database), Vec::<String>::new());
}

#[rstest]
fn a_lost_fence_is_called_so(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut target = Target::ready(&database.url());
    database.execute("CREATE TABLE birds (id INT)");
    let mut script = Script::of(target.head(1, Mode::Atomic, 1), &["INSERT INTO birds VALUES (1)"]);
    assert_eq!(target.run(&mut script).1.outcomes, [Ok(Done::new(1))]);
    for mode in [Mode::Atomic, Mode::Stepwise] {
        // The position is taken.
        let failure = target.failure(mode, &["INSERT INTO birds VALUES (1)"]);
        assert_eq!((failure.phase, failure.state), (Phase::Opening, State::RolledBack), "{mode:?}");
        assert_eq!(failure.error.kind, ErrorKind::FenceTaken);
        // The row before is not there.
        let head = target.head(9, mode, 1);
        let (_, heard) = target.run(&mut Script::of(head, &["INSERT INTO birds VALUES (1)"]));
        let failure = heard.outcomes[0].clone().expect_err("position 8 is missing");
        assert_eq!((failure.phase, failure.error.kind), (Phase::Opening, ErrorKind::FenceTaken), "{mode:?}");
    }
    // Another runner's row is not committed yet.
    let mut other = database.client();
    other.query_drop("START TRANSACTION").expect("it begins");
    other
        .query_drop(format!(
            "INSERT INTO {TABLE} SELECT 2, 1, '002', 1, direction, state, checksum, 0, 0, NULL, NULL, started_at, NULL, \
             NULL, NULL, '' FROM {TABLE}"
        ))
        .expect("the position is free");
    let head = target.head(2, Mode::Atomic, 1);
    let (_, heard) = target.run(&mut Script::of(head, &["INSERT INTO birds VALUES (2)"]));
    let failure = heard.outcomes[0].clone().expect_err("the position is held");
    assert_eq!((failure.phase, failure.error.kind), (Phase::Opening, ErrorKind::FenceTaken));
    assert_eq!(failure.error.native, Some(1205));
    assert_eq!(database.lines("SELECT id FROM birds"), ["1"]);
}

#[rstest]
fn a_commit_in_the_script_is_noticed(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut target = Target::ready(&database.url());
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
        let mut target = Target::ready(&database.url());
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
        let mut target = Target::ready(&database.url());
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
    let mut target = Target::ready(&database.url());
    assert_eq!(target.dialect.facts().tables_without_transactions, ["birds"]);
    let failure = target.failure(Mode::Atomic, &["INSERT INTO birds VALUES (1)", "SELECT nope"]);
    assert_eq!(failure.state, State::Unknown);
    assert!(failure.error.detail.expect("it says why").contains("without transactions"));
}

#[rstest]
fn statements_with_many_answers_do_not_confuse_the_count(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&proxy.url(&database));
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
    let mut target = Target::ready(&proxy.url(&database));
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY, note LONGTEXT)");
    proxy.forget();
    let note = "x".repeat(100 * 1024);
    let statements: Vec<String> =
        (0..10).map(|id| format!("INSERT INTO birds VALUES ({id}, '{note}')")).collect();
    let pieces: Vec<Vec<&str>> =
        statements.chunks(2).map(|pair| pair.iter().map(String::as_str).collect()).collect();
    let pieces: Vec<&[&str]> = pieces.iter().map(Vec::as_slice).collect();
    let mut script = Script::default();
    script.add(target.head(1, Mode::Atomic, 10), &pieces);
    assert_eq!(target.run(&mut script).1.outcomes, [Ok(Done::new(10))]);
    assert_eq!(proxy.turns(), 5);
    let longest = proxy.messages().iter().map(|message| message.text.len()).max();
    assert!(longest.expect("there are messages") <= 256 * 1024);

    // One statement above 256 KiB and below the server's limit goes alone.
    let long = format!("INSERT INTO birds VALUES (11, '{}')", "y".repeat(1024 * 1024));
    let mut script = Script::of(target.head(2, Mode::Atomic, 1), &[&long]);
    assert_eq!(target.run(&mut script).1.outcomes, [Ok(Done::new(1))]);

    proxy.forget();
    let limit = target.dialect.facts().largest_message.expect("the server says it") as usize;
    let huge = format!("INSERT INTO birds VALUES (12, '{}')", "z".repeat(limit));
    let mut script =
        Script::of(target.head(3, Mode::Atomic, 2), &["INSERT INTO birds VALUES (13, '')", &huge]);
    let failure = target.run(&mut script).1.outcomes.remove(0).expect_err("the statement is too long");
    assert_eq!((failure.phase, failure.error.kind), (Phase::Statement(1), ErrorKind::TooLarge));
    assert!(failure.error.message.contains(&limit.to_string()), "{}", failure.error.message);
    assert!(failure.error.hint.expect("there is a way out").contains("max_allowed_packet"));
    assert_eq!(proxy.turns(), 0);
}

#[rstest]
fn unmarked_statements_may_lock_tables_and_read_row_count(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut target = Target::ready(&database.url());
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
    let mut target = Target::ready(&database.url());
    database.execute("CREATE TABLE birds (id INT)");
    let head = target.head(1, Mode::Stepwise, 2);
    let mut script = Script::of(head, &["~LOCK TABLES birds WRITE", "~INSERT INTO birds VALUES (1)"]);
    assert_eq!(target.run(&mut script).1.outcomes, [Ok(Done::new(2))]);
    database.execute(&format!("DELETE FROM {TABLE}"));
    let failure = target.failure(Mode::Stepwise, &["~LOCK TABLES birds WRITE", "~SELECT * FROM nowhere"]);
    assert_eq!((failure.phase, failure.committed), (Phase::Statement(1), 1));
    assert_eq!(state_of(&database), ["1|failed|1"]);
}

#[rstest]
fn settings_of_a_script_do_not_outlive_it(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut target = Target::ready(&database.url());
    let ask = "SELECT CONCAT_WS('|', @@sql_mode, @@foreign_key_checks, @@unique_checks, @@sql_notes, @@time_zone, \
               @@character_set_client, @@character_set_results, @@collation_connection, @@autocommit, DATABASE(), \
               @@lock_wait_timeout, @@innodb_lock_wait_timeout, CURRENT_ROLE(), @@session.default_storage_engine) s";
    let mut before = Rows::default();
    target.connection.query(ask, &[], &mut before).expect("the question is allowed");
    let statements = [
        "SET NAMES latin1, foreign_key_checks = 0, unique_checks = 0, sql_notes = 0, time_zone = '+05:00'",
        "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', default_storage_engine = 'MyISAM', autocommit = 0",
        "USE information_schema",
        "DO GET_LOCK('left behind', 0)",
    ];
    let head = target.head(1, Mode::Stepwise, 4);
    let mut script = Script::of(head, &statements);
    assert_eq!(target.run(&mut script).1.outcomes, [Ok(Done::new(4))]);
    let mut after = Rows::default();
    target.connection.query(ask, &[], &mut after).expect("the question is allowed");
    assert_eq!(after, before);
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
    let mut target = Target::ready(&database.url_as(&user, &server.server().password));
    let head = target.head(1, Mode::Stepwise, 2);
    let mut script = Script::of(head, &["CREATE TABLE birds (id INT)", "~SET ROLE NONE"]);
    assert_eq!(target.run(&mut script).1.outcomes, [Ok(Done::new(2))]);
    let head = target.head(2, Mode::Stepwise, 1);
    let mut script = Script::of(head, &["CREATE TABLE nests (id INT)"]);
    assert_eq!(target.run(&mut script).1.outcomes, [Ok(Done::new(1))]);
    database.execute(&format!("DROP ROLE {role}"));
}

#[rstest]
fn a_stop_takes_back_what_was_sent(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut target = Target::ready(&database.url());
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY, note MEDIUMTEXT)");
    let note = "x".repeat(200 * 1024);
    let [first, second, third] = [1, 2, 3].map(|id| format!("INSERT INTO birds VALUES ({id}, '{note}')"));
    let mut script = Script { stop_at: Some(2), ..Script::default() };
    script.add(target.head(1, Mode::Atomic, 3), &[&[&first], &[&second], &[&third]]);
    let failure = target.run(&mut script).1.outcomes.remove(0).expect_err("it was stopped");
    assert_eq!((failure.error.kind, failure.state), (ErrorKind::Stopped, State::RolledBack));
    assert_eq!(database.lines("SELECT COUNT(*) FROM birds"), ["0"]);
}

#[rstest]
fn what_the_adapter_does_not_have_is_refused_before_anything_is_sent(
    #[values(MariaDb, MySql)] server: Product,
) {
    let database = server.fresh();
    let proxy = Proxy::before(&database);
    let mut target = Target::ready(&proxy.url(&database));
    proxy.forget();
    let mut head = target.head(1, Mode::Atomic, 1);
    head.outside = vec!["SET foreign_key_checks = 0".to_owned()];
    let failure =
        target.run(&mut Script::of(head, &["SELECT 1"])).1.outcomes.remove(0).expect_err("it is refused");
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
    let refused = connection.query("SELECT ?", &[Value::Array(Vec::new())], &mut Rows::default());
    assert_eq!(refused.expect_err("there are no arrays").kind, ErrorKind::Unsupported);
}

#[rstest]
fn an_error_in_a_later_statement_is_not_hidden(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let mut connection = open(&database.url()).connection;
    let error =
        connection.execute_raw("SELECT 1; SELECT nope; SELECT 2").expect_err("the column is not there");
    assert_eq!((error.native, error.sqlstate.as_deref()), (Some(1054), Some("42S22")));
    let error = connection.execute_raw("SELECT 1;\nSELEC 2; SELECT 3").expect_err("the word is not known");
    assert_eq!((error.kind, error.position), (ErrorKind::Syntax, Some(10)));
    connection.execute_raw("\n").expect("nothing is no error");
    connection.execute_raw("-- nothing\n").expect("nothing is no error");

    let mut rows = Rows::default();
    let error = connection.read(&["SELECT 7 AS n -- seven", "SELECT * FROM nowhere", "SELECT 8"], &mut rows);
    let error = error.expect_err("the table is not there");
    assert_eq!((error.set, error.error.kind), (1, ErrorKind::TableMissing));
    assert_eq!(error.error.table.as_deref(), Some("nowhere"));
    assert_eq!(rows.sets[0].rows, [[Value::Int(7)]]);
    connection.ping().expect("the session is usable");
}

#[rstest]
fn a_table_is_found_by_its_exact_name(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    database.execute("CREATE TABLE `Odd%_'name` (id INT); CREATE VIEW sight AS SELECT 1");
    let mut connection = open(&database.url()).connection;
    let mut exists = |name: TableName| connection.table_exists(&name).expect("the question is allowed");
    assert!(exists(TableName::new("Odd%_'name")));
    assert!(exists(TableName::new("sight").in_schema(database.name())));
    assert!(!exists(TableName::new("odd%_'name")));
    assert!(!exists(TableName::new("Odd%_'nam_")));
    assert!(!exists(TableName::new("sight").in_schema("no such schema")));
}

#[rstest]
fn transactions_nest_and_roll_back(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    database.execute("CREATE TABLE birds (id INT PRIMARY KEY)");
    let mut connection = open(&database.url()).connection;
    let options = TransactionOptions::default();
    let insert = |connection: &mut dyn Connection, id: i64| {
        connection.execute_raw(&format!("INSERT INTO birds VALUES ({id})")).map_err(|_| BodyFailed)
    };
    let outcome = connection.transaction(&options, &mut |connection| {
        insert(connection, 1)?;
        let inner = connection.transaction(&options, &mut |connection| {
            insert(connection, 2)?;
            Err(BodyFailed)
        });
        assert_eq!(inner.expect_err("it gave up").kind, ErrorKind::BodyFailed);
        connection.transaction(&options, &mut |connection| insert(connection, 3)).map_err(|_| BodyFailed)
    });
    assert_eq!(outcome, Ok(()));
    let outcome = connection.transaction(&options, &mut |connection| {
        insert(connection, 4)?;
        insert(connection, 1)
    });
    assert_eq!(outcome.expect_err("the key is taken").kind, ErrorKind::BodyFailed);
    let outcome = connection.transaction(&options, &mut |connection| {
        insert(connection, 5)?;
        connection.execute_raw("CREATE TABLE nests (id INT)").map_err(|_| BodyFailed)?;
        Err(BodyFailed)
    });
    assert_eq!(outcome.expect_err("DDL commits").kind, ErrorKind::TransactionEnded);
    assert_eq!(database.lines("SELECT id FROM birds"), ["1", "3", "5"]);
}

#[rstest]
fn a_running_statement_can_be_cancelled(#[values(MariaDb, MySql)] server: Product) {
    let database = server.fresh();
    let opened = open(&database.url());
    let (mut connection, canceller) = (opened.connection, opened.canceller);
    // While nothing runs it does nothing, to the next statement neither.
    canceller.cancel().expect("the server is there");
    connection.execute_raw("SELECT 1").expect("nothing was cancelled");
    let client = database.client();
    std::thread::scope(|scope| {
        let running =
            scope.spawn(move || connection.execute_raw("SELECT SLEEP(60) FROM information_schema.engines"));
        wait_for(
            client,
            "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(60)%'",
        );
        canceller.cancel().expect("the server is there");
        let error = running.join().expect("no panic").expect_err("it was cancelled");
        assert_eq!((error.kind, error.session), (ErrorKind::Cancelled, Session::Usable));
    });
}

/// Asks until the answer is more than 0.
fn wait_for(mut client: mysql::Conn, question: &str) {
    let mut patience = 100_000;
    while client.query_first::<u64, _>(question).expect("the question is allowed") != Some(1) {
        patience -= 1;
        assert!(patience > 0, "it never came to: {question}");
    }
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
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = closed.local_addr().expect("it is bound");
    drop(closed);
    assert_eq!(refused(&format!("mysql://a:b@{address}/c")).kind, ErrorKind::Unreachable);
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
    let target = Target::ready(&database.url());
    assert_eq!(target.dialect.facts().history_schema, None, "it was asked before the table was there");
    let facts = Target::open(&database.url()).dialect.facts();
    assert_eq!(facts.history_schema.as_deref(), Some(database.name()));
    assert_eq!((facts.database.as_str(), facts.schema.as_str()), (database.name(), database.name()));
    let features = target.dialect.lexer().features;
    assert!(
        features.contains(&Feature::BackslashEscapes) && features.contains(&Feature::DoubleQuotedStrings)
    );
}
