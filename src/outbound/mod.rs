//! The HTTP client that deliveries go out by: the SSRF guard inside the dialler, HTTP/1.1 and HTTP/2, one deadline
//! over name, TCP, TLS, request and answer, an answer that is read up to a cap, and a small pool of connections; proxies,
//! client certificates, and tokens for endpoints that want them.
//!
//! Refuses redirects, cookies, decompression, and to send a request twice that may have been processed: whether to retry
//! is the retry policy's decision. Built on hyper's connections with a pool of our own, because here an attempt owns
//! everything that it opens: dropping its future at the deadline leaves nothing behind.

mod body;
mod descriptors;
mod dial;
mod egress;
mod fault;
mod key;
mod lease;
mod meter;
mod oauth;
mod pool;
mod proxy;
mod resend;
mod resolve;
mod shortage;
mod tls;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::model::{Cause, NetworkEgress, NetworkPolicy, ProxyPolicy, Timings, TlsVersion, WebhookEgress};

use body::BodyPrefix;
use dial::Dialer;
use egress::{Authorization, Terms};
use fault::{Fault, Stage};
use key::Key;
use lease::{Lease, Opened};
use oauth::Tokens;
use pool::Pool;
use resend::{ConnectionChoice, Unanswered};
use tls::Trust;

pub use descriptors::{Descriptors, FILES_WANTED, descriptors, raise_limit};
pub use egress::Egress;
pub use resolve::{ResolveFn, Resolver};
pub use shortage::Shortage;
pub use tls::Roots;

/// Idle connections to one endpoint: as many as the widest lanes have attempts in flight. A lane of 64 with only 32 of
/// them would open and close connections all the time; one that is not used is closed within a minute, and all endpoints
/// together are bounded as well.
const IDLE_PER_HOST_MAX: usize = 256;

/// How a [`Client`] is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    pub network: NetworkPolicy,
    pub proxy: Option<ProxyPolicy>,
    pub roots: Roots,
    pub min_tls: TlsVersion,
    /// Idle connections to one endpoint.
    pub idle_per_host_max: usize,
    /// How long an idle connection stays open; shorter where the endpoint says so (`Keep-Alive: timeout=5`).
    pub idle_timeout: Duration,
}

impl ClientOptions {
    /// The machine's CA certificates, and bounds for a server's use.
    pub fn new(network: NetworkPolicy) -> Self {
        Self {
            network,
            proxy: None,
            roots: Roots::System { and: Vec::new() },
            min_tls: TlsVersion::default(),
            idle_per_host_max: IDLE_PER_HOST_MAX,
            idle_timeout: Duration::from_secs(60),
        }
    }

    /// As [`ClientOptions::new`], with what `[network]` says besides.
    pub fn read(network: NetworkPolicy, egress: &NetworkEgress) -> Result<Self, OutboundError> {
        let mut options = Self { proxy: egress.proxy.clone(), min_tls: egress.min_tls, ..Self::new(network) };
        if let Some(path) = &egress.ca_file {
            let key = "[network] ca_file";
            let pem = egress::read_pem(path, key)?;
            tls::check_roots(&pem, key)?;
            options.roots = options.roots.with(&pem);
        }
        Ok(options)
    }
}

/// The bounds of one attempt.
#[derive(Debug, Clone, Copy)]
pub struct SendLimits {
    /// Over everything, from the name's resolution to the answer's last byte, and what was spent before: as configured.
    pub timeout: Duration,
    /// Of `timeout`, before the send began.
    pub spent: Duration,
    /// Over what it takes to have a connection: name, TCP, TLS.
    pub connect_timeout: Duration,
    /// Bytes of the answer's body that are stored.
    pub response_bytes_max: usize,
}

/// A client could not be made.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("the CA certificates cannot be used: {0}: give PEM blocks that begin with `-----BEGIN CERTIFICATE-----`")]
    BadRoots(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("cannot read `{key}`, {path}: {reason}")]
    Unreadable { key: String, path: PathBuf, reason: String },
    #[error("what requests say about who sends them cannot be used: {0}")]
    BadIdentity(String),
}

/// An endpoint's answer, whatever its status.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    /// The first bytes, as they came: nothing is decompressed.
    pub body: Bytes,
    /// Whether there was more.
    pub truncated: bool,
    pub timings: Timings,
    /// The proxy that the request was handed to, which may have answered by itself. Not set for tunnels.
    pub via: Option<Arc<str>>,
}

/// No whole answer came.
#[derive(Debug)]
pub struct SendError {
    pub cause: Cause,
    /// In words, with how to fix it.
    pub detail: String,
    pub timings: Timings,
    /// What was seen of the answer before it broke off.
    pub partial: Option<Box<Partial>>,
    /// Set when it says nothing about the endpoint: this machine could not send.
    pub shortage: Option<Shortage>,
}

