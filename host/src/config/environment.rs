//! The environment, read once.
//!
//! A snapshot of the process's variables and its working directory, or a made-up one in tests, and the `.env` files
//! that stand behind it. Nothing else in this crate reads the environment.
//!
//! Knows no variable's meaning: that is [`VARIABLES`](super::VARIABLES).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, getuid};

use super::origin::{Located, Origin};
use crate::error::{Name, Place, Problem, Result};

/// The variables and the working directory of a process.
///
/// `Debug` shows the names alone: values may be secrets.
#[derive(Clone, Default)]
pub struct Environment {
    directory: PathBuf,
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// Takes a snapshot of this process. Its working directory stays unnamed, so that paths in messages read as typed.
    #[must_use]
    pub fn of_process() -> Self {
        Environment { directory: PathBuf::new(), variables: std::env::vars_os().collect() }
    }

    /// Returns an environment with these variables and this working directory.
    #[must_use]
    pub fn new<'a>(
        directory: impl Into<PathBuf>,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let owned = |(name, value): (&str, &str)| (OsString::from(name), OsString::from(value));
        Environment { directory: directory.into(), variables: variables.into_iter().map(owned).collect() }
    }

    /// Returns whether `NO_COLOR` asks for text without colours.
    #[must_use]
    pub fn forbids_colour(&self) -> bool {
        self.variables.get(&OsString::from("NO_COLOR")).is_some_and(|value| !value.is_empty())
    }

    /// Returns the name of the user, for the history. Where no variable has it, as in containers, that of the account
    /// which this process runs under.
    #[must_use]
    pub fn user(&self) -> String {
        let named = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| match self.get(name) {
            Variable::Set(user) => Some(user),
            Variable::Unset | Variable::Empty | Variable::NotText => None,
        });
        named.unwrap_or_else(|| account(getuid()))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn get(&self, name: &str) -> Variable {
        match self.variables.get(&OsString::from(name)).map(|value| value.to_str()) {
            None => Variable::Unset,
            Some(None) => Variable::NotText,
            Some(Some("")) => Variable::Empty,
            Some(Some(value)) => Variable::Set(value.to_owned()),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.keys().collect();
        formatter
            .debug_struct("Environment")
            .field("directory", &self.directory)
            .field("names", &names)
            .finish()
    }
}

/// Returns the account's name, or its number: a container may run under one that nobody has named.
fn account(id: Uid) -> String {
    match User::from_uid(id) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid {id}"),
    }
}

/// What a variable holds.
enum Variable {
    Unset,
    Empty,
    NotText,
    Set(String),
}

/// The environment with the `.env` files behind it.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    environment: Environment,
    files: Vec<DotEnv>,
}

#[derive(Clone)]
struct DotEnv {
    path: PathBuf,
    variables: BTreeMap<String, String>,
}

impl fmt::Debug for DotEnv {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.keys().collect();
        formatter.debug_struct("DotEnv").field("path", &self.path).field("names", &names).finish()
    }
}

impl Variables {
    /// Reads the `.env` files of `directories`, the first of which wins.
    pub(super) fn read(
        environment: &Environment,
        directories: &[&Path],
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut files: Vec<DotEnv> = Vec::new();
        for path in directories.iter().map(|directory| directory.join(".env")) {
            // A folder of this name is a Python environment.
            if path.is_dir() || files.iter().any(|file| file.path == path) {
                continue;
            }
            match read_if_present(&path) {
                Ok(text) => files.extend(text.map(|text| DotEnv::parse(path, &text, problems))),
                Err(error) => problems.extend(error.problems),
            }
        }
        Variables { environment: environment.clone(), files }
    }

    /// Returns a variable of the environment, else of a `.env` file. An empty one counts as not set.
    pub(super) fn get(&self, name: &str) -> Result<Option<Located<String>>> {
        match self.environment.get(name) {
            Variable::Set(value) => Ok(Some(Located::new(value, Origin::Environment(name.to_owned())))),
            Variable::NotText => {
                Err(Problem::new(Name::Config, format!("`{name}` (environment) is not valid UTF-8")).into())
            }
            Variable::Empty | Variable::Unset => Ok(self.get_from_files(name)),
        }
    }

    fn get_from_files(&self, name: &str) -> Option<Located<String>> {
        self.files.iter().find_map(|file| {
            let value = file.variables.get(name).filter(|value| !value.is_empty())?;
            let origin = Origin::DotEnv { variable: name.to_owned(), path: file.path.clone() };
            Some(Located::new(value.clone(), origin))
        })
    }

    /// Returns the user's home directory, if the environment names it.
    pub(super) fn home(&self) -> Option<PathBuf> {
        let home = self.environment.variables.get(&OsString::from("HOME"))?;
        (!home.is_empty()).then(|| PathBuf::from(home))
    }

    pub(super) fn directory(&self) -> &Path {
        self.environment.directory()
    }

