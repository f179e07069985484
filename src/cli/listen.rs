//! `tenterhook listen`: a receiver on this machine that verifies the signature of every delivery, shows it, and forwards it
//! to an application if one is named. Refuses to listen anywhere but on loopback, and to let bytes from the network drive
//! the terminal.

mod forward;
mod show;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use url::Url;

use super::verify::parse_duration;
use crate::clock::Clock;
use crate::signing::{Secret, SignatureSpec, SignedRequest, Verified, VerifyError, verify, verify_as};
use forward::{Forwarded, Forwarder};
use show::{Received, Verdict};

/// Ten times what Tenterhook itself takes in by default.
const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;

/// More connections than a local sender opens; the rest wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;

/// Deliveries that the terminal has not taken yet; over it senders wait.
const LINES_MAX: usize = 256;

/// Ids remembered, to tell a repetition from a first attempt.
const SEEN_MAX: usize = 10_000;

/// As Standard Webhooks' own libraries have it.
const TOLERANCE: Duration = Duration::from_secs(300);

/// What the first requests are answered with under `--fail-first`.
const FAIL_FIRST_STATUS: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  tenterhook listen
  tenterhook listen --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
  tenterhook listen --forward-to http://localhost:3000/webhooks
  tenterhook listen --fail-first 2            # two failures, then success
  tenterhook listen --status 500 --delay 3s   # a slow, broken endpoint
  tenterhook listen --json | jq .body")]
pub(crate) struct Args {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(short, long, default_value_t = 9400)]
    port: u16,
    /// Secret to verify with; may be given several times [default: those of the configuration]
    #[arg(short, long, value_name = "SECRET")]
    secret: Vec<String>,
    /// Forward each request to this URL and answer as it does; a URL without a path takes the request's own
    #[arg(long, value_name = "URL", value_parser = forward::parse_url, conflicts_with = "status")]
    forward_to: Option<Url>,
    /// Status to answer with
    #[arg(long, default_value = "200", value_name = "STATUS", value_parser = parse_status)]
    status: StatusCode,
    /// Answer the first N requests with 503
    #[arg(long, default_value_t = 0, value_name = "N")]
    fail_first: u64,
    /// Wait this long before answering: 500ms, 3s
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = parse_duration)]
    delay: Duration,
}

impl Args {
    /// `from_config` are used where the command line names no secret.
    pub(crate) fn options(self, from_config: Vec<KnownSecret>, json: bool) -> anyhow::Result<ListenOptions> {
        let mut secrets = Vec::with_capacity(self.secret.len());
        for text in &self.secret {
            let secret = Secret::parse_verifying(text).context("--secret cannot be used")?;
            secrets.push(KnownSecret::new("--secret", secret));
        }
        let secrets = if secrets.is_empty() { from_config } else { secrets };
        let Self { port, forward_to, status, fail_first, delay, .. } = self;
        Ok(ListenOptions { port, secrets, forward_to, status, fail_first, delay, json })
    }
}

fn parse_status(text: &str) -> Result<StatusCode, String> {
    let status = text.parse::<StatusCode>().ok().filter(|status| (200..600).contains(&status.as_u16()));
    status.ok_or_else(|| "give a status from 200 to 599".to_owned())
}

/// A secret and its origin.
#[derive(Debug, Clone)]
pub struct KnownSecret {
    /// A webhook's id, or the option that gave it.
    pub name: String,
    pub secret: Secret,
    /// Custom dialects that it signs: their form alone does not identify them.
    pub templates: Vec<SignatureSpec>,
}

impl KnownSecret {
    pub fn new(name: &str, secret: Secret) -> Self {
        Self { name: name.to_owned(), secret, templates: Vec::new() }
    }
}

#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// On 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Any of them may have signed; none: signatures are not checked.
    pub secrets: Vec<KnownSecret>,
    /// An application that gets every request and whose answer is passed back.
    pub forward_to: Option<Url>,
    pub status: StatusCode,
    /// The first N requests are answered with 503.
    pub fail_first: u64,
    /// Before the answer.
    pub delay: Duration,
    /// One JSON object a line instead of text for people.
    pub json: bool,
}

/// Receives until `shutdown`, or until standard output is closed; `ready` gets the address once it listens.
pub async fn run(
    options: ListenOptions,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    serve(options, shutdown, ready, anstream::stdout()).await
}

