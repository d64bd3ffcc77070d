//! The crate that a new adapter begins as.
//!
//! Serves `whimbrel adapters new`. Its files lie in `host/template` as an author finds them, and are compiled into the
//! program; what differs from one adapter to the next stands there between two `@`.
//!
//! Does not know which adapters there are: whether a name is free is the caller's question.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use whimbrel_adapter_api::note::API_VERSION;

use crate::error::{Name, Problem, Result};

/// The files, and what each is called. Two have another name in `host/template`: cargo and git would take them for
/// their own.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../template/Cargo.toml.in")),
    ("README.md", include_str!("../template/README.md")),
    (".gitignore", include_str!("../template/gitignore.in")),
    ("rustfmt.toml", include_str!("../template/rustfmt.toml")),
    (".github/workflows/ci.yml", include_str!("../template/.github/workflows/ci.yml")),
    ("src/lib.rs", include_str!("../template/src/lib.rs")),
    ("src/connection.rs", include_str!("../template/src/connection.rs")),
    ("src/dialect.rs", include_str!("../template/src/dialect.rs")),
    ("src/error.rs", include_str!("../template/src/error.rs")),
    ("src/engine.rs", include_str!("../template/src/engine.rs")),
    ("src/engine/sql.rs", include_str!("../template/src/engine/sql.rs")),
    ("src/engine/words.rs", include_str!("../template/src/engine/words.rs")),
    ("tests/conformance.rs", include_str!("../template/tests/conformance.rs")),
];

/// The longest name. With a longer one lines of the files would have to be broken.
const LONGEST_NAME: usize = 30;

/// The sources that this program was built from.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The crate of an adapter that is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    name: String,
}

/// A crate that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The adapter's name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// The files in it.
    pub files: Vec<PathBuf>,
    /// Where cargo puts the library.
    pub library: PathBuf,
}

impl Made {
    /// Returns the commands that build, test and install it. `folder` is where the program searches for adapters.
    #[must_use]
    pub fn next_steps(&self, folder: Option<&Path>) -> Vec<String> {
        let Made { name, library, .. } = self;
        let manifest = self.folder.join("Cargo.toml");
        let (manifest, library) = (manifest.display(), library.display());
        let mut steps = vec![
            format!("cargo test --manifest-path {manifest}"),
            format!("cargo build --release --manifest-path {manifest}"),
            format!("whimbrel adapters test {library} --url {name}:check"),
        ];
        if let Some(folder) = folder {
            let (is_there, folder) = (folder.is_dir(), folder.display());
            let make = if is_there { String::new() } else { format!("mkdir -p {folder} && ") };
            steps.push(format!("{make}cp {library} {folder}/"));
        }
        steps
    }
}

impl Template {
    /// Returns the crate of an adapter with this name.
    ///
    /// # Errors
    ///
    /// [`Name::Usage`] when the name cannot be that of an adapter, a url scheme and a package at once.
    pub fn new(name: &str) -> Result<Self> {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let begins = name.starts_with(|letter: char| letter.is_ascii_lowercase());
        if begins && name.len() <= LONGEST_NAME && name.split('-').all(is_word) {
            return Ok(Template { name: name.to_owned() });
        }
        let problem = Problem::new(Name::Usage, format!("`{name}` is no name for an adapter"));
        let hint = format!(
            "write a lower-case letter, then letters, digits and single hyphens, at most {LONGEST_NAME} in all"
        );
        Err(problem.state(NOTHING_WRITTEN).hint(hint).into())
    }

    /// Makes the crate, as a folder of the adapter's name in `parent`.
    ///
    /// All of it is there in the end, or nothing.
    ///
    /// # Errors
    ///
    /// [`Name::Usage`] when something of that name is there; [`Name::FolderUnreadable`] when it cannot be written.
    pub fn create_in(&self, parent: &Path) -> Result<Made> {
        let folder = parent.join(&self.name);
        if folder.symlink_metadata().is_ok() {
            let problem = Problem::new(Name::Usage, format!("`{}` is there already", folder.display()));
            return Err(problem
                .state(NOTHING_WRITTEN)
                .hint("choose another name, or move it out of the way")
                .into());
        }
        // Beside the folder, so that it takes its name in one step. Of what somebody else may have put there meanwhile,
        // nothing but an empty folder gives way to it.
        let draft = parent.join(format!(".{}.{}", self.name, std::process::id()));
        let written = fs::create_dir(&draft).and_then(|()| {
            let written = self.write_to(&draft).and_then(|()| fs::rename(&draft, &folder));
            written.inspect_err(|_| {
                // What could not be written may be impossible to remove, too; the first error is the one to tell.
                let _ = fs::remove_dir_all(&draft);
            })
        });
        written.map_err(|error| {
            Problem::new(Name::FolderUnreadable, format!("cannot create `{}`", folder.display()))
                .caused_by(error.to_string())
                .state(NOTHING_WRITTEN)
        })?;
        let files = FILES.iter().map(|(file, _)| folder.join(file)).collect();
        let library = folder.join(format!("target/release/lib{}.so", self.crate_name()));
        Ok(Made { name: self.name.clone(), folder, files, library })
    }

