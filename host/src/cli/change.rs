//! The commands that change a database: up, down, redo, repair, baseline.

use super::args;
use super::plan_file;
use super::target::{Context, Target, Wishes};
use crate::config::{Mode, OutOfOrder};
use crate::error::Result;
use crate::migrator::Settlement;
use crate::output::Output;
use crate::plan::{self, Direction};
use crate::source::Id;

/// `whimbrel up`.
pub(super) fn up(up: &args::Up, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let wishes = Wishes {
        out_of_order: up.allow_out_of_order.then_some(OutOfOrder::Allow),
        mode: up.batch.then_some(Mode::Batch).or(up.single_transaction.then_some(Mode::SingleTransaction)),
    };
    let database = up.database.database.as_deref();
    let mut target = if up.dry_run {
        context.open_for_reading_with(database, wishes, output)?
    } else {
        context.open_for_writing(database, wishes, output)?
    };
    let reach = match &up.plan {
        Some(file) => plan_file::check(file, &mut target)?,
        None => up_to(&up.reach, &target)?,
    };
    if up.dry_run {
        return preview(&mut target, Direction::Up, &reach, output);
    }
    let mut observer = context.interrupt.noting(output.observer());
    let report = target
        .change(context.interrupt, |migrator, connection| migrator.up(connection, &reach, &mut observer))?;
    output.report(&report);
    Ok(0)
}

/// `whimbrel down`.
pub(super) fn down(down: &args::Down, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let database = down.database.database.as_deref();
    let mut target = if down.dry_run {
        context.open_for_reading(database, output)?
    } else {
        context.open_for_writing(database, Wishes::default(), output)?
    };
    let reach = down_to(&down.reach, &target);
    if down.dry_run {
        return preview(&mut target, Direction::Down, &reach, output);
    }
    let mut observer = context.interrupt.noting(output.observer());
    let report = target
        .change(context.interrupt, |migrator, connection| migrator.down(connection, &reach, &mut observer))?;
    output.report(&report);
    Ok(0)
}

/// `whimbrel redo`.
pub(super) fn redo(redo: &args::Redo, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let mut target =
        context.open_for_writing(redo.database.database.as_deref(), Wishes::default(), output)?;
    let mut observer = context.interrupt.noting(output.observer());
    let report = target.change(context.interrupt, |migrator, connection| {
        migrator.redo(connection, redo.steps, &mut observer)
    })?;
    output.report(&report);
    Ok(0)
}

/// `whimbrel repair`.
pub(super) fn repair(repair: &args::Repair, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let (database, id) = names(&repair.names);
    let mut target = context.open_for_writing(database, Wishes::default(), output)?;
    let id = known_or_as_typed(id, &target);
    let chosen = &repair.settlement;
    let settlement = match (chosen.applied, chosen.reverted, chosen.resume_at) {
        (true, ..) => Settlement::Applied,
        (_, true, _) => Settlement::Reverted,
        (.., Some(statement)) => Settlement::ResumeAt(statement),
        _ => Settlement::AcceptChecksum,
    };
    target.migrator.repair(
        target.connection.as_mut(),
        &id,
        settlement,
        &mut context.interrupt.noting(output.observer()),
    )?;
    output.repaired(&id, settlement);
    Ok(0)
}

/// `whimbrel baseline`.
pub(super) fn baseline(baseline: &args::Baseline, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let (database, id) = names(&baseline.names);
    let mut target = context.open_for_writing(database, Wishes::default(), output)?;
    let id = target.migrator.migrations().find(id)?.id.clone();
    let taken = target.migrator.baseline(target.connection.as_mut(), &id)?;
    output.baselined(&taken);
    Ok(0)
}

fn preview(
    target: &mut Target,
    direction: Direction,
    reach: &plan::Target,
    output: &mut Output,
) -> Result<u8> {
    let preview = target.migrator.preview(target.connection.as_mut(), direction, reach)?;
    output.preview(&preview)?;
    Ok(0)
}

fn up_to(reach: &args::Reach, target: &Target) -> Result<plan::Target> {
    Ok(match (&reach.to, reach.steps) {
        (Some(id), _) => plan::Target::To(target.migrator.migrations().find(id)?.id.clone()),
        (None, Some(steps)) => plan::Target::Steps(steps),
        (None, None) => plan::Target::All,
    })
}

fn down_to(reach: &args::Reach, target: &Target) -> plan::Target {
    match (reach.to.as_deref(), reach.steps) {
        // Before the first one, unless a migration has this very version.
        (Some("0"), _) if target.migrator.migrations().find("0").is_err() => plan::Target::All,
        (Some(id), _) => plan::Target::To(known_or_as_typed(id, target)),
        (None, steps) => plan::Target::Steps(steps.unwrap_or(1)),
    }
}

/// A migration whose file is gone is known to the history alone, by its whole id.
fn known_or_as_typed(id: &str, target: &Target) -> Id {
    target.migrator.migrations().find(id).map_or_else(|_| Id(id.to_owned()), |migration| migration.id.clone())
}

/// The database is left out when it is the default one.
fn names(names: &[String]) -> (Option<&str>, &str) {
    match names {
        [database, id, ..] => (Some(database), id),
        [id] => (None, id),
        [] => (None, ""),
    }
}
