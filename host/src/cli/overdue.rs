//! When a call into the adapter has taken too long.
//!
//! [`interrupt`](super::interrupt) looks at the [`Call`] that is under way once in a [`PERIOD`], and does what is decided
//! here: cancels, or gives up with the [last words](super::last_words).
//!
//! Reads no clock. A process that was stopped, or a machine that slept, finds its clock far ahead; nobody had the time to
//! answer meanwhile, so what is counted are the looks.

use std::time::Duration;

use super::calls::{Allowed, Call, Silence};

/// How long an adapter has to come back after it was told to. Docker kills a container 10 seconds after SIGTERM, and
/// Kubernetes after 30: what is said later than that is not heard.
pub(super) const GRACE: Duration = Duration::from_secs(8);

/// How often somebody looks whether the adapter has come back.
pub(super) const PERIOD: Duration = Duration::from_millis(250);

/// Why a call has taken too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The signal was long enough ago.
    Signalled(i32),
    /// It has been silent for longer than its limits allow: it is to be cancelled.
    Silent(Silence),
    /// Cancelling it did not help.
    SilentForGood(Silence),
}

/// What was seen of the call that is under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// The sign that it began with.
    began: u64,
    /// Its last sign.
    heard: u64,
    /// How long there was no other sign.
    silent: Duration,
    /// How long it goes on in spite of a signal.
    signalled: Option<Duration>,
    /// How long it was silent when it was told to be cancelled.
    cancelled: Option<Duration>,
}

impl Watch {
    /// Looks at the call that is under way, and returns why it has taken too long, if it has.
    pub(super) fn look(&mut self, call: &Call, signal: Option<i32>) -> Option<Overdue> {
        self.count(call);
        if let Some(signal) = signal {
            let since = self.signalled.map_or(Duration::ZERO, |since| since + PERIOD);
            self.signalled = Some(since);
            return (since >= GRACE).then_some(Overdue::Signalled(signal));
        }
        let silence = Silence { lasted: self.silent, allowed: call.allowed };
        match self.cancelled {
            Some(then) => (self.silent >= then + GRACE).then_some(Overdue::SilentForGood(silence)),
            None if self.silent >= call.allowed.longest()? => {
                self.cancelled = Some(self.silent);
                Some(Overdue::Silent(silence))
            }
            None => None,
        }
    }

    fn count(&mut self, call: &Call) {
        let Call { began, heard, .. } = *call;
        if began != self.began {
            // It has its own grace after a signal too: taking back and looking again need some.
            *self = Watch { began, heard, ..Watch::default() };
        } else if heard != self.heard {
            *self = Watch { began, heard, signalled: self.signalled, ..Watch::default() };
        } else {
            self.silent += PERIOD;
        }
    }
}

impl Allowed {
    /// Returns the longest silence, if there is one.
    fn longest(self) -> Option<Duration> {
        match self {
            Allowed::Unlimited => None,
            Allowed::Batch(longest) | Allowed::Question(longest) => Some(longest),
        }
    }
}

#[cfg(test)]
mod tests {
    use signal_hook::consts::SIGINT;

    use super::*;

    const CALL: Call = Call { began: 1, heard: 1, allowed: Allowed::Unlimited, cancelled: None };
    const SECOND: Duration = Duration::from_secs(1);

    /// Looks as often as somebody does in `time`, and returns what was decided first, and after how long.
    fn look_for(
        time: Duration,
        watch: &mut Watch,
        call: &Call,
        signal: Option<i32>,
    ) -> Option<(Overdue, Duration)> {
        let looks = time.as_millis() / PERIOD.as_millis();
        (1..=u32::try_from(looks).expect("a short time"))
            .find_map(|look| watch.look(call, signal).map(|overdue| (overdue, PERIOD * look)))
    }

    #[test]
    fn a_signal_leaves_its_grace_to_the_call_that_it_finds_and_to_every_later_one() {
        let mut watch = Watch::default();
        assert_eq!(look_for(60 * SECOND, &mut watch, &CALL, None), None);
        // The first look finds that there was a signal.
        let after = Some((Overdue::Signalled(SIGINT), GRACE + PERIOD));
        assert_eq!(look_for(60 * SECOND, &mut watch, &CALL, Some(SIGINT)), after);
        let calls_back = Call { heard: 2, ..CALL };
        assert_eq!(watch.look(&calls_back, Some(SIGINT)), Some(Overdue::Signalled(SIGINT)));
        let later = Call { began: 3, heard: 3, ..CALL };
        assert_eq!(look_for(60 * SECOND, &mut watch, &later, Some(SIGINT)), after);
    }

    #[test]
    fn silence_counts_only_where_there_is_a_limit() {
        let day = 86_400 * SECOND;
        let mut watch = Watch::default();
        assert_eq!(look_for(day, &mut watch, &CALL, None), None);
        for allowed in [Allowed::Batch(30 * SECOND), Allowed::Question(30 * SECOND)] {
            let (mut watch, call) = (Watch::default(), Call { allowed, ..CALL });
            let silence = |lasted| Silence { lasted, allowed };
            let (cancelled, after) = look_for(day, &mut watch, &call, None).expect("a decision");
            assert_eq!((cancelled, after), (Overdue::Silent(silence(30 * SECOND)), 30 * SECOND + PERIOD));
            let (given_up, after) = look_for(day, &mut watch, &call, None).expect("a decision");
            assert_eq!((given_up, after), (Overdue::SilentForGood(silence(30 * SECOND + GRACE)), GRACE));
        }
    }

    /// However long the process was stopped between two of them: meanwhile the adapter could do nothing.
    #[test]
    fn every_look_is_one_period_of_silence() {
        let allowed = Allowed::Question(2 * PERIOD);
        let (mut watch, call) = (Watch::default(), Call { allowed, ..CALL });
        assert_eq!(watch.look(&call, None), None, "it begins");
        assert_eq!(watch.look(&call, None), None, "one period");
        let silence = Silence { lasted: 2 * PERIOD, allowed };
        assert_eq!(watch.look(&call, None), Some(Overdue::Silent(silence)));
    }

    /// Only what was cancelled itself, and has had its grace since, is given up.
    #[test]
    fn a_sign_after_the_cancellation_begins_a_new_silence() {
        let allowed = Allowed::Batch(SECOND);
        let (mut watch, call) = (Watch::default(), Call { allowed, ..CALL });
        for heard in [1, 2, 3] {
            let decided = look_for(GRACE, &mut watch, &Call { heard, ..call }, None);
            let silence = Silence { lasted: SECOND, allowed };
            assert_eq!(decided, Some((Overdue::Silent(silence), SECOND + PERIOD)), "{heard}");
            assert_eq!(look_for(GRACE - PERIOD, &mut watch, &Call { heard, ..call }, None), None, "{heard}");
        }
    }
}
