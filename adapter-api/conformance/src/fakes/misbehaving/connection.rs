//! The session of an adapter with a defect.

use whimbrel_adapter_api::{
    BodyFailed, Connection, Dialect, Error, ErrorKind, Events, Liveness, ReadError, RowSet, RowSink, Rows,
    Session, TableName, TransactionBody, TransactionOptions, Value, Wanted, Work,
};

use super::dialect::BentDialect;
use super::work::{BentEvents, BentWork};
use super::{Defect, hang, quiet_panic};

pub(super) struct BentConnection<'a> {
    inner: Box<dyn Connection + 'a>,
    defect: Defect,
    depth: u32,
}

impl<'a> BentConnection<'a> {
    pub(super) fn new(inner: Box<dyn Connection + 'a>, defect: Defect) -> Self {
        BentConnection { inner, defect, depth: 0 }
    }

    fn error(&self, error: Error, text: &str) -> Error {
        bent_error(self.defect, error, text)
    }
}

/// Bends an error of a statement or script.
pub(super) fn bent_error(defect: Defect, mut error: Error, text: &str) -> Error {
    let forgotten = match defect {
        Defect::TableMissingIsOther => Some(ErrorKind::TableMissing),
        Defect::ColumnMissingIsOther => Some(ErrorKind::ColumnMissing),
        Defect::ConstraintIsOther => Some(ErrorKind::Constraint),
        Defect::SyntaxIsOther => Some(ErrorKind::Syntax),
        _ => None,
    };
    if forgotten == Some(error.kind) {
        error.kind = ErrorKind::Other;
    }
    match defect {
        Defect::NoPosition => error.position = None,
        Defect::PositionOffByOne => error.position = error.position.map(|position| position + 1),
        Defect::PositionInCharacters => {
            let before = |position: u64| text.get(..position as usize).map_or(0, |text| text.chars().count());
            error.position = error.position.map(|position| before(position) as u64);
        }
        Defect::EveryErrorLosesTheSession => error.session = Session::Lost,
        _ => {}
    }
    error
}

impl Connection for BentConnection<'_> {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        let first = script.split_inclusive(";\n").next().unwrap_or_default();
        match self.defect {
            Defect::FirstStatementAlone => self.inner.execute_raw(first),
            Defect::HidesLaterErrors if first.len() < script.len() => {
                self.inner.execute_raw(first)?;
                // Some drivers give the answer to the first statement alone.
                let _ = self.inner.execute_raw(&script[first.len()..]);
                Ok(())
            }
            _ => self.inner.execute_raw(script).map_err(|error| self.error(error, script)),
        }
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        if self.defect == Defect::PanicsInQuery {
            quiet_panic();
        }
        let mut parameters = parameters.to_vec();
        if self.defect == Defect::SwapsParameters && parameters.len() > 1 {
            parameters.swap(0, 1);
        }
        let sql = match sql.rsplit_once("; ") {
            Some((before, last)) if self.defect == Defect::RunsAllOfAQuery => {
                self.inner.execute_raw(before)?;
                last
            }
            _ => sql,
        };
        let mut read = Rows::default();
        self.inner.query(sql, &parameters, &mut read).map_err(|error| self.error(error, sql))?;
        hand_over(self.defect, read, rows);
        Ok(())
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        if self.defect == Defect::HangsInRead {
            hang();
        }
        let mut read = Rows::default();
        let answer = self.inner.read(texts, &mut read);
        hand_over(self.defect, read, rows);
        answer.map_err(|failed| {
            let text = texts.get(failed.set as usize).copied().unwrap_or_default();
            let set = if self.defect == Defect::ForgetsTheSet { 0 } else { failed.set };
            ReadError::new(set, self.error(failed.error, text))
        })
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        let mut like =
            |bent: TableName| Ok(self.inner.table_exists(name)? || self.inner.table_exists(&bent)?);
        let replaced = |from: &str, to: &str| {
            let mut bent = name.clone();
            bent.name = bent.name.replace(from, to);
            bent
        };
        match self.defect {
            Defect::TablesFoldCase => like(replaced(" \"a ", " \"A ")),
            Defect::TablesArePatterns => like(replaced("w%_", "whimbrel_")),
            Defect::TablesIgnoreSchema => like(TableName::new(name.name.clone())),
            _ => self.inner.table_exists(name),
        }
    }

    fn transaction(
        &mut self,
        options: &TransactionOptions,
        body: &mut TransactionBody<'_>,
    ) -> Result<(), Error> {
        let (defect, depth) = (self.defect, self.depth + 1);
        let mut panicked = false;
        let mut bent = |connection: &mut dyn Connection| -> Result<(), BodyFailed> {
            let mut lent = BentConnection { inner: Box::new(connection), defect, depth };
            let mut work = || body(&mut lent);
            match defect {
                Defect::SwallowsPanics => {
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                    outcome.unwrap_or_else(|_| {
                        panicked = true;
                        Err(BodyFailed)
                    })
                }
                Defect::CommitsAfterFailure => work().or(Ok(())),
                Defect::RollsBackSuccess => work().and(Err(BodyFailed)),
                _ => work(),
            }
        };
        if defect == Defect::NestsFlat && self.depth > 0 {
            return bent(self.inner.as_mut()).map_err(|BodyFailed| Error::body_failed());
        }
        let options = match defect {
            Defect::ReadersWrite => TransactionOptions::default(),
            _ => *options,
        };
        let outcome = self.inner.transaction(&options, &mut bent);
        match (defect, outcome) {
            (Defect::RollsBackSuccess | Defect::BodyFailedIsSuccess, Err(error))
                if error.kind == ErrorKind::BodyFailed =>
            {
                Ok(())
            }
            (Defect::CommitsAfterFailure, Ok(())) => Err(Error::body_failed()),
            (_, outcome) => outcome,
        }
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        match self.defect {
            Defect::PanicsInRun => quiet_panic(),
            Defect::HangsInRun => hang(),
            _ => {}
        }
        let mut work = BentWork::new(work, self.defect);
        self.inner.run(&mut work, &mut BentEvents::new(events, self.defect))
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        match self.defect {
            Defect::NobodyIsAlive => Ok(Liveness::Gone),
            Defect::EverybodyIsAlive => Ok(Liveness::Alive),
            _ => self.inner.alive(attempt),
        }
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        let dialect = self.inner.dialect(facts)?;
        Ok(Box::new(BentDialect { dialect, defect: self.defect }))
    }

    fn ping(&mut self) -> Result<(), Error> {
        match self.defect {
            Defect::PingFails => Err(Error::lost("no answer")),
            _ => self.inner.ping(),
        }
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        let closed = self.inner.close();
        match self.defect {
            Defect::CloseFails => Err(Error::new(ErrorKind::Other, "still in use")),
            _ => closed,
        }
    }
}

