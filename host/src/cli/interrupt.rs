//! Ctrl-C and SIGTERM: the running statement is cancelled, the rest rolled back. A second one ends at once, and so does an
//! adapter that does not come back.
//!
//! Listened for from the first attempt to connect. Before that there is nothing to take back, and the signal ends the
//! process by itself. What is under way stands in [`Calls`], what is said of it in [`LastWords`].
//!
//! Without a signal an adapter is given up only where it breaks a limit: a long statement looks the same as one that hangs.
//! When that is, is decided by [`overdue`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use whimbrel_adapter_api::Canceller;

use super::calls::{Allowed, Call, Calls, Noting, Silence};
use super::last_words::{LastWords, silent};
use super::overdue::{self, Overdue, Watch};
use crate::error::{Error, Name, Problem};
use crate::isolation::Process;
use crate::runner::{Cancellation, Observer};

/// How often the canceller is called.
const PERIOD: Duration = Duration::from_secs(1);

const NOTHING_CHANGED: &str = "nothing was changed";

/// The signal that came, and what it ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt {
    state: Arc<Mutex<State>>,
    calls: Calls,
}

#[derive(Default)]
struct State {
    signal: Option<i32>,
    reaction: Option<Box<dyn FnOnce() + Send>>,
    words: Option<Arc<LastWords>>,
    /// Why the process of the adapter was killed.
    killed: Option<Overdue>,
}

