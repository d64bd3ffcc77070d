//! Statements on their way to the server, and what each is there for.

use std::ops::Range;

use crate::connection::BETWEEN;
use crate::statement::{Answers, Effect};

/// Statements on their way to the server.
#[derive(Default)]
pub(super) struct Packet {
    pub(super) text: String,
    pub(super) entries: Vec<Entry>,
}

/// One statement of a packet.
pub(super) struct Entry {
    pub(super) at: Range<usize>,
    pub(super) batch: u32,
    pub(super) role: Role,
    pub(super) answers: Answers,
}

/// What a statement is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Ours, before the script.
    Guard,
    Opening {
        last: bool,
    },
    Statement(Effect),
    /// Ours, before statements that share a transaction with their mark.
    Join,
    /// Ours, behind it: tells after a failure whether that transaction is still open.
    Held,
    /// Ours, behind that mark.
    Keep,
    /// Ours, behind a statement that sets `autocommit`: reads it.
    Probe,
    Mark,
    /// Ours, behind a mark: whether the row is still there to be marked.
    Ours,
    Closing(u32),
    /// Ours, when the outcome is known.
    Epilogue,
}

impl Packet {
    pub(super) fn push(&mut self, text: &str, batch: u32, role: Role, answers: Answers) {
        if !self.text.is_empty() {
            self.text.push_str(BETWEEN);
        }
        let start = self.text.len();
        self.text.push_str(text);
        self.entries.push(Entry { at: start..self.text.len(), batch, role, answers });
    }

    /// Takes out what belongs to `batch`, which is the last one.
    pub(super) fn take_back(&mut self, batch: u32) {
        self.entries.retain(|entry| entry.batch != batch);
        self.text.truncate(self.entries.last().map_or(0, |entry| entry.at.end));
    }
}
