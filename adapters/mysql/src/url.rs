//! From a url to the settings of a session.
//!
//! `mysql://user:password@host:port/database?parameter=value`, every part percent-encoded. The parameters are those
//! of the engines' own clients and of libpq, so that a url moved over from elsewhere keeps its meaning.
//!
//! A parameter that is not known is refused: one that is passed over could be the one that asked for TLS.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;
use whimbrel_adapter_api::{Error, ErrorKind};

use crate::tls::TlsMode;

const DEFAULT_PORT: u16 = 3306;

/// How long a server may take to answer while the session is opened, unless the url says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that opens a session. Not `Debug`: it holds the password.
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) socket: Option<String>,
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) database: String,
    pub(crate) tls: TlsMode,
    pub(crate) authority: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) connect_timeout: Duration,
    pub(crate) program_name: Option<String>,
}

impl Settings {
    /// Reads a url.
    ///
    /// # Errors
    ///
    /// `InvalidUrl`, naming the part at fault. Quotes neither password nor user.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        if let Some(mark) = unescaped(text) {
            return Err(invalid(format!("a `{mark}` ends the user or the password in the url too early")).with_hint(
                "in user and password write `%40` for `@`, `%2F` for `/`, `%3F` for `?`, `%23` for `#`, `%25` for `%`",
            ));
        }
        let url = Url::parse(text).map_err(|error| {
            invalid(format!("the url cannot be read: {error}"))
                .with_hint("write it as `mysql://user:password@host:3306/database`, with special characters percent-encoded")
        })?;
        if !matches!(url.scheme(), "mysql" | "mariadb") {
            return Err(invalid(format!("the scheme `{}` is not `mysql` or `mariadb`", url.scheme())));
        }
        let host = match url.host_str() {
            None | Some("") => "localhost".to_owned(),
            Some(host) => decode(host, "host")?,
        };
        let mut settings = Settings {
            host,
            port: url.port().unwrap_or(DEFAULT_PORT),
            socket: None,
            user: decode(url.username(), "user")?,
            password: url.password().map(|password| decode(password, "password")).transpose()?,
            database: decode(url.path().trim_start_matches('/'), "database")?,
            tls: TlsMode::Preferred,
            authority: None,
            certificate: None,
            key: None,
            connect_timeout: CONNECT_TIMEOUT,
            program_name: None,
        };
        let mut mode = None;
        for (name, value) in url.query_pairs() {
            without_zero(&name, "name of a parameter")?;
            without_zero(&value, "value of a parameter")?;
            settings.parameter(&name, value, &mut mode)?;
        }
        // As with the engine's own client: who names an authority wants it asked.
        let implied =
            if settings.authority.is_some() { TlsMode::VerifyAuthority } else { TlsMode::Preferred };
        settings.tls = mode.unwrap_or(implied);
        settings.check()?;
        Ok(settings)
    }

    fn parameter(
        &mut self,
        name: &str,
        value: Cow<'_, str>,
        mode: &mut Option<TlsMode>,
    ) -> Result<(), Error> {
        let wrong = |expected: &str| invalid(format!("`{value}` is no value for `{name}`: {expected}"));
        match name {
            "ssl-mode" | "sslmode" | "ssl_mode" | "tls" => {
                let known = TlsMode::from_word(&value);
                *mode = Some(known.ok_or_else(|| {
                    wrong("DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY is expected")
                })?);
            }
            "ssl-ca" | "sslrootcert" | "ssl_ca" => self.authority = Some(PathBuf::from(value.as_ref())),
            "ssl-cert" | "sslcert" | "ssl_cert" => self.certificate = Some(PathBuf::from(value.as_ref())),
            "ssl-key" | "sslkey" | "ssl_key" => self.key = Some(PathBuf::from(value.as_ref())),
            "socket" => self.socket = Some(value.into_owned()),
            "connect_timeout" | "connect-timeout" => {
                let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                let seconds = seconds.ok_or_else(|| wrong("a whole number of seconds is expected"))?;
                self.connect_timeout = Duration::from_secs(seconds);
            }
            "charset" | "character_set" => {
                if !matches!(value.to_ascii_lowercase().as_str(), "utf8mb4" | "utf8") {
                    return Err(wrong("files are UTF-8, so the session is `utf8mb4`"));
                }
            }
            "program_name" => self.program_name = Some(value.into_owned()),
            _ => {
                return Err(invalid(format!("the parameter `{name}` is not known"))
                    .with_hint("known are ssl-mode, ssl-ca, ssl-cert, ssl-key, socket, connect_timeout, charset and program_name"));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        if self.user.is_empty() {
            return Err(invalid("the url names no user")
                .with_hint("write it as `mysql://user:password@host/database`"));
        }
        if self.database.is_empty() {
            return Err(invalid("the url names no database")
                .with_hint("add its name behind the host: `mysql://user:password@host/database`"));
        }
        if self.certificate.is_some() != self.key.is_some() {
            return Err(invalid("`ssl-cert` and `ssl-key` belong together, and one is missing"));
        }
        // The driver leaves a socket in the clear, whatever it was asked.
        if self.socket.is_some() && self.tls.demands() {
            return Err(invalid("TLS is demanded, and there is none over a socket")
                .with_hint("leave out `socket` or `ssl-mode`"));
        }
        Ok(())
    }
}

/// Returns the mark that ends user and password before their end, as far as the rest of the url shows it: by an `@`
/// where none can be.
fn unescaped(text: &str) -> Option<char> {
    let (_, rest) = text.split_once("://")?;
    let (at, mark) = rest.char_indices().find(|(_, letter)| "@/?#".contains(*letter))?;
    let behind = &rest[at + 1..];
    if mark != '@' {
        return behind.contains('@').then_some(mark);
    }
    let (place, query) = behind.split_once('?').unwrap_or((behind, ""));
    // A database may have an `@` in its name, and a parameter in its value.
    let in_host = place.split('/').next().is_some_and(|host| host.contains('@'));
    let before_the_path = place.rfind('@').is_some_and(|at| place[at..].contains('/'));
    let in_a_name = query.split('&').filter_map(|pair| pair.split('=').next()).any(|name| name.contains('@'));
    let in_the_fragment = behind.split_once('#').is_some_and(|(_, fragment)| fragment.contains('@'));
    (in_host || before_the_path || in_a_name || in_the_fragment).then_some(mark)
}

fn decode(text: &str, part: &str) -> Result<String, Error> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| invalid(format!("the {part} in the url is not UTF-8")))?;
    without_zero(&decoded, part)?;
    Ok(decoded.into_owned())
}

