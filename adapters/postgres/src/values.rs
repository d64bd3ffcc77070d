//! Values on their way in and out.
//!
//! Parameters go as text with a type that makes them behave like literals in SQL: a number is the smallest integer
//! type that holds it, quoted text is of unknown type and becomes what the statement needs. Cells come in the binary
//! form, the only one that the driver asks for, and are read here for the types that every installation has.
//!
//! A type that is not known here is an error that says to cast: guessing at bytes would give wrong data.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};
use postgres_protocol::types as wire;
use whimbrel_adapter_api::{Error, ErrorKind, Value, ValueKind};

type Failed = Box<dyn StdError + Sync + Send>;

/// A parameter as the driver takes it.
#[derive(Debug)]
pub(crate) struct Parameter<'a>(pub(crate) &'a Value<'a>);

impl Parameter<'_> {
    /// Returns the type to announce. `UNKNOWN` leaves the choice to the statement, as for a quoted literal.
    pub(crate) fn announced(&self) -> Type {
        match self.0 {
            Value::Array(items) => array_of(items),
            value => scalar(value),
        }
    }
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Array(items) => out.put_slice(array_text(items)?.as_bytes()),
            value => out.put_slice(text(value)?.as_bytes()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

fn scalar(value: &Value<'_>) -> Type {
    match value {
        Value::Bool(_) => Type::BOOL,
        Value::Int(number) if i32::try_from(*number).is_ok() => Type::INT4,
        Value::Int(_) => Type::INT8,
        Value::UInt(_) => Type::NUMERIC,
        Value::Float(_) => Type::FLOAT8,
        Value::Bytes(_) => Type::BYTEA,
        Value::Typed(ValueKind::Decimal, _) => Type::NUMERIC,
        Value::Typed(ValueKind::Date, _) => Type::DATE,
        Value::Typed(ValueKind::Time, _) => Type::TIME,
        Value::Typed(ValueKind::Timestamp, _) => Type::TIMESTAMP,
        Value::Typed(ValueKind::TimestampTz, _) => Type::TIMESTAMPTZ,
        Value::Typed(ValueKind::Interval, _) => Type::INTERVAL,
        Value::Typed(ValueKind::Uuid, _) => Type::UUID,
        // A JSON document fits json and jsonb columns alike only while nobody has said which of the two it is.
        _ => Type::UNKNOWN,
    }
}

/// Returns the array type for items of one type; integers of two sizes take the larger one.
fn array_of(items: &[Value<'_>]) -> Type {
    let mut types: Vec<Type> = Vec::new();
    collect_types(items, &mut types);
    if types.iter().all(|found| [Type::INT4, Type::INT8].contains(found)) && types.contains(&Type::INT8) {
        types = vec![Type::INT8];
    }
    types.dedup();
    let [item] = types.as_slice() else {
        return Type::UNKNOWN;
    };
    let arrays = [
        (Type::BOOL, Type::BOOL_ARRAY),
        (Type::INT4, Type::INT4_ARRAY),
        (Type::INT8, Type::INT8_ARRAY),
        (Type::NUMERIC, Type::NUMERIC_ARRAY),
        (Type::FLOAT8, Type::FLOAT8_ARRAY),
        (Type::BYTEA, Type::BYTEA_ARRAY),
        (Type::DATE, Type::DATE_ARRAY),
        (Type::TIME, Type::TIME_ARRAY),
        (Type::TIMESTAMP, Type::TIMESTAMP_ARRAY),
        (Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY),
        (Type::INTERVAL, Type::INTERVAL_ARRAY),
        (Type::UUID, Type::UUID_ARRAY),
    ];
    arrays.into_iter().find(|(of, _)| of == item).map_or(Type::UNKNOWN, |(_, array)| array)
}

fn collect_types(items: &[Value<'_>], types: &mut Vec<Type>) {
    for item in items {
        match item {
            Value::Null => {}
            Value::Array(inner) => collect_types(inner, types),
            value => {
                let item = scalar(value);
                if !types.contains(&item) {
                    types.push(item);
                }
            }
        }
    }
}

/// Returns a value in the form that the server's input functions read.
pub(crate) fn text<'a>(value: &'a Value<'_>) -> Result<Cow<'a, str>, Failed> {
    Ok(match value {
        Value::Bool(truth) => if *truth { "t" } else { "f" }.into(),
        Value::Int(number) => number.to_string().into(),
        Value::UInt(number) => number.to_string().into(),
        Value::Float(number) => number.to_string().replace("inf", "Infinity").into(),
        Value::Text(text) | Value::Typed(_, text) => Cow::Borrowed(text),
        Value::Bytes(bytes) => hexadecimal(bytes).into(),
        Value::Array(items) => array_text(items)?.into(),
        _ => return Err("a value of a kind that this adapter does not know".into()),
    })
}

/// Returns bytes as `\x6869`.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Returns an array as `{1,NULL,"a \"b\""}`.
fn array_text(items: &[Value<'_>]) -> Result<String, Failed> {
    let mut out = String::from("{");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match item {
            Value::Null => out.push_str("NULL"),
            Value::Array(inner) => out.push_str(&array_text(inner)?),
            value => {
                let quoted = text(value)?.replace('\\', "\\\\").replace('"', "\\\"");
                let _ = write!(out, "\"{quoted}\"");
            }
        }
    }
    out.push('}');
    Ok(out)
}

/// The bytes of a cell, whatever its type.
pub(crate) struct Cell<'a>(pub(crate) &'a [u8]);

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failed> {
        Ok(Cell(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Reads a cell.
///
/// # Errors
///
/// `Unsupported` for a type that is not known here, `Misbehaved` for bytes that are not of their type.
pub(crate) fn value<'a>(column: &str, of: &Type, raw: &'a [u8]) -> Result<Value<'a>, Error> {
    match decode(of, raw) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(unknown(column, of)),
        Err(error) => {
            Err(Error::new(ErrorKind::Misbehaved, format!("cannot read the column `{column}`: {error}")))
        }
    }
}

fn unknown(column: &str, of: &Type) -> Error {
    let error = Error::unsupported(&format!("the type `{}` of the column `{column}`", of.name()));
    error.with_hint(format!("select it as text: `{column}::text`"))
}

/// Returns `None` for a type that is not known here.
fn decode<'a>(of: &Type, raw: &'a [u8]) -> Result<Option<Value<'a>>, Failed> {
    let typed = |kind: ValueKind, text: String| Value::Typed(kind, text.into());
    let known = match *of {
        Type::BOOL => Value::Bool(wire::bool_from_sql(raw)?),
        Type::INT2 => Value::Int(wire::int2_from_sql(raw)?.into()),
        Type::INT4 => Value::Int(wire::int4_from_sql(raw)?.into()),
        Type::INT8 => Value::Int(wire::int8_from_sql(raw)?),
        Type::OID => Value::Int(wire::oid_from_sql(raw)?.into()),
        Type::FLOAT4 => Value::Float(wire::float4_from_sql(raw)?.into()),
        Type::FLOAT8 => Value::Float(wire::float8_from_sql(raw)?),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            Value::text(wire::text_from_sql(raw)?)
        }
        Type::CHAR => Value::Text(String::from_utf8_lossy(raw.strip_suffix(&[0]).unwrap_or(raw))),
        Type::BYTEA => Value::Bytes(raw.into()),
        Type::VOID => Value::text(""),
        Type::NUMERIC => typed(ValueKind::Decimal, numeric(raw)?),
        Type::DATE => typed(ValueKind::Date, date(wire::date_from_sql(raw)?)),
        Type::TIME => typed(ValueKind::Time, time_of_day(wire::time_from_sql(raw)?)),
        Type::TIMETZ => typed(ValueKind::Other, time_with_zone(raw)?),
        Type::TIMESTAMP => typed(ValueKind::Timestamp, timestamp(wire::timestamp_from_sql(raw)?, "")),
        Type::TIMESTAMPTZ => typed(ValueKind::TimestampTz, timestamp(wire::timestamp_from_sql(raw)?, "+00")),
        Type::INTERVAL => typed(ValueKind::Interval, interval(raw)?),
        Type::UUID => typed(ValueKind::Uuid, uuid(raw)?),
        Type::JSON => Value::Typed(ValueKind::Json, std::str::from_utf8(raw)?.into()),
        Type::JSONB => match raw.split_first() {
            Some((1, text)) => Value::Typed(ValueKind::Json, std::str::from_utf8(text)?.into()),
            _ => return Err("an unknown form of jsonb".into()),
        },
        Type::XML | Type::REFCURSOR => Value::Typed(ValueKind::Other, std::str::from_utf8(raw)?.into()),
        Type::INET | Type::CIDR => typed(ValueKind::Other, network(of, raw)?),
        _ => return of_kind(of, raw),
    };
    Ok(Some(known))
}

