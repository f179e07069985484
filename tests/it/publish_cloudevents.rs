//! CloudEvents: what makes two of them the same, and what goes out again.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::harness::{Receiver, Server, head, webhook};

async fn structured(server: &Server, event: &Value) -> (u16, Value) {
    let headers = [("content-type", "application/cloudevents+json")];
    server.http().send("POST", "/v1/events", &headers, Bytes::from(event.to_string())).await
}

fn event(source: &str, id: &str) -> Value {
    json!({"specversion": "1.0", "type": "dev.knative.kafka.event", "id": id, "source": source, "data": {"n": 1}})
}

#[tokio::test]
async fn two_sources_may_use_the_same_ids() {
    let receiver = Receiver::start().await;
    let config = head()
        + &webhook("raw", &receiver.url("/raw"), r#"["**"]"#, "")
        + &webhook("ce", &receiver.url("/ce"), r#"["**"]"#, "transform = \"cloudevents\"");
    let server = Server::start(&config).await;
    let id = "partition:0/offset:5";
    let (status, first) = structured(&server, &event("/kafkasources/orders#orders", id)).await;
    assert_eq!(status, 202, "{first}");
    let (status, second) = structured(&server, &event("/kafkasources/payments#payments", id)).await;
    assert_eq!(status, 202, "{second}");
    assert_ne!(first["id"], second["id"]);
    let (status, again) = structured(&server, &event("/kafkasources/orders#orders", id)).await;
    assert_eq!((status, &again["id"], &again["deliveries"]), (200, &first["id"], &first["deliveries"]));
    let headers = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-type", "dev.knative.kafka.event"),
        ("ce-id", id),
        ("ce-source", "/kafkasources/third"),
    ];
    let (status, third) = server.http().send("POST", "/v1/events", &headers, Bytes::from_static(br#"{"n": 1}"#)).await;
    assert_eq!(status, 202, "{third}");
    let batch = json!([event("/a", "1"), event("/b", "1"), event("/a", "1")]);
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let (status, answer) = server.http().send("POST", "/v1/events", &headers, Bytes::from(batch.to_string())).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!((&answer["data"][0]["id"], answer["data"][2]["duplicate"].as_bool()), (&answer["data"][2]["id"], Some(true)));
    let mut other = event("/a", "1");
    other["data"]["n"] = 2.into();
    assert_eq!(structured(&server, &other).await.0, 409, "the same identity with other content");

    let received = receiver.wait_for("/ce", 5).await;
    assert_eq!(received.iter().filter(|request| request.json()["id"] == id).count(), 3, "the producer's id goes out again");
    let stored = receiver.wait_for("/raw", 5).await.remove(0).json();
    assert_eq!(stored["metadata"]["cloudevents"]["id"], id);
}

#[tokio::test]
async fn an_event_that_an_earlier_version_stored_is_recognised() {
    let receiver = Receiver::start().await;
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/in"), r#"["**"]"#, ""))).await;
    // As versions stored it whose event id was the CloudEvent's own.
    let former = json!({"id": "order-7", "type": "dev.knative.kafka.event", "data": {"n": 1},
        "metadata": {"cloudevents": {"source": "/orders"}}});
    assert_eq!(server.http().post("/v1/events", former.to_string()).await.0, 202);
    let (status, answer) = structured(&server, &event("/orders", "order-7")).await;
    assert_eq!((status, &answer), (200, &json!({"id": "order-7", "deliveries": 1})));
    assert_eq!(structured(&server, &event("/payments", "order-7")).await.0, 202, "another source is another event");
    let mut other = event("/orders", "order-7");
    other["data"]["n"] = 2.into();
    assert_eq!(structured(&server, &other).await.0, 409);
    // An event of our own form under the same id has nothing to do with it.
    assert_eq!(server.http().post("/v1/events", r#"{"id":"7","type":"a.b"}"#).await.0, 202);
    assert_eq!(structured(&server, &event("/orders", "7")).await.0, 202);
}

#[tokio::test]
async fn tenants_do_not_share_identities() {
    let server = Server::start(&head()).await;
    let mut of_acme = event("/orders", "1");
    of_acme["tenant"] = "acme".into();
    let (_, first) = structured(&server, &event("/orders", "1")).await;
    let (status, second) = structured(&server, &of_acme).await;
    assert_eq!(status, 202, "{second}");
    assert_ne!(first["id"], second["id"]);
}
