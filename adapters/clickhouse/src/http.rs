//! One statement, one request.
//!
//! A refusal of the server comes with a status and a header that names its code, because the server is asked to wait with
//! the answer until the statement is done.

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Body, Timeout};
use whimbrel_adapter_api::{Error, ErrorKind};

use crate::url::Settings;

/// What every request says beside its own parameters.
const COMMON: &[(&str, &str)] = &[
    ("default_format", "TabSeparatedWithNamesAndTypes"),
    // An error behind the first rows would else come as a part of them.
    ("wait_end_of_query", "1"),
    // A statement of a migration may be long, and it is in memory anyway.
    ("max_query_size", "1073741824"),
    ("output_format_decimal_trailing_zeros", "1"),
];

/// A server and who asks it.
pub(crate) struct Server {
    agent: Agent,
    endpoint: String,
    user: String,
    password: String,
    application: String,
}

/// The answer to a statement.
pub(crate) struct Reply {
    /// Rows with the names and types of their columns before them; nothing, where there are none.
    pub(crate) body: Vec<u8>,
    /// How many rows were written.
    pub(crate) written: u64,
}

/// Why there is no answer.
pub(crate) enum Refusal {
    /// The server says so.
    Server {
        /// Its number for it.
        code: i64,
        /// Its words.
        words: String,
    },
    /// Somebody in between says so, a proxy or a balancer: the statement may be with the server all the same.
    Stranger {
        /// What there was to hear.
        words: String,
    },
    /// Nobody answered.
    Transport {
        /// The situation.
        kind: ErrorKind,
        /// What happened.
        words: String,
    },
}

impl Server {
    pub(crate) fn new(settings: &Settings, application: &str) -> Result<Self, Error> {
        let tls = TlsConfig::builder().root_certs(roots(settings)?).build();
        let config = Agent::config_builder()
            .timeout_connect(Some(settings.connect_timeout))
            .timeout_resolve(Some(settings.connect_timeout))
            // A session is one connection, and the canceller has one of its own.
            .max_idle_connections_per_host(2)
            .max_idle_age(IDLE)
            .http_status_as_error(false)
            .max_redirects(0)
            // What the environment says of a proxy is not for this connection.
            .proxy(None)
            .user_agent(application)
            .tls_config(tls)
            .build();
        Ok(Server {
            agent: config.into(),
            endpoint: settings.endpoint.clone(),
            user: settings.user.clone(),
            password: settings.password.clone(),
            application: application.to_owned(),
        })
    }

    pub(crate) fn application(&self) -> &str {
        &self.application
    }

    /// Sends a statement and waits until it is done.
    pub(crate) fn ask(&self, parameters: &[(&str, &str)], statement: &str) -> Result<Reply, Refusal> {
        let request = self.agent.post(&self.endpoint);
        let request =
            request.header("X-ClickHouse-User", &self.user).header("X-ClickHouse-Key", &self.password);
        let parameters = COMMON.iter().chain(parameters).copied();
        let response = request.query_pairs(parameters).send(statement.as_bytes()).map_err(of_transport)?;
        read(response)
    }
}

const EXCEPTION_CODE: &str = "X-ClickHouse-Exception-Code";

/// Servers close what is idle for longer, and a request on a closed connection is of unknown outcome.
const IDLE: Duration = Duration::from_secs(2);

fn read(mut response: Response<Body>) -> Result<Reply, Refusal> {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let code = header(EXCEPTION_CODE).and_then(|code| code.parse().ok());
    let written = header("X-ClickHouse-Summary").map_or(0, written_rows);
    let status = response.status();
    let body = response.body_mut().with_config().limit(u64::MAX).read_to_vec().map_err(of_transport)?;
    match code.or_else(|| code_in(&body).filter(|_| !status.is_success())) {
        Some(code) => Err(Refusal::Server { code, words: words(&body) }),
        None if status.is_success() => Ok(Reply { body, written }),
        None => Err(Refusal::Stranger {
            words: format!("whoever listens there answers {status}, and not like ClickHouse"),
        }),
    }
}

