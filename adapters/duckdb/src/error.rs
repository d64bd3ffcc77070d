//! DuckDB's errors in the contract's terms.
//!
//! A session has its errors written as json: with their kind, and the place in the statement.

use serde_json::Value;
use whimbrel_adapter_api::{Error, ErrorKind, Retry};

/// The setting that makes errors what is read here.
pub(crate) const AS_JSON: &str = "SET errors_as_json = true";

/// Returns the error of a statement or script.
pub(crate) fn from_driver(error: &duckdb::Error, text: &str) -> Error {
    let words = words(error);
    let Some(facts) = words.find('{').and_then(|start| serde_json::from_str::<Value>(&words[start..]).ok())
    else {
        return Error::new(ErrorKind::Other, words);
    };
    let fact = |name: &str| facts.get(name).and_then(Value::as_str).unwrap_or_default();
    let message = fact("exception_message");
    let mut known = Error::new(kind(fact("exception_type"), fact("error_subtype"), message), message);
    let position = fact("position").parse::<usize>().ok();
    known.position = position.map(|position| match fact("exception_type") {
        // The parser counts characters, and whoever comes behind it bytes.
        "Parser" => text.char_indices().nth(position).map_or(text.len(), |(byte, _)| byte) as u64,
        _ => position as u64,
    });
    if !fact("name").is_empty() && fact("type") == "Table" {
        known.table = Some(fact("name").to_owned());
    }
    if known.kind == ErrorKind::Serialization {
        known.retry = Retry::Sensible;
    }
    known
}

/// Returns the error of a file that cannot be opened.
pub(crate) fn while_opening(error: &duckdb::Error, path: &str) -> Error {
    let words = words(error);
    if words.contains("Could not set lock on file") {
        let holder = words.split("(PID ").nth(1).and_then(|rest| rest.split(')').next());
        let holder = holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        let message = format!("another process{holder} has `{path}` to itself");
        let mut error = Error::new(ErrorKind::InUse, message);
        error.retry = Retry::Sensible;
        return error;
    }
    let message = words.split("\n").next().unwrap_or_default().trim_start_matches("IO Error: ");
    Error::new(ErrorKind::Unreachable, message)
}

fn words(error: &duckdb::Error) -> String {
    match error {
        duckdb::Error::DuckDBFailure(_, Some(words)) => words.clone(),
        other => other.to_string(),
    }
}

fn kind(exception: &str, subtype: &str, message: &str) -> ErrorKind {
    match (exception, subtype) {
        ("Parser" | "Syntax", _) => ErrorKind::Syntax,
        ("Catalog", "MISSING_ENTRY") if message.starts_with("Table ") || message.starts_with("View ") => {
            ErrorKind::TableMissing
        }
        ("Binder", "COLUMN_NOT_FOUND") => ErrorKind::ColumnMissing,
        // Another transaction changes the same; what it did is not known yet.
        _ if message.contains("write-write conflict") || message.contains("Conflict on ") => {
            ErrorKind::Serialization
        }
        ("TransactionContext", _) if message.starts_with("Failed to commit") => ErrorKind::Serialization,
        ("TransactionContext", _) if message.starts_with("Cannot write") => ErrorKind::ReadOnly,
        ("Transaction", _) => ErrorKind::Serialization,
        ("Constraint", _) => ErrorKind::Constraint,
        ("INTERRUPT" | "Interrupt", _) => ErrorKind::Cancelled,
        ("Invalid Input", _) if message.contains("read-only") => ErrorKind::ReadOnly,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_counts_characters_and_the_others_bytes() {
        let told = |words: &str, text: &str| {
            let code = duckdb::ffi::Error::new(1);
            let error = from_driver(&duckdb::Error::DuckDBFailure(code, Some(words.to_owned())), text);
            (error.kind, error.position)
        };
        let parser = r#"Parser Error: {"exception_type":"Parser","exception_message":"x","position":"19"}"#;
        assert_eq!(told(parser, "select 'été' as a; selec 2"), (ErrorKind::Syntax, Some(21)));
        let binder = r#"{"exception_type":"Binder","exception_message":"x","error_subtype":"COLUMN_NOT_FOUND","position":"16"}"#;
        assert_eq!(told(binder, "select 'été', x"), (ErrorKind::ColumnMissing, Some(16)));
    }
}
