//! Values as ClickHouse writes them in its tab-separated form: with the types before them, and no byte lost.

use std::borrow::Cow;

use memchr::memchr;
use whimbrel_adapter_api::{Value, ValueKind};

/// The rows of an answer.
pub(crate) struct Table<'a> {
    pub(crate) names: Vec<String>,
    types: Vec<String>,
    rest: &'a [u8],
}

impl<'a> Table<'a> {
    /// Reads the first two lines. `None`: there are no rows, and no columns either.
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let mut rest = body;
        let mut texts = || {
            let line = line(&mut rest)?;
            Some(fields(line).map(|field| text_of(unescaped(field))).collect::<Vec<String>>())
        };
        let (names, types) = (texts()?, texts()?);
        Some(Table { names, types, rest })
    }

    /// Returns the next row.
    pub(crate) fn row(&mut self) -> Option<Vec<Value<'static>>> {
        let line = line(&mut self.rest)?;
        Some(fields(line).zip(&self.types).map(|(field, kind)| cell(field, kind)).collect())
    }
}

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr(b'\n', rest)?;
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    Some(line)
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b'\t')
}

fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut field = field.iter().copied();
    while let Some(byte) = field.next() {
        bytes.push(match byte {
            b'\\' => match field.next() {
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'r') => b'\r',
                Some(b'0') => 0,
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(other) => other,
                None => b'\\',
            },
            byte => byte,
        });
    }
    bytes
}

fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn cell(field: &[u8], kind: &str) -> Value<'static> {
    let kind = plain(kind);
    if field == b"\\N" {
        return Value::Null;
    }
    match kind.strip_prefix("Array(").and_then(|items| items.strip_suffix(')')) {
        Some(items) => array(&text_of(unescaped(field)), items),
        None => scalar(unescaped(field), kind),
    }
}

/// Returns a type without what says no more than that it may be NULL, or how it is stored.
fn plain(kind: &str) -> &str {
    let inside = |name| kind.strip_prefix(name).and_then(|rest: &str| rest.strip_suffix(')'));
    match inside("Nullable(").or_else(|| inside("LowCardinality(")) {
        Some(inner) => plain(inner),
        None => kind,
    }
}

fn scalar(bytes: Vec<u8>, kind: &str) -> Value<'static> {
    let name = kind.split('(').next().unwrap_or(kind);
    let typed = |kind, bytes| Value::Typed(kind, Cow::Owned(text_of(bytes)));
    match name {
        "String" | "FixedString" => match String::from_utf8(bytes) {
            Ok(text) => Value::Text(Cow::Owned(text)),
            Err(error) => Value::Bytes(Cow::Owned(error.into_bytes())),
        },
        "Bool" => Value::Bool(bytes == b"true"),
        "Int8" | "Int16" | "Int32" | "Int64" | "UInt8" | "UInt16" | "UInt32" | "UInt64" => whole(bytes),
        "Float32" | "Float64" | "BFloat16" => match text_of(bytes).parse() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::Float(f64::NAN),
        },
        "Decimal" | "Int128" | "Int256" | "UInt128" | "UInt256" => typed(ValueKind::Decimal, bytes),
        "Date" | "Date32" => typed(ValueKind::Date, bytes),
        "DateTime" | "DateTime64" => typed(ValueKind::Timestamp, bytes),
        "Time" | "Time64" => typed(ValueKind::Time, bytes),
        "UUID" => typed(ValueKind::Uuid, bytes),
        "JSON" | "Object" => typed(ValueKind::Json, bytes),
        _ => typed(ValueKind::Other, bytes),
    }
}

fn whole(bytes: Vec<u8>) -> Value<'static> {
    let text = text_of(bytes);
    let unsigned = || text.parse().map(Value::UInt);
    text.parse()
        .map(Value::Int)
        .or_else(|_| unsigned())
        .unwrap_or_else(|_| Value::Text(Cow::Owned(text.clone())))
}

/// Reads `['a\'b',NULL,[1]]`.
fn array(text: &str, items: &str) -> Value<'static> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
    let item = |item: &str| {
        let kind = plain(items);
        match (item, kind.strip_prefix("Array(").and_then(|kind| kind.strip_suffix(')'))) {
            ("NULL", _) => Value::Null,
            (nested, Some(items)) => array(nested, items),
            (item, None) => {
                let unquoted = item.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                let bytes =
                    unquoted.map_or_else(|| item.as_bytes().to_vec(), |text| unescaped(text.as_bytes()));
                scalar(bytes, kind)
            }
        }
    };
    Value::Array(separated(inner).map(item).collect())
}

/// Splits at the commas that stand neither in a string nor in an inner array.
fn separated(text: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut quoted, mut escaped) = (0_i32, false, false);
    let pieces = text.split(move |letter: char| {
        let is_comma = letter == ',' && depth == 0 && !quoted;
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '\'' => quoted = !quoted,
            '[' | '(' if !quoted => depth += 1,
            ']' | ')' if !quoted => depth -= 1,
            _ => {}
        }
        is_comma
    });
    pieces.filter(|piece| !piece.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_by_their_types() {
        let typed = |kind, text: &'static str| Value::Typed(kind, text.into());
        for (field, kind, expected) in [
            ("\\N", "Nullable(Int8)", Value::Null),
            ("-12.50", "Nullable(Decimal(9, 2))", typed(ValueKind::Decimal, "-12.50")),
            ("18446744073709551615", "UInt64", Value::UInt(u64::MAX)),
            ("a\\tb\\\\", "LowCardinality(Nullable(String))", Value::text("a\tb\\")),
            ("true", "Bool", Value::Bool(true)),
            ("inf", "Float64", Value::Float(f64::INFINITY)),
            ("2026-01-31 13:05:00", "DateTime('UTC')", typed(ValueKind::Timestamp, "2026-01-31 13:05:00")),
            (
                "['a\\\\'b,',NULL]",
                "Array(Nullable(String))",
                Value::Array(vec![Value::text("a'b,"), Value::Null]),
            ),
            (
                "[[1,2],[]]",
                "Array(Array(UInt8))",
                Value::Array(vec![Value::Array(vec![Value::Int(1), Value::Int(2)]), Value::Array(vec![])]),
            ),
        ] {
            assert_eq!(cell(field.as_bytes(), kind), expected, "{field} {kind}");
        }
    }
}
