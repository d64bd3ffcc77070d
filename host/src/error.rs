//! What went wrong, as data.
//!
//! Every module describes its problems with [`Problem`]; [`output`](crate::output) alone turns them into text or json,
//! and the exit code follows from the [`Name`]. Checks collect all their problems before they answer with an
//! [`Error`].
//!
//! Nothing here prints, and nothing here may hold a secret.

use std::fmt;
use std::path::{Path, PathBuf};

use whimbrel_adapter_api::ErrorKind;

use crate::report::Settled;

/// One or more problems. The first one decides the exit code.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Error {
    /// What was found, in the order in which it should be read. Never empty.
    pub problems: Vec<Problem>,
    /// The migrations that the run settled before, which stay.
    pub done: Vec<Settled>,
}

/// The answer of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns `Ok` when nothing was found.
    ///
    /// # Errors
    ///
    /// All of `problems`, if there are any.
    pub fn unless_empty(problems: Vec<Problem>) -> Result<()> {
        if problems.is_empty() { Ok(()) } else { Err(Error { problems, done: Vec::new() }) }
    }

    /// Sets what the database is like now, for every problem that does not say it.
    #[must_use]
    pub fn with_state(mut self, state: &str) -> Self {
        for problem in &mut self.problems {
            problem.state.get_or_insert_with(|| state.to_owned());
        }
        self
    }

    /// Returns the exit code of the program that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.problems.first().map_or(70, |problem| problem.name.exit_code())
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Error { problems: vec![problem], done: Vec::new() }
    }
}

/// One problem: what happened, where, what the database is like now, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The situation, for programs.
    pub name: Name,
    /// The migration concerned.
    pub migration: Option<String>,
    /// What happened. Lower case, no full stop, values in backticks.
    pub message: String,
    /// Where: the files concerned.
    pub places: Vec<Place>,
    /// Lines that add something a reader needs.
    pub facts: Vec<String>,
    /// The driver's or system's own words.
    pub cause: Option<String>,
    /// The server's SQLSTATE.
    pub sqlstate: Option<String>,
    /// What the database is like now. Present whenever one was touched.
    pub state: Option<String>,
    /// The next command, or the cure.
    pub hint: Option<String>,
}

impl Problem {
    /// Returns a problem with nothing but its name and message.
    #[must_use]
    pub fn new(name: Name, message: impl Into<String>) -> Self {
        Problem {
            name,
            migration: None,
            message: message.into(),
            places: Vec::new(),
            facts: Vec::new(),
            cause: None,
            sqlstate: None,
            state: None,
            hint: None,
        }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, place: impl Into<Place>) -> Self {
        self.places.push(place.into());
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, fact: impl Into<String>) -> Self {
        self.facts.push(fact.into());
        self
    }

    /// Adds the places that were searched, each with the reason why it did not do.
    #[must_use]
    pub fn looked_in(mut self, places: impl IntoIterator<Item = (String, String)>) -> Self {
        for (index, (place, reason)) in places.into_iter().enumerate() {
            let label = if index == 0 { "looked in" } else { "" };
            self.facts.push(format!("{label:<9}  {place}      {reason}"));
        }
        self
    }

    /// Sets the driver's or system's own words.
    #[must_use]
    pub fn caused_by(self, cause: impl Into<String>) -> Self {
        Problem { cause: Some(cause.into()), ..self }
    }

    /// Sets what the database is like now.
    #[must_use]
    pub fn state(self, state: impl Into<String>) -> Self {
        Problem { state: Some(state.into()), ..self }
    }

