//! What metrics and operational events say about an attempt is what the store decided, not what the attempt expected.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Receiver, Server, head, webhook};

/// The next request of an endpoint that answers when it is told to.
async fn next_request(endpoint: &TcpListener) -> TcpStream {
    let (mut stream, _) = endpoint.accept().await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\r\n\r\n{") {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "the request ends early");
        seen.extend_from_slice(&part[..read]);
    }
    stream
}

async fn answer_500(mut stream: TcpStream) {
    stream.write_all(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
}

async fn counted(server: &Server, outcome: &str) -> Option<String> {
    let (_, _, body) = server.http().raw("GET", "/metrics", &[], Bytes::new()).await;
    let start = format!("tenterhook_deliveries_total{{webhook=\"ops\",outcome=\"{outcome}\"}} ");
    String::from_utf8_lossy(&body).lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
}

#[tokio::test]
async fn a_delivery_cancelled_or_retried_during_its_last_attempt_has_not_failed() {
    let endpoint = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in", endpoint.local_addr().unwrap());
    let receiver = Receiver::start().await;
    let config = head()
        + &webhook("ops", &url, r#"["a.*"]"#, "retry = { max_retries = 0 }")
        + &webhook("notices", &receiver.url("/notices"), r#"["webhook.**"]"#, "");
    let server = Server::start(&config).await;
    let http = server.http();
    let id =
        async |event: &str| http.get(&format!("/v1/events/{event}")).await.1["deliveries"][0]["id"].as_str().unwrap().to_owned();

    let event = server.publish("a.b", "{}").await;
    let stream = next_request(&endpoint).await;
    let (status, answer) = http.post(&format!("/v1/deliveries/{}/cancel", id(&event).await), "").await;
    assert_eq!(status, 200, "{answer}");
    answer_500(stream).await;
    server.eventually("the attempt is counted", async || counted(&server, "cancelled").await.as_deref() == Some("1")).await;
    assert_eq!(server.delivery_in(&event, "cancelled").await["attempt_count"], 1);

    let event = server.publish("a.b", "{}").await;
    let stream = next_request(&endpoint).await;
    let (status, answer) = http.post(&format!("/v1/deliveries/{}/retry", id(&event).await), "").await;
    assert!(status < 300, "{answer}");
    answer_500(stream).await;
    let stream = next_request(&endpoint).await;
    assert_eq!(counted(&server, "failed").await.as_deref(), Some("0"), "neither of the two has failed");
    answer_500(stream).await;
    // This one has, and is the only one that anybody hears of.
    server.delivery_in(&event, "failed").await;
    server.eventually("it is counted", async || counted(&server, "failed").await.as_deref() == Some("1")).await;
    let notices = receiver.wait_for("/notices", 1).await;
    assert_eq!(notices[0].json()["data"]["event"]["id"], event.as_str());
    assert_eq!(receiver.received("/notices").len(), 1, "{notices:?}");
}
