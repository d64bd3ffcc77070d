//! What the conformance suite must know of ClickHouse.

use whimbrel_adapter_api::{Comes, Pointing, Quirks, Sample, Value};

pub(crate) fn quirks() -> Quirks {
    let mut quirks = Quirks::default();
    quirks.create_table = "CREATE TABLE {} (id Int64, name String) ENGINE = MergeTree ORDER BY id".to_owned();
    quirks.beside_history = vec!["{}_fence".to_owned()];
    quirks.create_schema = Some("CREATE DATABASE {}".to_owned());
    quirks.drop_schema = Some("DROP DATABASE {}".to_owned());
    quirks.pause = Some(
        "SELECT sleepEachRow(1) FROM numbers({}) SETTINGS max_block_size = 1, \
         function_sleep_max_microseconds_per_block = 100000000"
            .to_owned(),
    );
    // A misspelled keyword is a name to it, and what comes next is the mistake.
    quirks.pointing = Pointing::Near;
    let as_text = |text: &'static str| Comes::As(Value::text(text));
    quirks
        .with_value(Sample::Time, as_text("13:05:00"))
        .with_value(Sample::TimestampTz, as_text("2026-01-31 13:05:00+00"))
        .with_value(Sample::Interval, as_text("1 day 02:00:00"))
        .with_value(Sample::Json, as_text("{\"a\": [1]}"))
}
