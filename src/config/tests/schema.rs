//! The schema as far as it can be judged without a judge of JSON Schema; that one is asked in `tests/it/schema.rs`.

use serde_json::Value;

use crate::config::schema;

/// Each key has words of its own, so that nothing is completed without an explanation.
#[test]
fn every_known_key_is_described() {
    fn walk(path: &str, schema: &Value, silent: &mut Vec<String>) {
        for (name, key) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if key.as_object().is_some_and(serde_json::Map::is_empty) {
                silent.push(path.clone());
            }
            walk(&path, key, silent);
        }
        for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
            walk(name, definition, silent);
        }
        for part in schema["anyOf"].as_array().into_iter().flatten() {
            walk(path, part, silent);
        }
    }
    let mut silent = Vec::new();
    walk("", &schema(), &mut silent);
    assert!(silent.is_empty(), "no words for {silent:?}: add them to the registry (config/keys)");
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let (schema, mut found) = (schema(), Vec::new());
    references(&schema, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        assert!(schema.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
}
