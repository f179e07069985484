//! Around every request: its id, its place in log and metrics, and the answers for what no route takes.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, Uri};
use tracing::Instrument;
use uuid::Uuid;

use super::Shared;
use super::problem::{Kind, Problem, ProblemBody};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A UUID with a prefix and a tracing id both fit; nobody gets to fill our log.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The one route that is too busy for a span of its own: what it has to say, it says with the answer.
const PUBLISH: &str = "/v1/events";

/// The label of requests that no route took: their paths are a stranger's choice.
const NO_ROUTE: &str = "none";

pub(super) async fn observe(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request.headers().get(REQUEST_ID).filter(|id| is_sound(id)).cloned().unwrap_or_else(new_id);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let mut response = if method == Method::POST && route == PUBLISH {
        next.run(request).await
    } else {
        let span = tracing::info_span!("request", request_id = id.to_str().unwrap_or_default());
        next.run(request).instrument(span).await
    };
    response.headers_mut().insert(REQUEST_ID, id.clone());
    let status = response.status();
    shared.api.metrics.request(route, status.as_u16());
    let id = id.to_str().unwrap_or_default();
    let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
    let problem = response.extensions_mut().remove::<ProblemBody>();
    let detail = problem.as_ref().and_then(ProblemBody::detail);
    if status.is_server_error() {
        tracing::warn!(request_id = id, %method, route, status = status.as_u16(), duration_ms, detail, "request failed");
    } else {
        tracing::debug!(request_id = id, %method, route, status = status.as_u16(), duration_ms, detail, "request");
    }
    if let Some(problem) = problem {
        response.extensions_mut().insert(super::audit::Remark(problem.detail().unwrap_or_default().to_owned()));
        *response.body_mut() = problem.with_request(id).into();
    }
    response
}

pub(super) async fn no_route(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(120).collect();
    Problem::new(Kind::NotFound, format!("nothing is at {path}: the API is under /v1, as in POST /v1/events"))
}

/// The router adds `Allow`, after this.
pub(super) async fn no_method(method: Method) -> Problem {
    let method: String = method.as_str().chars().take(20).collect();
    Problem::new(Kind::MethodNotAllowed, format!("{method} does not fit here: use one of those in the Allow header"))
}

fn is_sound(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=REQUEST_ID_CHARS_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

fn new_id() -> HeaderValue {
    let text = format!("req_{}", Uuid::now_v7().simple());
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("req_unknown"))
}
