//! What endpoints that hang cost the others: the latency from publishing to arrival at ten webhooks whose endpoint
//! answers, while a hundred others have none that does; with a hundred others that answer; and without any others. All in
//! one run, in turn.
//!
//! `cargo bench --bench isolation [-- HANGING]`

#![expect(clippy::disallowed_methods, reason = "a benchmark's tasks end with its runtime")]

/// As in the binary.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tenterhook::app::{App, AppOptions};
use tenterhook::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const LIVE: usize = 10;
const HANGING: usize = 100;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(15);

/// Before a round's first sample the hanging lanes are full, and their first attempts have timed out.
const WARM_UP: Duration = Duration::from_secs(7);

/// Events for the live webhooks, 100 a second: 1,000 deliveries a second, far from saturation.
const EVERY: Duration = Duration::from_millis(10);

/// Events for the hanging ones: with ten permits and a timeout of 5 s each of them works off two a second.
const HANGING_EVERY: Duration = Duration::from_millis(250);

type Sent = Arc<Mutex<HashMap<String, Instant>>>;
type Samples = Arc<Mutex<Vec<Duration>>>;

/// Answers at once, and takes the time since publishing.
async fn live_receiver(sent: Sent, samples: Samples) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    tokio::task::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let (sent, samples) = (Arc::clone(&sent), Arc::clone(&samples));
            tokio::task::spawn(async move {
                let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                    let now = Instant::now();
                    let id = request.headers()["webhook-id"].to_str().expect("an id is text").to_owned();
                    let published = sent.lock().expect("nobody panics").get(&id).copied();
                    samples.lock().expect("nobody panics").extend(published.map(|published| now - published));
                    async move {
                        let _ = request.into_body().collect().await;
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
                    }
                });
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// Takes connections and says nothing.
async fn hanging_receiver() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    tokio::task::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::task::spawn(async move {
                let mut nothing = tokio::io::sink();
                let _ = tokio::io::copy(&mut stream, &mut nothing).await;
            });
        }
    });
    address
}

async fn publish(client: &Client<HttpConnector, Full<Bytes>>, url: &str, token: &str, body: String) {
    let request = Request::post(url)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::new(Bytes::from(body)))
        .expect("valid");
    let response = client.request(request).await.expect("the server answers");
    assert_eq!(response.status(), 202);
    let _ = response.into_body().collect().await;
}

/// Who shares the server with the ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    None,
    Answering,
    Hanging,
}

/// One round; its samples.
async fn round(number: usize, others: Others, count: usize) -> Vec<Duration> {
    let (sent, samples) = (Sent::default(), Samples::default());
    let live = live_receiver(Arc::clone(&sent), Arc::clone(&samples)).await;
    let dead = match others {
        Others::Answering => live_receiver(Sent::default(), Samples::default()).await,
        Others::None | Others::Hanging => hanging_receiver().await,
    };
    let count = if others == Others::None { 0 } else { count };
    let mut config =
        "[server]\nlisten = \"127.0.0.1:0\"\nshutdown_grace = \"0s\"\n[network]\nallow = [\"127.0.0.0/8\"]\n".to_owned();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for n in 0..LIVE {
        let _ = write!(config, "[webhooks.live{n}]\nurl = \"http://{live}/{n}\"\nevents = [\"live.x\"]\nsecret = \"{secret}\"\n");
    }
    for n in 0..count {
        let _ = write!(config, "[webhooks.dead{n}]\nurl = \"http://{dead}/{n}\"\nevents = [\"dead.x\"]\nsecret = \"{secret}\"\n");
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
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
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let filler = "x".repeat(700);
    let dead_load = {
        let (client, url, token, filler) = (client.clone(), url.clone(), token.clone(), filler.clone());
        tokio::task::spawn(async move {
            let mut ticks = tokio::time::interval(HANGING_EVERY);
            loop {
                ticks.tick().await;
                publish(&client, &url, &token, format!(r#"{{"type":"dead.x","data":{{"note":"{filler}"}}}}"#)).await;
            }
        })
    };
    let started = Instant::now();
    let mut ticks = tokio::time::interval(EVERY);
    let mut n = 0;
    let mut warm = false;
    while started.elapsed() < WARM_UP + ROUND {
        ticks.tick().await;
        if !warm && started.elapsed() >= WARM_UP {
            warm = true;
            samples.lock().expect("nobody panics").clear();
        }
        n += 1;
        let id = format!("evt_{number}_{n}");
        sent.lock().expect("nobody panics").insert(id.clone(), Instant::now());
        let body = format!(r#"{{"id":"{id}","type":"live.x","data":{{"note":"{filler}"}}}}"#);
        let (client, url, token) = (client.clone(), url.clone(), token.clone());
        tokio::task::spawn(async move { publish(&client, &url, &token, body).await });
    }
    dead_load.abort();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let _ = stop.send(());
    let _ = running.await;
    std::mem::take(&mut *samples.lock().expect("nobody panics"))
}

fn quantile(samples: &[Duration], share: f64) -> f64 {
    let at = ((samples.len() - 1) as f64 * share).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into the samples")]
    let at = at as usize;
    samples[at].as_secs_f64() * 1e3
}

#[tokio::main]
async fn main() {
    let hanging = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(HANGING);
    println!(
        "{LIVE} webhooks that answer, {} events a second; {ROUNDS} rounds of {} s each, in turn",
        1000 / EVERY.as_millis(),
        ROUND.as_secs()
    );
    let kinds = [Others::None, Others::Answering, Others::Hanging];
    let mut all: [Vec<Duration>; 3] = [const { Vec::new() }; 3];
    let mut rounds: [Vec<f64>; 3] = [const { Vec::new() }; 3];
    for number in 0..ROUNDS {
        for (at, others) in kinds.into_iter().enumerate() {
            let mut samples = round(kinds.len() * number + at, others, hanging).await;
            samples.sort();
            rounds[at].push(quantile(&samples, 0.99));
            all[at].append(&mut samples);
        }
    }
    println!("{:<28} {:>8} {:>9} {:>9} {:>9}", "publishing to arrival", "samples", "p50 ms", "p99 ms", "p99.9 ms");
    for (name, samples) in ["alone", "beside those that answer", "beside those that hang"].iter().zip(&mut all) {
        samples.sort();
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| quantile(samples, share));
        println!("{name:<28} {:>8} {p50:>9.2} {p99:>9.2} {p999:>9.2}", samples.len());
    }
    for (at, name) in [(0, "without them"), (1, "the same hundred answering")] {
        let mut ratios: Vec<f64> = rounds[2].iter().zip(&rounds[at]).map(|(with, without)| with / without).collect();
        ratios.sort_by(f64::total_cmp);
        println!("p99 with {hanging} hanging / {name}: median of the rounds {:.2} ({ratios:.2?})", ratios[ratios.len() / 2]);
    }
}
