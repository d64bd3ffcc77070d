//! The texts about the history that engines with ordinary SQL share.
//!
//! A [`Dialect`] writes by hand what is its own (creating the table, beginning a transaction, resetting a session) and
//! answers the rest of [`Text`] with [`common`] and its [`Clock`].

use std::time::Duration;

use crate::connection::TableName;
use crate::dialect::{BRIEF_DIGITS, Count, Dialect, NewRow, RowDirection, RowState, Text};
use crate::subject::{self, Change, Identifier, Kind, Subject};
use crate::value::Value;

/// How an engine reckons with time. In each template `{}` stands for the argument.
///
/// All five are needed: the texts with one that is left out are none that an engine understands.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Clock {
    /// The wall clock, in the type of the history's time columns.
    pub now: &'static str,
    /// The wall clock plus `{}` milliseconds.
    pub after: &'static str,
    /// Milliseconds from now until the time `{}`, as a whole number.
    pub until: &'static str,
    /// Milliseconds from the time `{}` until now, as a whole number.
    pub since: &'static str,
    /// The time `{}` as text: `2026-01-31T13:05:00Z`.
    pub iso: &'static str,
}

// Each by its name: of five templates in a row two would be mixed up.
impl Clock {
    /// Returns a clock that tells the time by [`now`](Clock::now), and nothing else yet.
    #[must_use]
    pub const fn new(now: &'static str) -> Self {
        Clock { now, after: "", until: "", since: "", iso: "" }
    }

    /// Sets [`after`](Clock::after).
    #[must_use]
    pub const fn with_after(self, after: &'static str) -> Self {
        Clock { after, ..self }
    }

    /// Sets [`until`](Clock::until).
    #[must_use]
    pub const fn with_until(self, until: &'static str) -> Self {
        Clock { until, ..self }
    }

    /// Sets [`since`](Clock::since).
    #[must_use]
    pub const fn with_since(self, since: &'static str) -> Self {
        Clock { since, ..self }
    }

    /// Sets [`iso`](Clock::iso).
    #[must_use]
    pub const fn with_iso(self, iso: &'static str) -> Self {
        Clock { iso, ..self }
    }
}

/// Returns a table's name in quotes, with its schema where it has one.
#[must_use]
pub fn qualified(dialect: &dyn Dialect, table: &TableName) -> String {
    match &table.schema {
        Some(schema) => format!("{}.{}", dialect.quote(schema), dialect.quote(&table.name)),
        None => dialect.quote(&table.name),
    }
}

/// Returns the texts that do not depend on the engine but for its clock and its quotes, or `None` for one that does.
#[must_use]
pub fn common(dialect: &dyn Dialect, clock: &Clock, text: &Text<'_>) -> Option<Vec<String>> {
    if let Text::BriefHistory { history } = text {
        return Some(brief(dialect, clock, history));
    }
    Some(vec![match text {
        Text::Commit => "COMMIT".to_owned(),
        Text::History { history: table } => history(dialect, clock, table, ""),
        Text::Record { history, row } => record(dialect, clock, history, row),
        Text::Mark { history, position, statements_done, lease } => {
            mark(dialect, clock, history, *position, *statements_done, *lease)
        }
        Text::Finish { history, position, state, statements_done } => {
            finish(dialect, clock, history, *position, *state, *statements_done)
        }
        Text::DownScript { history, position } => stored(dialect, history, "down_script", *position),
        Text::StatementChecksums { history, position } => {
            stored(dialect, history, "statement_checksums", *position)
        }
        _ => return None,
    }])
}

fn history(dialect: &dyn Dialect, clock: &Clock, history: &TableName, condition: &str) -> String {
    format!(
        "SELECT position, migration, attempt, direction, state, checksum, statements_done, statements_total, \
         {until} AS lease_ms, {started} AS started_at, {finished} AS finished_at, duration_ms, applied_by, \
         CASE WHEN down_script IS NULL THEN 0 ELSE 1 END AS has_down FROM {table}{condition} ORDER BY position",
        until = fill(clock.until, "lease_until"),
        started = fill(clock.iso, "started_at"),
        finished = fill(clock.iso, "finished_at"),
        table = qualified(dialect, history),
    )
}

fn brief(dialect: &dyn Dialect, clock: &Clock, table: &TableName) -> Vec<String> {
    let literal = |text: &str| dialect.literal(&text.into());
    let is_plain = format!(
        "CASE WHEN direction = {up} AND state = {applied} AND attempt = 1 AND checksum LIKE {version} \
         AND (previous = position - 1 OR position = 1) THEN 1 ELSE 0 END",
        up = literal(RowDirection::Up.word()),
        applied = literal(RowState::Applied.word()),
        version = literal("v1:%"),
    );
    let name = qualified(dialect, table);
    let first_digit = "v1:".len() + 1;
    vec![
        history(dialect, clock, table, &format!(" WHERE {is_plain} = 0")),
        format!(
            "SELECT migration, substr(checksum, {first_digit}, {BRIEF_DIGITS}) AS digits FROM {name} \
             WHERE {is_plain} = 1 ORDER BY position"
        ),
        format!("SELECT count(*) AS number, coalesce(max(position), 0) AS highest FROM {name}"),
    ]
}

