//! Works out what to run.
//!
//! Compares the [`source`](crate::source) with the [`history`](crate::history) and yields a [`Plan`] that the
//! [`runner`](crate::runner) carries out as it stands. Finds every problem, not the first one.
//!
//! Touches no database, file or clock, so every rule here is a plain test.

use std::collections::HashSet;

use crate::error::{Error, Name, Place, Problem, Result};
use crate::history::{History, HistoryRow, Runner, Standing, StoredDown};
use crate::source::{Checksum, Id, Migration, Migrations, Script, Transaction};

/// What is to be done, in order.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Plan {
    /// The steps, in the order in which they run.
    pub steps: Vec<Step>,
    /// What was chosen at the first read of the history. A later plan of the same run runs nothing else.
    pub pins: Vec<Pin>,
    /// Whether it is still what the command means.
    pub choice: Choice,
    /// What the user should hear, although it stops nothing.
    pub warnings: Vec<Problem>,
}

/// Whether what was chosen at the first read of the history is still what the command means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// It is.
    #[default]
    Stands,
    /// Another run went the other way meanwhile, and to go on would leave a gap: a migration taken back beneath one
    /// that stays, or applied above one that was taken back.
    Overtaken,
}

/// One migration to be applied or taken back.
#[derive(Clone, Debug)]
pub struct Step {
    /// The migration.
    pub id: Id,
    /// Whether it is applied or taken back.
    pub direction: Direction,
    /// The number of this attempt, from 1.
    pub attempt: i64,
    /// What runs.
    pub script: StepScript,
    /// The earlier attempt that this one goes on from.
    pub resumes: Option<Resumed>,
    /// Whether the script asks to run without a transaction.
    pub transaction: Transaction,
    /// The checksum of what is applied.
    pub checksum: Option<Checksum>,
    /// What will take it back, to be stored.
    pub down: Option<Script>,
    /// Whether that asks to run without a transaction.
    pub down_transaction: Transaction,
}

/// Which way a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Applies.
    Up,
    /// Takes back.
    Down,
}

impl Direction {
    /// Returns the command that goes this way.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }
}

/// An attempt that ended in the middle of its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// The row of it.
    pub position: i64,
    /// How many statements are known to be in the database.
    pub statements_done: u64,
    /// What is known of the statement behind them.
    pub next: NextStatement,
}

/// What is known of the statement at which an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStatement {
    /// It failed, or was not begun.
    NotApplied,
    /// Its runner died, and it may have been at work.
    InFlight,
}

/// Where the script of a step is.
#[derive(Clone, Debug)]
pub enum StepScript {
    /// In the source.
    Source(Script),
    /// In the history, in the row at this position.
    Stored(i64),
}

/// A migration that a run has chosen, and the row that decided how it stood then.
///
/// When that row is no longer the deciding one, another runner has settled the migration, and this run leaves it
/// alone: two `down` at once revert one migration, not two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The migration.
    pub id: Id,
    /// The position of the deciding row, 0 for none.
    pub basis: i64,
}

/// Which migrations a command means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All that are pending, or all that are applied.
    All,
    /// So many.
    Steps(usize),
    /// `up`: this one and all before it. `down`: all that were applied after this one.
    To(Id),
    /// Exactly these, as far as nobody else has settled them.
    Pinned(Vec<Pin>),
}

/// The rules that a plan keeps.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What the database is called in hints.
    pub database: String,
    /// What to do about a pending migration that is older than an applied one.
    pub out_of_order: OutOfOrder,
    /// The environment, for migrations that are meant for some only.
    pub environment: Option<String>,
}

/// What to do about a pending migration that is older than an applied one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutOfOrder {
    /// Refuse to run anything.
    #[default]
    Refuse,
    /// Apply it and say so.
    Warn,
    /// Apply it.
    Allow,
}

/// Plans to apply what is pending.
///
/// # Errors
///
/// Every way in which files and history disagree.
pub fn up(migrations: &Migrations, history: &History, target: &Target, rules: &Rules) -> Result<Plan> {
    let chosen = pending(migrations, history, target, rules);
    let mut problems = left_half_done(history, &ids(&chosen), Direction::Up, rules);
    problems.extend(edited(migrations, history, rules));
    problems.extend(missing(migrations, history, rules));
    let late = out_of_order(migrations, history, rules);
    let mut warnings = Vec::new();
    match rules.out_of_order {
        OutOfOrder::Refuse => problems.extend(late),
        // It runs all the same, so the ways to get it run are no news.
        OutOfOrder::Warn => {
            warnings = late.into_iter().map(|problem| Problem { hint: None, ..problem }).collect()
        }
        OutOfOrder::Allow => {}
    }
    problems.extend(unmet(&chosen, history));
    Error::unless_empty(problems)?;

    let pins = chosen.iter().map(|migration| pin(&migration.id, history)).collect();
    let next = pending(migrations, history, &Target::Steps(chosen.len()), rules);
    let choice = choice(ids(&chosen) == ids(&next));
    Ok(Plan { steps: up_steps(&chosen, history), pins, choice, warnings })
}

