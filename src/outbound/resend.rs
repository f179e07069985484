//! Which requests without an answer are resent within the same attempt, without counting: those that the endpoint has
//! certainly not processed, and those that met the close of a pooled connection. Decided by what the protocol and the
//! connection say, never by an error's text. Every other request may have been processed: the retry policy decides.

use std::io::ErrorKind;
use std::time::Duration;

use super::fault::source;
use super::lease::{Lease, Unsent};

/// Repeats within one attempt: an endpoint that closes every connection after a few requests has a hundred of them
/// waiting on each, and the last repeat is alone on its connection.
pub(super) const REPEATS_MAX: usize = 3;

/// A pooled connection that closes this soon over a request was being closed when that was sent: the close travels no
/// longer than a round trip. Later it is an endpoint that worked on the request and broke.
const STALE_WITHIN: Duration = Duration::from_secs(1);

/// How a request goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionChoice {
    /// Over a pooled connection if there is one.
    Pooled,
    /// Over a new connection that nobody else has streams on.
    Fresh,
    /// As [`ConnectionChoice::Fresh`], in HTTP/1.1.
    Http1,
}

/// A request that got no answer.
pub(super) struct Unanswered {
    /// On a connection that was used before.
    pub(super) reused: bool,
    /// Until it was over.
    pub(super) waited: Duration,
    /// Repeats before this one.
    pub(super) repeats: usize,
}

/// How a request goes out next; `None`: its attempt has failed.
pub(super) fn next_choice(unsent: &Unsent, lease: &Lease, tried: &Unanswered) -> Option<ConnectionChoice> {
    let elsewhere = if tried.repeats == 0 { ConnectionChoice::Pooled } else { ConnectionChoice::Fresh };
    match unsent {
        _ if tried.repeats >= REPEATS_MAX => None,
        // The connection was closed before a byte of the request was written. hyper knows that: this one is not handed
        // out again.
        Unsent::Untouched(..) if lease.is_h2() => Some(elsewhere),
        Unsent::Untouched(..) => tried.reused.then_some(ConnectionChoice::Fresh),
        Unsent::Lost(error) if lease.is_h2() => match unprocessed(error)? {
            Unprocessed::Elsewhere => Some(elsewhere),
            Unprocessed::WantsHttp1 => Some(ConnectionChoice::Http1),
        },
        // The close crossed the request, as RFC 9112 §9.3.1 says that it can.
        Unsent::Lost(error) => {
            let stale = tried.reused && tried.waited < STALE_WITHIN && lease.is_silent() && is_closed(error);
            stale.then_some(ConnectionChoice::Fresh)
        }
    }
}

/// The other side has closed or reset the connection.
fn is_closed(error: &hyper::Error) -> bool {
    match source::<std::io::Error>(error).map(std::io::Error::kind) {
        Some(kind) => matches!(
            kind,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
        ),
        None => error.is_incomplete_message() || error.is_canceled() || error.is_closed(),
    }
}

/// What the endpoint says of a request that it has not processed.
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
