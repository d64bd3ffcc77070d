//! The work that the host hands to [`Connection::run`](crate::Connection::run), and what it hears back.
//!
//! The protocol stands at [`Work`].

use crate::codes::codes;
use crate::error::Error;

/// The host's side of a run, and the protocol of one.
///
/// The adapter pulls, so that streaming and pipelining are its own choice:
///
/// 1. [`Work::next_batch`] gives the [`Head`] of one migration, or says [`Next::Later`] (read every answer that is
///    still to come, report it, then ask again) or [`Next::End`].
/// 2. [`Work::next_piece`] gives the script of that batch, piece by piece, until `None`.
/// 3. The adapter runs `outside`, `opening`, `preparation`, the statements and `closing`, in as few turns as its protocol
///    allows, and calls [`Events::finished`] once for every head it was handed, in order.
///
/// An adapter that asks for the next batch before the last one is answered pipelines. The host forbids that by
/// answering `Later`. One that pipelines sees to it that nothing runs behind a batch that failed: neither behind an error,
/// nor where the text named by [`Head::settles`] has changed no row. What such a batch was kept from is reported as
/// `NotReached`; the host looks for the first failure that is not.
///
/// Both objects are lent for the time of `run`, to the thread that it was called on. They cannot be sent to another one:
///
/// ```compile_fail,E0277
/// # use whimbrel_adapter_api::Events;
/// fn tell(events: &mut dyn Events) {
///     std::thread::scope(|threads| {
///         threads.spawn(|| events.progress(0, 1, 1));
///     });
/// }
/// ```
///
/// An adapter whose driver answers on a thread of its own passes the answers on, over a channel, and calls where it was
/// called:
///
/// ```
/// # use whimbrel_adapter_api::Events;
/// fn tell(events: &mut dyn Events) {
///     let (answers, answer) = std::sync::mpsc::channel();
///     std::thread::spawn(move || answers.send(1));
///     for statements in answer {
///         events.progress(0, statements, 1);
///     }
/// }
/// ```
///
/// With `unsafe` the compiler can be told otherwise. An adapter that then calls from two threads at once, or after `run` has
/// returned, reaches into memory that is somebody else's by then; the host can neither see nor survive that.
///
/// [`Stop`] from either call: send no more of this batch, roll it back if it is atomic, report it as failed with kind
/// `Stopped`. There is no other batch behind it, whether that is asked for or not.
pub trait Work {
    /// Returns the next batch. Asked for when every piece of the one before was taken, or that one has failed.
    ///
    /// # Errors
    ///
    /// [`Stop`] when the run was cancelled.
    fn next_batch(&mut self) -> Result<Next, Stop>;

    /// Returns the next piece of the current batch's script, or `None` after the last one.
    ///
    /// The piece is borrowed until the next call; copy what must be kept.
    ///
    /// # Errors
    ///
    /// [`Stop`] when the run was cancelled or the script changed while it was read.
    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop>;
}

/// The request to send no more of this batch and to take it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop;

/// The answer to [`Work::next_batch`].
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "one per migration, and taken apart at once")]
pub enum Next {
    /// One more batch.
    Batch(Head),
    /// Settle everything that is on its way, then ask again.
    Later,
    /// There is no more.
    End,
}

