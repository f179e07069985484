//! `tenterhook events list|show|types`: what was published, and what became of it.

use anyhow::ensure;
use serde_json::Value;

use super::client::{Client, Query, Server, segment};
use super::output::{self, BOLD, DIM, Table, cell, styled, text};
use super::{Global, lists, when};
use crate::model::Timestamp;
use crate::routing::Pattern;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List published events, newest first
    #[command(after_help = "Examples:
  tenterhook events list
  tenterhook events list --type 'order.*' --since 1h")]
    List(List),
    /// Show one event: its data, its deliveries, and why the other webhooks did not match
    #[command(after_help = "Examples:
  tenterhook events show evt_0198f0c1a2b37c4d8e5f6a7b8c9d0e1f")]
    Show(One),
    /// List event types, declared and seen, with counts
    #[command(after_help = "Examples:
  tenterhook events types")]
    Types(Types),
}

#[derive(clap::Args)]
struct List {
    /// Of types that match: order.created, order.*, order.**
    #[arg(short, long = "type", value_name = "PATTERN", value_parser = lists::pattern)]
    kind: Option<Pattern>,
    /// Of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Published since: RFC 3339, or a duration back from now (15m, 2h, 7d)
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Option<Timestamp>,
    /// Published before
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<Timestamp>,
    /// At most this many
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
struct One {
    id: String,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
struct Types {
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::List(list) => {
            let client = Client::new(global, &list.server)?;
            let mut query = Query::default();
            query.add("tenant", list.tenant.as_ref());
            query.add("since", list.since);
            query.add("until", list.until);
            let kind = list.kind.as_ref();
            let rows = lists::matching(&client, &lists::EVENTS, &query, kind, list.limit).await?;
            if rows.is_empty() {
                lists::check_names(&client, None, kind).await?;
            }
            output::answer(global, &serde_json::json!({"data": rows}), || table(&rows))
        }
        Command::Show(one) => {
            let client = Client::new(global, &one.server)?;
            let event = client.get(&format!("/v1/events/{}", segment(&one.id))).await?;
            ensure!(event["id"].is_string(), "the server's answer is no event");
            output::answer(global, &event, || show(&event))
        }
        Command::Types(types) => {
            let client = Client::new(global, &types.server)?;
            let rows = client.list("/v1/event-types", &Query::default(), usize::MAX).await?;
            output::answer(global, &serde_json::json!({"data": rows}), || types_table(&rows))
        }
    }
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::new(&["TIME", "TYPE", "TENANT", "DELIVERIES", "ID"]);
    for row in rows {
        table.row([
            cell(output::time(&row["timestamp"])),
            cell(text(&row["type"])),
            cell(text(&row["tenant"])),
            cell(counted(&row["deliveries"])),
            cell(text(&row["id"])),
        ]);
    }
    if table.is_empty() { "no events\n".to_owned() } else { table.render() }
}

/// `2 succeeded, 1 failed`.
fn counted(deliveries: &Value) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for delivery in deliveries.as_array().into_iter().flatten() {
        let state = text(&delivery["state"]);
        match counts.iter_mut().find(|(name, _)| *name == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    let parts: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

fn show(event: &Value) -> String {
    let field = |key: &str| text(&event[key]);
    let mut out = output::fields(&[
        ("id", field("id")),
        ("type", field("type")),
        ("time", field("timestamp")),
        ("received", field("received_at")),
        ("tenant", field("tenant")),
        ("metadata", field("metadata")),
    ]);
    out.push_str(&format!("{}\n{}\n", styled(DIM, "data"), output::laid_out(&event["data"], "")));
    let deliveries = event["deliveries"].as_array().map(Vec::as_slice).unwrap_or_default();
    out.push_str(&format!("\n{}\n", styled(BOLD, "Deliveries")));
    if deliveries.is_empty() {
        out.push_str("  none\n");
    }
    for delivery in deliveries {
        let (name, style) = output::state(&text(&delivery["state"]));
        let pad = " ".repeat(10_usize.saturating_sub(name.len()));
        out.push_str(&format!("  {}{pad}  {}  {}\n", styled(style, &name), text(&delivery["webhook"]), text(&delivery["id"])));
    }
    let unmatched = event["unmatched"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !unmatched.is_empty() {
        out.push_str(&format!("\n{}\n", styled(BOLD, "Webhooks that did not match")));
    }
    for webhook in unmatched {
        out.push_str(&format!("  {}  {}\n", text(&webhook["webhook"]), text(&webhook["reason"])));
    }
    out
}

fn types_table(rows: &[Value]) -> String {
    let mut table = Table::new(&["TYPE", "EVENTS", "LAST SEEN", "DECLARED", "DESCRIPTION"]);
    for row in rows {
        table.row([
            cell(text(&row["type"])),
            cell(text(&row["events"])),
            cell(output::time(&row["last_seen_at"])),
            cell(if row["declared"] == true { "yes" } else { "no" }),
            cell(output::cut(&text(&row["description"]), 60)),
        ]);
    }
    if table.is_empty() { "no event types\n".to_owned() } else { table.render() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_says_what_became_of_it() {
        let event = json!({"id": "evt_1", "type": "a.b", "timestamp": "2026-01-28T10:30:45.123Z", "data": {"n": 1}, "metadata": null,
            "deliveries": [{"id": "dlv_1", "webhook": "w", "state": "succeeded"}, {"id": "dlv_2", "webhook": "v", "state": "succeeded"}],
            "unmatched": [{"webhook": "x", "reason": "the filter's clause data.n $gt 5 does not hold"}]});
        let text = anstream::adapter::strip_str(&show(&event)).to_string();
        for part in ["\"n\": 1", "  succeeded   w  dlv_1\n", "  x  the filter's clause"] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert_eq!(counted(&event["deliveries"]), "2 succeeded");
        assert_eq!(counted(&json!([])), "none");
    }
}
