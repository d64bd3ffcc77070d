//! Ctrl-C and SIGTERM, so that the servers are stopped whatever ends the run.
//!
//! The signals arrive on the same channel as the end of the child that is waited for. A terminal sends Ctrl-C to
//! the child too, which is why only SIGTERM is handed on.
//!
//! A SIGKILL cannot be caught: for that case each server asks the kernel to be stopped with its parent.

use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::{io, iter};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Receives the signals that end a run.
#[derive(Debug)]
pub(crate) struct Interrupts {
    events: Receiver<Event>,
    sender: Sender<Event>,
}

#[derive(Debug)]
enum Event {
    Signal(i32),
    Exited(io::Result<ExitStatus>),
}

impl Interrupts {
    /// Starts catching signals; from here on they no longer end this process by themselves.
    pub(crate) fn catch() -> Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot catch signals")?;
        let (sender, events) = channel();
        let from_signals = sender.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                if from_signals.send(Event::Signal(signal)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { events, sender })
    }

    /// Fails when a signal has come in, for the moments when no child is there to receive it.
    pub(crate) fn check(&self) -> Result<()> {
        match self.events.try_recv() {
            Ok(Event::Signal(signal)) => bail!("stopped by signal {signal}"),
            _ => Ok(()),
        }
    }

    /// Waits until a signal comes in.
    pub(crate) fn wait(&self) {
        let mut events = iter::from_fn(|| self.events.recv().ok());
        events.find(|event| matches!(event, Event::Signal(_)));
    }

    /// Waits until the child has ended, and hands a SIGTERM on to it.
    pub(crate) fn wait_for(&self, mut child: Child) -> Result<ExitStatus> {
        let pid = Pid::from_raw(child.id().try_into().context("a pid that is no pid_t")?);
        let sender = self.sender.clone();
        thread::spawn(move || {
            let exited = child.wait();
            // Nobody listens any more when this process is already on its way out.
            let _ = sender.send(Event::Exited(exited));
        });
        loop {
            match self.events.recv().context("the channel of signals is closed")? {
                Event::Exited(status) => return status.context("cannot wait for the tests"),
                // The child may have ended in this moment, and then there is nobody to tell.
                Event::Signal(SIGTERM) => drop(kill(pid, Signal::SIGTERM)),
                Event::Signal(_) => {}
            }
        }
    }
}
