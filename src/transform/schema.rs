//! Is what a module says about its options a JSON Schema at all? Its form is checked as far as editors, forms and our own
//! tools rely on it; what the schema means is for validators.

use serde_json::Value;

/// Longer ones are no help to anybody.
pub(super) const SCHEMA_BYTES_MAX: usize = 256 << 10;

const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Keywords whose value is a schema, a table of schemas, a list of schemas.
const ONE: [&str; 9] =
    ["additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then", "unevaluatedProperties"];
const TABLE: [&str; 4] = ["$defs", "dependentSchemas", "patternProperties", "properties"];
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];

/// `None` if it is one; else what is wrong, with its place.
pub(super) fn problem(text: &str) -> Option<String> {
    if text.len() > SCHEMA_BYTES_MAX {
        return Some(format!("it has {} bytes, {SCHEMA_BYTES_MAX} are allowed", text.len()));
    }
    match serde_json::from_str::<Value>(text) {
        Err(error) => Some(error.to_string()),
        // Options are a table: `false` would allow none.
        Ok(Value::Bool(_)) => Some("it is a boolean; options are an object, so `{\"type\":\"object\"}` is the least".to_owned()),
        Ok(schema) => at("", &schema),
    }
}

fn at(path: &str, schema: &Value) -> Option<String> {
    let map = match schema {
        Value::Object(map) => map,
        Value::Bool(_) => return None,
        other => return Some(format!("{} is {other}, not a schema", place(path))),
    };
    let is_text = |value: &Value| value.is_string();
    for (key, value) in map {
        let here = format!("{path}/{key}");
        let wrong = |what: &str| Some(format!("{here} must be {what}"));
        let known = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
        let found = match key.as_str() {
            "type" if !(known(value) || value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(known))) => {
                wrong(&format!("one of {}, or a list of these", TYPES.join(", ")))
            }
            "required" if !value.as_array().is_some_and(|list| list.iter().all(is_text)) => wrong("a list of strings"),
            "enum" if !value.is_array() => wrong("a list"),
            "title" | "description" | "pattern" | "format" | "$ref" | "$id" | "$schema" if !value.is_string() => {
                wrong("a string")
            }
            key if ONE.contains(&key) => at(&here, value),
            key if TABLE.contains(&key) => match value {
                Value::Object(table) => table.iter().find_map(|(name, schema)| at(&format!("{here}/{name}"), schema)),
                _ => wrong("a table of schemas"),
            },
            key if LIST.contains(&key) => match value {
                Value::Array(list) if !list.is_empty() => {
                    list.iter().enumerate().find_map(|(index, schema)| at(&format!("{here}/{index}"), schema))
                }
                _ => wrong("a list of schemas"),
            },
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn place(path: &str) -> &str {
    if path.is_empty() { "it" } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_pass_and_what_is_none_is_named() {
        for good in [
            "{}",
            r#"{"type":["object","null"],"properties":{"a":true,"b":{"enum":[1],"items":{"type":"string"}}},"required":["a"]}"#,
            r##"{"$defs":{"x":{}},"anyOf":[{"$ref":"#/$defs/x"}],"x-own":1}"##,
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
        for (bad, part) in [
            ("", "EOF"),
            ("42", "it is 42, not a schema"),
            ("true", "it is a boolean"),
            (r#"{"type":"table"}"#, "/type must be one of array, boolean"),
            (r#"{"properties":{"a":{"type":"object","properties":[]}}}"#, "/properties/a/properties must be a table of schemas"),
            (r#"{"properties":{"a":"string"}}"#, "/properties/a is \"string\", not a schema"),
            (r#"{"required":"a"}"#, "/required must be a list of strings"),
            (r#"{"anyOf":[]}"#, "/anyOf must be a list of schemas"),
            (r#"{"items":3}"#, "/items is 3, not a schema"),
            (r#"{"title":3}"#, "/title must be a string"),
        ] {
            let found = problem(bad).unwrap();
            assert!(found.contains(part), "{bad}: {found}");
        }
        assert!(problem(&format!("{{\"title\":\"{}\"}}", "x".repeat(300_000))).unwrap().contains("262144 are allowed"));
    }
}
