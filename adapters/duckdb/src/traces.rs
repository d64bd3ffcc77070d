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
    let in_schema = |schema: Option<&Identifier>| match schema {
        Some(schema) => is("schema_name", schema),
        None => "schema_name = current_schema()".to_owned(),
    };
    let find = |list: &str, column: &str, name: &[Identifier]| {
        let (schema, name) = texts::schema_and_name(name)?;
        Some(format!("SELECT 1 FROM {list} WHERE {} AND {}", in_schema(schema), is(column, name)))
    };
    let found = match subject.kind {
        Kind::Table => find("duckdb_tables()", "table_name", &subject.name)?,
        Kind::View => find("duckdb_views()", "view_name", &subject.name)?,
        Kind::Index => find("duckdb_indexes()", "index_name", &subject.name)?,
        Kind::Column => {
            let table = find("duckdb_columns()", "table_name", subject.table.as_deref()?)?;
            format!("{table} AND {}", is("column_name", subject.name.last()?))
        }
    };
    Some(format!("EXISTS ({found})"))
}
