//! Endpoints that misbehave: each ends with a named cause and a sentence, at the deadline at the latest.

use super::*;

/// What a send to this receiver ends with.
async fn failure(receiver: &Receiver, limits: SendLimits) -> SendError {
    let client = client();
    let sending = client.send(post(&receiver.url("/")), limits);
    tokio::time::timeout(Duration::from_secs(20), sending)
        .await
        .expect("every send ends")
        .expect_err("this endpoint gives no whole answer")
}

#[tokio::test]
async fn answers_that_are_not_whole_http_are_named() {
    let many_headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(200));
    let long_head = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "x".repeat(100_000));
    let trailers = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{}\r\n", "a: b\r\n".repeat(40_000));
    let table: [(&str, &[u8], Cause, &str); 10] = [
        ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n", Cause::Protocol, "is not HTTP"),
        ("http/0.9", b"<html>hello</html>", Cause::Protocol, "is not HTTP"),
        ("an http/2 preface", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", Cause::Protocol, "is not HTTP"),
        ("too many headers", many_headers.as_bytes(), Cause::Protocol, "more than 128 headers"),
        ("a head too long", long_head.as_bytes(), Cause::Protocol, "larger than 64 KiB"),
        ("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", Cause::Protocol, "is not HTTP"),
        ("a bad length", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nab", Cause::Protocol, "is not HTTP"),
        (
            "a chunk larger than any memory",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n",
            Cause::Protocol,
            "is not HTTP",
        ),
        ("endless trailers", trailers.as_bytes(), Cause::Protocol, ""),
        ("bad chunks", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n", Cause::Protocol, "is not HTTP"),
    ];
    for (what, answer, cause, words) in table {
        let error = failure(&Receiver::answering(answer).await, LIMITS).await;
        assert_eq!(error.cause, cause, "{what}: {}", error.detail);
        assert!(error.detail.contains(words), "{what}: {}", error.detail);
    }
}

#[tokio::test]
async fn connections_that_end_early_are_named() {
    let table: [(&str, &[u8], &str); 6] = [
        ("half closed", b"", "closed the connection before it answered"),
        ("at once", b"", "closed the connection before it answered"),
        ("in the head", b"HTTP/1.1 200 OK\r\ncontent-le", "closed the connection before it answered"),
        ("after a 100", b"HTTP/1.1 100 Continue\r\n\r\n", "closed the connection before it answered"),
        (
            "in the body",
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
            "closed the connection in the middle of its answer",
        ),
        (
            "in a chunk",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
            "closed the connection in the middle of its answer",
        ),
    ];
    for (what, answer, words) in table {
        let receiver = Receiver::start(move |_, mut stream| async move {
            if what != "half closed" {
                read_request(&mut stream).await?;
            }
            stream.write_all(answer).await?;
            stream.shutdown().await?;
            until_closed(&mut stream).await
        })
        .await;
        let error = failure(&receiver, LIMITS).await;
        assert_eq!(error.cause, Cause::Connection, "{what}: {}", error.detail);
        assert!(error.detail.contains(words), "{what}: {}", error.detail);
        let seen = error.partial.map(|partial| (partial.status, partial.body));
        match what {
            "in the body" => assert_eq!(seen, Some((200, Bytes::from_static(b"short")))),
            "in a chunk" => assert_eq!(seen.map(|(status, _)| status), Some(200)),
            _ => assert_eq!(seen, None),
        }
    }
}

#[tokio::test]
async fn a_reset_is_named() {
    let receiver = Receiver::start(|_, mut stream| async move {
        read_request(&mut stream).await?;
        stream.set_zero_linger()
    })
    .await;
    let error = failure(&receiver, LIMITS).await;
    assert_eq!(error.cause, Cause::Connection);
    assert!(error.detail.contains("reset the connection before it answered"), "{}", error.detail);
}

#[tokio::test]
async fn endpoints_that_never_finish_end_at_the_deadline() {
    async fn drip(stream: &mut TcpStream, first: &str, drop: &str) -> io::Result<()> {
        stream.write_all(first.as_bytes()).await?;
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            stream.write_all(drop.as_bytes()).await?;
        }
    }
    let table = [
        ("silence", "", "", "no answer came"),
        ("a slow head", "HTTP/1.1 200 OK\r\n", "a", "no answer came"),
        ("header after header", "HTTP/1.1 200 OK\r\n", "a: b\r\n", "no answer came"),
        ("a length that does not come", "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000000\r\n\r\n", "b", "did not end"),
        ("slow trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "a: b\r\n", ""),
        ("a flood of 1xx", "", "HTTP/1.1 103 Early Hints\r\n\r\n", "no answer came"),
        ("a slow body", "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", "b", "did not end"),
        ("a slow chunk header", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "0", ""),
    ];
    for (what, first, drop, words) in table {
        let receiver = Receiver::start(move |_, mut stream| async move {
            read_request(&mut stream).await?;
            drip(&mut stream, first, drop).await
        })
        .await;
        let started = Instant::now();
        let error = failure(&receiver, SHORT).await;
        assert!(started.elapsed() < Duration::from_secs(5), "{what}");
        assert!(error.detail.contains(words), "{what}: {}", error.detail);
        if what == "a slow chunk header" || what == "slow trailers" {
            assert!(matches!(error.cause, Cause::Timeout | Cause::Protocol), "{what}: {}", error.detail);
        } else {
            assert_eq!(error.cause, Cause::Timeout, "{what}: {}", error.detail);
            assert!(error.detail.contains("within 20 s (`timeout`)"), "{what}: {}", error.detail);
        }
        assert_eq!(error.partial.is_some(), first.contains("\r\n\r\n"), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_as_fast_as_the_wire_still_ends_at_the_deadline() {
    let table = [
        ("1xx", "", "HTTP/1.1 100 Continue\r\n\r\n".repeat(500)),
        ("empty lines", "", "\r\n".repeat(5_000)),
        ("tiny chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1;a=b\r\nx\r\n".repeat(500)),
    ];
    for (what, first, flood) in table {
        let receiver = Receiver::start(move |_, mut stream| {
            let flood = flood.clone();
            async move {
                read_request(&mut stream).await?;
                stream.write_all(first.as_bytes()).await?;
                loop {
                    stream.write_all(flood.as_bytes()).await?;
                }
            }
        })
        .await;
        let started = Instant::now();
        let limits = SendLimits { response_bytes_max: usize::MAX / 2, ..SHORT };
        let client = client();
        let sending = client.send(post(&receiver.url("/")), if what == "tiny chunks" { SHORT } else { limits });
        match sending.await {
            Ok(answer) => assert!(what == "tiny chunks" && answer.truncated, "{what}"),
            Err(error) => {
                assert!(matches!(error.cause, Cause::Timeout | Cause::Protocol), "{what}: {}", error.detail);
            }
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{what}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn interim_answers_without_end_end_the_attempt_long_before_its_deadline() {
    for flood in ["HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(100), "HTTP/1.1 100 Continue\r\n\r\n".repeat(500)] {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = taken.clone();
        let receiver = Receiver::start(move |_, mut stream| {
            let (flood, counter) = (flood.clone(), counter.clone());
            async move {
                read_request(&mut stream).await?;
                loop {
                    stream.write_all(flood.as_bytes()).await?;
                    counter.fetch_add(flood.len(), Ordering::SeqCst);
                }
            }
        })
        .await;
        let error = failure(&receiver, LIMITS).await;
        assert_eq!(error.cause, Cause::Protocol, "{}", error.detail);
        assert!(error.detail.starts_with("the endpoint sent interim answers (1xx) without end"), "{}", error.detail);
        receiver.ended.notified().await;
        // What fits into the buffers of the sockets comes on top of what was read.
        assert!(taken.load(Ordering::SeqCst) < 16 << 20, "{}", taken.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn some_interim_answers_before_the_last_one_do_no_harm() {
    let receiver = Receiver::start(|_, mut stream| async move {
        loop {
            read_request(&mut stream).await?;
            stream.write_all("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(1_000).as_bytes()).await?;
            // And a body that is longer than all that may stand before it.
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 400000\r\n\r\n").await?;
            stream.write_all(&vec![b'x'; 400_000]).await?;
        }
    })
    .await;
    let client = client();
    let limits = SendLimits { response_bytes_max: 1 << 20, ..LIMITS };
    // Counted from request to request, not over the connection's life.
    for _ in 0..10 {
        let answer = client.send(post(&receiver.url("/")), limits).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 400_000));
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_gzip_bomb_is_kept_as_it_came_up_to_the_cap() {
    // 64 KiB of what would be gigabytes: nothing here decompresses, so it is bytes like any others.
    let bomb: Vec<u8> = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], &[0xed, 0xc1, 1, 0].repeat(16_384)].concat();
    let head = format!("HTTP/1.1 500 X\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let receiver = Receiver::answering([head.as_bytes(), &bomb].concat()).await;
    let answer = client().send(post(&receiver.url("/")), LIMITS).await.unwrap();
    assert_eq!((answer.status, answer.truncated, &answer.body[..]), (500, true, &bomb[..1024]));
}

#[tokio::test]
async fn what_comes_behind_an_answer_is_never_taken_for_the_next_ones() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 299 Smuggled\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 299 Smuggled\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more than was announced",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 299 Smuggled\r\n\r\n",
    ] {
        let receiver = Receiver::answering(answer).await;
        let client = client();
        for _ in 0..3 {
            match client.send(post(&receiver.url("/")), LIMITS).await {
                Ok(response) => assert!(matches!(response.status, 200 | 204), "{answer}: {}", response.status),
                Err(error) => assert_eq!(error.cause, Cause::Protocol, "{answer}: {}", error.detail),
            }
        }
        assert_eq!(receiver.connections(), 3, "{answer}");
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_and_is_a_whole_answer() {
    let receiver = Receiver::start(|_, mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 500 Oops\r\n\r\n").await?;
        loop {
            stream.write_all(&[b'x'; 4096]).await?;
        }
    })
    .await;
    let answer = client().send(post(&receiver.url("/")), LIMITS).await.unwrap();
    assert_eq!((answer.status, answer.body.len(), answer.truncated), (500, 1024, true));
}

#[tokio::test]
async fn an_endpoint_that_does_not_read_ends_at_the_deadline() {
    let receiver = Receiver::start(|_, stream| async move {
        let _stream = stream;
        std::future::pending().await
    })
    .await;
    let large = Request::post(receiver.url("/")).body(Bytes::from(vec![b'x'; 16 << 20])).unwrap();
    assert_eq!(client().send(large, SHORT).await.unwrap_err().cause, Cause::Timeout);
}

#[tokio::test]
async fn redirects_are_answers_and_not_followed() {
    let target = Receiver::answering(OK).await;
    let head = format!("HTTP/1.1 307 Go\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", target.url("/"));
    let receiver = Receiver::answering(head).await;
    let answer = client().send(post(&receiver.url("/")), LIMITS).await.unwrap();
    assert_eq!((answer.status, answer.headers.contains_key("location"), target.connections()), (307, true, 0));
}

#[tokio::test]
async fn switching_protocols_is_an_answer_and_the_connection_is_given_up() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    let receiver = Receiver::answering(answer).await;
    let client = client();
    for connections in 1..=2 {
        assert_eq!(client.send(post(&receiver.url("/")), LIMITS).await.unwrap().status, 101);
        assert_eq!(receiver.connections(), connections);
    }
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_named() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client().send(post(&format!("http://{address}/")), LIMITS).await.unwrap_err();
    assert_eq!(error.cause, Cause::Connect);
    assert_eq!(error.detail, format!("no connection to {address}: refused: is the endpoint running, is the port right?"));
}

#[tokio::test]
async fn a_timeout_says_what_is_configured_not_what_was_left_of_it() {
    let (hold, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let gate = std::sync::Mutex::new(gate);
    let client = client_resolving(&[], move |_| {
        let _ = gate.lock().unwrap().recv();
        Ok(vec![])
    });
    let limits = SendLimits { spent: LIMITS.timeout - Duration::from_millis(50), ..LIMITS };
    let started = Instant::now();
    let error = client.send(post("https://slow.test/"), limits).await.unwrap_err();
    assert!(error.detail.contains("within 20 s (`timeout`)"), "{}", error.detail);
    assert!(started.elapsed() < LIMITS.connect_timeout, "{:?}", started.elapsed());
    drop(hold);
}

#[tokio::test]
async fn a_resolver_that_hangs_ends_at_the_connect_timeout() {
    let (_hold, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let gate = std::sync::Mutex::new(gate);
    let client = client_resolving(&[], move |_| {
        let _ = gate.lock().unwrap().recv();
        Ok(vec![])
    });
    let limits = SendLimits { connect_timeout: Duration::from_millis(50), ..LIMITS };
    let error = client.send(post("https://slow.test/"), limits).await.unwrap_err();
    assert_eq!(error.cause, Cause::Timeout);
    assert_eq!(error.detail, "the endpoint's name did not resolve within 50 ms (`connect_timeout`): check this machine's DNS");
    drop(_hold);
}
