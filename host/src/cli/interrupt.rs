//! Ctrl-C and SIGTERM: the running statement is cancelled, the rest rolled back. A second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use whimbrel_adapter_api::Canceller;

use super::target::Target;
use crate::error::{Error, Name, Problem};

/// The signal that came.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<AtomicI32>);

impl Interrupt {
    /// Listens for signals for the rest of the process.
    pub(super) fn watch(target: &Target) -> Result<Self, Problem> {
        let interrupt = Interrupt::default();
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| {
            Problem::new(Name::Bug, "cannot listen for signals").caused_by(error.to_string())
        })?;
        let (seen, cancellation, canceller) =
            (Arc::clone(&interrupt.0), Arc::clone(&target.cancellation), Arc::clone(&target.canceller));
        std::thread::spawn(move || {
            for signal in signals.forever() {
                if seen.swap(signal, Ordering::AcqRel) != 0 {
                    std::process::exit(128 + signal);
                }
                cancellation.cancel();
                cancel_until_the_end(Arc::clone(&canceller));
            }
        });
        Ok(interrupt)
    }

    /// Says by which signal a run was stopped, which decides the exit code.
    pub(super) fn name(&self, mut error: Error) -> Error {
        if self.0.load(Ordering::Acquire) == SIGTERM {
            let interrupted = error.problems.iter_mut().filter(|problem| problem.name == Name::Interrupted);
            interrupted.for_each(|problem| problem.name = Name::Terminated);
        }
        error
    }
}

/// Asks again and again: a request that arrives between two statements reaches neither, and the second may be long.
/// Seldom enough to leave the texts in peace that end the migration afterwards.
fn cancel_until_the_end(canceller: Arc<dyn Canceller>) {
    std::thread::spawn(move || {
        loop {
            // When the request cannot be delivered, the statement ends by itself, and the run stops after it.
            let _ = canceller.cancel();
            std::thread::sleep(Duration::from_secs(1));
        }
    });
}
