//! What the comments at the top of a script say.
//!
//! The header is every `--` line before the first line that is neither blank nor comment. It is read by
//! [`inspect`](super::inspect) in the same pass that takes the checksum, and ends as [`Metadata`].
//!
//! Comments further down are comments: nothing there is ever understood as a setting. A comment that holds no key is
//! nobody's business either, except where a slip of the pen would change what runs.

use std::path::Path;

use super::Transaction;
use super::metadata::{Metadata, Said};
use crate::error::{Name, Place, Problem};

/// No line of a header is this long; a longer one is a dump's, and is not held in memory.
const LONGEST_LINE: usize = 1 << 20;

/// Reads a header from a text that comes in pieces.
#[derive(Debug)]
pub(super) struct HeaderReader<'a> {
    path: &'a Path,
    line: Vec<u8>,
    number: u64,
    within: Within,
    metadata: Metadata,
    problems: Vec<Problem>,
}

#[derive(Debug, PartialEq, Eq)]
enum Within {
    Header,
    /// `/* … */` at the top, often a licence: passed over.
    BlockComment,
    Statements,
}

impl<'a> HeaderReader<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        HeaderReader {
            path,
            line: Vec::new(),
            number: 0,
            within: Within::Header,
            metadata: Metadata::default(),
            problems: Vec::new(),
        }
    }

    /// Takes the next piece of the text.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if self.is_done() {
                return;
            }
            let room = LONGEST_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    /// Tells whether the header is over, so that nothing more need be read for it.
    pub(super) fn is_done(&self) -> bool {
        self.within == Within::Statements
    }

    /// Returns what the header says.
    pub(super) fn finish(mut self) -> (Metadata, Vec<Problem>) {
        if !self.is_done() {
            self.end_line();
        }
        (self.metadata, self.problems)
    }

    fn end_line(&mut self) {
        self.number += 1;
        let mut bytes = std::mem::take(&mut self.line);
        // Whether the whole text is UTF-8 is the splitter's question.
        self.understand(&String::from_utf8_lossy(&bytes));
        // The buffer is used again: most files have a handful of short lines here.
        bytes.clear();
        self.line = bytes;
    }

    fn understand(&mut self, line: &str) {
        let too_long = line.len() >= LONGEST_LINE;
        let text = line.trim_end();
        let text = if self.number == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        match self.within {
            Within::BlockComment => self.block(text),
            _ if too_long && text.trim_start().starts_with("--") => self.too_long(text),
            _ => self.line(text),
        }
    }

    fn line(&mut self, text: &str) {
        let trimmed = text.trim_start();
        if trimmed.is_empty() {
            return;
        }
        if let Some(comment) = trimmed.strip_prefix("--") {
            self.comment(text, comment);
        } else if trimmed.starts_with("/*") && !trimmed.starts_with("/*!") && !trimmed.starts_with("/*M!") {
            self.block(&trimmed[2..]);
        } else {
            self.within = Within::Statements;
        }
    }

    fn block(&mut self, text: &str) {
        self.within = match text.split_once("*/") {
            None => Within::BlockComment,
            Some((_, rest)) if rest.trim().is_empty() => Within::Header,
            Some(_) => Within::Statements,
        };
    }

    fn comment(&mut self, line: &str, comment: &str) {
        let (key, value) = match comment.split_once(':') {
            Some((key, value)) => (key, Some(value.trim())),
            None => (comment, None),
        };
        let place = self.place(line, value.unwrap_or(comment.trim()));
        let key = key.trim().to_lowercase();
        match (key.as_str(), value) {
            ("migration", Some(value)) => first(&mut self.metadata.title, value, place),
            ("created", Some(value)) => first(&mut self.metadata.created, value, place),
            ("rollback", Some(value)) => {
                self.metadata.rollback.push(Said { value: value.to_owned(), place });
            }
            ("depends", Some(value)) => self.list(value, line, ListKey::Depends),
            ("env", Some(value)) => self.list(value, line, ListKey::Env),
            ("no-transaction", None) => {
                self.metadata.transaction = Some(Said { value: Transaction::None, place });
            }
            _ => self.slip(&key, value, place),
        }
    }

    fn list(&mut self, value: &str, line: &str, key: ListKey) {
        let mut list = Vec::new();
        for element in value.split(',').map(str::trim).filter(|element| !element.is_empty()) {
            list.push(Said { value: element.to_owned(), place: self.place(line, element) });
        }
        if list.is_empty() {
            let message = format!("`-- {}:` names nothing", key.word());
            self.problems.push(Problem::new(Name::Metadata, message).at(self.place(line, line.trim_start())));
        }
        match key {
            ListKey::Depends => self.metadata.depends.append(&mut list),
            ListKey::Env => self.metadata.environments.append(&mut list),
        }
    }

    /// A comment may say anything, but `-- rolback:` or `-- no transaction` is meant, and would change what runs.
    fn slip(&mut self, key: &str, value: Option<&str>, place: Place) {
        let near = |known: &str| key != known && strsim::osa_distance(key, known) <= 1;
        let meant = if key.starts_with("no-transaction") || near("no-transaction") {
            "-- no-transaction"
        } else if value.is_some() && near("rollback") {
            "-- Rollback:"
        } else if value.is_some() && near("depends") {
            "-- depends:"
        } else {
            return;
        };
        let (message, hint) = if key.starts_with("no-transaction") {
            (
                format!("`{meant}` stands alone on its line"),
                "put the rest of the comment on a line of its own".to_owned(),
            )
        } else {
            (format!("unknown header `{key}`"), format!("did you mean `{meant}`?"))
        };
        self.problems.push(Problem::new(Name::Metadata, message).at(place).hint(hint));
    }

    fn too_long(&mut self, text: &str) {
        let key = text.trim_start().trim_start_matches("--").split(':').next().unwrap_or_default();
        if key.trim().eq_ignore_ascii_case("rollback") {
            let message = format!("this header is longer than {LONGEST_LINE} bytes");
            let problem =
                Problem::new(Name::Metadata, message).at(Place::position(self.path, self.number, 1));
            self.problems.push(problem.hint("put the script into a `.down.sql` file"));
        }
    }

    /// Returns where `part`, a slice of `line`, stands.
    fn place(&self, line: &str, part: &str) -> Place {
        let offset = (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize);
        let column = line.get(..offset).map_or(1, |before| before.chars().count() as u64 + 1);
        Place::position(self.path, self.number, column).with_excerpt(line)
    }
}

