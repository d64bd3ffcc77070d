//! Reads tokens from a script that arrives in parts.
//!
//! [`Scanner`] is a state machine over a buffer that its owner fills and shifts. It remembers inside which string or
//! comment it stands, so no byte of these is looked at twice when more input arrives. Of a token that could still go
//! on it forgets what it saw and answers [`Step::More`]; the owner then at least doubles what is left unread, which
//! keeps the sum linear.
//!
//! It does not know statements: [`Splitter`](super::Splitter) does.

use whimbrel_adapter_api::{Feature, Lexer};

use super::location::ProblemKind;

/// A token as patterns and bodies see it. Comments are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, a name without quotes or a number.
    Word(&'a [u8]),
    /// A name in quotes.
    Name,
    /// A string.
    Text,
    /// One byte of anything else.
    Punctuation(u8),
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Name,
    Text,
    Punctuation,
    /// The opening of a comment that the server executes: it begins a statement and is no word of it.
    Opening,
}

/// What the scanner met. A token or delimiter reaches from `start` to [`Scanner::at`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Token {
        kind: Kind,
        start: usize,
    },
    Delimiter {
        start: usize,
    },
    /// More input is needed to go on.
    More,
    /// The input ended.
    End,
    /// The input ended inside something that began at `start`.
    Unterminated {
        kind: ProblemKind,
        start: usize,
    },
}

/// Whether the buffer holds all that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Open,
    Ended,
}

/// What the owner wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Every token.
    Tokens,
    /// Only what ends a statement.
    Ends,
}

/// The features of a lexer, quick to ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Features {
    bits: u32,
    comment_version: u32,
}

impl Features {
    pub(super) fn new(lexer: &Lexer) -> Self {
        let bits = lexer.features.iter().fold(0, |bits, feature| bits | bit(*feature));
        Features { bits, comment_version: lexer.comment_version }
    }

    pub(super) fn has(self, feature: Feature) -> bool {
        self.bits & bit(feature) != 0
    }
}

