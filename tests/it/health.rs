//! Breakers, endpoints that say goodbye, operators' switches: nothing is lost meanwhile, and everyone is told.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Answer, Receiver, Server, head, webhook};

/// Tells of everything operational.
fn told(receiver: &Receiver) -> String {
    webhook("told", &receiver.url("/told"), r#"["webhook.**", "tenterhook.**"]"#, "")
}

fn kinds(receiver: &Receiver) -> Vec<String> {
    receiver.received("/told").iter().map(|request| request.json()["type"].as_str().unwrap().to_owned()).collect()
}

/// The data of the first event of this type that was told.
async fn wait_told(receiver: &Receiver, server: &Server, kind: &str) -> Value {
    server.eventually(kind, async || kinds(receiver).iter().any(|told| told == kind)).await;
    let told = receiver.received("/told");
    told.iter().map(|request| request.json()).find(|event| event["type"] == kind).unwrap()["data"].clone()
}

async fn status(server: &Server, webhook: &str) -> String {
    server.http().get(&format!("/v1/webhooks/{webhook}")).await.1["status"].as_str().unwrap().to_owned()
}

const BREAKER: &str = "breaker = { failures = 3, window = \"1m\", cool_down = \"1s\" }\n\
    retry = { schedule = [\"50ms\", \"50ms\", \"50ms\", \"50ms\", \"50ms\", \"50ms\"], jitter = 0 }";

#[tokio::test]
async fn a_breaker_opens_probes_once_and_lets_the_backlog_come_back() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/in", Answer::Status(503));
    let config =
        head() + &webhook("ops", &receiver.url("/in"), r#"["a.*"]"#, &format!("concurrency = 1\n{BREAKER}")) + &told(&receiver);
    let server = Server::start(&config).await;
    let mut ids = vec![server.publish("a.b", "0").await];
    receiver.wait_for("/in", 3).await;
    server.eventually("the breaker is open", async || status(&server, "ops").await == "breaker_open").await;
    for n in 1..20 {
        ids.push(server.publish("a.b", &n.to_string()).await);
    }
    let opened = wait_told(&receiver, &server, "webhook.breaker.opened").await;
    assert_eq!(opened["webhook"], "ops");
    // The probe fails, one and only one.
    let received = receiver.wait_for("/in", 4).await;
    assert!(received[3].at - received[2].at >= Duration::from_millis(950), "{:?}", received[3].at - received[2].at);
    receiver.answer_always("/in", Answer::Status(200));
    let received = receiver.wait_for("/in", 5).await;
    assert!(received[4].at - received[3].at >= Duration::from_millis(950), "{:?}", received[4].at - received[3].at);
    let received = receiver.wait_for("/in", 24).await;
    for id in &ids {
        server.delivery_in(id, "succeeded").await;
    }
    assert_eq!(status(&server, "ops").await, "enabled");
    wait_told(&receiver, &server, "webhook.breaker.closed").await;
    // Ten a second at first: nineteen that waited do not come all at once.
    assert!(received[23].at - received[4].at >= Duration::from_millis(900), "{:?}", received[23].at - received[4].at);
    let spent: u64 = server.http().get("/v1/webhooks/ops/stats").await.1["attempts"].as_u64().unwrap();
    assert_eq!(spent, 24, "three to open it, one probe that failed, twenty that arrived");
}

#[tokio::test]
async fn an_open_breaker_survives_a_restart_and_closes_for_another_url() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/in", Answer::Status(503));
    let breaker =
        "breaker = { failures = 2, cool_down = \"1h\" }\nretry = { schedule = [\"10ms\", \"10ms\", \"10ms\"], jitter = 0 }";
    let config = |path: &str, more: &str| {
        head() + &webhook("ops", &receiver.url(path), r#"["a.*"]"#, &format!("{breaker}\n{more}")) + &told(&receiver)
    };
    let server = Server::start(&config("/in", "")).await;
    let id = server.publish("a.b", "1").await;
    server.eventually("open", async || status(&server, "ops").await == "breaker_open").await;
    server.delivery_in(&id, "retrying").await;
    server.reconfigure(&config("/in", "description = \"changed\"")).await;
    assert_eq!(status(&server, "ops").await, "breaker_open");
    let server = Server::start_in(server.stop().await).await;
    assert_eq!(status(&server, "ops").await, "breaker_open");
    let second = server.publish("a.b", "2").await;
    server.reconfigure(&config("/elsewhere", "")).await;
    server.delivery_in(&id, "succeeded").await;
    server.delivery_in(&second, "succeeded").await;
    assert_eq!(status(&server, "ops").await, "enabled");
    assert_eq!(receiver.received("/in").len(), 2, "nothing while it was open");
    let closed = wait_told(&receiver, &server, "webhook.breaker.closed").await;
    assert_eq!(closed["webhook"], "ops", "who waits for the end of an open one hears of it: {closed}");
}

#[tokio::test]
async fn enabling_closes_an_open_breaker_and_nothing_is_due_before() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/in", [Answer::Status(503), Answer::Status(503)]);
    let more =
        "breaker = { failures = 2, window = \"1m\", cool_down = \"1h\" }\nretry = { schedule = [\"10ms\", \"10ms\", \"10ms\"] }";
    let config = head() + &webhook("ops", &receiver.url("/in"), r#"["a.*"]"#, more);
    let server = Server::start(&config).await;
    let waiting = server.publish("a.b", "1").await;
    server.eventually("the breaker is open", async || status(&server, "ops").await == "breaker_open").await;
    server.delivery_in(&waiting, "retrying").await;
    let (_, shown) = server.http().get("/v1/webhooks/ops").await;
    let probe = shown["breaker_open"]["probe_at"].clone();
    assert!(probe.is_string(), "{shown}");
    let (_, rows) = server.http().get("/v1/webhooks/status").await;
    let (_, one) = server.http().get("/v1/webhooks/ops/stats").await;
    let (_, all) = server.http().get("/v1/stats").await;
    for due in [&rows["data"][0]["next_due"], &rows["totals"]["next_due"], &one["next_due"], &all["next_due"]] {
        assert_eq!(*due, probe, "{rows} {one} {all}");
    }
    // A test would not go either, and says why at once.
    let (code, test) = server.http().post("/v1/webhooks/ops/test", "").await;
    assert_eq!((code, &test["attempt"]), (202, &serde_json::Value::Null), "{test}");
    let detail = test["detail"].as_str().unwrap();
    assert!(detail.contains("breaker is open") && detail.contains(probe.as_str().unwrap()), "{detail}");
    assert_eq!(receiver.received("/in").len(), 2);

    let (code, shown) = server.http().post("/v1/webhooks/ops/enable", "").await;
    assert_eq!((code, &shown["status"], &shown["breaker_open"]), (200, &"enabled".into(), &serde_json::Value::Null), "{shown}");
    server.delivery_in(&waiting, "succeeded").await;
    assert_eq!(status(&server, "ops").await, "enabled");
    let server = Server::start_in(server.stop().await).await;
    assert_eq!(status(&server, "ops").await, "enabled", "it is kept");
}

#[tokio::test]
async fn gone_disables_at_once_and_enabling_again_delivers_what_was_held() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/in", [Answer::Status(503), Answer::Status(410)]);
    let config =
        head() + &webhook("ops", &receiver.url("/in"), r#"["a.*"]"#, "retry = { schedule = [\"1h\"] }") + &told(&receiver);
    let server = Server::start(&config).await;
    let waiting = server.publish("a.b", "1").await;
    server.delivery_in(&waiting, "retrying").await;
    let gone = server.publish("a.b", "2").await;
    let delivery = server.delivery_in(&gone, "failed").await;
    assert!(delivery["reason"].as_str().unwrap().contains("410"), "{delivery}");
    server.delivery_in(&waiting, "held").await;
    let (_, shown) = server.http().get("/v1/webhooks/ops").await;
    assert_eq!(shown["status"], "disabled");
    assert_eq!(shown["disabled"]["by"], "gone");
    let refused = server.publish("a.b", "3").await;
    let (_, event) = server.http().get(&format!("/v1/events/{refused}")).await;
    assert!(event["unmatched"][0]["reason"].as_str().unwrap().contains("410 Gone"), "{event}");
    let told = wait_told(&receiver, &server, "webhook.disabled").await;
    assert_eq!((&told["webhook"], &told["by"]), (&"ops".into(), &"gone".into()));
    let failed = wait_told(&receiver, &server, "webhook.delivery.failed").await;
    assert_eq!(failed["event"]["id"], *gone);

    // It outlives a restart.
    let server = Server::start_in(server.stop().await).await;
    assert_eq!(status(&server, "ops").await, "disabled");
    let (code, shown) = server.http().post("/v1/webhooks/ops/enable", "").await;
    assert_eq!((code, &shown["status"]), (200, &"enabled".into()));
    server.delivery_in(&waiting, "succeeded").await;
    wait_told(&receiver, &server, "webhook.enabled").await;
    assert_eq!(server.http().post("/v1/webhooks/ops/enable", "").await.0, 200, "again is no error");
}

#[tokio::test]
async fn an_endpoint_may_ask_to_be_disabled_also_while_it_takes_the_last_one() {
    let receiver = Receiver::start().await;
    let bye = Answer::With { status: 200, headers: vec![("webhook-delivery", "disable".to_owned())], body: String::new() };
    receiver.answer_next("/in", [bye]);
    let server = Server::start(&(head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, ""))).await;
    let id = server.publish("a.b", "1").await;
    server.delivery_in(&id, "succeeded").await;
    server.eventually("disabled", async || status(&server, "ops").await == "disabled").await;
    // Another URL is another endpoint.
    server.reconfigure(&(head() + &webhook("ops", &receiver.url("/new"), r#"["*"]"#, ""))).await;
    server.eventually("enabled", async || status(&server, "ops").await == "enabled").await;
    let id = server.publish("a.b", "2").await;
    server.delivery_in(&id, "succeeded").await;
    assert_eq!(receiver.received("/new").len(), 1);
}

#[tokio::test]
async fn an_operators_switch_holds_what_waits_and_outlives_restarts_and_reloads() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/in", [Answer::Status(503)]);
    let config = |more: &str| {
        head() + &webhook("ops", &receiver.url("/in"), r#"["*"]"#, &format!("retry = {{ schedule = [\"1h\"] }}\n{more}"))
    };
    let server = Server::start(&config("")).await;
    let id = server.publish("a.b", "1").await;
    server.delivery_in(&id, "retrying").await;
    let (code, shown) = server.http().post("/v1/webhooks/ops/disable", r#"{"reason":"maintenance until noon"}"#).await;
    assert_eq!((code, &shown["status"]), (200, &"disabled".into()), "{shown}");
    assert_eq!((&shown["disabled"]["by"], &shown["disabled"]["reason"]), (&"operator".into(), &"maintenance until noon".into()));
    server.delivery_in(&id, "held").await;
    server.reconfigure(&config("description = \"x\"")).await;
    let server = Server::start_in(server.stop().await).await;
    let refused = server.publish("a.b", "2").await;
    let (_, event) = server.http().get(&format!("/v1/events/{refused}")).await;
    assert_eq!(event["deliveries"], serde_json::json!([]));
    server.http().post("/v1/webhooks/ops/enable", "").await;
    server.delivery_in(&id, "succeeded").await;

    assert_eq!(server.http().post("/v1/webhooks/ops/disable", r#"{"why":"x"}"#).await.0, 422);
    assert_eq!(server.http().post("/v1/webhooks/nope/disable", "").await.0, 404);
    server.reconfigure(&config("enabled = false")).await;
    let (code, problem) = server.http().post("/v1/webhooks/ops/enable", "").await;
    assert_eq!(code, 409);
    assert!(problem["detail"].as_str().unwrap().contains("enabled = false in"), "{problem}");
}

#[tokio::test]
async fn switches_in_quick_succession_end_as_the_last_one_says() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/in", Answer::Status(503));
    let config = head()
        + &webhook(
            "ops",
            &receiver.url("/in"),
            r#"["*"]"#,
            "breaker = false\nretry = { max_retries = 20, initial_delay = \"1h\" }",
        );
    let server = Server::start(&config).await;
    // More than one step of a sweep changes.
    const EVENTS: usize = 2500;
    for _ in 0..EVENTS / 500 {
        let events = vec![serde_json::json!({"type": "a.b"}); 500];
        let (status, answer) = server.http().post("/v1/events", serde_json::to_string(&events).unwrap()).await;
        assert_eq!(status, 202, "{answer}");
    }
    let states = async || server.http().get("/v1/webhooks/ops/stats").await.1["deliveries"].clone();
    server.eventually("all wait for their retry", async || states().await["retrying"] == EVENTS).await;
    for switch in ["disable", "enable", "disable", "enable", "disable"] {
        assert_eq!(server.http().post(&format!("/v1/webhooks/ops/{switch}"), "").await.0, 200, "{switch}");
    }
    server.eventually("all are held", async || states().await["held"] == EVENTS).await;
    receiver.answer_always("/in", Answer::Status(200));
    for switch in ["enable", "disable", "enable"] {
        assert_eq!(server.http().post(&format!("/v1/webhooks/ops/{switch}"), "").await.0, 200, "{switch}");
    }
    server.eventually("all have arrived", async || states().await["succeeded"] == EVENTS).await;
}

#[tokio::test]
async fn operational_events_never_cause_operational_events() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/in", Answer::Status(400));
    receiver.answer_always("/told", Answer::Status(400));
    let config = head() + &webhook("ops", &receiver.url("/in"), r#"["a.*"]"#, "") + &told(&receiver);
    let server = Server::start(&config).await;
    let id = server.publish("a.b", "1").await;
    server.delivery_in(&id, "failed").await;
    receiver.wait_for("/told", 1).await;
    server
        .eventually("its delivery failed as well", async || {
            server.http().get("/v1/deliveries?webhook=told&state=failed").await.1["data"].as_array().unwrap().len() == 1
        })
        .await;
    // Another event goes the same way: had the first failure been raised, it would have come before.
    let id = server.publish("a.b", "2").await;
    server.delivery_in(&id, "failed").await;
    receiver.wait_for("/told", 2).await;
    let about: Vec<Value> = receiver.received("/told").iter().map(|request| request.json()["data"]["webhook"].clone()).collect();
    assert_eq!(about, ["ops", "ops"]);
}

#[tokio::test]
async fn reloads_raise_events_good_and_bad() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &told(&receiver))).await;
    server.reconfigure(&(head() + &told(&receiver) + "# changed\n")).await;
    let reloaded = wait_told(&receiver, &server, "tenterhook.config.reloaded").await;
    assert_eq!(reloaded["generation"], 2);
    std::fs::write(server.path("config.toml"), "nonsense = 1\n").unwrap();
    let rejected = wait_told(&receiver, &server, "tenterhook.config.rejected").await;
    assert!(rejected["problems"][0]["message"].as_str().unwrap().contains("nonsense"), "{rejected}");
}
