//! `tenterhook plan`: what a configuration would change, against the running server or another file.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::client::{Client, Query, Server, segment};
use super::output::{self, BOLD, DIM, GREEN, RED, YELLOW, styled};
use super::{Failed, Global};
use crate::app::{self, Change, Diff, EffectiveConfig, needs_restart};
use crate::reload::ReloadError;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook plan                 # what saving ./config.toml would change
  tenterhook plan staging.toml    # what another file would change
  tenterhook plan new.toml --against old.toml    # two files, no server
  tenterhook plan --exit-code     # exit with 1 when something would change

Secrets are compared, never shown. What the server hides (headers, parts of
URLs and options) is compared as far as it is shown; the fingerprints tell
whether there is more.")]
pub(crate) struct Args {
    /// The file to plan, instead of that of --config
    file: Option<PathBuf>,
    /// Compare with this file instead of the running server
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Exit with 1 when something would change
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let path = args.file.clone().unwrap_or_else(|| global.config.clone());
    let mut after = picture_of(&path).await?;
    let mut client = None;
    let before = match &args.against {
        Some(other) => picture_of(other).await?,
        None => {
            let talk = client.insert(Client::new(global, &args.server)?);
            let known: BTreeSet<String> = after.webhooks.values().flat_map(Map::keys).cloned().collect();
            let running = running(talk, &known).await?;
            // A generated secret is in no file: where the file names none, the server's stays.
            for (id, webhook) in &mut after.webhooks {
                if webhook.get("secret").is_some_and(Value::is_null)
                    && let Some(secret) = running.webhooks.get(id).and_then(|webhook| webhook.get("secret"))
                {
                    webhook.insert("secret".to_owned(), secret.clone());
                }
            }
            running
        }
    };
    let mut diff = Diff::between(&before, &after);
    if let Some(client) = &client {
        for (id, waiting) in &mut diff.removed {
            *waiting = self::waiting(client, id).await;
        }
    }
    let json = diff.to_json(&before.fingerprint, &after.fingerprint);
    let held_for = after.tables.get("retention").and_then(|table| table["removed"].as_str()).unwrap_or("1h").to_owned();
    output::answer(global, &json, || render(&diff, &held_for))?;
    if args.exit_code && (!diff.is_empty() || diff.only_unseen) { Err(Failed.into()) } else { Ok(()) }
}

