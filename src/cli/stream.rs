//! Following `GET /v1/stream`: server-sent events over a connection of its own, without a time limit.

use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST};
use http::{HeaderName, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rustls_platform_verifier::BuilderVerifierExt;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::json;

/// One event with its data; the server's own are at most some MiB.
const EVENT_BYTES_MAX: usize = 64 << 20;

/// Of an answer that is no stream.
const PROBLEM_BYTES_MAX: usize = 64 << 10;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// One event of the stream.
#[derive(Debug, PartialEq)]
pub(super) struct StreamEvent {
    pub(super) name: String,
    pub(super) data: Value,
}

/// Why there is no stream.
pub(super) enum Ended {
    /// This server has none, or none left.
    Unavailable(StatusCode, String),
    /// The connection is over, and another may go on from the last id.
    Over,
}

/// How long to read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// There is a position to go on from.
    FirstId,
    End,
}

/// The stream's end, to follow from; with [`Ended::Unavailable`] when there is no stream.
pub(super) async fn position(base: &str, path: &str, token: Option<&str>) -> anyhow::Result<Result<String, Ended>> {
    let mut id = None;
    let ended = read(base, path, token, &mut id, &mut |_| Ok(()), Until::FirstId).await?;
    Ok(id.ok_or(ended))
}

/// Calls `take` with each event until the stream ends. `last_id` is kept up to date, to go on from.
pub(super) async fn follow(
    base: &str,
    path: &str,
    token: Option<&str>,
    last_id: &mut Option<String>,
    take: &mut impl FnMut(StreamEvent) -> anyhow::Result<()>,
) -> anyhow::Result<Ended> {
    read(base, path, token, last_id, take, Until::End).await
}

async fn read(
    base: &str,
    path: &str,
    token: Option<&str>,
    last_id: &mut Option<String>,
    take: &mut impl FnMut(StreamEvent) -> anyhow::Result<()>,
    until: Until,
) -> anyhow::Result<Ended> {
    let url = Url::parse(base).with_context(|| format!("{base} is not a URL"))?;
    let host = url.host_str().with_context(|| format!("{base} has no host"))?;
    let port = url.port_or_known_default().unwrap_or(80);
    let dial = host.trim_matches(['[', ']']);
    let tcp = TcpStream::connect((dial, port)).await.with_context(|| format!("cannot reach the server at {base}"))?;
    let mut request = Request::get(format!("{}{path}", url.path().trim_end_matches('/')))
        .header(HOST, url.authority())
        .header(ACCEPT, "text/event-stream");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(id) = last_id.as_deref() {
        request = request.header(LAST_EVENT_ID, id);
    }
    let request = request.body(Empty::<Bytes>::new()).context("the token is no header value")?;
    if url.scheme() == "https" {
        let config = rustls::ClientConfig::builder().with_platform_verifier().context("no TLS")?.with_no_client_auth();
        let name = dial.to_owned().try_into().with_context(|| format!("{dial} is no name for TLS"))?;
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.context("no TLS with the server")?;
        exchange(tls, request, last_id, take, until).await
    } else {
        exchange(tcp, request, last_id, take, until).await
    }
}

async fn exchange(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
    last_id: &mut Option<String>,
    take: &mut impl FnMut(StreamEvent) -> anyhow::Result<()>,
    until: Until,
) -> anyhow::Result<Ended> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut parser = Parser::default();
        let mut problem = Vec::new();
        while let Some(frame) = body.frame().await {
            // Cut off: the next connection goes on from the last id.
            let Ok(frame) = frame else { break };
            let Some(chunk) = frame.data_ref() else { continue };
            if status != StatusCode::OK {
                problem.extend_from_slice(&chunk[..chunk.len().min(PROBLEM_BYTES_MAX - problem.len())]);
                continue;
            }
            parser.feed(chunk, last_id, take)?;
            if until == Until::FirstId && last_id.is_some() {
                return Ok(Ended::Over);
            }
        }
        if status == StatusCode::OK {
            return Ok(Ended::Over);
        }
        let problem: Value = serde_json::from_slice(&problem).unwrap_or(Value::Null);
        Ok(Ended::Unavailable(status, problem["detail"].as_str().unwrap_or_default().to_owned()))
    };
    tokio::pin!(exchange);
    tokio::select! {
        result = &mut exchange => result,
        // The connection is driven here; what it has brought is read to its end.
        _ = connection => exchange.await,
    }
}

