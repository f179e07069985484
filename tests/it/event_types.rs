//! The catalogue: declared, in the file or by a preset, and seen; schemas that keep bad events out.

use serde_json::json;

use crate::harness::{Server, head};

const SCHEMA: &str = r#"{"type": "object", "required": ["amount"], "properties": {"amount": {"type": "number", "minimum": 0}}}"#;

#[tokio::test]
async fn declared_and_seen_types_are_listed_with_counts() {
    let types = "[event_types.\"order.created\"]\ndescription = \"An order came in\"\n[event_types.\"order.lost\"]\n";
    let server = Server::start(&(head() + types)).await;
    server.publish("order.created", "1").await;
    server.publish("order.created", "2").await;
    server.publish("user.created", "3").await;
    let (_, list) = server.http().get("/v1/event-types").await;
    let rows: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|row| (&row["type"], &row["declared"], &row["events"])).collect();
    let expected = [("order.created", true, 2), ("order.lost", true, 0), ("user.created", false, 1)];
    let expected: Vec<_> = expected.map(|(name, declared, events)| (json!(name), json!(declared), json!(events))).to_vec();
    assert_eq!(rows, expected.iter().map(|(a, b, c)| (a, b, c)).collect::<Vec<_>>());
    assert_eq!(list["data"][0]["description"], "An order came in");
    assert!(list["data"][0]["last_seen_at"].is_string());
    let (_, page) = server.http().get("/v1/event-types?limit=2").await;
    let (_, rest) = server.http().get(&format!("/v1/event-types?limit=2&cursor={}", page["next"].as_str().unwrap())).await;
    assert_eq!(rest["data"][0]["type"], "user.created");
    let directory = server.stop().await;
    let server = Server::start_in(directory).await;
    assert_eq!(server.http().get("/v1/event-types").await.1["data"][0]["events"], 2);
}

#[tokio::test]
async fn an_event_that_does_not_match_its_schema_is_refused() {
    let server = Server::start(&head()).await;
    std::fs::create_dir(server.path("schemas")).unwrap();
    std::fs::write(server.path("schemas/order.json"), SCHEMA).unwrap();
    server.reconfigure(&(head() + "[event_types.\"order.created\"]\nschema = \"schemas/order.json\"\n")).await;
    let (status, problem) = server.http().post("/v1/events", r#"{"type":"order.created","data":{"amount":-1}}"#).await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(problem["errors"][0]["field"], "data/amount");
    assert!(problem["detail"].as_str().unwrap().contains("minimum"), "{problem}");
    server.publish("order.created", r#"{"amount":1}"#).await;
    server.publish("order.other", "null").await;
    // All or nothing, and line by line, as for any other problem of an event.
    let (status, problem) =
        server.http().post("/v1/events", r#"[{"type":"order.created","data":{"amount":1}},{"type":"order.created"}]"#).await;
    assert_eq!((status, &problem["errors"][0]["index"]), (422, &json!(1)), "{problem}");
    // A schema is a part of the configuration: saving it is enough.
    let generation = server.http().get("/v1/config").await.1["generation"].as_u64().unwrap();
    std::fs::write(server.path("schemas/order.json"), "{}").unwrap();
    server.wait_for_generation(generation + 1).await;
    server.publish("order.created", r#"{"amount":-1}"#).await;
    std::fs::write(server.path("schemas/order.json"), "{").unwrap();
    server
        .eventually("the bad schema is told", async || {
            server.http().get("/v1/config").await.1["last_error"]["problems"][0]["message"]
                .as_str()
                .is_some_and(|message| message.contains("is not JSON"))
        })
        .await;
}

#[tokio::test]
async fn presets_declare_types_and_come_and_go_with_the_file() {
    let server = Server::start(&head()).await;
    let types = async || {
        let (_, list) = server.http().get("/v1/event-types").await;
        list["data"].as_array().unwrap().clone()
    };
    assert!(types().await.is_empty());
    let ours = "[event_types.\"data.created\"]\ndescription = \"Ours\"\n";
    server.reconfigure(&format!("catalogue = [\"gateway\", \"data\"]\n{}{ours}", head())).await;
    let listed = types().await;
    let named = |kind: &str| listed.iter().find(|one| one["type"] == kind).unwrap_or_else(|| panic!("no {kind} in {listed:?}"));
    assert_eq!(listed.len(), 13);
    let opened = named("circuit_breaker.opened");
    assert_eq!((&opened["declared"], &opened["preset"], &opened["events"]), (&json!(true), &json!("gateway"), &json!(0)));
    assert_eq!(opened["schema"]["properties"]["errorRate"]["type"], "number");
    assert_eq!(named("data.created")["preset"], json!(null));
    assert_eq!((&named("data.created")["description"], &named("data.created")["schema"]), (&json!("Ours"), &json!(null)));
    let (status, problem) =
        server.http().post("/v1/events", r#"{"type":"circuit_breaker.opened","data":{"errorRate":"75%"}}"#).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("data/errorRate")), "{problem}");
    server.publish("circuit_breaker.opened", r#"{"routeId":"api","errorRate":0.75}"#).await;
    // A preset that does not exist changes nothing.
    std::fs::write(server.path("config.toml"), format!("catalogue = [\"gatway\"]\n{}", head())).unwrap();
    server
        .eventually("the preset is refused", async || {
            server.http().get("/v1/config").await.1["last_error"]["problems"][0]["message"] == "unknown preset `gatway`"
        })
        .await;
    assert_eq!(types().await.len(), 13);
    server.reconfigure(&head()).await;
    let seen = types().await;
    assert_eq!(seen.len(), 1, "what was published is still known: {seen:?}");
    assert_eq!((&seen[0]["declared"], &seen[0]["preset"], &seen[0]["events"]), (&json!(false), &json!(null), &json!(1)));
}
