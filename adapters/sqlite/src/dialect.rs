//! SQLite's texts.

use whimbrel_adapter_api::texts::{self, Clock};
use whimbrel_adapter_api::{Dialect, Error, ErrorKind, Facts, Lexer, Limits, RowSet, TableName, Text, Value};

use crate::{lexer, traces};

/// Times are text in UTC: they sort, and every tool can read them.
const CLOCK: Clock = Clock::new("strftime('%Y-%m-%dT%H:%M:%fZ', 'now')")
    .with_after("strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+' || ({} / 1000.0) || ' seconds')")
    .with_until("CAST(round((julianday({}) - julianday('now')) * 86400000) AS INTEGER)")
    .with_since("CAST(round((julianday('now') - julianday({})) * 86400000) AS INTEGER)")
    .with_iso("strftime('%Y-%m-%dT%H:%M:%SZ', {})");

/// Settings of a session that a script may leave behind and that can be put back inside a transaction too.
const SETTINGS: &[&str] = &[
    "busy_timeout",
    "foreign_keys",
    "ignore_check_constraints",
    "legacy_alter_table",
    "recursive_triggers",
    "writable_schema",
];

/// The dialect of one session.
pub(crate) struct SqliteDialect {
    facts: Facts,
    /// The settings as they were after login, in the order of [`SETTINGS`].
    settings: Vec<i64>,
}

impl SqliteDialect {
    /// Reads the facts; an empty set is the first call, before they are known.
    pub(crate) fn new(facts: &RowSet) -> Result<Self, Error> {
        if facts.columns.is_empty() {
            return Ok(SqliteDialect { facts: Facts::default(), settings: Vec::new() });
        }
        let cell = |column: &str| {
            let missing = || Error::new(ErrorKind::Misbehaved, format!("the facts have no `{column}`"));
            facts.first(column).ok_or_else(missing)
        };
        let mut known = Facts::default();
        known.server = format!("SQLite {}", cell("version")?.as_text().unwrap_or_default());
        known.database = cell("database")?.as_text().unwrap_or_default().to_owned();
        known.schema = "main".to_owned();
        known.history_schema = cell("history_schema")?.as_text().map(str::to_owned);
        let settings = SETTINGS.iter().map(|name| Ok(cell(name)?.as_int().unwrap_or_default()));
        Ok(SqliteDialect { facts: known, settings: settings.collect::<Result<_, Error>>()? })
    }

    fn facts_text(&self, history: &TableName) -> String {
        let settings: Vec<String> =
            SETTINGS.iter().map(|name| format!("(SELECT * FROM pragma_{name}) AS {name}")).collect();
        format!(
            "SELECT sqlite_version() AS version, \
             coalesce((SELECT file FROM pragma_database_list WHERE name = 'main'), '') AS database, \
             (SELECT 'main' FROM sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower({})) \
             AS history_schema, {}",
            self.literal(&history.name.as_str().into()),
            settings.join(", "),
        )
    }

    fn create_history(&self, history: &TableName) -> Vec<String> {
        vec![format!(
            "CREATE TABLE IF NOT EXISTS {table} (
    position            INTEGER NOT NULL PRIMARY KEY,
    previous            INTEGER REFERENCES {name} (position),
    migration           TEXT    NOT NULL,
    attempt             INTEGER NOT NULL,
    direction           TEXT    NOT NULL,
    state               TEXT    NOT NULL,
    checksum            TEXT,
    statements_done     INTEGER NOT NULL,
    statements_total    INTEGER NOT NULL,
    statement_checksums TEXT,
    lease_until         TEXT,
    started_at          TEXT    NOT NULL,
    finished_at         TEXT,
    duration_ms         INTEGER,
    down_script         TEXT,
    applied_by          TEXT    NOT NULL,
    UNIQUE (migration, attempt)
)",
            table = texts::qualified(self, history),
            name = self.quote(&history.name),
        )]
    }

    fn reset(&self) -> Vec<String> {
        let put_back = |(name, value): (&&str, &i64)| format!("PRAGMA {name} = {value}");
        SETTINGS.iter().zip(&self.settings).map(put_back).collect()
    }
}

impl Dialect for SqliteDialect {
    fn lexer(&self) -> Lexer {
        lexer::rules()
    }

    fn facts(&self) -> Facts {
        self.facts.clone()
    }

    fn quote(&self, identifier: &str) -> String {
        format!("\"{}\"", identifier.replace('"', "\"\""))
    }

    fn literal(&self, value: &Value<'_>) -> String {
        match value {
            Value::Bool(truth) => i64::from(*truth).to_string(),
            Value::Int(number) => number.to_string(),
            Value::UInt(number) => number.to_string(),
            Value::Float(number) => format!("{number:?}"),
            // A NUL would end the text in the middle of the statement.
            Value::Text(text) | Value::Typed(_, text) if text.contains('\0') => {
                format!("CAST(x'{}' AS TEXT)", hex(text.as_bytes()))
            }
            Value::Text(text) | Value::Typed(_, text) => format!("'{}'", text.replace('\'', "''")),
            Value::Bytes(bytes) => format!("x'{}'", hex(bytes)),
            _ => "NULL".to_owned(),
        }
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        Some(match text {
            Text::Facts { history } => vec![self.facts_text(history)],
            Text::CreateHistory { history } => self.create_history(history),
            // IMMEDIATE: a transaction that first reads and then writes gets BUSY at once, whatever the timeout.
            Text::Begin { limits } => [limit(limits)?, vec!["BEGIN IMMEDIATE".to_owned()]].concat(),
            Text::Limit { limits } => limit(limits)?,
            Text::ResetSession => self.reset(),
            Text::Traces { statement, .. } => vec![traces::text(self, statement)?],
            other => return texts::common(self, &CLOCK, other),
        })
    }
}

/// SQLite waits for locks by its busy timeout, and has no limit for the time that a statement runs.
fn limit(limits: &Limits) -> Option<Vec<String>> {
    if limits.statement.is_some() {
        return None;
    }
    Some(limits.lock.iter().map(|lock| format!("PRAGMA busy_timeout = {}", lock.as_millis())).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
