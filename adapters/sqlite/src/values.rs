//! Values between the contract and rusqlite.

use std::borrow::Cow;

use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef};
use whimbrel_adapter_api::{Error, ErrorKind, Value};

/// Returns a parameter for rusqlite.
pub(crate) fn parameter<'a>(value: &'a Value<'_>) -> Result<ToSqlOutput<'a>, Error> {
    Ok(match value {
        Value::Null => ToSqlOutput::Owned(Owned::Null),
        Value::Bool(truth) => ToSqlOutput::Owned(Owned::Integer(i64::from(*truth))),
        Value::Int(number) => ToSqlOutput::Owned(Owned::Integer(*number)),
        Value::UInt(number) => ToSqlOutput::Owned(Owned::Integer(i64::try_from(*number).map_err(|_| {
            Error::new(
                ErrorKind::Other,
                format!("{number} is beyond SQLite's integers, which end at {}", i64::MAX),
            )
        })?)),
        Value::Float(number) => ToSqlOutput::Owned(Owned::Real(*number)),
        Value::Text(text) | Value::Typed(_, text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        Value::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        Value::Array(_) => return Err(Error::unsupported("arrays")),
        _ => return Err(Error::unsupported("this kind of value")),
    })
}

/// Returns a cell that borrows from SQLite's row.
pub(crate) fn cell(value: ValueRef<'_>) -> Value<'_> {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Float(number),
        // SQLite does not check that text is UTF-8; what is not becomes U+FFFD, as in its own shell.
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
    }
}
