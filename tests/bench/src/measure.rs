//! One run of one program, and many of them.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use whimbrel_tests::peak_memory;

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) time: Duration,
    /// The most memory that it held at once, in KiB.
    pub(crate) peak: u64,
}

/// Runs a program to its end, which must be a good one.
pub(crate) fn run(mut command: Command) -> Result<Taken> {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut peak = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        peak = peak.max(peak_memory(child.id()));
        thread::sleep(Duration::from_micros(300));
    };
    let time = began.elapsed();
    if !ended.success() {
        let mut said = String::new();
        let mut pipe = child.stderr.take().context("its errors")?;
        std::io::Read::read_to_string(&mut pipe, &mut said)?;
        bail!("{command:?} ended with {ended}: {said}");
    }
    Ok(Taken { time, peak })
}

/// Returns the one in the middle.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
