//! A connection whose calls are noted, so that another thread can tell when one does not end.
//!
//! Stands between the [`Migrator`](crate::Migrator) and the adapter. A sign of the adapter is whatever it asks of the
//! host or tells it meanwhile.
//!
//! Changes nothing of what passes, and ends no call: a thread that hangs in a plugin can only be left.

use std::cell::Cell;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use whimbrel_adapter_api::{
    Connection, Dialect, Done, Error, ErrorKind, Events, Facts, Failure, Lexer, Limits, Liveness, Next,
    Notice, Piece, ReadError, RowSet, RowSink, Stop, TableName, Text, TransactionBody, TransactionOptions,
    Value, Wanted, Work,
};

use super::calls::{Allowed, Calls, End};
use super::overdue::GRACE;
use crate::runner::OwnSettings;

/// How long a small question may take, beside the locks that stand in its way. It may wait for a pooler's connection as
/// well.
const QUESTION: Duration = Duration::from_secs(180);

/// A connection whose calls are noted.
pub(super) struct Watched {
    /// Until it is dropped.
    connection: Option<Box<dyn Connection>>,
    calls: Calls,
    limits: Limits,
}

impl Watched {
    /// Watches a connection that keeps these limits: that of a lock when it reads, that of a statement in migrations.
    pub(super) fn new(connection: Box<dyn Connection>, calls: Calls, limits: Limits) -> Self {
        Watched { connection: Some(connection), calls, limits }
    }

    fn call<T>(&mut self, allowed: Allowed, call: impl FnOnce(&mut dyn Connection) -> T) -> T {
        let connection = self.connection.as_mut().expect("it is there until it is dropped");
        self.calls.in_adapter(allowed, || call(connection.as_mut()))
    }

    /// Asks what is answered at once, or when nobody keeps what is asked for locked any longer.
    fn ask<T, E>(
        &mut self,
        lock: Option<Duration>,
        ask: impl FnOnce(&mut dyn Connection) -> Result<T, E>,
        kind: impl FnOnce(&E) -> ErrorKind,
    ) -> Result<T, E> {
        let calls = self.calls.clone();
        self.call(Allowed::Question(question(lock)), |connection| {
            let answer = ask(connection);
            calls.settled(answer.as_ref().err().map(kind));
            answer
        })
    }
}

impl Drop for Watched {
    /// What was done is done when a session ends, so nobody waits long for that.
    fn drop(&mut self) {
        let connection = self.connection.take();
        let (ends, end) = mpsc::channel();
        thread::spawn(move || {
            // So that the server hears of the end, and logs no broken connection. Whether it does changes nothing any more.
            let _ = connection.map(|connection| connection.close());
            ends.send(())
        });
        if end.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
            self.calls.notes().end = End::Hangs;
        }
    }
}

impl Connection for Watched {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        self.call(Allowed::Unlimited, |connection| connection.execute_raw(script))
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        self.call(Allowed::Unlimited, |connection| connection.query(sql, parameters, rows))
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        let (lock, calls) = (self.limits.lock, self.calls.clone());
        let mut rows = WatchedRows { rows, calls: &calls };
        self.ask(lock, |connection| connection.read(texts, &mut rows), |failed| failed.error.kind)
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        self.call(Allowed::Unlimited, |connection| connection.table_exists(name))
    }

    fn transaction(
        &mut self,
        options: &TransactionOptions,
        body: &mut TransactionBody<'_>,
    ) -> Result<(), Error> {
        self.call(Allowed::Unlimited, |connection| connection.transaction(options, body))
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        let (calls, statement_limit) = (self.calls.clone(), self.limits.statement);
        // What an earlier run has begun and lost to another runner is over.
        calls.notes().begun.clear();
        let under_way = Cell::new(0);
        let mut work = WatchedWork { work, calls: &calls, statement_limit, under_way: &under_way };
        let mut events = WatchedEvents { events, calls: &calls, under_way: &under_way };
        self.call(Allowed::Unlimited, |connection| {
            let answer = connection.run(&mut work, &mut events);
            calls.settled(answer.as_ref().err().map(|error| error.kind));
            answer
        })
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        self.ask(self.limits.lock, |connection| connection.alive(attempt), |error| error.kind)
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        let calls = self.calls.clone();
        let dialect = self.ask(None, |connection| connection.dialect(facts), |error| error.kind)?;
        Ok(Box::new(WatchedDialect { dialect, calls }))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.call(Allowed::Unlimited, |connection| connection.ping())
    }

    fn close(mut self: Box<Self>) -> Result<(), Error> {
        let connection = self.connection.take().expect("it is there until it is dropped");
        self.calls.in_adapter(Allowed::Unlimited, || connection.close())
    }
}

