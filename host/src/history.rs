//! What the database says was done.
//!
//! The history is a log: every attempt adds a row, and nothing is ever taken out. [`History`] holds the rows and folds
//! them into the [`Standing`] of each migration. [`Session::open`] reads them, together with the facts of the session,
//! in one turn.
//!
//! Knows nothing of files; comparing with them is the [`plan`](crate::plan)'s affair.

mod brief;
mod traces;

use std::collections::HashMap;

use whimbrel_adapter_api::{
    Connection, Dialect, ErrorKind, Facts, HISTORY_COLUMNS, ReadError, RowDirection, RowSet, RowState, Rows,
    TableName, Text, Value,
};

use crate::error::{Name, Problem, Result};
use crate::splitter::Rules;

pub use traces::{Trace, Verdict};

/// The rows of the history table, by position.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Whether the table is there.
    pub table: Table,
    /// The rows.
    pub rows: Vec<HistoryRow>,
    /// How much of each row was read.
    pub detail: Detail,
    last: HashMap<String, Last>,
}

/// What counts about a migration among its rows.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Last {
    /// The number in `rows` of the row that decides how it stands. An attempt that left nothing behind decides nothing.
    row: Option<usize>,
    /// The number of the last row that settled it, one way or the other.
    settled: Option<usize>,
    /// The row since which it stands as it does: not the last one when that only confirms it.
    since: usize,
    /// The number of its last attempt.
    attempt: i64,
    /// The number in `rows` of the row of that attempt, whatever it left.
    latest: usize,
}

/// Whether the history table is there. Absent and empty are not the same: only one of them needs DDL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Table {
    /// There is none yet.
    #[default]
    Absent,
    /// It is there, perhaps empty.
    Present,
}

/// How much of a history was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// All of it.
    #[default]
    Whole,
    /// Of migrations that were applied and nothing more, only id and checksum. Enough to tell that all is well, and what
    /// is pending.
    Brief,
}

/// One row of the history.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HistoryRow {
    /// Its number.
    pub position: i64,
    /// The migration's id.
    pub migration: String,
    /// The how-manieth row about this migration this is.
    pub attempt: i64,
    /// What was done.
    pub direction: RowDirection,
    /// How it went.
    pub state: RowState,
    /// The checksum at that time.
    pub checksum: Option<String>,
    /// How many statements are complete.
    pub statements_done: u64,
    /// How many statements the script had.
    pub statements_total: u64,
    /// What is left of the lease in milliseconds, by the server's clock.
    pub lease_ms: Option<i64>,
    /// When it began, in UTC.
    pub started_at: Option<String>,
    /// When it ended, in UTC.
    pub finished_at: Option<String>,
    /// How long it took, by the server's clock.
    pub duration_ms: Option<i64>,
    /// Who did it.
    pub applied_by: String,
    /// Whether a down script is stored.
    pub down: StoredDown,
    /// Whether somebody may still be at work on it. Only a started row has a runner.
    pub runner: Runner,
}

impl HistoryRow {
    /// Returns whether this attempt failed before its first statement.
    fn left_nothing(&self) -> bool {
        self.state == RowState::Failed && self.statements_done == 0
    }

    /// Returns the row with the knowledge that nobody is at work on it any more.
    #[must_use]
    pub fn abandoned(self) -> Self {
        HistoryRow { runner: Runner::Gone, ..self }
    }

    /// Returns whether the attempt is over, and complete.
    fn settles(&self) -> bool {
        !matches!(self.state, RowState::Started | RowState::Failed)
    }
}

/// Whether the runner of a started row may still be at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runner {
    /// As far as the row tells.
    #[default]
    Supposed,
    /// Its lease is over, and the server knows nothing of it any more.
    Gone,
}

/// Whether a row stores a down script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredDown {
    /// It does.
    Present,
    /// It does not.
    Absent,
}

