//! The place of a migration in the order.
//!
//! A version is the number, or the numbers joined by `-` or `.`, at the beginning of a migration's name. Versions are
//! compared number by number: `9` comes before `10`, `001` is `1`, and a number may have any length.
//!
//! Gives the numbers no meaning: whether they count or are dates matters to nobody but [`create`](super::create).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The number, or numbers, at the beginning of a migration's name.
#[derive(Clone, Debug)]
pub struct Version {
    text: String,
    numbers: Vec<Number>,
}

/// Decimal digits without leading zeros. Kept as text, because twenty digits and more occur.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Number(String);

impl Version {
    /// Returns the version that is the whole of `text`, or nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Version> {
        match Version::at_start_of(text) {
            Some((version, "")) => Some(version),
            _ => None,
        }
    }

    /// Returns the version as it was written.
    #[must_use]
    pub fn as_written(&self) -> &str {
        &self.text
    }

    /// Returns the longest version that `text` begins with, and what follows it.
    pub(super) fn at_start_of(text: &str) -> Option<(Version, &str)> {
        let mut end = digits(text);
        if end == 0 {
            return None;
        }
        while text[end..].starts_with(['-', '.']) {
            match digits(&text[end + 1..]) {
                0 => break,
                length => end += 1 + length,
            }
        }
        let (version, rest) = text.split_at(end);
        let numbers = version.split(['-', '.']).map(Number::new).collect();
        Some((Version { text: version.to_owned(), numbers }, rest))
    }

    /// Returns the version with its last number one higher, written with as many digits.
    pub(super) fn next(&self) -> Version {
        let start = self.text.rfind(['-', '.']).map_or(0, |separator| separator + 1);
        let (before, last) = self.text.split_at(start);
        let text = format!("{before}{}", one_more(last));
        let numbers = text.split(['-', '.']).map(Number::new).collect();
        Version { text, numbers }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.numbers.as_slice() {
            [Number(digits)] => formatter.write_str(digits),
            // Dates: `2025.1.8.1` would be a stranger to whoever wrote `2025-01-08-000001`.
            _ => formatter.write_str(&self.text),
        }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.numbers == other.numbers
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.numbers.hash(state);
    }
}

impl Number {
    fn new(digits: &str) -> Number {
        let significant = digits.trim_start_matches('0');
        Number(if significant.is_empty() { "0" } else { significant }.to_owned())
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn one_more(digits: &str) -> String {
    let kept = digits.trim_end_matches('9');
    let nines = digits.len() - kept.len();
    let (before, last) = kept.split_at(kept.len().saturating_sub(1));
    let raised = last.bytes().next().map_or('1', |digit| char::from(digit + 1));
    format!("{before}{raised}{}", "0".repeat(nines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_ends_before_the_first_character_that_is_no_part_of_it() {
        for (text, version, rest) in [
            ("001_users", "001", "_users"),
            ("2025-01-08-000001_users", "2025-01-08-000001", "_users"),
            ("1.2-3_users", "1.2-3", "_users"),
            ("1-_users", "1", "-_users"),
            ("1..2_users", "1", "..2_users"),
            ("20250108123456789012345_users", "20250108123456789012345", "_users"),
        ] {
            let (parsed, after) = Version::at_start_of(text).unwrap();
            assert_eq!((parsed.as_written(), after), (version, rest), "{text}");
        }
        assert!(Version::at_start_of("users").is_none());
        assert!(Version::parse("7_users").is_none());
    }

    #[test]
    fn numbers_are_compared_and_not_their_spelling() {
        let ascending = [
            "0",
            "1",
            "1.0",
            "1.1",
            "1-2",
            "2",
            "9",
            "10",
            "2025-01-08",
            "20250108",
            "99999999999999999999",
            "100000000000000000000",
        ];
        for pair in ascending.windows(2) {
            assert!(Version::parse(pair[0]) < Version::parse(pair[1]), "{pair:?}");
        }
        for (one, other) in [("001", "1"), ("00", "0"), ("2025-01-08", "2025.1.8")] {
            assert_eq!(Version::parse(one), Version::parse(other));
        }
    }

    #[test]
    fn next_version_keeps_the_width_until_it_must_grow() {
        for (text, next) in [
            ("1", "2"),
            ("001", "002"),
            ("099", "100"),
            ("999", "1000"),
            ("2025-03-14-000009", "2025-03-14-000010"),
            ("99999999999999999999", "100000000000000000000"),
        ] {
            assert_eq!(Version::parse(text).unwrap().next().as_written(), next);
        }
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_numbers(left in prop::collection::vec(any::<u64>(), 1..4), right in prop::collection::vec(any::<u64>(), 1..4)) {
            let text = |numbers: &[u64]| numbers.iter().map(|number| format!("{number:04}")).collect::<Vec<_>>().join("-");
            prop_assert_eq!(Version::parse(&text(&left)).cmp(&Version::parse(&text(&right))), left.cmp(&right));
        }

        #[test]
        fn next_version_is_higher(text in "[0-9]{1,25}([-.][0-9]{1,25}){0,3}") {
            let version = Version::parse(&text).unwrap();
            prop_assert!(version.next() > version);
        }
    }
}
