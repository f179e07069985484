//! The shapes of other systems' exports, and what each of their members is here. Pure.

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::filter;
use super::row::Row;
use super::table::{Webhook, unique_id};
use crate::routing::Pattern;
use crate::signing::Secret;

/// Svix's own schedule: after 5 s, 5 m, 30 m, 2 h, 5 h, 10 h and 10 h.
const SVIX_SCHEDULE: [&str; 7] = ["5s", "5m", "30m", "2h", "5h", "10h", "10h"];

/// Retries that a schedule can have.
const RETRIES_MAX: u64 = 100;

/// Every object in a list: the list may be bare, or under one of these members.
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

/// A webhook in the making: its keys, and what a person has to know.
struct Draft {
    webhook: Webhook,
}

impl Draft {
    fn new(row: &mut Row<'_>, ids: &[&str], taken: &[Webhook]) -> anyhow::Result<Self> {
        let url = row.text(&["url", "target_url"]).context("there is a webhook without a `url`")?;
        let host = url::Url::parse(&url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let wanted = row.text(ids).unwrap_or(host);
        let mut draft = Self { webhook: Webhook { id: unique_id(&wanted, taken), ..Webhook::default() } };
        draft.set("url", json!(url));
        if let Some(description) = row.text(&["description"]) {
            draft.set("description", json!(description.chars().take(1000).collect::<String>()));
        }
        if row.text(&["deleted_at", "deletedAt"]).is_some() {
            draft.disable("it was deleted there");
        }
        Ok(draft)
    }

    fn set(&mut self, key: &str, value: Value) {
        self.webhook.keys.insert(key.to_owned(), value);
    }

    fn note(&mut self, note: impl Into<String>) {
        self.webhook.notes.push(note.into());
    }

    /// Better nothing than what the receiver should not get.
    fn disable(&mut self, why: &str) {
        self.set("enabled", false.into());
        self.note(format!("disabled: {why}"));
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
            self.disable("none of its event types could be taken");
        }
    }

    fn secret(&mut self, given: Option<String>) {
        match given.map(|text| (Secret::parse(&text).is_ok(), text)) {
            Some((true, text)) => self.set("secret", json!(text)),
            Some((false, _)) => self.note("its secret cannot be used here: one is generated, give it to the receiver"),
            None => self.note("the export has no secret: add secret = \"…\", or one is generated"),
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

    /// Code of the receiver's shape that does not come along.
    fn function(&mut self, name: &str, is_on: bool) {
        let how = "write it as a transformer (docs/transformers.md, \"Coming from\") and put it into `transform`";
        if is_on {
            self.disable(&format!("its `{name}` is code that shapes the body, and was left out: {how}"));
        } else {
            self.note(format!("left out: its `{name}`, which was switched off there: {how}"));
        }
    }

    fn done<'v>(mut self, rows: impl IntoIterator<Item = Row<'v>>, into: &mut Vec<Webhook>) {
        self.webhook.notes.extend(rows.into_iter().flat_map(Row::finish));
        into.push(self.webhook);
    }
}

/// `GET /api/v1/app/{app}/endpoint`: `{"data": [{id, uid, url, description, filterTypes, channels, disabled, rateLimit, metadata}]}`.
pub(super) fn svix(document: &Value, into: &mut Vec<Webhook>) -> anyhow::Result<()> {
    for row in rows(document, &["data", "endpoints"])? {
        let mut row = Row::new(row);
        row.ignore(&["version"]);
        let mut draft = Draft::new(&mut row, &["uid", "id"], into)?;
        let types = [row.get("filterTypes"), row.get("eventTypes")];
        draft.events(types.into_iter().flatten().next());
        draft.secret(row.text(&["secret", "key"]));
        if row.get("disabled") == Some(&true.into()) {
            draft.set("enabled", false.into());
        }
        if let Some(rate) = row.number(&["throttleRate", "rateLimit"]) {
            draft.set("rate_limit", json!(format!("{rate}/s")));
        }
        draft.headers(row.get("headers"));
        draft.metadata(row.get("metadata"));
        let channels = list(row.get("channels"));
        if !channels.is_empty() {
            // The publisher names the channel in the metadata.
            draft.set("filter", json!({"metadata": {"channel": {"$in": channels}}}));
            draft.note("channels became a filter on metadata.channel: publish events with it");
        }
        if let Some(code) = row.get("transformation") {
            let is_on = code.get("enabled").and_then(Value::as_bool).unwrap_or(true);
            draft.function("transformation", is_on);
        }
        draft.set("retry", json!({"schedule": SVIX_SCHEDULE}));
        draft.body_of("data");
        draft.done([row], into);
    }
    Ok(())
}

/// A list of a Convoy project.
pub(super) struct ConvoyList<'v> {
    pub(super) part: &'v Value,
    pub(super) rows: Vec<&'v Map<String, Value>>,
    pub(super) is_subscriptions: bool,
}