#[derive(Clone, Copy)]
enum ListKey {
    Depends,
    Env,
}

impl ListKey {
    fn word(self) -> &'static str {
        match self {
            ListKey::Depends => "depends",
            ListKey::Env => "env",
        }
    }
}

fn first(setting: &mut Option<Said<String>>, value: &str, place: Place) {
    if setting.is_none() && !value.is_empty() {
        *setting = Some(Said { value: value.to_owned(), place });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Metadata, Vec<Problem>) {
        read_in_pieces(text, usize::MAX)
    }

    fn read_in_pieces(text: &str, length: usize) -> (Metadata, Vec<Problem>) {
        let mut reader = HeaderReader::new(Path::new("001_a.sql"));
        text.as_bytes().chunks(length).for_each(|piece| reader.feed(piece));
        reader.finish()
    }

    fn values(list: &[Said<String>]) -> Vec<&str> {
        list.iter().map(|said| said.value.as_str()).collect()
    }

    const FULL: &str = "\u{feff}--Migration : Users: all of them\r\n-- CREATED: 2025-01-08\r\n\r\n--  depends: 001_a, 002_b\r\n\
        -- Depends: 003_c\r\n-- env: test,dev\r\n-- a plain comment\r\n-- No-Transaction\r\n-- Rollback: DROP TABLE b;\r\n\
        -- rollback: DROP TABLE a;\r\nCREATE TABLE a (b int);\r\n-- Rollback: never\r\n";

    #[test]
    fn keys_are_blind_to_case_and_spaces() {
        for length in [1, 2, 7, usize::MAX] {
            let (metadata, problems) = read_in_pieces(FULL, length);
            assert_eq!(problems, []);
            assert_eq!(metadata.title.unwrap().value, "Users: all of them");
            assert_eq!(metadata.created.unwrap().value, "2025-01-08");
            assert_eq!(values(&metadata.depends), ["001_a", "002_b", "003_c"]);
            assert_eq!(values(&metadata.environments), ["test", "dev"]);
            assert_eq!(metadata.transaction.unwrap().value, Transaction::None);
            assert_eq!(values(&metadata.rollback), ["DROP TABLE b;", "DROP TABLE a;"]);
        }
    }

    #[test]
    fn setting_knows_its_line_and_column() {
        let (metadata, _) = read(FULL);
        let places: Vec<_> =
            metadata.depends.iter().map(|said| (said.place.line, said.place.column)).collect();
        assert_eq!(places, [(Some(4), Some(14)), (Some(4), Some(21)), (Some(5), Some(13))]);
        assert_eq!(metadata.rollback[1].place.line, Some(10));
    }

    #[test]
    fn comment_after_the_first_statement_is_a_comment() {
        for text in [
            "SELECT 1;\n-- no-transaction\n",
            "SELECT 1; -- no-transaction\n",
            "/*!40101 SET x */;\n-- no-transaction\n",
            "/* a */ SELECT 1;\n-- no-transaction\n",
            "/* a\n-- no-transaction\n*/\n",
            "# no-transaction\n",
            "-- it runs with no-transaction\n",
        ] {
            let (metadata, problems) = read(text);
            assert!(metadata.transaction.is_none() && problems.is_empty(), "{text}");
        }
    }

    #[test]
    fn licence_and_blank_lines_above_do_not_hide_the_header() {
        for text in [
            "/* a\n b */\n\n-- no-transaction",
            "/* a */\n-- no-transaction\n",
            "\n \n\t-- no-transaction\nSELECT 1",
        ] {
            assert!(read(text).0.transaction.is_some(), "{text}");
        }
    }

    #[test]
    fn slip_that_would_change_what_runs_is_a_problem() {
        for (text, message) in [
            ("-- no transaction", "unknown header `no transaction`"),
            ("-- no_transaction", "unknown header `no_transaction`"),
            ("-- no-transaction: index", "`-- no-transaction` stands alone on its line"),
            ("-- no-transactions", "`-- no-transaction` stands alone on its line"),
            ("-- Rolback: DROP TABLE a", "unknown header `rolback`"),
            ("-- depend: 001_a", "unknown header `depend`"),
            ("-- depends:", "`-- depends:` names nothing"),
        ] {
            let messages: Vec<String> = read(text).1.iter().map(ToString::to_string).collect();
            assert_eq!(messages, [message], "{text}");
        }
    }

    #[test]
    fn ordinary_comment_is_nobodys_business() {
        for text in [
            "-- Note: this is slow",
            "-- Callback: none",
            "-- rollback is hard",
            "-- depends on the users",
            "--",
            "-- :",
        ] {
            assert_eq!(read(text).1, [], "{text}");
        }
    }

    #[test]
    fn endless_line_is_not_held() {
        let mut reader = HeaderReader::new(Path::new("a"));
        reader.feed(b"-- ");
        for _ in 0..40 {
            reader.feed(&[b'x'; 1 << 16]);
        }
        assert!(reader.line.len() <= LONGEST_LINE);
        reader.feed(b"\n-- no-transaction\n");
        assert!(reader.finish().0.transaction.is_some());
    }
}
