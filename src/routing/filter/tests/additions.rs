//! What is ours beside the library's language: searches in texts, lenient reading, suspicions.

use serde_json::{Value, json};

use super::{event, problems, verdict};
use crate::routing::{Filter, FilterInput};

#[test]
fn a_filter_reads_its_own_fields_of_data_that_serde_cannot_hold() {
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    let long = "9".repeat(400);
    for odd in [r#""cut \ud83d""#, "1e400", &long, &deep, r#"{"\udc00": 1}"#] {
        let event = event(&format!(r#"{{"user": "bob", "odd": {odd}, "n": 3}}"#));
        for filter in [
            json!({"data": {"user": "bob", "n": {"$lt": 5}}}),
            json!({"type": "order.created"}),
            json!({"data": {"odd": {"$exist": true}}}),
        ] {
            let matched = Filter::parse(&filter).unwrap().matches(&FilterInput::new(&event));
            assert_eq!(matched, Ok(()), "{filter} on {odd}");
        }
        let other = Filter::parse(&json!({"data": {"user": "eve"}})).unwrap().matches(&FilterInput::new(&event));
        assert_eq!(other.unwrap_err().to_string(), "data.user: \"bob\" is not \"eve\"");
    }
    let great = event(r#"{"n": 1e400}"#);
    assert!(Filter::parse(&json!({"data": {"n": {"$gt": 5}}})).unwrap().matches(&FilterInput::new(&great)).is_ok());
}

#[test]
fn texts_can_be_searched_and_matched() {
    for (filter, text, matches) in [
        (json!({"$contains": "time"}), json!("a timeout"), true),
        (json!({"$contains": "Time"}), json!("a timeout"), false),
        (json!({"$contains": ["disk", "timeout"]}), json!("a timeout"), true),
        (json!({"$contains": "1"}), json!(1), false),
        (json!({"$contains": "a"}), json!(["a"]), false),
        (json!({"$regex": "^web-\\d+$"}), json!("web-17"), true),
        (json!({"$regex": "^web-\\d+$"}), json!("xweb-17"), false),
        (json!({"$regex": "(?i)ERROR|fatal"}), json!("an error"), true),
        (json!({"$regex": "1"}), json!(1), false),
        (json!({"$not": {"$regex": "^test-"}}), json!("live"), true),
        (json!({"$or": [{"$regex": "^a"}, {"$regex": "^b"}]}), json!("bc"), true),
    ] {
        assert_eq!(verdict(&json!({"data": {"x": filter}}), &json!({"x": text})).is_ok(), matches, "{filter} on {text}");
        assert!(verdict(&json!({"data": {"x": filter}}), &json!({})).is_err(), "{filter} on nothing");
    }
    let reason = |filter: Value, value: Value| verdict(&json!({"data": {"x": filter}}), &json!({"x": value})).unwrap_err();
    assert_eq!(reason(json!({"$regex": "^a"}), json!("b")), "data.x: \"b\" does not match \"^a\"");
    assert_eq!(reason(json!({"$contains": "a"}), json!(5)), "data.x: 5 cannot be asked whether it contains \"a\"");
    assert_eq!(
        problems(&json!({"data": {"x": {"$regex": {"$ref": "data.y"}}}})),
        ["data.x.$regex: $regex takes a regular expression as a text, not a table"]
    );
    assert!(problems(&json!({"data": {"x": {"$regex": "("}}}))[0].contains("this is not a regular expression: unclosed group"));
}

#[test]
fn many_expressions_over_a_long_text_end_in_time() {
    let alternatives: Vec<Value> = (0..300).map(|n| json!({"$regex": format!("(a|b|ab)*{n}$")})).collect();
    let started = std::time::Instant::now();
    let reason = verdict(&json!({"data": {"x": {"$or": alternatives}}}), &json!({"x": "ab".repeat(400_000)})).unwrap_err();
    assert!(reason.contains("too much to compare"), "{reason}");
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn operators_without_their_dollar_are_suspected() {
    let suspicions = |filter: Value| -> Vec<String> {
        let found = Filter::parse(&filter).unwrap().suspicions();
        found.into_iter().map(|found| format!("{}: {}", found.path.join("."), found.problem)).collect()
    };
    assert_eq!(
        suspicions(json!({"data": {"errorRate": {">": 0.5}}})),
        ["data.errorRate.>: `>` is read as a field within the value: did you mean the operator `$gt`?"]
    );
    for key in [">", ">=", "gt", "gte", "LT", "eq", "==", "!=", "ne", "regex", "startsWith", "exists"] {
        assert_eq!(suspicions(json!({"data": {"x": {key: 1}}})).len(), 1, "{key}");
        assert_eq!(suspicions(json!({"$or": [{"data": {"x": {key: "a"}}}]})).len(), 1, "{key}");
    }
    assert_eq!(suspicions(json!({"data": {"country": {"in": ["DE"]}}})).len(), 1);
    assert_eq!(suspicions(json!({"data": {"rate": "> 0.5"}})).len(), 1);
    assert_eq!(suspicions(json!({"data": {"rate": ">=5"}})).len(), 1);
    assert_eq!(suspicions(json!({"type": "order.*"})).len(), 1);
    // A field may be called so.
    for plain in [
        json!({"data": {"gt": {"model": "x"}, "range": {"lt": {"$gt": 1}}}}),
        json!({"data": {"x": {"$in": ["gt", ">5"]}, "arrow": "-> x", "in": 5}}),
        json!({"type": "order.created"}),
    ] {
        assert_eq!(suspicions(plain.clone()), Vec::<String>::new(), "{plain}");
    }
}
