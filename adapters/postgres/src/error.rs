//! Errors of the driver and the server as errors of the contract.
//!
//! The server's own words and codes are passed on; [`ErrorKind`] is chosen by SQLSTATE, and by the wording only where
//! a pooler gives every failure the same code. Knows nothing of batches: which failure means a lost fence is decided
//! in [`run`](crate::run).
//!
//! Never quotes a url or a parameter's value.

use std::error::Error as _;

use postgres::error::{DbError, ErrorPosition, Severity};
use whimbrel_adapter_api::{Error, ErrorKind, Notice, Retry, Session};

use crate::tls;

/// Returns the error of something that was sent over an open session.
pub(crate) fn of_session(error: &postgres::Error) -> Error {
    match error.as_db_error() {
        Some(answer) => of_server(answer),
        None if is_local(error) => Error::new(ErrorKind::Other, said(error)),
        None => Error::lost(said(error)),
    }
}

/// Returns the error of `text`, with the position in its bytes.
pub(crate) fn of_text(error: &postgres::Error, text: &str) -> Error {
    let position = character(error).and_then(|character| byte_of(text, character));
    at(of_session(error), position.map(|byte| byte as u64))
}

/// Returns the error with this position.
pub(crate) fn at(mut error: Error, position: Option<u64>) -> Error {
    error.position = position;
    error
}

/// Returns the error as one of this kind.
pub(crate) fn of_kind(mut error: Error, kind: ErrorKind) -> Error {
    error.kind = kind;
    error
}

