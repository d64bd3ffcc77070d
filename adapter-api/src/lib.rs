//! The contract between Whimbrel and its database adapters.
//!
//! An author implements [`Adapter`], [`Connection`], [`Dialect`] and [`Canceller`] in ordinary Rust and writes
//! [`export_adapter!`]. The host meets the same traits, whether the adapter is linked in or loaded from a library.
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
