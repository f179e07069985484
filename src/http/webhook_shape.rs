//! How a webhook looks in answers: the keys of config.toml, without anything that a thief could use.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::{LanePolicy, OrderBy, Origin, WebhookSettings};
use crate::model::{EndpointAuth, OnGap, RetryPolicy, Schedule, Standing, StatusSet, TransformStep, WebhookEgress, WebhookTls};
use crate::signing::{Scheme, SignatureSpec};
use crate::snapshot::{Snapshot, Webhook};

/// Characters of a hidden value that are shown, when it is long enough to stay secret.
const TAIL_CHARS: usize = 4;
const HIDDEN_CHARS_MIN: usize = 12;

/// Words in the names of transformers' options whose values are credentials, such as PagerDuty's routing key.
const SECRET_WORDS: [&str; 6] = ["secret", "token", "password", "passwd", "authorization", "key"];

pub(super) fn shape(webhook: &Webhook, snapshot: &Snapshot) -> Value {
    let settings = &*webhook.settings;
    let standing = snapshot.switchboard.standing(webhook.key);
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
    add("status", status(settings, &standing).into());
    add("disabled", json!(standing.disabled.map(|it| json!({"by": it.by, "reason": it.reason, "at": it.at}))));
    add("failing_since", json!(standing.condition.failing_since));
    add("breaker_open", json!(standing.condition.open.map(|open| json!({"since": open.since, "probe_at": open.until}))));
    Value::Object(shape)
}

pub(super) fn status(settings: &WebhookSettings, standing: &Standing) -> &'static str {
    if !settings.enabled || standing.disabled.is_some() {
        "disabled"
    } else if standing.condition.open.is_some() {
        "breaker_open"
    } else {
        "enabled"
    }
}

/// The keys of config.toml as far as they can be shown, and `id`.
pub fn declared(settings: &WebhookSettings) -> Map<String, Value> {
    let events: Vec<&str> = settings.events.iter().map(|pattern| pattern.as_str()).collect();
    let headers: Map<String, Value> = settings
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), hidden(&String::from_utf8_lossy(value.as_bytes())).into()))
        .collect();
    let fields = [
        ("id", json!(settings.id)),
        ("url", settings.url.masked().into()),
        ("events", json!(events)),
        ("filter", json!(settings.filter.as_ref().map(|filter| filter.as_json()))),
        ("transform", transform(settings)),
        ("signature", signature(&settings.signature)),
        ("headers", headers.into()),
        ("enabled", settings.enabled.into()),
        ("description", json!(settings.description)),
        ("tenant", json!(settings.tenant)),
        ("retry", retry(&settings.retry)),
        ("retry_on", retry_on(&settings.retry)),
        ("success", json!(statuses(&settings.retry.success))),
        ("timeout", duration(settings.timeout).into()),
        ("connect_timeout", duration(settings.connect_timeout).into()),
        ("concurrency", settings.concurrency.into()),
        ("rate_limit", json!(settings.lane.rate_limit.map(|rate| rate.to_string()))),
        ("batch", batch(&settings.lane)),
        ("order_by", order(&settings.lane)),
        ("breaker", breaker(&settings.lane)),
        ("disable_after", json!(settings.lane.disable_after.map(duration))),
        ("expire_after", json!(settings.lane.expire_after.map(duration))),
        ("metadata", settings.metadata.clone().into()),
    ];
    fields.into_iter().chain(egress(&settings.egress)).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What is set of `network`, `tls` and `auth`, without anything secret.
fn egress(egress: &WebhookEgress) -> Vec<(&'static str, Value)> {
    let mut fields = Vec::new();
    if !egress.allow.is_empty() {
        let ranges: Vec<String> = egress.allow.iter().map(ToString::to_string).collect();
        fields.push(("network", json!({"allow": ranges})));
    }
    let tls = &egress.tls;
    if *tls != WebhookTls::default() {
        let shown = json!({
            "ca_file": tls.ca_file, "cert_file": tls.cert_file, "key_file": tls.key_file, "server_name": tls.server_name,
            "min_version": tls.min_version.map(|version| version.name()),
        });
        let set = shown.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        fields.push(("tls", set.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>().into()));
    }
    fields.extend(egress.auth.as_ref().map(|auth| ("auth", shown_auth(auth))));
    fields
}

