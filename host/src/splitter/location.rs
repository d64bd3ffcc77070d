//! Where something stands in a script, and what can be wrong there.

use std::fmt;
use std::io;

/// A place in a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Bytes before it, counted from the start of the file.
    pub offset: u64,
    /// Its line, from 1.
    pub line: u64,
    /// Its column in characters, from 1.
    pub column: u64,
}

impl Location {
    /// The first byte of a script.
    pub const START: Location = Location { offset: 0, line: 1, column: 1 };

    /// Returns the place behind `bytes`, which begin here.
    #[must_use]
    pub fn after(self, bytes: &[u8]) -> Self {
        let offset = self.offset + bytes.len() as u64;
        match memchr::memrchr(b'\n', bytes) {
            None => Location { offset, line: self.line, column: self.column + characters(bytes) },
            Some(last) => Location {
                offset,
                line: self.line + memchr::memchr_iter(b'\n', bytes).count() as u64,
                column: 1 + characters(&bytes[last + 1..]),
            },
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// Why a script could not be split.
#[derive(Debug)]
pub enum SplitError {
    /// The file could not be read.
    Read(io::Error),
    /// The script itself is at fault.
    Script(Problem),
}

impl fmt::Display for SplitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SplitError::Read(error) => error.fmt(formatter),
            SplitError::Script(problem) => problem.kind.fmt(formatter),
        }
    }
}

impl std::error::Error for SplitError {}

impl From<io::Error> for SplitError {
    fn from(error: io::Error) -> Self {
        SplitError::Read(error)
    }
}

/// What is wrong with a script, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub kind: ProblemKind,
    /// Where it begins.
    pub location: Location,
}

/// What can be wrong with a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProblemKind {
    /// A string is never closed.
    UnterminatedString,
    /// A quoted name is never closed.
    UnterminatedName,
    /// A comment is never closed.
    UnterminatedComment,
    /// A dollar quote is never closed.
    UnterminatedDollarQuote,
    /// A body has no last `END`, or a list of statements in parentheses is never closed.
    UnterminatedBody,
    /// Data of a COPY has no line `\.`.
    UnterminatedCopyData,
    /// Something other than a comment stands behind a COPY whose data begins on the next line.
    TextBeforeCopyData,
    /// `DELIMITER` does not say which.
    DelimiterMissing,
    /// A byte 0 outside COPY data.
    NulByte,
    /// Bytes outside COPY data that are no UTF-8.
    InvalidUtf8,
    /// A statement of 4 GiB or more.
    StatementTooLong,
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ProblemKind::UnterminatedString => "the string that begins here is never closed",
            ProblemKind::UnterminatedName => "the quoted name that begins here is never closed",
            ProblemKind::UnterminatedComment => "the comment that begins here is never closed",
            ProblemKind::UnterminatedDollarQuote => "the dollar quote that begins here is never closed",
            ProblemKind::UnterminatedBody => "the body that begins here has no end",
            ProblemKind::UnterminatedCopyData => "the data of this COPY has no line `\\.`",
            ProblemKind::TextBeforeCopyData => "the data of a COPY begins on the line after its `;`",
            ProblemKind::DelimiterMissing => "`DELIMITER` needs the new delimiter on its line",
            ProblemKind::NulByte => "a NUL byte",
            ProblemKind::InvalidUtf8 => "the text is not UTF-8 from here on",
            ProblemKind::StatementTooLong => "a statement of 4 GiB or more",
        })
    }
}

/// Counts characters. A byte that continues one is not counted, so the count holds for any piece of UTF-8.
fn characters(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count() as u64
}