    /// Sets the next command, or the cure.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Problem { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// Returns the problem of an adapter's error that says more about the connection or the adapter than about the work.
pub(crate) fn of_connection(error: &whimbrel_adapter_api::Error) -> Option<Problem> {
    let (name, message) = match error.kind {
        ErrorKind::Unreachable | ErrorKind::NotReady | ErrorKind::Tls | ErrorKind::DatabaseMissing => {
            (Name::Connection, "cannot connect to the database")
        }
        ErrorKind::ConnectionLost => (Name::Connection, "the connection to the database was lost"),
        ErrorKind::Authentication => (Name::Authentication, "the database refuses this user or password"),
        ErrorKind::InUse => (Name::LockHeld, "another process has the database to itself"),
        ErrorKind::InvalidUrl => (Name::UrlInvalid, "the adapter refuses the url"),
        ErrorKind::Unsupported => (Name::Unsupported, "the adapter cannot do this"),
        ErrorKind::Panicked => (Name::AdapterPanicked, "the adapter panicked"),
        ErrorKind::Crashed => (Name::AdapterCrashed, "the adapter crashed"),
        ErrorKind::Misbehaved => (Name::AdapterMisbehaved, "the adapter broke its contract"),
        _ => return None,
    };
    let mut problem = match error.kind {
        // Its message says all of that already.
        ErrorKind::Panicked => Problem::new(name, error.message.clone()),
        _ => Problem::new(name, message).caused_by(error.message.clone()),
    };
    problem.sqlstate.clone_from(&error.sqlstate);
    problem.hint.clone_from(&error.hint);
    if matches!(error.kind, ErrorKind::Panicked | ErrorKind::Crashed) && problem.hint.is_none() {
        problem.hint = Some("report this to the adapter's author".to_owned());
    }
    Some(problem)
}

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The file, as the user would type it.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: Option<u64>,
    /// The column in characters, from 1.
    pub column: Option<u64>,
    /// Words after the place: ``database `app` ``.
    pub note: Option<String>,
    /// The text of the line, for a frame under the message.
    pub excerpt: Option<String>,
}

impl Place {
    /// Returns a place that is a whole file.
    #[must_use]
    pub fn file(file: impl Into<PathBuf>) -> Self {
        Place { file: file.into(), ..Place::default() }
    }

    /// Returns a place at a line and column.
    #[must_use]
    pub fn position(file: impl Into<PathBuf>, line: u64, column: u64) -> Self {
        Place { line: Some(line), column: Some(column), ..Place::file(file) }
    }

    /// Adds the text of the line.
    #[must_use]
    pub fn with_excerpt(self, line: impl Into<String>) -> Self {
        Place { excerpt: Some(line.into()), ..self }
    }

    /// Adds words after the place.
    #[must_use]
    pub fn with_note(self, note: impl Into<String>) -> Self {
        Place { note: Some(note.into()), ..self }
    }
}

impl From<&Path> for Place {
    fn from(file: &Path) -> Self {
        Place::file(file)
    }
}

macro_rules! names {
    ($( #[doc = $doc:literal] $variant:ident = $word:literal, $exit:literal; )+) => {
        /// The situation that a [`Problem`] describes. Names and exit codes are a contract with scripts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Name { $( #[doc = $doc] $variant, )+ }

        impl Name {
            /// Every name, in the order of the documentation.
            pub const ALL: &'static [Name] = &[$(Name::$variant),+];

            /// Returns the word in `error[…]`.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $( Name::$variant => $word, )+ }
            }

            /// Returns the exit code of the program.
            #[must_use]
            pub const fn exit_code(self) -> u8 {
                match self { $( Name::$variant => $exit, )+ }
            }

            /// Returns the situation in one sentence.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $( Name::$variant => $doc.trim_ascii(), )+ }
            }
        }
    };
}

