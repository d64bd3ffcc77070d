//! `plugins.lock`: what the libraries of the adapters were when somebody last looked at them.
//!
//! Where the file exists, an adapter is used only if its library is the one that was locked for this machine, byte for byte.
//! One file serves several machines: each has entries of its own.
//!
//! The hash is taken right before the library is loaded, of the file by its name. Who could exchange it between the two could
//! have put it there in the first place: `trust` sees to that.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Found, Inventory};
use crate::error::{Name, Problem, Result};

/// The name of the file, which lies beside plugins.toml.
pub const FILE_NAME: &str = "plugins.lock";

const HEADER: &str = "\
# Written by `whimbrel adapters lock`. With this file there, a database is given to an adapter only if its library is the
# one that is named here; `whimbrel adapters test` tries any. Keep it under version control, and write it again after an
# adapter was updated on purpose.
";

/// What is locked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    path: PathBuf,
    adapters: Vec<Locked>,
}

/// The library of an adapter, for one kind of machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// The adapter's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Architecture, system and C library: `x86_64-linux-gnu`.
    pub target: String,
    /// The SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default, rename = "adapter")]
    adapters: Vec<Locked>,
}

impl Lock {
    /// Reads the lock at `path`, if there is one.
    ///
    /// # Errors
    ///
    /// `config` for a file that cannot be read or understood: without it nothing would be checked.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let refused = |cause: String| {
            Problem::new(Name::Config, format!("cannot read the locked adapters in `{}`", path.display()))
                .caused_by(cause)
                .hint("restore it; or delete it, and write it again with `whimbrel adapters lock`")
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(error.to_string()).into()),
        };
        let document: Document =
            toml::from_str(&text).map_err(|error| refused(error.message().to_owned()))?;
        Ok(Some(Lock { path: path.to_owned(), adapters: document.adapters }))
    }

    /// Returns the lock with the usable libraries of `inventory` in place of what it had for this kind of machine.
    ///
    /// # Errors
    ///
    /// A library that cannot be read.
    pub fn renewed(before: Option<Self>, path: &Path, inventory: &Inventory) -> Result<Self> {
        let mut adapters = Vec::new();
        for found in inventory.found.iter().filter(|found| found.is_usable()) {
            adapters.push(Locked::of(found)?);
        }
        let ours = |locked: &Locked| adapters.iter().any(|ours| ours.target == locked.target);
        let others = before.into_iter().flat_map(|lock| lock.adapters).filter(|locked| !ours(locked));
        let others: Vec<Locked> = others.collect();
        adapters.extend(others);
        adapters.sort_by(|one, other| (&one.name, &one.target).cmp(&(&other.name, &other.target)));
        Ok(Lock { path: path.to_owned(), adapters })
    }

    /// Writes the lock: all of it, or nothing.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn write(&self) -> Result<()> {
        let document = Document { adapters: self.adapters.clone() };
        let body = toml::to_string(&document).map_err(io::Error::other);
        let beside = self.path.with_extension("lock.new");
        let written = body.and_then(|body| {
            fs::write(&beside, format!("{HEADER}\n{body}"))?;
            fs::rename(&beside, &self.path)
        });
        written.map_err(|error| {
            let message = format!("cannot write `{}`", self.path.display());
            Problem::new(Name::Config, message).caused_by(error.to_string()).into()
        })
    }

    /// Returns the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what is locked, by name.
    #[must_use]
    pub fn adapters(&self) -> &[Locked] {
        &self.adapters
    }

    /// Refuses a library that is not the one that was locked.
    ///
    /// # Errors
    ///
    /// `adapter-changed`.
    pub fn check(&self, found: &Found) -> Result<()> {
        let now = Locked::of(found)?;
        let same = |locked: &&Locked| locked.name == now.name && locked.target == now.target;
        let lock = self.path.display();
        let problem =
            match self.adapters.iter().find(same) {
                Some(locked) if locked.sha256 == now.sha256 => return Ok(()),
                Some(locked) => {
                    let Locked { version, sha256, .. } = locked;
                    let message =
                        format!("the library of the adapter `{}` is not the one that was locked", now.name);
                    let fact =
                        |which, version: &str, sha256: &str| format!("{which}  {version}  sha256 {sha256}");
                    Problem::new(Name::AdapterChanged, message)
                        .fact(fact("locked", version, sha256))
                        .fact(fact("found ", &now.version, &now.sha256))
                }
                None => {
                    let message = format!("the adapter `{}` is not among the locked ones", now.name);
                    Problem::new(Name::AdapterChanged, message)
                        .fact(format!("{lock} has none of it for {}", now.target))
                }
            };
        Err(problem
            .at(found.path.as_path())
            .state("no database was touched")
            .hint(format!("if it was changed on purpose, `whimbrel adapters lock` writes {lock} again"))
            .into())
    }
}

impl Locked {
    fn of(found: &Found) -> Result<Self> {
        let note = found.note.clone().unwrap_or_default();
        let sha256 = hash(&found.path).map_err(|error| {
            Problem::new(
                Name::AdapterNotLoaded,
                format!("cannot read the library of the adapter `{}`", found.name),
            )
            .at(found.path.as_path())
            .caused_by(error.to_string())
        })?;
        Ok(Locked { name: found.name.clone(), version: note.version, target: note.target, sha256 })
    }
}

fn hash(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use whimbrel_adapter_api::note::TARGET;

    use super::super::Search;
    use super::super::tests::Library;
    use super::*;

    #[test]
    fn what_is_locked_for_other_machines_stays() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        Library::adapter("toy", "", "toy").write(&folder.path().join("a.so"));
        let inventory = Search::nowhere().directory(folder.path()).inventory();
        let path = folder.path().join(FILE_NAME);
        let entry = |target: &str| Locked {
            name: "toy".to_owned(),
            version: "1.0.0".to_owned(),
            target: target.to_owned(),
            sha256: "0".repeat(64),
        };
        let before = Lock { path: path.clone(), adapters: vec![entry(TARGET), entry("zos")] };
        Lock::renewed(Some(before), &path, &inventory)
            .and_then(|lock| lock.write())
            .expect("the folder is ours");
        let lock = Lock::read(&path).expect("it was just written").expect("it is there");
        let told: Vec<_> = lock.adapters().iter().map(|locked| (&*locked.target, &*locked.version)).collect();
        assert_eq!(told, [(TARGET, "1.2.3"), ("zos", "1.0.0")]);
        let found = &inventory.found[0];
        assert!(lock.check(found).is_ok());
        let other = Lock { adapters: vec![entry(TARGET)], ..lock };
        let error = other.check(found).expect_err("the digits differ");
        assert_eq!(error.problems[0].name, Name::AdapterChanged);
    }

    #[test]
    fn a_lock_that_cannot_be_understood_is_no_lock_that_is_not_there() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join(FILE_NAME);
        assert!(matches!(Lock::read(&path), Ok(None)));
        for text in ["[[adapter]]\nname = 1\n", "[[adapters]]\n", "x"] {
            fs::write(&path, text).expect("the folder is ours");
            let error = Lock::read(&path).expect_err("it cannot be understood");
            assert_eq!(error.problems[0].name, Name::Config);
        }
    }
}
