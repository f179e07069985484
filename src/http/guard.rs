//! Before every route: who asks, how often they may, and whether a page of another origin may read the answer.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::auth::{Asking, Identity};
use super::limits::{Class, Client, Standing};
use super::{Peer, Shared};
use crate::config::CorsSettings;

const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-Id";
const RESPONSE_HEADERS: &str = "X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, \
     Idempotency-Replayed, Location";

/// How long a browser need not ask again: it is a reload away from being wrong.
const PREFLIGHT_SECONDS: &str = "600";

pub(super) async fn guard(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let asking = Asking::of(&shared, request.headers());
    let cors = &asking.snapshot.settings.server.protection.cors;
    let origin = allowed_origin(cors, request.headers());
    if let Some(origin) = &origin
        && request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    {
        return preflight(origin.clone());
    }
    let mut response = match admitted(&shared, &asking, &request) {
        Ok(standing) => {
            request.extensions_mut().insert(asking);
            let mut response = next.run(request).await;
            if let Some(standing) = standing {
                standing.write(response.headers_mut());
            }
            response
        }
        Err(refused) => *refused,
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(RESPONSE_HEADERS));
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// `Err` with the whole answer, when the client has used its quota up.
fn admitted(shared: &Shared, asking: &Asking, request: &Request) -> Result<Option<Standing>, Box<Response>> {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let Some(class) = Class::of(request.method(), route) else { return Ok(None) };
    let Some(quota) = class.quota(&asking.snapshot.settings.server.protection.rate_limit) else { return Ok(None) };
    let client = match (&asking.identity, request.extensions().get::<Peer>()) {
        (Identity::Known(known), _) => Client::Token(known.name.clone()),
        (_, Some(Peer(peer))) => Client::address(peer.ip()),
        (_, None) => Client::Others,
    };
    let standing = shared.limits.admit(class, client, quota);
    if !standing.is_refused() {
        return Ok(Some(standing));
    }
    let mut response = standing.problem(class, quota).into_response();
    standing.write(response.headers_mut());
    Err(Box::new(response))
}

/// What to answer in `Access-Control-Allow-Origin`; `None` when nothing is to be said.
fn allowed_origin(cors: &CorsSettings, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    if cors.any {
        return Some(HeaderValue::from_static("*"));
    }
    cors.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

fn preflight(origin: HeaderValue) -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, origin),
        (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS)),
        (ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS)),
        (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS)),
        (VARY, HeaderValue::from_static("Origin")),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}
