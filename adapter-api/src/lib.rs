//! The contract between Whimbrel and its database adapters.
//!
//! An author implements [`Adapter`], [`Connection`], [`Dialect`] and [`Canceller`] in ordinary Rust and writes
//! [`export_adapter!`]. The host meets the same traits, whether the adapter is linked in or loaded from a library.
//!
//! # The order of calls
//!
//! 1. The [`note`] is read from the library, which [`Plugin`] has written; nothing of the adapter runs. Only an adapter
//!    that is to be used is loaded.
//! 2. [`Adapter::info`], then [`Adapter::check_url`]. No network yet.
//! 3. [`Adapter::connect`], once for each session. What follows is one session; others may be at work beside it.
//! 4. [`Connection::dialect`] with an empty set. This dialect is asked for the texts of the first turn alone:
//!    [`Text::Facts`], [`Text::FactsOfPending`], [`Text::History`] and [`Text::BriefHistory`].
//! 5. [`Connection::read`] with these texts. The history need not be there.
//! 6. `dialect` with the row that `Facts` gave. What this dialect says holds from now on. It is asked for anew where more
//!    facts are read later (`FactsOfPending`).
//! 7. [`Connection::run`] and `read`, any number of times and in any order. [`alive`](Connection::alive) where the history
//!    has a row that somebody else has started; [`transaction`](Connection::transaction) and
//!    [`execute_raw`](Connection::execute_raw) around a look at the catalogue ([`Text::Traces`]). Inside `run`: [`Work`].
//! 8. [`Connection::close`], or the connection is dropped.
//!
//! [`Canceller::cancel`] may come at any time after 3, from any thread, also after 8. `query`, `table_exists` and `ping` are
//! there for applications, which use a connection for its own sake, and must be complete.
//!
//! After an error whose session is [`Session::Lost`] only step 8 comes. A panic becomes such an error, of kind
//! [`ErrorKind::Panicked`].
//!
//! What every method keeps to: it has an end of its own, it prints nothing, and its errors hold no secret
//! ([`ErrorKind`] says which situation is which).
//!
//! Nothing here knows a database, a file or a terminal.

mod abi;
mod adapter;
mod codes;
mod connection;
mod dialect;
mod error;
pub mod loading {
    //! Turns a loaded library into an [`Adapter`](crate::Adapter).

    pub use crate::abi::{LoadError, adapter_from_symbol};
}
pub mod note;
mod quirks;
pub mod subject;
pub mod texts;
mod value;
pub mod walk;
mod work;

pub use abi::EncodedText;
#[doc(hidden)]
pub use abi::private as __private;
pub use adapter::{
    Adapter, Canceller, Capability, ConnectOptions, Fence, Identity, Info, Opened, PasswordFile, Passwords,
    Plugin,
};
pub use connection::{
    Access, BodyFailed, Connection, Isolation, Liveness, ReadError, RowSet, RowSink, Rows, TableName,
    TransactionBody, TransactionOptions, Wanted,
};
pub use dialect::{
    BRIEF_DIGITS, Class, Count, Dialect, Facts, Feature, HISTORY_COLUMNS, Lexer, Limits, NewRow, Pattern,
    RowDirection, RowState, Text,
};
pub use error::{Error, ErrorKind, Retry, Session};
pub use quirks::{Comes, Pointing, Quirks, Sample, Sharing, ValueQuirk};
pub use value::{Secret, Value, ValueKind};
pub use work::{
    Commit, Done, Events, Failure, Head, Marking, Mode, Next, Notice, Phase, Piece, PieceKind, Rest, Span,
    State, Stop, Work,
};
