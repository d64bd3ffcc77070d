//! Runs a plan.
//!
//! Hands the adapter one batch per migration and hears how it went. The history row goes in with the work, in the same
//! transaction where there is one; whatever two runners do, they collide on its position, and the loser reads the
//! history again.
//!
//! Takes scripts as readers and knows no file, configuration or terminal.

mod clock;
mod feed;
mod head;
mod patience;

use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use whimbrel_adapter_api::{
    Count, ErrorKind, Failure, Mode, NewRow, Notice, Phase, Session as SessionState, State, Text,
};

use crate::error::{Name, Place, Problem, Result};
use crate::history::{self, History, HistoryRow, Session};
use crate::script::{self, Treatment};
use crate::source::Script;

// Who hears of a job may have to know whether the limits of its settings hold.
pub use crate::script::OwnSettings;
pub use clock::{Clock, SystemClock};
pub(crate) use head::attempt_name;
pub use head::{Job, LEASE, Settings};
pub use patience::{Patience, Waited};

/// Opens the scripts of a run.
pub trait Scripts {
    /// Opens the script of a job for reading from its start. The reader fails at its end when the script is not what
    /// was planned.
    ///
    /// # Errors
    ///
    /// The system's.
    fn open(&self, job: &Job) -> io::Result<Box<dyn Read + Send>>;
}

/// Hears how a run goes.
pub trait Observer {
    /// A job begins.
    fn started(&mut self, _job: &Job) {}
    /// A job has come this far.
    fn progress(&mut self, _job: &Job, _statements: u64, _bytes: u64) {}
    /// The server says something.
    fn notice(&mut self, _job: &Job, _notice: &Notice) {}
    /// A job is complete.
    fn finished(&mut self, _job: &Job, _duration: Duration) {}
    /// A job was rolled back by something that passes, and runs again.
    fn retrying(&mut self, _job: &Job, _error: &str) {}
    /// These statements are about to change the history, and nothing else.
    fn recording(&mut self, _statements: &[String]) {}
    /// Another runner is at work, and this one waits for it.
    fn waiting(&mut self, _for_whom: &str) {}
    /// Something the user should hear, although it stops nothing.
    fn warning(&mut self, _problem: &Problem) {}
}

/// An observer that is not interested.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// The request to stop a run, made from another thread.
#[derive(Debug, Default)]
pub struct Cancellation {
    asked: Mutex<bool>,
    told: Condvar,
}

impl Cancellation {
    /// Asks the run to stop.
    pub fn cancel(&self) {
        *self.asked() = true;
        self.told.notify_all();
    }

    /// Returns whether the run was asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.asked()
    }

    /// Waits for the request, but no longer than `duration`.
    pub fn wait(&self, duration: Duration) {
        let waited = self.told.wait_timeout_while(self.asked(), duration, |asked| !*asked);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn asked(&self) -> MutexGuard<'_, bool> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the jobs of a run share turns and transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    /// Each is settled before the next one is sent.
    #[default]
    Strict,
    /// Many are sent at once, as far as the adapter's protocol allows. Each is still for itself.
    Batch,
    /// All are one transaction.
    SingleTransaction,
}

/// How a run ended.
#[derive(Debug)]
#[must_use]
pub struct Outcome {
    /// How many of the jobs are complete, and how long each took.
    pub finished: Vec<Duration>,
    /// Why there are not more.
    pub ending: Ending,
    /// The number of the job that the ending is about.
    pub at: usize,
    /// How many jobs behind that one were sent too, so that they may be in the database or not.
    pub as_well: usize,
}

/// Why a run ended.
#[derive(Debug)]
pub enum Ending {
    /// Everything is done.
    Done,
    /// Another runner was first: read the history again.
    FenceTaken(Failure),
    /// The run was asked to stop.
    Stopped(Option<Failure>),
    /// A script could not be read, or is not what was planned.
    Unreadable(Failure, Problem),
    /// A job failed.
    Failed(Failure),
}

/// Runs `jobs` in order, each at the next position of the history.
///
/// # Errors
///
/// Texts that the adapter does not have. What fails on the server is an [`Ending`].
pub fn run(
    jobs: &[Job],
    history: &History,
    session: &mut Session<'_>,
    settings: &Settings,
    scripts: &dyn Scripts,
    observer: &mut dyn Observer,
    cancellation: &Cancellation,
) -> Result<Outcome> {
    let heads = head::all(jobs, history.last_position() + 1, session, settings)?;
    let feed = feed::Feed {
        jobs,
        heads: heads.into(),
        rules: session.rules.clone(),
        scripts,
        cancellation,
        grouping: settings.grouping,
    };
    let outcome = feed.run(session, observer);
    if let (Ending::Failed(failure), Some(job)) = (&outcome.ending, jobs.get(outcome.at))
        && is_left_in_part(failure, job)
    {
        let position = history.last_position() + 1 + outcome.at as i64;
        end_lease(position, failure.committed, session);
    }
    Ok(outcome)
}

