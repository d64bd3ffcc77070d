//! What a script looked like when it was applied, in 32 bytes.
//!
//! `v1` is SHA-256 over the text without its byte order mark, with CRLF as LF, without the newlines at its end: an
//! editor's or git's ways with these are no change of the script. The [`source`](super) takes the checksum when it
//! reads a file, and the runner takes it again while it sends.
//!
//! Knows nothing of text beyond these three: a lone CR, a space or a comment counts.

use std::fmt;

use sha2::{Digest, Sha256};

const HEX: &[u8; 16] = b"0123456789abcdef";

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The checksum of a script, after the first version of the rules. They never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Checksum([u8; 32]);

/// Takes the checksum of a text that comes in pieces.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    digest: Sha256,
    start: Start,
    /// Newlines that belong to the text only if something follows them.
    newlines: u64,
    /// A CR whose successor has not come yet.
    carriage_return: bool,
}

/// Whether a byte order mark may still come.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// This many of its bytes came, and nothing else.
    Mark(usize),
    Past,
}

impl Default for Start {
    fn default() -> Self {
        Start::Mark(0)
    }
}

impl Checksum {
    /// How many digits tell that two scripts are the same: more than accidents need.
    pub const ENOUGH: usize = 24;

    /// Returns the checksum of a whole text.
    #[must_use]
    pub fn of(text: &[u8]) -> Checksum {
        let mut hasher = Hasher::default();
        hasher.update(text);
        hasher.finish()
    }

