//! Templates as people write them, and what is said about those that are wrong.

use serde_json::{Value, json};
use tenterhook_message::testing;
use tenterhook_transformer::{Body, Event, Outcome, Request};

use super::Template;

fn event(data: &str) -> Event {
    testing::event_with("order.created", data, r#"{"team":"sre"}"#)
}

fn run(events: &[Event], options: &Value) -> Result<Request, String> {
    match testing::run::<Template>(events, &options.to_string())? {
        Outcome::Request(request) => Ok(request),
        other => panic!("no request but {other:?}"),
    }
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
fn numbers_keep_their_spelling() {
    let data = r#"{"big":1000000000000000000001,"huge":1e400,"long":123456789012345678901234567890123456789012,"price":19.90,"same":19.9,"whole":100.00,"minus":-0,"n":3}"#;
    let text = "{{ data.big }} {{ data.huge }} {{ data.long }} {{ data.price }} {{ data.same }} {{ data.whole }} {{ data.minus }} {{ data.n }}";
    let expected = "1000000000000000000001 1e400 123456789012345678901234567890123456789012 19.90 19.9 100.00 -0 3";
    assert_eq!(body(data, &json!({ "text": text })), expected);
    let json = json!({ "json": { "price": "{{ data.price }}", "big": "{{ data.big }}", "huge": "{{ data.huge }}", "all": "{{ data }}" } });
    assert_eq!(body(data, &json), format!(r#"{{"all":{data},"big":1000000000000000000001,"huge":1e400,"price":19.90}}"#));
    assert_eq!(body(data, &json!({ "text": "{{ data.price * 2 }} {{ data.n + 1 }} {{ data.price > 19.5 }}" })), "39.8 4 true");
    assert_eq!(
        body("[19.90,2.50]", &json!({ "text": "{% for n in data %}{{ n }};{% endfor %}{{ data }}" })),
        "19.90;2.50;[19.90,2.50]"
    );
}

#[test]
fn what_is_no_string_is_json_in_text() {
    let data = r#"{"yes":true,"none":null,"list":[1,"a"],"map":{"a": 1},"it":"it's"}"#;
    let text =
        "{{ data.yes }} {{ data.none }} {{ data.list }} {{ data.map }} {{ data.it | tojson }} {{ [data.it, 1.0] }} {{ nope }}";
    assert_eq!(body(data, &json!({ "text": text })), r#"true null [1,"a"] {"a": 1} "it's" ["it's",1.0] "#);
    let html = json!({ "text": "<script>{{ data.it | tojson }}</script>", "content_type": "text/html" });
    assert_eq!(body(data, &html), "<script>\"it\\u0027s\"</script>");
}

#[test]
fn values_in_a_form_are_encoded() {
    let data = r#"{"name":"Zoë & co=1","list":[1,"a b"]}"#;
    let form = json!({
        "text": "name={{ data.name }}&list={{ data.list }}&twice={{ data.name | urlencode }}", "content_type": "application/x-www-form-urlencoded",
    });
    assert_eq!(body(data, &form), "name=Zo%C3%AB+%26+co%3D1&list=%5B1%2C%22a+b%22%5D&twice=Zo%C3%AB%20%26%20co%3D1");
}

#[test]
fn json_that_other_parsers_refuse_is_rendered() {
    let deep = format!("{}7{}", "[".repeat(3_000), "]".repeat(3_000));
    let data = format!(r#"{{"user":"bob","text":"cut \\ud83d","deep":{deep}}}"#).replace("\\\\", "\\");
    let text = json!({ "text": "{{ data.user }}: {{ data.text }} {{ data.deep[0][0] is sequence }}" });
    assert_eq!(body(&data, &text), "bob: cut \u{fffd} true");
    let all = json!({ "json": { "all": "{{ data }}" } });
    assert_eq!(body(&data, &all), format!(r#"{{"all":{}}}"#, data.replace("\\ud83d", "\\ufffd")));
}

#[test]
fn filters_work_on_the_data() {
    let data = r#"{"items":[{"n":2,"s":"b"},{"n":1,"s":"a"}],"b":1,"a":2}"#;
    let text = json!({ "text": "{{ data.items | map(attribute='n') | sum }} {{ data.items | sort(attribute='s') | map(attribute='s') | join('') }} {{ data | items | length }} {{ data.items | length }} {{ data.a == 2 }} {{ data.items[0] == data.items[0] }}" });
    assert_eq!(body(data, &text), "3 ab 3 2 true true");
}

#[test]
fn a_template_without_end_runs_out_of_fuel() {
    let options = json!({ "text": "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}" });
    let error = run(&[event("1")], &options).unwrap_err();
    assert_eq!(error, "option `text`: the template takes more than its `fuel`: check its loops, or raise it");
    let error = run(&[event("1")], &json!({ "text": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}" })).unwrap_err();
    assert!(error.starts_with("option `text`"), "{error}");
}

#[test]
fn mistakes_are_named_with_their_place() {
    let error = |options: Value| testing::options_error::<Template>(&options.to_string());
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
    testing::assert_schema_names_every_option::<Template>();
}

#[test]
fn the_golden_cases_hold() {
    testing::assert_golden_cases::<Template>(env!("CARGO_MANIFEST_DIR"));
}