/// The head of an answer that broke off, and the part of its body that came.
#[derive(Debug)]
pub struct Partial {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for SendError {}

/// Sends requests; cheap to clone, shared by all webhooks of a snapshot.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    dialer: Dialer,
    pool: Arc<Pool>,
    tokens: Tokens,
    roots: Roots,
    /// Of `roots`; `None` on a machine that trusts nobody.
    trust: Option<Trust>,
    min_tls: TlsVersion,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Client {
    /// Loads the CA certificates. A machine without any is warned about and can still send plain http.
    pub fn new(options: ClientOptions) -> Result<Self, OutboundError> {
        Self::with_resolver(options, Resolver::System)
    }

    /// As [`Client::new`], with names resolved by `resolver`. Its answers pass the SSRF guard like any others.
    pub fn with_resolver(options: ClientOptions, resolver: Resolver) -> Result<Self, OutboundError> {
        let ClientOptions { network, proxy, roots, min_tls, idle_per_host_max, idle_timeout } = options;
        let trust = tls::trust(&roots)?;
        let tls = trust.clone().map(|trust| tls::client_config(trust, min_tls, None)).transpose()?;
        let dialer = Dialer::new(network, proxy, tls, resolver);
        let pool = Arc::new(Pool::new(idle_per_host_max, idle_timeout));
        Ok(Self { inner: Arc::new(Inner { dialer, pool, tokens: Tokens::default(), roots, trust, min_tls }) })
    }

    /// What one webhook's requests leave with. Reads its certificates; tokens live as long as somebody has one with
    /// the same settings.
    pub fn egress(&self, settings: &WebhookEgress) -> Result<Egress, OutboundError> {
        Egress::new(&self.inner, settings)
    }

    /// Sends `request` (with an absolute URI) and reads the answer.
    ///
    /// Must be called within a tokio runtime. Ends when `limits.timeout` is spent; a whole answer may take some 60 ms longer to be
    /// handed over, when its connection is made ready for the next request. `Host` and `Content-Length` are set here;
    /// all other headers are the caller's.
    pub async fn send(&self, request: Request<Bytes>, limits: SendLimits) -> Result<Response, SendError> {
        self.send_with(&Egress::default(), request, limits).await
    }

    /// As [`Client::send`], with what a webhook has of its own. Its `Authorization` is set here as well.
    pub async fn send_with(&self, egress: &Egress, request: Request<Bytes>, limits: SendLimits) -> Result<Response, SendError> {
        let mut progress = Progress::default();
        let exchange = self.inner.exchange(request, egress, &limits, &mut progress);
        let outcome = match tokio::time::timeout(limits.timeout.saturating_sub(limits.spent), exchange).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let fault = Fault::timed_out(progress.stage, limits.timeout, "timeout");
                self.inner.evict_suspect_connections(&progress);
                Err(fault)
            }
        };
        match outcome {
            Ok(finished) => Ok(self.inner.finish(finished, progress).await),
            Err(fault) => Err(progress.into_error(fault)),
        }
    }
}

/// What is known of a send so far; survives the deadline that drops the rest.
#[derive(Debug, Default)]
struct Progress {
    stage: Stage,
    timings: Timings,
    head: Option<(u16, HeaderMap)>,
    body: BodyPrefix,
    /// Set when the request went out on a connection that had been used before.
    reused: Option<Key>,
    /// The proxy that the request was handed to.
    via: Option<Arc<str>>,
}

impl Progress {
    /// For another answer in place of the one that came.
    fn begin_again(&mut self) {
        (self.head, self.body, self.reused) = (None, BodyPrefix::default(), None);
    }

    /// Names the proxy in what may be its fault.
    fn blame(&self, mut fault: Fault) -> Fault {
        if let (Stage::Head | Stage::Body, Some(proxy)) = (self.stage, &self.via) {
            fault.detail.push_str(&format!(" (by way of the proxy {proxy}, whose fault it may be)"));
        }
        fault
    }

    fn into_error(self, fault: Fault) -> SendError {
        let fault = self.blame(fault);
        let Self { timings, head, body, .. } = self;
        let partial = head.map(|(status, headers)| Box::new(Partial { status, headers, body: body.into_bytes() }));
        SendError { cause: fault.cause, detail: fault.detail, timings, partial, shortage: fault.shortage }
    }
}

/// An exchange whose answer is in [`Progress`]; what is left is to keep or close its connection.
struct Finished {
    key: Key,
    lease: Lease,
    body: Incoming,
    truncated: bool,
}

