//! A session as the host has it: connection, dialect, and a history table.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_adapter_api::{
    Canceller, Class, Connection, Count, Dialect, Error, Facts, HISTORY_COLUMNS, Head, Limits, Mode, NewRow,
    Opened, RowSet, RowState, Rows, TableName, Text, Value,
};

use crate::bench::texts;
use crate::finding::{During, Finding, agree, holds};
use crate::work::{Heard, Script, run};

/// How long the lease of a row of ours lasts.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// The down script in the rows of [`Client::head`].
pub const DOWN_SCRIPT: &str = r"DELETE FROM birds WHERE note = 'C:\new' -- it''s";

/// An open session with its dialect and a history table.
pub struct Client {
    /// The session.
    pub connection: Box<dyn Connection>,
    /// Stops what it is doing.
    pub canceller: Arc<dyn Canceller>,
    /// The language of the session.
    pub dialect: Box<dyn Dialect>,
    /// What its first turn told.
    pub facts: Facts,
    /// The history table with its schema. It need not be there.
    pub history: TableName,
}

impl Client {
    /// Takes the first steps of a session, in the order of the contract.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong on the way.
    pub fn open(opened: Opened, history: &TableName) -> Result<Self, Finding> {
        let Opened { mut connection, canceller, .. } = opened;
        let first = connection.dialect(&RowSet::default()).during("the dialect without facts")?;
        let text = first.text(&Text::Facts { history }).unwrap_or_default();
        let [text] = text.as_slice() else {
            return Err(Finding::new(format!("the facts are {} texts instead of one", text.len())));
        };
        let mut rows = Rows::default();
        connection.read(&[text], &mut rows).during("the facts")?;
        let [facts] = rows.sets.as_slice() else {
            return Err(Finding::new(format!("the facts are {} sets instead of one", rows.sets.len())));
        };
        agree("rows of facts", facts.rows.len(), 1)?;
        let dialect = connection.dialect(facts).during("the dialect with facts")?;
        let facts = dialect.facts();
        let history = match &history.schema {
            Some(_) => history.clone(),
            None => history.in_schema(&facts.schema),
        };
        Ok(Client { connection, canceller, dialect, facts, history })
    }

    /// Runs a script that must succeed.
    ///
    /// # Errors
    ///
    /// It does not.
    pub fn execute(&mut self, script: &str) -> Result<(), Finding> {
        self.connection.execute_raw(script).during(script)
    }

    /// Runs a query and returns its one set.
    ///
    /// # Errors
    ///
    /// The adapter's.
    pub fn query(&mut self, sql: &str, parameters: &[Value<'_>]) -> Result<RowSet, Error> {
        let mut rows = Rows::default();
        self.connection.query(sql, parameters, &mut rows)?;
        Ok(rows.sets.into_iter().next().unwrap_or_default())
    }

    /// Returns the first column of a query, as text.
    ///
    /// # Errors
    ///
    /// The query's.
    pub fn column(&mut self, sql: &str) -> Result<Vec<String>, Finding> {
        Ok(texts(&self.query(sql, &[]).during(sql)?.rows))
    }

    /// Returns the number that a query gives.
    ///
    /// # Errors
    ///
    /// The query's, or one that gives none.
    pub fn number(&mut self, sql: &str) -> Result<i64, Finding> {
        let set = self.query(sql, &[]).during(sql)?;
        let cell = set.rows.first().and_then(|row| row.first());
        cell.and_then(Value::as_int)
            .ok_or_else(|| Finding::new(format!("{sql}: {cell:?} is no whole number")))
    }

    /// Returns the names in a table that [`Quirks::create_table`](whimbrel_adapter_api::Quirks) made, by their ids.
    ///
    /// # Errors
    ///
    /// The query's.
    pub fn names(&mut self, table: &str) -> Result<Vec<String>, Finding> {
        self.column(&format!("SELECT name FROM {table} ORDER BY id"))
    }

    /// Returns a text that every adapter must have.
    ///
    /// # Errors
    ///
    /// It is not there, or an empty statement.
    pub fn text(&self, text: &Text<'_>) -> Result<Vec<String>, Finding> {
        let texts =
            self.dialect.text(text).ok_or_else(|| Finding::new(format!("there is no text {text:?}")))?;
        holds(
            texts.iter().all(|statement| !statement.trim().is_empty()),
            format!("an empty text for {text:?}"),
        )?;
        Ok(texts)
    }

    /// Returns the history table's name as it stands in SQL.
    #[must_use]
    pub fn qualified(&self) -> String {
        whimbrel_adapter_api::texts::qualified(self.dialect.as_ref(), &self.history)
    }

    /// Creates the history table.
    ///
    /// # Errors
    ///
    /// The adapter's.
    pub fn create_history(&mut self) -> Result<(), Finding> {
        for text in self.text(&Text::CreateHistory { history: &self.history })? {
            self.execute(&text)?;
        }
        Ok(())
    }

    /// Returns the rows of the history.
    ///
    /// # Errors
    ///
    /// The adapter's, or other columns than [`HISTORY_COLUMNS`].
    pub fn history(&mut self) -> Result<RowSet, Finding> {
        let text = self.text(&Text::History { history: &self.history })?;
        let [text] = text.as_slice() else {
            return Err(Finding::new(format!("the history is {} texts instead of one", text.len())));
        };
        let mut rows = Rows::default();
        self.connection.read(&[text], &mut rows).during("the history")?;
        let set = rows.sets.into_iter().next().unwrap_or_default();
        agree("columns of the history", set.columns.as_slice(), HISTORY_COLUMNS)?;
        Ok(set)
    }

    /// Returns each row of the history in a few words: `1 001_birds up applied 2/2`.
    ///
    /// # Errors
    ///
    /// As [`Client::history`].
    pub fn history_lines(&mut self) -> Result<Vec<String>, Finding> {
        let set = self.history()?;
        let line = |row: &Vec<Value<'static>>| {
            let cell = |name: &str| {
                let index = set.columns.iter().position(|column| column == name);
                let cell = index.and_then(|index| row.get(index));
                let number = cell.and_then(Value::as_int).map(|number| number.to_string());
                number.or_else(|| cell?.as_text().map(str::to_owned)).unwrap_or_default()
            };
            let [position, migration, direction, state, done, total] =
                ["position", "migration", "direction", "state", "statements_done", "statements_total"]
                    .map(cell);
            format!("{position} {migration} {direction} {state} {done}/{total}")
        };
        Ok(set.rows.iter().map(line).collect())
    }

