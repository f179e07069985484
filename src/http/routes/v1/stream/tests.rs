//! A reader that does not read.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use tower_service::Service;

use crate::http::tests::server;

#[tokio::test]
async fn a_slow_reader_is_cut_off_with_the_reason_and_the_place_to_go_on_from() {
    let server = server().await;
    for n in 0..4 {
        let events: Vec<String> = (0..100).map(|m| format!(r#"{{"id":"e-{n}-{m}","type":"a"}}"#)).collect();
        assert_eq!(server.publish(&format!("[{}]", events.join(","))).await.status, 202);
    }
    tokio::time::pause();
    let request = Request::get("/v1/stream").header("authorization", "Bearer boss-token").header("last-event-id", "0-0");
    let response = server.router.clone().call(request.body(Body::empty()).unwrap()).await.unwrap();
    let mut body = response.into_body();
    // Nobody reads: the time until the follower gives up goes by as soon as nothing else is left to do.
    tokio::time::sleep(super::SLOW_MAX * 2).await;
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
    }
    let written = text.matches("event: event\n").count();
    assert_eq!(written, 100, "what had been written before is still read, and no more than that was in memory");
    let end = "event: end\ndata: {\"reason\":\"nothing was read for 30 s: go on from the last id with Last-Event-ID\"}\n\n";
    assert!(text.ends_with(end), "{}", &text[text.len() - 200..]);
}
