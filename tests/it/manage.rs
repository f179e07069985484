//! Webhooks made over the API: the same keys and the same words as in config.toml, live at once, kept for good.

use serde_json::{Value, json};

use crate::harness::{Answer, Receiver, SECRET, Server, head, webhook};

async fn create(server: &Server, body: Value) -> Value {
    let (status, answer) = server.http().post("/v1/webhooks", body.to_string()).await;
    assert_eq!(status, 201, "{answer}");
    answer
}

async fn send(server: &Server, method: &str, path: &str, body: Value) -> (u16, Value) {
    server.http().send(method, path, &[("content-type", "application/json")], body.to_string().into()).await
}

fn errors(problem: &Value) -> Vec<(&str, &str)> {
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no errors in {problem}"));
    errors.iter().map(|error| (error["field"].as_str().unwrap(), error["message"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_webhook_made_over_the_api_delivers_at_once_and_after_a_restart() {
    let receiver = Receiver::start().await;
    let server = Server::start(&head()).await;
    let made = create(&server, json!({"id": "ops", "url": receiver.url("/ops"), "events": ["order.*"]})).await;
    assert_eq!(
        (made["id"].as_str(), made["origin"].as_str(), made["status"].as_str()),
        (Some("ops"), Some("api"), Some("enabled"))
    );
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"), "{made}");
    // No waiting: it is live when it is answered.
    server.publish("order.created", "1").await;
    receiver.wait_for("/ops", 1).await;
    // Shown once, then as a preview, and on request.
    let (_, shown) = server.http().get("/v1/webhooks/ops").await;
    assert!(shown.get("secret").is_none() && !shown.to_string().contains(&secret), "{shown}");
    assert!(shown["secret_preview"].as_str().unwrap().starts_with("whsec_…"), "{shown}");
    assert_eq!(server.http().get("/v1/webhooks/ops/secret").await.1["secret"], secret);
    assert_eq!(shown["created_at"], made["created_at"]);

    let directory = server.stop().await;
    let server = Server::start_in(directory).await;
    assert_eq!(server.http().get("/v1/webhooks/ops").await.1["created_at"], made["created_at"]);
    assert_eq!(server.http().get("/v1/webhooks/ops/secret").await.1["secret"], secret);
    server.publish("order.created", "2").await;
    receiver.wait_for("/ops", 2).await;
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_keeps_nothing() {
    let server = Server::start(&head()).await;
    let good = json!({"id": "ops", "url": "https://example.com/hook", "events": ["order.*"], "dry_run": true});
    let (status, answer) = server.http().post("/v1/webhooks", good.to_string()).await;
    assert_eq!((status, &answer["valid"]), (200, &json!(true)), "{answer}");
    assert_eq!(server.http().get("/v1/webhooks/ops").await.0, 404);
    assert_eq!(server.http().get("/v1/config").await.1["generation"], 1);

    let bad = json!({"url": "not a url", "events": ["order.*"], "transform": "slack", "dry_run": true});
    let (status, problem) = server.http().post("/v1/webhooks", bad.to_string()).await;
    assert_eq!((status, errors(&problem)[0].0), (422, "/url"), "{problem}");
    let options = json!({"use": "slack", "options": {"chanel": "#ops"}});
    let bad = json!({"url": "https://example.com/hook", "events": ["order.*"], "transform": options, "dry_run": true});
    let (status, problem) = server.http().post("/v1/webhooks", bad.to_string()).await;
    assert_eq!((status, errors(&problem)[0].0), (422, "/transform"), "{problem}");
    assert!(errors(&problem)[0].1.contains("chanel"), "{problem}");

    create(&server, json!({"id": "ops", "url": "https://example.com/hook", "events": ["order.*"]})).await;
    let (status, _) =
        send(&server, "PATCH", "/v1/webhooks/ops", json!({"url": "https://example.com/new", "dry_run": true})).await;
    assert_eq!(status, 200);
    assert_eq!(server.http().get("/v1/webhooks/ops").await.1["url"], "https://example.com/hook");
    let (status, _) = send(&server, "PATCH", "/v1/webhooks/ops", json!({"dry_run": "yes"})).await;
    assert_eq!(status, 422);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_words_of_config_toml_at_the_field() {
    let server = Server::start(&head()).await;
    let body = json!({
        "url": "https://10.0.0.1/x", "events": ["a..b"], "timeot": "5s", "retry": {"max_retries": -1},
        "transform": "no-such-module",
    });
    let (status, problem) = server.http().post("/v1/webhooks", body.to_string()).await;
    assert_eq!(status, 422, "{problem}");
    let found = errors(&problem);
    for (field, part) in [
        ("/url", "`url` is refused"),
        ("/events/0", "empty segment"),
        ("/timeot", "did you mean `timeout`?"),
        ("/retry/max_retries", "max_retries"),
    ] {
        assert!(found.iter().any(|(at, message)| *at == field && message.contains(part)), "{field} {part}: {found:?}");
    }
    // What only shows when modules are loaded.
    let body = json!({"url": "https://example.com/x", "events": ["a"], "transform": ["slack", "no-such-module"]});
    let (status, problem) = server.http().post("/v1/webhooks", body.to_string()).await;
    assert_eq!(status, 422, "{problem}");
    let found = errors(&problem);
    assert!(found[0].0 == "/transform/1" && found[0].1.contains("no-such-module"), "{found:?}");
    let body = json!({"url": "https://example.com/x", "events": ["a"], "transform": {"use": "pagerduty", "options": {}}});
    let (status, problem) = server.http().post("/v1/webhooks", body.to_string()).await;
    assert_eq!((status, errors(&problem)[0].0), (422, "/transform"), "{problem}");
    for (body, status) in [("[]", 422), ("{", 400), (r#"{"id":7}"#, 422), (r#"{"id":"a b"}"#, 422), (r#"{"id":"status"}"#, 422)] {
        assert_eq!(server.http().post("/v1/webhooks", body).await.0, status, "{body}");
    }
    assert_eq!(server.http().get("/v1/webhooks").await.1["data"], json!([]));
    assert_eq!(server.http().get("/v1/config").await.1["generation"], 1, "nothing went live");
}

#[tokio::test]
async fn put_replaces_patch_merges_and_the_secret_stays() {
    let receiver = Receiver::start().await;
    let server = Server::start(&head()).await;
    let url = receiver.url("/in");
    let made = create(
        &server,
        json!({"id": "w", "url": url, "events": ["a"], "secret": SECRET, "headers": {"X-Api-Key": "0123456789abcdef"}, "concurrency": 3}),
    )
    .await;
    assert_eq!(made["secret"], SECRET);
    let (status, patched) = send(&server, "PATCH", "/v1/webhooks/w", json!({"events": ["b"], "concurrency": null})).await;
    assert_eq!(status, 200, "{patched}");
    assert_eq!((&patched["events"], &patched["concurrency"]), (&json!(["b"]), &json!(10)));
    assert!(patched.get("secret").is_none());
    assert_ne!(patched["updated_at"], made["updated_at"]);
    // What was read can be sent back: nothing masked goes into the settings.
    let (status, same) = send(&server, "PUT", "/v1/webhooks/w", patched.clone()).await;
    assert_eq!(status, 200, "{same}");
    let without_time = |mut shape: Value| {
        shape["updated_at"].take();
        shape
    };
    assert_eq!(without_time(same), without_time(patched));
    server.publish("b", "1").await;
    assert_eq!(receiver.wait_for("/in", 1).await[0].header("x-api-key"), "0123456789abcdef");
    assert_eq!(server.http().get("/v1/webhooks/w/secret").await.1["secret"], SECRET);
    // PUT knows only what it says.
    let (status, replaced) = send(&server, "PUT", "/v1/webhooks/w", json!({"url": url, "events": ["c"]})).await;
    assert_eq!((status, &replaced["headers"]), (200, &json!({})));
    assert_eq!(server.http().get("/v1/webhooks/w/secret").await.1["secret"], SECRET);
    let (status, new) = send(&server, "PUT", "/v1/webhooks/other", json!({"url": url, "events": ["c"]})).await;
    assert!(status == 201 && new["secret"].is_string(), "{new}");
    // A patch that would make it invalid changes nothing.
    let (status, problem) = send(&server, "PATCH", "/v1/webhooks/w", json!({"events": []})).await;
    assert_eq!((status, errors(&problem)[0].0), (422, "/events"));
    assert_eq!(server.http().get("/v1/webhooks/w").await.1["events"], json!(["c"]));
    let masked = json!({"headers": {"X-Other": "…cdef"}});
    assert_eq!(send(&server, "PATCH", "/v1/webhooks/w", masked).await.0, 422);
    assert_eq!(send(&server, "PATCH", "/v1/webhooks/none", json!({})).await.0, 404);
}

#[tokio::test]
async fn deleting_cancels_what_waits() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/down", Answer::Status(503));
    let server = Server::start(&head()).await;
    let retry = json!({"schedule": ["1h"]});
    create(&server, json!({"id": "w", "url": receiver.url("/down"), "events": ["*"], "retry": retry})).await;
    let event = server.publish("a", "1").await;
    server.delivery_in(&event, "retrying").await;
    let (status, _) = server.http().send("DELETE", "/v1/webhooks/w", &[], "".into()).await;
    assert_eq!(status, 204);
    let delivery = server.delivery_in(&event, "cancelled").await;
    assert_eq!(delivery["reason"], "the webhook was removed");
    assert_eq!(server.http().get("/v1/webhooks/w").await.0, 404);
    assert_eq!(server.http().send("DELETE", "/v1/webhooks/w", &[], "".into()).await.0, 404);
    // Another one of that name is another one.
    let secret = |made: &Value| made["secret"].as_str().unwrap().to_owned();
    let first = create(&server, json!({"id": "x", "url": receiver.url("/x"), "events": ["x"]})).await;
    server.http().send("DELETE", "/v1/webhooks/x", &[], "".into()).await;
    let second = create(&server, json!({"id": "x", "url": receiver.url("/x"), "events": ["x"]})).await;
    assert_ne!(secret(&first), secret(&second));
}

#[tokio::test]
async fn config_toml_is_the_truth_for_what_it_declares() {
    let receiver = Receiver::start().await;
    let declared = head() + &webhook("file", &receiver.url("/file"), r#"["*"]"#, "");
    let server = Server::start(&declared).await;
    let body = json!({"id": "file", "url": receiver.url("/api"), "events": ["*"]});
    let (status, problem) = server.http().post("/v1/webhooks", body.to_string()).await;
    assert_eq!((status, &problem["line"]), (409, &json!(5)), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("config.toml, line 5: change it there"), "{problem}");
    for (method, body) in [("PUT", body), ("PATCH", json!({"enabled": false})), ("DELETE", json!({}))] {
        let (status, problem) = send(&server, method, "/v1/webhooks/file", body).await;
        assert_eq!((status, &problem["line"]), (409, &json!(5)), "{method}: {problem}");
    }
    // One that the API made waits behind one of the file with the same id, and comes back when that goes.
    create(&server, json!({"id": "both", "url": receiver.url("/api"), "events": ["both"]})).await;
    server.reconfigure(&(declared.clone() + &webhook("both", &receiver.url("/from-file"), r#"["both"]"#, ""))).await;
    server.publish("both", "1").await;
    receiver.wait_for("/from-file", 1).await;
    assert_eq!(server.http().get("/v1/webhooks/both").await.1["origin"], "config");
    server.reconfigure(&declared).await;
    server.publish("both", "2").await;
    receiver.wait_for("/api", 1).await;
    assert_eq!(receiver.received("/from-file").len(), 1);
}

#[tokio::test]
async fn changes_work_while_the_files_are_broken_and_survive_reloads() {
    let receiver = Receiver::start().await;
    let server = Server::start(&head()).await;
    std::fs::write(server.path("config.toml"), "webhooks = 1").unwrap();
    let (status, problem) = server.http().post("/v1/config/reload", "").await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(problem["problems"][0]["line"], 1);
    create(&server, json!({"id": "w", "url": receiver.url("/w"), "events": ["*"]})).await;
    server.publish("a", "1").await;
    receiver.wait_for("/w", 1).await;
    std::fs::write(server.path("config.toml"), head() + "[defaults]\nconcurrency = 4\n").unwrap();
    let (status, config) = server.http().post("/v1/config/reload", "").await;
    assert_eq!((status, &config["last_error"]), (200, &Value::Null), "{config}");
    assert_eq!(server.http().get("/v1/webhooks/w").await.1["concurrency"], 4, "defaults hold for it too");
}

#[tokio::test]
async fn one_that_does_not_fit_any_more_is_suspended_and_heals() {
    let receiver = Receiver::start().await;
    let server = Server::start(&head()).await;
    std::fs::create_dir(server.path("transformers")).unwrap();
    let module = server.path("transformers/mine.wasm");
    std::fs::write(&module, crate::transform::saying("mine")).unwrap();
    create(&server, json!({"id": "w", "url": receiver.url("/w"), "events": ["*"], "transform": "mine"})).await;
    let directory = server.stop().await;
    let kept = std::fs::read(&module).unwrap();
    std::fs::remove_file(&module).unwrap();
    let server = Server::start_in(directory).await;
    let (_, shown) = server.http().get("/v1/webhooks/w").await;
    assert_eq!(shown["status"], "disabled", "{shown}");
    assert!(shown["suspended"].as_str().unwrap().contains("mine"), "{shown}");
    std::fs::write(&module, kept).unwrap();
    server.eventually("it is well again", async || server.http().get("/v1/webhooks/w").await.1["status"] == "enabled").await;
    server.publish("a", "1").await;
    receiver.wait_for("/w", 1).await;
}

#[tokio::test]
async fn a_tenant_makes_and_changes_its_own_and_nothing_else() {
    let receiver = Receiver::start().await;
    let tokens = "[tokens.boss]\ntoken = \"boss-token-0123456789\"\nscopes = [\"manage\"]\n\
                  [tokens.acme]\ntoken = \"acme-token-0123456789\"\nscopes = [\"manage\"]\ntenant = \"acme\"\n";
    let other = webhook("other", &receiver.url("/other"), r#"["*"]"#, "tenant = \"other\"");
    let server = Server::start(&(head() + tokens + &other)).await;
    let send = async |token: &str, method: &str, path: &str, body: Value| {
        let authorization = format!("Bearer {token}-token-0123456789");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        server.http().send(method, path, &headers, body.to_string().into()).await
    };
    let body = |id: &str| json!({"id": id, "url": receiver.url("/acme"), "events": ["*"]});
    let (status, made) = send("acme", "POST", "/v1/webhooks", body("mine")).await;
    assert_eq!((status, &made["tenant"]), (201, &json!("acme")), "{made}");
    let mut foreign = body("theirs");
    foreign["tenant"] = "other".into();
    assert_eq!(send("acme", "POST", "/v1/webhooks", foreign).await.0, 403);
    assert_eq!(send("acme", "PATCH", "/v1/webhooks/mine", json!({"tenant": "other"})).await.0, 403);
    assert_eq!(send("acme", "PUT", "/v1/webhooks/other", body("other")).await.0, 409);
    for (method, path) in [("PATCH", "/v1/webhooks/other"), ("DELETE", "/v1/webhooks/other"), ("POST", "/v1/webhooks/other/test")]
    {
        assert_eq!(send("acme", method, path, json!({})).await.0, 404, "{method} {path}");
    }
    let (_, list) = send("acme", "GET", "/v1/webhooks", Value::Null).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let (status, job) = send("acme", "POST", "/v1/webhooks/mine/replay", since.clone()).await;
    assert_eq!(status, 202, "{job}");
    assert_eq!(send("acme", "POST", "/v1/webhooks/other/replay", since.clone()).await.0, 404);
    let (_, theirs) = send("boss", "POST", "/v1/webhooks/other/replay", since).await;
    let (_, jobs) = send("acme", "GET", "/v1/jobs", Value::Null).await;
    assert_eq!(jobs["data"].as_array().unwrap().len(), 1, "{jobs}");
    assert_eq!(send("acme", "GET", &format!("/v1/jobs/{}", theirs["id"].as_str().unwrap()), Value::Null).await.0, 404);
    for (method, path) in
        [("GET", "/v1/audit"), ("POST", "/v1/erase"), ("GET", "/v1/webhooks/status"), ("POST", "/v1/config/reload")]
    {
        assert_eq!(send("acme", method, path, json!({})).await.0, 403, "{method} {path}");
    }
    assert_eq!(send("acme", "DELETE", "/v1/webhooks/mine", json!({})).await.0, 204);
}

#[tokio::test]
async fn changes_are_told_on_the_bus() {
    let receiver = Receiver::start().await;
    let told = webhook("told", &receiver.url("/told"), r#"["webhook.created", "webhook.updated", "webhook.deleted"]"#, "");
    let server = Server::start(&(head() + &told)).await;
    create(&server, json!({"id": "w", "url": receiver.url("/w"), "events": ["a"]})).await;
    send(&server, "PATCH", "/v1/webhooks/w", json!({"events": ["b"]})).await;
    server.http().send("DELETE", "/v1/webhooks/w", &[], "".into()).await;
    let mut kinds: Vec<String> = Vec::new();
    for received in receiver.wait_for("/told", 3).await {
        assert_eq!(received.json()["data"]["webhook"], "w");
        kinds.push(received.json()["type"].as_str().unwrap().to_owned());
    }
    kinds.sort();
    assert_eq!(kinds, ["webhook.created", "webhook.deleted", "webhook.updated"]);
}

#[tokio::test]
async fn a_webhook_made_under_the_id_of_a_removed_one_is_well() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/old", Answer::Status(503));
    let server = Server::start(&head()).await;
    let breaker = json!({"failures": 2, "cool_down": "1h"});
    let retry = json!({"schedule": ["10ms", "10ms", "1h"], "jitter": 0});
    let wanted =
        |path: &str| json!({"id": "ops", "url": receiver.url(path), "events": ["*"], "breaker": breaker, "retry": retry});
    let status = async |server: &Server| server.http().get("/v1/webhooks/ops").await.1["status"].clone();
    create(&server, wanted("/old")).await;
    server.publish("a.b", "1").await;
    server.eventually("the breaker is open", async || status(&server).await == "breaker_open").await;
    assert_eq!(server.http().post("/v1/webhooks/ops/disable", "").await.0, 200);
    assert_eq!(send(&server, "DELETE", "/v1/webhooks/ops", json!({})).await.0, 204);

    // The same endpoint: nothing but the removal says that it is another webhook.
    receiver.answer_always("/old", Answer::Status(200));
    let made = create(&server, wanted("/old")).await;
    assert_eq!(made["status"], "enabled", "{made}");
    let event = server.publish("a.b", "2").await;
    server.delivery_in(&event, "succeeded").await;
    let server = Server::start_in(server.stop().await).await;
    assert_eq!(status(&server).await, "enabled");
}

#[tokio::test]
async fn what_config_toml_declares_meanwhile_keeps_its_switch_and_its_secret() {
    let server = Server::start(&head()).await;
    create(&server, json!({"id": "ops", "url": "https://example.com/api", "events": ["*"]})).await;
    let declared = head() + "[webhooks.ops]\nurl = \"https://example.com/declared\"\nevents = [\"*\"]\n";
    server.reconfigure(&declared).await;
    assert_eq!(server.http().post("/v1/webhooks/ops/disable", "").await.0, 200);
    let secret = async |server: &Server| server.http().get("/v1/webhooks/ops/secret").await.1["secret"].clone();
    let before = secret(&server).await;
    assert!(before.is_string());
    assert_eq!(send(&server, "DELETE", "/v1/webhooks/ops", json!({})).await.0, 204);
    let server = Server::start_in(server.stop().await).await;
    let (_, shown) = server.http().get("/v1/webhooks/ops").await;
    assert_eq!((&shown["status"], &shown["url"]), (&json!("disabled"), &json!("https://example.com/declared")), "{shown}");
    assert_eq!(secret(&server).await, before);
}
