//! Keeps scripts away from the history.
//!
//! Where a script cannot roll back, one that drops or locks the history table takes the record of everything with it:
//! the next run would begin from nothing. A dump of a whole database does that.
//!
//! Reads the script a second time, and only one that runs step by step: in a transaction our own row would miss, and
//! everything would be rolled back.

use whimbrel_adapter_api::TableName;

use super::{is_name, line_at, line_in_file, not_split, unreadable};
use crate::error::{Name, Place, Problem};
use crate::source::Script;
use crate::splitter::{Item, Rules, Splitter, Statement};

/// How many words of a statement are looked at. What changes a table names it early; rows of data are long.
const REACH: usize = 200;

/// Checks that no statement of a script names the history table.
///
/// # Errors
///
/// The first one that does.
pub fn check(script: &Script, rules: &Rules, table: &TableName) -> Result<(), Problem> {
    let reader = script.open().map_err(|error| unreadable(&error).at(Place::file(&script.path)))?;
    let mut splitter = Splitter::new(rules, reader);
    while let Some(item) = splitter.next_item().map_err(|error| not_split(&error, script))? {
        if let Item::Statement(statement) = item
            && names(&statement, &table.name)
        {
            return Err(refused(table).at(place(&statement, script)));
        }
    }
    Ok(())
}

fn names(statement: &Statement<'_>, table: &str) -> bool {
    statement.words().take(REACH).any(|word| is_name(word, table))
}

fn place(statement: &Statement<'_>, script: &Script) -> Place {
    let location = statement.location;
    let place = Place::position(&script.path, line_in_file(script, location.line), location.column);
    line_at(script, location.line).into_iter().fold(place, Place::with_excerpt)
}

fn refused(table: &TableName) -> Problem {
    Problem::new(Name::Refused, format!("the script names the history table `{}`", table.name))
        .fact("it runs statement by statement, and what it does to the history could not be rolled back")
        .hint("take the statement out; leave the history table out of a dump")
}
