//! The audit log: every management call and every look at a secret, with who, what, when, from where, and what came of
//! it. Written before the answer goes out.

use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Extensions, Method, Uri};
use serde_json::{Value, json};
use tracing::Instrument;

use super::Shared;
use super::auth::Manager;
use super::observe::REQUEST_ID;
use super::problem::{Kind, Problem};
use super::query::{Query, show_cursor};
use super::serve::Peer;
use super::shape::List;
use crate::store::{AuditEntry, AuditFilter, AuditRecord};

/// Of a path and of a refusal.
const CHARS_MAX: usize = 300;

/// Reads that leave a trace like changes do.
const SECRET_READS: [&str; 1] = ["/v1/webhooks/{id}/secret"];

/// Writes that do not: they are what the server is for.
const NOT_MANAGEMENT: [&str; 2] = ["/v1/events", "/v1/sources/{name}"];

/// Where a request's token is written down once it is known.
#[derive(Clone, Default)]
struct Who(Arc<OnceLock<Arc<str>>>);

/// What there is to say of an answer: why it was refused, or that it was given before. Goes along with its response.
#[derive(Clone)]
pub(super) struct Remark(pub(super) String);

/// Called for every token that was let in.
pub(super) fn admitted(extensions: &Extensions, token: &Arc<str>) {
    if let Some(who) = extensions.get::<Who>() {
        // The first extractor has said it; another one of the same request knows the same.
        let _ = who.0.set(Arc::clone(token));
    }
}

fn is_management(method: &Method, route: &str) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    if reads { SECRET_READS.contains(&route) } else { route.starts_with("/v1/") && !NOT_MANAGEMENT.contains(&route) }
}

pub(super) async fn record(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let Some(route) = route.filter(|route| is_management(request.method(), route)) else { return next.run(request).await };
    // In a task of its own: whoever hangs up in the middle neither leaves work half done nor goes without a trace.
    let work = shared.work.clone();
    let recorded = work.spawn(done_and_recorded(shared, request, next, route).in_current_span());
    recorded.await.unwrap_or_else(|_| Problem::new(Kind::Internal, "the request broke: see the server's log").into_response())
}

async fn done_and_recorded(shared: Shared, mut request: Request, next: Next, route: String) -> Response {
    let who = Who::default();
    request.extensions_mut().insert(who.clone());
    let at = shared.api.clock.now();
    let peer = request.extensions().get::<Peer>().map(|Peer(address)| address.ip().to_string());
    let method = request.method().to_string();
    let path = request.uri().path().chars().take(CHARS_MAX).collect();
    let response = next.run(request).await;
    // Without a known token nothing could be changed or seen, and strangers are not to fill the log.
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

/// Newest first.
pub(super) async fn list(_: Manager, State(shared): State<Shared>, uri: Uri) -> Result<Json<List<Value>>, Problem> {
    let mut query = Query::read(&uri, &["token", "action", "path", "since", "until", "limit", "cursor"]);
    let text = |text: &str| Ok::<_, String>(text.to_owned());
    let filter = AuditFilter {
        token: query.take("token", text),
        action: query.take("action", text),
        path: query.take("path", text),
        since: query.time("since"),
        until: query.time("until"),
    };
    let window = query.window();
    query.finish()?;
    let page = shared.api.store.audit_log(filter, window.after, window.limit).await?;
    let shape = |AuditRecord { number, entry }: &AuditRecord| {
        let mut shape = json!(entry);
        shape["id"] = format!("aud_{number}").into();
        shape
    };
    Ok(Json(List { data: page.rows.iter().map(shape).collect(), next: page.next.map(show_cursor) }))
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
