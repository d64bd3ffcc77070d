//! DuckDB's texts.

use whimbrel_adapter_api::texts::{self, Clock};
use whimbrel_adapter_api::{Dialect, Error, ErrorKind, Facts, Lexer, RowSet, TableName, Text, Value};

use crate::{lexer, traces};

/// Times are UTC. DuckDB's clock stands still within a transaction, so that what is atomic takes no time by it.
const CLOCK: Clock = Clock::new("make_timestamp(epoch_us(now()))")
    .with_after("(make_timestamp(epoch_us(now())) + to_milliseconds({}))")
    .with_until("date_diff('millisecond', make_timestamp(epoch_us(now())), {})")
    .with_since("date_diff('millisecond', {}, make_timestamp(epoch_us(now())))")
    .with_iso("strftime({}, '%Y-%m-%dT%H:%M:%SZ')");

/// The dialect of one session.
pub(crate) struct DuckDbDialect {
    facts: Facts,
}

impl DuckDbDialect {
    /// Reads the facts; an empty set is the first call, before they are known.
    pub(crate) fn new(facts: &RowSet) -> Result<Self, Error> {
        let mut known = Facts::default();
        if !facts.columns.is_empty() {
            let cell = |column: &str| {
                let missing = || Error::new(ErrorKind::Misbehaved, format!("the facts have no `{column}`"));
                let value = facts.first(column).ok_or_else(missing)?;
                Ok::<_, Error>(value.as_text().map(str::to_owned))
            };
            known.server = format!("DuckDB {}", cell("version")?.unwrap_or_default());
            known.database = cell("database")?.unwrap_or_default();
            known.schema = cell("schema")?.unwrap_or_default();
            known.history_schema = cell("history_schema")?;
        }
        Ok(DuckDbDialect { facts: known })
    }

    fn facts_text(&self, history: &TableName) -> String {
        let schema = match &history.schema {
            Some(schema) => self.literal(&schema.as_str().into()),
            None => "current_schema()".to_owned(),
        };
        format!(
            "SELECT version() AS version, current_database() AS database, current_schema() AS schema, \
             (SELECT any_value(table_schema) FROM information_schema.tables WHERE table_catalog = current_database() \
             AND lower(table_name) = lower({}) AND table_schema = {schema}) AS history_schema",
            self.literal(&history.name.as_str().into()),
        )
    }

    fn create_history(&self, history: &TableName) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (
    position            BIGINT    NOT NULL PRIMARY KEY,
    previous            BIGINT    REFERENCES {table} (position),
    migration           VARCHAR   NOT NULL,
    attempt             BIGINT    NOT NULL,
    direction           VARCHAR   NOT NULL,
    state               VARCHAR   NOT NULL,
    checksum            VARCHAR,
    statements_done     BIGINT    NOT NULL,
    statements_total    BIGINT    NOT NULL,
    statement_checksums VARCHAR,
    lease_until         TIMESTAMP,
    started_at          TIMESTAMP NOT NULL,
    finished_at         TIMESTAMP,
    duration_ms         BIGINT,
    down_script         VARCHAR,
    applied_by          VARCHAR   NOT NULL,
    UNIQUE (migration, attempt)
)",
            table = texts::qualified(self, history),
        )
    }
}

impl Dialect for DuckDbDialect {
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
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        match value {
            Value::Bool(truth) => truth.to_string(),
            // The smallest number is no literal, as the sign is not part of one.
            Value::Int(number) => format!("'{number}'::BIGINT"),
            Value::UInt(number) => number.to_string(),
            Value::Float(number) => format!("'{number}'::DOUBLE"),
            Value::Text(text) | Value::Typed(_, text) => quoted(text),
            Value::Bytes(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("\\x{byte:02X}")).collect();
                format!("'{hex}'::BLOB")
            }
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| self.literal(item)).collect();
                format!("[{}]", items.join(", "))
            }
            _ => "NULL".to_owned(),
        }
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        Some(match text {
            Text::Facts { history } => vec![self.facts_text(history)],
            Text::CreateHistory { history } => vec![self.create_history(history)],
            // Nobody waits for a lock there, and nothing limits the time of a statement.
            Text::Begin { limits } | Text::Limit { limits } if limits.statement.is_some() => return None,
            Text::Begin { .. } => vec!["BEGIN TRANSACTION".to_owned()],
            Text::Limit { .. } => Vec::new(),
            Text::ResetSession => {
                let (database, schema) = (self.quote(&self.facts.database), self.quote(&self.facts.schema));
                vec![format!("USE {database}.{schema}")]
            }
            Text::Traces { statement, .. } => vec![traces::text(self, statement)?],
            other => return texts::common(self, &CLOCK, other),
        })
    }
}
