//! What is sent, verified by the official libraries of others: `standardwebhooks` from PyPI and npm, `stripe`,
//! `@octokit/webhooks-methods`. Installed once by `tests/judges/install` into `target/judges`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use serde_json::{Value, json};

use crate::harness::{Received, Receiver, SECRET, Server, head, webhook};

pub fn judges() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges")
}

/// The directory that the judges were installed in; `None`, loudly, where the registries cannot be reached.
pub fn installed() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("judges");
    let output = Command::new("bash").arg(judges().join("install")).arg(&directory).output().expect("bash is there");
    if output.status.success() {
        return Some(directory);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(std::env::var_os("CI").is_none(), "the judges cannot be installed, and CI must have them:\n{said}");
    eprintln!("\n!!! SKIPPED: the third-party judges cannot be installed, signatures were NOT judged:\n{said}\n");
    None
}

fn ask(mut judge: Command, requests: &[(&str, &Received)]) -> Vec<Value> {
    let mut child = judge.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the judge starts");
    let mut stdin = child.stdin.take().unwrap();
    for (_, request) in requests {
        let headers: serde_json::Map<String, Value> =
            request.headers.iter().map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap()))).collect();
        let body = base64::engine::general_purpose::STANDARD.encode(&request.body);
        writeln!(stdin, "{}", json!({ "headers": headers, "body_base64": body, "secret": SECRET })).unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn official_libraries_verify_what_is_sent() {
    let Some(directory) = tokio::task::spawn_blocking(installed).await.unwrap() else { return };
    let receiver = Receiver::start().await;
    let schemes = ["standard", "timestamped", "github", "sha256"];
    let config = schemes.iter().fold(head(), |config, scheme| {
        config + &webhook(scheme, &receiver.url(&format!("/{scheme}")), r#"["*"]"#, &format!("signature = \"{scheme}\""))
    });
    let config = config + &webhook("slack", &receiver.url("/slack"), r#"["*"]"#, "transform = \"slack\"");
    let server = Server::start(&config).await;
    server.publish("order.created", "{\"z\": 1.0, \"name\":\"Zo\u{eb} \u{1f680}\", \"a\":[1,2,  3]}").await;
    let mut requests = Vec::new();
    for path in ["/standard", "/timestamped", "/github", "/slack"] {
        requests.push((path, receiver.wait_for(path, 1).await.remove(0)));
    }
    let mut tampered = requests[0].1.clone();
    tampered.body = [&tampered.body[..], b" "].concat().into();
    requests.push(("/tampered", tampered));
    let asked: Vec<(&str, &Received)> = requests.iter().map(|(path, request)| (*path, request)).collect();

    let mut python = Command::new(directory.join("venv/bin/python"));
    python.arg(judges().join("verify.py"));
    let mut node = Command::new("node");
    node.arg(judges().join("verify.mjs")).current_dir(&directory).env("JUDGES", &directory);
    for (language, judge) in [("Python", python), ("JavaScript", node)] {
        let verdicts = ask(judge, &asked);
        assert_eq!(verdicts.len(), asked.len(), "{language}: {verdicts:?}");
        for ((path, _), verdict) in asked.iter().zip(&verdicts) {
            // No library of this language knows the scheme.
            if verdict["judges"].as_object().is_some_and(serde_json::Map::is_empty) {
                continue;
            }
            assert_eq!(verdict["ok"], *path != "/tampered", "{language} on {path}: {verdict}");
        }
        assert_eq!(verdicts[0]["ok"], true, "{language}: {verdicts:?}");
        assert_eq!(verdicts[4]["ok"], false, "{language}: {verdicts:?}");
    }
}
