//! `COPY … FROM stdin`: the one statement that a simple message cannot carry.
//!
//! The driver takes its data only through a prepared statement with a name that it chooses. Behind a pooler the server
//! connection may have one of that name already, so preparing is tried inside a savepoint until a name is free; the
//! savepoint is gone before the copy begins, because COPY FREEZE minds it.
//!
//! The data is passed on piece by piece and never collected.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::SinkExt;
use postgres::Statement;
use postgres::error::SqlState;
use tokio_postgres::CopyInSink;
use whimbrel_adapter_api::{Error, ErrorKind, Phase, Piece, PieceKind, Work};

use super::Run;
use super::batch::Failed;
use crate::error;
use crate::session::{Cells, Session};

/// Must have run in the transaction before [`Run::copy`].
pub(super) const SAVEPOINT: &str = "SAVEPOINT whimbrel_copy";

const BACK: &str = "ROLLBACK TO SAVEPOINT whimbrel_copy";
const RELEASE: &str = "RELEASE SAVEPOINT whimbrel_copy";

/// The way of the data to the server.
type Sink = Pin<Box<CopyInSink<Bytes>>>;

/// How many names are tried before something else must be wrong.
const NAMES: u32 = 10_000;

/// Returns the COPY statement of a piece, which must be its only one.
pub(super) fn statement(piece: &Piece<'_>) -> Result<String, Error> {
    match piece.spans {
        [span] => piece.statement(span).map(str::to_owned),
        _ => Err(misplaced()),
    }
}

/// Returns the error of pieces that do not follow each other as they must.
pub(super) fn misplaced() -> Error {
    Error::new(ErrorKind::Misbehaved, "the pieces of a COPY are not in order")
}

impl Run<'_> {
    /// Runs a COPY with the data that follows in `work`. All earlier messages have been answered.
    pub(super) fn copy(&mut self, statement: &str, work: &mut dyn Work) -> Result<(), Failed> {
        let index = self.current().composed;
        self.current_mut().composed += 1;
        let at = |error| Failed { phase: Phase::Statement(index), error };
        let prepared = prepare(self.session, statement).map_err(at)?;
        let mut sink = self.begin_copy(&prepared, statement).map_err(at)?;
        loop {
            // Dropping the sink tells the server that the data is not whole.
            let piece = self.pull(work)?.ok_or_else(|| at(misplaced()))?;
            match piece.kind {
                PieceKind::CopyData => self.send_data(&mut sink, piece.text).map_err(at)?,
                PieceKind::CopyEnd => break,
                _ => return Err(at(misplaced())),
            }
        }
        self.wait(sink.as_mut().finish()).map_err(|error| at(self.told(&error)))?;
        self.current_mut().completed = index + 1;
        Ok(())
    }

    fn begin_copy(&mut self, prepared: &Statement, statement: &str) -> Result<Sink, Error> {
        // Travels with the copy; its answer is read behind.
        let released = self.session.send(RELEASE, Cells::Unwanted)?;
        let Session { client, listener, .. } = &mut *self.session;
        let begun = listener.wait(client.copy_in(prepared), &mut |_| {});
        while let Some(answer) = self.session.next(released, &mut |_| {}) {
            answer.map_err(|error| self.told(&error))?;
        }
        begun.map(Box::pin).map_err(|error| {
            // The driver ends the copy that never began, and the server answers that too: from here on its answers
            // are one ahead of the requests.
            let told = self.session.explained(error::of_text(&error, statement));
            self.session.give_up("the driver cannot go on after a COPY that the server refused to begin");
            told
        })
    }

    fn send_data(&mut self, sink: &mut Sink, data: &[u8]) -> Result<(), Error> {
        let sent = self.wait(sink.send(Bytes::copy_from_slice(data)));
        sent.map_err(|error| self.told(&error))?;
        let batch = self.current_mut();
        batch.bytes += data.len() as u64;
        let (number, completed, bytes) = (batch.number, batch.completed, batch.bytes);
        self.events.progress(number, completed, bytes);
        Ok(())
    }

    /// Waits for the driver, and passes on what the server says in the meantime: a trigger may have much to say.
    fn wait<F: Future>(&mut self, future: F) -> F::Output {
        let number = self.current().number;
        let Run { session, events, .. } = self;
        session.listener.wait(future, &mut |notice| events.notice(number, notice))
    }

    fn told(&self, error: &postgres::Error) -> Error {
        self.session.explained(error::of_session(error))
    }

    /// Runs a COPY of a stepwise batch, in the script's own transaction if one is open, else in one for itself: the
    /// savepoint needs it, and a pooler keeps one server connection for as long as it lasts.
    pub(super) fn copy_alone(&mut self, statement: &str, work: &mut dyn Work) -> Result<(), Failed> {
        self.read_all();
        self.check()?;
        let mut own = "";
        match self.session.turn(SAVEPOINT) {
            Err(error) if error.sqlstate.as_deref() == Some("25P01") => {
                own = "COMMIT";
                let begin = self.session.turn("BEGIN");
                let begun = begin.and_then(|()| self.session.turn(SAVEPOINT));
                begun.map_err(|error| self.failed_here(error))?;
            }
            other => other.map_err(|error| self.failed_here(error))?,
        }
        self.copy(statement, work)?;
        if !own.is_empty() {
            let committed = self.session.turn(own);
            let index = self.current().completed.saturating_sub(1);
            committed.map_err(|error| Failed { phase: Phase::Statement(index), error })?;
        }
        Ok(())
    }
}

/// Prepares the statement under a name that is free.
fn prepare(session: &mut Session, statement: &str) -> Result<Statement, Error> {
    for _ in 0..NAMES {
        let Session { client, listener, .. } = session;
        match listener.wait(client.prepare(statement), &mut |_| {}) {
            Ok(prepared) => return Ok(prepared),
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_PSTATEMENT) => {
                session.turn(BACK)?;
            }
            Err(error) => return Err(session.explained(error::of_text(&error, statement))),
        }
    }
    Err(Error::new(ErrorKind::Other, "no name for a prepared statement is free on the server"))
}
