//! Values that go into a query and come out of it.
//!
//! One type serves both directions: parameters borrow from the caller, cells borrow from the driver's buffer, and
//! [`Value::into_owned`] keeps what should outlive the call.
//!
//! Types that Rust's standard library does not have (dates, decimals, UUIDs) travel as the text the engine writes,
//! with their kind beside it: nothing is rounded and no calendar crate becomes part of the contract.

use std::borrow::Cow;
use std::fmt;

use crate::codes::codes;

/// A parameter or a cell.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// A truth value, on engines that have one.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number above `i64::MAX` (MySQL's `BIGINT UNSIGNED`).
    UInt(u64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// A value of another type, as text in the form that the engine reads and writes.
    Typed(ValueKind, Cow<'a, str>),
    /// An array, on engines that have them. Nested for several dimensions.
    Array(Vec<Value<'a>>),
}

codes! {
    /// What a [`Value::Typed`] is.
    pub enum ValueKind {
        /// An exact number: `-12.50`.
        Decimal = 1,
        /// A day: `2026-01-31`.
        Date = 2,
        /// A time of day: `13:05:00.25`.
        Time = 3,
        /// A date and time without zone: `2026-01-31 13:05:00`.
        Timestamp = 4,
        /// A date and time with its offset: `2026-01-31 13:05:00+00`.
        TimestampTz = 5,
        /// A span of time.
        Interval = 6,
        /// A UUID in lower case with hyphens.
        Uuid = 7,
        /// A JSON document.
        Json = 8,
        /// Anything else the engine can write as text: enums, ranges, network addresses, …
        Other = 9,
    }
}

impl<'a> Value<'a> {
    /// Returns a text value that borrows `text`.
    #[must_use]
    pub fn text(text: &'a str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }

    /// Returns whether this is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Returns the text of a [`Value::Text`] or [`Value::Typed`].
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Typed(_, text) => Some(text),
            _ => None,
        }
    }

    /// Returns a whole number that fits into `i64`, also when the engine sent it as text.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            Value::UInt(number) => i64::try_from(*number).ok(),
            Value::Bool(truth) => Some(i64::from(*truth)),
            Value::Text(text) | Value::Typed(_, text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Copies what is borrowed, so that the value can outlive the call that gave it.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(truth) => Value::Bool(truth),
            Value::Int(number) => Value::Int(number),
            Value::UInt(number) => Value::UInt(number),
            Value::Float(number) => Value::Float(number),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Value::Typed(kind, text) => Value::Typed(kind, Cow::Owned(text.into_owned())),
            Value::Array(items) => Value::Array(items.into_iter().map(Value::into_owned).collect()),
        }
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::text(text)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// Text that must not be seen: a url with its password.
///
/// `Debug` shows nothing of it and there is no `Display`, so that no call site has to remember. [`Secret::reveal`] is
/// the one way in.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// Returns the text. Its only use is to hand it to a driver.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(****)")
    }
}
