//! Changes the history without running a migration: `repair` and `baseline`. Both add rows and take none out.

use whimbrel_adapter_api::{Capability, Connection, Mode, NewRow, RowDirection, RowState};

use super::{Alive, Migrator, Options, Run, is_alive, prepare};
use crate::error::{Error, Name, Problem, Result};
use crate::history::{History, HistoryRow, Runner, Session, Standing, StoredDown, Table};
use crate::plan;
use crate::runner::{self, Grouping, Observer, Recorded};
use crate::source::{Id, Migration};

const NOTHING_CHANGED: &str = "nothing was changed";

/// What a person says about a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is in the database, all of it.
    Applied,
    /// Nothing of it is in the database.
    Reverted,
    /// It was edited after it was applied, and that is all right.
    AcceptChecksum,
    /// It is half done: all statements before this one, counted from 1, are in the database, and this one is not.
    ResumeAt(u64),
}

impl Migrator {
    /// Records what a person has found out about a migration.
    ///
    /// # Errors
    ///
    /// `MigrationUnknown` when neither files nor history know it, `LockHeld` when a runner is at work on it, `Refused`
    /// when it already stands as said.
    pub fn repair(
        &self,
        connection: &mut dyn Connection,
        id: &Id,
        settlement: Settlement,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let repair = self.try_to_repair(connection, id, settlement, observer);
        repair.map_err(|error| error.with_state(NOTHING_CHANGED))
    }

    fn try_to_repair(
        &self,
        connection: &mut dyn Connection,
        id: &Id,
        settlement: Settlement,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let (mut session, mut history) = Session::open(connection, &self.options.table)?;
        let migration = self.migrations.list.iter().find(|migration| migration.id == *id);
        let mut run = Run::new(self, Grouping::Strict, observer);
        loop {
            if let Standing::Started(row) = history.standing(&id.0) {
                if is_alive(row, &mut session, &self.options)? == Alive::Yes {
                    return Err(at_work(row, &self.options.database).into());
                }
                let position = row.position;
                history = history.with_abandoned(position);
            }
            self.check(id, migration, &history, settlement)?;
            if self.create_if_absent(&mut run, &mut session, &mut history)? == Recorded::Yes {
                let stored = match (migration, settlement, history.last_row(&id.0)) {
                    (_, Settlement::ResumeAt(_), Some(row)) => Stored::of_row(row, &mut session)?,
                    (Some(migration), ..) => Stored::of(migration, &mut session, &self.options)?,
                    (None, ..) => Stored::last_of(id, &history, &mut session)?,
                };
                let mut new = self.repaired(id, &history, settlement);
                new.checksum = stored.checksum.as_deref();
                new.statement_checksums = stored.statement_checksums.as_deref();
                new.down_script = stored.down.as_deref().filter(|_| settlement != Settlement::Reverted);
                let abandoned = history.last_row(&id.0).filter(|row| row.runner == Runner::Gone);
                if runner::record(&[new], abandoned, self.recording(), &mut session, run.observer)?
                    == Recorded::Yes
                {
                    return Ok(());
                }
            }
            run.give_way()?;
            history = session.read_history()?;
        }
    }

    /// Returns how rows are added that belong together.
    fn recording(&self) -> Mode {
        match self.options.adapter.capabilities.contains(&Capability::Transactions) {
            true => Mode::Atomic,
            false => Mode::Stepwise,
        }
    }

    /// Takes every migration up to `id` as applied, without running it. Returns those that were not applied before.
    ///
    /// # Errors
    ///
    /// The server's.
    pub fn baseline(&self, connection: &mut dyn Connection, id: &Id) -> Result<Vec<Id>> {
        self.try_to_baseline(connection, id).map_err(|error| error.with_state(NOTHING_CHANGED))
    }

    fn try_to_baseline(&self, connection: &mut dyn Connection, id: &Id) -> Result<Vec<Id>> {
        let (mut session, mut history) = Session::open(connection, &self.options.table)?;
        let reach = self.migrations.list.iter().position(|migration| migration.id == *id);
        let reach = reach.ok_or_else(|| unknown(id))?;
        let reached = &self.migrations.list[..=reach];
        let mut silent = runner::Silent;
        let mut run = Run::new(self, Grouping::Strict, &mut silent);
        loop {
            self.check_settled(reached, &history, &mut session)?;
            let is_pending = |migration: &&Migration| history.standing(&migration.id.0) == Standing::Pending;
            let pending: Vec<&Migration> = reached.iter().filter(is_pending).collect();
            if pending.is_empty() {
                return Ok(Vec::new());
            }
            if self.create_if_absent(&mut run, &mut session, &mut history)? == Recorded::Yes {
                let stored =
                    pending.iter().map(|migration| Stored::of(migration, &mut session, &self.options));
                let stored = stored.collect::<Result<Vec<_>>>()?;
                let rows = baseline_rows(&pending, &stored, &history, &self.options.applied_by);
                if runner::record(&rows, None, self.recording(), &mut session, run.observer)? == Recorded::Yes
                {
                    return Ok(pending.iter().map(|migration| migration.id.clone()).collect());
                }
            }
            run.give_way()?;
            history = session.read_history()?;
        }
    }

