//! What HTTP/2 endpoints say of requests that they did not process, frame by frame (RFC 9113 §6.4, §6.8, §8.7).

use super::secure::{acceptor, authority, named, trusting, url};
use super::*;
use tokio::io::AsyncWrite;
use tokio_rustls::TlsAcceptor;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;
const HTTP_1_1_REQUIRED: u32 = 13;

/// What becomes of one request.
#[derive(Debug, Clone, Copy)]
enum Reply {
    Ok,
    Reset(u32),
    /// The last stream that was processed, and why.
    GoAway(u32, u32),
    GoAwayAndClose(u32, u32),
    /// The answer, and none to any later request.
    OkAndGoAway,
    /// A number of interim answers, and then the last one.
    Interim(usize),
    Ignore,
    Close,
}

/// Length, type, flags, stream; RFC 9113 §4.1.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The stream of the next request.
async fn next_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<u32> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await?;
        if head[3] == 1 {
            return Ok(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
        }
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, reply: impl Fn(usize) -> Reply) -> io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&frame(4, 0, 0, &[])).await?;
    for number in 0.. {
        let id = next_request(&mut stream).await?;
        let goaway = |last: u32, why: u32| frame(7, 0, 0, &[last.to_be_bytes(), why.to_be_bytes()].concat());
        let ok = frame(1, 5, id, &[0x88]);
        let answer = match reply(number) {
            Reply::Ok => ok,
            Reply::Reset(why) => frame(3, 0, id, &why.to_be_bytes()),
            Reply::GoAway(last, why) => goaway(last, why),
            Reply::GoAwayAndClose(last, why) => {
                stream.write_all(&goaway(last, why)).await?;
                return stream.shutdown().await;
            }
            Reply::OkAndGoAway => [ok, goaway(id, NO_ERROR)].concat(),
            Reply::Interim(count) => {
                let interim = frame(1, 4, id, b"\x08\x03103");
                for _ in 0..count / 100 {
                    stream.write_all(&interim.repeat(100)).await?;
                }
                ok
            }
            Reply::Ignore => continue,
            Reply::Close => return stream.shutdown().await,
        };
        stream.write_all(&answer).await?;
    }
    Ok(())
}

/// `reply` is given the numbers of the connection and of the request on it. In HTTP/1.1 everything is answered with 200.
async fn scripted(tls: TlsAcceptor, reply: impl Fn(usize, usize) -> Reply + Clone + Send + Sync + 'static) -> Receiver {
    Receiver::start(move |connection, stream| {
        let (tls, reply) = (tls.clone(), reply.clone());
        async move {
            let mut stream = tls.accept(stream).await?;
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                return serve(stream, |request| reply(connection, request)).await;
            }
            loop {
                read_request(&mut stream).await?;
                stream.write_all(OK.as_bytes()).await?;
            }
        }
    })
    .await
}

fn parties() -> (TlsAcceptor, Client) {
    let authority = authority();
    (acceptor(&authority, named("hooks.test"), &["h2", "http/1.1"]), trusting(&authority))
}

#[tokio::test]
async fn a_request_that_was_turned_away_unread_goes_again_within_its_attempt() {
    for turned_away in [
        Reply::GoAway(0, NO_ERROR),
        // Whatever the reason: the stream is above the last one.
        Reply::GoAway(0, ENHANCE_YOUR_CALM),
        Reply::Reset(REFUSED_STREAM),
    ] {
        let (tls, client) = parties();
        let receiver = scripted(tls, move |connection, _| if connection == 0 { turned_away } else { Reply::Ok }).await;
        let url = url(&receiver, "hooks.test");
        assert_eq!(client.send(post(&url), LIMITS).await.unwrap().status, 200, "{turned_away:?}");
        assert_eq!(receiver.connections(), 2, "{turned_away:?}");
    }
}

