//! The routes from outside: what a client sends, and what it gets back.

mod server;

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

pub(crate) use self::server::*;
use crate::config::{WebhookPolicy, WebhookSettings};
use crate::model::{TransformStep, WebhookId};
use crate::signing::Secret;

#[tokio::test]
async fn an_event_is_stored_once_and_shown_with_what_became_of_it() {
    let server = server().await;
    let event = r#"{"id":"o-1","type":"order.created","data":{"b": 1.00,"amount":5},"metadata":{"k":1}}"#;
    let answer = server.publish(event).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (202, json!({"id": "o-1", "deliveries": 1})));
    let again = server.publish(event).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, json!({"id": "o-1", "deliveries": 1})));
    let other = server.publish(r#"{"id":"o-1","type":"order.created","data":2}"#).await;
    assert_eq!(other.status, 409);
    assert_eq!(
        other.detail(),
        "an event with the id `o-1` was published before with other content: give this one an id of its own"
    );

    let shown = server.get("/v1/events/o-1").await;
    assert!(shown.text.contains(r#""data":{"b": 1.00,"amount":5}"#), "{}", shown.text);
    let shown = shown.json();
    assert_eq!(shown["timestamp"], "2023-11-14T22:13:20.000Z");
    assert_eq!(shown["metadata"], json!({"k": 1}));
    assert_eq!(shown["tenant"], Value::Null);
    assert_eq!(shown["deliveries"][0]["webhook"], "all");
    assert_eq!(shown["deliveries"][0]["state"], "pending");
    assert_eq!(shown["unmatched"], json!([{"webhook": "big-orders", "reason": "filter: data.amount: 5 is not > 100"}]));
    let list = server.get("/v1/events?event_type=order.created").await.json();
    assert_eq!((list["data"][0].clone(), list["next"].clone()), (shown, Value::Null));
    assert_eq!(server.get("/v1/events/nope").await.detail(), "there is no event `nope`");
}

#[tokio::test]
async fn an_array_is_all_or_nothing() {
    let server = server().await;
    let bad = server.publish(r#"[{"type":"a"},{"type":"?"},{"type":"a","dta":1}]"#).await;
    assert_eq!(bad.status, 422);
    assert_eq!(bad.detail(), "2 of 3 events are not valid, and none was stored: fix those in `errors`");
    let indexes: Vec<Value> = bad.json()["errors"].as_array().unwrap().iter().map(|error| error["index"].clone()).collect();
    assert_eq!(indexes, [1, 2]);
    let mixed =
        r#"[{"id":"a","type":"a","data":1},{"id":"a","type":"a","data":1},{"id":"b","type":"order.x","data":{"amount":101}}]"#;
    let good = server.publish(mixed).await;
    assert_eq!(good.status, 202);
    assert_eq!(
        good.json(),
        json!({"data": [
            {"id": "a", "deliveries": 1},
            {"id": "a", "deliveries": 1, "duplicate": true},
            {"id": "b", "deliveries": 2},
        ]})
    );
    assert_eq!(server.publish(mixed).await.status, 200);
    let collision = server.publish(r#"[{"id":"c","type":"a"},{"id":"b","type":"a"}]"#).await;
    assert_eq!(collision.status, 409);
    assert_eq!(collision.json()["errors"][0]["index"], 1);
    assert_eq!(server.get("/v1/events/c").await.status, 404, "nothing of it was stored");
    assert_eq!(server.get("/v1/events").await.json()["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn lines_are_answered_one_by_one() {
    let server = server().await;
    server.publish(r#"{"id":"taken","type":"a"}"#).await;
    let body = "{\"id\":\"x\",\"type\":\"a\"}\nnonsense\n{\"id\":\"taken\",\"type\":\"b\"}\n{\"id\":\"x\",\"type\":\"a\"}\n";
    let answer = server.call(Method::POST, "/v1/events", "pub", "application/x-ndjson", body).await;
    assert_eq!((answer.status.as_u16(), &answer.headers["content-type"]), (200, &"application/x-ndjson".parse().unwrap()));
    let lines: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({"id": "x", "deliveries": 1, "status": 202}));
    assert_eq!((&lines[1]["status"], &lines[2]["status"]), (&json!(422), &json!(409)));
    assert_eq!(lines[3], json!({"id": "x", "deliveries": 1, "status": 200}));
}

#[tokio::test]
async fn cloud_events_come_in_and_an_idempotency_key_makes_two_requests_one() {
    let server = server().await;
    let cloud = r#"{"specversion":"1.0","id":"c1","source":"/s","type":"order.created","data":{"a": 1}}"#;
    let answer = server.call(Method::POST, "/v1/events", "pub", "application/cloudevents+json", cloud).await;
    assert_eq!(answer.status, 202);
    assert!(answer.json()["id"].as_str().is_some_and(|id| id.starts_with("ce_")), "{}", answer.text);
    let batch = format!("[{cloud}]");
    let answer = server.call(Method::POST, "/v1/events", "pub", "application/cloudevents-batch+json", &batch).await;
    assert_eq!(answer.status, 200);
    let with_key = |body: &'static str| {
        let request = Request::post("/v1/events").header("content-type", "application/json");
        request.header("authorization", "Bearer pub-token").header("idempotency-key", "k1").body(Body::from(body)).unwrap()
    };
    let first = server.send(with_key(r#"{"type":"a","data":1}"#)).await;
    let second = server.send(with_key(r#"{"type":"a","data":1}"#)).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (202, 200));
    assert_eq!(first.json(), second.json());
    assert_eq!(server.send(with_key(r#"{"type":"a","data":2}"#)).await.status, 409);
}

#[tokio::test]
async fn tokens_open_what_their_scopes_say() {
    let server = server().await;
    let missing = server.call(Method::GET, "/v1/events", "", "", "").await;
    assert_eq!(missing.status, 401);
    assert_eq!(missing.headers["www-authenticate"], "Bearer realm=\"tenterhook\"");
    assert_eq!(missing.headers["content-type"], "application/problem+json");
    assert_eq!(server.call(Method::GET, "/v1/events", "wrong", "", "").await.status, 401);
    let narrow = server.call(Method::GET, "/v1/events", "pub", "", "").await;
    assert_eq!(narrow.status, 403);
    assert_eq!(narrow.detail(), "the token `pub` lacks the scope `read`: add it to `scopes` of [tokens.pub]");
    assert_eq!(server.call(Method::POST, "/v1/events", "read", "application/json", r#"{"type":"a"}"#).await.status, 403);
    assert_eq!(server.call(Method::GET, "/v1/webhooks/all/secret", "read", "", "").await.status, 403);
    assert_eq!(server.call(Method::POST, "/v1/events", "boss", "application/json", r#"{"type":"a"}"#).await.status, 202);
    for path in ["/", "/healthz", "/readyz"] {
        assert_eq!(server.call(Method::GET, path, "", "", "").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn metrics_are_open_on_loopback_only() {
    let inside = server().await;
    let open = inside.call(Method::GET, "/metrics", "", "", "").await;
    assert_eq!(open.status, 200);
    assert!(open.text.contains("tenterhook_backlog{state=\"pending\"} 0"), "{}", open.text);
    let outside = server_with(settings(), ([192, 0, 2, 1], 80).into()).await;
    assert_eq!(outside.call(Method::GET, "/metrics", "", "", "").await.status, 401);
    assert_eq!(outside.call(Method::GET, "/metrics", "read", "", "").await.status, 200);
}

#[tokio::test]
async fn what_no_route_takes_is_a_problem_too() {
    let server = server().await;
    let nowhere = server.get("/v2/events").await;
    assert_eq!(nowhere.status, 404);
    assert_eq!(nowhere.detail(), "nothing is at /v2/events: the API is under /v1, as in POST /v1/events");
    let method = server.call(Method::DELETE, "/v1/events", "boss", "", "").await;
    assert_eq!(method.status, 405);
    let allow = method.headers["allow"].to_str().unwrap().to_owned();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    assert_eq!(method.detail(), "DELETE does not fit here: use one of those in the Allow header");
    let kind = server.call(Method::POST, "/v1/events", "pub", "text/plain", "x").await;
    assert_eq!((kind.status.as_u16(), &kind.headers["content-type"]), (415, &"application/problem+json".parse().unwrap()));
    let broken = server.publish("{").await;
    assert_eq!((broken.status.as_u16(), broken.json()["column"].clone()), (400, json!(1)));
    let large = server.publish(&format!(r#"{{"type":"a","data":"{}"}}"#, "x".repeat(2000))).await;
    assert_eq!(large.status, 413);
    assert!(large.detail().contains("raise `max_event_size` in [server]"), "{}", large.detail());
    let huge = server.publish(&"x".repeat(32_001)).await;
    assert_eq!((huge.status.as_u16(), huge.json()["limit"].clone()), (413, json!(32_000)));
    let query = server.get("/v1/deliveries?webhok=all").await;
    assert_eq!(query.status, 400);
    assert_eq!(query.detail(), "`webhok` is not known here, did you mean `webhook`?");
}

#[tokio::test]
async fn request_ids_are_taken_or_made() {
    let server = server().await;
    assert!(server.get("/healthz").await.headers["x-request-id"].to_str().unwrap().starts_with("req_"));
    let with = |id: &'static str| Request::get("/healthz").header("x-request-id", id).body(Body::empty()).unwrap();
    assert_eq!(server.send(with("mine-1")).await.headers["x-request-id"], "mine-1");
    assert_ne!(server.send(with("with space")).await.headers["x-request-id"], "with space");
}

#[tokio::test]
async fn deliveries_are_listed_shown_retried_and_cancelled() {
    let server = server().await;
    for n in 0..5 {
        server.publish(&format!(r#"{{"id":"o-{n}","type":"order.created","data":{{"amount":{n}}}}}"#)).await;
    }
    let first = server.get("/v1/deliveries?webhook=all&limit=2").await.json();
    let ids = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|row| row["event_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&first), ["o-4", "o-3"]);
    let second =
        server.get(&format!("/v1/deliveries?webhook=all&limit=2&cursor={}", first["next"].as_str().unwrap())).await.json();
    assert_eq!(ids(&second), ["o-2", "o-1"]);
    let row = &first["data"][0];
    assert_eq!((&row["state"], &row["attempt_count"], &row["reason"]), (&json!("pending"), &json!(0), &Value::Null));
    assert!(row.get("attempts").is_none());

    let id = row["id"].as_str().unwrap();
    let shown = server.get(&format!("/v1/deliveries/{id}")).await.json();
    assert_eq!(shown["attempts"], json!([]));
    let path = format!("/v1/deliveries/{id}/cancel");
    assert_eq!(server.call(Method::POST, &path, "read", "", "").await.status, 403);
    let cancelled = server.call(Method::POST, &path, "boss", "", "").await;
    assert_eq!((cancelled.status.as_u16(), cancelled.json()), (200, json!({"id": id, "state": "cancelled"})));
    let retried = server.call(Method::POST, &format!("/v1/deliveries/{id}/retry"), "boss", "", "").await;
    assert_eq!((retried.status.as_u16(), retried.json()["state"].clone()), (202, json!("retrying")));
    assert_eq!(server.get("/v1/deliveries/dlv_nope").await.status, 404);
    assert_eq!(server.get("/v1/deliveries?state=lost").await.status, 400);
    assert_eq!(ids(&server.get("/v1/deliveries?state=retrying").await.json()), ["o-4"]);
}

#[tokio::test]
async fn webhooks_are_shown_without_anything_that_a_thief_could_use() {
    let mut settings = settings();
    let with_options = WebhookSettings {
        policy: Arc::new(WebhookPolicy {
            transform: vec![TransformStep { name: "slack".to_owned(), options: r##"{"channel":"#ops"}"##.to_owned() }],
            enabled: false,
            ..policy()
        }),
        ..webhook("second", &["a.**"])
    };
    settings.webhooks = Arc::new([(WebhookId::parse("all").unwrap(), Arc::new(webhook("all", &["*"])))].into());
    let shown = {
        let server = server_with(settings, ([127, 0, 0, 1], 1).into()).await;
        let secret = server.get("/v1/webhooks/all/secret").await;
        assert_eq!(secret.json(), json!({"id": "all", "secret": SECRET}));
        assert_eq!(secret.headers["cache-control"], "no-store");
        assert_eq!(server.get("/v1/webhooks/nope").await.detail(), "there is no webhook `nope`");
        let list = server.get("/v1/webhooks").await;
        let shown = server.get("/v1/webhooks/all").await;
        assert_eq!(list.json(), json!({"data": [shown.json()], "next": null}));
        for secret in [SECRET, "XXXX3f2a", "a-very-secret-value-9b1c"] {
            assert!(!list.text.contains(secret), "{}", list.text);
        }
        shown.json()
    };
    assert_eq!(
        shown,
        json!({
            "id": "all", "url": "https://hooks.slack.com/services/…3f2a", "events": ["*"], "filter": null, "transform": [],
            "signature": "standard", "headers": {"x-api-key": "…9b1c"}, "enabled": true, "description": "Ops", "tenant": null,
            "retry": {"max_retries": 3, "initial_delay": "1s", "multiplier": 2.0, "max_delay": "1h", "jitter": 0.2},
            "retry_on": ["network", "timeout", "408", "425", "429", "5xx"], "success": ["2xx"], "timeout": "5s",
            "connect_timeout": "2s", "concurrency": 10, "rate_limit": null, "batch": null, "order_by": null, "breaker": null,
            "disable_after": null, "expire_after": null, "disabled": null, "failing_since": null, "breaker_open": null, "metadata": {}, "origin": "config", "file": "config.toml", "line": 7,
            "created_at": "2023-11-14T22:13:20.000Z", "updated_at": "2023-11-14T22:13:20.000Z",
            "secret_preview": Secret::parse(SECRET).unwrap().preview(), "status": "enabled",
        })
    );
    let transform = crate::config::show::transform(&with_options);
    assert_eq!(transform, json!([{"use": "slack", "options": {"channel": "#ops"}}]));
}

#[tokio::test]
async fn stats_config_and_transformers_have_their_shapes() {
    let server = server().await;
    server.publish(r#"{"type":"a"}"#).await;
    let stats = server.get("/v1/stats").await.json();
    assert_eq!((&stats["deliveries"]["total"], &stats["deliveries"]["pending"]), (&json!(1), &json!(1)));
    assert_eq!(stats["success_rate"], Value::Null);
    let one = server.get("/v1/webhooks/big-orders/stats").await.json();
    assert_eq!((&one["webhook"], &one["deliveries"]["total"]), (&json!("big-orders"), &json!(0)));
    let mut config = server.get("/v1/config").await.json();
    let settings = config.as_object_mut().unwrap().remove("settings").unwrap();
    assert_eq!(settings["server"]["max_event_size"], json!("2000B"));
    assert_eq!(
        config,
        json!({"fingerprint": "f1", "generation": 1, "loaded_at": "2023-11-14T22:13:20.000Z", "webhooks": 2, "at_next_start": [], "last_error": null})
    );
    let transformers = server.get("/v1/transformers").await.json();
    assert_eq!(transformers["data"].as_array().unwrap().len(), crate::transform::prebuilt_names().count());
    assert_eq!(server.get("/v1/config/changes").await.json(), json!({"refused_at": null, "changes": null}));
    assert_eq!(transformers["data"][0], json!({"name": "cloudevents", "loaded": false, "error": null}));
    assert_eq!(server.get("/readyz").await.json(), json!({"status": "ready", "generation": 1}));
}