/// Hands over rows that were read, but not as they were read.
fn hand_over(defect: Defect, read: Rows, rows: &mut dyn RowSink) {
    let mut number = 0;
    for mut set in read.sets {
        if defect == Defect::SkipsEmptySets && set.rows.is_empty() {
            continue;
        }
        let is_history = set.columns.first().is_some_and(|column| column == "position");
        match defect {
            Defect::ColumnsShouted => set.columns.iter_mut().for_each(|name| *name = name.to_uppercase()),
            Defect::HistoryColumnsSwapped if is_history => set.columns.swap(1, 2),
            Defect::HistoryReversed if is_history => set.rows.reverse(),
            Defect::RowsReversed => set.rows.reverse(),
            _ => {}
        }
        rows.columns(number, &set.columns.iter().map(String::as_str).collect::<Vec<_>>());
        for row in set.rows {
            let row: Vec<Value<'_>> = row.into_iter().map(|cell| bent_cell(defect, cell)).collect();
            if rows.row(number, &row) == Wanted::Enough && defect != Defect::IgnoresEnough {
                return;
            }
        }
        number += 1;
    }
}

fn bent_cell(defect: Defect, cell: Value<'static>) -> Value<'static> {
    match (defect, cell) {
        (Defect::NullIsEmpty, Value::Null) => Value::text(""),
        (Defect::NumbersAreTexts, Value::Int(number)) => Value::Text(number.to_string().into()),
        (Defect::RoundsNumbers, Value::Int(number)) => Value::Int(i64::from(number as i32)),
        (Defect::LosesLetters, Value::Text(text)) => {
            Value::Text(text.chars().map(|letter| if letter.is_ascii() { letter } else { '?' }).collect())
        }
        (Defect::CutsTexts, Value::Text(text)) => {
            Value::Text(text.split('\0').next().unwrap_or_default().to_owned().into())
        }
        (Defect::BytesAreText, Value::Bytes(bytes)) => {
            Value::Text(String::from_utf8_lossy(&bytes).into_owned().into())
        }
        (_, cell) => cell,
    }
}
