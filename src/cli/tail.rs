//! `tenterhook tail`: deliveries as they happen, like `kubectl logs -f`: from the server's stream, or, where it has none,
//! by polling the list of deliveries.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{anyhow, bail};
use serde_json::Value;

use super::client::{Client, Query, Server, segment};
use super::deliveries::Filter;
use super::output::{self, DIM, styled, text};
use super::stream::{self, Ended, StreamEvent};
use super::{Global, json, lists};
use crate::model::{DeliveryState, EventType, Timestamp};
use crate::routing::Pattern;

/// Between two polls: soon enough for eyes, and next to no load.
const POLL_PAUSE: Duration = Duration::from_millis(500);

/// Deliveries of one poll. A server that makes more between two polls is too fast to read along.
const POLL_ROWS: usize = 500;

/// A server that restarts comes back within this.
const POLLS_FAILED_MAX: u32 = 60;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook tail
  tenterhook tail --type 'circuit_breaker.*' --type order.created
  tenterhook tail --webhook ops-slack --state failed
  tenterhook tail --since 10m --no-follow --json")]
pub(crate) struct Args {
    /// Only these event types; * is one part of a dotted name, ** any number; may be given several times
    #[arg(short, long = "type", value_name = "PATTERN")]
    kinds: Vec<String>,
    /// Only of this webhook
    #[arg(short, long, value_name = "ID")]
    webhook: Option<String>,
    /// Only when they reach this state
    #[arg(short, long, value_parser = DeliveryState::ALL.map(DeliveryState::name))]
    state: Option<String>,
    /// Only of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Start with deliveries created since: RFC 3339, or a duration back from now (15m, 2h)
    #[arg(long, value_name = "TIME", value_parser = super::when::parse)]
    since: Option<Timestamp>,
    /// Start with the last N deliveries
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    lines: usize,
    /// Print what there is and exit
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let client = Client::new(global, &args.server)?;
    let kinds = args.kinds.iter().map(|text| Pattern::parse(text)).collect::<Result<Vec<_>, _>>()?;
    tokio::select! {
        result = tail(global, &client, &args, &kinds) => result,
        () = super::shutdown_signal() => Ok(()),
    }
}

/// First the deliveries that exist, then those that come.
async fn tail(global: &Global, client: &Client, args: &Args, kinds: &[Pattern]) -> anyhow::Result<()> {
    let mut query = Query::default();
    query.add("webhook", args.webhook.as_ref());
    query.add("state", args.state.as_ref());
    query.add("tenant", args.tenant.as_ref());
    let path = query.on("/v1/stream");
    // The position first and the list then: nothing is missed in between.
    let position = if args.no_follow { None } else { position(client, &path).await? };
    let mut tail = Tail { known: HashMap::new() };
    let first = poll_once(client, args).await?;
    check_names(client, args, kinds, first.is_empty()).await?;
    let mut begin = wanted(tail.changed(&first), args, kinds);
    if args.since.is_none() {
        begin.drain(..begin.len().saturating_sub(args.lines));
    }
    show(global, client, begin).await?;
    match position {
        _ if args.no_follow => Ok(()),
        Some(position) => stream(global, client, args, kinds, &tail, (path, position)).await,
        None => poll(global, client, args, kinds, tail).await,
    }
}

/// A misspelt name would match nothing for ever.
async fn check_names(client: &Client, args: &Args, kinds: &[Pattern], is_empty: bool) -> anyhow::Result<()> {
    // A webhook that was removed may still have deliveries.
    let webhook = args.webhook.as_deref().filter(|_| is_empty);
    lists::check_names(client, webhook, None).await?;
    for kind in kinds {
        lists::check_names(client, None, Some(kind)).await?;
    }
    Ok(())
}

/// The stream's position; `None` of a server that has no stream, or none left: then the list is polled.
async fn position(client: &Client, path: &str) -> anyhow::Result<Option<String>> {
    let (base, token) = client.parts();
    match stream::position(base, path, token).await? {
        Ok(position) => Ok(Some(position)),
        Err(Ended::Unavailable(status, detail)) if ![404, 503].contains(&status.as_u16()) => {
            bail!("the server answered {status}: {}", output::lines(&detail))
        }
        Err(_) => Ok(None),
    }
}

