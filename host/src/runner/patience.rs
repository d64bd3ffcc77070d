//! Waiting for another runner, with an end.

use std::time::{Duration, Instant};

use super::Cancellation;

/// The first pause between two looks at the history; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long this run still waits for others.
#[derive(Debug)]
pub struct Patience {
    limit: Duration,
    since: Instant,
    pause: Duration,
}

impl Patience {
    /// Returns patience for `limit`, counted from the last progress that anybody made.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Patience { limit, since: Instant::now(), pause: FIRST_PAUSE }
    }

    /// Begins anew: something has moved.
    pub fn renew(&mut self) {
        *self = Patience::new(self.limit);
    }

    /// Returns how long was waited since something moved.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Sleeps until the next look. `false`: the time is up, or the run was asked to stop.
    pub fn pause(&mut self, cancellation: &Cancellation) -> Waited {
        if self.waited() >= self.limit || cancellation.is_cancelled() {
            return Waited::LongEnough;
        }
        std::thread::sleep(self.pause.min(self.limit.saturating_sub(self.waited())));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Waited::LookAgain
    }
}

/// Whether to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Look again.
    LookAgain,
    /// The time is up.
    LongEnough,
}
