//! The words of a script, and its statements. The toy's.

use whimbrel_adapter_api::Value;

use super::{Trouble, What};

/// A statement: its words, of which the last is [`Word::End`].
#[derive(Clone, Default)]
pub(crate) struct Statement {
    pub(super) words: Vec<(Word, usize)>,
    /// How many parameters it takes.
    pub(super) parameters: usize,
}

/// A word. Beside it stands where it begins, in bytes.
#[derive(Clone)]
pub(super) enum Word {
    /// A keyword, a sign, or a name without quotes.
    Bare(String),
    /// A name in quotes.
    Name(String),
    Value(Value<'static>),
    /// Counted from 0.
    Parameter(usize),
    End,
}

impl Statement {
    /// Returns the statements of a script that have any words.
    pub(crate) fn all_in(script: &str) -> Result<Vec<Self>, Trouble> {
        let (mut all, mut statement) = (Vec::new(), Statement::default());
        let mut at = 0;
        loop {
            let Some((word, length)) = next(&script[at..]) else {
                return Err(syntax("the script cannot be read from here", at));
            };
            let is_end = matches!(word, Some(Word::End));
            match word {
                Some(Word::Parameter(_)) => {
                    statement.words.push((Word::Parameter(statement.parameters), at));
                    statement.parameters += 1;
                }
                Some(Word::Bare(word)) if word != ";" => statement.words.push((Word::Bare(word), at)),
                Some(Word::Bare(_) | Word::End) => {
                    let mut whole = std::mem::take(&mut statement);
                    if !whole.words.is_empty() {
                        whole.words.push((Word::End, at));
                        all.push(whole);
                    }
                }
                Some(word) => statement.words.push((word, at)),
                None => {}
            }
            if is_end {
                return Ok(all);
            }
            at += length;
        }
    }
}

pub(super) fn syntax(message: &str, at: usize) -> Trouble {
    Trouble { at: Some(at), ..Trouble::new(What::Syntax, message) }
}

/// Returns the first word and its length; no word for what stands between words.
fn next(rest: &str) -> Option<(Option<Word>, usize)> {
    let while_all = |fits: fn(char) -> bool| rest.find(|letter| !fits(letter)).unwrap_or(rest.len());
    let Some(first) = rest.chars().next() else { return Some((Some(Word::End), 0)) };
    let word = |length: usize| Some((Some(Word::Bare(rest[..length].to_owned())), length));
    let value = |value, length| Some((Some(Word::Value(value)), length));
    match first {
        _ if first.is_whitespace() => Some((None, while_all(char::is_whitespace))),
        '-' if rest.starts_with("--") => Some((None, while_all(|letter| letter != '\n'))),
        '/' if rest.starts_with("/*") => Some((None, rest[2..].find("*/")? + 4)),
        '"' => quoted(rest).map(|(name, length)| (Some(Word::Name(name)), length)),
        '\'' => quoted(rest).and_then(|(text, length)| value(Value::Text(text.into()), length)),
        'x' if rest.starts_with("x'") => {
            let (hex, length) = quoted(&rest[1..])?;
            value(Value::Bytes(bytes(&hex)?.into()), length + 1)
        }
        '0'..='9' => {
            let length = number(rest);
            let (whole, large) =
                (rest[..length].parse().map(Value::Int), rest[..length].parse().map(Value::UInt));
            let number = whole.ok().or(large.ok()).or(rest[..length].parse().map(Value::Float).ok());
            value(number?, length)
        }
        '?' => Some((Some(Word::Parameter(0)), 1)),
        '<' if rest.starts_with("<>") => word(2),
        _ if first.is_alphabetic() || first == '_' => {
            word(while_all(|letter| letter.is_alphanumeric() || letter == '_'))
        }
        _ if "(),.;=<>+-".contains(first) => word(1),
        _ => None,
    }
}

/// Returns what stands in quotes, and the length with them. Two quotes stand for one.
fn quoted(rest: &str) -> Option<(String, usize)> {
    let quote = &rest[..1];
    let mut end = 1;
    loop {
        end += rest[end..].find(quote)? + 1;
        if !rest[end..].starts_with(quote) {
            return Some((rest[1..end - 1].replace(&quote.repeat(2), quote), end));
        }
        end += 1;
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

/// Returns the length of a number, such as `12`, `0.1` or `1e-7`.
fn number(rest: &str) -> usize {
    let mut before = ' ';
    let end = rest.find(|letter: char| {
        let is_sign = before == 'e' && "+-".contains(letter);
        before = letter;
        !(letter.is_ascii_alphanumeric() || letter == '.' || is_sign)
    });
    end.unwrap_or(rest.len())
}
