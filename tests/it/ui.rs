//! The web UI in a real browser: `tests/ui/walk.mjs` does what a person does, against a whole server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tenterhook::app::{App, AppOptions};
use tenterhook::clock::Clock;
use tenterhook::model::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::harness::{Receiver, Server, head, webhook};

/// The walk takes some 40 s alone; with every other test on two cores it takes longer.
const WALK_TIME_MAX: Duration = Duration::from_secs(240);

/// The pictures' day: 23 jumps of an hour, and what is left goes by while they are made.
const DAY_MILLIS: i64 = 23 * 3_600_000;
const TICK: Duration = Duration::from_millis(10);

const ADMIN: &str = "ui-admin-token-0123456789abcdef";
const VIEWER: &str = "ui-viewer-token-0123456789abcdef";

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui")
}

/// `false`, loudly, where there is no browser and none can be installed.
fn is_installed() -> bool {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui");
    let output = Command::new("bash").arg(tools().join("install")).arg(directory).output().expect("bash is there");
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(std::env::var_os("CI").is_none(), "the browser cannot be installed, and CI must have it:\n{said}");
        eprintln!("\n!!! SKIPPED: no browser, the web UI was NOT walked through:\n{said}\n");
    }
    output.status.success()
}

/// Runs a script of `tests/ui` with these variables, at most for so long.
async fn run(script: &str, variables: &[(&str, String)]) -> Output {
    let mut node = tokio::process::Command::new("node");
    node.arg(tools().join(script)).envs(variables.iter().map(|(name, value)| (name, value))).kill_on_drop(true);
    tokio::time::timeout(WALK_TIME_MAX, node.output())
        .await
        .unwrap_or_else(|_| panic!("{script} takes longer than {WALK_TIME_MAX:?}"))
        .expect("node is there")
}

fn tokens() -> String {
    format!(
        "[tokens.admin]\ntoken = \"{ADMIN}\"\nscopes = [\"manage\"]\n[tokens.viewer]\ntoken = \"{VIEWER}\"\nscopes = [\"read\"]\n"
    )
}

/// Walks with a script through the UI of a server that has this configuration.
async fn walk(script: &str, config: &str) {
    if !tokio::task::spawn_blocking(is_installed).await.unwrap() {
        return;
    }
    let server = Server::start(config).await;
    let output = run(
        script,
        &[
            ("BASE", format!("http://{}", server.address)),
            ("TOKEN", ADMIN.to_owned()),
            ("READ_TOKEN", VIEWER.to_owned()),
            ("CONFIG", server.path("config.toml").display().to_string()),
        ],
    )
    .await;
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_acceptance_scenarios_work_in_a_browser() {
    let receiver = Receiver::start().await;
    let declared = webhook("declared", &receiver.url("/declared"), r#"["order.*"]"#, "transform = \"slack\"");
    walk("walk.mjs", &(head() + &tokens() + &declared)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_charts_states_and_changes_are_what_they_are_to_be() {
    walk("craft.mjs", &(head() + &tokens())).await;
}

/// Ten thousand webhooks, and five thousand deliveries: what is in the page stays small.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_rows_are_a_few_dozen_in_the_page() {
    let receiver = Receiver::start().await;
    let mut config = head() + &tokens() + &webhook("a-log", &receiver.url("/log"), r#"["log.*"]"#, "");
    for number in 1..10_000 {
        let id = format!("hook-{number:05}");
        config += &webhook(&id, &receiver.url(&format!("/{id}")), r#"["order.created", "order.paid", "stock.*"]"#, "");
    }
    walk("many.mjs", &config).await;
}

#[tokio::test]
async fn the_page_and_its_files_are_guarded_compressed_and_cached() {
    let server = Server::start(&head()).await;
    let get = async |path: &str, headers: &[(&str, &str)]| server.http().raw("GET", path, headers, bytes::Bytes::new()).await;
    let html = [("accept", "text/html,application/xhtml+xml;q=0.9")];
    for path in ["/", "/webhooks", "/webhooks/ops", "/deliveries/dlv_1", "/events", "/transformers/slack", "/config"] {
        let (status, headers, body) = get(path, &html).await;
        assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "text/html; charset=utf-8"), "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["cache-control"], "no-cache");
        assert!(body.starts_with(b"<!doctype html>"), "{path}");
    }
    // Who is no browser reads a few words.
    let (_, headers, body) = get("/", &[("accept", "*/*")]).await;
    assert!(body.starts_with(b"Tenterhook "), "{headers:?}");

    let (_, _, page) = get("/", &html).await;
    let page = String::from_utf8(page.to_vec()).unwrap();
    let script = page.split('"').find(|text| text.ends_with("/app.js")).unwrap().to_owned();
    let (status, headers, plain) = get(&script, &[]).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "text/javascript; charset=utf-8"));
    assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
    let (_, zipped, packed) = get(&script, &[("accept-encoding", "br, gzip")]).await;
    assert_eq!(zipped["content-encoding"], "gzip");
    assert!(packed.len() * 2 < plain.len(), "{} of {}", packed.len(), plain.len());
    let tag = headers["etag"].to_str().unwrap();
    assert_eq!(get(&script, &[("if-none-match", tag)]).await.0, 304);
    assert_eq!(get(&script, &[("if-none-match", "\"other\"")]).await.0, 200);
    assert_eq!(get(&script.replace("app.js", "none.js"), &[]).await.0, 404);
    assert_eq!(get("/ui/0123456789abcdef/app.js", &[]).await.0, 404);
}

/// Writes `docs/pictures`. Run it when the pages have changed: `cargo test --test it -- --ignored pictures`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes the README's pictures; judges nothing"]
async fn pictures() {
    assert!(tokio::task::spawn_blocking(is_installed).await.unwrap());
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
    std::fs::create_dir_all(&pictures).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    let tokens = format!("[tokens.admin]\ntoken = \"{ADMIN}\"\nscopes = [\"manage\"]\n");
    std::fs::write(&config, head() + &tokens).unwrap();
    let start = Timestamp::from_millis(Clock::System.now().as_millis() - DAY_MILLIS);
    let clock = Clock::stopped_at(start);
    let app = App::start(AppOptions { config: config.clone(), listen: None, clock: clock.clone() }).await.unwrap();
    let base = format!("http://{}", app.address());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(app.run(async { stopped.await.unwrap_or(()) }));
    let ticking = tokio::spawn(tick(clock.clone()));

    let mut node = tokio::process::Command::new("node")
        .arg(tools().join("pictures.mjs"))
        .envs([("BASE", base.as_str()), ("TOKEN", ADMIN), ("TOKENS", tokens.as_str())])
        .envs([("CONFIG", &config), ("PICTURES", &pictures)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut ask, answer) = (node.stdin.take().unwrap(), node.stdout.take().unwrap());
    let mut lines = BufReader::new(answer).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(seconds) = line.strip_prefix("advance ") {
            clock.advance(Duration::from_secs(seconds.parse().unwrap()));
            ask.write_all(b"advanced\n").await.unwrap();
        } else {
            println!("{line}");
        }
    }
    let ended = node.wait().await.unwrap();
    ticking.abort();
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert!(ended.success());
}

/// Real time goes on between the jumps of a clock that stands still by itself.
async fn tick(clock: Clock) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        clock.advance(TICK);
    }
}
