//! Where a value comes from.

use std::fmt;
use std::path::PathBuf;

use crate::error::Place;

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

impl<T> Located<T> {
    /// Returns `value` with its origin.
    #[must_use]
    pub fn new(value: T, origin: Origin) -> Self {
        Located { value, origin }
    }

    /// Returns the result of `change` with the same origin.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: change(self.value), origin: self.origin }
    }
}

/// Where a value comes from. `Display` writes it as it stands in messages: `` `DATABASE_URL` (environment) ``.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// An argument or option of the command line: `DATABASE`, `--url`.
    Flag(String),
    /// The application that uses the library.
    Application,
    /// An environment variable.
    Environment(String),
    /// A variable in a `.env` file.
    DotEnv {
        /// The variable.
        variable: String,
        /// The file.
        path: PathBuf,
    },
    /// A value in plugins.toml.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column in characters, from 1.
        column: u64,
    },
    /// A file that holds nothing else.
    WholeFile {
        /// The file.
        path: PathBuf,
    },
    /// Nothing says otherwise.
    Default,
}

impl Origin {
    /// Returns the place in a file, if it is one.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self {
            Origin::File { path, line, column } => Some(Place::position(path, *line, *column)),
            Origin::DotEnv { path, .. } | Origin::WholeFile { path } => Some(Place::file(path)),
            Origin::Flag(_) | Origin::Application | Origin::Environment(_) | Origin::Default => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => write!(formatter, "`{flag}` (command line)"),
            Origin::Application => formatter.write_str("the application"),
            Origin::Environment(variable) => write!(formatter, "`{variable}` (environment)"),
            Origin::DotEnv { variable, path } => write!(formatter, "`{variable}` ({})", path.display()),
            Origin::File { path, line, column } => write!(formatter, "{}:{line}:{column}", path.display()),
            Origin::WholeFile { path } => write!(formatter, "{}", path.display()),
            Origin::Default => formatter.write_str("the default"),
        }
    }
}
