//! `tenterhook deliveries list|show|retry|cancel`.

use anyhow::Context;
use http::Method;
use serde_json::Value;

use super::attempts::show_attempts;
use super::client::{Client, Query, Server, segment};
use super::output::{self, DIM, Table, cell, styled, text};
use super::{Failed, Global, lists, when};
use crate::model::{DeliveryState, Timestamp};
use crate::routing::Pattern;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List deliveries, newest first
    #[command(after_help = "Examples:
  tenterhook deliveries list
  tenterhook deliveries list --state failed --webhook ops-slack --since 1h
  tenterhook deliveries list --type 'order.*' --json | jq -r '.data[].id'")]
    List(List),
    /// Show one delivery with every attempt: request, response, timing
    #[command(after_help = "Examples:
  tenterhook deliveries show --last
  tenterhook deliveries show --last --webhook ops-slack
  tenterhook deliveries show dlv_0198f0c1a2b37c4d8e5f6a7b8c9d0e1f")]
    Show(Show),
    /// Try again now; does not spend the automatic retries
    #[command(after_help = "Examples:
  tenterhook deliveries retry dlv_0198f0c1a2b37c4d8e5f6a7b8c9d0e1f
  tenterhook deliveries list --state failed --json | jq -r '.data[].id' \\
      | xargs tenterhook deliveries retry")]
    Retry(Several),
    /// Stop trying
    #[command(after_help = "Examples:
  tenterhook deliveries cancel dlv_0198f0c1a2b37c4d8e5f6a7b8c9d0e1f")]
    Cancel(Several),
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    filter: Filter,
    /// At most this many
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    server: Server,
}

/// Which deliveries.
#[derive(clap::Args, Clone)]
pub(super) struct Filter {
    /// Of this webhook
    #[arg(short, long, value_name = "ID")]
    pub(super) webhook: Option<String>,
    /// In this state
    #[arg(short, long, value_parser = DeliveryState::ALL.map(DeliveryState::name))]
    pub(super) state: Option<String>,
    /// Of event types that match: order.created, order.*, order.**
    #[arg(short, long = "type", value_name = "PATTERN", value_parser = lists::pattern)]
    pub(super) kind: Option<Pattern>,
    /// Of this event
    #[arg(short, long, value_name = "ID")]
    pub(super) event: Option<String>,
    /// Of this tenant
    #[arg(long)]
    pub(super) tenant: Option<String>,
    /// Created since: RFC 3339, or a duration back from now (15m, 2h, 7d)
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(super) since: Option<Timestamp>,
    /// Created before
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(super) until: Option<Timestamp>,
}

impl Filter {
    /// All of it but the pattern, which [`lists::matching`] resolves.
    pub(super) fn query(&self) -> Query {
        let mut query = Query::default();
        query.add("webhook", self.webhook.as_ref());
        query.add("state", self.state.as_ref());
        query.add("event_id", self.event.as_ref());
        query.add("tenant", self.tenant.as_ref());
        query.add("since", self.since);
        query.add("until", self.until);
        query
    }
}

#[derive(clap::Args)]
struct Show {
    #[arg(required_unless_present = "last")]
    id: Option<String>,
    /// The newest one
    #[arg(long, conflicts_with = "id")]
    last: bool,
    /// The newest one of this webhook
    #[arg(short, long, value_name = "ID", requires = "last")]
    webhook: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
struct Several {
    #[arg(required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::List(list) => {
            let client = Client::new(global, &list.server)?;
            let (query, kind) = (list.filter.query(), list.filter.kind.as_ref());
            let rows = lists::matching(&client, &lists::DELIVERIES, &query, kind, list.limit).await?;
            if rows.is_empty() {
                lists::check_names(&client, list.filter.webhook.as_deref(), kind).await?;
            }
            output::answer(global, &serde_json::json!({"data": rows}), || table(&rows))
        }
        Command::Show(one) => {
            let client = Client::new(global, &one.server)?;
            let id = match &one.id {
                Some(id) => id.clone(),
                None => last(&client, one.webhook.as_deref()).await?,
            };
            let delivery = client.get(&format!("/v1/deliveries/{}", segment(&id))).await?;
            output::answer(global, &delivery, || show(&delivery))
        }
        Command::Retry(several) => act(global, several, "retry").await,
        Command::Cancel(several) => act(global, several, "cancel").await,
    }
}

async fn last(client: &Client, webhook: Option<&str>) -> anyhow::Result<String> {
    let mut query = Query::default();
    query.add("webhook", webhook);
    let rows = client.list("/v1/deliveries", &query, 1).await?;
    if rows.is_empty() {
        lists::check_names(client, webhook, None).await?;
    }
    let id = rows.first().and_then(|row| row["id"].as_str()).map(str::to_owned);
    id.context("there is no delivery yet: publish an event with `tenterhook send`")
}