fn ids<'a>(migrations: &[&'a Migration]) -> Vec<&'a Id> {
    migrations.iter().map(|migration| &migration.id).collect()
}

/// Returns the steps that [`up`] would plan if nothing stood in the way: their scripts are checked all the same, so that
/// what is wrong with them is told together with the rest.
#[must_use]
pub fn pending_steps(
    migrations: &Migrations,
    history: &History,
    target: &Target,
    rules: &Rules,
) -> Vec<Step> {
    up_steps(&pending(migrations, history, target, rules), history)
}

/// Returns the steps that apply migrations, first the one that is half done: nothing else may run before it is settled.
fn up_steps(chosen: &[&Migration], history: &History) -> Vec<Step> {
    let is_free = |step: &Step| !matches!(history.standing(&step.id.0), Standing::Started(_));
    let mut steps: Vec<Step> =
        chosen.iter().map(|migration| up_step(migration, history)).filter(is_free).collect();
    half_done_first(&mut steps, history);
    steps
}

fn half_done_first(steps: &mut [Step], history: &History) {
    steps.sort_by_key(|step| !matches!(history.standing(&step.id.0), Standing::Failed(_)));
}

/// Plans to take back what is applied, last first.
///
/// # Errors
///
/// Migrations that are half done, and those that nothing takes back.
pub fn down(migrations: &Migrations, history: &History, target: &Target, rules: &Rules) -> Result<Plan> {
    let chosen = applied(history, target);
    let ids: Vec<Id> = chosen.iter().map(|row| Id(row.migration.clone())).collect();
    let mut problems = left_half_done(history, &ids.iter().collect::<Vec<_>>(), Direction::Down, rules);
    problems.extend(target_not_applied(history, target));
    let mut steps = Vec::new();
    for row in &chosen {
        let migration = migrations.list.iter().find(|migration| migration.id.0 == row.migration);
        match down_step(row, migration, history) {
            Ok(step) => steps.push(step),
            Err(problem) => problems.push(problem),
        }
    }
    Error::unless_empty(problems)?;
    let pins = chosen.iter().map(|row| Pin { id: Id(row.migration.clone()), basis: row.position }).collect();
    steps.retain(|step| !matches!(history.standing(&step.id.0), Standing::Started(_)));
    half_done_first(&mut steps, history);
    Ok(Plan {
        steps,
        pins,
        choice: choice(chosen == applied(history, &Target::Steps(chosen.len()))),
        warnings: Vec::new(),
    })
}

/// Returns every way in which files and history disagree, for `verify`.
#[must_use]
pub fn disagreements(migrations: &Migrations, history: &History, rules: &Rules) -> Vec<Problem> {
    let mut problems = left_half_done(history, &[], Direction::Up, rules);
    problems.extend(edited(migrations, history, rules));
    problems.extend(missing(migrations, history, rules));
    if rules.out_of_order == OutOfOrder::Refuse {
        problems.extend(out_of_order(migrations, history, rules));
    }
    problems.extend(unmet(&pending(migrations, history, &Target::All, rules), history));
    problems
}

/// Returns a problem for each migration that could not be applied again once it is taken back.
#[must_use]
pub fn not_to_be_applied_again(migrations: &Migrations, ids: &[&Id], rules: &Rules) -> Vec<Problem> {
    let check = |id: &&Id| match migrations.list.iter().find(|migration| migration.id == **id) {
        None => Some(
            Problem::new(Name::FileMissing, format!("`{id}` cannot be applied again: its file is gone"))
                .hint(format!("to take it back for good, `whimbrel down {}`", rules.database)),
        ),
        Some(migration) if !is_meant_for(migration, rules.environment.as_deref()) => {
            let environments = migration.environments.join(", ");
            let message = format!("`{id}` cannot be applied again: it is meant for {environments}");
            Some(
                Problem::new(Name::Refused, message)
                    .at(Place::file(&migration.up.path))
                    .hint("name the environment with `--env`"),
            )
        }
        Some(_) => None,
    };
    ids.iter().filter_map(check).collect()
}

