//! A session with a SQLite database.

use std::borrow::BorrowMut;

use fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection as Handle, Row, Statement, params_from_iter};
use whimbrel_adapter_api::walk::{Bracket, in_transaction, walk};
use whimbrel_adapter_api::{
    Access, Connection, Dialect, Error, ErrorKind, Events, Liveness, ReadError, RowSet, RowSink, TableName,
    TransactionBody, TransactionOptions, Value, Wanted, Work,
};

use crate::dialect::SqliteDialect;
use crate::error::from_driver;
use crate::run::{Before, execute};
use crate::values::{cell, parameter};

/// A session over a handle of its own, or over one that an application lends.
pub struct SqliteConnection<C = Handle> {
    handle: C,
    /// How many transactions are open inside each other.
    depth: u32,
    pub(crate) before: Before,
}

impl<C: BorrowMut<Handle> + Send> SqliteConnection<C> {
    /// Returns a session over `handle`, which may be borrowed: `SqliteConnection::over(&mut handle)`.
    pub fn over(handle: C) -> Self {
        SqliteConnection { handle, depth: 0, before: Before::default() }
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.handle.borrow()
    }

    fn bracket(&self, options: &TransactionOptions) -> Bracket {
        if self.depth > 0 {
            return Bracket::savepoint(self.depth);
        }
        // Every transaction of SQLite is serializable, so the isolation needs nothing.
        let (begin, end) = match options.access {
            Access::ReadOnly => ("PRAGMA query_only = ON; BEGIN", "; PRAGMA query_only = OFF"),
            _ => ("BEGIN IMMEDIATE", ""),
        };
        Bracket::new(begin, format!("COMMIT{end}"), format!("ROLLBACK{end}"))
    }
}

impl<C: BorrowMut<Handle> + Send> Connection for SqliteConnection<C> {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        execute(self.handle(), script).map(drop)
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        let parameters = parameters.iter().map(parameter).collect::<Result<Vec<_>, Error>>()?;
        let mut batch = Batch::new(self.handle(), sql);
        let statement = batch.next().map_err(|error| from_driver(&error))?;
        let mut statement =
            statement.ok_or_else(|| Error::new(ErrorKind::Syntax, "there is no statement"))?;
        if batch.next().map_err(|error| from_driver(&error))?.is_some() {
            return Err(Error::new(ErrorKind::Syntax, "a query takes one statement, and there are more"));
        }
        let columns = columns(&statement, 0, rows);
        let answer = statement.query(params_from_iter(parameters)).map_err(|error| from_driver(&error))?;
        hand_over(answer, columns, 0, rows).map(drop)
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        for (set, text) in (0..).zip(texts) {
            let failed = |error| ReadError::new(set, error);
            let mut statement = self.handle().prepare(text).map_err(|error| failed(from_driver(&error)))?;
            let columns = columns(&statement, set, rows);
            if hand_over(statement.raw_query(), columns, set, rows).map_err(failed)? == Wanted::Enough {
                break;
            }
        }
        Ok(())
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        let text =
            "SELECT count(*) FROM pragma_table_list WHERE schema = ?1 AND name = ?2 AND type <> 'shadow'";
        let schema = name.schema.as_deref().unwrap_or("main");
        self.handle()
            .query_row(text, [schema, name.name.as_str()], |row| row.get::<_, i64>(0))
            .map(|count| count > 0)
            .map_err(|error| from_driver(&error))
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
        walk(self, work, events)
    }

    fn alive(&mut self, _attempt: &str) -> Result<Liveness, Error> {
        // Work ends with its process, and a statement at work holds the write lock. To wait for it would be to be told of
        // the time after.
        let answer = without_waiting(self.handle(), "BEGIN IMMEDIATE; ROLLBACK")?;
        match answer {
            Ok(_) => Ok(Liveness::Gone),
            Err(error) if error.kind == ErrorKind::LockTimeout => Ok(Liveness::Alive),
            Err(error) if error.kind == ErrorKind::ReadOnly => Ok(Liveness::Unknown),
            Err(error) => Err(error),
        }
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        Ok(Box::new(SqliteDialect::new(facts)?))
    }

    fn ping(&mut self) -> Result<(), Error> {
        execute(self.handle(), "SELECT 1").map(drop)
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        // Dropping an owned handle closes it; a borrowed one stays open for its owner.
        Ok(())
    }
}

/// Runs a script that fails at once where it would wait for a lock.
fn without_waiting(handle: &Handle, script: &str) -> Result<Result<u64, Error>, Error> {
    let before: i64 =
        handle.query_row("PRAGMA busy_timeout", [], |row| row.get(0)).map_err(|error| from_driver(&error))?;
    execute(handle, "PRAGMA busy_timeout = 0")?;
    let answer = execute(handle, script);
    execute(handle, &format!("PRAGMA busy_timeout = {before}"))?;
    Ok(answer)
}

fn columns(statement: &Statement<'_>, set: u32, rows: &mut dyn RowSink) -> usize {
    let names: Vec<&str> = statement.column_names().collect();
    rows.columns(set, &names);
    names.len()
}

fn hand_over(
    mut answer: rusqlite::Rows<'_>,
    columns: usize,
    set: u32,
    rows: &mut dyn RowSink,
) -> Result<Wanted, Error> {
    while let Some(row) = answer.next().map_err(|error| from_driver(&error))? {
        let cells = cells(row, columns).map_err(|error| from_driver(&error))?;
        if rows.row(set, &cells) == Wanted::Enough {
            return Ok(Wanted::Enough);
        }
    }
    Ok(Wanted::More)
}

fn cells<'a>(row: &'a Row<'_>, columns: usize) -> rusqlite::Result<Vec<Value<'a>>> {
    (0..columns).map(|index| row.get_ref(index).map(cell)).collect()
}
