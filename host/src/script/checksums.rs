//! Tells whether the statements of a script were changed.
//!
//! A row of the history stores them: one checksum over all statements, and, of a script that runs step by step, one for
//! each place at which it may end. A half done migration goes on only if the statements before that place are what they
//! were; and of an edited file it can be said whether anything but its comments was changed.
//!
//! Only the statements count, as the splitter gives them: comments, delimiters and white space between them do not. It
//! is meant for editors, not for forgers: a few bytes of each SHA-256 are kept.

use std::fmt;

use sha2::{Digest, Sha256};
use whimbrel_adapter_api::Mode;

use super::{Outline, Treatment};

/// The rules by which these were taken. They never change.
const VERSION: &str = "v1:";
/// How many statements have a checksum of their own: 160 kB in the history's row.
const MOST: usize = 20_000;
/// How many bytes of the checksum of one statement are kept, in two digits each.
const BYTES: usize = 4;
/// How many bytes of the checksum of all statements are kept.
const BYTES_OF_WHOLE: usize = 8;

/// What tells the statements of a script from others, taken while it is read.
#[derive(Clone, Debug, Default)]
pub struct Digests {
    whole: Sha256,
    /// Of the first [`MOST`] statements.
    each: Vec<[u8; BYTES]>,
}

impl Digests {
    /// Adds the next statement.
    pub(super) fn add(&mut self, statement: &str) {
        let digest = Sha256::digest(statement);
        self.whole.update(digest);
        if self.each.len() < MOST {
            let mut kept = [0; BYTES];
            kept.copy_from_slice(&digest[..BYTES]);
            self.each.push(kept);
        }
    }
}

/// The checksums of a script's statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// Of all statements of the file.
    whole: String,
    /// Of each statement that is sent.
    each: Vec<String>,
}

/// What became of the statements before some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// They are what they were.
    Same,
    /// The statement with this number is the first that is not what it was, counted from 0 over those that are sent.
    Changed(u64),
    /// Too few checksums are known.
    Unknown,
}

impl Checksums {
    /// Returns the checksums of a script that is run so.
    #[must_use]
    pub fn of(outline: &Outline, treatment: &Treatment) -> Self {
        let digests = &outline.digests;
        let each = (0..).zip(&digests.each).filter(|(index, _)| !treatment.left_out.contains(index));
        let each = each.filter(|_| treatment.mode == Mode::Stepwise);
        let whole = digests.whole.clone().finalize();
        Checksums {
            whole: hexadecimal(&whole[..BYTES_OF_WHOLE]),
            each: each.map(|(_, digest)| hexadecimal(digest)).collect(),
        }
    }

    /// Returns the checksums that a row of the history stores, or nothing if they are none of this version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, each) = text.strip_prefix(VERSION)?.split_once(':')?;
        let each = each.as_bytes().chunks(2 * BYTES).map(|one| String::from_utf8_lossy(one).into_owned());
        Some(Checksums { whole: whole.to_owned(), each: each.collect() })
    }

    /// Returns whether all statements of two scripts are the same.
    #[must_use]
    pub fn has_same_statements(&self, other: &Self) -> bool {
        self.whole == other.whole
    }

    /// Compares the first `reach` statements that are sent with those of the script as it is `now`.
    #[must_use]
    pub fn compare(&self, now: &Self, reach: u64) -> Comparison {
        let reach = usize::try_from(reach).unwrap_or(usize::MAX);
        if self.has_same_statements(now) || reach == 0 {
            return Comparison::Same;
        }
        let known = reach.min(self.each.len());
        match (0..known).find(|index| self.each.get(*index) != now.each.get(*index)) {
            Some(index) => Comparison::Changed(index as u64),
            None if known == reach => Comparison::Same,
            None => Comparison::Unknown,
        }
    }
}

impl fmt::Display for Checksums {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{VERSION}{}:", self.whole)?;
        self.each.iter().try_for_each(|one| formatter.write_str(one))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksums(whole: &str, each: &[&str]) -> Checksums {
        let each = each.iter().map(|one| (*one).to_owned()).collect();
        Checksums { whole: whole.to_owned(), each }
    }

    #[test]
    fn what_is_stored_is_read_again() {
        for each in [vec![], vec!["00000001"], vec!["00000001", "0000000a"]] {
            let checksums = checksums("0123", &each);
            assert_eq!(Checksums::parse(&checksums.to_string()), Some(checksums));
        }
        assert_eq!(Checksums::parse("v2:0123:"), None);
        assert_eq!(Checksums::parse(""), None);
    }

    #[test]
    fn only_the_statements_before_the_place_are_compared() {
        let then = checksums("1", &["a", "b", "c"]);
        assert_eq!(then.compare(&checksums("2", &["a", "b", "x", "y"]), 2), Comparison::Same);
        assert_eq!(then.compare(&checksums("2", &["a", "x", "y"]), 2), Comparison::Changed(1));
        assert_eq!(then.compare(&checksums("2", &["a"]), 2), Comparison::Changed(1), "one is gone");
        assert_eq!(then.compare(&checksums("2", &["x"]), 0), Comparison::Same, "none was run");
    }

    #[test]
    fn beyond_the_known_ones_only_the_whole_tells() {
        let then = checksums("1", &["a"]);
        assert_eq!(then.compare(&checksums("1", &["a"]), 5), Comparison::Same);
        assert_eq!(then.compare(&checksums("2", &["a"]), 5), Comparison::Unknown);
    }
}
