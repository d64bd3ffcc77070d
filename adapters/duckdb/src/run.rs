//! One statement at a time, for [`walk`](whimbrel_adapter_api::walk::walk).

use whimbrel_adapter_api::walk::{Bracket, OneByOne};
use whimbrel_adapter_api::{Error, ErrorKind, Next, Piece, State, Stop, Work};

use crate::connection::DuckDbConnection;
use crate::error::from_driver;
use crate::instance::{AtWork, Attempts, Share};

/// The statements that remove what belongs to the session alone.
const REMOVALS: &str = "SELECT 'DROP TABLE IF EXISTS temp.main.\"' || replace(table_name, '\"', '\"\"') || '\"' \
     FROM duckdb_tables() WHERE temporary UNION ALL \
     SELECT 'DROP VIEW IF EXISTS temp.main.\"' || replace(view_name, '\"', '\"\"') || '\"' \
     FROM duckdb_views() WHERE temporary AND NOT internal";

impl OneByOne for DuckDbConnection {
    fn execute(&mut self, statement: &str) -> Result<u64, Error> {
        let changed = self.handle.execute(statement, []);
        changed.map(|changed| changed as u64).map_err(|error| from_driver(&error, statement))
    }

    fn joint(&self) -> Bracket {
        Bracket::new("BEGIN TRANSACTION", "COMMIT", "ROLLBACK")
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

/// Notes which attempt is under way.
pub(crate) struct Named<'a> {
    work: &'a mut dyn Work,
    attempts: Attempts,
    /// The attempt of a batch whose position is not taken yet. Another run in this process may have it, and bears the same
    /// name.
    opening: Option<String>,
    at_work: Option<AtWork>,
}

impl<'a> Named<'a> {
    pub(crate) fn new(work: &'a mut dyn Work, share: &Share) -> Self {
        Named { work, attempts: share.attempts(), opening: None, at_work: None }
    }
}

impl Work for Named<'_> {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        self.at_work = None;
        let next = self.work.next_batch();
        if let Ok(Next::Batch(head)) = &next {
            self.opening = Some(head.attempt.clone());
        }
        next
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        // Asked for when all of the opening has succeeded.
        if let Some(attempt) = self.opening.take() {
            self.at_work = Some(self.attempts.begin(attempt));
        }
        self.work.next_piece()
    }
}
