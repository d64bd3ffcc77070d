//! Tells what a statement does by the patterns of a [`Lexer`].
//!
//! Patterns are compiled once into small automata whose states fit into one word of bits. A statement runs through
//! all of them at once, token by token, and most are out after the first word.
//!
//! The patterns come from an adapter, so a faulty one is an error and not a panic.

use std::fmt;

use whimbrel_adapter_api::{Class, Lexer};

use super::lexer::Token;

/// A pattern of an adapter that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultyPattern {
    /// The pattern.
    pub words: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for FaultyPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the statement pattern `{}` {}", self.words, self.reason)
    }
}

impl std::error::Error for FaultyPattern {}

/// The compiled patterns of a lexer.
#[derive(Debug)]
pub(super) struct Patterns {
    patterns: Vec<Pattern>,
    /// The patterns that may begin with a word of this first letter, or, in the last one, with anything else.
    by_letter: [Vec<usize>; OTHER + 1],
}

impl Patterns {
    /// Compiles the patterns of `lexer`.
    ///
    /// # Errors
    ///
    /// The first pattern that cannot be understood.
    pub(super) fn new(lexer: &Lexer) -> Result<Self, FaultyPattern> {
        let compile = |pattern: &whimbrel_adapter_api::Pattern| {
            Pattern::new(&pattern.words, pattern.class)
                .map_err(|reason| FaultyPattern { words: pattern.words.clone(), reason })
        };
        let patterns = lexer.patterns.iter().map(compile).collect::<Result<Vec<_>, _>>()?;
        let mut by_letter: [Vec<usize>; OTHER + 1] = Default::default();
        for (index, pattern) in patterns.iter().enumerate() {
            for (letter, list) in by_letter.iter_mut().enumerate() {
                if pattern.may_begin_with(letter) {
                    list.push(index);
                }
            }
        }
        Ok(Patterns { patterns, by_letter })
    }

    /// Returns whether one of them leads to this class.
    pub(super) fn have(&self, class: Class) -> bool {
        self.patterns.iter().any(|pattern| pattern.class == class)
    }
}

/// How far one statement has come in the patterns.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    stage: Stage,
    live: Vec<(usize, u64)>,
    /// The first letters, as [`letter`] numbers them, of the tokens that can change something.
    awaited: u32,
    best: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Fresh,
    Begun,
}

impl Matcher {
    /// Forgets the last statement.
    pub(super) fn reset(&mut self) {
        self.stage = Stage::Fresh;
        self.live.clear();
        self.best = None;
    }

    /// Returns whether more tokens can change the answer.
    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Fresh || !self.live.is_empty()
    }

    /// Returns what the statement is, as far as it was seen.
    pub(super) fn class(&self, patterns: &Patterns) -> Class {
        self.best.map_or(Class::Plain, |index| patterns.patterns[index].class)
    }

    /// Takes the next token of the statement.
    pub(super) fn token(&mut self, patterns: &Patterns, token: Token<'_>) {
        let letter = letter(token);
        if self.stage == Stage::Fresh {
            self.stage = Stage::Begun;
            let possible = &patterns.by_letter[letter];
            self.live.extend(possible.iter().map(|index| (*index, patterns.patterns[*index].start)));
        } else if self.awaited >> letter & 1 == 0 {
            return;
        }
        let best = &mut self.best;
        self.live.retain_mut(|(index, states)| {
            // The list is in the order of the patterns, and the first match wins.
            if best.is_some_and(|best| best < *index) {
                return false;
            }
            let pattern = &patterns.patterns[*index];
            *states = pattern.step(*states, token);
            if *states & pattern.accepting() != 0 {
                *best = Some(*index);
                return false;
            }
            *states != 0
        });
        let awaited = self.live.iter().map(|(index, states)| patterns.patterns[*index].awaited(*states));
        self.awaited = awaited.fold(0, |all, letters| all | letters);
    }
}

/// One pattern: states in a row, of which each waits for a token. Behind the last one the pattern matches.
#[derive(Debug)]
struct Pattern {
    class: Class,
    states: Vec<State>,
    /// The states that are reached from each state without a token, itself included.
    reached: Vec<u64>,
    start: u64,
}

#[derive(Debug)]
struct State {
    test: Test,
    /// The first letters, as [`letter`] numbers them, of the tokens that pass.
    letters: u32,
    /// Where an optional part goes on that begins here.
    skip_to: Option<usize>,
}

#[derive(Debug)]
enum Test {
    /// One of these words or punctuation marks.
    Words(Vec<Vec<u8>>),
    /// A name, or a part of one.
    Name,
    /// The dot behind a part of a name.
    Dot,
    /// Any number of tokens.
    Any,
}

/// States and the accepting one must fit into 64 bits.
const MOST_STATES: usize = 63;

