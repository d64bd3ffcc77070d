//! The doors through which the fuzz targets reach what this module keeps to itself.
//!
//! Only a compiler that is told `--cfg fuzzing`, as `cargo xtask fuzz` does, sees it: the public face does not grow.
//!
//! Decides nothing: every function hands on to the one that a folder's files go through.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::{Entry, Kind};
use super::header::HeaderReader;
use super::{Content, Migrations, Version, collect, name};
use crate::error::Result;

/// What the name of a script says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileName {
    /// It is a script of this migration.
    Of {
        /// The migration.
        id: String,
        /// Its place in the order.
        version: Version,
    },
    /// It is none, and should be this.
    Mistaken {
        /// A name that would do.
        suggestion: String,
    },
}

/// Reads the name of a file.
#[must_use]
pub fn file_name(name: &str) -> Option<FileName> {
    Some(match name::file(name)? {
        Ok(file) => FileName::Of { id: file.stem.id, version: file.stem.version },
        Err(mistake) => {
            let suggestion = mistake.hint.split('`').nth(1).unwrap_or_default().to_owned();
            FileName::Mistaken { suggestion }
        }
    })
}

/// Reads the name of a migration.
#[must_use]
pub fn stem(text: &str) -> Option<(String, Version)> {
    name::stem(text).map(|stem| (stem.id, stem.version))
}

/// Returns the version after this one.
#[must_use]
pub fn next(version: &Version) -> Version {
    version.next()
}

/// Reads a header that comes in pieces, and returns all that it says, in one text.
pub fn header<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut reader = HeaderReader::new(Path::new("001_a.sql"));
    pieces.into_iter().for_each(|piece| reader.feed(piece));
    format!("{:?}", reader.finish())
}

/// Reads a folder of these paths and texts. Of two texts for one path the last one stays, and what no file system would
/// hold is left out.
///
/// # Errors
///
/// Every problem that the folder has.
pub fn folder(files: &[(&[u8], &[u8])]) -> Result<Migrations> {
    let mut tree: BTreeMap<OsString, Entry> = BTreeMap::new();
    for (path, text) in files {
        let path = Path::new(OsStr::from_bytes(path));
        let names: Vec<&OsStr> = path.iter().collect();
        let is_a_name = |name: &&OsStr| {
            let bytes = name.as_bytes();
            !bytes.starts_with(b".") && !bytes.starts_with(b"/") && !bytes.contains(&0)
        };
        if !names.is_empty() && names.iter().all(is_a_name) {
            put(&mut tree, &names, path, text);
        }
    }
    collect::collect(tree.into_values().collect())
}

fn put(tree: &mut BTreeMap<OsString, Entry>, names: &[&OsStr], path: &Path, text: &[u8]) {
    let file = |name: &OsStr| {
        let content = Content::Bytes(Arc::from(text));
        Entry { name: name.to_owned(), path: path.to_owned(), kind: Kind::File(content) }
    };
    match names {
        [] => {}
        [name] => {
            tree.insert((*name).to_owned(), file(name));
        }
        [directory, child, deeper @ ..] => {
            let kind = || Kind::Directory(Vec::new());
            let entry = tree.entry((*directory).to_owned()).or_insert_with(|| Entry {
                name: (*directory).to_owned(),
                path: PathBuf::from(directory),
                kind: kind(),
            });
            let Kind::Directory(children) = &mut entry.kind else { return };
            children.retain(|other| other.name != *child);
            let kind = if deeper.is_empty() { file(child).kind } else { Kind::Nested };
            children.push(Entry { name: (*child).to_owned(), path: path.to_owned(), kind });
            children.sort_by(|one, other| one.name.cmp(&other.name));
        }
    }
}
