//! The texts of MySQL and MariaDB.
//!
//! One text serves both servers where it can; where they differ, comments that only one of them executes hold the
//! difference, so that the facts can be asked for before it is known who answers.

use std::time::Duration;

use whimbrel_adapter_api::texts::{self, Clock};
use whimbrel_adapter_api::{Dialect, Error, ErrorKind, Facts, Lexer, Limits, RowSet, TableName, Text, Value};

use crate::lexer::{self, Product, Quoting};
use crate::traces;

/// Times are UTC whatever the session's time zone is.
const CLOCK: Clock = Clock::new("UTC_TIMESTAMP(3)")
    .with_after("UTC_TIMESTAMP(3) + INTERVAL {} * 1000 MICROSECOND")
    .with_until("TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), {}) DIV 1000")
    .with_since("TIMESTAMPDIFF(MICROSECOND, {}, UTC_TIMESTAMP(3)) DIV 1000")
    .with_iso("DATE_FORMAT({}, '%Y-%m-%dT%H:%i:%sZ')");

/// Settings of a session that scripts change and forget, with how each value is written.
///
/// `autocommit` is the last: where a script has turned it off, turning it on commits, and all before it counts.
const SETTINGS: &[(&str, Writing)] = &[
    ("sql_mode", Writing::Text),
    ("foreign_key_checks", Writing::Number),
    ("unique_checks", Writing::Number),
    ("sql_notes", Writing::Number),
    ("sql_safe_updates", Writing::Number),
    ("time_zone", Writing::Text),
    ("character_set_client", Writing::Text),
    ("character_set_results", Writing::Text),
    ("collation_connection", Writing::Text),
    ("default_storage_engine", Writing::Text),
    ("group_concat_max_len", Writing::Number),
    ("lock_wait_timeout", Writing::Number),
    ("innodb_lock_wait_timeout", Writing::Number),
    (STATEMENT_LIMIT, Writing::Number),
    (ISOLATION, Writing::Text),
    (READ_ONLY, Writing::Number),
    ("autocommit", Writing::Number),
];

/// The setting that MariaDB calls `max_statement_time` (seconds, every statement) and MySQL `max_execution_time`
/// (milliseconds, SELECT alone).
const STATEMENT_LIMIT: &str = "/*M!100000 max_statement_time *//*!50720 max_execution_time */";
const ISOLATION: &str = "/*M!100000 tx_isolation *//*!50720 transaction_isolation */";
const READ_ONLY: &str = "/*M!100000 tx_read_only *//*!50720 transaction_read_only */";

/// The tables of the current database that have no transactions, a line each. Never NULL.
const WITHOUT_TRANSACTIONS: &str = "COALESCE((SELECT GROUP_CONCAT(t.table_name SEPARATOR '\n') \
     FROM information_schema.tables t JOIN information_schema.engines e ON e.engine = t.engine \
     WHERE t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' \
     AND COALESCE(e.transactions, 'NO') <> 'YES'), '')";

#[derive(Clone, Copy)]
enum Writing {
    Number,
    Text,
}

/// The dialect of one session.
pub(crate) struct MySqlDialect {
    facts: Facts,
    product: Product,
    version: u32,
    sql_mode: String,
    /// The settings as they were after login, ready to be written, in the order of [`SETTINGS`].
    settings: Vec<String>,
    /// The active roles, ready to be written.
    role: String,
}

impl MySqlDialect {
    /// Reads the facts; an empty set is the first call, before they are known.
    pub(crate) fn new(facts: &RowSet) -> Result<Self, Error> {
        let mut dialect = MySqlDialect {
            facts: Facts::default(),
            product: Product::default(),
            version: 0,
            sql_mode: String::new(),
            settings: Vec::new(),
            role: String::new(),
        };
        if facts.columns.is_empty() {
            return Ok(dialect);
        }
        let text = |column: &str| -> Result<Option<String>, Error> {
            let missing = || Error::new(ErrorKind::Misbehaved, format!("the facts have no `{column}`"));
            Ok(facts.first(column).ok_or_else(missing)?.as_text().map(str::to_owned))
        };
        let version = text("version")?.unwrap_or_default();
        (dialect.product, dialect.version) = lexer::product(&version);
        let product = match dialect.product {
            Product::MySql => "MySQL",
            Product::MariaDb => "MariaDB",
        };
        dialect.facts.server = format!("{product} {}", version.split('-').next().unwrap_or_default());
        dialect.facts.database = text("database_name")?.unwrap_or_default();
        dialect.facts.schema = dialect.facts.database.clone();
        dialect.facts.history_schema = text("history_schema")?;
        let largest = facts.first("largest_message").and_then(Value::as_int);
        dialect.facts.largest_message = largest.and_then(|bytes| u64::try_from(bytes).ok());
        dialect.facts.tables_without_transactions =
            text("without_transactions")?.unwrap_or_default().lines().map(str::to_owned).collect();
        dialect.sql_mode = text("setting_0")?.unwrap_or_default();
        for (index, (_, writing)) in SETTINGS.iter().enumerate() {
            let column = format!("setting_{index}");
            dialect.settings.push(match (text(&column)?, writing) {
                (Some(value), Writing::Text) => format!("'{}'", value.replace('\'', "''")),
                (Some(value), Writing::Number) => value,
                (None, _) => "NULL".to_owned(),
            });
        }
        dialect.role = match (text("role")?, dialect.product) {
            (None, _) => "NONE".to_owned(),
            // MySQL gives the list as it is written, and MariaDB the bare name.
            (Some(roles), Product::MySql) => roles,
            (Some(role), Product::MariaDb) => dialect.quote(&role),
        };
        Ok(dialect)
    }

