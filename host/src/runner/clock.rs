//! The one place where a run meets time: what it is, and how it passes while there is nothing to do.
//!
//! [`Patience`](super::Patience) waits by a [`Clock`], and the [`Migrator`](crate::Migrator) is given one, so that a
//! test can let several runs wait for each other in a time of its own.
//!
//! Leases are not its affair: they run by the database's clock.

use std::fmt;
use std::time::{Duration, Instant};

use super::Cancellation;

/// Time, as a run sees it.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the present moment.
    fn now(&self) -> Instant;

    /// Lets `duration` pass, or less when the run is asked to stop meanwhile.
    fn pause(&self, duration: Duration, cancellation: &Cancellation);
}

/// The time of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn pause(&self, duration: Duration, cancellation: &Cancellation) {
        cancellation.wait(duration);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_request_to_stop_ends_a_pause() {
        let cancellation = Cancellation::default();
        thread::scope(|scope| {
            let pausing = scope.spawn(|| SystemClock.pause(Duration::from_secs(3600), &cancellation));
            cancellation.cancel();
            pausing.join().expect("the pause ends long before its hour is over");
        });
    }
}
