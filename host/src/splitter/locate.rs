//! Finds the place of a statement again.
//!
//! While a script runs only numbers of statements are kept; when one fails, the file is read once more up to it.

use std::io::Read;

use whimbrel_adapter_api::Class;

use super::Rules;
use super::location::{Location, SplitError};
use super::pieces::Take;
use super::statements::{Item, Splitter, Statement};

/// A statement and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Located {
    /// What it does.
    pub class: Class,
    /// Where its first byte is.
    pub location: Location,
    /// Its text.
    pub text: String,
}

impl Located {
    /// Returns the place of byte `position` of the statement, or of its end.
    #[must_use]
    pub fn place(&self, position: u64) -> Location {
        let position = usize::try_from(position).unwrap_or(usize::MAX).min(self.text.len());
        self.location.after(&self.text.as_bytes()[..position])
    }
}

/// Returns the statement that was sent as number `wanted`, counted from 0, or `None` when the script has fewer.
///
/// `take` must answer as it did for [`Pieces`](super::Pieces).
///
/// # Errors
///
/// What is wrong with the script before that statement, or reading it.
pub fn locate<R: Read>(
    rules: &Rules,
    reader: R,
    wanted: u64,
    mut take: impl FnMut(&Statement<'_>) -> Take,
) -> Result<Option<Located>, SplitError> {
    let mut splitter = Splitter::new(rules, reader);
    let mut sent = 0;
    while let Some(item) = splitter.next_item()? {
        let Item::Statement(statement) = item else {
            continue;
        };
        if take(&statement) == Take::LeaveOut {
            continue;
        }
        if sent == wanted {
            let Statement { class, location, text, .. } = statement;
            return Ok(Some(Located { class, location, text: text.to_owned() }));
        }
        sent += 1;
    }
    Ok(None)
}
