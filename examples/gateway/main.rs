//! A gateway with Tenterhook inside: a reverse proxy with a circuit breaker, a rate limiter and health checks, whose
//! ten event types are delivered as examples/gateway/config.toml says.
//!
//!     cargo run --example gateway                              # with a small upstream of its own
//!     cargo run --example gateway -- --upstream 127.0.0.1:3000
//!
//! It runs until Ctrl-C, on ports 9080 (API, web UI) and 9081 (the proxy).

mod proxy;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clap::Parser;
use http::StatusCode;
use http::uri::Authority;
use proxy::{BreakerOptions, Gateway, HealthOptions, LimitOptions, Options};
use tenterhook::{Received, StartError, Tenterhook};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A reverse proxy that reports what happens by webhooks
#[derive(Parser)]
struct Args {
    /// Tenterhook's configuration
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/gateway/config.toml"))]
    config: PathBuf,
    /// Address of the proxy
    #[arg(long, default_value = "127.0.0.1:9081")]
    listen: SocketAddr,
    /// host:port of the upstream [default: a small one of its own]
    #[arg(long)]
    upstream: Option<Authority>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).init();
    let tenterhook = match Tenterhook::builder().config(&args.config).start().await {
        Ok(tenterhook) => tenterhook,
        // The lines of the file, underlined.
        Err(StartError::Config(problems)) => anyhow::bail!("{}", problems.render(false)),
        Err(error) => return Err(error.into()),
    };
    let mut tasks = JoinSet::new();
    let mut events = tenterhook.subscribe("*")?;
    tasks.spawn(async move {
        while let Some(received) = events.next().await {
            match received {
                Received::Event(event) => println!("{:26} {}", event.kind.as_str(), String::from_utf8_lossy(&event.data)),
                Received::Lagged(count) => println!("… {count} more"),
                _ => {}
            }
        }
    });
    let upstream = match args.upstream {
        Some(upstream) => upstream,
        None => own_upstream(&mut tasks).await?,
    };
    let gateway = Gateway::start(options(args.listen, upstream.clone()), tenterhook.clone()).await?;
    greet(&gateway, &upstream, &tenterhook);
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        ended = tenterhook.ended() => ended?,
    }
    println!("stopping: requests and attempts in flight may finish");
    let dropped = gateway.stop().await;
    if dropped > 0 {
        println!("{dropped} events were dropped: the queue was full");
    }
    tenterhook.shutdown().await?;
    Ok(())
}

fn options(listen: SocketAddr, upstream: Authority) -> Options {
    Options {
        listen,
        upstream,
        timeout: Duration::from_secs(5),
        breaker: BreakerOptions {
            window: Duration::from_secs(30),
            requests_min: 5,
            threshold: 0.5,
            cool_down: Duration::from_secs(5),
        },
        limit: LimitOptions { requests: 60, window: Duration::from_secs(60), warn_at: 0.8 },
        health: HealthOptions { path: "/healthz".to_owned(), interval: Duration::from_secs(2), failures: 2 },
    }
}

fn greet(gateway: &Gateway, upstream: &Authority, tenterhook: &Tenterhook) {
    let address = gateway.address();
    println!("The gateway listens on http://{address}, in front of http://{upstream}");
    if let (Some(ui), Some(token)) = (tenterhook.address(), tenterhook.admin_token()) {
        println!("The web UI is http://{ui}/#token={}", token.expose());
    }
    println!("\nTry, in another terminal:");
    println!("  curl http://{address}/                                    # a request that is answered");
    println!("  for n in $(seq 6); do curl http://{address}/fail; done    # the circuit breaker opens");
    println!("  for n in $(seq 70); do curl -s http://{address}/; done    # the rate limit");
    println!("  curl http://{address}/sick; curl http://{address}/well     # the health check fails and recovers\n");
}

/// An upstream that answers, fails, and turns unhealthy as it is asked to.
async fn own_upstream(tasks: &mut JoinSet<()>) -> std::io::Result<Authority> {
    let is_well = Arc::new(AtomicBool::new(true));
    let (sick, well) = (Arc::clone(&is_well), Arc::clone(&is_well));
    let health = async move || if is_well.load(Ordering::Relaxed) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let router = Router::new()
        .route("/", get(async || "hello\n"))
        .route("/fail", get(async || (StatusCode::INTERNAL_SERVER_ERROR, "failed as asked\n")))
        .route(
            "/sick",
            get(async move || {
                sick.store(false, Ordering::Relaxed);
                "sick\n"
            }),
        )
        .route(
            "/well",
            get(async move || {
                well.store(true, Ordering::Relaxed);
                "well\n"
            }),
        )
        .route("/healthz", get(health));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tasks.spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    Authority::try_from(address).map_err(std::io::Error::other)
}
