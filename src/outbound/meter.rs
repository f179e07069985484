//! What comes in on a connection, counted beneath hyper: whether anything has come since a request went out, and whether
//! more has than can stand before an answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes up to the end of an HTTP/1.1 answer's head. The head has 64 KiB at most, as much of a body may come in one read
/// with it; the rest is for interim answers (1xx), of which honest endpoints send a handful.
const BEFORE_ANSWER_BYTES_MAX: i64 = 256 * 1024;

/// Bytes on an HTTP/2 connection while nothing goes out on it, neither a request nor leave to send more: the windows allow
/// for half as many, and 64 heads of 16 KiB make the rest. Interim answers are all that can come beyond.
const UNASKED_BYTES_MAX: i64 = 2 * 1024 * 1024;

/// What reading ends with then. Nothing else that happens to a socket is of this kind.
pub(super) const FLOODED: io::ErrorKind = io::ErrorKind::QuotaExceeded;

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
}

/// A connection with its count.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
    /// What every write makes of the count.
    renewal: Option<i64>,
}

impl<S> Metered<S> {
    /// For HTTP/1.1: who sends a request says so to the meter.
    pub(super) fn new(stream: S, meter: Arc<Meter>) -> Self {
        Self { stream, meter, renewal: None }
    }

    /// For HTTP/2, whose requests cross each other.
    pub(super) fn shared(stream: S) -> Self {
        Self { stream, meter: Meter::new(), renewal: Some(UNASKED_BYTES_MAX) }
    }

    fn renew(&self, written: &Poll<io::Result<usize>>) {
        if let (Some(count), Poll::Ready(Ok(1..))) = (self.renewal, written) {
            self.meter.left.store(count, Ordering::Release);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.meter.left.load(Ordering::Acquire) <= 0 {
            return Poll::Ready(Err(io::Error::new(FLOODED, "interim answers without end")));
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
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.renew(&written);
        written
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.renew(&written);
        written
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
