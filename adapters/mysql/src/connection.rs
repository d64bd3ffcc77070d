//! A session with a MySQL or MariaDB server.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mysql::prelude::{Protocol, Queryable};
use mysql::{Column, Conn, QueryResult, Row};
use whimbrel_adapter_api::walk::{Bracket, in_transaction};
use whimbrel_adapter_api::{
    Access, Connection, Dialect, Error, ErrorKind, Events, Isolation, Liveness, ReadError, RowSet, RowSink,
    Rows, Session, TableName, TransactionBody, TransactionOptions, Value, Wanted, Work,
};

use crate::dialect::{MySqlDialect, named};
use crate::error::{self, from_driver};
use crate::lexer::Quoting;
use crate::run;
use crate::values::{cell, parameter};

/// What stands between two statements of a packet. The line break ends a comment that the statement before may end
/// with; the server takes away the one behind, so that lines are counted from the statement's own first.
pub(crate) const BETWEEN: &str = "\n;\n";

/// An open session.
pub(crate) struct MySqlConnection {
    handle: Conn,
    /// The largest packet that the server takes, once the facts are known.
    pub(crate) largest: Option<u64>,
    /// How the session reads quotes after login, once the facts are known.
    pub(crate) quoting: Quoting,
    pub(crate) tables: Tables,
    /// How long a reading text waits for a lock.
    lock_limit: Option<Duration>,
    /// How many transactions are open inside each other.
    depth: u32,
    /// Whether the server itself rolled back the open transaction.
    broken: bool,
    /// Texts that put the session in order and that nobody waits for. They leave with the next read, so that they cost
    /// no turn.
    owed: Option<String>,
    /// Tells the canceller that the session's number may soon be another's.
    closed: Arc<AtomicBool>,
}

/// Returns a reading text with a limit on its waits for locks, which each of the two servers takes in its own way and for
/// this statement alone.
fn limited(text: &str, limit: Option<Duration>) -> Cow<'_, str> {
    match (text.strip_prefix("SELECT "), limit) {
        (Some(rest), Some(limit)) => {
            let seconds = limit.as_millis().div_ceil(1000).max(1);
            // Only the first comment is read for hints.
            let rest = rest.strip_prefix("/*+").map_or_else(|| format!("*/ {rest}"), str::to_owned);
            Cow::Owned(format!(
                "/*M!100102 SET STATEMENT lock_wait_timeout = {seconds} FOR */ \
                 SELECT /*+ SET_VAR(lock_wait_timeout = {seconds}) {rest}"
            ))
        }
        _ => Cow::Borrowed(text),
    }
}

/// Whether a ROLLBACK takes everything back, as far as the facts of the session tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tables {
    RollBack,
    /// There are tables without transactions, to which a trigger may write too.
    KeepSome,
}

/// A part of the server's answer.
pub(crate) enum Answer<'a> {
    /// A row set begins.
    Columns(&'a [Column]),
    /// A row of it.
    Row(Row),
    /// One answer is complete.
    End(Complete),
}

/// What is known of a complete answer.
pub(crate) struct Complete {
    pub(crate) kind: AnswerKind,
    pub(crate) changed: u64,
    pub(crate) warnings: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerKind {
    Rows,
    Ok,
}

/// How the body of a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Succeeded,
    GaveUp,
}

impl MySqlConnection {
    pub(crate) fn new(handle: Conn, closed: Arc<AtomicBool>, lock_limit: Option<Duration>) -> Self {
        MySqlConnection {
            handle,
            lock_limit,
            largest: None,
            quoting: Quoting::of(""),
            tables: Tables::RollBack,
            depth: 0,
            broken: false,
            owed: None,
            closed,
        }
    }

