//! Around every request: its id, its log line and metrics, and the headers that every answer has.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Method};
use tracing::Instrument;
use uuid::Uuid;

use crate::http::Shared;
use crate::http::problem::ProblemBody;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A UUID with a prefix and a tracing id both fit; longer ones would only fill the log.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The one route that is too busy for a span of its own: what it has to say, it says with the answer.
const PUBLISH: &str = "/v1/events";

/// The label of requests that no route took: their paths are a stranger's choice.
const NO_ROUTE: &str = "none";

pub(crate) async fn observe(State(shared): State<Shared>, request: Request, next: Next) -> Response {
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
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.clone());
    headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    // Answers of the API are for the token that asked: no cache on the way may store them.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
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
        response.extensions_mut().insert(crate::http::middleware::audit::Remark(problem.detail().unwrap_or_default().to_owned()));
        *response.body_mut() = problem.with_request(id).into();
    }
    response
}

fn is_sound(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    (1..=REQUEST_ID_CHARS_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

fn new_id() -> HeaderValue {
    let text = format!("req_{}", Uuid::now_v7().simple());
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("req_unknown"))
}
