//! `Idempotency-Key` on every POST but publishing, which derives event ids from it: a request with a key is executed once; a
//! repetition within a day gets the stored answer.
//!
//! Stored are answers of success. A refused request changed nothing: it can be corrected and sent again under its key.

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

use crate::http::Shared;
use crate::http::middleware::audit::{self, Remark};
use crate::http::middleware::auth::{Identity, RequestAuth};
use crate::http::middleware::body::{self, Cap};
use crate::http::problem::{Kind, Problem};
use crate::store::{IdempotencyState, StoredResponse};

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Longer than a UUID with any prefix.
const KEY_BYTES_MAX: usize = 255;

/// Long enough for a job that a person checks the next day.
const STORED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Larger answers (a transformer's dry run may have some MiB) are not stored: a repetition is executed again.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

/// Besides the largest event: a request that carries one has some more around it.
const AROUND_BYTES: usize = 1 << 20;

/// Headers that are stored with an answer.
const HEADERS_STORED: [HeaderName; 3] = [CONTENT_TYPE, LOCATION, CACHE_CONTROL];

pub(crate) async fn idempotent(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    match Claim::of(&request) {
        None => next.run(request).await,
        Some(Ok(claim)) => claim.done(shared, request, next).await.unwrap_or_else(IntoResponse::into_response),
        Some(Err(problem)) => problem.into_response(),
    }
}

/// The key of a request, bound to its token: two clients may use the same key.
struct Claim {
    key: [u8; 32],
    token: Arc<str>,
    body_bytes_max: usize,
}

impl Claim {
    /// `None` for requests without a key, and without a known token: the route itself refuses those.
    fn of(request: &Request) -> Option<Result<Self, Problem>> {
        let key = request.headers().get(IDEMPOTENCY_KEY)?;
        let route = request.extensions().get::<MatchedPath>()?.as_str();
        let is_keyed = request.method() == Method::POST && route != "/v1/events" && !route.starts_with("/v1/sources/");
        let auth = request.extensions().get::<RequestAuth>()?;
        let (true, Identity::Known(known)) = (is_keyed, &auth.identity) else { return None };
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            let detail = format!("Idempotency-Key has {} bytes, 1 to {KEY_BYTES_MAX} are allowed", key.len());
            return Some(Err(Problem::new(Kind::BadRequest, detail)));
        }
        // A token whose rights were reduced must not get an answer that it may no longer see.
        let digest = Sha256::new()
            .chain_update(known.name.as_bytes())
            .chain_update([0])
            .chain_update(known.rights())
            .chain_update([0])
            .chain_update(key.as_bytes());
        let body_bytes_max = auth.snapshot.settings.server.max_event_size + AROUND_BYTES;
        Some(Ok(Self { key: digest.finalize().into(), token: known.name.clone(), body_bytes_max }))
    }

    async fn done(self, shared: Shared, request: Request, next: Next) -> Result<Response, Problem> {
        let (mut parts, body) = request.into_parts();
        let cap = Cap { bytes: self.body_bytes_max, because: "no request of the API needs more" };
        let received = body::read(&shared.bodies, &parts.headers, body, cap).await?;
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let digest = Sha256::new()
            .chain_update(parts.method.as_str())
            .chain_update([0])
            .chain_update(target)
            .chain_update([0])
            .chain_update(&received.bytes);
        let since = shared.api.clock.now().before(STORED_FOR);
        match shared.api.store.begin_idempotent(self.key, digest.finalize().into(), since).await? {
            IdempotencyState::New => {}
            IdempotencyState::Done(answer) => {
                // The answer may show a secret, and no route runs that would record the token.
                audit::identified(&parts.extensions, &self.token);
                return Ok(again(answer));
            }
            IdempotencyState::InFlight => {
                let detail = "a request with this Idempotency-Key is in flight: wait for its answer, or ask again in a moment";
                return Err(Problem::new(Kind::Conflict, detail).with_header(RETRY_AFTER, HeaderValue::from_static("1")));
            }
            IdempotencyState::OtherRequest => {
                let detail = "this Idempotency-Key was used for another request (method, path or body differ): take a new one";
                return Err(Problem::new(Kind::Invalid, detail));
            }
        }
        // The route gets it decoded.
        parts.headers.remove(CONTENT_ENCODING);
        parts.headers.remove(CONTENT_LENGTH);
        let request = Request::from_parts(parts, Body::from(received.bytes.clone()));
        // In a task of its own: a client that disconnected gets the answer when it asks again.
        let work = shared.work.clone();
        let task = work.spawn(finish(shared, self.key, request, next).in_current_span());
        task.await.map_err(|_| Problem::new(Kind::Internal, "the request ended with an internal error: see the server's log"))
    }
}

async fn finish(shared: Shared, key: [u8; 32], request: Request, next: Next) -> Response {
    let done = shared.work.spawn(next.run(request).in_current_span()).await;
    let (response, answer) = match done {
        Ok(response) => stored(response).await,
        Err(_) => {
            tracing::error!("a request ended with a panic");
            (Problem::new(Kind::Internal, "the request ended with an internal error: see the server's log").into_response(), None)
        }
    };
    if let Err(error) = shared.api.store.end_idempotent(key, answer).await {
        tracing::warn!(%error, "idempotency answer not stored: the same request may be executed again");
    }
    response
}

/// The response, and what is stored of it.
async fn stored(response: Response) -> (Response, Option<StoredResponse>) {
    let exact = response.body().size_hint().exact();
    if !response.status().is_success() || exact.is_none_or(|bytes| bytes > ANSWER_BYTES_MAX) {
        return (response, None);
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = body.collect().await else {
        return (Problem::new(Kind::Internal, "the answer broke off").into_response(), None);
    };
    let body: Bytes = body.to_bytes();
    let answer = StoredResponse { status: parts.status.as_u16(), headers: stored_headers(&parts.headers), body: body.clone() };
    (Response::from_parts(parts, Body::from(body)), Some(answer))
}

fn stored_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let stored = HEADERS_STORED.iter().filter_map(|name| Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_owned())));
    stored.collect()
}

fn again(answer: StoredResponse) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response.extensions_mut().insert(Remark("the stored answer, replayed for its Idempotency-Key".to_owned()));
    response
}
