//! One session with a database.

use std::fmt;

use crate::codes::codes;
use crate::dialect::Dialect;
use crate::error::Error;
use crate::value::Value;
use crate::work::{Events, Work};

/// One session with a database, used by one thread at a time, and not always by the same: `close` may come from another.
///
/// The order in which the host calls stands at the head of the [crate]. Applications that use an adapter for its own sake
/// call what they please.
///
/// No method changes what it was given to run. What a server refuses for the moment, before it has done anything of it,
/// may be sent again. No method leaves a transaction open that it has begun itself. An error of any method says by its
/// [`session`](crate::Error::session) whether the next call makes sense; [`Error::lost`] is the one for a connection that is
/// gone. After it only `close` is called.
pub trait Connection: Send {
    /// Runs a script of any number of statements, as the engine's own client would, or of none. Rows are thrown away.
    ///
    /// # Errors
    ///
    /// The first failing statement's, wherever it stands, with the position in bytes from the start of `script`. Whether
    /// earlier statements stay is the engine's rule; none behind it is run.
    fn execute_raw(&mut self, script: &str) -> Result<(), Error>;

    /// Runs one statement with parameters and hands its rows to `rows`, in set 0.
    ///
    /// Placeholders are the engine's own: `$1` on Postgres, `?` on MySQL and SQLite. A parameter is never taken for SQL, and
    /// is never changed in silence.
    ///
    /// # Errors
    ///
    /// The engine's; an error for several statements, and for more or fewer parameters than placeholders; `Unsupported` for
    /// arrays without [`Capability::Arrays`](crate::Capability::Arrays).
    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error>;

    /// Runs several reading statements in one turn on the wire and hands set `i` the rows of `texts[i]`.
    ///
    /// Each text is one statement without parameters; `texts` may be empty. Every set has its columns, also one without
    /// rows. Sets before the failing one have been delivered whole, and none behind it comes.
    ///
    /// # Errors
    ///
    /// The first failing text's, with its number. An absent table must be `TableMissing`: the host tells absent, empty
    /// and failed apart by it.
    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError>;

    /// Returns whether a table or view of this name exists and can be seen by this role.
    ///
    /// The name is exact: no case folding, no pattern. Without a schema: in the current one.
    ///
    /// # Errors
    ///
    /// The engine's. An absent schema is no error: the table does not exist.
    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error>;

    /// Runs `body` in a transaction: commits when it returns `Ok`, rolls back when it does not.
    ///
    /// Inside `body` the same connection comes back, and `transaction` on it nests by savepoint where the engine has
    /// them. A panic of `body` is rolled back too, and goes on. [`in_transaction`](crate::walk::in_transaction) does all of
    /// this.
    ///
    /// # Errors
    ///
    /// `BodyFailed` after `body` gave up and everything was rolled back. `Unsupported`, and `body` is not run: without
    /// [`Capability::Transactions`](crate::Capability::Transactions), inside another without
    /// [`Capability::Savepoints`](crate::Capability::Savepoints), and for options that the engine cannot keep. Inside a
    /// reading one a write answers `ReadOnly`. Else the engine's, of which a lost session during COMMIT means that the
    /// outcome is in doubt.
    fn transaction(
        &mut self,
        options: &TransactionOptions,
        body: &mut TransactionBody<'_>,
    ) -> Result<(), Error>;

    /// Pulls batches from `work` until there are none, and reports each to `events`.
    ///
    /// See [`Work`] for the protocol. An engine that takes one statement at a time writes this in one line with
    /// [`walk`](crate::walk::walk).
    ///
    /// # Errors
    ///
    /// Only when the session is gone, and after every batch that was handed out was reported as finished.
    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error>;

    /// Returns whether the server still works on something of this attempt, from whatever client.
    ///
    /// `attempt` is [`Head::attempt`](crate::Head::attempt) of a stepwise batch, or one that never was. The client that
    /// began it may be dead, on another machine, or this very process. On `Gone` and `Unknown` the host takes the migration
    /// over once its lease is over. Answers without waiting for that work to end.
    ///
    /// `Unknown` without [`Capability::Liveness`](crate::Capability::Liveness). An engine whose work ends with its client
    /// answers `Gone` where no client can be left.
    ///
    /// # Errors
    ///
    /// The engine's.
    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error>;

    /// Returns the dialect of this session.
    ///
    /// `facts` is the answer to [`Text::Facts`](crate::Text::Facts), one row, to which the columns of
    /// [`Text::FactsOfPending`](crate::Text::FactsOfPending) were added. It is empty the first time, when only texts of the
    /// first turn are asked of the dialect. Not a word to the server: the dialect holds for as long as the session, whatever
    /// scripts set.
    ///
    /// # Errors
    ///
    /// `Misbehaved` when the facts are not what the adapter's own text asks for.
    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error>;

    /// Makes one turn to the server and back.
    ///
    /// # Errors
    ///
    /// `ConnectionLost` when there is no answer.
    fn ping(&mut self) -> Result<(), Error>;

    /// Ends the session in order. Dropping the connection ends it too, and says nothing.
    ///
    /// # Errors
    ///
    /// The engine's, for whoever wants to know.
    fn close(self: Box<Self>) -> Result<(), Error>;
}

/// A session that is lent is a session: what a transaction gives to its body can stand where an owned one does.
impl Connection for &mut (dyn Connection + '_) {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        (**self).execute_raw(script)
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        (**self).query(sql, parameters, rows)
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        (**self).read(texts, rows)
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        (**self).table_exists(name)
    }

    fn transaction(
        &mut self,
        options: &TransactionOptions,
        body: &mut TransactionBody<'_>,
    ) -> Result<(), Error> {
        (**self).transaction(options, body)
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        (**self).run(work, events)
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        (**self).alive(attempt)
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        (**self).dialect(facts)
    }

    fn ping(&mut self) -> Result<(), Error> {
        (**self).ping()
    }

    /// Its owner closes it.
    fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

