//! What holds for one database, as values of their own types.

use std::path::PathBuf;
use std::time::Duration;

use super::file::list;
use super::keys::{Section, keys_of};
use super::layers::Layer;
use super::origin::{Located, Origin};
use super::url::Urls;
use crate::error::{Name, Problem, nearest};

/// What holds for one database.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DatabaseConfig {
    /// Its name: that of its folder.
    pub name: Located<String>,
    /// Its folder, there or not.
    pub folder: PathBuf,
    /// The adapter, if it was named.
    pub adapter: Option<Located<String>>,
    /// The table that holds the history.
    pub table: Located<String>,
    /// How `up` sends migrations.
    pub mode: Located<Mode>,
    /// What happens to a pending migration that is older than one that was applied.
    pub out_of_order: Located<OutOfOrder>,
    /// Whether changes need to be confirmed.
    pub stage: Located<Stage>,
    /// The environment, for migrations that are meant for some only.
    pub environment: Option<Located<String>>,
    /// How long a statement waits for a lock.
    pub lock_timeout: Option<Located<Duration>>,
    /// How long a statement runs.
    pub statement_timeout: Option<Located<Duration>>,
    /// How long to wait for another runner.
    pub wait_for_runner: Located<Duration>,
    /// How long to wait for a server that is starting.
    pub wait_for_database: Located<Duration>,
    /// Where it is.
    pub urls: Urls,
}

macro_rules! words {
    ($( #[doc = $doc:literal] $name:ident { $( #[doc = $meaning:literal] $variant:ident = $word:literal, )+ } )+) => { $(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( #[doc = $meaning] $variant, )+ }

        impl $name {
            /// The words of plugins.toml.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Returns the word of plugins.toml.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $( $name::$variant => $word, )+ }
            }

            pub(super) fn of_word(word: &str) -> Option<Self> {
                match word { $( $word => Some($name::$variant), )+ _ => None }
            }
        }
    )+ };
}

words! {
    /// How `up` sends migrations.
    Mode {
        /// Each migration in a turn of its own.
        Strict = "strict",
        /// Many migrations in one turn, each in its own transaction.
        Batch = "batch",
        /// All migrations in one transaction.
        SingleTransaction = "single-transaction",
    }
    /// What happens to a pending migration that is older than one that was applied.
    OutOfOrder {
        /// Nothing is run.
        Refuse = "refuse",
        /// It is run, with a warning.
        Warn = "warn",
        /// It is run.
        Allow = "allow",
    }
    /// Whether a database's changes need to be confirmed: `production` in plugins.toml.
    Stage {
        /// They need not.
        Ordinary = "false",
        /// They need `--confirm NAME`.
        Production = "true",
    }
    /// Whether an adapter runs in a process of its own: `isolate` in plugins.toml.
    Isolation {
        /// It is loaded into this process.
        None = "false",
        /// It runs in a process of its own.
        Process = "true",
    }
}

/// Reads a duration as it stands in plugins.toml and on the command line: `10m`, `5s`, `500ms`, `1h 30m`.
///
/// # Errors
///
/// A sentence that names the text, for the end of a message.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong =
        |_| format!("`{text}` is no duration: write a number and a unit, such as `10m`, `5s` or `500ms`");
    humantime::parse_duration(text).map_err(wrong)
}

/// Returns the layer under all others.
pub(super) fn defaults() -> Layer {
    let located = |key: &super::Key| Some((key.name, Located::new(key.default?.to_owned(), Origin::Default)));
    keys_of(Section::Database).filter_map(located).collect()
}

/// Turns the text of merged layers into values.
pub(super) struct Settings<'a> {
    pub(super) values: Layer,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Settings<'_> {
    /// Returns `None` after a problem with a value that has no other.
    pub(super) fn database(
        mut self,
        name: Located<String>,
        folder: PathBuf,
        urls: Urls,
    ) -> Option<DatabaseConfig> {
        let adapter = self.text("adapter");
        let table = self.table();
        let mode = self.choice("mode", Mode::WORDS, Mode::of_word);
        let out_of_order = self.choice("out_of_order", OutOfOrder::WORDS, OutOfOrder::of_word);
        let stage = self.choice("production", Stage::WORDS, Stage::of_word);
        let environment = self.text("env");
        let lock_timeout = self.duration("lock_timeout");
        let statement_timeout = self.duration("statement_timeout");
        let wait_for_runner = self.duration("wait_for_runner");
        let wait_for_database = self.duration("wait_for_database");
        Some(DatabaseConfig {
            name,
            folder,
            adapter,
            table: table?,
            mode: mode?,
            out_of_order: out_of_order?,
            stage: stage?,
            environment,
            lock_timeout,
            statement_timeout,
            wait_for_runner: wait_for_runner?,
            wait_for_database: wait_for_database?,
            urls,
        })
    }

    fn text(&mut self, name: &'static str) -> Option<Located<String>> {
        let text = self.values.get(name)?.clone();
        if text.value.trim().is_empty() {
            self.refuse(&text, format!("`{name}` is empty"), None);
            return None;
        }
        Some(text)
    }

    fn table(&mut self) -> Option<Located<String>> {
        let text = self.text("table")?;
        let Some(wrong) = wrong_in_table(&text.value) else { return Some(text) };
        let hint = "write the name of a table, or of a schema and a table: `app.migrations`".to_owned();
        self.refuse(&text, format!("`table` is `{}`, and {wrong}", text.value.escape_debug()), Some(hint));
        None
    }

    fn duration(&mut self, name: &'static str) -> Option<Located<Duration>> {
        let text = self.values.get(name)?.clone();
        match humantime::parse_duration(&text.value) {
            Ok(duration) => Some(text.map(|_| duration)),
            Err(_) => {
                let hint = "write a number and a unit, such as `10m`, `5s` or `500ms`";
                self.refuse(
                    &text,
                    format!("`{name}` is `{}`, which is no duration", text.value),
                    Some(hint.to_owned()),
                );
                None
            }
        }
    }

    fn choice<T>(
        &mut self,
        name: &'static str,
        words: &'static [&'static str],
        of_word: fn(&str) -> Option<T>,
    ) -> Option<Located<T>> {
        let text = self.values.get(name)?.clone();
        let Some(value) = of_word(&text.value) else {
            let hint = match nearest(&text.value, words.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("it is one of {}", list(words)),
            };
            self.refuse(&text, format!("`{name}` cannot be `{}`", text.value), Some(hint));
            return None;
        };
        Some(text.map(|_| value))
    }

    fn refuse(&mut self, value: &Located<String>, message: String, hint: Option<String>) {
        let mut problem = Problem::new(Name::Config, message);
        problem = match value.origin.place() {
            Some(place) => problem.at(place),
            None => problem.fact(format!("it comes from {}", value.origin)),
        };
        problem.hint = hint;
        self.problems.push(problem);
    }
}

/// Returns what is wrong with the name of a table, with or without its schema.
fn wrong_in_table(name: &str) -> Option<&'static str> {
    let is_alien = |letter: char| letter.is_control() || ['"', '\'', '`'].contains(&letter);
    if name.split('.').any(|part| part.trim().is_empty()) {
        return Some("a part of it is empty");
    }
    if name.contains(is_alien) {
        return Some("a name has no quotes and no control characters");
    }
    // A server that cuts a name says nothing, and the histories of two programs would be one.
    let is_cut = name.split('.').any(|part| part.len() > LONGEST_NAME);
    is_cut.then_some("a name has at most 63 bytes: a server may cut a longer one")
}

/// What every engine keeps of a name, in bytes.
const LONGEST_NAME: usize = 63;
