//! ClickHouse's errors in the contract's terms.

use whimbrel_adapter_api::{Error, ErrorKind, Retry};

use crate::http::Refusal;
use crate::statements;

/// A column of this name is there already: what a lost fence looks like.
pub(crate) const DUPLICATE_COLUMN: i64 = 15;

const UNKNOWN_DATABASE: i64 = 81;

/// The server does not know the session: it was idle for too long, or the server is another one.
const SESSION_NOT_FOUND: i64 = 372;

/// Returns the error of a statement, with every fact that the server gave.
pub(crate) fn of_refusal(refusal: &Refusal, statement: &str) -> Error {
    match refusal {
        Refusal::Server { code, words } => of_server(*code, words, statement),
        // Whether the statement was carried out nobody knows.
        Refusal::Stranger { words } | Refusal::Transport { words, .. } => Error::lost(words.clone()),
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
        Refusal::Stranger { words } => Error::new(ErrorKind::Other, words.clone()),
        Refusal::Transport { kind: ErrorKind::ConnectionLost, words } => {
            Error::new(ErrorKind::Unreachable, words.clone())
        }
        Refusal::Transport { kind, words } => Error::new(*kind, words.clone()),
    }
}

/// Returns whether the server has refused before it did anything, and may not refuse the next time.
pub(crate) fn passes(refusal: &Refusal, statement: &str) -> bool {
    match refusal {
        // What one of several servers refuses, the others may have done.
        Refusal::Server { words, .. } if is_of_another_server(words) => false,
        // Too many queries run: looked at before anything else.
        Refusal::Server { code: 202, .. } => true,
        // Another ALTER is under way on a replica, or the replica waits for its keeper. An INSERT hears the latter in the
        // middle of its blocks as well, and of several commands in one ALTER some may be done.
        Refusal::Server { code: 517 | 242, .. } => statements::is_one_alteration(statement),
        _ => false,
    }
}

/// Returns whether a statement that failed so may have left a part of its work.
pub(crate) fn may_leave_a_part(error: &Error, statement: &str) -> bool {
    let code = error.native.unwrap_or_default();
    // What the keeper, another server or a background task was to do may be done yet.
    if matches!(code, 209 | 210 | 319 | 341 | 999) || is_of_another_server(&error.message) {
        return true;
    }
    // Of several commands in one ALTER some may be done. What cannot be parsed has none.
    if statements::is_alteration(statement) && !statements::is_one_alteration(statement) {
        return code != 62;
    }
    // Rows are written block by block, and each stays. Of what a name means, and of who may do what, the server makes sure
    // before the first one, unless a view behind the table asks for it, or it says itself that it was at work on rows.
    let is_before_the_first = matches!(
        code,
        16 | 20 | 42 | 46 | 47 | 50 | 57 | 60 | 62 | 81 | 82 | 115 | 164 | 202 | 452 | 497 | 516
    );
    (statements::inserts(statement) || statements::fills(statement))
        && (!is_before_the_first || is_of_rows(&error.message))
}

/// Returns whether an error came up among the rows.
fn is_of_rows(words: &str) -> bool {
    let words = words.to_lowercase();
    ["while pushing to view", "while executing", "cannot parse expression"]
        .iter()
        .any(|sign| words.contains(sign))
}

/// Returns whether an error is passed on: of a distributed table's shard, or of a host of a cluster.
fn is_of_another_server(words: &str) -> bool {
    ["Received from ", "There was an error on "].iter().any(|passed_on| words.contains(passed_on))
}

fn of_server(code: i64, words: &str, statement: &str) -> Error {
    if code == SESSION_NOT_FOUND {
        // Its settings and temporary tables are gone, and a fresh one would not have them.
        let mut error = Error::lost("the server has forgotten the session");
        error.native = Some(code);
        return error;
    }
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
    error
}

