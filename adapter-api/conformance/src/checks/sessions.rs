//! Sessions from their beginning to their end.

use std::thread;

use whimbrel_adapter_api::{Access, ErrorKind, Secret};

use super::{Check, Outcome, check};
use crate::bench::{Bench, insert};
use crate::client::Client;
use crate::finding::{During, Finding, agree, holds};
use crate::report::Verdict;

pub(super) const CHECKS: &[Check] = &[
    check("a session opens, answers and closes", from_open_to_close),
    check("two sessions at once see what the other has done", two_at_once),
    check("a session may change its thread", another_thread),
    check("a reader reads what others have written", a_reader),
    check("a server that is not there is unreachable, and no password is said", nobody_there),
    check("an open transaction of a session that is dropped is taken back", dropped),
];

fn from_open_to_close(bench: &Bench) -> Outcome {
    let mut opened = bench.connect()?;
    opened.connection.ping().during("ping")?;
    opened.connection.close().during("close")?;
    Ok(Verdict::Passed)
}

fn two_at_once(bench: &Bench) -> Outcome {
    let mut first = bench.client()?;
    let mut second = bench.beside(&first)?;
    let table = bench.table(&mut first)?;
    first.execute(&insert(&table, 1, "wren"))?;
    second.execute(&insert(&table, 2, "kite"))?;
    agree("what the first sees", first.names(&table)?, ["wren", "kite"])?;
    agree("what the second sees", second.names(&table)?, ["wren", "kite"])?;
    Ok(Verdict::Passed)
}

fn another_thread(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let table = bench.table(&mut client)?;
    let Client { mut connection, .. } = client;
    let elsewhere = thread::scope(|scope| {
        let work = scope.spawn(|| {
            connection.execute_raw(&insert(&table, 1, "wren")).during("on another thread")?;
            connection.close().during("close on another thread")
        });
        work.join().unwrap_or_else(|_| Err(Finding::new("it panics on another thread")))
    });
    elsewhere?;
    agree("what it has done", bench.client()?.names(&table)?, ["wren"])?;
    Ok(Verdict::Passed)
}

fn a_reader(bench: &Bench) -> Outcome {
    let mut writer = bench.client()?;
    let table = bench.table(&mut writer)?;
    writer.execute(&insert(&table, 1, "wren"))?;
    let reader = bench.connect_for(Access::ReadOnly)?;
    let mut reader = Client::open(reader, &writer.history)?;
    agree("what the reader sees", reader.names(&table)?, ["wren"])?;
    Ok(Verdict::Passed)
}

fn nobody_there(bench: &Bench) -> Outcome {
    const PASSWORD: &str = "hunter2-of-the-check";
    const LOGIN: &str = "user:hunter2-of-the-check";
    let scheme = bench.info.schemes.first().map(String::as_str).unwrap_or_default();
    let mut options = bench.options.clone();
    // Nobody listens on the first port, and no folder has such a name. What serves files knows no passwords.
    let login = if bench.info.schemes.iter().any(|scheme| scheme == "file") { "user" } else { LOGIN };
    options.url = Secret::new(format!("{scheme}://{login}@127.0.0.1:1/birds"));
    let Err(error) = bench.adapter.connect(&options) else {
        return Err(Finding::new("a session opens where nobody listens"));
    };
    holds(!format!("{error:?}").contains(PASSWORD), "the error quotes the password")?;
    agree("the kind of error", error.kind, ErrorKind::Unreachable)?;
    Ok(Verdict::Passed)
}

fn dropped(bench: &Bench) -> Outcome {
    let mut first = bench.client()?;
    let table = bench.table(&mut first)?;
    let Some(begin) = first.dialect.text(&whimbrel_adapter_api::Text::Begin { limits: &Default::default() })
    else {
        return Ok(Verdict::Refused);
    };
    for text in begin {
        first.execute(&text)?;
    }
    first.execute(&insert(&table, 1, "wren"))?;
    drop(first);
    // The server may take a moment to see it; until then it would wait for the lock of the row.
    let mut second = bench.client()?;
    second.execute(&insert(&table, 1, "kite"))?;
    agree("what is left", second.names(&table)?, ["kite"])?;
    Ok(Verdict::Passed)
}