/// Returns the error of an attempt to open a session.
pub(crate) fn of_connecting(error: &postgres::Error) -> Error {
    if let Some(answer) = error.as_db_error() {
        return of_refusal(answer);
    }
    let source = error.source();
    let cause = source.map(ToString::to_string).unwrap_or_default();
    // The driver keeps its kinds to itself, so its fixed wording has to do.
    match error.to_string().as_str() {
        "error performing TLS handshake" => {
            let error = Error::new(ErrorKind::Tls, cause);
            match source.and_then(tls::hint) {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        }
        "authentication error" => Error::new(ErrorKind::Authentication, cause),
        "invalid configuration" if cause == "password missing" => {
            Error::new(ErrorKind::Authentication, "the server asks for a password and the url has none")
        }
        "invalid configuration" => Error::new(ErrorKind::InvalidUrl, cause),
        "error connecting to server" => unreachable(cause),
        _ => unreachable(said(error)),
    }
}

/// Returns the error of a server that cannot be reached.
pub(crate) fn unreachable(message: impl Into<String>) -> Error {
    of_kind(Error::lost(message), ErrorKind::Unreachable)
}

/// Returns a notice of the server.
pub(crate) fn notice(notice: &DbError) -> Notice {
    Notice::new(notice.severity(), Some(notice.code().code().to_owned()), notice.message())
}

/// Returns the position that the server gave: the number of a character of the whole message, from 1.
pub(crate) fn character(error: &postgres::Error) -> Option<usize> {
    match error.as_db_error()?.position()? {
        ErrorPosition::Original(character) => Some(*character as usize),
        // A position in a statement that a function composed says nothing about the script.
        ErrorPosition::Internal { .. } => None,
    }
}

/// Returns the byte of `text` at which its `character`, counted from 1, begins.
pub(crate) fn byte_of(text: &str, character: usize) -> Option<usize> {
    let index = character.checked_sub(1)?;
    let ends = std::iter::once(text.len());
    text.char_indices().map(|(byte, _)| byte).chain(ends).nth(index)
}

/// Returns the server's error with every fact but the position.
fn of_server(answer: &DbError) -> Error {
    let sqlstate = answer.code().code();
    let fatal = matches!(answer.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    let kind = if fatal { ErrorKind::ConnectionLost } else { kind(sqlstate, answer.message()) };
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let mut error = Error::new(kind, answer.message());
    error.sqlstate = Some(sqlstate.to_owned());
    error.detail = detail(answer);
    error.hint = owned(answer.hint());
    error.schema = owned(answer.schema());
    error.table = owned(answer.table());
    error.constraint = owned(answer.constraint());
    if fatal || passes(sqlstate) {
        error.retry = Retry::Sensible;
    }
    if fatal {
        error.session = Session::Lost;
    }
    error
}

/// Returns the error of a server or pooler that turned a new session down.
fn of_refusal(answer: &DbError) -> Error {
    let message = answer.message();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let kind = match answer.code().code() {
        "57P03" | "53300" | "53400" => ErrorKind::NotReady,
        "3D000" => ErrorKind::DatabaseMissing,
        code if code.starts_with("28") => ErrorKind::Authentication,
        // Poolers have one code for everything.
        "08P01" | "XX000"
            if says(&["no such database"]) || says(&["database \""]) && says(&["does not exist"]) =>
        {
            ErrorKind::DatabaseMissing
        }
        "08P01" | "XX000" if says(&["no such user", "authentication", "password", "Tenant or user"]) => {
            ErrorKind::Authentication
        }
        "08P01" | "08006" | "08003" | "08004" | "58000" => ErrorKind::NotReady,
        code => kind(code, message),
    };
    let mut error = of_kind(of_server(answer), kind);
    error.retry = if kind == ErrorKind::NotReady { Retry::Sensible } else { Retry::Useless };
    error.session = Session::Lost;
    error
}

fn kind(sqlstate: &str, message: &str) -> ErrorKind {
    match sqlstate {
        "42P01" => ErrorKind::TableMissing,
        "42703" => ErrorKind::ColumnMissing,
        "42601" => ErrorKind::Syntax,
        "42501" => ErrorKind::Permission,
        "25006" => ErrorKind::ReadOnly,
        "55P03" => ErrorKind::LockTimeout,
        // One code for both; the wording is all there is to tell them apart.
        "57014" if message.contains("timeout") => ErrorKind::StatementTimeout,
        "57014" => ErrorKind::Cancelled,
        "40P01" => ErrorKind::Deadlock,
        "40001" => ErrorKind::Serialization,
        "53100" => ErrorKind::DiskFull,
        "3D000" => ErrorKind::DatabaseMissing,
        "54000" => ErrorKind::TooLarge,
        code if code.starts_with("23") => ErrorKind::Constraint,
        code if code.starts_with("28") => ErrorKind::Authentication,
        _ => ErrorKind::Other,
    }
}

/// Returns whether the cause of this SQLSTATE is likely to be gone when the same work is tried again.
fn passes(sqlstate: &str) -> bool {
    let passing = ["40001", "40P01", "55P03", "55006", "53300", "57P01", "57P02", "57P03", "57P05"];
    passing.contains(&sqlstate) || sqlstate.starts_with("08")
}

/// Returns the detail, followed by the lines that say in which function the error arose.
fn detail(answer: &DbError) -> Option<String> {
    let lines: Vec<&str> = [answer.detail(), answer.where_()].into_iter().flatten().collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Returns whether the error arose here, before anything was sent.
fn is_local(error: &postgres::Error) -> bool {
    let said = error.to_string();
    ["error serializing", "error encoding", "error deserializing", "expected "]
        .iter()
        .any(|beginning| said.starts_with(beginning))
}

fn said(error: &postgres::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_of_the_message_is_found_among_its_bytes() {
        assert_eq!(byte_of("äöü x", 1), Some(0));
        assert_eq!(byte_of("äöü x", 5), Some(7));
        assert_eq!(byte_of("äöü x", 6), Some(8), "one past the end is where a text ends too early");
        assert_eq!(byte_of("äöü x", 7), None);
        assert_eq!(byte_of("x", 0), None);
    }

    #[test]
    fn a_cancelled_statement_is_told_from_one_that_ran_too_long() {
        assert_eq!(kind("57014", "canceling statement due to user request"), ErrorKind::Cancelled);
        assert_eq!(
            kind("57014", "canceling statement due to statement timeout"),
            ErrorKind::StatementTimeout
        );
    }
}