/// What runs inside a transaction.
pub type TransactionBody<'a> = dyn FnMut(&mut dyn Connection) -> Result<(), BodyFailed> + 'a;

/// The answer of a transaction's body that wants everything rolled back. The reason stays with the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyFailed;

/// How a transaction is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TransactionOptions {
    /// What it sees of others.
    pub isolation: Isolation,
    /// Whether it may write.
    pub access: Access,
}

codes! {
    /// What a transaction sees of others.
    #[derive(Default)]
    pub enum Isolation {
        /// The engine's default.
        #[default]
        EngineDefault = 0,
        /// What was committed before each statement.
        ReadCommitted = 1,
        /// What was committed before the first statement.
        RepeatableRead = 2,
        /// As if there were no others.
        Serializable = 3,
    }
}

codes! {
    /// Whether a transaction may write.
    #[derive(Default)]
    pub enum Access {
        /// Reads and writes.
        #[default]
        ReadWrite = 0,
        /// Reads only.
        ReadOnly = 1,
    }
}

codes! {
    /// Whether the server is still at work for an attempt.
    pub enum Liveness {
        /// Nothing of it is left on the server.
        Gone = 0,
        /// A session or query of it is at work.
        Alive = 1,
        /// The engine or the role's rights do not allow to tell.
        Unknown = 2,
    }
}

/// Why a [`Connection::read`] ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[error("{error}")]
#[non_exhaustive]
pub struct ReadError {
    /// The number of the text that failed.
    pub set: u32,
    /// The engine's error.
    pub error: Error,
}

impl ReadError {
    /// Returns the error of the text with the number `set`.
    #[must_use]
    pub fn new(set: u32, error: Error) -> Self {
        ReadError { set, error }
    }
}

/// A table's name, taken letter by letter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TableName {
    /// The schema (on MySQL the database), where it is given.
    pub schema: Option<String>,
    /// The table.
    pub name: String,
}

impl TableName {
    /// Returns the name of a table in the current schema.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        TableName { schema: None, name: name.into() }
    }

    /// Returns the same table in `schema`.
    #[must_use]
    pub fn in_schema(&self, schema: impl Into<String>) -> Self {
        TableName { schema: Some(schema.into()), name: self.name.clone() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(formatter, "{schema}.{}", self.name),
            None => formatter.write_str(&self.name),
        }
    }
}

/// Receives the rows of one or more result sets.
///
/// Lent for the time of the call that it was given to. For each set in the order of their numbers: `columns` once, then
/// `row` for each row. Nothing comes once a row was [`Enough`](Wanted::Enough), and the call still ends well: what the server
/// sends beyond is read and thrown away.
pub trait RowSink {
    /// Begins result set `set`, counted from 0. A statement that gives no rows may have no columns.
    fn columns(&mut self, set: u32, names: &[&str]);

    /// Takes one row, as many cells as there are columns. The cells are borrowed until the call returns.
    ///
    /// Returns whether more rows are wanted, of this set or any other.
    fn row(&mut self, set: u32, cells: &[Value<'_>]) -> Wanted;
}

codes! {
    /// Whether a [`RowSink`] wants more rows.
    pub enum Wanted {
        /// No more.
        Enough = 0,
        /// The next one, please.
        More = 1,
    }
}

/// The rows of several result sets, kept.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Rows {
    /// The sets in the order of their numbers.
    pub sets: Vec<RowSet>,
}

/// The rows of one result set, kept.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RowSet {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, cell by cell.
    pub rows: Vec<Vec<Value<'static>>>,
}

impl RowSet {
    /// Returns a set of these rows, whose cells stand in the order of `columns`.
    #[must_use]
    pub fn new(columns: Vec<String>, rows: Vec<Vec<Value<'static>>>) -> Self {
        RowSet { columns, rows }
    }

    /// Returns the cell of the first row in the column of this name.
    #[must_use]
    pub fn first(&self, column: &str) -> Option<&Value<'static>> {
        let index = self.columns.iter().position(|name| name == column)?;
        self.rows.first()?.get(index)
    }

    /// Adds the columns of another set to the first row, in place of those of the same name.
    pub fn add_columns(&mut self, other: &RowSet) {
        let (Some(row), Some(more)) = (self.rows.first_mut(), other.rows.first()) else { return };
        for (column, cell) in other.columns.iter().zip(more) {
            match self.columns.iter().position(|name| name == column) {
                Some(index) if index < row.len() => row[index] = cell.clone(),
                _ => {
                    self.columns.push(column.clone());
                    row.push(cell.clone());
                }
            }
        }
    }
}

impl RowSink for Rows {
    fn columns(&mut self, set: u32, names: &[&str]) {
        let set = set as usize;
        if self.sets.len() <= set {
            self.sets.resize_with(set + 1, RowSet::default);
        }
        self.sets[set].columns = names.iter().map(ToString::to_string).collect();
    }

    fn row(&mut self, set: u32, cells: &[Value<'_>]) -> Wanted {
        let cells = cells.iter().map(|cell| cell.clone().into_owned()).collect();
        match self.sets.get_mut(set as usize) {
            Some(set) => set.rows.push(cells),
            // A row before its columns: keep it, the caller sees that names are missing.
            None => {
                self.sets.resize_with(set as usize + 1, RowSet::default);
                self.sets[set as usize].rows.push(cells);
            }
        }
        Wanted::More
    }
}
