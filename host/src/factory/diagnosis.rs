//! Explains the choice of an adapter.
//!
//! Asks for it as every command does, so that the explanation cannot differ from what happens, and tells of all the other
//! libraries why they are not the one.

use super::{AdapterFactory, Chosen, Rule, redact};
use crate::config::DatabaseConfig;
use crate::error::Result;
use crate::plugin::{Found, Searched, Verdict};

/// How the choice of the adapter for a database comes about.
#[derive(Debug)]
pub struct Diagnosis {
    /// The database.
    pub database: String,
    /// The adapter, if there is one to choose.
    pub picked: Option<Picked>,
    /// What became of it.
    pub outcome: Result<Taken>,
    /// The libraries that are not the one, in search order.
    pub passed_over: Vec<PassedOver>,
    /// The folders that were searched, in order.
    pub searched: Vec<Searched>,
}

/// An adapter that was picked by name or url.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// The adapter's name.
    pub adapter: String,
    /// Why it was picked.
    pub rule: Rule,
    /// Its library, unless it is part of the program.
    pub library: Option<Found>,
}

/// That the adapter was loaded and has taken the url.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The url, without its secrets.
    pub url: String,
    /// Where the url comes from, for people.
    pub url_from: String,
    /// Whether the library had to be a certain one.
    pub pinning: Pinning,
}

/// Whether it is written down what the libraries have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// In `plugins.lock`.
    Locked,
    /// Nowhere.
    Open,
}

/// A library that is not chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The library.
    pub found: Found,
    /// Why not, in words.
    pub reason: String,
}

impl AdapterFactory {
    /// Explains what [`choose`](AdapterFactory::choose) answers.
    #[must_use]
    pub fn diagnose(&self, database: &DatabaseConfig) -> Diagnosis {
        let shelves = self.shelves();
        let picked = shelves.pick(database).ok().map(|(chosen, rule)| Picked {
            adapter: chosen.name().to_owned(),
            rule,
            library: match chosen {
                Chosen::Linked(..) => None,
                Chosen::Library(found) => Some(found.clone()),
            },
        });
        let library = picked.as_ref().and_then(|picked| picked.library.as_ref());
        let others = shelves.inventory.found.iter().filter(|found| Some(*found) != library);
        let passed_over = others
            .map(|found| PassedOver { found: found.clone(), reason: why_not(found, picked.as_ref()) })
            .collect();
        let searched = shelves.inventory.directories.clone();
        let database_name = database.name.value.clone();
        Diagnosis { database: database_name, outcome: self.taken(database), picked, passed_over, searched }
    }

    fn taken(&self, database: &DatabaseConfig) -> Result<Taken> {
        let choice = self.choose(database)?;
        let pinning = if self.lock()?.is_some() { Pinning::Locked } else { Pinning::Open };
        Ok(Taken { url: redact(choice.url.value.reveal()), url_from: choice.url.origin.to_string(), pinning })
    }
}

fn why_not(found: &Found, picked: Option<&Picked>) -> String {
    if found.verdict != Verdict::Usable {
        return found.verdict.to_string();
    }
    let Some(Picked { adapter, rule, .. }) = picked else {
        return "fits neither the name nor the url".to_owned();
    };
    let note = found.note.as_ref();
    let has_alias = |word: &String| note.is_some_and(|note| note.aliases.contains(word));
    let (fits, otherwise) = match rule {
        Rule::Configured { origin, .. } => return format!("{origin} names `{adapter}`"),
        Rule::FolderName { .. } => (has_alias(adapter), "has another name"),
        Rule::FolderAlias { folder, .. } => (has_alias(folder), "has no such name or alias"),
        Rule::Scheme { scheme, .. } => {
            (note.is_some_and(|note| note.schemes.contains(scheme)), "does not serve the scheme")
        }
    };
    if fits { format!("would do too, but `{adapter}` comes first") } else { otherwise.to_owned() }
}
