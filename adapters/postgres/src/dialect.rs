//! PostgreSQL's texts.
//!
//! Answers [`Dialect`] for one session; the texts about history rows come from `texts`. Functions are named with
//! their schema where a script's search path could reach them.
//!
//! Pure: what the session is like was asked by the text `Facts` before.

use std::time::Duration;

use whimbrel_adapter_api::texts::{self, Clock};
use whimbrel_adapter_api::{
    Dialect, Error, ErrorKind, Facts, Lexer, Limits, RowSet, TableName, Text, Value, ValueKind,
};

use crate::lexer::{self, Strings};
use crate::{traces, values};

/// The wall clock, not the transaction's: a long migration ends later than it began.
const CLOCK: Clock = Clock::new("pg_catalog.clock_timestamp()")
    .with_after("pg_catalog.clock_timestamp() + {} * interval '1 millisecond'")
    .with_until("pg_catalog.round(EXTRACT(EPOCH FROM {} - pg_catalog.clock_timestamp()) * 1000)::bigint")
    .with_since("pg_catalog.round(EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - {}) * 1000)::bigint")
    .with_iso("pg_catalog.to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");

/// What puts a session back to what it was after login, as far as a transaction allows: DISCARD ALL is refused there.
///
/// The role comes first, because the others may need its rights. Cursors, temporary tables and channels would be met
/// by the next user of a pooled session. The last line repeats what the driver relies on: behind a pooler, the
/// session's own default is the database's encoding.
const RESET: &[&str] = &[
    "RESET SESSION AUTHORIZATION",
    "RESET ROLE",
    "RESET ALL",
    "SELECT pg_catalog.pg_advisory_unlock_all()",
    "CLOSE ALL",
    "UNLISTEN *",
    "DISCARD TEMP",
    "SET client_encoding TO 'UTF8'",
];

/// The dialect of one session.
pub(crate) struct PostgresDialect {
    facts: Facts,
    strings: Strings,
}

impl PostgresDialect {
    /// Reads the facts; an empty set is the first call, before they are known.
    pub(crate) fn new(facts: &RowSet) -> Result<Self, Error> {
        let mut known = Facts::default();
        if facts.columns.is_empty() && facts.rows.is_empty() {
            return Ok(PostgresDialect { facts: known, strings: Strings::Standard });
        }
        let cell = |column: &str| {
            let missing = || Error::new(ErrorKind::Misbehaved, format!("the facts have no `{column}`"));
            facts.first(column).map(|value| value.as_text().map(str::to_owned)).ok_or_else(missing)
        };
        known.server = product(&cell("version")?.unwrap_or_default());
        known.database = cell("database")?.unwrap_or_default();
        known.schema = cell("schema")?.unwrap_or_default();
        known.history_schema = cell("history_schema")?;
        let strings = match cell("standard_conforming_strings")?.as_deref() {
            Some("off") => Strings::Escaping,
            _ => Strings::Standard,
        };
        Ok(PostgresDialect { facts: known, strings })
    }

    fn facts_text(&self, history: &TableName) -> String {
        // A new backend takes a millisecond more to plan a join of the catalogues.
        format!(
            "SELECT pg_catalog.version() AS version, \
             pg_catalog.current_database()::text AS database, \
             pg_catalog.current_schema()::text AS schema, \
             (pg_catalog.parse_ident((pg_catalog.pg_identify_object('pg_catalog.pg_class'::pg_catalog.regclass, \
             pg_catalog.to_regclass({name}), 0)).schema))[1] AS history_schema, \
             pg_catalog.current_setting('standard_conforming_strings') AS standard_conforming_strings",
            name = self.literal(&texts::qualified(self, history).as_str().into()),
        )
    }

    /// Two runners at once: one waits for the other inside CREATE TABLE and then fails on a catalog's unique index,
    /// which tells it that it was not the first. IF NOT EXISTS would fail there all the same.
    ///
    /// Supabase grants new tables in `public` to the roles of its HTTP API.
    fn create_history(&self, history: &TableName) -> String {
        let table = texts::qualified(self, history);
        let create = format!(
            "CREATE TABLE {table} (
    position            bigint      NOT NULL PRIMARY KEY,
    previous            bigint      REFERENCES {table} (position),
    migration           text        NOT NULL,
    attempt             bigint      NOT NULL,
    direction           text        NOT NULL,
    state               text        NOT NULL,
    checksum            text,
    statements_done     bigint      NOT NULL,
    statements_total    bigint      NOT NULL,
    statement_checksums text,
    lease_until         timestamptz,
    started_at          timestamptz NOT NULL,
    finished_at         timestamptz,
    duration_ms         bigint,
    down_script         text,
    applied_by          text        NOT NULL,
    UNIQUE (migration, attempt)
)"
        );
        format!(
            "DO $whimbrel$
DECLARE
    role name;
BEGIN
    IF pg_catalog.to_regclass({name}) IS NULL THEN
        {create};
        REVOKE ALL ON {table} FROM PUBLIC;
        FOR role IN SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
            EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %I', {name}, role);
        END LOOP;
    END IF;
END
$whimbrel$",
            name = self.literal(&table.as_str().into()),
        )
    }
}

