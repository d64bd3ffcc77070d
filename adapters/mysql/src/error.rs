//! The driver's errors in the contract's terms.
//!
//! Numbers are the servers' own. MySQL and MariaDB share those below 1900 and each has its own above.
//!
//! Nothing here quotes a url, and no server quotes a password.

use std::error::Error as StdError;
use std::io;
use std::ops::Range;

use mysql::{DriverError, MySqlError};
use whimbrel_adapter_api::{Error, ErrorKind, Retry, Session};

use crate::tls;

pub(crate) const NO_SUCH_THREAD: u16 = 1094;
pub(crate) const NO_SUCH_SAVEPOINT: i64 = 1305;
pub(crate) const OUT_OF_RANGE: i64 = 1690;

const DUPLICATE_KEY: i64 = 1062;
const TABLE_EXISTS: i64 = 1050;
const NO_REFERENCED_ROW: i64 = 1452;

/// Returns the error of a session that is open.
///
/// `sent` is the text that was sent and where in it the failing statement lies.
pub(crate) fn from_driver(error: &mysql::Error, sent: &str, statement: Range<usize>) -> Error {
    match error {
        mysql::Error::MySqlError(error) => {
            let mut known = from_server(error);
            if known.kind == ErrorKind::Syntax {
                known.position = position(&error.message, sent, statement);
            }
            known
        }
        mysql::Error::IoError(error) if error.kind() == io::ErrorKind::Unsupported => {
            // The server waits for the file in the middle of its answer; only hanging up ends that.
            let mut refused = Error::unsupported("LOAD DATA LOCAL INFILE");
            refused.session = Session::Lost;
            refused
        }
        mysql::Error::IoError(error) => Error::lost(format!("the connection is gone: {error}")),
        mysql::Error::DriverError(
            error @ (DriverError::MismatchedStmtParams(..)
            | DriverError::MixedParams
            | DriverError::Params(_)),
        ) => Error::new(ErrorKind::Other, error.to_string()),
        mysql::Error::DriverError(error) => Error::lost(error.to_string()),
        mysql::Error::CodecError(error) => Error::lost(format!("the connection is gone: {error}")),
        other => Error::new(ErrorKind::Other, other.to_string()),
    }
}

/// Returns the error of a session that could not be opened.
pub(crate) fn while_connecting(error: &mysql::Error) -> Error {
    match error {
        mysql::Error::MySqlError(error) => {
            let mut known = from_server(error);
            known.session = Session::Usable;
            known.kind = match error.code {
                // A server that is going down, one that is full, and one that has had enough of this user for now.
                1040 | 1053 | 1203 | 1226 => ErrorKind::NotReady,
                1044 | 1045 | 1129 | 1130 | 1251 | 1275 | 1524 | 1698 | 1820 | 1862 | 3118 | 4151 => {
                    ErrorKind::Authentication
                }
                3159 => ErrorKind::Tls,
                _ => known.kind,
            };
            if known.kind == ErrorKind::NotReady {
                known.retry = Retry::Sensible;
            }
            known
        }
        mysql::Error::TlsError(error) => Error::new(ErrorKind::Tls, error.to_string()),
        mysql::Error::IoError(error) => lost_while_connecting(error),
        mysql::Error::DriverError(DriverError::ConnectTimeout | DriverError::Timeout) => {
            unreachable("no answer in time")
        }
        mysql::Error::DriverError(DriverError::CouldNotConnect(cause)) => {
            unreachable(cause.as_ref().map_or("no address", |(_, description, _)| description))
        }
        mysql::Error::DriverError(
            error @ (DriverError::UnknownAuthPlugin(_)
            | DriverError::OldMysqlPasswordDisabled
            | DriverError::CleartextPluginDisabled
            | DriverError::InvalidParsecSalt),
        ) => Error::new(ErrorKind::Authentication, error.to_string()),
        mysql::Error::DriverError(error) => Error::new(ErrorKind::Other, error.to_string()),
        // Most errors of the stream are wrapped into one of the framing.
        mysql::Error::CodecError(error) => match error.source().and_then(<dyn StdError>::downcast_ref) {
            Some(error) => lost_while_connecting(error),
            None => not_this_protocol(&error.to_string()),
        },
        other => Error::new(ErrorKind::Other, other.to_string()),
    }
}