/// Returns whether a migration is meant for this environment.
#[must_use]
pub fn is_meant_for(migration: &Migration, environment: Option<&str>) -> bool {
    migration.environments.is_empty()
        || environment.is_some_and(|name| migration.environments.iter().any(|other| other == name))
}

fn choice(is_next_in_line: bool) -> Choice {
    if is_next_in_line { Choice::Stands } else { Choice::Overtaken }
}

fn pending<'a>(
    migrations: &'a Migrations,
    history: &History,
    target: &Target,
    rules: &Rules,
) -> Vec<&'a Migration> {
    let last = match target {
        Target::To(id) => migrations.list.iter().position(|migration| migration.id == *id),
        _ => None,
    };
    let steps = match target {
        Target::Steps(steps) => *steps,
        _ => usize::MAX,
    };
    let reach = last.map_or(migrations.list.len(), |last| last + 1);
    let is_chosen = |migration: &&Migration| match target {
        Target::Pinned(pins) => pins.contains(&pin(&migration.id, history)),
        _ => true,
    };
    migrations.list[..reach]
        .iter()
        .filter(|migration| is_meant_for(migration, rules.environment.as_deref()))
        // A row that is started or half done counts as what was before it: a second `up --steps 1` means the same one.
        .filter(|migration| history.settled_standing(&migration.id.0) == Standing::Pending)
        .filter(is_chosen)
        .take(steps)
        .collect()
}

/// Returns the deciding rows of what is to be taken back, last first.
fn applied<'a>(history: &'a History, target: &Target) -> Vec<&'a HistoryRow> {
    let settled =
        history.last_rows().rev().filter_map(|row| match history.settled_standing(&row.migration) {
            Standing::Applied(row) => Some(row),
            _ => None,
        });
    match target {
        Target::All => settled.collect(),
        Target::Steps(steps) => settled.take(*steps).collect(),
        Target::To(id) => settled.take_while(|row| row.migration != id.0).collect(),
        Target::Pinned(pins) => {
            let is_pinned = |row: &&HistoryRow| pins.contains(&pin(&Id(row.migration.clone()), history));
            settled.filter(is_pinned).collect()
        }
    }
}

/// Going back to a migration that is not applied would go back past the first one.
fn target_not_applied(history: &History, target: &Target) -> Option<Problem> {
    let Target::To(id) = target else { return None };
    let stands = matches!(history.settled_standing(&id.0), Standing::Applied(_));
    let message = format!("`{id}` is not applied, so nothing can be taken back to it");
    (!stands).then(|| {
        Problem::new(Name::MigrationUnknown, message).hint("`whimbrel status` shows what is applied")
    })
}

/// Returns the pin of a migration as it stands.
pub(crate) fn pin(id: &Id, history: &History) -> Pin {
    Pin { id: id.clone(), basis: history.settled_row(&id.0).map_or(0, |row| row.position) }
}

/// Returns the attempt that a step in this direction goes on from.
fn resumed(id: &str, direction: Direction, history: &History) -> Option<Resumed> {
    let row = history.unfinished(id)?;
    let next = match row.runner {
        Runner::Gone => NextStatement::InFlight,
        Runner::Supposed => NextStatement::NotApplied,
    };
    let resumed = Resumed { position: row.position, statements_done: row.statements_done, next };
    (row_direction(row) == direction).then_some(resumed)
}

fn up_step(migration: &Migration, history: &History) -> Step {
    Step {
        id: migration.id.clone(),
        direction: Direction::Up,
        attempt: history.next_attempt(&migration.id.0),
        script: StepScript::Source(migration.up.clone()),
        resumes: resumed(&migration.id.0, Direction::Up, history),
        transaction: migration.transaction,
        checksum: Some(migration.checksum),
        down: migration.down.clone(),
        down_transaction: migration.down_transaction,
    }
}

/// What takes a migration back: the script beside its file, or the stored one when the file is gone or was edited.
/// Of an edited migration the stored script is the one that belongs to what is in the database.
fn down_step(row: &HistoryRow, migration: Option<&Migration>, history: &History) -> Result<Step, Problem> {
    let unchanged = migration.filter(|migration| !is_edited(migration, row));
    let script = match (unchanged.and_then(|migration| migration.down.clone()), row.down) {
        (Some(script), _) => StepScript::Source(script),
        (None, StoredDown::Present) => StepScript::Stored(row.position),
        (None, StoredDown::Absent) => match migration.and_then(|migration| migration.down.clone()) {
            Some(script) => StepScript::Source(script),
            None => return Err(irreversible(row, migration)),
        },
    };
    Ok(Step {
        id: Id(row.migration.clone()),
        direction: Direction::Down,
        attempt: history.next_attempt(&row.migration),
        script,
        resumes: resumed(&row.migration, Direction::Down, history),
        transaction: migration.map_or(Transaction::Whole, |migration| migration.down_transaction),
        checksum: None,
        down: None,
        down_transaction: Transaction::Whole,
    })
}