/// The lists of endpoints and of subscriptions, in one document or several.
pub(super) fn convoy_lists(documents: &[Value]) -> anyhow::Result<Vec<ConvoyList<'_>>> {
    let mut lists = Vec::new();
    for document in documents {
        let parts: Vec<&Value> = ["endpoints", "subscriptions"].iter().filter_map(|key| document.get(*key)).collect();
        for part in if parts.is_empty() { vec![document] } else { parts } {
            let rows = rows(part, &["data", "content"])?;
            let of_subscriptions = |row: &&Map<String, Value>| {
                ["filter_config", "endpoint_metadata", "endpoint_id"].iter().any(|key| row.contains_key(*key))
            };
            let is_subscriptions = rows.iter().any(of_subscriptions);
            lists.push(ConvoyList { part, rows, is_subscriptions });
        }
    }
    Ok(lists)
}

/// Endpoints and subscriptions of a Convoy project; answers how many subscriptions belong to no endpoint of the export.
pub(super) fn convoy(lists: &[ConvoyList<'_>], into: &mut Vec<Webhook>) -> anyhow::Result<usize> {
    let of = |subscriptions: bool| {
        let lists = lists.iter().filter(move |list| list.is_subscriptions == subscriptions);
        lists.flat_map(|list| list.rows.iter().copied()).collect::<Vec<_>>()
    };
    let (endpoints, subscriptions) = (of(false), of(true));
    let text = |row: &Map<String, Value>, key: &str| {
        row.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let endpoint_of =
        |row: &Map<String, Value>| text(row, "endpoint_id").or_else(|| text(row.get("endpoint_metadata")?.as_object()?, "uid"));
    let mut joined = 0;
    for endpoint in endpoints {
        let uid = text(endpoint, "uid");
        let own: Vec<_> = subscriptions.iter().filter(|row| uid.is_some() && endpoint_of(row) == uid).collect();
        joined += own.len();
        if own.is_empty() {
            let mut row = Row::new(endpoint);
            let mut draft = convoy_endpoint(&mut row, None, into)?;
            draft.events(None);
            draft.disable("there is no subscription for it in the export, so there it receives nothing");
            draft.done([row], into);
        }
        for subscription in own {
            let (mut row, mut of) = (Row::new(endpoint), Row::new(subscription));
            let name = of.text(&["name"]);
            let mut draft = convoy_endpoint(&mut row, name, into)?;
            let rest = convoy_subscription(&mut draft, &mut of);
            draft.done([row, of].into_iter().chain(rest), into);
        }
    }
    Ok(subscriptions.len() - joined)
}

fn convoy_endpoint(row: &mut Row<'_>, name: Option<String>, taken: &[Webhook]) -> anyhow::Result<Draft> {
    row.ignore(&["project_id", "group_id", "events", "is_encrypted"]);
    let named = row.text(&["name", "title"]);
    let mut draft = Draft::new(row, &["uid"], taken)?;
    if let Some(wanted) = name.or(named) {
        draft.webhook.id = unique_id(&wanted, taken);
    }
    let secrets = row.get("secrets").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let value =
        |secret: &Value, key: &str| secret.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let live = secrets.iter().rev().find(|secret| value(secret, "expires_at").is_none());
    draft.secret(live.and_then(|secret| value(secret, "value")).or_else(|| row.text(&["secret"])));
    if secrets.len() > 1 {
        draft.note(format!("left out: {} older secrets", secrets.len() - 1));
    }
    let is_active = row.text(&["status"]).is_none_or(|status| status == "active");
    if !is_active || row.get("is_disabled") == Some(&true.into()) {
        draft.set("enabled", false.into());
    }
    if let Some(timeout) = duration(row.get("http_timeout")) {
        draft.set("timeout", json!(timeout));
    }
    let window = duration(row.get("rate_limit_duration")).unwrap_or_else(|| "1m".to_owned());
    // None at all is written as 0.
    if let Some(count) = row.number(&["rate_limit"]).filter(|count| *count > 0) {
        let per = match window.as_str() {
            "1s" => "s",
            "1m" => "m",
            other => other,
        };
        draft.set("rate_limit", json!(format!("{count}/{per}")));
    }
    let mut rest = Vec::new();
    if let Some(mut auth) = row.inner("authentication") {
        auth.ignore(&["type"]);
        if let Some(mut key) = auth.inner("api_key") {
            if let (Some(name), Some(value)) = (key.text(&["header_name"]), key.text(&["header_value"])) {
                draft.set("headers", json!({name: value}));
            }
            rest.push(key);
        }
        rest.push(auth);
    }
    draft.webhook.notes.extend(rest.into_iter().flat_map(Row::finish));
    if let Some(owner) = row.text(&["owner_id"]) {
        draft.note(format!(
            "left out: owner_id = {}: events that go to all endpoints of an owner there have that tenant here (`tenant`)",
            json!(owner)
        ));
    }
    let (template, content) = match row.get("advanced_signatures") == Some(&true.into()) {
        true => ("t={timestamp},v1={signature}", "{timestamp},{body}"),
        false => ("{signature}", "{body}"),
    };
    draft.set("signature", json!({"template": template, "content": content, "header": "X-Convoy-Signature", "encoding": "hex"}));
    draft.body_of("data");
    Ok(draft)
}

/// The objects within it, with what nobody read there.
fn convoy_subscription<'v>(draft: &mut Draft, row: &mut Row<'v>) -> Vec<Row<'v>> {
    row.ignore(&["uid", "type", "project_id", "group_id", "endpoint_id", "endpoint_metadata"]);
    let mut rest = Vec::new();
    if row.text(&["status"]).is_some_and(|status| status != "active") {
        draft.set("enabled", false.into());
    }
    match row.inner("filter_config") {
        None => draft.events(None),
        Some(mut config) => {
            draft.events(config.get("event_types"));
            if let Some(mut scopes) = config.inner("filter") {
                convoy_filter(draft, &mut scopes);
                rest.push(scopes);
            }
            rest.push(config);
        }
    }
    if row.text(&["function"]).is_some() {
        draft.function("function", true);
    }
    if let Some(mut retry) = row.inner("retry_config") {
        let (count, delay) = (retry.number(&["retry_count"]), duration(retry.get("duration")));
        let linear = retry.text(&["type"]).as_deref() != Some("exponential");
        if let (Some(count), Some(delay)) = (count, delay) {
            draft.set("retry", curve(count, &delay, if linear { 1.0 } else { 2.0 }));
        }
        rest.push(retry);
    }
    rest
}

