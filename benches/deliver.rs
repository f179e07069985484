//! Durable deliveries per second, with signing, without and with the `slack` transformer, beside a bare hyper client
//! loop with an HMAC per request against the same receiver, in one run. Everything shares the machine's cores:
//! load generator, engine, receiver.
//!
//! `cargo bench --bench deliver [-- EVENTS] [VARIANT]`; a variant is named by the beginning of its line.

#![expect(clippy::disallowed_methods, reason = "a benchmark's tasks end with its runtime")]

/// As in the binary.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sha2::Sha256;
use tenterhook::app::{App, AppOptions};
use tenterhook::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

const PRODUCERS: usize = 256;
const EVENTS: usize = 20_000;
const ROUNDS: usize = 3;

#[derive(Default)]
struct Count {
    received: AtomicUsize,
    news: Notify,
}

impl Count {
    async fn wait_for(&self, count: usize) {
        loop {
            let news = self.news.notified();
            if self.received.load(Ordering::Acquire) >= count {
                return;
            }
            let _ = tokio::time::timeout(Duration::from_millis(5), news).await;
        }
    }
}

async fn receiver(count: Arc<Count>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    tokio::task::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let count = Arc::clone(&count);
            tokio::task::spawn(async move {
                let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                    let count = Arc::clone(&count);
                    async move {
                        let _ = request.into_body().collect().await;
                        count.received.fetch_add(1, Ordering::AcqRel);
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
                    }
                });
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(PRODUCERS).build(connector)
}

/// About 1 KiB, as the events of a gateway are.
fn event(n: usize) -> Bytes {
    let filler = "x".repeat(700);
    Bytes::from(format!(
        r#"{{"type":"circuit_breaker.opened","data":{{"routeId":"api-service","errorRate":0.75,"threshold":0.5,"failureCount":{n},"state":"open","note":"{filler}"}}}}"#
    ))
}

/// The floor: nothing stored, nothing matched, one HMAC each.
async fn bare(receiver: SocketAddr, events: usize) -> Duration {
    let client = client();
    let started = Instant::now();
    let mut producers = tokio::task::JoinSet::new();
    for producer in 0..PRODUCERS {
        let client = client.clone();
        producers.spawn(async move {
            for n in (producer..events).step_by(PRODUCERS) {
                let body = event(n);
                let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").expect("any length will do");
                mac.update(&body);
                let signature = hex::encode(mac.finalize().into_bytes());
                let request = Request::post(format!("http://{receiver}/")).header("x-webhook-signature", signature);
                let response = client.request(request.body(Full::new(body)).expect("valid")).await.expect("the receiver answers");
                response.into_body().collect().await.expect("the receiver answers whole");
            }
        });
    }
    producers.join_all().await;
    started.elapsed()
}

/// Publishes over HTTP, one event a request; ends when the last delivery has arrived.
async fn engine(receiver: SocketAddr, count: &Count, events: usize, transform: &str, per_post: usize) -> (Duration, Duration) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[network]\nallow = [\"127.0.0.0/8\"]\n[webhooks.w]\nurl = \"http://{receiver}/\"\nevents = [\"*\"]\nconcurrency = 64\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n{transform}\n"
    );
    let path = directory.path().join("config.toml");
    std::fs::write(&path, config).expect("the directory can be written");
    let app =
        App::start(AppOptions { config: path, listen: None, clock: Clock::System }).await.expect("the configuration is good");
    let url = format!("http://{}/v1/events", app.address());
    let token = app.admin_token().expect("one was made").secret().expose().to_owned();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::task::spawn(app.run(async {
        let _ = stopped.await;
    }));
    let client = client();
    let before = count.received.load(Ordering::Acquire);
    let started = Instant::now();
    let mut producers = tokio::task::JoinSet::new();
    for producer in 0..PRODUCERS {
        let (client, url, token) = (client.clone(), url.clone(), token.clone());
        producers.spawn(async move {
            for first in (producer * per_post..events).step_by(PRODUCERS * per_post) {
                let body = if per_post == 1 {
                    event(first)
                } else {
                    let all: Vec<_> = (first..(first + per_post).min(events)).map(event).collect();
                    let all: Vec<&[u8]> = all.iter().map(|event| &event[..]).collect();
                    Bytes::from([b"[".as_slice(), &all.join(&b','), b"]"].concat())
                };
                let request = Request::post(&url)
                    .header("content-type", "application/json")
                    .header("authorization", format!("Bearer {token}"));
                let response = client.request(request.body(Full::new(body)).expect("valid")).await.expect("the server answers");
                assert_eq!(response.status(), 202);
                response.into_body().collect().await.expect("the server answers whole");
            }
        });
    }
    producers.join_all().await;
    let accepted = started.elapsed();
    count.wait_for(before + events).await;
    let delivered = started.elapsed();
    let _ = stop.send(());
    let _ = running.await;
    (accepted, delivered)
}

/// Processor time of this process so far: load generator, engine and receiver together. Less disturbed by other
/// programs than the clock.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // proc(5): utime and stime are fields 14 and 15, in hundredths of a second; the name, field 2, ends with `)`.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10)
}

fn rate(events: usize, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

#[derive(Default)]
struct Measured {
    accepted: Vec<f64>,
    delivered: Vec<f64>,
    cpu_us: Vec<f64>,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let events = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(EVENTS);
    let wanted = arguments.iter().find(|argument| argument.parse::<usize>().is_err());
    let count = Arc::new(Count::default());
    let receiver = receiver(Arc::clone(&count)).await;
    println!("{events} events of about 1 KiB, {PRODUCERS} producers, medians of {ROUNDS} rounds in turn");
    let slack = "transform = \"slack\"";
    let variants = [
        ("plain", "", 1),
        ("slack", slack, 1),
        ("plain, 100 events a request", "", 100),
        ("slack, 100 events a request", slack, 100),
    ];
    let chosen = |name: &str| wanted.is_none_or(|wanted| name.starts_with(wanted.as_str()));
    let mut floor = Measured::default();
    let mut measured: Vec<Measured> = variants.iter().map(|_| Measured::default()).collect();
    let cpu_since = |before: Duration| (cpu() - before).as_secs_f64() * 1e6 / events as f64;
    for _ in 0..ROUNDS {
        let before = cpu();
        floor.delivered.push(rate(events, bare(receiver, events).await));
        floor.cpu_us.push(cpu_since(before));
        for ((_, transform, per_post), measured) in variants.iter().zip(&mut measured).filter(|((name, ..), _)| chosen(name)) {
            let before = cpu();
            let (accepted, delivered) = engine(receiver, &count, events, transform, *per_post).await;
            measured.accepted.push(rate(events, accepted));
            measured.delivered.push(rate(events, delivered));
            measured.cpu_us.push(cpu_since(before));
        }
    }
    let bare = median(floor.delivered);
    println!("{:<30} {:>12} {:>14} {:>8} {:>14}", "", "accepted/s", "delivered/s", "/ bare", "CPU µs/event");
    println!("{:<30} {:>12} {bare:>14.0} {:>8} {:>14.0}", "bare hyper loop with HMAC", "-", "1.00", median(floor.cpu_us));
    for ((name, ..), measured) in variants.iter().zip(measured).filter(|((name, ..), _)| chosen(name)) {
        let (accepted, delivered) = (median(measured.accepted), median(measured.delivered));
        let cpu_us = median(measured.cpu_us);
        println!("{name:<30} {accepted:>12.0} {delivered:>14.0} {:>8.2} {cpu_us:>14.0}", delivered / bare);
    }
}
