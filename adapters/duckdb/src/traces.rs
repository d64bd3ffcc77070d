//! What a statement may have left behind although nobody heard of it.

use whimbrel_adapter_api::Dialect;
use whimbrel_adapter_api::subject::{Identifier, Kind, Subject};
use whimbrel_adapter_api::texts;

/// Returns the text that finds the traces of a statement, or `None` where its words do not tell.
pub(crate) fn text(dialect: &dyn Dialect, statement: &str) -> Option<String> {
    texts::traces(dialect, statement, |subject| exists(dialect, subject))
}

fn exists(dialect: &dyn Dialect, subject: &Subject) -> Option<String> {
    let literal = |text: &str| dialect.literal(&text.into());
    // Names are compared without regard to case, in quotes too.
    let is = |column: &str, name: &Identifier| format!("lower({column}) = lower({})", literal(&name.text));
    // The lists are of every database that is attached.
    let place = |qualifiers: &[Identifier]| match qualifiers {
        [] => Some("database_name = current_database() AND schema_name = current_schema()".to_owned()),
        // Either may stand before a name.
        [one] => Some(format!(
            "(database_name = current_database() AND {} OR {} AND schema_name = 'main')",
            is("schema_name", one),
            is("database_name", one)
        )),
        [database, schema] => {
            Some(format!("{} AND {}", is("database_name", database), is("schema_name", schema)))
        }
        _ => None,
    };
    let find = |list: &str, column: &str, name: &[Identifier]| {
        let (name, qualifiers) = name.split_last()?;
        Some(format!("SELECT 1 FROM {list} WHERE {} AND {}", place(qualifiers)?, is(column, name)))
    };
    let found = match subject.kind {
        Kind::Table => find("duckdb_tables()", "table_name", &subject.name)?,
        Kind::View => find("duckdb_views()", "view_name", &subject.name)?,
        Kind::Index => find("duckdb_indexes()", "index_name", &subject.name)?,
        Kind::Column => {
            let table = find("duckdb_columns()", "table_name", subject.table.as_deref()?)?;
            format!("{table} AND {}", is("column_name", subject.name.last()?))
        }
        _ => return None,
    };
    Some(format!("EXISTS ({found})"))
}