impl Inner {
    async fn exchange(
        &self,
        mut request: Request<Bytes>,
        egress: &Egress,
        limits: &SendLimits,
        progress: &mut Progress,
    ) -> Result<Finished, Fault> {
        let source = match egress.authorization() {
            None => return self.exchange_once(request, egress, limits, progress).await,
            Some(Authorization::Fixed(value)) => {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
                return self.exchange_once(request, egress, limits, progress).await;
            }
            Some(Authorization::OAuth2(source)) => source,
        };
        let with = |request: &Request<Bytes>, token: &HeaderValue| {
            let mut request = request.clone();
            request.headers_mut().insert(AUTHORIZATION, token.clone());
            request
        };
        let (token, is_new) = source.header(self, egress, limits, None, progress).await?;
        let finished = self.exchange_once(with(&request, &token), egress, limits, progress).await?;
        if is_new || progress.head.as_ref().is_none_or(|(status, _)| *status != 401) {
            return Ok(finished);
        }
        // A cached token that was revoked before its time: the endpoint has refused the request and not acted on it.
        drop(finished);
        let (token, _) = source.header(self, egress, limits, Some(&token), progress).await?;
        progress.begin_again();
        self.exchange_once(with(&request, &token), egress, limits, progress).await
    }

    async fn exchange_once(
        &self,
        request: Request<Bytes>,
        egress: &Egress,
        limits: &SendLimits,
        progress: &mut Progress,
    ) -> Result<Finished, Fault> {
        let terms = egress.terms(self.dialer.terms());
        let key = Key::of(request.uri(), terms.realm)?;
        let request = request.map(Full::new);
        let (mut choice, mut repeats) = (ConnectionChoice::Pooled, 0);
        let (lease, answer, sent_at) = loop {
            let mut lease = self.connection(&key, terms, choice, limits, progress).await?;
            progress.stage = Stage::Head;
            progress.via = lease.via().cloned();
            let sent_at = Instant::now();
            let unsent = match lease.send(request.clone()).await {
                Ok(answer) => break (lease, answer, sent_at),
                Err(unsent) => unsent,
            };
            let tried = Unanswered { reused: progress.reused.is_some(), waited: sent_at.elapsed(), repeats };
            choice = match resend::next_choice(&unsent, &lease, &tried) {
                Some(choice) => choice,
                None => return Err(Fault::broken(&unsent.into_error(), Stage::Head, lease.is_h2())),
            };
            repeats += 1;
        };
        if answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED
            && let Some(proxy) = progress.via.take()
        {
            return Err(proxy::unauthorized(&proxy, &key.authority_with_port(), lease.is_authorized()));
        }
        let head_at = Instant::now();
        progress.timings.first_byte_us = Some(micros(head_at - sent_at));
        let (parts, mut body) = answer.into_parts();
        progress.head = Some((parts.status.as_u16(), parts.headers));
        progress.stage = Stage::Body;
        let read = progress.body.read(&mut body, limits.response_bytes_max).await;
        progress.timings.body_us = Some(micros(head_at.elapsed()));
        let truncated = read.map_err(|error| Fault::broken(&error, Stage::Body, lease.is_h2()))?;
        Ok(Finished { key, lease, body, truncated })
    }

    async fn connection(
        &self,
        key: &Key,
        terms: Terms<'_>,
        choice: ConnectionChoice,
        limits: &SendLimits,
        progress: &mut Progress,
    ) -> Result<Lease, Fault> {
        progress.reused = None;
        match choice {
            ConnectionChoice::Pooled => {
                if let Some(lease) = self.pool.checkout(key) {
                    progress.reused = Some(key.clone());
                    return Ok(lease);
                }
            }
            ConnectionChoice::Fresh => {}
            // The pooled connections speak HTTP/2: the next request would be turned away as well.
            ConnectionChoice::Http1 => self.pool.forget(key),
        }
        let dial = self.dialer.dial(key, terms, choice == ConnectionChoice::Http1, progress);
        let dialled = tokio::time::timeout(limits.connect_timeout, dial).await;
        let dialled =
            dialled.unwrap_or_else(|_| Err(Fault::timed_out(progress.stage, limits.connect_timeout, "connect_timeout")));
        match (dialled, choice) {
            (Ok(Opened::H2(h2)), ConnectionChoice::Fresh) => Ok(Lease::alone(h2)),
            (Ok(opened), _) => Ok(self.pool.admit(key, opened)),
            (Err(fault), _) => {
                // Connections that nobody uses make room.
                if fault.shortage.is_some_and(Shortage::is_of_the_process) {
                    self.pool.clear();
                }
                Err(fault)
            }
        }
    }

    /// A pooled connection on which nothing came back may be dead without our knowing (a firewall forgot it), and then so
    /// are its siblings: the next attempt dials.
    fn evict_suspect_connections(&self, progress: &Progress) {
        if let (Stage::Head, Some(key)) = (progress.stage, &progress.reused) {
            self.pool.forget(key);
        }
    }

    async fn finish(&self, finished: Finished, progress: Progress) -> Response {
        let Finished { key, lease, mut body, truncated } = finished;
        let Progress { timings, head, body: prefix, via, .. } = progress;
        let (status, headers) = head.unwrap_or_default();
        let whole = !truncated || (!lease.is_h2() && body::drain(&mut body).await);
        drop(body);
        if whole {
            self.pool.checkin(key, lease, &headers).await;
        }
        Response { status, headers, body: prefix.into_bytes(), truncated, timings, via }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
