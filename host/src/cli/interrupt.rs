//! Ctrl-C and SIGTERM: the running statement is cancelled, the rest rolled back. A second one ends at once.
//!
//! Listened for from the first attempt to connect. Before that there is nothing to take back, and the signal ends the
//! process by itself.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use whimbrel_adapter_api::Canceller;

use crate::error::{Error, Name, Problem};
use crate::runner::Cancellation;

const NOTHING_CHANGED: &str = "nothing was changed";

/// The signal that came, and what it ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    signal: Option<i32>,
    reaction: Option<Box<dyn FnOnce() + Send>>,
}

impl Interrupt {
    /// Listens for signals for the rest of the process.
    pub(super) fn watch(&self) -> Result<(), Problem> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| {
            Problem::new(Name::Bug, "cannot listen for signals").caused_by(error.to_string())
        })?;
        let interrupt = self.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                let mut state = interrupt.state();
                if state.signal.replace(signal).is_some() {
                    std::process::exit(128 + signal);
                }
                if let Some(reaction) = state.reaction.take() {
                    reaction();
                }
            }
        });
        Ok(())
    }

    /// Does work that may be left standing at any moment, and does not wait for its end once a signal comes.
    pub(super) fn unless_signalled<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (answers, answer) = mpsc::channel();
        let signalled = answers.clone();
        // Nobody listens any more when the work was quicker.
        self.react(move || drop(signalled.send(None)));
        thread::spawn(move || answers.send(Some(catch_unwind(AssertUnwindSafe(work)))));
        match answer.recv() {
            Ok(Some(answer)) => Ok(answer.unwrap_or_else(|panic| resume_unwind(panic))),
            Ok(None) | Err(mpsc::RecvError) => {
                Err(Problem::new(Name::Interrupted, "interrupted while connecting").state(NOTHING_CHANGED))
            }
        }
    }

    /// From now on a signal stops the run between two statements, and cancels the one that is running.
    pub(super) fn cancels(&self, cancellation: Arc<Cancellation>, canceller: Arc<dyn Canceller>) {
        self.react(move || {
            cancellation.cancel();
            cancel_until_the_end(canceller);
        });
    }

    /// Says by which signal a command was stopped, which decides the exit code.
    pub(super) fn name(&self, mut error: Error) -> Error {
        let Some(signal) = self.state().signal else { return error };
        for problem in &mut error.problems {
            // What was cancelled while it read or wrote the history says only that it could not.
            if problem.name == Name::HistoryUnreadable {
                let state = problem.state.take().unwrap_or_else(|| NOTHING_CHANGED.to_owned());
                let cause = problem.cause.take();
                *problem = Problem { cause, ..Problem::new(Name::Interrupted, "interrupted").state(state) };
            }
            if problem.name == Name::Interrupted && signal == SIGTERM {
                problem.name = Name::Terminated;
            }
        }
        error
    }

    /// Sets what the signal does, which is done at once if it has come already.
    fn react(&self, reaction: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        match state.signal {
            Some(_) => reaction(),
            None => state.reaction = Some(Box::new(reaction)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A reaction that panicked leaves nothing half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("State").field("signal", &self.signal).finish_non_exhaustive()
    }
}

/// Asks again and again: a request that arrives between two statements reaches neither, and the second may be long.
/// Seldom enough to leave the texts in peace that end the migration afterwards.
fn cancel_until_the_end(canceller: Arc<dyn Canceller>) {
    thread::spawn(move || {
        loop {
            // When the request cannot be delivered, the statement ends by itself, and the run stops after it.
            let _ = canceller.cancel();
            thread::sleep(Duration::from_secs(1));
        }
    });
}
