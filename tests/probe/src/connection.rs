//! A session: one statement at a time.

use std::borrow::Cow;

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection as Handle, ErrorCode, Statement, params_from_iter, types};
use whimbrel_adapter_api::walk::{Bracket, OneByOne, in_transaction};
use whimbrel_adapter_api::{
    Connection, Dialect, Error, ErrorKind, Events, Liveness, ReadError, RowSet, RowSink, Rows, State,
    TableName, TransactionBody, TransactionOptions, Value, Wanted, Work,
};

use crate::dialect::ProbeDialect;
use crate::{Trap, crash, lies};

pub(crate) struct ProbeConnection {
    handle: Handle,
    depth: u32,
    trap: Trap,
}

impl ProbeConnection {
    pub(crate) fn new(handle: Handle, trap: Trap) -> Self {
        ProbeConnection { handle, depth: 0, trap }
    }

    fn rows(
        &self,
        sql: &str,
        parameters: Vec<types::Value>,
        set: u32,
        rows: &mut dyn RowSink,
    ) -> Result<Wanted, Error> {
        let mut statement = self.handle.prepare(sql).map_err(|error| from_driver(&error))?;
        hand_over(&mut statement, parameters, set, rows).map_err(|error| from_driver(&error))
    }

    fn read_all(&self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        for (set, text) in (0..).zip(texts) {
            let answer = self.trap.talk("read").and_then(|()| self.rows(text, Vec::new(), set, rows));
            if answer.map_err(|error| ReadError::new(set, error))? == Wanted::Enough {
                break;
            }
        }
        Ok(())
    }
}

impl Connection for ProbeConnection {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        self.trap.spring("execute_raw");
        self.execute(script).map(drop)
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        self.trap.spring("query");
        let parameters = parameters.iter().map(parameter).collect::<Result<Vec<_>, Error>>()?;
        self.rows(sql, parameters, 0, rows).map(drop)
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        self.trap.spring("read");
        if !self.trap.is_honest() {
            let mut read = Rows::default();
            self.read_all(texts, &mut read)?;
            lies::hand_over(&self.trap, read, rows);
            return Ok(());
        }
        self.read_all(texts, rows)
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        self.trap.spring("table_exists");
        let schema = name.schema.as_deref().unwrap_or("main");
        let text = "SELECT count(*) FROM pragma_table_list WHERE schema = ?1 AND name = ?2";
        let count = self.handle.query_row(text, [schema, &name.name], |row| row.get::<_, i64>(0));
        count.map(|count| count > 0).map_err(|error| from_driver(&error))
    }

    fn transaction(&mut self, _: &TransactionOptions, body: &mut TransactionBody<'_>) -> Result<(), Error> {
        self.trap.spring("transaction");
        let bracket = match self.depth {
            0 => Bracket::new("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"),
            depth => Bracket::savepoint(depth),
        };
        in_transaction(self, |connection| &mut connection.depth, &bracket, body)
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        self.trap.spring("run");
        let trap = self.trap.clone();
        lies::run(self, &trap, work, events)
    }

    fn alive(&mut self, _attempt: &str) -> Result<Liveness, Error> {
        self.trap.spring("alive");
        Ok(Liveness::Unknown)
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        self.trap.spring("dialect");
        Ok(Box::new(ProbeDialect::new(facts, self.trap.clone())))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.trap.spring("ping");
        self.execute("SELECT 1").map(drop)
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        self.trap.spring("close");
        Ok(())
    }
}

impl Drop for ProbeConnection {
    fn drop(&mut self) {
        self.trap.spring("drop");
    }
}

