//! Batches: by count, by wait, by size; signed as one; halved when too large; as durable as their events.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use crate::crash::spawn;
use crate::harness::{Answer, Receiver, Server, head, webhook};

fn config(receiver: &Receiver, batch: &str, more: &str) -> String {
    head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, &format!("batch = {batch}\n{more}"))
}

fn numbers(body: &Value) -> Vec<u64> {
    body.as_array().unwrap().iter().map(|event| event["data"].as_u64().unwrap()).collect()
}

async fn assert_whole(server: &Server) {
    let checked = tenterhook::app::check_store(server.path("data")).await.unwrap();
    assert_eq!(checked.problems, Vec::<String>::new());
}

#[tokio::test]
async fn a_batch_goes_when_it_is_full_or_has_waited_and_is_one_delivery() {
    let receiver = Receiver::start().await;
    let server = Server::start(&config(&receiver, "{ max_events = 5, max_wait = \"700ms\" }", "signature = \"standard\"")).await;
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(server.publish("a.b", &n.to_string()).await);
    }
    let received = receiver.wait_for("/in", 2).await;
    assert_eq!(numbers(&received[0].json()), [0, 1, 2, 3, 4]);
    assert_eq!(numbers(&received[1].json()), [5, 6]);
    assert!(received[1].at - received[0].at >= Duration::from_millis(500), "the second waited for its time");
    let delivery = server.delivery_in(&ids[6], "succeeded").await;
    assert_eq!(delivery["batch"], serde_json::json!([ids[5], ids[6]]));
    assert_eq!(delivery["id"], received[1].header("webhook-id"), "one id, and it is the delivery's");
    assert_eq!(delivery["attempts"][0]["request"]["body"].as_str().unwrap().as_bytes(), &received[1].body[..]);
    let verified = tenterhook_verifies(&received[1]);
    assert!(verified, "one signature over the array");
    // Both events lead to the same delivery.
    let (_, event) = server.http().get(&format!("/v1/events/{}", ids[5])).await;
    assert_eq!(event["deliveries"][0]["id"], delivery["id"]);
    let (_, listed) = server.http().get(&format!("/v1/deliveries?event_id={}", ids[6])).await;
    assert_eq!(listed["data"][0]["id"], delivery["id"]);
    let (_, stats) = server.http().get("/v1/webhooks/ops/stats").await;
    assert_eq!((stats["deliveries"]["total"].as_u64(), stats["deliveries"]["succeeded"].as_u64()), (Some(2), Some(2)));
    assert_whole(&server).await;
}