    /// Says in words why [`get`](Self::get) found nothing: `not set`, or `set, but empty`.
    pub(super) fn absence(&self, name: &str) -> &'static str {
        let empty_in_file = self.files.iter().any(|file| file.variables.contains_key(name));
        match self.environment.get(name) {
            Variable::Unset if !empty_in_file => "not set",
            _ => "set, but empty",
        }
    }
}

impl DotEnv {
    /// Reads `text`. A line that cannot be understood is a problem even where no value of it is asked for: it may have
    /// named the database, and without it a lesser place would name another one.
    fn parse(path: PathBuf, text: &str, problems: &mut Vec<Problem>) -> DotEnv {
        // A last line that ends with a space would be an error without its end.
        let text = format!("{text}\n");
        let (read, mut before) = (Cell::new(0), 0);
        let mut variables = BTreeMap::new();
        for item in dotenvy::Iter::new(Lines { rest: text.as_bytes(), read: &read }) {
            let entry = Entry::within(&text, before, read.get());
            before = read.get();
            match item {
                // The first of two lines wins, as where dotenvy sets the variables itself.
                Ok((name, value)) if !entry.swallows() => {
                    variables.entry(name).or_insert(value);
                }
                // The error of dotenvy quotes the line, which may hold a password: only its place is told.
                Ok(_) | Err(_) => problems.push(entry.problem(&path)),
            }
        }
        DotEnv { path, variables }
    }
}

/// Hands out one line at a time, so that it is known which ones an item was read from.
struct Lines<'a> {
    rest: &'a [u8],
    read: &'a Cell<usize>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let newline = self.rest.iter().position(|byte| *byte == b'\n');
        let line = newline.map_or(self.rest.len(), |newline| newline + 1);
        let (taken, rest) = self.rest.split_at(line.min(buffer.len()));
        buffer[..taken.len()].copy_from_slice(taken);
        self.rest = rest;
        self.read.set(self.read.get() + usize::from(taken.ends_with(b"\n")));
        Ok(taken.len())
    }
}

/// The lines of one variable. There are several where a quote goes on.
struct Entry<'a> {
    /// The number of the first line.
    first: usize,
    lines: Vec<&'a str>,
}

impl<'a> Entry<'a> {
    /// Returns what stands in the lines between two counts, without comments and empty lines before it.
    fn within(text: &'a str, before: usize, after: usize) -> Self {
        let numbered = (1..).zip(text.lines()).skip(before).take(after - before);
        let is_empty = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        let mut lines = numbered.skip_while(|(_, line)| is_empty(line)).peekable();
        let first = lines.peek().map_or(after, |(number, _)| *number);
        Entry { first, lines: lines.map(|(_, line)| line).collect() }
    }

    /// Returns whether the quote of a value over several lines ends amid a line. It is then the quote of another value,
    /// which was swallowed.
    fn swallows(&self) -> bool {
        let [first, .., last] = self.lines.as_slice() else { return false };
        let Some(quote) = first.chars().find(|letter| ['"', '\''].contains(letter)) else { return true };
        let plain = last.replace("\\\\", "").replace(&format!("\\{quote}"), "");
        let behind = plain.split_once(quote).map(|(_, behind)| behind.trim_start());
        behind.is_none_or(|behind| !behind.is_empty() && !behind.starts_with('#'))
    }

    fn problem(&self, path: &Path) -> Problem {
        let (what, hint) = match self.lines.len() {
            0 | 1 => ("this line cannot be understood", "write `NAME=value`, with quotes around spaces"),
            _ => (
                "a quote that is opened here does not end where its value ends",
                "close the quote in its line",
            ),
        };
        let line = u64::try_from(self.first).unwrap_or(u64::MAX);
        let place = Place { line: Some(line), ..Place::file(path) };
        Problem::new(Name::Config, what).at(place).hint(hint)
    }
}

/// Returns the text of a file, without a byte order mark, or `None` when there is no such file.
pub(super) fn read_if_present(path: &Path) -> Result<Option<String>> {
    let unreadable = |cause: String| {
        let message = format!("cannot read `{}`", path.display());
        Problem::new(Name::Config, message).at(path).caused_by(cause)
    };
    let mut bytes = Vec::new();
    match std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string()).into()),
    }
    let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not valid UTF-8".to_owned()))?;
    Ok(Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_without_a_name_has_its_number() {
        assert_eq!(account(Uid::from_raw(0)), "root");
        assert_eq!(account(Uid::from_raw(4_000_000_001)), "uid 4000000001");
    }

    #[test]
    fn the_user_is_the_first_that_a_variable_names() {
        let user = |variables: &[(&str, &str)]| Environment::new("", variables.iter().copied()).user();
        assert_eq!(user(&[("USER", "ana"), ("LOGNAME", "ben")]), "ana");
        assert_eq!(user(&[("USER", ""), ("LOGNAME", "ben")]), "ben");
        assert_eq!(user(&[("USERNAME", "eva")]), "eva");
        assert_eq!(user(&[]), account(getuid()));
    }
}
