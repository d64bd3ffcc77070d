//! [`Connection::run`] for an engine that takes one statement at a time.
//!
//! The engine says how to execute one statement and how to end a transaction; [`walk`] does the rest in the order
//! that [`Work`] asks for. An engine whose protocol can send more at once writes its own `run`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::connection::{BodyFailed, Connection, TransactionBody};
use crate::error::{Error, ErrorKind, Session};
use crate::work::{Done, Events, Failure, Head, Marking, Mode, Next, Phase, PieceKind, State, Stop, Work};

/// An engine that takes one statement at a time.
pub trait OneByOne {
    /// Executes one statement, throws its rows away and returns how many rows it changed.
    ///
    /// # Errors
    ///
    /// The engine's, with the position in bytes from the start of `statement`.
    fn execute(&mut self, statement: &str) -> Result<u64, Error>;

    /// Rolls back the open transaction, if there is one, and says what is left of it.
    fn roll_back(&mut self) -> State;

    /// Runs the settings of [`Head::outside`].
    ///
    /// # Errors
    ///
    /// The engine's. An engine without such settings refuses a list that is not empty.
    fn enter(&mut self, outside: &[String]) -> Result<(), Error>;

    /// Checks what those settings left unchecked, before the last text of `closing` commits.
    ///
    /// # Errors
    ///
    /// What was found.
    fn check(&mut self) -> Result<(), Error>;

    /// Puts the settings back to what they were before [`enter`](OneByOne::enter).
    fn leave(&mut self);

    /// Returns the error of a text of `opening`, as `FenceTaken` where it says that another runner was first.
    fn opening_error(&self, error: Error) -> Error;
}

/// Runs all of `work`, statement by statement.
///
/// # Errors
///
/// The error that lost the session; its batch was reported before.
pub fn walk(engine: &mut dyn OneByOne, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
    let mut number = 0;
    loop {
        let head = match work.next_batch() {
            Ok(Next::Batch(head)) => head,
            // Nothing is ever on its way here: the last batch was finished before this one was asked for.
            Ok(Next::Later) => continue,
            Ok(Next::End) | Err(Stop) => return Ok(()),
        };
        let outcome = batch(engine, &head, number, work, events);
        let lost = outcome.as_ref().err().filter(|failure| failure.error.session == Session::Lost);
        let lost = lost.map(|failure| failure.error.clone());
        events.finished(number, outcome);
        if let Some(error) = lost {
            return Err(error);
        }
        number += 1;
    }
}

/// Runs one batch and leaves the session as it was found, whatever the outcome.
fn batch(
    engine: &mut dyn OneByOne,
    head: &Head,
    number: u32,
    work: &mut dyn Work,
    events: &mut dyn Events,
) -> Result<Done, Failure> {
    let mut completed = 0;
    let outcome = steps(engine, head, number, work, events, &mut completed);
    let outcome = outcome.map_err(|(phase, error)| failure(engine, head, phase, error, completed));
    if let Err(failure) = &outcome {
        let past_opening = failure.phase != Phase::Opening;
        let record = head.failed.iter().filter(|_| past_opening);
        for text in record.chain(&head.cleanup) {
            // The outcome is decided and is what the host must hear; the session is put in order as far as it goes.
            let _ = engine.execute(&text.replace("{done}", &failure.committed.to_string()));
        }
    }
    engine.leave();
    outcome.map(|()| Done::new(completed))
}

fn steps(
    engine: &mut dyn OneByOne,
    head: &Head,
    number: u32,
    work: &mut dyn Work,
    events: &mut dyn Events,
    completed: &mut u64,
) -> Result<(), (Phase, Error)> {
    engine.enter(&head.outside).map_err(|error| (Phase::Opening, error))?;
    for text in &head.opening {
        engine.execute(text).map_err(|error| (Phase::Opening, engine.opening_error(error)))?;
    }
    let mut bytes = 0;
    loop {
        let piece = work.next_piece().map_err(|Stop| (Phase::Statement(*completed), stopped()))?;
        let Some(piece) = piece else { break };
        if piece.kind != PieceKind::Sql {
            let error = Error::unsupported("data inside a script");
            return Err((Phase::Statement(*completed), error));
        }
        for span in piece.spans {
            let at = Phase::Statement(*completed);
            let statement = piece.statement(span).map_err(|error| (at, error))?;
            engine.execute(statement).map_err(|error| (at, error))?;
            *completed += 1;
            if let (Some(mark), Marking::Marked) = (&head.mark, span.marking()) {
                let mark = mark.replace("{done}", &completed.to_string());
                engine.execute(&mark).map_err(|error| (Phase::Closing, error))?;
            }
        }
        bytes += piece.text.len() as u64;
        events.progress(number, *completed, bytes);
    }
    close(engine, head)
}

