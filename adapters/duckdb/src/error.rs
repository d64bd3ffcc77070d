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
    if leaves_open(fact("exception_type"), message) {
        return Error::lost(message);
    }
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

/// Returns whether the database has to be opened again to know what is in it: it has given itself up, or it has committed,
/// and could not write into its file what was in its log.
fn leaves_open(exception: &str, message: &str) -> bool {
    const WORDS: &[&str] = &["has been invalidated", "Failed to create checkpoint", "Checkpoint failed"];
    exception.eq_ignore_ascii_case("fatal") || WORDS.iter().any(|words| message.contains(words))
}

fn kind(exception: &str, subtype: &str, message: &str) -> ErrorKind {
    match (exception, subtype) {
        ("Parser" | "Syntax", _) => ErrorKind::Syntax,
        ("Catalog", "MISSING_ENTRY") if message.starts_with("Table ") || message.starts_with("View ") => {
            ErrorKind::TableMissing
        }
        ("Binder", "COLUMN_NOT_FOUND") => ErrorKind::ColumnMissing,
        // Another transaction changes the same; what it did is not known yet.
        _ if ["write-write conflict", "Conflict on ", "Transaction conflict"]
            .iter()
            .any(|words| message.contains(words)) =>
        {
            ErrorKind::Serialization
        }
        // What the transaction itself had seen was checked before: this is of one that has committed since.
        ("TransactionContext", _)
            if message.starts_with("Failed to commit") && message.contains("constraint") =>
        {
            ErrorKind::Serialization
        }
        _ if message.contains("No space left on device") => ErrorKind::DiskFull,
        ("TransactionContext", _) if message.starts_with("Cannot write") => ErrorKind::ReadOnly,
        ("Constraint", _) => ErrorKind::Constraint,
        ("INTERRUPT" | "Interrupt", _) => ErrorKind::Cancelled,
        ("Invalid Input", _) if message.contains("read-only") => ErrorKind::ReadOnly,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_adapter_api::Session;

    use super::*;

    /// A commit that failed is taken back, as a rule. Not where it is the file that fails behind a log that is complete.
    #[test]
    fn only_a_conflict_is_worth_another_try() {
        let told = |exception: &str, message: &str| {
            let words = format!(r#"{{"exception_type":"{exception}","exception_message":"{message}"}}"#);
            let code = duckdb::ffi::Error::new(1);
            let error = from_driver(&duckdb::Error::DuckDBFailure(code, Some(words)), "COMMIT");
            (error.kind, error.session)
        };
        let commit = "Failed to commit: ";
        for (exception, message, expected) in [
            (
                "TransactionContext",
                "write-write conflict on key: 1",
                (ErrorKind::Serialization, Session::Usable),
            ),
            (
                "TransactionContext",
                "PRIMARY KEY or UNIQUE constraint violation: duplicate key",
                (ErrorKind::Serialization, Session::Usable),
            ),
            (
                "TransactionContext",
                "could not write: No space left on device",
                (ErrorKind::DiskFull, Session::Usable),
            ),
            ("TransactionContext", "the log cannot be written", (ErrorKind::Other, Session::Usable)),
            (
                "TransactionContext",
                "Failed to create checkpoint because of error: no",
                (ErrorKind::ConnectionLost, Session::Lost),
            ),
            ("FATAL", "whatever", (ErrorKind::ConnectionLost, Session::Lost)),
            (
                "TransactionContext",
                "database has been invalidated because of a previous fatal error",
                (ErrorKind::ConnectionLost, Session::Lost),
            ),
        ] {
            assert_eq!(told(exception, &format!("{commit}{message}")), expected, "{message}");
        }
        let other = told("Transaction", "cannot start a transaction within a transaction");
        assert_eq!(other, (ErrorKind::Other, Session::Usable));
    }

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
