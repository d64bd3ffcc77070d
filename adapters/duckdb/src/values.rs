//! The driver's values and the contract's.

use duckdb::core::LogicalTypeId;
use duckdb::types::{self, TimeUnit, ToSqlOutput, ValueRef};
use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, ToSpan};
use whimbrel_adapter_api::{Error, Value, ValueKind};

/// Returns the driver's form of a parameter.
pub(crate) fn parameter(value: &Value<'_>) -> Result<ToSqlOutput<'static>, Error> {
    Ok(ToSqlOutput::Owned(owned(value)?))
}

fn owned(value: &Value<'_>) -> Result<types::Value, Error> {
    Ok(match value {
        Value::Null => types::Value::Null,
        Value::Bool(truth) => types::Value::Boolean(*truth),
        Value::Int(number) => types::Value::BigInt(*number),
        Value::UInt(number) => types::Value::UBigInt(*number),
        Value::Float(number) => types::Value::Double(*number),
        Value::Text(text) | Value::Typed(_, text) => types::Value::Text(text.to_string()),
        Value::Bytes(bytes) => types::Value::Blob(bytes.to_vec()),
        Value::Array(items) => types::Value::List(items.iter().map(owned).collect::<Result<_, Error>>()?),
        _ => return Err(Error::unsupported("this kind of value")),
    })
}

/// Returns the contract's form of a cell in a column of this type.
pub(crate) fn cell(value: ValueRef<'_>, column: LogicalTypeId) -> Value<'static> {
    let typed = |kind, text: String| Value::Typed(kind, text.into());
    match value {
        ValueRef::Text(text) => {
            let text = String::from_utf8_lossy(text).into_owned();
            match column {
                LogicalTypeId::Uuid => typed(ValueKind::Uuid, text),
                LogicalTypeId::Enum => typed(ValueKind::Other, text),
                _ => Value::Text(text.into()),
            }
        }
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec().into()),
        ValueRef::Timestamp(unit, number) if column == LogicalTypeId::TimestampTZ => {
            typed(ValueKind::TimestampTz, format!("{}+00", timestamp(micros(unit, number))))
        }
        other => plain(other.to_owned()),
    }
}

fn plain(value: types::Value) -> Value<'static> {
    let typed = |kind, text: String| Value::Typed(kind, text.into());
    match value {
        types::Value::Null => Value::Null,
        types::Value::Boolean(truth) => Value::Bool(truth),
        types::Value::TinyInt(number) => Value::Int(number.into()),
        types::Value::SmallInt(number) => Value::Int(number.into()),
        types::Value::Int(number) => Value::Int(number.into()),
        types::Value::BigInt(number) => Value::Int(number),
        types::Value::UTinyInt(number) => Value::Int(number.into()),
        types::Value::USmallInt(number) => Value::Int(number.into()),
        types::Value::UInt(number) => Value::Int(number.into()),
        types::Value::UBigInt(number) => i64::try_from(number).map_or(Value::UInt(number), Value::Int),
        types::Value::HugeInt(number) => match i64::try_from(number) {
            Ok(number) => Value::Int(number),
            Err(_) => typed(ValueKind::Decimal, number.to_string()),
        },
        types::Value::Float(number) => Value::Float(number.to_string().parse().unwrap_or(f64::from(number))),
        types::Value::Double(number) => Value::Float(number),
        types::Value::Text(text) => Value::Text(text.into()),
        types::Value::Blob(bytes) => Value::Bytes(bytes.into()),
        types::Value::Date32(days) => typed(ValueKind::Date, date(days)),
        types::Value::Time64(unit, number) => typed(ValueKind::Time, time(micros(unit, number))),
        types::Value::Timestamp(unit, number) => typed(ValueKind::Timestamp, timestamp(micros(unit, number))),
        types::Value::Interval { months, days, nanos } => {
            typed(ValueKind::Interval, interval(months, days, nanos))
        }
        types::Value::List(items) | types::Value::Array(items) => {
            Value::Array(items.into_iter().map(plain).collect())
        }
        types::Value::Enum(text) => typed(ValueKind::Other, text),
        types::Value::Decimal(number) => typed(ValueKind::Decimal, number.to_string()),
        other => typed(ValueKind::Other, format!("{other:?}")),
    }
}

fn micros(unit: TimeUnit, number: i64) -> i64 {
    match unit {
        TimeUnit::Second => number.saturating_mul(1_000_000),
        TimeUnit::Millisecond => number.saturating_mul(1_000),
        TimeUnit::Microsecond => number,
        TimeUnit::Nanosecond => number.div_euclid(1_000),
    }
}

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

fn date(days: i32) -> String {
    let day: Option<Date> = EPOCH.date().checked_add(days.days()).ok();
    // DuckDB's years reach further than the calendar here.
    day.map_or_else(|| format!("epoch {days:+} days"), |day| day.to_string())
}

fn time(micros: i64) -> String {
    let time: Option<Time> = Time::midnight().checked_add(SignedDuration::from_micros(micros)).ok();
    time.map_or_else(|| "24:00:00".to_owned(), |time| time.to_string())
}

fn timestamp(micros: i64) -> String {
    let moment = EPOCH.checked_add(SignedDuration::from_micros(micros)).ok();
    let text = moment.map(|moment| moment.to_string().replace('T', " "));
    text.unwrap_or_else(|| format!("epoch {micros:+} microseconds"))
}

/// As DuckDB writes it: `1 year 2 months 3 days 04:05:06.7`.
fn interval(months: i32, days: i32, nanos: i64) -> String {
    let count = |number: i32, what: &str| match number {
        0 => None,
        1 | -1 => Some(format!("{number} {what}")),
        _ => Some(format!("{number} {what}s")),
    };
    let clock = (nanos != 0).then(|| {
        let sign = if nanos < 0 { "-" } else { "" };
        let micros = (nanos / 1_000).unsigned_abs();
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}") };
        let fraction = fraction.trim_end_matches('0');
        format!("{sign}{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    });
    let parts = [count(months / 12, "year"), count(months % 12, "month"), count(days, "day"), clock];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "00:00:00".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_duckdb_writes_them() {
        assert_eq!(date(20_484), "2026-01-31");
        assert_eq!(time(47_100_250_000), "13:05:00.25");
        assert_eq!(timestamp(1_769_864_700_000_000), "2026-01-31 13:05:00");
        assert_eq!(timestamp(-1), "1969-12-31 23:59:59.999999");
        assert_eq!(interval(14, -3, 14_706_700_000_000), "1 year 2 months -3 days 04:05:06.7");
        assert_eq!(interval(0, 0, 0), "00:00:00");
    }
}