fn of_kind<'a>(of: &Type, raw: &'a [u8]) -> Result<Option<Value<'a>>, Failed> {
    match of.kind() {
        Kind::Enum(_) => Ok(Some(Value::Typed(ValueKind::Other, std::str::from_utf8(raw)?.into()))),
        Kind::Domain(inner) => decode(inner, raw),
        Kind::Array(item) => array(item, raw),
        // The text types of extensions send their text as it is.
        Kind::Simple if of.name() == "citext" => Ok(Some(Value::text(std::str::from_utf8(raw)?))),
        _ => Ok(None),
    }
}

fn array<'a>(item: &Type, raw: &'a [u8]) -> Result<Option<Value<'a>>, Failed> {
    let array = wire::array_from_sql(raw)?;
    let lengths: Vec<i32> = array.dimensions().map(|dimension| Ok(dimension.len)).collect()?;
    let mut cells = Vec::new();
    let mut values = array.values();
    while let Some(cell) = values.next()? {
        let value = match cell {
            None => Some(Value::Null),
            Some(raw) => decode(item, raw)?,
        };
        let Some(value) = value else { return Ok(None) };
        cells.push(value);
    }
    Ok(Some(nested(&lengths, cells)))
}

/// Folds the cells of an array with these lengths, the outermost first.
fn nested<'a>(lengths: &[i32], mut cells: Vec<Value<'a>>) -> Value<'a> {
    for length in lengths.iter().skip(1).rev() {
        let length = usize::try_from(*length).unwrap_or(1).max(1);
        let mut rest = cells.into_iter();
        let mut folded = Vec::new();
        loop {
            let group: Vec<Value<'a>> = rest.by_ref().take(length).collect();
            if group.is_empty() {
                break;
            }
            folded.push(Value::Array(group));
        }
        cells = folded;
    }
    Value::Array(cells)
}