fn shown_auth(auth: &EndpointAuth) -> Value {
    match auth {
        EndpointAuth::Bearer { token } => json!({"bearer": hidden(token.expose())}),
        EndpointAuth::Basic { username, .. } => json!({"basic": {"username": username, "password": "…"}}),
        EndpointAuth::OAuth2(oauth2) => json!({"oauth2": {
            "token_url": oauth2.token_url.masked(), "client_id": oauth2.client_id, "client_secret": "…",
            "scopes": oauth2.scopes,
        }}),
    }
}

fn batch(lane: &LanePolicy) -> Value {
    let shape = |policy: crate::model::BatchPolicy| json!({"max_events": policy.max_events, "max_wait": duration(policy.max_wait), "max_size": policy.max_size});
    lane.batch.map_or(Value::Null, shape)
}

fn order(lane: &LanePolicy) -> Value {
    let Some(order) = &lane.order else { return Value::Null };
    let key = match &order.by {
        OrderBy::Webhook => "*",
        OrderBy::Field(path) => path.as_str(),
    };
    json!({"key": key, "on_gap": match order.on_gap { OnGap::Block => "block", OnGap::Skip => "skip" }})
}

fn breaker(lane: &LanePolicy) -> Value {
    let shape = |policy: crate::model::BreakerPolicy| json!({"failures": policy.failures, "window": duration(policy.window), "cool_down": duration(policy.cool_down)});
    lane.breaker.map_or(Value::Null, shape)
}

pub(super) fn transform(settings: &WebhookSettings) -> Value {
    settings.transform.iter().map(step).collect()
}

fn step(step: &TransformStep) -> Value {
    let options = serde_json::from_str(&step.options).unwrap_or(Value::Null);
    json!({"use": step.name, "options": masked(options)})
}

/// Options may hold credentials of the receiving service: everything under a name that says so is hidden.
fn masked(options: Value) -> Value {
    match options {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let value = if is_secret(&name) { all_hidden(value) } else { masked(value) };
                (name, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(masked).collect(),
        Value::String(text) => shown_text(text).into(),
        other => other,
    }
}

fn is_secret(name: &str) -> bool {
    SECRET_WORDS.iter().any(|word| name.to_ascii_lowercase().contains(word))
}

fn all_hidden(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, all_hidden(value))).collect(),
        Value::Array(items) => items.into_iter().map(all_hidden).collect(),
        Value::String(text) => hidden(&text).into(),
        Value::Number(number) => hidden(&number.to_string()).into(),
        Value::Null | Value::Bool(_) => value,
    }
}

/// The name of an option of a transformer that came back as [`hidden`] shows it, and is not the one that was shown.
pub(super) fn masked_option(options: Option<&Value>) -> Option<String> {
    let is_masked = |value: &Value| value.as_str().is_some_and(|text| text.starts_with('…'));
    match options? {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            if is_secret(name) && is_masked(value) { Some(name.clone()) } else { masked_option(Some(value)) }
        }),
        Value::Array(items) => items.iter().find_map(|item| masked_option(Some(item))),
        _ => None,
    }
}

/// A text that is a URL may carry a credential wherever it stands.
fn shown_text(text: String) -> String {
    match url::Url::parse(&text) {
        Ok(url) if url.has_host() => crate::model::EndpointUrl::new(url).masked(),
        _ => text,
    }
}

/// `…3f2a`.
fn hidden(text: &str) -> String {
    let length = text.chars().count();
    let tail = if length >= HIDDEN_CHARS_MIN { TAIL_CHARS } else { 0 };
    format!("…{}", text.chars().skip(length - tail).collect::<String>())
}

