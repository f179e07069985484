//! What the end-to-end tests stand on: a whole Tenterhook on a free port in a directory of its own, and a receiver
//! that does as the test says. Everything is on loopback and ends with the test.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tenterhook::app::{App, AppOptions};
use tenterhook::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Longer than anything takes on a busy machine; what is not there by then never comes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The example secret of Standard Webhooks.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[derive(Debug, Clone)]
pub struct Received {
    pub at: Instant,
    pub method: http::Method,
    pub path: String,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name} in {:?}", self.headers)).to_str().unwrap()
    }
}

/// What to answer with.
#[derive(Debug, Clone)]
pub enum Answer {
    Status(u16),
    With {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Nothing until the receiver is dropped.
    Hang,
}

#[derive(Default)]
struct Script {
    received: Vec<Received>,
    /// Answers to come, per path prefix; then `default`.
    next: VecDeque<(String, Answer)>,
    default: Vec<(String, Answer)>,
    connections: usize,
}

/// An HTTP endpoint on loopback.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    script: Arc<Mutex<Script>>,
    news: Arc<Notify>,
    _task: Arc<AbortOnDrop>,
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let news = Arc::new(Notify::new());
        let (for_task, news_of_task) = (Arc::clone(&script), Arc::clone(&news));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let _ = stream.set_nodelay(true);
                for_task.lock().unwrap().connections += 1;
                let (script, news) = (Arc::clone(&for_task), Arc::clone(&news_of_task));
                connections.spawn(async move {
                    let service =
                        hyper::service::service_fn(move |request| answer(request, Arc::clone(&script), Arc::clone(&news)));
                    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, script, news, _task: Arc::new(AbortOnDrop(task)) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next requests whose path begins with `path` get these answers, in turn.
    pub fn answer_next(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.script.lock().unwrap().next.extend(answers.into_iter().map(|answer| (path.to_owned(), answer)));
    }

    /// From now on; 200 where nothing is said.
    pub fn answer_always(&self, path: &str, answer: Answer) {
        let mut script = self.script.lock().unwrap();
        script.default.retain(|(known, _)| known != path);
        script.default.push((path.to_owned(), answer));
    }

    pub fn received(&self, path: &str) -> Vec<Received> {
        self.script.lock().unwrap().received.iter().filter(|r| r.path.starts_with(path)).cloned().collect()
    }

    pub fn connections(&self) -> usize {
        self.script.lock().unwrap().connections
    }

    /// Waits until `count` requests have come to `path`.
    pub async fn wait_for(&self, path: &str, count: usize) -> Vec<Received> {
        let wait = async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                let received = self.received(path);
                if received.len() >= count {
                    return received;
                }
                news.await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("{} of {count} requests came to {path}", self.received(path).len()))
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Mutex<Script>>,
    news: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(Response::new(Full::default())) };
    let path = head.uri.path().to_owned();
    let received =
        Received { at: Instant::now(), method: head.method, path: path.clone(), headers: head.headers, body: body.to_bytes() };
    let answer = {
        let mut script = script.lock().unwrap();
        script.received.push(received);
        let at = script.next.iter().position(|(prefix, _)| path.starts_with(prefix));
        let next = at.and_then(|at| script.next.remove(at)).map(|(_, answer)| answer);
        let default = || script.default.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, answer)| answer.clone());
        next.or_else(default).unwrap_or(Answer::Status(200))
    };
    news.notify_waiters();
    let mut response = Response::new(Full::default());
    match answer {
        Answer::Status(status) => *response.status_mut() = status.try_into().unwrap(),
        Answer::With { status, headers, body } => {
            *response.status_mut() = status.try_into().unwrap();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            *response.body_mut() = Full::new(Bytes::from(body));
        }
        Answer::Hang => std::future::pending().await,
    }
    Ok(response)
}

/// A running server, stopped gracefully with [`Server::stop`] and abruptly when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub directory: Arc<tempfile::TempDir>,
    http: Http,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// The head of every test's configuration.
pub fn head() -> String {
    "[server]\nlisten = \"127.0.0.1:0\"\n[network]\nallow = [\"127.0.0.0/8\"]\n".to_owned()
}

/// One webhook's table, with retries that are quick and exact.
pub fn webhook(id: &str, url: &str, events: &str, more: &str) -> String {
    format!("[webhooks.{id}]\nurl = \"{url}\"\nevents = {events}\nsecret = \"{SECRET}\"\n{more}\n")
}

