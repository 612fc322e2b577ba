//! The seam through which a node opens connections and takes them.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
#[cfg(feature = "testing")]
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::access::{Binding, JoinToken, ShownToken, show};
use crate::metrics::Traffic;
use crate::tls::{Connected, Secure};

/// Decides whether traffic to an address passes; tests cut a network with it.
pub(crate) trait Gate: Send + Sync + fmt::Debug + 'static {
    fn is_open(&self, to: &str) -> bool;
    /// Connections of an earlier epoch are broken; others may be made.
    fn epoch(&self) -> u64 {
        0
    }
    /// Whether the answer that has just arrived is to be lost.
    fn loses_answer(&self) -> bool {
        false
    }
}

/// The network of a simulation, as one host sees it.
#[cfg(feature = "testing")]
pub(crate) trait Net: Send + Sync + fmt::Debug + 'static {
    /// Connects to "host:port".
    fn connect(&self, to: &str) -> Connecting<tokio::io::DuplexStream>;
    /// Takes the connections to this host from now on.
    fn listen(&self) -> mpsc::UnboundedReceiver<tokio::io::DuplexStream>;
}

/// Takes connections.
pub(crate) enum Listener {
    Tcp(TcpListener),
    /// Bounded by what a test connects.
    #[cfg(feature = "testing")]
    Memory(mpsc::UnboundedReceiver<tokio::io::DuplexStream>),
}

/// Opens connections, through a gate if there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialer {
    tls: Option<Secure>,
    /// That of a member: it is proven on each connection.
    join: Option<JoinToken>,
    /// That of a caller: it is shown with each stream of calls.
    token: Option<ShownToken>,
    gate: Option<Arc<dyn Gate>>,
    /// Where the bytes are counted, if anywhere.
    traffic: Option<Arc<Traffic>>,
    #[cfg(feature = "testing")]
    net: Option<Arc<dyn Net>>,
}

impl Dialer {
    #[cfg(feature = "testing")]
    pub(crate) fn gated(gate: Arc<dyn Gate>) -> Self {
        Dialer {
            gate: Some(gate),
            ..Dialer::default()
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn on(net: Arc<dyn Net>) -> Self {
        Dialer {
            net: Some(net),
            ..Dialer::default()
        }
    }

    /// The same, over TLS.
    pub(crate) fn with_tls(self, tls: Option<Secure>) -> Self {
        Dialer { tls, ..self }
    }

    /// The same, for a member that proves to know the join token.
    pub(crate) fn with_join(self, join: Option<JoinToken>) -> Self {
        Dialer { join, ..self }
    }

    /// The same, for a caller with a token.
    pub(crate) fn with_token(self, token: Option<ShownToken>) -> Self {
        Dialer { token, ..self }
    }

    /// A request that shows the caller's token, if there is one. An error says why it cannot be shown.
    pub(crate) fn request<T>(&self, message: T) -> Result<tonic::Request<T>, String> {
        let request = tonic::Request::new(message);
        match &self.token {
            Some(token) => token.show_in(request),
            None => Ok(request),
        }
    }

    /// The same, with the bytes of its connections counted: before TLS, where there is any.
    pub(crate) fn counted(&self, traffic: Arc<Traffic>) -> Self {
        Dialer {
            traffic: Some(traffic),
            ..self.clone()
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn is_simulated(&self) -> bool {
        self.net.is_some()
    }

    /// The connections to this host, in a simulation.
    #[cfg(feature = "testing")]
    pub(crate) fn listener(&self) -> Option<Listener> {
        self.net.as_ref().map(|net| Listener::Memory(net.listen()))
    }

    /// Whether a test wants the answer that has just arrived to be lost.
    pub(crate) fn loses_answer(&self) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.loses_answer())
    }

    /// Connects now, and never again: a connection that is lost stays lost.
    ///
    /// What was found out about who answers holds as long as the channel then. One that reconnects
    /// by itself would go on with whoever answers at the address by then.
    pub(crate) async fn connect(
        &self,
        endpoint: &Endpoint,
    ) -> Result<Channel, tonic::transport::Error> {
        let used = AtomicBool::new(false);
        let connector = self.connector(move || !used.swap(true, Ordering::Relaxed));
        endpoint.connect_with_connector(connector).await
    }

    /// Connects on first use, and again after each failure.
    pub(crate) fn connect_lazy(&self, endpoint: &Endpoint) -> Channel {
        endpoint.connect_with_connector_lazy(self.connector(|| true))
    }

    fn connector(
        &self,
        may_connect: impl Fn() -> bool + Send + 'static,
    ) -> impl tower::Service<
        Uri,
        Response = TokioIo<Gated>,
        Error = io::Error,
        Future = Connecting<TokioIo<Gated>>,
    > + Send
    + 'static {
        let dialer = self.clone();
        let broken = Broken::default();
        tower::service_fn(move |uri: Uri| {
            let (dialer, broken) = (dialer.clone(), broken.clone());
            let may_connect = may_connect();
            let connecting = async move {
                let to = uri.authority().map(ToString::to_string).unwrap_or_default();
                if !may_connect {
                    return Err(lost(&broken));
                }
                let gate = &dialer.gate;
                if gate.as_ref().is_some_and(|gate| !gate.is_open(&to)) {
                    return Err(cut());
                }
                let epoch = gate.as_ref().map_or(0, |gate| gate.epoch());
                let stream = dialer.stream(&to).await?;
                Ok(TokioIo::new(Gated {
                    stream,
                    gate: gate.clone(),
                    traffic: dialer.traffic.clone(),
                    epoch,
                    to,
                    broken,
                }))
            };
            Box::pin(connecting) as Connecting<TokioIo<Gated>>
        })
    }

    async fn stream(&self, to: &str) -> io::Result<Stream> {
        #[cfg(feature = "testing")]
        if let Some(net) = &self.net {
            return net.connect(to).await.map(Stream::Memory);
        }
        let mut stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            if let Some(join) = &self.join {
                let binding = Binding::Place(stream.peer_addr()?);
                show(join, to, &mut stream, binding).await?;
            }
            return Ok(Stream::Tcp(stream));
        };
        let mut stream = tls.connect(to, stream).await?;
        if let Some(join) = &self.join {
            let binding = Binding::Secured(tls.binding_of(&stream)?);
            show(join, to, &mut stream, binding).await?;
        }
        Ok(Stream::Tls(Box::new(stream)))
    }
}

