//! Before every route: the token, the rate limit, and CORS (whether a page of another origin may read the answer).

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::config::CorsSettings;
use crate::http::middleware::auth::{Identity, RequestAuth};
use crate::http::middleware::limits::{Class, Client, QuotaStatus};
use crate::http::{Peer, Shared};

const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-Id";
const RESPONSE_HEADERS: &str = "X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, \
     Idempotency-Replayed, Location";

/// How long a browser may cache a preflight: any reload of the configuration can change the answer.
const PREFLIGHT_SECONDS: &str = "600";

pub(crate) async fn check(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let auth = RequestAuth::of(&shared, request.headers());
    let cors = &auth.snapshot.settings.server.protection.cors;
    let origin = allowed_origin(cors, request.headers());
    if let Some(origin) = &origin
        && request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    {
        return preflight(origin.clone());
    }
    let mut response = match admitted(&shared, &auth, &request) {
        Ok(status) => {
            request.extensions_mut().insert(auth);
            let mut response = next.run(request).await;
            if let Some(status) = status {
                status.write(response.headers_mut());
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

/// `Err` with the whole answer when the client's quota is used up.
fn admitted(shared: &Shared, auth: &RequestAuth, request: &Request) -> Result<Option<QuotaStatus>, Box<Response>> {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let Some(class) = Class::of(request.method(), route) else { return Ok(None) };
    let Some(quota) = class.quota(&auth.snapshot.settings.server.protection.rate_limit) else { return Ok(None) };
    let client = match (&auth.identity, request.extensions().get::<Peer>()) {
        (Identity::Known(known), _) => Client::Token(known.name.clone()),
        (_, Some(Peer(peer))) => Client::address(peer.ip()),
        (_, None) => Client::Others,
    };
    let status = shared.limits.admit(class, client, quota);
    if !status.is_refused() {
        return Ok(Some(status));
    }
    let mut response = status.problem(class, quota).into_response();
    status.write(response.headers_mut());
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