fn bit(feature: Feature) -> u32 {
    1_u32.checked_shl(feature.code()).unwrap_or(0)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Code,
    LineComment,
    Comment { depth: u32, deepest: u32 },
    Quoted { closing: u8, kind: Kind, escapes: Escapes },
    Dollar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escapes {
    None,
    Backslash,
}

/// A run of comments with nothing but white space between them.
#[derive(Clone, Copy, Debug, Default)]
struct Comments {
    start: usize,
    end: usize,
}

/// The state of reading.
#[derive(Clone, Debug)]
pub(super) struct Scanner {
    features: Features,
    at: usize,
    mode: Mode,
    /// Where the token or comment that `mode` speaks of begins.
    start: usize,
    /// How many executed comments are open.
    executed: u32,
    /// The opening of the outermost of them.
    executed_start: usize,
    comments: Comments,
    /// Ends of the last escape string and the last dollar quote, which have a say in what may follow them.
    escape_end: usize,
    dollar_end: usize,
    tag: Vec<u8>,
    delimiter: Vec<u8>,
    table: Box<[u8; 256]>,
}

/// Bytes that can matter when only ends are wanted.
const STOP: u8 = 1;
/// Bytes of a word.
const WORD: u8 = 2;
/// White space.
const SPACE: u8 = 4;

impl Scanner {
    pub(super) fn new(features: Features) -> Self {
        let mut scanner = Scanner {
            features,
            at: 0,
            mode: Mode::Code,
            start: 0,
            executed: 0,
            executed_start: 0,
            comments: Comments::default(),
            escape_end: 0,
            dollar_end: 0,
            tag: Vec::new(),
            delimiter: Vec::new(),
            table: Box::new([0; 256]),
        };
        scanner.set_delimiter(b";");
        scanner
    }

    /// Returns the first byte that is not read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes on at `at`, which the owner read up to by itself.
    pub(super) fn resume_at(&mut self, at: usize) {
        self.at = at;
    }

    /// Returns where the comment begins inside which the scanner stands.
    pub(super) fn open_comment(&self) -> Option<usize> {
        matches!(self.mode, Mode::LineComment | Mode::Comment { .. }).then_some(self.start)
    }

    /// Returns where the string or name begins inside which the scanner stands.
    pub(super) fn unfinished_token(&self) -> Option<usize> {
        matches!(self.mode, Mode::Quoted { .. } | Mode::Dollar).then_some(self.start)
    }

    /// Returns whether statements end with `;`.
    pub(super) fn has_usual_delimiter(&self) -> bool {
        self.delimiter == b";"
    }

    /// Changes what ends a statement. `delimiter` is not empty.
    pub(super) fn set_delimiter(&mut self, delimiter: &[u8]) {
        self.delimiter = delimiter.to_vec();
        self.table = table(self.features, delimiter[0]);
    }

    /// Follows the buffer, whose first `count` bytes went away.
    pub(super) fn shift(&mut self, count: usize) {
        for place in [
            &mut self.at,
            &mut self.start,
            &mut self.executed_start,
            &mut self.comments.start,
            &mut self.comments.end,
            &mut self.escape_end,
            &mut self.dollar_end,
        ] {
            *place = place.saturating_sub(count);
        }
    }

    /// Returns where a statement ends that began at `start` and reaches up to `end`, without what trails in it.
    pub(super) fn trimmed(&self, bytes: &[u8], start: usize, end: usize) -> usize {
        let end = self.without_space(bytes, start, end);
        if end > self.comments.end || self.comments.start <= start {
            return end;
        }
        self.without_space(bytes, start, self.comments.start)
    }

    /// Reads on in `bytes`.
    pub(super) fn next(&mut self, bytes: &[u8], input: Input, wanted: Wanted) -> Step {
        loop {
            let step = match self.mode {
                Mode::Code => self.code(bytes, input, wanted),
                Mode::LineComment => self.line_comment(bytes, input),
                Mode::Comment { depth, deepest } => self.comment(bytes, input, depth, deepest),
                Mode::Quoted { closing, kind, escapes } => self.quoted(bytes, input, closing, kind, escapes),
                Mode::Dollar => self.dollar_quote(bytes, input),
            };
            match step {
                None => {}
                // Asked for ends alone, nobody wants to hear of tokens.
                Some(Step::Token { .. }) if wanted == Wanted::Ends => {}
                Some(step) => return step,
            }
        }
    }

    fn code(&mut self, bytes: &[u8], input: Input, wanted: Wanted) -> Option<Step> {
        let table = &self.table;
        let rest = &bytes[self.at..];
        let passed = match wanted {
            Wanted::Tokens => rest.iter().position(|byte| table[usize::from(*byte)] & SPACE == 0),
            Wanted::Ends => rest.iter().position(|byte| table[usize::from(*byte)] & STOP != 0),
        };
        self.at += passed.unwrap_or(rest.len());
        let rest = &bytes[self.at..];
        let Some(byte) = rest.first().copied() else {
            return Some(match input {
                Input::Open => Step::More,
                Input::Ended if self.executed > 0 => {
                    Step::Unterminated { kind: ProblemKind::UnterminatedComment, start: self.executed_start }
                }
                Input::Ended => Step::End,
            });
        };
        if self.may_be_delimiter(bytes, byte) {
            if rest.starts_with(&self.delimiter) {
                let start = self.at;
                self.at += self.delimiter.len();
                return Some(Step::Delimiter { start });
            }
            if input == Input::Open && self.delimiter.starts_with(rest) {
                return Some(Step::More);
            }
        }
        self.start = self.at;
        match byte {
            b'\'' => {
                let escapes = self.escapes(bytes);
                self.open_quoted(b'\'', Kind::Text, escapes)
            }
            b'"' if self.features.has(Feature::DoubleQuotedStrings) => {
                let escapes = self.usual_escapes();
                self.open_quoted(b'"', Kind::Text, escapes)
            }
            b'"' => self.open_quoted(b'"', Kind::Name, Escapes::None),
            b'`' if self.features.has(Feature::BacktickNames) => {
                self.open_quoted(b'`', Kind::Name, Escapes::None)
            }
            b'[' if self.features.has(Feature::BracketNames) => {
                self.open_quoted(b']', Kind::Name, Escapes::None)
            }
            b'#' if self.features.has(Feature::HashComments) => self.open_comment_of(Mode::LineComment, 1),
            b'-' => self.dash(rest, input),
            b'/' => self.slash(rest, input),
            b'*' if self.executed > 0 => self.star(rest, input),
            b'$' if self.features.has(Feature::DollarQuotes) => self.dollar(bytes, input),
            _ if self.is(byte, WORD) => self.word(rest, input, wanted),
            _ => self.punctuation(),
        }
    }

    fn may_be_delimiter(&self, bytes: &[u8], byte: u8) -> bool {
        // A delimiter made of letters must not be found inside a word.
        byte == self.delimiter[0] && self.executed == 0 && !(self.is(byte, WORD) && self.follows_word(bytes))
    }

    fn word(&mut self, rest: &[u8], input: Input, wanted: Wanted) -> Option<Step> {
        if wanted == Wanted::Ends {
            return self.punctuation();
        }
        let length = rest.iter().position(|byte| !self.is(*byte, WORD));
        if length.is_none() && input == Input::Open {
            return Some(Step::More);
        }
        self.at += length.unwrap_or(rest.len());
        Some(Step::Token { kind: Kind::Word, start: self.start })
    }

    fn punctuation(&mut self) -> Option<Step> {
        self.at += 1;
        Some(Step::Token { kind: Kind::Punctuation, start: self.start })
    }

    fn open_quoted(&mut self, closing: u8, kind: Kind, escapes: Escapes) -> Option<Step> {
        self.at += 1;
        self.mode = Mode::Quoted { closing, kind, escapes };
        None
    }

    fn open_comment_of(&mut self, mode: Mode, length: usize) -> Option<Step> {
        self.at += length;
        self.mode = mode;
        None
    }

    fn usual_escapes(&self) -> Escapes {
        if self.features.has(Feature::BackslashEscapes) { Escapes::Backslash } else { Escapes::None }
    }

    /// Returns the escapes of the string that begins here.
    fn escapes(&mut self, bytes: &[u8]) -> Escapes {
        if !self.features.has(Feature::EscapeStrings) {
            return self.usual_escapes();
        }
        let before = &bytes[..self.at];
        let has_prefix = match before {
            [.., outer, b'e' | b'E'] => !self.is(*outer, WORD),
            [b'e' | b'E'] => true,
            _ => false,
        };
        // 'a' and 'b' with a line break between them are one string to Postgres, with the escapes of the first part.
        // Taken, not read: the stretch behind an escape string is looked at once.
        let escape_end = std::mem::take(&mut self.escape_end);
        let continues = escape_end > 0
            && before[escape_end..].contains(&b'\n')
            && before[escape_end..].iter().all(|byte| self.is(*byte, SPACE));
        if has_prefix || continues { Escapes::Backslash } else { self.usual_escapes() }
    }

    fn quoted(
        &mut self,
        bytes: &[u8],
        input: Input,
        closing: u8,
        kind: Kind,
        escapes: Escapes,
    ) -> Option<Step> {
        let rest = &bytes[self.at..];
        let found = match escapes {
            Escapes::None => memchr::memchr(closing, rest),
            Escapes::Backslash => memchr::memchr2(closing, b'\\', rest),
        };
        self.at += found.unwrap_or(rest.len());
        let rest = &bytes[self.at..];
        match rest {
            [_, second, ..] if rest[0] != closing || (*second == closing && closing != b']') => self.at += 2,
            [first] if input == Input::Open || *first != closing => return self.unfinished(input, kind),
            [] => return self.unfinished(input, kind),
            _ => {
                self.at += 1;
                self.mode = Mode::Code;
                if escapes == Escapes::Backslash {
                    self.escape_end = self.at;
                }
                return Some(Step::Token { kind, start: self.start });
            }
        }
        None
    }

    fn unfinished(&self, input: Input, kind: Kind) -> Option<Step> {
        let problem = match kind {
            Kind::Name => ProblemKind::UnterminatedName,
            _ => ProblemKind::UnterminatedString,
        };
        Some(self.ended_inside(input, problem))
    }

    fn ended_inside(&self, input: Input, kind: ProblemKind) -> Step {
        match input {
            Input::Open => Step::More,
            Input::Ended => Step::Unterminated { kind, start: self.start },
        }
    }

    fn dash(&mut self, rest: &[u8], input: Input) -> Option<Step> {
        let needs_space = self.features.has(Feature::DashesNeedSpace);
        match rest {
            [_] | [_, b'-'] if input == Input::Open && (rest.len() == 1 || needs_space) => Some(Step::More),
            [_, b'-', third, ..] if needs_space && *third > b' ' => self.punctuation(),
            [_, b'-', ..] => self.open_comment_of(Mode::LineComment, 2),
            _ => self.punctuation(),
        }
    }

    fn line_comment(&mut self, bytes: &[u8], input: Input) -> Option<Step> {
        let rest = &bytes[self.at..];
        let end = memchr::memchr(b'\n', rest);
        self.at += end.unwrap_or(rest.len());
        if end.is_none() && input == Input::Open {
            return Some(Step::More);
        }
        self.close_comment(bytes);
        None
    }

    fn slash(&mut self, rest: &[u8], input: Input) -> Option<Step> {
        let executable = self.features.has(Feature::ExecutableComments);
        // The longest opening is `/*M!` with six digits.
        let enough = if executable && rest.get(1).is_none_or(|second| *second == b'*') { 10 } else { 2 };
        if rest.len() < enough && input == Input::Open {
            return Some(Step::More);
        }
        if rest.get(1) != Some(&b'*') {
            return self.punctuation();
        }
        let nested = if self.features.has(Feature::NestedComments) { u32::MAX } else { 1 };
        match self.opening(rest) {
            Opening::Executed { length } => {
                if self.executed == 0 {
                    self.executed_start = self.at;
                }
                self.executed = self.executed.saturating_add(1);
                self.at += length;
                Some(Step::Token { kind: Kind::Opening, start: self.start })
            }
            // Only in these do the servers look for comments inside.
            Opening::TooNew => self.open_comment_of(Mode::Comment { depth: 1, deepest: nested.max(2) }, 2),
            Opening::Ordinary => self.open_comment_of(Mode::Comment { depth: 1, deepest: nested }, 2),
        }
    }

    fn opening(&self, rest: &[u8]) -> Opening {
        if !self.features.has(Feature::ExecutableComments) {
            return Opening::Ordinary;
        }
        let maria = self.features.has(Feature::MariaDbComments);
        let (digits, length) = match rest {
            [_, _, b'!', digits @ ..] => (digits, 3),
            [_, _, b'M', b'!', digits @ ..] if maria => (digits, 4),
            _ => return Opening::Ordinary,
        };
        let count = digits.iter().take(6).take_while(|digit| digit.is_ascii_digit()).count();
        if count < 5 {
            return Opening::Executed { length };
        }
        let version = digits[..count].iter().fold(0, |version, digit| version * 10 + u32::from(digit - b'0'));
        // MariaDB takes these versions for features of a MySQL that it parted from.
        let foreign = maria && length == 3 && (50_700..=99_999).contains(&version);
        if foreign || version > self.features.comment_version {
            return Opening::TooNew;
        }
        Opening::Executed { length: length + count }
    }

    fn star(&mut self, rest: &[u8], input: Input) -> Option<Step> {
        match rest.get(1) {
            None if input == Input::Open => Some(Step::More),
            Some(b'/') => {
                self.executed -= 1;
                self.at += 2;
                None
            }
            _ => self.punctuation(),
        }
    }

    fn comment(&mut self, bytes: &[u8], input: Input, depth: u32, deepest: u32) -> Option<Step> {
        let rest = &bytes[self.at..];
        let found = if deepest == 1 { memchr::memchr(b'*', rest) } else { memchr::memchr2(b'*', b'/', rest) };
        self.at += found.unwrap_or(rest.len());
        match &bytes[self.at..] {
            [] | [_] => return Some(self.ended_inside(input, ProblemKind::UnterminatedComment)),
            [b'*', b'/', ..] if depth == 1 => {
                self.at += 2;
                self.close_comment(bytes);
            }
            [b'*', b'/', ..] => {
                self.at += 2;
                self.mode = Mode::Comment { depth: depth - 1, deepest };
            }
            [b'/', b'*', ..] if depth < deepest => {
                self.at += 2;
                self.mode = Mode::Comment { depth: depth + 1, deepest };
            }
            _ => self.at += 1,
        }
        None
    }

    fn close_comment(&mut self, bytes: &[u8]) {
        self.mode = Mode::Code;
        if self.without_space(bytes, self.comments.end, self.start) > self.comments.end {
            self.comments.start = self.start;
        }
        self.comments.end = self.at;
    }

    fn dollar(&mut self, bytes: &[u8], input: Input) -> Option<Step> {
        // A dollar may be part of a name: `a$b$c`.
        if self.follows_word(bytes) && self.at != self.dollar_end {
            return self.punctuation();
        }
        let rest = &bytes[self.at..];
        let tag = rest[1..].iter().position(|byte| *byte == b'$' || !self.is(*byte, WORD));
        match tag {
            None if input == Input::Open => Some(Step::More),
            Some(length) if rest[length + 1] == b'$' && !rest[1].is_ascii_digit() => {
                self.tag.clear();
                self.tag.extend_from_slice(&rest[..length + 2]);
                self.at += self.tag.len();
                self.mode = Mode::Dollar;
                None
            }
            _ => self.punctuation(),
        }
    }

    fn dollar_quote(&mut self, bytes: &[u8], input: Input) -> Option<Step> {
        let rest = &bytes[self.at..];
        let Some(found) = memchr::memmem::find(rest, &self.tag) else {
            // The end of the buffer may hold the beginning of the closing tag.
            self.at += (rest.len() + 1).saturating_sub(self.tag.len());
            return Some(self.ended_inside(input, ProblemKind::UnterminatedDollarQuote));
        };
        self.at += found + self.tag.len();
        self.mode = Mode::Code;
        self.dollar_end = self.at;
        Some(Step::Token { kind: Kind::Text, start: self.start })
    }

    fn follows_word(&self, bytes: &[u8]) -> bool {
        self.at > 0 && self.is(bytes[self.at - 1], WORD)
    }

    fn without_space(&self, bytes: &[u8], start: usize, end: usize) -> usize {
        if end < start {
            return end;
        }
        let kept = bytes[start..end].iter().rposition(|byte| !self.is(*byte, SPACE));
        kept.map_or(start, |last| start + last + 1)
    }

    fn is(&self, byte: u8, flag: u8) -> bool {
        self.table[usize::from(byte)] & flag != 0
    }
}

/// How a comment begins.
enum Opening {
    Ordinary,
    /// For a newer server: a comment to this one.
    TooNew,
    Executed {
        length: usize,
    },
}

fn table(features: Features, delimiter: u8) -> Box<[u8; 256]> {
    let mut table = Box::new([0; 256]);
    for byte in 0..=u8::MAX {
        // `END$$` is no word where `$$` is the delimiter.
        let dollar = byte == b'$' && delimiter != b'$';
        if byte.is_ascii_alphanumeric() || byte == b'_' || dollar || byte >= 0x80 {
            table[usize::from(byte)] |= WORD;
        }
    }
    for byte in b" \t\n\r\x0b\x0c" {
        table[usize::from(*byte)] |= SPACE;
    }
    for byte in [b'\'', b'"', b'-', b'/', delimiter] {
        table[usize::from(byte)] |= STOP;
    }
    let more = [
        (Feature::BacktickNames, b'`'),
        (Feature::BracketNames, b'['),
        (Feature::HashComments, b'#'),
        (Feature::DollarQuotes, b'$'),
        (Feature::ExecutableComments, b'*'),
    ];
    for (_, byte) in more.into_iter().filter(|(feature, _)| features.has(*feature)) {
        table[usize::from(byte)] |= STOP;
    }
    table
}
