//! What is particular about the SQLite adapter.
//!
//! What every adapter must do alike is the conformance suite's.

use whimbrel_adapter_api::{ErrorKind, Retry, RowSink, Session, TableName, Value, ValueKind, Wanted};
use whimbrel_adapter_sqlite::Sqlite as Adapted;
use whimbrel_tests::{Database, Sqlite, Target};

#[test]
fn errors_have_the_extended_code_and_are_not_tried_again() {
    let database = Sqlite::fresh();
    let mut target = Target::open(&Adapted, &database.url());
    target.execute("CREATE TABLE birds (name TEXT PRIMARY KEY)");
    for (script, kind, native, position) in [
        ("INSERT INTO birds VALUES ('rook');\nSELEC 3; SELECT 4", ErrorKind::Syntax, 1, Some(35)),
        ("SELECT 'été'; SELEC 2", ErrorKind::Syntax, 1, Some(16)),
        ("SELECT 1; SELECT * FROM nests", ErrorKind::TableMissing, 1, None),
        ("SELECT 1; SELECT 2; INSERT INTO birds VALUES ('rook')", ErrorKind::Constraint, 1555, None),
    ] {
        let error = target.connection.execute_raw(script).expect_err(script);
        assert_eq!((error.kind, error.native, error.position), (kind, Some(native), position), "{script}");
        assert_eq!((error.retry, error.session), (Retry::Useless, Session::Usable), "{script}");
    }
    // What stood before the failing statement stays, and nothing after it was run.
    assert_eq!(database.lines("SELECT name FROM birds"), ["rook"]);
}

#[test]
fn values_without_a_type_of_their_own_become_what_there_is() {
    let database = Sqlite::fresh();
    let mut target = Target::open(&Adapted, &database.url());
    for (given, expected) in [
        (Value::UInt(7), Value::Int(7)),
        (Value::Bool(false), Value::Int(0)),
        (Value::text(""), Value::text("")),
        (Value::Bytes([].as_slice().into()), Value::Bytes([].as_slice().into())),
        (Value::Typed(ValueKind::Other, "calm".into()), Value::text("calm")),
    ] {
        assert_eq!(target.row("SELECT ?1", std::slice::from_ref(&given)), [expected], "{given:?}");
    }
    let refused = target.query("SELECT ?1", &[Value::UInt(u64::MAX)]).expect_err("SQLite ends before");
    assert_eq!(refused.kind, ErrorKind::Other);
    assert!(target.query("", &[]).is_err(), "nothing is no query");
}

/// Wants three rows of all sets together.
#[derive(Default)]
struct Three(Vec<String>);

impl RowSink for Three {
    fn columns(&mut self, _set: u32, _names: &[&str]) {}

    fn row(&mut self, set: u32, cells: &[Value<'_>]) -> Wanted {
        self.0.push(format!("{set}: {cells:?}"));
        if self.0.len() < 3 { Wanted::More } else { Wanted::Enough }
    }
}

/// Rows are handed on as they come: one that waited for all of them would never come back.
#[test]
fn an_endless_query_ends_when_there_is_enough() {
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let database = Sqlite::fresh();
    let mut target = Target::open(&Adapted, &database.url());
    let mut three = Three::default();
    assert_eq!(target.connection.query(endless, &[], &mut three), Ok(()));
    assert_eq!(three.0, ["0: [Int(1)]", "0: [Int(2)]", "0: [Int(3)]"]);
    let mut three = Three::default();
    let texts = ["SELECT 8 AS eight", endless, "SELECT * FROM nests"];
    assert_eq!(target.connection.read(&texts, &mut three), Ok(()));
    assert_eq!(three.0, ["0: [Int(8)]", "1: [Int(1)]", "1: [Int(2)]"]);
}

#[test]
fn a_file_is_a_database_with_the_schema_main() {
    let database = Sqlite::fresh();
    let mut target = Target::open(&Adapted, &database.url());
    assert_eq!(target.facts.database, database.path().display().to_string());
    assert_eq!(target.facts.schema, "main");
    target.execute("CREATE TABLE birds (id); CREATE TEMP TABLE nests (id)");
    let mut exists = |name: TableName| target.connection.table_exists(&name).expect("it can be asked");
    assert!(exists(TableName::new("birds").in_schema("main")));
    assert!(!exists(TableName::new("birds").in_schema("temp")));
    assert!(exists(TableName::new("nests").in_schema("temp")));
}