/// One that fails does not stop the others.
async fn act(global: &Global, several: Several, verb: &str) -> anyhow::Result<()> {
    let client = Client::new(global, &several.server)?;
    let mut failed = false;
    for id in &several.ids {
        let path = format!("/v1/deliveries/{}/{verb}", segment(id));
        match client.send(Method::POST, &path, None).await {
            Ok(answer) => output::answer(global, &answer, || format!("{}  {}\n", text(&answer["id"]), state(&answer["state"])))?,
            Err(error) if several.ids.len() == 1 => return Err(error),
            Err(error) => {
                failed = true;
                note!("{id}: {error:#}");
            }
        }
    }
    if failed { Err(Failed.into()) } else { Ok(()) }
}

fn state(value: &Value) -> String {
    let (name, style) = output::state(&text(value));
    styled(style, &name)
}

pub(super) fn table(rows: &[Value]) -> String {
    let mut table = Table::new(&["CREATED", "STATE", "WEBHOOK", "TYPE", "ATTEMPTS", "NEXT", "ID", "REASON"]);
    for row in rows {
        table.row([
            cell(output::time(&row["created_at"])),
            output::state(&text(&row["state"])),
            cell(text(&row["webhook"])),
            cell(text(&row["event_type"])),
            cell(text(&row["attempt_count"])),
            cell(output::time(&row["next_attempt_at"])),
            cell(text(&row["id"])),
            cell(output::cut(&text(&row["reason"]), 60)),
        ]);
    }
    if table.is_empty() { "no deliveries\n".to_owned() } else { table.render() }
}

fn show(delivery: &Value) -> String {
    let field = |key: &str| text(&delivery[key]);
    let batch: Vec<String> = delivery["batch"].as_array().into_iter().flatten().map(text).collect();
    let more = if batch.len() > 1 { format!(" +{}", batch.len() - 1) } else { String::new() };
    let mut out = output::fields(&[
        ("id", field("id")),
        ("state", state(&delivery["state"])),
        ("webhook", field("webhook")),
        ("event", format!("{} {}{more}", field("event_type"), field("event_id"))),
        ("tenant", field("tenant")),
        ("created", field("created_at")),
        ("next attempt", field("next_attempt_at")),
        ("reason", field("reason")),
    ]);
    if !batch.is_empty() {
        out.push_str(&format!("{}         {}\n", styled(DIM, "batch"), batch.join(&format!("\n{:14}", ""))));
    }
    out.push_str(&show_attempts(delivery["attempts"].as_array().map(Vec::as_slice).unwrap_or_default()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_delivery_shows_what_was_sent_and_what_came_back() {
        let delivery = json!({
            "id": "dlv_1", "state": "failed", "webhook": "w", "event_type": "a.b", "event_id": "evt_1", "tenant": null,
            "created_at": "2026-01-28T10:30:45.123Z", "next_attempt_at": null, "reason": "gave up",
            "attempts": [{
                "id": "att_1", "number": 1, "at": "2026-01-28T10:30:45.130Z", "trigger": "scheduled", "outcome": "failed",
                "status": 500, "error_class": "status", "error": "status 500", "duration_ms": 12.3, "timings": {"connect_us": 1500},
                "request": {"method": "POST", "url": "https://a.example/…", "headers": {"webhook-id": "evt_1"}, "body": "{\"a\":1}"},
                "response": {"headers": {"server": "x"}, "body": "oh\u{1b}[2J\nno", "truncated": true}, "log": [],
            }],
        });
        let text = plain(&show(&delivery));
        for part in [
            "state         failed\n",
            "event         a.b evt_1\n",
            "attempt 1  failed  500  12ms\n",
            "  > POST https://a.example/…\n",
            "  > webhook-id: evt_1\n",
            "  > {\n  >   \"a\": 1\n  > }\n",
            "  < server: x\n",
            "  < oh·[2J\n  < no\n",
            "(cut: the rest is not stored)",
            "connect 1.5ms",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }

    #[test]
    fn a_batch_is_shown_with_all_its_events() {
        let delivery = json!({"id": "dlv_1", "event_id": "evt_1", "event_type": "a.b", "batch": ["evt_1", "evt_2", "evt_3"]});
        let text = plain(&show(&delivery));
        for part in ["event         a.b evt_1 +2\n", "batch         evt_1\n              evt_2\n              evt_3\n"] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }

    #[test]
    fn lists_are_tables_and_say_when_they_are_empty() {
        assert_eq!(table(&[]), "no deliveries\n");
        let row = json!({"id": "dlv_1", "state": "retrying", "webhook": "w", "event_type": "a.b", "attempt_count": 2,
            "created_at": "2026-01-28T10:30:45.123Z", "next_attempt_at": "2026-01-28T10:31:00.000Z", "reason": null});
        let text = plain(&table(&[row]));
        assert!(
            text.ends_with("2026-01-28 10:30:45  retrying  w        a.b   2         2026-01-28 10:31:00  dlv_1  -\n"),
            "{text}"
        );
    }
}
