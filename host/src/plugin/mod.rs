//! Finds adapters in libraries, and loads the one that is used.
//!
//! A [`Search`] knows the places, an [`Inventory`] is what lies in them, told from the notes of the files alone. Each
//! file that does not do has its own reason ([`Verdict`]), which the messages and `whimbrel adapters` show.
//!
//! Never searches the working directory or LD_LIBRARY_PATH, and decides nothing about urls.

mod load;
pub mod lock;
mod note;
#[cfg(test)]
pub(crate) mod tests;
mod trust;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use whimbrel_adapter_api::Adapter;
use whimbrel_adapter_api::loading::LoadError;
use whimbrel_adapter_api::note::{ABI, API_VERSION, Note, TARGET};

use self::load::Refusal;
use self::note::{Inside, this_machine};
pub use self::trust::Distrust;
use crate::error::{Name, Problem, Result, nearest};

/// The places in which adapters are searched for, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    libraries: Vec<(String, PathBuf)>,
    directories: Vec<(PathBuf, Shelf)>,
}

/// What kind of place a library was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shelf {
    /// `adapters.NAME.path`.
    Explicit,
    /// A folder of `plugins`.
    Configured,
    /// The folder of the program, or `lib/whimbrel` beside it.
    Program,
    /// A folder of the system.
    System,
}

/// What the places hold.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The libraries, in search order.
    pub found: Vec<Found>,
    /// The folders that were searched, in order.
    pub directories: Vec<Searched>,
}

/// A folder that was searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Searched {
    /// The folder.
    pub path: PathBuf,
    /// What kind of place it is.
    pub shelf: Shelf,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of searching a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was read.
    Read,
    /// It is not there.
    Absent,
    /// It cannot be read, in the system's words.
    Unreadable(String),
}

/// A library.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The adapter's name: from the note, else from plugins.toml, else from the file's name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// What kind of place it lies in.
    pub shelf: Shelf,
    /// What it says of itself.
    pub note: Option<Note>,
    /// Whether it can be used.
    pub verdict: Verdict,
}

/// Whether a library can be used, and why not. `Display` gives the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It can, as far as can be known before it is loaded.
    Usable,
    /// It could be, but an earlier one has the same name.
    Shadowed {
        /// The earlier one.
        by: PathBuf,
    },
    /// There is no such file.
    NotThere,
    /// Somebody who is not trusted could have put it there.
    Untrusted(Distrust),
    /// It is no adapter.
    NotOurs {
        /// What it is.
        reason: String,
    },
    /// It was built for another architecture, system or C library.
    WrongMachine {
        /// What it was built for.
        built_for: String,
        /// What this program was built for.
        ours: &'static str,
    },
    /// It speaks another ABI.
    WrongAbi {
        /// What it speaks: `ABI 2`.
        theirs: String,
        /// What this program speaks.
        ours: String,
    },
    /// It is damaged, or not what it should be.
    Broken {
        /// What is wrong.
        reason: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Usable => formatter.write_str("usable"),
            Verdict::Shadowed { by } => write!(formatter, "not used: {} comes first", by.display()),
            Verdict::NotThere => formatter.write_str("not there"),
            Verdict::Untrusted(distrust) => write!(formatter, "not trusted: {}", distrust.reason),
            Verdict::NotOurs { reason } => write!(formatter, "not an adapter: {reason}"),
            Verdict::WrongMachine { built_for, ours } => {
                write!(formatter, "wrong architecture: {built_for}, this is {ours}")
            }
            Verdict::WrongAbi { theirs, ours } => {
                write!(formatter, "wrong ABI: {theirs}, this program has {ours}")
            }
            Verdict::Broken { reason } => write!(formatter, "broken: {reason}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Outcome::Read => "read",
            Outcome::Absent => "no such folder",
            Outcome::Unreadable(error) => error,
        })
    }
}

impl Search {
    /// Returns a search that looks nowhere.
    #[must_use]
    pub fn nowhere() -> Self {
        Search::default()
    }

