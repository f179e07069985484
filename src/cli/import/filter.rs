//! Filters of other systems as ours: dotted keys become tables, positions in lists go, since a condition holds here when
//! some element satisfies it. Pure.

use serde_json::{Map, Value, json};

/// The filter, and whether positions were dropped from it.
pub(super) fn nested(filter: &Value) -> (Value, bool) {
    let mut dropped = false;
    let filter = value(filter, &mut dropped);
    (filter, dropped)
}

fn value(filter: &Value, dropped: &mut bool) -> Value {
    match filter {
        Value::Object(fields) => object(fields, dropped),
        Value::Array(items) => Value::Array(items.iter().map(|item| value(item, dropped)).collect()),
        other => other.clone(),
    }
}

fn object(fields: &Map<String, Value>, dropped: &mut bool) -> Value {
    let mut merged = Map::new();
    // Conditions on the same path cannot be members of one table.
    let mut others = Vec::new();
    for (key, condition) in fields {
        let condition = value(condition, dropped);
        let is_operator = key.starts_with('$') && !key.starts_with("$.") && key != "$";
        let parts: Vec<&str> = if is_operator { vec![key] } else { key.split('.').collect() };
        let names: Vec<&str> = parts.iter().copied().filter(|part| is_operator || !is_position(part)).collect();
        *dropped |= names.len() < parts.len();
        let wrapped = names.iter().rev().fold(condition, |inner, name| json!({ *name: inner }));
        match wrapped {
            Value::Object(one) if fits(&merged, &one) => merge(&mut merged, one),
            other => others.push(other),
        }
    }
    if others.is_empty() {
        return Value::Object(merged);
    }
    if !merged.is_empty() {
        others.insert(0, Value::Object(merged));
    }
    if others.len() == 1 { others.remove(0) } else { json!({ "$and": others }) }
}

fn is_position(part: &str) -> bool {
    part.is_empty() || part == "$" || part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether merging overwrites nothing.
fn fits(into: &Map<String, Value>, from: &Map<String, Value>) -> bool {
    from.iter().all(|(key, value)| match (into.get(key), value) {
        (None, _) => true,
        (Some(Value::Object(inner)), Value::Object(value)) => fits(inner, value),
        _ => false,
    })
}

fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(inner)), Value::Object(value)) => merge(inner, value),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_keys_are_split_and_positions_dropped() {
        for (given, expected, drops) in [
            (json!({"event.type": "created"}), json!({"event": {"type": "created"}}), false),
            (json!({"venues.$.lat": {"$gte": 9}}), json!({"venues": {"lat": {"$gte": 9}}}), true),
            (json!({"$.venues.0.lat": 1}), json!({"venues": {"lat": 1}}), true),
            (json!({"a.b": 1, "a.c": {"$gt": 2}}), json!({"a": {"b": 1, "c": {"$gt": 2}}}), false),
            (json!({"a.b": {"$gt": 1}, "a": {"b": {"$lt": 9}}}), json!({"a": {"b": {"$gt": 1, "$lt": 9}}}), false),
            (json!({"a": 1, "a.b": 2}), json!({"$and": [{"a": 1}, {"a": {"b": 2}}]}), false),
            (json!({"$or": [{"a.b": 1}, {"c.$.d": 2}]}), json!({"$or": [{"a": {"b": 1}}, {"c": {"d": 2}}]}), true),
            (json!({"n": {"$in": [1, 2]}}), json!({"n": {"$in": [1, 2]}}), false),
        ] {
            assert_eq!(nested(&given), (expected, drops), "{given}");
        }
    }
}
