//! What management leaves behind: a trace of everything that was done and shown, and nothing of what was taken away.

use http::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{Answer, Http, Receiver, Server, head, webhook};

const TOKENS: &str = r#"
[tokens.boss]
token = "boss-token-0123456789"
scopes = ["manage"]
[tokens.acme]
token = "acme-token-0123456789"
scopes = ["manage"]
tenant = "acme"
"#;

async fn audited(http: &Http, action: &str) -> Vec<Value> {
    let (status, log) = http.get("/v1/audit").await;
    assert_eq!(status, 200, "{log}");
    let rows = log["data"].as_array().unwrap().iter();
    rows.filter(|row| row["action"] == action).cloned().collect()
}

async fn made(http: &Http, body: Value) -> Value {
    let (status, answer) = http.post("/v1/webhooks", body.to_string()).await;
    assert_eq!(status, 201, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_a_replayed_answer_shows_is_logged_again() {
    let server = Server::start(&head()).await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "k-1"), ("x-request-id", "second")];
    let body = r#"{"id":"w","url":"https://example.com/hook","events":["*"]}"#;
    let (status, first) = server.http().send("POST", "/v1/webhooks", &headers[..2], body.into()).await;
    assert_eq!(status, 201, "{first}");
    let (status, second) = server.http().send("POST", "/v1/webhooks", &headers, body.into()).await;
    assert_eq!((status, &second["secret"]), (201, &first["secret"]), "it is shown again");
    let rows = audited(server.http(), "POST /v1/webhooks").await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!((&rows[0]["request_id"], &rows[0]["status"], &rows[0]["token"]), (&json!("second"), &json!(201), &json!("admin")));
    assert_eq!(rows[0]["detail"], "the stored answer, replayed for its Idempotency-Key");
    assert_eq!(rows[1]["detail"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_client_hangs_up_is_done_and_leaves_a_trace() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/w", Answer::Hang);
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, "timeout = \"1s\""))).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let token = &server.http().token;
    let request =
        format!("POST /v1/webhooks/w/test HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    receiver.wait_for("/w", 1).await;
    drop(stream);
    let action = "POST /v1/webhooks/{id}/test";
    server.eventually("it is in the log", async || !audited(server.http(), action).await.is_empty()).await;
    let rows = audited(server.http(), action).await;
    assert_eq!((&rows[0]["path"], &rows[0]["status"]), (&json!("/v1/webhooks/w/test"), &json!(200)), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_tenant_takes_its_webhooks_along_and_their_secrets() {
    let receiver = Receiver::start().await;
    let declared = webhook("declared", &receiver.url("/declared"), r#"["*"]"#, "tenant = \"acme\"");
    let server = Server::start(&[head(), TOKENS.to_owned(), declared].concat()).await;
    let (boss, acme) = (server.http_as("boss-token-0123456789"), server.http_as("acme-token-0123456789"));
    let body = |id: &str| {
        json!({"id": id, "url": receiver.url("/w"), "events": ["*"], "headers": {"X-Api-Key": "the-key-of-acme-4711"},
            "secret": "the-secret-of-acme-4711"})
    };
    made(&acme, body("one")).await;
    made(&acme, body("two")).await;
    made(&boss, json!({"id": "other", "url": receiver.url("/w"), "events": ["*"], "tenant": "globex"})).await;
    let (_, preview) = boss.post("/v1/erase", r#"{"tenant":"acme","dry_run":true}"#).await;
    assert_eq!((&preview["matching"], &preview["webhooks"]), (&json!(0), &json!(2)), "{preview}");
    let (status, job) = boss.post("/v1/erase", r#"{"tenant":"acme"}"#).await;
    assert_eq!(status, 202, "{job}");
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    server.eventually("the job has ended", async || boss.get(&path).await.1["state"] == "succeeded").await;
    let (_, left) = boss.get("/v1/webhooks").await;
    let left: Vec<&str> = left["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(left, ["declared", "other"], "those of config.toml and of others stay");
    let rows = audited(&boss, "DELETE /v1/webhooks/{id}").await;
    let told: Vec<_> = rows.iter().map(|row| (row["token"].as_str().unwrap(), row["path"].as_str().unwrap())).collect();
    assert_eq!(told, [("boss", "/v1/webhooks/two"), ("boss", "/v1/webhooks/one")]);
    assert_eq!((&rows[0]["detail"], &rows[0]["request_id"]), (&json!("by the erasure of the tenant `acme`"), &job["id"]));
    // Made after it was asked for: stays.
    made(&acme, json!({"id": "one", "url": receiver.url("/w"), "events": ["*"]})).await;
    let directory = server.stop().await;
    for text in ["the-key-of-acme-4711", "the-secret-of-acme-4711"] {
        assert!(!on_disk(directory.path(), text), "{text} is still on disk");
    }
}

/// Whether a text is anywhere in the data directory.
pub fn on_disk(directory: &std::path::Path, text: &str) -> bool {
    let files = std::fs::read_dir(directory.join("data")).unwrap().map(|file| file.unwrap().path());
    let bytes = files.filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap());
    let mut bytes = bytes.peekable();
    assert!(bytes.peek().is_some(), "there is a store");
    bytes.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_and_removals_are_told_on_the_bus_with_whose_webhook_it_was() {
    let receiver = Receiver::start().await;
    let watch = webhook("watch", &receiver.url("/watch"), r#"["webhook.deleted", "webhook.secret.rotated"]"#, "");
    let server = Server::start(&[head(), TOKENS.to_owned(), watch].concat()).await;
    let acme = server.http_as("acme-token-0123456789");
    let first = made(&acme, json!({"id": "w", "url": receiver.url("/w"), "events": ["*"]})).await;
    let (status, rotated) = acme.post("/v1/webhooks/w/rotate-secret", "").await;
    assert_eq!(status, 200, "{rotated}");
    assert_ne!(rotated["secret"], first["secret"]);
    let told = receiver.wait_for("/watch", 1).await.remove(0).json();
    assert_eq!((&told["type"], &told["data"]), (&json!("webhook.secret.rotated"), &json!({"webhook": "w", "tenant": "acme"})));
    assert!(!told.to_string().contains("whsec_"), "{told}");
    let (status, _) = acme.send(Method::DELETE.as_str(), "/v1/webhooks/w", &[], bytes::Bytes::new()).await;
    assert_eq!(status, 204);
    let told = receiver.wait_for("/watch", 2).await.remove(1).json();
    assert_eq!((&told["type"], &told["data"]), (&json!("webhook.deleted"), &json!({"webhook": "w", "tenant": "acme"})));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_a_transformer_sets_are_sent_and_not_shown() {
    let receiver = Receiver::start().await;
    let transform = r#"transform = { use = "template", options = { text = "{}", headers = { X-Auth-Token = "set-by-the-template-4711", X-Team = "sre" } } }"#;
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, transform))).await;
    let event = server.publish("a", "1").await;
    let delivery = server.delivery_in(&event, "succeeded").await;
    assert_eq!(receiver.received("/w")[0].header("x-auth-token"), "set-by-the-template-4711");
    let headers = &delivery["attempts"][0]["request"]["headers"];
    assert_eq!(headers["x-team"], "sre");
    assert!(headers["x-auth-token"].is_string() && !delivery.to_string().contains("4711"), "{headers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_explained_for_the_webhooks_of_the_caller() {
    let others: String =
        (0..300).map(|n| webhook(&format!("a{n:03}"), "https://example.com/", r#"["other.*"]"#, "tenant = \"globex\"")).collect();
    let own = webhook("zz", "https://example.com/", r#"["never.*"]"#, "tenant = \"acme\"");
    let server = Server::start(&[head(), TOKENS.to_owned(), others, own].concat()).await;
    let acme = server.http_as("acme-token-0123456789");
    assert_eq!(acme.post("/v1/events", r#"{"id":"e","type":"order.created"}"#).await.0, 202);
    let (_, event) = acme.get("/v1/events/e").await;
    let expected = json!([{"webhook": "zz", "reason": "none of its patterns matches `order.created`"}]);
    assert_eq!(event["unmatched"], expected, "{event}");
    let (_, event) = server.http_as("boss-token-0123456789").get("/v1/events/e").await;
    assert_eq!(event["unmatched"].as_array().unwrap().len(), 250, "and there is an end to it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_sends_nothing_of_the_former_owner_of_a_webhook() {
    let receiver = Receiver::start().await;
    let config = |tenant: &str| {
        [head(), TOKENS.to_owned(), webhook("w", &receiver.url("/w"), r#"["*"]"#, &format!("tenant = \"{tenant}\""))].concat()
    };
    let mut server = Server::start(&config("globex")).await;
    server.set_token("boss-token-0123456789");
    let (boss, acme) = (server.http_as("boss-token-0123456789"), server.http_as("acme-token-0123456789"));
    assert_eq!(boss.post("/v1/events", r#"{"id":"e-1","type":"a","tenant":"globex"}"#).await.0, 202);
    server.delivery_in("e-1", "succeeded").await;
    server.reconfigure(&config("acme")).await;
    assert_eq!(acme.post("/v1/events", r#"{"id":"e-2","type":"a"}"#).await.0, 202);
    server.delivery_in("e-2", "succeeded").await;
    let (status, preview) = acme.post("/v1/webhooks/w/replay", r#"{"since":"2020-01-01T00:00:00Z","dry_run":true}"#).await;
    assert_eq!((status, &preview["matching"]), (200, &json!(1)), "{preview}");
    assert_eq!(preview["sample"].as_array().unwrap().iter().map(|row| &row["event_id"]).collect::<Vec<_>>(), ["e-2"]);
    let (status, job) = acme.post("/v1/webhooks/w/replay", r#"{"since":"2020-01-01T00:00:00Z"}"#).await;
    assert_eq!(status, 202, "{job}");
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    server.eventually("the job has ended", async || boss.get(&path).await.1["state"] == "succeeded").await;
    assert_eq!(boss.get(&path).await.1["progress"], json!({"done": 1, "total": 1}));
    let sent = receiver.wait_for("/w", 3).await;
    assert_eq!(sent.iter().map(|request| request.header("webhook-id")).collect::<Vec<_>>(), ["e-1", "e-2", "e-2"]);
}
