//! Filters as people write them, and what is said about those that are wrong.

use serde_json::{Value, json};
use tenterhook_transformer::{Body, Event, Outcome, Transformer, check_options};

use super::Jq;

fn event(data: &str) -> Event {
    Event {
        id: "evt_0198".to_owned(),
        type_: "order.created".to_owned(),
        timestamp: "2026-01-28T10:30:45.123Z".to_owned(),
        data: data.to_owned(),
        metadata: Some(r#"{"team":"sre"}"#.to_owned()),
        tenant: None,
    }
}

fn run(events: &[Event], options: &Value) -> Result<Outcome, String> {
    Jq::transform(events, &check_options::<Jq>(&options.to_string())?)
}

fn body(data: &str, options: &Value) -> String {
    let Outcome::Request(request) = run(&[event(data)], options).unwrap() else { panic!("no request") };
    let Body::Text(text) = request.body else { panic!("no text") };
    text
}

#[test]
fn a_filter_makes_the_body() {
    let options = json!({ "filter": "{text: \"\\(.type) by \\(.data.user)\", n: (.data.items | length), $team, team2: .metadata.team}", "args": { "team": ["a", 1] } });
    assert_eq!(
        body(r#"{"user":"Zoë","items":[1,2]}"#, &options),
        r#"{"text":"order.created by Zoë","n":2,"team":["a",1],"team2":"sre"}"#
    );
}

#[test]
fn numbers_keep_their_spelling() {
    let data = "{\"a\":12345678901234567890123456789,\"b\":1.10}";
    assert_eq!(body(data, &json!({ "filter": ".data" })), data);
}

#[test]
fn the_standard_library_is_there() {
    for (filter, expected) in [
        ("[.data[] | select(. > 1)] | add", "5"),
        ("\"a,b\" | split(\",\")", r#"["a","b"]"#),
        ("\"2026-01-28T10:30:45Z\" | fromdate", "1769596245"),
        ("\"ab12\" | test(\"[0-9]+\")", "true"),
        ("\"a b\" | @uri, empty", "\"a%20b\""),
        ("[.data[] | tostring] | @base64", "\"WyIxIiwiMiIsIjMiXQ==\""),
        ("[limit(2; repeat(1))]", "[1,1]"),
        (".data | debug | length", "3"),
    ] {
        assert_eq!(body("[1,2,3]", &json!({ "filter": filter })), expected, "{filter}");
    }
}

#[test]
fn a_string_is_a_text_where_one_is_wanted() {
    assert_eq!(body("1", &json!({ "filter": "\"n=\\(.data)\"", "content_type": "text/plain" })), "n=1");
    assert_eq!(body("1", &json!({ "filter": "\"n=\\(.data)\"" })), "\"n=1\"");
}

#[test]
fn data_and_events_go_on_to_the_next_stage() {
    let Outcome::Event(made) =
        run(&[event(r#"{"a":1,"b":2}"#)], &json!({ "filter": ".data | del(.a)", "result": "data" })).unwrap()
    else {
        panic!()
    };
    assert_eq!((made.data.as_str(), made.type_.as_str()), (r#"{"b":2}"#, "order.created"));
    let options = json!({ "filter": "{type: \"x.y\", data: .data.a}", "result": "event" });
    let Outcome::Event(made) = run(&[event(r#"{"a":1}"#)], &options).unwrap() else { panic!() };
    assert_eq!((made.data.as_str(), made.type_.as_str(), made.metadata), ("1", "x.y", None));
    let events = [event("1"), event("2"), event("3")];
    let Outcome::Events(made) = run(&events, &json!({ "filter": "select(.data != 2).data", "result": "data" })).unwrap() else {
        panic!()
    };
    assert_eq!(made.iter().map(|event| event.data.as_str()).collect::<Vec<_>>(), ["1", "3"]);
}

#[test]
fn no_result_drops_and_several_are_an_error() {
    assert!(matches!(run(&[event("1")], &json!({ "filter": "empty" })), Ok(Outcome::Drop(_))));
    let error = run(&[event("1")], &json!({ "filter": "1, 2" })).unwrap_err();
    assert!(error.starts_with("the filter gave more than one result"), "{error}");
    let error = run(&[event("1")], &json!({ "filter": ".data.x" })).unwrap_err();
    assert!(error.starts_with("the filter failed: "), "{error}");
    let error = run(&[event("1")], &json!({ "filter": "nan" })).unwrap_err();
    assert!(error.starts_with("the filter's result is no JSON"), "{error}");
}

#[test]
fn a_batch_is_an_array() {
    let Outcome::Request(request) = run(&[event("1"), event("2")], &json!({ "filter": "map(.data)" })).unwrap() else { panic!() };
    assert_eq!(request.body, Body::Text("[1,2]".to_owned()));
}

#[test]
fn mistakes_are_named_with_their_place() {
    let error = |options: Value| check_options::<Jq>(&options.to_string()).unwrap_err();
    assert_eq!(
        error(json!({ "filter": "." , "args": { "a b": 1 } })),
        "option `args`: `a b` is no name of a variable: letters, digits and _"
    );
    assert_eq!(error(json!({ "filter": ".data | nope(1)" })), "option `filter`: column 9: there is no filter `nope/1`");
    assert_eq!(error(json!({ "filter": ".a\n| $x" })), "option `filter`: line 2, column 3: there is no variable `$x`");
    assert!(error(json!({ "filter": "{a: (1}" })).starts_with("option `filter`: column "));
    assert!(error(json!({ "filter": ".a |" })).starts_with("option `filter`: column "));
    assert_eq!(error(json!({})), "the option `filter` is required");
    assert!(error(json!({ "filtre": "." })).contains("did you mean `filter`?"));
}

#[test]
fn the_schema_names_the_options_that_there_are() {
    let schema: Value = serde_json::from_str(&Jq::describe().options_schema).unwrap();
    let error = check_options::<Jq>(r#"{"?":1}"#).unwrap_err();
    let (_, known) = error.split_once("there are: ").unwrap();
    let mut known: Vec<&str> = known.split(", ").collect();
    known.sort_unstable();
    let mut described: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    described.sort_unstable();
    assert_eq!(described, known);
}
