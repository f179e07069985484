//! The commands, as a user runs them.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;

use crate::harness::{Receiver, Server, binary, head, webhook};

fn tenterhook(directory: &Path, args: &[&str]) -> Output {
    Command::new(binary())
        .args(args)
        .current_dir(directory)
        .env_remove("TENTERHOOK_URL")
        .env_remove("TENTERHOOK_TOKEN")
        .output()
        .unwrap()
}

pub async fn run(directory: &Path, args: &[&str]) -> (i32, String, String) {
    let (directory, args) = (directory.to_owned(), args.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
    let output =
        tokio::task::spawn_blocking(move || tenterhook(&directory, &args.iter().map(String::as_str).collect::<Vec<_>>()));
    let output = output.await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn check_accepts_the_repository_s_own_configuration() {
    let (code, out, err) = run(Path::new(env!("CARGO_MANIFEST_DIR")), &["check"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("is good: 3 webhooks") && out.contains("pagerduty, slack"), "{out}");
}

#[tokio::test]
async fn check_shows_every_problem_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let config = "[webhooks.a]\nurl = \"nowhere\"\nevnts = [\"*\"]\n[webhooks.b]\nurl = \"https://example.com/\"\nevents = [\"*\"]\ntimeout = 5\n";
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let (code, _, err) = run(directory.path(), &["check"]).await;
    assert_eq!(code, 1);
    for part in ["config.toml:2:", "config.toml:3:1", "did you mean `events`", "config.toml:7:", "^"] {
        assert!(err.contains(part), "no {part:?} in\n{err}");
    }
    let (code, out, _) = run(directory.path(), &["check", "--json"]).await;
    assert_eq!(code, 1);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["ok"], false);
    assert!(report["problems"].as_array().unwrap().len() >= 3, "{report}");
    assert_eq!(report["problems"][0]["line"], 2);
}

#[tokio::test]
async fn send_finds_the_local_server_and_its_token_and_waits_for_the_end() {
    let receiver = Receiver::start().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let config = |port: u16| {
        head().replace(":0", &format!(":{port}")) + &webhook("w", &receiver.url("/in"), r#"["*"]"#, "retry = { max_retries = 0 }")
    };
    std::fs::write(directory.path().join("config.toml"), config(0)).unwrap();
    let server = Server::start_in(Arc::clone(&directory)).await;
    // The port that it got; the running server takes it for a change that needs a restart.
    std::fs::write(directory.path().join("config.toml"), config(server.address.port())).unwrap();
    let (code, out, err) = run(directory.path(), &["send", "a.b", "--data", "{\"n\": 1.0}", "--wait", "--json"]).await;
    assert_eq!(code, 0, "{err}");
    let event: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(event["deliveries"][0]["state"], "succeeded");
    assert!(
        String::from_utf8_lossy(&receiver.received("/in")[0].body).contains("{\"n\": 1.0}"),
        "the data is sent as it was written"
    );
    receiver.answer_next("/in", [crate::harness::Answer::Status(400)]);
    let (code, out, _) = run(directory.path(), &["send", "a.b", "--wait"]).await;
    assert_eq!(code, 1);
    assert!(out.contains("failed"), "{out}");
    let (code, _, err) = run(directory.path(), &["send", "a b"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("422") && err.contains("a b"), "{err}");
    let (code, _, err) = run(directory.path(), &["send", "a.b", "--url", "http://127.0.0.1:1"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("is it running?"), "{err}");
}

#[tokio::test]
async fn wrong_usage_exits_with_2_and_help_has_examples() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(run(directory.path(), &["sned"]).await.0, 2);
    for command in ["", "serve", "init", "check", "send", "listen", "verify", "demo"] {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let (code, out, _) = run(directory.path(), &args).await;
        assert_eq!(code, 0);
        assert!(out.contains("Examples:"), "{command}:\n{out}");
    }
    let (code, _, err) = run(directory.path(), &[]).await;
    assert_eq!(code, 1);
    assert!(err.contains("there is no config.toml") && err.contains("tenterhook init"), "{err}");
}

#[tokio::test]
async fn the_demo_delivers_every_sample_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (code, out, err) = run(directory.path(), &["demo", "--once"]).await;
    assert_eq!(code, 0, "{err}\n{out}");
    for part in ["/everything", "/slack", "/pagerduty", "/discord", "circuit_breaker.closed"] {
        assert!(out.contains(part), "no {part} in\n{out}\n{err}");
    }
    assert!(!out.contains("does NOT match"), "{out}");
}

#[tokio::test]
async fn transformers_are_listed_inspected_run_tested_and_measured() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    std::fs::create_dir(at.join("transformers")).unwrap();
    std::fs::write(at.join("transformers/broken.wasm"), "x").unwrap();
    let (code, out, _) = run(at, &["transformer", "list"]).await;
    assert_eq!(code, 1);
    for part in
        ["slack", "prebuilt", "Events as messages of a Slack incoming webhook", "broken.wasm", "is no WebAssembly component"]
    {
        assert!(out.contains(part), "no {part:?} in\n{out}");
    }
    let (code, out, _) = run(at, &["transformer", "inspect", "pagerduty"]).await;
    assert_eq!(code, 0, "{out}");
    for part in [
        "component for tenterhook:transformer@1.1.0",
        "tenterhook:transformer/types@1.1.0",
        "transform()",
        "routing_key (string)",
    ] {
        assert!(out.contains(part), "no {part:?} in\n{out}");
    }
    let (code, out, _) = run(at, &["transformer", "inspect", "transformers/broken.wasm", "--json"]).await;
    assert_eq!(code, 1);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&answer["loads"], answer["error"].is_string()), (&Value::Bool(false), true));

    let event = r#"{"type":"job.failed","data":{"job":"<b>"}}"#;
    let (code, out, err) =
        run(at, &["transformer", "run", "slack", "--event", event, "--options", r##"{"channel":"#ops"}"##]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("POST (the webhook's URL)") && out.contains("&lt;b&gt;") && out.contains("#ops"), "{out}");
    let (code, _, err) = run(at, &["transformer", "run", "slack", "--options", r#"{"chanel":"x"}"#]).await;
    assert_eq!(code, 1);
    assert!(err.contains("unknown option `chanel`, did you mean `channel`?"), "{err}");

    std::fs::create_dir(at.join("cases")).unwrap();
    let case = format!(r#"{{"event":{event},"expect":{{"drop":"no"}}}}"#);
    std::fs::write(at.join("cases/a.json"), case).unwrap();
    let (code, out, _) = run(at, &["transformer", "test", "slack"]).await;
    assert_eq!(code, 1);
    assert!(
        out.contains("FAILED") && out.contains("/drop: expected \"no\", is not there") && out.contains("1 cases, 1 failed"),
        "{out}"
    );
    assert_eq!(run(at, &["transformer", "test", "slack", "--update"]).await.0, 0);
    let (code, out, _) = run(at, &["transformer", "test", "slack"]).await;
    assert_eq!(code, 0, "{out}");

    let (code, out, err) = run(at, &["transformer", "bench", "slack", "-n", "20", "--json"]).await;
    assert_eq!(code, 0, "{err}");
    let measured: Value = serde_json::from_str(&out).unwrap();
    assert!(
        measured["call_us"]["p50"].as_f64().unwrap() > 0.0 && measured["memory_bytes"].as_u64().unwrap() > 1 << 16,
        "{measured}"
    );
    assert!(measured["instantiate_us"]["share"].as_f64().unwrap() > 0.0, "{measured}");

    let (code, out, _) = run(at, &["transformer", "new", "my-own", "--lang", "js"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("npm run build") && at.join("my-own/transformer.js").is_file(), "{out}");
    assert_eq!(run(at, &["transformer", "new", "my-own"]).await.0, 1);
    assert_eq!(run(at, &["transformer", "new", "My Own"]).await.0, 2);
}