impl Dialect for PostgresDialect {
    fn lexer(&self) -> Lexer {
        lexer::lexer(self.strings)
    }

    fn facts(&self) -> Facts {
        self.facts.clone()
    }

    fn quote(&self, identifier: &str) -> String {
        quote(identifier)
    }

    fn literal(&self, value: &Value<'_>) -> String {
        literal(value)
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        Some(match text {
            Text::Facts { history } => vec![self.facts_text(history)],
            Text::CreateHistory { history } => vec![self.create_history(history)],
            Text::Begin { limits } => {
                // A role's or database's defaults must not decide what a migration sees and may do.
                let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE".to_owned();
                [vec![begin], limit("SET LOCAL", limits)].concat()
            }
            Text::Limit { limits } => limit("SET", limits),
            Text::ResetSession => RESET.iter().map(ToString::to_string).collect(),
            Text::Traces { history, position, statement } => {
                vec![traces::text(self, statement, history, *position)?]
            }
            other => return texts::common(self, &CLOCK, other),
        })
    }
}

/// Returns an identifier in quotes.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Returns a value as a literal that means the same whatever `standard_conforming_strings` is.
pub(crate) fn literal(value: &Value<'_>) -> String {
    match value {
        Value::Bool(truth) => if *truth { "TRUE" } else { "FALSE" }.to_owned(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Text(text) => quoted(text),
        Value::Typed(kind, text) => format!("{}{}", quoted(text), cast(*kind)),
        Value::Float(_) => with_text(value, "::float8"),
        Value::Bytes(_) => with_text(value, "::bytea"),
        Value::Array(items) if items.is_empty() => "'{}'".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("ARRAY[{}]", items.join(", "))
        }
        _ => "NULL".to_owned(),
    }
}

fn with_text(value: &Value<'_>, cast: &str) -> String {
    values::text(value).map_or_else(|_| "NULL".to_owned(), |text| format!("{}{cast}", quoted(&text)))
}

fn quoted(text: &str) -> String {
    let text = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", text.replace('\\', "\\\\")) } else { format!("'{text}'") }
}

fn cast(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Decimal => "::numeric",
        ValueKind::Date => "::date",
        ValueKind::Time => "::time",
        ValueKind::Timestamp => "::timestamp",
        ValueKind::TimestampTz => "::timestamptz",
        ValueKind::Interval => "::interval",
        ValueKind::Uuid => "::uuid",
        // Which of json and jsonb is meant, or which other type, is for the statement to say.
        _ => "",
    }
}

fn limit(set: &str, limits: &Limits) -> Vec<String> {
    let limits = [("lock_timeout", limits.lock), ("statement_timeout", limits.statement)];
    let text = |(name, limit): (&str, Option<Duration>)| {
        // 0 would mean no limit at all.
        limit.map(|limit| format!("{set} {name} = {}", limit.as_millis().clamp(1, i32::MAX as u128)))
    };
    limits.into_iter().filter_map(text).collect()
}

/// Returns `PostgreSQL 15.18` of `PostgreSQL 15.18 (Debian …) on x86_64…`.
fn product(version: &str) -> String {
    let words: Vec<&str> = version.split_whitespace().take(2).collect();
    words.join(" ").trim_end_matches(',').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_do_not_depend_on_how_strings_are_read() {
        assert_eq!(literal(&Value::text("it's")), "'it''s'");
        assert_eq!(literal(&Value::text("C:\\x'")), "E'C:\\\\x'''");
        assert_eq!(literal(&Value::Bytes([1, 255].as_slice().into())), "E'\\\\x01ff'::bytea");
        assert_eq!(literal(&Value::Float(f64::NEG_INFINITY)), "'-Infinity'::float8");
        assert_eq!(literal(&Value::Array(vec![Value::Int(1), Value::Null])), "ARRAY[1, NULL]");
        assert_eq!(literal(&Value::Null), "NULL");
    }

    #[test]
    fn limits_are_set_for_the_transaction_alone() {
        let dialect = PostgresDialect::new(&RowSet::default()).expect("no facts are fine");
        let mut limits = Limits::default();
        limits.lock = Some(Duration::from_secs(5));
        limits.statement = Some(Duration::from_micros(1));
        let texts = dialect.text(&Text::Begin { limits: &limits }).expect("there are transactions");
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
        assert_eq!(texts, [begin, "SET LOCAL lock_timeout = 5000", "SET LOCAL statement_timeout = 1"]);
    }

    #[test]
    fn facts_without_a_column_are_refused() {
        let facts = RowSet::new(vec!["version".to_owned()], vec![vec![Value::text("x")]]);
        let error = PostgresDialect::new(&facts).err().expect("the facts are not whole");
        assert_eq!(error.kind, ErrorKind::Misbehaved);
    }

    #[test]
    fn the_product_is_named_without_its_build() {
        assert_eq!(product("PostgreSQL 15.18 (Debian 15.18-0) on x86_64-pc-linux-gnu"), "PostgreSQL 15.18");
    }
}
