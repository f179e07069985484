//! Files that are being written, or away for a moment: nothing of that goes live. A configuration that lacks a webhook, a
//! token or a file is valid, and believed only when it lasts.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};

use crate::harness::{Answer, Http, Receiver, Server, head, webhook};

const TOKEN: &str = "[tokens.p]\ntoken = \"a-token-for-everything\"\nscopes = [\"manage\"]\n";

/// What a writer does with a file, and for how many milliseconds it pauses in the middle.
#[derive(Debug, Clone, Copy)]
enum Disturbance {
    /// As `(sleep 1; cat new) > FILE` in a shell.
    EmptiedFirst(&'static str, u64),
    /// As a copy over a slow line: everything before this text, and the rest later.
    StopsBefore(&'static str, &'static str, u64),
    /// A first writer leaves what is before this text, and closes; the next one writes it all.
    CutThenWritten(&'static str, &'static str, u64),
    /// Renamed away and back.
    Away(&'static str, u64),
}

use Disturbance::{Away, CutThenWritten, EmptiedFirst, StopsBefore};

/// The pause is the case itself: nothing is awaited with it.
async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

impl Disturbance {
    async fn run(self, directory: &Path) {
        let read = |file: &str| fs::read(directory.join(file)).unwrap();
        // An empty text stands for nothing at all.
        let position = |text: &[u8], until: &str| match until {
            "" => 0,
            until => text.windows(until.len()).position(|part| part == until.as_bytes()).unwrap(),
        };
        match self {
            EmptiedFirst(file, millis) => {
                let text = read(file);
                let mut written = File::create(directory.join(file)).unwrap();
                pause(millis).await;
                written.write_all(&text).unwrap();
            }
            StopsBefore(file, until, millis) => {
                let text = read(file);
                let (first, rest) = text.split_at(position(&text, until));
                let mut written = File::create(directory.join(file)).unwrap();
                written.write_all(first).unwrap();
                pause(millis).await;
                written.write_all(rest).unwrap();
            }
            CutThenWritten(file, until, millis) => {
                let text = read(file);
                fs::write(directory.join(file), &text[..position(&text, until)]).unwrap();
                pause(millis).await;
                fs::write(directory.join(file), &text).unwrap();
            }
            Away(path, millis) => {
                let elsewhere = directory.join("elsewhere");
                fs::rename(directory.join(path), &elsewhere).unwrap();
                pause(millis).await;
                fs::rename(&elsewhere, directory.join(path)).unwrap();
            }
        }
    }
}

/// Webhooks in config.toml and in an included file, a secret, a schema and a module of their own.
fn write_files(directory: &Path, receiver: &Receiver) {
    let retry = "retry = { schedule = [\"1h\"], jitter = 0 }";
    let with = |id: &str, more: &str| webhook(id, &receiver.url(&format!("/{id}")), r#"["*"]"#, &format!("{retry}\n{more}"));
    let sealed = with("sealed", "signature = \"sha256\"").replace(crate::harness::SECRET, "${file:secret}");
    let transformed = with("transformed", "transform = \"mine\"");
    let types = "[event_types.\"a.b\"]\nschema = \"schema.json\"\n";
    let main = format!("include = [\"webhooks.d/*.toml\"]\n{}{TOKEN}{types}{sealed}{transformed}{}", head(), with("last", ""));
    fs::write(directory.join("config.toml"), main).unwrap();
    fs::create_dir(directory.join("webhooks.d")).unwrap();
    fs::write(directory.join("webhooks.d/one.toml"), with("included", "")).unwrap();
    fs::write(directory.join("secret"), "a-secret-of-some-letters\n").unwrap();
    fs::write(directory.join("schema.json"), r#"{"type": "integer"}"#).unwrap();
    fs::create_dir(directory.join("transformers")).unwrap();
    fs::write(directory.join("transformers/mine.wasm"), tenterhook::transform::prebuilt("envelope").unwrap()).unwrap();
}

const WEBHOOKS: [&str; 4] = ["included", "last", "sealed", "transformed"];

/// Publishes until told to stop; every event must find every webhook.
async fn publish(http: Http, stop: Arc<AtomicBool>) -> usize {
    let mut published = 0;
    while !stop.load(Ordering::Relaxed) {
        let (status, answer) = http.post("/v1/events", format!(r#"{{"type":"a.b","data":{published}}}"#)).await;
        assert_eq!((status, answer["deliveries"].as_u64()), (202, Some(WEBHOOKS.len() as u64)), "event {published}: {answer}");
        published += 1;
        // As a producer does that has other work, too.
        pause(10).await;
    }
    published
}

/// Every event during the disturbance reaches every webhook, what waits goes on waiting, and no configuration goes live.
async fn changes_nothing(disturbance: Disturbance) {
    let name = format!("{disturbance:?}");
    let receiver = Receiver::start().await;
    receiver.answer_next("/", vec![Answer::Status(503); WEBHOOKS.len()]);
    let directory = Arc::new(tempfile::tempdir().unwrap());
    write_files(directory.path(), &receiver);
    let mut server = Server::start_in(Arc::clone(&directory)).await;
    server.set_token("a-token-for-everything");
    let waiting = server.publish("a.b", "1").await;
    server
        .eventually("all wait for a retry", async || {
            let (_, event) = server.http().get(&format!("/v1/events/{waiting}")).await;
            event["deliveries"].as_array().is_some_and(|all| all.iter().all(|delivery| delivery["state"] == "retrying"))
        })
        .await;
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn(publish(server.http().clone(), Arc::clone(&stop)));
    disturbance.run(directory.path()).await;
    // Live after the disturbance: whatever came before would have been an earlier generation.
    let added = webhook("added", &receiver.url("/added"), r#"["c.d"]"#, "");
    fs::write(directory.path().join("webhooks.d/two.toml"), added).unwrap();
    server.wait_for_generation(2).await;
    stop.store(true, Ordering::Relaxed);
    let published = publisher.await.unwrap();
    let (_, config) = server.http().get("/v1/config").await;
    assert_eq!((&config["generation"], &config["webhooks"]), (&2.into(), &5.into()), "{name}: {config}");
    assert!(config["last_error"].is_null(), "{name}: {config}");
    let (_, _, metrics) = server.http().raw("GET", "/metrics", &[], bytes::Bytes::new()).await;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    assert!(metrics.contains("tenterhook_config_reloads_total{outcome=\"rejected\"} 0"), "{name}: nothing was refused");
    for id in WEBHOOKS {
        receiver.wait_for(&format!("/{id}"), published + 1).await;
    }
    let (_, event) = server.http().get(&format!("/v1/events/{waiting}")).await;
    for delivery in event["deliveries"].as_array().unwrap() {
        assert_eq!(delivery["state"], "retrying", "{name}: {event}");
        let id = delivery["id"].as_str().unwrap();
        server.http().post(&format!("/v1/deliveries/{id}/retry"), "").await;
        server
            .eventually("delivered", async || server.http().get(&format!("/v1/deliveries/{id}")).await.1["state"] == "succeeded")
            .await;
    }
    server.stop().await;
}

async fn change_nothing<const N: usize>(disturbances: [Disturbance; N]) {
    LocalSet::new()
        .run_until(async {
            let mut cases = JoinSet::new();
            for disturbance in disturbances {
                cases.spawn_local(changes_nothing(disturbance));
            }
            while let Some(ended) = cases.join_next().await {
                ended.unwrap();
            }
        })
        .await;
}

#[tokio::test]
async fn a_file_emptied_before_it_is_written_changes_nothing() {
    change_nothing([
        EmptiedFirst("config.toml", 300),
        EmptiedFirst("config.toml", 1200),
        // Longer than the time between two readings that have to agree.
        EmptiedFirst("config.toml", 4000),
        EmptiedFirst("webhooks.d/one.toml", 1200),
        EmptiedFirst("secret", 1200),
        EmptiedFirst("schema.json", 1200),
        EmptiedFirst("transformers/mine.wasm", 1200),
    ])
    .await;
}

#[tokio::test]
async fn a_writer_that_pauses_in_the_middle_changes_nothing() {
    change_nothing([
        StopsBefore("config.toml", "[tokens", 1000),
        StopsBefore("config.toml", "[event_types", 1000),
        StopsBefore("config.toml", "[webhooks.last]", 400),
        StopsBefore("config.toml", "[webhooks.last]", 1000),
        StopsBefore("config.toml", "[webhooks.last]", 3500),
        StopsBefore("config.toml", "transform = ", 1000),
        StopsBefore("config.toml", "jitter", 1000),
    ])
    .await;
}

#[tokio::test]
async fn a_file_cut_by_one_writer_and_written_by_the_next_changes_nothing() {
    change_nothing([
        CutThenWritten("config.toml", "", 1000),
        CutThenWritten("config.toml", "[webhooks.last]", 1000),
        CutThenWritten("webhooks.d/one.toml", "", 1000),
    ])
    .await;
}

#[tokio::test]
async fn a_file_or_directory_that_is_away_for_a_moment_changes_nothing() {
    change_nothing([
        Away("config.toml", 1000),
        Away("webhooks.d/one.toml", 400),
        Away("webhooks.d/one.toml", 1000),
        Away("webhooks.d", 400),
        Away("webhooks.d", 1000),
        Away("secret", 1000),
        Away("schema.json", 1000),
        Away("transformers/mine.wasm", 1000),
        Away("transformers", 1000),
    ])
    .await;
}

/// What the file of a webhook that is being added says until it is closed is not what it will say.
#[tokio::test]
async fn a_webhook_that_is_being_added_goes_live_whole() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("old", &receiver.url("/old"), r#"["*"]"#, ""))).await;
    let added = webhook("added", &receiver.url("/added"), r#"["*"]"#, "filter.data = 2");
    let (first, rest) = added.split_at(added.find("filter").unwrap());
    // Answered by the loop that watches: from here on it knows who writes.
    assert_eq!(server.http().post("/v1/config/reload", "").await.0, 200);
    let mut file = File::options().append(true).open(server.path("config.toml")).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    for _ in 0..20 {
        server.publish("a.b", "1").await;
        pause(50).await;
    }
    file.write_all(rest.as_bytes()).unwrap();
    drop(file);
    server.wait_for_generation(2).await;
    server.publish("a.b", "2").await;
    assert_eq!(receiver.wait_for("/added", 1).await[0].json()["data"], 2);
    receiver.wait_for("/old", 21).await;
    assert_eq!(receiver.received("/added").len(), 1);
}

#[tokio::test]
async fn a_removal_that_lasts_goes_live_and_a_request_does_not_wait() {
    let receiver = Receiver::start().await;
    let with = |ids: &[&str]| ids.iter().fold(head(), |text, id| text + &webhook(id, &receiver.url("/in"), r#"["*"]"#, ""));
    let server = Server::start(&with(&["a", "b", "c"])).await;
    let started = std::time::Instant::now();
    server.reconfigure(&with(&["a", "b"])).await;
    assert!(started.elapsed() >= Duration::from_secs(3), "{:?}", started.elapsed());
    fs::write(server.path("config.toml"), with(&["a"])).unwrap();
    let (status, config) = server.http().post("/v1/config/reload", "").await;
    assert_eq!((status, &config["webhooks"]), (200, &1.into()), "{config}");
    fs::write(server.path("config.toml"), "").unwrap();
    let (status, problem) = server.http().post("/v1/config/reload", r#"{"force": false}"#).await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem["problems"][0]["message"].as_str().unwrap().contains("has no table"), "{problem}");
    let (status, config) = server.http().post("/v1/config/reload", r#"{"force": true}"#).await;
    assert_eq!((status, &config["webhooks"]), (200, &0.into()), "{config}");
    let (status, problem) = server.http().post("/v1/config/reload", r#"{"fource": true}"#).await;
    assert!(status == 422 && problem["detail"].as_str().unwrap().contains("fource"), "{problem}");
}

#[tokio::test]
async fn a_file_that_stays_empty_is_refused() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("a", &receiver.url("/in"), r#"["*"]"#, ""))).await;
    fs::write(server.path("config.toml"), "# to be written\n").unwrap();
    server
        .eventually("refused", async || {
            server.http().get("/v1/config").await.1["last_error"].to_string().contains("has no table")
        })
        .await;
    server.publish("a.b", "1").await;
    receiver.wait_for("/in", 1).await;
    // A start has nothing to keep: it takes what it finds.
    let server = Server::start_in(server.stop().await).await;
    assert_eq!(server.http().get("/v1/config").await.1["webhooks"], 0);
}
