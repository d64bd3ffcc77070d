//! Several batches in one run.

use whimbrel_adapter_api::{Capability, Commit, ErrorKind, Mode, Text};

use super::{Check, Outcome, check};
use crate::bench::{Bench, insert};
use crate::client::Client;
use crate::finding::{Finding, agree, holds};
use crate::report::Verdict;
use crate::work::{Heard, Script};

pub(super) const CHECKS: &[Check] = &[
    check("batches are run in order, one after the other", strict),
    check("batches that may be sent at once are run in order too", as_asked),
    check("nothing runs behind a batch that failed", failing),
    check("batches that share a transaction are all or nothing", one_transaction),
];

fn mode(bench: &Bench) -> Mode {
    if bench.can(Capability::Transactions) { Mode::Atomic } else { Mode::Stepwise }
}

/// Returns a script of three batches that add one row each.
fn three(bench: &Bench, client: &Client, statements: &[String; 3]) -> Result<Script, Finding> {
    let mut script = Script::default();
    for (position, statement) in (1..).zip(statements) {
        script = script.then(client.head(position, mode(bench), 1)?, &[&[statement]]);
    }
    Ok(script)
}

fn rows(table: &str) -> [String; 3] {
    [insert(table, 1, "wren"), insert(table, 2, "kite"), insert(table, 3, "rook")]
}

fn all_done(client: &mut Client, table: &str, heard: &Heard) -> Result<(), Finding> {
    let done = heard.outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    agree("the batches that are done", done, 3)?;
    agree("what is there", client.names(table)?, ["wren", "kite", "rook"])?;
    let lines = [1, 2, 3].map(|position| format!("{position} {position:03}_birds up applied 1/1"));
    agree("the history", client.history_lines()?, lines)
}

fn strict(bench: &Bench) -> Outcome {
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    let script = three(bench, &client, &rows(&table))?;
    let heard = client.run(script)?;
    all_done(&mut client, &table, &heard)?;
    Ok(Verdict::Passed)
}

fn as_asked(bench: &Bench) -> Outcome {
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    let script = three(bench, &client, &rows(&table))?;
    let heard = client.run(script.as_asked())?;
    all_done(&mut client, &table, &heard)?;
    if bench.can(Capability::Pipelining) {
        holds(heard.under_way > 1, "no two batches are under way at once, and it says that they can be")?;
        return Ok(Verdict::Passed);
    }
    agree("the batches under way at once", heard.under_way, 1)?;
    Ok(Verdict::Refused)
}

fn failing(bench: &Bench) -> Outcome {
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    let mut statements = rows(&table);
    statements[1] = insert(&bench.new_table(&client), 2, "nowhere");
    let script = three(bench, &client, &statements)?;
    let heard = client.run(script.as_asked())?;
    let kinds: Vec<Option<ErrorKind>> = heard
        .outcomes
        .iter()
        .map(|outcome| outcome.as_ref().err().map(|failure| failure.error.kind))
        .collect();
    let expected = [None, Some(ErrorKind::TableMissing), Some(ErrorKind::NotReached)];
    let told = expected.get(..kinds.len()).unwrap_or(&expected);
    agree("what became of them", kinds.as_slice(), told)?;
    holds(kinds.len() > 1, "the batch that failed is not reported")?;
    agree("what is left", client.names(&table)?, ["wren"])?;
    let lines = client.history_lines()?;
    holds(!lines.iter().any(|line| line.starts_with("3 ")), format!("the history is {lines:?}"))?;
    Ok(Verdict::Passed)
}

fn one_transaction(bench: &Bench) -> Outcome {
    if !bench.can(Capability::Transactions) {
        return Ok(Verdict::Refused);
    }
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    let mut statements = rows(&table);
    let rook = std::mem::replace(&mut statements[2], insert(&bench.new_table(&client), 3, "nowhere"));
    let script = shared(&client, &statements)?;
    let heard = client.run(script.as_asked())?;
    holds(heard.outcomes.last().is_some_and(Result::is_err), "the batch that failed is not reported")?;
    agree("what is left of all", client.names(&table)?, [""; 0])?;
    agree("the history", client.history_lines()?, [""; 0])?;
    statements[2] = rook;
    let script = shared(&client, &statements)?;
    let heard = client.run(script.as_asked())?;
    all_done(&mut client, &table, &heard)?;
    Ok(Verdict::Passed)
}

/// Returns the three batches as parts of one transaction.
fn shared(client: &Client, statements: &[String; 3]) -> Result<Script, Finding> {
    let mut script = Script::default();
    let limits = whimbrel_adapter_api::Limits::default();
    let begin = client.text(&Text::Begin { limits: &limits })?.len();
    let commit = client.text(&Text::Commit)?.len();
    for (position, statement) in (1..).zip(statements) {
        let mut head = client.head(position, Mode::Atomic, 1)?;
        head.failed.clear();
        if position > 1 {
            head.opening.drain(..begin);
        }
        if position < 3 {
            head.closing.truncate(head.closing.len() - commit);
            head.commit = Commit::Later;
        }
        script = script.then(head, &[&[statement]]);
    }
    Ok(script)
}
