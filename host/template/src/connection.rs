//! A session.
//!
//! The order of calls and the duties of each method stand in the documentation of [`Connection`] and
//! [`OneByOne`]. All that is the toy's here is `database`, and how it is asked.

use std::sync::Arc;

use whimbrel_adapter_api::walk::{Bracket, OneByOne, walk};
use whimbrel_adapter_api::{
    Connection, Dialect, Error, Events, Liveness, ReadError, RowSet, RowSink, State, TableName,
    TransactionBody, TransactionOptions, Value, Wanted, Work,
};

use crate::dialect::{EngineDialect, SCHEMA};
use crate::engine::{Answer, Database, Statement};
use crate::error::{from_engine, several};

/// A session over the engine's handle.
pub(crate) struct EngineConnection {
    database: Arc<Database>,
}

impl EngineConnection {
    pub(crate) fn over(database: Arc<Database>) -> Self {
        EngineConnection { database }
    }

    /// Runs a script, and returns what its last statement answers.
    fn answer(&self, script: &str) -> Result<Option<Answer>, Error> {
        let mut last = None;
        for statement in Statement::all_in(script).map_err(from_engine)? {
            last = Some(self.database.run(&statement, &[]).map_err(from_engine)?);
        }
        Ok(last)
    }

    /// Runs one statement and hands its rows over. Your driver's values become [`Value`]s here.
    fn rows(
        &self,
        sql: &str,
        parameters: &[Value<'_>],
        set: u32,
        rows: &mut dyn RowSink,
    ) -> Result<Wanted, Error> {
        if parameters.iter().any(|value| matches!(value, Value::Array(_))) {
            return Err(Error::unsupported("arrays"));
        }
        let statements = Statement::all_in(sql).map_err(from_engine)?;
        let [statement] = statements.as_slice() else {
            return Err(several(statements.len()));
        };
        let answer = self.database.run(statement, parameters).map_err(from_engine)?;
        let columns: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
        rows.columns(set, &columns);
        for row in &answer.rows {
            if rows.row(set, row) == Wanted::Enough {
                return Ok(Wanted::Enough);
            }
        }
        Ok(Wanted::More)
    }
}

impl Connection for EngineConnection {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        self.answer(script).map(drop)
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        self.rows(sql, parameters, 0, rows).map(drop)
    }

    // One turn for all texts, if the protocol can.
    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        for (set, text) in (0..).zip(texts) {
            let wanted = self.rows(text, &[], set, rows);
            if wanted.map_err(|error| ReadError::new(set, error))? == Wanted::Enough {
                break;
            }
        }
        Ok(())
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        let is_here = name.schema.as_deref().is_none_or(|schema| schema == SCHEMA);
        Ok(is_here && self.database.has(&name.name))
    }

    // With `Capability::Transactions` this is one line: `walk::in_transaction`.
    fn transaction(
        &mut self,
        _options: &TransactionOptions,
        _body: &mut TransactionBody<'_>,
    ) -> Result<(), Error> {
        Err(Error::unsupported("transactions"))
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        walk(self, work, events)
    }

    // With `Capability::Liveness`: whether the server still works for that attempt.
    fn alive(&mut self, _attempt: &str) -> Result<Liveness, Error> {
        Ok(Liveness::Unknown)
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        Ok(Box::new(EngineDialect::new(facts)?))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.answer("SELECT 1").map(drop)
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

impl OneByOne for EngineConnection {
    fn execute(&mut self, statement: &str) -> Result<u64, Error> {
        Ok(self.answer(statement)?.map_or(0, |answer| answer.changed))
    }

    // Asked for only where the lexer has patterns of `Class::Transactional`.
    fn joint(&self) -> Bracket {
        Bracket::savepoint(0)
    }

    // Roll back here, if a transaction can be open.
    fn roll_back(&mut self) -> State {
        State::Committed
    }

    fn enter(&mut self, outside: &[String]) -> Result<(), Error> {
        match outside {
            [] => Ok(()),
            _ => Err(Error::unsupported("settings around a migration")),
        }
    }

    fn check(&mut self) -> Result<(), Error> {
        Ok(())
    }

    // Take back what a script has left in the session.
    fn leave(&mut self) {}

    fn opening_error(&self, error: Error) -> Error {
        crate::error::in_opening(error)
    }
}
