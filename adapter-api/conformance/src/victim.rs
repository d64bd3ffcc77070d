//! A process that is killed in the middle of its work.
//!
//! The suite starts it with a command of the program that embeds it, tells it on its standard input what to do, and reads
//! from its standard output when it is in the middle. It ends by itself when its standard input ends.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use whimbrel_adapter_api::{Adapter, ConnectOptions, Mode, Secret, TableName};

use crate::client::Client;
use crate::finding::Finding;
use crate::work::{Script, run_watched};

/// Makes the command that starts a process which calls [`act`] with the same adapter.
#[derive(Clone)]
pub struct Victim {
    command: Arc<dyn Fn() -> Command + Send + Sync>,
    clean: Arc<dyn Fn(&str) -> String + Send + Sync>,
}

impl Victim {
    /// Returns what starts a process with the command that `command` makes.
    #[must_use]
    pub fn new(command: impl Fn() -> Command + Send + Sync + 'static) -> Self {
        Victim { command: Arc::new(command), clean: Arc::new(str::to_owned) }
    }

    /// Has what the process says cleaned of the secrets that it was told.
    #[must_use]
    pub fn cleaned_by(mut self, clean: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        self.clean = Arc::new(clean);
        self
    }

    /// Starts a process, and returns when it is in the middle of its work.
    pub(crate) fn start(&self, task: &Task<'_>) -> Result<Running, Finding> {
        let failed = |error: io::Error| Finding::new(format!("the process to kill: {error}"));
        let mut command = (self.command)();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let told = child.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(task.told().as_bytes()));
        let said = child.stdout.take().map(BufReader::new);
        let mut running = Running { child, said };
        told.map_err(failed)?;
        running
            .listen()
            .map_err(|heard| Finding::new(format!("the process to kill {}", (self.clean)(&heard))))?;
        Ok(running)
    }
}

/// What a process is to do.
pub(crate) struct Task<'a> {
    pub(crate) options: &'a ConnectOptions,
    pub(crate) history: &'a str,
    pub(crate) mode: Mode,
    pub(crate) middle: Middle,
    pub(crate) statements: &'a [String],
}

/// When a process is in the middle of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Middle {
    /// Once all statements but the last are handed out. It waits there.
    BeforeTheLast,
    /// When the last is handed out. It goes on.
    InTheLast,
}

impl Middle {
    fn word(self) -> &'static str {
        match self {
            Middle::BeforeTheLast => "before",
            Middle::InTheLast => "in",
        }
    }
}

impl Task<'_> {
    /// Returns the task as the other process reads it, line by line.
    fn told(&self) -> String {
        let secret = |secret: &Option<Secret>| secret.as_ref().map_or("", Secret::reveal).to_owned();
        let mut lines = vec![
            self.options.url.reveal().to_owned(),
            secret(&self.options.password),
            secret(&self.options.password_file),
            self.history.to_owned(),
            self.mode.code().to_string(),
            self.middle.word().to_owned(),
            self.statements.len().to_string(),
        ];
        lines.extend(self.statements.iter().cloned());
        lines.iter().map(|line| format!("{}\n", on_one_line(line))).collect()
    }
}

fn on_one_line(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn as_it_was(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(if characters.next() == Some('n') { '\n' } else { '\\' }),
            other => text.push(other),
        }
    }
    text
}

/// A process in the middle of its work. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    said: Option<BufReader<ChildStdout>>,
}

impl Running {
    /// Kills the process, and returns when it is gone.
    pub(crate) fn kill(mut self) -> Result<(), Finding> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(drop).map_err(|error| Finding::new(format!("the process cannot be killed: {error}")))
    }

    fn listen(&mut self) -> Result<(), String> {
        let mut line = String::new();
        let read = self.said.as_mut().map_or(Ok(0), |said| said.read_line(&mut line));
        match (read, line.trim()) {
            (Ok(_), READY) => Ok(()),
            (Ok(_), "") => Err("has ended by itself".to_owned()),
            (Ok(_), line) => Err(format!("says: {line}")),
            (Err(error), _) => Err(format!("cannot be heard: {error}")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const READY: &str = "ready";

/// Is the process to be killed: reads from `told` what to do, and says on `say` when it is in the middle.
///
/// Returns when `told` ends, or when the work could not be begun.
pub fn act(adapter: &dyn Adapter, told: &mut dyn BufRead, say: &mut dyn Write) {
    let outcome = work(adapter, told, say);
    if let Err(finding) = outcome {
        // Nobody may be left to hear it.
        let _ = writeln!(say, "{finding}");
    }
}

fn work(adapter: &dyn Adapter, told: &mut dyn BufRead, say: &mut dyn Write) -> Result<(), Finding> {
    let mut line = || -> Result<String, Finding> {
        let mut line = String::new();
        told.read_line(&mut line).map_err(|error| Finding::new(error.to_string()))?;
        Ok(as_it_was(line.trim_end_matches('\n')))
    };
    let number =
        |line: String| line.parse::<u32>().map_err(|_| Finding::new(format!("`{line}` is no number")));
    let secret = |line: String| Some(line).filter(|line| !line.is_empty()).map(Secret::new);
    let mut options = ConnectOptions::new(Secret::new(line()?));
    options.password = secret(line()?);
    options.password_file = secret(line()?);
    let history = line()?;
    let mode = Mode::from_code(number(line()?)?).ok_or_else(|| Finding::new("there is no such mode"))?;
    let waits = line()? == Middle::BeforeTheLast.word();
    let statements = (0..number(line()?)?).map(|_| line()).collect::<Result<Vec<String>, Finding>>()?;

    let mut client = Client::open(adapter.connect(&options)?, &TableName::new(history))?;
    let head = client.head(1, mode, statements.len() as u64)?;
    let pieces: Vec<[&str; 1]> = statements.iter().map(|statement| [statement.as_str()]).collect();
    let pieces: Vec<&[&str]> = pieces.iter().map(<[&str; 1]>::as_slice).collect();
    let last = pieces.len().saturating_sub(1);
    let script = Script::default().then(head, &pieces);
    let mut reach = |piece: usize| -> io::Result<()> {
        if piece == last {
            writeln!(say, "{READY}").and_then(|()| say.flush())?;
            if waits {
                // Until it is killed, or whoever started it is gone.
                io::copy(told, &mut io::sink())?;
            }
        }
        Ok(())
    };
    let mut watch = |piece| reach(piece).map_err(|error| Finding::new(error.to_string()));
    run_watched(client.connection.as_mut(), script, &mut watch).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_cleaned() {
        let shell = || {
            let mut command = Command::new("sh");
            command.args(["-c", "read url; echo cannot reach $url"]);
            command
        };
        let options = ConnectOptions::new(Secret::new("toy://u:hunter2@h"));
        let (mode, middle) = (Mode::Atomic, Middle::InTheLast);
        let task = Task { options: &options, history: "history", mode, middle, statements: &[] };
        let victim = Victim::new(shell).cleaned_by(|said| said.replace("hunter2", "****"));
        let heard = victim.start(&task).err().map(|finding| finding.to_string());
        assert_eq!(heard.as_deref(), Some("the process to kill says: cannot reach toy://u:****@h"));
    }

    #[test]
    fn a_text_of_several_lines_comes_back_from_one() {
        for text in ["", "a", "a\nb\\n\\\\", "\\"] {
            assert!(!on_one_line(text).contains('\n'));
            assert_eq!(as_it_was(&on_one_line(text)), text);
        }
    }
}
