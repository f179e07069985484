//! `tenterhook demo`: engine, receiver and sample events in one process and a temporary directory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Global;
use super::client::Client;
use super::listen::{self, KnownSecret, ListenOptions};
use crate::app::{App, AppOptions};
use crate::clock::Clock;
use crate::signing::Secret;
use crate::telemetry::logs;

/// Between two sample events: slow enough to read along.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(400);

/// Between two requests for what still waits.
const POLL_PAUSE: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook demo           # runs until Ctrl-C, with the web UI
  tenterhook demo --once    # exits when every sample event is delivered")]
pub(crate) struct Args {
    /// Exit when every sample event is delivered
    #[arg(long)]
    once: bool,
    /// Where the engine listens
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
}

/// Types and data as gateways and applications send them.
const SAMPLES: [(&str, &str); 8] = [
    ("circuit_breaker.opened", r#"{"routeId":"api-service","errorRate":0.75,"threshold":0.5,"failureCount":15,"state":"open"}"#),
    ("rate_limit.exceeded", r#"{"routeId":"search","client":"10.0.0.7","limit":100,"window":"1m"}"#),
    (
        "proxy.request_failed",
        r#"{"path":"/v2/inventory","status_code":503,"upstream_service":"stock-manager","latency_ms":2450}"#,
    ),
    ("health.check_failed", r#"{"upstream":"stock-manager","consecutive_failures":3}"#),
    ("order.created", r#"{"order_id":"ORD-123","total":99.99,"customer":{"name":"Ada <ada@example.com>"}}"#),
    ("data.updated", r#"{"table":"users","id":123,"changed":["email"]}"#),
    ("health.check_recovered", r#"{"upstream":"stock-manager","down_for_seconds":41}"#),
    ("circuit_breaker.closed", r#"{"routeId":"api-service","errorRate":0.01,"state":"closed"}"#),
];

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    logs::init(logs::Format::detect())?;
    let directory = TemporaryDirectory::make()?;
    let secret = Secret::generate();
    let stop = CancellationToken::new();
    let (ready, address) = oneshot::channel();
    let options = ListenOptions {
        port: 0,
        secrets: vec![KnownSecret::new("demo", secret.clone())],
        forward_to: None,
        status: http::StatusCode::OK,
        fail_first: 0,
        delay: Duration::ZERO,
        json: global.json,
    };
    let stopped = stop.clone();
    let receiver = async move {
        let ready = |address| {
            let _ = ready.send(address);
        };
        listen::run(options, stopped.cancelled_owned(), ready).await
    };
    let engine = async {
        let address = address.await.context("the receiver did not start")?;
        let config = directory.path().join("config.toml");
        std::fs::write(&config, configuration(address, &secret))?;
        let options = AppOptions { config, listen: Some(args.listen), clock: Clock::System };
        let app = App::start(options).await.map_err(super::serve::explain)?;
        let base = format!("http://{}", app.address());
        let token = app.admin_token().map(crate::app::AdminToken::secret);
        if let Some(token) = &token {
            note!("The engine listens on {base}; its admin token is {}", token.expose());
            note!("Watch it at {base}/#token={}\n", token.expose());
        }
        let client = Client::with(base, token)?;
        let running = app.run(finished(&client, &args));
        running.await?;
        anyhow::Ok(())
    };
    tokio::pin!(receiver);
    tokio::select! {
        ran = engine => {
            stop.cancel();
            let received = receiver.await;
            ran.and(received)
        }
        // Nobody reads the output any more, as in `tenterhook demo | head`: the engine would deliver to nobody.
        received = &mut receiver => received,
    }
}

/// Publishes the samples; resolves when the demo is to end.
async fn finished(client: &Client, args: &Args) {
    let samples = async {
        for (kind, data) in SAMPLES {
            let event = format!(r#"{{"type":"{kind}","data":{data}}}"#);
            if let Err(e) = client.post("/v1/events", event.into_bytes()).await {
                note!("{e:#}");
            }
            tokio::time::sleep(SAMPLE_INTERVAL).await;
        }
        loop {
            let open = client.get("/v1/stats").await.ok().map(|stats| {
                let count = |state: &str| stats["deliveries"][state].as_u64().unwrap_or(0);
                count("pending") + count("retrying")
            });
            if open == Some(0) {
                break;
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
        if !args.once {
            note!("\nEvery sample is delivered. The engine runs until Ctrl-C.");
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = samples => {}
        () = super::shutdown_signal() => {}
    }
}

fn configuration(receiver: SocketAddr, secret: &Secret) -> String {
    let secret = secret.expose();
    let webhook = |id: &str, events: &str, more: &str| {
        format!("[webhooks.{id}]\nurl = \"http://{receiver}/{id}\"\nevents = {events}\nsecret = \"{secret}\"\n{more}\n")
    };
    let alerts = r#"["circuit_breaker.*", "health.*"]"#;
    let pagerduty = "transform = { use = \"pagerduty\", options = { routing_key = \"0123456789abcdef0123456789abcdef\" } }";
    [
        "[network]\nallow = [\"127.0.0.0/8\"]\n".to_owned(),
        webhook("everything", r#"["*"]"#, ""),
        webhook("slack", alerts, "transform = \"slack\""),
        webhook("pagerduty", alerts, pagerduty),
        webhook("discord", r#"["order.*", "data.*"]"#, "transform = \"discord\""),
        webhook("big-orders", r#"["order.created"]"#, "filter.data.total = { \"$gt\" = 50 }\nsignature = \"timestamped\""),
    ]
    .concat()
}

/// Removed when dropped.
struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn make() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("tenterhook-demo-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // What cannot be removed is left to the system, which clears its temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
