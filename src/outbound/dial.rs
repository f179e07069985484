//! Opening connections: resolve, check every address against the SSRF guard, dial only those that pass (or have the
//! proxy do it), TLS, and the HTTP handshake.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tokio_util::task::AbortOnDropHandle;

use super::egress::{Realm, Terms, basic};
use super::fault::{Fault, Stage};
use super::key::Key;
use super::lease::{Form, H1, H2, Opened};
use super::meter::{Meter, Metered};
use super::proxy::{self, Target};
use super::resolve::{LookupError, Lookups, Resolver};
use super::shortage::Shortage;
use super::{Progress, micros, tls};
use crate::model::{Cause, NetworkPolicy, Proxy, ProxyKind, ProxyPolicy, Refused};

/// Addresses of one name that are tried: more of them are no more likely to answer.
const ADDRESSES_MAX: usize = 8;

/// RFC 8305 §5: the pause before the next address is tried beside the one that has not answered.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Bytes of an answer's head, and of its body that wait unread: fifty ordinary heads.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Headers of an answer: ordinary ones have 10 to 30.
const HEADERS_MAX: usize = 128;

/// Bytes that an endpoint may send on one HTTP/2 stream before we read: answers are short.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// And on all streams of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// A silent HTTP/2 connection with requests on it is pinged after this, and closed after as long again.
const PING_AFTER: Duration = Duration::from_secs(10);

/// What leads to the endpoint: a connection of our own, or one within TLS to the proxy.
type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

#[derive(Debug)]
pub(super) struct Dialer {
    policy: NetworkPolicy,
    proxy: Option<ProxyPolicy>,
    lookups: Lookups,
    tls: Option<Arc<ClientConfig>>,
    /// For the proxy itself.
    proxy_tls: Option<Arc<ClientConfig>>,
    h1: http1::Builder,
    h2: http2::Builder<TokioExecutor>,
}

