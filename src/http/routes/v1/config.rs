//! `GET /v1/config`: which configuration is live, what was wrong with the last one that was not taken, and what that one
//! would have changed.

use std::collections::HashMap;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::config::Draft;
use crate::http::middleware::auth::{MayManage, MayRead};
use crate::http::middleware::body::{self, Cap};
use crate::http::problem::{Kind, Problem};
use crate::http::shapes;
use crate::http::{Diff, EffectiveConfig, Shared};
use crate::model::DeliveryState;
use crate::snapshot::{Live, Snapshot};

/// Entries of each kind in an answer: a file with more changes than that is read as a file. All are counted.
const CHANGES_MAX: usize = 200;

/// A request to reload says one thing.
const BODY_BYTES_MAX: usize = 1024;

/// Stands for the fingerprint of what never became a configuration.
const REFUSED: &str = "refused";

pub(crate) async fn show(MayRead(caller): MayRead, State(shared): State<Shared>) -> Json<Value> {
    Json(shape(&shared, &caller.snapshot))
}

/// Reads the files now: 200 when what they say is live, 422 with every problem when it is not.
pub(crate) async fn reload(
    _: MayManage,
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let cap = Cap { bytes: BODY_BYTES_MAX, because: "the body is {\"force\": true} or nothing" };
    let force = force(&body::read(&shared.bodies, &headers, body, cap).await?.bytes)?;
    shared.api.control.reload(force).await.map_err(|gone| Problem::new(Kind::Unavailable, gone.to_string()))?;
    match shared.api.live.last_error() {
        None => Ok(Json(shape(&shared, &shared.api.live.snapshot()))),
        Some(error) => {
            let detail = format!("{}; fix the files: saving them reloads the configuration", error.message);
            Err(Problem::new(Kind::Invalid, detail).with("problems", json!(error.problems)).with("at", json!(error.at)))
        }
    }
}

/// `{"force": true}`; the body is optional.
fn force(body: &[u8]) -> Result<bool, Problem> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        #[serde(default)]
        force: bool,
    }
    if body.is_empty() {
        return Ok(false);
    }
    let given: Result<Given, _> = serde_json::from_slice(body);
    let given = given.map_err(|error| {
        Problem::new(Kind::Invalid, format!("the body is not {{\"force\": true}}: {error}; leave it out or send that"))
    })?;
    Ok(given.force)
}

/// What the refused configuration would have changed in the live one, as far as it could be read.
pub(crate) async fn changes(MayRead(caller): MayRead, State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let error = shared.api.live.last_error();
    let Some((at, draft)) = error.and_then(|error| Some((error.at, error.draft?))) else {
        return Ok(Json(json!({"refused_at": null, "changes": null})));
    };
    let snapshot = caller.snapshot;
    let work = tokio::task::spawn_blocking(move || compare(&snapshot, &draft));
    let (mut diff, unread, whole) = work.await.map_err(|_| Problem::new(Kind::Internal, "the comparison broke on a fault"))?;
    if !diff.removed.is_empty() {
        let counts = shared.api.store.webhook_counts().await?;
        let waiting: HashMap<&str, u64> = counts.iter().map(|counts| (counts.id.as_str(), waiting(&counts.states))).collect();
        for (id, waits) in &mut diff.removed {
            *waits = Some(waiting.get(id.as_str()).copied().unwrap_or(0));
        }
    }
    Ok(Json(json!({"refused_at": at, "changes": shown(&diff, &unread, whole)})))
}

fn waiting(states: &[u64; 7]) -> u64 {
    [DeliveryState::Pending, DeliveryState::Retrying, DeliveryState::Held].into_iter().map(|state| states[state as usize]).sum()
}

/// What could not be read has not been removed.
fn compare(snapshot: &Snapshot, draft: &Draft) -> (Diff, Vec<String>, bool) {
    let before = EffectiveConfig::of(&snapshot.settings, snapshot.fingerprint.clone());
    let mut diff = Diff::between(&before, &EffectiveConfig::of(&draft.settings, REFUSED.to_owned()));
    diff.removed.retain(|id, _| draft.whole && !draft.unread.contains(id));
    diff.only_unseen = diff.is_empty() && draft.unread.is_empty();
    (diff, draft.unread.clone(), draft.whole)
}

/// The plan, its long lists cut.
fn shown(diff: &Diff, unread: &[String], whole: bool) -> Value {
    let summary = json!({
        "added": diff.added.len(), "changed": diff.changed.len(), "removed": diff.removed.len(), "unread": unread.len(),
    });
    let first = |map: &mut Value| {
        if let Value::Object(fields) = map {
            let whole = std::mem::take(fields);
            *fields = whole.into_iter().take(CHANGES_MAX).collect::<Map<_, _>>();
        }
    };
    let mut plan = diff.to_json("", REFUSED);
    first(&mut plan["webhooks"]["added"]);
    first(&mut plan["webhooks"]["changed"]);
    if let Value::Array(removed) = &mut plan["webhooks"]["removed"] {
        removed.truncate(CHANGES_MAX);
    }
    plan["webhooks"]["unread"] = unread.iter().take(CHANGES_MAX).cloned().collect();
    json!({
        "webhooks": plan["webhooks"].take(), "tables": plan["tables"].take(), "only_unseen": diff.only_unseen,
        "whole": whole, "summary": summary,
    })
}

fn shape(shared: &Shared, snapshot: &Snapshot) -> Value {
    json!({
        "fingerprint": snapshot.fingerprint,
        "generation": snapshot.generation,
        "loaded_at": snapshot.loaded_at,
        "webhooks": snapshot.webhooks().len(),
        "settings": shapes::settings::tables(&snapshot.settings),
        "at_next_start": at_next_start(&shared.api.live, snapshot),
        "last_error": shared.api.live.last_error(),
    })
}

/// What the live configuration says and the process cannot follow.
fn at_next_start(live: &Live, snapshot: &Snapshot) -> Value {
    let (running, wanted) = (live.started_with(), &snapshot.settings);
    let keys = [
        ("server.listen", running.listen.to_string(), wanted.server.listen.to_string()),
        ("storage.path", running.storage.display().to_string(), wanted.storage.path.display().to_string()),
    ];
    let changed = keys.into_iter().filter(|(_, running, wanted)| running != wanted);
    changed.map(|(key, running, wanted)| json!({"key": key, "running": running, "wanted": wanted})).collect()
}
