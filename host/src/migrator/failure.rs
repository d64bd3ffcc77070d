//! Turns the failure of a batch into a problem that says what happened, where, what the database is like now, and
//! what to do next.

use whimbrel_adapter_api::{Class, ErrorKind, Failure, Mode, Phase, Session as SessionState, State};

use super::Options;
use crate::error::{self, Name, Place, Problem};
use crate::history::{self, HistoryRow, Session, Trace};
use crate::plan::{self, Direction};
use crate::report::Settled;
use crate::runner::{self, Ending, Grouping, Job};
use crate::script::{self, Outline};
use crate::source::Id;

/// What stands around a job that failed.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// What this run has settled before.
    pub(super) done: &'a [Settled],
    /// Whether it was one transaction with others.
    pub(super) grouping: Grouping,
    /// How many jobs behind it were sent too, so that they may be in the database or not.
    pub(super) as_well: usize,
}

/// Returns the problem of a run that ended early.
pub(super) fn problem(
    ending: Ending,
    job: Option<&Job>,
    around: Around<'_>,
    session: &mut Session<'_>,
    options: &Options,
) -> Problem {
    let Some(job) = job else {
        return with_nothing_left(&ending).state(stays(around.done));
    };
    let problem = match ending {
        Ending::Unreadable(failure, problem) => {
            problem.at(Place::file(&job.script.path)).state(state(&failure, job, around))
        }
        Ending::Stopped(failure) => stopped(failure.as_ref(), job, around, options),
        Ending::Failed(failure) => failed(&failure, job, around, session, options),
        Ending::Done | Ending::FenceTaken(_) => {
            Problem::new(Name::Bug, "a run that did not fail was taken for one that did")
        }
    };
    Problem { migration: Some(job.step.id.0.clone()), ..problem }
}

/// Returns the problem of a run that failed although all of its migrations are settled: an adapter that goes on talking.
fn with_nothing_left(ending: &Ending) -> Problem {
    let problem = match ending {
        Ending::Failed(failure) => error::of_connection(&failure.error),
        _ => None,
    };
    problem.unwrap_or_else(|| Problem::new(Name::Bug, "a run ended early with nothing left to run"))
}

/// Returns the problem of a row that a living runner is at work on, for `verify`.
pub(super) fn under_way(row: &HistoryRow, database: &str) -> Problem {
    let began = row.started_at.as_deref().unwrap_or("at an unknown time");
    let message =
        format!("another run is at work on `{}` ({}, since {began})", row.migration, row.applied_by);
    Problem::new(Name::LockHeld, message)
        .hint(format!("look again with `whimbrel status {database}` when it is done"))
}

/// Returns the problem of a connection that was lost between two batches.
pub(super) fn lost(error: &whimbrel_adapter_api::Error) -> Problem {
    error::of_connection(error).unwrap_or_else(|| {
        Problem::new(Name::Connection, "the database does not answer").caused_by(error.message.clone())
    })
}

/// Returns what this run has changed for good.
pub(crate) fn stays(done: &[Settled]) -> String {
    let names = |direction| {
        let of = |settled: &&Settled| settled.direction == direction;
        done.iter().filter(of).map(|settled| format!("`{}`", settled.id)).collect::<Vec<_>>()
    };
    let (up, down) = (names(Direction::Up), names(Direction::Down));
    match (up.as_slice(), down.as_slice()) {
        ([], []) => "nothing was run".to_owned(),
        (up, []) => format!("{} applied in this run and {}", were(up), stay(up)),
        ([], down) => format!("{} taken back in this run and {} so", were(down), stay(down)),
        (up, down) => format!("{} taken back, then {} applied in this run", were(down), were(up)),
    }
}

fn were(names: &[String]) -> String {
    match names {
        [one] => format!("{one} was"),
        [all @ .., last] if all.len() <= 3 => format!("{} and {last} were", all.join(", ")),
        [first, .., last] => format!("{} migrations from {first} to {last} were", names.len()),
        [] => "nothing was".to_owned(),
    }
}

fn stay(names: &[String]) -> &'static str {
    if names.len() == 1 { "stays" } else { "stay" }
}

