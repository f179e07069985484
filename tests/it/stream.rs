//! `GET /v1/stream`: what is told, to whom, and how it goes on where it broke off.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::harness::{Answer, PATIENCE, Receiver, Server, head, webhook};

/// One server-sent event.
#[derive(Debug, Default, Clone)]
struct FeedItem {
    id: String,
    kind: String,
    data: String,
}

impl FeedItem {
    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

struct Stream {
    response: Response<Incoming>,
    text: String,
}

impl Stream {
    async fn open(server: &Server, query: &str, last: Option<&str>) -> Self {
        Self::open_as(server, &server.http().token, query, last).await
    }

    async fn open_as(server: &Server, token: &str, query: &str, last: Option<&str>) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::get(format!("/v1/stream{query}")).header("host", "x");
        request = request.header("authorization", format!("Bearer {token}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        Self { response, text: String::new() }
    }

    /// The next event, ids alone included; `None` at the end.
    async fn next_raw(&mut self) -> Option<FeedItem> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let mut told = FeedItem::default();
                let field = |line: &str, name: &str| line.strip_prefix(name).map(str::to_owned);
                for line in block.lines() {
                    if let Some(id) = field(line, "id: ") {
                        told.id = id;
                    } else if let Some(kind) = field(line, "event: ") {
                        told.kind = kind;
                    } else if let Some(data) = field(line, "data: ") {
                        told.data.push_str(&data);
                        told.data.push('\n');
                    }
                }
                return Some(told);
            }
            let frame = tokio::time::timeout(PATIENCE, self.response.body_mut().frame()).await.expect("something is told");
            let data = frame?.unwrap().into_data().unwrap_or_default();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The next event with something to say.
    async fn next(&mut self) -> Option<FeedItem> {
        loop {
            let told = self.next_raw().await?;
            if !told.kind.is_empty() {
                return Some(told);
            }
        }
    }

