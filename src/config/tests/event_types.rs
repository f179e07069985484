//! `[event_types]`: the catalogue, and schemas that are checked when the file is read.

use super::{load, load_files, problems};
use crate::model::EventType;

const SCHEMA: &str = r#"{"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number", "minimum": 0}}}"#;

#[test]
fn a_schema_judges_the_data_of_an_event() {
    let text = "[event_types.\"order.created\"]\ndescription = \"An order\"\nschema = \"schemas/order.json\"";
    let loaded = load_files(text, &[("schemas/order.json", SCHEMA)]).unwrap();
    let declared = &loaded.settings.event_types[&EventType::parse("order.created").unwrap()];
    assert_eq!(declared.description.as_deref(), Some("An order"));
    let schema = declared.schema.as_ref().unwrap();
    assert!(schema.problems(br#"{"amount": 1.5}"#).is_empty());
    let found = schema.problems(br#"{"amount": -1}"#);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "/amount");
    assert!(found[0].1.contains("minimum"), "{}", found[0].1);
    assert!(loaded.files.iter().any(|path| path.ends_with("schemas/order.json")), "it is watched");
    let other = load_files(text, &[("schemas/order.json", "{}")]).unwrap();
    assert_ne!(loaded.fingerprint, other.fingerprint, "a change of the schema is a change of the configuration");
}

#[test]
fn a_schema_may_stand_in_the_file() {
    let loaded = load("[event_types.\"a.b\"]\nschema = { type = \"object\", required = [\"x\"] }");
    let schema = loaded.settings.event_types[&EventType::parse("a.b").unwrap()].schema.clone().unwrap();
    assert_eq!(schema.problems(b"{}").len(), 1);
}

#[test]
fn bad_schemas_are_problems_of_the_file() {
    let at = "[event_types.\"a.b\"]\nschema = \"s.json\"";
    let message = |others: &[(&str, &str)]| load_files(at, others).unwrap_err().problems[0].message.clone();
    assert_eq!(message(&[]), "the schema `s.json` cannot be read: there is no such file");
    assert!(message(&[("s.json", "{")]).starts_with("the schema `s.json` is not JSON: "));
    assert!(message(&[("s.json", "{\"type\": 5}")]).starts_with("the schema `s.json` is not a JSON schema that can be used: "));
    let remote = message(&[("s.json", "{\"$ref\": \"https://example.com/x.json\"}")]);
    assert!(remote.starts_with("the schema `s.json` is not a JSON schema that can be used: "), "{remote}");
}

#[test]
fn names_and_keys_are_checked() {
    let found = problems("[event_types.\"a..b\"]\nsummary = \"x\"");
    let messages: Vec<&str> = found.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert!(messages[0].contains("empty segment"), "{messages:?}");
    assert_eq!(messages[1], "unknown key `summary`, did you mean `description`?");
}
