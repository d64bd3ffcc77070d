//! ClickHouse's texts, and how a history is kept where nothing can be changed and nothing is unique.
//!
//! Two tables. The history itself is only added to: a row of it is a *version*, and of several versions of a position the
//! latest counts, or the first one that is settled. Beside it stands the *fence*, without rows: taking a position adds a
//! column to it, which the server does once for each name, whoever asks at the same moment. The comment of the column names
//! the session and the position; only versions that bear the same name count. A runner that dies between the two leaves a
//! version that nobody sees.

use std::time::Duration;

use whimbrel_adapter_api::texts::{self, qualified};
use whimbrel_adapter_api::{
    Count, Dialect, Error, ErrorKind, Facts, HISTORY_COLUMNS, Lexer, Limits, NewRow, RowSet, RowState,
    TableName, Text, Value, ValueKind,
};

use crate::{lexer, traces};

/// The wall clock, in the type of the history's times.
const NOW: &str = "now64(3, 'UTC')";

/// The number of a first version: the later, the higher.
const VERSION: &str = "toUnixTimestamp64Nano(now64(9, 'UTC'))";

/// The dialect of one session.
pub(crate) struct ClickHouseDialect {
    facts: Facts,
    /// What tells the session's versions from those of others.
    session: String,
    /// The cluster on which the history's tables are made and changed.
    cluster: Option<String>,
}

impl ClickHouseDialect {
    /// Reads the facts; an empty set is the first call, before they are known.
    pub(crate) fn new(facts: &RowSet, session: &str, cluster: Option<&str>) -> Result<Self, Error> {
        let mut known = Facts::default();
        if !facts.columns.is_empty() {
            let cell = |column: &str| {
                let missing = || Error::new(ErrorKind::Misbehaved, format!("the facts have no `{column}`"));
                let value = facts.first(column).ok_or_else(missing)?;
                Ok::<_, Error>(value.as_text().map(str::to_owned))
            };
            known.server = format!("ClickHouse {}", cell("version")?.unwrap_or_default());
            known.database = cell("database")?.unwrap_or_default();
            known.schema.clone_from(&known.database);
            known.history_schema = cell("history_schema")?;
        }
        Ok(ClickHouseDialect {
            facts: known,
            session: session.to_owned(),
            cluster: cluster.map(str::to_owned),
        })
    }

    fn facts_text(&self, history: &TableName) -> String {
        let database = database_of(history);
        format!(
            "SELECT version() AS version, currentDatabase() AS database, \
             (SELECT database FROM system.tables WHERE database = {database} AND name = {}) AS history_schema",
            text_literal(&history.name),
        )
    }

    fn on_cluster(&self) -> String {
        self.cluster
            .as_ref()
            .map(|cluster| format!(" ON CLUSTER {}", self.quote(cluster)))
            .unwrap_or_default()
    }

