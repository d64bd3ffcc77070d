//! One server process: started on a free port, asked until it answers, stopped by its own signal.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::announce;

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(25);
const PORTS_TO_TRY: u32 = 5;

/// A running server.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stop: Signal,
    log: PathBuf,
}

/// How to start a server and how to know that it answers.
pub(super) struct Recipe<'a> {
    /// The file that gets the server's output, in a directory that the account may read.
    pub(super) log: PathBuf,
    /// The signal on which the server ends at once and in order.
    pub(super) stop: Signal,
    /// The server's command line on a port.
    pub(super) command: Box<dyn Fn(u16) -> Result<Command> + 'a>,
    /// A client's command line that succeeds once the server on the port answers.
    pub(super) question: Box<dyn Fn(u16) -> Result<Command> + 'a>,
}

/// A server that may not answer yet.
pub(super) struct Starting<'a> {
    recipe: Recipe<'a>,
    process: Process,
    port: u16,
}

impl<'a> Recipe<'a> {
    /// Starts the server on a free port, without waiting for it.
    pub(super) fn spawn(self) -> Result<Starting<'a>> {
        let (process, port) = self.spawn_on_a_free_port()?;
        Ok(Starting { recipe: self, process, port })
    }

    fn spawn_on_a_free_port(&self) -> Result<(Process, u16)> {
        let port = free_port()?;
        Ok((Process::spawn((self.command)(port)?, self.stop, &self.log)?, port))
    }
}

impl Starting<'_> {
    /// Waits until the server answers.
    ///
    /// Somebody else may take the port between our look and the server's: the server ends then, and another port
    /// is tried.
    pub(super) fn until_it_answers(mut self) -> Result<(Process, u16)> {
        let mut tried = 1;
        while !self.process.wait_until_answered(&mut (self.recipe.question)(self.port)?)? {
            if tried == PORTS_TO_TRY {
                bail!(
                    "a server ended by itself {PORTS_TO_TRY} times; its last words:\n{}",
                    tail(&self.recipe.log)
                );
            }
            (self.process, self.port) = self.recipe.spawn_on_a_free_port()?;
            tried += 1;
        }
        Ok((self.process, self.port))
    }
}

impl Process {
    fn spawn(mut command: Command, stop: Signal, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        // A group of its own: Ctrl-C in the terminal must not reach a server before its clients are done.
        command.stdout(output.try_clone()?).stderr(output).stdin(Stdio::null()).process_group(0);
        let die_with_parent = move || set_pdeathsig(stop).map_err(Into::into);
        // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe calls are
        // allowed: it makes one system call, allocates nothing and takes no lock. It runs after the change of
        // the user, which would clear the setting.
        unsafe { command.pre_exec(die_with_parent) };
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        Ok(Self { child, stop, log: log.to_owned() })
    }

    /// Asks until there is an answer; returns `false` when the server has ended instead.
    fn wait_until_answered(&mut self, question: &mut Command) -> Result<bool> {
        question.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let answered = question.status().with_context(|| format!("cannot run {question:?}"))?.success();
            // Asked after the question: the answer may have come from whoever took the port.
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            if answered {
                return Ok(true);
            }
            if Instant::now() > deadline {
                bail!("a server gave no answer in {READY_WITHIN:?}; its last words:\n{}", tail(&self.log));
            }
            thread::sleep(ASK_AGAIN_AFTER);
        }
    }

    fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        kill(Pid::from_raw(self.child.id().try_into()?), self.stop)?;
        let deadline = Instant::now() + STOPPED_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(ASK_AGAIN_AFTER);
        }
        announce(&format!("{} does not stop and is killed", self.log.display()));
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            announce(&format!("cannot stop a server ({}): {error:#}", self.log.display()));
        }
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
