//! One run of one program.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use wait4::Wait4;
use whimbrel_tests::peak_memory;

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) time: Duration,
    /// Of all processors, in the program and in the kernel for it.
    pub(crate) processor: Duration,
}

/// Runs a program to its end, which must be a good one.
pub(crate) fn run(mut command: Command) -> Result<Taken> {
    let began = Instant::now();
    let child = silent(&mut command).spawn().with_context(|| format!("cannot run {command:?}"))?;
    let ended = child.wait4()?;
    let time = began.elapsed();
    if !ended.status.success() {
        bail!("{command:?} ended with {}", ended.status);
    }
    Ok(Taken { time, processor: ended.rusage.utime + ended.rusage.stime })
}

/// Runs a program to its end, looks meanwhile now and then, and returns the most memory that it held at once, in KiB.
pub(crate) fn watch(mut command: Command, look: &mut dyn FnMut()) -> Result<u64> {
    let mut child = silent(&mut command).spawn().with_context(|| format!("cannot run {command:?}"))?;
    let mut peak = 0;
    loop {
        if let Some(ended) = child.try_wait()? {
            if ended.success() {
                return Ok(peak);
            }
            bail!("{command:?} ended with {ended}");
        }
        peak = peak.max(peak_memory(child.id()));
        look();
        thread::sleep(Duration::from_micros(300));
    }
}

/// Its errors are still seen.
fn silent(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null())
}

/// Returns the one in the middle.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
