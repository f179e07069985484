//! The API described: OpenAPI 3.1, made from the types that answers are made of and from what `paths` says of each
//! route. Every route of the router is in it (a test compares them), and a live server is held against it.

mod config_schemas;
mod manage_schemas;
mod operations;
mod page;
mod params;
mod paths;
mod paths_manage;
mod paths_switches;
mod schemas;
mod sent;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::HeaderName;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use crate::config::{shown_properties, webhook_properties};
use crate::http::assets::PERMISSIONS_POLICY;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tenterhook",
        description = "Webhook delivery: events in, signed and transformed deliveries out, durable.\n\nSend a token: \
                       `Authorization: Bearer <token>`. Errors are `application/problem+json` (RFC 9457), with a `detail` that says \
                       how to fix it. Lists are newest first; go on with `cursor` = `next` of the page before. Answers carry \
                       `X-Request-Id`, and `X-RateLimit-*` where `[server.rate_limit]` sets a limit. Every POST takes an \
                       `Idempotency-Key`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "events", description = "Publish events, see what became of them."),
        (name = "deliveries", description = "Every event × webhook, with each attempt."),
        (name = "webhooks", description = "Who gets what."),
        (name = "statistics", description = "Totals, rates, percentiles, the last 24 hours."),
        (name = "transformers", description = "WebAssembly modules that turn events into requests."),
        (name = "operation", description = "Configuration, health and this document."),
    ),
    components(schemas(schemas::Problem)),
    servers((url = "/", description = "This server")),
)]
struct Base;

/// The document, as it is served and printed.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(make);
    &DOCUMENT
}

fn make() -> Value {
    let mut base = Base::openapi();
    base.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token of `[tokens]`.")).build();
    let components = base.components.get_or_insert_default();
    components.security_schemes.insert("token".to_owned(), SecurityScheme::Http(token).into());
    base.merge(paths::all());
    base.merge(paths_manage::all());
    base.merge(paths_switches::all());
    let mut document = serde_json::to_value(&base).unwrap_or_default();
    add_webhook_keys(&mut document);
    operations::complete(&mut document);
    document["webhooks"] = sent::webhooks();
    document
}

/// What a webhook's keys are is said once, in the registry of config.toml's keys.
fn add_webhook_keys(document: &mut Value) {
    let sent = webhook_properties();
    let changed: Map<String, Value> =
        sent.iter().map(|(key, schema)| (key.clone(), json!({"anyOf": [schema, {"type": "null"}]}))).collect();
    // `network`, `tls` and `auth` are shown where they are set.
    let shown = shown_properties();
    let always: Vec<String> = shown.keys().filter(|key| !matches!(key.as_str(), "network" | "tls" | "auth")).cloned().collect();
    let required = vec!["url".to_owned(), "events".to_owned()];
    for (name, properties, required) in
        [("Webhook", shown.clone(), always), ("WebhookInput", sent.clone(), required), ("WebhookPatch", changed, Vec::new())]
    {
        let schema = &mut document["components"]["schemas"][name];
        if let Some(fields) = schema["properties"].as_object_mut() {
            fields.extend(properties);
        } else {
            schema["properties"] = Value::Object(properties);
        }
        let mut all: Vec<String> = serde_json::from_value(schema["required"].take()).unwrap_or_default();
        all.extend(required);
        match schema.as_object_mut() {
            Some(schema) if all.is_empty() => drop(schema.remove("required")),
            _ => schema["required"] = json!(all),
        }
    }
}

pub(crate) use schemas::{LogLine, Outcome, State, Trigger};

pub(crate) async fn json() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| serde_json::to_string_pretty(document()).unwrap_or_default());
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")];
    (headers, TEXT.as_str()).into_response()
}

/// Nothing is fetched and nothing runs: one page with its own style.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) async fn docs() -> Response {
    static PAGE: LazyLock<String> = LazyLock::new(|| page::render(document()));
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY),
    ];
    (headers, PAGE.as_str()).into_response()
}
