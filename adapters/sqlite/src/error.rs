//! SQLite's errors in the contract's terms.

use rusqlite::ErrorCode;
use rusqlite::ffi;
use whimbrel_adapter_api::{Error, ErrorKind, Retry};

/// Returns the error with every fact that SQLite gave.
pub(crate) fn from_driver(error: &rusqlite::Error) -> Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => from_code(code, message.as_deref()),
        rusqlite::Error::SqlInputError { error, msg, offset, .. } => {
            let mut error = from_code(error, Some(msg));
            error.position = u64::try_from(*offset).ok();
            error
        }
        other => Error::new(ErrorKind::Other, other.to_string()),
    }
}

fn from_code(code: &ffi::Error, message: Option<&str>) -> Error {
    let message = message.map_or_else(|| code.to_string(), str::to_owned);
    let mut error = Error::new(kind(code, &message), message);
    error.native = Some(i64::from(code.extended_code));
    if error.kind == ErrorKind::LockTimeout {
        error.retry = Retry::Sensible;
    }
    error
}

fn kind(code: &ffi::Error, message: &str) -> ErrorKind {
    match code.code {
        ErrorCode::ConstraintViolation => ErrorKind::Constraint,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            ErrorKind::LockTimeout
        }
        ErrorCode::ReadOnly => ErrorKind::ReadOnly,
        ErrorCode::DiskFull => ErrorKind::DiskFull,
        ErrorCode::OperationInterrupted => ErrorKind::Cancelled,
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => ErrorKind::Permission,
        ErrorCode::CannotOpen => ErrorKind::Unreachable,
        ErrorCode::TooBig => ErrorKind::TooLarge,
        // SQLite has one code for all that is wrong with a statement; only the words tell.
        _ if message.starts_with("no such table") => ErrorKind::TableMissing,
        _ if message.starts_with("no such column") => ErrorKind::ColumnMissing,
        _ if message.contains("syntax error") || message.contains("incomplete input") => ErrorKind::Syntax,
        _ => ErrorKind::Other,
    }
}
