//! What a crash has left, as the history tells it to the next session.

use whimbrel_adapter_api::Connection;

use super::{Migrator, failure};
use crate::error::{Error, Name};
use crate::history::{Session, Standing};
use crate::report::MigrationState;
use crate::source::Id;

impl Migrator {
    /// Returns the error of a run whose adapter crashed in the middle of a migration, with the state that the history tells
    /// of on a new `connection`.
    ///
    /// Any other error stays as it is, and so does this one where the history cannot be read: it says what was known when
    /// the adapter crashed.
    #[must_use]
    pub fn read_again(&self, mut error: Error, connection: &mut dyn Connection) -> Error {
        if !is_crash(&error) {
            return error;
        }
        match Session::open(connection, &self.options.table) {
            Ok((_, history)) => {
                let status = self.status_of(&history);
                let count = |state: &MigrationState| match status.count(*state) {
                    0 => None,
                    count => Some(format!("{count} {}", state.word())),
                };
                let counts = MigrationState::ALL.iter().filter_map(count).collect::<Vec<_>>().join(", ");
                for problem in &mut error.problems {
                    if let Some(id) = &problem.migration {
                        let stands = told(&Id(id.clone()), history.standing(id));
                        problem.state = Some(format!("read again afterwards: {stands}; {counts}"));
                    }
                }
            }
            Err(unread) => {
                let reasons = unread.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                for problem in &mut error.problems {
                    problem.facts.push(format!("the history could not be read again: {reasons}"));
                }
            }
        }
        error
    }
}

/// Returns whether a migration was under way when the adapter crashed.
pub(crate) fn is_crash(error: &Error) -> bool {
    error.problems.iter().any(|problem| problem.name == Name::AdapterCrashed && problem.migration.is_some())
}

fn told(id: &Id, standing: Standing<'_>) -> String {
    match standing {
        Standing::Applied(_) => format!("`{id}` is applied"),
        // Its last message may have reached a server, which goes on alone.
        Standing::Pending => format!("`{id}` is not applied, unless a server is still at work on it"),
        Standing::Skipped(_) => format!("`{id}` is left out"),
        Standing::Started(row) | Standing::Failed(row) => {
            failure::may_be_in(row.statements_done, id, row.direction.into())
        }
    }
}
