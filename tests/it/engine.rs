//! The delivery engine's finer promises: what survives which crash, what follows which schedule, who is told.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tenterhook::clock::Clock;
use tenterhook::model::Timestamp;

use crate::crash::spawn;
use crate::guests;
use crate::harness::{Answer, Receiver, Server, head, webhook};

fn millis(value: &Value) -> i64 {
    Timestamp::parse(value.as_str().unwrap()).unwrap().as_millis()
}

/// From the first attempt to the next.
fn delay(delivery: &Value) -> i64 {
    millis(&delivery["next_attempt_at"]) - millis(&delivery["attempts"][0]["at"])
}

fn answer(status: u16, headers: Vec<(&'static str, String)>, body: &str) -> Answer {
    Answer::With { status, headers, body: body.to_owned() }
}

#[tokio::test]
async fn the_halves_of_a_batch_survive_kill_9() {
    let receiver = Receiver::start().await;
    // The whole is too large; the process ends while both halves are in flight.
    receiver.answer_next("/in", [Answer::Status(413), Answer::Hang, Answer::Hang]);
    let more = "batch = { max_events = 8, max_wait = \"30s\" }\ntimeout = \"1m\"";
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, more))
        .unwrap();
    let (mut child, http) = spawn(directory.path()).await;
    let events: Vec<Value> = (0..8).map(|n| json!({"id": format!("evt_{n}"), "type": "a.b", "data": n})).collect();
    assert_eq!(http.post("/v1/events", serde_json::to_string(&events).unwrap()).await.0, 202);
    receiver.wait_for("/in", 3).await;
    child.kill().await.unwrap();

    let (mut child, http) = spawn(directory.path()).await;
    let received = receiver.wait_for("/in", 5).await;
    let mut arrived: Vec<Vec<u64>> = received[3..]
        .iter()
        .map(|request| request.json().as_array().unwrap().iter().map(|event| event["data"].as_u64().unwrap()).collect())
        .collect();
    arrived.sort();
    assert_eq!(arrived, [[0, 1, 2, 3], [4, 5, 6, 7]]);
    let mut states = Vec::new();
    for _ in 0..1000 {
        let (_, list) = http.get("/v1/deliveries?webhook=ops").await;
        states = list["data"].as_array().unwrap().iter().map(|row| row["state"].clone()).collect();
        if states == ["succeeded", "succeeded"] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(states, ["succeeded", "succeeded"]);
    child.kill().await.unwrap();
    let checked = tenterhook::app::check_store(directory.path().join("data")).await.unwrap();
    assert_eq!(checked.problems, Vec::<String>::new());
}

