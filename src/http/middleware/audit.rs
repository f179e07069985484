//! Writes the audit log: one entry for every management call and every read of a secret, refused ones included, before the
//! answer goes out. [`crate::http::routes::v1::audit`] reads it.

use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Extensions, Method};
use tracing::Instrument;

use crate::http::Shared;
use crate::http::middleware::request_id::REQUEST_ID;
use crate::http::problem::{Kind, Problem};
use crate::http::serve::Peer;
use crate::store::AuditEntry;

/// Of a path and of a refusal.
const CHARS_MAX: usize = 300;

/// Reads that are logged as changes are.
const SECRET_READS: [&str; 1] = ["/v1/webhooks/{id}/secret"];

/// Writes that are not logged: they are the traffic itself.
const NOT_MANAGEMENT: [&str; 2] = ["/v1/events", "/v1/sources/{name}"];

/// Holds the name of a request's token once it is known.
#[derive(Clone, Default)]
struct Who(Arc<OnceLock<Arc<str>>>);

/// The `detail` of an entry: why the request was refused, or that its answer is a replayed one. An extension of the response.
#[derive(Clone)]
pub(crate) struct Remark(pub(crate) String);

/// Called for every request with a known token, whether it may do what it asks for or not.
pub(crate) fn identified(extensions: &Extensions, token: &Arc<str>) {
    if let Some(who) = extensions.get::<Who>() {
        // A second extractor of the same request has the same name.
        let _ = who.0.set(Arc::clone(token));
    }
}

fn is_management(method: &Method, route: &str) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    if reads { SECRET_READS.contains(&route) } else { route.starts_with("/v1/") && !NOT_MANAGEMENT.contains(&route) }
}

pub(crate) async fn record(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let Some(route) = route.filter(|route| is_management(request.method(), route)) else { return next.run(request).await };
    // In a task of its own: a client that disconnects neither leaves work half done nor escapes the log.
    let work = shared.work.clone();
    let recorded = work.spawn(done_and_recorded(shared, request, next, route).in_current_span());
    recorded.await.unwrap_or_else(|_| {
        Problem::new(Kind::Internal, "the request ended with an internal error: see the server's log").into_response()
    })
}

async fn done_and_recorded(shared: Shared, mut request: Request, next: Next, route: String) -> Response {
    let who = Who::default();
    request.extensions_mut().insert(who.clone());
    let at = shared.api.clock.now();
    let peer = request.extensions().get::<Peer>().map(|Peer(address)| address.ip().to_string());
    let method = request.method().to_string();
    let path = request.uri().path().chars().take(CHARS_MAX).collect();
    let response = next.run(request).await;
    // Without a known token nothing could be changed or seen; strangers must not fill the log.
    let Some(token) = who.0.get() else { return response };
    let request_id = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let detail = response.extensions().get::<Remark>().map(|detail| detail.0.chars().take(CHARS_MAX).collect());
    let action = format!("{method} {route}");
    let status = response.status().as_u16();
    tracing::info!(target: "audit", token = &**token, action, path, status, request_id);
    let entry = AuditEntry { at, token: token.to_string(), peer, request_id, method, path, action, status, detail };
    if let Err(error) = shared.api.store.audit(entry).await {
        tracing::error!(%error, "a management call could not be written to the audit log; the line above has it");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_and_secrets_are_audited_and_traffic_is_not() {
        for (method, route, expected) in [
            (Method::POST, "/v1/webhooks", true),
            (Method::DELETE, "/v1/webhooks/{id}", true),
            (Method::GET, "/v1/webhooks/{id}/secret", true),
            (Method::GET, "/v1/webhooks/{id}", false),
            (Method::POST, "/v1/events", false),
            (Method::POST, "/v1/config/reload", true),
            (Method::HEAD, "/v1/webhooks", false),
        ] {
            assert_eq!(is_management(&method, route), expected, "{method} {route}");
        }
    }
}