    /// Adds a library for the adapter `name`: exactly this file, whatever lies elsewhere.
    #[must_use]
    pub fn library(mut self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.libraries.push((name.into(), path.into()));
        self
    }

    /// Adds a folder.
    #[must_use]
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directories.push((path.into(), Shelf::Configured));
        self
    }

    /// Adds the folder of the running program, `../lib/whimbrel` beside it, and the folders of the system.
    #[must_use]
    pub fn usual_places(mut self) -> Self {
        if let Ok(program) = std::env::current_exe()
            && let Some(folder) = program.parent()
        {
            self.directories.push((folder.to_owned(), Shelf::Program));
            let beside = folder.parent().map(|parent| parent.join("lib").join("whimbrel"));
            self.directories.extend(beside.map(|beside| (beside, Shelf::Program)));
        }
        if cfg!(unix) {
            let system = ["/usr/local/lib/whimbrel", "/usr/lib/whimbrel"];
            self.directories.extend(system.map(|folder| (PathBuf::from(folder), Shelf::System)));
        }
        self
    }

    /// Looks into every place and reads the notes. Runs no code of any library.
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        let mut inventory = Inventory::default();
        let mut seen = BTreeSet::new();
        for (name, path) in &self.libraries {
            seen.extend(path.canonicalize().ok());
            inventory.found.push(explicit(name, path));
        }
        for (path, shelf) in &self.directories {
            // One folder under two names: beside the program and in /usr/lib, when it is installed there.
            if !path.canonicalize().is_ok_and(|folder| !seen.insert(folder)) {
                inventory.search(path, *shelf, &mut seen);
            }
        }
        inventory.shadow();
        inventory
    }
}

