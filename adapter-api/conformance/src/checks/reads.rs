//! Several reading statements in one turn.

use whimbrel_adapter_api::{ErrorKind, RowSink, Rows, Value, Wanted};

use super::{Check, Outcome, check};
use crate::bench::{Bench, insert, inserts};
use crate::finding::{During, Finding, agree, holds};
use crate::report::Verdict;

pub(super) const CHECKS: &[Check] = &[
    check("several sets come in order, each with its columns", sets),
    check("an absent table is told apart from an empty one", absent),
    check("no more rows come than are wanted", enough),
];

fn sets(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let [full, empty] = [bench.table(&mut client)?, bench.table(&mut client)?];
    client.execute(&insert(&full, 1, "wren"))?;
    client.execute(&insert(&full, 2, "kite"))?;
    let mut rows = Rows::default();
    let texts = [
        format!("SELECT name FROM {full} ORDER BY id"),
        format!("SELECT id, name FROM {empty} ORDER BY id"),
        "SELECT 7 AS seven".to_owned(),
    ];
    client.connection.read(&texts.each_ref().map(String::as_str), &mut rows).during("three sets")?;
    let columns: Vec<Vec<String>> = rows.sets.iter().map(|set| set.columns.clone()).collect();
    agree("the columns", columns, [vec!["name"], vec!["id", "name"], vec!["seven"]])?;
    let counts: Vec<usize> = rows.sets.iter().map(|set| set.rows.len()).collect();
    agree("the numbers of rows", counts, [2, 0, 1])?;
    let names: Vec<Option<&str>> = rows.sets[0].rows.iter().map(|row| row[0].as_text()).collect();
    agree("the first set", names, [Some("wren"), Some("kite")])?;
    agree("the last set", rows.sets[2].rows[0][0].as_int(), Some(7))?;
    client.connection.read(&[], &mut Rows::default()).during("no set at all")?;
    client.connection.ping().during("afterwards")?;
    Ok(Verdict::Passed)
}

fn absent(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let full = bench.table(&mut client)?;
    client.execute(&insert(&full, 1, "wren"))?;
    let absent = bench.new_table(&client);
    let texts = [&full, &absent, &full].map(|table| format!("SELECT name FROM {table}"));
    let mut rows = Rows::default();
    let Err(error) = client.connection.read(&texts.each_ref().map(String::as_str), &mut rows) else {
        return Err(Finding::new("an absent table is no error"));
    };
    agree("the set that failed", (error.set, error.error.kind), (1, ErrorKind::TableMissing))?;
    let first = rows.sets.first().map(|set| set.rows.len());
    agree("the rows before it", first, Some(1))?;
    holds(rows.sets.iter().skip(1).all(|set| set.rows.is_empty()), "rows come behind the set that failed")?;
    client.connection.ping().during("afterwards")?;
    Ok(Verdict::Passed)
}

/// Wants three rows.
#[derive(Default)]
struct Three {
    rows: usize,
    more: usize,
}

impl RowSink for Three {
    fn columns(&mut self, _set: u32, _names: &[&str]) {}

    fn row(&mut self, _set: u32, _cells: &[Value<'_>]) -> Wanted {
        self.more += usize::from(self.rows == 3);
        self.rows = 3.min(self.rows + 1);
        if self.rows == 3 { Wanted::Enough } else { Wanted::More }
    }
}

fn enough(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let table = bench.table(&mut client)?;
    for statement in inserts(&table, 8).0 {
        client.execute(&statement)?;
    }
    let sql = format!("SELECT name FROM {table}");
    let mut three = Three::default();
    client.connection.query(&sql, &[], &mut three).during("a query")?;
    agree("rows of a query, and beyond what was wanted", (three.rows, three.more), (3, 0))?;
    let mut three = Three::default();
    client.connection.read(&[&sql, &sql], &mut three).during("a read")?;
    agree("rows of a read, and beyond what was wanted", (three.rows, three.more), (3, 0))?;
    agree("the next query", client.names(&table)?.len(), 8)?;
    Ok(Verdict::Passed)
}