/// Returns the server's sentence without its number, its version and the grammar that it expected.
fn message(words: &str) -> String {
    let sentence = words.split_once("DB::Exception: ").map_or(words, |(_, sentence)| sentence);
    let sentence = sentence.split(" (version ").next().unwrap_or(sentence);
    let sentence = sentence.split(" Expected one of: ").next().unwrap_or(sentence);
    // What `throwIf` was told to say needs no word about how it came to say it.
    let sentence = sentence.split(": while executing 'FUNCTION throwIf(").next().unwrap_or(sentence);
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

    #[test]
    fn what_writes_block_by_block_may_leave_a_part() {
        let leaves =
            |code, words: &str, statement| may_leave_a_part(&of_server(code, words, statement), statement);
        let insert = "INSERT INTO birds SELECT number FROM numbers(9000000)";
        for (code, words, statement) in [
            (241, "Memory limit exceeded", insert),
            (394, "Query was cancelled", "WITH 1 AS x INSERT INTO birds SELECT x"),
            (60, "Table t does not exist: while pushing to view v", insert),
            (
                62,
                "Cannot parse expression of type Int64 here: 'x': While executing ValuesBlockInputFormat.",
                insert,
            ),
            (36, "Invalid Base58 value: while executing 'FUNCTION base58Decode(s)'", insert),
            (15, "Duplicate column", "ALTER TABLE birds UPDATE n = n + 1 WHERE 1, ADD COLUMN seen Date"),
            (
                395,
                "No",
                "CREATE TABLE IF NOT EXISTS t ENGINE = Memory AS SELECT throwIf(number) FROM numbers(2)",
            ),
            (
                395,
                "No",
                "CREATE MATERIALIZED VIEW v ENGINE = Memory POPULATE AS SELECT throwIf(id) FROM birds",
            ),
            (57, "There was an error on [b:9000]: Code: 57.", "CREATE TABLE t ON CLUSTER c (id Int8)"),
            (999, "Connection loss", "ALTER TABLE birds ADD COLUMN seen Date"),
        ] {
            assert!(leaves(code, words, statement), "{statement}");
        }
        for (code, words, statement) in [
            (60, "Table birds does not exist", insert),
            (62, "Syntax error", insert),
            (62, "Syntax error", "ALTER TABLE birds UPDATE n = n + 1 WHERE 1, ADD COLUM seen Date"),
            (241, "Memory limit exceeded", "SELECT * FROM birds -- INSERT"),
            (241, "Memory limit exceeded", "CREATE VIEW v AS SELECT 1"),
            (15, "Duplicate column", "ALTER TABLE birds ADD COLUMN `insert` Date"),
            (36, "No", "CREATE TABLE t (a Int8, PROJECTION p (SELECT a ORDER BY a)) ENGINE = MergeTree"),
        ] {
            assert!(!leaves(code, words, statement), "{statement}");
        }
    }

    #[test]
    fn only_what_surely_did_nothing_is_sent_again() {
        let refused = |code, words: &str| Refusal::Server { code, words: words.to_owned() };
        let alter = "ALTER TABLE birds ADD COLUMN seen Date";
        for (code, statement) in [(202, "INSERT INTO birds SELECT 1"), (517, alter), (242, alter)] {
            assert!(passes(&refused(code, "no"), statement), "{code} {statement}");
        }
        for (code, words, statement) in [
            (242, "no", "INSERT INTO birds SELECT * FROM numbers(9000000)"),
            (517, "no", "ALTER TABLE birds UPDATE n = n + 1 WHERE 1, ADD COLUMN seen Date"),
            (
                517,
                "There was an error on [b:9000]: Code: 517.",
                "ALTER TABLE t ON CLUSTER c ADD COLUMN a Date",
            ),
            (202, "Received from b:9000. Too many", "INSERT INTO everywhere SELECT 1"),
            (60, "no", alter),
        ] {
            assert!(!passes(&refused(code, words), statement), "{code} {words} {statement}");
        }
        let gone = Refusal::Transport { kind: ErrorKind::Unreachable, words: "refused".to_owned() };
        assert!(!passes(&gone, alter));
        assert!(!passes(&Refusal::Stranger { words: "502".to_owned() }, alter));
    }
}