    /// Checks that none of these migrations is under way or half done: it is neither pending nor applied.
    fn check_settled(
        &self,
        reached: &[Migration],
        history: &History,
        session: &mut Session<'_>,
    ) -> Result<()> {
        let database = &self.options.database;
        let mut problems = Vec::new();
        for migration in reached {
            match history.standing(&migration.id.0) {
                Standing::Failed(row) => problems.push(plan::half_done_problem(row, database)),
                Standing::Started(row) => problems.push(match is_alive(row, session, &self.options)? {
                    Alive::Yes => at_work(row, database),
                    Alive::No => plan::half_done_problem(&row.clone().abandoned(), database),
                }),
                Standing::Pending | Standing::Applied(_) | Standing::Skipped(_) => {}
            }
        }
        Error::unless_empty(problems)
    }

    fn create_if_absent(
        &self,
        run: &mut Run<'_>,
        session: &mut Session<'_>,
        history: &mut History,
    ) -> Result<Recorded> {
        if history.table == Table::Present {
            return Ok(Recorded::Yes);
        }
        let created = run.create_history(session)?;
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
        if let Settlement::ResumeAt(statement) = settlement {
            return check_place(id, statement, history);
        }
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
        Err(Problem::new(Name::Refused, message).into())
    }

    fn repaired<'a>(&'a self, id: &'a Id, history: &History, settlement: Settlement) -> NewRow<'a> {
        let mut new = NewRow::new(history.last_position() + 1, &id.0, history.next_attempt(&id.0));
        (new.direction, new.state) = match settlement {
            Settlement::Applied | Settlement::AcceptChecksum => (RowDirection::Up, RowState::Applied),
            Settlement::Reverted => (RowDirection::Down, RowState::Reverted),
            Settlement::ResumeAt(statement) => {
                let row = history.last_row(&id.0);
                new.statements_done = statement.saturating_sub(1);
                new.statements_total = row.map_or(0, |row| row.statements_total);
                (row.map_or(RowDirection::Up, |row| row.direction), RowState::Failed)
            }
        };
        new.applied_by = &self.options.applied_by;
        new
    }
}

/// Checks that a migration is half done, and that it may go on at this statement.
fn check_place(id: &Id, statement: u64, history: &History) -> Result<()> {
    let Standing::Failed(row) = history.standing(&id.0) else {
        let message = format!("`{id}` is not half done, so there is no statement to go on at");
        return Err(Problem::new(Name::Refused, message).into());
    };
    let (done, total) = (row.statements_done, row.statements_total);
    if (done + 1..=total + 1).contains(&statement) {
        return Ok(());
    }
    let message = format!("`{id}` cannot go on at statement {statement}");
    let problem = Problem::new(Name::Refused, message)
        .fact(format!("{done} of {total} statements are noted as complete"))
        .hint("to begin anew, undo them by hand and say `--reverted`");
    Err(problem.into())
}

/// What the history keeps of a migration's files.
struct Stored {
    checksum: Option<String>,
    statement_checksums: Option<String>,
    down: Option<String>,
}

impl Stored {
    fn of(migration: &Migration, session: &mut Session<'_>, options: &Options) -> Result<Self> {
        let down = prepare::down_text(migration.down.as_ref(), migration.down_transaction)?;
        // A script that cannot be split is applied all the same, if a person says so.
        let checksums = prepare::checksums(&migration.up, migration.transaction, session, options).ok();
        Ok(Stored {
            checksum: Some(migration.checksum.to_string()),
            statement_checksums: checksums.map(|checksums| checksums.to_string()),
            down,
        })
    }

    /// Returns what a row keeps.
    fn of_row(row: &HistoryRow, session: &mut Session<'_>) -> Result<Self> {
        let down = (row.down == StoredDown::Present).then(|| session.read_down_script(row.position));
        Ok(Stored {
            checksum: row.checksum.clone(),
            statement_checksums: session.read_statement_checksums(row.position)?,
            down: down.transpose()?,
        })
    }

    /// Returns what the history kept last of a migration whose file is gone.
    fn last_of(id: &Id, history: &History, session: &mut Session<'_>) -> Result<Self> {
        let rows = || history.rows.iter().rev().filter(|row| row.migration == id.0);
        let checksum = rows().find_map(|row| row.checksum.clone());
        let down = rows().find(|row| row.down == StoredDown::Present);
        let down = down.map(|row| session.read_down_script(row.position)).transpose()?;
        Ok(Stored { checksum, statement_checksums: None, down })
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
        row.checksum = stored.checksum.as_deref();
        row.statement_checksums = stored.statement_checksums.as_deref();
        row.down_script = stored.down.as_deref();
        row.applied_by = by;
        row
    };
    numbered.map(row).collect()
}

fn unknown(id: &Id) -> Problem {
    Problem::new(Name::MigrationUnknown, format!("there is no migration `{id}`"))
}

fn at_work(row: &HistoryRow, database: &str) -> Problem {
    Problem::new(
        Name::LockHeld,
        format!("a run is at work on `{}` of `{database}` ({})", row.migration, row.applied_by),
    )
    .hint("let it finish, or end it first")
}
