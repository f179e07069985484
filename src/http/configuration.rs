//! `GET /v1/config`: which configuration is live, and what was wrong with the last one that was not taken.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Shared;
use super::auth::Reader;

pub(super) async fn show(Reader(caller): Reader, State(shared): State<Shared>) -> Json<Value> {
    let snapshot = &caller.snapshot;
    Json(json!({
        "fingerprint": snapshot.fingerprint,
        "generation": snapshot.generation,
        "loaded_at": snapshot.loaded_at,
        "webhooks": snapshot.webhooks().len(),
        "settings": super::settings_shape(&snapshot.settings),
        "last_error": shared.api.live.last_error(),
    }))
}
