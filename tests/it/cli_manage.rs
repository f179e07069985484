//! The commands that change things, before an API that answers as the test says: what they ask for, what they make of
//! the answer, and how they end.

use http::Method;
use serde_json::{Value, json};

use crate::cli::run;
use crate::harness::{Answer, Receiver};

/// Runs a command against this API.
async fn at(api: &Receiver, args: &[&str]) -> (i32, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let base = api.url("");
    run(directory.path(), &[args, &["--server", base.as_str(), "--token", "a-token-of-the-test"]].concat()).await
}

fn answer(status: u16, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Answer::With { status, headers: vec![("content-type", "application/json".to_owned())], body }
}

/// The last request to this path: its method and its body.
#[track_caller]
fn last(api: &Receiver, path: &str) -> (Method, Value) {
    let received = api.received(path);
    let request = received.iter().rfind(|request| request.path == path).unwrap_or_else(|| panic!("nothing came to {path}"));
    assert_eq!(request.header("authorization"), "Bearer a-token-of-the-test");
    (request.method.clone(), serde_json::from_slice(&request.body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn webhooks_are_made_changed_switched_and_removed() {
    let api = Receiver::start().await;
    let made = json!({"id": "w", "status": "enabled", "origin": "api", "url": "https://a.example/", "events": ["route.error"], "secret": "whsec_shown_once"});
    api.answer_next("/v1/webhooks", [answer(201, &made)]);
    let args = [
        "webhook",
        "create",
        "w",
        "--type",
        "route.error",
        "--url",
        "https://a.example/",
        "--secret",
        "sk_live_9x8m2p",
        "--timeout",
        "3s",
    ];
    let (code, out, err) = at(&api, &args).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("whsec_shown_once") && out.contains("`tenterhook webhook secret w` shows it again"), "{out}");
    let asked =
        json!({"id": "w", "events": ["route.error"], "url": "https://a.example/", "secret": "sk_live_9x8m2p", "timeout": "3s"});
    assert_eq!(last(&api, "/v1/webhooks"), (Method::POST, asked));

    let refused = json!({"detail": "the webhook is not valid", "errors": [{"field": "/url", "message": "`url` is refused", "help": "open the range"}]});
    api.answer_next("/v1/webhooks", [answer(422, &refused)]);
    let (code, _, err) = at(&api, &["webhook", "create", "--type", "*", "--url", "http://10.0.0.1/", "--disabled"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("422: the webhook is not valid\n  /url: `url` is refused (open the range)"), "{err}");
    assert_eq!(last(&api, "/v1/webhooks").1, json!({"events": ["*"], "url": "http://10.0.0.1/", "enabled": false}));
    let (code, _, err) = at(&api, &["webhook", "create", "--url", "https://a.example/"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("needs --type"), "{err}");

    api.answer_always("/v1/webhooks/w", answer(200, &made));
    let (code, out, _) =
        at(&api, &["webhook", "edit", "w", "--timeout", "9s", "--unset", "filter", "--set", "retry.jitter=0.5"]).await;
    assert!(code == 0 && out.contains("https://a.example/"), "{out}");
    let patch = json!({"timeout": "9s", "filter": null, "retry": {"jitter": 0.5}});
    assert_eq!(last(&api, "/v1/webhooks/w"), (Method::PATCH, patch));
    let (code, out, _) = at(&api, &["webhook", "disable", "w", "--reason", "noon"]).await;
    assert!(code == 0 && out == "w  enabled\n", "{out}");
    assert_eq!(last(&api, "/v1/webhooks/w/disable"), (Method::POST, json!({"reason": "noon"})));
    assert_eq!(at(&api, &["webhook", "enable", "w"]).await.0, 0);
    assert_eq!(last(&api, "/v1/webhooks/w/enable"), (Method::POST, Value::Null));

    api.answer_next(
        "/v1/webhooks/w/rotate-secret",
        [answer(200, &json!({"id": "w", "secret": "whsec_new", "previous_until": "2026-01-29T00:00:00.000Z"}))],
    );
    let (code, out, _) = at(&api, &["webhook", "rotate", "w", "--overlap", "1h"]).await;
    assert!(code == 0 && out == "whsec_new\nthe old secret signs too until 2026-01-29T00:00:00.000Z\n", "{out}");
    assert_eq!(last(&api, "/v1/webhooks/w/rotate-secret"), (Method::POST, json!({"overlap": "1h"})));

    api.answer_next("/v1/webhooks/w", [answer(204, &Value::Null)]);
    let (code, out, _) = at(&api, &["webhook", "delete", "w"]).await;
    assert!(code == 0 && out == "w deleted\n", "{out}");
    assert_eq!(last(&api, "/v1/webhooks/w").0, Method::DELETE);
    let declared = json!({"detail": "the webhook `w` is declared in config.toml, line 41: change it there, and save"});
    api.answer_next("/v1/webhooks/w", [answer(409, &declared)]);
    let (code, _, err) = at(&api, &["webhook", "rm", "w"]).await;
    assert!(code == 1 && err.contains("line 41"), "{err}");
}

#[tokio::test]
async fn a_test_succeeds_only_when_the_endpoint_took_it() {
    let api = Receiver::start().await;
    for (outcome, status, expected) in [("succeeded", 200, 0), ("failed", 500, 1)] {
        let attempt = json!({"number": 1, "outcome": outcome, "status": status, "duration_ms": 2.0});
        let body = json!({"webhook": "w", "event_type": "a.b", "delivery_id": "dlv_1", "would_match": true, "attempt": attempt});
        api.answer_next("/v1/webhooks/w/test", [answer(200, &body)]);
        let (code, out, _) = at(&api, &["test", "w", "--type", "a.b", "--data", "{\"n\":1}"]).await;
        assert_eq!(code, expected);
        assert!(out.contains(&format!("attempt 1  {outcome}  {status}")), "{out}");
    }
    assert_eq!(last(&api, "/v1/webhooks/w/test"), (Method::POST, json!({"type": "a.b", "data": {"n": 1}})));
    api.answer_next("/v1/webhooks/w/test", [answer(202, &json!({"attempt": null, "detail": "it waits behind others"}))]);
    let (code, out, _) = at(&api, &["test", "w"]).await;
    assert!(code == 1 && out.contains("it waits behind others"), "{out}");
}

#[tokio::test]
async fn a_replay_is_looked_at_asked_about_and_followed_to_its_end() {
    let api = Receiver::start().await;
    let path = "/v1/webhooks/w/replay";
    let job = |state: &str, done: u64| json!({"id": "job_7", "kind": "replay", "state": state, "progress": {"done": done, "total": 3}, "reason": null});
    let preview = json!({"dry_run": true, "matching": 3, "complete": true, "sample": [{"id": "dlv_1", "state": "failed"}]});
    api.answer_next(path, [answer(200, &preview)]);
    let args = ["replay", "w", "--since", "2026-01-28T00:00:00Z", "--state", "failed", "--type", "a.*"];
    let (code, out, _) = at(&api, &[&args[..], &["--dry-run"]].concat()).await;
    assert!(code == 0 && out.starts_with("3 deliveries would be sent to w again\n") && out.contains("dlv_1"), "{out}");
    let mut asked = json!({"since": "2026-01-28T00:00:00.000Z", "state": ["failed"], "event_types": ["a.*"], "dry_run": true});
    assert_eq!(last(&api, path), (Method::POST, asked.clone()));

    // Nobody is there to be asked.
    api.answer_next(path, [answer(200, &preview)]);
    let (code, _, err) = at(&api, &args).await;
    assert!(code == 1 && err.contains("give --yes") && err.contains("3 deliveries will be sent"), "{err}");

    api.answer_next(path, [answer(202, &job("running", 0))]);
    api.answer_next("/v1/jobs/job_7", [answer(200, &job("running", 1)), answer(200, &job("succeeded", 3))]);
    let (code, out, err) = at(&api, &[&args[..], &["--yes"]].concat()).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(out, "replay succeeded  3 of 3  job_7\n");
    asked.as_object_mut().unwrap().remove("dry_run");
    assert_eq!(last(&api, path).1, asked);

    api.answer_next("/v1/jobs/job_7", [answer(200, &job("failed", 1))]);
    assert_eq!(at(&api, &["jobs", "watch", "job_7"]).await.0, 1);
    api.answer_next("/v1/jobs/job_7/cancel", [answer(200, &job("cancelled", 1))]);
    let (code, out, _) = at(&api, &["jobs", "cancel", "job_7"]).await;
    assert!(code == 0 && out.contains("cancelled"), "{out}");
    assert_eq!(last(&api, "/v1/jobs/job_7/cancel").0, Method::POST);
    api.answer_next("/v1/jobs", [answer(200, &json!({"data": [job("running", 1)], "next": null}))]);
    let (_, out, _) = at(&api, &["jobs", "list"]).await;
    assert!(out.contains("job_7  replay  running  1     3"), "{out}");
}

#[tokio::test]
async fn an_erasure_names_whose_events_and_needs_a_yes() {
    let api = Receiver::start().await;
    let job = json!({"id": "job_8", "kind": "erase", "state": "running", "progress": {"done": 0, "total": null}});
    api.answer_always("/v1/erase", answer(202, &job));
    let (code, out, _) = at(&api, &["erase", "--tenant", "acme", "--yes", "--detach"]).await;
    assert!(code == 0 && out == "job_8\n", "{out}");
    assert_eq!(last(&api, "/v1/erase"), (Method::POST, json!({"tenant": "acme"})));
    assert_eq!(at(&api, &["erase", "--metadata", "user_id=u-1", "--yes", "--detach"]).await.0, 0);
    assert_eq!(last(&api, "/v1/erase").1, json!({"metadata": {"user_id": "u-1"}}));
    assert_eq!(at(&api, &["erase", "--yes"]).await.0, 2);
}

#[tokio::test]
async fn the_audit_log_pages_of_a_list_and_a_refused_reload_are_read() {
    let api = Receiver::start().await;
    let entry = |path: &str| json!({"at": "2026-01-28T10:00:00.000Z", "token": "deployer", "peer": "10.0.0.7", "method": "POST", "path": path, "status": 201});
    api.answer_next(
        "/v1/audit",
        [
            answer(200, &json!({"data": [entry("/v1/webhooks")], "next": "more"})),
            answer(200, &json!({"data": [entry("/v1/erase")], "next": null})),
        ],
    );
    let (code, out, _) = at(&api, &["audit", "--by", "deployer"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("deployer  10.0.0.7  POST    /v1/webhooks  201") && out.contains("/v1/erase"), "{out}");
    let problem = json!({"detail": "1 problem", "problems": [{"file": "config.toml", "line": 3, "column": 1, "message": "unknown key `evnts`"}]});
    api.answer_next("/v1/config/reload", [answer(422, &problem)]);
    let (code, _, err) = at(&api, &["reload"]).await;
    assert!(code == 1 && err.contains("config.toml:3:1: unknown key `evnts`"), "{err}");
    api.answer_next("/openapi.json", [answer(200, &json!({"openapi": "3.1.0"}))]);
    let (code, out, _) = at(&api, &["openapi"]).await;
    assert!(code == 0 && out == "{\n  \"openapi\": \"3.1.0\"\n}\n", "{out}");
}

#[tokio::test]
async fn what_was_made_over_the_api_is_exported_as_tables() {
    let api = Receiver::start().await;
    let row = |id: &str, origin: &str| json!({"id": id, "origin": origin, "url": "https://a.example/", "events": ["a.*"], "secret_preview": "whsec_…3f2a", "status": "enabled"});
    let list = answer(200, &json!({"data": [row("of-api", "api"), row("of-file", "config")], "next": null}));
    api.answer_always("/v1/webhooks", list.clone());
    let (code, out, _) = at(&api, &["export"]).await;
    assert_eq!(code, 0);
    assert_eq!(
        out,
        "# keys with Tenterhook's own default are left out: a `[defaults]` table in the file would change them\n\n# secret: set OF_API_SECRET (it is whsec_…3f2a)\n[webhooks.of-api]\nurl = \"https://a.example/\"\nevents = [\"a.*\"]\nsecret = \"${OF_API_SECRET}\"\n"
    );
    api.answer_next("/v1/webhooks/of-api/secret", [answer(200, &json!({"id": "of-api", "secret": "whsec_the-whole"}))]);
    api.answer_next("/v1/webhooks", [list]);
    let (_, out, _) = at(&api, &["export", "of-api", "--secrets", "inline"]).await;
    assert!(out.contains("\n\n[webhooks.of-api]\n") && out.contains("secret = \"whsec_the-whole\""), "{out}");
    let (code, _, err) = at(&api, &["export", "nothing"]).await;
    assert!(code == 1 && err.contains("no webhook `nothing`"), "{err}");
}

#[tokio::test]
async fn an_import_writes_tables_that_only_their_owner_reads() {
    let directory = tempfile::tempdir().unwrap();
    let export = json!([{"id": "wh_1", "url": "https://a.example/", "events": ["a.b"], "secret": "s3cr3t-of-flexgate"}]);
    std::fs::write(directory.path().join("export.json"), export.to_string()).unwrap();
    let args = ["import", "--from", "flexgate", "export.json", "--out", "imported.toml", "--plain-body"];
    let (code, _, err) = run(directory.path(), &args).await;
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = run(directory.path(), &["check", "imported.toml"]).await;
    assert!(code == 0 && out.contains("1 webhooks"), "{out}{err}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(directory.path().join("imported.toml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let (code, _, err) = run(directory.path(), &args).await;
    assert!(code == 1 && err.contains("must not exist yet"), "{err}");
    let (_, out, _) = run(directory.path(), &["import", "--from", "flexgate", "export.json", "--secrets", "env"]).await;
    assert!(out.contains("secret = \"${WH_1_SECRET}\"") && !out.contains("s3cr3t"), "{out}");
    // Plain http is not delivered to unless its range is opened: said immediately.
    std::fs::write(directory.path().join("http.json"), r#"[{"url": "http://10.0.0.1/", "events": ["*"]}]"#).unwrap();
    let (code, _, err) = run(directory.path(), &["import", "--from", "python", "http.json"]).await;
    assert!(code == 0 && err.contains("problem(s) to fix") && err.contains("`url` is refused"), "{err}");
    assert_eq!(run(directory.path(), &["import", "--from", "zapier", "export.json"]).await.0, 2);
}
