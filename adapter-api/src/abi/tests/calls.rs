//! Every method, with every kind of argument and answer.

use std::time::Duration;

use super::toy::{Part, Toy, full_error};
use super::{loaded, open};
use crate::{
    Access, Adapter, BodyFailed, Capability, Class, ConnectOptions, Connection, Count, Done, Error,
    ErrorKind, Events, Failure, Feature, Head, Isolation, Limits, Liveness, Marking, Mode, NewRow, Next,
    Notice, Phase, Piece, PieceKind, Plugin, ReadError, Rest, RowDirection, RowSet, RowSink, RowState, Rows,
    Secret, Span, State, Stop, TableName, Text, TransactionOptions, Value, ValueKind, Wanted, Work,
};

#[test]
fn the_adapter_is_known_by_the_same_name() {
    let info = loaded(&Toy::default()).info();
    assert_eq!(info, Part::default().info());
    assert_eq!((info.name.as_str(), info.capabilities.len()), (Part::IDENTITY.name, Capability::ALL.len()));
}

#[test]
fn a_url_is_checked_and_the_error_has_every_field() {
    let toy = Toy::default();
    let adapter = loaded(&toy);
    toy.log();
    assert_eq!(adapter.check_url(&Secret::new("toy:é")), Ok(()));
    assert_eq!(adapter.check_url(&Secret::new("toy:bad")), Err(full_error()));
    assert_eq!(toy.log(), ["check_url toy:é", "check_url toy:bad"]);
}

#[test]
fn an_error_without_facts_stays_without() {
    let mut connection = open(&Toy::default()).connection;
    let refused = connection.transaction(&TransactionOptions::default(), &mut |_| Err(BodyFailed));
    assert_eq!(refused, Err(Error::body_failed()));
}

#[test]
fn connect_passes_its_options_and_fails_with_the_adapters_error() {
    let toy = Toy::default();
    let adapter = loaded(&toy);
    toy.log();
    let mut options = ConnectOptions::new(Secret::new("toy:bad"));
    options.access = Access::ReadOnly;
    assert_eq!(adapter.connect(&options).err(), Some(full_error()));
    assert_eq!(toy.log()[0], "connect toy:bad whimbrel ReadOnly none none None");
    options.password = Some(Secret::new("hush"));
    options.password_file = Some(Secret::new("*:hush"));
    options.lock_limit = Some(Duration::from_millis(1500));
    assert_eq!(adapter.connect(&options).err(), Some(full_error()));
    assert_eq!(toy.log()[0], "connect toy:bad whimbrel ReadOnly hush *:hush Some(1.5s)");
}

#[test]
fn a_script_is_run_and_its_error_comes_back() {
    let toy = Toy::default();
    let mut connection = open(&toy).connection;
    assert_eq!(connection.execute_raw(""), Ok(()));
    assert_eq!(connection.execute_raw("fail"), Err(full_error()));
    assert_eq!(toy.log(), ["execute_raw ", "execute_raw fail"]);
}

/// Keeps rows until it has enough of them.
struct Some3(Rows);

impl RowSink for Some3 {
    fn columns(&mut self, set: u32, names: &[&str]) {
        self.0.columns(set, names);
    }

    fn row(&mut self, set: u32, cells: &[Value<'_>]) -> Wanted {
        self.0.row(set, cells);
        if self.0.sets[0].rows.len() < 3 { Wanted::More } else { Wanted::Enough }
    }
}

fn every_value() -> Vec<Value<'static>> {
    let mut values = vec![
        Value::Null,
        Value::Bool(true),
        Value::Bool(false),
        Value::Int(i64::MIN),
        Value::UInt(u64::MAX),
        Value::Float(-0.5),
        Value::text(""),
        Value::text("naïve 🐦"),
        Value::Bytes(vec![0, 0xff].into()),
        Value::Bytes(Vec::new().into()),
        Value::Array(Vec::new()),
        Value::Array(vec![
            Value::Array(vec![Value::Int(1), Value::Null]),
            Value::Array(vec![]),
            Value::Array(vec![Value::text("x")]),
        ]),
        Value::Int(7),
    ];
    values.extend(ValueKind::ALL.iter().map(|kind| Value::Typed(*kind, "-12.50".into())));
    values
}

#[test]
fn every_value_goes_in_as_a_parameter_and_comes_out_as_a_cell_until_there_are_enough() {
    let mut connection = open(&Toy::default()).connection;
    let mut rows = Some3(Rows::default());
    connection.query("echo", &every_value(), &mut rows).unwrap();
    let columns = ["first", "second", ""].map(str::to_owned).to_vec();
    let expected = RowSet { columns, rows: vec![every_value(); 3] };
    assert_eq!(rows.0.sets, [expected]);
}

#[test]
fn a_read_delivers_the_sets_before_the_failing_one() {
    let mut connection = open(&Toy::default()).connection;
    let mut rows = Rows::default();
    let outcome = connection.read(&["one", "", "fail", "four"], &mut rows);
    assert_eq!(outcome, Err(ReadError { set: 2, error: full_error() }));
    let texts: Vec<_> = rows.sets.iter().map(|set| set.first("text").and_then(Value::as_text)).collect();
    assert_eq!(texts, [Some("one"), Some("")]);
}