/// How a migration stands, by its last row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing<'a> {
    /// Never applied, or taken back.
    Pending,
    /// In the database.
    Applied(&'a HistoryRow),
    /// Left out on purpose.
    Skipped(&'a HistoryRow),
    /// A runner is at work on it, or died over it.
    Started(&'a HistoryRow),
    /// In the database in part: some statements ran before one failed, or before the runner died.
    Failed(&'a HistoryRow),
}

impl History {
    /// Returns the history with these rows, which must be ordered by position.
    #[must_use]
    pub fn new(rows: Vec<HistoryRow>) -> Self {
        let mut last: HashMap<String, Last> = HashMap::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let entry = last.entry(row.migration.clone()).or_insert(Last {
                row: None,
                settled: None,
                since: index,
                attempt: 0,
                latest: index,
            });
            (entry.attempt, entry.latest) = (row.attempt, index);
            if !row.left_nothing() {
                let before = entry.row.replace(index);
                // An accepted checksum is a new row about a migration that stands where it stood.
                let is_applied = |row| matches!(standing(row), Standing::Applied(_));
                let confirms = is_applied(row) && before.is_some_and(|before| is_applied(&rows[before]));
                if !confirms {
                    entry.since = index;
                }
                entry.settled = if row.settles() { Some(index) } else { entry.settled };
            }
        }
        History { table: Table::Present, rows, detail: Detail::Whole, last }
    }

    /// Returns the history as it will be when these migrations are taken back, in this order.
    #[must_use]
    pub fn with_reverted<'a>(&self, migrations: impl Iterator<Item = &'a str>) -> Self {
        let mut rows = self.rows.clone();
        for (migration, position) in migrations.zip(self.last_position() + 1..) {
            rows.extend(self.last_row(migration).map(|row| HistoryRow {
                position,
                attempt: self.next_attempt(migration),
                direction: RowDirection::Down,
                state: RowState::Reverted,
                ..row.clone()
            }));
        }
        History::new(rows)
    }

    /// Returns the history with the knowledge that nobody is at work on the started row at `position` any more.
    #[must_use]
    pub fn with_abandoned(mut self, position: i64) -> Self {
        let abandoned = |row: HistoryRow| if row.position == position { row.abandoned() } else { row };
        self.rows = self.rows.into_iter().map(abandoned).collect();
        self
    }

    /// Returns how a migration stands.
    #[must_use]
    pub fn standing(&self, migration: &str) -> Standing<'_> {
        self.last_row(migration).map_or(Standing::Pending, standing)
    }

    /// Returns how a migration stood before the attempt that is under way or half done, if one is.
    #[must_use]
    pub fn settled_standing(&self, migration: &str) -> Standing<'_> {
        self.settled_row(migration).map_or(Standing::Pending, standing)
    }

    /// Returns the last row that settled a migration, one way or the other.
    #[must_use]
    pub fn settled_row(&self, migration: &str) -> Option<&HistoryRow> {
        self.last.get(migration)?.settled.and_then(|index| self.rows.get(index))
    }

    /// Returns the row that decides how a migration stands.
    #[must_use]
    pub fn last_row(&self, migration: &str) -> Option<&HistoryRow> {
        self.last.get(migration)?.row.and_then(|index| self.rows.get(index))
    }

    /// Returns the attempt at a migration that did not come to its end, if the last one did not: none of its statements is
    /// in the database, or some are.
    #[must_use]
    pub fn unfinished(&self, migration: &str) -> Option<&HistoryRow> {
        let row = self.rows.get(self.last.get(migration)?.latest)?;
        (row.left_nothing() || matches!(standing(row), Standing::Failed(_))).then_some(row)
    }

    /// Returns the number that the next attempt at a migration gets.
    #[must_use]
    pub fn next_attempt(&self, migration: &str) -> i64 {
        self.last.get(migration).map_or(1, |last| last.attempt + 1)
    }

    /// Returns the number of the last row, 0 in an empty history.
    #[must_use]
    pub fn last_position(&self) -> i64 {
        self.rows.last().map_or(0, |row| row.position)
    }

    /// Returns whether another run has added or settled a row since `before` was read.
    #[must_use]
    pub fn has_moved_since(&self, before: &History) -> bool {
        let state = |row: &HistoryRow| (row.position, row.state, row.statements_done);
        !self.rows.iter().map(state).eq(before.rows.iter().map(state))
    }

    /// Returns the deciding row of each migration, in the order in which they came to stand as they do.
    pub fn last_rows(&self) -> impl DoubleEndedIterator<Item = &HistoryRow> {
        let mut rows: Vec<(usize, &HistoryRow)> = self.deciding().collect();
        rows.sort_by_key(|(since, _)| *since);
        rows.into_iter().map(|(_, row)| row)
    }

    /// Returns the deciding row of each migration, with the number in `rows` of the one since which it stands so.
    fn deciding(&self) -> impl Iterator<Item = (usize, &HistoryRow)> {
        self.last.values().filter_map(|last| Some((last.since, self.rows.get(last.row?)?)))
    }

    /// Returns the rows that are in the database, in the order in which they were applied.
    pub fn applied(&self) -> impl DoubleEndedIterator<Item = &HistoryRow> {
        self.last_rows().filter(|row| matches!(standing(row), Standing::Applied(_)))
    }

    /// Returns the rows of migrations that are in the database in part.
    pub fn half_done(&self) -> impl Iterator<Item = &HistoryRow> {
        self.last_rows().filter(|row| matches!(standing(row), Standing::Failed(_)))
    }

    /// Returns the row of a migration that is under way, if there is one.
    #[must_use]
    pub fn started(&self) -> Option<&HistoryRow> {
        let is_started = |(_, row): &(usize, &HistoryRow)| matches!(standing(row), Standing::Started(_));
        let first = self.deciding().filter(is_started).min_by_key(|(since, _)| *since)?;
        Some(first.1)
    }
}

