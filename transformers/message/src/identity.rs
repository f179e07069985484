//! Which thing an event is about, by its data: the values that tell incidents apart. Owns the words for things.

use std::borrow::Cow;

use crate::{Json, Kind, View, blank};

/// Words for things that trouble happens to, without `_`, `-` and case. A key that is one of them, or one of them with
/// `id` or `name` behind it, says which one it is.
const THINGS: &[&str] = &[
    "account",
    "address",
    "alertname",
    "app",
    "application",
    "backend",
    "branch",
    "breaker",
    "bucket",
    "certificate",
    "check",
    "client",
    "cluster",
    "component",
    "container",
    "cron",
    "customer",
    "database",
    "datacenter",
    "db",
    "device",
    "disk",
    "domain",
    "endpoint",
    "env",
    "environment",
    "function",
    "gateway",
    "host",
    "hostname",
    "instance",
    "interface",
    "ip",
    "job",
    "listener",
    "location",
    "machine",
    "monitor",
    "namespace",
    "node",
    "number",
    "organization",
    "partition",
    "path",
    "peer",
    "pipeline",
    "pod",
    "pool",
    "port",
    "probe",
    "process",
    "project",
    "provider",
    "proxy",
    "queue",
    "rack",
    "region",
    "repo",
    "repository",
    "resource",
    "route",
    "rule",
    "sensor",
    "server",
    "service",
    "shard",
    "site",
    "source",
    "stack",
    "store",
    "subscription",
    "table",
    "target",
    "task",
    "team",
    "topic",
    "upstream",
    "user",
    "vm",
    "volume",
    "webhook",
    "worker",
    "workflow",
    "workspace",
    "zone",
];

/// Values that name an incident as a whole: nothing else belongs into its key.
const WHOLE: &[&str] = &["dedupkey", "incidentkey", "fingerprint", "incidentid", "incident", "alertid"];

/// Objects whose members tell things apart as the data's own do.
const LABELS: &[&str] = &["labels", "commonLabels", "groupLabels", "tags"];

/// Used where no word for a thing is there; the first of them.
const GENERIC: &[&str] = &["id", "key", "uuid", "name", "slug"];

/// The member that tells an object from others.
const OBJECT_KEYS: [&str; 5] = ["id", "name", "key", "uid", "slug"];

/// Keys whose value says what happened, how bad it is, or when: it changes from one event of an incident to the next.
const CHANGING: &[&str] = &[
    "action",
    "by",
    "cause",
    "code",
    "conclusion",
    "description",
    "detail",
    "details",
    "error",
    "level",
    "message",
    "outcome",
    "priority",
    "reason",
    "result",
    "severity",
    "state",
    "status",
    "summary",
    "text",
    "title",
    "trigger",
    "version",
];
const CHANGING_ENDS: &[&str] = &[
    "age",
    "at",
    "attempt",
    "attempts",
    "bytes",
    "count",
    "date",
    "deliveryid",
    "downtime",
    "duration",
    "elapsed",
    "eventid",
    "latency",
    "limit",
    "ms",
    "percent",
    "rate",
    "ratio",
    "reason",
    "requestid",
    "retries",
    "seconds",
    "since",
    "size",
    "spanid",
    "threshold",
    "time",
    "timestamp",
    "total",
    "traceid",
    "until",
    "uptime",
    "url",
    "value",
];

/// A longer text is no name of a thing.
const NAME_BYTES_MAX: usize = 120;

/// How the values were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// By words for things.
    ByWords,
    /// By `id` or `name`, or because the event says itself that there is one thing only.
    Generic,
    /// No word says what they are: they are the texts of the data that look stable.
    Guessed,
}

/// Names, as they are compared, with their values, in order of the names.
#[derive(Debug)]
pub(crate) struct Identity {
    pub values: Vec<(String, String)>,
    pub found: Found,
}

