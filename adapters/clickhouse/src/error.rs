//! ClickHouse's errors in the contract's terms.

use whimbrel_adapter_api::{Error, ErrorKind, Retry, Session};

use crate::http::Refusal;

/// A column of this name is there already: what a lost fence looks like.
pub(crate) const DUPLICATE_COLUMN: i64 = 15;

const UNKNOWN_DATABASE: i64 = 81;

/// Returns the error of a statement, with every fact that the server gave.
pub(crate) fn of_refusal(refusal: &Refusal, statement: &str) -> Error {
    match refusal {
        Refusal::Server { code, words } => of_server(*code, words, statement),
        Refusal::Transport { kind: ErrorKind::Other, words } => Error::new(ErrorKind::Other, words.clone()),
        // Whether the statement was carried out nobody knows.
        Refusal::Transport { words, .. } => Error::lost(words.clone()),
    }
}

/// Returns the error of the first request.
pub(crate) fn while_connecting(refusal: &Refusal) -> Error {
    match refusal {
        Refusal::Server { code, words } => {
            let mut error = of_server(*code, words, "");
            if *code == UNKNOWN_DATABASE {
                error.kind = ErrorKind::DatabaseMissing;
            }
            error
        }
        Refusal::Transport { kind: ErrorKind::ConnectionLost, words } => {
            Error::new(ErrorKind::Unreachable, words.clone())
        }
        Refusal::Transport { kind, words } => Error::new(*kind, words.clone()),
    }
}

/// Returns whether the server has refused before it did anything, and may not refuse the next time.
pub(crate) fn passes(refusal: &Refusal) -> bool {
    // Another ALTER is under way on a replica, too many queries run, the replica waits for its keeper.
    matches!(refusal, Refusal::Server { code: 517 | 202 | 242, .. })
}

fn of_server(code: i64, words: &str, statement: &str) -> Error {
    let kind = match code {
        62 => ErrorKind::Syntax,
        60 | UNKNOWN_DATABASE => ErrorKind::TableMissing,
        10 | 16 | 47 => ErrorKind::ColumnMissing,
        192 | 193 | 194 | 516 => ErrorKind::Authentication,
        497 => ErrorKind::Permission,
        164 | 242 => ErrorKind::ReadOnly,
        159 => ErrorKind::StatementTimeout,
        394 => ErrorKind::Cancelled,
        473 => ErrorKind::LockTimeout,
        243 => ErrorKind::DiskFull,
        469 => ErrorKind::Constraint,
        _ => ErrorKind::Other,
    };
    let mut error = Error::new(kind, message(words));
    error.native = Some(code);
    error.position = position(words, statement);
    if matches!(code, 202 | 209 | 242 | 473 | 517 | 999) {
        error.retry = Retry::Sensible;
    }
    error.session = Session::Usable;
    error
}

/// Returns the server's sentence without its number, its version and the grammar that it expected.
fn message(words: &str) -> String {
    let sentence = words.split_once("DB::Exception: ").map_or(words, |(_, sentence)| sentence);
    let sentence = sentence.split(" (version ").next().unwrap_or(sentence);
    let sentence = sentence.split(" Expected one of: ").next().unwrap_or(sentence);
    sentence.trim().to_owned()
}

/// Returns the byte of `failed at position 21 (FRON)`, which counts from 1.
fn position(words: &str, statement: &str) -> Option<u64> {
    let after = words.split_once("failed at position ")?.1;
    let digits = after.split(|letter: char| !letter.is_ascii_digit()).next()?;
    let position = digits.parse::<u64>().ok()?.checked_sub(1)?;
    Some(position.min(statement.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_syntax_is_short_and_says_where() {
        let words = "Code: 62. DB::Exception: Syntax error: failed at position 21 (FRON): FRON nowhere WHERE. Maybe \
                     you meant: FROM. Expected one of: token, Comma, FROM. (SYNTAX_ERROR) (version 26.9.2.1)";
        let error = of_server(62, words, "SELECT 'été' AS a FRON nowhere WHERE");
        assert_eq!((error.kind, error.native, error.position), (ErrorKind::Syntax, Some(62), Some(20)));
        let expected =
            "Syntax error: failed at position 21 (FRON): FRON nowhere WHERE. Maybe you meant: FROM.";
        assert_eq!(error.message, expected);
    }
}