impl Server {
    pub async fn start(config: &str) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(directory.path().join("config.toml"), config).unwrap();
        Self::start_in(directory).await
    }

    /// On what a directory holds already.
    pub async fn start_in(directory: Arc<tempfile::TempDir>) -> Self {
        Self::start_by(directory, Clock::System).await
    }

    /// As [`Server::start_in`], by a clock of the test's own.
    pub async fn start_by(directory: Arc<tempfile::TempDir>, clock: Clock) -> Self {
        Self::start_with(directory, "config.toml", clock).await
    }

    /// As [`Server::start_in`], with the configuration at this path in the directory.
    pub async fn start_at(directory: Arc<tempfile::TempDir>, config: &str) -> Self {
        Self::start_with(directory, config, Clock::System).await
    }

    async fn start_with(directory: Arc<tempfile::TempDir>, config: &str, clock: Clock) -> Self {
        let config = directory.path().join(config);
        let app = App::start(AppOptions { config, listen: None, clock }).await.unwrap_or_else(|error| match error {
            tenterhook::app::StartError::Config(problems) => panic!("{}", problems.render(false)),
            other => panic!("{other}"),
        });
        let address = app.address();
        let token = app.admin_token().map(|token| token.secret().expose().to_owned()).unwrap_or_default();
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let shutdown = async move { while !*stopped.borrow_and_update() && stopped.changed().await.is_ok() {} };
            app.run(shutdown).await.unwrap();
        });
        let http = Http { base: format!("http://{address}"), token, client: client() };
        Self { address, directory, http, stop, task }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// For configurations with [tokens].
    pub fn set_token(&mut self, token: &str) {
        token.clone_into(&mut self.http.token);
    }

    pub fn http(&self) -> &Http {
        &self.http
    }

    /// With another token.
    pub fn http_as(&self, token: &str) -> Http {
        Http::new(format!("http://{}", self.address), token.to_owned())
    }

    /// Writes a new configuration in place, and waits until it is live.
    pub async fn reconfigure(&self, config: &str) {
        let before = self.http.get("/v1/config").await.1["generation"].as_u64().unwrap();
        std::fs::write(self.path("config.toml"), config).unwrap();
        self.wait_for_generation(before + 1).await;
    }

    pub async fn wait_for_generation(&self, generation: u64) {
        self.eventually("the new configuration is live", async || {
            self.http.get("/v1/config").await.1["generation"].as_u64().is_some_and(|live| live >= generation)
        })
        .await;
    }

    /// Asks until it is so: for what only shows in the API.
    pub async fn eventually(&self, what: &str, check: impl AsyncFn() -> bool) {
        let wait = async {
            while !check().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
    }

    pub async fn publish(&self, kind: &str, data: &str) -> String {
        let (status, answer) = self.http.post("/v1/events", format!(r#"{{"type":"{kind}","data":{data}}}"#)).await;
        assert_eq!(status, 202, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// The only delivery of an event, once it is in this state.
    pub async fn delivery_in(&self, event: &str, state: &str) -> Value {
        self.eventually(&format!("the delivery of {event} is {state}"), async || {
            let (_, event) = self.http.get(&format!("/v1/events/{event}")).await;
            event["deliveries"][0]["state"] == state
        })
        .await;
        let (_, event) = self.http.get(&format!("/v1/events/{event}")).await;
        let id = event["deliveries"][0]["id"].as_str().unwrap();
        self.http.get(&format!("/v1/deliveries/{id}")).await.1
    }

    pub async fn stop(self) -> Arc<tempfile::TempDir> {
        self.stop.send_replace(true);
        self.task.await.unwrap();
        self.directory
    }
}

type HttpClient = hyper_util::client::legacy::Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

fn client() -> HttpClient {
    hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http()
}

/// A producer and operator of the API.
#[derive(Clone)]
pub struct Http {
    pub base: String,
    pub token: String,
    client: HttpClient,
}

impl Http {
    pub fn new(base: String, token: String) -> Self {
        Self { base, token, client: client() }
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, &[], Bytes::new()).await
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> (u16, Value) {
        self.send("POST", path, &[("content-type", "application/json")], body.into()).await
    }

    /// The status, or `None` when the server is gone.
    pub async fn try_post(&self, path: &str, body: impl Into<Bytes>) -> Option<u16> {
        let request = Request::post(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Full::new(body.into()))
            .unwrap();
        let response = self.client.request(request).await.ok()?;
        let status = response.status().as_u16();
        // Accepted is what was answered whole.
        response.into_body().collect().await.ok()?;
        Some(status)
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> (u16, Value) {
        let (status, _, body) = self.raw(method, path, headers, body).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> (u16, http::HeaderMap, Bytes) {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if !self.token.is_empty() && !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.client.request(request.body(Full::new(body)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes())
    }
}

/// The binary that was built for this test run.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tenterhook"))
}
