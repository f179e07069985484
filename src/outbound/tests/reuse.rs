//! Connections are used again, and never in a way that sends a request twice.

use super::*;

/// Answers every request on a connection, and tells the test about each: (connection, request).
async fn chatty() -> (Receiver, mpsc::Receiver<(usize, String)>) {
    let (sender, seen) = mpsc::channel(16);
    let receiver = Receiver::start(move |number, mut stream| {
        let sender = sender.clone();
        async move {
            loop {
                let request = read_request(&mut stream).await?;
                let _ = sender.send((number, request)).await;
                stream.write_all(OK.as_bytes()).await?;
            }
        }
    })
    .await;
    (receiver, seen)
}

#[tokio::test]
async fn the_second_request_goes_over_the_first_ones_connection() {
    let (receiver, mut seen) = chatty().await;
    let client = client();
    let first = client.send(post(&receiver.url("/in?x=1")), LIMITS).await.unwrap();
    let second = client.send(post(&receiver.url("/in")), LIMITS).await.unwrap();
    assert_eq!((&first.body[..], first.truncated), (&b"ok"[..], false));
    assert!(first.timings.connect_us.is_some() && first.timings.first_byte_us.is_some() && first.timings.body_us.is_some());
    assert!(first.timings.resolve_us.is_none() && first.timings.tls_us.is_none());
    assert!(second.timings.connect_us.is_none() && second.timings.first_byte_us.is_some());
    let (_, request) = seen.recv().await.unwrap();
    assert!(request.starts_with("POST /in?x=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {}\r\n", receiver.address)), "{request}");
    assert!(request.ends_with("content-length: 7\r\n\r\n{\"a\":1}") || request.ends_with("\r\n\r\n{\"a\":1}"), "{request}");
    assert_eq!(seen.recv().await.unwrap().0, 0);
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_the_endpoint_closed_meanwhile_costs_nothing() {
    let receiver = Receiver::start(|_, mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(OK.as_bytes()).await
    })
    .await;
    let client = client();
    for _ in 0..20 {
        assert_eq!(client.send(post(&receiver.url("/")), LIMITS).await.unwrap().status, 200);
    }
    assert_eq!(receiver.connections(), 20);
}

/// How a kept connection ends over the request that comes on it.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Closed with the request unread, which resets it.
    Unread,
    /// Its end is said, and the request is never read.
    HalfClosed,
    Read,
    ReadAndReset,
    BeginningToAnswer,
    /// After more time than a close takes to get here.
    Working,
}

/// Answers the first request on its first connections, which all end in the second one; answers everything on later ones.
async fn ending(end: End, connections: usize) -> (Receiver, Arc<AtomicUsize>) {
    let read = Arc::new(AtomicUsize::new(0));
    let counter = read.clone();
    let receiver = Receiver::start(move |number, mut stream| {
        let counter = counter.clone();
        async move {
            loop {
                if number < connections {
                    read_request(&mut stream).await?;
                    stream.write_all(OK.as_bytes()).await?;
                    stream.peek(&mut [0]).await?;
                    return end_with(end, stream, &counter).await;
                }
                read_request(&mut stream).await?;
                counter.fetch_add(1, Ordering::SeqCst);
                stream.write_all(OK.as_bytes()).await?;
            }
        }
    })
    .await;
    (receiver, read)
}

async fn end_with(end: End, mut stream: TcpStream, read: &AtomicUsize) -> io::Result<()> {
    match end {
        End::Unread => return Ok(()),
        End::HalfClosed => {
            stream.shutdown().await?;
            return std::future::pending().await;
        }
        End::Read | End::ReadAndReset | End::BeginningToAnswer | End::Working => {}
    }
    read_request(&mut stream).await?;
    read.fetch_add(1, Ordering::SeqCst);
    match end {
        End::ReadAndReset => stream.set_zero_linger(),
        End::BeginningToAnswer => stream.write_all(b"H").await,
        End::Working => {
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            Ok(())
        }
        _ => Ok(()),
    }
}

#[tokio::test]
async fn a_kept_connection_that_closes_over_a_request_costs_no_attempt() {
    for end in [End::Unread, End::HalfClosed, End::Read, End::ReadAndReset] {
        let (receiver, _) = ending(end, 1).await;
        let client = client();
        for _ in 0..3 {
            let answer = client.send(post(&receiver.url("/")), LIMITS).await;
            assert_eq!(answer.unwrap_or_else(|error| panic!("{end:?}: {error}")).status, 200);
        }
        assert_eq!(receiver.connections(), 2, "{end:?}");
    }
}

#[tokio::test]
async fn a_request_that_the_endpoint_may_have_processed_is_not_sent_again() {
    for end in [End::BeginningToAnswer, End::Working] {
        let (receiver, read) = ending(end, 1).await;
        let client = client();
        client.send(post(&receiver.url("/")), LIMITS).await.unwrap();
        let error = client.send(post(&receiver.url("/")), LIMITS).await.unwrap_err();
        assert_eq!(error.cause, Cause::Connection, "{end:?}: {}", error.detail);
        assert_eq!((read.load(Ordering::SeqCst), receiver.connections()), (1, 1), "{end:?}");
    }
    // Nor is any that broke on a new connection.
    let receiver = Receiver::start(|_, mut stream| async move { read_request(&mut stream).await.map(drop) }).await;
    let error = client().send(post(&receiver.url("/")), LIMITS).await.unwrap_err();
    assert_eq!((error.cause, receiver.connections()), (Cause::Connection, 1), "{}", error.detail);
}

