//! Peers that are slow: bodies that hardly come, answers that nobody takes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What a body may be waited for, however little of it has come.
const BODY_GRACE: Duration = Duration::from_secs(20);
/// Beyond that it has to come as fast as this.
const MIN_BYTES_PER_SECOND: u64 = 1024;
/// The longest a peer may take nothing of what is written to it.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// A body that ends with an error if it comes too slowly. Only the time counts in which it was waited for.
pub(super) struct Paced {
    body: Incoming,
    bytes: u64,
    waited: Duration,
    /// Since when it is waited for, and the moment at which that ends.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// Why such a body ended.
#[derive(Debug, thiserror::Error)]
#[error("the body comes slower than {MIN_BYTES_PER_SECOND} bytes per second")]
struct TooSlow;

impl Paced {
    pub(super) fn new(body: Incoming) -> Self {
        Paced {
            body,
            bytes: 0,
            waited: Duration::ZERO,
            waiting: None,
        }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            if let Some((since, _)) = this.waiting.take() {
                this.waited += since.elapsed();
            }
            if let Some(Ok(frame)) = &frame {
                this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let (bytes, waited) = (this.bytes, this.waited);
        let (_, end) = this.waiting.get_or_insert_with(|| {
            let allowed = BODY_GRACE + Duration::from_millis(bytes * 1000 / MIN_BYTES_PER_SECOND);
            let now = Instant::now();
            let end = now + allowed.saturating_sub(waited);
            (now, Box::pin(sleep_until(end)))
        });
        ready!(end.as_mut().poll(context));
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that breaks if its peer does not take what is written to it.
pub(super) struct Taken<S> {
    stream: S,
    /// While something waits to be taken.
    end: Option<Pin<Box<Sleep>>>,
}

impl<S> Taken<S> {
    pub(super) fn by(stream: S) -> Self {
        Taken { stream, end: None }
    }

    /// Lets what has come of a write pass, unless it is waited for too long.
    fn bounded<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.end = None;
            return written;
        }
        let start = || Box::pin(sleep_until(Instant::now() + WRITE_TIME));
        ready!(self.end.get_or_insert_with(start).as_mut().poll(context));
        let text = format!("nothing of what was written was taken for {WRITE_TIME:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bounded(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(shut, context)
    }
}
