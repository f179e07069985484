//! The shapes of other systems' exports, and what each of their members is here. Pure.

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::table::{Webhook, unique_id};
use crate::routing::Pattern;
use crate::signing::Secret;

/// Svix's own schedule: after 5 s, 5 m, 30 m, 2 h, 5 h, 10 h and 10 h.
const SVIX_SCHEDULE: [&str; 7] = ["5s", "5m", "30m", "2h", "5h", "10h", "10h"];

/// Retries that a schedule can have.
const RETRIES_MAX: u64 = 100;

/// Every object in a list, wherever the list is: bare, or under one of these members.
pub(super) fn rows<'v>(document: &'v Value, members: &[&str]) -> anyhow::Result<Vec<&'v Map<String, Value>>> {
    let found = match document {
        Value::Array(items) => Some(items),
        Value::Object(fields) => {
            let listed =
                members.iter().find_map(|member| fields.get(*member).filter(|inner| inner.is_array() || inner.is_object()));
            match listed {
                Some(Value::Array(items)) => Some(items),
                // `{"data": {"content": […]}}`.
                Some(inner) => return rows(inner, members),
                // One by itself.
                None if ["url", "target_url", "uid"].iter().any(|key| fields.contains_key(*key)) => return Ok(vec![fields]),
                None => None,
            }
        }
        _ => None,
    };
    let Some(items) = found else {
        bail!("this is no list of webhooks: there should be a JSON array, or one under {}", members.join(", "))
    };
    let object = |(at, item): (usize, &'v Value)| item.as_object().with_context(|| format!("entry {} is no object", at + 1));
    items.iter().enumerate().map(object).collect()
}

/// What all systems have, judged and noted.
struct Draft {
    webhook: Webhook,
}