/// Reads a number of base-10000 digits: count, weight of the first, sign, decimal places, digits.
fn numeric(raw: &[u8]) -> Result<String, Failed> {
    let mut words = raw.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]]));
    let mut word = || words.next().ok_or("a numeric that ends too early");
    let (count, weight, sign, places) = (word()?, word()?, word()? as u16, word()?);
    match sign {
        0x0000 | 0x4000 => {}
        0xC000 => return Ok("NaN".to_owned()),
        0xD000 => return Ok("Infinity".to_owned()),
        0xF000 => return Ok("-Infinity".to_owned()),
        _ => return Err("an unknown sign of a numeric".into()),
    }
    let digits: Vec<i16> = (0..count).map(|_| word()).collect::<Result<_, _>>()?;
    let digit =
        |power: i32| usize::try_from(i32::from(weight) - power).ok().and_then(|at| digits.get(at)).copied();
    let mut text = String::new();
    for power in (0..=i32::from(weight).max(0)).rev() {
        let _ = write!(text, "{:04}", digit(power).unwrap_or(0));
    }
    let whole = text.trim_start_matches('0');
    let mut text = if whole.is_empty() { "0".to_owned() } else { whole.to_owned() };
    if places > 0 {
        let mut fraction = String::new();
        for power in 1..=(i32::from(places) + 3) / 4 {
            let _ = write!(fraction, "{:04}", digit(-power).unwrap_or(0));
        }
        fraction.truncate(usize::try_from(places)?);
        text = format!("{text}.{fraction}");
    }
    Ok(if sign == 0x4000 { format!("-{text}") } else { text })
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Returns the day that lies `days` after 2000-01-01.
fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => {
            let (year, rest) = civil(days.into());
            if year > 0 { format!("{year:04}-{rest}") } else { format!("{:04}-{rest} BC", 1 - year) }
        }
    }
}

