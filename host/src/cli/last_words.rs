//! What is said when an adapter does not come back, and the end of the process.
//!
//! [`overdue`](super::overdue) decides when; [`calls`](super::calls) knows what was under way.
//!
//! Cleans nothing up: a thread that hangs in a plugin cannot be ended, and whatever it holds ends with the process. The
//! next run finds out from the history what became of it.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use signal_hook::consts::SIGTERM;

use super::Answer;
use super::calls::{Allowed, Begun, End, Notes, Silence};
use super::overdue::{GRACE, Overdue};
use crate::error::{Error, Name, Problem};
use crate::migrator;
use crate::output::Output;
use crate::plan::Direction;

/// How long the words may take. They may stand behind others in a pipe that nobody reads.
const SPEAKING: Duration = Duration::from_secs(1);

/// What is at stake in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stake {
    /// Nothing: it only reads.
    Nothing,
    /// Migrations.
    Migrations,
    /// A record in the history, and nothing else.
    Record,
}

/// Everything that has to be said of a command.
pub(super) struct LastWords {
    pub(super) output: Output,
    pub(super) answer: Answer,
    pub(super) adapter: String,
    pub(super) database: String,
    pub(super) stake: Stake,
}

impl LastWords {
    /// Says that the adapter does not come back, and ends the process.
    pub(super) fn give_up(&self, overdue: Overdue, notes: &Notes) -> ! {
        self.end(self.told(self.of_overdue(overdue, notes), notes))
    }

    /// Returns the problem of an adapter that does not come back.
    pub(super) fn of_overdue(&self, overdue: Overdue, notes: &Notes) -> Problem {
        let adapter = &self.adapter;
        match overdue {
            Overdue::Signalled(signal) => {
                let what = format!("{}, and the adapter `{adapter}` does not come back", interrupted(notes));
                Problem::new(named(signal), what).fact(format!("waited {} s for it", GRACE.as_secs()))
            }
            Overdue::Silent(silence) | Overdue::SilentForGood(silence) => {
                let from = notes.migration().map(|begun| format!(" from `{}`", begun.id));
                let what = format!("the adapter `{adapter}` does not come back{}", from.unwrap_or_default());
                Problem::new(Name::AdapterHangs, what).fact(silent(silence)).fact("cancelling did not help")
            }
        }
    }

    /// Says what a second signal leaves behind, and ends the process.
    pub(super) fn end_at_once(&self, signal: i32, notes: &Notes) -> ! {
        let problem = Problem::new(named(signal), format!("{}, twice: ended at once", interrupted(notes)));
        self.end(self.told(problem, notes))
    }

    /// Returns the problem of an attempt to connect that does not end.
    pub(super) fn never_connected(&self, waited: Duration, url: &str) -> Problem {
        let message = format!("the adapter `{}` does not come back from connecting to {url}", self.adapter);
        Problem::new(Name::Connection, message)
            .fact(format!("waited {} s", waited.as_secs()))
            .state("nothing was changed")
            .hint("is there a shorter time limit for connecting, in the url? if not, report this to the adapter's author")
    }

    /// Returns what is to be said of a session that does not end, if it does not.
    pub(super) fn of_the_end(&self, notes: &Notes) -> Option<Problem> {
        let message = format!("the adapter `{}` does not come back from ending its session", self.adapter);
        (notes.end == End::Hangs)
            .then(|| Problem::new(Name::AdapterHangs, message).hint("report this to the adapter's author"))
    }

    fn told(&self, problem: Problem, notes: &Notes) -> Error {
        let problem = match notes.migration() {
            Some(begun) => Problem { migration: Some(begun.id.0.clone()), ..problem.at(begun.place.clone()) },
            None => problem,
        };
        let hint = self.hint(problem.name, notes);
        let problem = Problem { hint, ..problem.state(self.state(notes)) };
        Error { problems: vec![problem], done: notes.done.clone() }
    }

    fn state(&self, notes: &Notes) -> String {
        let stays = migrator::stays(&notes.done);
        match (self.stake, notes.migration()) {
            (Stake::Nothing, _) => "nothing was changed".to_owned(),
            (Stake::Record, _) => "it is either recorded or not".to_owned(),
            (Stake::Migrations, None) => stays,
            (Stake::Migrations, Some(begun)) => {
                let behind = match notes.begun.len() - 1 {
                    0 => String::new(),
                    1 => " and the migration behind it".to_owned(),
                    count => format!(" and the {count} migrations behind it"),
                };
                let unknown = format!(
                    "unknown for {}{behind}, which may still be at work on the server",
                    script(begun)
                );
                if notes.done.is_empty() { unknown } else { format!("{unknown}; {stays}") }
            }
        }
    }

    fn hint(&self, name: Name, notes: &Notes) -> Option<String> {
        let database = &self.database;
        let look = match (self.stake, notes.migration()) {
            (Stake::Migrations, Some(_)) => {
                Some(format!("run `whimbrel verify {database}` before anything else"))
            }
            (Stake::Record, _) => {
                Some(format!("look at `whimbrel history {database}`, and run it again if it is not there"))
            }
            _ => None,
        };
        let report = (name == Name::AdapterHangs).then(|| "report this to the adapter's author".to_owned());
        let parts: Vec<String> = look.into_iter().chain(report).collect();
        (!parts.is_empty()).then(|| parts.join(", and "))
    }

    /// Speaks on a thread of its own, which another one may keep from coming to its end.
    fn end(&self, error: Error) -> ! {
        let code = i32::from(error.exit_code());
        let (output, answer) = (self.output.for_another_thread(), self.answer);
        let (told, ended) = mpsc::channel();
        thread::spawn(move || told.send(answer.show(&error, &output)));
        // Whether they were heard or not, the process ends now.
        let _ = ended.recv_timeout(SPEAKING);
        std::process::exit(code)
    }
}

/// Returns why something was cancelled that nobody asked to stop.
pub(super) fn silent(silence: Silence) -> String {
    let silent = format!("nothing was heard of it for {} s", silence.lasted.as_secs());
    match silence.allowed {
        Allowed::Batch(_) => format!("{silent}, much longer than the statement timeout allows"),
        Allowed::Question(_) | Allowed::Unlimited => silent,
    }
}

fn named(signal: i32) -> Name {
    if signal == SIGTERM { Name::Terminated } else { Name::Interrupted }
}

fn interrupted(notes: &Notes) -> String {
    match notes.migration() {
        Some(begun) => format!("interrupted in {}", script(begun)),
        None => "interrupted".to_owned(),
    }
}

fn script(begun: &Begun) -> String {
    match begun.direction {
        Direction::Up => format!("`{}`", begun.id),
        Direction::Down => format!("the down script of `{}`", begun.id),
    }
}
