//! What the prebuilt transformers make, judged by the official libraries of its targets: Slack's, Discord's and
//! PagerDuty's, the CloudEvents SDKs, Adaptive Cards.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tenterhook::model::Limits;
use tenterhook::transform::cases::Case;
use tenterhook::transform::{EventInput, Host, HostOptions, Output, Source};

use crate::judges::{installed, judges};

/// The transformers whose targets have an official library. Judged are the golden cases' events and options, and a large
/// hostile event.
const JUDGED: [&str; 5] = ["slack", "discord", "teams", "pagerduty", "cloudevents"];

fn cases_of(name: &str) -> Vec<(String, Case)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("transformers").join(name).join("cases");
    let mut cases: Vec<(String, Case)> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let case = Case::read(&std::fs::read_to_string(&path).unwrap()).unwrap();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), case)
        })
        .collect();
    let many: serde_json::Map<String, Value> = (0..60).map(|n| (format!("key_{n}"), json!("<&>*_`|😀".repeat(n + 1)))).collect();
    let event = json!({ "type": "database.down", "data": { "message": "x".repeat(5_000), "many": many, "deep": [[[[1]]]], "a b": true } });
    let options = if name == "pagerduty" { json!({ "routing_key": "0123456789abcdef0123456789abcdef" }) } else { json!({}) };
    let large = json!({ "event": event, "options": options }).to_string();
    cases.push(("large".to_owned(), Case::read(&large).unwrap()));
    cases
}

async fn rendered() -> Vec<Value> {
    let host = Host::new(HostOptions { cache_dir: None, instances_max: 4 }).unwrap();
    let limits = Limits { cpu: std::time::Duration::from_secs(20), ..Limits::default() };
    let mut asked = Vec::new();
    for name in JUDGED {
        let module = host.load(name, Source::Prebuilt, limits, None).await.unwrap();
        for (case, Case { events, options, .. }) in cases_of(name) {
            let inputs: Vec<EventInput<'_>> = events.iter().map(EventInput::from).collect();
            let Output::Request(parts) = module.transform(&inputs, &options).await.result.unwrap() else { continue };
            let headers: serde_json::Map<String, Value> =
                parts.headers.iter().map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap()))).collect();
            let body = String::from_utf8(parts.body.to_vec()).unwrap();
            asked.push(json!({ "kind": name, "case": case, "headers": headers, "body": body }));
        }
    }
    asked
}

fn ask(mut judge: Command, asked: &[Value]) -> Vec<Value> {
    let mut child = judge.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the judge starts");
    let mut stdin = child.stdin.take().unwrap();
    for line in asked {
        writeln!(stdin, "{line}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn official_libraries_take_the_messages() {
    let Some(directory) = tokio::task::spawn_blocking(installed).await.unwrap() else { return };
    let asked = rendered().await;
    assert!(asked.len() > 20, "{}", asked.len());
    let mut spoiled = asked.iter().find(|line| line["kind"] == "slack").unwrap().clone();
    spoiled["case"] = json!("spoiled");
    // Markup where none is allowed, which types see, and a header that is too long, which slack_sdk sees.
    let header = |kind: &str, text: &str| json!({ "type": "header", "text": { "type": kind, "text": text } });
    let blocks = json!([header("mrkdwn", "x"), header("plain_text", &"x".repeat(200))]);
    spoiled["body"] = json!(json!({ "text": "x", "blocks": blocks }).to_string());

    let python = || {
        let mut python = Command::new(directory.join("venv/bin/python"));
        python.arg(judges().join("messages.py"));
        python
    };
    let node = || {
        let mut node = Command::new("node");
        node.arg(judges().join("messages.mjs")).current_dir(&directory).env("JUDGES", &directory);
        node
    };
    let mut judged_by = std::collections::BTreeSet::new();
    for verdict in ask(python(), &asked).into_iter().chain(ask(node(), &asked)) {
        assert_eq!(verdict["ok"], true, "{verdict}");
        judged_by.extend(verdict["judges"].as_array().unwrap().iter().map(|judge| judge.as_str().unwrap().to_owned()));
    }
    let all =
        ["@discordjs/builders", "@slack/types", "adaptivecards", "cloudevents", "discord-api-types", "pagerduty", "slack_sdk"];
    assert_eq!(judged_by, all.map(str::to_owned).into());
    // The judges can say no.
    assert_eq!(ask(node(), std::slice::from_ref(&spoiled))[0]["ok"], false);
    assert_eq!(ask(python(), &[spoiled])[0]["ok"], false);
}
