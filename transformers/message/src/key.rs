//! The dedup key: which incident an event belongs to. It must be the same for the event that opens it and the one that
//! closes it, so it is made of what both have in common.

use crate::identity::{Found, Identity};
use crate::state::subject;
use crate::{Path, Template, View, units};

/// What the options say about the key.
#[derive(Debug, Clone, Copy)]
pub struct KeyOptions<'o> {
    /// The whole key.
    pub template: Option<&'o Template>,
    /// The values that tell incidents apart, instead of the usual ones.
    pub fields: Option<&'o [Path]>,
    /// The names of the two options, for warnings.
    pub template_option: &'static str,
    pub fields_option: &'static str,
    pub units_max: usize,
}

/// A dedup key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentKey {
    pub text: String,
    /// Why it may not tell incidents apart: for the attempt's log.
    pub warnings: Vec<String>,
}

/// The template of the options; else subject, tenant, and the values that say which.
pub fn of(view: &View<'_>, options: &KeyOptions<'_>) -> IncidentKey {
    let mut warnings = Vec::new();
    if let Some(template) = options.template {
        let text = template.render(view);
        if !text.trim().is_empty() {
            return IncidentKey { text: bounded(text, options.units_max), warnings };
        }
        warnings.push(format!("`{}` is empty for this event: the usual key is used", options.template_option));
    }
    let subject = subject(&view.event.type_);
    let mut key = subject.clone();
    let mut add = |name: &str, value: &str| {
        for part in ["|", name, "=", value] {
            key.push_str(part);
        }
    };
    if let Some(tenant) = &view.event.tenant {
        add("tenant", tenant);
    }
    let mut guessed = None;
    match options.fields {
        Some(paths) => {
            for path in paths {
                let value = view.value(path);
                if value.is_none() {
                    warnings
                        .push(format!("`{path}` of `{}` is absent: events without it share one incident", options.fields_option));
                }
                add(path.name(), &value.unwrap_or_default());
            }
        }
        None => {
            let identity = Identity::of(view, &subject);
            identity.values.iter().for_each(|(name, value)| add(name, value));
            guessed = (identity.found == Found::Guessed).then_some(identity.values);
        }
    }
    let text = bounded(key, options.units_max);
    if let Some(values) = guessed {
        let names: Vec<String> = values.iter().map(|(name, _)| format!("`{name}`")).collect();
        let made =
            if names.is_empty() { "all such events share it".to_owned() } else { format!("it is made of {}", names.join(", ")) };
        warnings.push(format!(
            "no value of the data is known to say which one this is about: the key is `{text}`, {made}; name the values with `{}`",
            options.fields_option
        ));
    }
    IncidentKey { text, warnings }
}

