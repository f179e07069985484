//! A process with few file descriptors: fewer attempts at once, nothing given up, and an API that answers. The real
//! binary, because the limit is the process's.
#![cfg(target_os = "linux")]

use std::convert::Infallible;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use crate::harness::{Http, PATIENCE, binary, head, webhook};

const FILES: u32 = 256;
const WEBHOOKS: usize = 300;
const EVENTS: usize = 4;

/// Takes its time for each answer, so that many attempts want to be in flight at once.
async fn slow_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                    let _ = request.into_body().collect().await;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    Ok::<_, Infallible>(hyper::Response::new(Full::<Bytes>::default()))
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    format!("http://{address}")
}

/// A server that may open [`FILES`] files, and its API.
async fn start(directory: &std::path::Path) -> (Child, Http) {
    let socket = UnixDatagram::bind(directory.join("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let log = std::fs::File::create(directory.join("log")).unwrap();
    let child = Command::new("sh")
        .args(["-c", &format!("ulimit -n {FILES} && exec \"$0\" serve --config config.toml")])
        .arg(binary())
        .current_dir(directory)
        .env("NOTIFY_SOCKET", directory.join("notify"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ready = tokio::task::spawn_blocking(move || {
        let mut bytes = [0; 1024];
        let read = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    });
    let ready = ready.await.unwrap();
    let (_, address) = ready.rsplit_once("listening on ").unwrap_or_else(|| panic!("it starts: {ready}"));
    let token = std::fs::read_to_string(directory.join("data/admin-token")).unwrap();
    (child, Http::new(format!("http://{address}"), token.trim().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn few_descriptors_cost_no_delivery_and_the_api_answers() {
    let endpoint = slow_endpoint().await;
    let directory = tempfile::tempdir().unwrap();
    let more = "breaker = true\nretry = { max_retries = 0 }\ntimeout = \"20s\"";
    let webhooks: String =
        (0..WEBHOOKS).map(|n| webhook(&format!("w{n}"), &format!("{endpoint}/{n}"), r#"["*"]"#, more)).collect();
    std::fs::write(directory.path().join("config.toml"), head() + &webhooks).unwrap();
    let (_child, http) = start(directory.path()).await;

    let events: Vec<_> = (0..EVENTS).map(|n| json!({"type": "a.b", "data": n})).collect();
    let (status, answer) = http.post("/v1/events", serde_json::to_vec(&events).unwrap()).await;
    assert_eq!(status, 202, "{answer}");
    let all = WEBHOOKS * EVENTS;
    let began = Instant::now();
    let (mut stats, mut slowest) = (json!(null), Duration::ZERO);
    while stats["deliveries"]["succeeded"] != all && began.elapsed() < PATIENCE {
        let asked = Instant::now();
        // A client of its own each time: the listener has to accept it.
        let fresh = Http::new(http.base.clone(), http.token.clone());
        let answered = timeout(Duration::from_secs(10), fresh.get("/v1/stats")).await;
        (_, stats) = answered.expect("the API answers however many endpoints are slow");
        slowest = slowest.max(asked.elapsed());
        assert_eq!(stats["deliveries"]["failed"], 0, "what the machine lacks is not the endpoint's fault: {stats}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(stats["deliveries"]["succeeded"], all, "{stats}");
    assert_eq!(stats["attempts"], all, "one attempt each: {stats}");
    assert!(slowest < Duration::from_secs(5), "the API took {slowest:?}");
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(log.contains("the limit on open files is low"), "{log}");
    assert!(!log.contains("breaker opened"), "{log}");
    assert!(!log.contains("cannot accept a connection"), "the listener has a reserve: {log}");
}
