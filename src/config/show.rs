//! Settings as people see them: as config.toml writes them, without anything that a thief could use.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::keys::webhook::rows::ROWS;
use super::settings::{LanePolicy, OrderBy, WebhookSettings};
use super::text::units::show_size;
use crate::model::{EndpointAuth, OnFailure, RetryPolicy, Schedule, StatusSet, TransformStep, WebhookEgress, WebhookTls};
use crate::signing::{Scheme, SignatureSpec};

/// Characters of a hidden value that are shown, when it is long enough to stay secret.
const TAIL_CHARS: usize = 4;
const HIDDEN_CHARS_MIN: usize = 12;

/// Words in the names of transformers' options whose values are credentials, such as PagerDuty's routing key.
const SECRET_WORDS: [&str; 6] = ["secret", "token", "password", "passwd", "authorization", "key"];

/// The keys of config.toml that a webhook has, as far as they can be shown, and `id`.
pub fn declared(settings: &WebhookSettings) -> Map<String, Value> {
    let id = ("id".to_owned(), json!(settings.id));
    let keys = ROWS.iter().filter_map(|row| Some((row.key.name.to_owned(), (row.show)(settings)?)));
    std::iter::once(id).chain(keys).collect()
}

/// Values hidden: each may be a credential.
pub(crate) fn headers(headers: &[(HeaderName, HeaderValue)]) -> Value {
    let shown = |(name, value): &(HeaderName, HeaderValue)| {
        (name.as_str().to_owned(), hidden(&String::from_utf8_lossy(value.as_bytes())).into())
    };
    Value::Object(headers.iter().map(shown).collect())
}

pub(crate) fn network(egress: &WebhookEgress) -> Option<Value> {
    let ranges: Vec<String> = egress.allow.iter().map(ToString::to_string).collect();
    (!ranges.is_empty()).then(|| json!({"allow": ranges}))
}

pub(crate) fn tls(tls: &WebhookTls) -> Option<Value> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| json!(path));
    let shown = [
        ("ca_file", path(&tls.ca_file)),
        ("cert_file", path(&tls.cert_file)),
        ("key_file", path(&tls.key_file)),
        ("server_name", tls.server_name.as_deref().map(Value::from)),
        ("min_version", tls.min_version.map(|version| version.name().into())),
    ];
    let set: Map<String, Value> = shown.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    (!set.is_empty()).then_some(Value::Object(set))
}

pub(crate) fn auth(auth: &EndpointAuth) -> Value {
    match auth {
        EndpointAuth::Bearer { token } => json!({"bearer": hidden(token.expose())}),
        EndpointAuth::Basic { username, .. } => json!({"basic": {"username": username, "password": "…"}}),
        EndpointAuth::OAuth2(oauth2) => json!({"oauth2": {
            "token_url": oauth2.token_url.masked(), "client_id": oauth2.client_id, "client_secret": "…",
            "scopes": oauth2.scopes,
        }}),
    }
}

pub(crate) fn batch(lane: &LanePolicy) -> Value {
    let shape = |policy: crate::model::BatchPolicy| json!({"max_events": policy.max_events, "max_wait": duration(policy.max_wait), "max_size": show_size(policy.max_size as u64)});
    lane.batch.map_or(Value::Null, shape)
}

pub(crate) fn order(lane: &LanePolicy) -> Value {
    let Some(order) = &lane.order else { return Value::Null };
    let key = match &order.by {
        OrderBy::Webhook => "*",
        OrderBy::Field(path) => path.as_str(),
    };
    json!({"key": key, "on_gap": match order.on_gap { OnFailure::Block => "block", OnFailure::Skip => "skip" }})
}

pub(crate) fn breaker(lane: &LanePolicy) -> Value {
    let shape = |policy: crate::model::BreakerPolicy| json!({"failures": policy.failures, "window": duration(policy.window), "cool_down": duration(policy.cool_down)});
    lane.breaker.map_or(Value::Null, shape)
}

pub(crate) fn transform(settings: &WebhookSettings) -> Value {
    settings.transform.iter().map(step).collect()
}

fn step(step: &TransformStep) -> Value {
    let options = serde_json::from_str(&step.options).unwrap_or(Value::Null);
    json!({"use": step.name, "options": masked(options)})
}

/// Options may hold credentials of the receiving service: everything under a name that says so is hidden.
pub(crate) fn masked(options: Value) -> Value {
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

pub(crate) fn is_secret(name: &str) -> bool {
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

/// A text that is a URL may carry a credential in any option.
fn shown_text(text: String) -> String {
    match url::Url::parse(&text) {
        Ok(url) if url.has_host() => crate::model::EndpointUrl::new(url).masked(),
        _ => text,
    }
}

/// `…3f2a`.
pub(crate) fn hidden(text: &str) -> String {
    let length = text.chars().count();
    let tail = if length >= HIDDEN_CHARS_MIN { TAIL_CHARS } else { 0 };
    format!("…{}", text.chars().skip(length - tail).collect::<String>())
}

pub(crate) fn signature(specs: &[SignatureSpec]) -> Value {
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

pub(crate) fn retry(policy: &RetryPolicy) -> Value {
    match &policy.schedule {
        Schedule::Curve(curve) => json!({
            "max_retries": curve.max_retries(), "initial_delay": duration(curve.initial_delay()), "multiplier": curve.multiplier(),
            "max_delay": duration(curve.max_delay()), "jitter": policy.jitter.share(),
        }),
        Schedule::List(delays) => {
            json!({"schedule": delays.iter().copied().map(duration).collect::<Vec<_>>(), "jitter": policy.jitter.share()})
        }
    }
}

pub(crate) fn retry_on(policy: &RetryPolicy) -> Value {
    let causes = [("network", policy.on.network), ("timeout", policy.on.timeout)];
    let causes = causes.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned());
    causes.chain(statuses(&policy.on.statuses)).map(Value::from).collect()
}

/// As config.toml writes them: `5xx`, `429`, `500-503`.
pub(crate) fn statuses(set: &StatusSet) -> Vec<String> {
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
pub(crate) fn duration(duration: Duration) -> String {
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
