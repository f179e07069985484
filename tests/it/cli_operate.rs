//! The commands that operate a running server, as an operator runs them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cli::run;
use crate::harness::{Answer, Receiver, SECRET, Server, binary, head, webhook};

/// Runs a command against this server.
async fn at(server: &Server, args: &[&str]) -> (i32, String, String) {
    let more = ["--server", server.http().base.as_str(), "--token", server.http().token.as_str()];
    run(server.directory.path(), &[args, &more].concat()).await
}

/// Its standard output; panics when it fails.
#[track_caller]
fn good((code, out, err): (i32, String, String)) -> String {
    assert_eq!(code, 0, "{err}\n{out}");
    out
}

fn json(result: (i32, String, String)) -> Value {
    serde_json::from_str(&good(result)).unwrap()
}

#[tokio::test]
async fn a_plan_says_what_saving_the_file_would_change() {
    let receiver = Receiver::start().await;
    let config = head()
        + &webhook("stays", &receiver.url("/a"), r#"["a.*"]"#, "headers = { \"X-Key\" = \"one-long-credential-9b1c\" }")
        + &webhook("goes", &receiver.url("/b"), r#"["b.*"]"#, "");
    let server = Server::start(&config).await;
    let write = |name: &str, text: &str| std::fs::write(server.path(name), text).unwrap();
    assert_eq!(good(at(&server, &["plan"]).await), "No changes.\n");
    assert_eq!(json(at(&server, &["plan", "--json"]).await)["changes"], false);

    let next = head().replace("[network]", "max_event_size = \"2MiB\"\n[network]")
        + &webhook(
            "stays",
            &receiver.url("/a"),
            r#"["a.*", "c"]"#,
            "timeout = \"9s\"\nheaders = { \"X-Key\" = \"two-long-credential-9b1c\" }",
        )
        + &webhook("comes", &receiver.url("/c"), r#"["c.*"]"#, "");
    write("next.toml", &next);
    let out = good(at(&server, &["plan", "next.toml"]).await);
    for part in [
        "~ [server]\n    ~ max_event_size: \"1MiB\" → \"2MiB\"\n",
        "+ webhook comes\n    url: ",
        "~ webhook stays\n    ~ events: [\"a.*\"] → [\"a.*\",\"c\"]\n    ~ timeout: \"5s\" → \"9s\"\n",
        "- webhook goes  (nothing waits for it)\n",
        "Plan: 1 webhook to add, 1 to change, 1 to remove; 1 setting to change.\n",
    ] {
        assert!(out.contains(part), "no {part:?} in\n{out}");
    }
    assert!(!out.contains("credential") && !out.contains(&SECRET[10..]), "{out}");
    let plan = json(at(&server, &["plan", "next.toml", "--json"]).await);
    assert_eq!(plan["webhooks"]["changed"]["stays"][1]["after"], "9s");
    assert_eq!(plan["webhooks"]["removed"][0]["waiting"], 0);
    assert_eq!(at(&server, &["plan", "next.toml", "--exit-code"]).await.0, 1);

    // Between files, what is hidden is compared too.
    let (code, out, _) = run(server.directory.path(), &["plan", "next.toml", "--against", "config.toml"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("~ headers: another value (the shown part is equal)"), "{out}");
    write("bad.toml", "[webhooks.x]\nevnts = 1\n");
    let (code, _, err) = at(&server, &["plan", "bad.toml"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("did you mean `events`?") && err.contains("would be rejected"), "{err}");

    server.reconfigure(&next).await;
    assert_eq!(good(at(&server, &["plan"]).await), "No changes.\n");
    write("comment.toml", &format!("{next}# nothing\n"));
    assert!(good(at(&server, &["plan", "comment.toml"]).await).contains("Nothing that can be shown changes"));
}

#[tokio::test]
async fn deliveries_and_events_are_listed_shown_and_retried() {
    let receiver = Receiver::start().await;
    let config = head()
        + &webhook("w", &receiver.url("/w"), r#"["a.*"]"#, "retry = { max_retries = 0 }")
        + &webhook("other", &receiver.url("/o"), r#"["z"]"#, "");
    let server = Server::start(&config).await;
    receiver.answer_next(
        "/w",
        [Answer::With { status: 500, headers: vec![("x-why", "because".to_owned())], body: "oh no".to_owned() }],
    );
    let event = server.publish("a.b", "{\"n\":1}").await;
    let delivery = server.delivery_in(&event, "failed").await;
    let id = delivery["id"].as_str().unwrap();

    let list =
        good(at(&server, &["deliveries", "list", "--state", "failed", "--webhook", "w", "--type", "a.b", "--since", "1h"]).await);
    assert!(list.starts_with("CREATED ") && list.contains(id), "{list}");
    assert_eq!(good(at(&server, &["deliveries", "list", "--state", "cancelled"]).await), "no deliveries\n");
    let shown = good(at(&server, &["deliveries", "show", id]).await);
    for part in ["attempt 1  failed  500", "> POST http://", "> webhook-id: ", "\"n\": 1", "< x-why: because", "< oh no"] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    assert_eq!(json(at(&server, &["deliveries", "show", id, "--json"]).await)["attempts"][0]["status"], 500);

    let out = good(at(&server, &["deliveries", "retry", id]).await);
    assert!(out.contains(id), "{out}");
    server.delivery_in(&event, "succeeded").await;
    let (code, _, err) = at(&server, &["deliveries", "cancel", id]).await;
    assert_eq!(code, 1);
    assert!(err.contains("409") && err.contains("nothing left to cancel"), "{err}");
    let (code, _, err) = at(&server, &["deliveries", "cancel", "dlv_nothing", id]).await;
    assert_eq!(code, 1);
    assert!(err.contains("dlv_nothing: ") && err.contains(&format!("{id}: ")), "{err}");

    let events = good(at(&server, &["events", "list", "--type", "a.b"]).await);
    assert!(events.contains(&event) && events.contains("1 succeeded"), "{events}");
    let shown = good(at(&server, &["events", "show", &event]).await);
    assert!(shown.contains("\"n\": 1") && shown.contains("other  ") && shown.contains("did not match"), "{shown}");

    let stats = good(at(&server, &["stats", "w"]).await);
    assert!(stats.contains("1 (1 succeeded)") && stats.contains("attempts      2, 1 failed"), "{stats}");
    assert_eq!(json(at(&server, &["stats", "--json"]).await)["deliveries"]["succeeded"], 1);
    let status = good(at(&server, &["status"]).await);
    assert!(status.contains("generation 1, 2 webhooks") && status.contains("0 pending"), "{status}");
    let (code, _, err) = at(&server, &["stats", "nothing"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("404"), "{err}");
}

#[tokio::test]
async fn webhooks_are_listed_with_their_line_and_without_their_secret() {
    let server = Server::start(&(head() + &webhook("w", "http://127.0.0.1:9/x", r#"["a.*"]"#, "transform = \"slack\""))).await;
    let list = good(at(&server, &["webhook", "list"]).await);
    assert!(list.contains("w   enabled  config.toml:5  a.*     slack"), "{list}");
    let shown = good(at(&server, &["webhook", "show", "w"]).await);
    assert!(shown.contains("timeout") && !shown.contains(SECRET), "{shown}");
    assert_eq!(good(at(&server, &["webhook", "secret", "w"]).await), format!("{SECRET}\n"));
    let (code, _, err) = at(&server, &["webhook", "edit", "w"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("nothing to change"), "{err}");
    let (code, _, err) =
        run(server.directory.path(), &["webhook", "list", "--url", &server.http().base, "--token", "wrong-token-of-nobody"])
            .await;
    assert_eq!(code, 1);
    assert!(err.contains("401") && err.contains("--token"), "{err}");
}

#[tokio::test]
async fn tail_shows_deliveries_as_they_happen_and_ends_when_told() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/w"), r#"["**"]"#, "retry = { max_retries = 0 }"))).await;
    let before = server.publish("a.before", "1").await;
    server.delivery_in(&before, "succeeded").await;
    let out = good(at(&server, &["tail", "--no-follow"]).await);
    assert!(out.contains("succeeded  w  a.before"), "{out}");
    assert_eq!(good(at(&server, &["tail", "--no-follow", "--type", "b.*"]).await), "");

    let mut tail = Command::new(binary())
        .args(["tail", "--type", "a.yes", "--json"])
        .env("TENTERHOOK_URL", &server.http().base)
        .env("TENTERHOOK_TOKEN", &server.http().token)
        .current_dir(server.directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    server.publish("b.no", "1").await;
    receiver.answer_next("/w", [Answer::Status(400)]);
    // Whichever of the two attempts got the 400, both deliveries end; only the one that is asked for is shown, whether
    // the command began before it or after.
    let event = server.publish("a.yes", "1").await;
    let last: Value = tokio::task::spawn_blocking(move || {
        loop {
            let row: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            assert_eq!(row["event_type"], "a.yes");
            if row["state"] == "succeeded" || row["state"] == "failed" {
                return row;
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(last["event_id"], event.as_str());
    assert_eq!(last["last_attempt"]["number"], 1);
    let pid = tail.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let status = tokio::task::spawn_blocking(move || tail.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn completions_manual_and_schema_are_made_without_a_server() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let out = good(run(directory.path(), &["completions", shell]).await);
        assert!(out.contains("tenterhook") && out.contains("deliveries"), "{shell}");
    }
    assert!(good(run(directory.path(), &["man"]).await).contains(".TH tenterhook 1"));
    good(run(directory.path(), &["man", "--out", "man"]).await);
    let pages = std::fs::read_dir(directory.path().join("man")).unwrap().count();
    assert!(pages > 25, "{pages} pages");
    let page = std::fs::read_to_string(directory.path().join("man/tenterhook-deliveries-list.1")).unwrap();
    assert!(page.contains("deliveries list"), "{page}");
    assert_eq!(run(directory.path(), &["completions", "tcsh"]).await.0, 2);
}

/// `tenterhook schema | head -1`.
#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let status = tokio::task::spawn_blocking(|| {
        let mut child = Command::new(binary()).arg("schema").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        (output.status, String::from_utf8(output.stderr).unwrap())
    });
    let (status, err) = status.await.unwrap();
    assert!(status.success() && err.is_empty(), "{status}: {err}");
}

#[tokio::test]
async fn a_webhook_lives_its_whole_life_from_the_command_line() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("file", &receiver.url("/f"), r#"["z"]"#, ""))).await;
    let url = receiver.url("/w");
    let args = ["webhook", "create", "w", "--type", "order.*", "--url", &url, "--timeout", "3s", "--max-retries", "0", "--json"];
    let made = json(at(&server, &args).await);
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"), "{made}");
    assert_eq!((&made["timeout"], &made["origin"]), (&"3s".into(), &"api".into()));
    assert!(good(at(&server, &["webhook", "list"]).await).contains("w     enabled  api "));
    let edited = json(at(&server, &["webhook", "edit", "w", "--timeout", "4s", "--set", "metadata.team=sre", "--json"]).await);
    assert_eq!((&edited["timeout"], &edited["metadata"]["team"]), (&"4s".into(), &"sre".into()));
    let (code, _, err) = at(&server, &["webhook", "edit", "w", "--timeout", "soon"]).await;
    assert!(code == 1 && err.contains("/timeout: `timeout` is not a duration"), "{err}");
    let (code, _, err) = at(&server, &["webhook", "edit", "file", "--timeout", "1s"]).await;
    assert!(code == 1 && err.contains("config.toml") && err.contains("line 5"), "{err}");

    let tested = good(at(&server, &["test", "w"]).await);
    assert!(tested.starts_with("order.test to w") && tested.contains("attempt 1  succeeded  200"), "{tested}");
    receiver.answer_next("/w", [Answer::Status(500)]);
    assert_eq!(at(&server, &["test", "w", "--data", "1"]).await.0, 1);

    let before = good(at(&server, &["webhook", "secret", "w"]).await);
    let after = good(at(&server, &["webhook", "rotate", "w", "--overlap", "1h"]).await);
    assert!(
        after.starts_with("whsec_") && after.lines().next() != before.lines().next() && after.contains("signs too until"),
        "{after}"
    );
    assert_eq!(good(at(&server, &["webhook", "disable", "w", "--reason", "noon"]).await), "w  disabled\n");
    assert_eq!(good(at(&server, &["webhook", "enable", "w"]).await), "w  enabled\n");

    receiver.answer_next("/w", [Answer::Status(400)]);
    let event = server.publish("order.created", "{\"n\":1}").await;
    server.delivery_in(&event, "failed").await;
    let preview =
        good(at(&server, &["replay", "w", "--since", "1h", "--state", "failed", "--type", "order.created", "--dry-run"]).await);
    assert!(preview.starts_with("1 deliveries would be sent to w again\n"), "{preview}");
    let done =
        good(at(&server, &["replay", "w", "--since", "1h", "--state", "failed", "--type", "order.created", "--yes"]).await);
    assert!(done.starts_with("replay succeeded  1 of 1  job_"), "{done}");
    server.delivery_in(&event, "succeeded").await;
    assert!(good(at(&server, &["jobs", "list"]).await).contains("replay  succeeded  1     1"));

    let types = good(at(&server, &["events", "types"]).await);
    assert!(types.contains("order.created  1 "), "{types}");
    let status = good(at(&server, &["status"]).await);
    assert!(status.contains("\nWebhooks\n") && status.contains("w        enabled"), "{status}");
    let tables = good(at(&server, &["export", "--secrets", "inline"]).await);
    assert!(
        tables.contains("[webhooks.w]\n") && !tables.contains("concurrency") && tables.contains(after.lines().next().unwrap()),
        "{tables}"
    );

    let (code, _, err) = at(&server, &["erase", "--metadata", "tenterhook_test=true"]).await;
    assert!(code == 1 && err.contains("2 events will be erased"), "{err}");
    let erased = good(at(&server, &["erase", "--metadata", "tenterhook_test=true", "--yes"]).await);
    assert!(erased.starts_with("erase succeeded  2 of 2"), "{erased}");
    assert_eq!(good(at(&server, &["webhook", "delete", "w"]).await), "w deleted\n");
    let audit = good(at(&server, &["audit", "-n", "250"]).await);
    for part in ["DELETE  /v1/webhooks/w ", "PATCH   /v1/webhooks/w ", "GET     /v1/webhooks/w/secret", "POST    /v1/erase"] {
        assert!(audit.contains(part), "no {part:?} in\n{audit}");
    }
    let reloaded = good(at(&server, &["reload"]).await);
    assert!(reloaded.contains("1 webhooks"), "{reloaded}");
}