/// Attempts from the server's stream, from a position on.
async fn stream(
    global: &Global,
    client: &Client,
    args: &Args,
    kinds: &[Pattern],
    shown: &Tail,
    (path, position): (String, String),
) -> anyhow::Result<()> {
    let mut last_id = Some(position);
    let mut take = |event: StreamEvent| {
        if event.name != "attempt" {
            return Ok(());
        }
        let mut attempt = event.data;
        let row = attempt["delivery"].take();
        if shown.has(&row, &attempt) || !is_wanted(&row, args, kinds) {
            return Ok(());
        }
        line(global, &row, attempt)
    };
    let mut outage = Outage::default();
    loop {
        let (base, token) = client.parts();
        match stream::follow(base, &path, token, &mut last_id, &mut take).await {
            Ok(Ended::Over) => outage.end(),
            Ok(Ended::Unavailable(status, _)) if status.as_u16() == 503 => {
                outage.add(anyhow!("the server has no stream left"))?
            }
            Ok(Ended::Unavailable(status, detail)) => bail!("the server answered {status}: {}", output::lines(&detail)),
            // The reader of standard output is gone.
            Err(error) if is_broken_pipe(&error) => return Err(error),
            Err(error) => outage.add(error)?,
        }
        tokio::time::sleep(POLL_PAUSE).await;
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// A server that is away for a while.
#[derive(Default)]
struct Outage {
    failed: u32,
}

impl Outage {
    fn add(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        if self.failed >= POLLS_FAILED_MAX {
            return Err(error);
        }
        if self.failed == 0 {
            note!("{}", styled(DIM, &format!("{error:#}; waiting for it")));
        }
        self.failed += 1;
        Ok(())
    }

    fn end(&mut self) {
        if self.failed > 0 {
            note!("{}", styled(DIM, "the server is back"));
        }
        self.failed = 0;
    }
}

async fn poll(global: &Global, client: &Client, args: &Args, kinds: &[Pattern], mut tail: Tail) -> anyhow::Result<()> {
    let mut outage = Outage::default();
    loop {
        tokio::time::sleep(POLL_PAUSE).await;
        match poll_once(client, args).await {
            Ok(rows) => {
                outage.end();
                show(global, client, wanted(tail.changed(&rows), args, kinds)).await?;
            }
            Err(error) if error.is::<super::client::Refused>() => return Err(error),
            Err(error) => outage.add(error)?,
        }
    }
}

/// The newest deliveries, newest first.
async fn poll_once(client: &Client, args: &Args) -> anyhow::Result<Vec<Value>> {
    let filter = Filter {
        webhook: args.webhook.clone(),
        // The state that they reach: filtered after the changes are known.
        state: None,
        kind: None,
        event: None,
        tenant: args.tenant.clone(),
        since: args.since,
        until: None,
    };
    client.list("/v1/deliveries", &filter.query(), POLL_ROWS).await
}

/// What was seen of each delivery: state and number of attempts.
struct Tail {
    known: HashMap<String, (String, u64)>,
}

impl Tail {
    /// Whether the list has shown this attempt already.
    fn has(&self, row: &Value, attempt: &Value) -> bool {
        let known = row["id"].as_str().and_then(|id| self.known.get(id));
        known.is_some_and(|(_, attempts)| attempt["number"].as_u64().is_some_and(|number| number <= *attempts))
    }

    /// Those that are new or have changed, oldest first; forgets those that are not in the list any more.
    fn changed<'r>(&mut self, rows: &'r [Value]) -> Vec<&'r Value> {
        let mut seen = HashMap::with_capacity(rows.len());
        let mut changed = Vec::new();
        for row in rows.iter().rev() {
            let Some(id) = row["id"].as_str() else { continue };
            let now = (text(&row["state"]), row["attempt_count"].as_u64().unwrap_or(0));
            if self.known.get(id) != Some(&now) {
                changed.push(row);
            }
            seen.insert(id.to_owned(), now);
        }
        self.known = seen;
        changed
    }
}

/// Those that the flags select.
fn wanted<'r>(rows: Vec<&'r Value>, args: &Args, kinds: &[Pattern]) -> Vec<&'r Value> {
    rows.into_iter().filter(|row| is_wanted(row, args, kinds)).collect()
}

fn is_wanted(row: &Value, args: &Args, kinds: &[Pattern]) -> bool {
    let kind = row["event_type"].as_str().and_then(|kind| EventType::parse(kind).ok());
    let state = row["state"].as_str().unwrap_or_default();
    (kinds.is_empty() || kind.is_some_and(|kind| kinds.iter().any(|pattern| pattern.matches(&kind))))
        && args.state.as_deref().is_none_or(|wanted| wanted == state)
}