    /// Returns how the session reads quotes.
    pub(crate) fn quoting(&self) -> Quoting {
        Quoting::of(&self.sql_mode)
    }

    fn facts_text(&self, history: &TableName) -> String {
        let schema = history
            .schema
            .as_ref()
            .map_or_else(|| "DATABASE()".to_owned(), |schema| self.literal(&schema.as_str().into()));
        // As text, so that numbers come back as they must be written: max_statement_time has a fraction.
        let settings: Vec<String> = SETTINGS
            .iter()
            .enumerate()
            .map(|(index, (name, _))| format!("CONCAT({}) AS setting_{index}", variable(name)))
            .collect();
        format!(
            "SELECT /*+ SET_VAR(group_concat_max_len = 16777216) */ VERSION() AS version, \
             DATABASE() AS database_name, @@max_allowed_packet AS largest_message, \
             COALESCE(NULL /*M!100005 , CURRENT_ROLE() *//*!80000 , CURRENT_ROLE() */) AS role, \
             (SELECT MIN(table_schema) FROM information_schema.tables WHERE {history}) AS history_schema, \
             IF(EXISTS (SELECT 1 FROM information_schema.tables WHERE {history}), NULL, {WITHOUT_TRANSACTIONS}) \
             AS without_transactions, {settings}",
            history = named(&schema, &self.literal(&history.name.as_str().into())),
            settings = settings.join(", "),
        )
    }

    /// To know the engine of a table MariaDB opens its file: with ten thousand of them that is most of what a run takes
    /// that has nothing to do.
    fn facts_of_pending(&self, history: &TableName, unless_applied: Option<u64>) -> String {
        // The list may be longer than the session's own limit.
        let select = "SELECT /*+ SET_VAR(group_concat_max_len = 16777216) */";
        let Some(applied) = unless_applied else {
            return format!("{select} {WITHOUT_TRANSACTIONS} AS without_transactions");
        };
        format!(
            "{select} IF((SELECT COUNT(*) FROM {table} WHERE direction = 'up' AND state IN ('applied', 'baseline', 'skipped')) >= {applied}, \
             NULL, {WITHOUT_TRANSACTIONS}) AS without_transactions",
            table = texts::qualified(self, history)
        )
    }

    /// Finds tables of the current database, and of those that the statement names, that keep what a transaction takes back.
    fn without_rollback(&self, statement: &str) -> String {
        // Names stand at its start, before the rows.
        let start: String = statement.chars().take(10_000).collect();
        format!(
            "SELECT CONCAT('the table `', t.table_schema, '`.`', t.table_name, '` has no transactions') \
             FROM information_schema.tables t JOIN information_schema.engines e ON e.engine = t.engine \
             WHERE (t.table_schema = DATABASE() OR LOCATE(t.table_schema, {}) > 0) \
             AND t.table_type = 'BASE TABLE' AND COALESCE(e.transactions, 'NO') <> 'YES' LIMIT 10",
            self.literal(&start.as_str().into())
        )
    }

    fn create_history(&self, history: &TableName) -> Vec<String> {
        vec![format!(
            "CREATE TABLE IF NOT EXISTS {table} (
    position            BIGINT       NOT NULL PRIMARY KEY,
    previous            BIGINT,
    migration           VARCHAR(255) NOT NULL,
    attempt             INT          NOT NULL,
    direction           VARCHAR(16)  NOT NULL,
    state               VARCHAR(16)  NOT NULL,
    checksum            VARCHAR(80),
    statements_done     BIGINT       NOT NULL,
    statements_total    BIGINT       NOT NULL,
    statement_checksums LONGTEXT,
    lease_until         DATETIME(3),
    started_at          DATETIME(3)  NOT NULL,
    finished_at         DATETIME(3),
    duration_ms         BIGINT,
    down_script         LONGTEXT,
    applied_by          VARCHAR(512) NOT NULL,
    UNIQUE KEY (migration, attempt),
    FOREIGN KEY (previous) REFERENCES {table} (position)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            table = texts::qualified(self, history),
        )]
    }

