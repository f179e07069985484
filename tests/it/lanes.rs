//! Lanes: what one endpoint does is nobody else's business; rates, retries that end, schedules by name.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, Receiver, Server, head, webhook};

#[tokio::test]
async fn a_dead_endpoint_does_not_delay_a_live_one() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/hang", Answer::Hang);
    let mut config = head();
    for n in 0..20 {
        config += &webhook(&format!("hang{n}"), &receiver.url(&format!("/hang{n}")), r#"["*"]"#, "timeout = \"20s\"");
    }
    config += &webhook("live", &receiver.url("/live"), r#"["*"]"#, "");
    let server = Server::start(&config).await;
    // Each hanging lane is full after ten, and has a hundred more waiting.
    for n in 0..100 {
        server.publish("a.b", &n.to_string()).await;
    }
    let live = receiver.wait_for("/live", 100).await;
    assert!(receiver.received("/hang").len() <= 200, "no more than their concurrency");
    let started = tokio::time::Instant::now();
    server.publish("a.b", "100").await;
    receiver.wait_for("/live", live.len() + 1).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}, before anything could have timed out", started.elapsed());
}

#[tokio::test]
async fn a_rate_limit_spreads_deliveries_evenly_and_survives_a_reload() {
    let receiver = Receiver::start().await;
    let config =
        |more: &str| head() + &webhook("paced", &receiver.url("/in"), r#"["*"]"#, &format!("rate_limit = \"10/s\"\n{more}"));
    let server = Server::start(&config("")).await;
    let started = tokio::time::Instant::now();
    for n in 0..12 {
        server.publish("a.b", &n.to_string()).await;
    }
    server.reconfigure(&config("description = \"another generation\"")).await;
    let received = receiver.wait_for("/in", 12).await;
    assert!(started.elapsed() >= Duration::from_millis(1090), "twelve at ten a second took {:?}", started.elapsed());
    let gaps: Vec<Duration> = received.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    let early = gaps.iter().filter(|gap| **gap < Duration::from_millis(60)).count();
    assert!(early <= 2, "evenly, but for the machine's hiccups: {gaps:?}");
}

#[tokio::test]
async fn retry_after_extends_and_what_the_endpoint_aborts_is_not_retried() {
    let receiver = Receiver::start().await;
    let with = |status, name: &'static str, value: &str| Answer::With {
        status,
        headers: vec![(name, value.to_owned())],
        body: String::new(),
    };
    let quick = "retry = { max_retries = 5, initial_delay = \"10ms\", jitter = 0 }";
    let config = head()
        + &webhook("slow", &receiver.url("/slow"), r#"["slow"]"#, quick)
        + &webhook("abort", &receiver.url("/abort"), r#"["abort"]"#, quick);
    let server = Server::start(&config).await;
    receiver.answer_next("/slow", [with(429, "retry-after", "0.7")]);
    receiver.answer_next("/abort", [with(503, "webhook-delivery", "abort-message")]);
    let slow = server.publish("slow", "1").await;
    let abort = server.publish("abort", "1").await;
    server.delivery_in(&slow, "succeeded").await;
    let received = receiver.received("/slow");
    assert!(received[1].at - received[0].at >= Duration::from_millis(690), "{:?}", received[1].at - received[0].at);
    let delivery = server.delivery_in(&abort, "failed").await;
    assert_eq!(delivery["attempt_count"], 1);
    assert_eq!(server.http().get("/v1/webhooks/abort").await.1["status"], "enabled", "that was about one message");
}

#[tokio::test]
async fn what_is_too_old_expires_and_an_operator_may_still_retry_it() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/in", Answer::Status(503));
    let more = "expire_after = \"1s\"\nretry = { schedule = [\"100ms\", \"10s\"], jitter = 0 }";
    let server = Server::start(&(head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, more))).await;
    let id = server.publish("a.b", "1").await;
    let delivery = server.delivery_in(&id, "failed").await;
    assert_eq!(delivery["attempt_count"], 2, "the third would have come too late");
    assert!(delivery["reason"].as_str().unwrap().starts_with("expired before the next attempt"), "{delivery}");
    receiver.answer_always("/in", Answer::Status(200));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (status, _) = server.http().post(&format!("/v1/deliveries/{}/retry", delivery["id"].as_str().unwrap()), "").await;
    assert_eq!(status, 202);
    let delivery = server.delivery_in(&id, "succeeded").await;
    assert_eq!(delivery["attempts"][2]["trigger"], "manual");
}

#[tokio::test]
async fn what_waited_too_long_is_not_even_attempted() {
    let receiver = Receiver::start().await;
    let config = |enabled: &str| {
        head()
            + &webhook(
                "ops",
                &receiver.url("/in"),
                r#"["*"]"#,
                &format!("expire_after = \"1s\"\nretry = {{ schedule = [\"500ms\"], jitter = 0 }}\n{enabled}"),
            )
    };
    let server = Server::start(&config("")).await;
    receiver.answer_next("/in", [Answer::Status(503)]);
    let id = server.publish("a.b", "1").await;
    server.delivery_in(&id, "retrying").await;
    server.reconfigure(&config("enabled = false")).await;
    server.delivery_in(&id, "held").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    server.reconfigure(&config("enabled = true")).await;
    let delivery = server.delivery_in(&id, "failed").await;
    assert_eq!((delivery["attempt_count"].as_u64(), receiver.received("/in").len()), (Some(1), 1));
    assert!(delivery["reason"].as_str().unwrap().starts_with("expired"), "{delivery}");
}

#[tokio::test]
async fn what_has_expired_waits_for_no_rate_and_a_raised_rate_counts_at_once() {
    let receiver = Receiver::start().await;
    let config = |rate: &str| {
        head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, &format!("expire_after = \"1s\"\nrate_limit = \"{rate}\""))
    };
    let server = Server::start(&config("1/h")).await;
    let first = server.publish("a.b", "1").await;
    server.delivery_in(&first, "succeeded").await;
    // An hour has to pass before the next may go, and each of these would take another hour.
    let late = [server.publish("a.b", "2").await, server.publish("a.b", "3").await, server.publish("a.b", "4").await];
    for id in &late {
        let delivery = server.delivery_in(id, "failed").await;
        assert!(delivery["reason"].as_str().unwrap().starts_with("expired"), "{delivery}");
    }
    server.reconfigure(&config("20/s")).await;
    let next = server.publish("a.b", "5").await;
    server.delivery_in(&next, "succeeded").await;
    assert_eq!(receiver.received("/in").len(), 2);
}

#[tokio::test]
async fn a_named_schedule_is_the_one_of_its_name() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/in", Answer::Status(503));
    let more = "retry = { schedule = \"fluxgate\", jitter = 0 }";
    let server = Server::start(&(head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, more))).await;
    let id = server.publish("a.b", "1").await;
    let delivery = server.delivery_in(&id, "retrying").await;
    let time = |value: &serde_json::Value| chrono_millis(value.as_str().unwrap());
    let delay = time(&delivery["next_attempt_at"]) - time(&delivery["attempts"][0]["at"]);
    assert!((15_000..16_500).contains(&delay), "{delay} ms after the first attempt");
    let (_, shown) = server.http().get("/v1/webhooks/ops").await;
    assert_eq!(shown["retry"]["schedule"], json!(["15s", "2m", "10m", "1h"]));
}

fn chrono_millis(text: &str) -> i64 {
    tenterhook::model::Timestamp::parse(text).unwrap().as_millis()
}
