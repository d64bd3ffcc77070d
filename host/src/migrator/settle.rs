//! Changes the history without running a migration: `repair` and `baseline`. Both add rows and take none out.

use whimbrel_adapter_api::{Connection, NewRow, RowDirection, RowState};

use super::{Migrator, Run, is_alive, prepare};
use crate::error::{Name, Problem, Result};
use crate::history::{History, HistoryRow, Session, Standing, Table};
use crate::plan;
use crate::runner::{self, Recorded};
use crate::source::{Id, Migration};

/// What a person says about a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is in the database, all of it.
    Applied,
    /// Nothing of it is in the database.
    Reverted,
    /// It was edited after it was applied, and that is all right.
    AcceptChecksum,
}

impl Migrator {
    /// Records what a person has found out about a migration.
    ///
    /// # Errors
    ///
    /// `MigrationUnknown` when neither files nor history know it, `LockHeld` when a runner is at work on it, `Refused`
    /// when it already stands as said.
    pub fn repair(&self, connection: &mut dyn Connection, id: &Id, settlement: Settlement) -> Result<()> {
        let (mut session, mut history) = Session::open(connection, &self.options.table)?;
        let migration = self.migrations.list.iter().find(|migration| migration.id == *id);
        loop {
            let row = history.last_row(&id.0);
            if let (Some(row), Standing::Started(_)) = (row, history.standing(&id.0))
                && is_alive(row, &mut session)?
            {
                return Err(at_work(row, &self.options.database).into());
            }
            self.check(id, migration, &history, settlement)?;
            if self.create_if_absent(&mut session, &mut history)? == Recorded::FenceTaken {
                history = session.read_history()?;
                continue;
            }
            let checksum = migration.map(|migration| migration.checksum.to_string());
            let down = migration.map(stored_down).transpose()?.flatten();
            let mut new = self.repaired(id, &history, settlement);
            new.checksum = checksum.as_deref();
            new.down_script = down.as_deref().filter(|_| settlement != Settlement::Reverted);
            if runner::record(&[new], &mut session)? == Recorded::Yes {
                return Ok(());
            }
            history = session.read_history()?;
        }
    }

    /// Takes every migration up to `id` as applied, without running it. Returns those that were not applied before.
    ///
    /// # Errors
    ///
    /// The server's.
    pub fn baseline(&self, connection: &mut dyn Connection, id: &Id) -> Result<Vec<Id>> {
        let (mut session, mut history) = Session::open(connection, &self.options.table)?;
        let reach = self.migrations.list.iter().position(|migration| migration.id == *id);
        let reach = reach.ok_or_else(|| unknown(id))?;
        loop {
            let pending: Vec<&Migration> = self.migrations.list[..=reach]
                .iter()
                .filter(|migration| history.standing(&migration.id.0) == Standing::Pending)
                .collect();
            if pending.is_empty() {
                return Ok(Vec::new());
            }
            if self.create_if_absent(&mut session, &mut history)? == Recorded::FenceTaken {
                history = session.read_history()?;
                continue;
            }
            let stored = pending.iter().map(|migration| Stored::of(migration));
            let stored = stored.collect::<Result<Vec<_>>>()?;
            let rows = baseline_rows(&pending, &stored, &history, &self.options.applied_by);
            if runner::record(&rows, &mut session)? == Recorded::Yes {
                return Ok(pending.iter().map(|migration| migration.id.clone()).collect());
            }
            history = session.read_history()?;
        }
    }

    fn create_if_absent(&self, session: &mut Session<'_>, history: &mut History) -> Result<Recorded> {
        if history.table == Table::Present {
            return Ok(Recorded::Yes);
        }
        let created = Run::new(self, &mut runner::Silent).create_history(session)?;
        if created == Recorded::Yes {
            *history = History::new(Vec::new());
        }
        Ok(created)
    }

    fn check(
        &self,
        id: &Id,
        migration: Option<&Migration>,
        history: &History,
        settlement: Settlement,
    ) -> Result<()> {
        let row = history.last_row(&id.0);
        if migration.is_none() && row.is_none() {
            return Err(unknown(id).into());
        }
        let stands = matches!(history.standing(&id.0), Standing::Applied(_));
        let message = match settlement {
            Settlement::Applied if stands => format!("`{id}` is already applied"),
            Settlement::Reverted if history.standing(&id.0) == Standing::Pending => {
                format!("`{id}` is not applied, so there is nothing to take back")
            }
            Settlement::AcceptChecksum if !stands => {
                format!("`{id}` is not applied, so it has no checksum to accept")
            }
            Settlement::AcceptChecksum => match migration {
                None => format!("`{id}` has no file whose checksum could be accepted"),
                Some(migration) if row.is_some_and(|row| !plan::is_edited(migration, row)) => {
                    format!("`{id}` was not edited: its checksum is the recorded one")
                }
                Some(_) => return Ok(()),
            },
            _ => return Ok(()),
        };
        Err(Problem::new(Name::Refused, message).state("nothing was changed").into())
    }

    fn repaired<'a>(&'a self, id: &'a Id, history: &History, settlement: Settlement) -> NewRow<'a> {
        let mut new = NewRow::new(history.last_position() + 1, &id.0, history.next_attempt(&id.0));
        (new.direction, new.state) = match settlement {
            Settlement::Applied | Settlement::AcceptChecksum => (RowDirection::Up, RowState::Applied),
            Settlement::Reverted => (RowDirection::Down, RowState::Reverted),
        };
        new.applied_by = &self.options.applied_by;
        new
    }
}

/// What the history keeps of a migration's files.
struct Stored {
    checksum: String,
    down: Option<String>,
}

impl Stored {
    fn of(migration: &Migration) -> Result<Self> {
        Ok(Stored { checksum: migration.checksum.to_string(), down: stored_down(migration)? })
    }
}

/// Returns the rows that take `pending` as applied.
fn baseline_rows<'a>(
    pending: &[&'a Migration],
    stored: &'a [Stored],
    history: &History,
    by: &'a str,
) -> Vec<NewRow<'a>> {
    let numbered = pending.iter().zip(stored).zip(history.last_position() + 1..);
    let row = |((migration, stored), position): ((&&'a Migration, &'a Stored), i64)| {
        let id = &migration.id.0;
        let mut row = NewRow::new(position, id, history.next_attempt(id));
        row.state = RowState::Baseline;
        row.checksum = Some(&stored.checksum);
        row.down_script = stored.down.as_deref();
        row.applied_by = by;
        row
    };
    numbered.map(row).collect()
}

fn stored_down(migration: &Migration) -> Result<Option<String>> {
    prepare::down_text(migration.down.as_ref(), migration.down_transaction)
}

fn unknown(id: &Id) -> Problem {
    Problem::new(Name::MigrationUnknown, format!("there is no migration `{id}`")).state("nothing was changed")
}

fn at_work(row: &HistoryRow, database: &str) -> Problem {
    Problem::new(
        Name::LockHeld,
        format!("a run is at work on `{}` of `{database}` ({})", row.migration, row.applied_by),
    )
    .state("nothing was changed")
    .hint("let it finish, or end it first")
}
