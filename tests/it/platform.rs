//! Modules come and go beside a running server: by name within a second, swapped without a lost or mixed event, and whatever
//! is wrong with one of them stays with it.

use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::guests;
use crate::harness::{Receiver, Server, head, webhook};

/// A component that turns every event into a request with this text.
fn saying(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    // ok(request { body: text(text), headers: [], method: none, url: none })
    let words = [0, 1, 0, 8192, length, 0, 0, 0, 0, 0, 0, 0, 0];
    let data = format!("(data (i32.const 8192) \"{text}\")");
    wat::parse_str(guests::guest_with(&data, &guests::returning(&words))).unwrap()
}

fn put(server: &Server, name: &str, wasm: &[u8]) {
    let modules = server.path("transformers");
    std::fs::create_dir_all(&modules).unwrap();
    std::fs::write(modules.join(format!(".{name}.new")), wasm).unwrap();
    std::fs::rename(modules.join(format!(".{name}.new")), modules.join(format!("{name}.wasm"))).unwrap();
}

async fn listed(server: &Server, name: &str) -> serde_json::Value {
    let (_, list) = server.http().get("/v1/transformers").await;
    list["data"].as_array().unwrap().iter().find(|module| module["name"] == name).cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_module_is_found_by_its_file_name_and_a_broken_one_harms_nothing() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, "transform = \"slack\""))).await;
    put(&server, "broken", b"\0asm broken");
    server.eventually("broken is listed", async || listed(&server, "broken").await["error"].is_string()).await;
    let broken = listed(&server, "broken").await;
    assert_eq!(broken["loaded"], false);
    assert_eq!(broken["error"], "transformer `broken` is no WebAssembly component: it does not begin as one");
    // Nobody uses it: the configuration is good, and goes on taking changes.
    assert_eq!(server.http().get("/v1/config").await.1["last_error"], json!(null));
    put(&server, "mine", &saying("mine"));
    server.eventually("mine is loaded", async || listed(&server, "mine").await["loaded"] == true).await;
    assert_eq!(listed(&server, "mine").await["wit_version"], "1.0.0");
    server.publish("a.b", "1").await;
    receiver.wait_for("/in", 1).await;
    server.eventually("slack was called", async || listed(&server, "slack").await["usage"]["calls"] == 1).await;
    // Fixed, it is good.
    put(&server, "broken", &saying("fixed"));
    server.eventually("it is fixed", async || listed(&server, "broken").await["loaded"] == true).await;
}

#[tokio::test]
async fn a_module_is_swapped_without_a_lost_or_mixed_event() {
    let receiver = Receiver::start().await;
    let server = Server::start(&head()).await;
    put(&server, "mine", &saying("0000"));
    server.eventually("mine is loaded", async || listed(&server, "mine").await["loaded"] == true).await;
    server.reconfigure(&(head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, "transform = \"mine\""))).await;
    let mut published = 0;
    for swap in 1..=5_u64 {
        let generation = server.http().get("/v1/config").await.1["generation"].as_u64().unwrap();
        put(&server, "mine", &saying(&format!("{swap}{swap}{swap}{swap}")));
        // Events before, while, and after it is swapped.
        while server.http().get("/v1/config").await.1["generation"].as_u64().unwrap() == generation {
            server.publish("a.b", "1").await;
            published += 1;
        }
        // What is published when the new one is live is its own.
        let event = server.publish("a.b", "1").await;
        published += 1;
        server.delivery_in(&event, "succeeded").await;
        let (_, list) = server.http().get(&format!("/v1/deliveries?webhook=w&event_id={event}")).await;
        let (_, delivery) = server.http().get(&format!("/v1/deliveries/{}", list["data"][0]["id"].as_str().unwrap())).await;
        assert_eq!(delivery["attempts"][0]["request"]["body"], format!("{swap}{swap}{swap}{swap}"));
    }
    receiver.wait_for("/in", published).await;
    let bodies: Vec<String> = receiver.received("/in").iter().map(|r| String::from_utf8(r.body.to_vec()).unwrap()).collect();
    assert_eq!(bodies.len(), published, "none was lost, none came twice");
    for body in &bodies {
        let first = body.chars().next().unwrap();
        assert!(body.len() == 4 && body.chars().all(|c| c == first), "{body} is of one module");
    }
}

