//! What is in the store when there is a storage key: nothing that a thief of the file could use.

use serde_json::json;
use tenterhook::app::{App, AppOptions};
use tenterhook::clock::Clock;

use crate::harness::{Receiver, Server, head, webhook};
use crate::traces::on_disk;

const KEYS: [&str; 2] = ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];

/// Of a webhook made over the API: in its URL, in a header, and the token that its endpoint wants.
const CREDENTIALS: [&str; 3] = ["url-credential-4711", "header-credential-4711", "bearer-credential-4711"];

fn config(storage: &str) -> String {
    format!("{}[storage]\n{storage}\n", head())
}

fn sealed_by(key: &str) -> String {
    config(&format!("key = \"{key}\""))
}

async fn make(server: &Server, receiver: &Receiver) -> String {
    let [url, header, bearer] = CREDENTIALS;
    let body = json!({"id": "w", "url": receiver.url(&format!("/hook?token={url}")), "events": ["*"], "headers": {"X-Api-Key": header},
        "auth": {"bearer": bearer}});
    let headers = [("content-type", "application/json"), ("idempotency-key", "made-once")];
    let (status, made) = server.http().send("POST", "/v1/webhooks", &headers, body.to_string().into()).await;
    assert_eq!(status, 201, "{made}");
    made["secret"].as_str().unwrap().to_owned()
}

/// A request as sent has all credentials.
async fn delivers(server: &Server, receiver: &Receiver, count: usize) {
    server.publish("a", "1").await;
    let sent = receiver.wait_for("/hook", count).await.remove(count - 1);
    assert_eq!((sent.header("x-api-key"), sent.header("authorization")), (CREDENTIALS[1], "Bearer bearer-credential-4711"));
}

#[tokio::test(flavor = "multi_thread")]
async fn api_webhooks_and_stored_responses_are_sealed_with_the_key() {
    let receiver = Receiver::start().await;
    let server = Server::start(&sealed_by(KEYS[0])).await;
    let secret = make(&server, &receiver).await;
    delivers(&server, &receiver, 1).await;
    // Again after a start, and under another key; the old one is still needed for one start or save.
    let server = Server::start_in(server.stop().await).await;
    let again = make(&server, &receiver).await;
    assert_eq!(again, secret, "the stored response opens");
    delivers(&server, &receiver, 2).await;
    let directory = server.stop().await;
    for text in CREDENTIALS.iter().copied().chain([secret.as_str(), &secret[10..]]) {
        assert!(!on_disk(directory.path(), text), "{text} is on disk");
    }
    let start = async |text: &str| {
        std::fs::write(directory.path().join("config.toml"), text).unwrap();
        let options = AppOptions { config: directory.path().join("config.toml"), listen: None, clock: Clock::System };
        App::start(options).await
    };
    let refused = start(&sealed_by(KEYS[1])).await.err().unwrap().to_string();
    assert!(refused.contains("sealed with the storage key") && refused.contains("previous_keys"), "{refused}");
    let both = config(&format!("key = \"{}\"\nprevious_keys = [\"{}\"]", KEYS[1], KEYS[0]));
    std::fs::write(directory.path().join("config.toml"), both).unwrap();
    let server = Server::start_in(directory).await;
    delivers(&server, &receiver, 3).await;
    assert_eq!(make(&server, &receiver).await, secret, "the stored response is sealed again, and nothing is made twice");
    let directory = server.stop().await;
    std::fs::write(directory.path().join("config.toml"), sealed_by(KEYS[1])).unwrap();
    let server = Server::start_in(directory).await;
    delivers(&server, &receiver, 4).await;
    assert_eq!(make(&server, &receiver).await, secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_rows_are_sealed_with_the_first_key_and_unsealed_without_one() {
    let receiver = Receiver::start().await;
    let server = Server::start(&head()).await;
    let secret = make(&server, &receiver).await;
    let directory = server.stop().await;
    assert!(CREDENTIALS.iter().all(|text| on_disk(directory.path(), text)), "without a key it is on disk");
    std::fs::write(directory.path().join("config.toml"), sealed_by(KEYS[0])).unwrap();
    let server = Server::start_in(directory).await;
    delivers(&server, &receiver, 1).await;
    assert_eq!(make(&server, &receiver).await, secret, "the first key seals the stored response, instead of dropping it");
    let directory = server.stop().await;
    assert!(CREDENTIALS.iter().all(|text| !on_disk(directory.path(), text)), "with one it is not");
    std::fs::write(directory.path().join("config.toml"), config(&format!("previous_keys = [\"{}\"]", KEYS[0]))).unwrap();
    let server = Server::start_in(directory).await;
    delivers(&server, &receiver, 2).await;
    assert_eq!(make(&server, &receiver).await, secret);
    let directory = server.stop().await;
    std::fs::write(directory.path().join("config.toml"), head() + &webhook("x", &receiver.url("/x"), "[\"*\"]", "")).unwrap();
    let server = Server::start_in(directory).await;
    delivers(&server, &receiver, 3).await;
}
