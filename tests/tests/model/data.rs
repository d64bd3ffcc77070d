//! What is in the model's database: how often each statement has taken effect, and the history.
//!
//! A [`Change`] is a statement's effect with nothing left to decide. Only a commit brings changes here, and every
//! commit is checked.
//!
//! Knows no session and no lock: who may change what, and when, is the [`server`](crate::server)'s affair.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use whimbrel_adapter_api::Error;

use crate::statement::{Statement, What};

/// Everything that was committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Data {
    /// How often each thing is there. A thing stands for one statement of one script, so it is there once or not.
    pub(crate) things: BTreeMap<String, i64>,
    /// The rows of the history table, if there is one.
    pub(crate) history: Option<Vec<Row>>,
}

/// One row of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) position: i64,
    pub(crate) previous: Option<i64>,
    pub(crate) migration: String,
    pub(crate) attempt: i64,
    pub(crate) direction: String,
    pub(crate) state: String,
    pub(crate) checksum: Option<String>,
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) statement_checksums: Option<String>,
    /// Until when it is taken to be at work. In a text: for how long.
    pub(crate) lease: Option<u64>,
    pub(crate) started_at: u64,
    pub(crate) finished_at: Option<u64>,
    pub(crate) down_script: Option<String>,
    pub(crate) applied_by: String,
}

impl Row {
    /// Returns whether it is the row of an attempt that is under way, or was when its runner died.
    pub(crate) fn is_started(&self) -> bool {
        self.state == "started"
    }
}

/// The effect of one statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// The history table comes into being.
    Establish,
    /// A row is added.
    Insert(Box<Row>),
    /// A row is noted to have come so far.
    Mark { position: i64, done: u64, lease: u64 },
    /// A row is ended.
    Finish { position: i64, state: String, done: u64, at: u64 },
    /// A thing comes or goes.
    Count { thing: String, by: i64 },
}

impl Data {
    pub(crate) fn rows(&self) -> &[Row] {
        self.history.as_deref().unwrap_or_default()
    }

    pub(crate) fn row(&self, position: i64) -> Option<&Row> {
        self.rows().iter().find(|row| row.position == position)
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Establish => drop(self.history.get_or_insert_default()),
            Change::Insert(row) => {
                let rows = self.history.get_or_insert_default();
                rows.push(row.as_ref().clone());
                rows.sort_by_key(|row| row.position);
            }
            Change::Mark { position, done, lease } => {
                if let Some(row) = self.row_mut(*position) {
                    (row.done, row.lease) = (*done, Some(*lease));
                }
            }
            Change::Finish { position, state, done, at } => {
                if let Some(row) = self.row_mut(*position) {
                    (row.done, row.lease, row.finished_at) = (*done, None, Some(*at));
                    row.state.clone_from(state);
                }
            }
            Change::Count { thing, by } => *self.things.entry(thing.clone()).or_default() += by,
        }
    }

    fn row_mut(&mut self, position: i64) -> Option<&mut Row> {
        self.history.iter_mut().flatten().find(|row| row.position == position)
    }

    /// Returns what is there, or gone, as a statement would have left it. Only schema tells.
    pub(crate) fn left_by(&self, statement: &str) -> Result<Option<String>, Error> {
        let Statement::Count { what: What::Schema, thing, by } = Statement::parse(statement)? else {
            return Ok(None);
        };
        let is_there = self.things.get(&thing).is_some_and(|count| *count > 0);
        Ok((is_there == (by > 0)).then(|| format!("the effect of `{statement}` on `{thing}`")))
    }

    /// Returns what must never be committed, not even for a moment.
    pub(crate) fn wrong(&self) -> Option<String> {
        let thing = self.things.iter().find(|(_, count)| !(0..=1).contains(*count));
        if let Some((thing, count)) = thing {
            return Some(format!("`{thing}` is there {count} times"));
        }
        let numbered = (1..).zip(self.rows());
        let gap = numbered.into_iter().find(|(number, row)| {
            row.position != *number || row.previous != (*number > 1).then_some(number - 1)
        });
        gap.map(|(number, row)| {
            format!("row {number} of the history is {} after {:?}", row.position, row.previous)
        })
    }
}

impl fmt::Display for Data {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = self
            .things
            .iter()
            .filter(|(_, count)| **count != 0)
            .map(|(thing, count)| format!("{thing} {count}"));
        writeln!(formatter, "there is {}", there.collect::<Vec<_>>().join(", "))?;
        for row in self.rows() {
            let Row { position, migration, attempt, direction, state, done, total, .. } = row;
            writeln!(formatter, "{position}: {migration} {attempt}, {direction} {state}, {done} of {total}")?;
        }
        Ok(())
    }
}
