//! Secrets that are made, rotated, sealed: seen from the API and from the receiver's side.

use std::time::Duration;

use serde_json::Value;
use tenterhook::clock::Clock;
use tenterhook::signing::{Secret, SignedRequest, VerifyError, verify};

use crate::harness::{Received, Receiver, SECRET, Server, head, webhook};

fn secret(text: &str) -> Secret {
    Secret::parse_verifying(text).unwrap()
}

fn holds(request: &Received, text: &str) -> bool {
    let verdict = verify(
        &SignedRequest::new(&request.headers, &request.body),
        &[secret(text)],
        Clock::System.now(),
        Duration::from_secs(300),
    );
    match verdict {
        Ok(_) => true,
        Err(VerifyError::NoMatch { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

/// A webhook whose secret is made by the server.
fn generated(id: &str, receiver: &Receiver, more: &str) -> String {
    format!("[webhooks.{id}]\nurl = \"{}\"\nevents = [\"*\"]\n{more}\n", receiver.url(&format!("/{id}")))
}

async fn shown(server: &Server, id: &str) -> Value {
    let (status, answer) = server.http().get(&format!("/v1/webhooks/{id}/secret")).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn rotate(server: &Server, id: &str, body: &str) -> Value {
    let (status, answer) = server.http().post(&format!("/v1/webhooks/{id}/rotate-secret"), body.to_owned()).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn a_rotation_signs_with_both_secrets_and_survives_a_restart() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &generated("a", &receiver, "signature = [\"standard\", \"github\"]"))).await;
    let old = shown(&server, "a").await["secret"].as_str().unwrap().to_owned();
    assert!(old.starts_with("whsec_"));
    // Whatever state the files are in: a rotation does not wait for them.
    std::fs::write(server.path("config.toml"), "broken").unwrap();
    server.eventually("the file is refused", async || !server.http().get("/v1/config").await.1["last_error"].is_null()).await;
    let answer = rotate(&server, "a", "").await;
    assert!(!server.http().get("/v1/config").await.1["last_error"].is_null(), "it is still wrong");
    let new = answer["secret"].as_str().unwrap().to_owned();
    assert!(new.starts_with("whsec_") && new != old && answer["previous_until"].is_string(), "{answer}");
    let now = shown(&server, "a").await;
    assert_eq!((&now["secret"], &now["previous"][0]["until"]), (&answer["secret"], &answer["previous_until"]));
    assert_eq!(now["previous"][0]["secret_preview"], secret(&old).preview());
    assert!(!now["previous"].to_string().contains(&old));

    server.publish("order.created", "1").await;
    let request = receiver.wait_for("/a", 1).await.remove(0);
    assert!(holds(&request, &new) && holds(&request, &old));
    let mut github = request.clone();
    github.headers.remove("webhook-signature");
    assert!(holds(&github, &new) && holds(&github, &old), "{:?}", github.headers);
    assert!(github.header("x-hub-signature-256") != github.header("x-hub-signature-256-previous"));

    std::fs::write(server.path("config.toml"), head() + &generated("a", &receiver, "")).unwrap();
    let directory = server.stop().await;
    let server = Server::start_in(directory).await;
    assert_eq!(shown(&server, "a").await, now);
    // Five sign at a time: the answer says which, with the time of each, and those that are missing there do not.
    let first = rotate(&server, "a", "{\"overlap\": \"1h\"}").await;
    assert_eq!(first["previous"].as_array().unwrap().len(), 2, "{first}");
    for _ in 0..3 {
        rotate(&server, "a", "").await;
    }
    let fifth = rotate(&server, "a", "").await;
    assert_eq!(fifth["previous"], shown(&server, "a").await["previous"], "all of them, and no others");
    let previous = fifth["previous"].as_array().unwrap();
    assert_eq!((previous.len(), &previous[0]["until"]), (4, &fifth["previous_until"]), "{fifth}");
    assert!(previous.iter().all(|previous| previous["secret_preview"] != secret(&new).preview()), "{fifth}");
    assert_eq!(previous[3]["secret_preview"], secret(first["secret"].as_str().unwrap()).preview(), "{fifth}");
    let last = rotate(&server, "a", "{\"secret\": \"one of my own\", \"overlap\": \"0s\"}").await;
    assert_eq!(last["previous"], Value::Array(Vec::new()), "{last}");
    assert_eq!((&last["secret"], &last["previous_until"]), (&Value::from("one of my own"), &Value::Null));
    server.publish("order.created", "2").await;
    let request = receiver.wait_for("/a", 2).await.remove(1);
    assert!(holds(&request, "one of my own") && !holds(&request, &new) && !holds(&request, &old));
}

#[tokio::test]
async fn a_declared_secret_is_rotated_in_its_file() {
    let receiver = Receiver::start().await;
    let config = |secret: &str| webhook("a", &receiver.url("/a"), r#"["*"]"#, "").replace(&format!("\"{SECRET}\""), secret);
    let server = Server::start(&(head() + &config(&format!("\"{SECRET}\"")))).await;
    let (status, problem) = server.http().post("/v1/webhooks/a/rotate-secret", "").await;
    assert_eq!((status, problem["line"].as_u64()), (409, Some(5)), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("secret = [\"the new one\", \"the old one\"]"), "{problem}");
    server.reconfigure(&(head() + &config(&format!("[\"the new one\", \"{SECRET}\"]")))).await;
    server.publish("order.created", "1").await;
    let request = receiver.wait_for("/a", 1).await.remove(0);
    assert!(holds(&request, "the new one") && holds(&request, SECRET));
}

#[tokio::test]
async fn secrets_are_made_in_the_form_that_the_dialect_has() {
    let receiver = Receiver::start().await;
    let kinds = [("standard", "whsec_", 50), ("sha256", "", 64), ("github", "", 64), ("shopify", "", 64)];
    let config = kinds.iter().map(|(scheme, ..)| generated(scheme, &receiver, &format!("signature = \"{scheme}\"")));
    let server = Server::start(&(head() + &config.collect::<String>())).await;
    for (scheme, prefix, length) in kinds {
        let text = shown(&server, scheme).await["secret"].as_str().unwrap().to_owned();
        assert!(text.starts_with(prefix) && text.len() == length, "{scheme}: {text}");
    }
    // From one kind to the other, manually: `v1a`, with the public key in the answer.
    let key = Secret::generate_ed25519();
    let (status, problem) =
        server.http().post("/v1/webhooks/sha256/rotate-secret", format!("{{\"secret\": \"{}\"}}", key.expose())).await;
    assert_eq!((status, problem["detail"].as_str().unwrap().contains("no such signatures")), (422, true), "{problem}");
    let answer = rotate(&server, "standard", &format!("{{\"secret\": \"{}\"}}", key.expose())).await;
    assert_eq!(answer["public_key"].as_str(), key.public_key().as_deref());
    server.publish("order.created", "1").await;
    let request = receiver.wait_for("/standard", 1).await.remove(0);
    assert!(holds(&request, &key.public_key().unwrap()));
    let again = rotate(&server, "standard", "").await;
    assert!(again["secret"].as_str().unwrap().starts_with("whsk_"), "a key is followed by a key");
}

#[tokio::test]
async fn the_storage_key_seals_what_the_store_keeps_and_changes_while_it_runs() {
    let receiver = Receiver::start().await;
    let config = |storage: &str| head() + storage + &generated("a", &receiver, "");
    let server = Server::start(&config("")).await;
    let text = shown(&server, "a").await["secret"].as_str().unwrap().to_owned();
    let data = server.path("data");
    let on_disk = || {
        let files = std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
        let mut contents = files.map(|file| std::fs::read(file).unwrap());
        contents.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    assert!(on_disk());
    let (one, other) = ("01".repeat(32), "02".repeat(32));
    server.reconfigure(&config(&format!("[storage]\nkey = \"{one}\"\n"))).await;
    assert!(!on_disk());
    assert_eq!(shown(&server, "a").await["secret"], text.as_str());
    // Another key without the one before cannot open them: refused, and the old configuration goes on.
    std::fs::write(server.path("config.toml"), config(&format!("[storage]\nkey = \"{other}\"\n"))).unwrap();
    server
        .eventually("it is refused", async || {
            let message = server.http().get("/v1/config").await.1["last_error"]["message"].to_string();
            message.contains("previous_keys")
        })
        .await;
    server.reconfigure(&config(&format!("[storage]\nkey = \"{other}\"\nprevious_keys = [\"{one}\"]\n"))).await;
    assert_eq!(shown(&server, "a").await["secret"], text.as_str());
    std::fs::write(server.path("config.toml"), config(&format!("[storage]\nkey = \"{other}\"\n"))).unwrap();
    let server = Server::start_in(server.stop().await).await;
    assert_eq!(shown(&server, "a").await["secret"], text.as_str());
    assert!(!on_disk());
}
