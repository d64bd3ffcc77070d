//! What keeps two runners apart.

use std::sync::{Arc, Barrier};
use std::thread;

use whimbrel_adapter_api::{
    Capability, ErrorKind, Failure, Fence, Head, Limits, Mode, Phase, State, Text, Value,
};

use super::{Check, Outcome, check};
use crate::bench::{Bench, insert};
use crate::client::Client;
use crate::finding::{Finding, agree};
use crate::report::Verdict;
use crate::work::Script;

pub(super) const CHECKS: &[Check] = &[
    check("a position that is taken is told as taken", taken),
    check("a position with none before it is told as taken", without_previous),
    check("of ten at once one gets each position, and the others hear it", ten_at_once),
];

const RUNNERS: usize = 10;
const POSITIONS: i64 = 3;

/// How often a runner tries before it gives up. Somebody is done long before.
const TRIES: usize = 1_000;

fn mode(bench: &Bench) -> Mode {
    if bench.can(Capability::TransactionalDdl) { Mode::Atomic } else { Mode::Stepwise }
}

fn taken(bench: &Bench) -> Outcome {
    if bench.info.fence == Fence::None {
        return not_taken(bench);
    }
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    for mode in modes(bench) {
        // Another session, as another runner has one.
        let mut other = bench.beside(&client)?;
        let head = client.head(1, mode, 1)?;
        let _ = client.run(Script::of(head.clone(), &[&insert(&table, 1, "wren")]))?;
        let before = client.names(&table)?;
        let outcome = other.run(Script::of(head, &[&insert(&table, 2, "kite")]))?.single()?;
        lost(outcome.err())?;
        agree("what is left", client.names(&table)?, before)?;
    }
    agree("the history", client.history_lines()?, ["1 001_birds up applied 1/1"])?;
    Ok(Verdict::Passed)
}

/// What has no fence lets everybody have a position: else it keeps runs apart, and they are refused for nothing.
fn not_taken(bench: &Bench) -> Outcome {
    let mut client = bench.ready()?;
    for _ in 0..2 {
        let head = client.head(1, mode(bench), 0)?;
        if let Err(failure) = client.run(Script::of(head, &[]))?.single()? {
            let told = Finding::from(failure.error);
            return Err(Finding::new(format!("there is a fence, and it says that there is none: {told}")));
        }
    }
    Ok(Verdict::Refused)
}

fn modes(bench: &Bench) -> Vec<Mode> {
    match bench.can(Capability::Transactions) {
        true => vec![Mode::Atomic, Mode::Stepwise],
        false => vec![Mode::Stepwise],
    }
}

fn lost(failure: Option<Failure>) -> Result<(), Finding> {
    let found = failure.map(|failure| (failure.phase, failure.error.kind, failure.state));
    let expected = (Phase::Opening, ErrorKind::FenceTaken, State::RolledBack);
    agree("phase, kind and state", found, Some(expected))
}

/// The row that was seen last is gone: whoever plans on it plans on what is not there.
fn without_previous(bench: &Bench) -> Outcome {
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    for mode in modes(bench) {
        let head = client.head(3, mode, 1)?;
        let outcome = client.run(Script::of(head, &[&insert(&table, 1, "wren")]))?.single()?;
        // Without keys no row can be made to stand behind another.
        if outcome.is_ok() && !bench.has_keys() {
            return Ok(Verdict::Refused);
        }
        lost(outcome.err())?;
        agree("what is left", client.names(&table)?, [""; 0])?;
    }
    Ok(Verdict::Passed)
}

/// Each runner creates the history, if it is not there, and tries for every position in turn.
fn ten_at_once(bench: &Bench) -> Outcome {
    if bench.info.fence == Fence::None {
        return Ok(Verdict::Refused);
    }
    let history = bench.client()?.history;
    let mode = mode(bench);
    let barrier = Arc::new(Barrier::new(RUNNERS));
    let won = thread::scope(|scope| {
        let runner = |_| {
            let (history, barrier) = (history.clone(), Arc::clone(&barrier));
            scope.spawn(move || {
                let client = bench.connect().and_then(|opened| Client::open(opened, &history));
                barrier.wait();
                let mut client = client?;
                create(&mut client, mode)?;
                (1..=POSITIONS).map(|position| attempt(&mut client, position, mode)).collect()
            })
        };
        let runners: Vec<_> = (0..RUNNERS).map(runner).collect();
        let join = |runner: thread::ScopedJoinHandle<'_, Result<Vec<bool>, Finding>>| {
            runner.join().unwrap_or_else(|_| Err(Finding::new("a runner panicked")))
        };
        runners.into_iter().map(join).collect::<Result<Vec<Vec<bool>>, Finding>>()
    })?;
    for position in 0..POSITIONS as usize {
        let winners = won.iter().filter(|won| won[position]).count();
        agree(&format!("runners who got position {}", position + 1), winners, 1)?;
    }
    let mut client = bench.connect().and_then(|opened| Client::open(opened, &history))?;
    let lines = (1..=POSITIONS).map(|position| format!("{position} {position:03}_birds up applied 0/0"));
    agree("the history", client.history_lines()?, lines.collect::<Vec<_>>())?;
    Ok(Verdict::Passed)
}

/// Creates the history as the host does. To be second is no error, once the first is done.
fn create(client: &mut Client, mode: Mode) -> Result<(), Finding> {
    for _ in 0..TRIES {
        let mut head = Head::new(client.attempt(0), mode, 0);
        if mode == Mode::Atomic {
            head.opening = client.text(&Text::Begin { limits: &Limits::default() })?;
            head.closing = client.text(&Text::Commit)?;
        }
        head.opening.extend(client.text(&Text::CreateHistory { history: &client.history })?);
        match client.run(Script::of(head, &[]))?.single()? {
            Ok(_) => return Ok(()),
            Err(failure) if failure.error.kind == ErrorKind::FenceTaken || is_taken_back(&failure) => {}
            Err(failure) => return Err(Finding::from(failure.error)),
        }
        if client.history().is_ok() {
            return Ok(());
        }
    }
    Err(Finding::new("nobody creates the history, and nobody has"))
}

fn is_taken_back(failure: &Failure) -> bool {
    failure.error.kind == ErrorKind::Serialization && failure.state == State::RolledBack
}

/// Tries for a position until it is taken, and returns whether it was by us.
fn attempt(client: &mut Client, position: i64, mode: Mode) -> Result<bool, Finding> {
    for _ in 0..TRIES {
        let head = client.head(position, mode, 0)?;
        match client.run(Script::of(head, &[]))?.single()? {
            Ok(_) => return Ok(true),
            // Somebody else is at work on it: what counts is what there is to see when they are done.
            Err(failure) if failure.error.kind == ErrorKind::FenceTaken => {}
            // Where nobody waits, it is found out as late as at the commit.
            Err(failure) if is_taken_back(&failure) => {}
            Err(failure) => return Err(Finding::from(failure.error)),
        }
        let rows = client.history()?.rows;
        if rows.iter().any(|row| row.first().and_then(Value::as_int) == Some(position)) {
            return Ok(false);
        }
    }
    Err(Finding::new(format!("nobody gets position {position}, and nobody has it")))
}
