//! What probes and people without a token ask: alive, ready, metrics, and what this is.
//!
//! `/metrics` is open when the listener is bound to a loopback address, where only this machine can ask; anywhere else
//! it wants a token with the `read` scope, because it names webhooks and how they fare.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Shared;
use super::auth::{Asking, Reach};
use super::problem::{Kind, Problem};
use crate::config::Scope;

/// A verdict on the store is good for this long: who asks more often must not make it commit more often.
const VERDICT_TIME: Duration = Duration::from_secs(1);

/// A commit that takes longer is as good as none: probes give up after a second or two.
const PROBE_TIME_MAX: Duration = Duration::from_secs(2);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The last look at the store.
#[derive(Default)]
pub(super) struct Readiness(Mutex<Option<(Instant, Result<(), String>)>>);

pub(super) async fn index() -> &'static str {
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

pub(super) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

pub(super) async fn ready(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    // Those who come meanwhile wait for the same look.
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

pub(super) async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    if !shared.api.listen.ip().is_loopback() {
        Asking::of(&shared, &headers).identity.admit(Scope::Read, Reach::Whole)?;
    }
    let backlog = shared.api.store.backlog().await?;
    let now = shared.api.clock.now();
    let age = backlog.oldest_due.map_or(Duration::ZERO, |due| due.until(now));
    shared.api.metrics.set_backlog(backlog.open, age);
    Ok(([(CONTENT_TYPE, OPENMETRICS)], shared.api.metrics.render()).into_response())
}
