//! `tenterhook audit` and `tenterhook openapi`.

use serde_json::Value;

use super::client::{Client, Query, Server};
use super::output::{self, Table, cell, text};
use super::{Global, when};
use crate::app;
use crate::model::Timestamp;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook audit
  tenterhook audit --by deployer --since 1d
  tenterhook audit --path /v1/webhooks/orders/secret --json")]
pub(crate) struct Args {
    /// Since: RFC 3339, or a duration back from now (15m, 2h, 7d)
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Option<Timestamp>,
    /// Before
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<Timestamp>,
    /// Of this token, by its name
    #[arg(long, value_name = "TOKEN_NAME")]
    by: Option<String>,
    /// Of this path, such as /v1/webhooks/orders
    #[arg(long)]
    path: Option<String>,
    /// At most this many
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let client = Client::new(global, &args.server)?;
    let mut query = Query::default();
    query.add("since", args.since);
    query.add("until", args.until);
    query.add("token", args.by.as_ref());
    query.add("path", args.path.as_ref());
    let rows = client.list("/v1/audit", &query, args.limit).await?;
    output::answer(global, &serde_json::json!({"data": rows}), || table(&rows))
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::new(&["TIME", "TOKEN", "FROM", "METHOD", "PATH", "STATUS", "DETAIL"]);
    for row in rows {
        let refused = row["status"].as_u64().is_some_and(|status| status >= 400);
        table.row([
            cell(output::time(&row["at"])),
            cell(text(&row["token"])),
            cell(text(&row["peer"])),
            cell(text(&row["method"])),
            cell(text(&row["path"])),
            (text(&row["status"]), if refused { output::YELLOW } else { output::PLAIN }),
            cell(output::cut(&text(&row["detail"]), 80)),
        ]);
    }
    if table.is_empty() { "no entries\n".to_owned() } else { table.render() }
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook openapi > openapi.json
  tenterhook openapi | npx openapi-typescript /dev/stdin")]
pub(crate) struct OpenApiArgs {
    #[command(flatten)]
    server: Server,
}

/// The document of the server that is named; otherwise this program's own, which needs no server.
pub(crate) async fn openapi(global: &Global, args: OpenApiArgs) -> anyhow::Result<()> {
    let named = args.server.is_named();
    let document = if named { Client::new(global, &args.server)?.get("/openapi.json").await? } else { app::openapi().clone() };
    if global.json { output::line(&document.to_string()) } else { output::line(&serde_json::to_string_pretty(&document)?) }
}
