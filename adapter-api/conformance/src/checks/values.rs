//! Values as parameters and as cells.

use std::slice;

use whimbrel_adapter_api::{Capability, Comes, ErrorKind, Sample, Session, Value, ValueKind};

use super::{Check, Outcome, check};
use crate::bench::{Bench, insert};
use crate::finding::{During, Finding, agree, holds, refusal, refused};
use crate::report::Verdict;

pub(super) const CHECKS: &[Check] = &[
    check("every kind of value goes in and comes out", every_kind),
    check("NULL is no value of any other kind", null),
    check("arrays go in and come out", arrays),
    check("parameters go where they belong", parameters),
    check("a parameter is never taken for SQL", data),
    check("a query is one statement with all of its parameters", misfits),
];

fn sample(sample: Sample) -> Value<'static> {
    let typed = |kind, text: &'static str| Value::Typed(kind, text.into());
    match sample {
        Sample::Bool => Value::Bool(true),
        Sample::Int => Value::Int(i64::MIN),
        Sample::UInt => Value::UInt(u64::MAX),
        Sample::Float => Value::Float(0.1),
        Sample::Infinity => Value::Float(f64::INFINITY),
        Sample::Text => Value::text("l'été \\ \"\u{1f426}\"\r\n?"),
        Sample::Nul => Value::text("a\0b"),
        Sample::Bytes => Value::Bytes([0, 255, 39, 92, 10].as_slice().into()),
        Sample::Decimal => typed(ValueKind::Decimal, "-12.50"),
        Sample::Date => typed(ValueKind::Date, "2026-01-31"),
        Sample::Time => typed(ValueKind::Time, "13:05:00"),
        Sample::Timestamp => typed(ValueKind::Timestamp, "2026-01-31 13:05:00"),
        Sample::TimestampTz => typed(ValueKind::TimestampTz, "2026-01-31 13:05:00+00"),
        Sample::Interval => typed(ValueKind::Interval, "1 day 02:00:00"),
        Sample::Uuid => typed(ValueKind::Uuid, "0192f0c1-2345-7abc-8def-0123456789ab"),
        Sample::Json => typed(ValueKind::Json, "{\"a\": [1]}"),
        _ => Value::Null,
    }
}

fn every_kind(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let mut wrong = Vec::new();
    for kind in Sample::ALL {
        let quirk = bench.quirks.values.iter().find(|quirk| quirk.sample == *kind);
        let (through, comes) = quirk.map_or(("{}", &Comes::Back), |quirk| (&quirk.through, &quirk.comes));
        let value = sample(*kind);
        let sql = format!("SELECT {} AS answer", through.replace("{}", &bench.parameter(1)));
        let answer = client.query(&sql, slice::from_ref(&value));
        let answer = answer.map(|set| set.first("answer").cloned());
        let expected = match comes {
            Comes::Back => Some(&value),
            Comes::As(other) => Some(other),
            Comes::Refused => None,
            other => {
                wrong.push(format!("{kind:?} is declared as {other:?}, which this suite does not know"));
                continue;
            }
        };
        match (&answer, expected) {
            (Ok(found), Some(expected)) if found.as_ref() == Some(expected) => {}
            (Err(error), None) if error.session == Session::Usable => {}
            (Ok(found), Some(expected)) => {
                wrong.push(format!("{kind:?} is {found:?} instead of {expected:?}"));
            }
            (Ok(found), None) => wrong.push(format!("{kind:?} is {found:?}, and declared as refused")),
            (Err(error), _) => wrong.push(format!("{kind:?} is refused: {}", Finding::from(error.clone()))),
        }
    }
    holds(wrong.is_empty(), wrong.join("; "))?;
    Ok(Verdict::Passed)
}

fn null(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let sql = format!("SELECT {} AS answer, NULL AS other, '' AS blank", bench.parameter(1));
    let set = client.query(&sql, &[Value::Null]).during("NULL")?;
    agree("the row", set.rows, [[Value::Null, Value::Null, Value::text("")]])?;
    Ok(Verdict::Passed)
}

fn arrays(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let array = Value::Array(vec![Value::Int(1), Value::Int(-2)]);
    let sql = format!("SELECT {} AS answer", bench.parameter(1));
    let answer = client.query(&sql, slice::from_ref(&array));
    if !bench.can(Capability::Arrays) {
        refused("an array", answer, ErrorKind::Unsupported)?;
        client.connection.ping().during("afterwards")?;
        return Ok(Verdict::Refused);
    }
    agree("the array", answer.during("an array")?.first("answer"), Some(&array))?;
    Ok(Verdict::Passed)
}

fn parameters(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let table = bench.table(&mut client)?;
    let [first, second] = [1, 2].map(|number| bench.parameter(number));
    let insert = format!("INSERT INTO {table} (id, name) VALUES ({first}, {second})");
    for (id, name) in [(1, "wren"), (2, "kite"), (3, "rook")] {
        let answer = client.query(&insert, &[Value::Int(id), Value::text(name)]).during("an INSERT")?;
        agree("rows of an INSERT", answer.rows.len(), 0)?;
    }
    let sql =
        format!("SELECT name AS called, id FROM {table} WHERE id > {first} AND name <> {second} ORDER BY id");
    let set = client.query(&sql, &[Value::Int(1), Value::text("rook")]).during("a SELECT")?;
    agree("the columns", set.columns, ["called", "id"])?;
    agree("the rows", set.rows, [[Value::text("kite"), Value::Int(2)]])?;
    Ok(Verdict::Passed)
}

fn data(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let table = bench.table(&mut client)?;
    let name = format!("'); DROP TABLE {table}; -- ?$1");
    let name: String = name.chars().take(64).collect();
    let [first, second] = [1, 2].map(|number| bench.parameter(number));
    let insert = format!("INSERT INTO {table} (id, name) VALUES ({first}, {second})");
    client.query(&insert, &[Value::Int(1), Value::text(&name)]).during("an INSERT")?;
    agree("the names", client.names(&table)?, [name])?;
    Ok(Verdict::Passed)
}

fn misfits(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    refusal("a query of two statements", client.query("SELECT 1; SELECT 2", &[Value::Int(1)]))?;
    client.connection.ping().during("after two statements")?;
    // No missing parameter gives it away here, and what was run before the refusal would be there.
    let table = bench.table(&mut client)?;
    let two = format!("{}; SELECT 1 AS answer", insert(&table, 1, "wren"));
    refusal("a query of two statements without parameters", client.query(&two, &[]))?;
    agree("what is left of the first of two statements", client.names(&table)?, [""; 0])?;
    let sql = format!("SELECT {} AS answer", bench.parameter(1));
    refusal("a parameter that is missing", client.query(&sql, &[]))?;
    client.connection.ping().during("after a missing parameter")?;
    Ok(Verdict::Passed)
}
