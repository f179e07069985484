//! Trying things out: a test of a webhook, a dry run of a transformer, a retry that makes its bytes again.

use serde_json::json;

use crate::harness::{Answer, Receiver, Server, head, webhook};

#[tokio::test]
async fn a_test_answers_with_the_attempt() {
    let receiver = Receiver::start().await;
    let config = head() + &webhook("w", &receiver.url("/w"), r#"["order.*"]"#, "filter.data.amount = { \"$gt\" = 5 }");
    let server = Server::start(&config).await;
    let (status, answer) = server.http().post("/v1/webhooks/w/test", "").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["event_type"], &answer["would_match"]), (&json!("order.test"), &json!(false)));
    assert!(answer["unmatched_reason"].as_str().unwrap().contains("amount"), "{answer}");
    let attempt = &answer["attempt"];
    assert_eq!((&attempt["outcome"], &attempt["status"], &attempt["number"]), (&json!("succeeded"), &json!(200), &json!(1)));
    let received = receiver.wait_for("/w", 1).await.remove(0);
    assert_eq!(attempt["request"]["body"].as_str().unwrap().as_bytes(), &received.body[..]);
    assert!(attempt["request"]["headers"]["webhook-signature"].is_string() && attempt["duration_ms"].is_number());
    assert_eq!(received.json()["metadata"]["tenterhook_test"], true);

    let body = json!({"type": "order.paid", "data": {"amount": 7}}).to_string();
    let (_, answer) = server.http().post("/v1/webhooks/w/test", body).await;
    assert_eq!((&answer["event_type"], &answer["would_match"]), (&json!("order.paid"), &json!(true)));
    assert_eq!(receiver.wait_for("/w", 2).await[1].json()["data"], json!({"amount": 7}));
}

#[tokio::test]
async fn a_test_that_fails_shows_why_and_is_not_retried() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/w", Answer::With { status: 500, headers: vec![], body: "out of order".to_owned() });
    let retry = "retry = { schedule = [\"10ms\", \"10ms\"] }";
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, retry))).await;
    let (status, answer) = server.http().post("/v1/webhooks/w/test", "{}").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["attempt"]["response"]["body"], "out of order");
    assert!(answer["attempt"]["error"].as_str().unwrap().contains("500"));
    for (body, status) in [(r#"{"type":"a b"}"#, 422), (r#"{"typ":"a"}"#, 422), (r#"{"metadata":1}"#, 422)] {
        assert_eq!(server.http().post("/v1/webhooks/w/test", body).await.0, status, "{body}");
    }
    assert_eq!(server.http().post("/v1/webhooks/none/test", "{}").await.0, 404);
}

#[tokio::test]
async fn a_disabled_webhook_is_not_tested() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, "enabled = false"))).await;
    let (status, problem) = server.http().post("/v1/webhooks/w/test", "{}").await;
    assert_eq!(status, 409, "{problem}");
    assert!(receiver.received("/w").is_empty());
}

#[tokio::test]
async fn a_retry_for_a_disabled_webhook_is_refused_and_changes_nothing() {
    let receiver = Receiver::start().await;
    let config = |more: &str| head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, more);
    let server = Server::start(&config("")).await;
    let event = server.publish("a.b", "1").await;
    let delivery = server.delivery_in(&event, "succeeded").await;
    let retry = format!("/v1/deliveries/{}/retry", delivery["id"].as_str().unwrap());
    server.http().post("/v1/webhooks/w/disable", r#"{"reason":"maintenance"}"#).await;
    for path in [retry.as_str(), "/v1/webhooks/w/test"] {
        let (status, problem) = server.http().post(path, "").await;
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!((status, &problem["webhook"]), (409, &json!("w")), "{problem}");
        assert!(detail.contains("(maintenance)") && detail.contains("tenterhook webhook enable w"), "{detail}");
    }
    let (_, one) = server.http().get(&format!("/v1/deliveries/{}", delivery["id"].as_str().unwrap())).await;
    assert_eq!(one["state"], "succeeded", "what had arrived stays so");
    server.http().post("/v1/webhooks/w/enable", "").await;
    assert_eq!(server.http().post(&retry, "").await.0, 202);
    receiver.wait_for("/w", 2).await;

    server.reconfigure(&config("enabled = false")).await;
    let (status, problem) = server.http().post(&retry, "").await;
    assert_eq!((status, problem["line"].is_u64()), (409, true), "{problem}");
    let made = json!({"id": "made", "url": receiver.url("/made"), "events": ["*"], "enabled": false}).to_string();
    assert_eq!(server.http().post("/v1/webhooks", made).await.0, 201);
    let (status, problem) = server.http().post("/v1/webhooks/made/enable", "").await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("PATCH /v1/webhooks/made"), "{problem}");
}

