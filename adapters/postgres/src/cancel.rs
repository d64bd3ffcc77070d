//! Stops a running statement.
//!
//! The request goes over a connection of its own, to the address that the session is connected to and with the same
//! encryption. It is carried by the session's thread, so that it can be asked for from anywhere.
//!
//! Waits until the other side closes: a pooler forgets a request whose sender is gone.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Handle;
use tokio_postgres::CancelToken;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;
use whimbrel_adapter_api::{Canceller, Error};

use crate::error;

/// How long a request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Stops what a session is doing.
pub(crate) struct Cancel {
    pub(crate) token: CancelToken,
    pub(crate) connector: MakeRustlsConnect,
    /// The name that the server's certificate must have.
    pub(crate) host: String,
    pub(crate) place: Place,
    pub(crate) runtime: Handle,
}

/// Where the session is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Address(SocketAddr),
    Socket(PathBuf),
}

impl Canceller for Cancel {
    fn cancel(&self) -> Result<(), Error> {
        let (delivered, delivery) = mpsc::channel();
        let (token, mut connector) = (self.token.clone(), self.connector.clone());
        let (host, place) = (self.host.clone(), self.place.clone());
        self.runtime.spawn(async move {
            let outcome = match place {
                Place::Address(address) => match TcpStream::connect(address).await {
                    Ok(stream) => request(&token, stream, &mut connector, &host).await,
                    Err(error) => Err(error::unreachable(error.to_string())),
                },
                Place::Socket(path) => match UnixStream::connect(path).await {
                    Ok(stream) => request(&token, stream, &mut connector, &host).await,
                    Err(error) => Err(error::unreachable(error.to_string())),
                },
            };
            // Nobody listens any more when it took too long.
            let _ = delivered.send(outcome);
        });
        match delivery.recv_timeout(LIMIT) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => {
                Err(error::unreachable("the request to cancel was not taken in time"))
            }
            // The thread is gone and the session with it: nothing runs.
            Err(RecvTimeoutError::Disconnected) => Ok(()),
        }
    }
}

async fn request<S>(
    token: &CancelToken,
    stream: S,
    connector: &mut MakeRustlsConnect,
    host: &str,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(tls) = MakeTlsConnect::<Patient<S>>::make_tls_connect(connector, host);
    let sent = token.cancel_query_raw(Patient(stream), PatientTls(tls)).await;
    sent.map_err(|error| error::of_connecting(&error))
}

/// A stream that is closed by the other side: shutting it down means to wait for that.
struct Patient<S>(S);

/// Makes the stream inside TLS a patient one.
struct PatientTls<C>(C);

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut scratch = [0; 64];
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer));
            // A reset is an end like any other.
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: TlsStream + Unpin> TlsStream for Patient<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

impl<S, C> TlsConnect<S> for PatientTls<C>
where
    C: TlsConnect<S>,
    C::Future: Send + 'static,
    C::Stream: 'static,
    C::Error: 'static,
{
    type Stream = Patient<C::Stream>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connected = self.0.connect(stream);
        Box::pin(async move { connected.await.map(Patient) })
    }
}
