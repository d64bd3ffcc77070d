//! [`Connection::run`] for an engine that takes one statement at a time.
//!
//! The engine says how to execute one statement and how to end a transaction; [`walk`] does the rest in the order
//! that [`Work`] asks for. An engine whose protocol can send more at once writes its own `run`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::connection::{BodyFailed, Connection, TransactionBody};
use crate::error::{Error, ErrorKind, Session};
use crate::work::{
    Commit, Done, Events, Failure, Head, Marking, Mode, Next, Phase, PieceKind, State, Stop, Work,
};

/// An engine that takes one statement at a time.
///
/// After an error that lost the session, [`walk`] calls none of these any more.
pub trait OneByOne {
    /// Executes one statement, throws its rows away and returns how many rows it changed.
    ///
    /// # Errors
    ///
    /// The engine's, with the position in bytes from the start of `statement`.
    fn execute(&mut self, statement: &str) -> Result<u64, Error>;

    /// Returns whether the last statement of a stepwise batch, and every one before it, stays in the database whatever
    /// comes next: [`Failure::committed`] counts up to here.
    ///
    /// The host leaves unmarked what stands inside a transaction of the script's own, and marks the statement that ends
    /// it, so that the marking is the answer of most engines. It is too low for an engine whose patterns have
    /// `LockTables` or `ReadsPrevious`, which leave statements outside a transaction unmarked too: such an engine answers
    /// whether it is outside a transaction.
    fn is_kept(&self, marking: Marking) -> bool {
        marking != Marking::Unmarked
    }

    /// Returns what is in the database after `statement` of a stepwise batch has failed with this error.
    ///
    /// `Committed`, as of most engines: what is counted as committed, and nothing of this statement. `Unknown`: a part of
    /// this statement may be there too. Its failure is then not recorded, so that whoever goes on finds the row as a
    /// runner leaves it that died over the statement, and looks before it is run again.
    fn state_after(&self, _statement: &str, _error: &Error) -> State {
        State::Committed
    }

    /// Returns the texts that begin and commit a transaction around a statement and its mark. Asked for only where the
    /// lexer has patterns of [`Class::Transactional`](crate::Class::Transactional).
    fn joint(&self) -> Bracket;

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

    /// Leaves the session as the batch has found it: puts the settings back to what they were before
    /// [`enter`](OneByOne::enter), and takes away what the script has left that the next batch must not meet.
    ///
    /// Called outside any transaction, after every batch whatever its outcome; not after one whose transaction a later one
    /// goes on with ([`part`](OneByOne::part)). It cannot fail: what is not put back here is the next batch's trouble.
    fn leave(&mut self);

    /// Takes away what a batch has left in the session that the next one in the same transaction must not meet.
    fn part(&mut self) {}

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
    let mut before = Commit::Own;
    loop {
        let head = match work.next_batch() {
            Ok(Next::Batch(head)) => head,
            // Nothing is ever on its way here: the last batch was finished before this one was asked for.
            Ok(Next::Later) => continue,
            Ok(Next::End) | Err(Stop) => {
                if before == Commit::Later {
                    engine.roll_back();
                    engine.leave();
                }
                return Ok(());
            }
        };
        let outcome = batch(engine, &head, before, number, work, events);
        before = if outcome.is_ok() { head.commit } else { Commit::Own };
        let lost = outcome.as_ref().err().filter(|failure| failure.error.session == Session::Lost);
        let lost = lost.map(|failure| failure.error.clone());
        events.finished(number, outcome);
        if let Some(error) = lost {
            return Err(error);
        }
        number += 1;
    }
}

/// Runs one batch and leaves the session as it was found, whatever the outcome; unless a later one goes on in its
/// transaction, as this one does in that of the one `before`.
fn batch(
    engine: &mut dyn OneByOne,
    head: &Head,
    before: Commit,
    number: u32,
    work: &mut dyn Work,
    events: &mut dyn Events,
) -> Result<Done, Failure> {
    let mut reached = Reached::default();
    let entered = match before {
        Commit::Later => Ok(()),
        _ => engine.enter(&head.outside).map_err(|error| (Phase::Opening, error)),
    };
    let outcome = entered.and_then(|()| steps(engine, head, number, work, events, &mut reached));
    let outcome = outcome.map_err(|(phase, error)| failure(engine, head, phase, error, &reached));
    match &outcome {
        Ok(()) if head.commit == Commit::Later => engine.part(),
        Ok(()) => engine.leave(),
        Err(failure) => put_in_order(engine, head, failure),
    }
    outcome.map(|()| Done::new(reached.completed))
}

