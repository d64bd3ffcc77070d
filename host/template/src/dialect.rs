//! The engine's language. Pure: nothing here talks to the engine.
//!
//! Every text and template is the toy's. The columns of the history table are not: keep their names
//! and their order.

use whimbrel_adapter_api::texts::{self, Clock};
use whimbrel_adapter_api::{Dialect, Error, ErrorKind, Facts, Lexer, RowSet, TableName, Text, Value};

/// The only schema there is.
pub(crate) const SCHEMA: &str = "main";

/// How the engine reckons with time. The toy counts milliseconds.
const CLOCK: Clock = Clock::new("now()")
    .with_after("now() + {}")
    .with_until("{} - now()")
    .with_since("now() - {}")
    .with_iso("iso({})");

/// The dialect of one session.
pub(crate) struct EngineDialect {
    facts: Facts,
}

impl EngineDialect {
    /// Reads the answer to `Text::Facts`; an empty set is the first call, before it is known.
    pub(crate) fn new(facts: &RowSet) -> Result<Self, Error> {
        let mut known = Facts::default();
        if !facts.columns.is_empty() {
            let cell = |column: &str| {
                let missing = || format!("the facts have no `{column}`");
                let cell = facts.first(column);
                let cell = cell.ok_or_else(|| Error::new(ErrorKind::Misbehaved, missing()))?;
                Ok::<_, Error>(cell.as_text().map(str::to_owned))
            };
            known.server = cell("server")?.unwrap_or_default();
            known.database = cell("database")?.unwrap_or_default();
            known.schema = SCHEMA.to_owned();
            known.history_schema = cell("history_schema")?;
        }
        Ok(EngineDialect { facts: known })
    }

    fn facts_text(&self, history: &TableName) -> String {
        let name = self.literal(&history.name.as_str().into());
        format!("SELECT server() AS server, database() AS database, schema_of({name}) AS history_schema")
    }

    /// Ten runs may do this at once, so it must be safe to come second. The key on `position` keeps
    /// them apart, and `previous` a run that plans on a row that is gone.
    fn create_history(&self, history: &TableName) -> String {
        let table = texts::qualified(self, history);
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (
    position            BIGINT PRIMARY KEY,
    previous            BIGINT REFERENCES {table} (position),
    migration           TEXT,
    attempt             BIGINT,
    direction           TEXT,
    state               TEXT,
    checksum            TEXT,
    statements_done     BIGINT,
    statements_total    BIGINT,
    statement_checksums TEXT,
    lease_until         BIGINT,
    started_at          BIGINT,
    finished_at         BIGINT,
    duration_ms         BIGINT,
    down_script         TEXT,
    applied_by          TEXT
)"
        )
    }
}

impl Dialect for EngineDialect {
    // Decide how scripts are split (`Feature`), and what statements do to a transaction (`Class`).
    fn lexer(&self) -> Lexer {
        Lexer::new(&[], &[])
    }

    fn facts(&self) -> Facts {
        self.facts.clone()
    }

    fn quote(&self, identifier: &str) -> String {
        format!("\"{}\"", identifier.replace('"', "\"\""))
    }

    fn literal(&self, value: &Value<'_>) -> String {
        match value {
            Value::Bool(truth) => truth.to_string(),
            Value::Int(number) => number.to_string(),
            Value::UInt(number) => number.to_string(),
            Value::Float(number) => format!("{number:?}"),
            Value::Text(text) | Value::Typed(_, text) => format!("'{}'", text.replace('\'', "''")),
            Value::Bytes(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("x'{hex}'")
            }
            _ => "NULL".to_owned(),
        }
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        match text {
            Text::Facts { history } => Some(vec![self.facts_text(history)]),
            Text::CreateHistory { history } => Some(vec![self.create_history(history)]),
            // Nothing outlives a script in the toy. Yours puts the session back here.
            Text::ResetSession => Some(Vec::new()),
            // The statements that set the limits. None of them can be kept here.
            Text::Limit { limits } if limits.lock.is_none() && limits.statement.is_none() => Some(Vec::new()),
            // There are no transactions. The short form needs more SQL than the toy has; without it
            // the host reads the long one.
            Text::Begin { .. } | Text::Commit | Text::BriefHistory { .. } => None,
            // The rest is ordinary SQL. A text without an answer is one that the engine does not have.
            other => texts::common(self, &CLOCK, other),
        }
    }
}