fn standing(row: &HistoryRow) -> Standing<'_> {
    match (row.direction, row.state) {
        (_, RowState::Started) if row.runner == Runner::Gone => Standing::Failed(row),
        (_, RowState::Started) => Standing::Started(row),
        (_, RowState::Skipped) => Standing::Skipped(row),
        (RowDirection::Up, RowState::Applied | RowState::Baseline) => Standing::Applied(row),
        (_, RowState::Failed) => Standing::Failed(row),
        _ => Standing::Pending,
    }
}

/// A connection with the language and the facts of its session.
pub struct Session<'a> {
    /// The connection.
    pub connection: &'a mut dyn Connection,
    /// Its language.
    pub dialect: Box<dyn Dialect>,
    /// How scripts are read in it.
    pub rules: Rules,
    /// What its first turn told.
    pub facts: Facts,
    /// The row of facts that the first turn told, if it left out what only matters to pending migrations.
    pub(crate) unknown: Option<RowSet>,
    /// The history table, with its schema.
    pub table: TableName,
}

impl<'a> Session<'a> {
    /// Reads the facts of the session and its history, in one turn.
    ///
    /// # Errors
    ///
    /// A lost connection, a history that cannot be read, or one that stands in another schema than the current one.
    pub fn open(connection: &'a mut dyn Connection, table: &TableName) -> Result<(Self, History)> {
        let (session, history) = Session::open_reading(connection, table, Wish::Whole)?;
        Ok((session, history.unwrap_or_default()))
    }

    /// The same with no more of the history than tells which of so many migrations are pending, where the adapter can.
    ///
    /// # Errors
    ///
    /// As [`Session::open`].
    pub fn open_briefly(
        connection: &'a mut dyn Connection,
        table: &TableName,
        migrations: usize,
    ) -> Result<(Self, History)> {
        let (mut session, history) = Session::open_reading(connection, table, Wish::Pending { migrations })?;
        let history = history.map_or_else(|| session.read_history(), Ok)?;
        Ok((session, history))
    }

