//! `tenterhook replay`, `erase` and `jobs`: long-running work of the server, and its progress.

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

/// Between two requests for a job's progress.
const POLL_PAUSE: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook replay ops-slack --since 2h --dry-run
  tenterhook replay ops-slack --since 2h --state failed
  tenterhook replay orders --type 'order.*' --yes \\
      --since 2026-01-28T00:00:00Z --until 2026-01-28T12:00:00Z

Ctrl-C does not stop the job; `tenterhook jobs cancel ID` does.")]
pub(crate) struct ReplayArgs {
    #[arg(value_name = "WEBHOOK")]
    id: String,
    /// Deliveries created since: RFC 3339, or a duration back from now (15m, 2h, 7d)
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Timestamp,
    /// Created before [default: now]
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<Timestamp>,
    /// Only those in this final state; may be given several times [default: all]
    #[arg(short, long, value_parser = ["succeeded", "failed", "cancelled", "dropped"])]
    state: Vec<String>,
    /// Only these event types; may be given several times
    #[arg(short, long = "type", value_name = "PATTERN")]
    kinds: Vec<String>,
    /// Run the transformers again instead of sending the stored requests
    #[arg(long)]
    retransform: bool,
    /// Only show which deliveries it would be
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

Erased are the events, their deliveries and every attempt; of a tenant also
the webhooks that were made for it over the API, with their secrets. Events
published later are not affected.")]
pub(crate) struct EraseArgs {
    /// All events of this tenant
    #[arg(long, required_unless_present = "metadata", conflicts_with = "metadata")]
    tenant: Option<String>,
    /// All events whose metadata has this value
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Option<String>,
    /// Only show how many it would be
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
    /// Start, and do not wait for the end
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
    /// List replays and erasures, newest first
    #[command(after_help = "Examples:
  tenterhook jobs list
  tenterhook jobs list --state running")]
    List(List),
    /// Show the progress of one until it ends
    #[command(after_help = "Examples:
  tenterhook jobs watch job_3")]
    Watch(One),
    /// Show the progress of one
    #[command(after_help = "Examples:
  tenterhook jobs show job_3")]
    Show(One),
    /// Stop one; what it has done stays
    #[command(after_help = "Examples:
  tenterhook jobs cancel job_3")]
    Cancel(One),
}

#[derive(clap::Args)]
struct List {
    #[arg(short, long, value_parser = ["running", "succeeded", "failed", "cancelled"])]
    state: Option<String>,
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
    let what = What { noun: "deliveries", done: format!("sent to {} again", output::one_line(&args.id)) };
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
    let what = What { noun: "events", done: "erased, with their deliveries and attempts".to_owned() };
    begin(global, &client, "/v1/erase", body, &what, args.dry_run, &args.begin).await
}

/// `user_id=42` is the number; `user_id="42"` the text.
fn metadata(pair: &str) -> anyhow::Result<Value> {
    let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        bail!("--metadata takes KEY=VALUE, not `{pair}`");
    };
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok(json!({key: value}))
}

/// What a job is about, in words.
struct What {
    noun: &'static str,
    done: String,
}

/// A preview, a question, the job, and its progress.
async fn begin(
    global: &Global,
    client: &Client,
    path: &str,
    body: Map<String, Value>,
    what: &What,
    dry_run: bool,
    begin: &Begin,
) -> anyhow::Result<()> {
    let body = Value::Object(body);
    if dry_run || !begin.yes {
        let mut question = body.clone();
        question["dry_run"] = true.into();
        let preview = client.send(Method::POST, path, Some(&question)).await?;
        if dry_run {
            return output::answer(global, &preview, || {
                show_preview(&preview, what, "would be") + "Nothing was changed (--dry-run).\n"
            });
        }
        if !confirmed(&show_preview(&preview, what, "will be"))? {
            bail!("nothing was done");
        }
    }
    let job = client.send(Method::POST, path, Some(&body)).await?;
    if begin.detach {
        return output::answer(global, &job, || format!("{}\n", text(&job["id"])));
    }
    watch(global, client, job).await
}

/// `verb`: that it has not happened yet.
fn show_preview(preview: &Value, what: &What, verb: &str) -> String {
    let more = if preview["complete"] == false { "more than " } else { "" };
    let mut out = format!("{more}{} {} {verb} {}\n", text(&preview["matching"]), what.noun, what.done);
    if let Some(webhooks) = preview["webhooks"].as_u64().filter(|webhooks| *webhooks > 0) {
        out.push_str(&format!("{webhooks} webhooks made over the API {verb} removed, with their secrets\n"));
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
        bail!("standard input is no terminal, so nobody can confirm: give --yes\n{}", preview.trim_end());
    }
    note_part!("{preview}Go on? [y/N] ");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("no answer")?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A bar on a terminal until the job ends; its last state on standard output. The job does not depend on being watched.
async fn watch(global: &Global, client: &Client, mut job: Value) -> anyhow::Result<()> {
    let id = text(&job["id"]);
    let bar = bar(job["progress"]["total"].as_u64());
    let follow = async {
        while job["state"] == "running" {
            bar.set_position(job["progress"]["done"].as_u64().unwrap_or(0));
            tokio::time::sleep(POLL_PAUSE).await;
            job = client.get(&format!("/v1/jobs/{}", segment(&id))).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        result = follow => result?,
        () = super::shutdown_signal() => {
            bar.abandon();
            note!("{id} goes on in the server: `tenterhook jobs watch {id}` shows it, `tenterhook jobs cancel {id}` stops it");
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
    let mut table = Table::new(&["ID", "KIND", "STATE", "DONE", "TOTAL", "STARTED", "BY", "SUBJECT"]);
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
    fn a_job_shows_its_progress() {
        let job =
            json!({"id": "job_3", "kind": "replay", "state": "succeeded", "progress": {"done": 7, "total": 7}, "reason": null});
        assert_eq!(plain(&show(&job)), "replay succeeded  7 of 7  job_3\n");
        let job = json!({"id": "job_4", "kind": "erase", "state": "cancelled", "progress": {"done": 2, "total": null}, "reason": "cancelled by an operator"});
        assert_eq!(plain(&show(&job)), "erase cancelled  2  cancelled by an operator  job_4\n");
    }

    #[test]
    fn a_preview_counts_and_shows_some() {
        let preview = json!({"matching": 3, "complete": true, "sample": [{"id": "dlv_1", "state": "failed"}]});
        let what = What { noun: "deliveries", done: "sent to w again".to_owned() };
        let text = plain(&show_preview(&preview, &what, "would be"));
        assert!(text.starts_with("3 deliveries would be sent to w again\nCREATED") && text.contains("dlv_1"), "{text}");
        let preview = json!({"matching": 9, "complete": false, "webhooks": 2});
        assert_eq!(
            show_preview(&preview, &what, "will be"),
            "more than 9 deliveries will be sent to w again\n2 webhooks made over the API will be removed, with their secrets\n"
        );
    }

    #[test]
    fn metadata_values_are_json_or_text() {
        assert_eq!(metadata("user_id=u-1").unwrap(), json!({"user_id": "u-1"}));
        assert_eq!(metadata("n=42").unwrap(), json!({"n": 42}));
        assert_eq!(metadata("n=\"42\"").unwrap(), json!({"n": "42"}));
        assert!(metadata("=x").unwrap_err().to_string().contains("KEY=VALUE"));
    }
}
