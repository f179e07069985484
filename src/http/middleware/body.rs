//! Request bodies: capped before and while they are read, within a time and within a budget that all requests share.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::content_encoding::{self, Coding};
use crate::http::problem::{Kind, Problem};

/// KiB of bodies in memory at once, from the first byte to the answer: 256 MiB, 16 of the greatest requests that the
/// default settings allow or a quarter of a million ordinary ones.
pub(crate) const BUDGET_KIB: usize = 256 * 1024;

/// A megabyte over a bad mobile connection takes 10 s. A client that sends a byte now and then holds its connection no longer
/// than this.
const READ_TIME_MAX: Duration = Duration::from_secs(30);

/// A body, and its share of the budget: keep it until the request is answered.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _shares: Vec<OwnedSemaphorePermit>,
}

impl Received {
    pub(super) fn new(bytes: Bytes, shares: Vec<OwnedSemaphorePermit>) -> Self {
        Self { bytes, _shares: shares }
    }
}

/// How much may come, and the words for when more does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cap {
    pub(crate) bytes: usize,
    /// Which limit it is, and how to raise it.
    pub(crate) because: &'static str,
}

/// Reads a whole body, decoded.
///
/// # Errors
/// 413 over the cap, before reading when the length is declared, and again once decoded; 408 when it takes longer than
/// [`READ_TIME_MAX`]; 415 for codings other than gzip and zstd; 503 when the budget is spent; 400 when the connection breaks.
pub(crate) async fn read(budget: &Arc<Semaphore>, headers: &HeaderMap, body: Body, cap: Cap) -> Result<Received, Problem> {
    let coding = Coding::of(headers)?;
    let declared =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()).and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > cap.bytes as u64) {
        return Err(too_large(cap));
    }
    let collected = tokio::time::timeout(READ_TIME_MAX, collect(budget, body, cap, declared)).await;
    let received = collected.map_err(|_| {
        let detail = format!("the body did not arrive within {} s", READ_TIME_MAX.as_secs());
        Problem::new(Kind::BodyTimeout, detail)
    })??;
    match coding {
        None => Ok(received),
        Some(coding) => content_encoding::decoded(budget, coding, received, cap).await,
    }
}

async fn collect(budget: &Arc<Semaphore>, mut body: Body, cap: Cap, declared: Option<u64>) -> Result<Received, Problem> {
    let mut shares = Vec::new();
    let mut reserved = 0;
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::new(Kind::MalformedBody, format!("the body broke off: {error}; nothing was stored: send it again"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let length = data.len() + rest.as_ref().map_or(first.len(), BytesMut::len);
        if length > cap.bytes {
            return Err(too_large(cap));
        }
        if length > reserved {
            // All at once when the length is known (it is within the cap), frame by frame otherwise.
            let wanted = declared.and_then(|declared| usize::try_from(declared).ok()).unwrap_or(length).max(length);
            shares.push(share(budget, wanted - reserved)?);
            reserved = wanted;
        }
        match &mut rest {
            Some(rest) => rest.extend_from_slice(&data),
            None if first.is_empty() => first = data,
            None => {
                let mut whole = BytesMut::with_capacity(reserved);
                whole.extend_from_slice(&first);
                whole.extend_from_slice(&data);
                rest = Some(whole);
            }
        }
    }
    Ok(Received::new(rest.map_or(first, BytesMut::freeze), shares))
}

pub(super) fn share(budget: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    budget.clone().try_acquire_many_owned(kib).map_err(|_| {
        Problem::new(Kind::Unavailable, "too many large requests at once; nothing was stored: try again in a moment")
            .with_header(RETRY_AFTER, HeaderValue::from_static("1"))
    })
}

pub(super) fn too_large(cap: Cap) -> Problem {
    Problem::new(Kind::TooLarge, format!("the body may have {} bytes: {}", cap.bytes, cap.because)).with("limit", cap.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::CONTENT_ENCODING;
    use std::convert::Infallible;

    const CAP: Cap = Cap { bytes: 10, because: "raise it" };

    fn frames(parts: &'static [&'static str]) -> Body {
        let frames = parts.iter().map(|part| Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(part.as_bytes()))));
        let mut frames: Vec<_> = frames.collect();
        frames.reverse();
        Body::new(Frames(frames))
    }

    struct Frames(Vec<Result<http_body::Frame<Bytes>, Infallible>>);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            std::task::Poll::Ready(self.0.pop())
        }
    }

    struct Never;

    impl http_body::Body for Never {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            std::task::Poll::Pending
        }
    }

    async fn read_with(headers: &[(http::HeaderName, &'static str)], body: Body, budget: usize) -> Result<Bytes, u16> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        let budget = Arc::new(Semaphore::new(budget));
        read(&budget, &headers, body, CAP).await.map(|received| received.bytes).map_err(|problem| problem.status().as_u16())
    }

    #[tokio::test]
    async fn frames_come_together_up_to_the_cap() {
        assert_eq!(read_with(&[], frames(&["abc", "", "def", "ghij"]), 99).await.unwrap(), "abcdefghij");
        assert_eq!(read_with(&[], frames(&[]), 99).await.unwrap(), "");
        assert_eq!(read_with(&[], frames(&["abcdef", "ghijk"]), 99).await, Err(413));
    }

    #[tokio::test]
    async fn a_declared_length_over_the_cap_is_refused_before_anything_is_read() {
        assert_eq!(read_with(&[(CONTENT_LENGTH, "11")], Body::new(Never), 99).await, Err(413));
        assert_eq!(read_with(&[(CONTENT_LENGTH, "99999999999999999")], Body::new(Never), 99).await, Err(413));
    }

    #[tokio::test]
    async fn a_body_of_an_unknown_coding_is_refused() {
        assert_eq!(read_with(&[(CONTENT_ENCODING, "br")], frames(&["abc"]), 99).await, Err(415));
        assert_eq!(read_with(&[(CONTENT_ENCODING, "gzip")], frames(&["abc"]), 99).await, Err(400));
    }

    #[tokio::test]
    async fn a_spent_budget_is_a_503() {
        assert_eq!(read_with(&[], frames(&["abc"]), 0).await, Err(503));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_ends_in_time() {
        assert_eq!(read_with(&[], Body::new(Never), 99).await, Err(408));
    }
}
