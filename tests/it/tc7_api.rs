//! The acceptance scenarios TC7.1 to TC7.15, step by step over the API: every webhook is made, changed, switched, tested
//! and removed there, as a person would with buttons. Numbers in comments are the steps of the document.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Answer, PATIENCE, Receiver, Server, head};
use crate::tc7::standard_signature;

/// `201`, with the secret, the one time.
async fn create(server: &Server, body: Value) -> Value {
    let (status, made) = server.http().post("/v1/webhooks", body.to_string()).await;
    assert_eq!(status, 201, "{made}");
    made
}

async fn send(server: &Server, method: &str, path: &str, body: Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.http().send(method, path, &[("content-type", "application/json")], body.into()).await
}

/// The delivery log of a webhook, newest first, each with its attempts.
async fn log(server: &Server, id: &str) -> Vec<Value> {
    let (status, page) = server.http().get(&format!("/v1/deliveries?webhook={id}")).await;
    assert_eq!(status, 200, "{page}");
    let mut rows = Vec::new();
    for row in page["data"].as_array().unwrap() {
        rows.push(server.http().get(&format!("/v1/deliveries/{}", row["id"].as_str().unwrap())).await.1);
    }
    rows
}

fn types(log: &[Value]) -> Vec<&str> {
    log.iter().map(|row| row["event_type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn tc7_1_create_webhook() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    // 2-10: what the form has.
    let form = json!({
        "url": receiver.url("/in"), "description": "Test webhook", "events": ["circuit_breaker.opened", "rate_limit.exceeded"],
        "retry": {"max_retries": 3, "initial_delay": "1000ms", "multiplier": 2}, "enabled": true,
    });
    let made = create(&server, form).await;
    // 11: it is in the list, as it was asked for.
    let (_, list) = server.http().get("/v1/webhooks").await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    let row = &list["data"][0];
    for (key, value) in [
        ("id", made["id"].clone()),
        ("description", json!("Test webhook")),
        ("events", json!(["circuit_breaker.opened", "rate_limit.exceeded"])),
        ("status", json!("enabled")),
        ("origin", json!("api")),
    ] {
        assert_eq!(row[key], value, "{key}");
    }
    let retry = &row["retry"];
    assert_eq!((&retry["max_retries"], &retry["initial_delay"], &retry["multiplier"]), (&json!(3), &json!("1s"), &json!(2.0)));
    // 12: the secret is shown with the answer, and nowhere in the list.
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && !list.to_string().contains(&secret[8..]), "{list}");
}

#[tokio::test]
async fn tc7_2_test_webhook_delivery() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    let made = create(&server, json!({"id": "ops", "url": receiver.url("/in"), "events": ["circuit_breaker.opened"]})).await;
    // 3, 4
    let (status, tested) = send(&server, "POST", "/v1/webhooks/ops/test", Value::Null).await;
    assert_eq!((status, &tested["attempt"]["outcome"]), (200, &json!("succeeded")), "{tested}");
    // 5-7: payload, structure, signature.
    let request = receiver.wait_for("/in", 1).await.remove(0);
    let body = request.json();
    assert_eq!((&body["id"], &body["type"]), (&tested["event_id"], &json!("circuit_breaker.opened")));
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z') && body["data"].is_object(), "{body}");
    let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    let expected = standard_signature(made["secret"].as_str().unwrap(), id, timestamp, &request.body);
    assert_eq!(request.header("webhook-signature"), expected);
    // 8-10: it is in the log, with success and 200.
    let log = log(&server, "ops").await;
    assert_eq!((log.len(), &log[0]["id"], &log[0]["state"]), (1, &tested["delivery_id"], &json!("succeeded")));
    assert_eq!(log[0]["attempts"][0]["status"], 200);
}

