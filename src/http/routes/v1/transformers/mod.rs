//! `GET /v1/transformers`: the modules that are loaded, those that cannot be loaded, and the prebuilt ones that no webhook uses.

pub(crate) mod run;

use axum::Json;
use axum::extract::State;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::http::middleware::auth::MayRead;
use crate::http::problem::{Kind, Problem};
use crate::http::shapes::millis;
use crate::http::{PathId, Shared};
use crate::snapshot::Snapshot;
use crate::transform::{self, Module};

/// Characters of a name; more is none of ours.
const NAME_CHARS_MAX: usize = 100;

pub(crate) async fn list(MayRead(caller): MayRead) -> Json<Value> {
    let snapshot = &caller.snapshot;
    let mut modules: Vec<_> = snapshot.modules.iter().collect();
    modules.sort_by(|a, b| a.0.cmp(b.0));
    let mut data: Vec<Value> = modules.into_iter().map(|(name, module)| shape(name, module, &used_by(snapshot, name))).collect();
    data.extend(snapshot.broken.iter().map(|(name, error)| json!({"name": name, "loaded": false, "error": error})));
    let unused = transform::prebuilt_names()
        .filter(|name| !snapshot.modules.contains_key(*name) && !snapshot.broken.contains_key(*name))
        .map(|name| json!({"name": name, "loaded": false, "error": null}));
    data.extend(unused);
    Json(json!({"data": data, "next": null}))
}

/// One, whether a webhook uses it or not: its schema is what a form for a new webhook is made of.
pub(crate) async fn show(
    MayRead(caller): MayRead,
    State(shared): State<Shared>,
    PathId(name): PathId,
) -> Result<Json<Value>, Problem> {
    let module = load(&shared, &name).await?;
    Ok(Json(shape(&name, &module, &used_by(&caller.snapshot, &name))))
}

/// The module of this name, loaded if it is not.
pub(crate) async fn load(shared: &Shared, name: &str) -> Result<std::sync::Arc<Module>, Problem> {
    let is_name =
        !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if !is_name {
        return Err(Problem::not_found("transformer", name));
    }
    let module = shared.api.control.module(name.to_owned()).await;
    module.map_err(|error| Problem::new(Kind::NotFound, format!("the transformer `{name}` cannot be run: {error}")))
}

fn used_by<'s>(snapshot: &'s Snapshot, name: &str) -> Vec<&'s str> {
    let uses = snapshot.webhooks().iter().filter(|webhook| webhook.settings.transform.iter().any(|step| step.name == name));
    uses.map(|webhook| webhook.settings.id.as_str()).collect()
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
