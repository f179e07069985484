//! The acceptance scenarios TC7.1 to TC7.15 with webhooks of config.toml; `tc7_api` walks them over the API.

use std::time::Duration;

use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::harness::{Answer, Receiver, SECRET, Server, head, webhook};

/// `v1,…` over the exact bytes, computed here by the book and not by our own signer.
pub fn standard_signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let engine = base64::engine::general_purpose::STANDARD;
    let key = engine.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", engine.encode(mac.finalize().into_bytes()))
}

const EXACT: &str = "retry = { max_retries = 3, initial_delay = \"1s\", multiplier = 2, jitter = 0 }";
const QUICK: &str = "retry = { max_retries = 3, initial_delay = \"50ms\", multiplier = 2, jitter = 0 }";

#[tokio::test]
async fn tc7_1_and_2_a_webhook_gets_an_event_with_structure_and_signature() {
    let receiver = Receiver::start().await;
    let events = r#"["circuit_breaker.opened", "rate_limit.exceeded"]"#;
    let server = Server::start(&(head() + &webhook("ops", &receiver.url("/in"), events, "description = \"Test webhook\""))).await;
    let (status, webhooks) = server.http().get("/v1/webhooks").await;
    assert_eq!(status, 200);
    assert_eq!(webhooks["data"][0]["id"], "ops");
    assert_eq!(webhooks["data"][0]["description"], "Test webhook");
    assert_eq!(webhooks["data"][0]["status"], "enabled");
    assert!(!webhooks.to_string().contains(SECRET), "secrets are not listed");

    let id = server.publish("circuit_breaker.opened", r#"{"routeId":"api-service","errorRate":0.75}"#).await;
    let request = receiver.wait_for("/in", 1).await.remove(0);
    assert_eq!(request.header("content-type"), "application/json");
    assert!(request.header("user-agent").starts_with("tenterhook/"));
    assert_eq!(request.header("webhook-id"), id);
    let body = request.json();
    assert_eq!(body["id"], *id);
    assert_eq!(body["type"], "circuit_breaker.opened");
    assert_eq!(body["data"], json!({ "routeId": "api-service", "errorRate": 0.75 }));
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
    let delivery = server.delivery_in(&id, "succeeded").await;
    assert_eq!(delivery["attempts"][0]["status"], 200);
}

#[tokio::test]
async fn tc7_3_the_signature_is_over_the_exact_bytes() {
    let receiver = Receiver::start().await;
    let config = head()
        + &webhook("standard", &receiver.url("/standard"), r#"["*"]"#, "")
        + &webhook(
            "sha256",
            &receiver.url("/sha256"),
            r#"["*"]"#,
            "signature = { scheme = \"sha256\", header = \"X-FlexGate-Signature\" }",
        );
    let server = Server::start(&config).await;
    // Spacing, key order and number spelling that a re-serialisation would change.
    server.publish("a.b", "{\"z\": 1.00,  \"a\":\"\\u00e9\\/\", \"n\": 12345678901234567890123}").await;
    let request = receiver.wait_for("/standard", 1).await.remove(0);
    let text = std::str::from_utf8(&request.body).unwrap();
    assert!(text.contains("{\"z\": 1.00,  \"a\":\"\\u00e9\\/\", \"n\": 12345678901234567890123}"), "{text}");
    let expected = standard_signature(SECRET, request.header("webhook-id"), request.header("webhook-timestamp"), &request.body);
    assert_eq!(request.header("webhook-signature"), expected);

    let request = receiver.wait_for("/sha256", 1).await.remove(0);
    let signature = request.header("x-flexgate-signature").strip_prefix("sha256=").unwrap().to_owned();
    assert_eq!(signature.len(), 64);
    assert!(request.headers.get("x-webhook-signature").is_none());
}

#[tokio::test]
async fn tc7_4_a_failing_endpoint_is_tried_at_0_1_3_and_7_s_and_given_up() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/in", Answer::Status(500));
    let server = Server::start(&(head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, EXACT))).await;
    let id = server.publish("a.b", "1").await;
    let delivery = server.delivery_in(&id, "failed").await;
    let requests = receiver.received("/in");
    assert_eq!(requests.len(), 4);
    for (n, expected) in [(1, 1.0), (2, 3.0), (3, 7.0)] {
        let at = requests[n].at.duration_since(requests[0].at).as_secs_f64();
        assert!((expected - 0.05..expected + 1.0).contains(&at), "attempt {} came after {at} s", n + 1);
        assert_eq!(requests[n].body, requests[0].body, "the same bytes");
        assert_eq!(requests[n].header("webhook-id"), requests[0].header("webhook-id"));
    }
    let attempts = delivery["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 4);
    assert!(
        attempts.iter().all(|a| a["status"] == 500 && a["outcome"] == "failed" && a["error"].as_str().unwrap().contains("500"))
    );
    assert!(delivery["reason"].as_str().unwrap().contains("after 4 attempts"), "{delivery}");
    assert!(delivery["next_attempt_at"].is_null());
}

#[tokio::test]
async fn tc7_5_retrying_stops_at_the_first_success() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/in", [Answer::Status(500), Answer::Status(500)]);
    let server = Server::start(&(head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, QUICK))).await;
    let id = server.publish("a.b", "1").await;
    let delivery = server.delivery_in(&id, "succeeded").await;
    assert_eq!(delivery["attempt_count"], 3);
    let statuses: Vec<_> = delivery["attempts"].as_array().unwrap().iter().map(|a| a["status"].clone()).collect();
    assert_eq!(statuses, [json!(500), json!(500), json!(200)]);
    // A second event goes through the same lane: had there been a fourth attempt, it would have come before.
    let second = server.publish("a.b", "2").await;
    server.delivery_in(&second, "succeeded").await;
    assert_eq!(receiver.received("/in").len(), 4);
}