fn close(engine: &mut dyn OneByOne, head: &Head) -> Result<(), (Phase, Error)> {
    let last = head.closing.len().saturating_sub(1);
    for (index, text) in head.closing.iter().enumerate() {
        let commits = head.mode == Mode::Atomic && index == last;
        if commits {
            engine.check().map_err(|error| (Phase::Closing, error))?;
        }
        let phase = if commits { Phase::Commit } else { Phase::Closing };
        let changed = engine.execute(text).map_err(|error| (phase, error))?;
        if head.settles == Some(index as u32) && changed != 1 {
            return Err((Phase::Closing, transaction_ended()));
        }
    }
    Ok(())
}

fn failure(engine: &mut dyn OneByOne, head: &Head, phase: Phase, error: Error, completed: u64) -> Failure {
    let rolled_back = engine.roll_back();
    let (committed, state) = match (head.mode, phase, error.kind) {
        (_, _, ErrorKind::TransactionEnded) => (0, State::Unknown),
        (Mode::Atomic, _, _) => (0, rolled_back),
        (Mode::Stepwise, Phase::Opening, _) => (0, State::RolledBack),
        (Mode::Stepwise, _, _) => (completed, State::Committed),
    };
    Failure::new(phase, error, completed, committed, state)
}

/// Returns the error of a batch that the host asked to stop.
#[must_use]
pub fn stopped() -> Error {
    Error::new(ErrorKind::Stopped, "stopped on request")
}

/// Returns the error of a batch whose `settles` text did not change exactly one row.
#[must_use]
pub fn transaction_ended() -> Error {
    Error::new(ErrorKind::TransactionEnded, "the script ended the transaction that it ran in")
}

/// The three texts that a transaction, or a savepoint inside one, is made of.
#[derive(Clone, Debug)]
pub struct Bracket {
    /// Opens it.
    pub begin: String,
    /// Ends it and keeps the work.
    pub commit: String,
    /// Ends it and takes the work back.
    pub roll_back: String,
}

impl Bracket {
    /// Returns the texts of a savepoint at this depth of nesting, as standard SQL has them.
    #[must_use]
    pub fn savepoint(depth: u32) -> Self {
        let name = format!("whimbrel_{depth}");
        Bracket {
            begin: format!("SAVEPOINT {name}"),
            commit: format!("RELEASE SAVEPOINT {name}"),
            roll_back: format!("ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}"),
        }
    }
}

/// Runs `body` inside `bracket`: commits on `Ok`, rolls back on `Err` and when the body panics.
///
/// # Errors
///
/// `BodyFailed` after the body gave up; the engine's when a text of the bracket fails.
pub fn in_transaction(
    connection: &mut dyn Connection,
    bracket: &Bracket,
    body: &mut TransactionBody<'_>,
) -> Result<(), Error> {
    connection.execute_raw(&bracket.begin)?;
    // A panic must not leave the transaction open: the application may catch it and go on with the connection.
    match catch_unwind(AssertUnwindSafe(|| body(connection))) {
        Ok(Ok(())) => connection.execute_raw(&bracket.commit).inspect_err(|_| {
            // A COMMIT that is refused (a deferred constraint) leaves some engines inside the transaction. Its own
            // error is the one to report.
            let _ = connection.execute_raw(&bracket.roll_back);
        }),
        Ok(Err(BodyFailed)) => connection.execute_raw(&bracket.roll_back).and(Err(Error::body_failed())),
        Err(panic) => {
            // The panic is what the caller must see, whether or not the engine still takes the rollback.
            let _ = connection.execute_raw(&bracket.roll_back);
            resume_unwind(panic)
        }
    }
}

#[cfg(test)]
mod tests;
