//! A panic of either side stays on its side.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::toy::{Part, Toy};
use super::{loaded, open};
use crate::abi::{host, plugin};
use crate::{
    BodyFailed, ConnectOptions, Connection, Done, Error, ErrorKind, Events, Failure, Head, Mode, Next,
    Notice, Piece, RowSet, RowSink, Rows, Secret, Session, Stop, TableName, Text, TransactionOptions, Value,
    Wanted, Work,
};

/// A host that has one empty batch, and panics where it is told to.
struct Host(&'static str);

impl Host {
    fn enter(&self, method: &str) {
        assert!(self.0 != method, "host trap in {method}");
    }
}

impl Work for Host {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        self.enter("next_batch");
        Ok(Next::Batch(Head::new("attempt", Mode::Atomic, 0)))
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        self.enter("next_piece");
        Ok(None)
    }
}

impl Events for Host {
    fn progress(&mut self, _: u32, _: u64, _: u64) {}

    fn notice(&mut self, _: u32, _: Notice) {
        self.enter("notice");
    }

    fn finished(&mut self, _: u32, _: Result<Done, Failure>) {
        self.enter("finished");
    }
}

impl RowSink for Host {
    fn columns(&mut self, _: u32, _: &[&str]) {
        self.enter("columns");
    }

    fn row(&mut self, _: u32, _: &[Value<'_>]) -> Wanted {
        self.enter("row");
        Wanted::More
    }
}

/// Returns the message of the panic that `call` lets through.
fn panic_of<T>(call: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(call)).err().expect("the call panics");
    *payload.downcast::<String>().expect("the host's own payload")
}

fn assert_panicked(error: &Error, method: &str) {
    assert_eq!(error.kind, ErrorKind::Panicked);
    assert_eq!(error.session, Session::Lost);
    assert_eq!(error.message, format!("the adapter panicked: trap in {method}"));
}

fn call(connection: &mut dyn Connection, method: &str) -> Result<(), Error> {
    match method {
        "execute_raw" => connection.execute_raw(""),
        "query" => connection.query("", &[], &mut Rows::default()),
        "read" => connection.read(&[], &mut Rows::default()).map_err(|failed| failed.error),
        "table_exists" => connection.table_exists(&TableName::new("birds")).map(drop),
        "transaction" => connection.transaction(&TransactionOptions::default(), &mut |_| Ok(())),
        "run" => connection.run(&mut Host("next_batch"), &mut Host("")),
        "alive" => connection.alive("Gone").map(drop),
        "dialect" | "lexer" | "facts" => connection.dialect(&RowSet::default()).map(drop),
        "ping" => connection.ping(),
        other => panic!("{other} is no method of a connection"),
    }
}

const METHODS: &[&str] = &[
    "execute_raw",
    "query",
    "read",
    "table_exists",
    "transaction",
    "run",
    "alive",
    "dialect",
    "lexer",
    "facts",
    "ping",
];

#[test]
fn a_panic_in_any_method_is_an_error_and_the_connection_is_not_used_again() {
    for method in METHODS {
        let toy = Toy::that_panics_in(method);
        let mut connection = open(&toy).connection;
        assert_panicked(&call(&mut *connection, method).unwrap_err(), method);
        toy.log();
        for later in METHODS {
            assert_panicked(&call(&mut *connection, later).unwrap_err(), method);
        }
        assert_panicked(&connection.close().unwrap_err(), method);
        assert_eq!(toy.log(), [""; 0]);
    }
}

#[test]
fn a_panic_while_closing_or_cancelling_is_an_error() {
    let toy = Toy::that_panics_in("close");
    assert_panicked(&open(&toy).connection.close().unwrap_err(), "close");
    let toy = Toy::that_panics_in("cancel");
    assert_panicked(&open(&toy).canceller.cancel().unwrap_err(), "cancel");
}

#[test]
fn a_panic_of_the_adapter_itself_is_an_error() {
    for method in ["info", "check_url", "connect"] {
        let exported = plugin::export_adapter(Box::new(Part(Toy::that_panics_in(method))));
        let adapter = match host::import_adapter(exported) {
            Ok(adapter) => adapter,
            Err(error) => {
                assert_panicked(&error, "info");
                continue;
            }
        };
        let url = Secret::new("toy:box");
        let error = match method {
            "check_url" => adapter.check_url(&url).unwrap_err(),
            _ => adapter.connect(&ConnectOptions::new(url)).err().expect("connect panics"),
        };
        assert_panicked(&error, method);
    }
}

#[test]
fn a_panic_in_the_dialect_poisons_its_connection_and_its_text_runs_nowhere() {
    for method in ["quote", "literal", "text"] {
        let toy = Toy::that_panics_in(method);
        let mut connection = open(&toy).connection;
        let dialect = connection.dialect(&RowSet::default()).unwrap();
        let text = match method {
            "quote" => dialect.quote("birds"),
            "literal" => dialect.literal(&Value::Null),
            _ => dialect.text(&Text::ResetSession).expect("not taken for an absent text").concat(),
        };
        assert_eq!(text, "");
        assert_panicked(&connection.execute_raw(&text).unwrap_err(), method);
    }
}

#[test]
fn a_panic_in_drop_ends_where_it_began() {
    let toy = Toy::that_panics_in("drop");
    let adapter = loaded(&toy);
    let mut opened = adapter.connect(&ConnectOptions::new(Secret::new("toy:box"))).unwrap();
    let dialect = opened.connection.dialect(&RowSet::default()).unwrap();
    toy.log();
    drop((dialect, opened, adapter));
    assert_eq!(toy.log(), ["drop "; 4]);
}

#[test]
fn a_panic_inside_a_transaction_takes_it_back_whatever_the_body_makes_of_it() {
    let toy = Toy::that_panics_in("ping");
    let mut connection = open(&toy).connection;
    let outcome = connection.transaction(&TransactionOptions::default(), &mut |connection| {
        assert_panicked(&connection.ping().unwrap_err(), "ping");
        Ok(())
    });
    assert_panicked(&outcome.unwrap_err(), "ping");
    assert_eq!(toy.log(), ["transaction EngineDefault ReadWrite", "ping ", "roll_back "]);
}

#[test]
fn the_hosts_panic_in_a_body_goes_on_after_each_level_was_taken_back() {
    let toy = Toy::default();
    let mut connection = open(&toy).connection;
    let options = TransactionOptions::default();
    let message = panic_of(|| {
        connection.transaction(&options, &mut |connection| {
            connection
                .transaction(&options, &mut |_| {
                    Host("body").enter("body");
                    Ok(())
                })
                .map_err(|_| BodyFailed)
        })
    });
    assert_eq!(message, "host trap in body");
    assert_eq!(toy.log()[2..], ["roll_back ", "roll_back "]);
    assert_eq!(connection.ping(), Ok(()));
}

#[test]
fn the_hosts_panic_in_a_callback_goes_on_and_the_adapter_was_told_to_stop() {
    let toy = Toy::default();
    let mut connection = open(&toy).connection;
    for method in ["next_batch", "next_piece", "notice", "finished"] {
        let message = panic_of(|| connection.run(&mut Host(method), &mut Host(method)));
        assert_eq!(message, format!("host trap in {method}"));
        assert_eq!(toy.log().last().map(String::as_str), Some("stop "));
    }
    for method in ["columns", "row"] {
        let message = panic_of(|| connection.query("", &[], &mut Host(method)));
        assert_eq!(message, format!("host trap in {method}"));
    }
    assert_eq!(connection.ping(), Ok(()));
}
