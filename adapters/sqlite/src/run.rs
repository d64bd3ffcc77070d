//! One statement at a time, for [`walk`](whimbrel_adapter_api::walk::walk).

use std::borrow::BorrowMut;
use std::collections::{BTreeMap, BTreeSet};

use fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection};
use whimbrel_adapter_api::walk::{Bracket, OneByOne};
use whimbrel_adapter_api::{Error, ErrorKind, Marking, State};

use crate::connection::SqliteConnection;
use crate::error::from_driver;

/// What the session was like before a batch, for it to be put back.
#[derive(Default)]
pub(crate) struct Before {
    /// Statements that put the settings of [`Head::outside`](whimbrel_adapter_api::Head::outside) back, in the order in
    /// which they were changed.
    settings: Vec<String>,
    /// The rows that pointed nowhere before foreign keys were switched off.
    dangling: Option<Dangling>,
    /// The statements that would remove what belongs to the session alone.
    removals: BTreeSet<String>,
}

/// The statements that remove what belongs to the session alone: attached databases and temporary tables.
const REMOVALS: &str = "SELECT printf('DETACH \"%w\"', name) FROM pragma_database_list WHERE name NOT IN ('main', 'temp') \
     UNION ALL SELECT printf('DROP %s IF EXISTS temp.\"%w\"', type, name) FROM sqlite_temp_schema \
     WHERE type <> 'index' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";

/// Zero as long as nothing temporary was created.
const TEMPORARY_VERSION: &str = "PRAGMA temp.schema_version";

/// The number of the first attached database. Before it come `main` and `temp`.
const FIRST_ATTACHED: usize = 2;

/// How many rows of a table point to nothing in another.
type Dangling = BTreeMap<(String, String), i64>;

impl<C: BorrowMut<Connection> + Send> OneByOne for SqliteConnection<C> {
    fn execute(&mut self, statement: &str) -> Result<u64, Error> {
        execute(self.handle(), statement)
    }

    fn roll_back(&mut self) -> State {
        // Some errors end the transaction by themselves (ON CONFLICT ROLLBACK, a full disk).
        if !self.handle().is_autocommit() && execute(self.handle(), "ROLLBACK").is_err() {
            return State::Open;
        }
        State::RolledBack
    }

    fn enter(&mut self, outside: &[String]) -> Result<(), Error> {
        self.before.removals = removals(self.handle())?;
        for statement in outside {
            let setting = setting(statement)?;
            let before: i64 = self
                .handle()
                .query_row(&format!("PRAGMA {setting}"), [], |row| row.get(0))
                .map_err(|error| from_driver(&error))?;
            if is_foreign_keys(setting) && self.before.dangling.is_none() {
                self.before.dangling = Some(dangling(self.handle())?);
            }
            self.before.settings.push(format!("PRAGMA {setting} = {before}"));
            execute(self.handle(), statement)?;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Error> {
        let Some(before) = self.before.dangling.take() else {
            return Ok(());
        };
        let after = dangling(self.handle())?;
        let grown = after.iter().find(|(tables, rows)| before.get(*tables).is_none_or(|old| old < rows));
        let Some(((table, parent), rows)) = grown else {
            return Ok(());
        };
        let message = format!(
            "foreign key check: `{table}` points to rows that `{parent}` does not have ({rows} of them)"
        );
        let mut error = Error::new(ErrorKind::Constraint, message);
        error.table = Some(table.clone());
        Err(error)
    }

    fn part(&mut self) {
        let now = removals(self.handle()).unwrap_or_default();
        for statement in now.difference(&self.before.removals) {
            // What is in use stays until the session ends, and nothing else is left to try.
            let _ = execute(self.handle(), statement);
        }
    }

    fn leave(&mut self) {
        self.part();
        for statement in std::mem::take(&mut self.before).settings.iter().rev() {
            // A setting that was read before can be written again; nothing else is left to try if not.
            let _ = execute(self.handle(), statement);
        }
    }

    fn is_kept(&self, _marking: Marking) -> bool {
        // SQLite itself knows: SAVEPOINT opens a transaction too.
        self.handle().is_autocommit()
    }

    fn joint(&self) -> Bracket {
        // Welcome inside a savepoint of the script's own too, where BEGIN is refused.
        Bracket::savepoint(0)
    }

    fn opening_error(&self, mut error: Error) -> Error {
        // The position is taken, the row before is gone, or another runner holds the write lock.
        if matches!(error.kind, ErrorKind::Constraint | ErrorKind::LockTimeout) {
            error.kind = ErrorKind::FenceTaken;
        }
        error
    }
}

/// Executes a statement, and all of them if the text holds more than one: rusqlite would pass over the rest.
pub(crate) fn execute(connection: &Connection, text: &str) -> Result<u64, Error> {
    // SQLite counts from the statement that it was given, which is all that is left of the text.
    let refused = |error: rusqlite::Error| {
        let mut refused = from_driver(&error);
        if let rusqlite::Error::SqlInputError { sql, .. } = &error {
            let before = text.len().saturating_sub(sql.len()) as u64;
            refused.position = refused.position.map(|position| before + position);
        }
        refused
    };
    let mut batch = Batch::new(connection, text);
    let mut changed = 0;
    while let Some(mut statement) = batch.next().map_err(refused)? {
        let mut rows = statement.raw_query();
        while rows.next().map_err(|error| from_driver(&error))?.is_some() {}
        changed = connection.changes();
    }
    Ok(changed)
}

fn removals(connection: &Connection) -> Result<BTreeSet<String>, Error> {
    let read = || -> rusqlite::Result<BTreeSet<String>> {
        // Nearly always there is nothing, and the whole question took 4 % of the time of a small script.
        let temporary: i64 = connection.query_row(TEMPORARY_VERSION, [], |row| row.get(0))?;
        if temporary == 0 && connection.db_name(FIRST_ATTACHED).is_err() {
            return Ok(BTreeSet::new());
        }
        connection.prepare(REMOVALS)?.query_map([], |row| row.get(0))?.collect()
    };
    read().map_err(|error| from_driver(&error))
}

/// Returns the setting that `PRAGMA schema.name = value` changes, as it is written: `schema.name`.
fn setting(statement: &str) -> Result<&str, Error> {
    let before_value = statement.split(['=', '(']).next().unwrap_or(statement);
    match before_value.trim().split_at_checked("PRAGMA".len()) {
        Some((pragma, setting)) if pragma.eq_ignore_ascii_case("PRAGMA") => Ok(setting.trim()),
        _ => Err(Error::unsupported("this statement outside a transaction")),
    }
}

/// The schema before it means nothing: foreign keys are checked in all of them or in none.
fn is_foreign_keys(setting: &str) -> bool {
    let name = setting.rsplit('.').next().unwrap_or(setting);
    name.trim().eq_ignore_ascii_case("foreign_keys")
}

fn dangling(connection: &Connection) -> Result<Dangling, Error> {
    // Counted by table, not by row: a rebuilt table has new row numbers.
    let text = "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2";
    let read = || -> rusqlite::Result<Dangling> {
        let mut statement = connection.prepare(text)?;
        let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
        rows.collect()
    };
    read().map_err(|error| from_driver(&error))
}