    fn reset(&self) -> Vec<String> {
        let assignments: Vec<String> = SETTINGS
            .iter()
            .zip(&self.settings)
            .map(|((name, _), value)| format!("{} = {value}", variable(name)))
            .collect();
        // UNLOCK TABLES commits nothing where no table is locked. Advisory locks are released by the end of `run`: the
        // attempt's own is one of them, and must outlive the text that settles its row.
        let mut texts =
            vec!["UNLOCK TABLES".to_owned(), format!("SET {}", assignments.join(", ")), self.use_database()];
        // Before 8.0 MySQL has no roles.
        if self.product == Product::MariaDb || self.version >= 80_000 {
            texts.push(format!("SET ROLE {}", self.role));
        }
        texts
    }

    fn use_database(&self) -> String {
        format!("USE {}", self.quote(&self.facts.database))
    }

    fn limit(&self, limits: &Limits) -> Vec<String> {
        let mut assignments = Vec::new();
        if let Some(lock) = limits.lock {
            let seconds = whole_seconds(lock);
            assignments.push(format!("@@session.lock_wait_timeout = {seconds}"));
            assignments.push(format!("@@session.innodb_lock_wait_timeout = {seconds}"));
        }
        if let Some(statement) = limits.statement {
            assignments.push(match self.product {
                Product::MariaDb => format!("@@session.max_statement_time = {:.3}", statement.as_secs_f64()),
                Product::MySql => format!("@@session.max_execution_time = {}", statement.as_millis()),
            });
        }
        if assignments.is_empty() { Vec::new() } else { vec![format!("SET {}", assignments.join(", "))] }
    }

    fn string(&self, text: &str) -> String {
        let quoted = text.replace('\'', "''");
        // Only where the escape counts; the other way round it would be doubled for good.
        let escaped =
            if lexer::backslash_escapes(&self.sql_mode) { quoted.replace('\\', "\\\\") } else { quoted };
        format!("'{escaped}'")
    }
}

impl Dialect for MySqlDialect {
    fn lexer(&self) -> Lexer {
        lexer::rules(self.product, self.version, &self.sql_mode)
    }

    fn facts(&self) -> Facts {
        self.facts.clone()
    }

    fn quote(&self, identifier: &str) -> String {
        format!("`{}`", identifier.replace('`', "``"))
    }

    fn literal(&self, value: &Value<'_>) -> String {
        match value {
            Value::Bool(truth) => i64::from(*truth).to_string(),
            Value::Int(number) => number.to_string(),
            Value::UInt(number) => number.to_string(),
            // With an exponent it is a DOUBLE, without one an exact number.
            Value::Float(number) => format!("{number:e}"),
            Value::Text(text) | Value::Typed(_, text) => self.string(text),
            Value::Bytes(bytes) => format!("x'{}'", hex(bytes)),
            _ => "NULL".to_owned(),
        }
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        Some(match text {
            Text::Facts { history } => vec![self.facts_text(history)],
            Text::FactsOfPending { history, unless_applied } => {
                vec![self.facts_of_pending(history, *unless_applied)]
            }
            Text::CreateHistory { history } => self.create_history(history),
            Text::Begin { limits } => {
                let mut texts = self.limit(limits);
                texts.push("START TRANSACTION READ WRITE".to_owned());
                texts
            }
            Text::Limit { limits } => self.limit(limits),
            Text::ResetSession => self.reset(),
            Text::WithoutRollback { statement } => vec![self.without_rollback(statement)],
            Text::Traces { statement, .. } => vec![traces::text(self, statement)?],
            other => return texts::common(self, &CLOCK, other),
        })
    }
}

/// Returns the condition that finds a table in `information_schema.tables`, by two literals or expressions.
///
/// The catalogue compares without regard to case, whatever the server does with names; and where the server does not
/// regard it either, two spellings are one table.
pub(crate) fn named(schema: &str, name: &str) -> String {
    format!(
        "table_schema = {schema} AND table_name = {name} \
         AND (@@lower_case_table_names <> 0 OR CAST(table_name AS BINARY) = CAST({name} AS BINARY))"
    )
}

/// Returns `@@session.` before a name, also inside the comments that make it out.
fn variable(name: &str) -> String {
    if !name.starts_with('/') {
        return format!("@@session.{name}");
    }
    let spelled = |part: &str| match part.split_once(' ') {
        Some((opening, rest)) => format!("{opening} @@session.{rest}"),
        None => part.to_owned(),
    };
    name.split_inclusive("*/").map(spelled).collect()
}

/// The servers count in seconds, and take 0 for "not at all" or refuse it.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_spelled_inside_its_comments() {
        assert_eq!(variable("autocommit"), "@@session.autocommit");
        assert_eq!(
            variable(ISOLATION),
            "/*M!100000 @@session.tx_isolation *//*!50720 @@session.transaction_isolation */"
        );
    }

    #[test]
    fn a_lock_limit_is_never_rounded_down() {
        assert_eq!(whole_seconds(Duration::from_millis(200)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(2001)), 3);
    }
}
