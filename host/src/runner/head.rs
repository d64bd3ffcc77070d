//! Composes what goes before and after a script.
//!
//! Every text comes from the session's dialect; here is only their order, which is the heart of the matter.

use std::time::Duration;

use sha2::{Digest, Sha256};
use whimbrel_adapter_api::{Class, Commit, Count, Head, Limits, Mode, NewRow, RowDirection, RowState, Text};

use super::Grouping;
use crate::error::{Name, Problem};
use crate::history::{self, HistoryRow, Session};
use crate::plan::{Direction, NextStatement, Step};
use crate::script::Treatment;
use crate::source::Script;

/// How long a stepwise batch is taken to be at work without a sign of life. Its marks renew it.
pub const LEASE: Duration = Duration::from_secs(30);

/// What all batches of a run have in common.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The limits for each statement.
    pub limits: Limits,
    /// Who runs it, for the history.
    pub applied_by: String,
    /// How the batches share turns and transactions.
    pub grouping: Grouping,
}

/// A step with everything that is needed to send it.
#[derive(Clone, Debug)]
pub struct Job {
    /// The step.
    pub step: Step,
    /// What runs: from the source, or read from the history.
    pub script: Script,
    /// How its script is run.
    pub treatment: Treatment,
    /// What tells later whether its statements were changed.
    pub statement_checksums: String,
    /// The text of the script that takes it back, to be stored.
    pub down_text: Option<String>,
}

/// The part of a transaction that an atomic batch is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    First,
    Middle,
    Last,
}

impl Part {
    fn of(index: usize, count: usize, grouping: Grouping) -> Self {
        match (grouping, index) {
            (Grouping::Strict | Grouping::Batch, _) => Part::Whole,
            _ if count == 1 => Part::Whole,
            (Grouping::SingleTransaction, 0) => Part::First,
            (Grouping::SingleTransaction, _) if index + 1 == count => Part::Last,
            (Grouping::SingleTransaction, _) => Part::Middle,
        }
    }
}

/// Returns the heads of jobs, of which the first takes `position` in the history, and each other one the next.
pub(super) fn all(
    jobs: &[Job],
    position: i64,
    session: &Session<'_>,
    settings: &Settings,
) -> Result<Vec<Head>, Problem> {
    let part = |index| Part::of(index, jobs.len(), settings.grouping);
    let heads = jobs.iter().zip(position..).enumerate();
    let mut heads = heads
        .map(|(index, (job, position))| of(job, position, part(index), session, settings))
        .collect::<Result<Vec<Head>, Problem>>()?;
    if settings.grouping == Grouping::SingleTransaction {
        enclose(&mut heads);
    }
    Ok(heads)
}

/// Puts the settings that belong around a transaction around all of it.
fn enclose(heads: &mut [Head]) {
    let mut outside = Vec::new();
    for setting in heads.iter_mut().flat_map(|head| std::mem::take(&mut head.outside)) {
        if !outside.contains(&setting) {
            outside.push(setting);
        }
    }
    if let Some(first) = heads.first_mut() {
        first.outside = outside;
    }
}

/// Returns the head of a job that takes `position` in the history.
fn of(
    job: &Job,
    position: i64,
    part: Part,
    session: &Session<'_>,
    settings: &Settings,
) -> Result<Head, Problem> {
    let statements = job.treatment.statements_left();
    let mut head = Head::new(attempt_name(session, position), job.treatment.mode, statements);
    let taken = [record(job, position, session, settings)?, take_over(job, session)?].concat();
    let done = Count::Beyond(job.treatment.already_done);
    head.preparation.clone_from(&job.treatment.scene);
    let finish = |state, done| {
        texts(session, &Text::Finish { history: &session.table, position, state, statements_done: done })
    };
    let settled = match job.step.direction {
        Direction::Up => RowState::Applied,
        Direction::Down => RowState::Reverted,
    };
    let reset = texts(session, &Text::ResetSession)?;
    let finished = finish(settled, Count::Exactly(job.treatment.statements))?;
    // The reset comes first: a script that emptied the search path or changed its role must reach neither our row
    // nor the next migration.
    head.settles = u32::try_from(reset.len()).ok();
    match job.treatment.mode {
        Mode::Atomic => {
            // The row goes in before the script: two runners collide here, before either has done any work.
            let limits = &settings.limits;
            let begin = match part {
                Part::Whole | Part::First => texts(session, &Text::Begin { limits })?,
                // The reset behind the script before this one has taken them back.
                Part::Middle | Part::Last => texts(session, &Text::Limit { limits })?,
            };
            head.opening = [begin, taken].concat();
            head.closing = [reset, finished].concat();
            match part {
                Part::Whole | Part::Last => head.closing.extend(texts(session, &Text::Commit)?),
                Part::First | Part::Middle => head.commit = Commit::Later,
            }
            head.outside.clone_from(&job.treatment.outside);
            if has_implicit_commits(session) {
                head.failed = finish(RowState::Failed, done)?;
            }
        }
        _ => {
            // Committed at once: whoever comes next must see that something is under way.
            let limits = texts(session, &Text::Limit { limits: &settings.limits })?;
            head.opening = [taken, limits].concat();
            let (history, statements_done) = (&session.table, done);
            head.mark =
                texts(session, &Text::Mark { history, position, statements_done, lease: LEASE })?.pop();
            head.closing = [reset.clone(), finished].concat();
            head.failed = finish(RowState::Failed, done)?;
            head.cleanup = reset;
        }
    }
    Ok(head)
}