/// The protocol ends a text at its first zero byte, so that a longer name would be cut without a word.
fn without_zero(text: &str, part: &str) -> Result<(), Error> {
    match text.contains('\0') {
        true => Err(invalid(format!("the {part} in the url holds a zero byte"))),
        false => Ok(()),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidUrl, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> Error {
        Settings::parse(url).err().expect("the url is refused")
    }

    #[test]
    fn every_part_is_decoded() {
        let settings = Settings::parse(
            "mysql://an%40na:s%2Fe%3Fc%23@[::1]:3307/bird%20s?ssl-mode=REQUIRED&connect_timeout=3",
        )
        .expect("the url is valid");
        assert_eq!(settings.user, "an@na");
        assert_eq!(settings.password.as_deref(), Some("s/e?c#"));
        assert_eq!((settings.host.as_str(), settings.port), ("[::1]", 3307));
        assert_eq!(settings.database, "bird s");
        assert_eq!(settings.tls, TlsMode::Required);
        assert_eq!(settings.connect_timeout, Duration::from_secs(3));
    }

    #[test]
    fn spellings_of_other_clients_mean_the_same() {
        for (word, mode) in [
            ("disable", TlsMode::Disabled),
            ("prefer", TlsMode::Preferred),
            ("require", TlsMode::Required),
            ("skip-verify", TlsMode::Required),
            ("verify-ca", TlsMode::VerifyAuthority),
            ("verify-full", TlsMode::VerifyIdentity),
            ("true", TlsMode::VerifyIdentity),
        ] {
            let settings =
                Settings::parse(&format!("mariadb://ana@db/birds?sslmode={word}")).expect("it is valid");
            assert_eq!(settings.tls, mode, "{word}");
        }
        let settings = Settings::parse("mysql://ana@db/birds?ssl-ca=/ca.pem").expect("it is valid");
        assert_eq!(settings.tls, TlsMode::VerifyAuthority);
    }

    #[test]
    fn a_password_that_is_not_encoded_is_the_cause_and_is_not_shown() {
        for password in [
            "hu@sh",
            "hu@sh#/hush@",
            "hu/sh",
            "hu#sh",
            "hu?sh",
            "1/hush",
            "hu@sh/hush",
            "hu@sh?hush",
            "@hu#sh",
        ] {
            let error = refused(&format!("mysql://ana:{password}@db:3306/birds?ssl-mode=REQUIRED"));
            assert_eq!(error.kind, ErrorKind::InvalidUrl, "{password}");
            assert!(error.message.contains("too early"), "{password}: {}", error.message);
            assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("`%40` for `@`")), "{password}");
            assert!(!format!("{error:?}").contains("sh"), "{password}: {error:?}");
        }
        for url in
            ["mysql://ana@db/bi@rds", "mysql://ana:%40@db/birds?socket=/run/a@b", "mysql://ana@[::1]/birds"]
        {
            assert!(Settings::parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_refusal_names_the_part_and_never_the_password() {
        for (url, part) in [
            ("mysql://ana:hush@db/birds?colour=red", "colour"),
            ("mysql://ana:hush@db/birds?ssl-mode=perhaps", "ssl-mode"),
            ("mysql://ana:hush@db/birds?connect_timeout=0", "connect_timeout"),
            ("mysql://ana:hush@db/birds?charset=latin1", "charset"),
            ("mysql://ana:hush@db/birds?ssl-cert=/cert.pem", "ssl-key"),
            ("mysql://ana:hush@db/birds?socket=/s&ssl-mode=REQUIRED", "socket"),
            ("mysql://ana:hush@db", "database"),
            ("mysql://ana:hush@db:port/birds", "port"),
            ("mysql://:hush@db/birds", "user"),
            ("postgres://ana:hush@db/birds", "postgres"),
            ("mysql://ana:%ffhush@db/birds", "password"),
            ("mysql://ana:hush%00@db/birds", "the password in the url holds a zero byte"),
            ("mysql://an%00a:hush@db/birds", "the user in the url holds a zero byte"),
            ("mysql://ana:hush@db/bir%00ds", "the database in the url holds a zero byte"),
            (
                "mysql://ana:hush@db/birds?socket=/run%00",
                "the value of a parameter in the url holds a zero byte",
            ),
        ] {
            let error = refused(url);
            assert_eq!(error.kind, ErrorKind::InvalidUrl, "{url}");
            assert!(error.message.contains(part), "{url}: {}", error.message);
            assert!(!format!("{error:?}").contains("hush"), "{url}: {error:?}");
        }
    }
}
