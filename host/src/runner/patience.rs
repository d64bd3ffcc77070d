//! Waiting for another runner, with an end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Cancellation, Clock};

/// The first pause between two looks at the history; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long this run still waits for others.
#[derive(Debug)]
pub struct Patience {
    clock: Arc<dyn Clock>,
    limit: Duration,
    since: Instant,
    pause: Duration,
}

impl Patience {
    /// Returns patience for `limit` by this clock, counted from the last progress that anybody made.
    #[must_use]
    pub fn new(limit: Duration, clock: Arc<dyn Clock>) -> Self {
        let since = clock.now();
        Patience { clock, limit, since, pause: FIRST_PAUSE }
    }

    /// Begins anew: something has moved.
    pub fn renew(&mut self) {
        self.since = self.clock.now();
        self.pause = FIRST_PAUSE;
    }

    /// Returns how long was waited since something moved.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.since)
    }

    /// Waits until the next look, and says whether it is worth one: not when the time is up or the run was asked to
    /// stop.
    pub fn pause(&mut self, cancellation: &Cancellation) -> Waited {
        let left = self.limit.saturating_sub(self.waited());
        if left.is_zero() {
            return Waited::LongEnough;
        }
        self.clock.pause(self.pause.min(left), cancellation);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if cancellation.is_cancelled() { Waited::LongEnough } else { Waited::LookAgain }
    }
}

/// Whether to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Look again.
    LookAgain,
    /// The time is up, or the run was asked to stop.
    LongEnough,
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// A clock on which time passes only in pauses, which it keeps.
    #[derive(Debug)]
    struct Pauses(Instant, Mutex<Vec<Duration>>);

    impl Pauses {
        fn kept(&self) -> Vec<Duration> {
            self.1.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }

    impl Clock for Pauses {
        fn now(&self) -> Instant {
            self.0 + self.kept().iter().sum::<Duration>()
        }

        fn pause(&self, duration: Duration, _cancellation: &Cancellation) {
            self.1.lock().unwrap_or_else(PoisonError::into_inner).push(duration);
        }
    }

    fn patience(limit: u64) -> (Arc<Pauses>, Patience) {
        let clock = Arc::new(Pauses(Instant::now(), Mutex::default()));
        let patience = Patience::new(Duration::from_millis(limit), Arc::clone(&clock) as Arc<dyn Clock>);
        (clock, patience)
    }

    #[test]
    fn pauses_grow_to_a_second_and_end_with_the_limit() {
        let (clock, mut patience) = patience(4000);
        while patience.pause(&Cancellation::default()) == Waited::LookAgain {}
        let pauses: Vec<u128> = clock.kept().iter().map(Duration::as_millis).collect();
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1000, 1000, 740]);
    }

    #[test]
    fn progress_begins_the_wait_anew() {
        let (clock, mut patience) = patience(50);
        let cancellation = Cancellation::default();
        assert_eq!(patience.pause(&cancellation), Waited::LookAgain);
        patience.renew();
        assert_eq!(patience.waited(), Duration::ZERO);
        while patience.pause(&cancellation) == Waited::LookAgain {}
        let pauses: Vec<u128> = clock.kept().iter().map(Duration::as_millis).collect();
        assert_eq!(pauses, [20, 20, 30]);
    }

    #[test]
    fn a_run_that_was_asked_to_stop_does_not_look_again() {
        let (_, mut patience) = patience(4000);
        let cancellation = Cancellation::default();
        cancellation.cancel();
        assert_eq!(patience.pause(&cancellation), Waited::LongEnough);
    }
}
