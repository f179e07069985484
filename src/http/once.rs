//! `Idempotency-Key` on every POST but publishing, which has its own form: a request with a key is done once, and who
//! sends it again within a day gets the first answer again.
//!
//! Kept are the answers of requests that did something. One that was refused changed nothing, so that it can be mended
//! and sent again under the same key.

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

use super::Shared;
use super::audit::{self, Remark};
use super::auth::{Asking, Identity};
use super::body::{self, Cap};
use super::problem::{Kind, Problem};
use crate::store::{Begun, KeptAnswer};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Longer than a UUID with any prefix.
const KEY_BYTES_MAX: usize = 255;

/// Long enough for a job that a person looks after the next day.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Greater answers (a transformer's dry run may have some MiB) are not kept: the request is then done again.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

/// Besides the largest event: a request that carries one has some more around it.
const AROUND_BYTES: usize = 1 << 20;

/// Of an answer, what is given again.
const HEADERS_KEPT: [HeaderName; 3] = [CONTENT_TYPE, LOCATION, CACHE_CONTROL];

pub(super) async fn once(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    match Claim::of(&request) {
        None => next.run(request).await,
        Some(Ok(claim)) => claim.done(shared, request, next).await.unwrap_or_else(IntoResponse::into_response),
        Some(Err(problem)) => problem.into_response(),
    }
}

/// The key of a request, bound to whose it is: two clients may use the same.
struct Claim {
    key: [u8; 32],
    token: Arc<str>,
    body_bytes_max: usize,
}

impl Claim {
    /// `None` for what is no matter of ours; without a known token the route itself says no.
    fn of(request: &Request) -> Option<Result<Self, Problem>> {
        let key = request.headers().get(IDEMPOTENCY_KEY)?;
        let route = request.extensions().get::<MatchedPath>()?.as_str();
        let is_ours = request.method() == Method::POST && route != "/v1/events" && !route.starts_with("/v1/sources/");
        let asking = request.extensions().get::<Asking>()?;
        let (true, Identity::Known(known)) = (is_ours, &asking.identity) else { return None };
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            let detail = format!("Idempotency-Key has {} bytes, 1 to {KEY_BYTES_MAX} are allowed", key.len());
            return Some(Err(Problem::new(Kind::BadRequest, detail)));
        }
        // A token that may do less since is not told again what it may not see any more.
        let digest = Sha256::new()
            .chain_update(known.name.as_bytes())
            .chain_update([0])
            .chain_update(known.rights())
            .chain_update([0])
            .chain_update(key.as_bytes());
        let body_bytes_max = asking.snapshot.settings.server.max_event_size + AROUND_BYTES;
        Some(Ok(Self { key: digest.finalize().into(), token: known.name.clone(), body_bytes_max }))
    }

    async fn done(self, shared: Shared, request: Request, next: Next) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        let cap = Cap { bytes: self.body_bytes_max, because: "no request of the API needs more" };
        let received = body::read(&shared.bodies, &parts.headers, body, cap).await?;
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let digest = Sha256::new()
            .chain_update(parts.method.as_str())
            .chain_update([0])
            .chain_update(target)
            .chain_update([0])
            .chain_update(&received.bytes);
        let since = shared.api.clock.now().before(KEPT);
        match shared.api.store.begin_once(self.key, digest.finalize().into(), since).await? {
            Begun::New => {}
            Begun::Done(answer) => {
                // It may show a secret, and no route is asked that would say who has seen it.
                audit::admitted(&parts.extensions, &self.token);
                return Ok(again(answer));
            }
            Begun::UnderWay => {
                let detail = "a request with this Idempotency-Key is being done: wait for its answer, or ask again in a moment";
                return Err(Problem::new(Kind::Conflict, detail).with_header(RETRY_AFTER, HeaderValue::from_static("1")));
            }
            Begun::OtherRequest => {
                let detail = "this Idempotency-Key was used for another request (method, path or body differ): take a new one";
                return Err(Problem::new(Kind::Invalid, detail));
            }
        }
        let request = Request::from_parts(parts, Body::from(received.bytes.clone()));
        // In a task of its own: whoever hangs up in the middle finds the answer when it asks again.
        let work = shared.work.clone();
        let task = work.spawn(finish(shared, self.key, request, next).in_current_span());
        task.await.map_err(|_| Problem::new(Kind::Internal, "the request was not done: see the server's log"))
    }
}

async fn finish(shared: Shared, key: [u8; 32], request: Request, next: Next) -> Response {
    let done = shared.work.spawn(next.run(request).in_current_span()).await;
    let (response, answer) = match done {
        Ok(response) => kept(response).await,
        Err(_) => {
            tracing::error!("a request ended with a panic");
            (Problem::new(Kind::Internal, "the request broke: see the server's log").into_response(), None)
        }
    };
    if let Err(error) = shared.api.store.end_once(key, answer).await {
        tracing::warn!(%error, "the answer for an Idempotency-Key could not be kept: the same request may be done again");
    }
    response
}

/// The response, and what of it is kept.
async fn kept(response: Response) -> (Response, Option<KeptAnswer>) {
    let exact = response.body().size_hint().exact();
    if !response.status().is_success() || exact.is_none_or(|bytes| bytes > ANSWER_BYTES_MAX) {
        return (response, None);
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = body.collect().await else {
        return (Problem::new(Kind::Internal, "the answer broke off").into_response(), None);
    };
    let body: Bytes = body.to_bytes();
    let answer = KeptAnswer { status: parts.status.as_u16(), headers: kept_headers(&parts.headers), body: body.clone() };
    (Response::from_parts(parts, Body::from(body)), Some(answer))
}

fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = HEADERS_KEPT.iter().filter_map(|name| Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_owned())));
    kept.collect()
}

fn again(answer: KeptAnswer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response.extensions_mut().insert(Remark("the answer of before, given again for its Idempotency-Key".to_owned()));
    response
}