#[test]
fn a_table_is_looked_for_with_and_without_a_schema() {
    let toy = Toy::default();
    let mut connection = open(&toy).connection;
    let table = TableName::new("birds");
    assert_eq!(connection.table_exists(&table), Ok(false));
    assert_eq!(connection.table_exists(&table.in_schema("")), Ok(true));
    assert_eq!(toy.log()[1], format!("table_exists {:?}", table.in_schema("")));
}

#[test]
fn a_transaction_nests_and_commits_or_takes_back_each_level() {
    let toy = Toy::default();
    let mut connection = open(&toy).connection;
    let strict = TransactionOptions { isolation: Isolation::Serializable, access: Access::ReadOnly };
    let outer = connection.transaction(&TransactionOptions::default(), &mut |connection| {
        let inner = connection.transaction(&strict, &mut |connection| {
            connection.execute_raw("inside").map_err(|_| BodyFailed)?;
            Err(BodyFailed)
        });
        assert_eq!(inner, Err(Error::body_failed()));
        connection.ping().map_err(|_| BodyFailed)
    });
    assert_eq!(outer, Ok(()));
    let log = [
        "transaction EngineDefault ReadWrite",
        "transaction Serializable ReadOnly",
        "execute_raw inside",
        "roll_back ",
        "ping ",
        "commit ",
    ];
    assert_eq!(toy.log(), log);
}

struct Script {
    nexts: Vec<Result<Next, Stop>>,
    pieces: Vec<Result<Option<&'static str>, Stop>>,
    spans: Vec<Span>,
}

impl Work for Script {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        self.nexts.remove(0)
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        let text = self.pieces.remove(0)?;
        Ok(text.map(|text| Piece::new(PieceKind::CopyStart, Rest::Last, text.as_bytes(), &self.spans)))
    }
}

#[derive(Default)]
struct Heard {
    progress: Vec<(u32, u64, u64)>,
    notices: Vec<(u32, Notice)>,
    finished: Vec<(u32, Result<Done, Failure>)>,
}

impl Events for Heard {
    fn progress(&mut self, batch: u32, statements: u64, bytes: u64) {
        self.progress.push((batch, statements, bytes));
    }

    fn notice(&mut self, batch: u32, notice: Notice) {
        self.notices.push((batch, notice));
    }

    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {
        self.finished.push((batch, outcome));
    }
}

fn full_head() -> Head {
    let texts = |text: &str| vec![text.to_owned(), String::new()];
    Head {
        outside: texts("outside"),
        opening: texts("opening"),
        preparation: texts("preparation"),
        mark: Some("mark {done}".to_owned()),
        closing: texts("closing"),
        settles: Some(1),
        failed: texts("failed"),
        cleanup: texts("cleanup"),
        ..Head::new("attempt", Mode::Stepwise, 3)
    }
}

#[test]
fn a_run_passes_heads_pieces_and_events_without_copying_the_script() {
    let toy = Toy::default();
    let mut connection = open(&toy).connection;
    let text = "SELECT 1; SELECT 2";
    let mut work = Script {
        nexts: vec![Ok(Next::Later), Ok(Next::Batch(full_head())), Ok(Next::Later), Ok(Next::End)],
        pieces: vec![Ok(Some(text)), Ok(Some("")), Ok(None)],
        spans: vec![Span::new(0, 8, Marking::Unmarked), Span::new(10, 18, Marking::Marked)],
    };
    let mut heard = Heard::default();
    connection.run(&mut work, &mut heard).unwrap();
    let piece = Piece::new(PieceKind::CopyStart, Rest::Last, text.as_bytes(), &work.spans);
    let log = toy.log();
    assert_eq!(log[..3], ["run ".to_owned(), "later ".to_owned(), format!("batch {:?}", full_head())]);
    assert_eq!(log[3], format!("piece {piece:?} at {:p}", text.as_bytes()));
    assert_eq!(log[5], "later ");
    assert_eq!(heard.progress, [(0, 2, 18), (0, 4, 0)]);
    assert_eq!(heard.notices, [(0, Notice::new("WARNING", Some("01000".to_owned()), "look"))]);
    assert_eq!(heard.finished, [(0, Ok(Done::new(4)))]);
}

#[test]
fn a_failure_says_the_phase_the_counts_and_the_error() {
    let phases = [Phase::Opening, Phase::Statement(7), Phase::Closing, Phase::Commit, Phase::NotReached];
    let head = |phase: &Phase| Ok(Next::Batch(Head::new(format!("fail in {phase:?}"), Mode::Atomic, 9)));
    let mut work = Script {
        nexts: phases.iter().map(head).chain([Ok(Next::End)]).collect(),
        pieces: vec![Ok(None); phases.len()],
        spans: Vec::new(),
    };
    let mut heard = Heard::default();
    open(&Toy::default()).connection.run(&mut work, &mut heard).unwrap();
    let failure = |phase| Err(Failure::new(phase, full_error(), 7, 5, State::Committed));
    let expected: Vec<_> = (0..).zip(phases.map(failure)).collect();
    assert_eq!(heard.finished, expected);
}