/// Returns the year and `month-day`, by reckoning in eras of 400 years that begin on the first of March.
fn civil(days: i64) -> (i64, String) {
    let days = days + 730_425;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, format!("{month:02}-{day:02}"))
}

fn time_of_day(microseconds: i64) -> String {
    let seconds = microseconds / SECOND;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    clock + &fraction(microseconds % SECOND)
}

/// Returns `.25` for a quarter of a second, and nothing for none.
fn fraction(microseconds: i64) -> String {
    match microseconds.unsigned_abs() {
        0 => String::new(),
        rest => format!(".{rest:06}").trim_end_matches('0').to_owned(),
    }
}

fn time_with_zone(raw: &[u8]) -> Result<String, Failed> {
    let (time, west) = raw.split_first_chunk::<8>().ok_or("a time that ends too early")?;
    // The zone is counted westwards, and written eastwards.
    let east = -i32::from_be_bytes(west.try_into()?);
    let (sign, east) = (if east < 0 { '-' } else { '+' }, east.abs());
    let minutes = if east / 60 % 60 > 0 { format!(":{:02}", east / 60 % 60) } else { String::new() };
    Ok(format!("{}{sign}{:02}{minutes}", time_of_day(i64::from_be_bytes(*time)), east / 3600))
}

fn timestamp(microseconds: i64, zone: &str) -> String {
    match microseconds {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        microseconds => {
            let (year, rest) = civil(microseconds.div_euclid(DAY));
            let time = time_of_day(microseconds.rem_euclid(DAY));
            if year > 0 {
                format!("{year:04}-{rest} {time}{zone}")
            } else {
                format!("{:04}-{rest} {time}{zone} BC", 1 - year)
            }
        }
    }
}

/// Writes a span of time as the server does: `1 year 2 mons -3 days 04:05:06.7`.
fn interval(raw: &[u8]) -> Result<String, Failed> {
    let (time, rest) = raw.split_first_chunk::<8>().ok_or("an interval that ends too early")?;
    let (days, months) = rest.split_first_chunk::<4>().ok_or("an interval that ends too early")?;
    let time = i64::from_be_bytes(*time);
    let (days, months) = (i32::from_be_bytes(*days), i32::from_be_bytes(months.try_into()?));
    match (time, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => return Ok("infinity".to_owned()),
        (i64::MIN, i32::MIN, i32::MIN) => return Ok("-infinity".to_owned()),
        _ => {}
    }
    let mut parts: Vec<String> = Vec::new();
    let mut negative = false;
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count != 0 {
            // Behind a negative part a positive one would be read as negative too.
            let sign = if negative && count > 0 { "+" } else { "" };
            parts.push(format!("{sign}{count} {unit}{}", if count == 1 { "" } else { "s" }));
            negative = count < 0;
        }
    }
    if time != 0 || parts.is_empty() {
        let sign = if time < 0 {
            "-"
        } else if negative {
            "+"
        } else {
            ""
        };
        let seconds = time.unsigned_abs() / SECOND.unsigned_abs();
        let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        parts.push(format!("{sign}{clock}{}", fraction(time % SECOND)));
    }
    Ok(parts.join(" "))
}

