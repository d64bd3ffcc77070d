//! One statement at a time, for [`walk`](whimbrel_adapter_api::walk::walk).

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use whimbrel_adapter_api::walk::{Bracket, OneByOne};
use whimbrel_adapter_api::{Error, ErrorKind, Liveness, Next, Piece, State, Stop, Work};

use crate::connection::DuckDbConnection;
use crate::error::from_driver;

/// The statements that remove what belongs to the session alone.
const REMOVALS: &str = "SELECT 'DROP TABLE IF EXISTS temp.main.\"' || replace(table_name, '\"', '\"\"') || '\"' \
     FROM duckdb_tables() WHERE temporary UNION ALL \
     SELECT 'DROP VIEW IF EXISTS temp.main.\"' || replace(view_name, '\"', '\"\"') || '\"' \
     FROM duckdb_views() WHERE temporary AND NOT internal";

impl OneByOne for DuckDbConnection {
    fn execute(&mut self, statement: &str) -> Result<u64, Error> {
        // A statement that is nothing but a comment is none to the driver.
        let changed = self.handle.execute(statement, []);
        changed.map(|changed| changed as u64).map_err(|error| from_driver(&error, statement))
    }

    fn joint(&self) -> Bracket {
        Bracket {
            begin: "BEGIN TRANSACTION".to_owned(),
            commit: "COMMIT".to_owned(),
            roll_back: "ROLLBACK".to_owned(),
        }
    }

    fn roll_back(&mut self) -> State {
        // The only reason to refuse it is that no transaction is open any more.
        let _ = self.execute_text("ROLLBACK");
        State::RolledBack
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

    fn leave(&mut self) {
        self.part();
        let Ok(now) = self.settings_now() else { return };
        let changed = now.iter().filter(|(name, value)| self.settings.get(*name) != Some(*value));
        for (name, _) in changed {
            let before = self.settings.get(name).cloned().unwrap_or_default();
            // What cannot be put back while the database is open could not be changed either.
            let _ = self.execute_text(&format!("SET {name} = '{}'", before.replace('\'', "''")));
        }
    }

    fn part(&mut self) {
        for removal in self.column(REMOVALS).unwrap_or_default() {
            // What is in use stays until the session ends, and nothing else is left to try.
            let _ = self.execute_text(&removal);
        }
    }

    fn opening_error(&self, mut error: Error) -> Error {
        // The position is taken, the row before is gone, or another transaction is about to take it.
        if matches!(error.kind, ErrorKind::Constraint | ErrorKind::Serialization) {
            error.kind = ErrorKind::FenceTaken;
        }
        error
    }
}

/// The attempts of this process that are at work. There are no others: a file belongs to one process.
static AT_WORK: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn all() -> MutexGuard<'static, BTreeSet<String>> {
    AT_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An attempt that is at work, until this is dropped.
#[derive(Default)]
pub(crate) struct AtWork(Option<String>);

impl AtWork {
    pub(crate) fn is_known(attempt: &str) -> Liveness {
        if all().contains(attempt) { Liveness::Alive } else { Liveness::Gone }
    }

    fn begin(&mut self, attempt: &str) {
        self.end();
        all().insert(attempt.to_owned());
        self.0 = Some(attempt.to_owned());
    }

    fn end(&mut self) {
        if let Some(attempt) = self.0.take() {
            all().remove(&attempt);
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.end();
    }
}

/// Notes which attempt is under way.
pub(crate) struct Named<'a> {
    pub(crate) work: &'a mut dyn Work,
    pub(crate) at_work: &'a mut AtWork,
}

impl Work for Named<'_> {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        let next = self.work.next_batch();
        if let Ok(Next::Batch(head)) = &next {
            self.at_work.begin(&head.attempt);
        }
        next
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        self.work.next_piece()
    }
}
