//! What is gone is gone, and what is not stays as it was.

use proptest::prelude::*;
use serde_json::{Value, json};
use tenterhook_message::testing;
use tenterhook_transformer::{Event, Outcome, Transformer, check_options};

use super::Redact;

fn event(data: &str, metadata: Option<&str>) -> Event {
    Event { metadata: metadata.map(str::to_owned), ..testing::event("user.created", data) }
}

fn redact(data: &str, metadata: Option<&str>, options: &Value) -> Event {
    let options = check_options::<Redact>(&options.to_string()).unwrap();
    let Outcome::Event(event) = Redact::transform(&[event(data, metadata)], &options).unwrap() else { panic!("no event") };
    event
}

#[test]
fn values_are_dropped_masked_and_hashed_and_the_rest_stays_byte_for_byte() {
    let data = r#"{"user":{"email":"a@b.test","Pass_Word":"x","n": 1.00},"card":{"number":"4111 1111 1111 1234"},"hosts":[{"ip":"1.2.3.4"},{"ip":"::1","x":1}],"e":"\u00e9"}"#;
    let options = json!({
        "drop": ["password", "/data/hosts/0"], "mask": ["/data/card/number"], "hash": ["/data/user/email"], "keep_last": 4, "hash_key": "k",
    });
    let hash = crate::sha256::hex(Some(b"k"), b"a@b.test");
    let expected = format!(
        r#"{{"user":{{"email":"sha256:{hash}","n":1.00}},"card":{{"number":"***1234"}},"hosts":[{{"ip":"::1","x":1}}],"e":"\u00e9"}}"#
    );
    assert_eq!(redact(data, None, &options).data, expected);
}

#[test]
fn dotted_names_that_begin_with_the_data_or_metadata_are_paths() {
    let options =
        json!({ "mask": ["data.card.number", "data.users.*.ssn"], "drop": ["metadata.ip"], "hash": ["data.\"e.mail\""] });
    let data = r#"{"card":{"number":"4111111111111234"},"e.mail":"zoe@example.com","users":[{"ssn":1},{"ssn":2}],"number":5}"#;
    let event = redact(data, Some(r#"{"ip":"::1","team":"sre"}"#), &options);
    let hash = crate::sha256::hex(None, b"zoe@example.com");
    let expected =
        format!(r#"{{"card":{{"number":"***"}},"e.mail":"sha256:{hash}","users":[{{"ssn":"***"}},{{"ssn":"***"}}],"number":5}}"#);
    assert_eq!(event.data, expected);
    assert_eq!(event.metadata.as_deref(), Some(r#"{"team":"sre"}"#));
}

#[test]
fn a_name_in_quotes_is_taken_as_it_is() {
    let data = r#"{"card.number":1,"Card.Number":2,"data.x":[{"card.number":3}]}"#;
    let event = redact(data, None, &json!({ "mask": ["\"card.number\""], "drop": ["'data.y'"] }));
    assert_eq!(event.data, r#"{"card.number":"***","Card.Number":2,"data.x":[{"card.number":"***"}]}"#);
}

#[test]
fn a_document_may_be_as_deep_as_it_is_long() {
    let deep = format!("{}{{\"secret\":1,\"x\":\"\\ud83d\"}}{}", "[".repeat(200_000), "]".repeat(200_000));
    let event = redact(&deep, None, &json!({ "drop": ["secret"] }));
    assert_eq!(event.data, deep.replace("\"secret\":1,", ""));
}

#[test]
fn keys_are_found_at_any_depth_and_in_metadata() {
    let event = redact(r#"[{"a":{"apiKey":{"x":[1]}}}]"#, Some(r#"{"api_key":"s","b":1}"#), &json!({ "mask": ["API-Key"] }));
    assert_eq!(event.data, r#"[{"a":{"apiKey":"***"}}]"#);
    assert_eq!(event.metadata.unwrap(), r#"{"api_key":"***","b":1}"#);
}

#[test]
fn stars_stand_for_any_key_or_index() {
    let options = json!({ "mask": ["/data/users/*/ssn"], "drop": ["/metadata/*"] });
    let event = redact(r#"{"users":[{"ssn":1},{"ssn":null}],"ssn":2}"#, Some(r#"{"a":1}"#), &options);
    assert_eq!(event.data, r#"{"users":[{"ssn":"***"},{"ssn":null}],"ssn":2}"#);
    assert_eq!(event.metadata.unwrap(), "{}");
}

#[test]
fn all_of_the_data_or_metadata_can_go() {
    let event = redact("[1]", Some("{}"), &json!({ "drop": ["/data", "/metadata"] }));
    assert_eq!((event.data.as_str(), event.metadata), ("null", None));
    let event = redact("[1]", Some("{}"), &json!({ "hash": ["/data"], "mask": ["/metadata"] }));
    assert!(event.data.starts_with("\"sha256:"));
    assert_eq!(event.metadata, None);
}

#[test]
fn little_of_a_short_value_is_shown() {
    let masked = |value: &str| {
        redact(&format!("{{\"k\":{value}}}"), None, &json!({ "mask": ["k"], "keep_last": 4, "mask_with": "•" })).data
    };
    assert_eq!(masked("\"12345678\""), r#"{"k":"•5678"}"#);
    assert_eq!(masked("\"1234567\""), r#"{"k":"•"}"#);
    assert_eq!(masked("123456789"), r#"{"k":"•6789"}"#);
    assert_eq!(masked("[1234567890]"), r#"{"k":"•"}"#);
}

#[test]
fn a_batch_stays_a_batch() {
    let options = check_options::<Redact>(r#"{"mask":["k"]}"#).unwrap();
    let events = [event(r#"{"k":1}"#, None), event(r#"{"k":2}"#, None)];
    let Outcome::Events(events) = Redact::transform(&events, &options).unwrap() else { panic!("no events") };
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.data == r#"{"k":"***"}"#));
}

#[test]
fn mistakes_in_options_are_named() {
    let error = |options: Value| check_options::<Redact>(&options.to_string()).unwrap_err();
    assert!(error(json!({})).starts_with("nothing would be redacted"));
    assert!(error(json!({ "drop": ["/card"] })).starts_with("option `drop`: the pointer `/card` must begin with /data"));
    assert!(
        error(json!({ "mask": ["card.number"] }))
            .starts_with("option `mask`: `card.number` is no single key: write `data.card.number`")
    );
    assert!(error(json!({ "drop": ["a"], "keep_last": 9 })).contains("`keep_last` is 9, 8 are allowed"));
    assert!(error(json!({ "drop": ["a"], "hash_key": "x" })).contains("nothing to `hash`"));
    assert!(error(json!({ "dorp": ["a"] })).contains("did you mean `drop`?"));
}

#[test]
fn the_schema_names_the_options_that_there_are() {
    testing::assert_schema_names_every_option::<Redact>();
}

#[test]
fn the_golden_cases_hold() {
    testing::assert_golden_cases::<Redact>(env!("CARGO_MANIFEST_DIR"));
}

fn data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), any::<String>().prop_map(Value::from)];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map("secret|a|b|[a-z]{0,3}|\\PC{0,4}", inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same in the plainest way.
fn without(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| crate::target::plain(key) != "secret")
            .map(|(key, value)| (key.clone(), without(value)))
            .collect(),
        Value::Array(list) => list.iter().map(without).collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn a_dropped_key_is_nowhere_and_all_else_is_as_it_was(data in data()) {
        let event = redact(&data.to_string(), None, &json!({ "drop": ["secret"] }));
        prop_assert_eq!(serde_json::from_str::<Value>(&event.data).unwrap(), without(&data));
    }
}
