//! The dedup key: which incident an event belongs to. It must be the same for the event that opens it and the one that
//! closes it, so it is made of what both have in common.

use std::borrow::Cow;

use crate::{FIRING, Json, Kind, Path, RECOVERED, Template, View, units};

/// What the options say about the key.
#[derive(Debug, Clone, Copy)]
pub struct KeyOptions<'o> {
    /// The whole key.
    pub template: Option<&'o Template>,
    /// The values that say which, in place of the usual ones.
    pub fields: Option<&'o [Path]>,
    pub units_max: usize,
}

/// Keys of data that say which thing an event is about, not what became of it; compared without `_`, `-` and case.
/// Their order here is their order in the key, so that it does not depend on the data's.
const WHICH: [&str; 42] = [
    "account",
    "accountid",
    "app",
    "application",
    "backend",
    "breaker",
    "check",
    "checkid",
    "checkname",
    "cluster",
    "component",
    "container",
    "database",
    "device",
    "endpoint",
    "env",
    "environment",
    "host",
    "hostname",
    "instance",
    "job",
    "monitor",
    "namespace",
    "node",
    "pod",
    "pool",
    "provider",
    "queue",
    "region",
    "resource",
    "resourceid",
    "route",
    "routeid",
    "server",
    "service",
    "serviceid",
    "servicename",
    "source",
    "target",
    "topic",
    "upstream",
    "zone",
];

/// The template of the options; else subject, tenant, and the values that say which.
pub fn of(view: &View<'_>, options: &KeyOptions<'_>) -> String {
    if let Some(key) = options.template.map(|template| template.render(view)).filter(|key| !key.trim().is_empty()) {
        return bounded(key, options.units_max);
    }
    let mut key = subject(&view.event.type_);
    let mut add = |name: &str, value: &str| {
        for part in ["|", name, "=", value] {
            key.push_str(part);
        }
    };
    if let Some(tenant) = &view.event.tenant {
        add("tenant", tenant);
    }
    match options.fields {
        Some(paths) => {
            for path in paths {
                add(path.name(), &view.value(path).unwrap_or_default());
            }
        }
        None => {
            let mut found: Vec<(usize, Cow<'_, str>)> =
                view.members.iter().filter_map(|member| which(&member.key, member.value)).collect();
            found.sort();
            for (index, value) in found {
                add(WHICH[index], &value);
            }
        }
    }
    bounded(key, options.units_max)
}

/// The place of a key in [`WHICH`], and the value to tell it by: of an object, its id or name.
fn which<'a>(name: &str, value: Json<'a>) -> Option<(usize, Cow<'a, str>)> {
    let plain: String = name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect();
    let index = WHICH.binary_search(&plain.as_str()).ok()?;
    let text = match value.kind() {
        Kind::Object => ["id", "name"].into_iter().find_map(|key| value.get(key).filter(|inner| inner.is_scalar())?.display())?,
        Kind::Array => return None,
        Kind::String | Kind::Number | Kind::Bool | Kind::Null => value.display()?,
    };
    Some((index, text))
}

/// The type without the words that say what became of it: `circuit_breaker` of `circuit_breaker.opened`, `health.check`
/// of `health.check_failed`.
fn subject(event_type: &str) -> String {
    let (head, last) = event_type.rsplit_once('.').unwrap_or(("", event_type));
    let mut words: Vec<&str> = last.split(['_', '-']).collect();
    if words == ["half", "open"] || words == ["half", "opened"] {
        words.clear();
    }
    while words
        .last()
        .is_some_and(|word| FIRING.contains(word) || RECOVERED.contains(word) || matches!(*word, "acknowledged" | "acked"))
    {
        words.pop();
    }
    let rest = words.join("_");
    match (head.is_empty(), rest.is_empty()) {
        // `error` alone is all there is to tell it by.
        (true, true) => "event".to_owned(),
        (true, false) => rest,
        (false, true) => head.to_owned(),
        (false, false) => format!("{head}.{rest}"),
    }
}

