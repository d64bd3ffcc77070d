//! A user's project in a fresh directory, and the real binary run in it.
//!
//! The binary sees an empty environment but for what a test adds, and a home directory of its own, so that
//! nothing of the developer's machine reaches a test.
//!
//! Builds nothing: `cargo xtask test` has built the binary and the adapters before.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs, mem};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::observed::peak_memory;
use crate::outcome::{Outcome, Places};
use crate::record::{self, Record};

/// A run that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// A directory with `plugins.toml`, `migrations/` and whatever else a test puts there; gone when dropped.
#[derive(Debug)]
pub struct Project {
    directory: TempDir,
    environment: BTreeMap<OsString, OsString>,
    /// What the test wrote itself, which may hold a password.
    written: Mutex<BTreeSet<PathBuf>>,
}

/// One run of the binary that has not started yet.
#[derive(Debug)]
pub struct Invocation<'a> {
    project: &'a Project,
    command: Command,
    input: Option<String>,
}

/// A run of the binary that goes on; killed when dropped before its end.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: Receiver<(Stream, String)>,
    /// What it has reported so far.
    reported: Arc<Mutex<Vec<u8>>>,
    stdout: String,
    stderr: String,
    places: Places,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl Project {
    /// Creates an empty project.
    #[expect(clippy::new_without_default, reason = "a directory on the disk is no default value")]
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("whimbrel-project-").tempdir();
        let directory = directory.unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        Self { directory, environment: BTreeMap::new(), written: Mutex::default() }
    }

    /// Adds a file, and the directories above it.
    pub fn file(self, path: &str, contents: impl AsRef<[u8]>) -> Self {
        self.write(path, contents);
        self
    }

    /// Adds `plugins.toml`.
    pub fn plugins_toml(self, contents: &str) -> Self {
        self.file("plugins.toml", contents)
    }

    /// Sets a variable for all runs.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Writes a file between two runs.
    pub fn write(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(path);
        let written =
            fs::create_dir_all(path.parent().unwrap_or(&path)).and_then(|()| fs::write(&path, contents));
        written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        self.written.lock().expect("no test panics while it writes a file").insert(path);
    }

    /// Reads a file back.
    pub fn read(&self, path: &str) -> String {
        let path = self.path(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }

    /// Removes a file between two runs.
    pub fn remove(&self, path: &str) {
        let path = self.path(path);
        fs::remove_file(&path).unwrap_or_else(|error| panic!("cannot remove {}: {error}", path.display()));
    }

    /// Returns the full path of something in the project.
    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    /// Runs `whimbrel` with the arguments and waits for its end.
    #[must_use = "what the run did is in its outcome"]
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Outcome {
        self.command(arguments).run()
    }

    /// Starts `whimbrel` with the arguments.
    pub fn spawn<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Running {
        self.command(arguments).spawn()
    }

    /// Returns a run of `whimbrel` to which more can be added.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Invocation<'_> {
        self.program(built_file("whimbrel"), arguments)
    }

    /// Returns a run of another program in the same surroundings, for instance of an application that embeds
    /// the library.
    pub fn program<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Invocation<'_> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.env("PATH", env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).env("LANG", "C.UTF-8").env("TZ", "UTC");
        command.envs(&self.environment);
        Invocation { project: self, command, input: None }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // A second panic would hide the first.
        if record::folder().is_none() || thread::panicking() {
            return;
        }
        let written = self.written.get_mut().map(std::mem::take).unwrap_or_default();
        let record = Record::of_this_test();
        for path in files_below(self.directory.path()).iter().filter(|path| !written.contains(*path)) {
            record.keep_file("file", path);
        }
    }
}

/// Returns all files below a directory, without those behind a link.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files.extend(files_below(&entry.path())),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files
}

