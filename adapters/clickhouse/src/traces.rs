//! What a statement may have left behind although nobody heard of it.

use whimbrel_adapter_api::Dialect;
use whimbrel_adapter_api::subject::{Kind, Subject};
use whimbrel_adapter_api::texts;

use crate::dialect::text_literal;
use crate::statements;

/// Returns the text that finds the traces of a statement, or `None` where its words do not tell.
pub(crate) fn text(dialect: &dyn Dialect, statement: &str) -> Option<String> {
    match statements::fills(statement) {
        true => texts::traces_by_name(dialect, statement, exists),
        false => texts::traces(dialect, statement, exists),
    }
}

fn exists(subject: &Subject) -> Option<String> {
    let named = |name: &[_]| {
        let (database, name) = texts::schema_and_name(name)?;
        let database =
            database.map_or_else(|| "currentDatabase()".to_owned(), |database| text_literal(&database.text));
        Some((database, text_literal(&name.text)))
    };
    match subject.kind {
        Kind::Table | Kind::View => {
            let (database, name) = named(&subject.name)?;
            Some(format!(
                "(SELECT count() FROM system.tables WHERE database = {database} AND name = {name}) > 0"
            ))
        }
        Kind::Column => {
            let (database, table) = named(subject.table.as_deref()?)?;
            let column = text_literal(&subject.name.last()?.text);
            Some(format!(
                "(SELECT count() FROM system.columns WHERE database = {database} AND table = {table} \
                 AND name = {column}) > 0"
            ))
        }
        _ => None,
    }
}
