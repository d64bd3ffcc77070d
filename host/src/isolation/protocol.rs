//! What the two processes say to each other.
//!
//! Three kinds of sockets: one for the process, where it is told what to do as an adapter; and for each session one for its
//! calls, one for the dialects that it has made, and one for requests to cancel. On each of them one side speaks at a time:
//! a call is answered, and until then the answering side may call back.
//!
//! Text and numbers only. What they mean is the contract's, in the words of
//! [`whimbrel_adapter_api`](whimbrel_adapter_api).

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use whimbrel_adapter_api::{
    Access, ConnectOptions, Done, EncodedText, Error, Facts, Failure, Head, Lexer, Next, Notice, Piece,
    PieceKind, Rest, RowSet, Secret, Span, TableName, TransactionOptions, Value,
};

/// What the process says first. Only the same program speaks the same protocol.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the process is asked to do. A session has sockets of its own, which follow.
#[derive(Serialize, Deserialize)]
pub(super) enum Errand {
    CheckUrl(String),
    Quirks,
    Connect(Options),
}

/// [`ConnectOptions`], with the secrets in the open: they go to the process that needs them, and nowhere else.
#[derive(Serialize, Deserialize)]
pub(super) struct Options {
    url: String,
    application: String,
    access: Access,
    password: Option<String>,
    password_file: Option<String>,
    lock_limit: Option<Duration>,
}

impl From<&ConnectOptions> for Options {
    fn from(options: &ConnectOptions) -> Self {
        let reveal = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.reveal().to_owned());
        Options {
            url: options.url.reveal().to_owned(),
            application: options.application.clone(),
            access: options.access,
            password: reveal(&options.password),
            password_file: reveal(&options.password_file),
            lock_limit: options.lock_limit,
        }
    }
}

impl From<Options> for ConnectOptions {
    fn from(sent: Options) -> Self {
        let mut options = ConnectOptions::new(Secret::new(sent.url));
        options.application = sent.application;
        options.access = sent.access;
        options.password = sent.password.map(Secret::new);
        options.password_file = sent.password_file.map(Secret::new);
        options.lock_limit = sent.lock_limit;
        options
    }
}

/// A call of a session's method. The answer is what the method returns.
#[derive(Serialize, Deserialize)]
pub(super) enum Call<'a> {
    ExecuteRaw(Cow<'a, str>),
    Query(Cow<'a, str>, Vec<Value<'a>>),
    Read(Vec<Cow<'a, str>>),
    TableExists(TableName),
    Transaction(TransactionOptions),
    /// The body of the innermost transaction has ended well.
    BodyDone,
    /// It has failed.
    BodyFailed,
    Run,
    Alive(Cow<'a, str>),
    /// Answered with the number of the dialect.
    Dialect(RowSet),
    Ping,
    Close,
}

/// A dialect as it was made.
#[derive(Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) number: u32,
    pub(super) lexer: Lexer,
    pub(super) facts: Facts,
}

/// A question to a dialect, by its number.
#[derive(Serialize, Deserialize)]
pub(super) enum Question<'a> {
    Quote(u32, Cow<'a, str>),
    Literal(u32, Value<'a>),
    Text(u32, EncodedText<'a>),
    /// It is not asked any more. Answered all the same.
    Forget(u32),
}

/// What comes back while a call is under way.
#[derive(Serialize, Deserialize)]
pub(super) enum Word<'a, T> {
    /// The call has ended.
    Answer(T),
    /// A result set begins.
    Columns(u32, Vec<Cow<'a, str>>),
    /// Rows of a result set. To be answered with [`Wanted`](whimbrel_adapter_api::Wanted).
    Rows(u32, Vec<Vec<Value<'a>>>),
    /// The body of a transaction has its turn: calls may come, then one that says how it ended.
    Body,
    /// To be answered with [`NextBatch`].
    NextBatch,
    /// To be answered with [`NextPiece`].
    NextPiece,
    Progress {
        batch: u32,
        statements: u64,
        bytes: u64,
    },
    Notice(u32, Notice),
    Finished(u32, Result<Done, Failure>),
}

/// The answer to a pull of the next batch.
#[derive(Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "one per migration, and taken apart at once")]
pub(super) enum NextBatch {
    Batch(Head),
    Later,
    End,
    Stop,
}

impl NextBatch {
    pub(super) fn of(next: Option<Next>) -> Self {
        match next {
            Some(Next::Batch(head)) => NextBatch::Batch(head),
            Some(Next::Later) => NextBatch::Later,
            Some(Next::End) => NextBatch::End,
            // What this program does not know it does not run.
            Some(_) | None => NextBatch::Stop,
        }
    }
}

/// The answer to a pull of the next piece.
#[derive(Serialize, Deserialize)]
pub(super) enum NextPiece<'a> {
    Piece { kind: PieceKind, rest: Rest, text: Cow<'a, [u8]>, spans: Vec<Span> },
    End,
    Stop,
}

impl<'a> NextPiece<'a> {
    pub(super) fn of(piece: &Piece<'a>) -> Self {
        NextPiece::Piece {
            kind: piece.kind,
            rest: piece.rest,
            text: Cow::Borrowed(piece.text),
            spans: piece.spans.to_vec(),
        }
    }
}

/// What a fallible call returns.
pub(super) type Answer<T> = Result<T, Error>;
