//! A message with what each of its statements is for.

use super::batch::Role;
use crate::message::Message;

/// A message that is being composed or is on its way.
#[derive(Default)]
pub(super) struct Draft {
    message: Message,
    entries: Vec<Entry>,
    start: Start,
}

/// What a statement of a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) batch: u32,
    pub(super) role: Role,
}

/// What is open on the server where a message begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Start {
    /// Nothing.
    #[default]
    Outside,
    /// The transaction of its first batch.
    Inside,
}

impl Draft {
    /// Returns a message that begins inside the transaction of its first batch.
    pub(super) fn inside() -> Self {
        Draft { start: Start::Inside, ..Draft::default() }
    }

    pub(super) fn push(&mut self, text: &str, batch: u32, role: Role) {
        self.message.push(text);
        self.entries.push(Entry { batch, role });
    }

    pub(super) fn text(&self) -> &str {
        self.message.text()
    }

    /// Returns the length of the text in bytes.
    pub(super) fn len(&self) -> usize {
        self.message.text().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of statements.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Returns what statement `index` is for, or the last one, if there are not so many.
    pub(super) fn entry(&self, index: usize) -> Entry {
        self.entries[index.min(self.entries.len() - 1)]
    }

    pub(super) fn begins_outside(&self) -> bool {
        self.start == Start::Outside
    }

    /// Returns the entries behind the first `completed` ones.
    pub(super) fn behind(&self, completed: usize) -> impl Iterator<Item = &Entry> {
        self.entries.iter().skip(completed)
    }

    /// Returns the entries of one batch.
    pub(super) fn of(&self, batch: u32) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.batch == batch)
    }

    pub(super) fn holds(&self, batch: u32) -> bool {
        self.of(batch).next().is_some()
    }

    /// Returns the batches that it holds something of, in order.
    pub(super) fn batches(&self) -> impl Iterator<Item = u32> {
        self.entries.chunk_by(|one, next| one.batch == next.batch).map(|chunk| chunk[0].batch)
    }

    /// Returns a message of some of its batches.
    pub(super) fn only(&self, is_wanted: impl Fn(u32) -> bool) -> Draft {
        let mut only = Draft { start: self.start, ..Draft::default() };
        for (text, entry) in self.message.statements().zip(&self.entries) {
            if is_wanted(entry.batch) {
                only.push(text, entry.batch, entry.role);
            }
        }
        only
    }

    /// Takes out what belongs to `batch`.
    pub(super) fn take_back(&mut self, batch: u32) {
        if self.holds(batch) {
            *self = self.only(|other| other != batch);
        }
    }

    /// Returns the statement that failed after `completed` others, and the byte of it that the server pointed at by the
    /// number of a character.
    pub(super) fn locate(&self, completed: usize, character: Option<usize>) -> (usize, Option<u64>) {
        self.message.locate(completed, character)
    }
}
