//! The driver's values and the contract's.
//!
//! The text protocol sends everything as text and the binary protocol does not; the type of the column decides here
//! what a cell is, so that a query gives the same with parameters and without.

use mysql::Column;
use mysql::consts::{ColumnFlags, ColumnType};
use whimbrel_adapter_api::{Error, Value, ValueKind};

/// The number of the character set that stands for bytes.
const BINARY: u16 = 63;

/// Returns the driver's form of a parameter.
pub(crate) fn parameter(value: &Value<'_>) -> Result<mysql::Value, Error> {
    Ok(match value {
        Value::Null => mysql::Value::NULL,
        Value::Bool(truth) => mysql::Value::Int(i64::from(*truth)),
        Value::Int(number) => mysql::Value::Int(*number),
        Value::UInt(number) => mysql::Value::UInt(*number),
        Value::Float(number) => mysql::Value::Double(*number),
        Value::Text(text) | Value::Typed(_, text) => mysql::Value::Bytes(text.as_bytes().to_vec()),
        Value::Bytes(bytes) => mysql::Value::Bytes(bytes.to_vec()),
        Value::Array(_) => return Err(Error::unsupported("arrays")),
        _ => return Err(Error::unsupported("this kind of parameter")),
    })
}

/// Returns the contract's form of a cell.
pub(crate) fn cell(value: mysql::Value, column: &Column) -> Value<'static> {
    match value {
        mysql::Value::NULL => Value::Null,
        mysql::Value::Bytes(bytes) => from_bytes(bytes, column),
        mysql::Value::Int(number) => Value::Int(number),
        mysql::Value::UInt(number) => whole(number),
        // By way of its shortest text: 0.1 stays 0.1, as in the text protocol.
        mysql::Value::Float(number) => Value::Float(number.to_string().parse().unwrap_or(f64::from(number))),
        mysql::Value::Double(number) => Value::Float(number),
        mysql::Value::Date(year, month, day, hour, minute, second, micros) => {
            let date = format!("{year:04}-{month:02}-{day:02}");
            match column.column_type() {
                ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE => typed(ValueKind::Date, date),
                _ => {
                    let fraction = fraction(micros, column);
                    let text = format!("{date} {hour:02}:{minute:02}:{second:02}{fraction}");
                    typed(ValueKind::Timestamp, text)
                }
            }
        }
        mysql::Value::Time(negative, days, hours, minutes, seconds, micros) => {
            let sign = if negative { "-" } else { "" };
            let hours = days * 24 + u32::from(hours);
            let fraction = fraction(micros, column);
            typed(ValueKind::Time, format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}"))
        }
    }
}

fn from_bytes(bytes: Vec<u8>, column: &Column) -> Value<'static> {
    use ColumnType as Type;
    match column.column_type() {
        Type::MYSQL_TYPE_TINY
        | Type::MYSQL_TYPE_SHORT
        | Type::MYSQL_TYPE_INT24
        | Type::MYSQL_TYPE_LONG
        | Type::MYSQL_TYPE_LONGLONG
        | Type::MYSQL_TYPE_YEAR => {
            number(bytes, |text| text.parse().map(Value::Int).or_else(|_| text.parse().map(whole)).ok())
        }
        Type::MYSQL_TYPE_FLOAT | Type::MYSQL_TYPE_DOUBLE => {
            number(bytes, |text| text.parse().map(Value::Float).ok())
        }
        // At most 64 bits, most significant byte first.
        Type::MYSQL_TYPE_BIT if bytes.len() <= 8 => {
            whole(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        }
        Type::MYSQL_TYPE_DECIMAL | Type::MYSQL_TYPE_NEWDECIMAL => text(bytes, Some(ValueKind::Decimal)),
        Type::MYSQL_TYPE_DATE | Type::MYSQL_TYPE_NEWDATE => text(bytes, Some(ValueKind::Date)),
        Type::MYSQL_TYPE_TIME | Type::MYSQL_TYPE_TIME2 => text(bytes, Some(ValueKind::Time)),
        Type::MYSQL_TYPE_DATETIME
        | Type::MYSQL_TYPE_DATETIME2
        | Type::MYSQL_TYPE_TIMESTAMP
        | Type::MYSQL_TYPE_TIMESTAMP2 => text(bytes, Some(ValueKind::Timestamp)),
        Type::MYSQL_TYPE_JSON => text(bytes, Some(ValueKind::Json)),
        // On the wire these are strings with a flag.
        _ if column.flags().intersects(ColumnFlags::ENUM_FLAG | ColumnFlags::SET_FLAG) => {
            text(bytes, Some(ValueKind::Other))
        }
        _ if column.character_set() == BINARY => Value::Bytes(bytes.into()),
        _ => text(bytes, None),
    }
}

fn whole(number: u64) -> Value<'static> {
    i64::try_from(number).map_or(Value::UInt(number), Value::Int)
}

fn number(bytes: Vec<u8>, parse: impl Fn(&str) -> Option<Value<'static>>) -> Value<'static> {
    let number = std::str::from_utf8(&bytes).ok().and_then(parse);
    number.unwrap_or_else(|| text(bytes, None))
}

/// The session is utf8mb4, so this is text; what is not keeps its bytes rather than be mended.
fn text(bytes: Vec<u8>, kind: Option<ValueKind>) -> Value<'static> {
    match (String::from_utf8(bytes), kind) {
        (Ok(text), Some(kind)) => typed(kind, text),
        (Ok(text), None) => Value::Text(text.into()),
        (Err(error), _) => Value::Bytes(error.into_bytes().into()),
    }
}

fn typed(kind: ValueKind, text: String) -> Value<'static> {
    Value::Typed(kind, text.into())
}

/// Returns the fraction of a second with as many digits as the column has, as the text protocol writes it.
fn fraction(micros: u32, column: &Column) -> String {
    match usize::from(column.decimals()) {
        0 => String::new(),
        digits @ 1..=6 => format!(".{micros:06}")[..=digits].to_owned(),
        // Not declared: an expression.
        _ if micros == 0 => String::new(),
        _ => format!(".{micros:06}"),
    }
}
