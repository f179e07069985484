//! What a refused configuration would have changed, and transformers that nobody uses yet: what the UI asks for.

use serde_json::{Value, json};

use crate::harness::{Receiver, SECRET, Server, head, webhook};

async fn changes_of(server: &Server, config: &str) -> Value {
    let before = server.http().get("/v1/config").await.1["last_error"]["at"].clone();
    std::fs::write(server.path("config.toml"), config).unwrap();
    server
        .eventually("the reload is refused", async || {
            let (_, now) = server.http().get("/v1/config").await;
            now["last_error"].is_object() && now["last_error"]["at"] != before
        })
        .await;
    let (status, answer) = server.http().get("/v1/config/changes").await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["refused_at"].is_string() && !answer.to_string().contains(SECRET), "{answer}");
    answer["changes"].clone()
}

#[tokio::test]
async fn what_can_be_read_of_a_refused_file_is_compared_with_the_live_one() {
    let receiver = Receiver::start().await;
    let table = |id: &str, more: &str| webhook(id, &receiver.url(&format!("/{id}")), r#"["order.*"]"#, more);
    let good = head() + &table("a", "timeout = \"5s\"") + &table("b", "") + &table("c", "");
    let server = Server::start(&good).await;
    assert_eq!(server.http().get("/v1/config/changes").await, (200, json!({"refused_at": null, "changes": null})));

    // A misspelt key in one; another is changed, one is gone and one is new.
    let bad = head() + &table("a", "timeout = \"9s\"") + &table("b", "timeuot = \"1s\"") + &table("d", "");
    let changes = changes_of(&server, &bad).await;
    assert_eq!(
        changes["webhooks"]["changed"],
        json!({"a": [{"key": "timeout", "before": "5s", "after": "9s", "hidden": false}]})
    );
    assert_eq!(changes["webhooks"]["unread"], json!(["b"]));
    assert_eq!(changes["webhooks"]["removed"], json!([{"id": "c", "waiting": 0}]));
    assert_eq!(changes["webhooks"]["added"]["d"]["events"], json!(["order.*"]));
    assert_eq!(changes["summary"], json!({"added": 1, "changed": 1, "removed": 1, "unread": 1}));
    assert_eq!((&changes["whole"], &changes["only_unseen"]), (&json!(true), &json!(false)));

    // A file that is not TOML to its end says nothing about what is missing; a hidden value is compared all the same.
    let bad =
        head() + &table("a", "timeout = \"5s\"").replace(SECRET, "whsec_bmV3IHNlY3JldCBvZiBhIHdlYmhvb2sh") + "[webhooks.b\n";
    let changes = changes_of(&server, &bad).await;
    assert_eq!((&changes["whole"], &changes["webhooks"]["removed"]), (&json!(false), &json!([])));
    assert_eq!(changes["webhooks"]["changed"]["a"][0]["key"], "secret", "{changes}");

    // Whole by itself, and refused by what it names.
    let changes = changes_of(&server, &(good.clone() + &table("e", "transform = \"nobody-made-this\""))).await;
    assert_eq!(changes["summary"], json!({"added": 1, "changed": 0, "removed": 0, "unread": 0}));

    std::fs::write(server.path("config.toml"), good).unwrap();
    server
        .eventually("the file is good again", async || server.http().get("/v1/config/changes").await.1["changes"] == Value::Null)
        .await;
}

#[tokio::test]
async fn what_waits_for_the_next_start_is_told() {
    let server = Server::start(&head()).await;
    assert_eq!(server.http().get("/v1/config").await.1["at_next_start"], json!([]));
    server.reconfigure(&head().replace("127.0.0.1:0", "127.0.0.1:9")).await;
    let (_, config) = server.http().get("/v1/config").await;
    assert_eq!(config["at_next_start"], json!([{"key": "server.listen", "running": "127.0.0.1:0", "wanted": "127.0.0.1:9"}]));
}

#[tokio::test]
async fn a_transformer_that_nobody_uses_shows_its_schema_when_it_is_asked_for() {
    let server = Server::start(&head()).await;
    let (status, module) = server.http().get("/v1/transformers/pagerduty").await;
    assert_eq!((status, &module["name"], &module["used_by"]), (200, &json!("pagerduty"), &json!([])), "{module}");
    assert!(module["options_schema"]["properties"]["routing_key"].is_object(), "{module}");
    let (status, problem) = server.http().get("/v1/transformers/nobody-made-this").await;
    assert_eq!(status, 404);
    assert!(problem["detail"].as_str().unwrap().contains("nobody-made-this"), "{problem}");
}