impl OneByOne for ProbeConnection {
    fn execute(&mut self, statement: &str) -> Result<u64, Error> {
        self.trap.spring("execute");
        self.trap.talk("execute")?;
        crash::obey(statement);
        // SQLite counts from the statement that it was given, which is all that is left of the text.
        let refused = |error: rusqlite::Error| {
            let mut refused = from_driver(&error);
            if let rusqlite::Error::SqlInputError { sql, .. } = &error {
                let before = statement.len().saturating_sub(sql.len()) as u64;
                refused.position = refused.position.map(|position| before + position);
            }
            refused
        };
        let mut batch = Batch::new(&self.handle, statement);
        let mut changed = 0;
        while let Some(mut statement) = batch.next().map_err(refused)? {
            let mut rows = statement.raw_query();
            while rows.next().map_err(|error| from_driver(&error))?.is_some() {}
            changed = self.handle.changes();
        }
        Ok(changed)
    }

    fn joint(&self) -> Bracket {
        Bracket::savepoint(0)
    }

    fn roll_back(&mut self) -> State {
        match self.handle.is_autocommit() || self.execute("ROLLBACK").is_ok() {
            true => State::RolledBack,
            false => State::Open,
        }
    }

    fn enter(&mut self, outside: &[String]) -> Result<(), Error> {
        match outside {
            [] => Ok(()),
            _ => Err(Error::unsupported("settings around a transaction")),
        }
    }

    fn check(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn leave(&mut self) {}

    fn opening_error(&self, error: Error) -> Error {
        let mut error = error;
        if matches!(error.kind, ErrorKind::Constraint | ErrorKind::LockTimeout) {
            error.kind = ErrorKind::FenceTaken;
        }
        error
    }
}

/// Returns the error with what SQLite said about it.
pub(crate) fn from_driver(error: &rusqlite::Error) -> Error {
    let (code, message) = match error {
        rusqlite::Error::SqliteFailure(code, Some(message)) => (Some(code), message.clone()),
        rusqlite::Error::SqliteFailure(code, None) => (Some(code), code.to_string()),
        rusqlite::Error::SqlInputError { error, msg, .. } => (Some(error), msg.clone()),
        other => (None, other.to_string()),
    };
    let kind = match code.map(|code| code.code) {
        Some(ErrorCode::ConstraintViolation) => ErrorKind::Constraint,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::LockTimeout,
        Some(ErrorCode::ReadOnly) => ErrorKind::ReadOnly,
        Some(ErrorCode::OperationInterrupted) => ErrorKind::Cancelled,
        Some(ErrorCode::CannotOpen) => ErrorKind::Unreachable,
        _ if message.starts_with("no such table") => ErrorKind::TableMissing,
        _ if message.contains("syntax error") || message == "incomplete input" => ErrorKind::Syntax,
        _ => ErrorKind::Other,
    };
    let mut known = Error::new(kind, message);
    known.native = code.map(|code| i64::from(code.extended_code));
    if let rusqlite::Error::SqlInputError { offset, .. } = error {
        known.position = u64::try_from(*offset).ok();
    }
    known
}

fn hand_over(
    statement: &mut Statement<'_>,
    parameters: Vec<types::Value>,
    set: u32,
    rows: &mut dyn RowSink,
) -> rusqlite::Result<Wanted> {
    rows.columns(set, &statement.column_names().collect::<Vec<_>>());
    let count = statement.column_count();
    let mut answer = statement.query(params_from_iter(parameters))?;
    while let Some(row) = answer.next()? {
        let cells =
            (0..count).map(|index| row.get_ref(index).map(cell)).collect::<rusqlite::Result<Vec<_>>>()?;
        if rows.row(set, &cells) == Wanted::Enough {
            return Ok(Wanted::Enough);
        }
    }
    Ok(Wanted::More)
}

fn cell(value: ValueRef<'_>) -> Value<'_> {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
    }
}

fn parameter(value: &Value<'_>) -> Result<types::Value, Error> {
    Ok(match value {
        Value::Null => types::Value::Null,
        Value::Bool(truth) => types::Value::Integer(i64::from(*truth)),
        Value::Int(number) => types::Value::Integer(*number),
        Value::Float(number) => types::Value::Real(*number),
        Value::Text(text) | Value::Typed(_, text) => types::Value::Text(text.to_string()),
        Value::Bytes(bytes) => types::Value::Blob(bytes.to_vec()),
        _ => return Err(Error::unsupported("this kind of value")),
    })
}
