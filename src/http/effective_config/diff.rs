//! What differs between two configurations, key by key. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::http::EffectiveConfig;

/// Keys that a reload does not touch: they take effect at the next start.
const AT_START: [&str; 2] = ["server.listen", "storage.path"];

#[derive(Debug, Default, PartialEq)]
pub struct Diff {
    /// With their keys.
    pub added: BTreeMap<String, Map<String, Value>>,
    /// With how many deliveries wait, where that is known.
    pub removed: BTreeMap<String, Option<u64>>,
    pub changed: BTreeMap<String, Vec<Change>>,
    /// By table.
    pub tables: BTreeMap<String, Vec<Change>>,
    /// Nothing of the above, and yet other files: a comment, what cannot be shown, or a module.
    pub only_unseen: bool,
}

/// One key; `Null` is "not there".
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub key: String,
    pub before: Value,
    pub after: Value,
    /// What is shown of both is equal, what is hidden is not.
    pub hidden: bool,
}

impl Diff {
    pub fn between(before: &EffectiveConfig, after: &EffectiveConfig) -> Self {
        let mut diff = Self::default();
        for (id, webhook) in &after.webhooks {
            let Some(old) = before.webhooks.get(id) else {
                diff.added.insert(id.clone(), webhook.clone());
                continue;
            };
            let mut changes = changes("", &Value::Object(old.clone()), &Value::Object(webhook.clone()));
            let hidden = before.hidden_changes(after, id);
            let seen =
                |key: &str, changes: &[Change]| changes.iter().any(|change| change.key.split(['.', '[']).next() == Some(key));
            for key in hidden {
                if !seen(key, &changes) {
                    changes.push(Change { key: key.to_owned(), before: json!("…"), after: json!("…"), hidden: true });
                }
            }
            if !changes.is_empty() {
                diff.changed.insert(id.clone(), changes);
            }
        }
        diff.removed =
            before.webhooks.keys().filter(|id| !after.webhooks.contains_key(*id)).map(|id| (id.clone(), None)).collect();
        let names: std::collections::BTreeSet<&String> = before.tables.keys().chain(after.tables.keys()).collect();
        for name in names {
            let of = |picture: &EffectiveConfig| picture.tables.get(name).cloned().unwrap_or(Value::Null);
            let mut changes = changes("", &of(before), &of(after));
            for key in before.hidden_table_changes(after, name) {
                if !changes.iter().any(|change| change.key == key) {
                    changes.push(Change { key: key.to_owned(), before: json!("…"), after: json!("…"), hidden: true });
                }
            }
            if !changes.is_empty() {
                diff.tables.insert(name.clone(), changes);
            }
        }
        diff.only_unseen = diff.is_empty() && before.fingerprint != after.fingerprint;
        diff
    }

    /// Nothing that can be shown.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty() && self.tables.is_empty()
    }

    pub fn to_json(&self, before: &str, after: &str) -> Value {
        let change =
            |change: &Change| json!({"key": change.key, "before": change.before, "after": change.after, "hidden": change.hidden});
        let all = |changes: &Vec<Change>| changes.iter().map(change).collect::<Vec<Value>>();
        let table = |(name, changes): (&String, &Vec<Change>)| {
            let changes: Vec<Value> = changes
                .iter()
                .map(|one| {
                    let mut shape = change(one);
                    shape["restart"] = needs_restart(name, one).into();
                    shape
                })
                .collect();
            (name.clone(), Value::from(changes))
        };
        json!({
            "changes": !self.is_empty() || self.only_unseen,
            "fingerprint": {"before": before, "after": after},
            "webhooks": {
                "added": self.added,
                "removed": self.removed.iter().map(|(id, waiting)| json!({"id": id, "waiting": waiting})).collect::<Vec<_>>(),
                "changed": self.changed.iter().map(|(id, changes)| (id.clone(), all(changes).into())).collect::<Map<_, _>>(),
            },
            "tables": self.tables.iter().map(table).collect::<Map<_, _>>(),
            "only_unseen": self.only_unseen,
        })
    }
}

pub fn needs_restart(table: &str, change: &Change) -> bool {
    let path = format!("{table}.{}", change.key);
    AT_START.iter().any(|prefix| path.starts_with(prefix))
}

