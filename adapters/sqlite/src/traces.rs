//! Looks in the schema whether a statement was carried out.

use whimbrel_adapter_api::subject::{Identifier, Kind, Subject};
use whimbrel_adapter_api::{Dialect, texts};

/// Returns the text that finds what a statement has left.
pub(crate) fn text(dialect: &dyn Dialect, statement: &str) -> Option<String> {
    texts::traces(dialect, statement, |subject| exists(dialect, subject))
}

fn exists(dialect: &dyn Dialect, subject: &Subject) -> Option<String> {
    let literal = |name: &Identifier| dialect.literal(&name.text.as_str().into());
    let schema = |schema: Option<&Identifier>| dialect.quote(schema.map_or("main", |schema| &schema.text));
    let (of, name) = texts::schema_and_name(&subject.name)?;
    Some(match subject.kind {
        Kind::Column => {
            let (of, table) = texts::schema_and_name(subject.table.as_deref()?)?;
            let of = of.map(|schema| format!(", {}", literal(schema))).unwrap_or_default();
            format!(
                "EXISTS (SELECT 1 FROM pragma_table_info({}{of}) WHERE name = {} COLLATE NOCASE)",
                literal(table),
                literal(name)
            )
        }
        Kind::Table | Kind::View | Kind::Index => format!(
            "EXISTS (SELECT 1 FROM {}.sqlite_schema WHERE name = {} COLLATE NOCASE)",
            schema(of),
            literal(name)
        ),
        _ => return None,
    })
}