/// How far a batch came.
#[derive(Default)]
struct Reached {
    completed: u64,
    /// How many of those stay whatever comes next. None in an atomic batch.
    kept: u64,
    /// What the engine says of the statement that failed.
    state: Option<State>,
}

fn steps(
    engine: &mut dyn OneByOne,
    head: &Head,
    number: u32,
    work: &mut dyn Work,
    events: &mut dyn Events,
    reached: &mut Reached,
) -> Result<(), (Phase, Error)> {
    for text in head.opening.iter().chain(&head.preparation) {
        engine.execute(text).map_err(|error| (Phase::Opening, engine.opening_error(error)))?;
    }
    let mut bytes = 0;
    loop {
        let piece = work.next_piece().map_err(|Stop| (Phase::Statement(reached.completed), stopped()))?;
        let Some(piece) = piece else { break };
        if piece.kind != PieceKind::Sql {
            let error = Error::unsupported("data inside a script");
            return Err((Phase::Statement(reached.completed), error));
        }
        for span in piece.spans {
            let at = Phase::Statement(reached.completed);
            let statement = piece.statement(span).map_err(|error| (at, error))?;
            match (&head.mark, span.marking()) {
                (Some(mark), Marking::Joined) => joined(engine, statement, mark, reached)?,
                (mark, marking) => single(engine, head.mode, statement, mark.as_deref(), marking, reached)?,
            }
        }
        bytes += piece.text.len() as u64;
        events.progress(number, reached.completed, bytes);
    }
    close(engine, head)
}

/// Runs a statement and its mark in one transaction.
fn joined(
    engine: &mut dyn OneByOne,
    statement: &str,
    mark: &str,
    reached: &mut Reached,
) -> Result<(), (Phase, Error)> {
    let at = Phase::Statement(reached.completed);
    let joint = engine.joint();
    engine.execute(&joint.begin).map_err(|error| (at, error))?;
    engine.execute(statement).map_err(|error| (at, error))?;
    note(engine, mark, reached.completed + 1)?;
    // What is checked only here, such as a deferred constraint, is the statement's.
    engine.execute(&joint.commit).map_err(|error| (at, error))?;
    reached.completed += 1;
    // Not where the script has opened a savepoint of its own.
    if engine.is_kept(Marking::Joined) {
        reached.kept = reached.completed;
    }
    Ok(())
}

/// Runs a statement by itself, and its mark behind it if it has one.
fn single(
    engine: &mut dyn OneByOne,
    mode: Mode,
    statement: &str,
    mark: Option<&str>,
    marking: Marking,
    reached: &mut Reached,
) -> Result<(), (Phase, Error)> {
    engine.execute(statement).map_err(|error| {
        reached.state = Some(engine.state_after(statement, &error));
        (Phase::Statement(reached.completed), error)
    })?;
    reached.completed += 1;
    if mode == Mode::Stepwise && engine.is_kept(marking) {
        reached.kept = reached.completed;
    }
    match mark {
        Some(mark) if marking == Marking::Marked => note(engine, mark, reached.completed),
        _ => Ok(()),
    }
}

fn note(engine: &mut dyn OneByOne, mark: &str, done: u64) -> Result<(), (Phase, Error)> {
    let changed = engine.execute(&mark.replace("{done}", &done.to_string()));
    match changed.map_err(|error| (Phase::Closing, error))? {
        0 => Err((Phase::Closing, taken_over())),
        _ => Ok(()),
    }
}

fn close(engine: &mut dyn OneByOne, head: &Head) -> Result<(), (Phase, Error)> {
    let last = head.closing.len().saturating_sub(1);
    for (index, text) in head.closing.iter().enumerate() {
        let commits = head.mode == Mode::Atomic && head.commit == Commit::Own && index == last;
        if commits {
            engine.check().map_err(|error| (Phase::Closing, error))?;
        }
        let phase = if commits { Phase::Commit } else { Phase::Closing };
        let changed = engine.execute(text).map_err(|error| (phase, error))?;
        if head.settles == Some(index as u32) && changed != 1 {
            return Err((Phase::Closing, unsettled(head.mode)));
        }
    }
    Ok(())
}

/// Ends the transaction of a batch that failed, and says what became of it.
fn failure(engine: &mut dyn OneByOne, head: &Head, phase: Phase, error: Error, reached: &Reached) -> Failure {
    let state = match (error.session, head.mode, phase) {
        // The database rolls back what was not asked to commit.
        (Session::Lost, Mode::Atomic, Phase::Commit) | (Session::Lost, Mode::Stepwise, _) => State::InDoubt,
        (Session::Lost, Mode::Atomic, _) => State::RolledBack,
        (Session::Usable, mode, phase) => {
            let rolled_back = engine.roll_back();
            match (mode, phase) {
                _ if error.kind == ErrorKind::TransactionEnded => State::Unknown,
                (Mode::Atomic, _) => rolled_back,
                (Mode::Stepwise, Phase::Opening) => State::RolledBack,
                (Mode::Stepwise, _) => reached.state.unwrap_or(State::Committed),
            }
        }
    };
    Failure::new(phase, error, reached.completed, reached.kept, state)
}

