//! What lies in a folder on disk.
//!
//! Lists the folder and its directories once, as the [`Entry`]s that [`collect`](super::collect) makes migrations of.
//!
//! Opens no file and understands no name.

use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::Content;
use crate::error::{Name, Problem, Result};

/// One name in a folder.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: OsString,
    /// The path as the user would type it.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    File(Content),
    Directory(Vec<Entry>),
    /// A directory within a directory: its name is enough.
    Nested,
    /// Neither, or not to be had, and why.
    Unreadable(String),
}

/// Lists a folder of migrations, without what begins with a dot, by name.
pub(super) fn list(folder: &Path) -> Result<Vec<Entry>> {
    entries(folder, Depth::Folder).map_err(|error| unreadable(folder, &error).into())
}

/// Returns the problem of a folder that cannot be listed.
fn unreadable(folder: &Path, error: &io::Error) -> Problem {
    let shown = folder.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            let problem = Problem::new(Name::FolderUnreadable, format!("there is no folder `{shown}`"));
            let problem = neighbours(folder).into_iter().fold(problem, Problem::fact);
            problem.hint("`whimbrel new NAME` creates it with its first migration")
        }
        io::ErrorKind::NotADirectory => Problem::new(
            Name::FolderUnreadable,
            format!("`{shown}` is a file, and migrations live in a folder"),
        )
        .hint("name the folder that holds the files"),
        _ => Problem::new(Name::FolderUnreadable, format!("the folder `{shown}` cannot be read"))
            .caused_by(error.to_string()),
    }
}

/// Says what is there instead of a folder that is missing.
fn neighbours(folder: &Path) -> Option<String> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(children) = fs::read_dir(parent) else {
        return Some(format!("`{}` is not there either", parent.display()));
    };
    let mut names: Vec<String> = children
        .filter_map(io::Result::ok)
        .filter(|child| child.path().is_dir())
        .map(|child| child.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .map(|name| format!("`{name}`"))
        .collect();
    names.sort();
    names.truncate(10);
    (!names.is_empty()).then(|| format!("`{}` holds the folders {}", parent.display(), names.join(", ")))
}

#[derive(Clone, Copy)]
enum Depth {
    Folder,
    Directory,
}

fn entries(folder: &Path, depth: Depth) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for child in fs::read_dir(folder)? {
        let child = child?;
        let name = child.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            let path = folder.join(&name);
            let kind = kind(&child, &path, depth).unwrap_or_else(|error| Kind::Unreadable(error.to_string()));
            entries.push(Entry { name, path, kind });
        }
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

fn kind(child: &DirEntry, path: &Path, depth: Depth) -> io::Result<Kind> {
    let mut kind = child.file_type()?;
    if kind.is_symlink() {
        // Kubernetes mounts every file of a ConfigMap as a link.
        kind = fs::metadata(path)?.file_type();
    }
    Ok(match depth {
        _ if kind.is_file() => Kind::File(Content::File),
        Depth::Folder if kind.is_dir() => Kind::Directory(entries(path, Depth::Directory)?),
        Depth::Directory if kind.is_dir() => Kind::Nested,
        // Opening a pipe would wait for a writer.
        _ => Kind::Unreadable("neither a file nor a directory".to_owned()),
    })
}