/// Returns whether a migration's file is not what a row of the history says.
pub(crate) fn is_edited(migration: &Migration, row: &HistoryRow) -> bool {
    row.checksum.as_deref().is_some_and(|stored| !migration.checksum.agrees_with(stored))
}

fn edited(migrations: &Migrations, history: &History, rules: &Rules) -> Vec<Problem> {
    let check = |migration: &Migration| match history.standing(&migration.id.0) {
        Standing::Applied(row) if is_edited(migration, row) => Some(edited_problem(migration, row, rules)),
        _ => None,
    };
    migrations.list.iter().filter_map(check).collect()
}

fn edited_problem(migration: &Migration, row: &HistoryRow, rules: &Rules) -> Problem {
    let id = &migration.id;
    let then = row.checksum.as_deref().and_then(Checksum::parse);
    let then = then.map_or_else(|| row.checksum.clone().unwrap_or_default(), |checksum| checksum.short());
    let when = row.finished_at.as_deref().unwrap_or("at an unknown time");
    let problem = Problem::new(Name::EditedAfterApply, format!("`{id}` changed after it was applied"));
    Problem { migration: Some(id.0.clone()), ..problem }
    .at(Place::file(&migration.up.path))
    .fact(format!(
        "applied {when} with checksum {then}, the file now has {}",
        migration.checksum.short()
    ))
    .hint(format!(
        "restore the file and put the change in a new migration; to keep the edit, `whimbrel repair {} {id} \
             --accept-checksum`",
        rules.database
    ))
}

fn missing(migrations: &Migrations, history: &History, rules: &Rules) -> Vec<Problem> {
    let known: HashSet<&str> = migrations.list.iter().map(|migration| migration.id.0.as_str()).collect();
    let gone = history.applied().filter(|row| !known.contains(row.migration.as_str()));
    gone.map(|row| {
        let when = row.finished_at.as_deref().unwrap_or("at an unknown time");
        if let Some(migration) = migrations.list.iter().find(|migration| is_renamed(migration, row, history))
        {
            return renamed(migration, row, rules);
        }
        Problem::new(Name::FileMissing, format!("`{}` is applied and its file is gone", row.migration))
            .fact(format!("applied {when} by {}", row.applied_by))
            .hint("restore the file: was it renamed, or is it on another branch?")
    })
    .collect()
}

/// Returns whether the file of a migration that was never applied is the one of `row`.
fn is_renamed(migration: &Migration, row: &HistoryRow, history: &History) -> bool {
    row.checksum.is_some() && !is_edited(migration, row) && history.last_row(&migration.id.0).is_none()
}

fn renamed(migration: &Migration, row: &HistoryRow, rules: &Rules) -> Problem {
    let (then, now, database) = (&row.migration, &migration.id, &rules.database);
    let when = row.finished_at.as_deref().unwrap_or("at an unknown time");
    Problem::new(Name::Renamed, format!("`{then}` is applied, and its file is now called `{now}`"))
        .at(Place::file(&migration.up.path))
        .fact(format!("applied {when} by {}", row.applied_by))
        .hint(format!(
            "name it `{then}` again; to keep the new name, `whimbrel repair {database} {now} --applied`, then `whimbrel repair \
             {database} {then} --reverted`"
        ))
}

fn out_of_order(migrations: &Migrations, history: &History, rules: &Rules) -> Vec<Problem> {
    let stands = |migration: &&Migration| matches!(history.standing(&migration.id.0), Standing::Applied(_));
    let Some(newest) = migrations.list.iter().rev().find(stands) else {
        return Vec::new();
    };
    migrations
        .list
        .iter()
        .take_while(|migration| migration.id != newest.id)
        .filter(|migration| history.settled_standing(&migration.id.0) == Standing::Pending)
        // One that is half done was let in before, and only gets its end.
        .filter(|migration| !matches!(history.standing(&migration.id.0), Standing::Failed(_)))
        .filter(|migration| is_meant_for(migration, rules.environment.as_deref()))
        // One that got another name is told as that.
        .filter(|migration| {
            !history.applied().any(|row| {
                !migrations.list.iter().any(|other| other.id.0 == row.migration)
                    && is_renamed(migration, row, history)
            })
        })
        .map(|migration| {
            Problem::new(
                Name::OutOfOrder,
                format!("`{}` is pending and older than `{}`", migration.id, newest.id),
            )
            .at(Place::file(&migration.up.path))
            .fact(format!("`{}` is already applied", newest.id))
            .hint("give it a version after the newest one, or run it late with `--allow-out-of-order`")
        })
        .collect()
}

