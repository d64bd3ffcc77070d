//! Makes text fit to be shown, whoever it comes from.
//!
//! Everything that is written passes through here once, at the end: a server, an adapter or a row of the history may send
//! what a terminal takes for a command. The colours of [`human`](super::human) travel as [`Mark`]s until then, so that
//! nobody else's can be taken for them.
//!
//! Hides nothing: what cannot be shown is written as its number.

use std::borrow::Cow;
use std::fmt::Write;

use anstyle::{AnsiColor, Effects, Reset, Style};

/// More than this of one text helps nobody.
const LONGEST: usize = 4000;

/// How a piece of text stands out. Each is written as a character that no text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Error = 0xFDD0,
    Warning = 0xFDD1,
    Good = 0xFDD2,
    Strong = 0xFDD3,
    Dim = 0xFDD4,
    End = 0xFDD5,
}

impl Mark {
    const ALL: [Mark; 6] = [Mark::Error, Mark::Warning, Mark::Good, Mark::Strong, Mark::Dim, Mark::End];

    pub(super) fn letter(self) -> char {
        char::from_u32(self as u32).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    fn write(self, text: &mut String) {
        let style = match self {
            Mark::Error => AnsiColor::Red.on_default().effects(Effects::BOLD),
            Mark::Warning => AnsiColor::Yellow.on_default().effects(Effects::BOLD),
            Mark::Good => AnsiColor::Green.on_default(),
            Mark::Strong => Style::new().effects(Effects::BOLD),
            Mark::Dim => Style::new().effects(Effects::DIMMED),
            Mark::End => {
                let _ = write!(text, "{}", Reset.render());
                return;
            }
        };
        let _ = write!(text, "{}", style.render());
    }
}

/// Returns text for people without anything that a terminal would obey, and with its marks as colours.
pub(super) fn text(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' | '\t' => clean.push(letter),
            '\r' if letters.peek() == Some(&'\n') => {}
            letter if is_obeyed(letter) => clean.extend(letter.escape_unicode()),
            letter => match Mark::ALL.into_iter().find(|mark| mark.letter() == letter) {
                Some(mark) => mark.write(&mut clean),
                None => clean.push(letter),
            },
        }
    }
    clean
}

/// Returns a json document without anything that a terminal would obey.
pub(super) fn json(document: &str) -> String {
    let mut clean = String::with_capacity(document.len());
    for letter in document.chars() {
        match letter {
            // Only strings hold such letters: what separates the document's own parts is none of them.
            letter if letter != '\n' && is_obeyed(letter) => {
                let _ = write!(clean, "\\u{:04x}", u32::from(letter));
            }
            letter => clean.push(letter),
        }
    }
    clean
}

/// Control characters, and those that turn the direction of the text around.
fn is_obeyed(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns the beginning of a long text, and says that it is no more than that.
pub(super) fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST) {
        None => Cow::Borrowed(text),
        Some((end, _)) => {
            let left = text[end..].chars().count();
            Cow::Owned(format!("{}… (cut: {left} more characters)", &text[..end]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_as_its_number() {
        assert_eq!(
            text("a\u{1b}[2Jb\0c\rd\u{9b}31me\u{202e}f\u{7f}"),
            "a\\u{1b}[2Jb\\u{0}c\\u{d}d\\u{9b}31me\\u{202e}f\\u{7f}"
        );
        assert_eq!(text("SELECT 1;\r\n\tgrün 鳥\n"), "SELECT 1;\n\tgrün 鳥\n");
        assert_eq!(json("{\"a\":\"\u{9b}\u{7f}\u{202e}\"}\n"), "{\"a\":\"\\u009b\\u007f\\u202e\"}\n");
    }

    #[test]
    fn marks_become_colours() {
        let marked = format!("{}x{}", Mark::Error.letter(), Mark::End.letter());
        assert_eq!(text(&marked), "\u{1b}[1m\u{1b}[31mx\u{1b}[0m");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(short(&"é".repeat(LONGEST)), "é".repeat(LONGEST));
        let cut = short(&"é".repeat(LONGEST + 7)).into_owned();
        assert_eq!(cut, format!("{}… (cut: 7 more characters)", "é".repeat(LONGEST)));
    }
}
