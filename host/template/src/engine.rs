//! The toy engine: databases that live within this process.
//!
//! Stands where your driver will: the rest of the crate knows only what is `pub(crate)` here and in `engine/`. One lock
//! for a whole database, no transactions, no types, nothing on a disk.

mod sql;
mod words;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use whimbrel_adapter_api::Value;

use self::sql::Reader;
pub(crate) use self::words::Statement;

/// The databases of this process, by their names.
static DATABASES: Mutex<BTreeMap<String, Arc<Database>>> = Mutex::new(BTreeMap::new());

/// A database, shared by all who open it.
pub(crate) struct Database {
    name: String,
    relations: Mutex<Relations>,
}

type Relations = BTreeMap<String, Relation>;

/// What can be read from.
enum Relation {
    Table(Table),
    View(Statement),
}

type Row = Vec<Value<'static>>;

#[derive(Clone, Default)]
struct Table {
    columns: Vec<String>,
    /// The column whose values are unique.
    key: Option<usize>,
    /// The column that holds the key of another row, or NULL.
    parent: Option<usize>,
    rows: Vec<Row>,
}

/// What a statement answers.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Row>,
    /// How many rows it changed.
    pub(crate) changed: u64,
}

/// What a statement does to the database.
enum Change {
    Nothing,
    Put(String, Relation),
    Remove(String),
}

/// Why a statement is refused.
pub(crate) struct Trouble {
    pub(crate) what: What,
    pub(crate) message: String,
    /// Where in the script, in bytes.
    pub(crate) at: Option<usize>,
}

#[derive(Clone, Copy)]
pub(crate) enum What {
    Syntax,
    NoTable,
    NoColumn,
    Constraint,
    Other,
}

impl Trouble {
    fn new(what: What, message: impl Into<String>) -> Self {
        Trouble { what, message: message.into(), at: None }
    }

    fn other(message: impl Into<String>) -> Self {
        Trouble::new(What::Other, message)
    }
}

impl Database {
    /// Returns the database of this name, which comes to be when it is first asked for.
    pub(crate) fn named(name: &str) -> Arc<Self> {
        let new = || Arc::new(Database { name: name.to_owned(), relations: Mutex::default() });
        Arc::clone(locked(&DATABASES).entry(name.to_owned()).or_insert_with(new))
    }

    /// Returns whether there is a table or view of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        locked(&self.relations).contains_key(name)
    }

    /// Runs one statement, whole or not at all.
    pub(crate) fn run(&self, statement: &Statement, parameters: &[Value<'_>]) -> Result<Answer, Trouble> {
        let mut relations = locked(&self.relations);
        let (answer, change) = Reader::new(&self.name, &relations, statement, parameters)?.statement()?;
        match change {
            Change::Nothing => {}
            Change::Put(name, relation) => drop(relations.insert(name, relation)),
            Change::Remove(name) => drop(relations.remove(&name)),
        }
        Ok(answer)
    }
}

impl Table {
    fn place(&self, column: &str) -> Result<usize, Trouble> {
        place(&self.columns, column)
    }

    /// Refuses a row that is among these if its key is not its own, or its parent is not there.
    fn check(&self, row: &Row) -> Result<(), Trouble> {
        let with = |value: &Value<'_>| {
            self.rows.iter().filter(|row| self.key.is_some_and(|key| row[key] == *value)).count()
        };
        if let Some(key) = self.key.filter(|key| row[*key].is_null() || with(&row[*key]) > 1) {
            return Err(Trouble::new(What::Constraint, format!("the key {:?} is not unique", row[key])));
        }
        match self.parent.filter(|parent| !row[*parent].is_null() && with(&row[*parent]) == 0) {
            Some(parent) => {
                Err(Trouble::new(What::Constraint, format!("no row has the key {:?}", row[parent])))
            }
            None => Ok(()),
        }
    }
}

fn place(columns: &[String], name: &str) -> Result<usize, Trouble> {
    let missing = || Trouble::new(What::NoColumn, format!("no such column: {name}"));
    columns.iter().position(|column| column == name).ok_or_else(missing)
}

/// A panic leaves nothing of the toy half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
