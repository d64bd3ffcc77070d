//! Where a database is: `duckdb:birds.duckdb`, `duckdb:///var/lib/birds.duckdb`, `duckdb::memory:`.

use std::path::{Path, PathBuf};

use duckdb::{AccessMode, Config, Connection};
use whimbrel_adapter_api::{Access, Error, ErrorKind};

use crate::error;
use crate::instance::Share;

/// A database file, or memory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Location<'a>(&'a str);

const MEMORY: &str = ":memory:";

/// Reads a url.
pub(crate) fn parse(url: &str) -> Result<Location<'_>, Error> {
    let invalid =
        |message: &str| Error::new(ErrorKind::InvalidUrl, message).with_hint("write `duckdb:birds.duckdb`");
    let rest = url.strip_prefix("duckdb:").ok_or_else(|| invalid("the url does not begin with `duckdb:`"))?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.contains('?') {
        return Err(invalid("the url has parameters, and there are none for DuckDB"));
    }
    if path.is_empty() || path.contains('\0') {
        return Err(invalid("the url names no file"));
    }
    Ok(Location(path))
}

impl Location<'_> {
    /// Opens a session.
    pub(crate) fn open(&self, access: Access) -> Result<(Share, Connection), Error> {
        let Location(path) = self;
        // One that is not there yet is as good as an empty one, and must not come into being by being looked at.
        if *path == MEMORY || (access == Access::ReadOnly && !Path::new(path).exists()) {
            let handle = Connection::open_in_memory().map_err(|cause| error::while_opening(&cause, path))?;
            return Ok((Share::none(), handle));
        }
        let mode = match access {
            Access::ReadOnly => AccessMode::ReadOnly,
            _ => AccessMode::ReadWrite,
        };
        let open = || {
            let config = Config::default().access_mode(mode);
            let opened = config.and_then(|config| Connection::open_with_flags(path, config));
            opened.map_err(|cause| error::while_opening(&cause, path))
        };
        Share::of(full(path), access, open)
    }
}

/// Returns the full path of a file that need not be there yet.
fn full(path: &str) -> PathBuf {
    let path = Path::new(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let file = path.file_name().map_or_else(|| folder.clone(), |name| folder.join(name));
    file.canonicalize().unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_path_behind_the_scheme() {
        for (url, path) in
            [("duckdb:a b.duckdb", "a b.duckdb"), ("duckdb:///x/y", "/x/y"), ("duckdb::memory:", MEMORY)]
        {
            assert_eq!(parse(url), Ok(Location(path)));
        }
        for url in ["duck:x", "duckdb:", "duckdb:x?mode=ro"] {
            assert!(parse(url).is_err_and(|error| error.kind == ErrorKind::InvalidUrl), "{url}");
        }
    }
}