#[tokio::test]
async fn tc7_3_webhook_signature_verification() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    let form = json!({"id": "ops", "url": receiver.url("/in"), "events": ["circuit_breaker.*"], "signature": "sha256"});
    let made = create(&server, form).await;
    let event = server.publish("circuit_breaker.opened", r#"{"routeId": "api-service",  "errorRate": 0.750}"#).await;
    // 3-8: HMAC-SHA256 of the body as it came, keyed with the secret's text, in hexadecimal digits.
    let request = receiver.wait_for("/in", 1).await.remove(0);
    let mut mac = Hmac::<Sha256>::new_from_slice(made["secret"].as_str().unwrap().as_bytes()).unwrap();
    mac.update(&request.body);
    assert_eq!(request.header("x-webhook-signature"), format!("sha256={}", hex::encode(mac.finalize().into_bytes())));
    // 9, 10
    server.delivery_in(&event, "succeeded").await;
    assert_eq!(log(&server, "ops").await[0]["attempts"][0]["status"], 200);
}

fn with_retries(url: &str) -> Value {
    let retry = json!({"max_retries": 3, "initial_delay": "1s", "multiplier": 2, "jitter": 0});
    json!({"id": "ops", "url": url, "events": ["*"], "retry": retry})
}

#[tokio::test]
async fn tc7_4_webhook_retry_logic() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    create(&server, with_retries(&receiver.url("/in"))).await;
    receiver.answer_always("/in", Answer::Status(500));
    let event = server.publish("circuit_breaker.opened", "1").await;
    server.delivery_in(&event, "failed").await;
    // 4, 8: at once, and after 1, 2 and 4 s more.
    let requests = receiver.received("/in");
    let gaps: Vec<f64> = requests.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at).as_secs_f64()).collect();
    assert_eq!(gaps.len(), 3);
    for (gap, expected) in gaps.iter().zip([1.0, 2.0, 4.0]) {
        assert!((expected - 0.05..expected + 1.0).contains(gap), "{gaps:?}");
    }
    // 5-7, 9
    let log = log(&server, "ops").await;
    let attempts = log[0]["attempts"].as_array().unwrap();
    let told: Vec<_> = attempts.iter().map(|a| (a["number"].as_u64().unwrap(), a["status"].as_u64().unwrap())).collect();
    assert_eq!(told, [(1, 500), (2, 500), (3, 500), (4, 500)]);
    assert_eq!((&log[0]["state"], &log[0]["next_attempt_at"]), (&json!("failed"), &Value::Null));
}

#[tokio::test]
async fn tc7_5_webhook_retry_success() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    create(&server, with_retries(&receiver.url("/in"))).await;
    receiver.answer_next("/in", [Answer::Status(500), Answer::Status(500)]);
    let event = server.publish("circuit_breaker.opened", "1").await;
    server.delivery_in(&event, "succeeded").await;
    let log = log(&server, "ops").await;
    let statuses: Vec<_> = log[0]["attempts"].as_array().unwrap().iter().map(|a| a["status"].as_u64().unwrap()).collect();
    assert_eq!((statuses, &log[0]["state"]), (vec![500, 500, 200], &json!("succeeded")));
    // 12: a later event goes through the same lane; a fourth attempt would have come before it.
    let later = server.publish("circuit_breaker.closed", "2").await;
    server.delivery_in(&later, "succeeded").await;
    assert_eq!(receiver.received("/in").len(), 4);
}

#[tokio::test]
async fn tc7_6_multiple_event_subscriptions() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    let events = ["circuit_breaker.opened", "circuit_breaker.closed", "rate_limit.exceeded", "proxy.request_failed"];
    create(&server, json!({"id": "ops", "url": receiver.url("/in"), "events": events})).await;
    for (n, kind) in ["circuit_breaker.opened", "rate_limit.exceeded"].into_iter().enumerate() {
        let event = server.publish(kind, "1").await;
        server.delivery_in(&event, "succeeded").await;
        assert_eq!(receiver.wait_for("/in", n + 1).await[n].json()["type"], kind);
    }
    // 8, 9
    let other = server.publish("proxy.request_completed", "1").await;
    let (_, shown) = server.http().get(&format!("/v1/events/{other}")).await;
    assert_eq!(shown["deliveries"], json!([]), "{shown}");
    // 10
    assert_eq!(types(&log(&server, "ops").await), ["rate_limit.exceeded", "circuit_breaker.opened"]);
    assert_eq!(receiver.received("/in").len(), 2);
}

