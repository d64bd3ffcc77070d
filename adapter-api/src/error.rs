//! Errors as data.
//!
//! An adapter says what happened in terms that the host can decide on ([`ErrorKind`]) and passes on every fact that
//! the server gave. The host adds the file, the line and the state, and writes the message for people.
//!
//! An error never holds a secret: an adapter leaves out what a driver quotes of the url.

use crate::codes::codes;

/// What went wrong, with the facts the engine gave.
///
/// Never holds a secret: an adapter leaves out what a driver quotes of the url. File, line and state are the host's to add.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[error("{message}")]
#[non_exhaustive]
pub struct Error {
    /// The situation, for programs.
    pub kind: ErrorKind,
    /// What happened, for people: the server's own words where there are any.
    pub message: String,
    /// The five-character SQLSTATE.
    pub sqlstate: Option<String>,
    /// The engine's own number: MySQL 1062, SQLite 2067.
    pub native: Option<i64>,
    /// More from the server.
    pub detail: Option<String>,
    /// The server's own advice.
    pub hint: Option<String>,
    /// The schema concerned, where the server names it.
    pub schema: Option<String>,
    /// The table concerned.
    pub table: Option<String>,
    /// The constraint concerned.
    pub constraint: Option<String>,
    /// Where in what was run, in bytes from its first one, counted from 0: in the script of
    /// [`execute_raw`](crate::Connection::execute_raw), in the statement of a batch. `None` where the engine does not say,
    /// or where it points into something else, such as the body of a trigger.
    pub position: Option<u64>,
    /// Whether the same work may well succeed when it is tried again as a whole. For applications; the host goes by the
    /// kind.
    pub retry: Retry,
    /// Whether the connection can still be used.
    pub session: Session,
}

impl Error {
    /// Returns an error with a kind and a message and no further facts.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            sqlstate: None,
            native: None,
            detail: None,
            hint: None,
            schema: None,
            table: None,
            constraint: None,
            position: None,
            retry: Retry::Useless,
            session: Session::Usable,
        }
    }

    /// Returns the answer to a call for an ability that the adapter does not have.
    #[must_use]
    pub fn unsupported(what: &str) -> Self {
        Error::new(ErrorKind::Unsupported, format!("this adapter does not support {what}"))
    }

    /// Returns the error of a connection that is gone.
    #[must_use]
    pub fn lost(message: impl Into<String>) -> Self {
        Error {
            retry: Retry::Sensible,
            session: Session::Lost,
            ..Error::new(ErrorKind::ConnectionLost, message)
        }
    }

    /// Returns the error that a transaction answers with after its body gave up and everything was rolled back.
    #[must_use]
    pub fn body_failed() -> Self {
        Error::new(ErrorKind::BodyFailed, "the body of the transaction gave up")
    }

    /// Replaces the hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Error { hint: Some(hint.into()), ..self }
    }
}

codes! {
    /// The situation an [`Error`] describes.
    ///
    /// - While connecting: `InvalidUrl`, `Unreachable`, `NotReady`, `InUse`, `Authentication`, `Tls`, `DatabaseMissing`.
    /// - Of a statement: `Syntax`, `TableMissing`, `ColumnMissing`, `Constraint`, `Permission`, `ReadOnly`, `TooLarge`,
    ///   `DiskFull`; and `LockTimeout`, `StatementTimeout`, `Cancelled`, `Deadlock`, `Serialization`, after which it may
    ///   succeed another time.
    /// - Of a session, at any time: `ConnectionLost`, by [`Error::lost`].
    /// - Of a batch: `FenceTaken`, `TransactionEnded`, `NotReached`, `Stopped`.
    /// - Of an ability that is not declared: `Unsupported`, by [`Error::unsupported`].
    /// - Of a transaction whose body gave up: `BodyFailed`, by [`Error::body_failed`].
    /// - `Misbehaved` where the other side, host or server, says what it may not.
    /// - `Panicked` and `Crashed` are said about an adapter, never by one.
    ///
    /// The host decides by `FenceTaken`, `TableMissing`, `TransactionEnded`, `NotReached`, `Stopped`, `Unsupported`, by those
    /// of connecting, and by `Deadlock` and `Serialization` with [`State::RolledBack`](crate::State::RolledBack). A wrong one
    /// among these is a wrong decision; among the rest it is a worse message. In doubt: `Other`.
    pub enum ErrorKind {
        /// The adapter does not have this ability, as its capabilities say. Nothing was done.
        Unsupported = 1,
        /// The url cannot be understood.
        InvalidUrl = 2,
        /// The server could not be reached: refused, no such host, no answer in time. The host tries again, if it may.
        Unreachable = 3,
        /// The server is there and does not take connections yet: starting, too many clients. The host tries again, if it
        /// may.
        NotReady = 4,
        /// User, password or host rule refused.
        Authentication = 5,
        /// No agreement on TLS, or the certificate is not trusted.
        Tls = 6,
        /// The database named in the url does not exist.
        DatabaseMissing = 7,
        /// A table named in a query does not exist. This is how the host knows that there is no history yet: no other
        /// failure may look like it.
        TableMissing = 8,
        /// Another runner took the position in the history: re-read it and plan again. In phase
        /// [`Opening`](crate::Phase::Opening), for every face that a lost race has on the engine; and of a stepwise batch
        /// whose row another has settled.
        FenceTaken = 9,
        /// The statement cannot be parsed.
        Syntax = 10,
        /// A constraint was violated.
        Constraint = 11,
        /// The role may not do this.
        Permission = 12,
        /// The server, database, file or transaction takes no writes.
        ReadOnly = 13,
        /// A lock was not granted in time.
        LockTimeout = 14,
        /// The statement ran longer than its limit.
        StatementTimeout = 15,
        /// The statement was cancelled.
        Cancelled = 16,
        /// The server broke a deadlock at our expense. Rolled back, the host runs the batch again.
        Deadlock = 17,
        /// The transaction could not be serialized, found out at a statement or at the commit. Rolled back, the host runs
        /// the batch again.
        Serialization = 18,
        /// The transaction ended before we ended it: the script held a COMMIT or ROLLBACK of its own.
        TransactionEnded = 19,
        /// An earlier batch failed, so the server refused this one unseen.
        NotReached = 20,
        /// The connection is gone.
        ConnectionLost = 21,
        /// The message is larger than the server takes.
        TooLarge = 22,
        /// The disk is full.
        DiskFull = 23,
        /// The body of a transaction gave up; everything was rolled back.
        BodyFailed = 24,
        /// The host asked to stop; the batch was rolled back.
        Stopped = 25,
        /// The adapter panicked. Its connection is not used again.
        Panicked = 26,
        /// The adapter answered something that the contract does not allow.
        Misbehaved = 27,
        /// None of the others: the message and the engine's codes say it.
        Other = 28,
        /// A column named in a query does not exist.
        ColumnMissing = 29,
        /// Another process has the database to itself. It may be another runner: the host waits for it as for one.
        InUse = 30,
        /// The process that the adapter ran in has ended. Said by a host that gives an adapter a process of its own.
        Crashed = 31,
    }
}

codes! {
    /// Whether trying again as a whole is sensible.
    pub enum Retry {
        /// The same work would fail again.
        Useless = 0,
        /// The cause is likely to pass: deadlock, serialization, a lost connection.
        Sensible = 1,
    }
}

codes! {
    /// Whether the connection survived the error.
    pub enum Session {
        /// It can still be used.
        Usable = 0,
        /// It is gone.
        Lost = 1,
    }
}