    /// Returns the beginning, which is enough to tell two apart by eye: `v1:9f2c41d0`.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate("v1:".len() + 8);
        text
    }

    /// Returns whether `stored` is this checksum, or the beginning of it that a history in few bytes has.
    #[must_use]
    pub fn agrees_with(&self, stored: &str) -> bool {
        let Some(digits) = stored.strip_prefix("v1:").map(str::as_bytes) else { return false };
        let is_enough = (Self::ENOUGH..=2 * self.0.len()).contains(&digits.len()) && digits.len() % 2 == 0;
        let mut pairs = digits.chunks_exact(2).zip(&self.0);
        is_enough
            && pairs.all(|(pair, byte)| pair == [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]])
    }

    /// Returns the checksum that `text` is, or nothing if it is none of this version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Checksum> {
        let digits = text.strip_prefix("v1:")?.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = 16 * hex(pair[0])? + hex(pair[1])?;
        }
        Some(Checksum(bytes))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("v1:")?;
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl Hasher {
    /// Takes the next piece, of any length.
    pub fn update(&mut self, piece: &[u8]) {
        let piece = self.without_mark(piece);
        let Some((first, _)) = piece.split_first() else {
            return;
        };
        if std::mem::take(&mut self.carriage_return) && *first != b'\n' {
            self.text(b"\r");
        }
        let mut rest = piece;
        while let Some(position) = memchr::memchr(b'\r', rest) {
            self.text(&rest[..position]);
            rest = &rest[position + 1..];
            match rest.first() {
                Some(b'\n') => {}
                Some(_) => self.text(b"\r"),
                None => self.carriage_return = true,
            }
        }
        self.text(rest);
    }

    /// Returns the checksum of all that came.
    #[must_use]
    pub fn finish(mut self) -> Checksum {
        if let Start::Mark(seen @ 1..) = self.start {
            self.text(&BYTE_ORDER_MARK[..seen]);
        }
        if self.carriage_return {
            self.text(b"\r");
        }
        Checksum(self.digest.finalize().into())
    }

    /// Takes the bytes of a byte order mark from the start of the text, even one by one.
    fn without_mark<'a>(&mut self, mut piece: &'a [u8]) -> &'a [u8] {
        while let Start::Mark(seen) = self.start {
            let Some((first, rest)) = piece.split_first() else {
                break;
            };
            if *first != BYTE_ORDER_MARK[seen] {
                self.start = Start::Past;
                self.text(&BYTE_ORDER_MARK[..seen]);
            } else if seen + 1 == BYTE_ORDER_MARK.len() {
                self.start = Start::Past;
                piece = rest;
            } else {
                self.start = Start::Mark(seen + 1);
                piece = rest;
            }
        }
        piece
    }

    /// Takes text without CRLF, and holds its last newlines back.
    fn text(&mut self, text: &[u8]) {
        let newlines = text.iter().rev().take_while(|byte| **byte == b'\n').count();
        let body = &text[..text.len() - newlines];
        if !body.is_empty() {
            for _ in 0..std::mem::take(&mut self.newlines) {
                self.digest.update(b"\n");
            }
            self.digest.update(body);
        }
        self.newlines += newlines as u64;
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rules, written for a text that is held whole.
    fn plain(text: &[u8]) -> Checksum {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut normal: Vec<u8> = Vec::new();
        for (index, byte) in text.iter().enumerate() {
            if *byte != b'\r' || text.get(index + 1) != Some(&b'\n') {
                normal.push(*byte);
            }
        }
        while normal.last() == Some(&b'\n') {
            normal.pop();
        }
        Checksum(Sha256::digest(&normal).into())
    }

    #[test]
    fn the_beginning_of_a_checksum_agrees_with_it_if_it_is_long_enough() {
        let (checksum, text) = (Checksum::of(b"one"), Checksum::of(b"one").to_string());
        for length in [3 + Checksum::ENOUGH, 3 + 40, text.len()] {
            assert!(checksum.agrees_with(&text[..length]), "{length}");
            assert!(!Checksum::of(b"two").agrees_with(&text[..length]), "{length}");
        }
        for stored in ["", "v1:", &text[..3 + Checksum::ENOUGH - 2], &text[3..], &format!("{text}00")] {
            assert!(!checksum.agrees_with(stored), "{stored}");
        }
        let mut last = text.into_bytes();
        let digit = last.last_mut().expect("digits");
        *digit = if *digit == b'0' { b'1' } else { b'0' };
        assert!(!checksum.agrees_with(&String::from_utf8(last).expect("digits")));
    }

    #[test]
    fn checksum_of_a_known_text_is_the_known_one() {
        let known = "v1:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Checksum::of(b"abc").to_string(), known);
        assert_eq!(Checksum::of(b"abc").short(), "v1:ba7816bf");
        assert_eq!(Checksum::parse(known), Some(Checksum::of(b"abc")));
    }

    #[test]
    fn editors_ways_with_line_ends_are_no_change() {
        for text in ["a\r\nb", "a\nb\n", "\u{feff}a\r\nb\r\n\r\n", "a\nb\n\n\n"] {
            assert_eq!(Checksum::of(text.as_bytes()), Checksum::of(b"a\nb"), "{text:?}");
        }
    }

    #[test]
    fn every_other_byte_is_a_change() {
        for text in ["a\rb", "a\nb ", "a\nb\r", " a\nb", "a\n\nb", "a\n\u{feff}b", "A\nb", "\na\nb"] {
            assert_ne!(Checksum::of(text.as_bytes()), Checksum::of(b"a\nb"), "{text:?}");
        }
    }

    #[test]
    fn text_that_is_no_checksum_of_version_one_is_not_parsed() {
        for text in ["", "v1:", "v1:00", &format!("v2:{}", "0".repeat(64)), &format!("v1:{}", "G".repeat(64))]
        {
            assert_eq!(Checksum::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_give_the_checksum_of_the_whole(
            pieces in prop::collection::vec("(\u{feff}|\r|\n|\r\n|a|bc){0,4}".prop_map(String::into_bytes), 0..8),
            cut in 1usize..4,
        ) {
            let whole = pieces.concat();
            let mut as_given = Hasher::default();
            pieces.iter().for_each(|piece| as_given.update(piece));
            let mut cut_up = Hasher::default();
            whole.chunks(cut).for_each(|piece| cut_up.update(piece));
            prop_assert_eq!(as_given.finish(), plain(&whole));
            prop_assert_eq!(cut_up.finish(), plain(&whole));
        }

        #[test]
        fn written_checksum_is_read_back(bytes in any::<[u8; 32]>()) {
            prop_assert_eq!(Checksum::parse(&Checksum(bytes).to_string()), Some(Checksum(bytes)));
        }
    }
}