    /// Sends one packet and hands over every answer: the first may be an OK and a later one an error.
    pub(crate) fn exchange(
        &mut self,
        packet: &str,
        on: &mut dyn FnMut(Answer<'_>),
    ) -> Result<(), mysql::Error> {
        self.settle()?;
        let result = self.handle.query_iter(packet)?;
        hand_over(result, on)
    }

    /// Refuses a text of several statements, which one packet may hold: none can be prepared with another behind it.
    fn single(&mut self, sql: &str) -> Result<(), mysql::Error> {
        // What is not prepared by its kind is found to be alone before that.
        const UNSUPPORTED: u16 = 1295;
        // Only where there is a doubt, since it clears the session's warnings.
        if !sql.trim_end_matches([';', ' ', '\n', '\t', '\r']).contains(';') {
            return Ok(());
        }
        self.settle()?;
        match self.handle.prep(sql) {
            Ok(prepared) => self.handle.close(prepared),
            Err(mysql::Error::MySqlError(refused)) if refused.code == UNSUPPORTED => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Leaves texts for the next read to take along.
    pub(crate) fn owe(&mut self, texts: &[&str]) {
        self.owed = Some(texts.join(BETWEEN));
    }

    /// Runs what is owed.
    fn settle(&mut self) -> Result<(), mysql::Error> {
        match self.owed.take() {
            Some(owed) => self.exchange(&owed, &mut |_| {}),
            None => Ok(()),
        }
    }

    fn note(&mut self, error: Error) -> Error {
        self.broken |=
            matches!(error.kind, ErrorKind::Deadlock | ErrorKind::Serialization | ErrorKind::LockTimeout);
        error
    }

    /// Returns the texts that open and end a transaction.
    ///
    /// The savepoint does nothing but be there at the end: where it is gone, a statement has committed the
    /// transaction, and to say that everything was rolled back would be wrong.
    fn bracket(&self, options: &TransactionOptions) -> Result<Bracket, Error> {
        if self.depth > 0 {
            if options.isolation != Isolation::EngineDefault || options.access != Access::ReadWrite {
                return Err(Error::unsupported("options of a transaction inside another"));
            }
            return Ok(Bracket::savepoint(self.depth));
        }
        let isolation = match options.isolation {
            Isolation::ReadCommitted => "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; ",
            Isolation::RepeatableRead => "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; ",
            Isolation::Serializable => "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; ",
            _ => "",
        };
        let access = if options.access == Access::ReadOnly { "READ ONLY" } else { "READ WRITE" };
        Ok(Bracket::new(
            format!("{isolation}START TRANSACTION {access}; SAVEPOINT whimbrel"),
            "RELEASE SAVEPOINT whimbrel; COMMIT",
            "RELEASE SAVEPOINT whimbrel; ROLLBACK",
        ))
    }

    /// Explains an error of the bracket: the savepoint that is gone.
    fn ended(&mut self, error: Error, body: Body) -> Error {
        if error.native != Some(error::NO_SUCH_SAVEPOINT) {
            return error;
        }
        if self.depth == 0 {
            // RELEASE failed, so the ROLLBACK behind it did not run. Its own failure would be a lost session, which
            // the next call meets.
            let _ = self.execute_raw("ROLLBACK");
        }
        if self.broken && body == Body::GaveUp {
            return Error::body_failed();
        }
        Error::new(ErrorKind::TransactionEnded, "a statement ended the transaction that it ran in")
            .with_hint("most DDL commits what was before it")
    }
}

impl Connection for MySqlConnection {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        // The server calls an empty text an error, and a script may well be empty.
        if script.trim().is_empty() {
            return Ok(());
        }
        let outcome = self.exchange(script, &mut |_| {});
        outcome
            .map_err(|error| from_driver(&error, script, 0..script.len()))
            .map_err(|error| self.note(error))
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        let mut sets = Sets::new(rows, 1);
        let outcome = if parameters.is_empty() {
            self.single(sql).and_then(|()| self.exchange(sql, &mut |answer| sets.take(answer)))
        } else {
            let parameters = parameters.iter().map(parameter).collect::<Result<Vec<_>, Error>>()?;
            self.settle()
                .and_then(|()| self.handle.exec_iter(sql, parameters))
                .and_then(|result| hand_over(result, &mut |answer| sets.take(answer)))
        };
        outcome.map_err(|error| from_driver(&error, sql, 0..sql.len())).map_err(|error| self.note(error))
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        if texts.is_empty() {
            return Ok(());
        }
        let texts: Vec<_> = texts.iter().map(|text| limited(text, self.lock_limit)).collect();
        let owed = self.owed.take();
        let mut before_ours = owed.as_ref().map_or(0, |owed| owed.split(BETWEEN).count());
        let packet = owed
            .as_deref()
            .into_iter()
            .chain(texts.iter().map(|text| &**text))
            .collect::<Vec<_>>()
            .join(BETWEEN);
        let mut sets = Sets::new(rows, texts.len() as u32);
        let outcome = self.exchange(&packet, &mut |answer| match answer {
            Answer::End(_) if before_ours > 0 => before_ours -= 1,
            answer => sets.take(answer),
        });
        let set = sets.next;
        outcome.map_err(|error| {
            let before: usize = owed
                .as_deref()
                .into_iter()
                .chain(texts.iter().map(|text| &**text).take(set as usize))
                .map(|text| text.len() + BETWEEN.len())
                .sum();
            let length = texts.get(set as usize).map_or(0, |text| text.len());
            ReadError::new(set, self.note(from_driver(&error, &packet, before..before + length)))
        })
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        let schema = if name.schema.is_some() { "?" } else { "DATABASE()" };
        let text = format!("SELECT COUNT(*) FROM information_schema.tables WHERE {}", named(schema, "?"));
        let mut parameters: Vec<Value<'_>> = name.schema.iter().map(|schema| Value::text(schema)).collect();
        parameters.extend([Value::text(&name.name), Value::text(&name.name)]);
        let mut rows = Rows::default();
        self.query(&text, &parameters, &mut rows)?;
        Ok(count(&rows) > 0)
    }

    fn transaction(
        &mut self,
        options: &TransactionOptions,
        body: &mut TransactionBody<'_>,
    ) -> Result<(), Error> {
        let bracket = self.bracket(options)?;
        if self.depth == 0 {
            self.broken = false;
        }
        let mut end = Body::Succeeded;
        let mut watched =
            |connection: &mut dyn Connection| body(connection).inspect_err(|_| end = Body::GaveUp);
        let outcome = in_transaction(self, |connection| &mut connection.depth, &bracket, &mut watched);
        outcome.map_err(|error| self.ended(error, end))
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        run::run(self, work, events)
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        let text =
            "SELECT COUNT(*) FROM (SELECT IS_USED_LOCK(?) AS holder) used WHERE holder <> CONNECTION_ID()";
        let mut rows = Rows::default();
        self.query(text, &[Value::text(attempt)], &mut rows)?;
        Ok(if count(&rows) > 0 { Liveness::Alive } else { Liveness::Gone })
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        let dialect = MySqlDialect::new(facts)?;
        self.largest = dialect.facts().largest_message;
        self.quoting = dialect.quoting();
        self.tables = match dialect.facts().tables_without_transactions.as_slice() {
            [] => Tables::RollBack,
            _ => Tables::KeepSome,
        };
        Ok(Box::new(dialect))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.handle.ping().map_err(|error| from_driver(&error, "", 0..0))
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        // Dropping the handle says good-bye to the server.
        Ok(())
    }
}

impl Drop for MySqlConnection {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
    }
}

fn hand_over<P: Protocol>(
    mut result: QueryResult<'_, '_, '_, P>,
    on: &mut dyn FnMut(Answer<'_>),
) -> Result<(), mysql::Error> {
    loop {
        let kind = if result.columns().as_ref().is_empty() { AnswerKind::Ok } else { AnswerKind::Rows };
        let complete = Complete { kind, changed: result.affected_rows(), warnings: result.warnings() };
        if kind == AnswerKind::Rows {
            on(Answer::Columns(result.columns().as_ref()));
        }
        let Some(set) = result.iter() else { return Ok(()) };
        for row in set {
            on(Answer::Row(row?));
        }
        on(Answer::End(complete));
    }
}

/// Hands the first answers to a sink, each as the set of its number.
struct Sets<'a> {
    rows: &'a mut dyn RowSink,
    wanted: Wanted,
    /// The number of the set that is coming.
    next: u32,
    /// How many sets the caller asked for.
    sets: u32,
}

impl<'a> Sets<'a> {
    fn new(rows: &'a mut dyn RowSink, sets: u32) -> Self {
        Sets { rows, wanted: Wanted::More, next: 0, sets }
    }

    fn take(&mut self, answer: Answer<'_>) {
        // What is not wanted must be read all the same before the session can go on.
        if matches!(answer, Answer::End(_)) {
            self.next += 1;
        } else if self.wanted != Wanted::Enough && self.next < self.sets {
            self.hand(answer);
        }
    }

    fn hand(&mut self, answer: Answer<'_>) {
        match answer {
            Answer::Columns(columns) => {
                let names: Vec<_> = columns.iter().map(Column::name_str).collect();
                let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
                self.rows.columns(self.next, &names);
            }
            Answer::Row(row) => {
                let columns = row.columns();
                let cells: Vec<_> = row
                    .unwrap()
                    .into_iter()
                    .zip(columns.iter())
                    .map(|(value, column)| cell(value, column))
                    .collect();
                self.wanted = self.rows.row(self.next, &cells);
            }
            Answer::End(_) => {}
        }
    }
}

fn count(rows: &Rows) -> i64 {
    let cell = rows.sets.first().and_then(|set| set.rows.first()).and_then(|row| row.first());
    cell.and_then(Value::as_int).unwrap_or_default()
}

/// Returns whether the session is gone for good.
pub(crate) fn is_lost(error: &Error) -> bool {
    error.session == Session::Lost
}
