//! `GET /v1/config`: which configuration is live, and what was wrong with the last one that was not taken.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Shared;
use super::auth::{Manager, Reader};
use super::problem::{Kind, Problem};
use crate::snapshot::Snapshot;

pub(super) async fn show(Reader(caller): Reader, State(shared): State<Shared>) -> Json<Value> {
    Json(shape(&shared, &caller.snapshot))
}

/// Looks at the files now: 200 when what they say is live, 422 with every problem when it is not.
pub(super) async fn reload(_: Manager, State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    shared.api.control.reload().await.map_err(|gone| Problem::new(Kind::Unavailable, gone.to_string()))?;
    match shared.api.live.last_error() {
        None => Ok(Json(shape(&shared, &shared.api.live.snapshot()))),
        Some(error) => {
            let detail = format!("{}; mend the files, the watcher sees it", error.message);
            Err(Problem::new(Kind::Invalid, detail).with("problems", json!(error.problems)).with("at", json!(error.at)))
        }
    }
}

fn shape(shared: &Shared, snapshot: &Snapshot) -> Value {
    json!({
        "fingerprint": snapshot.fingerprint,
        "generation": snapshot.generation,
        "loaded_at": snapshot.loaded_at,
        "webhooks": snapshot.webhooks().len(),
        "settings": super::settings_shape(&snapshot.settings),
        "last_error": shared.api.live.last_error(),
    })
}