impl Inventory {
    /// Returns whether there is anything, usable or not, that goes by the name of `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.found.iter().any(|found| found.name == name)
    }

    /// Returns the first library, usable or not, that has this name, also as an alias or url scheme.
    #[must_use]
    pub fn serving(&self, name: &str) -> Option<&Found> {
        let says = |note: &Note| note.aliases.iter().chain(&note.schemes).any(|other| other == name);
        self.found.iter().find(|found| found.name == name || found.note.as_ref().is_some_and(says))
    }

    /// Returns the first folder that was searched, where one who may write to the program's own can put a library.
    #[must_use]
    pub fn drop_in_folder(&self) -> Option<&Path> {
        self.directories.first().map(|searched| searched.path.as_path())
    }

    /// Returns the name of the first adapter whose note passes `test`, a usable one if there is any.
    pub fn name_where(&self, test: impl Fn(&Note) -> bool) -> Option<&str> {
        let passes = |found: &&Found| found.note.as_ref().is_some_and(&test);
        let usable = self.found.iter().filter(passes).find(|found| found.verdict == Verdict::Usable);
        usable.or_else(|| self.found.iter().find(passes)).map(|found| found.name.as_str())
    }

    /// Returns the library to load for the adapter `name`.
    ///
    /// # Errors
    ///
    /// `adapter-not-loaded` or `abi-mismatch`, with every place and its reason.
    pub fn library(&self, name: &str) -> Result<&Found> {
        let called = || self.found.iter().filter(|found| found.name == name);
        if let Some(found) = called().find(|found| found.verdict == Verdict::Usable) {
            return Ok(found);
        }
        let misfits: Vec<&Found> = called().collect();
        if let [found] = misfits.as_slice()
            && let Some(problem) = found.abi_mismatch()
        {
            return Err(problem.into());
        }
        Err(Problem::new(Name::AdapterNotLoaded, format!("cannot load the adapter `{name}`"))
            .looked_in(self.places(name))
            .hint(cure(name, &misfits))
            .into())
    }

    /// Returns the problem that no adapter is called `name`. `others` are names that are known from elsewhere.
    #[must_use]
    pub fn unknown(&self, name: &str, others: &[String]) -> Problem {
        let usable = self.found.iter().filter(|found| found.verdict == Verdict::Usable);
        let aliases = usable.clone().filter_map(|found| found.note.as_ref()).flat_map(|note| &note.aliases);
        let known = usable.map(|found| &found.name).chain(aliases).chain(others).map(String::as_str);
        let problem = Problem::new(Name::AdapterNotFound, format!("no adapter named `{name}`")).looked_in(
            self.directories.iter().map(|searched| (shown(&searched.path), self.content(searched))),
        );
        let list = "`whimbrel adapters` lists the ones that were found";
        match nearest(name, known) {
            Some(meant) => problem.hint(format!("did you mean `{meant}`? {list}")),
            None => problem.hint(list),
        }
    }

    fn search(&mut self, path: &Path, shelf: Shelf, seen: &mut BTreeSet<PathBuf>) {
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
        let outcome = match &entries {
            Ok(_) => Outcome::Read,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Outcome::Absent,
            Err(error) => Outcome::Unreadable(error.to_string()),
        };
        self.directories.push(Searched { path: path.to_owned(), shelf, outcome });
        let mut files: Vec<PathBuf> = entries.into_iter().flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files.into_iter().filter(|file| is_library(file)) {
            if file.canonicalize().is_ok_and(|file| seen.insert(file)) {
                self.found.extend(in_directory(file, shelf));
            }
        }
    }

    /// Marks what an earlier library of the same name hides. A file that was configured hides the others even when it
    /// cannot be used: the user meant that one.
    fn shadow(&mut self) {
        let mut first: Vec<(String, PathBuf)> = Vec::new();
        for found in &mut self.found {
            let earlier = first.iter().find(|(name, _)| *name == found.name).map(|(_, path)| path.clone());
            match earlier {
                Some(by) if found.verdict == Verdict::Usable => found.verdict = Verdict::Shadowed { by },
                None if found.verdict == Verdict::Usable || found.shelf == Shelf::Explicit => {
                    first.push((found.name.clone(), found.path.clone()));
                }
                Some(_) | None => {}
            }
        }
    }

    /// Returns every place where the adapter `name` could be, and why it is not to be had there.
    fn places(&self, name: &str) -> Vec<(String, String)> {
        let called = || self.found.iter().filter(|found| found.name == name);
        let explicit = called().filter(|found| found.shelf == Shelf::Explicit);
        let mut places: Vec<(String, String)> =
            explicit.map(|found| (shown(&found.path), found.verdict.to_string())).collect();
        if !places.is_empty() {
            return places;
        }
        for searched in &self.directories {
            let here = called().filter(|found| found.path.parent() == Some(&searched.path));
            let before = places.len();
            places.extend(here.map(|found| (shown(&found.path), found.verdict.to_string())));
            if places.len() == before {
                let reason = match &searched.outcome {
                    Outcome::Unreadable(error) => error.clone(),
                    Outcome::Read | Outcome::Absent => Verdict::NotThere.to_string(),
                };
                places.push((shown(&searched.path.join(usual_file_name(name))), reason));
            }
        }
        places
    }

    /// Says in words what a folder holds.
    fn content(&self, searched: &Searched) -> String {
        let here = self.found.iter().filter(|found| found.path.parent() == Some(&searched.path));
        let names: Vec<String> = here.map(|found| format!("`{}`", found.name)).collect();
        match &searched.outcome {
            Outcome::Absent | Outcome::Unreadable(_) => searched.outcome.to_string(),
            Outcome::Read if names.is_empty() => "no adapters".to_owned(),
            Outcome::Read => names.join(", "),
        }
    }
}