    async fn take(&mut self, count: usize) -> Vec<FeedItem> {
        let mut taken = Vec::new();
        for _ in 0..count {
            taken.push(self.next().await.unwrap());
        }
        taken
    }
}

async fn two_webhooks() -> (Server, Receiver) {
    let receiver = Receiver::start().await;
    let retries = "retry = { schedule = [\"1ms\"] }";
    let config = [
        head(),
        webhook("orders", &receiver.url("/orders"), "[\"order.*\"]", retries),
        webhook("acme", &receiver.url("/acme"), "[\"*\"]", "tenant = \"acme\""),
        "[tokens.boss]\ntoken = \"boss-token-0123456789\"\nscopes = [\"manage\"]\n".to_owned(),
        "[tokens.acme]\ntoken = \"acme-token-0123456789\"\nscopes = [\"manage\"]\ntenant = \"acme\"\n".to_owned(),
    ];
    let mut server = Server::start(&config.concat()).await;
    server.set_token("boss-token-0123456789");
    (server, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_attempts_are_told_as_they_happen() {
    let (server, receiver) = two_webhooks().await;
    receiver.answer_next("/orders", [Answer::Status(503)]);
    server.publish("order.before", "0").await;
    receiver.wait_for("/orders", 2).await;
    let mut stream = Stream::open(&server, "", None).await;
    assert_eq!(stream.response.headers()["content-type"], "text/event-stream");
    let hello = stream.next_raw().await.unwrap();
    assert!(hello.kind.is_empty() && !hello.id.is_empty(), "a place to go on from, whatever happens: {hello:?}");
    receiver.answer_next("/orders", [Answer::Status(503)]);
    let event = server.publish("order.created", "{\"n\":\n1}").await;
    let mut told = stream.take(1).await;
    // The settling of what was before may still be told.
    while told.last().unwrap().kind == "attempt" {
        told = stream.take(1).await;
    }
    assert_eq!(
        (told[0].kind.as_str(), &told[0].json()["id"], &told[0].json()["data"]),
        ("event", &json!(event), &json!({"n": 1}))
    );
    let attempts = stream.take(2).await;
    let shown: Vec<Value> = attempts.iter().map(FeedItem::json).collect();
    assert_eq!((&shown[0]["number"], &shown[0]["outcome"], &shown[0]["status"]), (&json!(1), &json!("failed"), &json!(503)));
    assert_eq!((&shown[1]["number"], &shown[1]["status"]), (&json!(2), &json!(200)));
    let delivery = &shown[1]["delivery"];
    assert_eq!(
        (&delivery["event_id"], &delivery["webhook"], &delivery["state"]),
        (&json!(event), &json!("orders"), &json!("succeeded"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_it_broke_off_also_over_a_restart() {
    let (server, receiver) = two_webhooks().await;
    let mut stream = Stream::open(&server, "?event_type=order.*", None).await;
    let first = server.publish("order.one", "1").await;
    let told = stream.next().await.unwrap();
    assert_eq!(told.json()["id"], json!(first));
    drop(stream);
    let mut missed = Vec::new();
    for n in 2..150 {
        missed.push(server.publish("order.missed", &n.to_string()).await);
        server.publish("other.thing", "0").await;
    }
    receiver.wait_for("/orders", 149).await;
    let directory = server.stop().await;
    let mut server = Server::start_in(directory).await;
    server.set_token("boss-token-0123456789");
    let mut stream = Stream::open(&server, "?event_type=order.*", Some(&told.id)).await;
    let told = stream.take(148 + 149).await;
    let events: Vec<String> =
        told.iter().filter(|told| told.kind == "event").map(|told| told.json()["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events, missed, "each once, in their order");
    assert_eq!(told.iter().filter(|told| told.kind == "attempt").count(), 149);
    let (status, answer) = server.http().send("GET", "/v1/stream", &[("last-event-id", "soon")], Bytes::new()).await;
    assert!(status == 400 && answer["detail"].as_str().unwrap().starts_with("Last-Event-ID is none of ours"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_told_what_they_asked_for_and_may_see() {
    let (server, _receiver) = two_webhooks().await;
    let mut acme = Stream::open_as(&server, "acme-token-0123456789", "", None).await;
    let mut webhook = Stream::open(&server, "?webhook=acme", None).await;
    let mut ended = Stream::open(&server, "?state=succeeded", None).await;
    server.publish("order.created", "1").await;
    let body = r#"{"id":"a-1","type":"thing.happened","tenant":"acme"}"#;
    assert_eq!(server.http().post("/v1/events", body).await.0, 202);
    for stream in [&mut acme, &mut webhook] {
        let told = stream.take(2).await;
        assert_eq!((told[0].kind.as_str(), &told[0].json()["id"]), ("event", &json!("a-1")));
        assert_eq!((told[1].kind.as_str(), &told[1].json()["delivery"]["webhook"]), ("attempt", &json!("acme")));
    }
    let told = ended.take(2).await;
    assert!(told.iter().all(|told| told.kind == "attempt" && told.json()["delivery"]["state"] == "succeeded"), "{told:?}");
    let token = [("authorization", "Bearer acme-token-0123456789")];
    assert_eq!(server.http().send("GET", "/v1/stream?tenant=other", &token, Bytes::new()).await.0, 403);
    assert_eq!(server.http().get("/v1/stream?state=lost&colour=red").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_says_why_it_ends() {
    let (server, _receiver) = two_webhooks().await;
    let mut acme = Stream::open_as(&server, "acme-token-0123456789", "", None).await;
    let mut boss = Stream::open(&server, "", None).await;
    acme.next_raw().await.unwrap();
    boss.next_raw().await.unwrap();
    // The tenant's token is taken away.
    let config = [head(), "[tokens.boss]\ntoken = \"boss-token-0123456789\"\nscopes = [\"manage\"]\n".to_owned()].concat();
    server.reconfigure(&config).await;
    server.publish("order.created", "1").await;
    let end = acme.next().await.unwrap();
    assert_eq!((end.kind.as_str(), end.json()), ("end", json!({"reason": "the token is not valid for this any more"})));
    assert!(acme.next_raw().await.is_none());
    assert_eq!(boss.next().await.unwrap().kind, "event");
    let stopping = tokio::spawn(server.stop());
    let end = boss.next().await.unwrap();
    assert_eq!((end.kind.as_str(), end.json()), ("end", json!({"reason": "the server is stopping"})));
    tokio::time::timeout(Duration::from_secs(5), stopping).await.expect("streams do not hold the shutdown up").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_as_many_streams_as_said_and_their_places_come_back() {
    let (server, _receiver) = two_webhooks().await;
    let mut streams = Vec::new();
    // Of one token; the number of all is twice that.
    for _ in 0..32 {
        let mut stream = Stream::open(&server, "", None).await;
        assert_eq!(stream.response.status(), 200);
        stream.next_raw().await.unwrap();
        streams.push(stream);
    }
    let (status, headers, body) = server.http().raw("GET", "/v1/stream", &[], Bytes::new()).await;
    assert_eq!((status, &headers["retry-after"]), (503, &"5".parse().unwrap()));
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["detail"], "this token has 32 streams open, which is its most: close one, or try again");
    drop(streams);
    server.eventually("a place is free again", async || Stream::open(&server, "", None).await.response.status() == 200).await;
}
