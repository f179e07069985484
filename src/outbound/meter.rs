//! What comes in on an HTTP/1.1 connection, counted beneath hyper: whether anything has come since a request went out, and
//! whether more has than can stand before an answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes up to the end of an answer's head. The head has 64 KiB at most, as much of a body may come in one read with it;
/// the rest is for interim answers (1xx), of which honest endpoints send a handful.
const BEFORE_ANSWER_BYTES_MAX: i64 = 256 * 1024;

/// One connection's count, seen by who reads it and by who waits for the answer.
#[derive(Debug)]
pub(super) struct Meter {
    /// Bytes that may still come.
    left: AtomicI64,
}

impl Meter {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(BEFORE_ANSWER_BYTES_MAX) })
    }

    /// A request goes out.
    pub(super) fn begin(&self) {
        self.left.store(BEFORE_ANSWER_BYTES_MAX, Ordering::Release);
    }

    /// The head of the answer is there; its body is bounded elsewhere.
    pub(super) fn answered(&self) {
        self.left.store(i64::MAX, Ordering::Release);
    }

    /// Not a byte has come since the request went out.
    pub(super) fn is_silent(&self) -> bool {
        self.left.load(Ordering::Acquire) == BEFORE_ANSWER_BYTES_MAX
    }

    /// More has come than an answer can have before it.
    pub(super) fn is_flooded(&self) -> bool {
        self.left.load(Ordering::Acquire) <= 0
    }

    pub(super) fn flood_words() -> String {
        let sent = BEFORE_ANSWER_BYTES_MAX / 1024;
        format!("the endpoint sent {sent} KiB of interim answers (1xx) and none that ends the request: is the port right?")
    }
}

/// A connection with its count.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, meter: Arc<Meter>) -> Self {
        Self { stream, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.meter.is_flooded() {
            return Poll::Ready(Err(io::Error::other("no end of interim answers")));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = i64::try_from(buf.filled().len() - before).unwrap_or(i64::MAX);
        self.meter.left.fetch_sub(read, Ordering::AcqRel);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
