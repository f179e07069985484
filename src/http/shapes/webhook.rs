//! How a webhook looks in answers: the keys of config.toml, without anything that a thief could use.

use serde_json::{Map, Value, json};

pub use crate::config::show::declared;
use crate::config::show::{hidden, is_secret, masked};
use crate::config::{Origin, WebhookSettings};
use crate::model::WebhookStatus;
use crate::snapshot::{Snapshot, Webhook};

pub(crate) fn shape(webhook: &Webhook, snapshot: &Snapshot) -> Value {
    let settings = &*webhook.settings;
    let state = snapshot.status_board.status(webhook.key);
    let loaded_at = snapshot.loaded_at;
    let mut shape = declared(settings);
    let mut add = |key: &str, value: Value| {
        shape.insert(key.to_owned(), value);
    };
    match &settings.origin {
        Origin::Config => {
            add("origin", "config".into());
            add("file", settings.place.file.display().to_string().into());
            add("line", settings.place.line.into());
            // What the file declares is as old as its last reading: nothing older is known.
            add("created_at", json!(loaded_at));
            add("updated_at", json!(loaded_at));
        }
        Origin::Api { created, updated, suspended } => {
            add("origin", "api".into());
            add("created_at", json!(created));
            add("updated_at", json!(updated));
            if let Some(why) = suspended {
                add("suspended", why.as_str().into());
            }
        }
    }
    add("secret_preview", json!(webhook.secret().map(|secret| secret.preview())));
    add("status", status(settings, &state).into());
    add("disabled", json!(state.disabled.map(|it| json!({"by": it.by, "reason": it.reason, "at": it.at}))));
    add("failing_since", json!(state.condition.failing_since));
    add("breaker_open", json!(state.condition.open.map(|open| json!({"since": open.since, "probe_at": open.until}))));
    Value::Object(shape)
}

pub(crate) fn status(settings: &WebhookSettings, state: &WebhookStatus) -> &'static str {
    if !settings.enabled || state.disabled.is_some() {
        "disabled"
    } else if state.condition.open.is_some() {
        "breaker_open"
    } else {
        "enabled"
    }
}

/// The name of an option of a transformer that came back as [`hidden`] shows it, and is not the one that was shown.
pub(crate) fn masked_option(options: Option<&Value>) -> Option<String> {
    let is_masked = |value: &Value| value.as_str().is_some_and(|text| text.starts_with('…'));
    match options? {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            if is_secret(name) && is_masked(value) { Some(name.clone()) } else { masked_option(Some(value)) }
        }),
        Value::Array(items) => items.iter().find_map(|item| masked_option(Some(item))),
        _ => None,
    }
}

/// Puts back what [`shape`] hides, where it is still as it was shown.
pub(crate) fn unmask(body: &mut Map<String, Value>, settings: &WebhookSettings) {
    if body.get("url").and_then(Value::as_str) == Some(settings.url.masked().as_str()) {
        body.insert("url".to_owned(), settings.url.expose().as_str().into());
    }
    if let Some(Value::Object(headers)) = body.get_mut("headers") {
        for (name, value) in headers.iter_mut() {
            let known = settings.headers.iter().find(|(known, _)| known.as_str().eq_ignore_ascii_case(name));
            let known = known.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned());
            if let Some(known) = known.filter(|known| value.as_str() == Some(hidden(known).as_str())) {
                *value = known.into();
            }
        }
    }
    if let Some(Value::Array(steps)) = body.get_mut("transform") {
        for (step, known) in steps.iter_mut().zip(&settings.transform) {
            let real: Value = serde_json::from_str(&known.options).unwrap_or(Value::Null);
            if let Some(options) = step.get_mut("options") {
                unmask_value(options, &masked(real.clone()), real);
            }
        }
    }
}

fn unmask_value(value: &mut Value, shown: &Value, real: Value) {
    match (value, shown, real) {
        (Value::Object(fields), Value::Object(shown), Value::Object(real)) => {
            for (name, real) in real {
                if let (Some(value), Some(shown)) = (fields.get_mut(&name), shown.get(&name)) {
                    unmask_value(value, shown, real);
                }
            }
        }
        (Value::Array(items), Value::Array(shown), Value::Array(real)) => {
            for ((value, shown), real) in items.iter_mut().zip(shown).zip(real) {
                unmask_value(value, shown, real);
            }
        }
        (value, shown, real) => {
            if value == shown {
                *value = real;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_came_back_masked_and_moved_is_named() {
        let shown = masked(json!([{"use": "pagerduty", "options": {"nested": [{"routing_key": "R0123456789ABCDEF"}]}}]));
        assert_eq!(masked_option(Some(&shown)).as_deref(), Some("routing_key"));
        // One dot and letters are a text like any other, and what is no credential may begin with an ellipsis.
        for unmasked in
            [json!([{"options": {"routing_key": "R0123456789ABCDEF"}}]), json!({"options": {"text": "…and more"}}), json!("x")]
        {
            assert_eq!(masked_option(Some(&unmasked)), None, "{unmasked}");
        }
        assert_eq!(masked_option(None), None);
    }
}
