//! What the conformance suite must know of PostgreSQL.

use whimbrel_adapter_api::{Comes, Quirks, Sample, Value, ValueKind};

pub(crate) fn quirks() -> Quirks {
    let mut quirks = Quirks::default();
    quirks.parameter = "${}".to_owned();
    quirks.pause = Some("SELECT pg_catalog.pg_sleep({})".to_owned());
    let largest = Value::Typed(ValueKind::Decimal, "18446744073709551615".into());
    quirks
        .with_value(Sample::UInt, Comes::As(largest))
        // No text of PostgreSQL holds a zero byte.
        .with_value(Sample::Nul, Comes::Refused)
        .with_value_through(Sample::Json, "{}::json")
}