names! {
    /// A statement failed; the migration was rolled back.
    Statement = "statement", 1;
    /// The answer of `verify` is no.
    NotVerified = "not-verified", 1;
    /// The command line cannot be understood.
    Usage = "usage", 2;
    /// plugins.toml, an environment variable or `.env` cannot be understood.
    Config = "config", 2;
    /// Nothing gives a url for the database.
    UrlMissing = "url-missing", 2;
    /// The adapter refuses the url.
    UrlInvalid = "url-invalid", 2;
    /// The folder of the migrations cannot be read.
    FolderUnreadable = "folder-unreadable", 2;
    /// No migration has this id.
    MigrationUnknown = "migration-unknown", 2;
    /// The adapter cannot do what was asked.
    Unsupported = "unsupported", 2;
    /// A file's name is no migration's name.
    FileName = "file-name", 4;
    /// Two migrations have the same version.
    DuplicateVersion = "duplicate-version", 4;
    /// Two files are the same half of one migration.
    DuplicateFile = "duplicate-file", 4;
    /// There is a down script without an up script.
    DownWithoutUp = "down-without-up", 4;
    /// A header or metadata.toml cannot be understood.
    Metadata = "metadata", 4;
    /// A file cannot be read.
    FileUnreadable = "file-unreadable", 4;
    /// A script cannot be split into statements.
    Script = "script", 4;
    /// A script controls transactions in a way that cannot be kept.
    TransactionControl = "transaction-control", 4;
    /// A script mixes statements that need a transaction with statements that refuse one.
    MixedTransaction = "mixed-transaction", 4;
    /// A script holds a command of the engine's own client.
    ClientCommand = "client-command", 4;
    /// A file changed after it was applied.
    EditedAfterApply = "edited-after-apply", 4;
    /// A migration was applied and its file is gone.
    FileMissing = "file-missing", 4;
    /// A file has another name than when it was applied.
    Renamed = "renamed", 4;
    /// A pending migration is older than one that was applied.
    OutOfOrder = "out-of-order", 4;
    /// A migration needs another one that is not before it.
    DependencyMissing = "dependency-missing", 4;
    /// There is nothing that takes the migration back.
    Irreversible = "irreversible", 4;
    /// A file changed while it was sent.
    ChangedWhileRead = "changed-while-read", 4;
    /// The history table stands in another schema than the current one.
    HistoryElsewhere = "history-elsewhere", 4;
    /// The history table cannot be read or holds what this version does not know.
    HistoryUnreadable = "history-unreadable", 4;
    /// A migration is in the database in part.
    PartlyApplied = "partly-applied", 5;
    /// Another run is at work on the database.
    LockHeld = "lock-held", 6;
    /// A safety rule forbids it.
    Refused = "refused", 7;
    /// The server cannot be reached.
    Connection = "connection", 8;
    /// The server refuses user or password.
    Authentication = "authentication", 8;
    /// The connection was lost while a commit was on its way.
    InDoubt = "in-doubt", 8;
    /// No adapter has this name.
    AdapterNotFound = "adapter-not-found", 9;
    /// An adapter's library cannot be loaded.
    AdapterNotLoaded = "adapter-not-loaded", 9;
    /// An adapter's library is not the one that was locked.
    AdapterChanged = "adapter-changed", 9;
    /// An adapter speaks another ABI.
    AbiMismatch = "abi-mismatch", 9;
    /// An adapter panicked.
    AdapterPanicked = "adapter-panicked", 9;
    /// The process of an adapter has ended.
    AdapterCrashed = "adapter-crashed", 9;
    /// An adapter answered something that the contract does not allow.
    AdapterMisbehaved = "adapter-misbehaved", 9;
    /// An adapter does not come back from what it was asked for.
    AdapterHangs = "adapter-hangs", 9;
    /// The program is wrong.
    Bug = "bug", 70;
    /// The results cannot be written to standard output.
    OutputUnwritable = "output-unwritable", 2;
    /// Interrupted from the terminal.
    Interrupted = "interrupted", 130;
    /// Asked to end by a signal.
    Terminated = "terminated", 143;
}

/// Returns the one of `known` that `word` was most likely meant to be.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may differ: `sqlte` is `sqlite`, and `mysql` is not `sqlite`.
    let allowed = word.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Writes everything a problem says, for whole comparisons in tests.
#[cfg(test)]
pub(crate) fn told(problems: &[Problem]) -> String {
    let mut lines = Vec::new();
    for problem in problems {
        lines.push(format!("error[{}]: {}", problem.name.word(), problem.message));
        for place in &problem.places {
            let position =
                [place.line, place.column].into_iter().flatten().map(|number| format!(":{number}"));
            let note = place.note.as_ref().map(|note| format!("  {note}")).unwrap_or_default();
            lines.push(format!("  --> {}{}{note}", place.file.display(), position.collect::<String>()));
        }
        lines.extend(problem.facts.iter().map(|fact| format!("  {fact}")));
        let rest = [("caused by", &problem.cause), ("state", &problem.state), ("hint", &problem.hint)];
        lines.extend(
            rest.into_iter().filter_map(|(label, text)| Some(format!("{label}: {}", text.as_ref()?))),
        );
    }
    lines.join("\n")
}
