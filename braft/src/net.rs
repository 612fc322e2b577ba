//! The seam through which a node opens connections.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// Decides whether traffic to an address passes; tests cut a network with it.
pub(crate) trait Gate: Send + Sync + fmt::Debug + 'static {
    fn is_open(&self, to: &str) -> bool;
}

/// Opens connections, through a gate if there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialer {
    gate: Option<Arc<dyn Gate>>,
}

impl Dialer {
    #[cfg(feature = "testing")]
    pub(crate) fn gated(gate: Arc<dyn Gate>) -> Self {
        Dialer { gate: Some(gate) }
    }

    /// Connects now.
    pub(crate) async fn connect(
        &self,
        endpoint: &Endpoint,
    ) -> Result<Channel, tonic::transport::Error> {
        match &self.gate {
            None => endpoint.connect().await,
            Some(gate) => {
                endpoint
                    .connect_with_connector(connector(gate.clone()))
                    .await
            }
        }
    }

    /// Connects on first use, and again after each failure.
    pub(crate) fn connect_lazy(&self, endpoint: &Endpoint) -> Channel {
        match &self.gate {
            None => endpoint.connect_lazy(),
            Some(gate) => endpoint.connect_with_connector_lazy(connector(gate.clone())),
        }
    }
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<Gated>>> + Send>>;

fn connector(
    gate: Arc<dyn Gate>,
) -> impl tower::Service<Uri, Response = TokioIo<Gated>, Error = io::Error, Future = Connecting>
+ Send
+ 'static {
    tower::service_fn(move |uri: Uri| {
        let gate = gate.clone();
        let connecting = async move {
            let to = uri.authority().map(ToString::to_string).unwrap_or_default();
            if !gate.is_open(&to) {
                return Err(cut());
            }
            let stream = TcpStream::connect(&to).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(Gated { stream, gate, to }))
        };
        Box::pin(connecting) as Connecting
    })
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the network is cut")
}

/// A connection that breaks when its gate closes.
#[derive(Debug)]
struct Gated {
    stream: TcpStream,
    gate: Arc<dyn Gate>,
    to: String,
}

impl Gated {
    fn check(&self) -> io::Result<()> {
        if self.gate.is_open(&self.to) {
            Ok(())
        } else {
            Err(cut())
        }
    }
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
