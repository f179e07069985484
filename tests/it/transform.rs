//! Transformers end to end: the prebuilt ones as the receiver sees them, and modules dropped in beside the config.

use serde_json::json;

use crate::guests;
use crate::harness::{Receiver, Server, head, webhook};

#[tokio::test]
async fn slack_discord_and_pagerduty_arrive_in_their_own_form() {
    let receiver = Receiver::start().await;
    let pagerduty = "transform = { use = \"pagerduty\", options = { routing_key = \"0123456789abcdef0123456789abcdef\" } }";
    let config = head()
        + &webhook(
            "slack",
            &receiver.url("/slack"),
            r#"["*"]"#,
            "transform = { use = \"slack\", options = { channel = \"#ops\" } }",
        )
        + &webhook("discord", &receiver.url("/discord"), r#"["*"]"#, "transform = \"discord\"")
        + &webhook("pagerduty", &receiver.url("/pagerduty"), r#"["*"]"#, pagerduty);
    let server = Server::start(&config).await;
    let opened = server.publish("circuit_breaker.opened", r#"{"routeId":"api <&> @everyone","errorRate":0.75}"#).await;
    let slack = receiver.wait_for("/slack", 1).await.remove(0);
    let message = slack.json();
    assert_eq!(message["channel"], "#ops");
    assert!(message["blocks"].as_array().is_some_and(|blocks| !blocks.is_empty()), "{message}");
    assert!(message.to_string().contains("&lt;&amp;&gt;"), "{message}");
    assert!(slack.headers.contains_key("webhook-signature"), "what a transformer made is signed too");
    let message = receiver.wait_for("/discord", 1).await[0].json();
    assert_eq!(message["allowed_mentions"], json!({ "parse": [] }));

    let trigger = receiver.wait_for("/pagerduty", 1).await[0].json();
    assert_eq!(trigger["event_action"], "trigger");
    server.publish("circuit_breaker.closed", r#"{"routeId":"api <&> @everyone","errorRate":0.01}"#).await;
    let resolve = receiver.wait_for("/pagerduty", 2).await[1].json();
    assert_eq!(resolve["event_action"], "resolve");
    assert_eq!(resolve["dedup_key"], trigger["dedup_key"]);

    // What is shown is what was sent.
    let (_, log) = server.http().get(&format!("/v1/deliveries?webhook=slack&event_id={opened}")).await;
    let id = log["data"][0]["id"].as_str().unwrap();
    let (_, delivery) = server.http().get(&format!("/v1/deliveries/{id}")).await;
    assert_eq!(delivery["attempts"][0]["request"]["body"].as_str().unwrap().as_bytes(), &slack.body[..]);
}

#[tokio::test]
async fn a_retry_sends_the_first_attempts_bytes_after_the_module_changed() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/in", [crate::harness::Answer::Status(503)]);
    let with = |title: &str| {
        let more = format!(
            "transform = {{ use = \"slack\", options = {{ title = \"{title}\" }} }}\nretry = {{ schedule = [\"2s\"], jitter = 0 }}"
        );
        head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, &more)
    };
    let server = Server::start(&with("before")).await;
    let id = server.publish("a.b", "1").await;
    server.delivery_in(&id, "retrying").await;
    server.reconfigure(&with("after")).await;
    server.delivery_in(&id, "succeeded").await;
    let requests = receiver.received("/in");
    assert_eq!(requests[0].body, requests[1].body);
    assert!(String::from_utf8_lossy(&requests[1].body).contains("before"));
}

/// A component that turns every event into a request with this text.
pub fn saying(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    // ok(request { body: text(text), headers: [], method: none, url: none })
    let words = [0, 1, 0, 8192, length, 0, 0, 0, 0, 0, 0, 0, 0];
    let data = format!("(data (i32.const 8192) \"{text}\")");
    wat::parse_str(guests::guest_with(&data, &guests::returning(&words))).unwrap()
}

#[tokio::test]
async fn a_module_beside_the_configuration_is_found_and_replaced_live() {
    let receiver = Receiver::start().await;
    let server = Server::start(&head()).await;
    let modules = server.path("transformers");
    std::fs::create_dir(&modules).unwrap();
    std::fs::write(modules.join("mine.wasm"), saying("first")).unwrap();
    server
        .eventually("mine is loaded", async || {
            let (_, list) = server.http().get("/v1/transformers").await;
            list["data"].as_array().unwrap().iter().any(|module| module["name"] == "mine" && module["loaded"] == true)
        })
        .await;
    server.reconfigure(&(head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, "transform = \"mine\""))).await;
    server.publish("a.b", "1").await;
    assert_eq!(receiver.wait_for("/in", 1).await[0].body, "first");
    let generation = server.http().get("/v1/config").await.1["generation"].as_u64().unwrap();
    std::fs::write(modules.join(".mine.wasm.new"), saying("second")).unwrap();
    std::fs::rename(modules.join(".mine.wasm.new"), modules.join("mine.wasm")).unwrap();
    server.wait_for_generation(generation + 1).await;
    server.publish("a.b", "2").await;
    assert_eq!(receiver.wait_for("/in", 2).await[1].body, "second");
    // A broken one changes nothing, and is named.
    std::fs::write(modules.join("mine.wasm"), b"\0asm broken").unwrap();
    server
        .eventually("refused", async || server.http().get("/v1/config").await.1["last_error"].to_string().contains("mine"))
        .await;
    server.publish("a.b", "3").await;
    assert_eq!(receiver.wait_for("/in", 3).await[2].body, "second");
}
