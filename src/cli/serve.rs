//! `tenterhook serve`.

use std::net::SocketAddr;

use super::Global;
use crate::app::{App, AppOptions, ServiceManager, StartError};
use crate::clock::Clock;
use crate::telemetry::logs;

#[derive(clap::Args, Default)]
#[command(after_help = "Examples:
  tenterhook serve
  tenterhook serve --config /etc/tenterhook/config.toml
  tenterhook serve --listen 127.0.0.1:0")]
pub(crate) struct Args {
    /// Address to listen on, instead of `[server] listen`
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    // First of all: a signal during the start ends it, and none of the others ends the process.
    let mut strays = super::Strays::install();
    let mut signals = std::pin::pin!(super::Signals::install().first());
    logs::init(if global.json { logs::Format::Json } else { logs::Format::detect() })?;
    if !global.config.exists() {
        anyhow::bail!(
            "there is no {}: write one (the README has a first one), name another with --config, or look around with `tenterhook demo`",
            global.config.display()
        );
    }
    let options = AppOptions { config: global.config.clone(), listen: args.listen, clock: Clock::System };
    let manager = ServiceManager::from_env();
    let app = tokio::select! {
        started = App::start(options) => started.map_err(explain)?,
        // Nothing was accepted yet: what was in the store before is there at the next start.
        () = signals.as_mut() => return Ok(()),
    };
    greet(global, &app);
    manager.ready(&format!("listening on {}", app.address()));
    let shutdown = async {
        signals.await;
        manager.stopping();
    };
    tokio::select! {
        ended = app.run(shutdown) => Ok(ended?),
        never = manager.keep_alive() => match never {},
        never = strays.told() => match never {},
    }
}

/// Configuration problems are shown with the lines that they are about.
pub(crate) fn explain(error: StartError) -> anyhow::Error {
    match error {
        StartError::Config(problems) => {
            note_part!("{}", problems.render(true));
            super::Failed.into()
        }
        other => other.into(),
    }
}

/// What to do next, for people; logs go on after it.
fn greet(global: &Global, app: &App) {
    let address = app.address();
    let snapshot = app.live().snapshot();
    let webhooks = snapshot.webhooks();
    tracing::info!(%address, webhooks = webhooks.len(), "tenterhook is ready");
    if global.json {
        return;
    }
    note!("\nTenterhook {} listens on http://{address}", env!("CARGO_PKG_VERSION"));
    note!("  config    {} ({} webhooks; save it and it is live)", global.config.display(), webhooks.len());
    let fragment = app.admin_token().filter(|token| token.is_new()).map(|token| format!("#token={}", token.secret().expose()));
    note!("  web UI    http://{address}/{}", fragment.unwrap_or_default());
    if let Some(token) = app.admin_token() {
        if token.is_new() {
            note!("  token     {}  (an admin's; printed this once)", token.secret().expose());
        }
        note!("  token in  {} (commands on this machine find it there)", token.path().display());
    }
    note!("\nNext, in two other terminals:");
    note!("  tenterhook listen                                        see deliveries arrive, verified");
    note!("  tenterhook send circuit_breaker.opened --data '{{\"routeId\":\"api\",\"errorRate\":0.75}}'\n");
}