fn uuid(raw: &[u8]) -> Result<String, Failed> {
    let bytes = wire::uuid_from_sql(raw)?;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&index) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// Writes an address; a network always with its length, a host only when that is not the whole.
fn network(of: &Type, raw: &[u8]) -> Result<String, Failed> {
    let inet = wire::inet_from_sql(raw)?;
    let whole = if inet.addr().is_ipv4() { 32 } else { 128 };
    Ok(if *of == Type::INET && inet.netmask() == whole {
        inet.addr().to_string()
    } else {
        format!("{}/{}", inet.addr(), inet.netmask())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(numbers: &[i64]) -> Vec<Value<'static>> {
        numbers.iter().map(|number| Value::Int(*number)).collect()
    }

    #[test]
    fn numbers_are_announced_like_literals() {
        let announced = |value: Value<'_>| Parameter(&value).announced();
        assert_eq!(announced(Value::Int(5)), Type::INT4);
        assert_eq!(announced(Value::Int(1 << 40)), Type::INT8);
        assert_eq!(announced(Value::UInt(u64::MAX)), Type::NUMERIC);
        assert_eq!(announced(Value::text("5")), Type::UNKNOWN);
        assert_eq!(announced(Value::Null), Type::UNKNOWN);
        assert_eq!(announced(Value::Array(integers(&[1, 2]))), Type::INT4_ARRAY);
        assert_eq!(announced(Value::Array(integers(&[1, 1 << 40]))), Type::INT8_ARRAY);
        assert_eq!(announced(Value::Array(vec![])), Type::UNKNOWN);
    }

    #[test]
    fn arrays_are_written_with_every_item_quoted() {
        let inner = Value::Array(vec![Value::text("a \"b\" \\"), Value::Null]);
        assert_eq!(array_text(&[inner]).expect("written"), "{{\"a \\\"b\\\" \\\\\",NULL}}");
    }

    #[test]
    fn days_are_reckoned_over_eras() {
        assert_eq!(date(0), "2000-01-01");
        assert_eq!(date(59), "2000-02-29");
        assert_eq!(date(-1), "1999-12-31");
        assert_eq!(date(9_527), "2026-01-31");
        assert_eq!(date(-730_119), "0001-01-01");
        assert_eq!(date(-730_120), "0001-12-31 BC");
    }

    #[test]
    fn a_numeric_is_read_digit_by_digit() {
        let text = |words: &[u16]| {
            let raw: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            numeric(&raw).map_err(|error| error.to_string())
        };
        assert_eq!(text(&[2, 1, 0x4000, 0, 12, 3]).as_deref(), Ok("-120003"));
        assert_eq!(text(&[1, 0xFFFF, 0, 6, 100]).as_deref(), Ok("0.010000"));
        assert_eq!(text(&[0, 0, 0xD000, 0x20]).as_deref(), Ok("Infinity"));
        assert!(text(&[3, 0, 0, 0, 1]).is_err(), "three digits are announced and one is there");
    }

    #[test]
    fn an_interval_keeps_the_signs_of_its_parts() {
        let raw = |time: i64, days: i32, months: i32| {
            [time.to_be_bytes().as_slice(), &days.to_be_bytes(), &months.to_be_bytes()].concat()
        };
        let text = |time, days, months| interval(&raw(time, days, months)).expect("read");
        assert_eq!(text(0, 0, 0), "00:00:00");
        assert_eq!(text(14_706_700_000, -3, 14), "1 year 2 mons -3 days +04:05:06.7");
        assert_eq!(text(-1_500_000, 1, 0), "1 day -00:00:01.5");
    }
}