    /// Returns the down script in the row at `position`.
    ///
    /// # Errors
    ///
    /// The query's.
    pub fn down_script(&mut self, position: i64) -> Result<String, Finding> {
        let text = self.text(&Text::DownScript { history: &self.history, position })?;
        Ok(self.column(&text.concat())?.concat())
    }

    /// Puts a batch together as the host does, for the row at `position`.
    ///
    /// # Errors
    ///
    /// A text that is missing.
    pub fn head(&self, position: i64, mode: Mode, statements: u64) -> Result<Head, Finding> {
        self.limited_head(position, mode, statements, &Limits::default())
    }

    /// Puts a batch together as the host does, with limits.
    ///
    /// # Errors
    ///
    /// A text that is missing.
    pub fn limited_head(
        &self,
        position: i64,
        mode: Mode,
        statements: u64,
        limits: &Limits,
    ) -> Result<Head, Finding> {
        let history = &self.history;
        let migration = format!("{position:03}_birds");
        let mut row = NewRow::new(position, &migration, 1);
        row.statements_total = statements;
        row.lease = (mode == Mode::Stepwise).then_some(LEASE);
        row.down_script = Some(DOWN_SCRIPT);
        row.applied_by = "conformance";
        let mut head = Head::new(self.attempt(position), mode, statements);
        let record = self.text(&Text::Record { history, row: &row })?;
        let finish =
            |state, statements_done| self.text(&Text::Finish { history, position, state, statements_done });
        let reset = self.text(&Text::ResetSession)?;
        let finished = finish(RowState::Applied, Count::Exactly(statements))?;
        head.settles = Some(reset.len() as u32);
        match mode {
            Mode::Atomic => {
                head.opening = [self.text(&Text::Begin { limits })?, record].concat();
                head.closing = [reset, finished, self.text(&Text::Commit)?].concat();
                if self.has(Class::ImplicitCommit) {
                    head.failed = finish(RowState::Failed, Count::Beyond(0))?;
                }
            }
            _ => {
                head.opening = [record, self.text(&Text::Limit { limits })?].concat();
                let statements_done = Count::Beyond(0);
                head.mark =
                    self.text(&Text::Mark { history, position, statements_done, lease: LEASE })?.pop();
                head.closing = [reset.clone(), finished].concat();
                head.failed = finish(RowState::Failed, Count::Beyond(0))?;
                head.cleanup = reset;
            }
        }
        Ok(head)
    }

    /// Returns whether the lexer has patterns of this class.
    pub(crate) fn has(&self, class: Class) -> bool {
        self.dialect.lexer().patterns.iter().any(|pattern| pattern.class == class)
    }

    /// Returns the name of the attempt at the row at `position`.
    #[must_use]
    pub fn attempt(&self, position: i64) -> String {
        // The database's name or the history's is unique on its server, and its end is what makes it so. The same for
        // every runner on it.
        let [database, history] = [&self.facts.database, &self.history.name].map(|name| end(name));
        format!("check:{database}:{history}:{position}")
    }

    /// Runs a script.
    ///
    /// # Errors
    ///
    /// A departure from the protocol.
    pub fn run(&mut self, script: Script) -> Result<Heard, Finding> {
        run(self.connection.as_mut(), script)
    }
}

/// Returns the end of a name, so short that two of them and a number are a name that every server takes.
fn end(name: &str) -> &str {
    let start = name.char_indices().rev().nth(23).map_or(0, |(start, _)| start);
    &name[start..]
}