/// Returns the error of a stream that broke while the session was opened.
pub(crate) fn lost_while_connecting(error: &io::Error) -> Error {
    // The TLS handshake runs inside the first read, so its error arrives as one of the stream.
    if let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        let refused = Error::new(ErrorKind::Tls, error.to_string());
        return match tls::hint(cause) {
            Some(hint) => refused.with_hint(hint),
            None => refused,
        };
    }
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => unreachable("no answer in time"),
        io::ErrorKind::InvalidData => not_this_protocol(&error.to_string()),
        _ => unreachable(&error.to_string()),
    }
}

/// Returns the error of a text of an opening: `FenceTaken` where it says that another runner was first.
pub(crate) fn of_opening(mut error: Error) -> Error {
    let taken = matches!(error.kind, ErrorKind::Deadlock | ErrorKind::LockTimeout | ErrorKind::Serialization)
        || matches!(error.native, Some(DUPLICATE_KEY | TABLE_EXISTS | NO_REFERENCED_ROW));
    if taken && error.session == Session::Usable {
        error.kind = ErrorKind::FenceTaken;
        error.retry = Retry::Sensible;
    }
    error
}

fn unreachable(message: &str) -> Error {
    let mut error = Error::new(ErrorKind::Unreachable, message);
    error.retry = Retry::Sensible;
    error
}

fn not_this_protocol(message: &str) -> Error {
    Error::new(ErrorKind::Other, format!("the server does not speak MySQL's protocol: {message}"))
        .with_hint("check host and port")
}

fn from_server(error: &MySqlError) -> Error {
    let kind = kind(error.code, &error.message);
    let mut known = Error::new(kind, error.message.clone());
    known.sqlstate = Some(error.state.clone());
    known.native = Some(i64::from(error.code));
    known.constraint = constraint(error.code, &error.message);
    let named = between(&error.message, "'", "'").filter(|_| matches!(error.code, 1051 | 1146));
    if let Some((schema, table)) = named.and_then(|name| name.split_once('.')) {
        known.schema = Some(schema.to_owned());
        known.table = Some(table.to_owned());
    }
    if let Some((Some(table), _)) = key(&error.message).filter(|_| matches!(error.code, 1062 | 1586)) {
        known.table = Some(table.to_owned());
    }
    if kind == ErrorKind::ConnectionLost {
        known.session = Session::Lost;
    }
    let passes = [
        ErrorKind::Deadlock,
        ErrorKind::Serialization,
        ErrorKind::LockTimeout,
        ErrorKind::ConnectionLost,
        ErrorKind::NotReady,
    ];
    if passes.contains(&kind) {
        known.retry = Retry::Sensible;
    }
    known
}

fn kind(code: u16, message: &str) -> ErrorKind {
    match code {
        1064 | 1149 => ErrorKind::Syntax,
        1022 | 1048 | 1062 | 1169 | 1216 | 1217 | 1364 | 1451 | 1452 | 1557 | 1586 | 1761 | 1762 | 3819
        | 4025 => ErrorKind::Constraint,
        1146 => ErrorKind::TableMissing,
        1054 => ErrorKind::ColumnMissing,
        1049 => ErrorKind::DatabaseMissing,
        1044 | 1142 | 1143 | 1227 | 1370 | 1419 | 3619 => ErrorKind::Permission,
        // One number for every option that forbids a statement.
        1290 if message.contains("read-only") || message.contains("read_only") => ErrorKind::ReadOnly,
        1036 | 1792 | 1836 => ErrorKind::ReadOnly,
        1205 | 3572 => ErrorKind::LockTimeout,
        1969 | 3024 => ErrorKind::StatementTimeout,
        1317 => ErrorKind::Cancelled,
        1213 | 1614 => ErrorKind::Deadlock,
        1020 => ErrorKind::Serialization,
        1053 | 1080 | 1152 | 1158..=1161 | 1184 | 1927 | 3169 | 4031 => ErrorKind::ConnectionLost,
        1040 | 1203 => ErrorKind::NotReady,
        1153 => ErrorKind::TooLarge,
        1021 | 1114 => ErrorKind::DiskFull,
        _ => ErrorKind::Other,
    }
}

