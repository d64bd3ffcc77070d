//! Passwords that stand elsewhere than in the url.
//!
//! Which variable and which file an engine's own tools look at is said by its adapter, in names alone; the
//! [`factory`](crate::factory) asks for what they hold. Looked at only when a database is chosen.
//!
//! Does not know what a password file says: it is handed on as it is.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use whimbrel_adapter_api::Secret;

use super::environment::Variables;
use super::file::directory_of;
use super::origin::{Located, Origin};
use crate::error::{Name, Problem, Result};

/// What there is of a password file.
#[derive(Clone, Debug)]
pub enum PasswordFile {
    /// Nothing.
    Absent,
    /// Its text.
    Read(Located<Secret>),
    /// A file that must not or cannot be used, and why.
    Ignored(Problem),
}

/// Where passwords may stand.
#[derive(Clone, Debug)]
pub struct Passwords {
    variables: Variables,
}

impl Passwords {
    pub(super) fn new(variables: &Variables) -> Self {
        Passwords { variables: variables.clone() }
    }

    /// Returns the password that a variable holds.
    ///
    /// # Errors
    ///
    /// When it is not text.
    pub fn of_variable(&self, name: &str) -> Result<Option<Located<Secret>>> {
        Ok(self.variables.get(name)?.map(|password| password.map(Secret::new)))
    }

    /// Returns the file of passwords that a variable names, else the one of this name in the home directory.
    ///
    /// # Errors
    ///
    /// When the variable is not text.
    pub fn of_file(&self, variable: &str, in_home: &str) -> Result<PasswordFile> {
        if let Some(named) = self.variables.get(variable)? {
            let directory = match &named.origin {
                Origin::DotEnv { path, .. } => directory_of(path),
                _ => self.variables.directory(),
            };
            return Ok(read(&directory.join(&named.value)));
        }
        let default = self.variables.home().map(|home| home.join(in_home)).filter(|path| path.exists());
        Ok(default.map_or(PasswordFile::Absent, |path| read(&path)))
    }
}

fn read(path: &Path) -> PasswordFile {
    let text = path.metadata().map_err(|error| ignored(path, &error.to_string())).and_then(|facts| {
        refusal(path, &facts).map_or(Ok(()), Err)?;
        std::fs::read_to_string(path).map_err(|error| ignored(path, &error.to_string()))
    });
    match text {
        Ok(text) => {
            PasswordFile::Read(Located::new(Secret::new(text), Origin::WholeFile { path: path.to_owned() }))
        }
        Err(problem) => PasswordFile::Ignored(problem),
    }
}

/// Says why a file may not be used: what others may read is no secret, and a pipe may never end.
fn refusal(path: &Path, facts: &Metadata) -> Option<Problem> {
    let mode = facts.mode() & 0o777;
    if !facts.is_file() {
        return Some(ignored(path, "it is not a plain file"));
    }
    (mode & 0o077 != 0).then(|| {
        let problem = ignored(path, &format!("others have access to it (mode {mode:04o})"));
        problem.hint(format!("`chmod 600 {}`", path.display()))
    })
}

fn ignored(path: &Path, reason: &str) -> Problem {
    Problem::new(Name::Config, format!("the password file is ignored: {reason}")).at(path)
}
