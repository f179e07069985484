//! `GET /v1/transformers`: the modules that are loaded.

use axum::Json;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::auth::Reader;
use super::shape::millis;
use crate::transform::Module;

pub(super) async fn list(Reader(caller): Reader) -> Json<Value> {
    let snapshot = &caller.snapshot;
    let mut modules: Vec<_> = snapshot.modules.iter().collect();
    modules.sort_by(|a, b| a.0.cmp(b.0));
    let data: Vec<Value> = modules
        .into_iter()
        .map(|(name, module)| {
            let used_by: Vec<&str> = snapshot
                .webhooks()
                .iter()
                .filter(|webhook| webhook.settings.transform.iter().any(|step| step.name == *name))
                .map(|webhook| webhook.settings.id.as_str())
                .collect();
            shape(name, module, &used_by)
        })
        .collect();
    Json(json!({"data": data, "next": null}))
}

fn shape(name: &str, module: &Module, used_by: &[&str]) -> Value {
    let (described, limits) = (module.description(), module.limits());
    let schema: Option<&RawValue> = serde_json::from_str(&described.options_schema).ok();
    json!({
        "name": name,
        "version": described.version,
        "summary": described.summary,
        "options_schema": schema,
        "sha256": module.hash_hex(),
        "limits": {"memory_bytes": limits.memory, "cpu_ms": millis(limits.cpu), "output_bytes": limits.output},
        "used_by": used_by,
    })
}
