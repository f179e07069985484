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

/// A request, what it is verified with, and whether that should succeed.
struct Case {
    name: &'static str,
    request: Received,
    key: &'static str,
    holds: bool,
}

fn ask(mut judge: Command, cases: &[Case]) -> Vec<Value> {
    let mut child = judge.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the judge starts");
    let mut stdin = child.stdin.take().unwrap();
    for Case { request, key, .. } in cases {
        let headers: serde_json::Map<String, Value> =
            request.headers.iter().map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap()))).collect();
        let body = base64::engine::general_purpose::STANDARD.encode(&request.body);
        writeln!(stdin, "{}", json!({ "headers": headers, "body_base64": body, "secret": key })).unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The seed of RFC 8032 §7.1, test 2, and its public key.
const ED25519: &str = "whsk_TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs=";
const ED25519_PUBLIC: &str = "whpk_PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";

/// Each dialect by its webhook's name, and which languages have a library (or, for `v1a` and templates, the
/// cryptography) that judges it.
const DIALECTS: [(&str, &str, &str, &[&str]); 9] = [
    ("standard", "\"standard\"", SECRET, &["Python", "JavaScript"]),
    ("timestamped", "\"timestamped\"", SECRET, &["Python"]),
    ("github", "\"github\"", SECRET, &["JavaScript"]),
    ("sha256", "\"sha256\"", SECRET, &["JavaScript"]),
    ("slack-dialect", "\"slack\"", SECRET, &["Python"]),
    ("shopify", "\"shopify\"", SECRET, &["JavaScript"]),
    ("ed25519", "\"standard\"", ED25519_PUBLIC, &["JavaScript"]),
    (
        "own",
        "{ template = \"t={timestamp},s={signature}\", content = \"{timestamp}.{body}\", header = \"X-My-Sig\" }",
        SECRET,
        &["JavaScript"],
    ),
    ("all", "[\"standard\", \"timestamped\", \"github\", \"slack\", \"shopify\"]", SECRET, &["Python", "JavaScript"]),
];

fn configuration(receiver: &Receiver) -> String {
    let one = |(name, signature, ..): &(&str, &str, &str, &[&str])| {
        let secret = if *name == "ed25519" { ED25519 } else { SECRET };
        let shop = "headers = { \"X-Shopify-Shop-Domain\" = \"a.myshopify.com\", \"X-Shopify-API-Version\" = \"2026-01\" }";
        let url = receiver.url(&format!("/{name}"));
        format!("[webhooks.{name}]\nurl = \"{url}\"\nevents = [\"*\"]\nsecret = \"{secret}\"\nsignature = {signature}\n{shop}\n")
    };
    let transformed = webhook("transformed", &receiver.url("/transformed"), r#"["*"]"#, "transform = \"slack\"");
    head() + &DIALECTS.iter().map(one).collect::<String>() + &transformed
}

#[tokio::test]
async fn official_libraries_verify_what_is_sent() {
    let Some(directory) = tokio::task::spawn_blocking(installed).await.unwrap() else { return };
    let receiver = Receiver::start().await;
    let server = Server::start(&configuration(&receiver)).await;
    server.publish("order.created", "{\"z\": 1.0, \"name\":\"Zo\u{eb} \u{1f680}\", \"a\":[1,2,  3]}").await;
    let mut cases = Vec::new();
    for (name, key) in DIALECTS.iter().map(|(name, _, key, _)| (*name, *key)).chain([("transformed", SECRET)]) {
        let request = receiver.wait_for(&format!("/{name}"), 1).await.remove(0);
        let tampered = Received { body: [&request.body[..], b" "].concat().into(), ..request.clone() };
        cases.push(Case { name, request, key, holds: true });
        cases.push(Case { name, request: tampered, key, holds: false });
    }

    let mut python = Command::new(directory.join("venv/bin/python"));
    python.arg(judges().join("verify.py"));
    let mut node = Command::new("node");
    node.arg(judges().join("verify.mjs")).current_dir(&directory).env("JUDGES", &directory);
    for (language, judge) in [("Python", python), ("JavaScript", node)] {
        let verdicts = ask(judge, &cases);
        assert_eq!(verdicts.len(), cases.len(), "{language}: {verdicts:?}");
        for (Case { name, holds, .. }, verdict) in cases.iter().zip(&verdicts) {
            let dialect = DIALECTS.iter().find(|(known, ..)| known == name);
            let known = dialect.is_none_or(|(.., languages)| languages.contains(&language));
            let judged = verdict["judges"].as_object().map_or(0, serde_json::Map::len);
            assert_eq!(judged > 0, known, "{language} on {name}: {verdict}");
            assert_eq!(verdict["ok"], known && *holds, "{language} on {name}: {verdict}");
        }
    }
}