#[tokio::test]
async fn a_gap_policy_holds_over_restarts() {
    for gap in ["skip", "block"] {
        let receiver = Receiver::start().await;
        receiver.answer_next("/in", [Answer::Status(503), Answer::Status(400)]);
        let more = format!(
            "order_by = {{ key = \"data.account\", on_gap = \"{gap}\" }}\nretry = {{ schedule = [\"1500ms\"], jitter = 0 }}"
        );
        let server = Server::start(&(head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, &more))).await;
        let mut ids = Vec::new();
        for n in 1..=3 {
            ids.push(server.publish("a.b", &format!(r#"{{"account":"a","n":{n}}}"#)).await);
        }
        server.delivery_in(&ids[0], "retrying").await;
        // It is given up in another process than the one that lined the others up behind it.
        let server = Server::start_in(server.stop().await).await;
        let failed = server.delivery_in(&ids[0], "failed").await;
        let server = Server::start_in(server.stop().await).await;
        if gap == "block" {
            for id in &ids[1..] {
                server.delivery_in(id, "pending").await;
            }
            assert_eq!(receiver.received("/in").len(), 2);
            let cancel = format!("/v1/deliveries/{}/cancel", failed["id"].as_str().unwrap());
            assert_eq!(server.http().post(&cancel, "").await.0, 200);
        }
        for id in &ids[1..] {
            server.delivery_in(id, "succeeded").await;
        }
        let numbers: Vec<Value> = receiver.received("/in").iter().map(|request| request.json()["data"]["n"].clone()).collect();
        assert_eq!(numbers, [1, 1, 2, 3], "{gap}");
    }
}

#[tokio::test]
async fn named_schedules_are_followed_and_retry_after_extends_them() {
    let receiver = Receiver::start().await;
    let hour = 3_600_000;
    let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
    let quick = "retry = { schedule = [\"1s\", \"1s\"], jitter = 0 }";
    let asking = |value: &str| answer(503, vec![("retry-after", value.to_owned())], "");
    let cases = [
        ("fluxgate", "retry = { schedule = \"fluxgate\", jitter = 0 }", Answer::Status(503), 15_000, 15_000),
        ("standard", "retry = { schedule = \"standard-webhooks\", jitter = 0 }", Answer::Status(503), 5_000, 5_000),
        ("curve", "retry = { initial_delay = \"40s\", jitter = 0 }", Answer::Status(503), 40_000, 40_000),
        ("jitter", "retry = { initial_delay = \"100s\", jitter = 0.2 }", Answer::Status(503), 80_000, 120_000),
        ("seconds", quick, asking("3600"), hour, hour),
        ("date", quick, asking(&in_an_hour), hour - 10_000, hour),
        ("fraction", quick, asking("3600.25"), hour + 250, hour + 250),
        ("sooner", quick, asking("0"), 1_000, 1_000),
        ("absurd", quick, asking("1e300"), 24 * hour, 24 * hour),
        ("nonsense", quick, asking("soon"), 1_000, 1_000),
        ("discord", quick, answer(429, vec![], r#"{"message":"slow down","retry_after":3600.5}"#), hour + 500, hour + 500),
    ];
    let mut config = head();
    for (name, more, answer, ..) in &cases {
        receiver.answer_always(&format!("/{name}"), answer.clone());
        config += &webhook(name, &receiver.url(&format!("/{name}")), &format!(r#"["{name}.*"]"#), more);
    }
    let server = Server::start(&config).await;
    for (name, _, _, least, most) in cases {
        let id = server.publish(&format!("{name}.x"), "1").await;
        let delay = delay(&server.delivery_in(&id, "retrying").await);
        // From the end of the attempt, which takes its time.
        assert!((least..=most + 2_000).contains(&delay), "{name}: {delay} ms");
    }
}

#[tokio::test]
async fn nothing_but_failures_for_long_enough_disables_also_over_a_restart() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/in", Answer::Status(503));
    let more = "disable_after = \"1h\"\nbreaker = false\nretry = { max_retries = 0 }";
    let config = head()
        + &webhook("ops", &receiver.url("/in"), r#"["a.*"]"#, more)
        + &webhook("told", &receiver.url("/told"), r#"["webhook.disabled"]"#, "");
    let clock = Clock::stopped_at(Clock::System.now());
    let directory = Arc::new(tempfile::tempdir().unwrap());
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let fails = async |server: &Server| {
        let id = server.publish("a.b", "1").await;
        server.delivery_in(&id, "failed").await;
        server.http().get("/v1/webhooks/ops").await.1
    };
    let server = Server::start_by(directory, clock.clone()).await;
    fails(&server).await;
    clock.advance(Duration::from_secs(30 * 60));
    assert_eq!(fails(&server).await["status"], "enabled");
    let server = Server::start_by(server.stop().await, clock.clone()).await;
    clock.advance(Duration::from_secs(31 * 60));
    fails(&server).await;
    server.eventually("disabled", async || server.http().get("/v1/webhooks/ops").await.1["status"] == "disabled").await;
    let (_, shown) = server.http().get("/v1/webhooks/ops").await;
    assert_eq!(
        (&shown["disabled"]["by"], &shown["disabled"]["reason"]),
        (&json!("failures"), &json!("nothing but failures for 1h"))
    );
    let told = receiver.wait_for("/told", 1).await[0].json();
    assert_eq!((&told["type"], &told["data"]["by"]), (&json!("webhook.disabled"), &json!("failures")));
    let server = Server::start_by(server.stop().await, clock).await;
    assert_eq!(server.http().get("/v1/webhooks/ops").await.1["status"], "disabled");
}

#[tokio::test]
async fn what_was_held_comes_back_slowly_at_first() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/in", Answer::Status(503));
    let more = "breaker = false\nretry = { schedule = [\"1h\", \"1h\"] }";
    let server = Server::start(&(head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, more))).await;
    let mut ids = Vec::new();
    for n in 0..15 {
        ids.push(server.publish("a.b", &n.to_string()).await);
    }
    for id in &ids {
        server.delivery_in(id, "retrying").await;
    }
    server.http().post("/v1/webhooks/ops/disable", "").await;
    for id in &ids {
        server.delivery_in(id, "held").await;
    }
    receiver.answer_always("/in", Answer::Status(200));
    server.http().post("/v1/webhooks/ops/enable", "").await;
    let received = receiver.wait_for("/in", 30).await;
    // Ten in the first second, twice as many in the next.
    let took = received[29].at - received[15].at;
    assert!(took >= Duration::from_millis(1000), "{took:?}");
    for id in &ids {
        server.delivery_in(id, "succeeded").await;
    }
}

#[tokio::test]
async fn failed_transformations_and_new_secrets_are_told() {
    let receiver = Receiver::start().await;
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let modules = directory.path().join("transformers");
    std::fs::create_dir(&modules).unwrap();
    std::fs::write(modules.join("trap.wasm"), wat::parse_str(guests::guest("unreachable")).unwrap()).unwrap();
    let config = head()
        + &webhook("traps", &receiver.url("/never"), r#"["a.*"]"#, "transform = \"trap\"\nretry = { schedule = [\"1h\"] }")
        + &format!("[webhooks.made]\nurl = \"{}\"\nevents = [\"b.*\"]\n", receiver.url("/made"))
        + &webhook("told", &receiver.url("/told"), r#"["webhook.**"]"#, "");
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let server = Server::start_in(directory).await;
    let id = server.publish("a.b", "1").await;
    let delivery = server.delivery_in(&id, "retrying").await;
    assert_eq!(delivery["attempts"][0]["error_class"], "transform", "a failed transformation is a failed attempt");
    let told = receiver.wait_for("/told", 1).await[0].json();
    assert_eq!(told["type"], "webhook.transform.failed");
    assert_eq!((&told["data"]["webhook"], &told["data"]["event"]["id"]), (&json!("traps"), &json!(id)));
    assert!(told["data"]["error"].as_str().unwrap().contains("transformer `trap` trapped"), "{told}");
    assert_eq!(server.http().post("/v1/webhooks/made/rotate-secret", "").await.0, 200);
    let told = receiver.wait_for("/told", 2).await[1].json();
    assert_eq!((&told["type"], &told["data"]["webhook"]), (&json!("webhook.secret.rotated"), &json!("made")));
    assert!(receiver.received("/never").is_empty());
}

#[tokio::test]
async fn deliveries_go_through_the_proxy_but_for_its_exceptions() {
    let (proxy, direct) = (Receiver::start().await, Receiver::start().await);
    let network =
        format!("[network]\nproxy = \"{}\"\nno_proxy = [\"127.0.0.1\"]\n", proxy.url("").replace("http://", "http://me:pw@"));
    let config = head().replace("[network]\n", &network)
        + &webhook("through", "http://127.0.0.9:9/through", r#"["*"]"#, "")
        + &webhook("direct", &direct.url("/direct"), r#"["*"]"#, "");
    let server = Server::start(&config).await;
    server.publish("a.b", "1").await;
    direct.wait_for("/direct", 1).await;
    let request = proxy.wait_for("/through", 1).await.remove(0);
    assert_eq!((request.header("host"), request.header("proxy-authorization")), ("127.0.0.9:9", "Basic bWU6cHc="));
    assert_eq!((proxy.received("").len(), direct.received("").len()), (1, 1));
}
