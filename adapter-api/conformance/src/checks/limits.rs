//! How long a statement may wait and run.

use std::time::{Duration, Instant};

use whimbrel_adapter_api::{Capability, ErrorKind, Limits, Mode, Phase, Text};

use super::{Check, Outcome, check};
use crate::bench::{Bench, insert};
use crate::client::Client;
use crate::finding::{Finding, agree, holds, refusal};
use crate::report::Verdict;
use crate::work::Script;

pub(super) const CHECKS: &[Check] = &[
    check("a statement does not wait for a lock beyond its limit", locks),
    check("a statement does not run beyond its limit", statements),
];

const SHORT: Duration = Duration::from_millis(300);

/// Even on a machine that is busy with something else. The engines' own limits are longer.
const FAR_TOO_LONG: Duration = Duration::from_millis(4_500);

/// Another transaction holds the row that a batch wants to write.
fn locks(bench: &Bench) -> Outcome {
    let mut limits = Limits::default();
    limits.lock = Some(SHORT);
    let mut client = bench.ready()?;
    if limiting(bench, &client, &limits).is_none() {
        return Ok(Verdict::Refused);
    }
    if !bench.can(Capability::Transactions) || !bench.has_keys() {
        return Ok(Verdict::NotRun("no transaction can hold the lock of a row"));
    }
    let table = bench.table(&mut client)?;
    let mut holder = bench.beside(&client)?;
    for text in holder.text(&Text::Begin { limits: &Limits::default() })? {
        holder.execute(&text)?;
    }
    holder.execute(&insert(&table, 1, "wren"))?;
    let head = client.limited_head(1, Mode::Atomic, 1, &limits)?;
    let began = Instant::now();
    let outcome = client.run(Script::of(head, &[&insert(&table, 1, "kite")]))?.single()?;
    let waited = began.elapsed();
    let Err(failure) = outcome else { return without_locks(&mut client, &mut holder, &table) };
    // Where one lock is for the whole database, the batch cannot even begin.
    let expected: &[ErrorKind] = match failure.phase {
        Phase::Opening => &[ErrorKind::FenceTaken],
        // Where nobody ever waits, the second of two is refused at once.
        _ => &[ErrorKind::LockTimeout, ErrorKind::Serialization],
    };
    let kind = failure.error.kind;
    holds(expected.contains(&kind), format!("the kind of error: {kind:?} instead of one of {expected:?}"))?;
    holds(waited < FAR_TOO_LONG, format!("it waited {waited:?}, and its limit is {SHORT:?}"))?;
    holder.execute("ROLLBACK")?;
    agree("what is left", client.names(&table)?, [""; 0])?;
    Ok(Verdict::Passed)
}

/// Where there are no locks, whoever commits first has it, and the other must hear that.
fn without_locks(client: &mut Client, holder: &mut Client, table: &str) -> Outcome {
    refusal("a commit behind another's of the same row", holder.connection.execute_raw("COMMIT"))?;
    agree("what is left", client.names(table)?, ["kite"])?;
    Ok(Verdict::Passed)
}

fn statements(bench: &Bench) -> Outcome {
    let mut limits = Limits::default();
    limits.statement = Some(SHORT);
    let mut client = bench.ready()?;
    let mode = mode(bench);
    let covers_all = bench.can(Capability::StatementLimit);
    if limiting(bench, &client, &limits).is_none() {
        holds(!covers_all, "there is no text that limits a statement, and it says that there is a limit")?;
        return Ok(Verdict::Refused);
    }
    if !covers_all && bench.quirks.pause.is_none() {
        return Ok(Verdict::NotRun("there is no statement that takes long to show it with"));
    }
    let table = bench.table(&mut client)?;
    let head = client.limited_head(1, mode, 1, &limits)?;
    let began = Instant::now();
    let outcome = client.run(Script::of(head, &[&bench.pause(30, &table)?]))?.single()?;
    let waited = began.elapsed();
    match outcome {
        Err(failure) => agree("the kind of error", failure.error.kind, ErrorKind::StatementTimeout)?,
        // Some engines break off a pause, and go on behind it.
        Ok(_) => holds(!covers_all && waited < FAR_TOO_LONG, "it ran beyond its limit")?,
    }
    let position = client.history()?.rows.len() as i64 + 1;
    let head = client.head(position, mode, 0)?;
    client.run(Script::of(head, &[]))?.single()?.map_err(|failure| Finding::from(failure.error))?;
    // The limit was the batch's alone.
    client.execute(&bench.pause(1, &table)?)?;
    // There is a limit, and it does not hold for every statement.
    Ok(if covers_all { Verdict::Passed } else { Verdict::Refused })
}

fn mode(bench: &Bench) -> Mode {
    if bench.can(Capability::Transactions) { Mode::Atomic } else { Mode::Stepwise }
}

/// Returns the text that sets limits, if there is one.
fn limiting(bench: &Bench, client: &Client, limits: &Limits) -> Option<Vec<String>> {
    match mode(bench) {
        Mode::Atomic => client.dialect.text(&Text::Begin { limits }),
        _ => client.dialect.text(&Text::Limit { limits }),
    }
}
