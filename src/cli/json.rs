//! Answers of the server as values. Stores of older versions hold events whose JSON no common parser holds (half a
//! surrogate pair, `1e400`, hundreds of levels): an event's `data` and `metadata` stay text, and so does every other part
//! that does not fit.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::ser::{Error as _, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Begins a string that stands for JSON text. Nobody else knows it, so no string of an answer can begin with it.
static MARK: LazyLock<String> = LazyLock::new(|| format!("\u{f0001}{}:", uuid::Uuid::now_v7()));

/// Levels that are read into values one by one; answers have no more outside of an event's data.
const LEVELS_MAX: usize = 8;

/// Members of an event that are the producer's own JSON.
const PRODUCERS: [&str; 2] = ["data", "metadata"];

/// The answer as a value; null for what is no JSON at all.
pub(super) fn read(body: &[u8]) -> Value {
    let raw = serde_json::from_slice::<&RawValue>(body).ok();
    raw.map_or(Value::Null, |raw| value(raw.get(), 0))
}

fn value(text: &str, level: usize) -> Value {
    if level >= LEVELS_MAX {
        return leaf(text);
    }
    let inner = |raw: &RawValue| value(raw.get(), level + 1);
    match text.as_bytes().first() {
        Some(b'{') => match serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
            Ok(fields) => {
                let is_event = ["id", "type", "timestamp", "data"].iter().all(|key| fields.contains_key(*key));
                let member = |(key, raw): (String, &RawValue)| {
                    let is_producers = is_event && PRODUCERS.contains(&key.as_str()) && raw.get() != "null";
                    let value = if is_producers { marked(raw.get()) } else { inner(raw) };
                    (key, value)
                };
                Value::Object(fields.into_iter().map(member).collect())
            }
            Err(_) => marked(text),
        },
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) => Value::Array(items.into_iter().map(inner).collect()),
            Err(_) => marked(text),
        },
        _ => leaf(text),
    }
}

fn leaf(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| marked(text))
}

fn marked(text: &str) -> Value {
    Value::String(format!("{}{text}", *MARK))
}

/// The JSON text that a value stands for, if it does.
pub(super) fn raw(value: &Value) -> Option<&str> {
    value.as_str()?.strip_prefix(MARK.as_str())
}

/// The value on one line, every raw part as it came.
pub(super) fn line(value: &Value) -> String {
    // Values have string keys, and raw parts were read as JSON.
    serde_json::to_string(&Printed(value)).unwrap_or_default()
}

struct Printed<'v>(&'v Value);

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(key, value)| map.serialize_entry(key, &Printed(value)))?;
                map.end()
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(&Printed(item)))?;
                list.end()
            }
            other => match raw(other) {
                Some(text) => RawValue::from_string(text.to_owned()).map_err(S::Error::custom)?.serialize(serializer),
                None => other.serialize(serializer),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What legal JSON may hold and serde may not.
    fn unholdable() -> Vec<String> {
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        let mut all = [r#"{"text":"cut \ud83d"}"#, r#"{"\udc00":1}"#, r#"{"n":1e400}"#, "[-1e999]", r#""\ud800""#, "1e400"]
            .map(str::to_owned)
            .to_vec();
        all.extend([format!("{{\"n\":{}}}", "9".repeat(400)), deep]);
        all
    }

    #[test]
    fn an_event_is_read_and_printed_whatever_its_data_are() {
        for data in unholdable() {
            let event = format!(
                r#"{{"data":{data},"deliveries":[{{"id":"dlv_1"}}],"id":"evt_1","metadata":{data},"timestamp":"t","type":"a.b"}}"#
            );
            let list = format!(r#"{{"data":[{event}],"next":null}}"#);
            let read = read(list.as_bytes());
            let row = &read["data"][0];
            assert_eq!((&row["id"], &row["deliveries"][0]["id"]), (&"evt_1".into(), &"dlv_1".into()), "{data}");
            assert_eq!(raw(&row["data"]), Some(data.as_str()));
            assert_eq!(line(&read), list);
        }
    }

    #[test]
    fn a_part_that_does_not_fit_elsewhere_stays_as_it_came() {
        for part in unholdable() {
            let text = format!(r#"{{"a":{{"b":{part}}},"c":1}}"#);
            let read = read(text.as_bytes());
            assert_eq!(read["c"], 1, "{part}");
            assert_eq!(line(&read), text);
        }
    }

    #[test]
    fn numbers_of_an_events_data_keep_their_digits() {
        let event = r#"{"data":{"n":1000000000000000000001,"price":19.90},"id":"1","metadata":null,"timestamp":"t","type":"a"}"#;
        assert_eq!(line(&read(event.as_bytes())), event);
        assert_eq!(read(b"no JSON"), Value::Null);
    }
}
