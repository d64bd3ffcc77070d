//! The texts, most of them by the helpers of the contract.

use whimbrel_adapter_api::texts::{self, Clock};
use whimbrel_adapter_api::{Class, Dialect, Facts, Feature, Lexer, RowSet, TableName, Text, Value};

use crate::Trap;

const CLOCK: Clock = Clock::new("strftime('%Y-%m-%dT%H:%M:%fZ', 'now')")
    .with_after("strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+' || ({} / 1000.0) || ' seconds')")
    .with_until("CAST(round((julianday({}) - julianday('now')) * 86400000) AS INTEGER)")
    .with_since("CAST(round((julianday('now') - julianday({})) * 86400000) AS INTEGER)")
    .with_iso("strftime('%Y-%m-%dT%H:%M:%SZ', {})");

pub(crate) struct ProbeDialect {
    facts: Facts,
    trap: Trap,
}

impl ProbeDialect {
    pub(crate) fn new(facts: &RowSet, trap: Trap) -> Self {
        let cell = |column: &str| facts.first(column).and_then(Value::as_text).map(str::to_owned);
        let mut known = Facts::default();
        known.server = "Probe".to_owned();
        known.database = cell("database").unwrap_or_default();
        known.schema = "main".to_owned();
        known.history_schema = cell("history_schema");
        ProbeDialect { facts: known, trap }
    }

    fn facts_text(&self, history: &TableName) -> String {
        format!(
            "SELECT coalesce((SELECT file FROM pragma_database_list WHERE name = 'main'), '') AS database, \
             (SELECT 'main' FROM sqlite_schema WHERE type = 'table' AND name = {}) AS history_schema",
            self.literal(&history.name.as_str().into()),
        )
    }

    fn create_history(&self, history: &TableName) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (position INTEGER NOT NULL PRIMARY KEY, previous INTEGER REFERENCES {} \
             (position), migration TEXT NOT NULL, attempt INTEGER NOT NULL, direction TEXT NOT NULL, \
             state TEXT NOT NULL, checksum TEXT, statements_done INTEGER NOT NULL, \
             statements_total INTEGER NOT NULL, statement_checksums TEXT, lease_until TEXT, started_at TEXT NOT NULL, finished_at TEXT, \
             duration_ms INTEGER, down_script TEXT, applied_by TEXT NOT NULL, UNIQUE (migration, attempt))",
            texts::qualified(self, history),
            self.quote(&history.name),
        )
    }
}

impl Dialect for ProbeDialect {
    fn lexer(&self) -> Lexer {
        let patterns = [
            ("BEGIN", Class::Begin),
            ("COMMIT", Class::Commit),
            ("END", Class::Commit),
            ("ROLLBACK", Class::Rollback),
            ("INSERT|REPLACE|UPDATE|DELETE", Class::Transactional),
        ];
        Lexer::new(&[Feature::BacktickNames, Feature::BracketNames, Feature::CompoundBodies], &patterns)
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
            Value::Float(number) => format!("{number:?}"),
            Value::Text(text) | Value::Typed(_, text) => format!("'{}'", text.replace('\'', "''")),
            _ => "NULL".to_owned(),
        }
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        self.trap.spring("text");
        if self.trap.lies("no-texts") {
            return None;
        }
        let leaves_out = match text {
            Text::Record { .. } => "no-record",
            Text::Finish { .. } => "no-finish",
            Text::Begin { .. } => "no-begin",
            _ => "empty-texts",
        };
        if self.trap.lies("empty-texts") || self.trap.lies(leaves_out) {
            return Some(Vec::new());
        }
        Some(match text {
            Text::Facts { history } => vec![self.facts_text(history)],
            Text::CreateHistory { history } => vec![self.create_history(history)],
            Text::Begin { .. } => vec!["BEGIN IMMEDIATE".to_owned()],
            Text::Limit { .. } | Text::ResetSession => Vec::new(),
            other => return texts::common(self, &CLOCK, other),
        })
    }
}