    /// Reads the facts of the session and its history, if what its texts tell agrees.
    fn open_reading(
        connection: &'a mut dyn Connection,
        table: &TableName,
        wish: Wish,
    ) -> Result<(Self, Option<History>)> {
        let mut rows = Rows::default();
        let first = connection.dialect(&RowSet::default()).map_err(|error| unreadable(table, &error))?;
        let facts = one(first.as_ref(), &Text::Facts { history: table })?;
        let (history, detail) = wish.history(first.as_ref(), table)?;
        let unless_applied = wish.migrations();
        let late = first.text(&Text::FactsOfPending { history: table, unless_applied }).unwrap_or_default();
        let texts: Vec<&str> =
            [&facts].into_iter().chain(&history).chain(&late).map(String::as_str).collect();
        let answer = connection.read(&texts, &mut rows);
        let is_there = is_there(table, 1, answer)?;
        let sets = rows.sets.get(1..texts.len().min(rows.sets.len())).unwrap_or_default();
        let (sets, late_sets) = sets.split_at(sets.len().min(history.len()));
        let history = match (is_there, detail) {
            (Table::Absent, _) => Some(History::default()),
            (Table::Present, Detail::Whole) => Some(whole(table, sets)?),
            (Table::Present, Detail::Brief) => brief::history(table, sets)?,
        };
        let mut told = rows.sets.first().cloned().unwrap_or_default();
        let is_told = |set: &RowSet| set.rows.iter().flatten().any(|cell| *cell != Value::Null);
        // Where there is no history, the facts told it.
        let is_known =
            is_there == Table::Absent || late_sets.len() == late.len() && late_sets.iter().all(is_told);
        late_sets.iter().for_each(|set| told.add_columns(set));
        let dialect = connection.dialect(&told).map_err(|error| unreadable(table, &error))?;
        let facts = dialect.facts();
        let unknown = (!is_known).then_some(told);
        let table = home(table, &facts, is_there)?;
        let rules = Rules::new(&dialect.lexer())
            .map_err(|error| Problem::new(Name::AdapterMisbehaved, error.to_string()))?;
        Ok((Session { connection, dialect, rules, facts, unknown, table }, history))
    }

    /// Returns the tables whose changes cannot be rolled back, and asks for them where the first turn did not.
    ///
    /// # Errors
    ///
    /// A lost connection, or facts that cannot be read.
    pub fn tables_without_transactions(&mut self) -> Result<&[String]> {
        if let Some(mut told) = self.unknown.clone() {
            let mut rows = Rows::default();
            let history = self.table.clone();
            let text = Text::FactsOfPending { history: &history, unless_applied: None };
            let text = one(self.dialect.as_ref(), &text)?;
            let answer = self.connection.read(&[&text], &mut rows);
            answer.map_err(|error| unreadable(&history, &error.error))?;
            rows.sets.iter().for_each(|set| told.add_columns(set));
            self.dialect = self.connection.dialect(&told).map_err(|error| unreadable(&history, &error))?;
            self.facts = self.dialect.facts();
            // Not before: what could not be read is not known.
            self.unknown = None;
        }
        Ok(&self.facts.tables_without_transactions)
    }

    /// Reads the history again.
    ///
    /// # Errors
    ///
    /// A lost connection, or a history that cannot be read.
    pub fn read_history(&mut self) -> Result<History> {
        let mut rows = Rows::default();
        let text = one(self.dialect.as_ref(), &Text::History { history: &self.table })?;
        let answer = self.connection.read(&[&text], &mut rows);
        match is_there(&self.table, 0, answer)? {
            Table::Absent => Ok(History::default()),
            Table::Present => whole(&self.table, &rows.sets),
        }
    }

    /// Reads the checksums of a script's statements that a row of the history stores, if it does.
    ///
    /// # Errors
    ///
    /// A lost connection, or a history that cannot be read.
    pub fn read_statement_checksums(&mut self, position: i64) -> Result<Option<String>> {
        let history = self.table.clone();
        self.read_text(&Text::StatementChecksums { history: &history, position })
    }

    /// Reads the down script that a row of the history stores.
    ///
    /// # Errors
    ///
    /// A lost connection, or a row without a script.
    pub fn read_down_script(&mut self, position: i64) -> Result<String> {
        let history = self.table.clone();
        let script = self.read_text(&Text::DownScript { history: &history, position })?;
        let missing = || {
            Problem::new(
                Name::HistoryUnreadable,
                format!("row {position} of `{}` stores no down script", self.table),
            )
        };
        Ok(script.ok_or_else(missing)?)
    }

    /// Reads the one cell that a text gives.
    fn read_text(&mut self, text: &Text<'_>) -> Result<Option<String>> {
        let mut rows = Rows::default();
        let text = one(self.dialect.as_ref(), text)?;
        self.connection.read(&[&text], &mut rows).map_err(|error| unreadable(&self.table, &error.error))?;
        let cell = rows.sets.first().and_then(|set| set.rows.first()?.first());
        Ok(cell.and_then(Value::as_text).map(str::to_owned))
    }
}

