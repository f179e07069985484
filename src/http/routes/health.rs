//! What probes and people without a token ask: alive, ready, metrics, and what this is.
//!
//! `/metrics` is open when the listener is bound to a loopback address, where only this machine can ask; anywhere else
//! it wants a token with the `read` scope, because it names webhooks and how they fare.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Uri};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::Scope;
use crate::http::Shared;
use crate::http::middleware::auth::{Reach, RequestAuth};
use crate::http::middleware::framing::is_addressed_to_loopback;
use crate::http::problem::{Kind, Problem};

/// A verdict on the store is valid for this long: frequent probes must not make it commit more often.
const VERDICT_TIME: Duration = Duration::from_secs(1);

/// A commit that takes longer counts as failed: probes give up after a second or two.
const PROBE_TIME_MAX: Duration = Duration::from_secs(2);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The last probe of the store.
#[derive(Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Result<(), String>)>>);

pub(crate) async fn index() -> &'static str {
    concat!(
        "Tenterhook ",
        env!("CARGO_PKG_VERSION"),
        ", a webhook delivery engine.\n\n",
        "POST /v1/events        publish an event: {\"type\": \"order.created\", \"data\": {}}\n",
        "GET  /v1/deliveries    what became of it\n",
        "GET  /v1/webhooks      who gets what\n",
        "GET  /healthz, /readyz, /metrics\n\n",
        "Send a token: Authorization: Bearer <token>\n",
    )
}

pub(crate) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

pub(crate) async fn ready(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    // Concurrent requests wait for the same probe.
    let mut last = shared.readiness.0.lock().await;
    let verdict = match &*last {
        Some((at, verdict)) if at.elapsed() < VERDICT_TIME => verdict.clone(),
        _ => {
            let verdict = match tokio::time::timeout(PROBE_TIME_MAX, shared.api.store.probe()).await {
                Ok(result) => result.map_err(|error| {
                    tracing::warn!(%error, "not ready: the store does not take commits");
                    "the store does not take commits: see the log for the reason".to_owned()
                }),
                Err(_) => Err(format!("the store did not commit within {} s", PROBE_TIME_MAX.as_secs())),
            };
            *last = Some((Instant::now(), verdict.clone()));
            verdict
        }
    };
    drop(last);
    verdict.map_err(|reason| Problem::new(Kind::Unavailable, reason))?;
    Ok(Json(json!({"status": "ready", "generation": shared.api.live.snapshot().generation})))
}

/// On loopback, for requests addressed to this machine itself, it needs no token; elsewhere, and under other names, it does.
pub(crate) async fn metrics(State(shared): State<Shared>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    if !shared.api.listen.ip().is_loopback() || !is_addressed_to_loopback(&uri, &headers) {
        RequestAuth::of(&shared, &headers).identity.admit(Scope::Read, Reach::Whole)?;
    }
    let text = crate::http::scrape::scrape(&shared).await?;
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
}
