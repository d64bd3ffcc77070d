//! What the conformance suite must know of DuckDB.

use whimbrel_adapter_api::{Comes, Quirks, Sample, Sharing, Value, ValueKind};

pub(crate) fn quirks() -> Quirks {
    let mut quirks = Quirks::default();
    quirks.parameter = "${}".to_owned();
    quirks.pause =
        Some("SELECT count(*) FROM range({}00000) a, range(1000) b WHERE a.range + b.range < 0".to_owned());
    quirks.sharing = Sharing::OneProcess;
    let json = Comes::As(Value::text("{\"a\": [1]}"));
    let offset = Comes::As(Value::Typed(ValueKind::TimestampTz, "2026-01-31 13:05:00+00".into()));
    let mut quirks = quirks
        .with_value(Sample::Json, json)
        .with_value_through(Sample::Decimal, "{}::DECIMAL(9, 2)")
        .with_value_through(Sample::Date, "{}::DATE")
        .with_value_through(Sample::Time, "{}::TIME")
        .with_value_through(Sample::Timestamp, "{}::TIMESTAMP")
        .with_value_through(Sample::Interval, "{}::INTERVAL")
        .with_value_through(Sample::Uuid, "{}::UUID")
        .with_value_through(Sample::TimestampTz, "{}::TIMESTAMPTZ");
    if let Some(quirk) = quirks.values.last_mut() {
        quirk.comes = offset;
    }
    quirks
}