async fn serve(
    options: ListenOptions,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(SocketAddr),
    out: impl Write + Send + 'static,
) -> anyhow::Result<()> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = crate::app::listen(wanted)
        .with_context(|| format!("cannot listen on {wanted}: take another port with --port (0 takes a free one)"))?;
    ready(listener.local_addr()?);
    let (lines, printer) = start_printer(out);
    let receiver = Arc::new(Receiver::new(options, lines)?);
    let closed = receiver.lines.clone();
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    // All arms are cancel-safe.
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            () = closed.closed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve_connection(receiver.clone(), stream))),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
    connections.shutdown().await;
    drop((receiver, closed));
    match printer.await.context("the printer panicked")? {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// A thread of its own: a terminal that does not take its output must not hold the runtime up.
fn start_printer(mut out: impl Write + Send + 'static) -> (mpsc::Sender<String>, tokio::task::JoinHandle<io::Result<()>>) {
    let (sender, mut lines) = mpsc::channel::<String>(LINES_MAX);
    let printer = tokio::task::spawn_blocking(move || {
        while let Some(text) = lines.blocking_recv() {
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
        Ok(())
    });
    (sender, printer)
}

async fn serve_connection(receiver: Arc<Receiver>, stream: TcpStream) {
    let service = service_fn(move |request| {
        let receiver = receiver.clone();
        async move { Ok::<_, Infallible>(receiver.answer(request).await) }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new());
    server.http2().timer(TokioTimer::new());
    // A sender may end its connection in any way.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

struct Receiver {
    options: ListenOptions,
    secrets: Vec<Secret>,
    received: AtomicU64,
    seen: Mutex<Seen>,
    lines: mpsc::Sender<String>,
    forwarder: Option<Forwarder>,
}

impl Receiver {
    fn new(options: ListenOptions, lines: mpsc::Sender<String>) -> anyhow::Result<Self> {
        let secrets = options.secrets.iter().map(|known| known.secret.clone()).collect();
        let forwarder = options.forward_to.clone().map(Forwarder::new).transpose()?;
        Ok(Self { options, secrets, received: AtomicU64::new(0), seen: Mutex::default(), lines, forwarder })
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return respond(StatusCode::PAYLOAD_TOO_LARGE, r#"{"received":false,"detail":"the body is over 10 MiB"}"#);
            }
            Err(_) => return respond(StatusCode::BAD_REQUEST, r#"{"received":false,"detail":"the body broke off"}"#),
        };
        let number = self.received.fetch_add(1, Ordering::Relaxed);
        let fails = number < self.options.fail_first;
        let id = head.headers.get("webhook-id").or_else(|| head.headers.get("x-github-delivery"));
        // The same event goes to several webhooks under one id: a repetition is one on the same path.
        let key = id.map(|id| [head.uri.path().as_bytes(), b" ", id.as_bytes()].concat());
        let times = key.map_or(1, |key| self.seen.lock().unwrap_or_else(PoisonError::into_inner).count(&key));
        let at = Clock::System.now();
        let url = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let url = url.and_then(|host| format!("http://{host}{}", head.uri).parse::<http::Uri>().ok());
        let request = SignedRequest::new(&head.headers, &body);
        let request = url.as_ref().map_or(request, |url| request.sent_to(&head.method, url));
        let verdict = self.judge(&request, at);
        let forwarded = match &self.forwarder {
            Some(forwarder) if !fails => Some(forwarder.forward(&head, body.clone()).await),
            _ => None,
        };
        let status = match &forwarded {
            Some(forwarded) => forwarded.status,
            None if fails => FAIL_FIRST_STATUS,
            None => self.options.status,
        };
        let received = Received { at, head: &head, body: &body, verdict, status, times, forwarded: forwarded.as_ref() };
        let text = if self.options.json { show::json_line(&received) } else { show::for_people(&received) };
        // The printer is gone only when the whole receiver is about to be.
        let _ = self.lines.send(text).await;
        tokio::time::sleep(self.options.delay).await;
        if let Some(Forwarded { status, headers, body, .. }) = forwarded {
            let mut response = Response::new(Full::new(body));
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            return response;
        }
        respond(status, if status.is_success() { r#"{"received":true}"# } else { r#"{"received":false}"# })
    }

    fn judge(&self, request: &SignedRequest<'_>, at: crate::model::Timestamp) -> Verdict {
        let verdict = match verify(request, &self.secrets, at, TOLERANCE) {
            Err(VerifyError::NoSignature) => self.judge_templates(request, at),
            verdict => verdict,
        };
        match verdict {
            Ok(verified) => {
                let known = &self.options.secrets[verified.secret];
                Verdict::Holds { by: known.name.clone(), preview: known.secret.preview(), verified }
            }
            Err(VerifyError::NoSignature) => Verdict::Unsigned,
            Err(VerifyError::NoSecret) => Verdict::Unchecked,
            Err(error) => Verdict::Fails(error.to_string()),
        }
    }

    fn judge_templates(&self, request: &SignedRequest<'_>, at: crate::model::Timestamp) -> Result<Verified, VerifyError> {
        let mut verdict = Err(VerifyError::NoSignature);
        for (number, known) in self.options.secrets.iter().enumerate() {
            for spec in &known.templates {
                match verify_as(spec, request, &self.secrets[number..=number], at, TOLERANCE) {
                    Ok(verified) => return Ok(Verified { secret: number, ..verified }),
                    Err(VerifyError::NoHeader { .. }) => {}
                    Err(error) => verdict = Err(error),
                }
            }
        }
        verdict
    }
}

fn respond(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// How often each of the last ids came.
#[derive(Default)]
struct Seen {
    times: HashMap<Bytes, u32>,
    order: VecDeque<Bytes>,
}

impl Seen {
    /// 1 for the first time.
    fn count(&mut self, id: &[u8]) -> u32 {
        if let Some(times) = self.times.get_mut(id) {
            *times = times.saturating_add(1);
            return *times;
        }
        if self.order.len() >= SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.times.remove(&oldest);
        }
        let id = Bytes::copy_from_slice(id);
        self.order.push_back(id.clone());
        self.times.insert(id, 1);
        1
    }
}

#[cfg(test)]
mod tests;
