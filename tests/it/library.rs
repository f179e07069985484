//! Tenterhook in another program, by the crate's public interface.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tenterhook::signing::{Secret, SignedRequest, verify};
use tenterhook::{
    Builder, DurableError, EmitError, EmitStats, Event, NewEvent, Received, Subscription, Tenterhook, Timestamp, Webhook,
};

use crate::harness::{Answer, Http, PATIENCE, Receiver, SECRET, head, webhook};

fn written(config: &str) -> Arc<tempfile::TempDir> {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    directory
}

fn builder(directory: &tempfile::TempDir) -> Builder {
    Tenterhook::builder().config(directory.path().join("config.toml"))
}

fn http(tenterhook: &Tenterhook) -> Http {
    let token = tenterhook.admin_token().unwrap().expose().to_owned();
    Http::new(format!("http://{}", tenterhook.address().unwrap()), token)
}

async fn received(subscription: &mut Subscription) -> Event {
    match tokio::time::timeout(PATIENCE, subscription.next()).await.expect("an event comes") {
        Some(Received::Event(event)) => (*event).clone(),
        other => panic!("{other:?}"),
    }
}

/// What was stored within the millisecond of a subscription may be received.
async fn next_millisecond() {
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
}

/// Queued, stored, duplicates, conflicts, full.
fn counted(tenterhook: &Tenterhook) -> (usize, u64, u64, u64, u64) {
    let stats = tenterhook.stats();
    (stats.queued, stats.stored, stats.duplicates, stats.conflicts, stats.full)
}

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

