//! Connections whose other side shows who it is, before anything else: over TLS, by the join token.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::connections::{Connections, Counted, Origin};
use crate::access::{Binding, JoinToken, News, Proven, demand};
use crate::tls::{Secure, Standing, Taken};

/// Connections that are greeted and not yet served.
const GREETED: usize = 16;

/// What is asked of those who connect.
#[derive(Clone, Debug, Default)]
pub(crate) struct Greeting {
    pub(crate) tls: Option<Secure>,
    pub(crate) join: Option<JoinToken>,
}

impl Greeting {
    /// Whether anything is.
    pub(crate) fn is_nothing(&self) -> bool {
        self.tls.is_none() && self.join.is_none()
    }
}

/// A connection whose other side has shown who it is.
#[derive(Debug)]
pub(super) struct Secured {
    stream: Way,
    /// What was read while it was looked at, and belongs to what comes.
    first: Bytes,
    origin: Origin,
}

#[derive(Debug)]
enum Way {
    Plain(Counted),
    Tls(Box<Taken<Counted>>),
}

/// Takes connections and greets them, many at once: one that is slow holds up no other. Each counts from
/// the beginning, so their number is bounded by that of connections.
pub(super) fn greet(
    mut connections: Connections,
    greeting: Greeting,
) -> impl Stream<Item = io::Result<Secured>> {
    let (greeted, stream) = mpsc::channel(GREETED);
    let news = Arc::new(News::default());
    tokio::spawn(async move {
        loop {
            let connection = tokio::select! {
                connection = connections.next() => connection,
                () = greeted.closed() => return,
            };
            let (greeting, greeted, news) = (greeting.clone(), greeted.clone(), news.clone());
            tokio::spawn(async move {
                if let Some(secured) = greeted_by(&greeting, connection, &news).await {
                    // Nobody serves any more.
                    drop(greeted.send(Ok(secured)).await);
                }
            });
        }
    });
    ReceiverStream::new(stream)
}

async fn greeted_by(greeting: &Greeting, connection: Counted, news: &News) -> Option<Secured> {
    let mut origin = connection.connect_info();
    let (mut stream, standing) = match &greeting.tls {
        None => (Way::Plain(connection), Standing::Member),
        Some(tls) => match tls.accept(connection).await {
            Ok((stream, standing)) => {
                origin.name = tls.name_of_taken(&stream).map(Into::into);
                (Way::Tls(Box::new(stream)), standing)
            }
            Err(error) => {
                tracing::warn!(from = ?origin.from(), %error, "a connection was refused");
                return None;
            }
        },
    };
    let Some(join) = &greeting.join else {
        return Some(Secured {
            stream,
            first: Bytes::new(),
            origin: origin.with(standing),
        });
    };
    let proven = match binding(greeting, &stream, &origin) {
        Ok(binding) => demand(join, &mut stream, binding).await,
        Err(error) => Err(error),
    };
    match proven {
        Ok(proven) => Some(judged(stream, standing, proven, origin)),
        Err(error) => {
            // A node with another token knocks many times a second, from other ports.
            let from = origin.from().map(|from| from.ip());
            if news.is_new(&format!("{from:?} {error}")) {
                tracing::warn!(?from, %error, "a connection was refused");
            }
            None
        }
    }
}

fn judged(stream: Way, standing: Standing, proven: Proven, origin: Origin) -> Secured {
    let (first, standing) = match (proven, standing) {
        (Proven::Member, standing) => (Bytes::new(), standing),
        (Proven::Nobody(first), Standing::Member) => {
            (Bytes::copy_from_slice(&first), Standing::Unproven)
        }
        (Proven::Nobody(first), standing) => (Bytes::copy_from_slice(&first), standing),
    };
    Secured {
        stream,
        first,
        origin: origin.with(standing),
    }
}

/// What a proof on this connection has to be bound to.
fn binding(greeting: &Greeting, stream: &Way, origin: &Origin) -> io::Result<Binding> {
    match (&greeting.tls, stream) {
        (Some(tls), Way::Tls(stream)) => tls.binding_of_taken(stream).map(Binding::Secured),
        _ => origin
            .here()
            .map(Binding::Place)
            .ok_or_else(|| io::Error::other("the connection has no address")),
    }
}

/// The same for the HTTP port, where those without a certificate are nobody.
pub(super) async fn greet_http(
    tls: &Secure,
    connection: Counted,
) -> Option<(Taken<Counted>, Standing)> {
    let origin = connection.connect_info();
    let greeted = tls.accept_http(connection).await;
    if let Err(error) = &greeted {
        tracing::warn!(from = ?origin.from(), %error, "a connection over HTTP was refused");
    }
    greeted.ok()
}

impl Connected for Secured {
    type ConnectInfo = Origin;

    fn connect_info(&self) -> Origin {
        self.origin.clone()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let bytes = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first.split_to(bytes));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Secured {
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

impl AsyncRead for Way {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Way::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Way::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Way {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Way::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Way::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Way::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Way::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Way::Plain(stream) => stream.is_write_vectored(),
            Way::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Way::Plain(stream) => Pin::new(stream).poll_flush(context),
            Way::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Way::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Way::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
