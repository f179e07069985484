//! `Idempotency-Key`: what is done once, and what is answered to who asks again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tenterhook::clock::Clock;
use tenterhook::model::Timestamp;
use tenterhook::store::{IdempotencyState, Store, StoreOptions, StoredResponse};

use crate::harness::{Answer, Receiver, Server, head, webhook};

const KEY: (&str, &str) = ("idempotency-key", "retry-order-1");

async fn post(server: &Server, path: &str, headers: &[(&str, &str)]) -> (u16, http::HeaderMap, Value) {
    let (status, headers, body) = server.http().raw("POST", path, headers, Bytes::new()).await;
    (status, headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_key_is_done_once_also_after_a_restart() {
    let receiver = Receiver::start().await;
    receiver.answer_next("/a", [Answer::Status(400)]);
    let server = Server::start(&[head(), webhook("a", &receiver.url("/a"), "[\"*\"]", "")].concat()).await;
    let event = server.publish("order.created", "1").await;
    let failed = server.delivery_in(&event, "failed").await;
    let retry = format!("/v1/deliveries/{}/retry", failed["id"].as_str().unwrap());

    let (status, headers, first) = post(&server, &retry, &[KEY]).await;
    assert_eq!((status, headers.get("idempotency-replayed")), (202, None), "{first}");
    receiver.wait_for("/a", 2).await;
    server.delivery_in(&event, "succeeded").await;
    let (status, headers, again) = post(&server, &retry, &[KEY]).await;
    assert_eq!((status, &headers["idempotency-replayed"], &again), (202, &"true".parse().unwrap(), &first));
    assert_eq!(headers["content-type"], "application/json");

    let cancel = retry.replace("/retry", "/cancel");
    let (status, _, answer) = post(&server, &cancel, &[KEY]).await;
    assert_eq!(
        (status, answer["detail"].as_str().unwrap()),
        (422, "this Idempotency-Key was used for another request (method, path or body differ): take a new one")
    );
    let long = "k".repeat(256);
    assert_eq!(post(&server, &retry, &[("idempotency-key", &long)]).await.0, 400);

    let server = Server::start_in(server.stop().await).await;
    let (status, headers, again) = post(&server, &retry, &[KEY]).await;
    assert_eq!((status, &headers["idempotency-replayed"], &again), (202, &"true".parse().unwrap(), &first));
    assert_eq!(receiver.received("/a").len(), 2, "it was retried once");

    let (status, headers, _) = post(&server, &retry, &[("idempotency-key", "another")]).await;
    assert_eq!((status, headers.get("idempotency-replayed")), (202, None));
    receiver.wait_for("/a", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_may_be_mended_under_the_same_key() {
    let server = Server::start(&head()).await;
    let (status, _, answer) = post(&server, "/v1/deliveries/dlv_nope/retry", &[KEY]).await;
    assert_eq!((status, &answer["detail"]), (404, &json!("there is no delivery `dlv_nope`")));
    let (status, headers, _) = post(&server, "/v1/deliveries/dlv_other/retry", &[KEY]).await;
    assert_eq!((status, headers.get("idempotency-replayed")), (404, None), "nothing was done, so the key is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_with_one_key_are_one() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/a", Answer::Hang);
    let config = [head(), webhook("a", &receiver.url("/a"), "[\"*\"]", "timeout = \"2s\"")].concat();
    let server = Arc::new(Server::start(&config).await);
    let (path, asked) = ("/v1/webhooks/a/test", Arc::clone(&server));
    let first = tokio::spawn(async move { post(&asked, path, &[KEY]).await });
    receiver.wait_for("/a", 1).await;
    let (status, headers, answer) = post(&server, path, &[KEY]).await;
    assert_eq!((status, &headers["retry-after"]), (409, &"1".parse().unwrap()), "{answer}");
    let (status, _, first) = first.await.unwrap();
    assert_eq!((status, &first["attempt"]["error_class"]), (200, &json!("timeout")));
    let (status, headers, again) = post(&server, path, &[KEY]).await;
    assert_eq!((status, &headers["idempotency-replayed"], again), (200, &"true".parse().unwrap(), first));
    assert_eq!(receiver.received("/a").len(), 1);
}

async fn store(directory: &std::path::Path, clock: &Clock) -> Store {
    let options = StoreOptions { path: directory.to_owned(), clock: clock.clone(), on_commit: None };
    Store::open(options).await.unwrap()
}

#[tokio::test]
async fn a_key_is_taken_from_the_begin_to_a_day_later() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let start = Timestamp::from_millis(1_700_000_000_000);
    let clock = Clock::stopped_at(start);
    let long_ago = start.before(Duration::from_secs(86_400));
    let (key, one, other) = ([1; 32], [2; 32], [3; 32]);
    let answer = StoredResponse { status: 201, headers: vec![("location".into(), "/x".into())], body: Bytes::from_static(b"{}") };
    {
        let store = store(directory.path(), &clock).await;
        let both = tokio::join!(store.begin_idempotent(key, one, long_ago), store.begin_idempotent(key, one, long_ago));
        let both = [both.0.unwrap(), both.1.unwrap()];
        assert!(
            both.contains(&IdempotencyState::New) && both.contains(&IdempotencyState::InFlight),
            "one of two at once: {both:?}"
        );
        assert_eq!(store.begin_idempotent(key, other, long_ago).await.unwrap(), IdempotencyState::OtherRequest);
        store.end_idempotent(key, None).await.unwrap();
        assert_eq!(store.begin_idempotent(key, other, long_ago).await.unwrap(), IdempotencyState::New);
        // The process ends in the middle of it.
        store.close().await;
    }
    let store = store(directory.path(), &clock).await;
    assert_eq!(
        store.begin_idempotent(key, one, long_ago).await.unwrap(),
        IdempotencyState::New,
        "what a crash left is no obstacle"
    );
    store.end_idempotent(key, Some(answer.clone())).await.unwrap();
    assert_eq!(store.begin_idempotent(key, one, long_ago).await.unwrap(), IdempotencyState::Done(answer));
    assert_eq!(
        store.begin_idempotent(key, one, start.after(Duration::from_secs(1))).await.unwrap(),
        IdempotencyState::New,
        "a day later"
    );
    store.close().await;
}
