//! Finds the server and opens a session, as libpq does.
//!
//! Goes through the hosts of the url, the addresses of each and the kinds of encryption it allows, in that order.
//! [`session`](crate::session) calls it on the session's own thread.
//!
//! Makes one attempt at each; waiting for a server that is starting is the host's affair.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::task::{Poll, ready};

use futures_util::future::{Either, select};
use postgres::{SimpleQueryMessage, Socket};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;
use whimbrel_adapter_api::{Error, ErrorKind};

use crate::cancel::Place;
use crate::error;
use crate::url::{Attributes, Settings, Target, TlsMode};

/// The driver's half of a session that moves the bytes.
pub(crate) type Wire =
    tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// A session that has just been opened.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) wire: Wire,
    pub(crate) host: String,
    pub(crate) place: Place,
}

/// Tries the hosts in order; only one that is not there or not ready leads to the next.
///
/// # Errors
///
/// That of the last host that was tried.
pub(crate) async fn connect(settings: &Settings, connector: &MakeRustlsConnect) -> Result<Connected, Error> {
    let passes: &[Attributes] = match &settings.attributes {
        Attributes::PreferStandby => &[Attributes::Standby, Attributes::Any],
        attributes => std::slice::from_ref(attributes),
    };
    let mut last = error::unreachable("the url names no host");
    for attributes in passes {
        for target in &settings.targets {
            let attempt = at_target(settings, connector, target, *attributes);
            let outcome = match settings.timeout {
                None => attempt.await,
                Some(limit) => timeout(limit, attempt).await.unwrap_or_else(|_| {
                    Err(error::unreachable(format!("no answer within {} s", limit.as_secs())))
                }),
            };
            match outcome {
                Ok(connected) => return Ok(connected),
                Err(error) => last = error,
            }
            if !may_be_elsewhere(&last) {
                return Err(last);
            }
        }
    }
    Err(last)
}

fn may_be_elsewhere(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Unreachable | ErrorKind::NotReady)
}

/// Tries the addresses of a host in order.
async fn at_target(
    settings: &Settings,
    connector: &MakeRustlsConnect,
    target: &Target,
    attributes: Attributes,
) -> Result<Connected, Error> {
    let mut last = error::unreachable("the host has no address");
    for place in places(target).await? {
        match by_modes(settings, connector, target, &place).await {
            Ok((client, mut wire)) => {
                if attributes != Attributes::Any {
                    has_attributes(&client, &mut wire, attributes).await?;
                }
                return Ok(Connected { client, wire, host: target.host.clone(), place });
            }
            Err(error) => last = error,
        }
        if !may_be_elsewhere(&last) {
            break;
        }
    }
    Err(last)
}

/// Returns where a host may be. Looked up here and not by the driver, because a cancel must reach the same one.
async fn places(target: &Target) -> Result<Vec<Place>, Error> {
    let port = target.port;
    if target.is_socket() {
        return Ok(vec![Place::Socket(Path::new(&target.host).join(format!(".s.PGSQL.{port}")))]);
    }
    if let Some(address) = target.address {
        return Ok(vec![Place::Address(SocketAddr::new(address, port))]);
    }
    match lookup_host((target.host.as_str(), port)).await {
        Ok(addresses) => Ok(addresses.map(Place::Address).collect()),
        Err(error) => Err(error::unreachable(format!("cannot find the host: {error}"))),
    }
}

/// Connects with TLS, without, or with one after the other as libpq does.
async fn by_modes(
    settings: &Settings,
    connector: &MakeRustlsConnect,
    target: &Target,
    place: &Place,
) -> Result<(Client, Wire), Error> {
    let (first, second) = match settings.tls.mode {
        // A socket is as private as it gets.
        _ if target.is_socket() => (SslMode::Disable, None),
        TlsMode::Never => (SslMode::Disable, None),
        TlsMode::IfRefusedWithout => (SslMode::Disable, Some(SslMode::Require)),
        TlsMode::IfPossible => (SslMode::Prefer, Some(SslMode::Disable)),
        TlsMode::Always => (SslMode::Require, None),
    };
    let with_mode = async |mode: SslMode| {
        let mut config = settings.config.clone();
        config.host(&target.host).port(target.port).ssl_mode(mode);
        if let Some(password) = settings.password_at(target) {
            config.password(password);
        }
        if let Place::Address(address) = place {
            config.hostaddr(address.ip());
        }
        config.connect(connector.clone()).await.map_err(|error| error::of_connecting(&error))
    };
    let refused = match with_mode(first).await {
        Ok(connected) => return Ok(connected),
        Err(error) => error,
    };
    match second {
        // A wrong password is wrong either way, and need not be shown again in the clear.
        Some(second) if refused.kind == ErrorKind::Tls || refused.sqlstate.as_deref() == Some("28000") => {
            // The first refusal is about what the user asked for; the second try only counts when it works.
            with_mode(second).await.map_err(|_| refused)
        }
        _ => Err(refused),
    }
}

async fn has_attributes(client: &Client, wire: &mut Wire, attributes: Attributes) -> Result<(), Error> {
    let asked = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";
    let answer = client.simple_query(asked);
    let moved = poll_fn(|context| {
        while ready!(wire.poll_message(context)).is_some_and(|message| message.is_ok()) {}
        Poll::Ready(())
    });
    let messages = match select(pin!(answer), pin!(moved)).await {
        Either::Left((messages, _)) => messages.map_err(|error| error::of_connecting(&error))?,
        Either::Right(_) => return Err(error::unreachable("the server closed the connection")),
    };
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.get(0), row.get(1))),
        _ => None,
    });
    let (standby, read_only) =
        row.map_or((false, false), |(standby, read_only)| (standby == Some("t"), read_only == Some("on")));
    let (fits, wanted) = match attributes {
        Attributes::Any | Attributes::PreferStandby => (true, ""),
        Attributes::ReadWrite => (!read_only, "a server that takes writes"),
        Attributes::ReadOnly => (read_only, "a server that takes no writes"),
        Attributes::Primary => (!standby, "a primary"),
        Attributes::Standby => (standby, "a standby"),
    };
    if fits {
        Ok(())
    } else {
        Err(error::unreachable(format!("the server is not {wanted}, as the url demands")))
    }
}
