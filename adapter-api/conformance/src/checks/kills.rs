//! What is left of a runner that died, and what can be known of it.

use std::thread;
use std::time::{Duration, Instant};

use whimbrel_adapter_api::{Capability, Connection, ErrorKind, Liveness, Mode, Sharing, TableName};

use super::{Check, Outcome, check};
use crate::bench::{Bench, insert, inserts};
use crate::client::Client;
use crate::finding::{During, Finding, agree, holds, refused};
use crate::report::Verdict;
use crate::victim::{Middle, Running, Task, Victim};
use crate::work::Script;

pub(super) const CHECKS: &[Check] = &[
    check("nobody is at work for an attempt that never was", never),
    check("an attempt is alive while it is at work, and gone when it is not", at_work),
    check("who may have the database open is as it says", sharing),
    check("a transaction whose process is killed leaves nothing", atomic),
    check("a stepwise batch whose process is killed leaves what its row says", stepwise),
    check("what the server still does for a killed process is known", orphan),
];

const NO_VICTIM: Verdict = Verdict::NotRun("there is no program to start a process with that can be killed");

/// How long a server may take to see that a client is gone, and to end what it did for it.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// A database that lives within its process ends with it: nobody is left to see what the process left.
fn is_private(bench: &Bench) -> bool {
    bench.quirks.sharing == Sharing::Private
}

fn never(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let liveness = client.connection.alive(&client.attempt(1)).during("alive")?;
    if bench.can(Capability::Liveness) {
        agree("the answer", liveness, Liveness::Gone)?;
        return Ok(Verdict::Passed);
    }
    agree("the answer of an adapter that cannot tell", liveness, Liveness::Unknown)?;
    Ok(Verdict::Refused)
}

/// Asks until the answer is the expected one.
fn until(connection: &mut dyn Connection, attempt: &str, expected: Liveness) -> Result<(), Finding> {
    let end = Instant::now() + GONE_WITHIN;
    loop {
        let liveness = connection.alive(attempt).during("alive")?;
        if liveness == expected {
            return Ok(());
        }
        holds(Instant::now() < end, format!("`alive` stays {liveness:?}, and never says {expected:?}"))?;
        thread::sleep(Duration::from_millis(20));
    }
}

fn at_work(bench: &Bench) -> Outcome {
    if !bench.can(Capability::Liveness) {
        return Ok(Verdict::Refused);
    }
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    let pause = bench.pause(2, &table)?;
    let mut watcher = bench.beside(&client)?;
    let attempt = client.attempt(1);
    let head = client.head(1, Mode::Stepwise, 1)?;
    let Client { mut connection, .. } = client;
    thread::scope(|scope| {
        let running =
            scope.spawn(move || crate::work::run(connection.as_mut(), Script::of(head, &[&pause]))?.single());
        let seen = until(watcher.connection.as_mut(), &attempt, Liveness::Alive);
        let outcome = running.join().unwrap_or_else(|_| Err(Finding::new("the runner panicked")))?;
        outcome.map_err(|failure| Finding::from(failure.error))?;
        seen
    })?;
    until(watcher.connection.as_mut(), &attempt, Liveness::Gone)?;
    Ok(Verdict::Passed)
}

/// Starts a process that is in the middle of its work on a history. No session of ours may be open where a database belongs
/// to one process.
fn start(
    bench: &Bench,
    victim: &Victim,
    history: &TableName,
    (mode, middle): (Mode, Middle),
    statements: &[String],
) -> Result<Running, Finding> {
    let history = history.name.as_str();
    victim.start(&Task { options: &bench.options, history, mode, middle, statements })
}

/// Has a process killed in the middle of its work on the history of `client`, and opens a session on what it leaves.
fn killed(
    bench: &Bench,
    victim: &Victim,
    client: Client,
    mode: Mode,
    statements: &[String],
) -> Result<Client, Finding> {
    let history = client.history.clone();
    drop(client);
    start(bench, victim, &history, (mode, Middle::BeforeTheLast), statements)?.kill()?;
    Client::open(bench.connect()?, &history)
}

