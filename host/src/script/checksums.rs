//! Tells whether the statements of a script were changed.
//!
//! A row of the history stores them: one checksum over all statements, and, of a script that runs step by step, one for
//! each place at which it may end. A half done migration goes on only if the statements before that place are what they
//! were; and of an edited file it can be said whether anything but its comments was changed.
//!
//! Only the statements count, as the splitter gives them: comments, delimiters and white space between them do not. It
//! is meant for editors, not for forgers: a few bytes of each SHA-256 are kept.

use std::fmt;
use std::io::Read;

use sha2::{Digest, Sha256};
use whimbrel_adapter_api::{Lexer, Mode};

use super::{Treatment, not_split, rules, unreadable};
use crate::error::{Place, Problem};
use crate::source::Script;
use crate::splitter::{Item, Splitter, Statement};

/// The rules by which these were taken. They never change.
const VERSION: &str = "v1:";
/// How many statements have a checksum of their own: 160 kB in the history's row.
const MOST: usize = 20_000;
/// How many digits one place has.
const DIGITS: usize = 8;

/// The checksums of a script's statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// Over all statements of the file.
    whole: String,
    /// Over the first statement that is sent, the first two, and so on.
    places: Vec<String>,
}

/// Takes the checksum of statements that come one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain(Sha256);

impl Chain {
    pub(super) fn add(&mut self, statement: &Statement<'_>) {
        self.0.update((statement.text.len() as u64).to_le_bytes());
        self.0.update(statement.text);
    }

    /// Returns the first `digits` of what came so far.
    pub(super) fn digits(&self, digits: usize) -> String {
        let bytes = self.0.clone().finalize();
        bytes.iter().take(digits / 2).map(|byte| format!("{byte:02x}")).collect()
    }
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
    /// Takes the checksums of a script.
    ///
    /// # Errors
    ///
    /// What cannot be read or split, with its place.
    pub fn of(script: &Script, lexer: &Lexer, treatment: &Treatment) -> Result<Self, Problem> {
        let mut places = Vec::new();
        if treatment.mode == Mode::Stepwise {
            let reader = script.open().map_err(|error| unreadable(&error).at(Place::file(&script.path)))?;
            places = sent(reader, script, lexer, treatment)?;
        }
        Ok(Checksums { whole: treatment.statements_checksum.clone(), places })
    }

    /// Returns the checksums that a row of the history stores, or nothing if they are none of this version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, places) = text.strip_prefix(VERSION)?.split_once(':')?;
        let places =
            places.as_bytes().chunks(DIGITS).map(|place| String::from_utf8_lossy(place).into_owned());
        Some(Checksums { whole: whole.to_owned(), places: places.collect() })
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
        let changed =
            (0..reach.min(self.places.len())).find(|place| self.places.get(*place) != now.places.get(*place));
        match changed {
            Some(place) => Comparison::Changed(place as u64),
            None if reach <= self.places.len() => Comparison::Same,
            None => Comparison::Unknown,
        }
    }
}

impl fmt::Display for Checksums {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{VERSION}{}:", self.whole)?;
        self.places.iter().try_for_each(|place| formatter.write_str(place))
    }
}

/// Returns the checksum at each place of what is sent.
fn sent(
    reader: Box<dyn Read + Send>,
    script: &Script,
    lexer: &Lexer,
    treatment: &Treatment,
) -> Result<Vec<String>, Problem> {
    let mut splitter = Splitter::new(&rules(lexer)?, reader);
    let mut chain = Chain::default();
    let mut places = Vec::new();
    while let Some(item) = splitter.next_item().map_err(|error| not_split(&error, script))? {
        if let Item::Statement(statement) = item
            && !treatment.left_out.contains(&statement.index)
        {
            chain.add(&statement);
            places.push(chain.digits(DIGITS));
            if places.len() == MOST {
                break;
            }
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksums(whole: &str, places: &[&str]) -> Checksums {
        let places = places.iter().map(|place| (*place).to_owned()).collect();
        Checksums { whole: whole.to_owned(), places }
    }

    #[test]
    fn what_is_stored_is_read_again() {
        for places in [vec![], vec!["00000001"], vec!["00000001", "0000000a"]] {
            let checksums = checksums("0123", &places);
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
    fn beyond_the_known_places_only_the_whole_tells() {
        let then = checksums("1", &["a"]);
        assert_eq!(then.compare(&checksums("1", &["a"]), 5), Comparison::Same);
        assert_eq!(then.compare(&checksums("2", &["a"]), 5), Comparison::Unknown);
    }
}