impl Found {
    /// Judges one file, wherever it lies.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        let (note, verdict) = judge(path);
        let name = note.as_ref().map(|note| note.name.as_str()).or_else(|| name_in_file_name(path));
        let name = name.unwrap_or_default().to_owned();
        Found { name, path: path.to_owned(), shelf: Shelf::Explicit, note, verdict }
    }

    /// Returns whether it can be used, as far as can be known before it is loaded.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.verdict == Verdict::Usable
    }

    /// Refuses a file that cannot be used.
    ///
    /// # Errors
    ///
    /// `abi-mismatch`, or `adapter-not-loaded` with the reason.
    pub fn require(&self) -> Result<()> {
        if self.is_usable() {
            return Ok(());
        }
        let refused = || {
            let problem = Problem::new(Name::AdapterNotLoaded, "this file cannot be used as an adapter")
                .looked_in([(shown(&self.path), self.verdict.to_string())]);
            match &self.verdict {
                Verdict::Untrusted(distrust) => problem.hint(&distrust.cure),
                _ => problem,
            }
        };
        Err(self.abi_mismatch().unwrap_or_else(refused).into())
    }

    /// Loads the library.
    ///
    /// # Errors
    ///
    /// Those of [`require`](Found::require); `adapter-not-loaded` in the words of the system's loader, `abi-mismatch`,
    /// `adapter-panicked`, or `adapter-misbehaved` when the adapter gives another name than its note.
    pub fn load(&self) -> Result<Arc<dyn Adapter>> {
        self.require()?;
        let symbol = self.note.as_ref().map_or("", |note| note.symbol.as_str());
        let adapter = load::load(&self.path, symbol).map_err(|refusal| self.refused(refusal))?;
        self.check_name(adapter.as_ref())?;
        Ok(adapter)
    }

    /// Refuses an adapter that gives another name than its note.
    pub(crate) fn check_name(&self, adapter: &dyn Adapter) -> Result<()> {
        let name = adapter.info().name;
        if name != self.name {
            let message =
                format!("the note of the adapter `{}` and the adapter itself, `{name}`, disagree", self.name);
            return Err(Problem::new(Name::AdapterMisbehaved, message)
                .at(self.path.as_path())
                .hint(REPORT)
                .into());
        }
        Ok(())
    }

    fn refused(&self, refusal: Refusal) -> Problem {
        let not_loaded = |cause: String| {
            Problem::new(Name::AdapterNotLoaded, format!("cannot load the adapter `{}`", self.name))
                .at(self.path.as_path())
                .caused_by(cause)
                .hint("build or install the adapter again")
        };
        match refusal {
            Refusal::Loader(words) => not_loaded(words),
            Refusal::Header(LoadError::Layout { adapter, host, differences }) => {
                let message = format!(
                    "the adapter `{}` {} was built with whimbrel-adapter-api {adapter} in another form than this program's {host}",
                    self.name,
                    self.version()
                );
                Problem::new(Name::AbiMismatch, message)
                    .at(self.path.as_path())
                    .caused_by(differences)
                    .hint("build the adapter and `whimbrel` from the same sources")
            }
            Refusal::Header(LoadError::Panicked(words)) => {
                let message = format!(
                    "the adapter `{}` panicked while it was loaded: {}",
                    self.name,
                    words.strip_prefix("the adapter panicked ").unwrap_or(&words)
                );
                Problem::new(Name::AdapterPanicked, message)
                    .at(self.path.as_path())
                    .state("no database was touched")
                    .hint(REPORT)
            }
            Refusal::Header(error) => not_loaded(error.to_string()),
        }
    }

    fn abi_mismatch(&self) -> Option<Problem> {
        let Verdict::WrongAbi { theirs, ours } = &self.verdict else {
            return None;
        };
        let message = format!(
            "the adapter `{}` {} speaks {theirs}, this program speaks {ours}",
            self.name,
            self.version()
        );
        let hint = "install the adapter and `whimbrel` in versions that were made for each other";
        Some(Problem::new(Name::AbiMismatch, message).at(self.path.as_path()).hint(hint))
    }

    fn version(&self) -> &str {
        self.note.as_ref().map_or("of an unknown version", |note| note.version.as_str())
    }
}

const REPORT: &str = "report this to the adapter's author";

