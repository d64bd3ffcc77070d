//! Packs a script into the pieces that an adapter pulls.
//!
//! Statements are put together anew, each with `;` behind it: what the caller leaves out, comments between statements
//! and foreign delimiters are not in a piece, so that its text can be sent as it is. COPY data is passed through.
//!
//! It holds one piece, and looks one statement ahead to know which piece is the last.

use std::fmt;
use std::io::Read;
use std::ops::Range;

use whimbrel_adapter_api::{Marking, Piece, PieceKind, Rest, Span};

use super::Rules;
use super::location::SplitError;
use super::statements::{Event, Found, Splitter, Statement};

/// The longest piece of more than one statement.
const LONGEST: usize = 256 * 1024;

/// What stands behind every statement of a piece.
const DELIMITER: &[u8] = b";\n";

/// What becomes of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// It is sent.
    Keep(Marking),
    /// It is not sent, nor is its data.
    LeaveOut,
}

/// A script in pieces.
pub struct Pieces<R, F> {
    splitter: Splitter<R>,
    take: F,
    copy: CopyPieces,
    /// What was found beyond the last piece.
    ahead: Ahead,
    text: Vec<u8>,
    spans: Vec<Span>,
}

/// What becomes of COPY data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CopyPieces {
    Keep,
    LeaveOut,
}

#[derive(Debug)]
enum Ahead {
    Unknown,
    Part(Part),
    Nothing,
}

/// A part of the script that is sent.
#[derive(Debug)]
enum Part {
    Statement { found: Found, marking: Marking, kind: PieceKind },
    CopyData(Range<usize>),
    CopyEnd,
}

impl<R, F> fmt::Debug for Pieces<R, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pieces").field("ahead", &self.ahead).finish_non_exhaustive()
    }
}

impl<R: Read, F: FnMut(&Statement<'_>) -> Take> Pieces<R, F> {
    /// Returns the pieces of the script that `reader` gives. `take` is asked about each statement once, in order.
    pub fn new(rules: &Rules, reader: R, take: F) -> Self {
        Pieces {
            splitter: Splitter::new(rules, reader),
            take,
            copy: CopyPieces::Keep,
            ahead: Ahead::Unknown,
            text: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Returns the next piece, or `None` after the last one.
    ///
    /// # Errors
    ///
    /// What is wrong with the script, or reading it. Statements before that place may not have been given out.
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>, SplitError> {
        if matches!(self.ahead, Ahead::Unknown) {
            self.look_ahead()?;
        }
        let part = match std::mem::replace(&mut self.ahead, Ahead::Unknown) {
            Ahead::Part(part) => part,
            Ahead::Unknown | Ahead::Nothing => {
                self.ahead = Ahead::Nothing;
                return Ok(None);
            }
        };
        self.text.clear();
        // A long statement must not hold its memory to the end of the script.
        self.text.shrink_to(LONGEST);
        self.spans.clear();
        let kind = match part {
            // The end of the data follows for sure, and looking for it would move the data.
            Part::CopyData(range) => {
                let data = self.splitter.bytes(range);
                return Ok(Some(Piece::new(PieceKind::CopyData, Rest::Follows, data, &[])));
            }
            Part::CopyEnd => {
                self.look_ahead()?;
                PieceKind::CopyEnd
            }
            Part::Statement { found, marking, kind } => {
                self.push(&found, marking);
                self.look_ahead()?;
                if kind == PieceKind::Sql {
                    self.pack()?;
                }
                kind
            }
        };
        let rest = if matches!(self.ahead, Ahead::Nothing) { Rest::Last } else { Rest::Follows };
        Ok(Some(Piece::new(kind, rest, &self.text, &self.spans)))
    }

    /// Adds the statements that still fit.
    fn pack(&mut self) -> Result<(), SplitError> {
        while let Ahead::Part(Part::Statement { found, marking, kind: PieceKind::Sql }) = &self.ahead {
            if self.text.len() + found.range.len() + DELIMITER.len() > LONGEST {
                break;
            }
            let (found, marking) = (found.clone(), *marking);
            self.push(&found, marking);
            self.look_ahead()?;
        }
        Ok(())
    }

    fn push(&mut self, found: &Found, marking: Marking) {
        let start = self.text.len();
        self.text.extend_from_slice(self.splitter.bytes(found.range.clone()));
        let place =
            |length: usize| u32::try_from(length).expect("the splitter gives out no statement over 4 GiB");
        self.spans.push(Span::new(place(start), place(self.text.len()), marking));
        self.text.extend_from_slice(DELIMITER);
    }

    /// Finds the next part that is sent.
    fn look_ahead(&mut self) -> Result<(), SplitError> {
        self.ahead = loop {
            match (self.splitter.advance()?, self.copy) {
                (None, _) => break Ahead::Nothing,
                (Some(Event::Statement(found)), _) => {
                    if let Some(part) = self.statement(found)? {
                        break Ahead::Part(part);
                    }
                }
                (Some(_), CopyPieces::LeaveOut) => {}
                (Some(Event::CopyData { range, .. }), _) => break Ahead::Part(Part::CopyData(range)),
                (Some(Event::CopyEnd), _) => break Ahead::Part(Part::CopyEnd),
            }
        };
        Ok(())
    }

    fn statement(&mut self, found: Found) -> Result<Option<Part>, SplitError> {
        let Take::Keep(marking) = (self.take)(&self.splitter.statement(&found)?) else {
            self.copy = CopyPieces::LeaveOut;
            return Ok(None);
        };
        self.copy = CopyPieces::Keep;
        let kind = if self.splitter.has_data(&found) { PieceKind::CopyStart } else { PieceKind::Sql };
        Ok(Some(Part::Statement { found, marking, kind }))
    }
}