/// Conditions on what events here do not have cannot be carried over; without them the receiver would get too much.
fn convoy_filter(draft: &mut Draft, scopes: &mut Row<'_>) {
    scopes.ignore(&["is_flattened"]);
    if let Some(body) = scopes.get("body").filter(|body| body.as_object().is_some_and(|body| !body.is_empty())) {
        let (conditions, dropped) = filter::nested(body);
        draft.set("filter", json!({"data": conditions}));
        if dropped {
            draft.note("positions in lists (`$`, numbers) were dropped from its filter: a condition holds when some element satisfies it");
        }
    }
    for scope in ["headers", "query", "path"] {
        if scopes.get(scope).is_some_and(|conditions| conditions.as_object().is_none_or(|conditions| !conditions.is_empty())) {
            draft.disable(&format!("its filter on {scope} was left out, and without it the receiver would get more: events have none here, use metadata"));
        }
    }
}

/// `{id, url, events, enabled, description, secret, retryConfig: {maxRetries, initialDelay (ms), backoffMultiplier}}`.
pub(super) fn flexgate(document: &Value, into: &mut Vec<Webhook>) -> anyhow::Result<()> {
    for row in rows(document, &["webhooks", "data"])? {
        let mut row = Row::new(row);
        let mut draft = Draft::new(&mut row, &["id"], into)?;
        draft.events(row.get("events"));
        draft.secret(row.text(&["secret"]));
        if row.get("enabled") == Some(&false.into()) {
            draft.set("enabled", false.into());
        }
        let mut rest = Vec::new();
        if let Some(mut config) = row.inner("retryConfig") {
            let delay = config.number(&["initialDelay"]).map_or_else(|| "1s".to_owned(), millis);
            let multiplier = config.get("backoffMultiplier").and_then(Value::as_f64).unwrap_or(2.0);
            draft.set("retry", curve(config.number(&["maxRetries"]).unwrap_or(3), &delay, multiplier));
            rest.push(config);
        }
        draft.set("signature", json!("sha256"));
        draft.body_of("flexgate");
        rest.push(row);
        draft.done(rest, into);
    }
    Ok(())
}

/// `{id, url, events, secret, active, retry_count, retry_delay (s), timeout (s), headers, metadata}`; lists and tables may be
/// JSON as text, and booleans 0 and 1, as its database has them.
pub(super) fn python(document: &Value, into: &mut Vec<Webhook>) -> anyhow::Result<()> {
    for row in rows(document, &["webhooks", "data"])? {
        let mut row = Row::new(row);
        let mut draft = Draft::new(&mut row, &["id"], into)?;
        let events = row.get("events").map(parsed);
        draft.events(events.as_ref());
        draft.secret(row.text(&["secret"]));
        if matches!(row.get("active"), Some(active) if *active == json!(false) || *active == json!(0)) {
            draft.set("enabled", false.into());
        }
        let (count, given) = (row.number(&["retry_count"]), row.get("retry_delay"));
        match (count, given.and_then(Value::as_f64)) {
            (Some(0), _) => draft.set("retry", json!({"max_retries": 0})),
            // The delay grows each time: d, 2d, 3d.
            (Some(count), Some(seconds)) if duration(given).is_some() && seconds > 0.0 => {
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
        draft.done([row], into);
    }
    Ok(())
}

fn curve(count: u64, delay: &str, multiplier: f64) -> Value {
    let multiplier = if multiplier.fract() == 0.0 { json!(multiplier as i64) } else { json!(multiplier) };
    json!({"max_retries": count.min(RETRIES_MAX), "initial_delay": delay, "multiplier": multiplier})
}

fn list(value: Option<&Value>) -> Vec<String> {
    value.map(parsed).and_then(|value| value.as_array().map(|items| items.iter().map(plain).collect())).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// JSON that was stored as text.
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