#[tokio::test]
async fn what_is_emitted_is_delivered_signed_and_idempotent() {
    let receiver = Receiver::start().await;
    let directory = written(&(head() + &webhook("a", &receiver.url("/a"), r#"["order.*"]"#, "")));
    let tenterhook = builder(&directory).start().await.unwrap();
    let id = tenterhook.emit(NewEvent::new("order.created").raw_data(r#"{"total": 99.90}"#)).unwrap();
    let delivered = &receiver.wait_for("/a", 1).await[0];
    assert_eq!(delivered.json()["id"], id.as_str());
    assert!(std::str::from_utf8(&delivered.body).unwrap().contains(r#""data":{"total": 99.90}"#), "byte for byte");
    let secret = Secret::parse(SECRET).unwrap();
    let now = Timestamp::parse(delivered.json()["timestamp"].as_str().unwrap()).unwrap();
    verify(&SignedRequest::new(&delivered.headers, &delivered.body), &[secret], now, PATIENCE).unwrap();

    let durable = || NewEvent::new("order.paid").id("o-1").data(&json!({"by": "card"}));
    let first = tenterhook.emit_durable(durable()).await.unwrap();
    assert_eq!((first.id.as_str(), first.deliveries, first.is_duplicate), ("o-1", 1, false));
    let again = tenterhook.emit_durable(durable()).await.unwrap();
    assert_eq!((again.deliveries, again.is_duplicate), (1, true));
    let other = tenterhook.emit_durable(durable().data(&json!(1))).await.unwrap_err();
    assert!(matches!(&other, DurableError::Conflict(id) if id.as_str() == "o-1"));
    assert_eq!(
        other.to_string(),
        "an event with the id `o-1` was published before with other content: give this one an id of its own"
    );
    let nobody = tenterhook.emit_durable(NewEvent::new("user.created")).await.unwrap();
    assert_eq!(nobody.deliveries, 0);
    // A collision does not take its neighbours along.
    for event in [durable().data(&json!(2)), NewEvent::new("order.shipped"), durable()] {
        tenterhook.emit(event).unwrap();
    }
    tenterhook.shutdown().await.unwrap();
    assert_eq!(counted(&tenterhook), (0, 4, 2, 2, 0));
}

#[tokio::test]
async fn emitted_events_are_judged_as_published_ones_are() {
    let types = "[event_types.\"order.created\"]\nschema = { type = \"object\" }\n";
    let directory = written(&head().replace("[network]", &format!("max_event_size = \"2KiB\"\n{types}[network]")));
    let tenterhook = builder(&directory).start().await.unwrap();
    let over_http = http(&tenterhook);
    for (event, published) in [
        (NewEvent::new("webhook.disabled"), json!({"type": "webhook.disabled"})),
        (NewEvent::new("a..b"), json!({"type": "a..b"})),
        (NewEvent::new("a").id("a b"), json!({"type": "a", "id": "a b"})),
        (NewEvent::new("a").tenant("\u{7}"), json!({"type": "a", "tenant": "\u{7}"})),
        (NewEvent::new("order.created").data(&7), json!({"type": "order.created", "data": 7})),
    ] {
        let (status, problem) = over_http.post("/v1/events", published.to_string()).await;
        assert_eq!(status, 422, "{problem}");
        let expected = format!("the event is not valid: {}", problem["detail"].as_str().unwrap());
        assert_eq!(tenterhook.emit(event.clone()).unwrap_err().to_string(), expected);
        assert_eq!(tenterhook.emit_durable(event).await.unwrap_err().to_string(), expected);
    }
    let large = tenterhook.emit(NewEvent::new("a").data(&"x".repeat(4_000))).unwrap_err();
    assert!(matches!(&large, EmitError::Invalid(_)));
    assert!(large.to_string().contains("4002 bytes, 2048 are allowed"), "{large}");
    assert_eq!(tenterhook.stats(), EmitStats::default());
    tenterhook.shutdown().await.unwrap();
}

/// On a runtime of one thread nothing is stored before this test waits for something.
#[tokio::test]
async fn emitting_never_waits_and_says_when_the_queue_is_full() {
    let directory = written(&head());
    let tenterhook = builder(&directory).queue(300).start().await.unwrap();
    let taken = (0..1000).filter(|n| tenterhook.emit(("n.m", (*n).into())).is_ok()).count();
    assert_eq!(taken, 300);
    assert_eq!(tenterhook.emit(NewEvent::new("n.m")), Err(EmitError::Full { events: 300 }));
    assert_eq!(counted(&tenterhook), (300, 0, 0, 0, 701));
    // A permit is free again as soon as an event is stored; an awaited event queues behind all others.
    tenterhook.emit_durable(("n.m", 300.into())).await.unwrap();
    assert_eq!(counted(&tenterhook), (0, 301, 0, 0, 701));
    let history = tenterhook.history(1000).await.unwrap();
    let numbers: Vec<i64> = history.iter().rev().map(|event| serde_json::from_slice(&event.data).unwrap()).collect();
    assert_eq!(numbers, (0..=300).collect::<Vec<_>>(), "stored in the order of emitting");
    tenterhook.shutdown().await.unwrap();
}

#[tokio::test]
async fn large_events_are_bounded_by_their_bytes() {
    let directory = written(&head());
    let tenterhook = builder(&directory).start().await.unwrap();
    let megabyte = Bytes::from(format!("\"{}\"", "x".repeat((1 << 20) - 2)));
    let taken = (0..100).take_while(|_| tenterhook.emit(NewEvent::new("a").raw_data(megabyte.clone())).is_ok()).count();
    assert_eq!(taken, 64);
    tenterhook.shutdown().await.unwrap();
    assert_eq!(counted(&tenterhook), (0, 64, 0, 0, 1));
}

#[tokio::test]
async fn subscribers_hear_what_is_emitted_and_what_is_published_over_http() {
    let directory = written(&head());
    let tenterhook = builder(&directory).start().await.unwrap();
    tenterhook.emit_durable(NewEvent::new("order.before")).await.unwrap();
    next_millisecond().await;
    let mut orders = tenterhook.subscribe("order.*").unwrap();
    let mut all = tenterhook.subscribe("*").unwrap();
    let mut exact = tenterhook.subscribe("user.created").unwrap();
    tenterhook.emit(("order.created", json!({"n": 1}))).unwrap();
    let event = received(&mut orders).await;
    assert_eq!((event.kind.as_str(), &event.data[..]), ("order.created", &b"{\"n\":1}"[..]));
    let (status, answer) = http(&tenterhook).post("/v1/events", r#"{"type":"user.created"}"#).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(received(&mut exact).await.id.as_str(), answer["id"].as_str().unwrap());
    tenterhook.emit(NewEvent::new("order.line.added")).unwrap();
    tenterhook.emit(NewEvent::new("order.paid")).unwrap();
    assert_eq!(received(&mut orders).await.kind.as_str(), "order.paid", "* is one segment");
    let mut rest = Vec::new();
    for _ in 0..4 {
        rest.push(received(&mut all).await);
    }
    assert_eq!(kinds(&rest), ["order.created", "user.created", "order.line.added", "order.paid"]);
    // By its id from elsewhere; there is none of it any more.
    assert_eq!(orders.pattern(), "order.*");
    assert!(tenterhook.unsubscribe(orders.id()));
    assert!(!tenterhook.unsubscribe(orders.id()));
    assert_eq!(orders.next().await, None);
    all.unsubscribe();
    // Others are not touched by it.
    tenterhook.emit(NewEvent::new("user.created")).unwrap();
    received(&mut exact).await;
    let error = tenterhook.subscribe("order_*").unwrap_err();
    assert!(error.to_string().contains("write a whole segment (order.*)"), "{error}");
    tenterhook.shutdown().await.unwrap();
    assert_eq!(exact.next().await, None);
}

#[tokio::test]
async fn a_slow_subscriber_is_told_how_many_it_missed_and_holds_up_nobody() {
    let directory = written(&head());
    let tenterhook = builder(&directory).subscription_buffer(8).start().await.unwrap();
    let mut slow = tenterhook.subscribe("n.*").unwrap();
    let mut last = tenterhook.subscribe("end").unwrap();
    for n in 0..100 {
        tenterhook.emit(("n.m", n.into())).unwrap();
    }
    tenterhook.emit(NewEvent::new("end")).unwrap();
    received(&mut last).await;
    assert_eq!(slow.next().await, Some(Received::Lagged(92)));
    for n in 92..100 {
        assert_eq!(&received(&mut slow).await.data[..], n.to_string().as_bytes());
    }
    // It goes on.
    tenterhook.emit(NewEvent::new("n.next")).unwrap();
    assert_eq!(received(&mut slow).await.kind.as_str(), "n.next");
    tenterhook.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_subscription_made_after_a_pause_misses_nothing_and_hears_nothing_old() {
    let directory = written(&head());
    let tenterhook = builder(&directory).start().await.unwrap();
    for round in 0..3 {
        for n in 0..150 {
            tenterhook.emit((format!("old.r{round}"), n.into())).unwrap();
        }
        tenterhook.emit_durable(NewEvent::new("old.last")).await.unwrap();
        next_millisecond().await;
        let mut subscription = tenterhook.subscribe("*").unwrap();
        for n in 0..150 {
            tenterhook.emit(("new.r", n.into())).unwrap();
        }
        for n in 0..150 {
            let event = received(&mut subscription).await;
            assert_eq!((event.kind.as_str(), &event.data[..]), ("new.r", n.to_string().as_bytes()), "round {round}");
        }
    }
    tenterhook.shutdown().await.unwrap();
}

#[tokio::test]
async fn history_and_counts_outlive_a_restart() {
    let directory = written(&head());
    let tenterhook = builder(&directory).start().await.unwrap();
    for n in 0..600 {
        tenterhook.emit((if n % 3 == 0 { "a.third" } else { "a.other" }, n.into())).unwrap();
    }
    // It ends when they are stored.
    tenterhook.shutdown().await.unwrap();
    assert_eq!(tenterhook.emit(NewEvent::new("a")), Err(EmitError::Closed));
    let tenterhook = builder(&directory).history(550).start().await.unwrap();
    let history = tenterhook.history(3).await.unwrap();
    assert_eq!(kinds(&history), ["a.other", "a.other", "a.third"], "newest first");
    assert_eq!(tenterhook.history(usize::MAX).await.unwrap().len(), 550);
    assert!(tenterhook.history(0).await.unwrap().is_empty());
    tenterhook.emit_durable(NewEvent::new("a.third")).await.unwrap();
    let counts: Vec<_> = tenterhook.counts().await.unwrap().into_iter().map(|one| (one.kind.to_string(), one.events)).collect();
    assert_eq!(counts, [("a.other".to_owned(), 400), ("a.third".to_owned(), 201)]);
    tenterhook.shutdown().await.unwrap();
}

#[test]
fn what_was_durable_is_delivered_after_an_end_without_shutdown() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outer = runtime();
    let receiver = outer.block_on(Receiver::start());
    receiver.answer_always("/a", Answer::Hang);
    let directory = written(&(head() + &webhook("a", &receiver.url("/a"), r#"["*"]"#, "concurrency = 1")));
    let first = runtime();
    first.block_on(async {
        let tenterhook = builder(&directory).start().await.unwrap();
        for n in 0..5 {
            tenterhook.emit_durable(NewEvent::new("a.b").id(format!("e-{n}"))).await.unwrap();
        }
        receiver.wait_for("/a", 1).await;
        drop(tenterhook);
    });
    // With an attempt in flight, as in a program that simply exits.
    first.shutdown_background();
    receiver.answer_always("/a", Answer::Status(200));
    outer.block_on(async {
        // The first still holds the data directory for as long as its store needs to end.
        let tenterhook = loop {
            match builder(&directory).start().await {
                Ok(tenterhook) => break tenterhook,
                Err(tenterhook::StartError::Store(_)) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                Err(error) => panic!("{error}"),
            }
        };
        let ids = async || {
            let mut ids: Vec<String> =
                receiver.received("/a").iter().map(|one| one.json()["id"].as_str().unwrap().to_owned()).collect();
            ids.sort();
            ids.dedup();
            ids
        };
        receiver.wait_for("/a", 6).await;
        let wanted: Vec<String> = (0..5).map(|n| format!("e-{n}")).collect();
        while ids().await != wanted {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        tenterhook.shutdown().await.unwrap();
    });
}

#[tokio::test]
async fn a_dropped_handle_ends_in_order_and_gives_the_directory_back() {
    let directory = written(&head());
    let tenterhook = builder(&directory).start().await.unwrap();
    let mut subscription = tenterhook.subscribe("*").unwrap();
    for n in 0..100 {
        tenterhook.emit(("a.b", n.into())).unwrap();
    }
    let clone = tenterhook.clone();
    drop(tenterhook);
    clone.emit(NewEvent::new("a.last")).unwrap();
    drop(clone);
    let mut count = 0;
    while let Some(Received::Event(_)) = tokio::time::timeout(PATIENCE, subscription.next()).await.expect("it ends") {
        count += 1;
    }
    assert_eq!(count, 101, "what was emitted is stored, although nobody waited for it");
}

#[tokio::test]
async fn the_engine_alone_listens_nowhere_and_its_routes_can_be_mounted() {
    let receiver = Receiver::start().await;
    let directory = written(&(head() + &webhook("a", &receiver.url("/a"), r#"["*"]"#, "")));
    let tenterhook = builder(&directory).http_listener(false).start().await.unwrap();
    assert_eq!(tenterhook.address(), None);
    tenterhook.emit(NewEvent::new("a.b")).unwrap();
    receiver.wait_for("/a", 1).await;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gateway = axum::Router::new().route("/own", axum::routing::get(async || "own")).merge(tenterhook.router().unwrap());
    let server = tokio::spawn(async move {
        let _ = axum::serve(listener, gateway).await;
    });
    let api = Http::new(format!("http://{address}"), tenterhook.admin_token().unwrap().expose().to_owned());
    assert_eq!(&api.raw("GET", "/own", &[], Bytes::new()).await.2[..], b"own");
    assert_eq!(api.post("/v1/events", r#"{"type":"over.http"}"#).await.0, 202);
    assert_eq!(receiver.wait_for("/a", 2).await[1].json()["type"], "over.http");
    let stranger = Http::new(format!("http://{address}"), String::new());
    assert_eq!(stranger.get("/v1/events").await.0, 401);
    assert_eq!(stranger.get("/metrics").await.0, 401, "where it is mounted anybody may come");
    assert_eq!(api.raw("GET", "/metrics", &[], Bytes::new()).await.0, 200);
    // An answer without an end ends with the engine.
    let stream = api.clone();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let streaming = tokio::spawn(async move {
        let _ = begun.send(());
        stream.raw("GET", "/v1/stream", &[], Bytes::new()).await
    });
    has_begun.await.unwrap();
    let mut heard_it = tenterhook.subscribe("*").unwrap();
    api.post("/v1/events", r#"{"type":"another"}"#).await;
    received(&mut heard_it).await;
    tenterhook.shutdown().await.unwrap();
    let (status, _, body) = tokio::time::timeout(PATIENCE, streaming).await.expect("the stream ends").unwrap();
    assert!(status == 503 || String::from_utf8_lossy(&body).contains("event: end"), "{status}");
    server.abort();
}

#[tokio::test]
async fn a_saved_configuration_holds_for_what_is_emitted_next() {
    let receiver = Receiver::start().await;
    let directory = written(&head());
    let tenterhook = builder(&directory).start().await.unwrap();
    assert_eq!(tenterhook.emit_durable(NewEvent::new("a.b")).await.unwrap().deliveries, 0);
    let config = head() + &webhook("a", &receiver.url("/a"), r#"["*"]"#, "");
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let live = async {
        while tenterhook.emit_durable(NewEvent::new("a.b")).await.unwrap().deliveries == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, live).await.unwrap();
    receiver.wait_for("/a", 1).await;
    tenterhook.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_start_that_cannot_be_says_why() {
    let directory = written("[server]\nlistne = 1\n");
    match builder(&directory).start().await.unwrap_err() {
        tenterhook::StartError::Config(problems) => {
            assert!(problems.render(false).contains("unknown key `listne`, did you mean `listen`?"));
        }
        other => panic!("{other}"),
    }
    let directory = written(&head());
    let first = builder(&directory).start().await.unwrap();
    let second = builder(&directory).start().await.unwrap_err().to_string();
    assert!(second.contains("another tenterhook is running on the data directory"), "{second}");
    first.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_configuration_in_code_needs_no_file() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let text = format!("[storage]\npath = \"{}\"\n{}", directory.path().join("data").display(), head());
    let tenterhook = Tenterhook::builder()
        .config_str(text)
        .webhook(Webhook::new("a", receiver.url("/a")).events(["order.*"]).secret(SECRET))
        .webhook(Webhook::new("b", receiver.url("/b")).secret(SECRET).set("filter", json!({"data": {"n": {"$gt": 1}}})))
        .http_listener(false)
        .start()
        .await
        .unwrap();
    let emitted = tenterhook.emit_durable(("order.created", json!({"n": 1}))).await.unwrap();
    assert_eq!(emitted.deliveries, 1);
    assert_eq!(tenterhook.emit_durable(("other", json!({"n": 2}))).await.unwrap().deliveries, 1);
    receiver.wait_for("/a", 1).await;
    receiver.wait_for("/b", 1).await;
    tenterhook.shutdown().await.unwrap();
}

#[tokio::test]
async fn webhooks_in_code_join_those_of_a_file_that_is_reloaded() {
    let receiver = Receiver::start().await;
    let config = head() + &webhook("of-file", &receiver.url("/file"), r#"["a.*"]"#, "");
    let directory = written(&config);
    let in_code = Webhook::new("in-code", receiver.url("/code")).events(["a.*"]).secret(SECRET);
    let tenterhook = builder(&directory).webhook(in_code).start().await.unwrap();
    assert_eq!(tenterhook.emit_durable(("a.b", json!(1))).await.unwrap().deliveries, 2);
    let http = http(&tenterhook);
    let before = http.get("/v1/config").await.1["generation"].as_u64().unwrap();
    let more = webhook("more", &receiver.url("/more"), r#"["a.*"]"#, "");
    std::fs::write(directory.path().join("config.toml"), config + &more).unwrap();
    let reloaded = async {
        while http.get("/v1/config").await.1["generation"].as_u64().unwrap() == before {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reloaded).await.expect("the file is watched");
    assert_eq!(tenterhook.emit_durable(("a.b", json!(2))).await.unwrap().deliveries, 3);
    tenterhook.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_bad_configuration_in_code_says_where() {
    let text = "[server]\nlisen = \"127.0.0.1:0\"\n";
    let started = Tenterhook::builder().config_str(text).webhook(Webhook::new("a", "nowhere")).start().await;
    match started.unwrap_err() {
        tenterhook::StartError::Config(problems) => {
            let text = problems.render(false);
            assert!(text.contains("<code>:2:1") && text.contains("did you mean `listen`") && text.contains("nowhere"), "{text}");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_subscription_is_a_stream() {
    use tokio_stream::{Stream, StreamExt};
    fn takes_a_stream(stream: impl Stream<Item = Received>) -> impl Stream<Item = Received> {
        stream
    }
    let directory = written(&head());
    let tenterhook = builder(&directory).http_listener(false).start().await.unwrap();
    let events = takes_a_stream(tenterhook.subscribe("a.*").unwrap());
    next_millisecond().await;
    for n in 0..3 {
        tenterhook.emit_durable(("a.b", json!(n))).await.unwrap();
    }
    let received: Vec<Received> = tokio::time::timeout(PATIENCE, Box::pin(events.take(3)).collect()).await.unwrap();
    assert!(received.iter().all(|one| matches!(one, Received::Event(event) if event.kind.as_str() == "a.b")), "{received:?}");
    tenterhook.shutdown().await.unwrap();
}
