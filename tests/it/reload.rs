//! Hot reload: every way to change a file, valid and invalid, idle and under load.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Receiver, Server, head, webhook};

fn config(receiver: &Receiver, path: &str) -> String {
    head() + &webhook("ops", &receiver.url(path), r#"["*"]"#, "")
}

async fn arrives(server: &Server, receiver: &Receiver, path: &str) {
    let before = receiver.received(path).len();
    server.publish("a.b", "1").await;
    receiver.wait_for(path, before + 1).await;
}

/// Makes the change, and answers how long it took to be live.
async fn timed(server: &Server, change: impl FnOnce()) -> Duration {
    let generation = server.http().get("/v1/config").await.1["generation"].as_u64().unwrap();
    let started = Instant::now();
    change();
    server.wait_for_generation(generation + 1).await;
    started.elapsed()
}

#[tokio::test]
async fn every_way_to_save_a_file_goes_live_within_a_second_or_so() {
    let receiver = Receiver::start().await;
    let server = Server::start(&config(&receiver, "/0")).await;
    let path = server.path("config.toml");
    // Twice each: after an atomic rename a watch on the file itself would be dead.
    for round in 0..2 {
        let (in_place, renamed) = (format!("/in-place-{round}"), format!("/renamed-{round}"));
        let took = timed(&server, || std::fs::write(&path, config(&receiver, &in_place)).unwrap()).await;
        assert!(took < Duration::from_secs(3), "{took:?}");
        arrives(&server, &receiver, &in_place).await;
        timed(&server, || {
            let saved = server.path(".config.toml.swp");
            std::fs::write(&saved, config(&receiver, &renamed)).unwrap();
            std::fs::rename(&saved, &path).unwrap();
        })
        .await;
        arrives(&server, &receiver, &renamed).await;
    }
}

#[tokio::test]
async fn a_config_map_swap_goes_live_although_it_never_names_the_file() {
    use std::os::unix::fs::symlink;
    let receiver = Receiver::start().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let dir = directory.path();
    let version = |n: u32| {
        let data = dir.join(format!("..2026_{n}"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("config.toml"), config(&receiver, &format!("/v{n}"))).unwrap();
    };
    version(1);
    symlink("..2026_1", dir.join("..data")).unwrap();
    symlink("..data/config.toml", dir.join("config.toml")).unwrap();
    let server = Server::start_in(Arc::clone(&directory)).await;
    arrives(&server, &receiver, "/v1").await;
    for n in 2..4 {
        version(n);
        timed(&server, || {
            symlink(format!("..2026_{n}"), dir.join("..data_tmp")).unwrap();
            std::fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
            std::fs::remove_dir_all(dir.join(format!("..2026_{}", n - 1))).unwrap();
        })
        .await;
        arrives(&server, &receiver, &format!("/v{n}")).await;
    }
}

#[tokio::test]
async fn included_files_and_secret_files_are_watched_too() {
    let receiver = Receiver::start().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    std::fs::create_dir(directory.path().join("webhooks.d")).unwrap();
    std::fs::write(directory.path().join("secret"), "first-secret-of-ours\n").unwrap();
    let main = format!(
        "include = [\"webhooks.d/*.toml\"]\n{}[webhooks.main]\nurl = \"{}\"\nevents = [\"*\"]\nsecret = \"${{file:secret}}\"\nsignature = \"sha256\"\n",
        head(),
        receiver.url("/main")
    );
    std::fs::write(directory.path().join("config.toml"), main).unwrap();
    let server = Server::start_in(Arc::clone(&directory)).await;
    let added = webhook("added", &receiver.url("/added"), r#"["*"]"#, "");
    timed(&server, || std::fs::write(server.path("webhooks.d/added.toml"), added).unwrap()).await;
    arrives(&server, &receiver, "/added").await;
    let before = receiver.wait_for("/main", 1).await[0].header("x-webhook-signature").to_owned();
    timed(&server, || std::fs::write(server.path("secret"), "second-secret-of-ours\n").unwrap()).await;
    arrives(&server, &receiver, "/main").await;
    assert_ne!(receiver.received("/main").last().unwrap().header("x-webhook-signature"), before);
    timed(&server, || std::fs::remove_file(server.path("webhooks.d/added.toml")).unwrap()).await;
    assert_eq!(server.http().get("/v1/webhooks/added").await.0, 404);
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_what_is_wrong() {
    let receiver = Receiver::start().await;
    let good = config(&receiver, "/good");
    let server = Server::start(&good).await;
    let fingerprint = server.http().get("/v1/config").await.1["fingerprint"].clone();
    let bad = [
        ("not toml at all [", "config.toml"),
        (&*good.replace("events", "evnts"), "did you mean `events`"),
        (&*good.replace("secret = ", "transform = \"no-such-module\"\nsecret = "), "no-such-module"),
        (&*good.replace("secret = ", "network = 5\nsecret = "), "network"),
        (&*good.replace("secret = \"whsec_", "secret = \"${NOT_SET_ANYWHERE}whsec_"), "NOT_SET_ANYWHERE"),
        (&*good.replace("secret = ", "transform = { use = \"slack\", options = { nonsense = 1 } }\nsecret = "), "nonsense"),
    ];
    for (text, part) in bad {
        std::fs::write(server.path("config.toml"), text).unwrap();
        server.eventually(part, async || server.http().get("/v1/config").await.1["last_error"].to_string().contains(part)).await;
        let (_, config) = server.http().get("/v1/config").await;
        assert_eq!((&config["fingerprint"], config["generation"].as_u64()), (&fingerprint, Some(1)), "{config}");
        arrives(&server, &receiver, "/good").await;
    }
    std::fs::write(server.path("config.toml"), &good).unwrap();
    server.eventually("valid again", async || server.http().get("/v1/config").await.1["last_error"].is_null()).await;
    assert_eq!(server.http().get("/v1/config").await.1["generation"], 1, "the same configuration is not a new generation");
}

/// What alerts on a refused configuration can be resolved: by an event, and by counts.
#[tokio::test]
async fn a_refused_file_that_is_restored_is_reported_once_each_way() {
    let receiver = Receiver::start().await;
    let good = config(&receiver, "/good") + &webhook("ops-events", &receiver.url("/ops"), r#"["tenterhook.config.*"]"#, "");
    let server = Server::start(&good).await;
    let swap = |text: &str| {
        std::fs::write(server.path("new"), text).unwrap();
        std::fs::rename(server.path("new"), server.path("config.toml")).unwrap();
    };
    let error = async || server.http().get("/v1/config").await.1["last_error"].clone();
    let saves = [good.replace("events", "evnts"), good.replace("events", "evnts") + "\nx = "];
    for (count, bad) in saves.iter().enumerate() {
        swap(bad);
        receiver.wait_for("/ops", count + 1).await;
    }
    assert!(!error().await.is_null());
    swap(&good);
    let told = receiver.wait_for("/ops", 3).await;
    let types: Vec<_> = told.iter().map(|request| request.json()["type"].clone()).collect();
    assert_eq!(types, ["tenterhook.config.rejected", "tenterhook.config.rejected", "tenterhook.config.reloaded"]);
    assert_eq!(told[2].json()["data"]["generation"], 1, "the same configuration as before");
    assert!(error().await.is_null());
    let (_, _, metrics) = server.http().raw("GET", "/metrics", &[], bytes::Bytes::new()).await;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    assert!(metrics.contains("tenterhook_config_reloads_total{outcome=\"rejected\"} 2"), "one for each save: {metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_lose_no_event_and_send_none_twice() {
    let receiver = Receiver::start().await;
    let variant = |n: u32| {
        head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, &format!("description = \"{n}\"\nconcurrency = {}", 1 + n % 7))
    };
    let server = Server::start(&variant(0)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            let (http, stop) = (server.http().clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut ids = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let id = format!("evt_{publisher}_{}", ids.len());
                    let (status, answer) = http.post("/v1/events", format!(r#"{{"id":"{id}","type":"a.b","data":1}}"#)).await;
                    assert_eq!(status, 202, "{answer}");
                    assert_eq!(answer["deliveries"], 1, "matched in every generation");
                    ids.push(id);
                }
                ids
            })
        })
        .collect();
    for n in 1..=12 {
        if n % 3 == 0 {
            std::fs::write(server.path("config.toml"), "[webhooks.broken").unwrap();
            server.eventually("refused", async || !server.http().get("/v1/config").await.1["last_error"].is_null()).await;
        }
        server.reconfigure(&variant(n)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut published = Vec::new();
    for publisher in publishers {
        published.extend(publisher.await.unwrap());
    }
    receiver.wait_for("/in", published.len()).await;
    let directory = server.stop().await;
    drop(directory);
    let mut times: HashMap<String, usize> = HashMap::new();
    for request in receiver.received("/in") {
        *times.entry(request.header("webhook-id").to_owned()).or_default() += 1;
    }
    assert!(published.iter().all(|id| times.get(id) == Some(&1)), "each exactly once");
    assert_eq!(times.len(), published.len());
}

#[tokio::test]
async fn a_file_that_is_emptied_before_it_is_written_never_goes_live_empty() {
    use std::io::Write;
    let receiver = Receiver::start().await;
    receiver.answer_always("/in", crate::harness::Answer::Status(503));
    let with = |more: &str| {
        head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, &format!("retry = {{ schedule = [\"1h\"] }}\n{more}"))
    };
    let server = Server::start(&with("")).await;
    let waiting = server.publish("a.b", "1").await;
    server.delivery_in(&waiting, "retrying").await;
    for n in 0..10 {
        let text = with(&format!("description = \"{n}\""));
        let (first, rest) = text.split_at(text.len() / 2);
        let generation = server.http().get("/v1/config").await.1["generation"].as_u64().unwrap();
        let mut file = std::fs::File::create(server.path("config.toml")).unwrap();
        tokio::time::sleep(Duration::from_millis(7 * n)).await;
        file.write_all(first.as_bytes()).unwrap();
        tokio::time::sleep(Duration::from_millis(5 * n)).await;
        file.write_all(rest.as_bytes()).unwrap();
        drop(file);
        server.wait_for_generation(generation + 1).await;
        let (_, config) = server.http().get("/v1/config").await;
        assert_eq!((config["generation"].as_u64(), config["webhooks"].as_u64()), (Some(generation + 1), Some(1)), "{config}");
    }
    assert_eq!(server.delivery_in(&waiting, "retrying").await["attempt_count"], 1, "nothing was cancelled");
}

#[tokio::test]
async fn a_fixed_url_heals_what_is_waiting() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/wrong", crate::harness::Answer::Status(503));
    let with =
        |path: &str| head() + &webhook("ops", &receiver.url(path), r#"["*"]"#, "retry = { schedule = [\"2s\"], jitter = 0 }");
    let server = Server::start(&with("/wrong")).await;
    let id = server.publish("a.b", "1").await;
    server.delivery_in(&id, "retrying").await;
    server.reconfigure(&with("/right")).await;
    server.delivery_in(&id, "succeeded").await;
    assert_eq!(receiver.received("/right").len(), 1);
}

#[tokio::test]
async fn sighup_reads_the_configuration_again() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    std::fs::write(dir.join("config.toml"), config(&receiver, "/first")).unwrap();
    let (child, http) = crate::crash::spawn(dir).await;
    let pid = child.id().unwrap().to_string();
    // Right after the start: the signal alone must do no harm, and the reload that follows must work.
    assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    std::fs::write(dir.join("config.toml"), config(&receiver, "/second")).unwrap();
    assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    let live = async {
        while http.get("/v1/config").await.1["generation"] != 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::harness::PATIENCE, live).await.unwrap();
    http.post("/v1/events", r#"{"type":"a.b"}"#).await;
    receiver.wait_for("/second", 1).await;
}

#[tokio::test]
async fn sighup_while_the_server_starts_does_not_end_it() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    std::fs::write(dir.join("config.toml"), config(&receiver, "/ops")).unwrap();
    let (mut child, _) = crate::crash::spawn(dir).await;
    child.kill().await.unwrap();
    // The next start waits for the store's file, which this test locks: a moment in the middle of the start.
    std::fs::remove_file(dir.join("data/lock")).unwrap();
    let holder = rusqlite::Connection::open(dir.join("data/tenterhook.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let starting = crate::crash::Starting::new(dir);
    let pid = starting.child.id().unwrap().to_string();
    let begun = async {
        while !dir.join("data/lock").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::harness::PATIENCE, begun).await.expect("the data directory is locked");
    assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    holder.execute_batch("ROLLBACK").unwrap();
    let (_child, http) = starting.listening(dir).await;
    assert_eq!(http.get("/healthz").await.0, 200);
}