fn sharing(bench: &Bench) -> Outcome {
    let Some(victim) = &bench.victim else { return Ok(NO_VICTIM) };
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    let history = client.history.clone();
    let task = (Mode::Stepwise, Middle::BeforeTheLast);
    if is_private(bench) {
        // The session stays, and the tables with it: another process has none of them.
        return match start(bench, victim, &history, task, &inserts(&table, 2).0) {
            Err(_) => Ok(Verdict::Refused),
            Ok(running) => {
                running.kill()?;
                Err(Finding::new("another process works on the same tables, and it says that none sees them"))
            }
        };
    }
    drop(client);
    let running = start(bench, victim, &history, task, &inserts(&table, 2).0)?;
    let opened = bench.adapter.connect(&bench.options);
    match bench.quirks.sharing {
        Sharing::OneProcess => {
            refused("a session beside another process", opened, ErrorKind::InUse)?;
        }
        _ => drop(opened.during("a session beside another process")?),
    }
    running.kill()?;
    bench.connect()?;
    Ok(Verdict::Passed)
}

fn atomic(bench: &Bench) -> Outcome {
    if !bench.can(Capability::Transactions) || is_private(bench) {
        return Ok(Verdict::Refused);
    }
    let Some(victim) = &bench.victim else { return Ok(NO_VICTIM) };
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    let (statements, _) = inserts(&table, 3);
    let mut client = killed(bench, victim, client, Mode::Atomic, &statements)?;
    // Waits for the dead client's locks, if the server has not seen yet that it is dead.
    let head = client.head(1, Mode::Atomic, 1)?;
    let outcome = client.run(Script::of(head, &[&insert(&table, 1, "again")]))?.single()?;
    outcome.map_err(|failure| Finding::from(failure.error))?;
    agree("what is left", client.names(&table)?, ["again"])?;
    agree("the history", client.history_lines()?, ["1 001_birds up applied 1/1"])?;
    Ok(Verdict::Passed)
}

fn stepwise(bench: &Bench) -> Outcome {
    if is_private(bench) {
        return Ok(Verdict::Refused);
    }
    let Some(victim) = &bench.victim else { return Ok(NO_VICTIM) };
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    let (statements, _) = inserts(&table, 3);
    let mut client = killed(bench, victim, client, Mode::Stepwise, &statements)?;
    if bench.can(Capability::Liveness) {
        let attempt = client.attempt(1);
        until(client.connection.as_mut(), &attempt, Liveness::Gone)?;
    }
    // An adapter may have waited for the last statement with all of it: then nothing was sent.
    let names = client.names(&table)?;
    let lines = client.history_lines()?;
    let marked = |done: usize| vec![format!("1 001_birds up started {done}/3")];
    let exact = lines == marked(names.len());
    // The statement ran, and its mark did not.
    let behind = !names.is_empty() && lines == marked(names.len() - 1);
    holds(
        exact || behind || (lines.is_empty() && names.is_empty()),
        format!("{} statements are in the database, and the history is {lines:?}", names.len()),
    )?;
    Ok(Verdict::Passed)
}

fn orphan(bench: &Bench) -> Outcome {
    // What belongs to one process ends with it.
    if !bench.can(Capability::Liveness) || bench.quirks.sharing != Sharing::Processes {
        return Ok(Verdict::Refused);
    }
    let Some(victim) = &bench.victim else { return Ok(NO_VICTIM) };
    let mut client = bench.ready()?;
    let table = bench.table(&mut client)?;
    let statements = [insert(&table, 1, "wren"), bench.pause(3, &table)?];
    let task = (Mode::Stepwise, Middle::InTheLast);
    let running = start(bench, victim, &client.history, task, &statements)?;
    let attempt = client.attempt(1);
    until(client.connection.as_mut(), &attempt, Liveness::Alive)?;
    running.kill()?;
    until(client.connection.as_mut(), &attempt, Liveness::Gone)?;
    agree("what is left", client.names(&table)?, ["wren"])?;
    let lines = client.history_lines()?;
    agree("the number of rows in the history", lines.len(), 1)?;
    Ok(Verdict::Passed)
}