fn failed(
    failure: &Failure,
    job: &Job,
    around: Around<'_>,
    session: &mut Session<'_>,
    options: &Options,
) -> Problem {
    let error = &failure.error;
    let left = left_behind(failure, job, session);
    let id = &job.step.id;
    if is_of_history(failure) {
        let problem = history::unusable(&session.table, error, "write to").caused_by(error.message.clone());
        return Problem { sqlstate: error.sqlstate.clone(), ..problem }
            .fact(format!("`{id}` was about to begin"))
            .state(stays(around.done));
    }
    let problem = match (failure.state, error.kind) {
        (_, ErrorKind::Crashed) => crashed(error, job, options),
        _ if is_cut_short(failure, job) => cut_short(failure, job),
        _ if runner::is_left_in_part(failure, job) => left_in_part(failure, job),
        (State::InDoubt, _) => {
            Problem::new(Name::InDoubt, format!("the connection was lost while `{id}` was being committed"))
                .caused_by(error.message.clone())
        }
        (State::Committed, kind) if failure.committed > 0 && kind != ErrorKind::FenceTaken => {
            partly(failure, job)
        }
        (State::Committed, _) if !left.is_empty() => {
            let what = plan::attempt(&id.0, job.step.direction);
            Problem::new(
                Name::PartlyApplied,
                format!("{what} failed at its first statement, which left something behind"),
            )
            .caused_by(error.message.clone())
        }
        (_, ErrorKind::Panicked) => panicked(error, job, options),
        (_, ErrorKind::FenceTaken) => {
            Problem::new(Name::LockHeld, format!("another run has taken `{id}` over from this one"))
        }
        _ => match error::of_connection(error) {
            Some(problem) => problem,
            // Whether the database is as it was before cannot be said, and a program must not take it for granted.
            None if failure.state == State::Unknown => {
                Problem::new(Name::PartlyApplied, error.message.clone())
            }
            None => Problem::new(Name::Statement, error.message.clone()),
        },
    };
    let problem = locate(problem, failure, job, session);
    let problem = facts(problem, error);
    let state =
        left.iter().fold(state(failure, job, around), |state, trace| format!("{state}; {}", trace.what));
    let hint =
        if left.is_empty() { hint(failure, job, options) } else { hint_to_remove(&left, job, options) };
    Problem { sqlstate: error.sqlstate.clone(), ..problem }.state(state).hint(hint)
}

/// Returns what a statement has left behind although it failed. What cannot be read is not worth an error of its own.
fn left_behind(failure: &Failure, job: &Job, session: &mut Session<'_>) -> Vec<Trace> {
    let Phase::Statement(index) = failure.phase else { return Vec::new() };
    if failure.state != State::Committed || failure.error.session == SessionState::Lost {
        return Vec::new();
    }
    let statement = script::statement(&job.script, &session.rules, job.treatment.index_in_file(index));
    // What could run in a transaction leaves nothing when it fails.
    let Some(statement) = statement.filter(|statement| statement.class == Class::NoTransaction) else {
        return Vec::new();
    };
    let outline = Outline::scan(&job.script, &session.rules, &[]);
    let settings = outline.map(|outline| job.treatment.settings(index, &outline)).unwrap_or_default();
    let traces = session.traces(&statement.text, &settings, None).ok().flatten().unwrap_or_default();
    traces.into_iter().filter(|trace| trace.removal.is_some()).collect()
}

fn hint_to_remove(left: &[Trace], job: &Job, options: &Options) -> String {
    let removals: Vec<_> =
        left.iter().flat_map(|trace| &trace.removal).map(|removal| format!("`{removal}`")).collect();
    let command = format!("`whimbrel {} {}`", job.step.direction.command(), options.database);
    format!("fix what made it fail and run {command} again, which runs {} first", removals.join(", "))
}

fn panicked(error: &whimbrel_adapter_api::Error, job: &Job, options: &Options) -> Problem {
    let message = format!("the adapter `{}` panicked while running `{}`", options.adapter.name, job.step.id);
    Problem::new(Name::AdapterPanicked, message).caused_by(error.message.clone())
}

fn crashed(error: &whimbrel_adapter_api::Error, job: &Job, options: &Options) -> Problem {
    let message = format!("the adapter `{}` crashed while running `{}`", options.adapter.name, job.step.id);
    Problem::new(Name::AdapterCrashed, message).caused_by(error.message.clone())
}

fn partly(failure: &Failure, job: &Job) -> Problem {
    let (done, total) = (failure.committed, job.treatment.statements);
    let what = plan::attempt(&job.step.id.0, job.step.direction);
    let message = format!("{what} stopped after {done} of {total} statements, and they cannot be undone");
    Problem::new(Name::PartlyApplied, message).caused_by(failure.error.message.clone())
}

/// Returns whether the row of the history was refused, before the script had its turn.
fn is_of_history(failure: &Failure) -> bool {
    failure.phase == Phase::Opening
        && matches!(failure.error.kind, ErrorKind::Permission | ErrorKind::ReadOnly | ErrorKind::TableMissing)
}