/// The servers name a constraint in the message and nowhere else.
fn constraint(code: u16, message: &str) -> Option<String> {
    let name = match code {
        1062 | 1586 => key(message).map(|(_, key)| key),
        1216 | 1217 | 1451 | 1452 | 4025 => between(message, "CONSTRAINT `", "`"),
        3819 => between(message, "Check constraint '", "'"),
        _ => None,
    };
    name.map(str::to_owned)
}

/// Returns the key of `Duplicate entry '7' for key 'birds.name'`, and the table where it is said: MySQL says it since
/// 8.0.19, MariaDB does not. Nothing tells a dot in a name from the one between two.
fn key(message: &str) -> Option<(Option<&str>, &str)> {
    // The entry is anybody's text, so what stands last counts.
    let (_, named) = message.rsplit_once("for key '")?;
    let named = named.strip_suffix('\'')?;
    Some(named.split_once('.').map_or((None, named), |(table, key)| (Some(table), key)))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside)
}

/// Finds the place of a syntax error from `… near 'TABEL t' at line 3`.
///
/// The quoted text is what was left of the whole packet, cut after some 80 characters, so it may run on into the
/// statements behind this one. The line is counted from the statement's own beginning. Where the text occurs more
/// than once, the beginning of the line is the best that can be said.
fn position(message: &str, sent: &str, statement: Range<usize>) -> Option<u64> {
    let (before, line) = message.rsplit_once("' at line ")?;
    let (_, near) = before.split_once("near '")?;
    let line: usize = line.trim().parse().ok()?;
    let own = sent.get(statement.clone())?;
    let first = own.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum::<usize>();
    let own_line = own.get(first..)?.split('\n').next()?;
    if near.is_empty() {
        return Some(own.trim_end().len() as u64);
    }
    let behind = sent.get(statement.start + first..)?;
    // MariaDB ends what it has cut with dots.
    let near = near.strip_suffix("...").filter(|_| !behind.contains(near)).unwrap_or(near);
    // One further than the line: an error at the end of the statement is seen at the delimiter.
    let mut found = behind.match_indices(near).map(|(at, _)| at).take_while(|at| *at <= own_line.len() + 1);
    let at = match (found.next(), found.next()) {
        (Some(at), None) => first + at,
        _ => first,
    };
    Some(at.min(own.len()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(message: &str, sent: &str, statement: Range<usize>) -> Option<u64> {
        position(&format!("You have an error; check the manual near {message}"), sent, statement)
    }

    #[test]
    fn a_syntax_error_is_found_by_its_line_and_the_text_that_follows() {
        let sent = "SELECT 1\n;\nCREATE\n  TABEL t (id INT)\n;\nSELECT 2";
        let own = 11..36;
        assert_eq!(&sent[own.clone()], "CREATE\n  TABEL t (id INT)");
        assert_eq!(at("'TABEL t (id INT)\n;\nSELECT 2' at line 2", sent, own.clone()), Some(9));
        assert_eq!(at("'t (id INT)\n;\nSELECT 2' at line 2", sent, own.clone()), Some(15));
        assert_eq!(at("'TABEL t (id INT)\n;\nSEL...' at line 2", sent, own.clone()), Some(9));
        // Quoted text that is not there: the line.
        assert_eq!(at("'elsewhere' at line 2", sent, own.clone()), Some(7));
        assert_eq!(at("'' at line 2", sent, own.clone()), Some(25));
        assert_eq!(at("'x' at line 9", sent, own), Some(25));
    }

    #[test]
    fn a_text_that_occurs_twice_points_at_the_line() {
        assert_eq!(at("'x' at line 1", "SELEC x x", 0..9), Some(0));
    }

    #[test]
    fn constraints_are_read_from_the_message() {
        let names = [
            (1062, "Duplicate entry '7' for key 'PRIMARY'", "PRIMARY"),
            (1062, "Duplicate entry '7' for key 'birds.name'", "name"),
            (1062, "Duplicate entry 'x' for key 'y' for key 'name'", "name"),
            (1452, "Cannot add (`b`.`t`, CONSTRAINT `t_ibfk_1` FOREIGN KEY (`p`))", "t_ibfk_1"),
            (4025, "CONSTRAINT `small` failed for `b`.`t`", "small"),
            (3819, "Check constraint 'small' is violated.", "small"),
        ];
        for (code, message, name) in names {
            assert_eq!(constraint(code, message).as_deref(), Some(name));
        }
    }
}