/// What the first turn is to tell.
#[derive(Clone, Copy, Debug)]
enum Wish {
    /// Everything.
    Whole,
    /// Which of so many migrations are pending.
    Pending { migrations: usize },
}

impl Wish {
    /// Returns the texts that read the history, and how much they tell of it.
    fn history(self, dialect: &dyn Dialect, table: &TableName) -> Result<(Vec<String>, Detail)> {
        let brief = match self {
            Wish::Whole => None,
            Wish::Pending { .. } => dialect.text(&Text::BriefHistory { history: table }),
        };
        Ok(match brief {
            Some(texts) => (texts, Detail::Brief),
            None => (vec![one(dialect, &Text::History { history: table })?], Detail::Whole),
        })
    }

    fn migrations(self) -> Option<u64> {
        match self {
            Wish::Whole => None,
            Wish::Pending { migrations } => u64::try_from(migrations).ok(),
        }
    }
}

fn one(dialect: &dyn Dialect, text: &Text<'_>) -> Result<String> {
    let missing = || misbehaved("the adapter has no text for reading the history");
    Ok(dialect.text(text).and_then(|texts| texts.into_iter().next()).ok_or_else(missing)?)
}

/// Tells absent, read and failed apart. `set` is the number of the first text about the history.
fn is_there(table: &TableName, set: u32, answer: Result<(), ReadError>) -> Result<Table> {
    match answer {
        Ok(()) => Ok(Table::Present),
        Err(failed) if failed.set == set && failed.error.kind == ErrorKind::TableMissing => Ok(Table::Absent),
        Err(failed) => Err(unreadable(table, &failed.error).into()),
    }
}

fn whole(table: &TableName, sets: &[RowSet]) -> Result<History> {
    // Taken for an empty history, it would have everything run again.
    let missing = "the adapter says that it has read the history, and hands over nothing of it";
    let set = sets.first().ok_or_else(|| misbehaved(missing))?;
    Ok(History::new(rows_of(table, set)?))
}

/// Returns the rows that a set with all columns tells.
fn rows_of(table: &TableName, set: &RowSet) -> Result<Vec<HistoryRow>> {
    let parse = |cells: &Vec<Value<'static>>| match cells.len() {
        count if count < HISTORY_COLUMNS.len() => Err(misbehaved(&format!(
            "the adapter hands over {count} of the {} columns of the history",
            HISTORY_COLUMNS.len()
        ))),
        _ => row(cells).map_err(|column| not_ours(table, cells, column)),
    };
    let rows: Vec<HistoryRow> = set.rows.iter().map(parse).collect::<Result<_, Problem>>()?;
    let positions = |pair: &[HistoryRow]| (pair[0].position, pair[1].position);
    match rows.windows(2).map(positions).find(|(first, second)| first >= second) {
        Some((first, second)) if first == second => Err(without_key(table, second).into()),
        Some((first, second)) => {
            let message = format!("the adapter hands over row {second} of the history after row {first}");
            Err(misbehaved(&message).into())
        }
        None => Ok(rows),
    }
}

/// Returns the history table with its schema, which must be the one where it would be created.
fn home(table: &TableName, facts: &Facts, is_there: Table) -> Result<TableName> {
    if let (None, Table::Present, Some(found)) = (&table.schema, is_there, &facts.history_schema)
        && *found != facts.schema
    {
        let message =
            format!("the history table is in schema `{found}`, and the current schema is `{}`", facts.schema);
        let hint = format!(
            "to use that one, `--table {found}.{}`; to begin a new one, create it in `{}` first",
            table.name, facts.schema
        );
        return Err(Problem::new(Name::HistoryElsewhere, message).hint(hint).into());
    }
    if table.schema.is_none() && facts.schema.is_empty() {
        let message = "there is no current schema: none of the search path exists, or this role may use none";
        let hint = format!("create the schema, or name one with `--table SCHEMA.{}`", table.name);
        return Err(Problem::new(Name::HistoryElsewhere, message).hint(hint).into());
    }
    Ok(match &table.schema {
        Some(_) => table.clone(),
        None => table.in_schema(&facts.schema),
    })
}

/// No history gets this far by counting. Above it there is room for the numbers of the rows to come.
const HIGHEST: i64 = i64::MAX / 2;