async fn show(global: &Global, client: &Client, rows: Vec<&Value>) -> anyhow::Result<()> {
    for row in rows {
        let attempted = row["attempt_count"].as_u64().unwrap_or(0) > 0;
        // The list has no attempts: the last one says how it went.
        let detail = match attempted {
            true => client.get(&format!("/v1/deliveries/{}", segment(&text(&row["id"])))).await.ok(),
            false => None,
        };
        let attempt = detail.as_ref().and_then(|detail| detail["attempts"].as_array()?.last().cloned()).unwrap_or(Value::Null);
        line(global, row, attempt)?;
    }
    Ok(())
}

fn line(global: &Global, row: &Value, attempt: Value) -> anyhow::Result<()> {
    if !global.json {
        return output::print(&render(row, &attempt));
    }
    let mut row = row.clone();
    row["last_attempt"] = attempt;
    output::line(&json::line(&row))
}

fn render(row: &Value, attempt: &Value) -> String {
    let at = if attempt.is_object() { &attempt["at"] } else { &row["created_at"] };
    let clock = at.as_str().and_then(|at| at.get(11..23)).unwrap_or(output::NOTHING);
    let (state, style) = output::state(&text(&row["state"]));
    let mut line = format!(
        "{}  {}{}  {}  {}  {}",
        styled(DIM, clock),
        styled(style, &state),
        " ".repeat(9_usize.saturating_sub(state.len())),
        text(&row["webhook"]),
        text(&row["event_type"]),
        styled(DIM, &text(&row["id"])),
    );
    if attempt.is_object() {
        let outcome = attempt["status"].as_u64().map_or_else(|| text(&attempt["error_class"]), |status| status.to_string());
        line.push_str(&format!("  #{} {outcome} in {}", text(&attempt["number"]), output::millis(&attempt["duration_ms"])));
    }
    if let Some(error) = attempt["error"].as_str().or(row["reason"].as_str()) {
        line.push_str(&format!("  {}", output::cut(&output::one_line(error), 100)));
    }
    if let Some(next) = row["next_attempt_at"].as_str().and_then(|at| at.get(11..19)).filter(|_| row["state"] == "retrying") {
        line.push_str(&styled(DIM, &format!("  next {next}")));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(id: &str, state: &str, attempts: u64) -> Value {
        json!({"id": id, "state": state, "attempt_count": attempts, "webhook": "w", "event_type": "a.b",
            "created_at": "2026-01-28T10:30:45.123Z", "next_attempt_at": "2026-01-28T10:30:47.000Z", "reason": null})
    }

    #[test]
    fn a_change_is_shown_once_oldest_first() {
        let mut tail = Tail { known: HashMap::new() };
        let ids = |rows: Vec<&Value>| rows.iter().map(|row| text(&row["id"])).collect::<Vec<_>>();
        let first = [row("2", "pending", 0), row("1", "succeeded", 1)];
        assert_eq!(ids(tail.changed(&first)), ["1", "2"]);
        assert!(tail.changed(&first).is_empty());
        let second = [row("3", "pending", 0), row("2", "retrying", 1), row("1", "succeeded", 1)];
        assert_eq!(ids(tail.changed(&second)), ["2", "3"]);
        let third = [row("3", "pending", 0), row("2", "retrying", 2), row("1", "succeeded", 1)];
        assert_eq!(ids(tail.changed(&third)), ["2"]);
    }

    #[test]
    fn what_the_list_has_shown_is_not_shown_again() {
        let mut tail = Tail { known: HashMap::new() };
        tail.changed(&[row("1", "retrying", 2)]);
        let has = |id: &str, number: u64| tail.has(&row(id, "retrying", number), &json!({"number": number}));
        assert!(has("1", 1) && has("1", 2) && !has("1", 3) && !has("2", 1));
    }

    #[test]
    fn a_line_says_how_the_last_attempt_went() {
        let attempt =
            json!({"number": 1, "at": "2026-01-28T10:30:45.500Z", "status": 503, "duration_ms": 12.0, "error": "status 503"});
        let line = anstream::adapter::strip_str(&render(&row("dlv_1", "retrying", 1), &attempt)).to_string();
        assert_eq!(line, "10:30:45.500  retrying   w  a.b  dlv_1  #1 503 in 12ms  status 503  next 10:30:47\n");
        let line = anstream::adapter::strip_str(&render(&row("dlv_1", "pending", 0), &Value::Null)).to_string();
        assert_eq!(line, "10:30:45.123  pending    w  a.b  dlv_1\n");
    }
}
