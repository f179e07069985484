//! Which requests without an answer may go out again within the same attempt, uncounted: those that the endpoint has
//! certainly not processed. Judged by what the protocol says, never by an error's text; whatever may have been processed
//! is the retry policy's.

use super::fault::source;
use super::lease::{Lease, Unsent};

/// Repeats within one attempt: an endpoint that closes every connection after a few requests has a hundred of them
/// waiting on each, and the last repeat is alone on its connection.
pub(super) const REPEATS_MAX: usize = 3;

/// How a request goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Over a kept connection if there is one.
    Kept,
    /// Over a new connection that nobody else has streams on.
    Alone,
    /// As [`Way::Alone`], in HTTP/1.1.
    Http1,
}

/// The next way of a request that was sent `repeats` times over; `None`: its attempt has failed.
pub(super) fn way(unsent: &Unsent, lease: &Lease, reused: bool, repeats: usize) -> Option<Way> {
    let elsewhere = if repeats == 0 { Way::Kept } else { Way::Alone };
    match unsent {
        _ if repeats >= REPEATS_MAX => None,
        // The connection was closed before a byte of the request was written. hyper has taken note of it: this one is
        // not handed out again.
        Unsent::Untouched(..) if lease.is_h2() => Some(elsewhere),
        Unsent::Untouched(..) => reused.then_some(Way::Alone),
        Unsent::Lost(error) => match unprocessed(error)? {
            Unprocessed::Elsewhere => Some(elsewhere),
            Unprocessed::WantsHttp1 => Some(Way::Http1),
        },
    }
}

/// What the endpoint says of a request that it has not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unprocessed {
    Elsewhere,
    WantsHttp1,
}

/// RFC 9113 §6.8: a stream above a GOAWAY's last one (h2 gives that error to no other). §8.7: a stream that was refused.
pub(super) fn unprocessed(error: &hyper::Error) -> Option<Unprocessed> {
    let error = source::<h2::Error>(error).filter(|error| error.is_remote())?;
    match error.reason() {
        Some(h2::Reason::HTTP_1_1_REQUIRED) => Some(Unprocessed::WantsHttp1),
        Some(h2::Reason::REFUSED_STREAM) if error.is_reset() => Some(Unprocessed::Elsewhere),
        _ if error.is_go_away() => Some(Unprocessed::Elsewhere),
        _ => None,
    }
}
