//! The example's gateway: driven so that all ten event types are emitted, delivered and signed, while one receiver
//! hangs all the time.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use tenterhook::signing::{Secret, SignedRequest, verify};
use tenterhook::{Tenterhook, Timestamp};

use crate::harness::{Answer, Http, PATIENCE, Receiver, SECRET, webhook};

#[path = "../../examples/gateway/proxy/mod.rs"]
mod proxy;

use proxy::{BreakerOptions, Gateway, HealthOptions, LimitOptions, Options};

const REQUESTS_MAX: u32 = 200;

fn options(upstream: &Receiver) -> Options {
    Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        upstream: upstream.address.to_string().parse().unwrap(),
        timeout: PATIENCE,
        breaker: BreakerOptions { window: PATIENCE, requests_min: 4, threshold: 0.5, cool_down: Duration::from_millis(100) },
        limit: LimitOptions { requests: REQUESTS_MAX, window: Duration::from_secs(600), warn_at: 0.8 },
        health: HealthOptions { path: "/healthz".to_owned(), interval: Duration::from_millis(20), failures: 2 },
    }
}

/// Types that have arrived; each with a good signature.
fn arrived(receiver: &Receiver) -> BTreeSet<String> {
    let secret = Secret::parse(SECRET).unwrap();
    let verified = receiver.received("/hooks").into_iter().map(|one| {
        let signed_at: i64 = one.header("webhook-timestamp").parse().unwrap();
        let now = Timestamp::from_millis(signed_at * 1000);
        verify(&SignedRequest::new(&one.headers, &one.body), std::slice::from_ref(&secret), now, Duration::ZERO).unwrap();
        assert_eq!(one.header("webhook-id"), one.json()["id"]);
        one.json()["type"].as_str().unwrap().to_owned()
    });
    verified.collect()
}

async fn wait_for(receiver: &Receiver, kinds: &[&str]) {
    let wait = async {
        while !kinds.iter().all(|kind| arrived(receiver).contains(*kind)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{kinds:?} of {:?}", arrived(receiver)));
}

#[tokio::test]
async fn the_example_s_gateway_emits_all_ten_types_and_waits_for_no_delivery() {
    let (upstream, receiver) = (Receiver::start().await, Receiver::start().await);
    receiver.answer_always("/stuck", Answer::Hang);
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    let hooks = webhook("hooks", &receiver.url("/hooks"), r#"["*"]"#, "");
    let stuck = webhook("stuck", &receiver.url("/stuck"), r#"["*"]"#, "timeout = \"60s\"");
    let head = "catalogue = [\"gateway\"]\n[server]\nshutdown_grace = \"100ms\"\n[network]\nallow = [\"127.0.0.0/8\"]\n";
    std::fs::write(&config, format!("{head}{hooks}{stuck}")).unwrap();
    let tenterhook = Tenterhook::builder().config(config).http_listener(false).start().await.unwrap();
    let gateway = Gateway::start(options(&upstream), tenterhook.clone()).await.unwrap();
    let client = Http::new(format!("http://{}", gateway.address()), String::new());
    let get = async || client.raw("GET", "/api?page=2", &[("x-mine", "kept")], Bytes::new()).await;

    assert_eq!(get().await.0, 200);
    let forwarded = &upstream.received("/api")[0];
    assert_eq!((forwarded.path.as_str(), forwarded.header("x-mine")), ("/api", "kept"));
    wait_for(&receiver, &["proxy.request_started", "proxy.request_completed"]).await;

    upstream.answer_always("/api", Answer::Status(500));
    for _ in 0..3 {
        assert_eq!(get().await.0, 500);
    }
    let (status, headers, _) = get().await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (503, "1"), "three of four have failed");
    assert_eq!(upstream.received("/api").len(), 4, "an open breaker sends nothing to the upstream");
    wait_for(&receiver, &["proxy.request_failed", "circuit_breaker.opened"]).await;

    // A probe whose client hangs up is no verdict: the next request is the probe.
    upstream.answer_next("/api", [Answer::Hang]);
    let mut hung_up = tokio::task::JoinSet::new();
    let impatient = client.clone();
    hung_up.spawn(async move {
        // Each of them counts for the rate limit.
        while impatient.get("/api").await.0 == 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    upstream.wait_for("/api", 5).await;
    hung_up.shutdown().await;

    upstream.answer_always("/api", Answer::Status(200));
    let closing = async {
        while get().await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await
        }
    };
    tokio::time::timeout(PATIENCE, closing).await.unwrap();
    wait_for(&receiver, &["circuit_breaker.half_open", "circuit_breaker.closed"]).await;

    let mut answers = Vec::new();
    for _ in 0..REQUESTS_MAX {
        answers.push(get().await.0);
    }
    assert_eq!((answers[0], answers.last()), (200, Some(&429)));
    wait_for(&receiver, &["rate_limit.approaching", "rate_limit.exceeded"]).await;

    upstream.answer_always("/healthz", Answer::Status(503));
    wait_for(&receiver, &["health.check_failed"]).await;
    upstream.answer_always("/healthz", Answer::Status(200));
    wait_for(&receiver, &["health.check_recovered"]).await;

    let declared: BTreeSet<String> = tenterhook::config::PRESETS[0].types.iter().map(|one| one.name.to_owned()).collect();
    assert_eq!(arrived(&receiver), declared, "all that the preset declares, and nothing else");
    let once = |kind: &str| receiver.received("/hooks").iter().filter(|one| one.json()["type"] == kind).count();
    for kind in ["circuit_breaker.opened", "rate_limit.approaching", "rate_limit.exceeded", "health.check_failed"] {
        assert_eq!(once(kind), 1, "{kind} is emitted once, not with every request");
    }
    assert_eq!(gateway.stop().await, 0, "no event was dropped, although a receiver hangs");
    tenterhook.shutdown().await.unwrap();
}
