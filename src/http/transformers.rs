//! `GET /v1/transformers`: the modules that are loaded, those that are broken, and the prebuilt ones that nobody uses.

use axum::Json;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::auth::Reader;
use super::shape::millis;
use crate::transform::{self, Module};

pub(super) async fn list(Reader(caller): Reader) -> Json<Value> {
    let snapshot = &caller.snapshot;
    let mut modules: Vec<_> = snapshot.modules.iter().collect();
    modules.sort_by(|a, b| a.0.cmp(b.0));
    let mut data: Vec<Value> = modules
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
    data.extend(snapshot.broken.iter().map(|(name, error)| json!({"name": name, "loaded": false, "error": error})));
    let unused = transform::prebuilt_names()
        .filter(|name| !snapshot.modules.contains_key(*name) && !snapshot.broken.contains_key(*name))
        .map(|name| json!({"name": name, "loaded": false, "error": null}));
    data.extend(unused);
    Json(json!({"data": data, "next": null}))
}

fn shape(name: &str, module: &Module, used_by: &[&str]) -> Value {
    let (described, limits) = (module.description(), module.limits());
    let usage = module.usage();
    let schema: Option<&RawValue> = serde_json::from_str(&described.options_schema).ok();
    json!({
        "name": name,
        "loaded": true,
        "error": null,
        "version": described.version,
        "summary": described.summary,
        "options_schema": schema,
        "sha256": module.hash_hex(),
        "limits": {"memory_bytes": limits.memory, "cpu_ms": millis(limits.cpu), "output_bytes": limits.output,
                   "log_bytes": limits.log, "instances": module.instances_max()},
        "size_bytes": module.size(),
        "wit_version": module.wit_version(),
        "usage": {"calls": usage.calls, "errors": usage.errors,
                  "p50_us": usage.p50.map(micros), "p99_us": usage.p99.map(micros)},
        "used_by": used_by,
    })
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
