//! Erasing: events go with everything that was made of them, also out of the file; everything else stays.

use serde_json::{Value, json};

use crate::harness::{Answer, Receiver, Server, head, webhook};

async fn erased(server: &Server, body: Value) -> Value {
    let (status, job) = server.http().post("/v1/erase", body.to_string()).await;
    assert_eq!(status, 202, "{job}");
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    server.eventually("the job has ended", async || server.http().get(&path).await.1["state"] != "running").await;
    server.http().get(&path).await.1
}

async fn publish(server: &Server, event: Value) -> String {
    let (status, answer) = server.http().post("/v1/events", event.to_string()).await;
    assert_eq!(status, 202, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_events_of_a_person_go_and_the_chain_of_the_others_holds() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/w", Answer::With { status: 200, headers: vec![], body: "thanks u-1".to_owned() });
    let server = Server::start(&(head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, ""))).await;
    let mut kept = Vec::new();
    let mut gone = Vec::new();
    for n in 0..6 {
        let user = if n % 2 == 0 { "u-1" } else { "u-2" };
        let event = json!({"type": "a", "data": format!("private-words-of-{user}"), "metadata": {"user_id": user}});
        let id = publish(&server, event).await;
        server.delivery_in(&id, "succeeded").await;
        if n % 2 == 0 { gone.push(id) } else { kept.push(id) }
    }
    let subject = json!({"metadata": {"user_id": "u-1"}});
    let mut dry = subject.clone();
    dry["dry_run"] = true.into();
    let (status, preview) = server.http().post("/v1/erase", dry.to_string()).await;
    assert_eq!((status, &preview["matching"]), (200, &json!(3)), "{preview}");
    let job = erased(&server, subject).await;
    assert_eq!((&job["state"], &job["progress"]), (&json!("succeeded"), &json!({"done": 3, "total": 3})));
    for id in &gone {
        assert_eq!(server.http().get(&format!("/v1/events/{id}")).await.0, 404);
    }
    // Both ways through what is left: the webhook's chain, and all of it.
    for path in ["/v1/deliveries?webhook=w", "/v1/deliveries"] {
        let (_, log) = server.http().get(path).await;
        let events: Vec<&str> = log["data"].as_array().unwrap().iter().map(|row| row["event_id"].as_str().unwrap()).collect();
        assert_eq!(events, kept.iter().rev().map(String::as_str).collect::<Vec<_>>(), "{path}");
    }
    let directory = server.stop().await;
    let mut bytes = Vec::new();
    for file in std::fs::read_dir(directory.path().join("data")).unwrap() {
        bytes.extend(std::fs::read(file.unwrap().path()).unwrap_or_default());
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("private-words-of-u-2"));
    assert!(!holds("private-words-of-u-1"), "nothing of it is left on disk");
    // A new start counts on from where it was.
    let server = Server::start_in(directory).await;
    let id = publish(&server, json!({"type": "a"})).await;
    server.delivery_in(&id, "succeeded").await;
}

#[tokio::test]
async fn a_tenant_goes_with_what_waits_for_it() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/acme", Answer::Status(503));
    let config = head()
        + &webhook("acme", &receiver.url("/acme"), r#"["*"]"#, "tenant = \"acme\"\nretry = { schedule = [\"1h\"] }")
        + &webhook("other", &receiver.url("/other"), r#"["*"]"#, "tenant = \"other\"");
    let server = Server::start(&config).await;
    let acme = publish(&server, json!({"type": "a", "tenant": "acme"})).await;
    let other = publish(&server, json!({"type": "a", "tenant": "other"})).await;
    server.delivery_in(&acme, "retrying").await;
    server.delivery_in(&other, "succeeded").await;
    erased(&server, json!({"tenant": "acme"})).await;
    assert_eq!(server.http().get(&format!("/v1/events/{acme}")).await.0, 404);
    assert_eq!(server.http().get(&format!("/v1/events/{other}")).await.0, 200);
    let (_, stats) = server.http().get("/v1/webhooks/acme/stats").await;
    assert_eq!((&stats["backlog"], &stats["deliveries"]["cancelled"]), (&json!(0), &json!(1)), "{stats}");
}

#[tokio::test]
async fn what_to_erase_has_to_be_said() {
    let server = Server::start(&head()).await;
    for body in [
        json!({}),
        json!({"tenant": ""}),
        json!({"tenant": "a", "metadata": {"b": 1}}),
        json!({"metadata": {}}),
        json!({"metadata": {"a": 1, "b": 2}}),
        json!({"metadata": {"a": {"b": 1}}}),
        json!({"tenants": "a"}),
    ] {
        let (status, problem) = server.http().post("/v1/erase", body.to_string()).await;
        assert_eq!(status, 422, "{body}: {problem}");
    }
    assert_eq!(server.http().get("/v1/jobs").await.1["data"], json!([]));
}
