//! A session with a PostgreSQL server.
//!
//! Everything goes by simple messages, except a query with parameters, which is an unnamed statement: named ones
//! collide behind a pooler. [`run`] has a module of its own.
//!
//! Keeps no state of the server but the depth of the transactions that it opened itself.

use std::time::Duration;

use futures_util::TryStreamExt;
use postgres::{Column, Row, SimpleQueryMessage};
use whimbrel_adapter_api::walk::{Bracket, in_transaction};
use whimbrel_adapter_api::{
    Access, Connection, Dialect, Error, Events, Isolation, Liveness, ReadError, RowSet, RowSink, TableName,
    TransactionBody, TransactionOptions, Value, Wanted, Work,
};

use crate::dialect::{PostgresDialect, literal};
use crate::error;
use crate::message::Message;
use crate::run;
use crate::session::{Cells, Session};
use crate::values::{self, Cell, Parameter};

/// An open session.
pub(crate) struct PostgresConnection {
    session: Session,
    /// What the session is called on the server.
    application: String,
    /// How many transactions are open inside each other.
    depth: u32,
    /// The text that limits how long a read waits for a lock.
    limit: Option<String>,
}

impl PostgresConnection {
    pub(crate) fn new(session: Session, application: String, lock_limit: Option<Duration>) -> Self {
        // For the transaction that the message is, so that a pooler's next client knows nothing of it.
        let limit = |limit: Duration| {
            format!("SELECT pg_catalog.set_config('lock_timeout', '{}', true)", limit.as_millis())
        };
        PostgresConnection { session, application, depth: 0, limit: lock_limit.map(limit) }
    }

    fn bracket(&self, options: &TransactionOptions) -> Bracket {
        if self.depth > 0 {
            return Bracket::savepoint(self.depth);
        }
        let isolation = match options.isolation {
            Isolation::ReadCommitted => " ISOLATION LEVEL READ COMMITTED",
            Isolation::RepeatableRead => " ISOLATION LEVEL REPEATABLE READ",
            Isolation::Serializable => " ISOLATION LEVEL SERIALIZABLE",
            _ => "",
        };
        let access = match options.access {
            Access::ReadOnly => " READ ONLY",
            _ => " READ WRITE",
        };
        Bracket::new(
            format!("BEGIN{isolation}{access}"),
            // A bare COMMIT of a failed transaction rolls back and says OK.
            "SELECT 1; COMMIT",
            "ROLLBACK",
        )
    }

    /// Returns the one cell that `text` asks for.
    fn ask(&mut self, text: &str) -> Result<Option<String>, Error> {
        let ticket = self.session.send(text, Cells::Wanted)?;
        let mut found = None;
        while let Some(answer) = self.session.next(ticket, &mut |_| {}) {
            match answer {
                Ok(SimpleQueryMessage::Row(row)) => found = row.get(0).map(str::to_owned),
                Ok(_) => {}
                Err(error) => return Err(self.session.explained(error::of_text(&error, text))),
            }
        }
        self.session.check().map(|()| found)
    }
}

