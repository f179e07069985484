//! `order_by`: a key's deliveries in their order, whatever happens; other keys flow.

use crate::harness::{Answer, Receiver, Server, head, webhook};

const QUICK: &str = "retry = { max_retries = 20, initial_delay = \"20ms\", multiplier = 1, jitter = 0.5 }";

fn config(receiver: &Receiver, order: &str, more: &str) -> String {
    head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, &format!("order_by = {order}\n{more}"))
}

/// The numbers that arrived (with 200) under a key, in the order of their arrival.
async fn publish(server: &Server, key: &str, n: usize) -> String {
    server.publish("a.b", &format!(r#"{{"account":"{key}","n":{n}}}"#)).await
}

/// Numbers by key, as they came; a repetition right after itself is one.
fn came(receiver: &Receiver, key: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = receiver
        .received("/in")
        .iter()
        .map(|request| request.json()["data"].clone())
        .filter(|data| data["account"] == key)
        .map(|data| data["n"].as_u64().unwrap())
        .collect();
    numbers.dedup();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn each_keys_deliveries_come_in_order_through_failures_and_restarts() {
    let receiver = Receiver::start().await;
    let text = config(&receiver, "\"data.account\"", QUICK);
    let mut server = Server::start(&text).await;
    let keys = ["a", "b", "c", "d"];
    let mut last = Vec::new();
    for round in 0..3 {
        // One in three fails, at random places for each key.
        receiver.answer_next("/in", (0..60).map(|n| Answer::Status(if n % 3 == 0 { 503 } else { 200 })));
        for n in 0..15 {
            for key in keys {
                last.push(publish(&server, key, round * 15 + n).await);
            }
        }
        // In the middle of it.
        server = Server::start_in(server.stop().await).await;
    }
    for id in &last {
        server.delivery_in(id, "succeeded").await;
    }
    for key in keys {
        assert_eq!(came(&receiver, key), (0..45).collect::<Vec<u64>>(), "{key}");
    }
    assert_whole(&server).await;
}

#[tokio::test]
async fn a_key_that_fails_holds_up_no_other() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/in", [Answer::Status(503)]);
    let server = Server::start(&config(&receiver, "\"data.account\"", "retry = { schedule = [\"1h\"] }")).await;
    let first = publish(&server, "a", 1).await;
    server.delivery_in(&first, "retrying").await;
    let behind = publish(&server, "a", 2).await;
    let other = publish(&server, "b", 1).await;
    server.delivery_in(&other, "succeeded").await;
    let free = server.publish("a.b", "{}").await;
    server.delivery_in(&free, "succeeded").await;
    let waiting = server.delivery_in(&behind, "pending").await;
    assert_eq!((waiting["attempt_count"].as_u64(), waiting["next_attempt_at"].is_null()), (Some(0), true), "{waiting}");
    // A manual retry sends the first one now, and the next follows.
    let delivery = server.delivery_in(&first, "retrying").await;
    server.http().post(&format!("/v1/deliveries/{}/retry", delivery["id"].as_str().unwrap()), "").await;
    server.delivery_in(&behind, "succeeded").await;
    assert_eq!(came(&receiver, "a"), [1, 2]);
}

#[tokio::test]
async fn the_whole_webhook_may_be_one_key() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/in", (0..20).map(|n| Answer::Status(if n % 2 == 0 { 503 } else { 200 })));
    let server = Server::start(&config(&receiver, "\"*\"", QUICK)).await;
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(publish(&server, "x", n).await);
    }
    for id in &ids {
        server.delivery_in(id, "succeeded").await;
    }
    assert_eq!(came(&receiver, "x"), (0..30).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_gap_is_skipped_or_blocks_until_an_operator_decides() {
    for (gap, other) in [("skip", "block"), ("block", "skip")] {
        let receiver = Receiver::start().await;
        receiver.answer_next("/in", [Answer::Status(400)]);
        let order = |gap: &str| format!("{{ key = \"data.account\", on_gap = \"{gap}\" }}");
        let server = Server::start(&config(&receiver, &order(gap), "")).await;
        let first = publish(&server, "a", 1).await;
        let failed = server.delivery_in(&first, "failed").await;
        let second = publish(&server, "a", 2).await;
        if gap == "skip" {
            server.delivery_in(&second, "succeeded").await;
            continue;
        }
        let probe = publish(&server, "b", 1).await;
        server.delivery_in(&probe, "succeeded").await;
        server.delivery_in(&second, "pending").await;
        let server = Server::start_in(server.stop().await).await;
        let probe = publish(&server, "b", 2).await;
        server.delivery_in(&probe, "succeeded").await;
        server.delivery_in(&second, "pending").await;
        // Cancelling what failed lets the key go on; so does retrying it, once it arrives; so does another policy.
        let path = |what: &str| format!("/v1/deliveries/{}/{what}", failed["id"].as_str().unwrap());
        assert_eq!(server.http().post(&path("cancel"), "").await.0, 200);
        server.delivery_in(&second, "succeeded").await;

        receiver.answer_next("/in", [Answer::Status(400)]);
        let third = publish(&server, "a", 3).await;
        let failed = server.delivery_in(&third, "failed").await;
        let fourth = publish(&server, "a", 4).await;
        server.delivery_in(&fourth, "pending").await;
        server.http().post(&format!("/v1/deliveries/{}/retry", failed["id"].as_str().unwrap()), "").await;
        server.delivery_in(&fourth, "succeeded").await;

        receiver.answer_next("/in", [Answer::Status(400)]);
        let fifth = publish(&server, "a", 5).await;
        server.delivery_in(&fifth, "failed").await;
        let sixth = publish(&server, "a", 6).await;
        server.delivery_in(&sixth, "pending").await;
        server.reconfigure(&config(&receiver, &order(other), "")).await;
        server.delivery_in(&sixth, "succeeded").await;
        assert_eq!(came(&receiver, "a"), [1, 2, 3, 4, 5, 6]);
        assert_whole(&server).await;
    }
}

#[tokio::test]
async fn a_switch_keeps_the_order() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/in", [Answer::Status(503)]);
    let server = Server::start(&config(&receiver, "\"data.account\"", "retry = { schedule = [\"1h\"] }")).await;
    let mut ids = Vec::new();
    for n in 1..=5 {
        ids.push(publish(&server, "a", n).await);
    }
    server.delivery_in(&ids[0], "retrying").await;
    server.http().post("/v1/webhooks/ops/disable", "").await;
    for id in &ids {
        server.delivery_in(id, "held").await;
    }
    server.http().post("/v1/webhooks/ops/enable", "").await;
    for id in &ids {
        server.delivery_in(id, "succeeded").await;
    }
    assert_eq!(came(&receiver, "a"), [1, 2, 3, 4, 5]);
    assert_whole(&server).await;
}

async fn assert_whole(server: &Server) {
    let checked = tenterhook::app::check_store(server.path("data")).await.unwrap();
    assert_eq!(checked.problems, Vec::<String>::new());
}