#[tokio::test]
async fn a_transformer_runs_dry_on_an_event() {
    let server = Server::start(&head()).await;
    let body = json!({
        "event": {"type": "circuit_breaker.opened", "data": {"routeId": "api"}}, "options": {"channel": "#ops"},
    });
    let (status, answer) = server.http().post("/v1/transformers/slack/run", body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["outcome"], "request");
    let sent: serde_json::Value = serde_json::from_str(answer["request"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(sent["channel"], "#ops");
    let no_options = json!({"event": {"type": "a.b"}}).to_string();
    let (status, problem) = server.http().post("/v1/transformers/pagerduty/run", no_options.clone()).await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("options are refused"), "{problem}");
    assert_eq!(server.http().post("/v1/transformers/none/run", no_options.clone()).await.0, 404);
    assert_eq!(server.http().post("/v1/transformers/..%2Fx/run", no_options).await.0, 404);
    let (status, problem) = server.http().post("/v1/transformers/slack/run", r#"{"event":{"data":1}}"#).await;
    assert!(status == 422 && problem["detail"].as_str().unwrap().contains("`type` is missing"), "{problem}");
}

#[tokio::test]
async fn a_retry_makes_its_bytes_again_when_asked_to() {
    let receiver = Receiver::start().await;
    let with = |channel: &str| {
        let transform = format!("transform = {{ use = \"slack\", options = {{ channel = \"{channel}\" }} }}");
        head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, &transform)
    };
    let server = Server::start(&with("#old")).await;
    let event = server.publish("a.b", "{}").await;
    let delivery = server.delivery_in(&event, "succeeded").await;
    let retry = format!("/v1/deliveries/{}/retry", delivery["id"].as_str().unwrap());
    server.reconfigure(&with("#new")).await;
    assert_eq!(server.http().post(&retry, "").await.0, 202);
    assert_eq!(receiver.wait_for("/w", 2).await[1].json()["channel"], "#old");
    assert_eq!(server.http().post(&retry, r#"{"retransform":true}"#).await.0, 202);
    assert_eq!(receiver.wait_for("/w", 3).await[2].json()["channel"], "#new");
    assert_eq!(server.http().post(&retry, r#"{"retransform":1}"#).await.0, 422);
    assert_eq!(server.http().post(&retry, r#"{"retransfrom":true}"#).await.0, 422);
}

#[tokio::test]
async fn a_retry_asked_for_during_an_attempt_comes_after_it() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/w", [Answer::Hang]);
    let more = "timeout = \"1s\"\nretry = { max_retries = 0 }";
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, more))).await;
    let event = server.publish("a.b", "{}").await;
    receiver.wait_for("/w", 1).await;
    let (_, page) = server.http().get(&format!("/v1/deliveries?event_id={event}")).await;
    let delivery = page["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.http().post(&format!("/v1/deliveries/{delivery}/retry"), "").await.0, 202);
    receiver.wait_for("/w", 2).await;
    let ended = server.delivery_in(&event, "succeeded").await;
    let attempts: Vec<_> =
        ended["attempts"].as_array().unwrap().iter().map(|it| (it["outcome"].clone(), it["trigger"].clone())).collect();
    assert_eq!(attempts.len(), 2, "{ended:#}");
    assert_eq!(attempts.iter().filter(|it| it.1 == "manual" && it.0 == "succeeded").count(), 1, "{attempts:?}");
}

#[tokio::test]
async fn what_is_cancelled_in_flight_keeps_the_operators_reason() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/w", [Answer::Hang]);
    let more = "timeout = \"1s\"\nretry = { max_retries = 0 }";
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, more))).await;
    let event = server.publish("a.b", "1").await;
    receiver.wait_for("/w", 1).await;
    let (_, page) = server.http().get(&format!("/v1/deliveries?event_id={event}")).await;
    let delivery = format!("/v1/deliveries/{}", page["data"][0]["id"].as_str().unwrap());
    assert_eq!(server.http().post(&format!("{delivery}/cancel"), "").await.0, 200);
    let shown = async || server.http().get(&delivery).await.1;
    server.eventually("the attempt is recorded", async || shown().await["attempt_count"] == 1).await;
    let one = shown().await;
    assert_eq!((&one["state"], &one["reason"]), (&json!("cancelled"), &json!("cancelled manually")), "{one:#}");
    assert!(one["attempts"][0]["error"].as_str().unwrap().contains("within 1 s (`timeout`)"), "{one:#}");
}
