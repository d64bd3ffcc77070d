//! Queries: what goes in, what comes out, and how much of it.

use std::slice;

use whimbrel_adapter_api::{
    Adapter, Connection, Error, ErrorKind, RowSink, Rows, TableName, Value, ValueKind, Wanted,
};

use crate::scratch::{Scratch, add, query};

fn echo(connection: &mut dyn Connection, value: &Value<'_>) -> Result<Value<'static>, Error> {
    let mut set = query(connection, "SELECT ?1", slice::from_ref(value))?;
    Ok(set.rows.remove(0).remove(0))
}

pub(crate) fn values(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.open(adapter).connection;
    let mut told = Vec::new();
    for (given, expected) in [
        (Value::Null, Value::Null),
        (Value::Bool(true), Value::Int(1)),
        (Value::Int(i64::MIN), Value::Int(i64::MIN)),
        (Value::Float(0.1), Value::Float(0.1)),
        (Value::Float(f64::INFINITY), Value::Float(f64::INFINITY)),
        (Value::text("l'été \u{1f426}"), Value::text("l'été \u{1f426}")),
        (Value::text(""), Value::text("")),
        (Value::text("a\0b"), Value::text("a\0b")),
        (Value::Bytes(vec![0, 255, 7].into()), Value::Bytes(vec![0, 255, 7].into())),
        (Value::Bytes(Vec::new().into()), Value::Bytes(Vec::new().into())),
        (Value::Typed(ValueKind::Date, "2026-01-31".into()), Value::text("2026-01-31")),
    ] {
        let answer = echo(connection.as_mut(), &given);
        assert_eq!(answer, Ok(expected), "{given:?}");
        told.push(scratch.told(&answer));
    }
    let array = Value::Array(vec![Value::Int(1), Value::Array(vec![Value::Null])]);
    let refused = echo(connection.as_mut(), &array).expect_err("SQLite has no arrays");
    assert_eq!(refused.kind, ErrorKind::Unsupported);
    told.push(scratch.told(&refused));
    told
}

pub(crate) fn whole_numbers_without_a_sign(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.open(adapter).connection;
    assert_eq!(echo(connection.as_mut(), &Value::UInt(7)), Ok(Value::Int(7)));
    let refused = echo(connection.as_mut(), &Value::UInt(u64::MAX)).expect_err("SQLite ends before");
    assert_eq!(refused.kind, ErrorKind::Other);
    vec![scratch.told(&refused)]
}

pub(crate) fn parameters(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.open(adapter).connection;
    let connection = connection.as_mut();
    let set = query(connection, "SELECT ?2 AS second, ?1 AS first", &[1.into(), "two".into()]);
    let set = set.expect("the query is right");
    assert_eq!(set.columns, ["second", "first"]);
    assert_eq!(set.rows, [[Value::text("two"), Value::Int(1)]]);
    let refused = ["SELECT 1; SELECT 2", "SELECT ?1", ""];
    let refused = refused.map(|sql| query(connection, sql, &[]).expect_err(sql));
    [scratch.told(&set)].into_iter().chain(refused.iter().map(|error| scratch.told(error))).collect()
}

pub(crate) fn sets(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.with_birds(adapter).connection;
    add(connection.as_mut(), "wren");
    add(connection.as_mut(), "kite");
    let [full, empty] = ["SELECT name FROM birds ORDER BY name", "SELECT id, 1 AS one FROM \"Odd \"\"Name\""];
    let mut rows = Rows::default();
    assert_eq!(connection.read(&[full, empty, "SELECT 7 AS last"], &mut rows), Ok(()));
    let [names, nothing, last] = rows.sets.as_slice() else { panic!("{rows:?}") };
    assert_eq!(names.rows, [[Value::text("kite")], [Value::text("wren")]]);
    assert_eq!((nothing.columns.as_slice(), nothing.rows.len()), (&["id".into(), "one".into()][..], 0));
    assert_eq!(last.first("last"), Some(&Value::Int(7)));
    // What was read before the absent table is there, and nothing after it.
    let mut until = Rows::default();
    let absent = connection.read(&[full, "SELECT * FROM nests", empty], &mut until);
    let absent = absent.expect_err("there is no such table");
    assert_eq!((absent.set, absent.error.kind), (1, ErrorKind::TableMissing));
    assert_eq!(until.sets, rows.sets[..1]);
    vec![scratch.told(&rows), scratch.told(&absent)]
}

/// Takes three rows.
#[derive(Debug, Default)]
struct Three(Vec<String>);

impl RowSink for Three {
    fn columns(&mut self, set: u32, names: &[&str]) {
        self.0.push(format!("{set}: {names:?}"));
    }

    fn row(&mut self, set: u32, cells: &[Value<'_>]) -> Wanted {
        self.0.push(format!("{set}: {cells:?}"));
        match self.0.iter().filter(|line| line.contains("Int")).count() {
            3.. => Wanted::Enough,
            _ => Wanted::More,
        }
    }
}

pub(crate) fn enough(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.open(adapter).connection;
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let mut three = Three::default();
    assert_eq!(connection.query(endless, &[], &mut three), Ok(()));
    assert_eq!(three.0, ["0: [\"i\"]", "0: [Int(1)]", "0: [Int(2)]", "0: [Int(3)]"]);
    let mut three = Three::default();
    assert_eq!(connection.read(&["SELECT 8 AS eight", endless, "SELECT * FROM nests"], &mut three), Ok(()));
    assert_eq!(three.0, ["0: [\"eight\"]", "0: [Int(8)]", "1: [\"i\"]", "1: [Int(1)]", "1: [Int(2)]"]);
    three.0
}

pub(crate) fn names(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.with_birds(adapter).connection;
    let birds = TableName::new("birds");
    let mut told = Vec::new();
    for (name, expected) in [
        (birds.clone(), true),
        (TableName::new("seen"), true),
        (TableName::new("Odd \"Name"), true),
        (TableName::new("odd \"name"), false),
        (TableName::new("\"birds\""), false),
        (TableName::new("Birds"), false),
        (TableName::new("bird%"), false),
        (TableName::new("absent"), false),
        (birds.in_schema("main"), true),
        (birds.in_schema("temp"), false),
        (birds.in_schema("nowhere"), false),
    ] {
        let exists = connection.table_exists(&name);
        assert_eq!(exists, Ok(expected), "{name}");
        told.push(format!("{name}: {exists:?}"));
    }
    told
}
