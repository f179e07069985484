//! Publishing: what is taken, what is refused, and with which words.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::harness::{Receiver, Server, head, webhook};

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn ids_are_given_or_made_and_publishing_again_is_safe() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, ""))).await;
    let event = r#"{"id":"order-42","type":"order.created","data":{"total":99.99}}"#;
    let (status, first) = server.http().post("/v1/events", event).await;
    assert_eq!((status, &first), (202, &json!({ "id": "order-42", "deliveries": 1 })));
    let (status, again) = server.http().post("/v1/events", event).await;
    assert_eq!((status, &again["id"], &again["deliveries"]), (200, &json!("order-42"), &json!(1)));
    let (status, problem) = server.http().post("/v1/events", event.replace("99.99", "100")).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().contains("order-42"), "{problem}");
    let (_, made) = server.http().post("/v1/events", r#"{"type":"order.created"}"#).await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(uuid::Uuid::parse_str(id.strip_prefix("evt_").unwrap()).unwrap().get_version_num(), 7);
    receiver.wait_for("/in", 2).await;
    assert_eq!(receiver.received("/in").len(), 2);
}

#[tokio::test]
async fn an_array_is_all_or_nothing_and_ndjson_goes_line_by_line() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, ""))).await;
    let (status, answer) =
        server.http().post("/v1/events", r#"[{"id":"a1","type":"a.b"},{"id":"a2","type":"a.c","data":1}]"#).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    assert_eq!(answer["data"][1]["id"], "a2");

    let bad = r#"[{"id":"b1","type":"a.b"},{"type":""},{"type":"webhook.mine"},{"type":"x","dta":1}]"#;
    let (status, problem) = server.http().post("/v1/events", bad).await;
    assert_eq!(status, 422, "{problem}");
    let indices: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [1, 2, 3], "{problem}");
    assert_eq!(server.http().get("/v1/events/b1").await.0, 404, "nothing of it was taken");

    let lines =
        "{\"id\":\"c1\",\"type\":\"a.b\"}\n\nnot json\n{\"id\":\"c2\",\"type\":\"a.b\"}\n{\"id\":\"a1\",\"type\":\"other\"}\n";
    let ndjson = [("content-type", "application/x-ndjson")];
    let (status, headers, body) = server.http().raw("POST", "/v1/events", &ndjson, Bytes::from(lines)).await;
    assert!(status < 300, "{status}");
    assert!(headers["content-type"].to_str().unwrap().starts_with("application/x-ndjson"));
    let answers: Vec<Value> =
        body.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect();
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert_eq!((&answers[0]["id"], &answers[2]["id"]), (&json!("c1"), &json!("c2")));
    assert_eq!(answers[1]["status"], 422.min(answers[1]["status"].as_u64().unwrap()), "{answers:?}");
    assert_eq!(answers[3]["status"], 409);
    receiver.wait_for("/in", 4).await;
}