#[tokio::test]
async fn a_pinned_module_is_not_replaced_by_another_content() {
    let receiver = Receiver::start().await;
    let server = Server::start(&head()).await;
    let wasm = saying("pinned");
    put(&server, "mine", &wasm);
    server.eventually("mine is loaded", async || listed(&server, "mine").await["loaded"] == true).await;
    let pin = format!("[transformers.mine]\nsha256 = \"{}\"\n", hex::encode(Sha256::digest(&wasm)));
    server.reconfigure(&(head() + &pin + &webhook("w", &receiver.url("/in"), r#"["*"]"#, "transform = \"mine\""))).await;
    put(&server, "mine", &saying("another"));
    server
        .eventually("refused", async || {
            server.http().get("/v1/config").await.1["last_error"].to_string().contains("is not the one that `sha256` pins")
        })
        .await;
    server.publish("a.b", "1").await;
    assert_eq!(receiver.wait_for("/in", 1).await[0].body, "pinned");
}

#[tokio::test]
async fn a_module_that_loops_sleeps_or_grows_fails_its_own_attempts_only() {
    let receiver = Receiver::start().await;
    let server = Server::start(&head()).await;
    let grow = "(loop (if (i32.eq (memory.grow 0 (i32.const 64)) (i32.const -1)) (then unreachable)) (br 0)) unreachable";
    let sleep = "(call $block (call $sleep (i64.const 60000000000))) unreachable";
    let hostile = [
        ("loops", "(loop (br 0)) unreachable", "did not finish within 500 ms"),
        ("sleeps", sleep, "did not finish within 500 ms"),
        ("grows", grow, "used more than its 64 MiB of memory"),
        ("traps", "unreachable", "trapped: wasm `unreachable` instruction executed in `transform`"),
    ];
    let mut config = head() + &webhook("good", &receiver.url("/good"), r#"["*"]"#, "transform = \"slack\"");
    for (name, body, _) in hostile {
        put(&server, name, &wat::parse_str(guests::guest(body)).unwrap());
        config += &format!("[transformers.{name}]\nlimits = {{ cpu = \"500ms\" }}\n");
        server.eventually(name, async || listed(&server, name).await["loaded"] == true).await;
        config += &webhook(
            name,
            &receiver.url("/never"),
            r#"["*"]"#,
            &format!("transform = \"{name}\"\nretry = {{ max_retries = 0 }}"),
        );
    }
    server.reconfigure(&config).await;
    server.publish("warm.up", "1").await;
    receiver.wait_for("/good", 1).await;
    let mut last = String::new();
    for n in 0..20 {
        last = server.publish("a.b", &n.to_string()).await;
    }
    let published = Instant::now();
    receiver.wait_for("/good", 21).await;
    let waited = published.elapsed();
    // Twenty calls of each slow module, half a second of its own time each, take ten seconds: the good webhook is done
    // long before.
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    for (name, _, sentence) in hostile {
        let expected = format!("transformer `{name}` {sentence}");
        server
            .eventually(name, async || {
                let (_, list) = server.http().get(&format!("/v1/deliveries?webhook={name}&event_id={last}")).await;
                list["data"][0]["reason"].as_str().is_some_and(|reason| reason.contains(&expected))
            })
            .await;
    }
    assert!(receiver.received("/never").is_empty());
}

#[tokio::test]
async fn waiting_for_an_instance_is_not_the_endpoints_time() {
    let receiver = Receiver::start().await;
    let server = Server::start(&head()).await;
    let words = [0, 1, 0, 8192, 4, 0, 0, 0, 0, 0, 0, 0, 0];
    let nap = format!("(call $block (call $sleep (i64.const 400000000))) {}", guests::returning(&words));
    put(&server, "naps", &wat::parse_str(guests::guest_with("(data (i32.const 8192) \"done\")", &nap)).unwrap());
    server.eventually("naps is loaded", async || listed(&server, "naps").await["loaded"] == true).await;
    let more = "transform = \"naps\"\ntimeout = \"2s\"\nretry = { max_retries = 0 }";
    let config = head()
        + "[transformers.naps]\nlimits = { cpu = \"10s\", instances = 1 }\n"
        + &webhook("w", &receiver.url("/in"), r#"["*"]"#, more);
    server.reconfigure(&config).await;
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(server.publish("a.b", &n.to_string()).await);
    }
    // The last one waits for almost three seconds, and its endpoint still has all but the nap of its two.
    for id in &ids {
        let delivery = server.delivery_in(id, "succeeded").await;
        let attempt = &delivery["attempts"][0];
        assert!(attempt["duration_ms"].as_f64().is_some_and(|took| (400.0..2000.0).contains(&took)), "{attempt}");
    }
}

#[tokio::test]
async fn a_module_that_is_slow_to_check_refuses_the_reload_only() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("good", &receiver.url("/good"), r#"["*"]"#, "transform = \"slack\""))).await;
    let text =
        guests::guest(&guests::dropping()).replacen("(result i32) (i32.const 3072)", "(result i32) (loop (br 0)) unreachable", 1);
    put(&server, "slow", &wat::parse_str(text).unwrap());
    server.eventually("slow is loaded", async || listed(&server, "slow").await["loaded"] == true).await;
    let mut config = head() + &webhook("good", &receiver.url("/good"), r#"["*"]"#, "transform = \"slack\"");
    config += "[transformers.slow]\nlimits = { cpu = \"500ms\" }\n";
    for n in 0..100 {
        let more = format!("transform = {{ use = \"slow\", options = {{ n = {n} }} }}");
        config += &webhook(&format!("w{n}"), &receiver.url("/never"), r#"["x.y"]"#, &more);
    }
    std::fs::write(server.path("config.toml"), &config).unwrap();
    // A hundred checks of half a second would take fifty: it is over after ten, and events flow meanwhile.
    server.publish("a.b", "1").await;
    receiver.wait_for("/good", 1).await;
    server
        .eventually("refused", async || {
            let error = server.http().get("/v1/config").await.1["last_error"].to_string();
            error.contains("transformer `slow` did not finish within 500 ms")
                && error.contains("transformer `slow` took over 10 s")
        })
        .await;
    server.publish("a.b", "2").await;
    receiver.wait_for("/good", 2).await;
}
