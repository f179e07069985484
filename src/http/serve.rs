//! Connections: accepted up to a number, each with its times, closed gracefully at the end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use crate::http::middleware::framing::OwnListener;
use crate::outbound::descriptors;

/// Connections at once: some 100 KiB each when all are busy, 400 MiB together. More wait in the kernel's queue. A low limit
/// on open files means fewer.
const CONNECTIONS_MAX: usize = 4096;

/// Connections that the kernel holds until they are accepted; it may allow fewer (`net.core.somaxconn`). A burst that does
/// not fit is dropped, and with SYN cookies partly reset. The standard library's is 128.
const QUEUE_MAX: u32 = 4096;

/// From the connection to the first request's last header: ends connections that send nothing, or a byte now and then.
const FIRST_REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// From an answer to the next request's last header. Longer than the usual 60 s of clients' pools is of no use, much
/// shorter would break connections that they are about to use again.
const NEXT_REQUEST_TIME_MAX: Duration = Duration::from_secs(75);

/// Requests in flight may end within this at shutdown. A body may take 30 s: a client that slow tries again.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Headers of one request.
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Requests at once within one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;

/// Whether the peer of an idle HTTP/2 connection is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Pause after `accept` failed for lack of a descriptor or memory: an immediate retry would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address at the other end of the connection that a request came on.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Goes along with every request: cancelled when the shutdown begins, so that answers without an end can end too.
#[derive(Clone)]
pub(crate) struct Closing(pub(crate) CancellationToken);

/// The listener's current TLS configuration; `None`: no TLS. Called for every connection, so that a renewed certificate takes
/// effect with the next one.
pub type CurrentTls = Arc<dyn Fn() -> Option<Arc<rustls::ServerConfig>> + Send + Sync>;

/// Listens at `address`, with a queue of [`QUEUE_MAX`] connections. To be called within a Tokio runtime.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart need not wait for the closed connections of the process before. On Windows it would share the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE_MAX)
}

/// Serves until `shutdown`, then lets requests in flight finish, for [`DRAIN_TIME_MAX`] at most.
pub async fn serve(listener: TcpListener, router: Router, tls: CurrentTls, shutdown: CancellationToken) {
    let permits = Arc::new(Semaphore::new(descriptors().clients(CONNECTIONS_MAX)));
    let connections = TaskTracker::new();
    let cut_off = CancellationToken::new();
    // Cancel-safe: neither `acquire_owned` nor `accept` loses anything when it is dropped before it is done.
    while let Some((stream, peer, permit)) = until(&shutdown, next(&listener, &permits)).await {
        let connection = accepted(stream, peer, tls(), router.clone(), shutdown.clone());
        let cut_off = cut_off.clone();
        connections.spawn(async move {
            let _permit = permit;
            until(&cut_off, connection).await;
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN_TIME_MAX, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections cut off: their requests did not end in time");
        cut_off.cancel();
        connections.wait().await;
    }
}

/// Waits for requests that go on after their clients disconnected, for [`DRAIN_TIME_MAX`] at most.
pub async fn finish(work: TaskTracker) {
    work.close();
    if tokio::time::timeout(DRAIN_TIME_MAX, work.wait()).await.is_err() {
        tracing::warn!(requests = work.len(), "requests of disconnected clients did not end in time");
    }
}

/// `None` when `token` was cancelled first.
async fn until<T>(token: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = token.cancelled() => None,
        done = work => Some(done),
    }
}

async fn next(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let permit = permits.clone().acquire_owned().await.expect("this semaphore is never closed");
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accepted(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: Router,
    shutdown: CancellationToken,
) {
    // Answers are small and whole: waiting for more of them only adds 40 ms.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return connection(stream, peer, router, shutdown).await };
    let greeted = tokio::time::timeout(FIRST_REQUEST_TIME_MAX, TlsAcceptor::from(tls).accept(stream)).await;
    match greeted {
        Ok(Ok(stream)) => connection(stream, peer, router, shutdown).await,
        // A scanner, plain HTTP, a client that does not know the issuer: nothing for the operator to act on.
        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
    }
}

async fn connection<S>(stream: S, peer: SocketAddr, router: Router, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = Arc::new(Notify::new());
    let seen = begun.clone();
    let closing = Closing(shutdown.clone());
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        seen.notify_one();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(OwnListener);
        request.extensions_mut().insert(closing.clone());
        let mut router = router.clone();
        async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|never| match never {})) }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut deadline = pin!(tokio::time::sleep(FIRST_REQUEST_TIME_MAX));
    let (mut waiting, mut serving) = (true, true);
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                // A peer that breaks off or speaks no HTTP: nothing for the operator to act on.
                if let Err(error) = result {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                return;
            }
            () = begun.notified(), if waiting => waiting = false,
            () = deadline.as_mut(), if waiting => {
                tracing::debug!(%peer, "no request came in time");
                return;
            }
            () = shutdown.cancelled(), if serving => {
                serving = false;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_REQUEST_TIME_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX));
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn started(router: Router) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let server = TaskTracker::new().spawn(serve(listener, router, Arc::new(|| None), shutdown.clone()));
        (address, shutdown, server)
    }

    async fn answer(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_request_in_flight_is_answered_before_the_server_ends() {
        let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (inside, wait) = (entered.clone(), release.clone());
        let slow = move || async move {
            inside.notify_one();
            wait.notified().await;
            "done"
        };
        let (address, shutdown, server) = started(Router::new().route("/", get(slow))).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        entered.notified().await;
        shutdown.cancel();
        release.notify_one();
        let text = answer(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("done"), "{text}");
        server.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "nothing listens any more");
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_the_shutdown_up() {
        let (address, shutdown, server) = started(Router::new().route("/", get(|| async { "hi" }))).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        shutdown.cancel();
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_burst_waits_in_the_kernel_until_it_is_accepted() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        for n in 0..500 {
            // Over the queue's length, the kernel would drop what asks for a connection, and the client ask again.
            let connected = tokio::time::timeout(Duration::from_millis(900), TcpStream::connect(address)).await;
            waiting.push(connected.unwrap_or_else(|_| panic!("connection {n} found no room")).unwrap());
        }
        for _ in &waiting {
            listener.accept().await.unwrap();
        }
    }

    #[tokio::test]
    async fn who_never_sends_a_request_is_cut_off() {
        let (address, _shutdown, _server) = started(Router::new().route("/", get(|| async { "hi" }))).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut dripping = TcpStream::connect(address).await.unwrap();
        dripping.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
        tokio::time::pause();
        assert_eq!(answer(&mut silent).await, "");
        assert!(!answer(&mut dripping).await.contains("200"));
    }
}
