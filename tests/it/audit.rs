//! The audit log, and the pages for the person who operates the server.

use serde_json::{Value, json};

use crate::harness::{Answer, Receiver, Server, head, webhook};

#[tokio::test]
async fn every_management_call_leaves_a_trace_and_traffic_does_not() {
    let receiver = Receiver::start().await;
    let tokens = "[tokens.boss]\ntoken = \"boss-token-0123456789\"\nscopes = [\"manage\"]\n\
                  [tokens.looker]\ntoken = \"looker-token-0123456789\"\nscopes = [\"read\"]\n";
    let server = Server::start(&(head() + tokens + &webhook("w", &receiver.url("/w"), r#"["*"]"#, ""))).await;
    let send = async |method: &str, path: &str, token: &str, body: &'static str| {
        let authorization = format!("Bearer {token}-token-0123456789");
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/json"), ("x-request-id", "req-7")];
        server.http().send(method, path, &headers, body.into()).await
    };
    send("POST", "/v1/events", "boss", r#"{"type":"a"}"#).await;
    assert_eq!(send("GET", "/v1/webhooks/w/secret", "boss", "").await.0, 200);
    assert_eq!(send("DELETE", "/v1/webhooks/w", "boss", "").await.0, 409);
    assert_eq!(send("POST", "/v1/webhooks/w/test", "looker", "").await.0, 403);
    assert_eq!(send("POST", "/v1/webhooks/w/test", "nobody", "").await.0, 401);
    let (status, log) = send("GET", "/v1/audit", "boss", "").await;
    assert_eq!(status, 200, "{log}");
    let rows: Vec<(&str, &str, u64)> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["token"].as_str().unwrap(), row["action"].as_str().unwrap(), row["status"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        rows,
        [
            ("looker", "POST /v1/webhooks/{id}/test", 403),
            ("boss", "DELETE /v1/webhooks/{id}", 409),
            ("boss", "GET /v1/webhooks/{id}/secret", 200)
        ]
    );
    assert!(log["data"][0]["detail"].as_str().unwrap().contains("lacks the scope `manage`"), "{log}");
    let newest = &log["data"][1];
    assert_eq!(
        (&newest["path"], &newest["peer"], &newest["request_id"]),
        (&json!("/v1/webhooks/w"), &json!("127.0.0.1"), &json!("req-7"))
    );
    assert!(newest["detail"].as_str().unwrap().contains("config.toml"), "{newest}");
    assert!(!log.to_string().contains("whsec_"), "{log}");
    let (_, page) = send("GET", "/v1/audit?limit=2", "boss", "").await;
    let path = format!("/v1/audit?limit=2&cursor={}", page["next"].as_str().unwrap());
    let (_, page) = send("GET", &path, "boss", "").await;
    assert_eq!((&page["data"][0]["status"], &page["next"]), (&json!(200), &Value::Null));
    let (_, secrets) = send("GET", "/v1/audit?action=GET%20/v1/webhooks/%7Bid%7D/secret&token=boss&path=w", "boss", "").await;
    assert_eq!(secrets["data"].as_array().unwrap().len(), 1);
    assert_eq!(send("GET", "/v1/audit", "looker", "").await.0, 403);
}

#[tokio::test]
async fn the_status_page_says_what_needs_attention() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/down", Answer::Status(503));
    receiver.answer_always("/gone", Answer::Status(404));
    let config = head()
        + &webhook("down", &receiver.url("/down"), r#"["a"]"#, "retry = { schedule = [\"1h\"] }")
        + &webhook("gone", &receiver.url("/gone"), r#"["a"]"#, "")
        + &webhook("well", &receiver.url("/well"), r#"["a"]"#, "");
    let server = Server::start(&config).await;
    server.publish("a", "1").await;
    let row = async |id: &str| {
        let (_, page) = server.http().get("/v1/webhooks/status").await;
        page["data"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap().clone()
    };
    server.eventually("all are attempted", async || server.http().get("/v1/stats").await.1["attempts"] == 3).await;
    let down = row("down").await;
    assert_eq!(
        (&down["failing"], &down["retrying"], &down["failures_24h"]["status"]),
        (&json!(true), &json!(1), &json!(1)),
        "{down}"
    );
    assert_eq!(down["last_failure"]["status"], 503);
    assert_eq!(down["causes_24h"], json!({"HTTP 503": 1}));
    assert!(down["last_failure"]["error"].as_str().unwrap().contains("503") && down["next_due"].is_string());
    assert_eq!(row("gone").await["failed"], 1);
    assert_eq!((&row("well").await["succeeded"], &row("well").await["last_failure"]), (&json!(1), &Value::Null));
    let (_, failing) = server.http().get("/v1/webhooks/status?failing=true").await;
    assert_eq!(failing["data"].as_array().unwrap().len(), 1);
    let ids = |page: &serde_json::Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let (_, most) = server.http().get("/v1/webhooks/status?sort=failures&limit=5").await;
    assert_eq!((ids(&most), &most["next"]), (vec!["down".to_owned(), "gone".to_owned()], &Value::Null));
    assert_eq!(most["totals"]["causes_24h"], json!({"HTTP 404": 1, "HTTP 503": 1}));
    let (_, slow) = server.http().get("/v1/webhooks/status?sort=slowest&limit=5").await;
    let medians: Vec<f64> =
        slow["data"].as_array().unwrap().iter().map(|row| row["duration_ms"]["p50"].as_f64().unwrap()).collect();
    assert!(medians.len() == 3 && medians.is_sorted_by(|a, b| a >= b), "{slow}");
    assert_eq!(server.http().get("/v1/webhooks/status?sort=fastest").await.0, 400);
    let too_large = format!(r#"{{"type":"a","data":"{}"}}"#, "x".repeat(17 << 20));
    assert_eq!(server.http().post("/v1/events", too_large).await.0, 413);
    let (_, page) = server.http().get("/v1/webhooks/status").await;
    let totals = &page["totals"];
    assert_eq!(
        (&totals["failing"], &totals["failed"], &totals["backlog"], &totals["size_rejections"]),
        (&json!(1), &json!(1), &json!(1), &json!(1)),
        "{totals}"
    );
    let (_, stats) = server.http().get("/v1/webhooks/down/stats").await;
    assert_eq!(
        (&stats["backlog"], &stats["status"], &stats["failures_24h"]["status"]),
        (&json!(1), &json!("enabled"), &json!(1)),
        "{stats}"
    );
    assert!(stats["next_due"].is_string() && stats["rates"]["attempts_per_second"].is_number(), "{stats}");
    assert_eq!(stats["hours"].as_array().unwrap().len(), 24);
    assert!(stats["duration_ms"]["p99"].is_number(), "{stats}");
}