struct WatchedWork<'a> {
    work: &'a mut dyn Work,
    calls: &'a Calls,
    statement_limit: Option<Duration>,
    /// How many batches were handed out and not answered.
    under_way: &'a Cell<u32>,
}

impl Work for WatchedWork<'_> {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        let next = self.calls.in_host(|| self.work.next_batch());
        match &next {
            Ok(Next::Batch(head)) => {
                // What was cancelled too late is over.
                self.calls.settled(None);
                let own_settings = self.calls.handed_out();
                let allowed = allowed(self.statement_limit, own_settings, head.statements);
                match self.under_way.replace(self.under_way.get() + 1) {
                    0 => self.calls.allow(allowed),
                    // Their answers may all come at once.
                    _ => self.calls.allow_more(allowed),
                }
            }
            // The adapter still waits for the answers to what it was given before.
            _ if self.under_way.get() > 0 => {}
            _ => self.calls.allow(Allowed::Unlimited),
        }
        next
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        let work = &mut *self.work;
        self.calls.in_host(move || work.next_piece())
    }
}

/// Returns how long an adapter may say nothing about a batch.
///
/// Our limits are set for migrations only, and a script's own settings come before them.
fn allowed(limit: Option<Duration>, own_settings: Option<OwnSettings>, statements: u64) -> Allowed {
    match (limit, own_settings) {
        (Some(limit), Some(OwnSettings::None)) => Allowed::Batch(silence(limit, statements)),
        _ => Allowed::Unlimited,
    }
}

/// Returns how long an adapter may say nothing about statements that all keep a limit: it may answer for them at once,
/// what stands around them takes its time too, and in the queue of a pooler no limit holds.
fn silence(limit: Duration, statements: u64) -> Duration {
    let statements = u32::try_from(statements).unwrap_or(u32::MAX).saturating_add(2);
    limit.saturating_mul(statements).saturating_mul(10).saturating_add(GRACE)
}

/// Returns how long an adapter may say nothing about a small question.
fn question(lock: Option<Duration>) -> Duration {
    lock.unwrap_or_default().saturating_add(QUESTION)
}

struct WatchedEvents<'a> {
    events: &'a mut dyn Events,
    calls: &'a Calls,
    under_way: &'a Cell<u32>,
}

impl Events for WatchedEvents<'_> {
    fn progress(&mut self, batch: u32, statements: u64, bytes: u64) {
        self.calls.in_host(|| self.events.progress(batch, statements, bytes));
    }

    fn notice(&mut self, batch: u32, notice: Notice) {
        self.calls.in_host(|| self.events.notice(batch, notice));
    }

    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {
        self.calls.settled(outcome.as_ref().err().map(|failure| failure.error.kind));
        self.under_way.set(self.under_way.get().saturating_sub(1));
        self.calls.in_host(|| self.events.finished(batch, outcome));
    }
}

struct WatchedRows<'a> {
    rows: &'a mut dyn RowSink,
    calls: &'a Calls,
}

impl RowSink for WatchedRows<'_> {
    fn columns(&mut self, set: u32, names: &[&str]) {
        self.calls.in_host(|| self.rows.columns(set, names));
    }

    fn row(&mut self, set: u32, cells: &[Value<'_>]) -> Wanted {
        self.calls.in_host(|| self.rows.row(set, cells))
    }
}

struct WatchedDialect {
    dialect: Box<dyn Dialect>,
    calls: Calls,
}

impl WatchedDialect {
    fn ask<T>(&self, ask: impl FnOnce(&dyn Dialect) -> T) -> T {
        self.calls.in_adapter(Allowed::Question(question(None)), || ask(self.dialect.as_ref()))
    }
}

