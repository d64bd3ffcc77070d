//! Transactions around a body that the caller brings.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use whimbrel_adapter_api::{
    Access, BodyFailed, Capability, Connection, Error, ErrorKind, Text, TransactionOptions,
};

use super::{Check, Outcome, check};
use crate::bench::{Bench, insert};
use crate::client::Client;
use crate::finding::{During, Finding, agree, holds, refused};
use crate::report::Verdict;

pub(super) const CHECKS: &[Check] = &[
    check("a transaction keeps or takes back what its body did", kept_or_taken_back),
    check("a panic in the body is taken back and goes on", panicking),
    check("a transaction inside another is taken back alone", nested),
    check("a failed statement in the body is not committed in silence", failing),
    check("a reading transaction takes no writes", reading),
    check("schema changes roll back with their transaction, if it says so", schema_changes),
];

/// Returns a session with a table, unless there are no transactions: these must be refused.
fn begin(bench: &Bench) -> Result<Option<(Client, String)>, Finding> {
    let mut client = bench.client()?;
    let table = bench.table(&mut client)?;
    if bench.can(Capability::Transactions) {
        return Ok(Some((client, table)));
    }
    let mut called = false;
    let outcome = client.connection.transaction(&TransactionOptions::default(), &mut |_| {
        called = true;
        Ok(())
    });
    refused("a transaction", outcome, ErrorKind::Unsupported)?;
    holds(!called, "the body is run without a transaction")?;
    let limits = whimbrel_adapter_api::Limits::default();
    holds(
        client.dialect.text(&Text::Begin { limits: &limits }).is_none(),
        "there is a text that begins a transaction, and no transactions are declared",
    )?;
    Ok(None)
}

fn add(inner: &mut dyn Connection, table: &str, id: i64, name: &str) -> Result<(), BodyFailed> {
    inner.execute_raw(&insert(table, id, name)).map_err(|_| BodyFailed)
}

fn kept_or_taken_back(bench: &Bench) -> Outcome {
    let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let options = TransactionOptions::default();
    let kept = client.connection.transaction(&options, &mut |inner| add(inner, &table, 1, "wren"));
    kept.during("a transaction that commits")?;
    let given_up = client.connection.transaction(&options, &mut |inner| {
        add(inner, &table, 2, "kite")?;
        Err(BodyFailed)
    });
    refused("a body that gave up", given_up, ErrorKind::BodyFailed)?;
    agree("what is left", client.names(&table)?, ["wren"])?;
    agree("what others see", bench.client()?.names(&table)?, ["wren"])?;
    Ok(Verdict::Passed)
}

fn panicking(bench: &Bench) -> Outcome {
    let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let options = TransactionOptions::default();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        client.connection.transaction(&options, &mut |inner| {
            let _ = add(inner, &table, 1, "wren");
            // Without a message on standard error: nothing has gone wrong here.
            resume_unwind(Box::new("the body of the application"))
        })
    }));
    let Err(panic) = panic else { return Err(Finding::new("the panic does not come through")) };
    agree("the panic", panic.downcast_ref::<&str>(), Some(&"the body of the application"))?;
    let again = client.connection.transaction(&options, &mut |inner| add(inner, &table, 2, "kite"));
    again.during("a transaction behind a panic")?;
    agree("what is left", bench.client()?.names(&table)?, ["kite"])?;
    Ok(Verdict::Passed)
}

fn nested(bench: &Bench) -> Outcome {
    let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let options = TransactionOptions::default();
    let can = bench.can(Capability::Savepoints);
    let (mut given_up, mut kept) = (None, None);
    let outer = client.connection.transaction(&options, &mut |outer| {
        add(outer, &table, 1, "wren")?;
        given_up = Some(outer.transaction(&options, &mut |inner| {
            add(inner, &table, 2, "kite")?;
            Err(BodyFailed)
        }));
        kept = Some(outer.transaction(&options, &mut |inner| add(inner, &table, 3, "rook")));
        Ok(())
    });
    outer.during("the outer transaction")?;
    let unheard = || Err(Error::new(ErrorKind::Other, "it was never run"));
    let (given_up, kept) = (given_up.unwrap_or_else(unheard), kept.unwrap_or_else(unheard));
    if !can {
        refused("a transaction inside another", given_up, ErrorKind::Unsupported)?;
        refused("a transaction inside another", kept, ErrorKind::Unsupported)?;
        agree("what is left", client.names(&table)?, ["wren"])?;
        return Ok(Verdict::Refused);
    }
    refused("an inner body that gave up", given_up, ErrorKind::BodyFailed)?;
    kept.during("the inner transaction")?;
    agree("what is left", client.names(&table)?, ["wren", "rook"])?;
    Ok(Verdict::Passed)
}

/// The body passes over an error. Either the engine takes all back and says so, or what succeeded is there.
fn failing(bench: &Bench) -> Outcome {
    let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let outcome = client.connection.transaction(&TransactionOptions::default(), &mut |inner| {
        add(inner, &table, 1, "wren")?;
        match inner.execute_raw("SELEC 1") {
            Err(_) => Ok(()),
            Ok(()) => Err(BodyFailed),
        }
    });
    let left = client.names(&table)?;
    match outcome {
        Ok(()) => agree("what is left of a success", left, ["wren"])?,
        Err(error) => agree(&format!("what is left after `{}`", error.message), left, [""; 0])?,
    }
    Ok(Verdict::Passed)
}

fn reading(bench: &Bench) -> Outcome {
    let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let mut options = TransactionOptions::default();
    options.access = Access::ReadOnly;
    let mut written = None;
    let outcome = client.connection.transaction(&options, &mut |inner| {
        written = Some(inner.execute_raw(&insert(&table, 1, "wren")));
        Err(BodyFailed)
    });
    match written {
        // Whoever cannot keep the promise must not take it.
        None => refused("a reading transaction", outcome, ErrorKind::Unsupported).map(|_| Verdict::Refused),
        Some(written) => {
            refused("a write", written, ErrorKind::ReadOnly)?;
            client.execute(&insert(&table, 2, "kite"))?;
            agree("what is left", client.names(&table)?, ["kite"])?;
            Ok(Verdict::Passed)
        }
    }
}

fn schema_changes(bench: &Bench) -> Outcome {
    let Some((mut client, table)) = begin(bench)? else { return Ok(Verdict::Refused) };
    let created = bench.new_table(&client);
    let create = bench.create(&created);
    let outcome = client.connection.transaction(&TransactionOptions::default(), &mut |inner| {
        add(inner, &table, 1, "wren")?;
        inner.execute_raw(&create).map_err(|_| BodyFailed)?;
        Err(BodyFailed)
    });
    let rolled_back = client.column(&format!("SELECT name FROM {created}")).is_err();
    if !bench.can(Capability::TransactionalDdl) {
        holds(!rolled_back, "schema changes roll back, and it does not say so")?;
        return Ok(Verdict::Refused);
    }
    refused("a body that gave up", outcome, ErrorKind::BodyFailed)?;
    holds(rolled_back, "the table is still there")?;
    agree("what is left", client.names(&table)?, [""; 0])?;
    Ok(Verdict::Passed)
}
