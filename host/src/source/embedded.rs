//! What lies in a folder that was embedded in the program.
//!
//! Lists an [`include_dir`] folder as the same [`Entry`]s that [`folder`](super::folder) lists from disk.
//!
//! Paths are relative to the embedded folder: where it lay when the program was built means nothing where it runs.

use std::path::Path;

use include_dir::{Dir, DirEntry};

use super::Content;
use super::folder::{Entry, Kind};

/// Embeds a folder of migrations in the program, for [`Migrations::embedded`](crate::source::Migrations::embedded).
///
/// A file that is added later is noticed by cargo only if a build script says
/// `println!("cargo::rerun-if-changed=migrations")`.
///
/// ```
/// use whimbrel::source::{Dir, Migrations};
///
/// static FOLDER: Dir<'static> = whimbrel::include_dir!("$CARGO_MANIFEST_DIR/../migrations/sqlite");
///
/// let migrations = Migrations::embedded(&FOLDER)?;
/// assert_eq!(migrations.find("1")?.id.0, "001_observers");
/// # Ok::<(), whimbrel::error::Error>(())
/// ```
#[macro_export]
macro_rules! include_dir {
    ($path:tt) => {{
        // The macro of the crate names its crate, which the application need not depend on.
        use $crate::source::include_dir;
        include_dir::include_dir!($path)
    }};
}

/// Lists an embedded folder, without what begins with a dot, by name.
pub(super) fn list(folder: &'static Dir<'static>) -> Vec<Entry> {
    entries(folder.entries(), |directory| Kind::Directory(entries(directory.entries(), |_| Kind::Nested)))
}

fn entries(
    children: &'static [DirEntry<'static>],
    directory: impl Fn(&'static Dir<'static>) -> Kind,
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = children.iter().filter_map(|child| entry(child, &directory)).collect();
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    entries
}

fn entry(
    child: &'static DirEntry<'static>,
    directory: impl Fn(&'static Dir<'static>) -> Kind,
) -> Option<Entry> {
    let path: &Path = child.path();
    let name = path.file_name()?.to_owned();
    let kind = match child {
        _ if name.as_encoded_bytes().starts_with(b".") => return None,
        DirEntry::File(file) => Kind::File(Content::Embedded(file.contents())),
        DirEntry::Dir(inner) => directory(inner),
    };
    Some(Entry { name, path: path.to_owned(), kind })
}
