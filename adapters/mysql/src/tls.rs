//! Opening the stream to the server, with TLS or without.
//!
//! The driver does the handshake; here is the choice of what is demanded, and the way back to a stream in the clear
//! that `PREFERRED` allows.
//!
//! Certificates of the authorities that browsers trust are always accepted beside the one of `ssl-ca`: the driver
//! adds them.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use mysql::{ClientIdentity, Conn, DriverError, LocalInfileHandler, Opts, OptsBuilder, SslOpts};
use rustls::CertificateError;
use rustls::crypto::{CryptoProvider, ring};
use socket2::SockRef;
use whimbrel_adapter_api::{Error, ErrorKind};

use crate::error::{lost_while_connecting, while_connecting};
use crate::url::Settings;

/// How often a silent connection is checked, so that a firewall keeps it in mind during a long ALTER.
const KEEPALIVE_MILLISECONDS: u32 = 60_000;

/// The largest answer that is accepted: what the protocol allows. Given, so that the driver does not ask the server.
const LARGEST_ANSWER: usize = 1 << 30;

/// What is demanded of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsMode {
    Disabled,
    Preferred,
    Required,
    VerifyAuthority,
    VerifyIdentity,
}

impl TlsMode {
    /// Returns the mode for a word of MySQL's clients, of libpq or of Go's driver.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().replace('_', "-").as_str() {
            "disabled" | "disable" | "false" => TlsMode::Disabled,
            "preferred" | "prefer" | "allow" => TlsMode::Preferred,
            "required" | "require" | "skip-verify" => TlsMode::Required,
            "verify-ca" => TlsMode::VerifyAuthority,
            "verify-identity" | "verify-full" | "true" => TlsMode::VerifyIdentity,
            _ => return None,
        })
    }

    /// Returns whether a stream in the clear is out of the question.
    pub(crate) fn demands(self) -> bool {
        !matches!(self, TlsMode::Disabled | TlsMode::Preferred)
    }
}

/// Opens a session and returns it with the options that did it.
pub(crate) fn connect(settings: &Settings, application: &str) -> Result<(Conn, Opts), Error> {
    let plain = options(settings, application);
    if settings.tls == TlsMode::Disabled || settings.socket.is_some() {
        return open(plain.into());
    }
    choose_cryptography();
    let secure = Opts::from(plain.clone().ssl_opts(demands(settings)?));
    match open(secure) {
        Err(error) if error.kind == ErrorKind::Tls && settings.tls == TlsMode::Preferred => {
            open(plain.into())
        }
        other => other,
    }
}

fn open(options: Opts) -> Result<(Conn, Opts), Error> {
    let handle = Conn::new(options.clone()).map_err(|error| match &error {
        mysql::Error::DriverError(DriverError::TlsNotSupported) => {
            Error::new(ErrorKind::Tls, "the server does not offer TLS")
        }
        error => while_connecting(error),
    })?;
    wait_without_limit(&handle)?;
    Ok((handle, options))
}

/// Takes back the time limit that held while the session was opened: a statement may run for hours.
fn wait_without_limit(handle: &Conn) -> Result<(), Error> {
    // SAFETY: the descriptor is the one of `handle`, which stays open and borrowed for longer than `stream` lives.
    let stream = unsafe { BorrowedFd::borrow_raw(handle.as_raw_fd()) };
    let stream = SockRef::from(&stream);
    stream
        .set_read_timeout(None)
        .and_then(|()| stream.set_write_timeout(None))
        .map_err(|error| lost_while_connecting(&error))
}

fn options(settings: &Settings, application: &str) -> OptsBuilder {
    let name = settings.program_name.as_deref().unwrap_or(application);
    OptsBuilder::new()
        .ip_or_hostname(Some(settings.host.as_str()))
        .tcp_port(settings.port)
        .socket(settings.socket.as_deref())
        .user(Some(settings.user.as_str()))
        .pass(settings.password.as_deref())
        .db_name(Some(settings.database.as_str()))
        // The driver would ask the server for its socket and move there, past a proxy and past TLS.
        .prefer_socket(false)
        .max_allowed_packet(Some(LARGEST_ANSWER))
        // A statement that was prepared before keeps the types of its first parameters, and MySQL casts later ones to them.
        .stmt_cache_size(0)
        .tcp_connect_timeout(Some(settings.connect_timeout))
        .read_timeout(Some(settings.connect_timeout))
        .write_timeout(Some(settings.connect_timeout))
        .tcp_keepalive_time_ms(Some(KEEPALIVE_MILLISECONDS))
        .local_infile_handler(Some(no_local_files()))
        .connect_attrs(Some(HashMap::from([("program_name", name)])))
}

/// The server names the file that it wants, so answering would let it read anything here. Answering with nothing
/// would let the statement succeed without its rows.
fn no_local_files() -> LocalInfileHandler {
    LocalInfileHandler::new(|_, _| Err(std::io::ErrorKind::Unsupported.into()))
}

fn demands(settings: &Settings) -> Result<SslOpts, Error> {
    for path in [&settings.authority, &settings.certificate, &settings.key].into_iter().flatten() {
        readable(path)?;
    }
    let identity = settings.certificate.clone().zip(settings.key.clone());
    let verifies = matches!(settings.tls, TlsMode::VerifyAuthority | TlsMode::VerifyIdentity);
    Ok(SslOpts::default()
        .with_root_cert_path(settings.authority.clone())
        .with_client_identity(identity.map(|(certificate, key)| ClientIdentity::new(certificate, key)))
        .with_danger_accept_invalid_certs(!verifies)
        .with_danger_skip_domain_validation(settings.tls != TlsMode::VerifyIdentity))
}

/// Returns the way out of a handshake that failed, where the url has one.
pub(crate) fn hint(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            Some("name the authority that signed the server's certificate in the url: `ssl-ca=FILE`")
        }
        _ => None,
    }
}

/// The driver's error would not say which file it was.
fn readable(path: &Path) -> Result<(), Error> {
    std::fs::File::open(path)
        .map(drop)
        .map_err(|error| Error::new(ErrorKind::Tls, format!("cannot read `{}`: {error}", path.display())))
}

/// rustls refuses to choose when an application has linked a second implementation.
fn choose_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been quicker, which is as good.
        let _ = ring::default_provider().install_default();
    }
}
