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
  tenterhook serve --listen 127.0.0.1:0
  TENTERHOOK_LOG=debug tenterhook serve
  TENTERHOOK_LOG=tenterhook::dispatch=debug,info tenterhook serve

Logs go to standard error: level `info`, or what TENTERHOOK_LOG says (error,
warn, info, debug, trace, or per module).")]
pub(crate) struct Args {
    /// Address to listen on, instead of `[server] listen`
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// How log lines look [default: text on a terminal, JSON otherwise]
    #[arg(long, value_enum, env = "TENTERHOOK_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    // First of all: SIGINT and SIGTERM during the start end it in order, and no other signal ends the process.
    let mut strays = super::Strays::install();
    let mut signals = std::pin::pin!(super::Signals::install().first());
    logs::init(match args.log_format {
        Some(LogFormat::Text) => logs::Format::Terminal,
        Some(LogFormat::Json) => logs::Format::Json,
        None if global.json => logs::Format::Json,
        None => logs::Format::detect(),
    })?;
    if !global.config.exists() {
        anyhow::bail!(
            "there is no {}: `tenterhook init` writes a first one, --config names another, `tenterhook demo` needs none",
            global.config.display()
        );
    }
    let options = AppOptions { config: global.config.clone(), listen: args.listen, clock: Clock::System };
    let manager = ServiceManager::from_env();
    let app = tokio::select! {
        started = App::start(options) => started.map_err(explain)?,
        // Nothing was accepted yet: the store is as it was.
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
        never = strays.log() => match never {},
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

/// The addresses and the next steps, for people; log lines follow.
fn greet(global: &Global, app: &App) {
    let address = app.address();
    let snapshot = app.live().snapshot();
    let webhooks = snapshot.webhooks();
    tracing::info!(%address, webhooks = webhooks.len(), "tenterhook is ready");
    if global.json {
        return;
    }
    note!("\nTenterhook {} listens on http://{address}", env!("CARGO_PKG_VERSION"));
    note!("  config    {} ({} webhooks; saving it takes effect)", global.config.display(), webhooks.len());
    let fragment = app.admin_token().filter(|token| token.is_new()).map(|token| format!("#token={}", token.secret().expose()));
    note!("  web UI    http://{address}/{}", fragment.unwrap_or_default());
    if let Some(token) = app.admin_token() {
        if token.is_new() {
            note!("  token     {}  (scope manage; printed only at the first start)", token.secret().expose());
        }
        note!("  token in  {} (commands on this machine read it there)", token.path().display());
    }
    note!("\nNext, in two other terminals:");
    note!("  tenterhook listen    # receives, verifies and prints deliveries");
    note!("  tenterhook send circuit_breaker.opened --data '{{\"routeId\":\"api\",\"errorRate\":0.75}}'\n");
}