fn record(dialect: &dyn Dialect, clock: &Clock, history: &TableName, row: &NewRow<'_>) -> String {
    let literal = |value: Value<'_>| dialect.literal(&value);
    let count = |number: u64| literal(Value::Int(i64::try_from(number).unwrap_or(i64::MAX)));
    let settled = row.state != RowState::Started;
    let columns = [
        ("position", literal(row.position.into())),
        ("previous", literal(row.previous.into())),
        ("migration", literal(row.migration.into())),
        ("attempt", literal(row.attempt.into())),
        ("direction", literal(row.direction.word().into())),
        ("state", literal(row.state.word().into())),
        ("checksum", literal(row.checksum.into())),
        ("statements_done", count(row.statements_done)),
        ("statements_total", count(row.statements_total)),
        ("statement_checksums", literal(row.statement_checksums.into())),
        ("lease_until", row.lease.map_or_else(|| "NULL".to_owned(), |lease| after(clock, lease))),
        ("started_at", clock.now.to_owned()),
        ("finished_at", if settled { clock.now } else { "NULL" }.to_owned()),
        ("duration_ms", if settled { "0" } else { "NULL" }.to_owned()),
        ("down_script", literal(row.down_script.into())),
        ("applied_by", literal(row.applied_by.into())),
    ];
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let values: Vec<&str> = columns.iter().map(|(_, value)| value.as_str()).collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({})",
        qualified(dialect, history),
        names.join(", "),
        values.join(", ")
    )
}

fn mark(
    dialect: &dyn Dialect,
    clock: &Clock,
    history: &TableName,
    position: i64,
    statements_done: Count,
    lease: Duration,
) -> String {
    format!(
        "UPDATE {} SET statements_done = {}, lease_until = {} WHERE position = {position} AND state = {}",
        qualified(dialect, history),
        count(statements_done),
        after(clock, lease),
        started(dialect),
    )
}

fn finish(
    dialect: &dyn Dialect,
    clock: &Clock,
    history: &TableName,
    position: i64,
    state: RowState,
    statements_done: Count,
) -> String {
    format!(
        "UPDATE {} SET state = {}, statements_done = {}, lease_until = NULL, finished_at = {}, \
         duration_ms = {} WHERE position = {position} AND state = {}",
        qualified(dialect, history),
        dialect.literal(&state.word().into()),
        count(statements_done),
        clock.now,
        fill(clock.since, "started_at"),
        started(dialect),
    )
}

fn started(dialect: &dyn Dialect) -> String {
    dialect.literal(&RowState::Started.word().into())
}

/// Returns how many statements are complete, as a number or a sum.
#[must_use]
pub fn count(statements: Count) -> String {
    match statements {
        Count::Exactly(done) => done.to_string(),
        Count::Beyond(0) => "{done}".to_owned(),
        Count::Beyond(before) => format!("{before} + {{done}}"),
    }
}

fn stored(dialect: &dyn Dialect, history: &TableName, column: &str, position: i64) -> String {
    format!("SELECT {column} FROM {} WHERE position = {position}", qualified(dialect, history))
}

/// Returns the text that finds the traces of a statement, or `None` where its words do not tell what it is about.
/// `exists` gives the condition under which what it makes or takes away is there.
#[must_use]
pub fn traces(
    dialect: &dyn Dialect,
    statement: &str,
    exists: impl FnOnce(&Subject) -> Option<String>,
) -> Option<String> {
    // Whether one that may be run twice was carried out makes no difference.
    if subject::may_be_repeated(statement) {
        return Some(trace(dialect, "nothing", 0, "1 = 0"));
    }
    traces_by_name(dialect, statement, exists)
}

/// Returns the text that looks whether what a statement makes or takes away is there, also of one that says itself that it
/// may be run twice: where a table is made first and filled then, the second run would pass over one that was left half
/// full.
#[must_use]
pub fn traces_by_name(
    dialect: &dyn Dialect,
    statement: &str,
    exists: impl FnOnce(&Subject) -> Option<String>,
) -> Option<String> {
    let subject = Subject::of(statement)?;
    let exists = exists(&subject)?;
    let called = called(&subject);
    Some(match subject.change {
        Change::Made => trace(dialect, &format!("{called} is there"), 0, &exists),
        // Whoever took it away, that is all there was to do.
        Change::TakenAway => trace(dialect, &format!("{called} is gone"), 1, &format!("NOT ({exists})")),
        Change::Remade => return None,
    })
}

fn trace(dialect: &dyn Dialect, what: &str, is_done: u32, condition: &str) -> String {
    let what = dialect.literal(&what.into());
    format!("SELECT {what}, NULL, {is_done} FROM (SELECT 1 AS one) one WHERE {condition}")
}

/// Returns what a subject is called in messages: ``the column `t.c` ``.
#[must_use]
pub fn called(subject: &Subject) -> String {
    let kind = match subject.kind {
        Kind::Table => "table",
        Kind::View => "view",
        Kind::Index => "index",
        Kind::Column => "column",
    };
    let table = subject.table.iter().flatten().filter(|_| subject.kind == Kind::Column);
    let parts: Vec<&str> = table.chain(&subject.name).map(|part| part.text.as_str()).collect();
    format!("the {kind} `{}`", parts.join("."))
}

/// Returns a name without and with its schema: the last two parts of it.
#[must_use]
pub fn schema_and_name(name: &[Identifier]) -> Option<(Option<&Identifier>, &Identifier)> {
    match name {
        [name] => Some((None, name)),
        [.., schema, name] => Some((Some(schema), name)),
        [] => None,
    }
}

fn after(clock: &Clock, duration: Duration) -> String {
    fill(clock.after, &duration.as_millis().to_string())
}

fn fill(template: &str, argument: &str) -> String {
    template.replace("{}", argument)
}