    fn write_to(&self, folder: &Path) -> io::Result<()> {
        for (file, text) in FILES {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            fs::write(path, self.fill(text))?;
        }
        Ok(())
    }

    fn fill(&self, text: &str) -> String {
        let words = [
            ("@NAME@", self.name.clone()),
            ("@CRATE@", self.crate_name()),
            ("@TYPE@", self.type_name()),
            ("@API@", dependency("adapter-api", API_VERSION)),
            ("@CONFORMANCE@", dependency("adapter-api/conformance", whimbrel_conformance::VERSION)),
            ("@RUST@", env!("CARGO_PKG_RUST_VERSION").to_owned()),
        ];
        words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
    }

    fn crate_name(&self) -> String {
        format!("whimbrel_adapter_{}", self.name.replace('-', "_"))
    }

    /// Returns `MyDbAdapter` for `my-db`. Without its end it could be the name of something in the contract.
    fn type_name(&self) -> String {
        let capital = |word: &str| {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_ascii_uppercase() + rest
        };
        self.name.split('-').map(capital).collect::<String>() + "Adapter"
    }
}

const NOTHING_WRITTEN: &str = "nothing was written";

/// Returns what Cargo.toml says of a crate of ours: where it lies, if the sources are still there, else its version.
fn dependency(folder: &str, version: &str) -> String {
    match Path::new(SOURCES).join(folder).canonicalize() {
        Ok(path) => format!("{{ path = {} }}", toml::Value::from(path.display().to_string())),
        Err(_) => format!("\"{version}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_one_for_folder_scheme_and_package_alike() {
        for name in ["demo", "d", "my-db", "db2", "a-1", &"x".repeat(LONGEST_NAME)] {
            assert!(Template::new(name).is_ok(), "{name}");
        }
        let long = "x".repeat(LONGEST_NAME + 1);
        for name in ["", "Demo", "2db", "-db", "db-", "my--db", "my_db", "my.db", "été", "../db", &long] {
            let error = Template::new(name).unwrap_err();
            assert_eq!(error.problems[0].name, Name::Usage, "{name}");
        }
    }

    #[test]
    fn every_file_of_the_template_is_made_and_every_word_is_filled_in() {
        let parent = tempfile::tempdir().unwrap();
        let made = Template::new("my-db").unwrap().create_in(parent.path()).unwrap();
        assert_eq!(made.library, parent.path().join("my-db/target/release/libwhimbrel_adapter_my_db.so"));
        for file in &made.files {
            let text = fs::read_to_string(file).unwrap();
            let is_word =
                |word: &&str| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_uppercase());
            // What stands before the first `@` or behind the last one is no word.
            let between: Vec<&str> = text.split('@').collect();
            let left = between.iter().skip(1).rev().skip(1).copied().find(is_word);
            assert_eq!(left, None, "{}", file.display());
        }
        let count = |folder: &Path| files_below(folder).len();
        assert_eq!(count(&Path::new(env!("CARGO_MANIFEST_DIR")).join("template")), FILES.len());
        assert_eq!(count(parent.path()), FILES.len());
    }

    #[test]
    fn without_the_sources_a_version_is_named() {
        assert_eq!(dependency("no-such-folder", "1.0.0"), "\"1.0.0\"");
        let beside = dependency("adapter-api", "1.0.0");
        assert!(beside.starts_with("{ path = \"/") && beside.ends_with("/adapter-api\" }"), "{beside}");
    }

    fn files_below(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let below = entries.map(|path| if path.is_dir() { files_below(&path) } else { vec![path] });
        below.flatten().collect()
    }

    #[test]
    fn failure_leaves_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        // A file cannot take the place of a folder.
        let parent = parent.path().join("file");
        fs::write(&parent, "").unwrap();
        let error = Template::new("demo").unwrap().create_in(&parent).unwrap_err();
        assert_eq!(error.problems[0].name, Name::FolderUnreadable);
        assert!(parent.is_file());
    }
}