/// Returns a problem for each migration that is in the database in part and that `resumed` does not finish. Nothing runs
/// beside it.
fn left_half_done(history: &History, resumed: &[&Id], direction: Direction, rules: &Rules) -> Vec<Problem> {
    let is_resumed =
        |row: &&HistoryRow| row_direction(row) == direction && resumed.iter().any(|id| id.0 == row.migration);
    let left = history.half_done().filter(|row| !is_resumed(row));
    left.map(|row| half_done_problem(row, &rules.database)).collect()
}

/// Returns the problem of a migration that some statements of which are in the database.
#[must_use]
pub fn half_done_problem(row: &HistoryRow, database: &str) -> Problem {
    let (id, done, total) = (&row.migration, row.statements_done, row.statements_total);
    let direction = row_direction(row);
    let (message, state) = match row.runner {
        Runner::Supposed => (
            format!("{} stopped after {done} of {total} statements", attempt(id, direction)),
            format!("{}; nothing else runs until it is settled", statements_in(done, direction)),
        ),
        Runner::Gone => (
            format!("the run that was at work on `{id}` is gone"),
            format!(
                "{done} of {total} statements are noted as complete, statement {} may be in the database or not",
                done + 1
            ),
        ),
    };
    let who = match row.runner {
        Runner::Supposed => format!("attempt {} by {}", row.attempt, row.applied_by),
        Runner::Gone => {
            format!("{}, since {}", row.applied_by, row.started_at.as_deref().unwrap_or("an unknown time"))
        }
    };
    Problem::new(Name::PartlyApplied, message).fact(who).state(state).hint(ways_out(id, direction, database))
}

/// Returns how a half done migration gets settled.
pub(crate) fn ways_out(id: &str, direction: Direction, database: &str) -> String {
    let command = direction.command();
    format!(
        "`whimbrel {command} {database}` goes on from there; or settle it by hand and say so: `whimbrel repair {database} {id} \
         --applied` or `--reverted`"
    )
}

/// Returns what an attempt is called where it stopped.
pub(crate) fn attempt(id: &str, direction: Direction) -> String {
    match direction {
        Direction::Up => format!("`{id}`"),
        Direction::Down => format!("taking back `{id}`"),
    }
}

fn row_direction(row: &HistoryRow) -> Direction {
    match row.direction {
        whimbrel_adapter_api::RowDirection::Down => Direction::Down,
        _ => Direction::Up,
    }
}

fn statements_in(done: u64, direction: Direction) -> String {
    match (direction, done) {
        (Direction::Up, 0) => "no statement of it is known to be in the database".to_owned(),
        (Direction::Up, 1) => "its first statement is in the database".to_owned(),
        (Direction::Up, done) => format!("its statements 1-{done} are in the database"),
        (Direction::Down, 0) => "no statement of its down script is known to be done".to_owned(),
        (Direction::Down, 1) => "the first statement of its down script is done".to_owned(),
        (Direction::Down, done) => format!("statements 1-{done} of its down script are done"),
    }
}

fn unmet(chosen: &[&Migration], history: &History) -> Vec<Problem> {
    if chosen.iter().all(|migration| migration.depends.is_empty()) {
        return Vec::new();
    }
    let mut met: HashSet<&str> = chosen.iter().map(|migration| migration.id.0.as_str()).collect();
    met.extend(history.applied().map(|row| row.migration.as_str()));
    let check = |migration: &&Migration| {
        let needed = migration.depends.iter().find(|id| !met.contains(id.0.as_str()))?;
        let message = format!("`{}` depends on `{needed}`, which is not applied", migration.id);
        Some(Problem::new(Name::DependencyMissing, message).at(Place::file(&migration.up.path)))
    };
    chosen.iter().filter_map(check).collect()
}

fn irreversible(row: &HistoryRow, migration: Option<&Migration>) -> Problem {
    let problem = Problem::new(Name::Irreversible, format!("nothing takes `{}` back", row.migration));
    let problem = match migration {
        Some(migration) => problem.at(Place::file(&migration.up.path)),
        None => problem.fact("its file is gone, and the history stores no down script"),
    };
    problem.hint(format!("write `{}.down.sql`, or a header `-- Rollback: <sql>`", row.migration))
}

#[cfg(test)]
mod tests;
