//! Batches that go statement by statement, with marks.

use whimbrel_adapter_api::{Class, Count, ErrorKind, Failure, Marking, Mode, Phase, RowState, State, Text};

use super::atomic::padded;
use super::{Check, Outcome, check};
use crate::bench::{Bench, insert, inserts};
use crate::client::Client;
use crate::finding::{Finding, agree};
use crate::report::Verdict;
use crate::work::Script;

pub(super) const CHECKS: &[Check] = &[
    check("a script is run whole, with its row", whole),
    check("an empty script leaves its row", empty),
    check("a failure at any statement leaves those before it, and says so in the row", failing),
    check("a large script in pieces is exact to the statement", large),
    check("a stop leaves what was done, and says so", stopped),
    check("a runner whose row was settled by another goes no further", taken_over),
    check("marks may share the transaction of their statements", joined),
];

fn begin(bench: &Bench) -> Result<(Client, String), Finding> {
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    Ok((client, table))
}

fn done(client: &mut Client, script: Script) -> Result<(), Finding> {
    let outcome = client.run(script)?.single()?;
    outcome.map(drop).map_err(|failure| Finding::from(failure.error))
}

fn failure(client: &mut Client, script: Script) -> Result<Failure, Finding> {
    let heard = client.run(script)?;
    agree("the answer of `run`", &heard.answer, &Ok(()))?;
    heard.single()?.err().ok_or_else(|| Finding::new("the batch is reported as done"))
}

fn stays(found: &Failure, phase: Phase, count: u64) -> Result<(), Finding> {
    let state = (found.phase, found.completed, found.committed, found.state);
    agree("phase, completed, committed and state", state, (phase, count, count, State::Committed))
}

fn whole(bench: &Bench) -> Outcome {
    let (mut client, table) = begin(bench)?;
    let other = bench.new_table(&client);
    let (statements, names) = inserts(&table, 3);
    let create = bench.create(&other);
    let drop = format!("DROP TABLE {other}");
    let statements = [&create, &statements[0], &statements[1], &statements[2], &drop].map(String::as_str);
    let head = client.head(1, Mode::Stepwise, 5)?;
    done(&mut client, Script::of(head, &statements))?;
    let mut beside = bench.beside(&client)?;
    agree("what others see", beside.names(&table)?, names)?;
    agree("the history", beside.history_lines()?, ["1 001_birds up applied 5/5"])?;
    Ok(Verdict::Passed)
}

fn empty(bench: &Bench) -> Outcome {
    let (mut client, _) = begin(bench)?;
    let head = client.head(1, Mode::Stepwise, 0)?;
    done(&mut client, Script::of(head, &[]))?;
    agree("the history", client.history_lines()?, ["1 001_birds up applied 0/0"])?;
    Ok(Verdict::Passed)
}

fn failing(bench: &Bench) -> Outcome {
    for wrong in 0..4_usize {
        let (mut client, table) = begin(bench)?;
        let absent = bench.new_table(&client);
        let (mut statements, names) = inserts(&table, 4);
        statements[wrong] = insert(&absent, 1, "nowhere");
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        let head = client.head(1, Mode::Stepwise, 4)?;
        let failure = failure(&mut client, Script::of(head, &statements))?;
        agree("the kind of error", failure.error.kind, ErrorKind::TableMissing)?;
        stays(&failure, Phase::Statement(wrong as u64), wrong as u64)?;
        agree("what is left", client.names(&table)?, &names[..wrong])?;
        agree("the history", client.history_lines()?, [format!("1 001_birds up failed {wrong}/4")])?;
        let head = client.head(2, Mode::Stepwise, 1)?;
        done(&mut client, Script::of(head, &[&insert(&table, 9, "again")]))?;
    }
    Ok(Verdict::Passed)
}

fn large(bench: &Bench) -> Outcome {
    let (mut client, table) = begin(bench)?;
    let (statements, names) = inserts(&table, 5);
    let [a, b, c, d] = [0, 1, 2, 3].map(|index| padded(&statements[index], 100 << 10));
    let e = padded(&statements[4], 300 << 10);
    let absent = insert(&bench.new_table(&client), 1, "nowhere");
    let head = client.head(1, Mode::Stepwise, 6)?;
    let script = Script::default().then(head, &[&[&a, &b], &[&c, &d], &[&e], &[&absent]]);
    let failure = failure(&mut client, script)?;
    stays(&failure, Phase::Statement(5), 5)?;
    agree("what is left", client.names(&table)?, names)?;
    agree("the history", client.history_lines()?, ["1 001_birds up failed 5/6"])?;
    Ok(Verdict::Passed)
}

fn stopped(bench: &Bench) -> Outcome {
    let (mut client, table) = begin(bench)?;
    let [first, second] = [insert(&table, 1, "wren"), insert(&table, 2, "kite")];
    let head = client.head(1, Mode::Stepwise, 2)?;
    let script = Script::default().then(head, &[&[&first], &[&second]]).stopping_at(1);
    let failure = failure(&mut client, script)?;
    agree("the kind of error", failure.error.kind, ErrorKind::Stopped)?;
    let names = client.names(&table)?;
    agree("how many statements stay", failure.committed, names.len() as u64)?;
    // An adapter that sends all of a batch at once has not begun it.
    let lines = match names.len() {
        0 if client.history()?.rows.is_empty() => Vec::new(),
        done => vec![format!("1 001_birds up failed {done}/2")],
    };
    agree("the history", client.history_lines()?, lines)?;
    Ok(Verdict::Passed)
}

/// The second statement settles the row, as another runner would that took this one for dead.
fn taken_over(bench: &Bench) -> Outcome {
    let (mut client, table) = begin(bench)?;
    let statements_done = Count::Exactly(1);
    let (history, state) = (&client.history, RowState::Failed);
    let settle = client.text(&Text::Finish { history, position: 1, state, statements_done })?;
    let [settle] = settle.as_slice() else {
        return Err(Finding::new(format!("a row is finished by {} texts instead of one", settle.len())));
    };
    let [first, last] = [insert(&table, 1, "wren"), insert(&table, 2, "kite")];
    let head = client.head(1, Mode::Stepwise, 3)?;
    let failure = failure(&mut client, Script::of(head, &[&first, settle, &last]))?;
    agree("phase and kind", (failure.phase, failure.error.kind), (Phase::Closing, ErrorKind::FenceTaken))?;
    agree("what is left", client.names(&table)?, ["wren"])?;
    agree("the history", client.history_lines()?, ["1 001_birds up failed 1/3"])?;
    Ok(Verdict::Passed)
}

fn joined(bench: &Bench) -> Outcome {
    let (mut client, table) = begin(bench)?;
    if !client.has(Class::Transactional) {
        return Ok(Verdict::Refused);
    }
    let (statements, names) = inserts(&table, 3);
    let absent = insert(&bench.new_table(&client), 1, "nowhere");
    let [a, b, c] = [0, 1, 2].map(|index| statements[index].as_str());
    let head = client.head(1, Mode::Stepwise, 4)?;
    let script = Script::default().then_marked(head, &[&[a, b, &absent, c]], Marking::Joined);
    let failure = failure(&mut client, script)?;
    stays(&failure, Phase::Statement(2), 2)?;
    agree("what is left", client.names(&table)?, &names[..2])?;
    agree("the history", client.history_lines()?, ["1 001_birds up failed 2/4"])?;
    let head = client.head(2, Mode::Stepwise, 1)?;
    done(&mut client, Script::default().then_marked(head, &[&[c]], Marking::Joined))?;
    agree("what is there", client.names(&table)?, names)?;
    Ok(Verdict::Passed)
}