impl Invocation<'_> {
    /// Sets a variable for this run.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs in a directory of the project.
    pub fn within(mut self, directory: &str) -> Self {
        self.command.current_dir(self.project.path(directory));
        self
    }

    /// Gives the run something to read on standard input, which is empty otherwise.
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// Runs and waits for the end.
    #[must_use = "what the run did is in its outcome"]
    pub fn run(self) -> Outcome {
        self.spawn().wait()
    }

    /// Starts the run.
    pub fn spawn(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = self.command.spawn();
        let mut child = started.unwrap_or_else(|error| panic!("cannot run {:?}: {error}", self.command));
        let mut input = child.stdin.take().expect("standard input is a pipe");
        let text = self.input.unwrap_or_default();
        // A thread, since a program that reads nothing would block us; whether it has read is its own business.
        thread::spawn(move || input.write_all(text.as_bytes()));

        let (sender, output) = channel();
        let streams: [(Stream, Box<dyn Read + Send>); 2] = [
            (Stream::Stdout, Box::new(child.stdout.take().expect("standard output is a pipe"))),
            (Stream::Stderr, Box::new(child.stderr.take().expect("standard error is a pipe"))),
        ];
        let record = Record::of_this_test();
        let reported = Arc::default();
        for (stream, mut pipe) in streams {
            let (sender, record) = (sender.clone(), record.clone());
            let so_far = if stream == Stream::Stderr { Arc::clone(&reported) } else { Arc::default() };
            thread::spawn(move || {
                let bytes = read_to_end(pipe.as_mut(), &so_far);
                record.keep(stream.name(), &bytes);
                sender.send((stream, String::from_utf8_lossy(&bytes).into_owned()))
            });
        }
        let places = Places { project: self.project.directory.path().to_owned(), built: built_directory() };
        Running { child, output, reported, stdout: String::new(), stderr: String::new(), places }
    }
}

/// Reads a pipe to its end. What came before an error is still worth showing.
fn read_to_end(pipe: &mut dyn Read, so_far: &Mutex<Vec<u8>>) -> Vec<u8> {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = pipe.read(&mut buffer) {
        so_far.lock().expect("nobody panics with it").extend_from_slice(&buffer[..count]);
    }
    so_far.lock().expect("nobody panics with it").clone()
}

impl Running {
    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the run as `kill -9` does.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Does what Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    /// Does what an orderly shutdown of the machine or the container does.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Waits until it has reported this text.
    ///
    /// # Panics
    ///
    /// When it does not do so in time.
    pub fn until_reported(&self, text: &str) {
        let deadline = Instant::now() + DEADLINE;
        let has_reported = || {
            let reported = self.reported.lock().expect("nobody panics with it");
            String::from_utf8_lossy(&reported).contains(text)
        };
        while !has_reported() {
            assert!(Instant::now() < deadline, "a run does not report `{text}`");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the end, and returns the most memory that it held at once, in KiB.
    pub fn peak_memory(&mut self) -> u64 {
        let mut peak = 0;
        while !self.ends_within(Duration::from_millis(1)) {
            peak = peak.max(peak_memory(self.pid()));
        }
        peak
    }

    /// Waits for the end, for so long at most, and returns whether it has come.
    pub fn ends_within(&mut self, limit: Duration) -> bool {
        let began = Instant::now();
        // Both pipes are closed when the run has ended.
        loop {
            match self.output.recv_timeout(limit.saturating_sub(began.elapsed())) {
                Ok((Stream::Stdout, text)) => self.stdout = text,
                Ok((Stream::Stderr, text)) => self.stderr = text,
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Outcome {
        let hangs = !self.ends_within(DEADLINE);
        if hangs {
            self.kill();
            assert!(self.ends_within(DEADLINE), "a run hangs and does not even die");
        }
        let status = self.child.wait().unwrap_or_else(|error| panic!("cannot wait for a run: {error}"));
        let (stdout, stderr) = (mem::take(&mut self.stdout), mem::take(&mut self.stderr));
        let outcome = Outcome::new(status, stdout, stderr, self.places.clone());
        assert!(!hangs, "a run hung for {DEADLINE:?} and was killed:\n{}", outcome.redacted());
        outcome
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().try_into().expect("a pid is a pid_t");
        // The process is ours and not waited for yet, so the pid is no one else's, even if it has ended.
        kill(Pid::from_raw(pid), signal).unwrap_or_else(|error| panic!("cannot send {signal}: {error}"));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when the run has ended in order, which is the usual case.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Until both streams are read to their ends, and kept.
        while self.output.recv_timeout(DEADLINE).is_ok() {}
    }
}

/// Returns a file that cargo has built for the same profile, such as `whimbrel` or
/// `libwhimbrel_adapter_sqlite.so`.
///
/// # Panics
///
/// When it is not there.
pub fn built_file(name: &str) -> PathBuf {
    let path = built_directory().join(name);
    assert!(
        path.is_file(),
        "{} is not there: `cargo xtask test` builds it, and so does `cargo build --workspace`",
        path.display()
    );
    path
}

/// Returns `target/<profile>`: a test runs as `target/<profile>/deps/NAME-HASH`, a program as `target/<profile>/NAME`.
fn built_directory() -> PathBuf {
    let program =
        env::current_exe().unwrap_or_else(|error| panic!("this program does not know its own path: {error}"));
    let deps = program.ancestors().find(|directory| directory.ends_with("deps"));
    let directory = deps.unwrap_or(&program).parent();
    directory.unwrap_or_else(|| panic!("{} lies in no directory", program.display())).to_owned()
}
