//! Templates as people write them, and what is said about those that are wrong.

use serde_json::{Value, json};
use tenterhook_transformer::{Body, Event, Outcome, Request, Transformer, check_options};

use super::Template;

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

fn run(events: &[Event], options: &Value) -> Result<Request, String> {
    let Outcome::Request(request) = Template::transform(events, &check_options::<Template>(&options.to_string())?)? else {
        panic!("no request")
    };
    Ok(request)
}

fn body(data: &str, options: &Value) -> String {
    let Body::Text(text) = run(&[event(data)], options).unwrap().body else { panic!("no text") };
    text
}

#[test]
fn a_text_is_rendered_as_it_is() {
    let options = json!({ "text": "{{ type }} of <{{ data.user }}>{% if data.total > 99 %}: big{% endif %} ({{ metadata.team }}, {{ data.nope.deep }}{{ tenant }})" });
    assert_eq!(body(r#"{"user":"Zoë & co","total":100}"#, &options), "order.created of <Zoë & co>: big (sre, )");
    let request = run(&[event("1")], &options).unwrap();
    assert_eq!(request.headers, [("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())]);
}

#[test]
fn values_are_escaped_for_their_content_type() {
    let data = r#"{"user":"a\"<b>","n":[1,null]}"#;
    let as_json = json!({ "text": "{\"user\": {{ data.user }}, \"n\": {{ data.n }}}", "content_type": "application/json" });
    let parsed: Value = serde_json::from_str(&body(data, &as_json)).unwrap();
    assert_eq!(parsed, json!({ "user": "a\"<b>", "n": [1, null] }));
    let html = json!({ "text": "<p>{{ data.user }}</p>", "content_type": "text/html" });
    assert_eq!(body(data, &html), "<p>a&quot;&lt;b&gt;</p>");
}

#[test]
fn a_table_of_templates_is_json_whatever_the_event_says() {
    let options = json!({ "json": {
        "text": "{{ type }} by {{ data.user }}", "total": "{{ data.total }}", "items": "{{ data.items | length }}",
        "list": ["{{ data.items }}", 1, true, null], "none": "{{ data.nope }}", "nested": { "raw": "{{ raw }}" },
    } });
    let data = r#"{"user":"\"}","total":1.5,"items":["a",{"b":1}]}"#;
    let parsed: Value = serde_json::from_str(&body(data, &options)).unwrap();
    assert_eq!(
        parsed,
        json!({
            "text": "order.created by \"}", "total": 1.5, "items": 2, "list": [["a", { "b": 1 }], 1, true, null], "none": null,
            "nested": { "raw": data },
        })
    );
}

#[test]
fn headers_url_and_method_can_be_said() {
    let options = json!({
        "text": "x", "headers": { "X-Type": "{{ type }}" }, "url": "/hooks/{{ data.id | urlencode }}", "method": "PUT",
    });
    let request = run(&[event(r#"{"id":"a/b c"}"#)], &options).unwrap();
    assert_eq!(request.url.as_deref(), Some("/hooks/a/b%20c"));
    assert_eq!(request.method.as_deref(), Some("PUT"));
    assert_eq!(request.headers[0], ("X-Type".to_owned(), "order.created".to_owned()));
}

#[test]
fn a_batch_is_in_events() {
    let options = json!({ "text": "{% for event in events %}{{ loop.index }}:{{ event.data }} {% endfor %}" });
    let request = run(&[event("1"), event("2")], &options).unwrap();
    assert_eq!(request.body, Body::Text("1:1 2:2 ".to_owned()));
}

#[test]
fn a_template_without_end_runs_out_of_fuel() {
    let options = json!({ "text": "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}" });
    let error = run(&[event("1")], &options).unwrap_err();
    assert_eq!(error, "option `text`: the template takes more than its `fuel`: look for the loop, or raise it");
    let error = run(&[event("1")], &json!({ "text": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}" })).unwrap_err();
    assert!(error.starts_with("option `text`"), "{error}");
}

#[test]
fn mistakes_are_named_with_their_place() {
    let error = |options: Value| check_options::<Template>(&options.to_string()).unwrap_err();
    assert_eq!(error(json!({})), "exactly one of the options `text` (a template) and `json` (a table of templates) is needed");
    assert!(error(json!({ "text": "a\n{{ x" })).starts_with("option `text`, line 2: syntax error"));
    assert!(error(json!({ "text": "{{ x | nope }}" })).contains("nope"));
    assert!(error(json!({ "json": { "a": ["{% if %}"] } })).starts_with("option `json.a.0`: syntax error"));
    assert!(error(json!({ "json": { "a": "{{ 1 + }}" } })).starts_with("option `json.a`: syntax error"));
    assert!(error(json!({ "text": "x", "fuel": 0 })).contains("`fuel` is 0"));
    assert!(error(json!({ "text": "x", "url": "example.com" })).contains("option `url`"));
    assert!(error(json!({ "txt": "x" })).contains("did you mean `text`?"));
    let strict = json!({ "text": "{{ data.nope }}", "strict": true });
    assert!(run(&[event("{}")], &strict).unwrap_err().starts_with("option `text`: undefined value"));
    let broken = json!({ "text": "{\"a\": \"{{ data }}\"}", "content_type": "application/json" });
    assert!(run(&[event("\"x\"")], &broken).unwrap_err().starts_with("option `text` makes no JSON"));
}

#[test]
fn the_schema_names_the_options_that_there_are() {
    let schema: Value = serde_json::from_str(&Template::describe().options_schema).unwrap();
    let error = check_options::<Template>(r#"{"?":1}"#).unwrap_err();
    let (_, known) = error.split_once("there are: ").unwrap();
    let mut known: Vec<&str> = known.split(", ").collect();
    known.sort_unstable();
    let mut described: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    described.sort_unstable();
    assert_eq!(described, known);
}