/// Returns whether a script that runs step by step lost its session: what was under way may be in or not.
fn is_cut_short(failure: &Failure, job: &Job) -> bool {
    let lost = failure.error.session == SessionState::Lost && failure.error.kind != ErrorKind::Panicked;
    lost && job.treatment.mode == Mode::Stepwise && failure.state != State::RolledBack
}

fn cut_short(failure: &Failure, job: &Job) -> Problem {
    let what = plan::attempt(&job.step.id.0, job.step.direction);
    Problem::new(Name::PartlyApplied, format!("the connection was lost in the middle of {what}"))
        .caused_by(failure.error.message.clone())
}

fn left_in_part(failure: &Failure, job: &Job) -> Problem {
    let (number, total) = (failure.committed + 1, job.treatment.statements);
    let what = plan::attempt(&job.step.id.0, job.step.direction);
    let message =
        format!("{what} failed at statement {number} of {total}, of which a part may be in the database");
    Problem::new(Name::PartlyApplied, message).caused_by(failure.error.message.clone())
}

/// Returns what is known of a script that was cut short behind so many statements.
pub(super) fn may_be_in(done: u64, id: &Id, direction: Direction) -> String {
    let unsure = format!("statement {} and what follows may be in the database or not", done + 1);
    match done {
        0 => format!("`{id}` was begun: {unsure}"),
        done => format!("{}; {unsure}", in_part(done, id, direction)),
    }
}

/// Adds the place of the failing statement: the file, and the line and column that the server points at.
fn locate(problem: Problem, failure: &Failure, job: &Job, session: &Session<'_>) -> Problem {
    let script = &job.script;
    let Phase::Statement(index) = failure.phase else {
        return problem.at(Place::file(&script.path)).fact(whereabouts(failure, job));
    };
    // Nobody is left who could say which statement it was.
    if failure.error.kind == ErrorKind::Crashed {
        return problem.at(Place::file(&script.path));
    }
    let index = job.treatment.index_in_file(index);
    let byte = failure.error.position.unwrap_or(0);
    match script::locate(script, &session.rules, index, byte) {
        Some(place) => problem.at(place),
        None => problem.at(Place::file(&script.path)),
    }
}

fn whereabouts(failure: &Failure, job: &Job) -> String {
    match failure.phase {
        Phase::Opening => "before its first statement".to_owned(),
        // A mark: the statement before it is done, and could not be noted.
        Phase::Closing if failure.completed < job.treatment.statements => {
            format!("after its statement {}, when that was noted in the history", failure.completed)
        }
        Phase::Closing => "after its last statement".to_owned(),
        Phase::Commit => "at its commit".to_owned(),
        _ => "on its way to the server".to_owned(),
    }
}

fn facts(problem: Problem, error: &whimbrel_adapter_api::Error) -> Problem {
    let problem = match &error.detail {
        Some(detail) => problem.fact(detail),
        None => problem,
    };
    match &error.hint {
        Some(hint) if problem.hint.is_none() => problem.fact(format!("the server's advice: {hint}")),
        _ => problem,
    }
}

