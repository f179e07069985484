//! `tenterhook reload`: the server reads its files now.

use http::Method;

use super::Global;
use super::client::{Client, Server};
use super::output::{self, text};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook reload
  tenterhook plan && tenterhook reload

Saving a file is enough on most systems; this is for file systems that do not tell of changes.")]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let config = Client::new(global, &args.server)?.send(Method::POST, "/v1/config/reload", None).await?;
    output::answer(global, &config, || {
        format!(
            "generation {}, {} webhooks, {}\n",
            text(&config["generation"]),
            text(&config["webhooks"]),
            text(&config["fingerprint"])
        )
    })
}