impl Pattern {
    fn new(words: &str, class: Class) -> Result<Self, &'static str> {
        let mut states: Vec<State> = Vec::new();
        let mut optional = None;
        for part in parts(words) {
            match part {
                "[" if optional.is_some() => return Err("has brackets inside brackets"),
                "[" => optional = Some(states.len()),
                "]" => match optional.take() {
                    Some(first) if first < states.len() => states[first].skip_to = Some(states.len()),
                    _ => return Err("has a bracket that closes nothing"),
                },
                "..." => states.push(State::new(Test::Any)),
                "*" => {
                    states.push(State::new(Test::Name));
                    states.push(State::new(Test::Dot));
                }
                words => {
                    let words: Vec<_> =
                        words.split('|').map(|word| word.to_ascii_uppercase().into()).collect();
                    if words.iter().any(Vec::is_empty) {
                        return Err("has an empty alternative");
                    }
                    states.push(State::new(Test::Words(words)));
                }
            }
        }
        match states.len() {
            _ if optional.is_some() => return Err("has a bracket that is never closed"),
            0 => return Err("is empty"),
            1..=MOST_STATES => {}
            _ => return Err("is too long"),
        }
        let reached = reached(&states);
        let start = reached[0];
        Ok(Pattern { class, states, reached, start })
    }

    fn accepting(&self) -> u64 {
        1 << self.states.len()
    }

    fn step(&self, states: u64, token: Token<'_>) -> u64 {
        let mut left = states & !self.accepting();
        let mut next = 0;
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            left &= left - 1;
            let to = match (&self.states[index].test, token) {
                (Test::Any, _) => index,
                (Test::Name, Token::Word(_) | Token::Name) => index + 1,
                (Test::Dot, Token::Punctuation(b'.')) => index - 1,
                (Test::Words(words), token) if words.iter().any(|word| is(word, token)) => index + 1,
                _ => continue,
            };
            next |= self.reached[to];
        }
        next
    }

    fn may_begin_with(&self, first: usize) -> bool {
        self.of(self.start).any(|state| state.letters >> first & 1 == 1)
    }

    /// Returns the first letters of the tokens that lead from these states to others.
    fn awaited(&self, states: u64) -> u32 {
        // Behind `...` whatever does not go on leads back to the same states.
        let stays =
            |index: &usize| matches!(self.states[*index].test, Test::Any) && self.reached[*index] == states;
        if !(0..self.states.len()).any(|index| stays(&index)) {
            return ALL_LETTERS;
        }
        let onward = self.of(states).filter(|state| !matches!(state.test, Test::Any));
        onward.fold(0, |all, state| all | state.letters)
    }

    /// Returns the states of a set, without the accepting one.
    fn of(&self, states: u64) -> impl Iterator<Item = &State> {
        self.states
            .iter()
            .enumerate()
            .filter(move |(index, _)| states >> index & 1 == 1)
            .map(|(_, state)| state)
    }
}

impl State {
    fn new(test: Test) -> Self {
        let letters = match &test {
            Test::Words(words) => words.iter().fold(0, |all, word| all | 1 << letter(Token::Word(word))),
            Test::Name | Test::Any => ALL_LETTERS,
            Test::Dot => 1 << OTHER,
        };
        State { test, letters, skip_to: None }
    }
}

/// Splits a pattern at white space and around punctuation, as the scanner splits a statement. `A|B` stays whole.
fn parts(words: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = words.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("...") {
            3
        } else if matches!(first, '[' | ']' | '*') {
            1
        } else {
            alternatives(rest)
        };
        let (part, behind) = rest.split_at(length);
        parts.push(part);
        rest = behind.trim_start();
    }
    parts
}

/// Returns the length of the words and marks joined by `|` that `text` begins with.
fn alternatives(text: &str) -> usize {
    let is_word =
        |character: char| character.is_alphanumeric() || "_$".contains(character) || !character.is_ascii();
    let mut length = 0;
    loop {
        let rest = &text[length..];
        let word = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        length += if word == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { word };
        if !text[length..].starts_with('|') {
            return length;
        }
        length += 1;
    }
}

fn reached(states: &[State]) -> Vec<u64> {
    let mut reached = vec![1_u64 << states.len()];
    for (index, state) in states.iter().enumerate().rev() {
        // Every way without a token leads onward, so what lies behind is known: the last entry is state `index + 1`.
        let of = |later: usize| reached[states.len() - later];
        let mut here = 1 << index;
        if matches!(state.test, Test::Any | Test::Dot) {
            here |= of(index + 1);
        }
        here |= state.skip_to.map_or(0, of);
        reached.push(here);
    }
    reached.reverse();
    reached
}

fn is(word: &[u8], token: Token<'_>) -> bool {
    match token {
        Token::Word(text) => text.eq_ignore_ascii_case(word),
        Token::Punctuation(mark) => word == [mark],
        Token::Name | Token::Text => false,
    }
}

/// What begins with no letter.
const OTHER: usize = 26;
const ALL_LETTERS: u32 = (1 << (OTHER + 1)) - 1;

