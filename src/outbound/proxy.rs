//! The way through a proxy: HTTP `CONNECT` (RFC 9110 §9.3.6) and SOCKS5 (RFC 1928, RFC 1929), as little of each as
//! opens a connection. Whom it leads to was decided before.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::egress::basic;
use super::fault::Fault;
use crate::model::{Cause, Proxy};

/// Bytes of a proxy's answer to `CONNECT`: a status line and a few headers, or an error page that is not read.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// Whom the proxy is asked to connect to.
pub(super) enum Target<'a> {
    /// Resolved and checked here.
    Address(SocketAddr),
    /// To be resolved by the proxy.
    Name(&'a str, u16),
}

impl Target<'_> {
    fn authority(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Name(name, port) => format!("{name}:{port}"),
        }
    }
}

fn refused(proxy: &Proxy, target: &Target<'_>, why: &str) -> Fault {
    Fault::new(Cause::Connect, format!("the proxy {proxy} does not connect to {}: {why}", target.authority()))
}

/// A 407, to `CONNECT` or to a request in the absolute form; `given` says whether there were credentials in it.
pub(super) fn unauthorized(proxy: &str, authority: &str, given: bool) -> Fault {
    let why = if given {
        "it does not take the credentials in `[network] proxy` (407)"
    } else {
        "it wants credentials: proxy = \"http://user:password@host:port\" (407)"
    };
    Fault::new(Cause::Connect, format!("the proxy {proxy} does not connect to {authority}: {why}"))
}

fn broken(proxy: &Proxy, error: &std::io::Error) -> Fault {
    let why = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it closed the connection: does it speak this protocol?".to_owned(),
        _ => error.to_string(),
    };
    Fault::new(Cause::Connect, format!("no way through the proxy {proxy}: {why}"))
}

/// Asks an HTTP proxy for a tunnel.
pub(super) async fn connect_http(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &Proxy,
    target: &Target<'_>,
) -> Result<(), Fault> {
    let authority = target.authority();
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(password) = &proxy.password {
        request.push_str(&format!("Proxy-Authorization: {}\r\n", basic(&proxy.username, password.expose()).as_str()));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| broken(proxy, &error))?;
    let head = read_head(stream, proxy).await?;
    let status_line = head.lines().next().unwrap_or_default();
    let mut words = status_line.splitn(3, ' ');
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    match words.next().filter(|_| is_http).and_then(|status| status.parse::<u16>().ok()) {
        Some(200..=299) => Ok(()),
        Some(407) => Err(unauthorized(&proxy.to_string(), &authority, proxy.password.is_some())),
        Some(status) => {
            let phrase: String = words.next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(60).collect();
            Err(refused(proxy, target, &format!("it answered {status} {phrase}")))
        }
        None => Err(refused(proxy, target, "what it answered is not HTTP: is it an HTTP proxy, or should it be socks5://?")),
    }
}

/// Up to the empty line. The endpoint waits for us, so nothing may come behind it.
async fn read_head(stream: &mut (impl AsyncRead + Unpin), proxy: &Proxy) -> Result<String, Fault> {
    let mut bytes = Vec::with_capacity(512);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let is_success = bytes.starts_with(b"HTTP/1.1 2") || bytes.starts_with(b"HTTP/1.0 2");
            if is_success && bytes.len() > end + 4 {
                return Err(Fault::new(Cause::Connect, format!("the proxy {proxy} sent bytes behind its answer to CONNECT")));
            }
            return Ok(String::from_utf8_lossy(&bytes[..end]).into_owned());
        }
        if bytes.len() >= ANSWER_BYTES_MAX {
            return Err(Fault::new(Cause::Connect, format!("the proxy {proxy} answers CONNECT with more than 8 KiB of headers")));
        }
        let read = stream.read_buf(&mut bytes).await.map_err(|error| broken(proxy, &error))?;
        if read == 0 {
            return Err(broken(proxy, &std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// Asks a SOCKS5 proxy for a connection.
pub(super) async fn connect_socks5(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &Proxy,
    target: &Target<'_>,
) -> Result<(), Fault> {
    const NO_AUTH: u8 = 0;
    const PASSWORD: u8 = 2;
    let methods: &[u8] = if proxy.password.is_some() { &[5, 2, NO_AUTH, PASSWORD] } else { &[5, 1, NO_AUTH] };
    let io = |error: std::io::Error| broken(proxy, &error);
    stream.write_all(methods).await.map_err(io)?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await.map_err(io)?;
    match (chosen, &proxy.password) {
        ([5, NO_AUTH], _) => {}
        ([5, PASSWORD], Some(password)) => {
            let field = |text: &str| {
                let length =
                    u8::try_from(text.len()).map_err(|_| refused(proxy, target, "its credentials are over 255 bytes"))?;
                Ok::<_, Fault>([&[length], text.as_bytes()].concat())
            };
            let request = [vec![1], field(&proxy.username)?, field(password.expose())?].concat();
            stream.write_all(&request).await.map_err(io)?;
            let mut verdict = [0; 2];
            stream.read_exact(&mut verdict).await.map_err(io)?;
            if verdict[1] != 0 {
                return Err(refused(proxy, target, "it does not take the credentials in `[network] proxy`"));
            }
        }
        ([5, _], _) => return Err(refused(proxy, target, "it wants credentials: proxy = \"socks5://user:password@host:port\"")),
        _ => return Err(refused(proxy, target, "what it answered is not SOCKS5: should it be http://?")),
    }
    stream
        .write_all(&socks5_request(target).ok_or_else(|| refused(proxy, target, "the name is over 255 bytes"))?)
        .await
        .map_err(io)?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.map_err(io)?;
    if head[1] != 0 {
        return Err(refused(proxy, target, reply_words(head[1])));
    }
    // Where the proxy has bound itself, which is of no use to us.
    let bound = match head[3] {
        1 => 4,
        4 => 16,
        3 => usize::from(stream.read_u8().await.map_err(io)?),
        _ => return Err(refused(proxy, target, "its answer is not SOCKS5")),
    };
    let mut rest = [0; 255 + 2];
    stream.read_exact(&mut rest[..bound + 2]).await.map_err(io)?;
    Ok(())
}

fn socks5_request(target: &Target<'_>) -> Option<Vec<u8>> {
    let mut request = vec![5, 1, 0];
    let port = match target {
        Target::Address(SocketAddr::V4(address)) => {
            request.push(1);
            request.extend(address.ip().octets());
            address.port()
        }
        Target::Address(SocketAddr::V6(address)) => {
            request.push(4);
            request.extend(address.ip().octets());
            address.port()
        }
        Target::Name(name, port) => {
            request.extend([3, u8::try_from(name.len()).ok()?]);
            request.extend(name.as_bytes());
            *port
        }
    };
    request.extend(port.to_be_bytes());
    Some(request)
}

/// RFC 1928 §6.
fn reply_words(reply: u8) -> &'static str {
    match reply {
        2 => "its rules do not allow it",
        3 => "it has no network to it",
        4 => "it cannot reach the host",
        5 => "the endpoint refused the connection: is it running, is the port right?",
        6 => "the connection timed out",
        8 => "it does not know this type of address",
        _ => "it failed (general failure)",
    }
}