#[tokio::test]
async fn tc7_6_only_subscribed_events_are_delivered() {
    let receiver = Receiver::start().await;
    let events = r#"["circuit_breaker.opened", "circuit_breaker.closed", "rate_limit.exceeded", "proxy.request_failed"]"#;
    let server = Server::start(&(head() + &webhook("ops", &receiver.url("/in"), events, ""))).await;
    server.publish("circuit_breaker.opened", "1").await;
    let not_subscribed = server.publish("proxy.request_completed", "2").await;
    let last = server.publish("rate_limit.exceeded", "3").await;
    server.delivery_in(&last, "succeeded").await;
    receiver.wait_for("/in", 2).await;
    let (_, log) = server.http().get("/v1/deliveries?webhook=ops").await;
    let types: Vec<_> = log["data"].as_array().unwrap().iter().map(|d| d["event_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["rate_limit.exceeded", "circuit_breaker.opened"]);
    let (_, event) = server.http().get(&format!("/v1/events/{not_subscribed}")).await;
    assert_eq!(event["deliveries"], json!([]));
    assert_eq!(event["unmatched"][0]["webhook"], "ops");
}

#[tokio::test]
async fn tc7_7_an_edited_webhook_goes_to_its_new_url_with_its_new_events() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("ops", &receiver.url("/old"), r#"["rate_limit.exceeded"]"#, QUICK))).await;
    let id = server.publish("rate_limit.exceeded", "1").await;
    server.delivery_in(&id, "succeeded").await;

    server.reconfigure(&(head() + &webhook("ops", &receiver.url("/new"), r#"["health.check_failed"]"#, EXACT))).await;
    let dropped = server.publish("rate_limit.exceeded", "2").await;
    let id = server.publish("health.check_failed", "3").await;
    server.delivery_in(&id, "succeeded").await;
    assert_eq!(receiver.received("/new").len(), 1);
    assert_eq!(receiver.received("/old").len(), 1);
    assert_eq!(server.http().get(&format!("/v1/events/{dropped}")).await.1["deliveries"], json!([]));
    let (_, webhook) = server.http().get("/v1/webhooks/ops").await;
    assert_eq!(webhook["events"], json!(["health.check_failed"]));
    assert!(webhook["url"].as_str().unwrap().ends_with("/new"));
}

#[tokio::test]
async fn tc7_8_a_removed_webhook_gets_nothing_more_and_what_waited_is_cancelled() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/in", Answer::Status(503));
    let head = head() + "[retention]\nremoved = \"0s\"\n";
    let config = head.clone() + &webhook("gone", &receiver.url("/in"), r#"["*"]"#, "retry = { schedule = [\"1h\"] }");
    let server = Server::start(&config).await;
    let waiting = server.publish("a.b", "1").await;
    server.delivery_in(&waiting, "retrying").await;
    server.reconfigure(&head).await;
    let delivery = server.delivery_in(&waiting, "cancelled").await;
    assert!(delivery["reason"].as_str().unwrap().contains("removed"), "{delivery}");
    let after = server.publish("a.b", "2").await;
    assert_eq!(server.http().get(&format!("/v1/events/{after}")).await.1["deliveries"], json!([]));
    assert_eq!(server.http().get("/v1/webhooks/gone").await.0, 404);
    assert_eq!(receiver.received("/in").len(), 1);
}

#[tokio::test]
async fn tc7_9_a_disabled_webhook_gets_nothing_until_it_is_enabled() {
    let receiver = Receiver::start().await;
    let config = |enabled: &str| head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, enabled);
    let server = Server::start(&config("enabled = false")).await;
    assert_eq!(server.http().get("/v1/webhooks/ops").await.1["status"], "disabled");
    let refused = server.publish("a.b", "1").await;
    let (_, event) = server.http().get(&format!("/v1/events/{refused}")).await;
    assert_eq!(event["deliveries"], json!([]));
    assert!(event["unmatched"][0]["reason"].as_str().unwrap().contains("disabled"));
    server.reconfigure(&config("enabled = true")).await;
    let id = server.publish("a.b", "2").await;
    server.delivery_in(&id, "succeeded").await;
    assert_eq!(receiver.received("/in").len(), 1);
}

#[tokio::test]
async fn deliveries_of_a_disabled_webhook_are_held_until_it_is_enabled() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/in", [Answer::Status(503)]);
    let config = |enabled: &str| {
        head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, &format!("retry = {{ schedule = [\"1h\"] }}\n{enabled}"))
    };
    let server = Server::start(&config("")).await;
    let id = server.publish("a.b", "1").await;
    server.delivery_in(&id, "retrying").await;
    server.reconfigure(&config("enabled = false")).await;
    server.delivery_in(&id, "held").await;
    server.reconfigure(&config("enabled = true")).await;
    let delivery = server.delivery_in(&id, "succeeded").await;
    assert_eq!(delivery["attempt_count"], 2);
}

#[tokio::test]
async fn tc7_10_the_log_is_newest_first_with_status_duration_and_error() {
    let receiver = Receiver::start().await;
    receiver.answer_next(
        "/in",
        [Answer::Status(200), Answer::With { status: 404, headers: vec![], body: "no such path".to_owned() }],
    );
    let server = Server::start(&(head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, ""))).await;
    let first = server.publish("circuit_breaker.opened", "1").await;
    server.delivery_in(&first, "succeeded").await;
    let second = server.publish("rate_limit.exceeded", "2").await;
    server.delivery_in(&second, "failed").await;
    let (_, log) = server.http().get("/v1/deliveries?webhook=ops").await;
    let rows = log["data"].as_array().unwrap();
    assert_eq!(rows.iter().map(|r| r["event_id"].as_str().unwrap()).collect::<Vec<_>>(), [second.as_str(), first.as_str()]);
    assert_eq!((rows[0]["state"].as_str(), rows[1]["state"].as_str()), (Some("failed"), Some("succeeded")));
    let (_, detail) = server.http().get(&format!("/v1/deliveries/{}", rows[0]["id"].as_str().unwrap())).await;
    let attempt = &detail["attempts"][0];
    assert_eq!((attempt["number"].as_u64(), attempt["status"].as_u64()), (Some(1), Some(404)));
    assert!(attempt["duration_ms"].as_f64().unwrap() > 0.0);
    assert!(attempt["error"].as_str().unwrap().contains("404"));
    assert_eq!(attempt["response"]["body"], "no such path");
    assert_eq!(attempt["response"]["truncated"], false);
    assert!(attempt["at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(attempt["request"]["body"].as_str().unwrap().as_bytes(), &receiver.received("/in")[1].body[..]);
    assert_eq!(attempt["request"]["headers"]["webhook-id"], *second);
    let (_, failed) = server.http().get("/v1/deliveries?webhook=ops&state=failed").await;
    assert_eq!(failed["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn tc7_11_statistics_equal_the_log() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/in", [200, 400, 200, 500, 200, 404].map(Answer::Status));
    let server =
        Server::start(&(head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, &format!("concurrency = 1\n{QUICK}")))).await;
    for n in 0..5 {
        let id = server.publish("a.b", &n.to_string()).await;
        server
            .eventually("it is over", async || {
                let (_, event) = server.http().get(&format!("/v1/events/{id}")).await;
                matches!(event["deliveries"][0]["state"].as_str(), Some("succeeded" | "failed"))
            })
            .await;
    }
    let (_, log) = server.http().get("/v1/deliveries?webhook=ops").await;
    let rows = log["data"].as_array().unwrap();
    let count = |state: &str| rows.iter().filter(|row| row["state"] == state).count() as u64;
    let (mut attempts, mut duration) = (0, 0.0);
    for row in rows {
        let (_, detail) = server.http().get(&format!("/v1/deliveries/{}", row["id"].as_str().unwrap())).await;
        for attempt in detail["attempts"].as_array().unwrap() {
            attempts += 1;
            duration += attempt["duration_ms"].as_f64().unwrap();
        }
    }
    let (_, stats) = server.http().get("/v1/webhooks/ops/stats").await;
    assert_eq!(stats["deliveries"]["total"].as_u64(), Some(5), "{stats}");
    assert_eq!(stats["deliveries"]["succeeded"].as_u64(), Some(count("succeeded")));
    assert_eq!(stats["deliveries"]["failed"].as_u64(), Some(count("failed")));
    assert_eq!((count("succeeded"), count("failed")), (3, 2));
    assert_eq!(stats["attempts"].as_u64(), Some(attempts));
    assert!((stats["success_rate"].as_f64().unwrap() - 0.6).abs() < 1e-9, "{stats}");
    let average = duration / attempts as f64;
    assert!((stats["duration_ms"]["avg"].as_f64().unwrap() - average).abs() < 0.01, "{stats} is not {average}");
}

#[tokio::test]
async fn tc7_12_a_generated_secret_can_be_read_and_verifies() {
    let receiver = Receiver::start().await;
    let config = format!("{}[webhooks.ops]\nurl = \"{}\"\nevents = [\"*\"]\n", head(), receiver.url("/in"));
    let server = Server::start(&config).await;
    let (status, answer) = server.http().get("/v1/webhooks/ops/secret").await;
    assert_eq!(status, 200, "{answer}");
    let secret = answer["secret"].as_str().unwrap().to_owned();
    server.publish("a.b", "1").await;
    let request = receiver.wait_for("/in", 1).await.remove(0);
    let expected = standard_signature(&secret, request.header("webhook-id"), request.header("webhook-timestamp"), &request.body);
    assert_eq!(request.header("webhook-signature"), expected);
    // It outlives a restart.
    let server = Server::start_in(server.stop().await).await;
    assert_eq!(server.http().get("/v1/webhooks/ops/secret").await.1["secret"], *secret);
}

#[tokio::test]
async fn tc7_13_a_bad_url_and_plain_http_are_refused_with_the_reason() {
    let server = Server::start(&head()).await;
    for (url, reason) in [("invalid-url", "absolute URL"), ("http://insecure.example.com/", "HTTPS required")] {
        let config = format!("[server]\nlisten = \"127.0.0.1:0\"\n[webhooks.ops]\nurl = \"{url}\"\nevents = [\"*\"]\n");
        std::fs::write(server.path("config.toml"), config).unwrap();
        server
            .eventually("the refusal is seen", async || {
                let (_, config) = server.http().get("/v1/config").await;
                config["last_error"]["problems"][0]["message"].as_str().is_some_and(|message| message.contains(reason))
            })
            .await;
        let (_, config) = server.http().get("/v1/config").await;
        assert_eq!(config["last_error"]["problems"][0]["line"], 4, "{config}");
        assert_eq!(config["generation"], 1);
    }
    let good =
        "[server]\nlisten = \"127.0.0.1:0\"\n[webhooks.ops]\nurl = \"https://valid.example.com/webhook\"\nevents = [\"*\"]\n";
    server.reconfigure(good).await;
    assert!(server.http().get("/v1/config").await.1["last_error"].is_null());
}

#[tokio::test]
async fn tc7_14_prefixes_and_all_are_told_apart() {
    let receiver = Receiver::start().await;
    let config = head()
        + &webhook("a", &receiver.url("/a"), r#"["circuit_breaker.*"]"#, "")
        + &webhook("b", &receiver.url("/b"), r#"["rate_limit.*"]"#, "")
        + &webhook("c", &receiver.url("/c"), r#"["*"]"#, "");
    let server = Server::start(&config).await;
    server.publish("circuit_breaker.opened", "1").await;
    server.publish("rate_limit.exceeded", "2").await;
    receiver.wait_for("/c", 2).await;
    let of =
        |path: &str| receiver.received(path).iter().map(|r| r.json()["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    receiver.wait_for("/a", 1).await;
    receiver.wait_for("/b", 1).await;
    assert_eq!(of("/a"), ["circuit_breaker.opened"]);
    assert_eq!(of("/b"), ["rate_limit.exceeded"]);
}

#[tokio::test]
async fn tc7_15_five_webhooks_get_one_event_concurrently_under_one_id() {
    let receiver = Receiver::start().await;
    // None is answered before all five have come: one after the other would never end.
    receiver.answer_always("/hook", Answer::Hang);
    let config = (1..=5)
        .fold(head(), |config, n| config + &webhook(&format!("w{n}"), &receiver.url(&format!("/hook{n}")), r#"["*"]"#, ""));
    let server = Server::start(&config).await;
    let id = server.publish("a.b", "1").await;
    let requests = receiver.wait_for("/hook", 5).await;
    assert!(requests.iter().all(|request| request.header("webhook-id") == id));
    let (first, last) = (requests.iter().map(|r| r.at).min().unwrap(), requests.iter().map(|r| r.at).max().unwrap());
    assert!(last - first < Duration::from_secs(4), "before the first could have timed out");
}