#[tokio::test]
async fn tc7_7_edit_webhook() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    let before = json!({"id": "ops", "url": receiver.url("/old"), "events": ["circuit_breaker.opened", "rate_limit.exceeded"]});
    let secret = create(&server, before).await["secret"].clone();
    // 3-7
    let edit = json!({"url": receiver.url("/new"), "events": ["circuit_breaker.opened", "health.check_failed"],
        "retry": {"max_retries": 1, "initial_delay": "5s"}});
    let (status, changed) = send(&server, "PATCH", "/v1/webhooks/ops", edit.clone()).await;
    assert_eq!(status, 200, "{changed}");
    // 8
    let (_, shown) = server.http().get("/v1/webhooks/ops").await;
    assert_eq!((&shown["url"], &shown["events"]), (&edit["url"], &edit["events"]));
    assert_eq!((&shown["retry"]["max_retries"], &shown["retry"]["initial_delay"]), (&json!(1), &json!("5s")));
    assert_eq!(server.http().get("/v1/webhooks/ops/secret").await.1["secret"], secret, "the secret stays");
    // 11, 12 first: had it been sent, it would have come before what follows.
    let dropped = server.publish("rate_limit.exceeded", "1").await;
    assert_eq!(server.http().get(&format!("/v1/events/{dropped}")).await.1["deliveries"], json!([]));
    // 9, 10
    let event = server.publish("health.check_failed", "2").await;
    server.delivery_in(&event, "succeeded").await;
    assert_eq!((receiver.received("/new").len(), receiver.received("/old").len()), (1, 0));
}

#[tokio::test]
async fn tc7_8_delete_webhook() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    create(&server, json!({"id": "ops", "url": receiver.url("/in"), "events": ["*"]})).await;
    let event = server.publish("circuit_breaker.opened", "1").await;
    server.delivery_in(&event, "succeeded").await;
    // 3, 4: the dialog is the page's; until it is confirmed nothing is asked of the API.
    assert_eq!(server.http().get("/v1/webhooks/ops").await.0, 200);
    // 6, 7
    assert_eq!(send(&server, "DELETE", "/v1/webhooks/ops", Value::Null).await.0, 204);
    assert_eq!(server.http().get("/v1/webhooks").await.1["data"], json!([]));
    // 8, 9
    let after = server.publish("circuit_breaker.opened", "2").await;
    let (_, shown) = server.http().get(&format!("/v1/events/{after}")).await;
    assert_eq!((&shown["deliveries"], &shown["unmatched"]), (&json!([]), &json!([])), "{shown}");
    assert_eq!(receiver.received("/in").len(), 1);
    // 10: nothing of it is reached under its name any more.
    for path in ["", "/stats", "/secret"] {
        assert_eq!(server.http().get(&format!("/v1/webhooks/ops{path}")).await.0, 404, "{path}");
    }
    for (path, body) in [("test", Value::Null), ("replay", json!({"since": "2020-01-01T00:00:00Z"})), ("enable", Value::Null)] {
        assert_eq!(send(&server, "POST", &format!("/v1/webhooks/ops/{path}"), body).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn tc7_9_disable_and_enable_webhook() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    create(&server, json!({"id": "ops", "url": receiver.url("/in"), "events": ["*"]})).await;
    let status = async || server.http().get("/v1/webhooks/ops").await.1["status"].clone();
    assert_eq!(status().await, "enabled");
    assert_eq!(send(&server, "POST", "/v1/webhooks/ops/disable", Value::Null).await.0, 200);
    assert_eq!(status().await, "disabled");
    let event = server.publish("circuit_breaker.opened", "1").await;
    let (_, shown) = server.http().get(&format!("/v1/events/{event}")).await;
    assert_eq!(shown["deliveries"], json!([]), "{shown}");
    assert!(shown["unmatched"][0]["reason"].as_str().unwrap().contains("disabled"), "{shown}");
    assert_eq!(send(&server, "POST", "/v1/webhooks/ops/enable", Value::Null).await.0, 200);
    assert_eq!(status().await, "enabled");
    let event = server.publish("circuit_breaker.opened", "2").await;
    server.delivery_in(&event, "succeeded").await;
    let received = receiver.received("/in");
    assert_eq!((received.len(), &received[0].json()["data"]), (1, &json!(2)));
}

#[tokio::test]
async fn tc7_10_delivery_log_viewer() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    create(&server, json!({"id": "ops", "url": receiver.url("/in"), "events": ["*"]})).await;
    receiver.answer_next("/in", [Answer::Status(200), Answer::Status(404)]);
    for (kind, state) in [("circuit_breaker.opened", "succeeded"), ("rate_limit.exceeded", "failed")] {
        let event = server.publish(kind, "1").await;
        server.delivery_in(&event, state).await;
    }
    // 4-8: time, type, number, success, code, duration; newest first; why it failed.
    let log = log(&server, "ops").await;
    assert_eq!(types(&log), ["rate_limit.exceeded", "circuit_breaker.opened"]);
    assert!(log[0]["created_at"].as_str().unwrap() >= log[1]["created_at"].as_str().unwrap());
    for (row, outcome, status) in [(&log[0], "failed", 404), (&log[1], "succeeded", 200)] {
        let attempt = &row["attempts"][0];
        assert!(attempt["at"].as_str().unwrap().ends_with('Z') && attempt["duration_ms"].as_f64().unwrap() > 0.0, "{attempt}");
        assert_eq!((&attempt["number"], &attempt["outcome"], &attempt["status"]), (&json!(1), &json!(outcome), &json!(status)));
    }
    assert!(log[0]["attempts"][0]["error"].as_str().unwrap().contains("404"));
    assert_eq!(log[1]["attempts"][0]["error"], Value::Null);
}

