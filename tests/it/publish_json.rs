//! JSON that common parsers cannot hold is refused on every way in; compressed bodies are decoded within bounds.

use std::io::Write;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::harness::{Receiver, Server, head, webhook};

const JSON: (&str, &str) = ("content-type", "application/json");

/// `data` that is well-formed and cannot be held, and what the refusal says of it.
fn unreadable() -> Vec<(String, &'static str)> {
    vec![
        (r#"{"user":"bob","text":"cut \ud83d"}"#.to_owned(), r"`data.text` has \ud83d, one half of a surrogate pair"),
        (r#"{"list":[1,{"\udc00":2}]}"#.to_owned(), r"one half of a surrogate pair"),
        (r#"{"a":[0,1e400]}"#.to_owned(), "`data.a[1]` is 1e400, a number beyond the range of a double"),
        (format!(r#"{{"n":-{}}}"#, "9".repeat(400)), "a number beyond the range of a double"),
        ("[".repeat(127) + &"]".repeat(127), "nested more than 126 levels deep"),
    ]
}

#[tokio::test]
async fn json_that_cannot_be_held_is_refused_on_every_way_in() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, ""))).await;
    for (data, said) in unreadable() {
        let event = format!(r#"{{"type":"a.b","data":{data}}}"#);
        let cloud = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"a.b","data":{data}}}"#);
        let binary = [JSON, ("ce-specversion", "1.0"), ("ce-id", "2"), ("ce-source", "/s"), ("ce-type", "a.b")];
        let structured = [("content-type", "application/cloudevents+json")];
        let batched = [("content-type", "application/cloudevents-batch+json")];
        for (headers, body) in [
            (&[JSON][..], event.clone()),
            (&[JSON], format!(r#"[{{"type":"a.b"}},{event}]"#)),
            (&structured, cloud.clone()),
            (&batched, format!("[{cloud}]")),
            (&binary, data.clone()),
        ] {
            let (status, problem) = server.http().send("POST", "/v1/events", headers, Bytes::from(body.clone())).await;
            assert_eq!(status, 422, "{problem}");
            assert!(problem.to_string().contains(json!(said).to_string().trim_matches('"')), "{body}: {problem}");
        }
        let lines = format!("{{\"type\":\"a.b\",\"data\":0}}\n{event}\n");
        let headers = [("content-type", "application/jsonl")];
        let (status, _, body) = server.http().raw("POST", "/v1/events", &headers, Bytes::from(lines)).await;
        let answers: Vec<Value> =
            body.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert_eq!((status, &answers[0]["status"], &answers[1]["status"]), (200, &json!(202), &json!(422)));
        let (status, problem) = server.http().post("/v1/webhooks/w/test", format!(r#"{{"data":{data}}}"#)).await;
        assert_eq!(status, 422, "{problem}");
    }
    let (_, events) = server.http().get("/v1/events").await;
    let stored = events["data"].as_array().unwrap().iter().filter(|event| event["data"] != 0).count();
    assert_eq!(stored, 0, "only the first lines were stored");
}

#[tokio::test]
async fn half_a_pair_in_any_other_field_is_refused_with_its_place() {
    let server = Server::start(&head()).await;
    for (event, said) in [
        (r#"{"type":"a\ud800"}"#, r"`type` has \ud800"),
        (r#"{"type":"a","id":"\udfff"}"#, r"`id` has \udfff"),
        (r#"{"type":"a","metadata":{"k":["\ud800"]}}"#, r"`metadata.k[0]` has \ud800"),
        (r#"{"type":"a","\ud800":1}"#, r"has \ud800"),
    ] {
        let (status, problem) = server.http().post("/v1/events", event).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(status == 422 && detail.contains(said), "{status} {detail}");
    }
    let (status, problem) = server.http().post("/v1/webhooks", r#"{"id":"w","description":"\ud800"}"#).await;
    assert_eq!((status, problem["errors"][0]["field"].as_str()), (422, Some("/description")), "{problem}");
}

#[tokio::test]
async fn long_digits_deep_data_and_emoji_arrive_to_the_letter() {
    let receiver = Receiver::start().await;
    let batch = "batch = { max_events = 1, max_wait = \"1s\" }";
    let config =
        head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, "") + &webhook("b", &receiver.url("/b"), r#"["*"]"#, batch);
    let server = Server::start(&config).await;
    let deepest = "[".repeat(126) + &"]".repeat(126);
    for data in [
        r#"{"n":1000000000000000000000000000001,"price":19.90,"pair":"\ud83d\ude00","nul":"\u0000","tiny":1e-400,"max":1.7976931348623157e308}"#,
        &deepest,
    ] {
        server.publish("a.b", data).await;
    }
    let received = receiver.wait_for("/in", 2).await;
    let bodies: Vec<String> = received.iter().map(|request| String::from_utf8(request.body.to_vec()).unwrap()).collect();
    assert!(
        bodies.iter().any(|body| body.contains(r#""n":1000000000000000000000000000001,"price":19.90,"pair":"\ud83d\ude00""#))
    );
    assert!(bodies.iter().any(|body| body.contains(&deepest)));
    receiver.wait_for("/b", 2).await;
}

#[tokio::test]
async fn a_dry_run_takes_and_shows_any_json() {
    let server = Server::start(&head()).await;
    for (data, _) in unreadable() {
        let body = format!(r#"{{"event":{{"type":"a.b","data":{data}}},"options":{{"mask":["secret"]}}}}"#);
        let (status, _, answer) = server.http().raw("POST", "/v1/transformers/redact/run", &[JSON], Bytes::from(body)).await;
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        assert_eq!(status, 200, "{answer}");
        assert!(answer.starts_with(r#"{"outcome":""#), "{answer}");
    }
}

fn gzip(text: &str) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap().into()
}

fn zstd(text: &str) -> Bytes {
    zstd::encode_all(text.as_bytes(), 0).unwrap().into()
}

#[tokio::test]
async fn compressed_bodies_are_published_and_bombs_are_not() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, ""))).await;
    let post = async |coding: &str, kind: &str, body: Bytes| {
        let headers = [("content-type", kind), ("content-encoding", coding)];
        server.http().raw("POST", "/v1/events", &headers, body).await
    };
    for (coding, encode) in [("gzip", gzip as fn(&str) -> Bytes), ("zstd", zstd)] {
        let (status, _, answer) = post(coding, "application/json", encode(r#"{"type":"a.b","data":{"x":1}}"#)).await;
        assert_eq!(status, 202, "{answer:?}");
        for kind in ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"] {
            let (status, _, answer) = post(coding, kind, encode("{\"type\":\"a.b\"}\n{\"type\":\"a.b\"}\n")).await;
            assert_eq!((status, answer.iter().filter(|byte| **byte == b'\n').count()), (200, 2), "{kind}");
        }
        let bomb = format!(r#"{{"type":"a.b","data":"{}"}}"#, "x".repeat(64 << 20));
        let (status, _, answer) = post(coding, "application/json", encode(&bomb)).await;
        assert_eq!(status, 413, "{answer:?}");
        let (status, _, answer) = post(coding, "application/json", Bytes::from_static(b"{\"type\":\"a.b\"}")).await;
        assert_eq!(status, 400, "{answer:?}");
    }
    let (status, headers, _) = post("br", "application/json", Bytes::from_static(b"x")).await;
    assert_eq!((status, headers["accept-encoding"].to_str().unwrap()), (415, "gzip, zstd"));
    receiver.wait_for("/in", 2 + 2 * 4 * 2).await;

    // Other calls take them too, also those that are done once.
    let headers = [JSON, ("content-encoding", "gzip"), ("idempotency-key", "k-1")];
    let (status, answer) = server.http().send("POST", "/v1/webhooks/w/test", &headers, gzip(r#"{"type":"x.y"}"#)).await;
    assert_eq!((status, &answer["event_type"]), (200, &json!("x.y")), "{answer}");
}
