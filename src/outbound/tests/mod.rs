//! The client against scripted receivers on loopback.

mod guard;
mod hostile;
mod http2;
mod names;
mod own;
mod proxies;
mod reuse;
mod secure;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio_util::task::AbortOnDropHandle;

/// Generous, so that only what is meant to time out does.
const LIMITS: SendLimits = SendLimits {
    timeout: Duration::from_secs(20),
    spent: Duration::ZERO,
    connect_timeout: Duration::from_secs(10),
    response_bytes_max: 1024,
};

/// For scripts that are meant to run into it.
const SHORT: SendLimits = SendLimits { timeout: Duration::from_millis(300), ..LIMITS };

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Accepts connections and plays the same script on each.
struct Receiver {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Told whenever a script has ended.
    ended: Arc<Notify>,
    _acceptor: AbortOnDropHandle<()>,
}

impl Receiver {
    /// The script is given the connection's number, from 0.
    #[expect(clippy::disallowed_methods, reason = "scripts end with the test's runtime")]
    async fn start<S, F>(script: S) -> Self
    where
        S: Fn(usize, TcpStream) -> F + Send + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(Notify::new());
        let (counter, tell) = (connections.clone(), ended.clone());
        let acceptor = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (play, tell) = (script(counter.fetch_add(1, Ordering::SeqCst), stream), tell.clone());
                tokio::spawn(async move {
                    let _ = play.await;
                    tell.notify_one();
                });
            }
        });
        Self { address, connections, ended, _acceptor: AbortOnDropHandle::new(acceptor) }
    }

    /// Reads one request, answers with these bytes, keeps the connection open until the client closes it.
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(move |_, mut stream| {
            let answer = answer.clone();
            async move {
                read_request(&mut stream).await?;
                stream.write_all(&answer).await?;
                until_closed(&mut stream).await
            }
        })
        .await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// The head and the body (by its `Content-Length`) of one request.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut sink = [0; 1024];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}

fn options(allow: &[&str]) -> ClientOptions {
    let allow = allow.iter().map(|range| range.parse().unwrap()).collect();
    ClientOptions {
        idle_per_host_max: 8,
        idle_timeout: Duration::from_secs(30),
        ..ClientOptions::new(NetworkPolicy { allow, https_only: true })
    }
}

fn client() -> Client {
    Client::new(options(&["127.0.0.0/8"])).unwrap()
}

/// A client whose names resolve to what `answer` says.
fn client_resolving(allow: &[&str], answer: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Client {
    Client::with_resolver(options(allow), Resolver::Custom(Arc::new(answer))).unwrap()
}

fn post(url: &str) -> Request<Bytes> {
    Request::post(url).header("content-type", "application/json").body(Bytes::from_static(b"{\"a\":1}")).unwrap()
}