/// Returns the number from `Code: 60. DB::Exception: …`, for where a proxy has taken the header away.
fn code_in(body: &[u8]) -> Option<i64> {
    let text = words(body);
    let (code, rest) = text.strip_prefix("Code: ")?.split_once('.')?;
    code.parse().ok().filter(|_| rest.contains("DB::Exception"))
}

/// Returns the number from `{"read_rows":"1","written_rows":"3",…}`.
fn written_rows(summary: &str) -> u64 {
    let after = summary.split("\"written_rows\"").nth(1).unwrap_or_default();
    let digits = after.trim_start_matches([':', ' ', '"']);
    digits
        .split(|letter: char| !letter.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

fn words(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim().to_owned()
}

fn of_transport(error: ureq::Error) -> Refusal {
    let kind = match &error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => ErrorKind::Unreachable,
        ureq::Error::Io(cause) if cause.kind() == std::io::ErrorKind::ConnectionRefused => {
            ErrorKind::Unreachable
        }
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => ErrorKind::Tls,
        ureq::Error::Io(cause)
            if cause.get_ref().is_some_and(|inner| inner.to_string().contains("certificate")) =>
        {
            ErrorKind::Tls
        }
        _ => ErrorKind::ConnectionLost,
    };
    Refusal::Transport { kind, words: error.to_string() }
}

fn roots(settings: &Settings) -> Result<RootCerts, Error> {
    let refused = |words: String| Error::new(ErrorKind::Tls, words);
    if !settings.endpoint.starts_with("https") {
        return Ok(RootCerts::WebPki);
    }
    let certificates = match &settings.authority {
        Some(path) => {
            let unusable = |why: String| refused(format!("cannot use {}: {why}", path.display()));
            let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
            let items: Result<Vec<PemItem<'_>>, _> = parse_pem(&pem).collect();
            let items = items.map_err(|error| unusable(error.to_string()))?;
            let certificate = |item| match item {
                PemItem::Certificate(certificate) => Some(certificate.to_owned()),
                _ => None,
            };
            let found: Vec<Certificate<'static>> = items.into_iter().filter_map(certificate).collect();
            if found.is_empty() {
                return Err(unusable("there is no certificate in it".to_owned()));
            }
            found
        }
        None => {
            let found = rustls_native_certs::load_native_certs().certs;
            if found.is_empty() {
                return Err(refused(
                    "this system has no root certificates; name a file with `ca`".to_owned(),
                ));
            }
            found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
        }
    };
    Ok(RootCerts::Specific(Arc::new(certificates)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, header: Option<&str>, body: &str) -> Result<Reply, Refusal> {
        let response = Response::builder().status(status);
        let response = header.iter().fold(response, |response, code| response.header(EXCEPTION_CODE, *code));
        read(response.body(Body::builder().data(body)).expect("an answer"))
    }

    #[test]
    fn only_the_servers_own_word_is_taken_for_its_refusal() {
        let own = "Code: 60. DB::Exception: Table birds does not exist. (UNKNOWN_TABLE)";
        for (header, body) in [(Some("60"), "without its words"), (None, own)] {
            let refusal = answered(404, header, body);
            assert!(matches!(refusal, Err(Refusal::Server { code: 60, .. })), "{body}");
        }
        for status in [302, 404, 500, 502, 503, 504] {
            let refusal = answered(status, None, "<html>Code: 60. DB::Exception</html>");
            assert!(matches!(refusal, Err(Refusal::Stranger { .. })), "{status}");
        }
        // A text in a table may look like anything.
        assert!(answered(200, None, own).is_ok());
    }

    #[test]
    fn the_written_rows_stand_in_the_summary() {
        for (summary, rows) in [
            (r#"{"read_rows":"2","read_bytes":"16","written_rows":"3","written_bytes":"9"}"#, 3),
            (r#"{"written_rows": 14}"#, 14),
            ("{}", 0),
            ("", 0),
        ] {
            assert_eq!(written_rows(summary), rows, "{summary}");
        }
    }
}