#[tokio::test]
async fn a_connection_closed_after_some_requests_costs_no_attempt() {
    const PER_CONNECTION: usize = 5;
    const REQUESTS: usize = 40;
    let (tls, client) = parties();
    let processed = Arc::new(AtomicUsize::new(0));
    let counter = processed.clone();
    let receiver = scripted(tls, move |_, request| {
        if request >= PER_CONNECTION {
            return Reply::Ignore;
        }
        counter.fetch_add(1, Ordering::SeqCst);
        if request + 1 == PER_CONNECTION { Reply::OkAndGoAway } else { Reply::Ok }
    })
    .await;
    let url = url(&receiver, "hooks.test");
    client.send(post(&url), LIMITS).await.unwrap();
    let mut sending = tokio::task::JoinSet::new();
    for _ in 1..REQUESTS {
        let (client, url) = (client.clone(), url.clone());
        sending.spawn(async move { client.send(post(&url), LIMITS).await.unwrap().status });
    }
    assert!(sending.join_all().await.iter().all(|status| *status == 200));
    assert_eq!(processed.load(Ordering::SeqCst), REQUESTS, "each is processed once");
}

#[tokio::test]
async fn what_may_have_been_processed_is_not_sent_again() {
    for (reply, cause) in [
        (Reply::Reset(INTERNAL_ERROR), Cause::Protocol),
        (Reply::Reset(CANCEL), Cause::Protocol),
        (Reply::Reset(NO_ERROR), Cause::Protocol),
        (Reply::Close, Cause::Connection),
    ] {
        let (tls, client) = parties();
        let receiver = scripted(tls, move |_, _| reply).await;
        let error = client.send(post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap_err();
        assert_eq!(error.cause, cause, "{reply:?}: {}", error.detail);
        assert_eq!(receiver.connections(), 1, "{reply:?}");
    }
    // A GOAWAY that counts the request among those processed, and no answer to it before the end of the connection.
    let (tls, client) = parties();
    let receiver = scripted(tls, |_, _| Reply::GoAwayAndClose(1, NO_ERROR)).await;
    let error = client.send(post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap_err();
    assert_eq!((error.cause, receiver.connections()), (Cause::Connection, 1), "{}", error.detail);
    // Or none at all.
    let (tls, client) = parties();
    let receiver = scripted(tls, |_, request| if request == 0 { Reply::GoAway(1, NO_ERROR) } else { Reply::Close }).await;
    let error = client.send(post(&url(&receiver, "hooks.test")), SHORT).await.unwrap_err();
    assert_eq!(error.cause, Cause::Timeout, "{}", error.detail);
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn an_endpoint_that_turns_everything_away_is_named_after_a_few_times() {
    for reply in [Reply::Reset(REFUSED_STREAM), Reply::GoAway(0, NO_ERROR)] {
        let (tls, client) = parties();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        let receiver = scripted(tls, move |_, _| {
            counter.fetch_add(1, Ordering::SeqCst);
            reply
        })
        .await;
        let error = client.send(post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap_err();
        assert_eq!(error.cause, Cause::Protocol, "{}", error.detail);
        assert!(error.detail.contains("turned the request away 4 times over HTTP/2"), "{}", error.detail);
        assert_eq!(requests.load(Ordering::SeqCst), 4);
    }
}

#[tokio::test]
async fn an_endpoint_that_wants_http_1_1_gets_it() {
    for reply in [Reply::Reset(HTTP_1_1_REQUIRED), Reply::GoAway(0, HTTP_1_1_REQUIRED)] {
        let (tls, client) = parties();
        let receiver = scripted(tls, move |_, _| reply).await;
        for _ in 0..3 {
            let answer = client.send(post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap();
            assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]), "{reply:?}");
        }
        assert_eq!(receiver.connections(), 2, "the second one is kept: {reply:?}");
    }
}

#[tokio::test]
async fn interim_answers_end_the_attempt_only_if_they_have_no_end_themselves() {
    let (tls, client) = parties();
    let receiver = scripted(tls, move |_, request| Reply::Interim(if request < 5 { 10_000 } else { usize::MAX })).await;
    let url = url(&receiver, "hooks.test");
    for _ in 0..5 {
        assert_eq!(client.send(post(&url), LIMITS).await.unwrap().status, 200);
    }
    let error = client.send(post(&url), LIMITS).await.unwrap_err();
    assert_eq!(error.cause, Cause::Protocol, "{}", error.detail);
    assert!(error.detail.starts_with("the endpoint sent interim answers (1xx) without end"), "{}", error.detail);
    receiver.ended.notified().await;
    assert_eq!(receiver.connections(), 1);
}
