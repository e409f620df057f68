//! The byte stream below the driver: plain or TLS as `sslmode` says, with the [tap](crate::session::tap) on it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::session::settings::SslMode;
use crate::session::tap::{Intake, Tap};

/// Length and code of the message that asks for TLS. Source: PostgreSQL documentation, "Message Formats", SSLRequest.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const SSL_ACCEPTED: u8 = b'S';
const SSL_REFUSED: u8 = b'N';

type RustlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
type RustlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The connection broke off, or the server is unhealthy. One that cannot start a process sends an error instead of yes or no,
    /// and nothing may be sent to it then.
    #[error("the connection broke off during setup")]
    Broken(#[source] io::Error),
    /// `sslmode` demands TLS.
    #[error("the server does not offer TLS")]
    NoTls,
    /// The handshake failed: the server's certificate does not meet `sslmode`.
    #[error(transparent)]
    Tls(io::Error),
}

impl WireError {
    /// Errors of TLS itself are of these kinds; others are of the connection below it.
    fn of_handshake(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Self::Tls(error),
            _ => Self::Broken(error),
        }
    }
}

/// Makes the stream of one session. It asks for TLS instead of the driver, so that there is one
/// stream with or without TLS, and one place for the tap.
pub(crate) struct Wiring {
    tls: MakeRustlsConnect,
    mode: SslMode,
    intake: Intake,
}

impl Wiring {
    /// Rows that arrive go to `intake`.
    pub(crate) fn new(tls: MakeRustlsConnect, mode: SslMode, intake: Intake) -> Self {
        Self { tls, mode, intake }
    }
}

impl MakeTlsConnect<Socket> for Wiring {
    type Stream = Tap<Wire>;
    type TlsConnect = Connector;
    type Error = WireError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Connector, WireError> {
        let tls = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.tls, domain);
        let tls = tls.map_err(|error| WireError::Tls(io::Error::other(error)))?;
        Ok(Connector { tls, mode: self.mode, intake: self.intake.clone() })
    }
}

/// See [`Wiring`].
pub(crate) struct Connector {
    tls: RustlsConnect,
    mode: SslMode,
    intake: Intake,
}

impl TlsConnect<Socket> for Connector {
    type Stream = Tap<Wire>;
    type Error = WireError;
    type Future = Pin<Box<dyn Future<Output = Result<Tap<Wire>, WireError>> + Send>>;

    fn connect(self, mut socket: Socket) -> Self::Future {
        Box::pin(async move {
            let has_tls = self.mode != SslMode::Disable && offers_tls(&mut socket).await.map_err(WireError::Broken)?;
            let wire = match self.mode {
                _ if has_tls => Wire::Tls(Box::new(self.tls.connect(socket).await.map_err(WireError::of_handshake)?)),
                SslMode::Disable | SslMode::Prefer => Wire::Plain(socket),
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => return Err(WireError::NoTls),
            };
            Ok(Tap::new(wire, self.intake))
        })
    }
}

/// Asks the server. Reads only one byte, because the next ones belong to the handshake.
async fn offers_tls(socket: &mut Socket) -> io::Result<bool> {
    socket.write_all(&SSL_REQUEST).await?;
    match socket.read_u8().await? {
        SSL_ACCEPTED => Ok(true),
        SSL_REFUSED => Ok(false),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the server did not answer whether it offers TLS")),
    }
}

/// The stream below the tap.
pub(crate) enum Wire {
    Plain(Socket),
    Tls(Box<RustlsStream>),
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl Wire {
    fn stream(&mut self) -> Pin<&mut dyn Duplex> {
        Pin::new(match self {
            Self::Plain(socket) => socket as &mut dyn Duplex,
            Self::Tls(stream) => stream,
        })
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_read(cx, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().stream().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_shutdown(cx)
    }
}

impl TlsStream for Wire {
    fn channel_binding(&self) -> ChannelBinding {
        match self {
            Self::Plain(_) => ChannelBinding::none(),
            Self::Tls(stream) => stream.channel_binding(),
        }
    }
}
