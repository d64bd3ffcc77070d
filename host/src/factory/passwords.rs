//! Passwords for urls that have none.
//!
//! The adapter says where its engine's tools look, [`config`](crate::config) looks there, and the adapter takes what was
//! found where its url leaves it out.
//!
//! Reads no url: whether something is missing is the adapter's to know.

use whimbrel_adapter_api::{Passwords as Places, Secret};

use crate::config::{Located, PasswordFile, Passwords};
use crate::error::{Problem, Result};

/// What was found, and what would have been looked at.
#[derive(Clone, Debug, Default)]
pub struct FoundPasswords {
    /// The password that the adapter's variable holds.
    pub variable: Option<Located<Secret>>,
    /// The text of the adapter's password file.
    pub file: Option<Located<Secret>>,
    /// Why a password file that is there does not count.
    pub warning: Option<Problem>,
    places: Places,
}

impl FoundPasswords {
    /// Looks at the places that an adapter names.
    pub(super) fn look(places: &Places, passwords: &Passwords) -> Result<Self> {
        let mut found = FoundPasswords { places: places.clone(), ..FoundPasswords::default() };
        if let Some(variable) = &places.variable {
            found.variable = passwords.of_variable(variable)?;
        }
        if let Some(file) = &places.file {
            match passwords.of_file(&file.variable, &file.in_home)? {
                PasswordFile::Absent => {}
                PasswordFile::Read(text) => found.file = Some(text),
                PasswordFile::Ignored(problem) => found.warning = Some(problem),
            }
        }
        Ok(found)
    }

    /// Returns the passwords that are known as such: what a file says is the adapter's to know.
    pub(super) fn known(&self) -> Vec<&str> {
        self.variable.iter().map(|password| password.value.reveal()).collect()
    }

    /// Says where a password can be put for a url that has none, in words: `` `PGPASSWORD` or ~/.pgpass ``.
    #[must_use]
    pub fn places(&self) -> Option<String> {
        let variable = self.places.variable.as_ref().map(|variable| format!("`{variable}`"));
        let file = self.places.file.as_ref().map(|file| format!("~/{}", file.in_home));
        let places: Vec<String> = variable.into_iter().chain(file).collect();
        (!places.is_empty()).then(|| places.join(" or "))
    }
}