impl Identity {
    pub(crate) fn of(view: &View<'_>, subject: &str) -> Self {
        // There is one configuration.
        if subject.starts_with("tenterhook.") {
            return Self { values: Vec::new(), found: Found::Generic };
        }
        let by_words = |values| Self { values, found: Found::ByWords };
        let own: Vec<(String, Json<'_>)> =
            view.members.iter().filter_map(|member| Some((plain(&member.key)?, member.value))).collect();
        if let Some(whole) = WHOLE.iter().find_map(|wanted| named(&own, wanted)) {
            return by_words(vec![whole]);
        }
        let values = things(own.iter().cloned(), subject);
        if !values.is_empty() {
            return by_words(values);
        }
        for labels in LABELS {
            let members =
                view.get(labels).into_iter().flat_map(Json::members).filter_map(|(key, value)| Some((plain(&key)?, value)));
            let values = things(members, subject);
            if !values.is_empty() {
                return by_words(values);
            }
        }
        let words = subject.rsplit(['.', '_', '-', ':', '/']).next().unwrap_or_default().to_ascii_lowercase();
        let of_subject = [plain(subject.rsplit('.').next().unwrap_or_default()).unwrap_or_default(), words];
        let of_subject = of_subject.iter().flat_map(|word| [format!("{word}id"), format!("{word}name"), word.clone()]);
        let generic = of_subject.chain(GENERIC.iter().map(|word| (*word).to_owned()));
        let mut generic = generic.filter_map(|wanted| named(&own, &wanted));
        match generic.next() {
            Some(value) => Self { values: vec![value], found: Found::Generic },
            None => {
                let mut values: Vec<(String, String)> = own.into_iter().filter_map(|(name, value)| stable(name, value)).collect();
                values.sort();
                Self { values, found: Found::Guessed }
            }
        }
    }
}

/// A longer key is no word.
const KEY_BYTES_MAX: usize = 64;

/// `creditCard`, `credit_card` and `Credit-Card` are one.
fn plain(key: &str) -> Option<String> {
    let is_word = key.len() <= KEY_BYTES_MAX;
    is_word.then(|| key.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect())
}

/// The last value of that name, as most parsers take it.
fn named(members: &[(String, Json<'_>)], wanted: &str) -> Option<(String, String)> {
    let (name, value) = members.iter().rev().find(|(name, _)| name == wanted)?;
    Some((name.clone(), shown(*value)?))
}

/// The values whose keys are words for things.
fn things<'a>(members: impl Iterator<Item = (String, Json<'a>)>, subject: &str) -> Vec<(String, String)> {
    let is_thing = |name: &str| {
        let stem = ["id", "name"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or_default();
        THINGS.binary_search(&name).is_ok() || THINGS.binary_search(&stem).is_ok()
    };
    let mut found: Vec<(String, String)> =
        members.filter(|(name, _)| is_thing(name)).filter_map(|(name, value)| Some((name, shown(value)?))).collect();
    // A check of an upstream fails for all its routes: which of them noticed it is not said when it recovers.
    let is_check = ["health", "check", "probe", "heartbeat"].iter().any(|word| subject.contains(word));
    let checked = ["upstream", "backend", "endpoint", "target", "host", "instance", "server", "node"];
    if is_check && found.iter().any(|(name, _)| checked.iter().any(|word| name.starts_with(word))) {
        found.retain(|(name, _)| !name.starts_with("route"));
    }
    found.sort();
    // Of a key that is there twice, the last counts, as everywhere.
    found.dedup_by(|later, first| {
        later.0 == first.0 && {
            first.1 = std::mem::take(&mut later.1);
            true
        }
    });
    found
}

/// The value as text: of an object, its id or name.
fn shown(value: Json<'_>) -> Option<String> {
    let text = match value.kind() {
        Kind::Object => OBJECT_KEYS.into_iter().find_map(|key| value.get(key).filter(|inner| inner.is_scalar())?.display())?,
        Kind::Array => return None,
        Kind::String | Kind::Number | Kind::Bool | Kind::Null => value.display()?,
    };
    (!blank(&text)).then(|| text.into_owned())
}

/// A text that is likely to be the same in all events of an incident.
fn stable(name: String, value: Json<'_>) -> Option<(String, String)> {
    let changes = CHANGING.contains(&name.as_str()) || CHANGING_ENDS.iter().any(|end| name.ends_with(end));
    let text: Cow<'_, str> = value.as_string().filter(|_| !changes)?;
    // A time or a measure begins with a digit.
    let is_name =
        text.len() <= NAME_BYTES_MAX && !text.contains('\n') && text.starts_with(|c: char| c.is_alphabetic() || c == '/');
    is_name.then(|| (name, text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_sorted_for_the_search() {
        assert!(THINGS.is_sorted());
    }
}