/// Which thing the event is about, for people: `checkout`, `payments, eu`; empty if nothing says so.
pub(crate) fn thing(view: &View<'_>) -> String {
    let values = Identity::of(view, &subject(&view.event.type_)).values;
    values.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(", ")
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
    use crate::testing::event;

    fn full_key(event_type: &str, data: &str, template: Option<&str>, fields: Option<&[&str]>) -> IncidentKey {
        let event = event(event_type, data);
        let template = template.map(|text| Template::parse(text).unwrap());
        let fields: Option<Vec<Path>> = fields.map(|paths| paths.iter().map(|path| Path::parse(path).unwrap()).collect());
        let options = KeyOptions {
            template: template.as_ref(),
            fields: fields.as_deref(),
            template_option: "dedup_key",
            fields_option: "dedup_fields",
            units_max: 255,
        };
        of(&View::new(&event), &options)
    }

    fn key_of(event_type: &str, data: &str, template: Option<&str>, fields: Option<&[&str]>) -> String {
        full_key(event_type, data, template, fields).text
    }

    fn key(event_type: &str, data: &str) -> String {
        key_of(event_type, data, None, None)
    }

    #[test]
    fn every_word_for_a_thing_also_counts_as_id_and_name() {
        for word in ["upstream", "host", "region", "queue", "node", "webhook", "repository", "incident", "alert"] {
            let camel = format!("{word}Id");
            let snake = format!("{word}_id");
            for field in [snake.as_str(), camel.as_str()] {
                let (a, b) =
                    (key("x.failed", &format!(r#"{{"{field}":"A"}}"#)), key("x.failed", &format!(r#"{{"{field}":"B"}}"#)));
                assert_eq!(a, format!("x|{word}id=A"));
                assert_ne!(a, b, "{field}");
            }
        }
        assert_eq!(key("health.check_failed", r#"{"upstream_id":"A"}"#), "health.check|upstreamid=A");
        assert_eq!(key("job.failed", r#"{"jobName":"nightly"}"#), "job|jobname=nightly");
        assert_eq!(key("alert.firing", r#"{"alertname":"Disk","fingerprint":"f1"}"#), "alert|fingerprint=f1");
        assert_eq!(key("alert.firing", r#"{"labels":{"alertname":"Disk","severity":"page"}}"#), "alert|alertname=Disk");
        assert_eq!(key("pull_request.opened", r#"{"repository":{"id":7},"number":3}"#), "pull_request|number=3|repository=7");
    }

    #[test]
    fn id_and_name_tell_incidents_apart_where_nothing_else_does() {
        assert_eq!(full_key("circuit_breaker.opened", r#"{"name":"a"}"#, None, None).warnings, Vec::<String>::new());
        assert_eq!(key("circuit_breaker.opened", r#"{"name":"a","failures":5}"#), "circuit_breaker|name=a");
        assert_eq!(key("printer.jammed", r#"{"printer_id":4,"id":"x"}"#), "printer.jammed|id=x");
        assert_eq!(key("printer.failed", r#"{"printer_id":4,"id":"x"}"#), "printer|printerid=4");
        assert_eq!(key("a.failed", r#"{"client":"c1","db":"d1"}"#), "a|client=c1|db=d1");
    }

    #[test]
    fn a_key_that_is_guessed_or_bare_is_said() {
        let guessed = full_key("a.failed", r#"{"flavour":"sweet","took":"3m","message":"m","tries":3}"#, None, None);
        assert_eq!(guessed.text, "a|flavour=sweet");
        assert_eq!(
            guessed.warnings,
            [
                "no value of the data is known to say which one this is about: the key is `a|flavour=sweet`, it is made of `flavour`; name the values with `dedup_fields`"
            ]
        );
        let bare = full_key("a.failed", r#"{"tries":3}"#, None, None);
        assert_eq!(bare.text, "a");
        assert!(bare.warnings[0].contains("the key is `a`, all such events share it"));
        let absent = full_key("a.failed", "{}", None, Some(&["data.shard"]));
        assert_eq!(absent.text, "a|shard=");
        assert_eq!(absent.warnings, ["`data.shard` of `dedup_fields` is absent: events without it share one incident"]);
    }

    #[test]
    fn operational_events_of_one_webhook_are_one_incident() {
        let opened = key("webhook.breaker.opened", r#"{"webhook":"orders","tenant":null,"reason":"x"}"#);
        assert_eq!(opened, "webhook.breaker|webhook=orders");
        assert_eq!(key("webhook.breaker.closed", r#"{"webhook":"orders"}"#), opened);
        assert_eq!(key("webhook.disabled", r#"{"webhook":"a"}"#), key("webhook.enabled", r#"{"webhook":"a"}"#));
        let rejected = full_key("tenterhook.config.rejected", r#"{"message":"line 3"}"#, None, None);
        assert_eq!(rejected, full_key("tenterhook.config.reloaded", r#"{"fingerprint":"abc","webhooks":3}"#, None, None));
        assert_eq!(rejected.warnings, Vec::<String>::new());
    }

    #[test]
    fn a_failed_check_and_its_recovery_share_a_key() {
        let failed = key("health.check_failed", r#"{"upstream":"u1","routeId":7}"#);
        assert_eq!(failed, key("health.check_recovered", r#"{"upstream":"u1","latency":3}"#));
        assert_ne!(failed, key("health.check_failed", r#"{"upstream":"u2","routeId":7}"#));
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
    fn options_replace_the_fields_or_the_key() {
        let data = r#"{"service":"api","shard":3}"#;
        assert_eq!(key_of("a.failed", data, None, Some(&["data.shard"])), "a|shard=3");
        assert_eq!(key_of("a.failed", data, Some("x-{data.shard}"), None), "x-3");
        assert_eq!(key_of("a.failed", data, Some("{data.nope}"), None), "a|service=api|shard=3");
    }

    #[test]
    fn a_long_key_is_bounded_and_stays_distinct() {
        let long = |end: &str| key_of("a.failed", &format!(r#"{{"service":"{}{end}"}}"#, "😀".repeat(300)), None, None);
        assert!(units(&long("x")) <= 255);
        assert_eq!(long("x"), long("x"));
        assert_ne!(long("x"), long("y"));
    }
}
