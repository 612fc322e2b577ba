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

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tonic::Status;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Connections beyond the limit that are taken: for the members, and to say no to others.
const RESERVE: usize = 256;
/// The pause after a connection that could not be taken: file descriptors may have run out.
const PAUSE: Duration = Duration::from_millis(100);
/// What members ask of each other, and tools ask of any node.
const FOR_MEMBERS: [&str; 3] = ["/braft.v1.Raft/", "/braft.v1.Cluster/", "/grpc.health.v1."];

/// Takes connections for as long as it is polled.
pub(super) fn accept(
    listener: TcpListener,
    limit: usize,
) -> impl Stream<Item = io::Result<Counted>> {
    let open: Arc<AtomicUsize> = Arc::default();
    futures_util::stream::unfold((listener, open), move |(listener, open)| async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                // The connection itself had ended before it was taken.
                Err(error) if is_of_the_other_side(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken; trying again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let place = Place::take(&open);
            if place.number > limit.saturating_add(RESERVE) {
                tracing::warn!(limit, "a connection was closed: there are too many");
                continue;
            }
            // Without it each call costs 40 ms. A connection that is gone by now is found out later.
            drop(stream.set_nodelay(true));
            let is_beyond = place.number > limit;
            let counted = Counted {
                stream,
                limit: is_beyond.then_some(limit),
                _place: place,
            };
            return Some((Ok(counted), (listener, open)));
        }
    })
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
    tcp: TcpConnectInfo,
    limit: Option<usize>,
}

impl Connected for Counted {
    type ConnectInfo = Origin;

    fn connect_info(&self) -> Origin {
        Origin {
            tcp: self.stream.connect_info(),
            limit: self.limit,
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

/// Refuses the calls of connections beyond the limit, but for those of members.
pub(super) async fn refuse_beyond(mut request: Request, next: Next) -> Response {
    if let Some(origin) = request.extensions().get::<Origin>().cloned() {
        // What tonic itself knows where a caller comes from by.
        request.extensions_mut().insert(origin.tcp);
        let path = request.uri().path();
        if let Some(limit) = origin.limit
            && !FOR_MEMBERS
                .iter()
                .any(|of_members| path.starts_with(of_members))
        {
            let text = format!(
                "this node has {limit} connections, its limit; connect to another node, let clients \
                 share connections, or raise max_connections"
            );
            return Status::resource_exhausted(text).into_http();
        }
    }
    next.run(request).await
}