impl Dialer {
    pub(super) fn new(
        policy: NetworkPolicy,
        proxy: Option<ProxyPolicy>,
        tls: Option<Arc<ClientConfig>>,
        resolver: Resolver,
    ) -> Self {
        let mut h1 = http1::Builder::new();
        h1.max_buf_size(HEAD_BYTES_MAX).max_header_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let mut h2 = http2::Builder::new(TokioExecutor::new());
        h2.timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_AFTER);
        let proxy_tls = tls.as_deref().map(tls::http1_config);
        Self { policy, proxy, lookups: Lookups::new(resolver), tls, proxy_tls, h1, h2 }
    }

    pub(super) fn policy(&self) -> &NetworkPolicy {
        &self.policy
    }

    /// What connections are made with unless a webhook has something of its own.
    pub(super) fn terms(&self) -> Terms<'_> {
        Terms { realm: Realm::default(), policy: &self.policy, tls: self.tls.as_ref(), server_name: None }
    }

    /// A new connection to the endpoint behind `key`, with the phases' times written into `progress`.
    pub(super) async fn dial(
        &self,
        key: &Key,
        terms: Terms<'_>,
        only_http1: bool,
        progress: &mut Progress,
    ) -> Result<Opened, Fault> {
        let proxy = self.proxy.as_ref().and_then(|policy| policy.for_host(key.host()));
        let (stream, form) = match proxy {
            None => (Either::Left(self.reach(key, terms.policy, progress).await?), Form::Origin),
            Some(proxy) => self.reach_through(proxy, key, terms.policy, progress).await?,
        };
        if !key.is_tls() {
            return self.handshake_h1(stream, key, form).await;
        }
        progress.stage = Stage::Tls;
        let started = Instant::now();
        let stream = self.secure(stream, key, terms, only_http1).await?;
        progress.timings.tls_us = Some(micros(started.elapsed()));
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.handshake_h2(stream).await
        } else {
            self.handshake_h1(stream, key, Form::Origin).await
        }
    }

    /// Straight to the endpoint.
    async fn reach(&self, key: &Key, policy: &NetworkPolicy, progress: &mut Progress) -> Result<TcpStream, Fault> {
        progress.stage = Stage::Resolve;
        let addresses = self.permitted_addresses(key, policy, progress).await?;
        progress.stage = Stage::Connect;
        let started = Instant::now();
        let stream = connect(&addresses).await.map_err(|error| Fault::unconnected(&target(key, &addresses), &error))?;
        progress.timings.connect_us = Some(micros(started.elapsed()));
        Ok(undelayed(stream))
    }

    /// To the endpoint by way of a proxy. The guard judges what is dialled, or what can be known of it when the proxy
    /// resolves the name; the proxy's own address is the operator's choice.
    async fn reach_through(
        &self,
        proxy: &Proxy,
        key: &Key,
        policy: &NetworkPolicy,
        progress: &mut Progress,
    ) -> Result<(Transport, Form), Fault> {
        progress.stage = Stage::Resolve;
        let target = match (proxy.kind, key.literal_address()) {
            (ProxyKind::Socks5, _) | (_, Some(_)) => {
                let addresses = self.permitted_addresses(key, policy, progress).await?;
                Target::Address(*addresses.first().ok_or_else(|| Fault::new(Cause::Resolve, "the name has no address"))?)
            }
            (ProxyKind::Http | ProxyKind::Https | ProxyKind::Socks5h, None) => {
                policy.check_unresolved(key.host(), !key.is_tls()).map_err(|refused| unproxied(proxy, &refused))?;
                Target::Name(key.host(), key.port())
            }
        };
        let addresses = self.proxy_addresses(proxy).await?;
        progress.stage = Stage::Connect;
        let started = Instant::now();
        let connected = connect(&addresses).await;
        let stream = undelayed(connected.map_err(|error| Fault::unconnected(&format!("the proxy {proxy}"), &error))?);
        progress.stage = Stage::Proxy;
        let mut stream = match proxy.kind {
            ProxyKind::Https => Either::Right(Box::new(self.secure_proxy(stream, proxy).await?)),
            ProxyKind::Http | ProxyKind::Socks5 | ProxyKind::Socks5h => Either::Left(stream),
        };
        let form = match proxy.kind {
            ProxyKind::Http | ProxyKind::Https if key.is_tls() => {
                proxy::connect_http(&mut stream, proxy, &target).await?;
                Form::Origin
            }
            ProxyKind::Http | ProxyKind::Https => {
                Form::Absolute { proxy: proxy.to_string().into(), credentials: proxy_credentials(proxy)? }
            }
            ProxyKind::Socks5 | ProxyKind::Socks5h => {
                proxy::connect_socks5(&mut stream, proxy, &target).await?;
                Form::Origin
            }
        };
        progress.timings.connect_us = Some(micros(started.elapsed()));
        Ok((stream, form))
    }

    async fn proxy_addresses(&self, proxy: &Proxy) -> Result<Vec<SocketAddr>, Fault> {
        if let Ok(address) = proxy.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, proxy.port)]);
        }
        let resolved = self
            .lookups
            .addresses(&proxy.host)
            .await
            .map_err(|error| unresolved(&error, &format!("the proxy {proxy}"), "check `[network] proxy`"))?;
        let addresses = resolved.iter().map(|address| SocketAddr::new(*address, proxy.port)).collect::<Vec<_>>();
        if addresses.is_empty() {
            return Err(Fault::new(Cause::Resolve, format!("the proxy {proxy} has no address: check `[network] proxy`")));
        }
        Ok(alternate_families(addresses))
    }

    async fn permitted_addresses(
        &self,
        key: &Key,
        policy: &NetworkPolicy,
        progress: &mut Progress,
    ) -> Result<Vec<SocketAddr>, Fault> {
        let plain_http = !key.is_tls();
        if let Some(address) = key.literal_address() {
            policy
                .check_address(address, plain_http)
                .map_err(|refused| Fault::new(Cause::BlockedAddress, refused.to_string()))?;
            return Ok(vec![SocketAddr::new(address, key.port())]);
        }
        let name = key.host();
        let started = Instant::now();
        let resolved = self.lookups.addresses(name).await;
        progress.timings.resolve_us = Some(micros(started.elapsed()));
        let resolved =
            resolved.map_err(|error| unresolved(&error, &format!("`{name}`"), "check its spelling, and this machine's DNS"))?;
        let mut refusal = None;
        let mut permitted = Vec::new();
        for address in resolved.iter().copied() {
            match policy.check_address(address, plain_http) {
                Ok(()) => permitted.push(SocketAddr::new(address, key.port())),
                Err(refused) => refusal = refusal.or(Some(refused)),
            }
        }
        if permitted.is_empty() {
            return Err(match refusal {
                Some(refused) => Fault::new(Cause::BlockedAddress, format!("`{name}` resolves to a refused address: {refused}")),
                None => Fault::new(Cause::Resolve, format!("`{name}` has no address: check its DNS records")),
            });
        }
        Ok(alternate_families(permitted))
    }

    /// TLS with the proxy itself. Its name is the operator's word, so it is the one that its certificate must have.
    async fn secure_proxy(&self, stream: TcpStream, proxy: &Proxy) -> Result<TlsStream<TcpStream>, Fault> {
        let config = self.proxy_tls.clone().ok_or_else(no_roots)?;
        let fault = |why: String| Fault::new(Cause::Connect, format!("no TLS session with the proxy {proxy}: {why}"));
        let name = ServerName::try_from(proxy.host.clone())
            .map_err(|_| fault("its host is not a name that a certificate can be for".to_owned()))?;
        TlsConnector::from(config).connect(name, stream).await.map_err(|error| fault(tls_words(&error, "the proxy")))
    }

    async fn secure(
        &self,
        stream: Transport,
        key: &Key,
        terms: Terms<'_>,
        only_http1: bool,
    ) -> Result<TlsStream<Transport>, Fault> {
        let config = terms.tls.ok_or_else(no_roots)?;
        let config = if only_http1 { tls::http1_config(config) } else { config.clone() };
        let name = match terms.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(key.host().to_owned())
                .map_err(|_| Fault::new(Cause::Tls, format!("`{}` is not a name that a certificate can be for", key.host())))?,
        };
        TlsConnector::from(config).connect(name, stream).await.map_err(|error| {
            let detail = tls_words(&error, "the endpoint");
            Fault::new(Cause::Tls, format!("no TLS session with `{}`: {detail}", key.host()))
        })
    }

    async fn handshake_h1<S>(&self, stream: S, key: &Key, form: Form) -> Result<Opened, Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let meter = Meter::new();
        let stream = TokioIo::new(Metered::new(stream, meter.clone()));
        let (sender, connection) = self.h1.handshake(stream).await.map_err(|error| Fault::broken(&error, Stage::Head, false))?;
        let driver = drive(connection);
        let host =
            HeaderValue::from_str(key.authority()).map_err(|_| Fault::new(Cause::Resolve, "the URL's host is not ASCII"))?;
        Ok(Opened::H1(H1 { sender, driver, meter, host, form }))
    }

    async fn handshake_h2<S>(&self, stream: S) -> Result<Opened, Fault>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = self
            .h2
            .handshake(TokioIo::new(Metered::shared(stream)))
            .await
            .map_err(|error| Fault::broken(&error, Stage::Head, true))?;
        let driver = drive(connection);
        Ok(Opened::H2(H2 { sender, driver }))
    }
}

