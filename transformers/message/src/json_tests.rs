//! JSON as serde_json reads it, and JSON that it does not.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

#[test]
fn members_come_in_order_with_their_text_as_written() {
    let json = Json::new(" {\"a\" : 1.00 , \"b\\u0021\":{\"x\":[1,\"}\"]}, \"c\": \"\\\"\" } ");
    let members: Vec<_> = json.members().map(|(k, v)| (k.into_owned(), v.text())).collect();
    assert_eq!(members, [("a".to_owned(), "1.00"), ("b!".to_owned(), "{\"x\":[1,\"}\"]}"), ("c".to_owned(), "\"\\\"\"")]);
    assert_eq!(json.get("b!").unwrap().get("x").unwrap().step(&Step::bare("1")).unwrap().as_string().unwrap(), "}");
}

#[test]
fn surrogates_are_joined_and_lone_ones_replaced() {
    assert_eq!(decode(r#""\ud83d\ude00""#), "😀");
    assert_eq!(decode(r#""\ud83d!\ude00\ud83d\ud83d\ude00""#), "\u{fffd}!\u{fffd}\u{fffd}😀");
}

#[test]
fn half_surrogates_are_replaced_and_whole_ones_stay() {
    let clean = without_half_surrogates;
    assert_eq!(clean(r#""\ud83d\ude00 \ud83d \ude00 \\ud83d""#), r#""\ud83d\ude00 \ufffd \ufffd \\ud83d""#);
    assert_eq!(clean(r#""\ud83d"#), r#""\ufffd"#);
    assert_eq!(clean("\"é\\é\""), "\"é\\é\"");
}

#[test]
fn depth_counts_brackets_outside_strings() {
    assert_eq!((depth("1"), depth(r#"[{"a":"[[["},[]]"#), depth(r#"["\"[["]"#)), (0, 2, 1));
}

#[test]
fn what_is_too_deep_becomes_text() {
    assert_eq!(limit_depth(r#"{"a":[{"b":1},"[["],"c":[]}"#, 2), r#"{"a":["{\"b\":1}","[["],"c":[]}"#);
    assert_eq!(limit_depth("[[1]]", 2), "[[1]]");
}

#[test]
fn pretty_is_what_serde_json_makes() {
    let text = r#"{"a":[1,{"b":null},[],{}],"c":"x:,{}"}"#;
    let mut out = String::new();
    Json::new(text).pretty(&mut out, 0, usize::MAX);
    let expected = serde_json::to_string_pretty(&serde_json::from_str::<Value>(text).unwrap()).unwrap();
    assert_eq!(out, expected);
}

#[test]
fn a_deep_document_neither_overflows_nor_explodes() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let mut out = String::new();
    Json::new(&deep).pretty(&mut out, 0, 5_000);
    assert!(out.len() < 6_000);
    assert_eq!(Json::new(&deep).elements().count(), 1);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn walking_sees_what_serde_json_sees(value in any_json(), spaced in any::<bool>()) {
        let text = if spaced { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let json = Json::new(&text);
        if let Value::Object(map) = &value {
            let seen: Vec<_> = json.members().map(|(k, v)| (k.into_owned(), serde_json::from_str(v.text()).unwrap())).collect();
            let expected: Vec<(String, Value)> = map.clone().into_iter().collect();
            prop_assert_eq!(seen, expected);
        }
        if let Value::String(string) = &value {
            prop_assert_eq!(json.as_string().unwrap(), string.as_str());
        }
        let mut pretty = String::new();
        json.pretty(&mut pretty, 0, usize::MAX);
        prop_assert_eq!(serde_json::from_str::<Value>(&pretty).unwrap(), value);
    }

    #[test]
    fn no_text_makes_the_walk_panic(text in ".{0,80}|[\\[\\]{}\",:\\\\u0-9a-f ]{0,60}") {
        let json = Json::new(&text);
        let _ = (json.members().count(), json.elements().count(), json.display(), json.get("a"), depth(&text));
        let _ = (without_half_surrogates(&text), limit_depth(&text, 1));
        json.pretty(&mut String::new(), 0, 1_000);
    }

    #[test]
    fn written_strings_are_read_back(text in any::<String>()) {
        let mut out = String::new();
        write_string(&mut out, &text);
        prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text.clone());
        prop_assert_eq!(decode(&out), text);
    }
}
