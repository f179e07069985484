//! Replays: previewed, bounded, resumed after kill -9, cancelled.

use serde_json::{Value, json};

use crate::crash::spawn;
use crate::harness::{Answer, Http, PATIENCE, Receiver, Server, head, webhook};

const ALWAYS: &str = "2020-01-01T00:00:00Z";

async fn ended(http: &Http, job: &str) -> Value {
    let wait = async {
        loop {
            let (_, shown) = http.get(&format!("/v1/jobs/{job}")).await;
            if shown["state"] != "running" {
                return shown;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the job ends")
}

#[tokio::test]
async fn failed_deliveries_are_replayed_after_a_preview() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/w", Answer::Status(400));
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, ""))).await;
    for (kind, n) in [("order.created", 1), ("order.paid", 2), ("user.created", 3)] {
        let event = server.publish(kind, &n.to_string()).await;
        server.delivery_in(&event, "failed").await;
    }
    receiver.answer_always("/w", Answer::Status(200));
    let succeeded = server.publish("order.late", "4").await;
    server.delivery_in(&succeeded, "succeeded").await;
    let body = json!({"since": ALWAYS, "state": "failed", "event_types": ["order.*"], "dry_run": true});
    let (status, preview) = server.http().post("/v1/webhooks/w/replay", body.to_string()).await;
    assert_eq!((status, &preview["matching"], &preview["complete"]), (200, &json!(2), &json!(true)), "{preview}");
    assert_eq!(preview["sample"][0]["event_type"], "order.paid", "newest first");
    assert_eq!(server.http().get("/v1/jobs").await.1["data"], json!([]), "a preview is no job");
    assert_eq!(receiver.received("/w").len(), 4);

    let body = json!({"since": ALWAYS, "state": ["failed"], "event_types": ["order.*"]});
    let (status, job) = server.http().post("/v1/webhooks/w/replay", body.to_string()).await;
    assert_eq!((status, &job["kind"], &job["progress"]["total"]), (202, &json!("replay"), &json!(2)), "{job}");
    let done = ended(server.http(), job["id"].as_str().unwrap()).await;
    assert_eq!((&done["state"], &done["progress"]), (&json!("succeeded"), &json!({"done": 2, "total": 2})), "{done}");
    let received = receiver.wait_for("/w", 6).await;
    let mut again: Vec<i64> = received[4..].iter().map(|r| r.json()["data"].as_i64().unwrap()).collect();
    again.sort_unstable();
    assert_eq!(again, [1, 2]);
    let (_, deliveries) = server.http().get("/v1/deliveries?event_type=order.paid").await;
    let id = deliveries["data"][0]["id"].as_str().unwrap().to_owned();
    server
        .eventually("it succeeded", async || server.http().get(&format!("/v1/deliveries/{id}")).await.1["state"] == "succeeded")
        .await;
    let (_, delivery) = server.http().get(&format!("/v1/deliveries/{id}")).await;
    assert_eq!(delivery["attempts"][1]["trigger"], "replay");
    assert_eq!(server.http().get("/v1/deliveries?state=failed").await.1["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_replayed_is_said() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, ""))).await;
    for (body, field) in [
        (json!({}), "/since"),
        (json!({"since": "yesterday"}), "/since"),
        (json!({"since": ALWAYS, "state": "retrying"}), "/state"),
        (json!({"since": ALWAYS, "state": "lost"}), "/state"),
        (json!({"since": ALWAYS, "event_types": ["a..b"]}), "/event_types"),
        (json!({"since": ALWAYS, "until": "2019-01-01T00:00:00Z"}), "/until"),
        (json!({"since": ALWAYS, "sinse": 1}), "/sinse"),
    ] {
        let (status, problem) = server.http().post("/v1/webhooks/w/replay", body.to_string()).await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert!(problem["errors"].as_array().unwrap().iter().any(|error| error["field"] == field), "{body}: {problem}");
    }
    assert_eq!(server.http().post("/v1/webhooks/none/replay", "{}").await.0, 404);
    assert_eq!(server.http().get("/v1/jobs/job_7").await.0, 404);
    assert_eq!(server.http().post("/v1/jobs/x/cancel", "").await.0, 404);
}

/// A replay to an endpoint that hangs waits for it, and can be cancelled; live events come through meanwhile.
#[tokio::test]
async fn a_replay_makes_little_due_at_once_and_can_be_cancelled() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, "timeout = \"60s\""))).await;
    let events: Vec<String> = (0..500).map(|n| format!(r#"{{"type":"a","data":{n}}}"#)).collect();
    let (status, _) = server.http().post("/v1/events", format!("[{}]", events.join(","))).await;
    assert_eq!(status, 202);
    receiver.wait_for("/w", 500).await;
    server
        .eventually("all are recorded", async || server.http().get("/v1/stats").await.1["deliveries"]["succeeded"] == 500)
        .await;
    receiver.answer_always("/w", Answer::Hang);
    let (_, job) = server.http().post("/v1/webhooks/w/replay", json!({"since": ALWAYS}).to_string()).await;
    let id = job["id"].as_str().unwrap();
    receiver.wait_for("/w", 510).await;
    let (_, shown) = server.http().get(&format!("/v1/jobs/{id}")).await;
    let done = shown["progress"]["done"].as_u64().unwrap();
    assert!((10..=200).contains(&done) && shown["state"] == "running", "{shown}");
    let (_, running) = server.http().get("/v1/jobs?state=running").await;
    assert_eq!(running["data"][0]["id"], id);
    let (status, cancelled) = server.http().post(&format!("/v1/jobs/{id}/cancel"), "").await;
    assert_eq!((status, &cancelled["state"]), (200, &json!("cancelled")));
    assert_eq!(server.http().post(&format!("/v1/jobs/{id}/cancel"), "").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_after_kill_9_and_repeats_no_step() {
    const EVENTS: usize = 600;
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, "")).unwrap();
    let (mut child, http) = spawn(directory.path()).await;
    let events: Vec<String> = (0..EVENTS).map(|n| format!(r#"{{"id":"e{n}","type":"a","data":{n}}}"#)).collect();
    http.post("/v1/events", format!("[{}]", events.join(","))).await;
    let recorded = async |http: &Http| {
        while http.get("/v1/stats").await.1["deliveries"]["succeeded"] != EVENTS {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, recorded(&http)).await.unwrap();
    let (_, job) = http.post("/v1/webhooks/w/replay", json!({"since": ALWAYS}).to_string()).await;
    let id = job["id"].as_str().unwrap().to_owned();
    receiver.wait_for("/w", EVENTS + 100).await;
    child.kill().await.unwrap();
    let (_child, http) = spawn(directory.path()).await;
    let done = ended(&http, &id).await;
    assert_eq!((&done["state"], &done["progress"]["done"]), (&json!("succeeded"), &json!(EVENTS)), "{done}");
    tokio::time::timeout(PATIENCE, recorded(&http)).await.unwrap();
    let mut replayed = std::collections::HashSet::new();
    for received in &receiver.received("/w")[EVENTS..] {
        replayed.insert(received.header("webhook-id").to_owned());
    }
    assert_eq!(replayed.len(), EVENTS, "every one was delivered again");
}