/// Returns what a row says, or the column that does not say what it should.
fn row(cells: &[Value<'static>]) -> Result<HistoryRow, &'static str> {
    let text = |name: &str| cell(cells, name)?.as_text().map(str::to_owned);
    let number = |name: &str| cell(cells, name)?.as_int();
    let count = |name: &'static str| number(name).and_then(|number| u64::try_from(number).ok()).ok_or(name);
    let word = |name: &'static str| text(name).ok_or(name);
    let counted = |name: &'static str| number(name).filter(|number| *number <= HIGHEST).ok_or(name);
    let has_down = number("has_down").ok_or("down_script")? == 1;
    Ok(HistoryRow {
        position: counted("position")?,
        migration: word("migration")?,
        attempt: counted("attempt")?,
        direction: RowDirection::from_word(&word("direction")?).ok_or("direction")?,
        state: RowState::from_word(&word("state")?).ok_or("state")?,
        checksum: text("checksum"),
        statements_done: count("statements_done")?,
        statements_total: count("statements_total")?,
        lease_ms: number("lease_ms"),
        started_at: text("started_at"),
        finished_at: text("finished_at"),
        duration_ms: number("duration_ms"),
        applied_by: text("applied_by").unwrap_or_default(),
        down: if has_down { StoredDown::Present } else { StoredDown::Absent },
        runner: Runner::default(),
    })
}

fn cell<'a>(cells: &'a [Value<'static>], name: &str) -> Option<&'a Value<'static>> {
    cells.get(HISTORY_COLUMNS.iter().position(|column| *column == name)?)
}

/// Returns the problem of an adapter that does not say what is needed to keep a history.
pub(crate) fn misbehaved(what: &str) -> Problem {
    Problem::new(Name::AdapterMisbehaved, what).hint("report this to the adapter's author")
}

/// The number is what keeps two runs apart, as long as it can be there once only.
fn without_key(table: &TableName, position: i64) -> Problem {
    let message = format!("position {position} stands twice in the history table `{table}`");
    Problem::new(Name::HistoryUnreadable, message)
        .fact("its primary key is gone, and with it what keeps two runs apart")
        .hint("remove the row that is too many, and make `position` the primary key again")
}

fn not_ours(table: &TableName, cells: &[Value<'static>], column: &str) -> Problem {
    let held = cell(cells, column).and_then(|value| {
        value.as_text().map(str::to_owned).or_else(|| value.as_int().map(|number| number.to_string()))
    });
    let fact = match held {
        Some(held) => format!("its `{column}` is `{}`", held.chars().take(40).collect::<String>()),
        None => format!("its `{column}` is empty or of another type"),
    };
    let position =
        cells.first().and_then(Value::as_int).map_or_else(|| "?".to_owned(), |number| number.to_string());
    Problem::new(
        Name::HistoryUnreadable,
        format!("row {position} of the history table `{table}` cannot be understood"),
    )
    .fact(fact)
    .hint("was it written by hand, or by a newer version of whimbrel?")
}

fn unreadable(table: &TableName, error: &whimbrel_adapter_api::Error) -> Problem {
    if let Some(problem) = crate::error::of_connection(error) {
        return problem;
    }
    let problem = match error.kind {
        ErrorKind::LockTimeout => {
            Problem::new(Name::LockHeld, format!("another session keeps the history table `{table}` locked"))
                .hint("let it finish, and run this again")
        }
        // Any other error would come again with another table.
        ErrorKind::ColumnMissing => unusable(table, error, "read").hint(format!(
            "if `{table}` belongs to another tool, keep the history elsewhere with `--table NAME`"
        )),
        _ => unusable(table, error, "read"),
    };
    Problem { sqlstate: error.sqlstate.clone(), ..problem.caused_by(error.message.clone()) }
}

/// Returns the problem of a history table with which something cannot be done: `read`, `write to`.
pub(crate) fn unusable(table: &TableName, error: &whimbrel_adapter_api::Error, what: &str) -> Problem {
    let problem = Problem::new(Name::HistoryUnreadable, format!("cannot {what} the history table `{table}`"));
    match error.kind {
        ErrorKind::Permission => problem.hint(format!(
            "grant this role SELECT on `{table}`, and INSERT and UPDATE as well where it is to run migrations"
        )),
        ErrorKind::ReadOnly => {
            problem.hint("connect to a server that takes writes, or make the file and its folder writable")
        }
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_adapter_api::Error;

    use super::*;

    fn row(position: i64, migration: &str, direction: RowDirection, state: RowState) -> HistoryRow {
        HistoryRow {
            position,
            migration: migration.to_owned(),
            attempt: position,
            direction,
            state,
            checksum: None,
            statements_done: 1,
            statements_total: 2,
            lease_ms: None,
            started_at: None,
            finished_at: None,
            duration_ms: None,
            applied_by: String::new(),
            down: StoredDown::Absent,
            runner: Runner::default(),
        }
    }

    #[test]
    fn the_last_row_decides_how_a_migration_stands() {
        use RowDirection::{Down, Up};
        for (direction, state, expected) in [
            (Up, RowState::Applied, "applied"),
            (Up, RowState::Baseline, "applied"),
            (Up, RowState::Reverted, "pending"),
            (Up, RowState::Started, "started"),
            (Up, RowState::Failed, "failed"),
            (Up, RowState::Skipped, "skipped"),
            (Down, RowState::Reverted, "pending"),
            (Down, RowState::Started, "started"),
            (Down, RowState::Failed, "failed"),
        ] {
            let history =
                History::new(vec![row(1, "a", Up, RowState::Applied), row(2, "a", direction, state)]);
            let standing = match history.standing("a") {
                Standing::Pending => "pending",
                Standing::Applied(_) => "applied",
                Standing::Skipped(_) => "skipped",
                Standing::Started(_) => "started",
                Standing::Failed(_) => "failed",
            };
            assert_eq!(standing, expected, "{direction:?} {state:?}");
        }
    }

    #[test]
    fn a_table_without_our_columns_is_taken_for_that_of_another_tool() {
        let told = |kind| {
            let mut error = Error::new(kind, "no such column");
            error.sqlstate = Some("42703".to_owned());
            unreadable(&TableName::new("log"), &error)
        };
        let problem = told(ErrorKind::ColumnMissing);
        assert_eq!((problem.name, problem.sqlstate.as_deref()), (Name::HistoryUnreadable, Some("42703")));
        assert!(problem.hint.is_some_and(|hint| hint.contains("`log` belongs to another tool")));
        assert_eq!(told(ErrorKind::Other).hint, None, "any other error would come again with another table");
    }

    #[test]
    fn a_failure_before_the_first_statement_leaves_the_migration_as_it_was() {
        let mut failed = row(2, "a", RowDirection::Down, RowState::Failed);
        failed.statements_done = 0;
        let history = History::new(vec![row(1, "a", RowDirection::Up, RowState::Applied), failed]);
        assert!(matches!(history.standing("a"), Standing::Applied(row) if row.position == 1));
        assert_eq!(history.next_attempt("a"), 3);
    }

    #[test]
    fn a_started_row_counts_as_what_was_before_it() {
        let rows = vec![
            row(1, "a", RowDirection::Up, RowState::Applied),
            row(2, "a", RowDirection::Down, RowState::Started),
            row(3, "b", RowDirection::Up, RowState::Started),
        ];
        let history = History::new(rows);
        assert!(matches!(history.settled_standing("a"), Standing::Applied(row) if row.position == 1));
        assert_eq!(history.settled_standing("b"), Standing::Pending);
    }

    #[test]
    fn a_started_row_whose_runner_is_gone_is_half_done() {
        let history = History::new(vec![row(1, "a", RowDirection::Up, RowState::Started)]);
        assert!(matches!(history.standing("a"), Standing::Started(_)));
        let history = history.with_abandoned(1);
        assert!(matches!(history.standing("a"), Standing::Failed(row) if row.runner == Runner::Gone));
        assert!(history.started().is_none());
        assert_eq!(history.half_done().count(), 1);
    }

    #[test]
    fn a_history_in_which_others_have_done_something_has_moved() {
        let before = History::new(vec![row(1, "a", RowDirection::Up, RowState::Started)]);
        assert!(!before.has_moved_since(&before));
        let mut marked = row(1, "a", RowDirection::Up, RowState::Started);
        marked.statements_done += 1;
        assert!(History::new(vec![marked]).has_moved_since(&before));
        let settled = row(1, "a", RowDirection::Up, RowState::Applied);
        assert!(History::new(vec![settled]).has_moved_since(&before));
        let more = [before.rows.clone(), vec![row(2, "b", RowDirection::Up, RowState::Applied)]].concat();
        assert!(History::new(more).has_moved_since(&before));
    }

    #[test]
    fn what_will_be_taken_back_is_pending_in_rows_of_its_own() {
        let rows = ["a", "b"].into_iter().zip(1..);
        let rows = rows.map(|(id, position)| row(position, id, RowDirection::Up, RowState::Applied));
        let history = History::new(rows.collect()).with_reverted(["b", "a", "unknown"].into_iter());
        let rows: Vec<_> = history.rows.iter().map(|row| (row.position, row.migration.as_str())).collect();
        assert_eq!(rows, [(1, "a"), (2, "b"), (3, "b"), (4, "a")]);
        assert_eq!(history.standing("a"), Standing::Pending);
        assert_eq!((history.next_attempt("a"), history.next_attempt("b")), (3, 4));
        let last = history.last_row("b").expect("it has rows");
        assert_eq!((last.direction, last.state), (RowDirection::Down, RowState::Reverted));
    }

    #[test]
    fn applied_migrations_come_in_the_order_in_which_they_were_applied() {
        let rows = vec![
            row(1, "b", RowDirection::Up, RowState::Applied),
            row(2, "a", RowDirection::Up, RowState::Applied),
            row(3, "b", RowDirection::Down, RowState::Reverted),
            row(4, "b", RowDirection::Up, RowState::Applied),
        ];
        let history = History::new(rows);
        let applied: Vec<&str> = history.applied().map(|row| row.migration.as_str()).collect();
        assert_eq!(applied, ["a", "b"]);
        assert_eq!(history.last_position(), 4);
    }

    #[test]
    fn a_row_that_confirms_a_migration_does_not_move_it() {
        let rows = vec![
            row(1, "a", RowDirection::Up, RowState::Applied),
            row(2, "b", RowDirection::Up, RowState::Applied),
            row(3, "a", RowDirection::Up, RowState::Applied),
        ];
        let history = History::new(rows);
        let applied: Vec<i64> = history.applied().map(|row| row.position).collect();
        assert_eq!(applied, [3, 2]);
    }

    /// The fuzz target found that a row with the highest of all numbers, put in by hand, made the next number overflow:
    /// a panic in one build, and in another a row far below all others.
    #[test]
    fn a_number_with_none_behind_it_is_refused() {
        let read = |position: i64, attempt: i64| {
            let cells = HISTORY_COLUMNS.iter().map(|column| match *column {
                "position" => Value::Int(position),
                "attempt" => Value::Int(attempt),
                "migration" => Value::text("a"),
                "direction" => Value::text("up"),
                "state" => Value::text("applied"),
                _ => Value::Int(0),
            });
            let set = RowSet::new(Vec::new(), vec![cells.collect()]);
            whole(&TableName::new("history"), &[set])
        };
        for (position, attempt, column) in [(i64::MAX, 1, "position"), (1, i64::MAX, "attempt")] {
            let error = read(position, attempt).expect_err("there is no next number");
            assert_eq!(error.problems[0].name, Name::HistoryUnreadable);
            assert_eq!(error.problems[0].facts, [format!("its `{column}` is `{}`", i64::MAX)]);
        }
        let history = read(HIGHEST, HIGHEST).expect("there are numbers behind these");
        assert_eq!((history.last_position() + 1, history.next_attempt("a")), (HIGHEST + 1, HIGHEST + 1));
    }

    #[test]
    fn a_table_in_another_schema_is_refused() {
        let mut facts = Facts::default();
        facts.schema = "tenant".to_owned();
        facts.history_schema = Some("public".to_owned());
        let table = TableName::new("whimbrel_migrations");
        let error = home(&table, &facts, Table::Present).expect_err("the schemas differ");
        assert_eq!(error.problems[0].name, Name::HistoryElsewhere);
        assert_eq!(
            home(&table, &facts, Table::Absent).map(|name| name.schema).ok(),
            Some(Some("tenant".to_owned()))
        );
    }
}