/// Returns whether statements commit by themselves there. One that a procedure hides ends the transaction of an atomic
/// batch, and our row stays: a failure after it must be recorded.
fn has_implicit_commits(session: &Session<'_>) -> bool {
    session.rules.have(Class::ImplicitCommit)
}

/// Returns the head of a batch that only adds rows, and settles the row of a runner that is gone: baseline and repair.
pub(super) fn of_records(
    rows: &[NewRow<'_>],
    abandoned: Option<&HistoryRow>,
    mode: Mode,
    session: &Session<'_>,
) -> Result<Head, Problem> {
    let position = rows.first().map_or(0, |row| row.position);
    let mut head = Head::new(attempt_name(session, position), mode, 0);
    let mut changes = Vec::new();
    for row in rows {
        changes.extend(texts(session, &Text::Record { history: &session.table, row })?);
    }
    if let Some(row) = abandoned {
        changes.extend(give_up(row.position, row.statements_done, session)?);
    }
    bracket(&mut head, session, changes)?;
    Ok(head)
}

/// Returns the head of the batch that creates the history table.
pub(super) fn of_creation(session: &Session<'_>, mode: Mode) -> Result<Head, Problem> {
    let mut head = Head::new(attempt_name(session, 0), mode, 0);
    let create = texts(session, &Text::CreateHistory { history: &session.table })?;
    bracket(&mut head, session, create)?;
    Ok(head)
}

/// Returns the head around a script of the user's own that creates the history table. Its last text reads every
/// column, so that a table without them is rolled back.
pub(super) fn of_own_creation(session: &Session<'_>, treatment: &Treatment) -> Result<Head, Problem> {
    let mut head = Head::new(attempt_name(session, 0), treatment.mode, treatment.statements);
    bracket(&mut head, session, Vec::new())?;
    let history = &session.table;
    let read = [
        texts(session, &Text::History { history })?,
        texts(session, &Text::StatementChecksums { history, position: 0 })?,
    ]
    .concat();
    let before_commit = head.closing.len().saturating_sub(usize::from(treatment.mode == Mode::Atomic));
    head.closing.splice(before_commit..before_commit, read);
    Ok(head)
}

fn bracket(head: &mut Head, session: &Session<'_>, opening: Vec<String>) -> Result<(), Problem> {
    if head.mode == Mode::Atomic {
        head.opening = texts(session, &Text::Begin { limits: &Limits::default() })?;
        head.closing = texts(session, &Text::Commit)?;
    }
    head.opening.extend(opening);
    Ok(())
}

fn record(
    job: &Job,
    position: i64,
    session: &Session<'_>,
    settings: &Settings,
) -> Result<Vec<String>, Problem> {
    let checksum = job.step.checksum.as_ref().map(ToString::to_string);
    let mut row = NewRow::new(position, &job.step.id.0, job.step.attempt);
    row.direction = match job.step.direction {
        Direction::Up => RowDirection::Up,
        Direction::Down => RowDirection::Down,
    };
    row.checksum = checksum.as_deref();
    row.statements_done = job.treatment.already_done;
    row.statements_total = job.treatment.statements;
    row.statement_checksums = Some(&job.statement_checksums);
    row.lease = (job.treatment.mode == Mode::Stepwise).then_some(LEASE);
    row.down_script = job.down_text.as_deref();
    row.applied_by = &settings.applied_by;
    texts(session, &Text::Record { history: &session.table, row: &row })
}

/// Returns the texts that end the attempt which a job goes on from. Its runner is gone; should it come back all the same,
/// it finds its row settled.
fn take_over(job: &Job, session: &Session<'_>) -> Result<Vec<String>, Problem> {
    match &job.step.resumes {
        Some(resumed) if resumed.next == NextStatement::InFlight => {
            give_up(resumed.position, resumed.statements_done, session)
        }
        _ => Ok(Vec::new()),
    }
}

/// Returns the texts that settle the row of a runner that is gone.
fn give_up(position: i64, statements_done: u64, session: &Session<'_>) -> Result<Vec<String>, Problem> {
    let (history, state) = (&session.table, RowState::Failed);
    texts(
        session,
        &Text::Finish { history, position, state, statements_done: Count::Exactly(statements_done) },
    )
}

/// Returns a name that all runners give to the same attempt, unique on the server.
pub(crate) fn attempt_name(session: &Session<'_>, position: i64) -> String {
    let mut hash = Sha256::new();
    for part in [&session.facts.database, &session.facts.schema, &session.table.name] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("whimbrel:{hash}:{position}")
}

/// Returns the texts of the session's dialect.
pub(super) fn texts(session: &Session<'_>, text: &Text<'_>) -> Result<Vec<String>, Problem> {
    let unsupported = || {
        let what = match text {
            Text::Begin { .. } | Text::Limit { .. } => "a limit on the time of a statement",
            _ => "what is needed to keep a history",
        };
        Problem::new(Name::Unsupported, format!("the adapter does not have {what}"))
    };
    let texts = session.dialect.text(text).ok_or_else(unsupported)?;
    let may_be_none = matches!(text, Text::Limit { .. } | Text::ResetSession);
    // Nothing would keep two runs apart, or nothing would be recorded, and nobody would hear of it.
    if (texts.is_empty() && !may_be_none) || texts.iter().any(|text| text.trim().is_empty()) {
        return Err(history::misbehaved(
            "the adapter has an empty text where one is needed to keep a history",
        ));
    }
    Ok(texts)
}