impl Draft {
    fn new(row: &Map<String, Value>, ids: &[&str], taken: &[Webhook]) -> anyhow::Result<Self> {
        let url = text(row, &["url", "target_url"]).context("there is a webhook without a `url`")?;
        let host = url::Url::parse(&url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let wanted = text(row, ids).unwrap_or(host);
        let mut draft = Self { webhook: Webhook { id: unique_id(&wanted, taken), ..Webhook::default() } };
        draft.set("url", json!(url));
        if let Some(description) = text(row, &["description"]) {
            draft.set("description", json!(description.chars().take(1000).collect::<String>()));
        }
        Ok(draft)
    }

    fn set(&mut self, key: &str, value: Value) {
        self.webhook.keys.insert(key.to_owned(), value);
    }

    fn note(&mut self, note: impl Into<String>) {
        self.webhook.notes.push(note.into());
    }

    /// None, or an empty list: all of them.
    fn events(&mut self, given: Option<&Value>) {
        let listed = list(given);
        let (good, bad): (Vec<String>, Vec<String>) = listed.into_iter().partition(|text| Pattern::parse(text).is_ok());
        for text in bad {
            self.note(format!(
                "left out: `{text}` is no event type here (letters, digits, _ - : / and dots, * for a whole part)"
            ));
        }
        let all = good.is_empty();
        self.set("events", if all { json!(["*"]) } else { json!(good) });
        if all && given.is_some_and(|given| !list(Some(given)).is_empty()) {
            // Better nothing than everything.
            self.set("enabled", false.into());
            self.note("disabled: none of its event types could be taken");
        }
    }

    fn secret(&mut self, given: Option<String>) {
        match given.map(|text| (Secret::parse(&text).is_ok(), text)) {
            Some((true, text)) => self.set("secret", json!(text)),
            Some((false, _)) => self.note("its secret cannot be used here: one will be made, give it to the receiver"),
            None => self.note("the export has no secret: add secret = \"…\", or one will be made"),
        }
    }

    fn headers(&mut self, given: Option<&Value>) {
        let Some(Value::Object(headers)) = given.map(parsed).filter(|value| value.as_object().is_some_and(|map| !map.is_empty()))
        else {
            return;
        };
        self.set("headers", headers.into_iter().map(|(name, value)| (name, plain(&value).into())).collect::<Map<_, _>>().into());
    }

    fn metadata(&mut self, given: Option<&Value>) {
        if let Some(metadata) = given.map(parsed).filter(|value| value.as_object().is_some_and(|map| !map.is_empty())) {
            self.set("metadata", metadata);
        }
    }

    fn body_of(&mut self, preset: &str) {
        self.set("transform", json!({"use": "envelope", "options": {"preset": preset}}));
    }

    fn done(self, into: &mut Vec<Webhook>) {
        into.push(self.webhook);
    }
}

/// `GET /api/v1/app/{app}/endpoint`: `{"data": [{id, uid, url, description, filterTypes, channels, disabled, rateLimit, metadata}]}`.
pub(super) fn svix(document: &Value, into: &mut Vec<Webhook>) -> anyhow::Result<()> {
    for row in rows(document, &["data", "endpoints"])? {
        let mut draft = Draft::new(row, &["uid", "id"], into)?;
        draft.events(row.get("filterTypes").or(row.get("eventTypes")).filter(|types| !types.is_null()));
        draft.secret(text(row, &["secret", "key"]));
        if row.get("disabled") == Some(&true.into()) {
            draft.set("enabled", false.into());
        }
        if let Some(rate) = number(row, &["throttleRate", "rateLimit"]) {
            draft.set("rate_limit", json!(format!("{rate}/s")));
        }
        draft.headers(row.get("headers"));
        draft.metadata(row.get("metadata"));
        let channels = list(row.get("channels"));
        if !channels.is_empty() {
            // Whoever publishes says the channel in the metadata.
            draft.set("filter", json!({"metadata": {"channel": {"$in": channels}}}));
            draft.note("channels became a filter on metadata.channel: publish events with it");
        }
        draft.set("retry", json!({"schedule": SVIX_SCHEDULE}));
        draft.body_of("data");
        draft.done(into);
    }
    Ok(())
}

/// Endpoints and subscriptions of a Convoy project, in one list or several.
pub(super) fn convoy(documents: &[Value], into: &mut Vec<Webhook>) -> anyhow::Result<()> {
    let (mut endpoints, mut subscriptions) = (Vec::new(), Vec::new());
    for document in documents {
        let parts: Vec<&Value> = ["endpoints", "subscriptions"].iter().filter_map(|key| document.get(*key)).collect();
        for part in if parts.is_empty() { vec![document] } else { parts } {
            for row in rows(part, &["data", "content"])? {
                let is_subscription =
                    ["filter_config", "endpoint_metadata", "endpoint_id"].iter().any(|key| row.contains_key(*key));
                if is_subscription { subscriptions.push(row) } else { endpoints.push(row) }
            }
        }
    }
    let endpoint_of = |row: &Map<String, Value>| {
        text(row, &["endpoint_id"]).or_else(|| text(row.get("endpoint_metadata")?.as_object()?, &["uid"]))
    };
    for endpoint in endpoints {
        let uid = text(endpoint, &["uid"]);
        let own: Vec<_> = subscriptions.iter().filter(|row| uid.is_some() && endpoint_of(row) == uid).collect();
        if own.is_empty() {
            let mut draft = convoy_endpoint(endpoint, &["name", "title", "uid"], into)?;
            draft.events(None);
            draft.note("there is no subscription for it in the export: it receives everything");
            draft.done(into);
        }
        for subscription in own {
            let named: Map<String, Value> = endpoint
                .iter()
                .chain(subscription.get_key_value("name"))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            let mut draft = convoy_endpoint(&named, &["name", "title", "uid"], into)?;
            convoy_subscription(&mut draft, subscription);
            draft.done(into);
        }
    }
    Ok(())
}

fn convoy_endpoint(row: &Map<String, Value>, ids: &[&str], taken: &[Webhook]) -> anyhow::Result<Draft> {
    let mut draft = Draft::new(row, ids, taken)?;
    let secrets = row.get("secrets").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let live = secrets.iter().rev().filter_map(Value::as_object).find(|secret| text(secret, &["expires_at"]).is_none());
    draft.secret(live.and_then(|secret| text(secret, &["value"])).or_else(|| text(row, &["secret"])));
    if text(row, &["status"]).is_some_and(|status| status != "active") || row.get("is_disabled") == Some(&true.into()) {
        draft.set("enabled", false.into());
    }
    if let Some(timeout) = duration(row.get("http_timeout")) {
        draft.set("timeout", json!(timeout));
    }
    // None at all is written as 0.
    if let Some(count) = number(row, &["rate_limit"]).filter(|count| *count > 0) {
        let window = duration(row.get("rate_limit_duration")).unwrap_or_else(|| "1m".to_owned());
        draft.set(
            "rate_limit",
            json!(format!(
                "{count}/{}",
                if window == "1s" {
                    "s"
                } else if window == "1m" {
                    "m"
                } else {
                    &window
                }
            )),
        );
    }
    if let Some(Value::Object(key)) = row.get("authentication").and_then(|auth| auth.get("api_key"))
        && let (Some(name), Some(value)) = (text(key, &["header_name"]), text(key, &["header_value"]))
    {
        draft.set("headers", json!({name: value}));
    }
    let (template, content) = match row.get("advanced_signatures") == Some(&true.into()) {
        true => ("t={timestamp},v1={signature}", "{timestamp},{body}"),
        false => ("{signature}", "{body}"),
    };
    draft.set("signature", json!({"template": template, "content": content, "header": "X-Convoy-Signature", "encoding": "hex"}));
    draft.body_of("data");
    Ok(draft)
}

fn convoy_subscription(draft: &mut Draft, row: &Map<String, Value>) {
    let config = row.get("filter_config").unwrap_or(&Value::Null);
    draft.events(config.get("event_types"));
    let filter = config.get("filter").unwrap_or(&Value::Null);
    if let Some(body) = filter.get("body").filter(|body| body.as_object().is_some_and(|body| !body.is_empty())) {
        draft.set("filter", json!({"data": body}));
    }
    if filter.get("headers").and_then(Value::as_object).is_some_and(|headers| !headers.is_empty()) {
        draft.note("its filter on headers was left out: events have none here, use metadata");
    }
    let retry = row.get("retry_config").unwrap_or(&Value::Null);
    let (count, delay) = (retry.get("retry_count").and_then(Value::as_u64), duration(retry.get("duration")));
    if let (Some(count), Some(delay)) = (count, delay) {
        let linear = retry.get("type").and_then(Value::as_str) != Some("exponential");
        draft.set("retry", curve(count, &delay, if linear { 1.0 } else { 2.0 }));
    }
}

/// `{id, url, events, enabled, description, secret, retryConfig: {maxRetries, initialDelay (ms), backoffMultiplier}}`.
pub(super) fn flexgate(document: &Value, into: &mut Vec<Webhook>) -> anyhow::Result<()> {
    for row in rows(document, &["webhooks", "data"])? {
        let mut draft = Draft::new(row, &["id"], into)?;
        draft.events(row.get("events"));
        draft.secret(text(row, &["secret"]));
        if row.get("enabled") == Some(&false.into()) {
            draft.set("enabled", false.into());
        }
        if let Some(Value::Object(config)) = row.get("retryConfig") {
            let delay = number(config, &["initialDelay"]).map_or_else(|| "1s".to_owned(), millis);
            let multiplier = config.get("backoffMultiplier").and_then(Value::as_f64).unwrap_or(2.0);
            draft.set("retry", curve(number(config, &["maxRetries"]).unwrap_or(3), &delay, multiplier));
        }
        draft.set("signature", json!("sha256"));
        draft.body_of("flexgate");
        draft.done(into);
    }
    Ok(())
}

/// `{id, url, events, secret, active, retry_count, retry_delay (s), timeout (s), headers, metadata}`; lists and tables may be
/// JSON as text, and booleans 0 and 1, as its database has them.
pub(super) fn python(document: &Value, into: &mut Vec<Webhook>) -> anyhow::Result<()> {
    for row in rows(document, &["webhooks", "data"])? {
        let mut draft = Draft::new(row, &["id"], into)?;
        let events = row.get("events").map(parsed);
        draft.events(events.as_ref());
        draft.secret(text(row, &["secret"]));
        if matches!(row.get("active"), Some(active) if *active == json!(false) || *active == json!(0)) {
            draft.set("enabled", false.into());
        }
        let (count, delay) = (number(row, &["retry_count"]), duration(row.get("retry_delay")));
        match (count, row.get("retry_delay").and_then(Value::as_f64)) {
            (Some(0), _) => draft.set("retry", json!({"max_retries": 0})),
            // The delay grows by itself each time: d, 2d, 3d.
            (Some(count), Some(seconds)) if delay.is_some() && seconds > 0.0 => {
                let delays: Vec<String> =
                    (1..=count.min(RETRIES_MAX)).map(|n| whole_millis(seconds * n as f64 * 1000.0)).collect();
                draft.set("retry", json!({"schedule": delays}));
            }
            (Some(count), _) => draft.set("retry", json!({"max_retries": count.min(RETRIES_MAX)})),
            (None, _) => {}
        }
        if let Some(timeout) = duration(row.get("timeout")) {
            draft.set("timeout", json!(timeout));
        }
        draft.headers(row.get("headers"));
        draft.metadata(row.get("metadata"));
        draft.set("signature", json!("sha256"));
        draft.body_of("python");
        draft.done(into);
    }
    Ok(())
}

fn curve(count: u64, delay: &str, multiplier: f64) -> Value {
    let multiplier = if multiplier.fract() == 0.0 { json!(multiplier as i64) } else { json!(multiplier) };
    json!({"max_retries": count.min(RETRIES_MAX), "initial_delay": delay, "multiplier": multiplier})
}

fn text(row: &Map<String, Value>, keys: &[&str]) -> Option<String> {
    keys.iter().filter_map(|key| row.get(*key)?.as_str()).find(|text| !text.trim().is_empty()).map(str::to_owned)
}

fn number(row: &Map<String, Value>, keys: &[&str]) -> Option<u64> {
    keys.iter().find_map(|key| row.get(*key)?.as_u64())
}

fn list(value: Option<&Value>) -> Vec<String> {
    value.map(parsed).and_then(|value| value.as_array().map(|items| items.iter().map(plain).collect())).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// JSON that was kept as text.
fn parsed(value: &Value) -> Value {
    match value {
        Value::String(text) if text.trim_start().starts_with(['[', '{']) => {
            serde_json::from_str(text).unwrap_or_else(|_| value.clone())
        }
        other => other.clone(),
    }
}

/// Seconds, or text with a unit.
fn duration(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Number(seconds) => seconds.as_f64().filter(|seconds| *seconds > 0.0).map(|seconds| whole_millis(seconds * 1000.0)),
        Value::String(text) => match text.parse::<f64>() {
            Ok(seconds) if seconds > 0.0 => Some(whole_millis(seconds * 1000.0)),
            Ok(_) => None,
            Err(_) => crate::cli::verify::parse_duration(text).ok().map(|_| text.clone()),
        },
        _ => None,
    }
}

fn whole_millis(ms: f64) -> String {
    // Saturates; a delay is never that long.
    millis(ms.round() as u64)
}

/// In the greatest unit that needs no fraction.
fn millis(ms: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    match units.into_iter().find(|(_, unit)| ms > 0 && ms.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}
