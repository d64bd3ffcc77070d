//! Runs the checks, one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use whimbrel_adapter_api::{Adapter, ConnectOptions};

use crate::bench::Bench;
use crate::checks::{self, Check};
use crate::finding::Finding;
use crate::report::{Checked, Report, Verdict};
use crate::victim::Victim;

/// How long a check may take. Far more than any needs: it is there for an adapter that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many checks may hang before the rest is given up.
const HANGS: usize = 3;

/// The checks, and what they are put to.
pub struct Suite {
    adapter: Arc<dyn Adapter>,
    options: ConnectOptions,
    victim: Option<Victim>,
    patience: Duration,
    part: Part,
    ending: Ending,
}

/// How much of the suite is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// What a migration needs to run at all: who the adapter is, sessions, scripts, reads, tables, the history, and a
    /// batch of either mode. For an adapter that is being written.
    Smoke,
}

impl Part {
    /// Returns the part in a word: `whole`, `smoke`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Part::Whole => "whole",
            Part::Smoke => "smoke",
        }
    }

    /// Returns how many checks there are in it.
    #[must_use]
    pub fn count(self) -> usize {
        checks::of(self).count()
    }
}

/// When the suite ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ending {
    /// After the last check.
    #[default]
    Last,
    /// After the first one that failed.
    FirstFailure,
}

impl Suite {
    /// Returns the suite for an adapter on the database that the options name.
    #[must_use]
    pub fn new(adapter: Arc<dyn Adapter>, options: ConnectOptions) -> Self {
        Suite {
            adapter,
            options,
            victim: None,
            patience: PATIENCE,
            part: Part::default(),
            ending: Ending::default(),
        }
    }

    /// Lets the suite start processes to kill. Without it the checks that need one are not run, and say so.
    #[must_use]
    pub fn with_victim(mut self, victim: Victim) -> Self {
        self.victim = Some(victim);
        self
    }

    /// Replaces the time that a check may take.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs a part of the suite.
    #[must_use]
    pub fn with_part(mut self, part: Part) -> Self {
        self.part = part;
        self
    }

    /// Ends the suite after the first check that failed.
    #[must_use]
    pub fn ending_at_first_failure(mut self) -> Self {
        self.ending = Ending::FirstFailure;
        self
    }

    /// Returns how many checks there are.
    #[must_use]
    pub fn count() -> usize {
        Part::Whole.count()
    }

    /// Runs the checks, and calls `heard` after each.
    ///
    /// A check has a thread of its own. Of one that does not come back the thread is left behind.
    pub fn run(self, heard: &mut dyn FnMut(&Checked)) -> Report {
        let Suite { adapter, options, victim, patience, part, ending } = self;
        let make = || Bench::new(adapter, options, victim);
        let mut report = Report::default();
        let bench = match guarded(make) {
            Ok(bench) => Arc::new(bench),
            Err(finding) => {
                let verdict = Verdict::Failed(finding);
                let checked = Checked { about: "identity", name: "it says who it is", verdict };
                heard(&checked);
                report.checks.push(checked);
                return report;
            }
        };
        let mut hangs = 0;
        for (about, check) in checks::of(part) {
            let verdict = match hangs {
                HANGS => Verdict::NotRun("too many checks before it have not come back"),
                _ => verdict(check, &bench, patience),
            };
            hangs += usize::from(verdict == Verdict::Failed(hanging(patience)));
            let checked = Checked { about, name: check.name, verdict };
            heard(&checked);
            let has_failed = matches!(checked.verdict, Verdict::Failed(_));
            report.checks.push(checked);
            if has_failed && ending == Ending::FirstFailure {
                break;
            }
        }
        report
    }
}

fn verdict(check: &'static Check, bench: &Arc<Bench>, patience: Duration) -> Verdict {
    let (answer, answered) = channel();
    let at_work = Arc::clone(bench);
    let work = move || {
        let verdict = guarded(|| (check.run)(&at_work)).and_then(|outcome| outcome);
        // Cleared before the answer, so that the next check meets none of it.
        let cleared = guarded(|| at_work.clear());
        // Nobody listens any more when it took too long.
        let _ = answer.send(verdict.and_then(|verdict| cleared.map(|()| verdict)));
    };
    let started = thread::Builder::new().name(check.name.to_owned()).spawn(work);
    if let Err(error) = started {
        return Verdict::Failed(Finding::new(format!("no thread could be started: {error}")));
    }
    match answered.recv_timeout(patience) {
        Ok(verdict) => verdict.unwrap_or_else(Verdict::Failed),
        Err(RecvTimeoutError::Timeout) => Verdict::Failed(hanging(patience)),
        Err(RecvTimeoutError::Disconnected) => Verdict::Failed(Finding::new("its thread ended unheard")),
    }
}

fn hanging(patience: Duration) -> Finding {
    Finding::new(format!("it has not come back after {} s", patience.as_secs_f32()))
}

/// Makes a finding of a panic.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Finding> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        // A payload may panic in its own `Drop`.
        std::mem::forget(panic);
        Finding::new(format!("it panicked: {}", text.unwrap_or_default()))
    })
}
