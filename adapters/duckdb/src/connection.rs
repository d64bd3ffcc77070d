//! A session with a DuckDB database.

use std::collections::BTreeMap;

use duckdb::{Connection as Handle, Statement, params_from_iter};
use whimbrel_adapter_api::walk::{Bracket, in_transaction, walk};
use whimbrel_adapter_api::{
    Access, Connection, Dialect, Error, ErrorKind, Events, Liveness, ReadError, RowSet, RowSink, TableName,
    TransactionBody, TransactionOptions, Value, Wanted, Work,
};

use crate::dialect::DuckDbDialect;
use crate::error::{self, from_driver};
use crate::instance::Share;
use crate::run::Named;
use crate::statements;
use crate::values::{cell, parameter};

/// A session over a handle of its own.
pub(crate) struct DuckDbConnection {
    pub(crate) handle: Handle,
    /// Behind the handle: what is open is closed last.
    share: Share,
    depth: u32,
    /// The settings of the session as they were after it was opened.
    pub(crate) settings: BTreeMap<String, String>,
}

impl DuckDbConnection {
    pub(crate) fn over(handle: Handle, share: Share) -> Result<Self, Error> {
        let mut connection = DuckDbConnection { handle, share, depth: 0, settings: BTreeMap::new() };
        connection.execute_text(error::AS_JSON)?;
        connection.settings = connection.settings_now()?;
        Ok(connection)
    }

    /// Runs a script of any number of statements.
    pub(crate) fn execute_text(&self, script: &str) -> Result<(), Error> {
        self.handle.execute_batch(script).map_err(|error| from_driver(&error, script))
    }

    pub(crate) fn settings_now(&self) -> Result<BTreeMap<String, String>, Error> {
        const TEXT: &str = "SELECT name, coalesce(value, '') FROM duckdb_settings()";
        let read = || -> duckdb::Result<BTreeMap<String, String>> {
            let mut statement = self.handle.prepare(TEXT)?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        read().map_err(|error| from_driver(&error, TEXT))
    }

    /// Returns the first column of a query.
    pub(crate) fn column(&self, text: &str) -> Result<Vec<String>, Error> {
        let read = || -> duckdb::Result<Vec<String>> {
            self.handle.prepare(text)?.query_map([], |row| row.get(0))?.collect()
        };
        read().map_err(|error| from_driver(&error, text))
    }

    fn rows(
        &self,
        sql: &str,
        parameters: &[Value<'_>],
        set: u32,
        rows: &mut dyn RowSink,
    ) -> Result<Wanted, Error> {
        if statements::count(sql) > 1 {
            return Err(Error::new(ErrorKind::Syntax, "the query is more than one statement"));
        }
        let parameters = parameters.iter().map(parameter).collect::<Result<Vec<_>, Error>>()?;
        let failed = |error: duckdb::Error| from_driver(&error, sql);
        let mut statement: Statement<'_> = self.handle.prepare(sql).map_err(failed)?;
        let expected = statement.parameter_count();
        if expected != parameters.len() {
            let message =
                format!("the statement has {expected} parameters, and {} are given", parameters.len());
            return Err(Error::new(ErrorKind::Syntax, message));
        }
        let mut answer = statement.query(params_from_iter(parameters)).map_err(failed)?;
        let shape = answer.as_ref().map(|statement| {
            let types = (0..statement.column_count()).map(|index| statement.column_logical_type(index).id());
            (statement.column_names(), types.collect::<Vec<_>>())
        });
        let (names, types) = shape.unwrap_or_default();
        // What changes rows answers with a set of one column, their number.
        let is_count = matches!(names.as_slice(), [name] if name == "Count") && statements::only_changes(sql);
        let gives_rows = !is_count;
        if gives_rows {
            rows.columns(set, &names.iter().map(String::as_str).collect::<Vec<_>>());
        }
        while let Some(row) = answer.next().map_err(failed)? {
            let cells = types
                .iter()
                .enumerate()
                .map(|(index, kind)| row.get_ref(index).map(|value| cell(value, *kind)));
            let cells = cells.collect::<duckdb::Result<Vec<_>>>().map_err(failed)?;
            if gives_rows && rows.row(set, &cells) == Wanted::Enough {
                return Ok(Wanted::Enough);
            }
        }
        Ok(Wanted::More)
    }

    fn bracket(&self, options: &TransactionOptions) -> Result<Bracket, Error> {
        if self.depth > 0 {
            return Err(Error::unsupported("a transaction inside another"));
        }
        // Every transaction sees what was committed before its first statement.
        let access = match options.access {
            Access::ReadOnly => " READ ONLY",
            _ => "",
        };
        Ok(Bracket::new(
            format!("BEGIN TRANSACTION{access}"),
            // A bare COMMIT of a failed transaction rolls back and says nothing.
            "SELECT 1; COMMIT",
            "ROLLBACK",
        ))
    }
}

impl Connection for DuckDbConnection {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        self.execute_text(script)
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        self.rows(sql, parameters, 0, rows).map(drop)
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        for (set, text) in (0..).zip(texts) {
            let wanted = self.rows(text, &[], set, rows).map_err(|error| ReadError::new(set, error))?;
            if wanted == Wanted::Enough {
                break;
            }
        }
        Ok(())
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        let schema = if name.schema.is_some() { "$2" } else { "current_schema()" };
        let text = format!(
            "SELECT count(*) FROM information_schema.tables WHERE table_catalog = current_database() \
             AND table_name = $1 AND table_schema = {schema}"
        );
        let parameters = [Some(&name.name), name.schema.as_ref()].into_iter().flatten();
        let count = self.handle.query_row(&text, params_from_iter(parameters), |row| row.get::<_, i64>(0));
        count.map(|count| count > 0).map_err(|error| from_driver(&error, &text))
    }

    fn transaction(
        &mut self,
        options: &TransactionOptions,
        body: &mut TransactionBody<'_>,
    ) -> Result<(), Error> {
        let bracket = self.bracket(options)?;
        in_transaction(self, |connection| &mut connection.depth, &bracket, body)
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        let mut named = Named::new(work, &self.share);
        walk(self, &mut named, events)
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        // Whoever has the file open is the only process that has.
        Ok(if self.share.is_at_work(attempt) { Liveness::Alive } else { Liveness::Gone })
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        Ok(Box::new(DuckDbDialect::new(facts)?))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.execute_text("SELECT 1")
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        self.handle.close().map_err(|(_, error)| from_driver(&error, ""))
    }
}
