//! Filters as people write them, and what is said about those that are wrong.

use serde_json::{Value, json};
use tenterhook_message::testing;
use tenterhook_transformer::{Body, Event, Outcome};

use super::Jq;

fn event(data: &str) -> Event {
    testing::event_with("order.created", data, r#"{"team":"sre"}"#)
}

fn run(events: &[Event], options: &Value) -> Result<Outcome, String> {
    testing::run::<Jq>(events, &options.to_string())
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
fn assignments_make_the_paths_that_are_not_there() {
    for (filter, expected) in [
        (".data.meta.env = \"prod\" | .data", r#"{"a":[1],"n":null,"meta":{"env":"prod"}}"#),
        (".data | .meta.env |= \"prod\" | .meta", r#"{"env":"prod"}"#),
        ("(.data | .n.x.y) = 1 | .data.n", r#"{"x":{"y":1}}"#),
        (".data.n[2] = 1 | .data.n", "[null,null,1]"),
        (".data.a[2] = 3 | .data.a", "[1,null,3]"),
        (".data.tags += [\"x\"] | .data.tags", r#"["x"]"#),
        (".data.count.all += 1 | .data.count", r#"{"all":1}"#),
        (".data.x.y //= 5 | .data.x", r#"{"y":5}"#),
        ("\"k\" as $k | .data.new[$k] = 1 | .data.new", r#"{"k":1}"#),
        ("(.data.p.q, .data.p.r) = 1 | .data.p", r#"{"q":1,"r":1}"#),
        (".data |= (.in.ner = 1) | .data.in", r#"{"ner":1}"#),
        (".data | setpath([\"q\",\"r\",0]; 1) | .q", r#"{"r":[1]}"#),
        ("def f: .data.z.y = 1; f | .data.z", r#"{"y":1}"#),
        (".data | del(.meta.env) | keys", r#"["a","n"]"#),
        (".data | del(.a[0], .a[7], .n) | .", r#"{"a":[]}"#),
        ("[1,2,3,4] | del(.[0,2])", "[2,4]"),
        (".data.a[0] = 2 | .data.a", "[2]"),
        ("[.data.a[] | . + 1]", "[2]"),
        (".data.a[] |= . + 1 | .data.a", "[2]"),
        ("(.data.a | first) |= 7 | .data.a", "[7]"),
    ] {
        assert_eq!(body(r#"{"a":[1],"n":null}"#, &json!({ "filter": filter })), expected, "{filter}");
    }
    let error = run(&[event("1")], &json!({ "filter": ".data.x = 1" })).unwrap_err();
    assert!(error.starts_with("the filter failed: "), "{error}");
}

#[test]
fn what_jq_has_and_jaq_lacks_is_there() {
    for (filter, expected) in [
        (
            r#"[{"name":"a","value":1},{"key":"b","value":null},{"k":"c","v":3},{"key":7,"value":false}] | from_entries"#,
            r#"{"a":1,"b":null,"c":3,"7":false}"#,
        ),
        (r#"{"a":1} | with_entries(.value += 1)"#, r#"{"a":2}"#),
        (r#"[{"id":1,"x":"a"},{"id":2,"x":"b"}] | INDEX(.id)"#, r#"{"1":{"id":1,"x":"a"},"2":{"id":2,"x":"b"}}"#),
        (r#"[1,2,3] | map(select(IN(2,3)))"#, "[2,3]"),
        (r#"[2 | IN(1,2), IN(5,6)]"#, "[true,false]"),
        (r#"IN(1,2; 2,3)"#, "true"),
        (r#"{"a":[1,{"b":2}]} | [leaf_paths]"#, r#"[["a",0],["a",1,"b"]]"#),
        (r#"{"a":[1,2]} | [tostream]"#, r#"[[["a",0],1],[["a",1],2],[["a",1]],[["a"]]]"#),
        (r#"{"a":[1,{"b":2}]} | [fromstream(tostream)]"#, r#"[{"a":[1,{"b":2}]}]"#),
        (r#"["a \"q\"", 1, null, true] | @csv"#, r#""\"a \"\"q\"\"\",1,,true""#),
        (r#"["a\tb", 1.5, null] | @tsv"#, r#""a\\tb\t1.5\t""#),
        (r#"[1, "abc", "ab"] | map(ltrimstr("a"), rtrimstr("c"))"#, r#"[1,1,"bc","ab","b","ab"]"#),
        (r#"["xyz" | test(["X","ix"]), test("X"), test("x")]"#, "[true,false,true]"),
        (r#""abc" | [match(["B","i"]).offset]"#, "[1]"),
    ] {
        assert_eq!(body("1", &json!({ "filter": filter })), expected, "{filter}");
    }
    let error = run(&[event("1")], &json!({ "filter": "[[1]] | @csv" })).unwrap_err();
    assert!(error.contains("cannot be a value of a CSV row"), "{error}");
}

#[test]
fn the_documented_differences_from_jq_hold() {
    for filter in ["input", "inputs", "$ENV", "$__loc__", "import \"a\" as a; .", "include \"a\"; ."] {
        let error = testing::options_error::<Jq>(&json!({ "filter": filter }).to_string());
        assert!(error.starts_with("option `filter`"), "{filter}: {error}");
    }
    assert!(run(&[event("1")], &json!({ "filter": "\"A\" | test(\"\\\\p{Lu}\")" })).is_err());
    assert!(run(&[event("1")], &json!({ "filter": "def f(p): p = 1; null | f(.a.b)" })).is_err());
    assert_eq!(body("-0", &json!({ "filter": ".data" })), "0");
}

#[test]
fn json_that_other_parsers_refuse_is_filtered() {
    let data = r#"{"a":"cut \ud83d","b":1e400,"c":"\ud83d\ude00"}"#;
    assert_eq!(body(data, &json!({ "filter": ".data.b" })), "1e400");
    assert_eq!(body(data, &json!({ "filter": "[.data.a, .data.c]" })), "[\"cut \u{fffd}\",\"😀\"]");
    let digits = "7".repeat(400);
    assert_eq!(body(&digits, &json!({ "filter": ".data" })), digits);
    for depth in [130, 500] {
        let deep = format!("{}7{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(body(&deep, &json!({ "filter": ".data" })), deep);
    }
    let deeper = format!("{}7{}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(body(&deeper, &json!({ "filter": ".data" })).contains("[\"[[["));
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
    assert!(error.starts_with("the filter's result has NaN in it"), "{error}");
    let error = run(&[event("0")], &json!({ "filter": "{n: (1 / .data)}" })).unwrap_err();
    assert!(error.starts_with("the filter's result has Infinity in it"), "{error}");
}

#[test]
fn a_batch_is_an_array() {
    let Outcome::Request(request) = run(&[event("1"), event("2")], &json!({ "filter": "map(.data)" })).unwrap() else { panic!() };
    assert_eq!(request.body, Body::Text("[1,2]".to_owned()));
}

#[test]
fn mistakes_are_named_with_their_place() {
    let error = |options: Value| testing::options_error::<Jq>(&options.to_string());
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
    testing::assert_schema_names_every_option::<Jq>();
}

#[test]
fn the_golden_cases_hold() {
    testing::assert_golden_cases::<Jq>(env!("CARGO_MANIFEST_DIR"));
}
