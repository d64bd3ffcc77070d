//! A connection whose calls are noted, so that another thread can tell when one does not end.
//!
//! Stands between the [`Migrator`](crate::Migrator) and the adapter. A sign of the adapter is whatever it asks of the
//! host or tells it meanwhile.
//!
//! Changes nothing of what passes, and ends no call: a thread that hangs in a plugin can only be left.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use whimbrel_adapter_api::{
    Connection, Dialect, Done, Error, Events, Facts, Failure, Lexer, Liveness, Next, Notice, Piece,
    ReadError, RowSet, RowSink, Stop, TableName, Text, TransactionBody, TransactionOptions, Value, Work,
};

use super::calls::{Calls, End};
use super::last_words::GRACE;

/// A connection whose calls are noted.
pub(super) struct Watched {
    /// Until it is dropped.
    connection: Option<Box<dyn Connection>>,
    calls: Calls,
    /// The limit for each statement, where the adapter keeps it.
    statement_limit: Option<Duration>,
}

impl Watched {
    pub(super) fn new(
        connection: Box<dyn Connection>,
        calls: Calls,
        statement_limit: Option<Duration>,
    ) -> Self {
        Watched { connection: Some(connection), calls, statement_limit }
    }

    fn call<T>(&mut self, call: impl FnOnce(&mut dyn Connection) -> T) -> T {
        let connection = self.connection.as_mut().expect("it is there until it is dropped");
        self.calls.in_adapter(|| call(connection.as_mut()))
    }
}

impl Drop for Watched {
    /// What was done is done when a session ends, so nobody waits long for that.
    fn drop(&mut self) {
        let connection = self.connection.take();
        let (ends, end) = mpsc::channel();
        thread::spawn(move || {
            drop(connection);
            ends.send(())
        });
        if end.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
            self.calls.notes().end = End::Hangs;
        }
    }
}

impl Connection for Watched {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        self.call(|connection| connection.execute_raw(script))
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        self.call(|connection| connection.query(sql, parameters, rows))
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        self.call(|connection| connection.read(texts, rows))
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        self.call(|connection| connection.table_exists(name))
    }

    fn transaction(
        &mut self,
        options: &TransactionOptions,
        body: &mut TransactionBody<'_>,
    ) -> Result<(), Error> {
        self.call(|connection| connection.transaction(options, body))
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        let (calls, statement_limit) = (self.calls.clone(), self.statement_limit);
        let mut work = WatchedWork { work, calls: &calls, statement_limit };
        let mut events = WatchedEvents { events, calls: &calls };
        self.call(|connection| connection.run(&mut work, &mut events))
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        self.call(|connection| connection.alive(attempt))
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        let calls = self.calls.clone();
        let dialect = self.call(|connection| connection.dialect(facts))?;
        Ok(Box::new(WatchedDialect { dialect, calls }))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.call(|connection| connection.ping())
    }

    fn close(mut self: Box<Self>) -> Result<(), Error> {
        let connection = self.connection.take().expect("it is there until it is dropped");
        self.calls.in_adapter(|| connection.close())
    }
}

struct WatchedWork<'a> {
    work: &'a mut dyn Work,
    calls: &'a Calls,
    statement_limit: Option<Duration>,
}

impl Work for WatchedWork<'_> {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        let next = self.calls.in_host(|| self.work.next_batch());
        let silence = match &next {
            Ok(Next::Batch(head)) => self.statement_limit.map(|limit| silence(limit, head.statements)),
            _ => None,
        };
        self.calls.allow(silence);
        next
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        let work = &mut *self.work;
        self.calls.in_host(move || work.next_piece())
    }
}

/// Returns how long an adapter may say nothing about a batch: it may answer for all statements at once, and what stands
/// around them takes its time too.
fn silence(limit: Duration, statements: u64) -> Duration {
    limit.saturating_mul(u32::try_from(statements).unwrap_or(u32::MAX).saturating_add(2))
}

struct WatchedEvents<'a> {
    events: &'a mut dyn Events,
    calls: &'a Calls,
}

impl Events for WatchedEvents<'_> {
    fn progress(&mut self, batch: u32, statements: u64, bytes: u64) {
        self.calls.in_host(|| self.events.progress(batch, statements, bytes));
    }

    fn notice(&mut self, batch: u32, notice: Notice) {
        self.calls.in_host(|| self.events.notice(batch, notice));
    }

    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {
        self.calls.in_host(|| self.events.finished(batch, outcome));
    }
}

struct WatchedDialect {
    dialect: Box<dyn Dialect>,
    calls: Calls,
}

impl Dialect for WatchedDialect {
    fn lexer(&self) -> Lexer {
        self.calls.in_adapter(|| self.dialect.lexer())
    }

    fn facts(&self) -> Facts {
        self.calls.in_adapter(|| self.dialect.facts())
    }

    fn quote(&self, identifier: &str) -> String {
        self.calls.in_adapter(|| self.dialect.quote(identifier))
    }

    fn literal(&self, value: &Value<'_>) -> String {
        self.calls.in_adapter(|| self.dialect.literal(value))
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        self.calls.in_adapter(|| self.dialect.text(text))
    }
}