/// Puts back what [`shape`] hides, where it is still as it was shown.
pub(super) fn unmask(body: &mut Map<String, Value>, settings: &WebhookSettings) {
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

fn signature(specs: &[SignatureSpec]) -> Value {
    let one = |spec: &SignatureSpec| match (&spec.scheme, &spec.header) {
        (Scheme::Template(own), _) => json!({
            "template": own.template(), "content": own.content(), "encoding": own.encoding().name(),
            "header": spec.signature_header().as_str(),
        }),
        (scheme, Some(header)) => json!({"scheme": scheme.name(), "header": header.as_str()}),
        (scheme, None) => scheme.name().into(),
    };
    match specs {
        [] => "none".into(),
        [spec] => one(spec),
        several => several.iter().map(one).collect(),
    }
}

fn retry(policy: &RetryPolicy) -> Value {
    match &policy.schedule {
        Schedule::Curve { max_retries, initial_delay, multiplier, max_delay } => json!({
            "max_retries": max_retries, "initial_delay": duration(*initial_delay), "multiplier": multiplier,
            "max_delay": duration(*max_delay), "jitter": policy.jitter,
        }),
        Schedule::List(delays) => {
            json!({"schedule": delays.iter().copied().map(duration).collect::<Vec<_>>(), "jitter": policy.jitter})
        }
    }
}

fn retry_on(policy: &RetryPolicy) -> Value {
    let causes = [("network", policy.on.network), ("timeout", policy.on.timeout)];
    let causes = causes.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned());
    causes.chain(statuses(&policy.on.statuses)).map(Value::from).collect()
}

/// As config.toml writes them: `5xx`, `429`, `500-503`.
fn statuses(set: &StatusSet) -> Vec<String> {
    let mut texts = Vec::new();
    let mut status = 100_u16;
    while status < 600 {
        let run = (status..600).take_while(|status| set.contains(*status)).count();
        let run = u16::try_from(run).unwrap_or(0);
        match run {
            0 => status += 1,
            _ if status.is_multiple_of(100) && run >= 100 => {
                texts.push(format!("{}xx", status / 100));
                status += 100;
            }
            _ => {
                let last = status + run - 1;
                texts.push(if run == 1 { status.to_string() } else { format!("{status}-{last}") });
                status = last + 1;
            }
        }
    }
    texts
}

/// In the greatest unit that needs no fraction: `500ms`, `15s`, `2m`, `1h`, `7d`.
pub(super) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    match units.into_iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_statuses_are_written_as_in_the_file() {
        for (millis, text) in [(500, "500ms"), (15_000, "15s"), (90_000, "90s"), (120_000, "2m"), (604_800_000, "7d"), (0, "0ms")]
        {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
        for texts in [&["2xx"][..], &["408", "425", "429", "5xx"], &["500-503"], &["2xx", "3xx"], &["250-299"], &["299", "3xx"]] {
            let mut set = StatusSet::default();
            texts.iter().for_each(|text| set.add(text).unwrap());
            let mut again = StatusSet::default();
            statuses(&set).iter().for_each(|text| again.add(text).unwrap());
            assert_eq!(set, again, "{texts:?}");
        }
        let mut set = StatusSet::default();
        ["408", "425", "429", "5xx"].iter().for_each(|text| set.add(text).unwrap());
        assert_eq!(statuses(&set), ["408", "425", "429", "5xx"]);
    }

    #[test]
    fn an_option_that_came_back_masked_and_moved_is_named() {
        let shown = masked(json!([{"use": "pagerduty", "options": {"nested": [{"routing_key": "R0123456789ABCDEF"}]}}]));
        assert_eq!(masked_option(Some(&shown)).as_deref(), Some("routing_key"));
        // One dot and letters are a text like any other, and what is no credential may begin with an ellipsis.
        for kept in
            [json!([{"options": {"routing_key": "R0123456789ABCDEF"}}]), json!({"options": {"text": "…and more"}}), json!("x")]
        {
            assert_eq!(masked_option(Some(&kept)), None, "{kept}");
        }
        assert_eq!(masked_option(None), None);
    }

    #[test]
    fn credentials_in_options_are_hidden_wherever_they_stand() {
        let options = json!({
            "routing_key": "R0123456789ABCDEF", "channel": "#ops", "nested": [{"apiToken": "short"}],
            "hook": "https://hooks.slack.com/services/T000/B000/XXXX3f2a",
        });
        assert_eq!(
            masked(options),
            json!({
                "routing_key": "…CDEF", "channel": "#ops", "nested": [{"apiToken": "…"}],
                "hook": "https://hooks.slack.com/services/…3f2a",
            })
        );
    }
}
