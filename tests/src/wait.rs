//! Waiting for what another process does, with an end.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits before it fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until a condition holds that gives no other sign.
///
/// # Panics
///
/// When it does not do so in time.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "waited in vain until {what}");
        thread::yield_now();
    }
}