    fn create_history(&self, history: &TableName) -> Vec<String> {
        let engine = if self.cluster.is_some() { "ReplicatedMergeTree" } else { "MergeTree" };
        let on_cluster = self.on_cluster();
        let (table, fence_name) = (qualified(self, history), fence(history));
        let fence = qualified(self, &fence_name);
        vec![
            // Somebody has dropped the history alone. Every position would be found taken, and nobody there who has it.
            format!(
                "SELECT throwIf(countIf(table = {fence_table} AND startsWith(name, 'p')) > 0 \
                 AND countIf(table = {history_table}) = 0, {words}) FROM system.columns WHERE database = {database} \
                 AND table IN ({history_table}, {fence_table})",
                fence_table = text_literal(&fence_name.name),
                history_table = text_literal(&history.name),
                database = database_of(history),
                words = text_literal(&format!(
                    "the history is gone, and {fence} beside it is not: if it was meant to go, drop that table too"
                )),
            ),
            // Before the other one, so that whoever sees that one sees this one too.
            format!(
                "CREATE TABLE IF NOT EXISTS {table}{on_cluster} (
    position            Int64,
    previous            Nullable(Int64),
    migration           String,
    attempt             Int64,
    direction           String,
    state               String,
    checksum            Nullable(String),
    statements_done     Int64,
    statements_total    Int64,
    statement_checksums Nullable(String),
    lease_until         Nullable(DateTime64(3, 'UTC')),
    started_at          DateTime64(3, 'UTC'),
    finished_at         Nullable(DateTime64(3, 'UTC')),
    duration_ms         Nullable(Int64),
    down_script         Nullable(String),
    applied_by          String,
    session             String,
    version             Int64
) ENGINE = {engine} ORDER BY (position, version)"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {fence}{on_cluster} (nothing UInt8) ENGINE = {engine} ORDER BY tuple()"
            ),
        ]
    }

    /// Returns the rows as they stand: of each position the version that counts.
    fn latest(&self, history: &TableName) -> String {
        let fence = fence(history);
        let database = database_of(&fence);
        format!(
            "(SELECT * FROM {table} WHERE (concat('p', toString(position)), session) IN \
             (SELECT name, comment FROM system.columns WHERE database = {database} AND table = {fence}) \
             ORDER BY position, state = 'started', if(state = 'started', -version, version) LIMIT 1 BY position)",
            table = qualified(self, history),
            fence = text_literal(&fence.name),
        )
    }

    fn history(&self, history: &TableName) -> String {
        let iso =
            |column: &str| format!("formatDateTime({column}, '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS {column}_text");
        let columns = [
            "position",
            "migration",
            "attempt",
            "direction",
            "state",
            "checksum",
            "statements_done",
            "statements_total",
            "dateDiff('millisecond', now64(3, 'UTC'), lease_until) AS lease_ms",
            &iso("started_at"),
            &iso("finished_at"),
            "duration_ms",
            "applied_by",
            "if(down_script IS NULL, 0, 1) AS has_down",
        ];
        // An alias that is a column's own name would be seen by the sorting inside.
        let renamed = HISTORY_COLUMNS.iter().map(|name| match *name {
            "started_at" | "finished_at" => format!("{name}_text AS {name}"),
            name => name.to_owned(),
        });
        format!(
            "SELECT {} FROM (SELECT {} FROM {}) ORDER BY position",
            renamed.collect::<Vec<_>>().join(", "),
            columns.join(", "),
            self.latest(history)
        )
    }

    fn record(&self, history: &TableName, row: &NewRow<'_>) -> Vec<String> {
        let literal = |value: Value<'_>| self.literal(&value);
        let count = |number: u64| number.to_string();
        let settled = row.state != RowState::Started;
        let name = self.name_of(row.position);
        let columns = [
            ("position", row.position.to_string()),
            ("previous", literal(row.previous.into())),
            ("migration", literal(row.migration.into())),
            ("attempt", row.attempt.to_string()),
            ("direction", literal(row.direction.word().into())),
            ("state", literal(row.state.word().into())),
            ("checksum", literal(row.checksum.into())),
            ("statements_done", count(row.statements_done)),
            ("statements_total", count(row.statements_total)),
            ("statement_checksums", literal(row.statement_checksums.into())),
            ("lease_until", row.lease.map_or_else(|| "NULL".to_owned(), after)),
            ("started_at", NOW.to_owned()),
            ("finished_at", if settled { NOW } else { "NULL" }.to_owned()),
            ("duration_ms", if settled { "0" } else { "NULL" }.to_owned()),
            ("down_script", literal(row.down_script.into())),
            ("applied_by", literal(row.applied_by.into())),
            ("session", text_literal(&name)),
            ("version", VERSION.to_owned()),
        ];
        let (names, values): (Vec<&str>, Vec<String>) = columns.into_iter().unzip();
        vec![
            // A SELECT and no VALUES: these may be kept back by the server, to be written later.
            format!(
                "INSERT INTO {} ({}) SELECT {}",
                qualified(self, history),
                names.join(", "),
                values.join(", ")
            ),
            format!(
                "ALTER TABLE {}{} ADD COLUMN p{} UInt8 COMMENT {}",
                qualified(self, &fence(history)),
                self.on_cluster(),
                row.position,
                text_literal(&name)
            ),
        ]
    }

    /// Returns the name that this session's versions of a position bear.
    fn name_of(&self, position: i64) -> String {
        format!("{}:{position}", self.session)
    }

    /// Returns the text that adds a version of the started row at `position`, with these columns in place of what they were.
    fn change(&self, history: &TableName, position: i64, columns: &[(&str, String)]) -> String {
        // A clock that was set back must not put it before the one that it is made from.
        let next = ("version", format!("greatest(latest.version + 1, {VERSION})"));
        let columns = columns.iter().chain([&next]).map(|(name, value)| format!("{value} AS {name}"));
        format!(
            // The condition stands inside: outside, `state` would be the new one.
            "INSERT INTO {} SELECT * REPLACE ({}) FROM (SELECT * FROM {} WHERE position = {position} \
             AND state = 'started') AS latest",
            qualified(self, history),
            columns.collect::<Vec<_>>().join(", "),
            self.latest(history)
        )
    }

    fn stored(&self, history: &TableName, column: &str, position: i64) -> String {
        format!("SELECT {column} FROM {} WHERE position = {position}", self.latest(history))
    }
}