/// What is not even asked of a proxy.
fn unproxied(proxy: &Proxy, refused: &Refused) -> Fault {
    let words = match refused {
        Refused::LocalName { name } => format!(
            "`{name}` means the machine that resolves it, here that of the proxy {proxy}: if this endpoint is on this machine, have it reached without the proxy by `[network] no_proxy = [\"{name}\"]`; the address rules judge it then"
        ),
        other => other.to_string(),
    };
    Fault::new(Cause::BlockedAddress, words)
}

fn unresolved(error: &LookupError, what: &str, advice: &str) -> Fault {
    match error {
        LookupError::Failed(error) => Fault::new(Cause::Resolve, format!("{what} does not resolve: {error}: {advice}")),
        LookupError::Shortage(shortage) => Fault::short(*shortage, &format!("{what} cannot be looked up")),
    }
}

fn no_roots() -> Fault {
    Fault::new(
        Cause::Tls,
        "this machine has no CA certificates, so nobody can be trusted over TLS: install ca-certificates or set SSL_CERT_FILE, then restart",
    )
}

fn tls_words(error: &std::io::Error, peer: &str) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => tls::words(tls, peer),
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            format!("{peer} closed the connection during the handshake: does it serve TLS for this name?")
        }
        None => error.to_string(),
    }
}

