//! Batches that are one transaction each.
//!
//! Small ones share a message. It is answered before the next one is sent, so an error leaves nothing behind it on its way:
//! the server passes over the rest of the message.
//!
//! Of a larger one the opening is answered before the first piece is sent; behind it, its pieces are sent without waiting.
//! Should one of them fail, the server refuses the others, because the transaction has failed. Its end shares a message
//! with the opening of the next batch, and with no script: an error in that would take the whole message back.

use whimbrel_adapter_api::{Piece, PieceKind, Rest, Work};

use super::batch::{Failed, Role};
use super::draft::Draft;
use super::{Run, copy};

/// The longest message, save for one longer statement: the driver's buffers keep their size, and the server keeps the
/// parse trees of a whole message.
pub(super) const LONGEST: usize = 256 * 1024;

/// The longest message inside a script that fills several, save for one longer statement. The server needs as long for it,
/// and 0.5 MiB less memory than for a message of 64 KiB.
const LONGEST_PART: usize = 16 * 1024;

/// Refused where the transaction has failed, and the rest of its message with it. Behind an answer that has not been read
/// yet, a script's ROLLBACK TO would bring the transaction back.
const STILL_SOUND: &str = "SELECT";

impl Run<'_> {
    /// Composes a transactional batch, and sends what is too long to wait for company.
    pub(super) fn atomic(&mut self, work: &mut dyn Work) -> Result<(), Failed> {
        let mut opened = Opened::NotYet;
        while let Some(piece) = self.pull(work)? {
            if opened == Opened::NotYet {
                self.open_for(&piece)?;
                opened = Opened::Yes;
            }
            match piece.kind {
                PieceKind::Sql => self.statements(&piece)?,
                PieceKind::CopyStart => {
                    let statement = copy::statement(&piece).map_err(|error| self.failed_here(error))?;
                    let number = self.current().number;
                    self.draft.push(copy::SAVEPOINT, number, Role::Own);
                    self.flush()?;
                    self.draft = Draft::inside();
                    self.copy(&statement, work)?;
                }
                _ => return Err(self.failed_here(copy::misplaced())),
            }
        }
        if opened == Opened::NotYet {
            self.make_room(0)?;
            self.open();
        }
        self.close();
        Ok(())
    }

    /// Puts the opening where the script may follow it.
    fn open_for(&mut self, first: &Piece<'_>) -> Result<(), Failed> {
        match (first.kind, first.rest) {
            (PieceKind::Sql, Rest::Last) => {
                if !self.draft.begins_outside() {
                    self.flush()?;
                }
                self.make_room(first.text.len())?;
                self.open();
            }
            (PieceKind::Sql, _) => {
                self.make_room(0)?;
                self.open();
                self.flush()?;
                self.draft = Draft::inside();
            }
            _ => {
                self.make_room(0)?;
                self.open();
            }
        }
        Ok(())
    }

    /// Sends what is in the draft if the current batch, with a script of so many bytes, would make it too long.
    fn make_room(&mut self, script: usize) -> Result<(), Failed> {
        let head = &self.current().head;
        let texts = head.opening.iter().chain(&head.preparation).chain(&head.closing);
        let length = texts.map(String::len).sum::<usize>() + script;
        if self.draft.is_empty() || self.draft.len() + length <= LONGEST { Ok(()) } else { self.flush() }
    }

    fn statements(&mut self, piece: &Piece<'_>) -> Result<(), Failed> {
        self.current_mut().bytes += piece.text.len() as u64;
        for span in piece.spans {
            if !self.draft.begins_outside() {
                self.begin_part(span.end.saturating_sub(span.start) as usize)?;
            }
            let mut draft = std::mem::take(&mut self.draft);
            let composed = self.compose(&mut draft, piece, span);
            self.draft = draft;
            composed?;
        }
        if piece.rest == Rest::Follows { self.send_part() } else { self.check() }
    }

    /// Sends what is in the draft if a statement of this length would make it too long, and puts the guard before the first
    /// one of the next message.
    fn begin_part(&mut self, statement: usize) -> Result<(), Failed> {
        if !self.draft.is_empty() && self.draft.len() + statement > LONGEST_PART {
            self.send_part()?;
        }
        if self.draft.is_empty() {
            let number = self.current().number;
            self.draft.push(STILL_SOUND, number, Role::Own);
        }
        Ok(())
    }

    /// Sends what is in the draft, which begins inside the transaction of the current batch and does not end it.
    fn send_part(&mut self) -> Result<(), Failed> {
        let draft = std::mem::replace(&mut self.draft, Draft::inside());
        self.send(draft)
    }

    fn open(&mut self) {
        let Run { draft, batches, .. } = self;
        let batch = batches.back().expect("a batch is being sent");
        for text in batch.head.opening.iter().chain(&batch.head.preparation) {
            draft.push(text, batch.number, Role::Opening);
        }
    }

    fn close(&mut self) {
        let Run { draft, batches, .. } = self;
        let batch = batches.back_mut().expect("a batch is being sent");
        batch.close(draft);
    }
}

/// Whether the opening of a batch is in a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opened {
    NotYet,
    Yes,
}
