//! Endpoints that misbehave: each attempt ends by its timeout with a named cause, other webhooks do not notice, and
//! nothing grows.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Receiver, Server, head, webhook};

#[derive(Debug, Clone, Copy)]
enum Manner {
    Silent,
    Reset,
    HalfAnswer,
    EndlessBody,
    SlowHeaders,
    EndlessHeaders,
    Nonsense,
    ShortBody,
    Informational,
    HalfClosed,
    GzipBomb,
}

async fn misbehave(mut stream: TcpStream, manner: Manner) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    let _ = stream.read(&mut buffer).await?;
    match manner {
        Manner::Silent => std::future::pending().await,
        // Unread bytes make the close a reset.
        Manner::Reset => {
            drop(stream);
            Ok(())
        }
        Manner::HalfAnswer => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf").await?;
            std::future::pending().await
        }
        Manner::EndlessBody => {
            stream.write_all(b"HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        Manner::SlowHeaders => {
            for byte in b"HTTP/1.1 200 OK\r\nx-slow: ".iter().chain(std::iter::repeat(&b'a')) {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        }
        Manner::EndlessHeaders => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(b"x-more: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await?;
            }
        }
        Manner::Nonsense => stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n\r\n").await,
        Manner::ShortBody => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nconnection: close\r\n\r\nshort").await,
        // It reads on, and will never say a word.
        Manner::HalfClosed => {
            stream.shutdown().await?;
            while stream.read(&mut buffer).await? > 0 {}
            Ok(())
        }
        Manner::GzipBomb => {
            let bomb = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], &[0xed, 0xc1, 1, 0].repeat(1 << 18)].concat();
            let head = format!("HTTP/1.1 500 X\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
            stream.write_all(&[head.as_bytes(), &bomb].concat()).await
        }
        Manner::Informational => loop {
            stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        },
    }
}

