//! The child process of an isolated adapter.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use whimbrel_adapter_api::{Error, ErrorKind, Session};

use super::line::Line;

/// How long a process that has closed its sockets may take to end, and how often is looked whether it has.
const MOMENT: Duration = Duration::from_secs(1);
const LOOKS: u32 = 100;

/// A process that an adapter runs in. Ends with the last that refers to it.
pub struct Process {
    child: Mutex<Child>,
    /// Where it is told what to do. It ends when this does.
    errands: Mutex<Line>,
    is_killed: AtomicBool,
}

impl Process {
    /// Starts a process, with the other end of its errands as its standard input.
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        // A library that writes there would write into a result of this program, or between its messages.
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C at a terminal is for this program, which then asks the adapter to cancel.
        command.process_group(0);
        let child = Mutex::new(command.spawn()?);
        Ok(Process { child, errands: Mutex::new(Line::new(ours)), is_killed: AtomicBool::new(false) })
    }

    /// Returns the line of its errands, for one of them.
    pub(super) fn errands(&self) -> MutexGuard<'_, Line> {
        lock(&self.errands)
    }

    /// Kills the process. Every call that is under way in it ends with an error.
    pub fn kill(&self) {
        self.is_killed.store(true, Ordering::Relaxed);
        // It may have ended meanwhile.
        let _ = lock(&self.child).kill();
    }

    /// Returns whether the process has ended by now.
    pub(super) fn is_over(&self) -> bool {
        !matches!(lock(&self.child).try_wait(), Ok(None))
    }

    /// Returns whether the process has ended. One whose sockets are closed has a moment for that.
    pub(super) fn has_ended(&self) -> bool {
        for _ in 0..LOOKS {
            if self.is_over() {
                return true;
            }
            thread::sleep(MOMENT / LOOKS);
        }
        self.is_over()
    }

    /// Returns the error of a call that had no answer, after the process has ended.
    pub(super) fn crashed(&self, error: &io::Error) -> Error {
        let is_closed = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        );
        let has_ended = is_closed && self.has_ended();
        let mut child = lock(&self.child);
        // Who talks nonsense, or has left a call without an answer, must not go on.
        let _ = child.kill();
        let how = match child.wait() {
            _ if self.is_killed.load(Ordering::Relaxed) => {
                "was killed, because it did not come back".to_owned()
            }
            Ok(status) if has_ended => ended(status),
            Ok(_) => format!("was ended, because it cannot be understood: {error}"),
            Err(error) => format!("is gone: {error}"),
        };
        let mut error = Error::new(ErrorKind::Crashed, format!("the process of the adapter {how}"));
        error.session = Session::Lost;
        error
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic leaves the line between two frames, and the child as it is.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(number), _) => match Signal::try_from(number) {
            Ok(signal) => format!("was ended by signal {number} ({signal})"),
            Err(_) => format!("was ended by signal {number}"),
        },
        (None, Some(code)) => format!("ended by itself with {code}"),
        (None, None) => "ended".to_owned(),
    }
}
