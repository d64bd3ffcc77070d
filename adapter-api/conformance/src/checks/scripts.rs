//! Scripts that are run as they stand, and errors as data.

use whimbrel_adapter_api::{Error, ErrorKind, Pointing, Session};

use super::{Check, Outcome, check};
use crate::bench::{Bench, insert};
use crate::client::Client;
use crate::finding::{During, Finding, agree, holds, refused};
use crate::report::Verdict;

pub(super) const CHECKS: &[Check] = &[
    check("a script of several statements is run whole", whole),
    check("a script without statements is no error", empty),
    check("an error of syntax says where, in bytes from the start of the script", syntax),
    check("an error behind other statements is not hidden", behind),
    check("each kind of error is told as such, and the session goes on", kinds),
];

fn whole(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let table = bench.table(&mut client)?;
    client.execute(&format!(
        "{};\nSELECT 1;\n-- a kite\n{};\n",
        insert(&table, 1, "wren; and more"),
        insert(&table, 2, "l''été")
    ))?;
    agree("what it has done", client.names(&table)?, ["wren; and more", "l'été"])?;
    Ok(Verdict::Passed)
}

fn empty(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    for script in ["", "  \n", "-- nothing at all\n"] {
        client.connection.execute_raw(script).during(&format!("{script:?}"))?;
    }
    client.connection.ping().during("afterwards")?;
    Ok(Verdict::Passed)
}

fn syntax(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    // Two letters of several bytes stand before the culprit.
    let script = "SELECT 'été' AS a; SELEC 2 AS b";
    let culprit = script.find("SELEC 2").unwrap_or_default() as u64;
    let error = refused("a misspelled statement", client.connection.execute_raw(script), ErrorKind::Syntax)?;
    at(bench, &error, culprit)?;
    agree("the session", error.session, Session::Usable)?;
    client.connection.ping().during("afterwards")?;
    Ok(Verdict::Passed)
}

/// Fails unless the position is the one of the culprit, as well as the engine can tell.
pub(super) fn at(bench: &Bench, error: &Error, culprit: u64) -> Result<(), Finding> {
    const NEARBY: u64 = 12;
    match (bench.quirks.pointing, error.position) {
        (Pointing::Absent, None) => Ok(()),
        (Pointing::Absent, Some(_)) => Err(Finding::new("a position is told, and declared absent")),
        (Pointing::Near, Some(position)) => {
            holds(position.abs_diff(culprit) <= NEARBY, format!("position {position}, far from {culprit}"))
        }
        (_, position) => agree("the position", position, Some(culprit)),
    }
}

fn behind(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let table = bench.table(&mut client)?;
    let absent = bench.new_table(&client);
    let script = format!("{};\nSELECT 1;\n{}", insert(&table, 1, "wren"), insert(&absent, 1, "kite"));
    refused("an absent table", client.connection.execute_raw(&script), ErrorKind::TableMissing)?;
    Ok(Verdict::Passed)
}

fn kinds(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let table = bench.table(&mut client)?;
    client.execute(&insert(&table, 1, "wren"))?;
    let absent = bench.new_table(&client);
    let mut failing = vec![
        (format!("SELECT name FROM {absent}"), ErrorKind::TableMissing),
        (format!("SELECT no_such_column FROM {table}"), ErrorKind::ColumnMissing),
    ];
    if bench.has_keys() {
        failing.push((insert(&table, 1, "kite"), ErrorKind::Constraint));
    }
    for (script, kind) in failing {
        let error = refused(&script, client.connection.execute_raw(&script), kind)?;
        agree("the session", error.session, Session::Usable)?;
        holds(!error.message.trim().is_empty(), "the error has no message")?;
        holds_after(&mut client, &table)?;
    }
    Ok(Verdict::Passed)
}

fn holds_after(client: &mut Client, table: &str) -> Result<(), Finding> {
    agree("what is left", client.names(table)?, ["wren"])
}