/// A key that is too long keeps its beginning, to be recognised by, and ends with a hash of the whole.
pub fn bounded(key: String, units_max: usize) -> String {
    const HASH_LEN: usize = 33;
    let key: String = key.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if units(&key) <= units_max {
        return key;
    }
    let mut used = 0;
    let fits = |c: &char| {
        used += c.len_utf16();
        used <= units_max - HASH_LEN
    };
    let head: String = key.chars().take_while(fits).collect();
    format!("{head}~{:032x}", fnv1a(key.as_bytes()))
}

/// FNV-1a, 128 bits: tells keys apart, guards nothing.
fn fnv1a(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenterhook_transformer::Event;

    fn key_of(event_type: &str, data: &str, template: Option<&str>, fields: Option<&[&str]>) -> String {
        let event = Event {
            id: "evt_1".to_owned(),
            type_: event_type.to_owned(),
            timestamp: String::new(),
            data: data.to_owned(),
            metadata: None,
            tenant: None,
        };
        let template = template.map(|text| Template::parse(text).unwrap());
        let fields: Option<Vec<Path>> = fields.map(|paths| paths.iter().map(|path| Path::parse(path).unwrap()).collect());
        let options = KeyOptions { template: template.as_ref(), fields: fields.as_deref(), units_max: 255 };
        of(&View::new(&event), &options)
    }

    #[test]
    fn trigger_and_resolve_have_one_key_whatever_else_their_data_says() {
        let opened = key_of("circuit_breaker.opened", r#"{"route_id":7,"service":"api","failures":5}"#, None, None);
        let half = key_of("circuit_breaker.half_open", r#"{"service":"api","routeId":7}"#, None, None);
        let closed = key_of("circuit_breaker.closed", r#"{"downtime":"3m","service":"api","routeId":7}"#, None, None);
        assert_eq!(opened, "circuit_breaker|routeid=7|service=api");
        assert_eq!((&half, &closed), (&opened, &opened));
        let failed = key_of("health.check_failed", r#"{"upstream":{"id":"u1","ip":"::1"}}"#, None, None);
        assert_eq!(failed, "health.check|upstream=u1");
        assert_eq!(key_of("health.check_recovered", r#"{"upstream":{"id":"u1"}}"#, None, None), failed);
        assert_ne!(key_of("health.check_failed", r#"{"upstream":"u2"}"#, None, None), failed);
    }

    #[test]
    fn subjects_lose_what_became_of_them() {
        for (event_type, expected) in [
            ("circuit_breaker.opened", "circuit_breaker"),
            ("health.check_failed", "health.check"),
            ("route.error", "route"),
            ("error", "event"),
            ("rate_limit.exceeded", "rate_limit"),
            ("a.b.disk_full", "a.b.disk_full"),
            ("disk_full", "disk_full"),
        ] {
            assert_eq!(subject(event_type), expected);
        }
    }

    #[test]
    fn options_replace_the_fields_or_the_key() {
        let data = r#"{"service":"api","shard":3}"#;
        assert_eq!(key_of("a.failed", data, None, Some(&["data.shard"])), "a|shard=3");
        assert_eq!(key_of("a.failed", data, Some("x-{data.shard}"), None), "x-3");
        assert_eq!(key_of("a.failed", data, Some("{data.nope}"), None), "a|service=api");
    }

    #[test]
    fn a_long_key_is_bounded_and_stays_distinct() {
        let long = |end: &str| key_of("a.failed", &format!(r#"{{"service":"{}{end}"}}"#, "😀".repeat(300)), None, None);
        assert!(units(&long("x")) <= 255);
        assert_eq!(long("x"), long("x"));
        assert_ne!(long("x"), long("y"));
    }

    #[test]
    fn the_words_are_sorted_for_the_search() {
        assert!(WHICH.is_sorted());
    }
}
