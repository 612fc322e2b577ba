//! How many connections a node takes, and what is said to one too many.
//!
//! Beyond the limit a connection is still taken, up to a reserve: the members of the cluster must reach
//! each other however many clients there are, and a client is told why it is not served. Beyond the
//! reserve it is closed at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::tls::Standing;

/// Connections beyond the limit that are taken: for the members, and to say no to others.
const RESERVE: usize = 256;
/// The pause after a connection that could not be taken: file descriptors may have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes the connections of one port, and counts them.
pub(super) struct Connections {
    listener: TcpListener,
    open: Arc<AtomicUsize>,
    limit: usize,
}

impl Connections {
    pub(super) fn of(listener: TcpListener, limit: usize) -> Self {
        Connections {
            listener,
            open: Arc::default(),
            limit,
        }
    }

    /// The next one. To be called off without harm.
    pub(super) async fn next(&mut self) -> Counted {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                // The connection itself had ended before it was taken.
                Err(error) if is_of_the_other_side(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken; trying again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let place = Place::take(&self.open);
            let limit = self.limit;
            if place.number > limit.saturating_add(RESERVE) {
                tracing::warn!(limit, "a connection was closed: there are too many");
                continue;
            }
            // Without it each call costs 40 ms. A connection that is gone by now is found out later.
            drop(stream.set_nodelay(true));
            let is_beyond = place.number > limit;
            return Counted {
                stream,
                limit: is_beyond.then_some(limit),
                _place: place,
            };
        }
    }

    /// All of them, one after the other.
    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Counted>> {
        futures_util::stream::unfold(self, |mut connections| async move {
            Some((Ok(connections.next().await), connections))
        })
    }
}

fn is_of_the_other_side(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Counts a connection for as long as it lasts.
#[derive(Debug)]
struct Place {
    open: Arc<AtomicUsize>,
    /// How many there were with it.
    number: usize,
}

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        Place {
            open: Arc::clone(open),
            number: open.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that was taken.
#[derive(Debug)]
pub(super) struct Counted {
    stream: TcpStream,
    /// The limit, if this one is beyond it.
    limit: Option<usize>,
    _place: Place,
}

/// What the requests of a connection bear.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) tcp: TcpConnectInfo,
    /// The limit, if the connection is beyond it.
    pub(super) limit: Option<usize>,
    /// What its certificate is good for, and the join token that was shown; without either, whoever
    /// reaches the port is taken for a member.
    pub(super) standing: Standing,
    /// What its certificate calls whoever has connected.
    pub(super) name: Option<Arc<str>>,
}

impl Origin {
    pub(super) fn from(&self) -> Option<std::net::SocketAddr> {
        self.tcp.remote_addr()
    }

    /// Where this node was reached.
    pub(super) fn here(&self) -> Option<std::net::SocketAddr> {
        self.tcp.local_addr()
    }

    pub(super) fn with(self, standing: Standing) -> Self {
        Origin { standing, ..self }
    }
}

impl Counted {
    /// The limit, if this one is beyond it.
    pub(super) fn beyond(&self) -> Option<usize> {
        self.limit
    }
}

impl Connected for Counted {
    type ConnectInfo = Origin;

    fn connect_info(&self) -> Origin {
        Origin {
            tcp: self.stream.connect_info(),
            limit: self.limit,
            standing: Standing::Member,
            name: None,
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
