//! What the conformance suite must know of MySQL and MariaDB.

use whimbrel_adapter_api::{Comes, Quirks, Sample, Value};

/// A parameter has no type of its own beyond numbers, texts and bytes; a column has, and a cast stands for one.
pub(crate) fn quirks() -> Quirks {
    let mut quirks = Quirks::default();
    quirks.create_schema = Some("CREATE DATABASE {}".to_owned());
    quirks.drop_schema = Some("DROP DATABASE {}".to_owned());
    // Alone, SLEEP would call it a success to be stopped.
    quirks.pause =
        Some("SELECT SLEEP({}) FROM information_schema.schemata WHERE schema_name = DATABASE()".to_owned());
    let as_text = |text: &'static str| Comes::As(Value::text(text));
    quirks
        .with_value(Sample::Bool, Comes::As(Value::Int(1)))
        .with_value(Sample::TimestampTz, as_text("2026-01-31 13:05:00+00"))
        .with_value(Sample::Interval, as_text("1 day 02:00:00"))
        .with_value(Sample::Uuid, as_text("0192f0c1-2345-7abc-8def-0123456789ab"))
        .with_value(Sample::Json, as_text("{\"a\": [1]}"))
        .with_value_through(Sample::Decimal, "CAST({} AS DECIMAL(9, 2))")
        .with_value_through(Sample::Date, "CAST({} AS DATE)")
        // MySQL takes the parameter of a cast to a time for a date, and its time of day for midnight.
        .with_value_through(Sample::Time, "CAST(CAST({} AS CHAR) AS TIME)")
        .with_value_through(Sample::Timestamp, "CAST({} AS DATETIME)")
}
