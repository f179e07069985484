//! `tenterhook send`.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::{Client, Server, segment};
use super::{Failed, Global, json, output};

/// Between two requests for what became of an event.
const POLL_PAUSE: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook send circuit_breaker.opened \\
      --data '{\"routeId\":\"api\",\"errorRate\":0.75}'
  tenterhook send order.created --data @order.json --id order-42
  echo '{\"n\":1}' | tenterhook send test.ping --data - --wait")]
pub(crate) struct Args {
    /// The event type, such as order.created
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The event's data: JSON, @file, or - for standard input
    #[arg(short, long, default_value = "null", value_name = "JSON|@FILE|-")]
    data: String,
    /// The event's id: published again with the same content, it counts once
    #[arg(long)]
    id: Option<String>,
    /// Metadata, a JSON object
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Publish it for this tenant's webhooks
    #[arg(long)]
    tenant: Option<String>,
    /// When it happened, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    timestamp: Option<String>,
    /// Wait until every delivery has ended, and show the outcomes
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let client = Client::new(global, &args.server)?;
    let answer = client.post("/v1/events", body(&args)?).await?;
    let id = answer["id"].as_str().context("the server's answer names no id")?.to_owned();
    let deliveries = answer["deliveries"].as_u64().unwrap_or(0);
    if !args.wait {
        let tenant = tenant(&client, &answer, &id).await;
        if global.json {
            writeln!(std::io::stdout(), "{}", json::line(&answer))?;
        } else {
            let of_tenant = tenant.as_deref().map_or_else(String::new, |tenant| format!("  tenant {tenant}"));
            say!("{id}  {deliveries} deliveries{of_tenant}");
        }
        if deliveries == 0 {
            let webhooks = tenant.map_or_else(|| "no webhook".to_owned(), |tenant| format!("no webhook of the tenant {tenant}"));
            note!("{webhooks} matches it: `tenterhook events show {id}` says why");
        }
        return Ok(());
    }
    let event = wait(&client, &id).await?;
    report(global, &event)
}

/// The tenant that the server gave the event, which may come from the token. `None` also when the token may not read.
async fn tenant(client: &Client, answer: &Value, id: &str) -> Option<String> {
    let of = |event: &Value| event["tenant"].as_str().map(output::one_line);
    match answer.get("tenant") {
        Some(_) => of(answer),
        None => client.get(&format!("/v1/events/{}", segment(id))).await.ok().as_ref().and_then(of),
    }
}

/// JSON, @file, or - for standard input.
fn read_text(what: &str, given: &str) -> anyhow::Result<String> {
    if given == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).with_context(|| format!("cannot read the {what} from standard input"))?;
        return Ok(text);
    }
    match given.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read the {what} from {file}")),
        None => Ok(given.to_owned()),
    }
}

/// As [`read_text`], parsed.
pub(super) fn read_json(what: &str, given: &str) -> anyhow::Result<Value> {
    serde_json::from_str(&read_text(what, given)?).with_context(|| format!("the {what} is not JSON"))
}

fn body(args: &Args) -> anyhow::Result<Vec<u8>> {
    let data = read_text("data", &args.data)?;
    let raw = |what: &str, text: String| RawValue::from_string(text).with_context(|| format!("the {what} is not JSON"));
    // The producer's own bytes, as they are.
    let data = raw("data", data.trim().to_owned())?;
    let metadata = args.metadata.clone().map(|text| raw("metadata", text)).transpose()?;
    let mut event = serde_json::Map::new();
    event.insert("type".to_owned(), json!(args.kind));
    for (key, value) in [("id", &args.id), ("tenant", &args.tenant), ("timestamp", &args.timestamp)] {
        if let Some(value) = value {
            event.insert(key.to_owned(), json!(value));
        }
    }
    let mut text = serde_json::to_string(&event)?;
    text.pop();
    text.push_str(&format!(",\"data\":{data}"));
    if let Some(metadata) = metadata {
        text.push_str(&format!(",\"metadata\":{metadata}"));
    }
    text.push('}');
    Ok(text.into_bytes())
}

async fn wait(client: &Client, id: &str) -> anyhow::Result<Value> {
    loop {
        let event = client.get(&format!("/v1/events/{}", segment(id))).await?;
        let open = |delivery: &Value| matches!(delivery["state"].as_str(), Some("pending" | "retrying"));
        if !event["deliveries"].as_array().is_some_and(|deliveries| deliveries.iter().any(open)) {
            return Ok(event);
        }
        tokio::time::sleep(POLL_PAUSE).await;
    }
}

fn report(global: &Global, event: &Value) -> anyhow::Result<()> {
    let Some(deliveries) = event["deliveries"].as_array() else { bail!("the server's answer lists no deliveries") };
    if global.json {
        writeln!(std::io::stdout(), "{}", json::line(event))?;
    } else {
        let of_tenant =
            event["tenant"].as_str().map_or_else(String::new, |tenant| format!("  tenant {}", output::one_line(tenant)));
        say!("{}{of_tenant}", output::text(&event["id"]));
        for delivery in deliveries {
            let text = |key: &str| delivery[key].as_str().unwrap_or_default().to_owned();
            say!("  {:<10} {}  {}", text("state"), text("webhook"), text("id"));
        }
    }
    let arrived = deliveries.iter().all(|delivery| delivery["state"] != "failed");
    if arrived { Ok(()) } else { Err(Failed.into()) }
}
