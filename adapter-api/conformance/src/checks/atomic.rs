//! Batches that are one transaction.

use whimbrel_adapter_api::{Capability, ErrorKind, Failure, Mode, Phase, State};

use super::scripts::at;
use super::{Check, Outcome, check};
use crate::bench::{Bench, insert, inserts};
use crate::client::{Client, DOWN_SCRIPT};
use crate::finding::{Finding, agree, holds};
use crate::report::Verdict;
use crate::work::{Held, Script};

pub(super) const CHECKS: &[Check] = &[
    check("a script is run whole, with its row", whole),
    check("an empty script leaves its row", empty),
    check("a failure at any statement leaves nothing behind", failing),
    check("a failure says where in its statement, in bytes", position),
    check("a large script in pieces is all or nothing", large),
    check("a stop takes everything back", stopped),
    check("a text before the script that fails keeps it from running", opening),
    check("a batch whose row is gone is not taken for settled", unsettled),
    check("data inside a script is taken in, or refused", copy),
];

/// Returns a session with its history and a table, if there are transactions.
fn begin(bench: &Bench) -> Result<Option<(Client, String)>, Finding> {
    if !bench.can(Capability::Transactions) {
        return Ok(None);
    }
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    Ok(Some((client, table)))
}

/// Fails unless nothing of a batch is there, and the session can go on.
fn nothing_left(client: &mut Client, table: &str) -> Result<(), Finding> {
    agree("what is left", client.names(table)?, [""; 0])?;
    agree("the history", client.history_lines()?, [""; 0])?;
    let head = client.head(1, Mode::Atomic, 1)?;
    let outcome = client.run(Script::of(head, &[&insert(table, 1, "again")]))?.single()?;
    outcome.map_err(|failure| Finding::from(failure.error))?;
    agree("what the next batch leaves", client.names(table)?, ["again"])
}

fn failure(client: &mut Client, script: Script) -> Result<Failure, Finding> {
    let heard = client.run(script)?;
    agree("the answer of `run`", &heard.answer, &Ok(()))?;
    heard.single()?.err().ok_or_else(|| Finding::new("the batch is reported as done"))
}

fn rolled_back(found: &Failure, phase: Phase, completed: u64) -> Result<(), Finding> {
    let Failure { committed, state, .. } = found;
    let found = (found.phase, found.completed, *committed, *state);
    agree("phase, completed, committed and state", found, (phase, completed, 0, State::RolledBack))
}

fn whole(bench: &Bench) -> Outcome {
    let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let (statements, names) = inserts(&table, 3);
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    let head = client.head(1, Mode::Atomic, 3)?;
    let outcome = client.run(Script::of(head, &statements))?.single()?;
    outcome.map_err(|failure| Finding::from(failure.error))?;
    let mut beside = bench.beside(&client)?;
    agree("what others see", beside.names(&table)?, names)?;
    agree("the history", beside.history_lines()?, ["1 001_birds up applied 3/3"])?;
    agree("the down script", beside.down_script(1)?, DOWN_SCRIPT)?;
    Ok(Verdict::Passed)
}

