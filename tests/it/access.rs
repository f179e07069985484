//! Who gets in, who sees what, and how often: tokens and tenants, rate limits under real floods, CORS, TLS.

use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tenterhook::app::{App, AppOptions, StartError};
use tenterhook::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Answer, Http, Receiver, Server, head, webhook};

const TOKENS: &str = r#"
[tokens.boss]
token = "boss-token-0123456789"
scopes = ["manage"]
[tokens.acme]
token = "acme-token-0123456789"
scopes = ["manage"]
tenant = "acme"
[tokens.globex]
token = "globex-token-012345678"
scopes = ["manage"]
tenant = "globex"
"#;

/// Two tenants with a webhook each, and one webhook of nobody.
async fn tenants() -> (Server, Receiver, [Http; 3]) {
    let receiver = Receiver::start().await;
    let config = [
        head(),
        TOKENS.to_owned(),
        webhook("acme-hook", &receiver.url("/acme"), "[\"*\"]", "tenant = \"acme\""),
        webhook("globex-hook", &receiver.url("/globex"), "[\"*\"]", "tenant = \"globex\""),
        webhook("plain-hook", &receiver.url("/plain"), "[\"*\"]", ""),
    ];
    let server = Server::start(&config.concat()).await;
    let clients = ["boss-token-0123456789", "acme-token-0123456789", "globex-token-012345678"];
    let clients = clients.map(|token| server.http_as(token));
    (server, receiver, clients)
}

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_id_that_changes_hands_takes_no_events_along() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/acme", Answer::Status(503));
    let config = |tenant: &str| {
        let more = format!("tenant = \"{tenant}\"\nretry = {{ schedule = [\"1s\"], jitter = 0 }}");
        head() + &webhook("shared", &receiver.url(&format!("/{tenant}")), "[\"*\"]", &more)
    };
    let server = Server::start(&config("acme")).await;
    let publish = async |tenant: &str| {
        let (status, answer) = server.http().post("/v1/events", json!({"type": "a.b", "tenant": tenant}).to_string()).await;
        assert_eq!(status, 202, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    };
    let acmes = publish("acme").await;
    server.delivery_in(&acmes, "retrying").await;
    server.reconfigure(&config("globex")).await;
    let delivery = server.delivery_in(&acmes, "cancelled").await;
    assert_eq!(delivery["reason"], "the webhook belongs to another tenant than the event by now");
    let globexs = publish("globex").await;
    server.delivery_in(&globexs, "succeeded").await;
    let received = receiver.received("/globex");
    assert_eq!(received.iter().map(|request| request.json()["id"].clone()).collect::<Vec<_>>(), [json!(globexs)]);
    assert_eq!(receiver.received("/acme").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_token_sees_and_manages_only_its_own() {
    let (_server, receiver, [boss, acme, globex]) = tenants().await;
    // Without a word about it, what a tenant publishes is the tenant's.
    let (status, answer) = acme.post("/v1/events", r#"{"id":"a-1","type":"order.created"}"#).await;
    assert_eq!((status, &answer["deliveries"]), (202, &json!(1)));
    let (status, _) = globex.post("/v1/events", r#"{"id":"g-1","type":"order.created","tenant":"globex"}"#).await;
    assert_eq!(status, 202);
    let (status, answer) = acme.post("/v1/events", r#"{"id":"a-2","type":"order.created","tenant":"globex"}"#).await;
    assert_eq!(
        (status, answer["detail"].as_str().unwrap()),
        (422, "the token `acme` publishes for the tenant `acme` only: leave `tenant` away")
    );
    assert_eq!(boss.post("/v1/events", r#"{"id":"n-1","type":"order.created"}"#).await.0, 202);
    receiver.wait_for("/acme", 1).await;
    receiver.wait_for("/globex", 1).await;
    receiver.wait_for("/plain", 1).await;

    assert_eq!(ids(&acme.get("/v1/events").await.1), ["a-1"]);
    assert_eq!(ids(&globex.get("/v1/events").await.1), ["g-1"]);
    assert_eq!(ids(&boss.get("/v1/events").await.1), ["n-1", "g-1", "a-1"]);
    let (status, event) = acme.get("/v1/events/a-1").await;
    assert_eq!((status, &event["tenant"], &event["unmatched"]), (200, &json!("acme"), &json!([])));
    assert_eq!(boss.get("/v1/events/a-1").await.1["unmatched"].as_array().unwrap().len(), 2);
    assert_eq!(acme.get("/v1/events/g-1").await.1["detail"], "there is no event `g-1`");
    let (status, answer) = acme.get("/v1/events?tenant=globex").await;
    assert_eq!((status, answer["tenant"].as_str()), (403, Some("acme")));

    assert_eq!(ids(&acme.get("/v1/webhooks").await.1), ["acme-hook"]);
    assert_eq!(acme.get("/v1/webhooks/acme-hook/secret").await.0, 200);
    for path in ["/v1/webhooks/globex-hook", "/v1/webhooks/plain-hook/secret", "/v1/webhooks/plain-hook/stats"] {
        assert_eq!(acme.get(path).await.0, 404, "{path}");
    }
    let (_, mine) = acme.get("/v1/deliveries").await;
    assert_eq!(mine["data"].as_array().unwrap().len(), 1);
    assert_eq!(mine["data"][0]["webhook"], "acme-hook");
    let (_, theirs) = globex.get("/v1/deliveries").await;
    let theirs = theirs["data"][0]["id"].as_str().unwrap();
    assert_eq!(acme.get(&format!("/v1/deliveries/{theirs}")).await.0, 404);
    for action in ["retry", "cancel"] {
        assert_eq!(acme.post(&format!("/v1/deliveries/{theirs}/{action}"), "").await.0, 404);
    }
    let retry = mine["data"][0]["id"].as_str().unwrap();
    assert_eq!(acme.post(&format!("/v1/deliveries/{retry}/retry"), "").await.0, 202);
    assert_eq!(acme.get("/v1/stats").await.1["deliveries"]["total"], 1);
    assert_eq!(boss.get("/v1/stats").await.1["deliveries"]["total"], 3);
    assert_eq!(acme.get("/v1/config").await.0, 403, "the configuration is the whole server's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_answered_with_429_and_a_neighbour_is_not() {
    let limits = "[server.rate_limit]\npublish = \"20/m\"\nread = \"30/m\"\nmanage = \"10/m\"\n";
    let server = Server::start(&[head(), TOKENS.to_owned(), limits.to_owned()].concat()).await;
    let clients = ["boss-token-0123456789", "acme-token-0123456789"].map(|token| server.http_as(token));
    let [boss, acme] = &clients;
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let boss = boss.clone();
        flood.spawn(async move { boss.post("/v1/events", r#"{"type":"a"}"#).await.0 });
    }
    let statuses = flood.join_all().await;
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    // A flood takes a moment, in which a few more become due.
    assert!((20..=22).contains(&count(202)) && count(202) + count(429) == 100, "{statuses:?}");

    let body = || Bytes::from_static(br#"{"type":"a"}"#);
    let json = [("content-type", "application/json")];
    let (status, headers, answer) = boss.raw("POST", "/v1/events", &json, body()).await;
    assert_eq!((status, &headers["content-type"]), (429, &"application/problem+json".parse().unwrap()));
    let number = |name: &str| headers[name].to_str().unwrap().parse::<u64>().unwrap();
    assert_eq!((number("x-ratelimit-limit"), number("x-ratelimit-remaining")), (20, 0));
    assert!((50..=60).contains(&number("x-ratelimit-reset")) && (1..=3).contains(&number("retry-after")), "{headers:?}");
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.starts_with("this client may make 20 `publish` requests in 60 s: try again in"), "{detail}");
    assert_eq!(answer["request_id"], headers["x-request-id"].to_str().unwrap());

    let (status, headers, _) = acme.raw("POST", "/v1/events", &json, body()).await;
    assert_eq!((status, headers["x-ratelimit-remaining"].to_str().unwrap()), (202, "19"), "a neighbour has its own quota");
    let (status, headers, _) = boss.raw("GET", "/v1/events", &[], Bytes::new()).await;
    assert_eq!((status, headers["x-ratelimit-limit"].to_str().unwrap()), (200, "30"), "reading has its own");
    assert_eq!(boss.raw("GET", "/healthz", &[], Bytes::new()).await.1.get("x-ratelimit-limit"), None);

    // Who has no token is told apart by address, and may not guess for ever.
    let stranger = server.http_as("guess");
    let mut statuses = Vec::new();
    for _ in 0..31 {
        statuses.push(stranger.get("/v1/events").await.0);
    }
    assert_eq!((statuses[0], statuses[29], statuses[30]), (401, 401, 429));

    // A reload does not refill what is used up.
    let before = boss.get("/v1/config").await.1["generation"].as_u64().unwrap();
    let config = [head(), TOKENS.to_owned(), limits.to_owned(), "[retention]\nevents = \"8d\"\n".to_owned()].concat();
    std::fs::write(server.path("config.toml"), config).unwrap();
    server
        .eventually("the new configuration is live", async || {
            acme.get("/readyz").await.1["generation"].as_u64().is_some_and(|live| live > before)
        })
        .await;
    assert_eq!(boss.raw("POST", "/v1/events", &json, body()).await.0, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_get_in_only_when_they_are_declared() {
    let server = Server::start(&head()).await;
    let origin = [("origin", "https://app.example.com")];
    let (_, headers, _) = server.http().raw("GET", "/v1/events", &origin, Bytes::new()).await;
    assert!(headers.get("access-control-allow-origin").is_none());
    let preflight = [origin[0], ("access-control-request-method", "POST")];
    assert_eq!(server.http().raw("OPTIONS", "/v1/events", &preflight, Bytes::new()).await.0, 405);

    server.reconfigure(&format!("{}[server.cors]\norigins = [\"https://app.example.com\"]\n", head())).await;
    let (status, headers, _) = server.http().raw("GET", "/v1/events", &origin, Bytes::new()).await;
    assert_eq!((status, &headers["access-control-allow-origin"]), (200, &"https://app.example.com".parse().unwrap()));
    assert!(headers["access-control-expose-headers"].to_str().unwrap().contains("X-Request-Id"));
    let (status, headers, _) = server.http().raw("OPTIONS", "/v1/events", &preflight, Bytes::new()).await;
    assert_eq!((status, &headers["access-control-allow-origin"]), (204, &"https://app.example.com".parse().unwrap()));
    assert!(headers["access-control-allow-headers"].to_str().unwrap().contains("Authorization"));
    let (_, headers, _) = server.http().raw("GET", "/v1/events", &[("origin", "https://evil.example")], Bytes::new()).await;
    assert!(headers.get("access-control-allow-origin").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_listener_without_a_token_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    std::fs::write(&config, "").unwrap();
    let start = |listen: &str| AppOptions { config: config.clone(), listen: listen.parse().ok(), clock: Clock::System };
    let Err(StartError::Open { address }) = App::start(start("0.0.0.0:0")).await else { panic!("it started") };
    let text = StartError::Open { address }.to_string();
    assert!(text.contains("can be reached from other machines") && text.contains("${TENTERHOOK_TOKEN}"), "{text}");
    assert!(!directory.path().join("data/admin-token").exists(), "no token is made for it");
}

/// One request over TLS that trusts only this certificate; `Err` when the server shows another.
async fn over_tls(server: &Server, trusted: &str) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("hooks.example").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: hooks.example\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_takes_effect_without_a_restart() {
    let made = || {
        let made = rcgen::generate_simple_self_signed(["hooks.example".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let (first, second) = (made(), made());
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let write = |(cert, key): &(String, String)| {
        std::fs::write(directory.path().join("cert.pem"), cert).unwrap();
        std::fs::write(directory.path().join("key.pem"), key).unwrap();
    };
    write(&first);
    let config = format!("{}[server.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n", head());
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let server = Server::start_in(Arc::clone(&directory)).await;
    let answer = over_tls(&server, &first.0).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(over_tls(&server, &second.0).await.is_err());
    write(&second);
    server.eventually("the new certificate is shown", async || over_tls(&server, &second.0).await.is_ok()).await;
}

/// What the server answers to bytes on a connection of their own.
async fn raw(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn requests_that_can_be_read_in_two_ways_are_refused() {
    let server = Server::start(&head()).await;
    for (head, part) in [
        ("GET /healthz HTTP/1.1\r\n", "no Host header"),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n", "several Host headers"),
        ("GET /v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer x\r\nauthorization: Bearer y\r\n", "several Authorization"),
        ("POST /v1/events HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n", "several transfer codings"),
        (
            "POST /v1/events HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "several transfer codings",
        ),
    ] {
        let answer = raw(&server, &format!("{head}connection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(part), "{head}: {answer}");
    }
    let answer = raw(&server, "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_page_under_another_name_does_not_read_the_metrics() {
    let server = Server::start(&head()).await;
    let status = async |host: &str| {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        raw(&server, &request).await.split(' ').nth(1).unwrap().to_owned()
    };
    for host in ["localhost", "127.0.0.1:8080", "[::1]"] {
        assert_eq!(status(host).await, "200", "{host}");
    }
    assert_eq!(status("rebound.example:8080").await, "401");
    let (status, _) = server.http().send("GET", "/metrics", &[("host", "rebound.example")], Bytes::new()).await;
    assert_eq!(status, 200, "with a token it may have any name");
}

#[tokio::test]
async fn a_browser_gets_a_page_where_there_is_none() {
    let server = Server::start(&head()).await;
    let get = async |path: &str, accept: &str| server.http().raw("GET", path, &[("accept", accept)], Bytes::new()).await;
    let (status, headers, body) = get("/stuff", "text/html,application/xhtml+xml,*/*;q=0.8").await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (404, "text/html; charset=utf-8"));
    assert!(headers.contains_key("content-security-policy") && headers.contains_key("permissions-policy"));
    assert!(String::from_utf8_lossy(&body).contains("There is no page at this address"));
    for (path, accept) in [("/stuff", "*/*"), ("/v1/stuff", "text/html")] {
        let (status, headers, _) = get(path, accept).await;
        assert_eq!((status, headers["content-type"].to_str().unwrap()), (404, "application/problem+json"), "{path}");
    }
    let (_, headers, _) = get("/v1/webhooks", "*/*").await;
    assert_eq!(
        (&headers["cache-control"], &headers["x-content-type-options"]),
        (&"no-store".parse().unwrap(), &"nosniff".parse().unwrap())
    );
}
