//! Data for a test event of a declared type: an example that the type's schema gives, or one that is made of it. Pure.

use serde_json::{Map, Value, json};

/// Deeper parts are left empty; a schema may refer to itself.
const LEVELS_MAX: usize = 8;

/// An example of what a JSON Schema describes, as well as it can be made without solving it.
pub(super) fn of(schema: &Value) -> Value {
    value(schema, "", 0)
}

fn value(schema: &Value, name: &str, level: usize) -> Value {
    for (key, at) in [("examples", "/0"), ("enum", "/0"), ("default", ""), ("const", "")] {
        if let Some(given) = schema.get(key).and_then(|given| given.pointer(at)) {
            return given.clone();
        }
    }
    if level >= LEVELS_MAX {
        return Value::Null;
    }
    if let Some(first) = ["oneOf", "anyOf", "allOf"].iter().find_map(|key| schema.get(*key)?.get(0)) {
        return value(first, name, level + 1);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("object") | None if schema["properties"].is_object() => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties.map(|(name, schema)| (name.clone(), value(schema, name, level + 1))).collect::<Map<_, _>>().into()
        }
        Some("object") => json!({}),
        Some("array") => {
            let item = schema.get("items").map(|items| value(items, name, level + 1));
            item.into_iter().collect::<Vec<_>>().into()
        }
        Some("integer") => number(schema, |bound| bound.ceil()),
        Some("number") => number(schema, |bound| bound),
        Some("boolean") => true.into(),
        Some("string") => text(schema, name).into(),
        _ => Value::Null,
    }
}

/// 1, or the nearest number within the schema's bounds.
fn number(schema: &Value, round: fn(f64) -> f64) -> Value {
    let least = schema["minimum"].as_f64().or_else(|| Some(schema["exclusiveMinimum"].as_f64()? + 1.0)).map_or(1.0, round);
    let number = least.max(1.0).min(schema["maximum"].as_f64().unwrap_or(f64::MAX));
    if number.fract() == 0.0 && number.abs() < 1e15 { json!(number as i64) } else { json!(number) }
}

fn text(schema: &Value, name: &str) -> String {
    let text = match schema["format"].as_str() {
        Some("date-time") => "2026-01-28T10:30:45Z",
        Some("date") => "2026-01-28",
        Some("email") => "test@example.com",
        Some("uri" | "url") => "https://example.com/",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        _ if name.is_empty() => "test",
        _ => name,
    };
    let least = schema["minLength"].as_u64().and_then(|length| usize::try_from(length.min(1_000)).ok()).unwrap_or(0);
    let most = schema["maxLength"].as_u64().and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
    let padded = text.chars().chain(std::iter::repeat_n('x', least.saturating_sub(text.chars().count())));
    padded.take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_what_the_schema_names() {
        let schema = json!({"type": "object", "required": ["id"], "properties": {
            "id": {"type": ["string", "integer"]}, "status": {"enum": ["open", "closed"]}, "n": {"type": "integer", "minimum": 100, "maximum": 599},
            "rate": {"type": "number", "maximum": 0.5}, "at": {"type": "string", "format": "date-time"}, "tags": {"type": "array", "items": {"type": "string"}},
            "given": {"type": "string", "examples": ["like this"]}, "on": {"type": "boolean"}, "free": {}, "inner": {"properties": {"x": {"const": 7}}},
            "code": {"type": "string", "minLength": 6},
        }});
        assert_eq!(
            of(&schema),
            json!({"id": "id", "status": "open", "n": 100, "rate": 0.5, "at": "2026-01-28T10:30:45Z", "tags": ["tags"], "given": "like this",
                "on": true, "free": null, "inner": {"x": 7}, "code": "codexx"})
        );
        let itself = json!({"type": "array", "items": {"anyOf": [{"type": "object", "properties": {"a": {"type": "array", "items": {}}}}]}});
        assert_eq!(of(&itself), json!([{"a": [null]}]));
    }
}