async fn hostile(manner: Manner) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(misbehave(stream, manner));
        }
    });
    (address, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_endpoints_time_out_with_a_named_cause_and_delay_nobody() {
    let cases = [
        (Manner::Silent, "timeout"),
        (Manner::Reset, "connection"),
        (Manner::HalfAnswer, "timeout"),
        (Manner::EndlessBody, "status"),
        (Manner::SlowHeaders, "timeout"),
        (Manner::EndlessHeaders, "protocol"),
        (Manner::Nonsense, "protocol"),
        (Manner::ShortBody, "connection"),
        (Manner::Informational, "timeout"),
        (Manner::HalfClosed, "connection"),
        (Manner::GzipBomb, "status"),
    ];
    let receiver = Receiver::start().await;
    let mut config = head() + &webhook("good", &receiver.url("/good"), r#"["good.*"]"#, "");
    let mut endpoints = Vec::new();
    for (n, (manner, _)) in cases.iter().enumerate() {
        let (address, task) = hostile(*manner).await;
        endpoints.push(task);
        let more = "timeout = \"1s\"\nconcurrency = 1\nretry = { max_retries = 0 }";
        config += &webhook(&format!("h{n}"), &format!("http://{address}/"), &format!(r#"["bad.e{n}"]"#), more);
    }
    let server = Server::start(&config).await;
    let started = Instant::now();
    let mut events = Vec::new();
    for n in 0..cases.len() {
        events.push(server.publish(&format!("bad.e{n}"), "1").await);
        events.push(server.publish(&format!("bad.e{n}"), "2").await);
    }
    for _ in 0..20 {
        let published = Instant::now();
        let id = server.publish("good.one", "1").await;
        server.delivery_in(&id, "succeeded").await;
        assert!(published.elapsed() < Duration::from_secs(1), "a hostile endpoint delayed a good one");
    }
    for (n, (manner, class)) in cases.iter().enumerate() {
        for event in &events[2 * n..2 * n + 2] {
            let delivery = server.delivery_in(event, "failed").await;
            let attempt = &delivery["attempts"][0];
            assert_eq!(attempt["error_class"], *class, "{manner:?}: {attempt}");
            assert!(attempt["duration_ms"].as_f64().unwrap() < 2000.0, "{manner:?}: {attempt}");
            assert!(!attempt["error"].as_str().unwrap().is_empty());
            let body = attempt["response"]["body"].as_str().unwrap_or_default();
            // What is no text is shown in base64.
            let cap = if matches!(manner, Manner::GzipBomb) { (16 * 1024_usize).div_ceil(3) * 4 } else { 16 * 1024 };
            assert!(body.len() <= cap, "{manner:?} was kept with {} bytes", body.len());
        }
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    endpoints.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn an_endpoint_that_speaks_no_tls_is_named_so() {
    let receiver = Receiver::start().await;
    let url = receiver.url("/in").replace("http://", "https://");
    let server = Server::start(&(head() + &webhook("tls", &url, r#"["*"]"#, "retry = { max_retries = 0 }"))).await;
    let id = server.publish("a.b", "1").await;
    let delivery = server.delivery_in(&id, "failed").await;
    assert_eq!(delivery["attempts"][0]["error_class"], "tls", "{delivery}");
}

#[tokio::test]
async fn a_private_address_is_refused_at_load_and_its_name_at_the_attempt() {
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    // Allowed: some other private range. Loopback is not in it.
    let config = |url: &str| {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[network]\nallow = [\"10.9.0.0/16\"]\n[webhooks.w]\nurl = \"{url}\"\nevents = [\"*\"]\nretry = {{ max_retries = 0 }}\n"
        )
    };
    let server = Server::start(&config(&format!("https://localhost:{port}/"))).await;
    let id = server.publish("a.b", "1").await;
    let delivery = server.delivery_in(&id, "failed").await;
    assert_eq!(delivery["attempts"][0]["error_class"], "blocked_address", "{delivery}");
    assert_eq!(receiver.connections(), 0);
    std::fs::write(server.path("config.toml"), config(&format!("https://127.0.0.1:{port}/"))).unwrap();
    server
        .eventually("refused", async || server.http().get("/v1/config").await.1["last_error"].to_string().contains("allow"))
        .await;
}

#[tokio::test]
async fn redirects_are_not_followed_and_connections_are_used_again() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, "concurrency = 1"))).await;
    for n in 0..5 {
        let id = server.publish("a.b", &n.to_string()).await;
        server.delivery_in(&id, "succeeded").await;
    }
    assert_eq!(receiver.connections(), 1);
    let location = vec![("location", receiver.url("/elsewhere"))];
    receiver.answer_next("/in", [crate::harness::Answer::With { status: 302, headers: location, body: String::new() }]);
    let id = server.publish("a.b", "6").await;
    let delivery = server.delivery_in(&id, "failed").await;
    assert!(delivery["reason"].as_str().unwrap().contains("not followed"));
    assert!(receiver.received("/elsewhere").is_empty());
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let receiver = Receiver::start().await;
    let headers = vec![("retry-after", "1.5".to_owned())];
    receiver.answer_next("/in", [crate::harness::Answer::With { status: 429, headers, body: String::new() }]);
    let more = "retry = { schedule = [\"10ms\"], jitter = 0 }";
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/in"), r#"["*"]"#, more))).await;
    let id = server.publish("a.b", "1").await;
    server.delivery_in(&id, "succeeded").await;
    let requests = receiver.received("/in");
    assert!(requests[1].at - requests[0].at >= Duration::from_millis(1450));
}

#[tokio::test]
async fn a_graceful_stop_finishes_attempts_in_flight() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/hang", crate::harness::Answer::Hang);
    let config = head().replace("[network]", "shutdown_grace = \"100ms\"\n[network]")
        + &webhook("hang", &receiver.url("/hang"), r#"["hang.*"]"#, "")
        + &webhook("good", &receiver.url("/good"), r#"["good.*"]"#, "");
    let server = Server::start(&config).await;
    let hanging = server.publish("hang.a", "1").await;
    receiver.wait_for("/hang", 1).await;
    let directory = server.stop().await;
    // What was cut off is made again.
    let server = Server::start_in(directory).await;
    receiver.wait_for("/hang", 2).await;
    let (_, event) = server.http().get(&format!("/v1/events/{hanging}")).await;
    assert_eq!(event["deliveries"][0]["state"], "pending");
}