#[tokio::test]
async fn tc7_11_webhook_statistics() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    create(&server, json!({"id": "ops", "url": receiver.url("/in"), "events": ["*"]})).await;
    receiver.answer_next("/in", [200, 400, 200, 404, 200].map(Answer::Status));
    for n in 0..5 {
        let event = server.publish("circuit_breaker.opened", &n.to_string()).await;
        server.delivery_in(&event, if n % 2 == 0 { "succeeded" } else { "failed" }).await;
    }
    // 3-6: counted from the log.
    let log = log(&server, "ops").await;
    let count = |state: &str| log.iter().filter(|row| row["state"] == state).count();
    let durations: Vec<f64> = log.iter().map(|row| row["attempts"][0]["duration_ms"].as_f64().unwrap()).collect();
    let (_, stats) = server.http().get("/v1/webhooks/ops/stats").await;
    let deliveries = &stats["deliveries"];
    assert_eq!((&deliveries["total"], log.len()), (&json!(5), 5), "{stats}");
    assert_eq!((&deliveries["succeeded"], &deliveries["failed"]), (&json!(count("succeeded")), &json!(count("failed"))));
    assert_eq!((count("succeeded"), count("failed")), (3, 2));
    let average = durations.iter().sum::<f64>() / 5.0;
    assert!((stats["duration_ms"]["avg"].as_f64().unwrap() - average).abs() < 0.01, "{stats} is not {average}");
}

#[tokio::test]
async fn tc7_12_copy_webhook_secret() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    create(&server, json!({"id": "ops", "url": receiver.url("/in"), "events": ["*"], "signature": "sha256"})).await;
    // 2-5
    let (status, shown) = server.http().get("/v1/webhooks/ops/secret").await;
    let secret = shown["secret"].as_str().unwrap();
    assert_eq!((status, secret.len()), (200, 64), "{shown}");
    assert!(secret.chars().all(|c| c.is_ascii_hexdigit()), "{secret}");
    // 6, 7
    server.publish("circuit_breaker.opened", "1").await;
    let request = receiver.wait_for("/in", 1).await.remove(0);
    let signature = hex::decode(request.header("x-webhook-signature").strip_prefix("sha256=").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(&request.body);
    mac.verify_slice(&signature).expect("the secret verifies the signature");
}