impl Interrupt {
    /// Listens for signals for the rest of the process.
    pub(super) fn listen(&self, words: Arc<LastWords>) -> Result<(), Problem> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| {
            Problem::new(Name::Bug, "cannot listen for signals").caused_by(error.to_string())
        })?;
        self.state().words = Some(Arc::clone(&words));
        let interrupt = self.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                let mut state = interrupt.state();
                if state.signal.is_some() {
                    interrupt.end_at_once(signal, &words);
                }
                state.signal = Some(signal);
                if let Some(reaction) = state.reaction.take() {
                    reaction();
                }
            }
        });
        Ok(())
    }

    fn end_at_once(&self, signal: i32, words: &LastWords) -> ! {
        let notes = self.calls.notes();
        if notes.call.is_some() {
            words.end_at_once(signal, &notes);
        }
        // The command itself is about to say how it ended, or has said it.
        std::process::exit(128 + signal)
    }

    /// Does work that may be left standing at any moment, and does not wait for its end once a signal comes, or longer than
    /// `limit`: then it returns `Ok(None)`.
    pub(super) fn unless_signalled<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, Problem> {
        let (answers, answer) = mpsc::channel();
        let signalled = answers.clone();
        // Nobody listens any more when the work was quicker.
        self.react(move || drop(signalled.send(None)));
        thread::spawn(move || answers.send(Some(catch_unwind(AssertUnwindSafe(work)))));
        match answer.recv_timeout(limit) {
            Ok(Some(answer)) => Ok(Some(answer.unwrap_or_else(|panic| resume_unwind(panic)))),
            Ok(None) | Err(RecvTimeoutError::Disconnected) => {
                Err(Problem::new(Name::Interrupted, "interrupted while connecting").state(NOTHING_CHANGED))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
        }
    }

    /// Returns where the calls into the adapter are noted.
    pub(super) fn calls(&self) -> Calls {
        self.calls.clone()
    }

    /// Returns an observer that also notes which migration is under way.
    pub(super) fn noting<O: Observer>(&self, observer: O) -> Noting<O> {
        Noting { observer, calls: self.calls() }
    }

    /// From now on a signal stops the run between two statements, and cancels the one that is running; and an adapter that
    /// does not come back is given up.
    pub(super) fn attend(
        &self,
        cancellation: Arc<Cancellation>,
        canceller: Arc<dyn Canceller>,
        process: Option<Arc<Process>>,
        words: Arc<LastWords>,
    ) {
        let interrupt = self.clone();
        let in_silence = Arc::clone(&canceller);
        thread::spawn(move || interrupt.give_up_in_time(&in_silence, process.as_deref(), &words));
        self.react(move || {
            cancellation.cancel();
            cancel_while(canceller, || true);
        });
    }

    /// Looks for the rest of the process whether the adapter comes back.
    fn give_up_in_time(&self, canceller: &Arc<dyn Canceller>, process: Option<&Process>, words: &LastWords) {
        let mut watch = Watch::default();
        let mut since_killed = Duration::ZERO;
        loop {
            thread::sleep(overdue::PERIOD);
            // In this order everywhere: who holds the notes does not wait for the state.
            let mut state = self.state();
            let mut notes = self.calls.notes();
            let Some(call) = &mut notes.call else { continue };
            match watch.look(call, state.signal) {
                None => {}
                Some(Overdue::Silent(silence)) => self.cancel_silent(call, silence, canceller),
                Some(overdue) => match process {
                    // The call comes back with an error, and the command says the rest.
                    Some(process) if since_killed < overdue::GRACE => {
                        state.killed = Some(overdue);
                        since_killed += overdue::PERIOD;
                        process.kill();
                    }
                    _ => words.give_up(overdue, &notes),
                },
            }
        }
    }

    fn cancel_silent(&self, call: &mut Call, silence: Silence, canceller: &Arc<dyn Canceller>) {
        call.cancelled = Some(silence);
        let (calls, heard) = (self.calls(), call.heard);
        let is_silent = move || calls.notes().call.is_some_and(|now| now.heard == heard);
        cancel_while(Arc::clone(canceller), is_silent);
    }

    /// Says by which signal a command was stopped, which decides the exit code.
    pub(super) fn name(&self, mut error: Error) -> Error {
        self.name_killed(&mut error);
        if let Some(silence) = self.calls.notes().cancelled {
            for problem in &mut error.problems {
                problem.facts.push(format!("cancelled: {}", silent(silence)));
                if problem.name == Name::Statement && matches!(silence.allowed, Allowed::Batch(_)) {
                    problem.hint = Some("allow more with `--statement-timeout`".to_owned());
                }
            }
        }
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

    /// Says why the process of an adapter was killed, of which the error says that it is gone.
    fn name_killed(&self, error: &mut Error) {
        let state = self.state();
        let (Some(overdue), Some(words)) = (state.killed, &state.words) else { return };
        let crashed = error.problems.iter_mut().filter(|problem| problem.name == Name::AdapterCrashed);
        for problem in crashed {
            let told = words.of_overdue(overdue, &self.calls.notes());
            (problem.name, problem.message) = (told.name, told.message);
            problem.facts.extend(told.facts);
        }
    }

    /// Returns what is to be said at the end of a command that has said everything else.
    pub(super) fn of_the_end(&self) -> Option<Problem> {
        self.state().words.as_ref()?.of_the_end(&self.calls.notes())
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("State").field("signal", &self.signal).finish_non_exhaustive()
    }
}

/// Asks again and again: a request that arrives between two statements reaches neither, and the second may be long.
/// Seldom enough to leave the texts in peace that end the migration afterwards.
fn cancel_while(canceller: Arc<dyn Canceller>, goes_on: impl Fn() -> bool + Send + 'static) {
    thread::spawn(move || {
        while goes_on() {
            // When the request cannot be delivered, the statement ends by itself, and the run stops after it.
            let _ = canceller.cancel();
            thread::sleep(PERIOD);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_does_not_end_is_left_when_its_time_is_up() {
        let interrupt = Interrupt::default();
        let (_keeps_waiting, never) = mpsc::channel::<()>();
        let left = interrupt.unless_signalled(Duration::from_millis(1), move || never.recv());
        assert_eq!(left, Ok(None));
        assert_eq!(interrupt.unless_signalled(Duration::from_secs(60), || 7), Ok(Some(7)));
    }
}