/// By the book, not by our own verifier.
fn tenterhook_verifies(request: &crate::harness::Received) -> bool {
    use base64::Engine;
    use hmac::{KeyInit, Mac};
    let engine = base64::engine::general_purpose::STANDARD;
    let key = engine.decode(crate::harness::SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.", request.header("webhook-id"), request.header("webhook-timestamp")).as_bytes());
    mac.update(&request.body);
    request.header("webhook-signature") == format!("v1,{}", engine.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_batch_has_no_more_bytes_than_it_may() {
    let receiver = Receiver::start().await;
    let server = Server::start(&config(&receiver, "{ max_events = 100, max_wait = \"300ms\", max_size = \"4KiB\" }", "")).await;
    for _ in 0..6 {
        server.publish("a.b", &format!("\"{}\"", "x".repeat(1500))).await;
    }
    let received = receiver.wait_for("/in", 3).await;
    assert!(received.iter().all(|request| request.body.len() <= 4096), "two of 1.6 KB each");
    assert_eq!(received.iter().map(|request| request.json().as_array().unwrap().len()).sum::<usize>(), 6);
}

#[tokio::test]
async fn a_batch_that_is_too_large_for_the_receiver_is_halved_until_it_fits() {
    let receiver = Receiver::start().await;
    // Eight are too many, four are too many, two are fine.
    receiver.answer_next("/in", [Answer::Status(413), Answer::Status(413), Answer::Status(413)]);
    let more = "concurrency = 1\nretry = { max_retries = 0 }";
    let server = Server::start(&config(&receiver, "{ max_events = 8, max_wait = \"30s\" }", more)).await;
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(server.publish("a.b", &n.to_string()).await);
    }
    for id in &ids {
        server.delivery_in(id, "succeeded").await;
    }
    let received = receiver.received("/in");
    let lengths: Vec<usize> = received.iter().map(|request| request.json().as_array().unwrap().len()).collect();
    assert_eq!(lengths.iter().filter(|length| **length == 8).count(), 1, "{lengths:?}");
    assert_eq!(lengths.iter().filter(|length| **length == 2).count(), 4, "{lengths:?}");
    let mut arrived: Vec<u64> = received[3..].iter().flat_map(|request| numbers(&request.json())).collect();
    arrived.sort_unstable();
    assert_eq!(arrived, (0..8).collect::<Vec<u64>>(), "each once, although no retries were left");
    let mut bodies: HashMap<String, &[u8]> = HashMap::new();
    for request in &received {
        let id = request.headers["webhook-id"].to_str().unwrap().to_owned();
        let before = bodies.insert(id.clone(), &request.body);
        assert!(before.is_none(), "{id} stands for one content only");
    }
    // What was sent first is still shown as it was sent.
    let delivery = server.delivery_in(&ids[0], "succeeded").await;
    let first: Value = serde_json::from_str(delivery["attempts"][0]["request"]["body"].as_str().unwrap()).unwrap();
    assert_eq!((first.as_array().unwrap().len(), delivery["attempts"][0]["status"].as_u64()), (8, Some(413)));
    let (_, stats) = server.http().get("/v1/webhooks/ops/stats").await;
    assert_eq!(stats["deliveries"]["total"], 4);
    // A single event that is too large is simply refused.
    server.reconfigure(&config(&receiver, "{ max_events = 8, max_wait = \"50ms\" }", more)).await;
    receiver.answer_next("/in", [Answer::Status(413)]);
    let single = server.publish("a.b", "8").await;
    let refused = server.delivery_in(&single, "failed").await;
    assert_eq!((refused["attempt_count"].as_u64(), refused["attempts"][0]["status"].as_u64()), (Some(1), Some(413)));
    assert_eq!(numbers(&receiver.received("/in")[received.len()].json()), [8]);
    assert_eq!(receiver.received("/in").len(), received.len() + 1, "it cannot be halved");
    let (_, stats) = server.http().get("/v1/webhooks/ops/stats").await;
    assert_eq!(stats["deliveries"]["total"], 5);
    assert_whole(&server).await;
}

#[tokio::test]
async fn a_batch_survives_kill_9_while_it_fills() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let text = config(&receiver, "{ max_events = 1000, max_wait = \"1s\" }", "");
    std::fs::write(directory.path().join("config.toml"), text).unwrap();
    let (mut child, http) = spawn(directory.path()).await;
    for n in 0..20 {
        assert_eq!(http.post("/v1/events", format!(r#"{{"id":"evt_{n}","type":"a.b","data":{n}}}"#)).await.0, 202);
    }
    child.kill().await.unwrap();
    assert_eq!(receiver.received("/in").len(), 0);
    let (_child, http) = spawn(directory.path()).await;
    // The batch of before goes as it is; what comes now is another one.
    assert_eq!(http.post("/v1/events", r#"{"type":"a.b","data":20}"#).await.0, 202);
    let received = receiver.wait_for("/in", 2).await;
    let mut all: Vec<Vec<u64>> = received.iter().map(|request| numbers(&request.json())).collect();
    all.sort();
    assert_eq!(all, [(0..20).collect::<Vec<u64>>(), vec![20]]);
}

#[tokio::test]
async fn a_transformer_gets_the_whole_batch() {
    let receiver = Receiver::start().await;
    let server = Server::start(&config(&receiver, "{ max_events = 3 }", "transform = \"slack\"")).await;
    for n in 0..3 {
        server.publish("order.created", &format!(r#"{{"n":{n}}}"#)).await;
    }
    let received = receiver.wait_for("/in", 1).await;
    assert!(received[0].json()["blocks"].as_array().is_some(), "one message: {}", received[0].json());
}
