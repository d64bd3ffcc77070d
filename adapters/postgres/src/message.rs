//! Several statements in one message, and the way back from the server's answer.
//!
//! The server counts completions, and the characters of the whole message; [`run`](crate::run) and
//! [`connection`](crate::connection) want to know which statement was meant, and which byte of it.
//!
//! Knows nothing of what the statements are for.

use std::ops::Range;

use crate::error::byte_of;

/// A message that is being composed or is on its way.
#[derive(Debug, Default)]
pub(crate) struct Message {
    text: String,
    parts: Vec<Range<usize>>,
}

/// What ends a statement. The line break before the semicolon ends a comment at the statement's end.
const END: &str = "\n;\n";

impl Message {
    /// Returns the message of these statements.
    pub(crate) fn of<'a>(statements: impl IntoIterator<Item = &'a str>) -> Self {
        let mut message = Message::default();
        for statement in statements {
            message.push(statement);
        }
        message
    }

    /// Adds a statement, given without its delimiter.
    pub(crate) fn push(&mut self, statement: &str) {
        let start = self.text.len();
        self.text.push_str(statement);
        self.parts.push(start..self.text.len());
        self.text.push_str(END);
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the statements, without their delimiters.
    pub(crate) fn statements(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| &self.text[part.clone()])
    }

    /// Returns the number of the statement that failed after `completed` others, and the byte of it that the server
    /// pointed at by the number of a character.
    pub(crate) fn locate(&self, completed: usize, character: Option<usize>) -> (usize, Option<u64>) {
        let byte = character.and_then(|character| byte_of(&self.text, character));
        let pointed = byte.and_then(|byte| {
            // One past the end belongs to the statement too: that is where one ends too early.
            let part = self.parts.iter().position(|part| byte < part.end + END.len())?;
            Some((part, byte.saturating_sub(self.parts[part].start) as u64))
        });
        match pointed {
            // Nothing ran: the whole message is parsed before its first statement is executed.
            Some((part, byte)) if completed == 0 || part == completed => (part, Some(byte)),
            _ => (completed, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn character(message: &Message, word: &str) -> Option<usize> {
        let byte = message.text().find(word).expect("the word is in the message");
        Some(message.text()[..byte].chars().count() + 1)
    }

    #[test]
    fn a_character_of_the_message_becomes_a_byte_of_its_statement() {
        let message = Message::of(["SELECT 'ä'", "SELECT 'ö', wrong", "SELECT 3"]);
        assert_eq!(message.locate(1, character(&message, "wrong")), (1, Some(13)));
    }

    #[test]
    fn a_syntax_error_is_where_it_points_although_nothing_ran() {
        let message = Message::of(["BEGIN", "SELECT 1", "SELEKT 2"]);
        assert_eq!(message.locate(0, character(&message, "SELEKT")), (2, Some(0)));
    }

    #[test]
    fn a_statement_that_ends_too_early_is_pointed_at_behind_its_end() {
        let message = Message::of(["SELECT 1", "SELECT (1", "SELECT 3"]);
        let semicolon = Some(message.text()[..message.parts[1].end + 1].chars().count() + 1);
        assert_eq!(message.locate(0, semicolon), (1, Some(10)));
    }

    #[test]
    fn without_a_position_the_count_decides() {
        let message = Message::of(["SELECT 1", "SELECT 2"]);
        assert_eq!(message.locate(1, None), (1, None));
        assert_eq!(
            message.locate(1, Some(1)),
            (1, None),
            "a position in a statement that completed is not believed"
        );
    }

    #[test]
    fn a_comment_at_the_end_of_a_statement_does_not_swallow_the_next() {
        let message = Message::of(["SELECT 1 -- one", "SELECT 2"]);
        assert_eq!(message.text(), "SELECT 1 -- one\n;\nSELECT 2\n;\n");
    }
}