/// Everything about a batch but its script.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Head {
    /// A name for this attempt that is unique on the server and at most 63 bytes long.
    ///
    /// While a stepwise batch is at work on the server, [`alive`](crate::Connection::alive) with this name must say so
    /// from any other session, even after this client died.
    pub attempt: String,
    /// Whether all of it is one transaction.
    pub mode: Mode,
    /// Settings that the engine ignores or refuses inside a transaction ([`Class::Outside`](crate::Class::Outside)):
    /// run before `opening`, and put back to what they were after the batch, whatever its outcome.
    pub outside: Vec<String>,
    /// One statement each, before the script. An atomic batch begins its transaction here.
    pub opening: Vec<String>,
    /// One statement each, between `opening` and the script, each for itself: of a script that an earlier attempt left in
    /// the middle, the settings that its session had, and what takes away the remains of the statement that failed.
    /// Any of them may refuse company in a message or a transaction. A failure here is one of the opening.
    pub preparation: Vec<String>,
    /// The statement that notes progress in a stepwise batch, run after each statement whose span says so. Every
    /// `{done}` in it stands for the number of statements that are complete. One that changes no row means that another
    /// run has taken the migration over: send no more of it, phase `Closing`, kind `FenceTaken`.
    pub mark: Option<String>,
    /// One statement each, after the script. An atomic batch commits with the last one.
    pub closing: Vec<String>,
    /// Which text of `closing` must change exactly one row. Any other count means, in an atomic batch, that the
    /// transaction was not ours any more: phase `Closing`, kind `TransactionEnded`, state `Unknown`. In a stepwise one
    /// another run has taken the migration over: kind `FenceTaken`.
    pub settles: Option<u32>,
    /// Records the failure of a batch of which something stays: run after a failure past `opening`, before `cleanup`.
    /// `{done}` stands for the number of statements that stay. Never run when `opening` failed: the row is then another
    /// runner's. An atomic batch has it on engines with implicit commits, for one that was rolled back it is not run.
    /// Nor is it for a stepwise one whose failed statement may have left a part of itself, state `Unknown`: the row stays
    /// `started`, and whoever goes on looks what is there.
    pub failed: Vec<String>,
    /// Run after a failure and outside any transaction, as far as the session allows. Failures of these are ignored.
    pub cleanup: Vec<String>,
    /// Whether the last text of an atomic batch's `closing` commits.
    pub commit: Commit,
    /// How many statements the script has.
    pub statements: u64,
}

impl Head {
    /// Returns the head of a batch with no texts around its script.
    #[must_use]
    pub fn new(attempt: impl Into<String>, mode: Mode, statements: u64) -> Self {
        Head {
            attempt: attempt.into(),
            mode,
            outside: Vec::new(),
            opening: Vec::new(),
            preparation: Vec::new(),
            mark: None,
            closing: Vec::new(),
            settles: None,
            failed: Vec::new(),
            cleanup: Vec::new(),
            commit: Commit::Own,
            statements,
        }
    }
}

codes! {
    /// Whether a batch is one transaction.
    pub enum Mode {
        /// All or nothing.
        Atomic = 1,
        /// Every statement for itself, with marks.
        Stepwise = 2,
    }
}

codes! {
    /// Who commits an atomic batch.
    pub enum Commit {
        /// Its own closing, with the last text.
        Own = 1,
        /// A later batch of the same run, which goes on in the same transaction: its opening begins none. A failure of any
        /// of them takes all of them back. Such a batch is reported as finished when its statements are complete.
        Later = 2,
    }
}

/// A part of a script: whole statements, or data of a COPY.
///
/// At most 256 KiB, or one longer statement.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Piece<'a> {
    /// What it holds.
    pub kind: PieceKind,
    /// Whether it is the last of its batch, so that opening, script and closing can be one message.
    pub rest: Rest,
    /// The text. UTF-8, except in [`PieceKind::CopyData`].
    pub text: &'a [u8],
    /// Where the statements are. What lies between them (comments, delimiters, statements that the host took out) may
    /// be sent or left out. Empty for COPY data.
    pub spans: &'a [Span],
}

impl<'a> Piece<'a> {
    /// Returns a piece.
    #[must_use]
    pub fn new(kind: PieceKind, rest: Rest, text: &'a [u8], spans: &'a [Span]) -> Self {
        Piece { kind, rest, text, spans }
    }

    /// Returns the text of `span`.
    ///
    /// # Errors
    ///
    /// `Misbehaved` when the span does not lie in the text or the text is not UTF-8.
    pub fn statement(&self, span: &Span) -> Result<&'a str, Error> {
        self.text
            .get(span.start as usize..span.end as usize)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .ok_or_else(|| Error::new(crate::ErrorKind::Misbehaved, "a span does not lie in its piece"))
    }
}

codes! {
    /// What a piece holds.
    pub enum PieceKind {
        /// Statements.
        Sql = 1,
        /// One `COPY … FROM stdin` statement, whose data follows.
        CopyStart = 2,
        /// Data, without the line that ends it.
        CopyData = 3,
        /// The end of the data.
        CopyEnd = 4,
    }
}

