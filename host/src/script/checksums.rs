//! Tells whether the statements of a script were changed.
//!
//! A row of the history stores them: one checksum over all statements, and, of a script that runs step by step, one of
//! each, with a letter for the mark behind it. A half done migration goes on only if the statements before that place are
//! what they were; whether the next one has left its mark is told by how it was marked then, and not by what would be done
//! today; and of an edited file it can be said whether anything but its comments was changed.
//!
//! Only the statements count, as the splitter gives them: comments, delimiters and white space between them do not. It
//! is meant for editors, not for forgers: a few bytes of each SHA-256 are kept.

use std::fmt;

use sha2::{Digest, Sha256};
use whimbrel_adapter_api::{Class, Marking, Mode};

use super::{Outline, Treatment};

/// The rules by which these were taken. They never change.
const VERSION: &str = "v2:";
/// How many statements have a checksum of their own: 180 kB in the history's row.
const MOST: usize = 20_000;
/// How many bytes of the checksum of one statement are kept, in two digits each.
const BYTES: usize = 4;
/// What stands behind the checksum of one statement.
const LETTERS: &[(u8, Marking)] =
    &[(b'm', Marking::Marked), (b'j', Marking::Joined), (b'u', Marking::Unmarked)];
/// How many bytes of the checksum of all statements are kept.
const BYTES_OF_WHOLE: usize = 8;

/// What tells the statements of a script from others, taken while it is read.
#[derive(Clone, Debug, Default)]
pub struct Digests {
    whole: Sha256,
    /// Of the first [`MOST`] statements.
    each: Vec<(Class, [u8; BYTES])>,
}

impl Digests {
    /// Adds the next statement.
    pub(super) fn add(&mut self, class: Class, statement: &str) {
        let digest = Sha256::digest(statement);
        self.whole.update(digest);
        if self.each.len() < MOST {
            let mut kept = [0; BYTES];
            kept.copy_from_slice(&digest[..BYTES]);
            self.each.push((class, kept));
        }
    }
}

/// The checksums of a script's statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// Of all statements of the file.
    whole: String,
    /// Of each statement that is sent.
    each: Vec<Checksum>,
}

/// The checksum of one statement, and how its mark follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Checksum {
    digest: [u8; BYTES],
    marking: Marking,
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
        let checksum = |(index, (class, digest)): (u64, &(Class, [u8; BYTES]))| Checksum {
            digest: *digest,
            marking: treatment.marking(index, *class),
        };
        let whole = digests.whole.clone().finalize();
        Checksums { whole: hexadecimal(&whole[..BYTES_OF_WHOLE]), each: each.map(checksum).collect() }
    }

    /// Returns the checksums that a row of the history stores, or nothing if they are none of this version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, each) = text.strip_prefix(VERSION)?.split_once(':')?;
        let each = each.as_bytes().chunks(2 * BYTES + 1).map(|one| {
            let (letter, digits) = one.split_last()?;
            let (_, marking) = LETTERS.iter().find(|(known, _)| known == letter)?;
            let digest = u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
            Some(Checksum { digest: digest.to_be_bytes(), marking: *marking })
        });
        Some(Checksums { whole: whole.to_owned(), each: each.collect::<Option<_>>()? })
    }

    /// Returns how the mark of a statement follows it, counted from 0 over those that are sent, if that is known.
    #[must_use]
    pub fn marking(&self, index: u64) -> Option<Marking> {
        self.each.get(usize::try_from(index).ok()?).map(|one| one.marking)
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
        let is_same = |index: usize| {
            self.each.get(index).map(|one| one.digest) == now.each.get(index).map(|one| one.digest)
        };
        match (0..known).find(|index| !is_same(*index)) {
            Some(index) => Comparison::Changed(index as u64),
            None if known == reach => Comparison::Same,
            None => Comparison::Unknown,
        }
    }
}

impl fmt::Display for Checksums {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{VERSION}{}:", self.whole)?;
        self.each.iter().try_for_each(|Checksum { digest, marking }| {
            let letter =
                LETTERS.iter().find(|(_, known)| known == marking).map_or(b'u', |(letter, _)| *letter);
            write!(formatter, "{:08x}{}", u32::from_be_bytes(*digest), char::from(letter))
        })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksums(whole: &str, each: &[&str]) -> Checksums {
        let digest = |digits: &str| u32::from_str_radix(digits, 16).expect("digits").to_be_bytes();
        let one = |digits: &&str| Checksum { digest: digest(digits), marking: Marking::Joined };
        Checksums { whole: whole.to_owned(), each: each.iter().map(one).collect() }
    }

    #[test]
    fn what_is_stored_is_read_again() {
        for each in [vec![], vec!["00000001"], vec!["00000001", "0000000a"]] {
            let checksums = checksums("0123", &each);
            assert_eq!(Checksums::parse(&checksums.to_string()), Some(checksums));
        }
        assert_eq!(Checksums::parse("v1:0123:"), None);
        assert_eq!(Checksums::parse("v2:0123:00000001x"), None, "a letter of a newer version");
        let told = Checksums::parse("v2:0123:00000001j00000002m00000003u").expect("it is well written");
        let markings = [0, 1, 2, 3].map(|index| told.marking(index));
        let expected = [Some(Marking::Joined), Some(Marking::Marked), Some(Marking::Unmarked), None];
        assert_eq!(markings, expected);
        assert_eq!(Checksums::parse(""), None);
    }

    #[test]
    fn only_the_statements_before_the_place_are_compared() {
        let then = checksums("1", &["a", "b", "c"]);
        assert_eq!(then.compare(&checksums("2", &["a", "b", "d", "e"]), 2), Comparison::Same);
        assert_eq!(then.compare(&checksums("2", &["a", "d", "e"]), 2), Comparison::Changed(1));
        assert_eq!(then.compare(&checksums("2", &["a"]), 2), Comparison::Changed(1), "one is gone");
        assert_eq!(then.compare(&checksums("2", &["d"]), 0), Comparison::Same, "none was run");
    }

    #[test]
    fn beyond_the_known_ones_only_the_whole_tells() {
        let then = checksums("1", &["a"]);
        assert_eq!(then.compare(&checksums("1", &["a"]), 5), Comparison::Same);
        assert_eq!(then.compare(&checksums("2", &["a"]), 5), Comparison::Unknown);
    }
}
