//! The commands that look at a database and leave no trace: status, plan, history, verify.

use super::args;
use super::plan_file;
use super::target::Context;
use crate::error::{Name, Result};
use crate::output::Output;
use crate::plan::{Direction, Target};
use crate::report::MigrationState;

/// What `status --exit-code` answers when migrations are pending.
const PENDING: u8 = 3;

/// `whimbrel status`.
pub(super) fn status(status: &args::Status, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let mut target = context.open_for_reading(status.database.database.as_deref(), output)?;
    let answer = target.migrator.status(target.connection.as_mut())?;
    output.status(&answer);
    let pending = status.exit_code && answer.count(MigrationState::Pending) > 0;
    Ok(if pending { PENDING } else { 0 })
}

/// `whimbrel plan`.
pub(super) fn plan(plan: &args::Plan, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let mut target = context.open_for_reading(plan.database.database.as_deref(), output)?;
    let preview = target.migrator.preview(target.connection.as_mut(), Direction::Up, &Target::All)?;
    match &plan.out {
        Some(file) => {
            plan_file::write(file, &preview)?;
            output.plan_written(file, &preview);
        }
        None => output.preview(&preview)?,
    }
    Ok(0)
}

/// `whimbrel history`.
pub(super) fn history(database: &args::Database, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let mut target = context.open_for_reading(database.database.as_deref(), output)?;
    let history = target.migrator.history(target.connection.as_mut())?;
    output.history(&history);
    Ok(0)
}

/// `whimbrel verify`.
pub(super) fn verify(database: &args::Database, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let mut target = context.open_for_reading(database.database.as_deref(), output)?;
    let problems = target.migrator.verify(target.connection.as_mut())?;
    output.verified(&problems);
    // The question was answered: no. That is 1, whatever code `up` would end with.
    Ok(if problems.is_empty() { 0 } else { Name::NotVerified.exit_code() })
}
