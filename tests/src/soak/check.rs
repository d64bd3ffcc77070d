//! Looks whether everything took effect exactly once.

use std::collections::BTreeMap;

use super::migrations::Migration;
use super::{Count, Trouble};
use crate::Database;

/// Returns what is doubled and what is lost, in the database and in the history.
pub(super) fn troubles(database: &dyn Database, migrations: &[Migration]) -> Vec<Trouble> {
    let mut troubles = effects(database, migrations);
    troubles.extend(history(database, migrations));
    troubles
}

fn effects(database: &dyn Database, migrations: &[Migration]) -> Vec<Trouble> {
    let statements = || migrations.iter().flat_map(|migration| &migration.statements);
    let probes: Vec<String> = statements().map(|statement| format!("({})", statement.probe)).collect();
    let counts = match database.try_query(&format!("SELECT {}", probes.join(", "))) {
        Ok(rows) => rows.into_iter().next().unwrap_or_default(),
        Err(error) => return vec![Trouble::new(Count::Lost, format!("the effects cannot be read: {error}"))],
    };
    let places = migrations.iter().flat_map(|migration| {
        (1..=migration.statements.len()).map(|place| format!("statement {place} of `{}`", migration.id))
    });
    let trouble = |(place, count): (String, Option<String>)| {
        times(&count.unwrap_or_default(), &format!("{place} is in the database"))
    };
    places.zip(counts).filter_map(trouble).collect()
}

fn history(database: &dyn Database, migrations: &[Migration]) -> Vec<Trouble> {
    let question = "SELECT position, migration, direction, state FROM whimbrel_migrations ORDER BY position";
    let rows = match database.try_query(question) {
        Ok(rows) => rows,
        Err(error) => return vec![Trouble::new(Count::Lost, format!("the history cannot be read: {error}"))],
    };
    let mut troubles = Vec::new();
    let mut applied: BTreeMap<&str, u32> =
        migrations.iter().map(|migration| (migration.id.as_str(), 0)).collect();
    for (row, expected) in rows.iter().zip(1_u32..) {
        let cell = |place: usize| row.get(place).and_then(Option::as_deref).unwrap_or_default();
        if cell(0) != expected.to_string() {
            let gap = format!("the history has position {} where {expected} belongs", cell(0));
            troubles.push(Trouble::new(Count::Lost, gap));
            break;
        }
        if (cell(2), cell(3)) == ("up", "applied")
            && let Some(count) = applied.get_mut(cell(1))
        {
            *count += 1;
        }
    }
    let counted = applied.into_iter();
    troubles.extend(
        counted.filter_map(|(id, count)| {
            times(&count.to_string(), &format!("`{id}` is applied in the history"))
        }),
    );
    troubles
}

/// Returns what is wrong about something that must be there once.
fn times(count: &str, what: &str) -> Option<Trouble> {
    match count {
        "1" => None,
        "0" => Some(Trouble::new(Count::Lost, format!("{what} 0 times"))),
        more => Some(Trouble::new(Count::Doubled, format!("{what} {more} times"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::migrations::{self, Language};
    use super::*;
    use crate::Sqlite;

    /// Returns a database to which all migrations were brought, and what else the statements do to it.
    fn applied_and(statements: &str) -> Vec<String> {
        let (database, migrations) = (Sqlite::fresh(), migrations::all(Language::Sqlite, 100));
        let project = migrations::project(Language::Sqlite, &migrations);
        let _ = project.run(["up", "sqlite", "--url", &database.url()]).exits(0);
        database.execute(statements);
        let found = troubles(&database, &migrations);
        found.into_iter().map(|trouble| format!("{:?}: {}", trouble.count, trouble.text)).collect()
    }

    #[test]
    fn nothing_is_found_where_nothing_is_wrong() {
        assert_eq!(applied_and(""), Vec::<String>::new());
    }

    #[test]
    fn effects_that_are_doubled_or_lost_are_found() {
        let found = applied_and(
            "INSERT INTO soak_log VALUES (7, 1); DELETE FROM soak_log WHERE migration = 8; DROP TABLE table_9;",
        );
        assert_eq!(
            found,
            [
                "Doubled: statement 2 of `007_soak` is in the database 2 times",
                "Lost: statement 1 of `008_soak` is in the database 0 times",
                "Lost: statement 1 of `009_soak` is in the database 0 times",
                "Lost: statement 3 of `009_soak` is in the database 0 times",
            ]
        );
    }

    #[test]
    fn rows_of_the_history_that_are_doubled_or_lost_are_found() {
        let twice = "INSERT INTO whimbrel_migrations (position, previous, migration, attempt, direction, state, \
                     statements_done, statements_total, started_at, applied_by) \
                     SELECT 101, 100, migration, 2, direction, state, statements_done, statements_total, started_at, \
                     applied_by FROM whimbrel_migrations WHERE position = 9;";
        assert_eq!(applied_and(twice), ["Doubled: `009_soak` is applied in the history 2 times"]);
        let gone = "UPDATE whimbrel_migrations SET state = 'skipped' WHERE position = 9;
                    DELETE FROM whimbrel_migrations WHERE position = 100";
        let lost = ["009", "100"].map(|id| format!("Lost: `{id}_soak` is applied in the history 0 times"));
        assert_eq!(applied_and(gone), lost);
        let gap = "UPDATE whimbrel_migrations SET position = 200 WHERE position = 100;";
        assert_eq!(
            applied_and(gap),
            [
                "Lost: the history has position 200 where 100 belongs",
                "Lost: `100_soak` is applied in the history 0 times",
            ]
        );
    }
}