fn undelayed(stream: TcpStream) -> TcpStream {
    // Fails only on a socket that is broken already, which the next write will say better.
    let _ = stream.set_nodelay(true);
    stream
}

/// What an HTTP proxy wants to see with each request in the absolute form.
fn proxy_credentials(proxy: &Proxy) -> Result<Option<HeaderValue>, Fault> {
    let Some(password) = &proxy.password else { return Ok(None) };
    let mut value = HeaderValue::from_str(&basic(&proxy.username, password.expose()))
        .map_err(|_| Fault::new(Cause::Connect, "the credentials in `[network] proxy` cannot be put into a header"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Runs a connection until it ends or its handle is dropped.
#[expect(clippy::disallowed_methods, reason = "the handle owns the task; the request that it hits gets its error")]
fn drive<C>(connection: C) -> AbortOnDropHandle<()>
where
    C: Future<Output = hyper::Result<()>> + Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }))
}

/// RFC 8305 §4: the resolver's order, but the families by turns, so that a broken one costs one pause at most.
fn alternate_families(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    one.dedup();
    other.dedup();
    let mut turns = Vec::with_capacity(ADDRESSES_MAX);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    while turns.len() < ADDRESSES_MAX {
        let before = turns.len();
        turns.extend(one.next());
        turns.extend(other.next());
        if turns.len() == before {
            break;
        }
    }
    turns
}

/// Why none of the addresses could be connected to.
pub(super) enum ConnectFailure {
    /// Of one of them at least: the others may be as good as they like.
    Shortage(Shortage),
    /// What the last one came to.
    Refused(std::io::Error),
}

impl ConnectFailure {
    fn new(error: std::io::Error, address: SocketAddr) -> Self {
        Shortage::of_connecting(&error, address).map_or(Self::Refused(error), Self::Shortage)
    }
}

async fn connect_to(address: SocketAddr) -> Result<TcpStream, ConnectFailure> {
    TcpStream::connect(address).await.map_err(|error| ConnectFailure::new(error, address))
}

/// The first address that answers; the next one is tried when the last has failed or not answered for a while.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectFailure> {
    if let [only] = addresses {
        return connect_to(*only).await;
    }
    let mut queue = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut failure = ConnectFailure::Refused(std::io::ErrorKind::AddrNotAvailable.into());
    loop {
        let next = queue.next();
        if let Some(address) = next {
            attempts.spawn(connect_to(address));
        }
        // Both arms are cancel-safe: the attempts go on within their set.
        tokio::select! {
            joined = attempts.join_next() => match joined {
                None => return Err(failure),
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(_))) if matches!(failure, ConnectFailure::Shortage(_)) => {}
                Some(Ok(Err(error))) => failure = error,
                Some(Err(error)) => failure = ConnectFailure::Refused(std::io::Error::other(error)),
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if next.is_some() => {}
        }
    }
}

/// What was dialled, for an error: the name with the addresses behind it.
fn target(key: &Key, addresses: &[SocketAddr]) -> String {
    let listed: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    let literal: Option<IpAddr> = key.literal_address();
    match literal {
        Some(_) => key.authority_with_port(),
        None => format!("{} ({})", key.authority_with_port(), listed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_beginning_with_the_resolvers_choice() {
        let parse = |texts: &[&str]| texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 1)).collect::<Vec<_>>();
        let mixed = parse(&["2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.1", "192.0.2.2"]);
        assert_eq!(alternate_families(mixed), parse(&["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]));
        assert_eq!(alternate_families(vec![]), vec![]);
        let many: Vec<SocketAddr> = (0..50).map(|n| SocketAddr::from(([192, 0, 2, n], 1))).collect();
        assert_eq!(alternate_families(many).len(), ADDRESSES_MAX);
    }
}
