//! Connections over TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::connections::{Connections, Counted, Origin};
use crate::tls::{Secure, Standing, Taken};

/// Connections that are greeted and not yet served.
const GREETED: usize = 16;

/// A connection whose other side has shown who it is.
#[derive(Debug)]
pub(super) struct Secured {
    stream: Taken<Counted>,
    origin: Origin,
}

/// Takes connections and greets them, many at once: one that is slow holds up no other. Each counts from
/// the beginning, so their number is bounded by that of connections.
pub(super) fn greet(
    mut connections: Connections,
    tls: Secure,
) -> impl Stream<Item = io::Result<Secured>> {
    let (greeted, stream) = mpsc::channel(GREETED);
    tokio::spawn(async move {
        loop {
            let connection = tokio::select! {
                connection = connections.next() => connection,
                () = greeted.closed() => return,
            };
            let (tls, greeted) = (tls.clone(), greeted.clone());
            tokio::spawn(async move {
                if let Some(secured) = greeting(&tls, connection).await {
                    // Nobody serves any more.
                    drop(greeted.send(Ok(secured)).await);
                }
            });
        }
    });
    ReceiverStream::new(stream)
}

async fn greeting(tls: &Secure, connection: Counted) -> Option<Secured> {
    let origin = connection.connect_info();
    match tls.accept(connection).await {
        Ok((stream, standing)) => Some(Secured {
            stream,
            origin: origin.with(standing),
        }),
        Err(error) => {
            tracing::warn!(from = ?origin.from(), %error, "a connection was refused");
            None
        }
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
        Pin::new(&mut self.stream).poll_read(context, buffer)
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
