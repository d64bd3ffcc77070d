//! Password files as libpq reads them.
//!
//! Lines of `host:port:database:user:password`; `*` fits anything, a backslash takes the meaning from the character
//! behind it, and the first line that fits counts. The host reads the file, since an adapter knows no home directory.
//!
//! Knows nothing of files and their rights.

use crate::url::Target;

/// Where a password is asked for.
pub(crate) struct Login<'a> {
    pub(crate) target: &'a Target,
    pub(crate) database: &'a str,
    pub(crate) user: &'a str,
}

/// Returns the password of the first line that fits.
pub(crate) fn password(text: &str, login: &Login<'_>) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        let port = login.target.port.to_string();
        let names = login.target.password_file_hosts();
        let mut fits = |values: &[&str]| {
            let field = field(&mut rest)?;
            (field == Field::Any || values.iter().any(|value| field == Field::Text((*value).to_owned())))
                .then_some(())
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        fits(&names)?;
        fits(&[&port])?;
        fits(&[login.database])?;
        fits(&[login.user])?;
        let password = unescaped(rest.trim_end_matches('\r'));
        (!password.is_empty()).then_some(password)
    })
}

#[derive(PartialEq, Eq)]
enum Field {
    Any,
    Text(String),
}

/// Takes a field and its colon from the front of a line; `None` where there is no colon.
fn field(rest: &mut &str) -> Option<Field> {
    let mut escaped = false;
    let end = rest.bytes().position(|byte| {
        let ends = byte == b':' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    let field = &rest[..end];
    *rest = &rest[end + 1..];
    Some(if field == "*" { Field::Any } else { Field::Text(unescaped(field)) })
}

fn unescaped(field: &str) -> String {
    let mut letters = field.chars();
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        // A backslash at the end stands for itself.
        text.push(if letter == '\\' { letters.next().unwrap_or(letter) } else { letter });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, host: &str) -> Option<String> {
        let target = Target { host: host.to_owned(), address: None, port: 5433 };
        password(text, &Login { target: &target, database: "birds", user: "ana" })
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let file = "# db:5433:birds:ana:comment\n\ndb:5432:birds:ana:port\nother:5433:birds:ana:host\n\
                    db:5433:bird:ana:database\ndb:5433:birds:an:user\ndb:*:birds:*:first\n*:*:*:*:second\n";
        assert_eq!(found(file, "db").as_deref(), Some("first"));
        assert_eq!(found(file, "elsewhere").as_deref(), Some("second"));
        assert_eq!(found("db:5433:birds:ana", "db"), None);
        assert_eq!(found("db:5433:birds:ana:", "db"), None);
        assert_eq!(found("", "db"), None);
    }

    #[test]
    fn a_backslash_takes_the_meaning_of_the_next_character() {
        assert_eq!(found(r"db:5433:birds:ana:a\:b\\c", "db").as_deref(), Some(r"a:b\c"));
        assert_eq!(found("db:5433:birds:ana:a:b", "db").as_deref(), Some("a:b"));
        assert_eq!(found(r"\::*:*:*:colon", ":").as_deref(), Some("colon"));
        assert_eq!(found(r"\*:*:*:*:star", "db"), None);
        assert_eq!(found("*:*:*:*:last\\\r\n", "db").as_deref(), Some("last\\"));
    }

    #[test]
    fn the_usual_socket_is_localhost() {
        let file = "localhost:*:*:*:usual\n/run/db:*:*:*:other\n";
        assert_eq!(found(file, "localhost").as_deref(), Some("usual"));
        assert_eq!(found(file, "/tmp").as_deref(), Some("usual"));
        assert_eq!(found(file, "/var/run/postgresql").as_deref(), Some("usual"));
        assert_eq!(found(file, "/run/db").as_deref(), Some("other"));
    }

    #[test]
    fn an_address_fits_where_the_host_has_one() {
        let target = Target { host: "db".to_owned(), address: "10.0.0.7".parse().ok(), port: 5432 };
        let login = Login { target: &target, database: "birds", user: "ana" };
        assert_eq!(password("db:*:*:*:by-name", &login).as_deref(), Some("by-name"));
        assert_eq!(password("10.0.0.7:*:*:*:by-address", &login).as_deref(), None);
        let target = Target { host: "10.0.0.7".to_owned(), ..target };
        let login = Login { target: &target, ..login };
        assert_eq!(password("10.0.0.7:*:*:*:by-address", &login).as_deref(), Some("by-address"));
    }
}