fn state(failure: &Failure, job: &Job, around: Around<'_>) -> String {
    let id = &job.step.id;
    let this = match (failure.state, job.step.direction) {
        _ if is_cut_short(failure, job) => may_be_in(failure.committed, id, job.step.direction),
        (_, direction) if runner::is_left_in_part(failure, job) => format!(
            "{}; a part of statement {} may be; nothing else runs until it is settled",
            in_part(failure.committed, id, direction),
            failure.committed + 1
        ),
        (State::RolledBack, direction) if job.treatment.already_done > 0 => {
            format!("{}, as before", in_part(job.treatment.already_done, id, direction))
        }
        (State::RolledBack, Direction::Up) => format!("`{id}` was rolled back"),
        (State::RolledBack, Direction::Down) => still_applied(id),
        (State::Committed, Direction::Up) if failure.committed == 0 => {
            format!("no statement of `{id}` is in the database")
        }
        (State::Committed, Direction::Down) if failure.committed == 0 => {
            format!("`{id}` is still applied; no statement of its down script was done")
        }
        (State::Committed, direction) => {
            format!("{}; nothing else runs until it is settled", in_part(failure.committed, id, direction))
        }
        (State::Open, _) => {
            format!("the transaction of `{id}` is still open on the server, which ends it with the session")
        }
        (State::InDoubt, Direction::Up) => {
            format!("`{id}` is either applied or not there at all; the next run knows")
        }
        (State::InDoubt, Direction::Down) => {
            format!("`{id}` is either taken back or still applied; the next run knows")
        }
        _ => format!("unknown for `{id}`"),
    };
    let others = match (around.grouping, failure.state, around.as_well) {
        (Grouping::SingleTransaction, State::RolledBack, _) => {
            Some("everything else of its transaction was rolled back too".to_owned())
        }
        (Grouping::SingleTransaction, _, _) => {
            Some("the same is true of everything else of its transaction".to_owned())
        }
        (_, _, 0) => None,
        (_, _, 1) => Some("the same is true of the migration behind it".to_owned()),
        (_, _, count) => Some(format!("the same is true of the {count} migrations behind it")),
    };
    let before = (!around.done.is_empty()).then(|| stays(around.done));
    [Some(this), others, before].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn still_applied(id: &Id) -> String {
    format!("`{id}` is still applied; what its down script did was rolled back")
}

/// Returns which statements of a script are in the database for good.
pub(super) fn in_part(count: u64, id: &Id, direction: Direction) -> String {
    let (statements, are) = match count {
        0 => ("no statement".to_owned(), "is known to be"),
        1 => ("statement 1".to_owned(), "is"),
        count => (format!("statements 1-{count}"), "are"),
    };
    match direction {
        Direction::Up => format!("{statements} of `{id}` {are} in the database"),
        Direction::Down => format!("{statements} of the down script of `{id}` {are} done"),
    }
}

fn hint(failure: &Failure, job: &Job, options: &Options) -> String {
    let (id, database) = (&job.step.id, &options.database);
    let command = job.step.direction.command();
    let again = format!("`whimbrel {command} {database}`");
    match (failure.state, failure.error.kind) {
        _ if is_cut_short(failure, job) => {
            format!(
                "the server may still be at work on it; {again} waits for that, and looks how far it came"
            )
        }
        (_, ErrorKind::Crashed) => {
            format!(
                "{again} looks at the history and goes on from there; report this to the adapter's author"
            )
        }
        _ if runner::is_left_in_part(failure, job) => {
            let (number, next) = (failure.committed + 1, failure.committed + 2);
            format!(
                "take away what is in of statement {number} and say so: `whimbrel repair {database} {id} --resume-at {number}`; \
                 or add by hand what is missing, and say `--resume-at {next}`; then go on with {again}"
            )
        }
        (State::InDoubt, _) => format!("{again} looks at the history and goes on from there"),
        (_, ErrorKind::FenceTaken) => {
            format!("let the other run finish; {again} does what is left")
        }
        (State::Committed, _) if failure.committed > 0 => format!(
            "fix statement {} and run {again} again, which goes on there; or settle it by hand and say so: `whimbrel repair \
             {database} {id} --applied` or `--reverted`",
            failure.committed + 1
        ),
        (_, ErrorKind::Panicked) => format!(
            "run `whimbrel verify {database}` before anything else, and report this to the adapter's author"
        ),
        (State::Unknown, _) => format!("run `whimbrel verify {database}` before anything else"),
        (_, ErrorKind::TransactionEnded) => "take COMMIT and ROLLBACK out of the script".to_owned(),
        (_, ErrorKind::LockTimeout) => {
            format!("somebody holds a lock; run {again} again, or allow more with `--lock-timeout`")
        }
        (_, ErrorKind::Deadlock | ErrorKind::Serialization) => {
            format!("other sessions keep getting in its way; run {again} again when they are done")
        }
        (_, ErrorKind::StatementTimeout) => format!("allow more with `--statement-timeout`, then {again}"),
        (_, ErrorKind::DiskFull) => format!("make room for the database, then run {again} again"),
        (_, ErrorKind::ConnectionLost) => format!("run {again} again"),
        _ => format!("fix the file and run {again} again"),
    }
}

fn stopped(failure: Option<&Failure>, job: &Job, around: Around<'_>, options: &Options) -> Problem {
    let id = &job.step.id;
    let problem = match failure {
        Some(failure) if failure.committed > 0 => {
            Problem::new(Name::Interrupted, format!("interrupted in the middle of `{id}`"))
                .state(state(failure, job, around))
                .hint(hint(failure, job, options))
        }
        Some(failure) => Problem::new(Name::Interrupted, format!("interrupted in `{id}`"))
            .state(state(failure, job, around)),
        None => {
            Problem::new(Name::Interrupted, format!("interrupted before `{id}`")).state(stays(around.done))
        }
    };
    match problem.hint {
        Some(_) => problem,
        None => problem.hint("the next run goes on from there"),
    }
}