/// The text of the stream, as far as it has come.
#[derive(Default)]
struct Parser {
    buffer: Vec<u8>,
}

impl Parser {
    fn feed(
        &mut self,
        chunk: &[u8],
        last_id: &mut Option<String>,
        take: &mut impl FnMut(StreamEvent) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if self.buffer.len() + chunk.len() > EVENT_BYTES_MAX {
            bail!("the server's stream has an event of more than {EVENT_BYTES_MAX} bytes");
        }
        self.buffer.extend_from_slice(chunk);
        while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
            if let Some(event) = parse_block(&String::from_utf8_lossy(&block), last_id) {
                take(event)?;
            }
        }
        Ok(())
    }
}

/// One block of lines; an id alone is no event.
fn parse_block(block: &str, last_id: &mut Option<String>) -> Option<StreamEvent> {
    let (mut name, mut data) = (String::new(), Vec::new());
    for line in block.lines() {
        match line.split_once(':').map(|(field, value)| (field, value.strip_prefix(' ').unwrap_or(value))) {
            Some(("id", id)) => *last_id = Some(id.to_owned()),
            Some(("event", event)) => event.clone_into(&mut name),
            Some(("data", line)) => data.push(line),
            _ => {}
        }
    }
    let data = json::read(data.join("\n").as_bytes());
    if data.is_null() {
        return None;
    }
    Some(StreamEvent { name, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = "retry: 2000\nid: 1-1\n\n: still here\nid: 1-2\n\nid: 1-3\nevent: attempt\ndata: {\"a\":\ndata: 1}\n\n";
        for size in 1..text.len() {
            let (mut parser, mut last_id, mut seen) = (Parser::default(), None, Vec::new());
            for chunk in text.as_bytes().chunks(size) {
                let mut take = |event| {
                    seen.push(event);
                    Ok(())
                };
                parser.feed(chunk, &mut last_id, &mut take).unwrap();
            }
            assert_eq!(seen, [StreamEvent { name: "attempt".to_owned(), data: json!({"a": 1}) }]);
            assert_eq!(last_id.as_deref(), Some("1-3"));
        }
    }

    /// Answers one connection, and gives what was asked.
    async fn answering(answer: &'static str) -> (String, tokio::sync::oneshot::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (asked, question) = tokio::sync::oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = vec![0; 4096];
            let mut length = 0;
            while !text[..length].ends_with(b"\r\n\r\n") {
                length += stream.read(&mut text[length..]).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            asked.send(String::from_utf8_lossy(&text[..length]).into_owned()).unwrap();
        });
        (base, question)
    }

    #[tokio::test]
    async fn a_stream_is_followed_with_the_token_and_from_the_last_id() {
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nid: 2-7\nevent: event\ndata: {\"id\":\"evt_1\"}\n\n";
        let (base, question) = answering(answer).await;
        let (mut last_id, mut seen) = (Some("2-6".to_owned()), Vec::new());
        let mut take = |event: StreamEvent| {
            seen.push(event.data["id"].clone());
            Ok(())
        };
        let ended = follow(&base, "/v1/stream?webhook=w", Some("tok"), &mut last_id, &mut take).await.unwrap();
        assert!(matches!(ended, Ended::Over));
        assert_eq!(seen, [json!("evt_1")]);
        assert_eq!(last_id.as_deref(), Some("2-7"));
        let asked = question.await.unwrap();
        for part in [
            "GET /v1/stream?webhook=w HTTP/1.1\r\n",
            "authorization: Bearer tok\r\n",
            "last-event-id: 2-6\r\n",
            "host: 127.0.0.1:",
        ] {
            assert!(asked.contains(part), "no {part:?} in {asked}");
        }
    }

    #[tokio::test]
    async fn a_server_without_a_stream_is_recognised() {
        let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 15\r\n\r\n{\"detail\":\"no\"}";
        let (base, _question) = answering(answer).await;
        let ended = follow(&base, "/v1/stream", None, &mut None, &mut |_| Ok(())).await.unwrap();
        let Ended::Unavailable(status, detail) = ended else { panic!("it is no stream") };
        assert_eq!((status, detail.as_str()), (StatusCode::NOT_FOUND, "no"));
        assert!(follow("http://127.0.0.1:1", "/", None, &mut None, &mut |_| Ok(())).await.is_err());
    }
}