#[test]
fn stop_reaches_the_adapter_between_batches_and_between_pieces() {
    let toy = Toy::default();
    let mut connection = open(&toy).connection;
    let mut work = Script {
        nexts: vec![Ok(Next::Batch(full_head())), Err(Stop)],
        pieces: vec![Ok(Some("SELECT 1")), Err(Stop)],
        spans: vec![Span::new(0, 8, Marking::Marked)],
    };
    let mut heard = Heard::default();
    connection.run(&mut work, &mut heard).unwrap();
    let failure = heard.finished.remove(0).1.unwrap_err();
    assert_eq!((failure.phase, failure.error.kind), (Phase::Statement(1), ErrorKind::Stopped));
    assert_eq!(toy.log().last().map(String::as_str), Some("stop "));
}

#[test]
fn alive_gives_each_answer() {
    let mut connection = open(&Toy::default()).connection;
    for liveness in Liveness::ALL {
        assert_eq!(connection.alive(&format!("{liveness:?}")), Ok(*liveness));
    }
}

#[test]
fn the_dialect_answers_as_the_author_wrote_it() {
    let toy = Toy::default();
    let mut connection = open(&toy).connection;
    let facts =
        RowSet { columns: vec!["a".to_owned(), String::new()], rows: vec![every_value(), Vec::new()] };
    let dialect = connection.dialect(&facts).unwrap();
    assert_eq!(toy.log()[0], format!("dialect {facts:?}"));
    assert_eq!(dialect.lexer().features.len(), Feature::ALL.len());
    let classes: Vec<_> = dialect.lexer().patterns.iter().map(|pattern| pattern.class).collect();
    assert_eq!(classes, Class::ALL);
    assert_eq!(dialect.lexer().comment_version, 101_119);
    assert!(dialect.lexer().plain_control.iter().eq(["GO"]));
    assert_eq!(dialect.facts().largest_message, Some(u64::MAX));
    assert_eq!(dialect.facts().history_schema.as_deref(), Some(""));
    assert_eq!(dialect.facts().tables_without_transactions, ["old", "older"]);
    assert_eq!(dialect.quote("naïve"), "<naïve>");
    for value in every_value() {
        assert_eq!(dialect.literal(&value), format!("{value:?}"));
    }
}

#[test]
fn every_text_arrives_with_its_arguments() {
    let dialect = open(&Toy::default()).connection.dialect(&RowSet::default()).unwrap();
    let history = &TableName::new("history").in_schema("app");
    let limits = &Limits { lock: Some(Duration::new(u64::MAX, 999_999_999)), statement: None };
    let first = &NewRow::new(1, "0001_birds", 1);
    let row = &NewRow {
        previous: Some(i64::MIN),
        direction: RowDirection::Down,
        state: RowState::Skipped,
        checksum: Some(""),
        statements_done: u64::MAX,
        statements_total: 3,
        statement_checksums: Some("v1:"),
        lease: Some(Duration::from_millis(1)),
        down_script: Some("DROP TABLE birds"),
        applied_by: "ana",
        ..NewRow::new(i64::MAX, "0002_naïve", 2)
    };
    let (position, lease, state) = (-1, Duration::ZERO, RowState::Reverted);
    let texts = [
        Text::Facts { history },
        Text::FactsOfPending { history, unless_applied: None },
        Text::FactsOfPending { history, unless_applied: Some(u64::MAX) },
        Text::History { history: &TableName::new("plain") },
        Text::BriefHistory { history: &TableName::new("plain") },
        Text::CreateHistory { history },
        Text::Begin { limits },
        Text::Limit { limits: &Limits::default() },
        Text::ResetSession,
        Text::Record { history, row },
        Text::Record { history, row: first },
        Text::Mark { history, position, statements_done: Count::Beyond(2), lease },
        Text::Finish { history, position, state, statements_done: Count::Beyond(0) },
        Text::Finish { history, position, state, statements_done: Count::Exactly(u64::MAX) },
        Text::DownScript { history, position },
        Text::StatementChecksums { history, position },
        Text::Traces { history, position: None, statement: "CREATE TABLE naïve" },
        Text::Traces { history, position: Some(position), statement: "" },
        Text::WithoutRollback { statement: "INSERT INTO naïve" },
    ];
    for text in &texts {
        assert_eq!(dialect.text(text), Some(vec![format!("{text:?}"), String::new()]));
    }
    assert_eq!(dialect.text(&Text::Commit), None);
}

#[test]
fn a_connection_is_pinged_cancelled_from_another_thread_and_closed() {
    let toy = Toy::default();
    let opened = open(&toy);
    let mut connection = opened.connection;
    assert_eq!(connection.ping(), Ok(()));
    std::thread::spawn(move || opened.canceller.cancel()).join().unwrap().unwrap();
    let connection: Box<dyn Connection> = std::thread::spawn(move || connection).join().unwrap();
    assert_eq!(connection.close(), Err(full_error()));
    assert_eq!(toy.log(), ["ping ", "cancel ", "close "]);
}