/// The leaves in which two values differ, by dotted key.
fn changes(path: &str, before: &Value, after: &Value) -> Vec<Change> {
    if before == after {
        return Vec::new();
    }
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            keys.into_iter()
                .flat_map(|key| {
                    let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    changes(&inner, old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null))
                })
                .collect()
        }
        // A pipeline, stage by stage; other lists are read as a whole.
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() && old.iter().chain(new).all(Value::is_object) => {
            let pairs = old.iter().zip(new).enumerate();
            pairs.flat_map(|(at, (old, new))| changes(&format!("{path}[{at}]"), old, new)).collect()
        }
        // An empty table and none are the same.
        (Value::Object(fields), Value::Null) | (Value::Null, Value::Object(fields)) if fields.is_empty() => Vec::new(),
        (Value::Object(fields), Value::Null) | (Value::Null, Value::Object(fields)) => fields
            .iter()
            .flat_map(|(key, value)| {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                if after.is_null() { changes(&inner, value, &Value::Null) } else { changes(&inner, &Value::Null, value) }
            })
            .collect(),
        _ => vec![Change { key: path.to_owned(), before: before.clone(), after: after.clone(), hidden: false }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(fingerprint: &str, webhooks: &[(&str, Value)], tables: Value) -> EffectiveConfig {
        let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
        EffectiveConfig {
            fingerprint: fingerprint.to_owned(),
            tables: object(&tables),
            webhooks: webhooks.iter().map(|(id, keys)| ((*id).to_owned(), object(keys))).collect(),
            ..EffectiveConfig::default()
        }
    }

    fn shown(changes: &[Change]) -> Vec<String> {
        changes.iter().map(|change| format!("{}: {} → {}", change.key, change.before, change.after)).collect()
    }

    #[test]
    fn webhooks_are_compared_key_by_key() {
        let before = picture(
            "a",
            &[
                ("gone", json!({"url": "https://a.example/"})),
                ("same", json!({"url": "https://b.example/"})),
                (
                    "other",
                    json!({"timeout": "5s", "filter": {"data": {"n": {"$gt": 1}}}, "events": ["a"], "headers": {}, "transform": [{"use": "slack", "options": {"channel": "#a"}}]}),
                ),
            ],
            json!({"server": {"listen": "127.0.0.1:8080"}}),
        );
        let after = picture(
            "b",
            &[
                ("new", json!({"url": "https://c.example/"})),
                ("same", json!({"url": "https://b.example/"})),
                (
                    "other",
                    json!({"timeout": "10s", "filter": null, "events": ["a", "b"], "headers": {"x": "…"}, "transform": [{"use": "slack", "options": {"channel": "#b"}}]}),
                ),
            ],
            json!({"server": {"listen": "0.0.0.0:8080"}}),
        );
        let diff = Diff::between(&before, &after);
        assert_eq!(diff.added.keys().collect::<Vec<_>>(), ["new"]);
        assert_eq!(diff.removed.keys().collect::<Vec<_>>(), ["gone"]);
        assert_eq!(
            shown(&diff.changed["other"]),
            [
                "events: [\"a\"] → [\"a\",\"b\"]",
                "filter.data.n.$gt: 1 → null",
                "headers.x: null → \"…\"",
                "timeout: \"5s\" → \"10s\"",
                "transform[0].options.channel: \"#a\" → \"#b\"",
            ]
        );
        assert_eq!(diff.changed.len(), 1);
        assert!(needs_restart("server", &diff.tables["server"][0]));
        let json = diff.to_json("a", "b");
        assert_eq!(json["tables"]["server"][0]["restart"], true);
        assert_eq!(json["changes"], true);
    }

    #[test]
    fn network_and_storage_are_compared_and_secrets_only_as_other() {
        let of = |text: &str| {
            let loaded = crate::config::load_str(text, &BTreeMap::new(), &|_| None).unwrap();
            EffectiveConfig::of(&loaded.settings, text.len().to_string())
        };
        let before = of("");
        let all = "[network]\nproxy = \"http://u:hunter22@h:1\"\nno_proxy = [\"a.example\", \"10.0.0.0/8\"]\nca_file = \"ca.pem\"\nmin_tls_version = \"1.3\"\n\
                   [storage]\nkey = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\n";
        let diff = Diff::between(&before, &of(all));
        assert_eq!(
            shown(&diff.tables["network"]),
            [
                "ca_file: null → \"ca.pem\"",
                "min_tls_version: \"1.2\" → \"1.3\"",
                "no_proxy: [] → [\"a.example\",\"10.0.0.0/8\"]",
                "proxy: null → \"http://…@h:1\"",
            ]
        );
        let key = &diff.tables["storage"][0];
        assert_eq!((key.key.as_str(), &key.before, needs_restart("storage", key)), ("key", &Value::Null, false));
        let text = diff.to_json("", "").to_string();
        assert!(!text.contains("hunter22") && !text.contains("AAEC"), "{text}");

        let tokens = "[tokens.a]\ntoken = \"0123456789abcdef\"\nscopes = [\"read\"]\n[webhooks.w]\nurl = \"https://a.example/\"\nevents = [\"*\"]\nauth.basic = { username = \"me\", password = \"hunter22\" }\n";
        let before = of(&(all.to_owned() + tokens));
        let other = (all.to_owned() + tokens).replace("hunter22", "hunter33").replace("cdef", "cdee").replace("AAEC", "HwEC");
        let diff = Diff::between(&before, &of(&other));
        let hidden = |changes: &[Change]| {
            changes.iter().filter(|change| change.hidden).map(|change| change.key.clone()).collect::<Vec<_>>()
        };
        assert_eq!(hidden(&diff.tables["network"]), ["proxy"]);
        assert_eq!(hidden(&diff.tables["tokens"]), ["a.token"]);
        assert_eq!(hidden(&diff.changed["w"]), ["auth"]);
        assert_eq!(diff.tables["storage"].len(), 1, "the key's id is another");
        assert!(Diff::between(&before, &before).is_empty());
    }

    #[test]
    fn what_cannot_be_seen_is_said_all_the_same() {
        let diff = Diff::between(&picture("a", &[], json!({})), &picture("b", &[], json!({})));
        assert!(diff.is_empty() && diff.only_unseen);
        let diff = Diff::between(&picture("a", &[], json!({})), &picture("a", &[], json!({})));
        assert!(!diff.only_unseen);
        assert_eq!(diff.to_json("a", "a")["changes"], false);
    }
}
