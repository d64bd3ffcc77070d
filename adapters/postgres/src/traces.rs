//! Looks in the catalogue whether a statement was carried out, and for the invalid index that a failed
//! `CONCURRENTLY` leaves behind.

use whimbrel_adapter_api::subject::{Change, Identifier, Kind, Locking, Quoting, Subject};
use whimbrel_adapter_api::texts;

use crate::dialect::{PostgresDialect, literal, quote};

/// Returns the text that finds what a statement has left.
pub(crate) fn text(dialect: &PostgresDialect, statement: &str) -> Option<String> {
    let subject = Subject::of(statement)?;
    if (subject.locking, subject.change) == (Locking::Concurrent, Change::Made) {
        return made_concurrently(&subject);
    }
    texts::traces(dialect, statement, exists)
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
        _ => format!("{} IS NOT NULL", relation(&subject.name)),
    })
}

/// An index that is made while others write. Where that fails it stays, marked as invalid: `IF NOT EXISTS` takes it for a
/// good one.
fn made_concurrently(subject: &Subject) -> Option<String> {
    let found = index_of_table(subject)?;
    let what = |state: &str| literal(&format!("{} is {state}", texts::called(subject)).as_str().into());
    Some(format!(
        "SELECT CASE WHEN x.indisvalid THEN {there} ELSE {invalid} END, CASE WHEN NOT x.indisvalid THEN \
         pg_catalog.format('DROP INDEX CONCURRENTLY %I.%I', n.nspname, c.relname) END FROM {found}",
        there = what("there"),
        invalid = what("there and invalid"),
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
