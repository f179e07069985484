//! What went wrong with a send: a named cause, and a sentence that says how to fix it.

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::model::Cause;

use super::dial::ConnectFailure;
use super::meter::FLOODED;
use super::resend::{REPEATS_MAX, unprocessed};
use super::shortage::Shortage;
use super::tls;

/// The phase that a send is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stage {
    #[default]
    Resolve,
    /// Asking for a token, before anything else.
    Token,
    Connect,
    /// Connected to the proxy, which has to connect to the endpoint.
    Proxy,
    Tls,
    /// The request is on its way or sent; no answer yet.
    Head,
    Body,
}

#[derive(Debug)]
pub(super) struct Fault {
    pub(super) cause: Cause,
    pub(super) detail: String,
    /// It is not the endpoint's fault but a lack of this machine's.
    pub(super) shortage: Option<Shortage>,
}

impl Fault {
    pub(super) fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into(), shortage: None }
    }

    /// What this machine lacks to do `what`.
    pub(super) fn short(shortage: Shortage, what: &str) -> Self {
        let detail = format!("{what}: {shortage}: {}", shortage.advice());
        Self { cause: Cause::Connect, detail, shortage: Some(shortage) }
    }

    /// `key` is the setting that ran out.
    pub(super) fn timed_out(stage: Stage, limit: Duration, key: &str) -> Self {
        let within = format!("within {} (`{key}`)", seconds(limit));
        Self::new(
            Cause::Timeout,
            match stage {
                Stage::Resolve => format!("the endpoint's name did not resolve {within}: check this machine's DNS"),
                Stage::Token => format!("no token for the endpoint came {within}: does the server at `token_url` answer?"),
                Stage::Proxy => format!("the proxy did not connect to the endpoint {within}: does it reach it?"),
                Stage::Connect => format!("no TCP connection {within}: is the endpoint up, does a firewall drop the packets?"),
                Stage::Tls => format!("the TLS handshake did not end {within}: what listens there may not speak TLS"),
                Stage::Head => {
                    format!(
                        "the request was sent but no answer came {within}: the endpoint should answer first and work afterwards, or raise `{key}`"
                    )
                }
                Stage::Body => {
                    format!(
                        "an answer began but did not end {within}: the endpoint should send a short body at once, or raise `{key}`"
                    )
                }
            },
        )
    }

    /// No TCP connection to any of the endpoint's addresses.
    pub(super) fn unconnected(target: &str, failure: &ConnectFailure) -> Self {
        let error = match failure {
            ConnectFailure::Shortage(shortage) => return Self::short(*shortage, &format!("no connection to {target}")),
            ConnectFailure::Refused(error) => error,
        };
        let detail = match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!("no connection to {target}: refused: is the endpoint running, is the port right?")
            }
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                format!("no connection to {target}: there is no route to it from here")
            }
            io::ErrorKind::TimedOut => {
                format!("no connection to {target}: nothing answers: is the endpoint up, does a firewall drop the packets?")
            }
            io::ErrorKind::PermissionDenied => format!("no connection to {target}: this machine's firewall forbids it"),
            _ => format!("no connection to {target}: {error}"),
        };
        Self::new(Cause::Connect, detail)
    }

    /// A connection or stream that broke while a request was on it.
    pub(super) fn broken(error: &hyper::Error, stage: Stage, h2: bool) -> Self {
        let when = if stage == Stage::Body { "in the middle of its answer" } else { "before it answered" };
        if let Some(io) = source::<io::Error>(error) {
            return Self::from_io(io, when);
        }
        if error.is_parse_version_h2() {
            return Self::new(
                Cause::Protocol,
                "the endpoint answered in HTTP/2 on a connection without TLS: use https://, or an HTTP/1.1 port",
            );
        }
        if error.is_parse_too_large() {
            return Self::new(
                Cause::Protocol,
                "the answer's head is larger than 64 KiB or has more than 128 headers: make it smaller",
            );
        }
        if error.is_parse() {
            return Self::new(
                Cause::Protocol,
                format!("what the endpoint sent is not HTTP ({}): is the port right?", root(error)),
            );
        }
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return Self::closed(when);
        }
        if unprocessed(error).is_some() {
            return Self::new(
                Cause::Protocol,
                format!(
                    "the endpoint turned the request away {} times over HTTP/2, before it looked at it ({}): is it shutting down, does it limit its streams?",
                    REPEATS_MAX + 1,
                    root(error)
                ),
            );
        }
        if h2 {
            return Self::new(Cause::Protocol, format!("the endpoint broke the HTTP/2 exchange off {when}: {}", root(error)));
        }
        Self::new(Cause::Connection, format!("the connection broke {when}: {}", root(error)))
    }

    fn from_io(io: &io::Error, when: &str) -> Self {
        if let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::new(Cause::Tls, format!("TLS failed {when}: {}", tls::words(tls, "the endpoint")));
        }
        if let Some(shortage) = Shortage::of(io) {
            return Self::short(shortage, &format!("the connection broke {when}"));
        }
        match io.kind() {
            io::ErrorKind::UnexpectedEof => Self::closed(when),
            FLOODED => Self::new(
                Cause::Protocol,
                "the endpoint sent interim answers (1xx) without end and none that is final: it, or a proxy before it, runs in a circle",
            ),
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => Self::new(
                Cause::Connection,
                format!("the endpoint reset the connection {when}: its process may have crashed or refused the body's size"),
            ),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Self::new(Cause::Protocol, format!("what the endpoint sent is not HTTP ({io})"))
            }
            _ => Self::new(Cause::Connection, format!("the connection broke {when}: {io}")),
        }
    }

    fn closed(when: &str) -> Self {
        Self::new(Cause::Connection, format!("the endpoint closed the connection {when}: see its log"))
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

pub(super) fn source<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The innermost error: hyper's outer ones only say which part of hyper it was.
fn root(error: &hyper::Error) -> String {
    chain(error).last().map_or_else(String::new, ToString::to_string)
}

fn seconds(span: Duration) -> String {
    if span.subsec_millis() == 0 { format!("{} s", span.as_secs()) } else { format!("{} ms", span.as_millis()) }
}