impl Dialect for ClickHouseDialect {
    fn lexer(&self) -> Lexer {
        lexer::rules()
    }

    fn facts(&self) -> Facts {
        self.facts.clone()
    }

    fn quote(&self, identifier: &str) -> String {
        format!("`{}`", identifier.replace('\\', "\\\\").replace('`', "\\`"))
    }

    fn literal(&self, value: &Value<'_>) -> String {
        literal(value)
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        Some(match text {
            Text::Facts { history } => vec![self.facts_text(history)],
            Text::History { history } => vec![self.history(history)],
            Text::CreateHistory { history } => self.create_history(history),
            Text::Record { history, row } => self.record(history, row),
            Text::Mark { history, position, statements_done, lease } => {
                let columns = [("statements_done", done(*statements_done)), ("lease_until", after(*lease))];
                vec![self.change(history, *position, &columns)]
            }
            Text::Finish { history, position, state, statements_done } => {
                let columns = [
                    ("state", text_literal(state.word())),
                    ("statements_done", done(*statements_done)),
                    ("lease_until", "NULL".to_owned()),
                    ("finished_at", NOW.to_owned()),
                    ("duration_ms", format!("dateDiff('millisecond', started_at, {NOW})")),
                ];
                vec![self.change(history, *position, &columns)]
            }
            Text::DownScript { history, position } => vec![self.stored(history, "down_script", *position)],
            Text::StatementChecksums { history, position } => {
                vec![self.stored(history, "statement_checksums", *position)]
            }
            Text::Limit { limits } => limit(limits),
            Text::ResetSession => vec![format!("USE {}", self.quote(&self.facts.database))],
            Text::Traces { statement, .. } => vec![traces::text(self, statement)?],
            _ => return None,
        })
    }
}

/// Returns the database of a table as an expression.
fn database_of(table: &TableName) -> String {
    table.schema.as_deref().map_or_else(|| "currentDatabase()".to_owned(), text_literal)
}

/// Returns the table beside a history that has a column for each position.
fn fence(history: &TableName) -> TableName {
    let mut fence = history.clone();
    fence.name += "_fence";
    fence
}

fn limit(limits: &Limits) -> Vec<String> {
    let limits = [("lock_acquire_timeout", limits.lock), ("max_execution_time", limits.statement)];
    let set =
        |(name, limit): (&str, Option<Duration>)| Some(format!("SET {name} = {}", limit?.as_secs_f64()));
    limits.into_iter().filter_map(set).collect()
}

fn done(statements: Count) -> String {
    format!("toInt64({})", texts::count(statements))
}

fn after(duration: Duration) -> String {
    format!("addMilliseconds({NOW}, {})", duration.as_millis())
}

/// Returns a text as a literal.
pub(crate) fn text_literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for letter in text.chars() {
        match letter {
            '\\' => literal.push_str("\\\\"),
            '\'' => literal.push_str("\\'"),
            '\0' => literal.push_str("\\0"),
            letter => literal.push(letter),
        }
    }
    literal.push('\'');
    literal
}

/// Returns a value as ClickHouse's literal.
pub(crate) fn literal(value: &Value<'_>) -> String {
    let as_type = |text: &str, kind: &str| format!("CAST({}, '{kind}')", text_literal(text));
    let digits = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    match value {
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => format!("toInt64({number})"),
        Value::UInt(number) => format!("toUInt64({number})"),
        Value::Float(number) => format!("toFloat64('{number}')"),
        Value::Text(text) => text_literal(text),
        Value::Bytes(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("unhex('{hex}')")
        }
        Value::Typed(ValueKind::Decimal, text) => as_type(text, &format!("Decimal(76, {})", digits(text))),
        Value::Typed(ValueKind::Date, text) => as_type(text, "Date32"),
        Value::Typed(ValueKind::Timestamp, text) => {
            as_type(text, &format!("DateTime64({}, \\'UTC\\')", digits(text)))
        }
        Value::Typed(ValueKind::Uuid, text) => as_type(text, "UUID"),
        Value::Typed(_, text) => text_literal(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", "))
        }
        _ => "NULL".to_owned(),
    }
}
