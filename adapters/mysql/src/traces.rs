//! Looks in the catalogue whether a statement was carried out.

use whimbrel_adapter_api::subject::{Identifier, Kind, Subject};
use whimbrel_adapter_api::{Dialect, texts};

use crate::dialect::named;

/// Returns the text that finds what a statement has left.
pub(crate) fn text(dialect: &dyn Dialect, statement: &str) -> Option<String> {
    texts::traces(dialect, statement, |subject| exists(dialect, subject))
}

fn exists(dialect: &dyn Dialect, subject: &Subject) -> Option<String> {
    let literal = |name: &Identifier| dialect.literal(&name.text.as_str().into());
    // What belongs to a table is found by it.
    let holder = match subject.kind {
        Kind::Table | Kind::View => &subject.name,
        _ => subject.table.as_ref()?,
    };
    let (schema, table) = texts::schema_and_name(holder)?;
    let schema = schema.map_or_else(|| "DATABASE()".to_owned(), literal);
    let table = named(&schema, &literal(table));
    let (catalogue, more) = match subject.kind {
        Kind::Table | Kind::View => ("tables", String::new()),
        Kind::Index => ("statistics", format!(" AND index_name = {}", literal(subject.name.last()?))),
        Kind::Column => ("columns", format!(" AND column_name = {}", literal(subject.name.last()?))),
        _ => return None,
    };
    Some(format!("EXISTS (SELECT 1 FROM information_schema.{catalogue} WHERE {table}{more})"))
}
