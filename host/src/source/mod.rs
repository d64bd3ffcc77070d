//! The migrations as files say them.
//!
//! Reads a folder, or files embedded in the program, into [`Migrations`]: sorted, with metadata and checksums, scripts
//! to be opened when they are needed. Finds every problem of the folder, not the first one.
//!
//! Knows no database: which statements a script has is the [`splitter`](crate::splitter)'s affair.

mod checksum;
mod collect;
mod embedded;
mod find;
mod folder;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod inspect;
mod metadata;
mod name;
mod new;
mod version;

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use checksum::{Checksum, Hasher};
#[doc(hidden)]
pub use include_dir;
pub use include_dir::Dir;
pub use new::create;
pub use version::Version;

use crate::error::Result;
use find::closest;

/// The name of a migration: its file stem without direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub String);

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Everything a folder holds.
#[derive(Clone, Debug, Default)]
pub struct Migrations {
    /// The migrations by version.
    pub list: Vec<Migration>,
    /// `000_migrations_table.sql`, which creates the history table in place of the adapter's own text.
    pub history_table: Option<Script>,
}

/// One migration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Migration {
    /// Its name in the history and on the command line.
    pub id: Id,
    /// Its place in the order.
    pub version: Version,
    /// What applies it.
    pub up: Script,
    /// What takes it back.
    pub down: Option<Script>,
    /// The checksum of `up`.
    pub checksum: Checksum,
    /// `-- Migration:` or `title`.
    pub title: Option<String>,
    /// `-- Created:` or `created`, as written.
    pub created: Option<String>,
    /// `-- depends:` or `depends`: what must be applied before.
    pub depends: Vec<Id>,
    /// `-- env:` or `env`: the environments it is meant for; empty for all.
    pub environments: Vec<String>,
    /// Whether the up script asks to run without a transaction.
    pub transaction: Transaction,
    /// Whether the down script asks to run without a transaction.
    pub down_transaction: Transaction,
}

/// Whether a script asks for a transaction around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transaction {
    /// One transaction, where the engine can.
    #[default]
    Whole,
    /// `-- no-transaction`: every statement for itself.
    None,
}

impl Transaction {
    /// The header that asks for [`Transaction::None`].
    const HEADER: &str = "-- no-transaction\n";

    /// Returns what the header of a script asks for.
    #[must_use]
    pub fn asked_for_by(text: &str) -> Self {
        let mut header = header::HeaderReader::new(Path::new(""));
        header.feed(text.as_bytes());
        header.finish().0.transaction.map(|said| said.value).unwrap_or_default()
    }

    /// Returns `text` so that it asks for this by itself, also where a file beside it did.
    #[must_use]
    pub fn written_into(self, text: String) -> String {
        if Transaction::asked_for_by(&text) == self { text } else { format!("{}{text}", Transaction::HEADER) }
    }
}

/// Text that can be opened any number of times, and where it comes from.
#[derive(Clone, Debug)]
pub struct Script {
    /// The file as the user would type it: the place in messages, and where [`Content::File`] is opened.
    pub path: PathBuf,
    /// The line of `path` on which the text begins, from 1: a `-- Rollback:` header is not on the first.
    pub first_line: u64,
    /// The text.
    pub content: Content,
}

/// Where a script's text is.
#[derive(Clone, Debug)]
pub enum Content {
    /// In the file that has the script's path.
    File,
    /// In memory: taken from a header or from the history.
    Bytes(Arc<[u8]>),
    /// In the program.
    Embedded(&'static [u8]),
}

impl Migrations {
    /// Reads a folder.
    ///
    /// Files that do not end in `.sql` and names that begin with a dot are passed over. Symbolic links are followed.
    ///
    /// # Errors
    ///
    /// Every problem that the folder has.
    pub fn read(folder: &Path) -> Result<Migrations> {
        collect::collect(folder::list(folder)?)
    }

    /// Reads a folder that [`include_dir!`](crate::include_dir) embedded in the program, after the same rules.
    ///
    /// # Errors
    ///
    /// Every problem that the folder has.
    pub fn embedded(folder: &'static Dir<'static>) -> Result<Migrations> {
        collect::collect(embedded::list(folder))
    }
}

impl Script {
    /// Opens the text for reading from its start.
    ///
    /// # Errors
    ///
    /// The system's, when the file cannot be opened.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match &self.content {
            Content::File => Box::new(std::fs::File::open(&self.path)?),
            Content::Bytes(bytes) => Box::new(io::Cursor::new(Arc::clone(bytes))),
            Content::Embedded(bytes) => Box::new(*bytes),
        })
    }
}

#[cfg(test)]
mod tests;