fn empty(bench: &Bench) -> Outcome {
    let Some((mut client, _)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let head = client.head(1, Mode::Atomic, 0)?;
    let outcome = client.run(Script::of(head, &[]))?.single()?;
    outcome.map_err(|failure| Finding::from(failure.error))?;
    agree("the history", client.history_lines()?, ["1 001_birds up applied 0/0"])?;
    Ok(Verdict::Passed)
}

fn failing(bench: &Bench) -> Outcome {
    for wrong in 0..4 {
        let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
        let absent = bench.new_table(&client);
        let (mut statements, _) = inserts(&table, 4);
        statements[wrong] = insert(&absent, 1, "nowhere");
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        let head = client.head(1, Mode::Atomic, 4)?;
        let failure = failure(&mut client, Script::of(head, &statements))?;
        agree("the kind of error", failure.error.kind, ErrorKind::TableMissing)?;
        rolled_back(&failure, Phase::Statement(wrong as u64), wrong as u64)?;
        nothing_left(&mut client, &table)?;
    }
    Ok(Verdict::Passed)
}

fn position(bench: &Bench) -> Outcome {
    let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let statement = "SELECT 'été' AS a FRON nowhere WHERE";
    let culprit = statement.find("FRON").unwrap_or_default() as u64;
    let head = client.head(1, Mode::Atomic, 2)?;
    let failure = failure(&mut client, Script::of(head, &[&insert(&table, 1, "wren"), statement]))?;
    agree("the kind of error", failure.error.kind, ErrorKind::Syntax)?;
    agree("the phase", failure.phase, Phase::Statement(1))?;
    at(bench, &failure.error, culprit)?;
    nothing_left(&mut client, &table)?;
    Ok(Verdict::Passed)
}

/// Makes a statement long, inside.
pub(super) fn padded(statement: &str, length: usize) -> String {
    statement.replacen("VALUES", &format!("/* {} */ VALUES", "x".repeat(length)), 1)
}

fn large(bench: &Bench) -> Outcome {
    let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let (statements, names) = inserts(&table, 5);
    let [a, b, c, d] = [0, 1, 2, 3].map(|index| padded(&statements[index], 100 << 10));
    // One statement is longer than a piece is otherwise.
    let e = padded(&statements[4], 300 << 10);
    let absent = insert(&bench.new_table(&client), 1, "nowhere");
    let head = client.head(1, Mode::Atomic, 6)?;
    let script = Script::default().then(head, &[&[&a, &b], &[&c, &d], &[&e], &[&absent]]);
    let failure = failure(&mut client, script)?;
    rolled_back(&failure, Phase::Statement(5), 5)?;
    agree("what is left", client.names(&table)?, [""; 0])?;
    let head = client.head(1, Mode::Atomic, 5)?;
    let script = Script::default().then(head, &[&[&a, &b], &[&c, &d], &[&e]]);
    let outcome = client.run(script)?.single()?;
    outcome.map_err(|failure| Finding::from(failure.error))?;
    agree("what is there", client.names(&table)?, names)?;
    agree("the history", client.history_lines()?, ["1 001_birds up applied 5/5"])?;
    Ok(Verdict::Passed)
}

fn stopped(bench: &Bench) -> Outcome {
    let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let [first, second] = [insert(&table, 1, "wren"), insert(&table, 2, "kite")];
    let head = client.head(1, Mode::Atomic, 2)?;
    let script = Script::default().then(head, &[&[&first], &[&second]]).stopping_at(1);
    let failure = failure(&mut client, script)?;
    agree("the kind of error", failure.error.kind, ErrorKind::Stopped)?;
    agree("the state", failure.state, State::RolledBack)?;
    nothing_left(&mut client, &table)?;
    Ok(Verdict::Passed)
}

fn opening(bench: &Bench) -> Outcome {
    let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let absent = bench.new_table(&client);
    let mut head = client.head(1, Mode::Atomic, 1)?;
    head.opening.push(insert(&absent, 1, "nowhere"));
    let failure = failure(&mut client, Script::of(head, &[&insert(&table, 1, "wren")]))?;
    agree("the kind of error", failure.error.kind, ErrorKind::TableMissing)?;
    rolled_back(&failure, Phase::Opening, 0)?;
    nothing_left(&mut client, &table)?;
    Ok(Verdict::Passed)
}

fn unsettled(bench: &Bench) -> Outcome {
    let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let remove = format!("DELETE FROM {} WHERE position = 1", client.qualified());
    let head = client.head(1, Mode::Atomic, 2)?;
    let failure = failure(&mut client, Script::of(head, &[&insert(&table, 1, "wren"), &remove]))?;
    agree(
        "phase and kind",
        (failure.phase, failure.error.kind),
        (Phase::Closing, ErrorKind::TransactionEnded),
    )?;
    holds(failure.state != State::RolledBack, "what cannot be known is told as rolled back")?;
    nothing_left(&mut client, &table)?;
    Ok(Verdict::Passed)
}

fn copy(bench: &Bench) -> Outcome {
    let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let statement = format!("COPY {table} (id, name) FROM stdin");
    let head = client.head(1, Mode::Atomic, 1)?;
    let data = Held::copy(&statement, &["1\twren\n2\tkite\n"]);
    let script = Script::default().then_pieces(head, data);
    let outcome = client.run(script)?.single()?;
    if bench.can(Capability::CopyFromStdin) {
        outcome.map_err(|failure| Finding::from(failure.error))?;
        agree("what is there", client.names(&table)?, ["wren", "kite"])?;
        return Ok(Verdict::Passed);
    }
    let Err(failure) = outcome else { return Err(Finding::new("data is taken in, and it does not say so")) };
    agree("the kind of error", failure.error.kind, ErrorKind::Unsupported)?;
    nothing_left(&mut client, &table)?;
    Ok(Verdict::Refused)
}
