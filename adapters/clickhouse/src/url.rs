//! Where a server is.
//!
//! `clickhouse://user:password@host:8123/database?secure=true`. Without a port 8123, or 8443 with `secure=true`.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;
use whimbrel_adapter_api::{Error, ErrorKind};

/// What a url says.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `http://host:8123/`.
    pub(crate) endpoint: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
    /// The cluster on which all schema changes of the history are made.
    pub(crate) cluster: Option<String>,
    /// The file of the authorities to trust in place of the system's.
    pub(crate) authority: Option<PathBuf>,
    pub(crate) connect_timeout: Duration,
}

const PARAMETERS: &[&str] = &["ca", "cluster", "connect_timeout", "secure"];

/// The ports of the native protocol.
const NATIVE: [u16; 2] = [9000, 9440];

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl Settings {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        if !text.starts_with("clickhouse://") {
            return Err(invalid("the url does not begin with `clickhouse://`"));
        }
        // What is wrong is told without the url's own words: any part of them may be the password.
        let url = Url::parse(text).map_err(|error| invalid(&format!("the url cannot be read: {error}")))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| invalid("the url names no host"))?;
        let mut settings = Settings {
            endpoint: String::new(),
            user: decoded(url.username(), "user")?,
            password: decoded(url.password().unwrap_or_default(), "password")?,
            database: decoded(url.path().trim_start_matches('/'), "database")?,
            cluster: None,
            authority: None,
            connect_timeout: CONNECT_TIMEOUT,
        };
        let mut scheme = ("http", 8123);
        for (name, value) in url.query_pairs() {
            match &*name {
                "ca" => settings.authority = Some(PathBuf::from(value.into_owned())),
                "cluster" => settings.cluster = Some(value.into_owned()),
                "connect_timeout" => settings.connect_timeout = seconds(&value)?,
                "secure" => scheme = if truth(&value)? { ("https", 8443) } else { ("http", 8123) },
                _ => {
                    let known = PARAMETERS.join("`, `");
                    return Err(invalid("the url has a parameter that ClickHouse's adapter does not know")
                        .with_hint(format!("it knows `{known}`")));
                }
            }
        }
        let port = url.port().unwrap_or(scheme.1);
        if NATIVE.contains(&port) {
            return Err(invalid(&format!(
                "port {port} speaks ClickHouse's native protocol, and this adapter HTTP"
            ))
            .with_hint("write port 8123, or 8443 with `secure=true`"));
        }
        settings.endpoint = format!("{}://{host}:{port}/", scheme.0);
        if settings.user.is_empty() {
            settings.user = "default".to_owned();
        }
        if settings.database.is_empty() {
            settings.database = "default".to_owned();
        }
        Ok(settings)
    }
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidUrl, message)
}

fn decoded(part: &str, what: &str) -> Result<String, Error> {
    let decoded = percent_decode_str(part).decode_utf8();
    decoded.map(Into::into).map_err(|_| invalid(&format!("the {what} in the url is not UTF-8")))
}

fn seconds(value: &str) -> Result<Duration, Error> {
    let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(|| invalid("`connect_timeout` is no whole number of seconds"))
}

fn truth(value: &str) -> Result<bool, Error> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(invalid("`secure` is neither `true` nor `false`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_who() {
        let settings =
            Settings::parse("clickhouse://ana:h%40%20x@db/birds?secure=true&cluster=c").expect("a url");
        assert_eq!(settings.endpoint, "https://db:8443/");
        assert_eq!((settings.user.as_str(), settings.password.as_str()), ("ana", "h@ x"));
        assert_eq!((settings.database.as_str(), settings.cluster.as_deref()), ("birds", Some("c")));
        let settings = Settings::parse("clickhouse://[::1]:8124").expect("a url");
        assert_eq!(settings.endpoint, "http://[::1]:8124/");
        assert_eq!((settings.user.as_str(), settings.database.as_str()), ("default", "default"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_its_words() {
        for (url, message) in [
            ("http://hunter2/", "the url does not begin with `clickhouse://`"),
            ("clickhouse://a:hunter2@h:x/", "the url cannot be read: invalid port number"),
            ("clickhouse://h/?hunter2=1", "the url has a parameter that ClickHouse's adapter does not know"),
            ("clickhouse://h:9000/", "port 9000 speaks ClickHouse's native protocol, and this adapter HTTP"),
            ("clickhouse://h/?secure=yes", "`secure` is neither `true` nor `false`"),
        ] {
            let error = Settings::parse(url).expect_err(url);
            assert_eq!((error.kind, error.message.as_str()), (ErrorKind::InvalidUrl, message));
        }
    }
}
