//! `tenterhook replay`, `erase` and `jobs`: long work that the server does by itself, and how far it is.

use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use anyhow::{Context, bail};
use http::Method;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};

use super::client::{Client, Query, Server, segment};
use super::output::{self, DIM, Table, cell, styled, text};
use super::{Failed, Global, when};
use crate::model::Timestamp;

/// Between two looks at a job.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook replay ops-slack --since 2h --dry-run
  tenterhook replay ops-slack --since 2h --state failed
  tenterhook replay orders --since 2026-01-28T00:00:00Z --until 2026-01-28T12:00:00Z --type 'order.*' --yes

Ctrl-C leaves the job to the server; `tenterhook jobs cancel ID` ends it.")]
pub(crate) struct ReplayArgs {
    #[arg(value_name = "WEBHOOK")]
    id: String,
    /// Deliveries made since then: RFC 3339, or so long ago (15m, 2h, 7d)
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Timestamp,
    /// Made before then [default: now]
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<Timestamp>,
    /// Only those that ended so; several times [default: all]
    #[arg(short, long, value_parser = ["succeeded", "failed", "cancelled", "dropped"])]
    state: Vec<String>,
    /// Only these event types; several times
    #[arg(short, long = "type", value_name = "PATTERN")]
    kinds: Vec<String>,
    /// Run the transformers again, instead of sending what they made
    #[arg(long)]
    retransform: bool,
    /// Only say which it would be
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    begin: Begin,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook erase --tenant acme --dry-run
  tenterhook erase --metadata user_id=u-4711 --yes

What is erased is gone: the events, their deliveries, and every attempt; of a tenant also the webhooks that were made
for it over the API, with their secrets. What comes later stays.")]
pub(crate) struct EraseArgs {
    /// All events of this tenant
    #[arg(long, required_unless_present = "metadata", conflicts_with = "metadata")]
    tenant: Option<String>,
    /// All events whose metadata has this value
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Option<String>,
    /// Only say how many it would be
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    begin: Begin,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
struct Begin {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Begin, and do not wait for the end
    #[arg(long)]
    detach: bool,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Replays and erasures, newest first
    #[command(after_help = "Examples:
  tenterhook jobs list
  tenterhook jobs list --state running")]
    List(List),
    /// How far one is, until it ends
    #[command(after_help = "Examples:
  tenterhook jobs watch job_3")]
    Watch(One),
    /// How far one is now
    #[command(after_help = "Examples:
  tenterhook jobs show job_3")]
    Show(One),
    /// End it; what it has done stays done
    #[command(after_help = "Examples:
  tenterhook jobs cancel job_3")]
    Cancel(One),
}

#[derive(clap::Args)]
struct List {
    #[arg(short, long, value_parser = ["running", "succeeded", "failed", "cancelled"])]
    state: Option<String>,
    /// How many at most
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

pub(crate) async fn replay(global: &Global, args: ReplayArgs) -> anyhow::Result<()> {
    let client = Client::new(global, &args.server)?;
    let path = format!("/v1/webhooks/{}/replay", segment(&args.id));
    let mut body = Map::new();
    body.insert("since".to_owned(), json!(args.since));
    body.extend(args.until.map(|until| ("until".to_owned(), json!(until))));
    for (key, values) in [("state", &args.state), ("event_types", &args.kinds)] {
        if !values.is_empty() {
            body.insert(key.to_owned(), json!(values));
        }
    }
    if args.retransform {
        body.insert("retransform".to_owned(), true.into());
    }
    let what = format!("deliveries are sent to {} again", args.id);
    begin(global, &client, &path, body, &what, args.dry_run, &args.begin).await
}

pub(crate) async fn erase(global: &Global, args: EraseArgs) -> anyhow::Result<()> {
    let client = Client::new(global, &args.server)?;
    let mut body = Map::new();
    if let Some(tenant) = &args.tenant {
        body.insert("tenant".to_owned(), json!(tenant));
    }
    if let Some(pair) = &args.metadata {
        body.insert("metadata".to_owned(), metadata(pair)?);
    }
    let what = "events are erased, with everything that was made of them";
    begin(global, &client, "/v1/erase", body, what, args.dry_run, &args.begin).await
}

/// `user_id=42` is the number; `user_id="42"` the text.
fn metadata(pair: &str) -> anyhow::Result<Value> {
    let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        bail!("--metadata takes KEY=VALUE, not `{pair}`");
    };
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok(json!({key: value}))
}

/// A preview, a question, the job, and its progress.
async fn begin(
    global: &Global,
    client: &Client,
    path: &str,
    body: Map<String, Value>,
    what: &str,
    dry_run: bool,
    begin: &Begin,
) -> anyhow::Result<()> {
    let body = Value::Object(body);
    if dry_run || !begin.yes {
        let mut look = body.clone();
        look["dry_run"] = true.into();
        let preview = client.send(Method::POST, path, Some(&look)).await?;
        if dry_run {
            return output::answer(global, &preview, || show_preview(&preview, what));
        }
        if !confirmed(&show_preview(&preview, what))? {
            bail!("nothing was done");
        }
    }
    let job = client.send(Method::POST, path, Some(&body)).await?;
    if begin.detach {
        return output::answer(global, &job, || format!("{}\n", text(&job["id"])));
    }
    watch(global, client, job).await
}

fn show_preview(preview: &Value, what: &str) -> String {
    let more = if preview["complete"] == false { "more than " } else { "" };
    let mut out = format!("{more}{} {what}\n", text(&preview["matching"]));
    if let Some(webhooks) = preview["webhooks"].as_u64().filter(|webhooks| *webhooks > 0) {
        out.push_str(&format!("{webhooks} webhooks made over the API are removed, with their secrets\n"));
    }
    let sample = preview["sample"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !sample.is_empty() {
        out.push_str(&super::deliveries::table(sample));
    }
    out
}

/// Asks a person; a script has to say --yes.
fn confirmed(preview: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("say --yes: there is nobody to ask. What it is about:\n{}", preview.trim_end());
    }
    note_part!("{preview}Go on? [y/N] ");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("no answer")?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A bar on a terminal until the job ends; its last state on standard output. Whoever stops watching leaves the job to
/// the server.
async fn watch(global: &Global, client: &Client, mut job: Value) -> anyhow::Result<()> {
    let id = text(&job["id"]);
    let bar = bar(job["progress"]["total"].as_u64());
    let follow = async {
        while job["state"] == "running" {
            bar.set_position(job["progress"]["done"].as_u64().unwrap_or(0));
            tokio::time::sleep(LOOK_PAUSE).await;
            job = client.get(&format!("/v1/jobs/{}", segment(&id))).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        result = follow => result?,
        () = super::shutdown_signal() => {
            bar.abandon();
            note!("{id} goes on without you: tenterhook jobs watch {id}, or tenterhook jobs cancel {id}");
            return Ok(());
        }
    }
    bar.finish_and_clear();
    output::answer(global, &job, || show(&job))?;
    if job["state"] == "succeeded" { Ok(()) } else { Err(Failed.into()) }
}

/// Draws on a terminal only, and on standard error.
fn bar(total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => "{bar:40.green} {pos}/{len} {elapsed} {eta_precise} left",
        None => "{spinner} {pos} {elapsed}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn show(job: &Value) -> String {
    let (state, style) = output::state(&text(&job["state"]));
    let progress = &job["progress"];
    let total = progress["total"].as_u64().map_or_else(String::new, |total| format!(" of {total}"));
    let reason = job["reason"].as_str().map_or_else(String::new, |reason| format!("  {}", output::one_line(reason)));
    let id = styled(DIM, &text(&job["id"]));
    format!("{} {}  {}{total}{reason}  {id}\n", text(&job["kind"]), styled(style, &state), text(&progress["done"]))
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let path = |id: &str| format!("/v1/jobs/{}", segment(id));
    match args.command {
        Command::List(list) => {
            let mut query = Query::default();
            query.add("state", list.state.as_ref());
            let rows = Client::new(global, &list.server)?.list("/v1/jobs", &query, list.limit).await?;
            output::answer(global, &json!({"data": rows}), || table(&rows))
        }
        Command::Watch(one) => {
            let client = Client::new(global, &one.server)?;
            let job = client.get(&path(&one.id)).await?;
            watch(global, &client, job).await
        }
        Command::Show(one) => {
            let job = Client::new(global, &one.server)?.get(&path(&one.id)).await?;
            output::answer(global, &job, || show(&job))
        }
        Command::Cancel(one) => {
            let client = Client::new(global, &one.server)?;
            let job = client.send(Method::POST, &format!("{}/cancel", path(&one.id)), None).await?;
            output::answer(global, &job, || show(&job))
        }
    }
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::new(&["ID", "KIND", "STATE", "DONE", "TOTAL", "BEGUN", "BY", "ABOUT"]);
    for row in rows {
        let about = if row["webhook"].is_null() { row["subject"].to_string() } else { text(&row["webhook"]) };
        table.row([
            cell(text(&row["id"])),
            cell(text(&row["kind"])),
            output::state(&text(&row["state"])),
            cell(text(&row["progress"]["done"])),
            cell(text(&row["progress"]["total"])),
            cell(output::time(&row["created_at"])),
            cell(text(&row["created_by"])),
            cell(output::cut(&output::one_line(&about), 60)),
        ]);
    }
    if table.is_empty() { "no jobs\n".to_owned() } else { table.render() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_job_says_how_far_it_is() {
        let job =
            json!({"id": "job_3", "kind": "replay", "state": "succeeded", "progress": {"done": 7, "total": 7}, "reason": null});
        assert_eq!(plain(&show(&job)), "replay succeeded  7 of 7  job_3\n");
        let job = json!({"id": "job_4", "kind": "erase", "state": "cancelled", "progress": {"done": 2, "total": null}, "reason": "cancelled by hand"});
        assert_eq!(plain(&show(&job)), "erase cancelled  2  cancelled by hand  job_4\n");
    }

    #[test]
    fn a_preview_counts_and_shows_some() {
        let preview = json!({"matching": 3, "complete": true, "sample": [{"id": "dlv_1", "state": "failed"}]});
        let text = plain(&show_preview(&preview, "deliveries are sent to w again"));
        assert!(text.starts_with("3 deliveries are sent to w again\nCREATED") && text.contains("dlv_1"), "{text}");
        assert!(show_preview(&json!({"matching": 9, "complete": false}), "events").starts_with("more than 9 events"));
    }

    #[test]
    fn metadata_values_are_json_or_text() {
        assert_eq!(metadata("user_id=u-1").unwrap(), json!({"user_id": "u-1"}));
        assert_eq!(metadata("n=42").unwrap(), json!({"n": 42}));
        assert_eq!(metadata("n=\"42\"").unwrap(), json!({"n": "42"}));
        assert!(metadata("=x").unwrap_err().to_string().contains("KEY=VALUE"));
    }
}
