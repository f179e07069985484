//! A webhook that disappears from config.toml: what waits for it is held, goes on when it is declared again, and is
//! cancelled when `[retention] removed` has passed.

use serde_json::{Value, json};

use crate::harness::{Answer, Http, Receiver, Server, head, webhook};

fn config(receiver: &Receiver, removed: &str, declares: bool) -> String {
    let head = format!("{}[retention]\nremoved = \"{removed}\"\n", head());
    let more = "retry = { schedule = [\"1h\"], jitter = 0 }";
    // Another one stays, so that a file without it is no empty file.
    let stays = webhook("stays", &receiver.url("/stays"), r#"["x.y"]"#, "");
    head + &stays + &if declares { webhook("gone", &receiver.url("/gone"), r#"["*"]"#, more) } else { String::new() }
}

/// Applies it at once, as an operator who does not want to wait for a second reading.
async fn apply(server: &Server, config: &str) {
    std::fs::write(server.path("config.toml"), config).unwrap();
    let (status, answer) = server.http().post("/v1/config/reload", "").await;
    assert_eq!(status, 200, "{answer}");
}

async fn waiting(receiver: &Receiver, removed: &str) -> (Server, String) {
    receiver.answer_next("/gone", [Answer::Status(503)]);
    let server = Server::start(&config(receiver, removed, true)).await;
    let event = server.publish("a.b", "1").await;
    server.delivery_in(&event, "retrying").await;
    (server, event)
}

#[tokio::test]
async fn deliveries_of_a_removed_webhook_go_on_when_it_is_declared_again() {
    let receiver = Receiver::start().await;
    let (server, event) = waiting(&receiver, "1h").await;
    apply(&server, &config(&receiver, "1h", false)).await;
    let held = server.delivery_in(&event, "held").await;
    assert!(held["reason"].as_str().unwrap().contains("missing from the configuration"), "{held}");
    // Over a restart, too: it stays held, for as long as before.
    let server = Server::start_in(server.stop().await).await;
    let after = server.publish("a.b", "2").await;
    assert_eq!(server.http().get(&format!("/v1/events/{after}")).await.1["deliveries"], json!([]));
    server.delivery_in(&event, "held").await;
    apply(&server, &config(&receiver, "1h", true)).await;
    server.delivery_in(&event, "succeeded").await;
    assert_eq!(receiver.wait_for("/gone", 2).await.len(), 2);
}

#[tokio::test]
async fn deliveries_of_a_removed_webhook_are_cancelled_after_the_retention() {
    let receiver = Receiver::start().await;
    let (server, event) = waiting(&receiver, "3s").await;
    apply(&server, &config(&receiver, "3s", false)).await;
    server.delivery_in(&event, "held").await;
    let delivery = server.delivery_in(&event, "cancelled").await;
    assert!(delivery["reason"].as_str().unwrap().contains("removed"), "{delivery}");
    apply(&server, &config(&receiver, "3s", true)).await;
    let next = server.publish("a.b", "2").await;
    server.delivery_in(&next, "succeeded").await;
    assert_eq!(receiver.received("/gone").len(), 2, "what was cancelled stays so");
}

#[tokio::test]
async fn the_time_of_a_removed_webhook_runs_on_while_the_server_is_stopped() {
    let receiver = Receiver::start().await;
    let (server, event) = waiting(&receiver, "3s").await;
    apply(&server, &config(&receiver, "3s", false)).await;
    let removed = tokio::time::Instant::now();
    server.delivery_in(&event, "held").await;
    let directory = server.stop().await;
    tokio::time::sleep_until(removed + std::time::Duration::from_secs(3)).await;
    let server = Server::start_in(directory).await;
    server.delivery_in(&event, "cancelled").await;
}

/// An attempt that is in flight finishes; what it leaves to be retried is held like the rest.
#[tokio::test]
async fn an_attempt_in_flight_at_the_removal_leaves_its_delivery_held() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/gone", Answer::Hang);
    let config = |declares| {
        config(&receiver, "1h", declares).replace("[\"1h\"]", "[\"100ms\"]").replace("retry =", "timeout = \"2s\"\nretry =")
    };
    let server = Server::start(&config(true)).await;
    let event = server.publish("a.b", "1").await;
    receiver.wait_for("/gone", 1).await;
    apply(&server, &config(false)).await;
    let held = server.delivery_in(&event, "held").await;
    assert!(held["reason"].as_str().unwrap().contains("missing from the configuration"), "{held}");
    receiver.answer_always("/gone", Answer::Status(200));
    apply(&server, &config(true)).await;
    server.delivery_in(&event, "succeeded").await;
}

async fn delete(http: &Http, id: &str) -> (u16, Value) {
    http.send("DELETE", &format!("/v1/webhooks/{id}"), &[], bytes::Bytes::new()).await
}

/// Also what an attempt in flight leaves: nobody waits for the return of a webhook that was deleted on purpose.
#[tokio::test]
async fn deleting_over_the_api_cancels_at_once() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/gone", [Answer::Status(503)]);
    receiver.answer_always("/gone", Answer::Hang);
    let server = Server::start(&head()).await;
    let body =
        json!({"id": "gone", "url": receiver.url("/gone"), "events": ["*"], "timeout": "2s", "retry": {"schedule": ["1h"]}});
    assert_eq!(server.http().post("/v1/webhooks", body.to_string()).await.0, 201);
    let waiting = server.publish("a.b", "1").await;
    server.delivery_in(&waiting, "retrying").await;
    let in_flight = server.publish("a.b", "2").await;
    receiver.wait_for("/gone", 2).await;
    assert_eq!(delete(server.http(), "gone").await.0, 204);
    server.delivery_in(&waiting, "cancelled").await;
    server.delivery_in(&in_flight, "cancelled").await;
}
