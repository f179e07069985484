//! The document against the router, and against its last state.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;

use super::document;
use crate::http::tests::server;

/// `METHOD /path` of everything that is described.
fn described() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            found.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    found
}

/// `METHOD /path` of the routers' own source.
fn routed() -> BTreeSet<String> {
    let sources = [
        include_str!("../assets.rs"),
        include_str!("../routes/mod.rs"),
        include_str!("../routes/v1/mod.rs"),
        include_str!("../routes/v1/webhooks/mod.rs"),
    ];
    let source = sources.concat().replace(['\n', ' '], "");
    let mut found = BTreeSet::new();
    for route in source.split(".route(\"").skip(1) {
        let (path, rest) = route.split_once('"').unwrap();
        // The page's own files are no API.
        if path.starts_with("/ui/") {
            continue;
        }
        let calls = rest.split([';', '}']).next().unwrap();
        let calls = [".fallback", ".merge", ".route(\""].iter().fold(calls, |calls, end| calls.split(end).next().unwrap());
        for method in ["get", "post", "put", "patch", "delete"] {
            if calls.contains(&format!(",{method}(")) || calls.contains(&format!(").{method}(")) {
                found.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    found
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let (described, routed) = (described(), routed());
    assert!(routed.len() > 15, "the routes were found: {routed:?}");
    assert_eq!(routed.difference(&described).collect::<Vec<_>>(), Vec::<&String>::new(), "routes that are not described");
    assert_eq!(described.difference(&routed).collect::<Vec<_>>(), Vec::<&String>::new(), "descriptions without a route");
}

#[test]
fn an_api_change_shows_in_the_snapshot() {
    let text = serde_json::to_string_pretty(document()).unwrap();
    insta::assert_snapshot!("openapi", text);
}

#[test]
fn everything_has_an_example_and_every_reference_leads_somewhere() {
    let document = document();
    let mut bare = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if parameter.get("example").is_none() {
                    bare.push(format!("{name}: {}", parameter["name"]));
                }
            }
            let responses = operation["responses"].as_object().unwrap().values();
            for content in responses.map(|response| &response["content"]).chain([&operation["requestBody"]["content"]]) {
                for (media, value) in content.as_object().into_iter().flatten() {
                    if !has_example(document, value) {
                        bare.push(format!("{name}: {media}"));
                    }
                }
            }
        }
    }
    assert_eq!(bare, Vec::<String>::new(), "without an example");
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
}

/// Its own, that of its schema, or that of a row of a list.
fn has_example(document: &Value, value: &Value) -> bool {
    let schema = &value["schema"];
    let named = |name: &str| {
        let schema = &document["components"]["schemas"][name];
        let rows = references(&schema["properties"]["data"]);
        let of_row = |row: &&str| document["components"]["schemas"][*row].get("example").is_some();
        schema.get("example").is_some() || rows.iter().any(of_row)
    };
    value.get("example").is_some() || schema.get("example").is_some() || references(schema).into_iter().any(named)
}

/// The names of all schemas that a schema is made of.
fn references(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next());
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn the_document_and_its_page_are_open_and_need_nothing_from_elsewhere() {
    let server = server().await;
    let json = server.call(Method::GET, "/openapi.json", "", "", "").await;
    assert_eq!((json.status.as_u16(), json.json()["openapi"].as_str()), (200, Some("3.1.0")));
    assert!(json.json()["webhooks"]["delivery"]["post"].is_object());
    let page = server.call(Method::GET, "/docs", "", "", "").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-security-policy"], super::POLICY);
    let elsewhere = ["<script", "src=", "@import", "<link", "url("];
    assert!(elsewhere.iter().all(|word| !page.text.contains(word)), "the page fetches something");
    for word in ["/v1/webhooks/{id}/secret", "Idempotency-Key", "webhook-signature", "schema-Problem"] {
        assert!(page.text.contains(word), "{word}");
    }
    assert!(!page.text.contains("<p></p>"));
}