/// Returns whether a statement failed of which a part may be in the database: its row is still `started`.
pub(crate) fn is_left_in_part(failure: &Failure, job: &Job) -> bool {
    failure.state == State::Unknown
        && failure.error.session == SessionState::Usable
        && job.treatment.mode == Mode::Stepwise
        && matches!(failure.phase, Phase::Statement(_))
}

/// Gives up the lease of a row that stays as it is: nobody is at work on it any more.
fn end_lease(position: i64, statements_done: u64, session: &mut Session<'_>) {
    let (history, statements_done, lease) = (&session.table, Count::Exactly(statements_done), Duration::ZERO);
    let texts = session.dialect.text(&Text::Mark { history, position, statements_done, lease });
    for text in texts.unwrap_or_default() {
        // It ends by itself too, after a while.
        let _ = session.connection.execute_raw(&text);
    }
}

/// Creates the history table, by the adapter's text or by the user's own script.
///
/// # Errors
///
/// The server's.
pub fn create_history(
    session: &mut Session<'_>,
    mode: Mode,
    own: Option<(&Script, &Treatment, Box<dyn Read + Send>)>,
) -> Result<Recorded> {
    let own_script = own.as_ref().map(|(script, treatment, _)| (*script, *treatment));
    let (head, script) = match own {
        Some((_, treatment, reader)) => {
            (head::of_own_creation(session, treatment)?, Some((treatment, reader)))
        }
        None => (head::of_creation(session, mode)?, None),
    };
    match feed::run_one(head, script, session) {
        Ok(()) => Ok(Recorded::Yes),
        Err(failure) if is_anothers(&failure) => Ok(Recorded::FenceTaken),
        Err(failure) => Err(cannot_create(&failure, own_script, session).into()),
    }
}

/// Adds rows to the history without running anything, and settles the row of a runner that is gone: all of it or nothing,
/// where `mode` is one transaction, else one after the other.
///
/// # Errors
///
/// The server's.
pub fn record(
    rows: &[NewRow<'_>],
    abandoned: Option<&HistoryRow>,
    mode: Mode,
    session: &mut Session<'_>,
    observer: &mut dyn Observer,
) -> Result<Recorded> {
    let head = head::of_records(rows, abandoned, mode, session)?;
    observer.recording(&[head.opening.clone(), head.closing.clone()].concat());
    match feed::run_one(head, None, session) {
        Ok(()) => Ok(Recorded::Yes),
        Err(failure) if is_anothers(&failure) => Ok(Recorded::FenceTaken),
        Err(failure) => Err(not_recorded(&failure, session).into()),
    }
}

/// Whether something was added to the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It was.
    Yes,
    /// Another runner was first: read the history again.
    FenceTaken,
}

/// Returns whether a failed batch tells that another runner took its position.
fn is_fence_taken(failure: &Failure) -> bool {
    failure.phase == Phase::Opening && failure.error.kind == ErrorKind::FenceTaken
}

/// Returns whether a batch that is no migration failed because of another run. Where nobody waits for a lock, that is found
/// out as late as at the commit.
fn is_anothers(failure: &Failure) -> bool {
    let taken_back = failure.state == State::RolledBack;
    match failure.error.kind {
        ErrorKind::FenceTaken => true,
        ErrorKind::Serialization | ErrorKind::Deadlock => taken_back,
        _ => false,
    }
}

fn not_recorded(failure: &Failure, session: &Session<'_>) -> Problem {
    let problem = crate::error::of_connection(&failure.error).unwrap_or_else(|| {
        let problem = history::unusable(&session.table, &failure.error, "write to");
        let problem = problem.caused_by(failure.error.message.clone());
        Problem { sqlstate: failure.error.sqlstate.clone(), ..problem }
    });
    match failure.state {
        State::RolledBack => problem,
        _ => problem
            .state("it is either recorded or not: the connection was lost while it was being committed")
            .hint("look at `whimbrel history`, and run it again if it is not there"),
    }
}

fn cannot_create(failure: &Failure, own: Option<(&Script, &Treatment)>, session: &Session<'_>) -> Problem {
    if let Some(problem) = crate::error::of_connection(&failure.error) {
        return problem.state("no migration was run");
    }
    let message = format!("cannot create the history table `{}`", session.table);
    let problem = Problem::new(Name::HistoryUnreadable, message).caused_by(failure.error.message.clone());
    let problem = Problem { sqlstate: failure.error.sqlstate.clone(), ..problem };
    let Some((script, treatment)) = own else { return problem };
    let place = match failure.phase {
        Phase::Statement(index) => {
            let byte = failure.error.position.unwrap_or(0);
            let index = treatment.index_in_file(index);
            script::locate(script, &session.rules, index, byte)
        }
        _ => None,
    };
    let problem = problem.at(place.unwrap_or_else(|| Place::file(&script.path)));
    match failure.phase {
        Phase::Closing => {
            problem.hint("the table that this file creates must have the name and columns of the history")
        }
        _ => problem,
    }
}

#[cfg(test)]
mod tests;
