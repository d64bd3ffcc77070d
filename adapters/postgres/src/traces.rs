//! Looks in the catalogue whether a statement was carried out, and for the invalid index that a failed
//! `CONCURRENTLY` leaves behind.

use whimbrel_adapter_api::subject::{Change, Identifier, Kind, Locking, Quoting, Repeatable, Subject};
use whimbrel_adapter_api::{TableName, texts};

use crate::dialect::{PostgresDialect, literal, quote};

/// Returns the text that finds what a statement of an attempt has left.
pub(crate) fn text(
    dialect: &PostgresDialect,
    statement: &str,
    history: &TableName,
    position: Option<i64>,
) -> Option<String> {
    let subject = Subject::of(statement);
    match subject.as_ref().map(|subject| (subject.change, subject.kind, subject.locking)) {
        Some((Change::Made, Kind::Index, _)) => made(subject.as_ref()?, &since(dialect, history, position)),
        Some((Change::Remade, _, Locking::Concurrent)) => remade(subject.as_ref()?),
        _ => texts::traces(dialect, statement, exists),
    }
}

/// Returns the condition under which `c`, a row of a catalogue, came into being after the last mark of an attempt, or was
/// made anew since by REINDEX or ALTER: it is a good index of that name on that table either way.
fn since(dialect: &PostgresDialect, history: &TableName, position: Option<i64>) -> String {
    let Some(position) = position else { return "false".to_owned() };
    format!(
        "pg_catalog.age(c.xmin) < (SELECT pg_catalog.age(h.xmin) FROM {} h WHERE h.position = {position})",
        texts::qualified(dialect, history)
    )
}

fn exists(subject: &Subject) -> Option<String> {
    Some(match subject.kind {
        Kind::Column => format!(
            "EXISTS (SELECT 1 FROM pg_catalog.pg_attribute WHERE attrelid = {} AND attname = {} AND NOT attisdropped)",
            relation(subject.table.as_deref()?),
            literal(&folded(subject.name.last()?).as_str().into()),
        ),
        // It stands in the schema of its table, whatever the search path says.
        Kind::Index if subject.table.is_some() => {
            format!("EXISTS (SELECT 1 FROM {})", index_of_table(subject)?)
        }
        Kind::Table | Kind::View | Kind::Index => format!("{} IS NOT NULL", relation(&subject.name)),
        _ => return None,
    })
}

const DROP: &str = "pg_catalog.format('DROP INDEX CONCURRENTLY %I.%I', n.nspname, c.relname)";

/// An index. Where it fails to be made while others write it stays, marked as invalid: `IF NOT EXISTS` takes it for a good
/// one.
fn made(subject: &Subject, since: &str) -> Option<String> {
    let found = index_of_table(subject)?;
    let what = |state: &str| literal(&format!("{} is {state}", texts::called(subject)).as_str().into());
    // One on a partitioned table alone is invalid until its parts have theirs, and no failure.
    let failed = match subject.locking {
        Locking::Concurrent => "NOT x.indisvalid AND c.relkind = 'i'",
        _ => "false",
    };
    let done = if subject.repeatable == Repeatable::Yes { "true" } else { since };
    Some(format!(
        "SELECT CASE WHEN {failed} THEN {invalid} ELSE {there} END, CASE WHEN {failed} THEN {DROP} END, \
         CASE WHEN NOT ({failed}) AND {done} THEN 1 ELSE 0 END FROM {found}",
        there = what("there"),
        invalid = what("there and invalid"),
    ))
}

/// Indexes that were to take the place of others, or had to make room for them.
fn remade(subject: &Subject) -> Option<String> {
    let named = relation(&subject.name);
    let (table, of_index) = match subject.kind {
        Kind::Index => {
            let name = subject.name.last().map(folded).unwrap_or_default();
            // The server shortens a long name before it adds to it.
            let start: String = name.chars().take(40).collect();
            let starts = literal(&start.as_str().into());
            (
                format!("(SELECT indrelid FROM pg_catalog.pg_index WHERE indexrelid = {named})"),
                format!(" AND pg_catalog.starts_with(c.relname::text, {starts})"),
            )
        }
        Kind::Table | Kind::View => (named, String::new()),
        _ => return None,
    };
    Some(format!(
        "SELECT pg_catalog.format('the index `%s` is there and invalid', c.relname), {DROP}, 0 FROM {INDEXES} \
         WHERE x.indrelid = {table} AND NOT x.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'{of_index}"
    ))
}

const INDEXES: &str = "pg_catalog.pg_index x JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid \
                       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";

fn index_of_table(subject: &Subject) -> Option<String> {
    Some(format!(
        "{INDEXES} WHERE x.indrelid = {} AND c.relname = {}",
        relation(subject.table.as_deref()?),
        literal(&folded(subject.name.last()?).as_str().into()),
    ))
}

/// Returns the expression for a relation by its name, NULL where there is none.
fn relation(name: &[Identifier]) -> String {
    let path: Vec<String> = name.iter().map(|part| quote(&folded(part))).collect();
    format!("pg_catalog.to_regclass({})", literal(&path.join(".").as_str().into()))
}

/// Without quotes a name means its lower case.
fn folded(name: &Identifier) -> String {
    match name.quoting {
        Quoting::Bare => name.text.to_lowercase(),
        Quoting::Quoted => name.text.clone(),
    }
}