codes! {
    /// Whether more pieces follow.
    pub enum Rest {
        /// At least one more piece follows.
        Follows = 0,
        /// This is the last piece of the batch.
        Last = 1,
    }
}

/// One whole, non-empty statement inside a piece, without its delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(C)]
pub struct Span {
    /// Its first byte in the piece.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
    /// Whether the mark of a stepwise batch follows it: the code of a [`Marking`].
    pub marking: u32,
}

impl Span {
    /// Returns a span.
    #[must_use]
    pub fn new(start: u32, end: u32, marking: Marking) -> Self {
        Span { start, end, marking: marking.code() }
    }

    /// Returns whether the mark follows this statement.
    #[must_use]
    pub fn marking(&self) -> Marking {
        Marking::from_code(self.marking).unwrap_or(Marking::Marked)
    }
}

codes! {
    /// Whether the progress mark follows a statement.
    pub enum Marking {
        /// The mark follows.
        Marked = 0,
        /// No mark: it would disturb the script (under LOCK TABLES, before ROW_COUNT()).
        Unmarked = 1,
        /// The mark follows in the same transaction: both are in the database or neither, whenever the runner dies. Only
        /// of statements that the lexer calls [`Class::Transactional`](crate::Class::Transactional). Neighbours may share
        /// one transaction and the mark of the last of them.
        Joined = 2,
    }
}

/// Hears how the work goes. A second object, so that it can be called while a piece is held.
pub trait Events {
    /// Says how far batch `batch` has come: statements completed and bytes sent. As often as it suits, and never less than
    /// before.
    fn progress(&mut self, batch: u32, statements: u64, bytes: u64);

    /// Passes on what the server said without being asked.
    fn notice(&mut self, batch: u32, notice: Notice);

    /// Reports the outcome of a batch: once for every batch handed out, in batch order.
    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>);
}

/// A message of the server that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Notice {
    /// `NOTICE`, `WARNING`, … as the server says it.
    pub severity: String,
    /// The five-character SQLSTATE.
    pub sqlstate: Option<String>,
    /// The message.
    pub message: String,
}

impl Notice {
    /// Returns a notice.
    #[must_use]
    pub fn new(severity: impl Into<String>, sqlstate: Option<String>, message: impl Into<String>) -> Self {
        Notice { severity: severity.into(), sqlstate, message: message.into() }
    }
}

/// A batch that is complete, commit included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Done {
    /// How many statements of the script ran.
    pub statements: u64,
}

impl Done {
    /// Returns the outcome of a batch whose `statements` all ran.
    #[must_use]
    pub fn new(statements: u64) -> Self {
        Done { statements }
    }
}

/// A batch that is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Failure {
    /// How far it came.
    pub phase: Phase,
    /// Why it ended. Its position is counted from the first byte of the statement that failed.
    pub error: Error,
    /// How many statements of the script completed.
    pub completed: u64,
    /// How many of those stay in the database.
    pub committed: u64,
    /// What the transaction is now.
    pub state: State,
}

impl Failure {
    /// Returns the failure of a batch that left nothing behind.
    #[must_use]
    pub fn rolled_back(phase: Phase, error: Error, completed: u64) -> Self {
        Failure { phase, error, completed, committed: 0, state: State::RolledBack }
    }

    /// Returns a failure with everything said.
    #[must_use]
    pub fn new(phase: Phase, error: Error, completed: u64, committed: u64, state: State) -> Self {
        Failure { phase, error, completed, committed, state }
    }
}

/// How far a failed batch came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Phase {
    /// A text of `outside`, `opening` or `preparation` failed.
    Opening,
    /// Statement `i` of the script failed, counted from 0.
    Statement(u64),
    /// A text of `closing` failed, or did not settle.
    Closing,
    /// The commit failed.
    Commit,
    /// Nothing of it ran, because an earlier batch failed.
    NotReached,
}

codes! {
    /// What became of a failed batch's work.
    pub enum State {
        /// Nothing of it is in the database.
        RolledBack = 1,
        /// Its transaction is still open and could not be ended.
        Open = 2,
        /// What is counted as committed is in the database, the rest is not.
        Committed = 3,
        /// The session was lost while the outcome was on its way: all of it or nothing.
        InDoubt = 4,
        /// Nothing certain can be said.
        Unknown = 5,
    }
}
