//! The API under floods on loopback: quotas, connections, headers, bodies, and clients that are slow on purpose. Whatever
//! comes, others are served meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::{Http, PATIENCE, Receiver, Server, head, webhook};

/// As in `http::serve`.
const CONNECTIONS_MAX: usize = 4096;
const FIRST_REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// As in `http::body`.
const READ_TIME_MAX: Duration = Duration::from_secs(30);

/// Others are served within this, whatever the flood does on a busy machine.
const PROMPT: Duration = Duration::from_secs(5);

const TOKENS: &str = r#"
[tokens.boss]
token = "boss-token-0123456789"
scopes = ["manage"]
[tokens.other]
token = "other-token-0123456789"
scopes = ["manage"]
"#;

/// Somebody else, who publishes over and over until told to stop; answers how often, and how long the slowest took.
fn neighbour(http: Http) -> (tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<(usize, Duration)>) {
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let (mut count, mut slowest) = (0, Duration::ZERO);
        while stopped.try_recv().is_err() {
            let begun = Instant::now();
            assert_eq!(http.post("/v1/events", r#"{"type":"neighbour"}"#).await.0, 202);
            count += 1;
            slowest = slowest.max(begun.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (count, slowest)
    });
    (stop, task)
}

async fn was_served(neighbour: (tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<(usize, Duration)>)) {
    let (stop, task) = neighbour;
    stop.send(()).unwrap();
    let (count, slowest) = task.await.unwrap();
    assert!(count > 0 && slowest < PROMPT, "{count} requests of somebody else, the slowest took {slowest:?}");
}

/// A raw request: nothing may be what a well-behaved client would do.
async fn raw(server: &Server, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// What comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // Closed with something unread is a reset, after the answer.
    let _ = tokio::time::timeout(PATIENCE + READ_TIME_MAX, stream.read_to_end(&mut bytes)).await.expect("it ends");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer of a connection that stays open.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains("\r\n\r\n") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "it was closed after {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    text
}

struct Flooded {
    good: usize,
    refused: Vec<(http::HeaderMap, Value)>,
}

async fn flood(http: &Http, path: &'static str, body: &'static str, requests: usize) -> Flooded {
    let mut all = JoinSet::new();
    for _ in 0..requests {
        let http = http.clone();
        all.spawn(async move { http.raw("POST", path, &[("content-type", "application/json")], Bytes::from(body)).await });
    }
    let mut flooded = Flooded { good: 0, refused: Vec::new() };
    for (status, headers, body) in all.join_all().await {
        match status {
            429 => flooded.refused.push((headers, serde_json::from_slice(&body).unwrap())),
            200 | 202 => flooded.good += 1,
            other => panic!("{path}: {other} {}", String::from_utf8_lossy(&body)),
        }
    }
    flooded
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_managing_and_testing_have_quotas_of_their_own() {
    let receiver = Receiver::start().await;
    let limits = "[server.rate_limit]\npublish = \"30/m\"\nmanage = \"20/m\"\ntest = \"6/m\"\n";
    let hook = webhook("w", &receiver.url("/w"), r#"["never"]"#, "");
    let server = Server::start(&[head(), TOKENS.to_owned(), limits.to_owned(), hook].concat()).await;
    let (boss, other) = (server.http_as("boss-token-0123456789"), server.http_as("other-token-0123456789"));
    let cases = [
        ("publish", 30, "/v1/events", r#"{"type":"a"}"#),
        ("manage", 20, "/v1/webhooks/w/enable", ""),
        ("test", 6, "/v1/webhooks/w/test", ""),
    ];
    // All three at once: none takes of another's quota.
    let [publish, manage, test] = cases.map(|(_, _, path, body)| flood(&boss, path, body, 100));
    let floods = tokio::join!(publish, manage, test);
    for ((name, quota, ..), flooded) in cases.iter().zip([floods.0, floods.1, floods.2]) {
        // It takes a moment, in which a few more become due.
        assert!((*quota..=quota + 3).contains(&flooded.good), "{name}: {} of 100 went through", flooded.good);
        assert_eq!(flooded.good + flooded.refused.len(), 100);
        for (headers, problem) in &flooded.refused {
            let number = |name: &str| headers[name].to_str().unwrap().parse::<usize>().unwrap();
            assert_eq!((number("x-ratelimit-limit"), number("x-ratelimit-remaining")), (*quota, 0), "{name}");
            assert!((1..=60_usize.div_ceil(*quota)).contains(&number("retry-after")), "{name}: {headers:?}");
            assert!((1..=60).contains(&number("x-ratelimit-reset")), "{name}: {headers:?}");
            assert_eq!((&problem["limit"], &problem["status"]), (&Value::from(*name), &Value::from(429)), "{problem}");
        }
    }
    assert!(receiver.received("/w").len() <= 9, "tests that were refused were not sent");
    // Reading has no quota here, and another token has quotas of its own.
    for _ in 0..50 {
        assert_eq!(boss.get("/v1/webhooks/w").await.0, 200);
    }
    for (name, quota, path, body) in cases {
        let (status, headers, _) = other.raw("POST", path, &[("content-type", "application/json")], Bytes::from(body)).await;
        assert!(status < 300, "{name}: {status}");
        assert_eq!(headers["x-ratelimit-remaining"].to_str().unwrap(), (quota - 1).to_string(), "{name}");
    }
    // Who waits as long as it was told is let in again.
    let (status, headers, _) = boss.raw("POST", "/v1/webhooks/w/enable", &[], Bytes::new()).await;
    if status == 429 {
        let wait = headers["retry-after"].to_str().unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_secs(wait)).await;
        assert_eq!(boss.raw("POST", "/v1/webhooks/w/enable", &[], Bytes::new()).await.0, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_wait_and_those_that_ask_nothing_make_room() {
    // Both ends are in this process.
    let wanted = format!("--nofile={}:", 3 * CONNECTIONS_MAX);
    let raised = std::process::Command::new("prlimit").args(["--pid", &std::process::id().to_string(), &wanted]).status();
    assert!(
        raised.is_ok_and(|status| status.success()),
        "this test needs {} file descriptors: raise `ulimit -Hn`",
        3 * CONNECTIONS_MAX
    );
    let server = Server::start(&head()).await;
    const ASK: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut inside = raw(&server, ASK).await;
    assert!(answer(&mut inside).await.starts_with("HTTP/1.1 200"));
    let begun = Instant::now();
    let mut silent = Vec::new();
    for _ in 1..CONNECTIONS_MAX {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert!(
        begun.elapsed() < FIRST_REQUEST_TIME_MAX / 2,
        "too slow a machine to fill all places before the first are free again"
    );
    let mut outside = raw(&server, ASK).await;
    let early = tokio::time::timeout(Duration::from_millis(300), answer(&mut outside)).await;
    assert!(early.is_err(), "one more than there are places for was served: {early:?}");
    // Who is inside is served as if nothing were.
    for _ in 0..20 {
        let asked = Instant::now();
        inside.write_all(ASK.as_bytes()).await.unwrap();
        assert!(answer(&mut inside).await.starts_with("HTTP/1.1 200"));
        assert!(asked.elapsed() < PROMPT);
    }
    // The silent ones are cut off, every one; then there is room.
    let served = tokio::time::timeout(FIRST_REQUEST_TIME_MAX + PATIENCE, answer(&mut outside)).await.expect("its turn comes");
    assert!(served.starts_with("HTTP/1.1 200"), "{served}");
    for mut stream in silent {
        assert_eq!(rest(&mut stream).await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_headers_and_bodies_are_refused_before_they_are_read() {
    let server = Server::start(&head()).await;
    let neighbour = neighbour(server.http().clone());
    let authorization = format!("authorization: Bearer {}", server.http().token);
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let wide = format!("x-wide: {}\r\n", "a".repeat(128 * 1024));
    for headers in [many, wide] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // It may close while we still write.
        let _ =
            stream.write_all(format!("GET /v1/events HTTP/1.1\r\nhost: x\r\n{authorization}\r\n{headers}\r\n").as_bytes()).await;
        let said = rest(&mut stream).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
        assert!(!said.contains("HTTP/1.1 200"), "{said}");
    }
    let publish = format!("POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{authorization}\r\n");
    // Refused by what it says of itself: nothing of the body has been sent.
    let mut stream = raw(&server, &format!("{publish}content-length: 1073741824\r\n\r\n")).await;
    let said = answer(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 413") && said.contains("application/problem+json"), "{said}");
    // A body that says nothing of its length, and never ends: some floods of it at once.
    let mut floods = JoinSet::new();
    for _ in 0..8 {
        let mut stream = raw(&server, &format!("{publish}transfer-encoding: chunked\r\n\r\n")).await;
        floods.spawn(async move {
            let chunk = [b"10000\r\n[".to_vec(), vec![b' '; 0xffff], b"\r\n".to_vec()].concat();
            let mut sent = 0_usize;
            while stream.write_all(&chunk).await.is_ok() {
                sent += 0x10000;
                assert!(sent < 1 << 30, "it reads on and on");
            }
            (rest(&mut stream).await, sent)
        });
    }
    for (said, sent) in floods.join_all().await {
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 413") || said.starts_with("HTTP/1.1 503"), "after {sent}: {said}");
    }
    was_served(neighbour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_drip_are_cut_off_and_delay_nobody() {
    let server = Arc::new(Server::start(&head()).await);
    let neighbour = neighbour(server.http().clone());
    let mut drips = JoinSet::new();
    for n in 0..300 {
        let server = Arc::clone(&server);
        drips.spawn(async move {
            let begun = Instant::now();
            let mut stream = raw(&server, "GET /healthz HTTP/1.1\r\nhost: x\r\nx-drip: ").await;
            let (mut reading, mut writing) = stream.split();
            // A byte now and then, as long as the server takes them: every one of them would keep a naive timeout going.
            let drip = async {
                while writing.write_all(b"a").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(200 + n)).await;
                }
                std::future::pending::<()>().await;
            };
            let mut said = Vec::new();
            let ended = tokio::select! {
                () = drip => unreachable!("it goes on for ever"),
                ended = reading.read_to_end(&mut said) => ended,
            };
            (begun.elapsed(), String::from_utf8_lossy(&said).into_owned(), ended)
        });
    }
    let mut drips = drips.join_all().await;
    drips.sort_by_key(|(took, ..)| *took);
    for (took, said, ended) in &drips {
        assert!(!said.contains("HTTP/1.1 200"), "{said}");
        assert!(*took < FIRST_REQUEST_TIME_MAX + PROMPT, "after {took:?}: {ended:?} {said:?}");
    }
    // Not sooner than said either; a kernel that is flooded may reset one or another.
    let (took, said, ended) = &drips[drips.len() / 10];
    assert!(*took > FIRST_REQUEST_TIME_MAX - Duration::from_secs(1), "after {took:?}: {ended:?} {said:?}");
    was_served(neighbour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_stall_midway_are_answered_with_408_and_delay_nobody() {
    let server = Server::start(&head()).await;
    let neighbour = neighbour(server.http().clone());
    let token = &server.http().token;
    let mut stalled = JoinSet::new();
    for route in ["/v1/events", "/v1/webhooks", "/v1/erase"] {
        for _ in 0..30 {
            let request = format!(
                "POST {route} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
                 content-length: 1000\r\n\r\n{{\"type\": "
            );
            let mut stream = raw(&server, &request).await;
            stalled.spawn(async move {
                let begun = Instant::now();
                let said = answer(&mut stream).await;
                (begun.elapsed(), said)
            });
        }
    }
    for (took, said) in stalled.join_all().await {
        assert!(said.starts_with("HTTP/1.1 408"), "{said}");
        assert!((READ_TIME_MAX - Duration::from_secs(1)..READ_TIME_MAX + PROMPT).contains(&took), "after {took:?}");
    }
    was_served(neighbour).await;
    // Nothing of them was taken.
    assert_eq!(server.http().get("/v1/webhooks").await.1["data"], serde_json::json!([]));
}