/// Shows what is wrong with a file, and fails.
async fn picture_of(path: &std::path::Path) -> anyhow::Result<EffectiveConfig> {
    match app::picture(path).await {
        Ok(picture) => Ok(picture),
        Err(ReloadError::Refused(problems)) => {
            note_part!("{}", problems.render(true));
            note!("{} would be rejected; the running configuration would stay in force", path.display());
            Err(Failed.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// The server's configuration as it shows it, without the webhooks made over the API: no file declares those.
async fn running(client: &Client, known: &BTreeSet<String>) -> anyhow::Result<EffectiveConfig> {
    let config = client.get("/v1/config").await?;
    let mut picture = EffectiveConfig {
        fingerprint: config["fingerprint"].as_str().unwrap_or_default().to_owned(),
        tables: config["settings"].as_object().cloned().unwrap_or_default(),
        ..EffectiveConfig::default()
    };
    for webhook in client.list("/v1/webhooks", &Query::default(), usize::MAX).await? {
        let Value::Object(keys) = webhook else { continue };
        if keys.get("origin").is_some_and(|origin| origin == "config")
            && let Some(id) = keys.get("id").and_then(Value::as_str).map(str::to_owned)
        {
            picture.webhooks.insert(id, of_file(keys, known));
        }
    }
    Ok(picture)
}

/// Only what config.toml has too: the API says more of a webhook.
fn of_file(mut keys: Map<String, Value>, known: &BTreeSet<String>) -> Map<String, Value> {
    let secret = keys.get("secret_preview").cloned().unwrap_or(Value::Null);
    keys.insert("secret".to_owned(), secret);
    keys.retain(|key, _| known.contains(key));
    keys
}

/// Deliveries that would be held, and cancelled later; `None` when the server cannot say.
async fn waiting(client: &Client, id: &str) -> Option<u64> {
    let stats = client.get(&format!("/v1/webhooks/{}/stats", segment(id))).await.ok()?;
    let count = |state: &str| stats["deliveries"][state].as_u64().unwrap_or(0);
    Some(count("pending") + count("retrying") + count("held"))
}

/// `held_for`: `[retention] removed`.
fn render(diff: &Diff, held_for: &str) -> String {
    if diff.only_unseen {
        return "Nothing that can be shown changes, but the files differ: a comment, a hidden value, or a module.\n".to_owned();
    }
    if diff.is_empty() {
        return "No changes.\n".to_owned();
    }
    let mut out = String::new();
    for (name, changes) in &diff.tables {
        out.push_str(&format!("{} [{name}]\n", styled(YELLOW, "~")));
        for change in changes {
            let note = if needs_restart(name, change) { styled(DIM, "  (at the next start)") } else { String::new() };
            out.push_str(&render_change(change, &note));
        }
    }
    for (id, keys) in &diff.added {
        out.push_str(&format!("{} webhook {}\n", styled(GREEN, "+"), styled(BOLD, id)));
        for key in ["url", "events", "filter", "transform", "tenant", "enabled"] {
            let value = keys.get(key).unwrap_or(&Value::Null);
            let dull = value.is_null() || *value == Value::Bool(true) || value.as_array().is_some_and(Vec::is_empty);
            if !dull {
                out.push_str(&format!("    {key}: {}\n", show(value)));
            }
        }
    }
    for (id, changes) in &diff.changed {
        out.push_str(&format!("{} webhook {}\n", styled(YELLOW, "~"), styled(BOLD, id)));
        changes.iter().for_each(|change| out.push_str(&render_change(change, "")));
    }
    for (id, waiting) in &diff.removed {
        let consequence = match waiting {
            Some(0) => "  (nothing waits for it)".to_owned(),
            Some(1) => format!("  (1 waiting delivery will be held for {held_for}, then cancelled)"),
            Some(count) => format!("  ({count} waiting deliveries will be held for {held_for}, then cancelled)"),
            None => String::new(),
        };
        out.push_str(&format!("{} webhook {}{}\n", styled(RED, "-"), styled(BOLD, id), styled(DIM, &consequence)));
    }
    out.push_str(&format!("\n{}\n", summary(diff)));
    out
}

/// `Plan: 1 webhook to add, 0 to change, 2 to remove; 1 setting to change.`
fn summary(diff: &Diff) -> String {
    let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let (added, changed, removed) = (diff.added.len(), diff.changed.len(), diff.removed.len());
    let mut parts = Vec::new();
    if added + changed + removed > 0 {
        parts.push(format!("{} to add, {changed} to change, {removed} to remove", counted(added, "webhook")));
    }
    let settings: usize = diff.tables.values().map(Vec::len).sum();
    if settings > 0 {
        parts.push(format!("{} to change", counted(settings, "setting")));
    }
    format!("Plan: {}.", parts.join("; "))
}

fn render_change(change: &Change, note: &str) -> String {
    let Change { key, before, after, hidden } = change;
    if *hidden {
        return format!("    {} {key}: another value (the shown part is equal){note}\n", styled(YELLOW, "~"));
    }
    match (before, after) {
        (Value::Null, after) => format!("    {} {key}: {}{note}\n", styled(GREEN, "+"), show(after)),
        (before, Value::Null) => format!("    {} {key}: {}{note}\n", styled(RED, "-"), show(before)),
        (before, after) => format!("    {} {key}: {} → {}{note}\n", styled(YELLOW, "~"), show(before), show(after)),
    }
}

fn show(value: &Value) -> String {
    output::one_line(&value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plan_reads_like_a_plan() {
        let mut diff = Diff::default();
        diff.added.insert(
            "new".to_owned(),
            json!({"url": "https://a.example/", "events": ["*"], "transform": []}).as_object().unwrap().clone(),
        );
        diff.removed.insert("old".to_owned(), Some(3));
        let change = |key: &str, before, after| Change { key: key.to_owned(), before, after, hidden: false };
        diff.changed.insert(
            "it".to_owned(),
            vec![change("timeout", json!("5s"), json!("10s")), change("tenant", json!(null), json!("acme"))],
        );
        diff.tables.insert("server".to_owned(), vec![change("listen", json!("127.0.0.1:1"), json!("127.0.0.1:2"))]);
        let text = anstream::adapter::strip_str(&render(&diff, "1h")).to_string();
        assert_eq!(
            text,
            "~ [server]
    ~ listen: \"127.0.0.1:1\" → \"127.0.0.1:2\"  (at the next start)
+ webhook new
    url: \"https://a.example/\"
    events: [\"*\"]
~ webhook it
    ~ timeout: \"5s\" → \"10s\"
    + tenant: \"acme\"
- webhook old  (3 waiting deliveries will be held for 1h, then cancelled)

Plan: 1 webhook to add, 1 to change, 1 to remove; 1 setting to change.
"
        );
    }

    #[test]
    fn the_last_line_counts_settings_as_well() {
        let mut diff = Diff::default();
        let change = Change { key: "listen".to_owned(), before: json!(1), after: json!(2), hidden: false };
        diff.tables.insert("server".to_owned(), vec![change.clone(), change]);
        assert_eq!(summary(&diff), "Plan: 2 settings to change.");
    }

    #[test]
    fn a_webhook_of_the_server_is_reduced_to_the_keys_of_the_file() {
        let keys =
            json!({"id": "a", "origin": "config", "url": "u", "secret_preview": "whsec_…1234", "status": "enabled", "line": 3});
        let known = ["url", "secret", "events"].map(str::to_owned).into();
        assert_eq!(
            Value::Object(of_file(keys.as_object().unwrap().clone(), &known)),
            json!({"url": "u", "secret": "whsec_…1234"})
        );
    }
}
