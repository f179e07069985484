//! Which server a command talks to, as whom, and what it sends there.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cli::run;
use crate::harness::{Answer, Receiver, SECRET, Server, head, webhook};

fn written(config: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    directory
}

fn answer(status: u16, body: impl ToString) -> Answer {
    Answer::With { status, headers: vec![("content-type", "application/json".to_owned())], body: body.to_string() }
}

fn token(name: &str, more: &str) -> String {
    format!("[tokens.{name}]\ntoken = \"{name}-0123456789abcdef\"\nscopes = [\"manage\", \"publish\"]\n{more}\n")
}

#[tokio::test]
async fn a_command_finds_the_local_server_and_its_token_on_any_port() {
    let server = Server::start(&head()).await;
    let (code, out, err) = run(server.directory.path(), &["send", "a.b"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("0 deliveries") && err.contains("no webhook matches it"), "{out}{err}");
    let directory = server.stop().await;
    assert!(!directory.path().join("data/server.json").exists());
    let (code, _, err) = run(directory.path(), &["stats"]).await;
    assert!(code == 1 && err.contains("is it running?"), "{err}");
}

#[tokio::test]
async fn commands_work_whatever_else_is_wrong_with_the_configuration() {
    let receiver = Receiver::start().await;
    let config = head() + &webhook("a", &receiver.url("/a"), r#"["*"]"#, "");
    let server = Server::start(&config).await;
    for broken in [
        format!("{config}\n[webhooks.slack]\nurl = \"${{SLACK_URL_OF_THE_SERVICE}}\"\nevents = [\"*\"]\n"),
        config.replace("events", "evnts"),
        format!("{config}\n[webhooks.b\n"),
    ] {
        std::fs::write(server.path("config.toml"), &broken).unwrap();
        server
            .eventually("the reload is rejected", async || !server.http().get("/v1/config").await.1["last_error"].is_null())
            .await;
        let (code, out, err) = run(server.directory.path(), &["status"]).await;
        assert!(
            code == 0 && out.contains("the last reload was rejected") && out.contains("config.toml:"),
            "{broken}\n{out}{err}"
        );
        assert_eq!(run(server.directory.path(), &["send", "a.b"]).await.0, 0, "{broken}");
    }
}

#[tokio::test]
async fn a_token_whose_variable_is_not_set_is_named() {
    let directory = written(
        "[server]\nlisten = \"127.0.0.1:1\"\n[tokens.admin]\ntoken = \"${TOKEN_OF_THE_SERVICE}\"\nscopes = [\"manage\"]\n",
    );
    let api = Receiver::start().await;
    let text = std::fs::read_to_string(directory.path().join("config.toml")).unwrap();
    std::fs::write(directory.path().join("config.toml"), text.replace("127.0.0.1:1", &api.address.to_string())).unwrap();
    api.answer_always("/v1/stats", answer(401, json!({"detail": "a token is needed"})));
    let (code, _, err) = run(directory.path(), &["stats"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("`TOKEN_OF_THE_SERVICE` is not set") && err.contains("set it in this shell"), "{err}");
}

#[tokio::test]
async fn a_local_token_is_sent_to_no_other_server() {
    let server = Server::start(&head()).await;
    let other = Receiver::start().await;
    other.answer_always("/", answer(401, json!({"detail": "who are you"})));
    let url = other.url("");
    for args in [
        vec!["stats", "--url", &url],
        vec!["send", "a.b", "--url", &url],
        vec!["events", "list", "--server", &url],
        vec!["tail", "--url", &url],
        vec!["plan", "--url", &url],
        vec!["webhook", "create", "--type", "*", "--url", "https://a.example/", "--server", &url],
    ] {
        let (code, _, err) = run(server.directory.path(), &args).await;
        assert_eq!(code, 1, "{args:?}");
        assert!(err.contains("401") || err.contains("who are you"), "{args:?}: {err}");
    }
    let (_, _, err) = run(server.directory.path(), &["stats", "--url", &url]).await;
    assert!(err.contains("no token was sent") && err.contains("give a token with --token"), "{err}");
    let received = other.received("/");
    assert!(received.len() >= 6, "{}", received.len());
    for request in received {
        assert!(!request.headers.contains_key("authorization"), "{} {:?}", request.path, request.headers);
    }
    let own = server.http().base.clone();
    assert_eq!(run(server.directory.path(), &["stats", "--url", &own]).await.0, 0, "its own URL");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_takes_no_token_along() {
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    let to = Answer::With { status: 307, headers: vec![("location", second.url("/v1/stats"))], body: String::new() };
    first.answer_always("/", to);
    let directory = tempfile::tempdir().unwrap();
    let (code, _, err) = run(directory.path(), &["stats", "--url", &first.url(""), "--token", "t0ps3cret"]).await;
    assert!(code == 1 && err.contains("307") && err.contains("redirects are not followed"), "{err}");
    assert!(second.received("/").is_empty());
}

#[tokio::test]
async fn a_server_wide_token_is_taken_before_a_tenants() {
    let receiver = Receiver::start().await;
    let ops = webhook("ops", &receiver.url("/ops"), r#"["**"]"#, "");
    let acme = webhook("acme", &receiver.url("/acme"), r#"["**"]"#, "tenant = \"acme\"");
    let server = Server::start(&(head() + &token("zz-admin", "") + &token("acme", "tenant = \"acme\"") + &ops + &acme)).await;
    let (code, out, err) = run(server.directory.path(), &["send", "a.b", "--json"]).await;
    assert!(code == 0 && err.is_empty(), "{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["deliveries"], 1);
    receiver.wait_for("/ops", 1).await;
    assert!(receiver.received("/acme").is_empty());
}

#[tokio::test]
async fn who_acts_as_a_tenant_is_told_so() {
    let server = Server::start(&(head() + &token("acme", "tenant = \"acme\""))).await;
    let (code, out, err) = run(server.directory.path(), &["send", "a.b"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("acting as tenant acme (token acme)"), "{err}");
    assert!(out.contains("tenant acme"), "{out}");
    assert!(err.contains("no webhook of the tenant acme matches it"), "{err}");
    let (_, out, err) = run(server.directory.path(), &["send", "a.b", "--token", "acme-0123456789abcdef"]).await;
    assert!(out.contains("tenant acme") && !err.contains("acting as"), "{out}{err}");
}

/// Legal JSON that serde does not hold; older versions accepted it.
const UNHOLDABLE: [&str; 4] = [r#"{"text":"cut \ud83d"}"#, r#"{"n":1e400}"#, r#"{"\udc00":[]}"#, r#"[-1e999]"#];

#[tokio::test]
async fn events_of_older_stores_are_listed_and_shown_whatever_their_data() {
    let api = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let at = async |args: &[&str]| run(directory.path(), &[args, &["--server", &api.url(""), "--token", "t0k3n"]].concat()).await;
    for data in UNHOLDABLE {
        let event = format!(
            r#"{{"data":{data},"deliveries":[{{"id":"dlv_1","state":"succeeded","webhook":"w"}}],"id":"evt_1","metadata":null,"received_at":"2026-01-28T10:30:45.012Z","tenant":null,"timestamp":"2026-01-28T10:30:45.000Z","type":"a.b","unmatched":[]}}"#
        );
        api.answer_always("/v1/events", answer(200, format!(r#"{{"data":[{event}],"next":null}}"#)));
        api.answer_next("/v1/events/evt_1", [answer(200, &event), answer(200, &event)]);
        let (code, out, err) = at(&["events", "show", "evt_1", "--json"]).await;
        assert_eq!((code, out.trim_end()), (0, event.as_str()), "{err}");
        let (code, out, err) = at(&["events", "show", "evt_1"]).await;
        assert!(code == 0 && out.contains("a.b") && out.contains("succeeded") && !out.contains("data\nnull"), "{out}{err}");
        let (code, out, err) = at(&["events", "list"]).await;
        assert!(code == 0 && out.contains("evt_1"), "{out}{err}");
        let (code, out, _) = at(&["events", "list", "--json"]).await;
        assert_eq!((code, out.trim_end()), (0, format!(r#"{{"data":[{event}]}}"#).as_str()));
    }
    api.answer_next("/v1/events/evt_2", [answer(200, "no JSON")]);
    let (code, _, err) = at(&["events", "show", "evt_2"]).await;
    assert!(code == 1 && err.contains("is no event"), "{err}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_said_to_be_none() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("orders", &receiver.url("/o"), r#"["order.*"]"#, ""))).await;
    server.publish("order.created", "1").await;
    server.publish("order.paid", "2").await;
    server.publish("other.thing", "3").await;
    receiver.wait_for("/o", 2).await;
    let at = async |args: &[&str]| run(server.directory.path(), args).await;
    for args in [["tail", "--webhook", "ordres"], ["deliveries", "list", "--webhook=ordres"]] {
        let (code, _, err) = at(&args).await;
        assert!(code == 1 && err.contains("there is no webhook `ordres`"), "{args:?}: {err}");
    }
    let (code, _, err) = at(&["tail", "--no-follow", "--type", "ordre.*"]).await;
    assert!(code == 0 && err.contains("no event type that was declared or seen matches `ordre.*`"), "{err}");
    let (_, out, _) = at(&["events", "list", "--type", "order.*", "--json"]).await;
    let kinds: Vec<String> = serde_json::from_str::<Value>(&out).unwrap()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["order.paid", "order.created"], "newest first");
    let (_, out, _) = at(&["deliveries", "list", "--type", "order.**", "-n", "1", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["data"][0]["event_type"], "order.paid");
    let (code, out, err) = at(&["deliveries", "show", "--last", "--json"]).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["event_type"], "order.paid");
    assert_eq!(at(&["deliveries", "show"]).await.0, 2);
}

#[tokio::test]
async fn the_public_key_of_an_ed25519_webhook_is_shown_alone() {
    let receiver = Receiver::start().await;
    let key = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    let ed = webhook("ed", &receiver.url("/"), r#"["*"]"#, "").replace(SECRET, key);
    let server = Server::start(&(head() + &ed + &webhook("plain", &receiver.url("/"), r#"["*"]"#, ""))).await;
    let (code, out, err) = run(server.directory.path(), &["webhook", "secret", "ed", "--public"]).await;
    assert!(code == 0 && out.starts_with("whpk_") && out.lines().count() == 1, "{out}{err}");
    let (code, _, err) = run(server.directory.path(), &["webhook", "secret", "plain", "--public"]).await;
    assert!(code == 1 && err.contains("has no public key"), "{err}");
}

#[tokio::test]
async fn a_first_configuration_is_written_once_and_the_server_runs_on_it() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let (code, out, err) = run(directory.path(), &["init"]).await;
    assert!(code == 0 && out.contains("tenterhook listen"), "{out}{err}");
    assert_eq!(run(directory.path(), &["check"]).await.0, 0);
    let (code, _, err) = run(directory.path(), &["init"]).await;
    assert!(code == 1 && err.contains("is there already"), "{err}");
    let path = directory.path().join("config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(":8080", ":0")).unwrap();
    let server = Server::start_in(Arc::clone(&directory)).await;
    assert_eq!(run(directory.path(), &["send", "a.b", "--data", "1"]).await.0, 0);
    server.stop().await;
}

#[tokio::test]
async fn the_demo_ends_when_nobody_reads_its_output() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};
    let play = tokio::task::spawn_blocking(|| {
        let mut demo = Command::new(crate::harness::binary())
            .args(["demo", "--once"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(demo.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut said = String::new();
        demo.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (demo.wait().unwrap(), line, said)
    });
    let (status, line, said) = tokio::time::timeout(crate::harness::PATIENCE, play).await.expect("it ends").unwrap();
    assert!(status.success() && !line.is_empty(), "{status} {line}");
    assert!(said.matches("connection").count() < 10, "{said}");
}

#[tokio::test]
async fn a_test_takes_a_declared_type_and_data_of_its_schema() {
    let receiver = Receiver::start().await;
    let schema = r#"{ type = "object", required = ["total"], properties = { total = { type = "number", minimum = 5 } } }"#;
    let declared = format!("[event_types.\"order.paid\"]\nschema = {schema}\n");
    let server = Server::start(&(head() + &declared + &webhook("w", &receiver.url("/w"), r#"["order.*"]"#, ""))).await;
    let (code, out, err) = run(server.directory.path(), &["test", "w"]).await;
    assert!(code == 0 && out.starts_with("order.paid to w"), "{out}{err}");
    assert_eq!(receiver.received("/w")[0].json()["data"], json!({"total": 5}));
}