impl Connection for PostgresConnection {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        self.session.turn(script)
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        let parameters = parameters.iter().map(|value| (Parameter(value), Parameter(value).announced()));
        self.session.settle()?;
        let Session { client, listener, .. } = &mut self.session;
        let answered = listener.wait(client.query_typed_raw(sql, parameters), &mut |_| {});
        let mut answers = match answered {
            Ok(answers) => Box::pin(answers),
            Err(error) => return Err(self.session.explained(query_error(&error, sql))),
        };
        let mut set = Set { rows, begun: false, wanted: Wanted::More };
        loop {
            match self.session.listener.wait(answers.try_next(), &mut |_| {}) {
                Ok(Some(row)) => set.take(&row)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.session.explained(query_error(&error, sql))),
            }
        }
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        let owed = self.session.owed();
        let before: Vec<&str> = owed.into_iter().chain(self.limit.as_deref()).collect();
        let before_ours = before.len();
        let message = Message::of(before.into_iter().chain(texts.iter().copied()));
        let ticket =
            self.session.send(message.text(), Cells::Wanted).map_err(|error| ReadError::new(0, error))?;
        let (mut completed, mut wanted) = (0, Wanted::More);
        let is_wanted = |completed, wanted| completed >= before_ours && wanted == Wanted::More;
        let set_of = |statement: usize| statement.saturating_sub(before_ours) as u32;
        while let Some(answer) = self.session.next(ticket, &mut |_| {}) {
            match answer {
                Ok(SimpleQueryMessage::RowDescription(columns)) if is_wanted(completed, wanted) => {
                    let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
                    rows.columns(set_of(completed), &names);
                }
                Ok(SimpleQueryMessage::Row(row)) if is_wanted(completed, wanted) => {
                    let cells: Vec<Value<'_>> = (0..row.len()).map(|index| row.get(index).into()).collect();
                    wanted = rows.row(set_of(completed), &cells);
                }
                Ok(SimpleQueryMessage::CommandComplete(_)) => completed += 1,
                Ok(_) => {}
                Err(failed) => {
                    if let (Some(owed), 0) = (owed, completed) {
                        // The message was refused as a whole.
                        self.session.owe(owed);
                    }
                    let (statement, position) = message.locate(completed, error::character(&failed));
                    let error = self.session.explained(error::of_session(&failed));
                    return Err(ReadError::new(set_of(statement), error::at(error, position)));
                }
            }
        }
        self.session.check().map_err(|error| ReadError::new(set_of(completed), error))
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        let schema = match &name.schema {
            Some(schema) => literal(&schema.as_str().into()),
            None => "pg_catalog.current_schema()::text".to_owned(),
        };
        // Compared as text: a name would be cut to what the server takes for names.
        let found = self.ask(&format!(
            "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname::text = {schema} AND c.relname::text = {} \
             AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
            literal(&name.name.as_str().into()),
        ))?;
        Ok(found.is_some())
    }

    fn transaction(
        &mut self,
        options: &TransactionOptions,
        body: &mut TransactionBody<'_>,
    ) -> Result<(), Error> {
        let bracket = self.bracket(options);
        in_transaction(self, |connection| &mut connection.depth, &bracket, body)
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        run::run(&mut self.session, &self.application, work, events)
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        // Others' rows show their name to everyone, but their state only to those who may see it.
        let found = self.ask(&format!(
            "SELECT CASE WHEN pg_catalog.bool_or(state IS NULL OR state = 'disabled') THEN 'unknown' \
             WHEN pg_catalog.bool_or(state <> 'idle') THEN 'alive' ELSE 'gone' END \
             FROM pg_catalog.pg_stat_activity \
             WHERE application_name = {} AND pid <> pg_catalog.pg_backend_pid()",
            literal(&attempt.into()),
        ))?;
        Ok(match found.as_deref() {
            Some("gone") => Liveness::Gone,
            Some("alive") => Liveness::Alive,
            _ => Liveness::Unknown,
        })
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        Ok(Box::new(PostgresDialect::new(facts)?))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.session.turn("")
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        self.session.close()
    }
}

/// The rows of a query on their way to the caller.
struct Set<'a> {
    rows: &'a mut dyn RowSink,
    begun: bool,
    wanted: Wanted,
}

impl Set<'_> {
    fn take(&mut self, row: &Row) -> Result<(), Error> {
        if self.wanted != Wanted::More {
            return Ok(());
        }
        // The driver tells the columns with a row and not before.
        let columns = row.columns();
        if !self.begun {
            self.begun = true;
            let names: Vec<&str> = columns.iter().map(Column::name).collect();
            self.rows.columns(0, &names);
        }
        let cells = columns.iter().enumerate().map(|(index, column)| {
            let cell: Option<Cell<'_>> = row.try_get(index).map_err(|error| error::of_session(&error))?;
            cell.map_or(Ok(Value::Null), |Cell(raw)| values::value(column.name(), column.type_(), raw))
        });
        let cells = cells.collect::<Result<Vec<_>, Error>>()?;
        self.wanted = self.rows.row(0, &cells);
        Ok(())
    }
}

/// Returns the error of a query, whose result types the driver looks up by named statements where they are no
/// built-in ones.
fn query_error(error: &postgres::Error, sql: &str) -> Error {
    let error = error::of_text(error, sql);
    match error.sqlstate.as_deref() {
        Some("42P05" | "26000") => error.with_hint(
            "behind a pooler, columns of types that are not built in are selected as text: `column::text`",
        ),
        _ => error,
    }
}
