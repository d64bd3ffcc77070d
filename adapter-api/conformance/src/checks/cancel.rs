//! Stopping a statement from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use whimbrel_adapter_api::{Capability, Error, ErrorKind, Mode, Session, State};

use super::{Check, Outcome, check};
use crate::bench::{Bench, insert};
use crate::client::Client;
use crate::finding::{During, Finding, agree, holds, refused};
use crate::report::Verdict;
use crate::work::Script;

pub(super) const CHECKS: &[Check] = &[
    check("a request with nothing to stop does nothing", idle),
    check("a running statement is stopped, and its session goes on", running),
    check("a batch that is stopped says what is left of it", batch),
];

/// How many seconds the statement would take.
const LONG: u32 = 40;

fn idle(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let answer = client.canceller.cancel();
    if !bench.can(Capability::Cancel) {
        refused("a request to stop", answer, ErrorKind::Unsupported)?;
        return Ok(Verdict::Refused);
    }
    answer.during("a request to stop")?;
    client.connection.ping().during("afterwards")?;
    let table = bench.table(&mut client)?;
    client.execute(&insert(&table, 1, "wren"))?;
    Ok(Verdict::Passed)
}

/// Asks for an end, over and over: nothing says when a statement has begun, and before that there is nothing to stop.
fn while_asking<T>(client: &mut Client, work: impl FnOnce(&mut Client) -> T) -> (T, Result<(), Error>) {
    let over = AtomicBool::new(false);
    let canceller = Arc::clone(&client.canceller);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(50));
                if !over.load(Ordering::Acquire) {
                    canceller.cancel()?;
                }
            }
            Ok(())
        });
        let done = work(client);
        over.store(true, Ordering::Release);
        (
            done,
            asking.join().unwrap_or_else(|_| Err(Error::new(ErrorKind::Panicked, "the canceller panicked"))),
        )
    })
}

fn running(bench: &Bench) -> Outcome {
    if !bench.can(Capability::Cancel) {
        return Ok(Verdict::Refused);
    }
    let mut client = bench.client()?;
    let table = bench.table(&mut client)?;
    let pause = bench.pause(LONG, &table)?;
    let (outcome, asked) = while_asking(&mut client, |client| client.connection.execute_raw(&pause));
    asked.during("a request to stop")?;
    let error = refused("a statement that is stopped", outcome, ErrorKind::Cancelled)?;
    agree("the session", error.session, Session::Usable)?;
    client.connection.ping().during("afterwards")?;
    Ok(Verdict::Passed)
}

fn batch(bench: &Bench) -> Outcome {
    if !bench.can(Capability::Cancel) {
        return Ok(Verdict::Refused);
    }
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    let pause = bench.pause(LONG, &table)?;
    let mode = if bench.can(Capability::Transactions) { Mode::Atomic } else { Mode::Stepwise };
    let head = client.head(1, mode, 2)?;
    let script = Script::of(head, &[&insert(&table, 1, "wren"), &pause]);
    let (heard, asked) = while_asking(&mut client, |client| client.run(script));
    asked.during("a request to stop")?;
    let Err(failure) = heard?.single()? else { return Err(Finding::new("the batch is reported as done")) };
    agree("the kind of error", failure.error.kind, ErrorKind::Cancelled)?;
    let left = bench.client()?.names(&table)?;
    // The request may have met the first statement, of which a part may be there then.
    let part = u64::from(failure.state == State::Unknown);
    holds(
        (failure.committed..=failure.committed + part).contains(&(left.len() as u64)),
        format!("{left:?} is left, told are {}, {:?}", failure.committed, failure.state),
    )?;
    if mode == Mode::Atomic {
        agree("the state", failure.state, State::RolledBack)?;
    }
    client.connection.ping().during("afterwards")?;
    Ok(Verdict::Passed)
}