impl Dialect for WatchedDialect {
    fn lexer(&self) -> Lexer {
        self.ask(|dialect| dialect.lexer())
    }

    fn facts(&self) -> Facts {
        self.ask(|dialect| dialect.facts())
    }

    fn quote(&self, identifier: &str) -> String {
        self.ask(|dialect| dialect.quote(identifier))
    }

    fn literal(&self, value: &Value<'_>) -> String {
        self.ask(|dialect| dialect.literal(value))
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        self.ask(|dialect| dialect.text(text))
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_adapter_api::{Head, Mode, Phase};

    use super::super::calls::Silence;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_batch_may_be_silent_for_long_and_one_that_is_under_no_limit_of_ours_for_ever() {
        let limit = Some(3 * SECOND);
        let longest = 3 * SECOND * (5 + 2) * 10 + GRACE;
        assert_eq!(allowed(limit, Some(OwnSettings::None), 5), Allowed::Batch(longest));
        assert_eq!(allowed(limit, Some(OwnSettings::Made), 5), Allowed::Unlimited);
        assert_eq!(allowed(limit, None, 5), Allowed::Unlimited, "no migration");
        assert_eq!(allowed(None, Some(OwnSettings::None), 5), Allowed::Unlimited);
        assert_eq!(question(Some(600 * SECOND)), 780 * SECOND);
        assert_eq!(question(None), QUESTION);
    }

    /// Hands out a migration, and then nothing until it is settled.
    struct OneMigration {
        calls: Calls,
        head: Option<Head>,
    }

    impl Work for OneMigration {
        fn next_batch(&mut self) -> Result<Next, Stop> {
            let Some(head) = self.head.take() else { return Ok(Next::Later) };
            self.calls.notes().handed_out = Some(OwnSettings::None);
            Ok(Next::Batch(head))
        }

        fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
            Ok(None)
        }
    }

    /// An adapter that sends ahead asks for more before it waits.
    #[test]
    fn a_batch_keeps_its_limit_while_the_adapter_waits_for_the_answer() {
        let calls = Calls::default();
        let mut work = OneMigration { calls: calls.clone(), head: Some(Head::new("a", Mode::Atomic, 1)) };
        let under_way = Cell::new(0);
        let mut work = WatchedWork {
            work: &mut work,
            calls: &calls,
            statement_limit: Some(SECOND),
            under_way: &under_way,
        };
        let seen = calls.in_adapter(Allowed::Unlimited, || {
            [(); 2].map(|()| {
                let _ = work.next_batch();
                calls.notes().call.map(|call| call.allowed)
            })
        });
        assert_eq!(seen, [Some(Allowed::Batch(30 * SECOND + GRACE)); 2]);
    }

    struct Deaf;

    impl Events for Deaf {
        fn progress(&mut self, _batch: u32, _statements: u64, _bytes: u64) {}

        fn notice(&mut self, _batch: u32, _notice: Notice) {}

        fn finished(&mut self, _batch: u32, _outcome: Result<Done, Failure>) {}
    }

    /// A request that comes too late reaches nothing, and what fails later fails by itself.
    #[test]
    fn only_what_failed_by_its_cancellation_is_told_as_cancelled() {
        let silence = Silence { lasted: SECOND, allowed: Allowed::Batch(SECOND) };
        let told = |kinds: &[ErrorKind]| {
            let calls = Calls::default();
            let under_way = Cell::new(1);
            let mut events = WatchedEvents { events: &mut Deaf, calls: &calls, under_way: &under_way };
            calls.in_adapter(Allowed::Batch(SECOND), || {
                calls.notes().call.as_mut().expect("it is under way").cancelled = Some(silence);
                for kind in kinds {
                    let failure = Failure::rolled_back(Phase::Commit, Error::new(*kind, "it failed"), 0);
                    events.finished(0, Err(failure));
                }
            });
            calls.notes().cancelled
        };
        assert_eq!(told(&[ErrorKind::Cancelled]), Some(silence));
        assert_eq!(told(&[ErrorKind::Unreachable]), None);
        assert_eq!(
            told(&[ErrorKind::Unreachable, ErrorKind::Cancelled]),
            None,
            "somebody else's cancellation"
        );
    }
}
