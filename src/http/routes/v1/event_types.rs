//! `GET /v1/event-types`: those that were published, with counts, and those that config.toml declares, itself or by a preset.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde_json::{Value, json};

use crate::http::Shared;
use crate::http::middleware::auth::MayRead;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::shapes::List;

/// In the order of their names.
pub(crate) async fn list(MayRead(caller): MayRead, State(shared): State<Shared>, uri: Uri) -> Result<Json<List<Value>>, Problem> {
    let mut query = Query::read(&uri, &["limit", "cursor"]);
    let window = query.names();
    query.finish()?;
    let mut types: BTreeMap<String, Value> = BTreeMap::new();
    for (name, declared) in &caller.snapshot.settings.event_types {
        let shape = json!({
            "type": name, "declared": true, "description": declared.description,
            "schema": declared.schema.as_ref().map(|schema| &schema.json), "preset": declared.preset,
            "events": 0, "first_seen_at": null, "last_seen_at": null,
        });
        types.insert(name.to_string(), shape);
    }
    for seen in shared.api.store.seen_types().await? {
        let shape = types.entry(seen.kind.to_string()).or_insert_with(
            || json!({"type": seen.kind, "declared": false, "description": null, "schema": null, "preset": null}),
        );
        shape["events"] = seen.events.into();
        shape["first_seen_at"] = json!(seen.first);
        shape["last_seen_at"] = json!(seen.last);
    }
    let (page, next) = window.page(types, |(name, _)| name);
    Ok(Json(List { data: page.into_iter().map(|(_, shape)| shape).collect(), next }))
}