/// Returns the number of the letter, from 0, that a token begins with, or [`OTHER`].
fn letter(token: Token<'_>) -> usize {
    match token {
        Token::Word([first, ..]) if first.is_ascii_alphabetic() => {
            usize::from(first.to_ascii_uppercase() - b'A')
        }
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn class(patterns: &[(&str, Class)], statement: &str) -> Class {
        let patterns = Patterns::new(&Lexer::new(&[], patterns)).expect("the patterns are sound");
        let mut matcher = Matcher::default();
        for part in parts(statement) {
            matcher.token(&patterns, token(part));
        }
        matcher.class(&patterns)
    }

    fn token(part: &str) -> Token<'_> {
        match part.as_bytes() {
            [b'\'', ..] => Token::Text,
            [b'"', ..] => Token::Name,
            [mark] if !mark.is_ascii_alphanumeric() => Token::Punctuation(*mark),
            word => Token::Word(word),
        }
    }

    #[test]
    fn words_match_from_the_start_and_regardless_of_case() {
        let patterns = [("CREATE [UNIQUE] INDEX CONCURRENTLY", Class::NoTransaction)];
        assert_eq!(class(&patterns, "create index Concurrently i"), Class::NoTransaction);
        assert_eq!(class(&patterns, "CREATE UNIQUE INDEX CONCURRENTLY"), Class::NoTransaction);
        assert_eq!(class(&patterns, "CREATE INDEX i"), Class::Plain);
        assert_eq!(class(&patterns, "x CREATE INDEX CONCURRENTLY"), Class::Plain);
    }

    #[test]
    fn a_star_is_one_name_with_all_its_parts() {
        let patterns = [("COPY * [( ... )] FROM STDIN|STDOUT", Class::CopyFromStdin)];
        for statement in
            ["COPY t FROM stdin", "COPY a.b.c FROM stdin", "COPY a . t ( x , y ) FROM STDOUT WITH"]
        {
            assert_eq!(class(&patterns, statement), Class::CopyFromStdin, "{statement}");
        }
        for statement in
            ["COPY FROM stdin", "COPY a b FROM stdin", "COPY a . FROM stdin", "COPY t FROM 'stdin'"]
        {
            assert_eq!(class(&patterns, statement), Class::Plain, "{statement}");
        }
    }

    #[test]
    fn the_first_pattern_wins_even_when_it_matches_last() {
        let patterns =
            [("BEGIN NOT ATOMIC", Class::Outside), ("BEGIN", Class::Begin), ("...", Class::Skipped)];
        assert_eq!(class(&patterns, "BEGIN NOT ATOMIC"), Class::Outside);
        assert_eq!(class(&patterns, "BEGIN NOT"), Class::Begin);
        assert_eq!(class(&patterns, "COMMIT"), Class::Skipped);
    }

    #[test]
    fn punctuation_ends_a_match_unless_the_pattern_names_it() {
        let patterns = [("PRAGMA FOREIGN_KEYS =", Class::Outside), ("\\RESTRICT", Class::Skipped)];
        assert_eq!(class(&patterns, "PRAGMA foreign_keys = ON"), Class::Outside);
        assert_eq!(class(&patterns, "PRAGMA foreign_keys ( 1 )"), Class::Plain);
        assert_eq!(class(&patterns, "\\ restrict abc"), Class::Skipped);
    }

    proptest! {
        #[test]
        fn passing_over_tokens_changes_nothing(
            words in prop::collection::vec(
                prop::collection::vec(prop::sample::select(vec!["A", "B|C", "...", "*", "=", "[A]", "[... B]"]), 1..5), 1..4),
            statement in prop::collection::vec(prop::sample::select(vec!["A", "B", "C", "AB", "x", "=", ".", "'t'", "\"n\""]), 0..12),
        ) {
            let words: Vec<String> = words.iter().map(|words| words.join(" ")).collect();
            let patterns: Vec<(&str, Class)> =
                words.iter().map(String::as_str).zip([Class::Begin, Class::Commit, Class::Outside]).collect();
            let compiled = Patterns::new(&Lexer::new(&[], &patterns)).expect("the patterns are sound");
            let tokens: Vec<Token<'_>> = statement.iter().map(|part| token(part)).collect();
            let matches = |pattern: &&Pattern| {
                let mut states = pattern.start;
                tokens.iter().any(|token| {
                    states = pattern.step(states, *token);
                    states & pattern.accepting() != 0
                })
            };
            let expected = compiled.patterns.iter().find(matches).map_or(Class::Plain, |pattern| pattern.class);
            let mut matcher = Matcher::default();
            tokens.iter().for_each(|token| matcher.token(&compiled, *token));
            prop_assert_eq!(matcher.class(&compiled), expected);
        }
    }

    #[test]
    fn a_faulty_pattern_is_an_error() {
        let long = "A ".repeat(64);
        for words in ["", "[A", "A]", "[]", "[A [B]]", "A||B", "A|", &long] {
            assert!(Patterns::new(&Lexer::new(&[], &[(words, Class::Begin)])).is_err(), "{words}");
        }
    }
}
