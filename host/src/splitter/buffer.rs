//! The part of a file that is at hand.

use std::io::{self, ErrorKind, Read};
use std::ops::Deref;

use super::lexer::Input;

/// How much is read at once of a long file.
pub(super) const CHUNK: usize = 256 * 1024;

/// How much is read first, and then twice as much each time: most files are short, and storage must be cleared.
const FIRST: usize = 8 * 1024;

/// Storage that is kept when a long statement is done.
const USUAL: usize = 4 * CHUNK;

/// What was read of a file and not let go. The bytes are those of [`Deref`].
#[derive(Debug)]
pub(super) struct Buffer<R> {
    reader: R,
    // Behind `filled` lie bytes of no meaning, so that storage is cleared once and not before each reading.
    storage: Vec<u8>,
    filled: usize,
    /// How much is read next.
    step: usize,
    input: Input,
}

impl<R: Read> Buffer<R> {
    pub(super) fn new(reader: R) -> Self {
        Buffer { reader, storage: Vec::new(), filled: 0, step: FIRST, input: Input::Open }
    }

    /// Returns whether the file can have more.
    pub(super) fn input(&self) -> Input {
        self.input
    }

    /// Lets go of the first `count` bytes.
    pub(super) fn release(&mut self, count: usize) {
        self.storage.copy_within(count..self.filled, 0);
        self.filled -= count;
        if self.storage.len() > USUAL && self.filled < CHUNK {
            self.storage.truncate(USUAL);
            self.storage.shrink_to_fit();
        }
    }

    /// Reads `least` bytes or more, or to the end of the file.
    ///
    /// # Errors
    ///
    /// Those of the reader.
    pub(super) fn fill(&mut self, least: usize) -> io::Result<()> {
        let target = self.filled + least;
        let room = self.filled + least.max(self.step);
        self.step = CHUNK.min(2 * self.step);
        if self.storage.len() < room {
            self.storage.resize(room, 0);
        }
        while self.filled < target && self.input == Input::Open {
            match self.reader.read(&mut self.storage[self.filled..room]) {
                Ok(0) => self.input = Input::Ended,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<R> Deref for Buffer<R> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.storage[..self.filled]
    }
}