#[tokio::test]
async fn a_request_meets_the_close_of_one_kept_connection_at_most() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = requests.clone();
    let receiver = Receiver::start(move |number, mut stream| {
        let counter = counter.clone();
        async move {
            if number == 0 {
                read_request(&mut stream).await?;
                stream.write_all(OK.as_bytes()).await?;
            }
            read_request(&mut stream).await?;
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    })
    .await;
    let client = client();
    client.send(post(&receiver.url("/")), LIMITS).await.unwrap();
    let error = client.send(post(&receiver.url("/")), LIMITS).await.unwrap_err();
    assert_eq!(error.cause, Cause::Connection, "{}", error.detail);
    assert_eq!((requests.load(Ordering::SeqCst), receiver.connections()), (2, 2));
}

#[tokio::test]
async fn idle_connections_are_closed_when_their_time_is_over() {
    let receiver = Receiver::answering(OK).await;
    let client = Client::new(ClientOptions { idle_timeout: Duration::from_millis(40), ..options(&["127.0.0.0/8"]) }).unwrap();
    client.send(post(&receiver.url("/")), LIMITS).await.unwrap();
    receiver.ended.notified().await;
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_allowed() {
    let everybody = Arc::new(tokio::sync::Barrier::new(4));
    let (closed, mut closings) = mpsc::channel(16);
    let receiver = Receiver::start(move |_, mut stream| {
        let (everybody, closed) = (everybody.clone(), closed.clone());
        async move {
            read_request(&mut stream).await?;
            everybody.wait().await;
            stream.write_all(OK.as_bytes()).await?;
            let _ = until_closed(&mut stream).await;
            let _ = closed.send(()).await;
            Ok(())
        }
    })
    .await;
    let client = Client::new(ClientOptions { idle_per_host_max: 1, ..options(&["127.0.0.0/8"]) }).unwrap();
    let url = receiver.url("/");
    let send = || async { client.send(post(&url), LIMITS).await.unwrap().status };
    assert_eq!(tokio::join!(send(), send(), send(), send()), (200, 200, 200, 200));
    for _ in 0..3 {
        closings.recv().await.unwrap();
    }
    assert!(closings.try_recv().is_err());
}

#[tokio::test]
async fn a_small_remainder_is_drained_and_a_large_one_costs_the_connection() {
    for (length, connections) in [(3_000, 1), (3_000_000, 2)] {
        let receiver = Receiver::start(move |_, mut stream| async move {
            loop {
                read_request(&mut stream).await?;
                stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await?;
                stream.write_all(&vec![b'x'; length]).await?;
            }
        })
        .await;
        let client = client();
        for _ in 0..2 {
            let answer = client.send(post(&receiver.url("/")), LIMITS).await.unwrap();
            assert_eq!((answer.body.len(), answer.truncated), (1024, true));
        }
        assert_eq!(receiver.connections(), connections, "{length}");
    }
}

#[tokio::test]
async fn after_a_silent_death_the_next_attempt_begins_on_a_new_connection() {
    let receiver = Receiver::start(|number, mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(OK.as_bytes()).await?;
        if number == 0 {
            // As if a firewall had forgotten the connection: bytes go in, nothing comes out.
            return until_closed(&mut stream).await;
        }
        read_request(&mut stream).await?;
        stream.write_all(OK.as_bytes()).await
    })
    .await;
    let client = client();
    client.send(post(&receiver.url("/")), LIMITS).await.unwrap();
    assert_eq!(client.send(post(&receiver.url("/")), SHORT).await.unwrap_err().cause, Cause::Timeout);
    assert_eq!(client.send(post(&receiver.url("/")), LIMITS).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_early_answer_does_not_poison_the_connection() {
    // The endpoint answers 413 from the head alone and never reads the body.
    let receiver = Receiver::start(|_, mut stream| async move {
        let mut head = [0; 64];
        stream.read_exact(&mut head).await?;
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await?;
        std::future::pending().await
    })
    .await;
    let client = client();
    for _ in 0..2 {
        let large = Request::post(receiver.url("/")).body(Bytes::from(vec![b'x'; 16 << 20])).unwrap();
        assert_eq!(client.send(large, LIMITS).await.unwrap().status, 413);
    }
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steady_senders_need_hardly_more_connections_than_they_are() {
    const SENDERS: usize = 8;
    let (receiver, seen) = chatty().await;
    drop(seen);
    let client = client();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        let (client, url) = (client.clone(), receiver.url("/"));
        senders.spawn(async move {
            for _ in 0..200 {
                assert_eq!(client.send(post(&url), LIMITS).await.unwrap().status, 200);
            }
        });
    }
    senders.join_all().await;
    assert!(receiver.connections() <= 2 * SENDERS, "{}", receiver.connections());
}
