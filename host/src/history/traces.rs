//! Looks in the catalogue for what a statement may have left in the database.
//!
//! The adapter has the text for it; here the settings are made under which the statement ran, because names mean by them
//! what they mean.
//!
//! Decides nothing: what follows from a trace is the [`migrator`](crate::migrator)'s affair.

use whimbrel_adapter_api::{
    Access, BodyFailed, Connection, Error as AdapterError, ErrorKind, Rows, Text, TransactionOptions, Value,
};

use super::Session;
use crate::error::{Name, Problem, Result, of_connection};

/// Something that a statement may have left in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What it is.
    pub what: String,
    /// The statement that removes it.
    pub removal: Option<String>,
    /// Whether anything is left to do of the statement.
    pub verdict: Verdict,
}

/// What a trace tells of its statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing of it is left to do.
    Done,
    /// It may be the work of somebody else.
    Unclear,
}

impl Session<'_> {
    /// Looks for what a statement may have left in the database that ran under these settings, the one at which the
    /// attempt in row `position` ended. `None`: of such a statement it cannot be told.
    ///
    /// # Errors
    ///
    /// A lost connection, or a session that cannot be put in order again. Whatever else keeps the server from telling is
    /// an answer: it cannot be told.
    pub fn traces(
        &mut self,
        statement: &str,
        settings: &[String],
        position: Option<i64>,
    ) -> Result<Option<Vec<Trace>>> {
        let texts = self.dialect.text(&Text::Traces { history: &self.table, position, statement });
        let rows = self.ask(texts, settings)?;
        Ok(rows.map(|rows| rows.iter().filter_map(|row| trace(row)).collect()))
    }

    /// Returns what a statement may have changed that no transaction takes back. `None`: it cannot be told.
    ///
    /// # Errors
    ///
    /// As [`Session::traces`].
    pub fn without_rollback(&mut self, statement: &str, settings: &[String]) -> Result<Option<Vec<String>>> {
        let Some(texts) = self.dialect.text(&Text::WithoutRollback { statement }) else {
            return Ok(Some(Vec::new()));
        };
        let rows = self.ask(Some(texts), settings)?;
        Ok(rows.map(|rows| rows.iter().filter_map(|row| row.first()?.as_text().map(str::to_owned)).collect()))
    }

    /// Returns the rows that the one text gives under settings, if it can be had.
    fn ask(&mut self, texts: Option<Vec<String>>, settings: &[String]) -> Result<Option<CatalogueRows>> {
        let Some(text) = texts.and_then(|texts| texts.into_iter().next()) else {
            return Ok(None);
        };
        let answer = match settings {
            [] => found(self.connection, &text),
            settings => {
                let answer = self.under(settings, &text);
                self.put_in_order()?;
                answer
            }
        };
        match answer {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if error.kind == ErrorKind::Unsupported => Ok(None),
            Err(error) => of_connection(&error).map_or(Ok(None), |lost| Err(lost.into())),
        }
    }

    /// Looks under settings.
    fn under(&mut self, settings: &[String], text: &str) -> Result<CatalogueRows, AdapterError> {
        let mut answer = Err(AdapterError::body_failed());
        let mut look = |connection: &mut dyn Connection| {
            answer = settings
                .iter()
                .try_for_each(|setting| connection.execute_raw(setting))
                .and_then(|()| found(connection, text));
            // Rolled back, so that a pooler's next client finds nothing of it.
            Err(BodyFailed)
        };
        let mut options = TransactionOptions::default();
        options.access = Access::ReadOnly;
        match self.connection.transaction(&options, &mut look) {
            Err(error) if error.kind != ErrorKind::BodyFailed => Err(error),
            _ => answer,
        }
    }

    /// Not every engine takes settings back with their transaction, and what runs next must not run under them.
    fn put_in_order(&mut self) -> Result<()> {
        let texts = self.dialect.text(&Text::ResetSession).unwrap_or_default();
        let in_disorder = |error: &AdapterError| {
            Problem::new(Name::Connection, "the session cannot be put in order after a look at the catalogue")
                .caused_by(error.message.clone())
        };
        match self.connection.execute_raw(&texts.join(";\n")) {
            Ok(()) => Ok(()),
            Err(error) => Err(of_connection(&error).unwrap_or_else(|| in_disorder(&error)).into()),
        }
    }
}

type CatalogueRows = Vec<Vec<Value<'static>>>;

fn found(connection: &mut dyn Connection, text: &str) -> Result<CatalogueRows, AdapterError> {
    let mut rows = Rows::default();
    connection.read(&[text], &mut rows).map_err(|failed| failed.error)?;
    Ok(rows.sets.into_iter().next().map(|set| set.rows).unwrap_or_default())
}

fn trace(row: &[Value<'static>]) -> Option<Trace> {
    let text = |index: usize| row.get(index).and_then(Value::as_text).map(str::to_owned);
    let is_done = row.get(2).and_then(Value::as_int) == Some(1);
    let verdict = if is_done { Verdict::Done } else { Verdict::Unclear };
    Some(Trace { what: text(0)?, removal: text(1), verdict })
}
