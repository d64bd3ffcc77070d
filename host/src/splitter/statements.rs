//! Splits a script into statements, COPY data and lines for the engine's client.
//!
//! Fills a buffer from the file, lets the [`Scanner`] read it, asks [`Body`] whether a `;` ends the statement and
//! [`Matcher`] what the statement does. The buffer holds the statement at work and what was read ahead.
//!
//! A statement reaches from its first token to its last: comments around it belong to nothing, comments in it stay,
//! since they may be hints for the engine.

use std::io::Read;
use std::ops::Range;

use whimbrel_adapter_api::{Class, Feature};

use super::Rules;
use super::body::Body;
use super::buffer::{Buffer, CHUNK};
use super::lexer::{Input, Kind, Scanner, Step, Token, Wanted};
use super::location::{Location, Problem, ProblemKind, SplitError};
use super::patterns::Matcher;

/// A part of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item<'a> {
    /// A statement. After one that is [`Class::CopyFromStdin`] its data follows, if the engine has such data.
    Statement(Statement<'a>),
    /// A part of the data, at most 256 KiB and as it stands in the file.
    CopyData {
        /// Bytes of the file before it.
        offset: u64,
        /// The data.
        bytes: &'a [u8],
    },
    /// The line `\.`.
    CopyEnd,
}

/// A statement, or a line for the engine's client.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Statement<'a> {
    /// How many there were before it in the file.
    pub index: u64,
    /// What it does.
    pub class: Class,
    /// Where its first byte is.
    pub location: Location,
    /// From its first token to its last, without the delimiter.
    pub text: &'a str,
    rules: &'a Rules,
}

impl PartialEq for Statement<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.index, self.class, self.location, self.text)
            == (other.index, other.class, other.location, other.text)
    }
}

impl Eq for Statement<'_> {}

impl<'a> Statement<'a> {
    /// Returns its words and quoted names, without punctuation, strings and comments.
    #[must_use]
    pub fn words(&self) -> Words<'a> {
        Words { text: self.text, scanner: Scanner::new(self.rules.0.features) }
    }
}

/// A word of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// As it stands there, without its quotes. Doubled quotes inside are left doubled.
    pub text: &'a str,
    /// How it is written.
    pub form: Form,
}

/// How a word is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Without quotes.
    Bare,
    /// As a name in quotes.
    Quoted,
}

/// The words of a statement.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    text: &'a str,
    scanner: Scanner,
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        loop {
            let step = self.scanner.next(self.text.as_bytes(), Input::Ended, Wanted::Tokens);
            let end = self.scanner.at();
            // Quotes are ASCII, so the cuts are between characters.
            let (range, form) = match step {
                Step::Token { kind: Kind::Word, start } => (start..end, Form::Bare),
                Step::Token { kind: Kind::Name, start } => (start + 1..end - 1, Form::Quoted),
                Step::Token { .. } | Step::Delimiter { .. } => continue,
                Step::More | Step::End | Step::Unterminated { .. } => return None,
            };
            return self.text.get(range).map(|text| Word { text, form });
        }
    }
}

/// A statement that was found in the buffer.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) range: Range<usize>,
    pub(super) index: u64,
    pub(super) class: Class,
    pub(super) location: Location,
}

/// An item as places in the buffer, valid until the next one is asked for.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Statement(Found),
    CopyData { offset: u64, range: Range<usize> },
    CopyEnd,
}

/// The statement at work.
#[derive(Clone, Copy, Debug)]
struct Begun {
    start: usize,
    location: Location,
    /// Where its outermost block begins.
    body: Option<usize>,
}

/// Where COPY data stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copy {
    None,
    /// On the line of the statement.
    Behind,
    LineStart,
    LineMiddle,
}