#[tokio::test]
async fn every_refusal_has_its_status_and_says_how_to_fix_it() {
    let tokens = "[tokens.publisher]\ntoken = \"publish-only-token\"\nscopes = [\"publish\"]\n[tokens.reader]\ntoken = \"read-only-token-x\"\nscopes = [\"read\"]\n";
    let config = head().replace("[network]", "max_event_size = \"1KiB\"\n[network]") + tokens;
    let server = Server::start(&config).await;
    let good = Bytes::from_static(br#"{"type":"a.b"}"#);
    let publisher = ("authorization", "Bearer publish-only-token");
    let big = Bytes::from(format!(r#"{{"type":"a.b","data":"{}"}}"#, "x".repeat(2000)));
    type Case<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, Bytes, u16, &'a str);
    let cases: Vec<Case<'_>> = vec![
        ("POST", "/v1/events", vec![JSON], good.clone(), 401, "Bearer"),
        ("POST", "/v1/events", vec![JSON, ("authorization", "Bearer wrong")], good.clone(), 401, "token"),
        ("POST", "/v1/events", vec![JSON, ("authorization", "Bearer read-only-token-x")], good.clone(), 403, "publish"),
        ("GET", "/v1/deliveries", vec![publisher], Bytes::new(), 403, "read"),
        ("POST", "/v1/events", vec![publisher, ("content-type", "text/plain")], good.clone(), 415, "application/json"),
        ("POST", "/v1/events", vec![publisher, JSON], big, 413, "max_event_size"),
        ("POST", "/v1/events", vec![publisher, JSON], Bytes::from_static(b"{\"type\":"), 400, "JSON"),
        ("POST", "/v1/events", vec![publisher, JSON], Bytes::from_static(br#"{"data":1}"#), 422, "type"),
        ("POST", "/v1/events", vec![publisher, JSON], Bytes::from_static(br#"{"type":"a b"}"#), 422, "a b"),
        ("POST", "/v1/events", vec![publisher, JSON], Bytes::from_static(br#"{"type":"a","id":"x.y"}"#), 422, "id"),
        ("POST", "/v1/events", vec![publisher, JSON], Bytes::from_static(br#"{"type":"a","timestamp":"soon"}"#), 422, "RFC 3339"),
        ("POST", "/v1/events", vec![publisher, JSON], Bytes::from_static(br#"{"type":"tenterhook.x"}"#), 422, "reserved"),
        ("DELETE", "/v1/events", vec![publisher], Bytes::new(), 405, "Allow"),
        ("GET", "/v1/nothing", vec![publisher], Bytes::new(), 404, ""),
    ];
    for (method, path, headers, body, expected, part) in cases {
        let (status, answer_headers, answer) = server.http().raw(method, path, &headers, body).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(status, expected, "{method} {path}: {text}");
        assert_eq!(answer_headers["content-type"], "application/problem+json", "{text}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["status"].as_u64(), Some(u64::from(expected)));
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem} does not mention {part:?}");
    }
    let (status, _) = server.http().send("POST", "/v1/events", &[publisher, JSON], good).await;
    assert_eq!(status, 202);
}

#[tokio::test]
async fn filters_and_tenants_decide_and_the_event_says_why() {
    let receiver = Receiver::start().await;
    let config = head()
        + &webhook("high", &receiver.url("/high"), r#"["**"]"#, "filter.data.errorRate = { \"$gt\" = 0.5 }")
        + &webhook("acme", &receiver.url("/acme"), r#"["**"]"#, "tenant = \"acme\"")
        + &webhook("all", &receiver.url("/all"), r#"["*"]"#, "");
    let server = Server::start(&config).await;
    let post = async |body: &str| server.http().post("/v1/events", body.to_owned()).await.1["id"].as_str().unwrap().to_owned();
    let low = post(r#"{"type":"a.b","data":{"errorRate":0.2}}"#).await;
    post(r#"{"type":"a.b","data":{"errorRate":0.9}}"#).await;
    post(r#"{"type":"a.b","tenant":"acme","data":{"errorRate":0.9}}"#).await;
    receiver.wait_for("/all", 2).await;
    receiver.wait_for("/high", 1).await;
    receiver.wait_for("/acme", 1).await;
    let (_, event) = server.http().get(&format!("/v1/events/{low}")).await;
    let reason = |webhook: &str| {
        let entry = event["unmatched"].as_array().unwrap().iter().find(|u| u["webhook"] == webhook).cloned();
        entry.unwrap_or_else(|| panic!("{event}"))["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason("high").contains("data.errorRate"), "{}", reason("high"));
    assert!(reason("acme").contains("acme"), "{}", reason("acme"));
    assert_eq!(event["deliveries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn health_readiness_and_metrics_are_there() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, ""))).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.http().raw("GET", path, &[("authorization", "")], Bytes::new()).await.0, 200, "{path}");
    }
    let id = server.publish("a.b", "1").await;
    server.delivery_in(&id, "succeeded").await;
    let (status, _, body) = server.http().raw("GET", "/metrics", &[], Bytes::new()).await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(status, 200);
    for part in [
        r#"tenterhook_deliveries_total{webhook="w",outcome="succeeded"} 1"#,
        r#"tenterhook_backlog{state="pending"} 0"#,
        "tenterhook_config_generation 1",
        "tenterhook_store_commit_duration_seconds_count",
        r#"tenterhook_events_total{outcome="accepted"} 1"#,
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[tokio::test]
async fn a_manual_retry_delivers_a_dead_letter() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/in", [crate::harness::Answer::Status(400)]);
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, ""))).await;
    let id = server.publish("a.b", "1").await;
    let delivery = server.delivery_in(&id, "failed").await;
    let path = format!("/v1/deliveries/{}/retry", delivery["id"].as_str().unwrap());
    let (status, answer) = server.http().post(&path, "").await;
    assert!(status < 300, "{status} {answer}");
    let delivery = server.delivery_in(&id, "succeeded").await;
    assert_eq!(delivery["attempt_count"], 2);
}
