//! `tenterhook reload`: the server reads its configuration files now.

use http::Method;
use serde_json::json;

use super::Global;
use super::client::{Client, Server};
use super::output::{self, text};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook reload
  tenterhook plan && tenterhook reload
  tenterhook reload --force

Saving a file is enough. A change that removes webhooks, tokens or files waits
until the files have been unchanged for 3 seconds; this applies it immediately.")]
pub(crate) struct Args {
    /// Accept a configuration without any table, which is refused while webhooks are live
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let body = args.force.then(|| json!({"force": true}));
    let config = Client::new(global, &args.server)?.send(Method::POST, "/v1/config/reload", body.as_ref()).await?;
    output::answer(global, &config, || {
        format!(
            "generation {}, {} webhooks, {}\n",
            text(&config["generation"]),
            text(&config["webhooks"]),
            text(&config["fingerprint"])
        )
    })
}