/// Judges a file that was configured for the adapter `name`.
fn explicit(name: &str, path: &Path) -> Found {
    let (note, mut verdict) = judge(path);
    if let Some(note) = &note
        && note.name != name
        && verdict == Verdict::Usable
    {
        verdict = Verdict::Broken { reason: format!("it is the adapter `{}`", note.name) };
    }
    Found { name: name.to_owned(), path: path.to_owned(), shelf: Shelf::Explicit, note, verdict }
}

/// Judges a file that lies in a searched folder. Returns `None` for a library that is not ours: the folder of a program
/// holds those of others too. One that is called like an adapter of ours is not passed over.
fn in_directory(path: PathBuf, shelf: Shelf) -> Option<Found> {
    let (note, verdict) = judge(&path);
    let name = match &note {
        Some(note) => note.name.clone(),
        None => name_in_file_name(&path)?.to_owned(),
    };
    Some(Found { name, path, shelf, note, verdict })
}

fn judge(path: &Path) -> (Option<Note>, Verdict) {
    let (machine, note, damage) = match note::read(path) {
        Inside::Nothing => return (None, Verdict::NotThere),
        Inside::Foreign(reason) => return (None, Verdict::NotOurs { reason }),
        Inside::Library { machine, note, damage } => (machine, note.map(|note| *note), damage),
    };
    let verdict = match (&note, damage) {
        _ if machine != this_machine() => Verdict::WrongMachine { built_for: machine, ours: this_machine() },
        (_, Some(reason)) => Verdict::Broken { reason },
        (Some(note), None) => match trust::examine(path) {
            Ok(()) if note.target != TARGET => {
                Verdict::WrongMachine { built_for: note.target.clone(), ours: TARGET }
            }
            Ok(()) => judge_abi(note),
            Err(distrust) => Verdict::Untrusted(distrust),
        },
        (None, None) => Verdict::NotOurs { reason: "a library without Whimbrel's note".to_owned() },
    };
    (note, verdict)
}

fn judge_abi(note: &Note) -> Verdict {
    if note.abi != ABI.to_string() {
        return Verdict::WrongAbi { theirs: format!("ABI {}", note.abi), ours: format!("ABI {ABI}") };
    }
    // What cannot be read may be any version.
    let min_host = numbers(&note.min_host);
    if min_host.is_none() || min_host > numbers(API_VERSION) {
        return Verdict::WrongAbi {
            theirs: format!("whimbrel-adapter-api {} or later", note.min_host),
            ours: format!("whimbrel-adapter-api {API_VERSION}"),
        };
    }
    Verdict::Usable
}

/// Returns the three numbers of a version, if it is made of these alone.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let numbers: Result<Vec<u64>, _> = version.split('.').map(str::parse).collect();
    numbers.ok()?.try_into().ok()
}

fn cure(name: &str, misfits: &[&Found]) -> String {
    let explicit = misfits.iter().find(|found| found.shelf == Shelf::Explicit);
    let any = |test: fn(&Verdict) -> bool| misfits.iter().any(|found| test(&found.verdict));
    let distrust = misfits.iter().find_map(|found| match &found.verdict {
        Verdict::Untrusted(distrust) => Some(distrust.cure.clone()),
        _ => None,
    });
    if let Some(cure) = distrust {
        cure
    } else if any(|verdict| matches!(verdict, Verdict::WrongMachine { .. })) {
        format!("set `adapters.{name}.path` in plugins.toml to a library built for {}", this_machine())
    } else if explicit.is_some() {
        format!("correct `adapters.{name}.path` in plugins.toml, or remove it to search the usual places")
    } else {
        "build or install the adapter again".to_owned()
    }
}

fn is_library(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == std::env::consts::DLL_EXTENSION)
}

fn usual_file_name(name: &str) -> String {
    let plain = name.replace('-', "_");
    format!("{}whimbrel_adapter_{plain}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

fn name_in_file_name(path: &Path) -> Option<&str> {
    path.file_name()?
        .to_str()?
        .strip_prefix(std::env::consts::DLL_PREFIX)?
        .strip_prefix("whimbrel_adapter_")?
        .strip_suffix(std::env::consts::DLL_SUFFIX)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
