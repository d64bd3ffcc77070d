//! Where a database is.
//!
//! `sqlite:app.db`, `sqlite://app.db`, `sqlite:///var/lib/app.db`, `file:app.db?mode=ro`, `sqlite::memory:` and a bare
//! path. Parameters are those of SQLite's own URI file names.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use whimbrel_adapter_api::{Error, ErrorKind};

use crate::error;

/// The parameters of SQLite's URI file names.
const PARAMETERS: &[&str] = &["cache", "immutable", "mode", "modeof", "nolock", "psow", "vfs"];

/// A database file, or memory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// The path without parameters, percent-encoding undone.
    path: String,
    /// What SQLite is given: a path as it is, or a URI.
    name: String,
}

/// Reads a url.
pub(crate) fn parse(url: &str) -> Result<Location, Error> {
    let Some(rest) = ["sqlite3:", "sqlite:", "file:"].iter().find_map(|scheme| url.strip_prefix(scheme))
    else {
        // Taken for a path, the url of another engine would be shown in messages, password and all.
        if let Some((scheme, _)) = url.split_once("://") {
            // What is no scheme may be anything, such as a list of words with half of a password.
            let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
            let message = match is_scheme {
                true => format!("SQLite does not serve urls with the scheme `{scheme}`"),
                false => "SQLite does not serve urls of this form".to_owned(),
            };
            return Err(Error::new(ErrorKind::InvalidUrl, message).with_hint("write `sqlite:app.db`"));
        }
        return Location::new(url.to_owned(), url.to_owned());
    };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let name = parameter.split('=').next().unwrap_or_default();
        if !PARAMETERS.contains(&name) {
            let known = PARAMETERS.join("`, `");
            let message = format!("the url has a parameter `{name}` that SQLite does not know");
            return Err(Error::new(ErrorKind::InvalidUrl, message).with_hint(format!("it knows `{known}`")));
        }
    }
    Location::new(decode(path)?, format!("file:{rest}"))
}

impl Location {
    fn new(path: String, name: String) -> Result<Self, Error> {
        if path.contains('\0') {
            return Err(Error::new(ErrorKind::InvalidUrl, "the path in the url holds a zero byte"));
        }
        if path.is_empty() {
            let message = "the url names no file";
            return Err(Error::new(ErrorKind::InvalidUrl, message).with_hint("write `sqlite:app.db`"));
        }
        Ok(Location { path, name })
    }

    /// Opens the database, which is created when it is not there.
    pub(crate) fn open(&self) -> Result<Connection, Error> {
        Connection::open_with_flags(
            &self.name,
            flags(OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_READ_WRITE),
        )
        .map_err(|cause| self.error(&cause))
    }

    /// Opens the database without ever writing to it.
    ///
    /// One that is not there yet is as good as an empty one, and must not come into being by being looked at.
    pub(crate) fn open_for_reading(&self) -> Result<Connection, Error> {
        if self.is_file() && !Path::new(&self.path).exists() {
            return Connection::open_in_memory().map_err(|cause| self.error(&cause));
        }
        Connection::open_with_flags(&self.name, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))
            .map_err(|cause| self.error(&cause))
    }

    fn is_file(&self) -> bool {
        self.path != ":memory:"
    }

    fn error(&self, cause: &rusqlite::Error) -> Error {
        let error = error::from_driver(cause);
        let path = Path::new(&self.path);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        match folder {
            Some(folder) if !folder.is_dir() => {
                error.with_hint(format!("there is no folder `{}`: create it first", folder.display()))
            }
            _ if error.kind != ErrorKind::Unreachable => error,
            _ if path.is_dir() => error.with_hint(format!("`{}` is a folder: name a file in it", self.path)),
            _ if !path.exists() && self.name.contains("mode=r") => {
                error.with_hint(format!("there is no file `{}`", self.path))
            }
            _ if !path.exists() => {
                let folder = folder.unwrap_or(Path::new("."));
                let hint =
                    format!("it cannot be created: look at the rights of the folder `{}`", folder.display());
                error.with_hint(hint)
            }
            _ => error.with_hint(format!("look at the rights of `{}` and of its folder", self.path)),
        }
    }
}

fn flags(access: OpenFlags) -> OpenFlags {
    // One thread at a time uses a connection, so SQLite's own mutex is not needed.
    access | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Undoes percent-encoding, as SQLite does with a URI.
fn decode(path: &str) -> Result<String, Error> {
    percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Error::new(ErrorKind::InvalidUrl, "the path in the url is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_names_its_file() {
        for (url, path) in [
            ("sqlite:app.db", "app.db"),
            ("sqlite://app.db", "app.db"),
            ("sqlite:///var/lib/app.db", "/var/lib/app.db"),
            ("sqlite:/var/lib/app.db", "/var/lib/app.db"),
            ("file:app.db?mode=ro", "app.db"),
            ("sqlite:my%20birds.db", "my birds.db"),
            ("sqlite::memory:", ":memory:"),
            ("birds.db", "birds.db"),
            ("/tmp/100%.db", "/tmp/100%.db"),
        ] {
            assert_eq!(parse(url).map(|location| location.path), Ok(path.to_owned()), "{url}");
        }
    }

    #[test]
    fn a_bare_path_is_taken_letter_by_letter() {
        assert_eq!(parse("what?.db").map(|location| location.name), Ok("what?.db".to_owned()));
    }

    #[test]
    fn the_url_of_another_engine_is_refused_and_not_shown() {
        // The last one was found by the fuzz target: all before `://` was quoted as the scheme.
        for url in ["postgres://ana:sekret@db/app", "ana:sekret://@db/app", "host=db password=sekret://"] {
            let error = parse(url).expect_err("it is no path");
            assert_eq!(error.kind, ErrorKind::InvalidUrl, "{url}");
            assert!(!format!("{error:?}").contains("sekret"), "{url}: {error:?}");
        }
        let error = parse("postgres://db/app").expect_err("it is no path");
        assert!(error.message.ends_with("the scheme `postgres`"), "{error}");
    }

    #[test]
    fn an_unknown_parameter_is_named() {
        let error = parse("sqlite:app.db?mood=ro").expect_err("there is no such parameter");
        assert_eq!(error.kind, ErrorKind::InvalidUrl);
        assert!(error.message.contains("`mood`"), "{error}");
    }

    #[test]
    fn a_url_without_a_file_is_refused() {
        for url in ["", "sqlite:", "sqlite://?mode=ro"] {
            assert_eq!(parse(url).map_err(|error| error.kind), Err(ErrorKind::InvalidUrl), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_opened_is_told_with_what_stands_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("a path");
        let hint = |url: &str| {
            let location = parse(url).expect("a url");
            let error = location.open().map(drop).expect_err("it cannot be opened");
            error.hint.unwrap_or_default().replace(path, "FOLDER")
        };
        assert_eq!(hint(path), "`FOLDER` is a folder: name a file in it");
        assert_eq!(hint(&format!("file:{path}/a.db?mode=rw")), "there is no file `FOLDER/a.db`");
        assert_eq!(hint(&format!("{path}/b/a.db")), "there is no folder `FOLDER/b`: create it first");
    }

    #[test]
    fn looking_at_a_database_does_not_create_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("absent.db");
        let location = parse(file.to_str().expect("a path")).expect("a path is a url");
        let reader = location.open_for_reading().expect("an absent database reads as an empty one");
        let tables: i64 =
            reader.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).expect("a count");
        assert_eq!(tables, 0);
        assert!(!file.exists());
    }
}
