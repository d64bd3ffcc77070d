//! The history in few bytes: of what was applied and nothing more, only id and checksum.
//!
//! Such a row stands one position behind the row before it, so its position need not be read: it is the next one that no
//! other row has. Where the numbers do not add up, because somebody has taken rows out by hand or another run adds some at
//! this moment, the history is read as a whole.

use whimbrel_adapter_api::{RowDirection, RowSet, RowState, TableName, Value};

use super::{Detail, History, HistoryRow, Runner, StoredDown, misbehaved, rows_of};
use crate::error::Result;

/// Returns the history that the three sets of [`BriefHistory`](whimbrel_adapter_api::Text::BriefHistory) tell, or nothing
/// if they do not agree.
pub(super) fn history(table: &TableName, sets: &[RowSet]) -> Result<Option<History>> {
    let in_part = || misbehaved("the adapter says that it has read the history, and hands over a part of it");
    let [detailed, plain, numbers] = sets else { return Err(in_part().into()) };
    let detailed = rows_of(table, detailed)?;
    let number = |index: usize| numbers.rows.first().and_then(|row| row.get(index)).and_then(Value::as_int);
    let (all, highest) = number(0).zip(number(1)).ok_or_else(in_part)?;
    let count = i64::try_from(detailed.len() + plain.rows.len()).unwrap_or(i64::MAX);
    if (all, highest) != (count, count) {
        return Ok(None);
    }
    // Read as started, and then as applied: another row came in between, and its number is the one that is too many.
    let started: Vec<&str> =
        detailed.iter().filter(|row| row.attempt == 1).map(|row| row.migration.as_str()).collect();
    let is_twice = |cells: &Vec<Value<'static>>| {
        cells.first().and_then(Value::as_text).is_some_and(|id| started.contains(&id))
    };
    if !started.is_empty() && plain.rows.iter().any(is_twice) {
        return Ok(None);
    }
    let mut rows = Vec::with_capacity(detailed.len() + plain.rows.len());
    let mut detailed = detailed.into_iter().peekable();
    let mut plain = plain.rows.iter();
    for position in 1..=count {
        match detailed.next_if(|row| row.position == position) {
            Some(row) => rows.push(row),
            None => match plain.next() {
                Some(cells) => rows.push(applied(position, cells)?),
                // A position that two rows have, or one below 1.
                None => return Ok(None),
            },
        }
    }
    Ok(Some(History { detail: Detail::Brief, ..History::new(rows) }))
}

fn applied(position: i64, cells: &[Value<'static>]) -> Result<HistoryRow> {
    let text = |index: usize| cells.get(index).and_then(Value::as_text);
    let (Some(migration), Some(digits)) = (text(0), text(1)) else {
        return Err(misbehaved("the adapter hands over a row of the history without id and checksum").into());
    };
    Ok(HistoryRow {
        position,
        migration: migration.to_owned(),
        attempt: 1,
        direction: RowDirection::Up,
        state: RowState::Applied,
        checksum: Some(format!("v1:{digits}")),
        statements_done: 0,
        statements_total: 0,
        lease_ms: None,
        started_at: None,
        finished_at: None,
        duration_ms: None,
        applied_by: String::new(),
        down: StoredDown::Absent,
        runner: Runner::default(),
    })
}

#[cfg(test)]
mod tests {
    use whimbrel_adapter_api::HISTORY_COLUMNS;

    use super::*;

    fn set(rows: Vec<Vec<Value<'static>>>) -> RowSet {
        RowSet::new(Vec::new(), rows)
    }

    fn detailed(position: i64) -> Vec<Value<'static>> {
        let cell = |column: &&str| match *column {
            "position" => Value::Int(position),
            "attempt" => Value::Int(1),
            "migration" => Value::Text(format!("detailed {position}").into()),
            "direction" => Value::text("down"),
            "state" => Value::text("reverted"),
            _ => Value::Int(0),
        };
        HISTORY_COLUMNS.iter().map(cell).collect()
    }

    fn read(with_detail: &[i64], plain: &[&str], numbers: [i64; 2]) -> Option<Vec<String>> {
        let plain = plain.iter().map(|id| vec![Value::Text((*id).to_owned().into()), Value::text("9f2c")]);
        let sets = [
            set(with_detail.iter().map(|position| detailed(*position)).collect()),
            set(plain.collect()),
            set(vec![numbers.map(Value::Int).to_vec()]),
        ];
        let history = history(&TableName::new("history"), &sets).expect("a history of ours");
        let line = |row: &HistoryRow| format!("{} {}", row.position, row.migration);
        history.map(|history| history.rows.iter().map(line).collect())
    }

    #[test]
    fn plain_rows_take_the_positions_that_others_leave() {
        let rows = read(&[2, 5], &["a", "b", "c"], [5, 5]).expect("the numbers agree");
        assert_eq!(rows, ["1 a", "2 detailed 2", "3 b", "4 c", "5 detailed 5"]);
        assert_eq!(read(&[], &[], [0, 0]), Some(Vec::new()));
    }

    #[test]
    fn numbers_that_do_not_agree_are_no_history() {
        assert_eq!(read(&[], &["a", "b"], [3, 3]), None, "a row came behind those that were read");
        assert_eq!(read(&[], &["a", "b"], [2, 3]), None, "a row was taken out");
        assert_eq!(read(&[7], &["a"], [2, 2]), None, "a row stands beyond the last");
        assert_eq!(read(&[0], &["a"], [2, 2]), None, "a row stands before the first");
        assert_eq!(
            read(&[1], &["detailed 1", "a"], [3, 3]),
            None,
            "a row is read twice, and another one not"
        );
    }
}
