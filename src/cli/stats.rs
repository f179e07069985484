//! `tenterhook stats` and `tenterhook status`: totals, rates and durations; what needs attention.

use serde_json::{Value, json};

use super::Global;
use super::client::{Client, Refused, Server, segment};
use super::output::{self, BOLD, DIM, RED, Table, YELLOW, cell, styled, text};

/// Bars of an hour, by how full it is.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook stats
  tenterhook stats ops-slack
  tenterhook stats --json | jq .success_rate")]
pub(crate) struct StatsArgs {
    /// Of this webhook only
    #[arg(value_name = "WEBHOOK")]
    webhook: Option<String>,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn stats(global: &Global, args: StatsArgs) -> anyhow::Result<()> {
    let client = Client::new(global, &args.server)?;
    let path = match &args.webhook {
        Some(webhook) => format!("/v1/webhooks/{}/stats", segment(webhook)),
        None => "/v1/stats".to_owned(),
    };
    let stats = client.get(&path).await?;
    output::answer(global, &stats, || show(&stats))
}

fn show(stats: &Value) -> String {
    let deliveries = &stats["deliveries"];
    let states = deliveries.as_object().into_iter().flatten().filter(|(name, count)| *name != "total" && **count != json!(0));
    let states: Vec<String> = states
        .map(|(name, count)| {
            let (name, style) = output::state(name);
            format!("{count} {}", styled(style, &name))
        })
        .collect();
    let duration = &stats["duration_ms"];
    let mut out = output::fields(&[
        (
            "deliveries",
            format!("{} ({})", text(&deliveries["total"]), if states.is_empty() { "none".to_owned() } else { states.join(", ") }),
        ),
        ("attempts", format!("{}, {} failed", text(&stats["attempts"]), text(&stats["attempts_failed"]))),
        ("success rate", success_rate(stats)),
        (
            "duration",
            format!(
                "average {}, p50 {}, p99 {}",
                output::millis(&duration["avg"]),
                output::millis(&duration["p50"]),
                output::millis(&duration["p99"])
            ),
        ),
        ("next due", output::time(&stats["next_due"])),
    ]);
    out.push_str(&hours(&stats["hours"]));
    out
}

/// Attempts do not count here: one that a retry made good does not lower it.
fn success_rate(stats: &Value) -> String {
    match &stats["success_rate"] {
        Value::Null => output::NOTHING.to_owned(),
        rate => format!("{} of finished deliveries", output::percent(rate)),
    }
}

/// The last 24 hours: attempts as bars, and how many failed.
fn hours(hours: &Value) -> String {
    let counts: Vec<u64> = hours.as_array().into_iter().flatten().map(|hour| hour["attempts"].as_u64().unwrap_or(0)).collect();
    let most = counts.iter().copied().max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    let top = BARS.len() - 1;
    let bar = |count: u64| {
        // One attempt is visible, too.
        let level = if count == 0 { 0 } else { (usize::try_from(count * top as u64 / most).unwrap_or(top)).max(1) };
        BARS[level.min(top)]
    };
    let bars: String = counts.iter().map(|count| bar(*count)).collect();
    let total: u64 = counts.iter().sum();
    output::fields(&[("last 24 h", format!("{bars}  {total} attempts, peak {most} an hour"))])
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook status
  tenterhook status --json")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn status(global: &Global, args: StatusArgs) -> anyhow::Result<()> {
    let client = Client::new(global, &args.server)?;
    let config = client.get("/v1/config").await?;
    let stats = client.get("/v1/stats").await?;
    let webhooks = match client.get("/v1/webhooks/status").await {
        Ok(status) => status,
        // A server of an older version takes `status` for an id.
        Err(error) if error.downcast_ref::<Refused>().is_some_and(|refused| refused.status == 404) => Value::Null,
        Err(error) => return Err(error),
    };
    let all = json!({"config": config, "stats": stats, "webhooks": webhooks});
    output::answer(global, &all, || show_status(&all))
}

fn show_status(all: &Value) -> String {
    let (config, stats, webhooks) = (&all["config"], &all["stats"], &all["webhooks"]);
    let count = |state: &str| stats["deliveries"][state].as_u64().unwrap_or(0);
    let mut out = output::fields(&[
        (
            "configuration",
            format!(
                "generation {}, {} webhooks, loaded {}, {}",
                text(&config["generation"]),
                text(&config["webhooks"]),
                output::time(&config["loaded_at"]),
                text(&config["fingerprint"])
            ),
        ),
        ("backlog", format!("{} pending, {} retrying, {} held", count("pending"), count("retrying"), count("held"))),
        ("given up", count("failed").to_string()),
        ("success rate", success_rate(stats)),
        ("next due", output::time(&stats["next_due"])),
    ]);
    let error = &config["last_error"];
    if error.is_object() {
        out.push_str(&format!(
            "\n{} {} {}\n",
            styled(RED, "the last reload was rejected:"),
            text(&error["message"]),
            styled(DIM, &text(&error["at"]))
        ));
        for problem in error["problems"].as_array().into_iter().flatten() {
            let location = format!("{}:{}:{}", text(&problem["file"]), text(&problem["line"]), text(&problem["column"]));
            out.push_str(&format!("  {location}  {}\n", text(&problem["message"])));
        }
    }
    out.push_str(&webhook_status(webhooks));
    out
}

fn webhook_status(status: &Value) -> String {
    let rows = status["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return String::new();
    }
    let head = ["WEBHOOK", "STATUS", "PENDING", "RETRYING", "HELD", "FAILED", "SKIPPED", "TRANSFORM", "NEXT DUE", "LAST FAILURE"];
    let mut table = Table::new(&head);
    for row in rows {
        let count = |key: &str, style| (text(&row[key]), if row[key].as_u64().unwrap_or(0) > 0 { style } else { output::PLAIN });
        let failure = &row["last_failure"];
        let last = match failure.is_object() {
            true => format!(
                "{} {}",
                output::time(&failure["at"]),
                text(if failure["error"].is_null() { &failure["class"] } else { &failure["error"] })
            ),
            false => output::NOTHING.to_owned(),
        };
        table.row([
            cell(text(&row["id"])),
            output::state(&text(&row["status"])),
            count("pending", output::CYAN),
            count("retrying", YELLOW),
            count("held", YELLOW),
            count("failed", RED),
            count("skipped", output::PLAIN),
            count("transform_failures", RED),
            cell(output::time(&row["next_due"])),
            cell(output::cut(&last, 80)),
        ]);
    }
    let rejected = status["totals"]["size_rejections"].as_u64().filter(|count| *count > 0);
    let rejected = rejected.map_or_else(String::new, |count| format!("{count} events were refused for their size\n"));
    format!("\n{}\n{}{rejected}", styled(BOLD, "Webhooks"), table.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn statistics_fit_a_screen() {
        let stats = json!({"deliveries": {"total": 4, "succeeded": 3, "failed": 1, "pending": 0}, "attempts": 6, "attempts_failed": 3,
            "success_rate": 0.75, "duration_ms": {"avg": 12.5, "p50": 10.0, "p99": null}, "next_due": null,
            "hours": [{"attempts": 0}, {"attempts": 1}, {"attempts": 80}]});
        let text = plain(&show(&stats));
        for part in [
            "deliveries    4 (1 failed, 3 succeeded)",
            "6, 3 failed",
            "75.0% of finished deliveries",
            "average 12ms, p50 10ms, p99 -",
            "last 24 h   ▁█  81 attempts",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }

    #[test]
    fn status_shows_why_a_reload_was_rejected() {
        let all = json!({"config": {"generation": 2, "webhooks": 1, "fingerprint": "abc", "last_error": {"message": "1 problem", "at": "x",
            "problems": [{"file": "config.toml", "line": 3, "column": 1, "message": "unknown key"}]}},
            "stats": {"deliveries": {"pending": 5}}, "webhooks": {"data": [{"id": "w", "status": "enabled", "pending": 1, "failed": 2}]}});
        let text = plain(&show_status(&all));
        for part in ["generation 2", "5 pending, 0 retrying", "config.toml:3:1  unknown key", "w        enabled  1"] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }
}