/// Reads a script and gives out its parts in order.
#[derive(Debug)]
pub struct Splitter<R> {
    rules: Rules,
    buffer: Buffer<R>,
    scanner: Scanner,
    body: Body,
    matcher: Matcher,
    begun: Option<Begun>,
    copy: Copy,
    copy_location: Location,
    /// Where a comment outside any statement begins, of which the beginning was let go.
    comment_location: Option<Location>,
    index: u64,
    /// The bytes of the buffer before this one are checked and counted in `location`.
    counted: usize,
    location: Location,
}

impl<R: Read> Splitter<R> {
    /// Returns a splitter for the script that `reader` gives. It reads large parts and needs no buffer around it.
    #[must_use]
    pub fn new(rules: &Rules, reader: R) -> Self {
        let features = rules.0.features;
        Splitter {
            rules: rules.clone(),
            buffer: Buffer::new(reader),
            scanner: Scanner::new(features),
            body: Body::new(features),
            matcher: Matcher::default(),
            begun: None,
            copy: Copy::None,
            copy_location: Location::START,
            comment_location: None,
            index: 0,
            counted: 0,
            location: Location::START,
        }
    }

    /// Returns the next part, or `None` after the last one.
    ///
    /// # Errors
    ///
    /// What is wrong with the script, or reading it. Nothing can be read after an error.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, SplitError> {
        Ok(match self.advance()? {
            None => None,
            Some(Event::Statement(found)) => Some(Item::Statement(self.statement(&found)?)),
            Some(Event::CopyData { offset, range }) => {
                Some(Item::CopyData { offset, bytes: &self.buffer[range] })
            }
            Some(Event::CopyEnd) => Some(Item::CopyEnd),
        })
    }

    /// Returns how many bytes of the file lie behind what was given out, as a measure of progress.
    pub fn offset(&self) -> u64 {
        self.location.offset
    }

    /// Returns the statement of an event.
    pub(super) fn statement(&self, found: &Found) -> Result<Statement<'_>, SplitError> {
        // The bytes were checked when they were counted; checking a slice again costs less than trusting it.
        let text = std::str::from_utf8(&self.buffer[found.range.clone()])
            .map_err(|_| problem(ProblemKind::InvalidUtf8, found.location))?;
        let Found { index, class, location, .. } = *found;
        Ok(Statement { index, class, location, text, rules: &self.rules })
    }

    /// Returns the bytes of an event.
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Returns whether COPY data follows a statement.
    pub(super) fn has_data(&self, found: &Found) -> bool {
        found.class == Class::CopyFromStdin && self.rules.0.features.has(Feature::CopyData)
    }

    /// Finds the next part.
    pub(super) fn advance(&mut self) -> Result<Option<Event>, SplitError> {
        if self.copy == Copy::Behind {
            self.skip_line_of_copy()?;
        }
        if self.copy != Copy::None {
            return self.copy_data().map(Some);
        }
        loop {
            let wanted = match self.begun {
                Some(_) if !self.matcher.is_open() && !self.body.is_open() => Wanted::Ends,
                _ => Wanted::Tokens,
            };
            match self.scanner.next(&self.buffer, self.buffer.input(), wanted) {
                Step::Token { kind, start } => {
                    if let Some(found) = self.token(kind, start)? {
                        return Ok(Some(found));
                    }
                }
                Step::Delimiter { start } => {
                    let inside = self.body.semicolon();
                    if let Some(begun) = self.begun.filter(|_| !inside) {
                        return self.finish(begun, start).map(Some);
                    }
                }
                Step::More => self.read_more()?,
                Step::End => return self.end(),
                Step::Unterminated { kind, start } => return Err(self.problem_at(kind, start)),
            }
        }
    }

    /// Takes a token, which may be a whole line for the client.
    fn token(&mut self, kind: Kind, start: usize) -> Result<Option<Event>, SplitError> {
        if self.begun.is_none() {
            if self.is_line_for_client(kind, start) {
                return self.line_for_client(start);
            }
            self.begin(start)?;
        }
        let text = &self.buffer[start..self.scanner.at()];
        let token = match kind {
            Kind::Word => Token::Word(text),
            Kind::Name => Token::Name,
            Kind::Text => Token::Text,
            Kind::Punctuation => Token::Punctuation(text[0]),
            Kind::Opening => return Ok(None),
        };
        if self.matcher.is_open() {
            self.matcher.token(&self.rules.0.patterns, token);
        }
        if self.body.is_open() {
            // Inside an executed comment nothing delimits, and yet its body goes on to the next statement.
            match token {
                Token::Punctuation(b';') => drop(self.body.semicolon()),
                _ => self.body.token(token),
            }
            if let Some(begun) = self.begun.as_mut() {
                begun.body = begun.body.or(Some(start)).filter(|_| self.body.holds());
            }
        }
        Ok(None)
    }

    fn begin(&mut self, start: usize) -> Result<(), SplitError> {
        self.count(start)?;
        self.begun = Some(Begun { start, location: self.location, body: None });
        self.comment_location = None;
        self.matcher.reset();
        self.body.reset();
        if !self.scanner.has_usual_delimiter() {
            self.body.disable();
        }
        Ok(())
    }

    fn finish(&mut self, begun: Begun, end: usize) -> Result<Event, SplitError> {
        self.count(self.scanner.at())?;
        self.begun = None;
        let range = begun.start..self.scanner.trimmed(&self.buffer, begun.start, end);
        if u32::try_from(range.len()).is_err() {
            return Err(problem(ProblemKind::StatementTooLong, begun.location));
        }
        let class = self.matcher.class(&self.rules.0.patterns);
        let found = self.found(range, class, begun.location);
        if self.has_data(&found) {
            self.copy = Copy::Behind;
            self.copy_location = begun.location;
        }
        Ok(Event::Statement(found))
    }

    fn found(&mut self, range: Range<usize>, class: Class, location: Location) -> Found {
        self.index += 1;
        Found { range, index: self.index - 1, class, location }
    }

    fn end(&mut self) -> Result<Option<Event>, SplitError> {
        let Some(begun) = self.begun else {
            self.count(self.scanner.at())?;
            return Ok(None);
        };
        if let Some(body) = begun.body {
            return Err(self.problem_at(ProblemKind::UnterminatedBody, body));
        }
        self.finish(begun, self.scanner.at()).map(Some)
    }

    fn is_line_for_client(&self, kind: Kind, start: usize) -> bool {
        let features = self.rules.0.features;
        let text = &self.buffer[start..self.scanner.at()];
        match kind {
            Kind::Punctuation => text == b"\\" && features.has(Feature::BackslashCommands),
            Kind::Word => text.eq_ignore_ascii_case(b"DELIMITER") && features.has(Feature::DelimiterCommand),
            _ => false,
        }
    }

    /// Takes the line that begins at `start`: a command of the client, or a new delimiter, which is no item.
    fn line_for_client(&mut self, start: usize) -> Result<Option<Event>, SplitError> {
        self.begin(start)?;
        self.body.disable();
        let line_end = loop {
            let from = self.scanner.at();
            if let Some(length) = memchr::memchr(b'\n', &self.buffer[from..]) {
                break from + length;
            }
            self.scanner.resume_at(self.buffer.len());
            if self.buffer.input() == Input::Ended {
                break self.buffer.len();
            }
            self.read_more()?;
        };
        self.scanner.resume_at(line_end);
        let Some(begun) = self.begun.take() else {
            return Ok(None);
        };
        self.count(line_end)?;
        let line = &self.buffer[begun.start..line_end];
        let length = line.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |last| last + 1);
        let line = &line[..length];
        if !line.starts_with(b"\\") {
            let argument = line[b"DELIMITER".len()..].trim_ascii_start();
            let delimiter = argument.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            if delimiter.is_empty() {
                return Err(problem(ProblemKind::DelimiterMissing, begun.location));
            }
            self.scanner.set_delimiter(delimiter);
            return Ok(None);
        }
        let class = self.class_of_command(begun.start..begun.start + length);
        Ok(Some(Event::Statement(self.found(begun.start..begun.start + length, class, begun.location))))
    }

    fn class_of_command(&mut self, range: Range<usize>) -> Class {
        // The rest of the line follows the rules of the client, not those of SQL: its words are what white space parts.
        let patterns = &self.rules.0.patterns;
        self.matcher.token(patterns, Token::Punctuation(b'\\'));
        let words = self.buffer[range].get(1..).unwrap_or_default().split(u8::is_ascii_whitespace);
        for word in words.filter(|word| !word.is_empty()) {
            self.matcher.token(patterns, Token::Word(word));
        }
        match self.matcher.class(patterns) {
            Class::Plain => Class::ClientCommand,
            class => class,
        }
    }

    /// Passes over what stands behind the `;` of a COPY on its line.
    fn skip_line_of_copy(&mut self) -> Result<(), SplitError> {
        loop {
            let from = self.scanner.at();
            let rest = &self.buffer[from..];
            let end = memchr::memchr(b'\n', rest);
            if end.is_none() && self.buffer.input() == Input::Open {
                self.read_more()?;
                continue;
            }
            let line = rest[..end.unwrap_or(rest.len())].trim_ascii();
            if !line.is_empty() && !line.starts_with(b"--") {
                let start = from + rest.len() - rest.trim_ascii_start().len();
                return Err(self.problem_at(ProblemKind::TextBeforeCopyData, start));
            }
            self.scanner.resume_at(from + end.map_or(rest.len(), |length| length + 1));
            self.count(self.scanner.at())?;
            self.copy = Copy::LineStart;
            return Ok(());
        }
    }

    fn copy_data(&mut self) -> Result<Event, SplitError> {
        loop {
            let from = self.scanner.at();
            let rest = &self.buffer[from..];
            if self.copy == Copy::LineStart {
                match last_line(rest, self.buffer.input()) {
                    LastLine::Here { length } => {
                        self.pass_data(from + length);
                        self.copy = Copy::None;
                        return Ok(Event::CopyEnd);
                    }
                    LastLine::Unclear => {
                        self.read_more()?;
                        continue;
                    }
                    LastLine::Elsewhere => {}
                }
            }
            let window = &rest[..rest.len().min(CHUNK)];
            let lines = match memchr::memmem::find(window, b"\n\\.") {
                Some(found) => Some(found + 1),
                None => memchr::memrchr(b'\n', window).map(|last| last + 1),
            };
            let length = match lines {
                Some(length) => length,
                None if window.len() < CHUNK && self.buffer.input() == Input::Open => {
                    self.read_more()?;
                    continue;
                }
                None if window.is_empty() => {
                    return Err(problem(ProblemKind::UnterminatedCopyData, self.copy_location));
                }
                None => window.len(),
            };
            self.copy = if lines.is_some() { Copy::LineStart } else { Copy::LineMiddle };
            let offset = self.location.offset;
            self.pass_data(from + length);
            return Ok(Event::CopyData { offset, range: from..from + length });
        }
    }

    /// Reads more of the file into the buffer, and lets go of what nobody needs.
    fn read_more(&mut self) -> Result<(), SplitError> {
        if self.buffer.is_empty() && self.location == Location::START {
            return self.read_first();
        }
        let mut kept = self.scanner.unfinished_token().unwrap_or(self.scanner.at());
        if let Some(begun) = self.begun {
            kept = begun.start;
        } else if self.copy == Copy::None {
            // A comment of which the beginning was let go seems to begin at 0.
            match self.scanner.open_comment() {
                None => self.comment_location = None,
                Some(0) if self.comment_location.is_some() => {}
                Some(start) => {
                    self.count(start)?;
                    self.comment_location = Some(self.location);
                }
            }
            self.count(kept)?;
            kept = self.counted;
        }
        self.buffer.release(kept);
        self.scanner.shift(kept);
        self.counted = self.counted.saturating_sub(kept);
        if let Some(begun) = self.begun.as_mut() {
            begun.start = 0;
            begun.body = begun.body.map(|body| body - kept);
        }
        // At least doubling what could not be decided keeps the cost of looking at it again linear.
        let undecided = self.buffer.len() - self.scanner.at();
        self.buffer.fill(undecided.max(1))?;
        Ok(())
    }

    /// Reads the first part of the file and passes over a byte order mark.
    fn read_first(&mut self) -> Result<(), SplitError> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        self.buffer.fill(MARK.len())?;
        if self.buffer.starts_with(MARK) {
            // Let go at once: left in the buffer, it would look like the end of a name to what follows.
            self.buffer.release(MARK.len());
            self.location.offset = MARK.len() as u64;
        }
        Ok(())
    }

    /// Checks and counts the bytes of SQL up to `end`. A character that `end` cuts is left for the next time.
    fn count(&mut self, end: usize) -> Result<(), SplitError> {
        let Some(bytes) = self.buffer.get(self.counted..end) else {
            return Ok(());
        };
        let (valid, fault) = match std::str::from_utf8(bytes) {
            Ok(_) => (bytes.len(), None),
            Err(error) => {
                let cut = error.error_len().is_none()
                    && end == self.buffer.len()
                    && self.buffer.input() == Input::Open;
                (error.valid_up_to(), (!cut).then_some(ProblemKind::InvalidUtf8))
            }
        };
        let nul = memchr::memchr(0, &bytes[..valid]);
        let passed = nul.unwrap_or(valid);
        self.location = self.location.after(&bytes[..passed]);
        self.counted += passed;
        match nul.map(|_| ProblemKind::NulByte).or(fault) {
            Some(kind) => Err(problem(kind, self.location)),
            None => Ok(()),
        }
    }

    fn pass_data(&mut self, end: usize) {
        self.location = self.location.after(&self.buffer[self.counted..end]);
        self.counted = end;
        self.scanner.resume_at(end);
    }

    /// Returns a problem that begins at `start`, unless there is one that comes first.
    fn problem_at(&mut self, kind: ProblemKind, start: usize) -> SplitError {
        self.locate_problem(kind, start).unwrap_or_else(|error| error)
    }

    fn locate_problem(&mut self, kind: ProblemKind, start: usize) -> Result<SplitError, SplitError> {
        let comment = self.scanner.open_comment().filter(|_| self.begun.is_none());
        let location = match self.comment_location {
            Some(location) if start == 0 && comment.is_some() => location,
            _ => {
                self.count(start)?;
                self.location
            }
        };
        // A comment outside any statement is checked while it passes, so the rest of it is checked here.
        if comment.is_some() {
            self.count(self.buffer.len())?;
        }
        Ok(problem(kind, location))
    }
}

fn problem(kind: ProblemKind, location: Location) -> SplitError {
    SplitError::Script(Problem { kind, location })
}

/// Whether the line `\.` is here.
enum LastLine {
    Here { length: usize },
    Elsewhere,
    Unclear,
}

fn last_line(bytes: &[u8], input: Input) -> LastLine {
    match bytes {
        [b'\\', b'.', b'\n', ..] => LastLine::Here { length: 3 },
        [b'\\', b'.', b'\r', b'\n', ..] => LastLine::Here { length: 4 },
        [b'\\'] | [b'\\', b'.'] | [b'\\', b'.', b'\r'] | [] if input == Input::Open => LastLine::Unclear,
        [b'\\', b'.'] | [b'\\', b'.', b'\r'] => LastLine::Here { length: bytes.len() },
        _ => LastLine::Elsewhere,
    }
}
