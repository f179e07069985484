//! A reverse proxy in front of one upstream, which tells what happens by events. Emitting one never holds a request up:
//! when events come faster than they can be stored, some are counted and dropped instead.

mod breaker;
mod health;
mod limiter;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, HOST, RETRY_AFTER, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tenterhook::{EmitError, Tenterhook};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use breaker::{Admission, Breaker, Change};
use limiter::{Limiter, Verdict};

pub use breaker::BreakerOptions;
pub use health::HealthOptions;
pub use limiter::LimitOptions;

pub struct Options {
    pub listen: SocketAddr,
    /// `host:port`, plain http.
    pub upstream: Authority,
    /// For an answer's head.
    pub timeout: Duration,
    pub breaker: BreakerOptions,
    pub limit: LimitOptions,
    pub health: HealthOptions,
}

pub struct Gateway {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// What requests share.
struct Shared {
    tenterhook: Tenterhook,
    client: Client<HttpConnector, Body>,
    upstream: Authority,
    timeout: Duration,
    breaker: Breaker,
    limiter: Limiter,
    /// Events that found no room.
    dropped: AtomicU64,
}

impl Gateway {
    pub async fn start(options: Options, tenterhook: Tenterhook) -> std::io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            tenterhook,
            client: Client::builder(TokioExecutor::new()).build_http(),
            upstream: options.upstream,
            timeout: options.timeout,
            breaker: Breaker::new(options.breaker),
            limiter: Limiter::new(options.limit),
            dropped: AtomicU64::new(0),
        });
        let stop = CancellationToken::new();
        let router = Router::new().fallback(proxy).with_state(Arc::clone(&shared));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let mut tasks = JoinSet::new();
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "the gateway does not serve any more");
            }
        });
        let (watching, stopped) = (Arc::clone(&shared), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = health::watch(watching, options.health) => {}
                () = stopped.cancelled() => {}
            }
        });
        Ok(Self { address, shared, stop, tasks })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets requests in flight finish; returns how many events the queue had no room for.
    pub async fn stop(self) -> u64 {
        self.stop.cancel();
        self.tasks.join_all().await;
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn upstream(&self) -> &str {
        self.upstream.as_str()
    }

    fn tell(&self, kind: &str, data: Value) {
        match self.tenterhook.emit((kind, data)) {
            Ok(_) => {}
            // Requests go before events.
            Err(EmitError::Full { .. }) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            Err(EmitError::Closed) => tracing::debug!(kind, "event not emitted: tenterhook has ended"),
            Err(error) => tracing::error!(kind, %error, "event not emitted"),
        }
    }

    fn tell_of_breaker(&self, change: Change) {
        let threshold = self.breaker.threshold();
        match change {
            Change::Opened { error_rate, failures } => self.tell(
                "circuit_breaker.opened",
                json!({
                    "routeId": self.upstream(), "errorRate": error_rate, "threshold": threshold, "failureCount": failures,
                    "state": "open",
                }),
            ),
            Change::Closed => self.tell("circuit_breaker.closed", json!({"routeId": self.upstream(), "state": "closed"})),
        }
    }

    fn url(&self, path: PathAndQuery) -> Result<Uri, http::Error> {
        Uri::builder().scheme(Scheme::HTTP).authority(self.upstream.clone()).path_and_query(path).build()
    }

    /// Whether the upstream answers well.
    async fn ask(&self, path: &str) -> Result<(), String> {
        let path = PathAndQuery::try_from(path).map_err(|error| error.to_string())?;
        let url = self.url(path).map_err(|error| error.to_string())?;
        match tokio::time::timeout(self.timeout, self.client.get(url)).await {
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(format!("it answered {}", response.status())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it did not answer in time".to_owned()),
        }
    }
}

async fn proxy(State(shared): State<Arc<Shared>>, ConnectInfo(client): ConnectInfo<SocketAddr>, request: Request) -> Response {
    if let Some(refused) = limited(&shared, client) {
        return refused;
    }
    let admission = shared.breaker.admit(Instant::now());
    match admission {
        Admission::Pass => {}
        Admission::Probe => {
            shared.tell("circuit_breaker.half_open", json!({"routeId": shared.upstream(), "state": "half_open"}));
        }
        Admission::Refused { retry_after } => {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "the circuit breaker is open", retry_after);
        }
    }
    let attempt = Attempt { shared: &shared, is_probe: admission == Admission::Probe, is_settled: false };
    let about = json!({"method": request.method().as_str(), "path": request.uri().path(), "client": client.ip().to_string()});
    shared.tell("proxy.request_started", about.clone());
    let begun = Instant::now();
    let answer = forward(&shared, request).await;
    let mut about = about;
    about["latency_ms"] = json!(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    match answer {
        Ok(response) => {
            about["status"] = json!(response.status().as_u16());
            let well = !response.status().is_server_error();
            shared.tell(if well { "proxy.request_completed" } else { "proxy.request_failed" }, about);
            attempt.settle(well);
            response
        }
        Err(error) => {
            about["error"] = json!(error);
            shared.tell("proxy.request_failed", about);
            attempt.settle(false);
            (StatusCode::BAD_GATEWAY, "the upstream did not answer\n").into_response()
        }
    }
}

/// The refusal, if the client has asked too much.
fn limited(shared: &Shared, client: SocketAddr) -> Option<Response> {
    let options = shared.limiter.options();
    let about =
        || json!({"client": client.ip().to_string(), "limit": options.requests, "window_s": options.window.as_secs_f64()});
    match shared.limiter.check(client.ip(), Instant::now()) {
        Verdict::Pass => None,
        Verdict::Approaching { used } => {
            let mut about = about();
            about["used"] = json!(used);
            shared.tell("rate_limit.approaching", about);
            None
        }
        Verdict::Refused { retry_after, is_first } => {
            if is_first {
                shared.tell("rate_limit.exceeded", about());
            }
            Some(refusal(StatusCode::TOO_MANY_REQUESTS, "too many requests", retry_after))
        }
    }
}

fn refusal(status: StatusCode, why: &str, retry_after: Duration) -> Response {
    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
    (status, [(RETRY_AFTER, seconds.to_string())], format!("{why}\n")).into_response()
}

/// A request on its way: a probe whose client hangs up must not leave the breaker waiting for it.
struct Attempt<'s> {
    shared: &'s Shared,
    is_probe: bool,
    is_settled: bool,
}

impl Attempt<'_> {
    fn settle(mut self, well: bool) {
        self.is_settled = true;
        if let Some(change) = self.shared.breaker.settle(self.is_probe, well, Instant::now()) {
            self.shared.tell_of_breaker(change);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.is_probe && !self.is_settled {
            self.shared.breaker.abandon_probe(Instant::now());
        }
    }
}

async fn forward(shared: &Shared, mut request: Request) -> Result<Response, String> {
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = shared.url(path).map_err(|error| error.to_string())?;
    for header in [CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE] {
        request.headers_mut().remove(header);
    }
    match tokio::time::timeout(shared.timeout, shared.client.request(request)).await {
        Ok(Ok(response)) => {
            let mut response = response.map(Body::new);
            for header in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
                response.headers_mut().remove(header);
            }
            Ok(response)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it did not answer in time".to_owned()),
    }
}