#[tokio::test]
async fn tc7_13_webhook_url_validation() {
    // As in production: nothing is opened.
    let server = Server::start("[server]\nlisten = \"127.0.0.1:0\"\n").await;
    // 2-5: refused at the field, with the reason; also when it is only judged, as a form does while typing.
    for dry_run in [true, false] {
        for (url, reason) in [("invalid-url", "not an absolute URL"), ("http://insecure.com", "HTTPS required")] {
            let form = json!({"id": "ops", "url": url, "events": ["*"], "dry_run": dry_run});
            let (status, problem) = send(&server, "POST", "/v1/webhooks", form).await;
            assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("/url")), "{problem}");
            assert!(problem["errors"][0]["message"].as_str().unwrap().contains(reason), "{problem}");
        }
    }
    assert_eq!(server.http().get("/v1/webhooks").await.1["data"], json!([]));
    // 6-8
    let form = |dry_run: bool| json!({"id": "ops", "url": "https://valid.com/webhook", "events": ["*"], "dry_run": dry_run});
    assert_eq!(send(&server, "POST", "/v1/webhooks", form(true)).await, (200, json!({"dry_run": true, "valid": true})));
    create(&server, form(false)).await;
}

#[tokio::test]
async fn tc7_14_event_filtering() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    for (id, pattern) in [("a", "circuit_breaker.*"), ("b", "rate_limit.*"), ("c", "*")] {
        create(&server, json!({"id": id, "url": receiver.url(&format!("/{id}")), "events": [pattern]})).await;
    }
    for kind in ["circuit_breaker.opened", "rate_limit.exceeded"] {
        let (status, accepted) = send(&server, "POST", "/v1/events", json!({"type": kind})).await;
        assert_eq!((status, &accepted["deliveries"]), (202, &json!(2)), "{accepted}");
    }
    receiver.wait_for("/c", 2).await;
    receiver.wait_for("/a", 1).await;
    receiver.wait_for("/b", 1).await;
    for (id, expected) in [("a", vec!["circuit_breaker.opened"]), ("b", vec!["rate_limit.exceeded"])] {
        assert_eq!(types(&log(&server, id).await), expected, "{id}");
    }
    assert_eq!(types(&log(&server, "c").await), ["rate_limit.exceeded", "circuit_breaker.opened"]);
}

#[tokio::test]
async fn tc7_15_concurrent_deliveries() {
    let (receiver, server) = (Receiver::start().await, Server::start(&head()).await);
    let ids = ["w1", "w2", "w3", "w4", "w5"];
    for id in ids {
        create(&server, json!({"id": id, "url": receiver.url(&format!("/{id}")), "events": ["circuit_breaker.opened"]})).await;
    }
    // 8: the first four hang; the fifth is done all the same, and nothing waited for anything.
    for id in &ids[..4] {
        receiver.answer_next(&format!("/{id}"), [Answer::Hang]);
    }
    let event = server.publish("circuit_breaker.opened", "1").await;
    let requests = receiver.wait_for("/w", 5).await;
    assert!(requests.iter().all(|request| request.header("webhook-id") == event && request.json()["id"] == *event));
    let (first, last) = (requests.iter().map(|r| r.at).min().unwrap(), requests.iter().map(|r| r.at).max().unwrap());
    assert!(last - first < Duration::from_secs(4), "before the first could have timed out");
    let fifth = async || log(&server, "w5").await.first().is_some_and(|row| row["state"] == "succeeded");
    tokio::time::timeout(PATIENCE, server.eventually("the fifth is done", fifth)).await.unwrap();
    // 5-7: the log of each has the same event, of about the same time.
    for id in ids {
        let log = log(&server, id).await;
        assert_eq!((log.len(), &log[0]["event_id"]), (1, &json!(event)), "{id}");
    }
}
