//! Settling by hand: what an operator does about a migration that stopped halfway and that `up` does not take on by
//! itself.
//!
//! Looks in the database which statements are in, finishes the rest or undoes all of it, and says so with `repair`:
//! the way out that the message of `up` names.
//!
//! Knows only what an operator knows: the answers of `whimbrel`, the file, and the database.

use fastrand::Rng;

use super::migrations::{Migration, Noted};
use super::{Count, Trouble};
use crate::{Database, Outcome, Project};

/// What an operator has before them.
pub(super) struct Desk<'a> {
    pub(super) project: &'a Project,
    pub(super) folder: &'a str,
    pub(super) url: &'a str,
    pub(super) database: &'a dyn Database,
    pub(super) migrations: &'a [Migration],
}

impl Desk<'_> {
    /// Returns the migration that stopped halfway, as `status` tells it.
    pub(super) fn unsettled(&self) -> Option<&Migration> {
        let status = self.whimbrel(&["status", self.folder, "--format", "json"]).json();
        let started = |row: &&serde_json::Value| row["state"] == "started";
        let row = status["migrations"].as_array()?.iter().find(started)?;
        self.migrations.iter().find(|migration| row["id"] == migration.id.as_str())
    }

    /// Settles it, one way or the other.
    ///
    /// # Errors
    ///
    /// What the history notes is not so, or the way out is none.
    pub(super) fn settle(&self, migration: &Migration, random: &mut Rng) -> Result<(), Trouble> {
        let is_in = |probe: &str| self.database.lines(probe).concat() == "1";
        let found: Vec<bool> = migration.statements.iter().map(|statement| is_in(&statement.probe)).collect();
        self.check_noted(migration, &found)?;
        let verdict = if random.bool() {
            for (statement, _) in migration.statements.iter().zip(&found).filter(|(_, is_in)| !**is_in) {
                self.execute(&statement.undo)?;
                self.execute(&statement.sql)?;
            }
            "--applied"
        } else {
            for statement in migration.statements.iter().rev() {
                self.execute(&statement.undo)?;
            }
            "--reverted"
        };
        let outcome = self.whimbrel(&["repair", self.folder, &migration.id, verdict]);
        match outcome.code {
            Some(0) => Ok(()),
            _ => Err(Trouble::new(
                Count::Stuck,
                format!("`repair {} {verdict}` is refused:\n{}", migration.id, outcome.redacted()),
            )),
        }
    }

    /// Holds what the history notes against what is found: the statements that it notes as complete are in, the one
    /// after them may be if it has no mark in its own transaction, and none that follows is.
    fn check_noted(&self, migration: &Migration, found: &[bool]) -> Result<(), Trouble> {
        let question = format!(
            "SELECT statements_done FROM whimbrel_migrations WHERE migration = '{}' ORDER BY position DESC LIMIT 1",
            migration.id
        );
        let noted: Option<usize> = self.database.lines(&question).concat().parse().ok();
        let complete = found.iter().take_while(|is_in| **is_in).count();
        let is_prefix = found.iter().skip(complete).all(|is_in| !is_in);
        let may_be_in = |index: usize| {
            migration.statements.get(index).is_some_and(|statement| statement.noted == Noted::Afterwards)
        };
        match noted {
            Some(noted) if is_prefix && complete == noted => Ok(()),
            Some(noted) if is_prefix && complete == noted + 1 && may_be_in(noted) => Ok(()),
            _ => Err(Trouble::new(
                Count::Wrong,
                format!("of `{}` {noted:?} statements are noted as complete, in are {found:?}", migration.id),
            )),
        }
    }

    fn execute(&self, sql: &str) -> Result<(), Trouble> {
        let refused =
            |error| Trouble::new(Count::Stuck, format!("an operator's statement is refused: {error}"));
        self.database.try_query(sql).map(drop).map_err(refused)
    }

    fn whimbrel(&self, words: &[&str]) -> Outcome {
        self.project.run(words.iter().copied().chain(["--url", self.url]))
    }
}