pub(crate) type Connecting<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Tls(Box<Connected>),
    #[cfg(feature = "testing")]
    Memory(tokio::io::DuplexStream),
}

impl Stream {
    fn pinned(&mut self) -> Pin<&mut dyn Io> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream),
            Stream::Tls(stream) => Pin::new(&mut **stream),
            #[cfg(feature = "testing")]
            Stream::Memory(stream) => Pin::new(stream),
        }
    }
}

trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// Why a connection broke: of a refused certificate the other side tells after it was made.
type Broken = Arc<OnceLock<String>>;

fn lost(broken: &Broken) -> io::Error {
    let text = match broken.get() {
        Some(why) => format!("the connection was lost: {why}"),
        None => "the connection was lost".to_owned(),
    };
    io::Error::new(io::ErrorKind::NotConnected, text)
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the network is cut")
}

/// A connection that breaks when its gate closes, if it has one.
#[derive(Debug)]
struct Gated {
    stream: Stream,
    gate: Option<Arc<dyn Gate>>,
    traffic: Option<Arc<Traffic>>,
    /// That of the gate when the connection was made.
    epoch: u64,
    to: String,
    broken: Broken,
}

impl Gated {
    fn check(&self) -> io::Result<()> {
        match &self.gate {
            Some(gate) if gate.epoch() != self.epoch || !gate.is_open(&self.to) => Err(cut()),
            Some(_) | None => Ok(()),
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
        let before = buffer.filled().len();
        let read = self.stream.pinned().poll_read(context, buffer);
        match (&read, &self.traffic) {
            (Poll::Ready(Ok(())), Some(traffic)) => {
                traffic.note_received(buffer.filled().len() - before);
            }
            (Poll::Ready(Err(error)), _) => {
                self.broken.get_or_init(|| error.to_string());
            }
            _ => {}
        }
        read
    }
}

impl AsyncWrite for Gated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let written = self.stream.pinned().poll_write(context, bytes);
        if let (Poll::Ready(Ok(count)), Some(traffic)) = (&written, &self.traffic) {
            traffic.note_sent(*count);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        self.stream.pinned().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.pinned().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::wire::v1::StatusRequest;
    use crate::wire::v1::cluster_client::ClusterClient;

    #[tokio::test]
    async fn a_connection_that_is_lost_is_not_made_again() -> Result<(), Box<dyn std::error::Error>>
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = format!("http://{}", listener.local_addr()?);
        let endpoint = Endpoint::from_shared(address)?;
        let dialer = Dialer::default();
        let (channel, accepted) = tokio::join!(dialer.connect(&endpoint), listener.accept());
        let mut client = ClusterClient::new(channel?);
        drop(accepted?);
        // The first call may find the connection broken, the later ones find none.
        for _ in 0..3 {
            let refused = client.status(StatusRequest {}).await;
            assert_eq!(
                refused.map_err(|status| status.code()).err(),
                Some(Code::Unavailable)
            );
        }
        let again = futures_util::poll!(std::pin::pin!(listener.accept()));
        assert!(again.is_pending(), "somebody connected again");
        Ok(())
    }
}
