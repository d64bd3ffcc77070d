//! What the conformance suite must know of SQLite.

use whimbrel_adapter_api::{Comes, Quirks, Sample, Value};

/// SQLite has numbers, texts and bytes; all else is a text, and a truth value is a number.
pub(crate) fn quirks() -> Quirks {
    let mut quirks = Quirks::default();
    quirks.parameter = "?{}".to_owned();
    quirks.create_schema = Some("ATTACH ':memory:' AS {}".to_owned());
    quirks.drop_schema = Some("DETACH {}".to_owned());
    // It has the write lock, as every statement has that is to be seen by others.
    quirks.pause = Some(
        "INSERT INTO {table} (id, name) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
         LIMIT {}000000) SELECT i, '' FROM n WHERE i < 0"
            .to_owned(),
    );
    let as_text = |text: &'static str| Comes::As(Value::text(text));
    quirks
        .with_value(Sample::Bool, Comes::As(Value::Int(1)))
        .with_value(Sample::UInt, Comes::Refused)
        .with_value(Sample::Decimal, as_text("-12.50"))
        .with_value(Sample::Date, as_text("2026-01-31"))
        .with_value(Sample::Time, as_text("13:05:00"))
        .with_value(Sample::Timestamp, as_text("2026-01-31 13:05:00"))
        .with_value(Sample::TimestampTz, as_text("2026-01-31 13:05:00+00"))
        .with_value(Sample::Interval, as_text("1 day 02:00:00"))
        .with_value(Sample::Uuid, as_text("0192f0c1-2345-7abc-8def-0123456789ab"))
        .with_value(Sample::Json, as_text("{\"a\": [1]}"))
}