/// Leaves the session of a batch that failed as it was found, as far as the session allows.
fn put_in_order(engine: &mut dyn OneByOne, head: &Head, failure: &Failure) {
    if failure.error.session == Session::Lost {
        return;
    }
    let is_certain = head.mode == Mode::Atomic || failure.state != State::Unknown;
    let past_opening = failure.phase != Phase::Opening;
    let record = head.failed.iter().filter(|_| past_opening && is_certain);
    for text in record.chain(&head.cleanup) {
        // The outcome is decided and is what the host must hear; only a lost session is of interest.
        let executed = engine.execute(&text.replace("{done}", &failure.committed.to_string()));
        if executed.is_err_and(|error| error.session == Session::Lost) {
            return;
        }
    }
    engine.leave();
}

/// Returns the error of a batch that the host asked to stop.
#[must_use]
pub fn stopped() -> Error {
    Error::new(ErrorKind::Stopped, "stopped on request")
}

/// Returns the error of a batch whose `settles` text did not change exactly one row: the transaction that held the row is
/// not ours any more, or, where there is none, the row is not.
#[must_use]
pub fn unsettled(mode: Mode) -> Error {
    match mode {
        Mode::Atomic => {
            Error::new(ErrorKind::TransactionEnded, "the script ended the transaction that it ran in")
        }
        _ => taken_over(),
    }
}

/// Returns the error of a stepwise batch whose mark finds its row settled.
#[must_use]
pub fn taken_over() -> Error {
    Error::new(ErrorKind::FenceTaken, "another run has taken the migration over")
}

/// The three texts that a transaction, or a savepoint inside one, is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Bracket {
    /// Opens it.
    pub begin: String,
    /// Ends it and keeps the work.
    pub commit: String,
    /// Ends it and takes the work back.
    pub roll_back: String,
}

impl Bracket {
    /// Returns a bracket of these texts.
    #[must_use]
    pub fn new(begin: impl Into<String>, commit: impl Into<String>, roll_back: impl Into<String>) -> Self {
        Bracket { begin: begin.into(), commit: commit.into(), roll_back: roll_back.into() }
    }

    /// Returns the texts of a savepoint at this depth of nesting, as standard SQL has them.
    #[must_use]
    pub fn savepoint(depth: u32) -> Self {
        let name = format!("whimbrel_{depth}");
        Bracket::new(
            format!("SAVEPOINT {name}"),
            format!("RELEASE SAVEPOINT {name}"),
            format!("ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}"),
        )
    }
}

/// Runs `body` inside `bracket`: commits on `Ok`, rolls back on `Err` and when the body panics.
///
/// `depth` is where the connection counts the transactions that are open inside each other. It is one more while this
/// one is open, and what it was afterwards, whatever happens.
///
/// # Errors
///
/// `BodyFailed` after the body gave up; the engine's when a text of the bracket fails.
pub fn in_transaction<C: Connection>(
    connection: &mut C,
    depth: fn(&mut C) -> &mut u32,
    bracket: &Bracket,
    body: &mut TransactionBody<'_>,
) -> Result<(), Error> {
    let before = *depth(connection);
    *depth(connection) = before + 1;
    // A panic must not leave the transaction open: the application may catch it and go on with the connection.
    let outcome = catch_unwind(AssertUnwindSafe(|| bracketed(connection, bracket, body)));
    if outcome.is_err() {
        // The panic is what the caller must see, whether or not the engine still takes the rollback.
        let _ = connection.execute_raw(&bracket.roll_back);
    }
    *depth(connection) = before;
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

fn bracketed(
    connection: &mut dyn Connection,
    bracket: &Bracket,
    body: &mut TransactionBody<'_>,
) -> Result<(), Error> {
    connection.execute_raw(&bracket.begin)?;
    match body(connection) {
        Ok(()) => connection.execute_raw(&bracket.commit).inspect_err(|_| {
            // A COMMIT that is refused (a deferred constraint) leaves some engines inside the transaction. Its own
            // error is the one to report.
            let _ = connection.execute_raw(&bracket.roll_back);
        }),
        Err(BodyFailed) => connection.execute_raw(&bracket.roll_back).and(Err(Error::body_failed())),
    }
}

#[cfg(test)]
mod tests;
