//! `tenterhook import` and `tenterhook export`: webhooks of other systems, and those made over the API, as tables of
//! config.toml.

mod systems;
pub(super) mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use self::table::{Webhook, filled_in, variable};
use super::client::{Client, Query, Server, segment};
use super::output;
use super::{Failed, Global};
use crate::config;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum System {
    /// The list of an application's endpoints, as its API answers
    Svix,
    /// Endpoints and subscriptions of a project, as its API answers
    Convoy,
    /// {id, url, events, enabled, secret, retryConfig}
    Flexgate,
    /// {url, events, secret, retry_count, retry_delay, timeout, headers, metadata}
    Python,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook import --from svix endpoints.json >> config.toml
  tenterhook import --from convoy endpoints.json subscriptions.json --out webhooks.d/convoy.toml
  tenterhook import --from flexgate webhooks.json --secrets env
  curl … | tenterhook import --from python -

Receivers go on as they are: the body has the shape that they know (transformer `envelope`), and so has the signature.
What has no counterpart is said in a comment. Look at the result with `tenterhook check` and `tenterhook plan`.")]
pub(crate) struct ImportArgs {
    /// Whose export it is
    #[arg(long, value_enum)]
    from: System,
    /// The export: JSON files, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write to this file, which must not be there yet
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    secrets: Secrets,
    /// Leave bodies to be Tenterhook's own: no transformer
    #[arg(long)]
    plain_body: bool,
}

#[derive(clap::Args)]
struct Secrets {
    /// Write secrets into the file, or have them filled in from the environment
    #[arg(long, default_value = "inline", value_parser = ["inline", "env"])]
    secrets: String,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook export > webhooks.d/from-api.toml
  tenterhook export orders --secrets inline
  tenterhook export --json

Secrets and whatever else the API hides are left to be filled in from the environment, under the names that the
comments say; --secrets inline asks the server for them, which the audit log remembers.")]
pub(crate) struct ExportArgs {
    /// Only these [default: all that were made over the API]
    #[arg(value_name = "WEBHOOK")]
    ids: Vec<String>,
    /// Those of config.toml too, `[defaults]` merged in
    #[arg(long)]
    all: bool,
    /// Write secrets, or have them filled in from the environment
    #[arg(long, default_value = "env", value_parser = ["inline", "env"])]
    secrets: String,
    #[command(flatten)]
    server: Server,
}

pub(crate) fn import(global: &Global, args: ImportArgs) -> anyhow::Result<()> {
    let documents = args.files.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let mut webhooks = convert(args.from, &documents)?;
    for webhook in &mut webhooks {
        if args.plain_body {
            webhook.keys.remove("transform");
        }
        if args.secrets.secrets == "env" && webhook.keys.contains_key("secret") {
            webhook.keys.insert("secret".to_owned(), filled_in(&variable(&webhook.id, "secret")));
        }
    }
    if global.json {
        let all: Map<String, Value> = webhooks.into_iter().map(|webhook| (webhook.id, webhook.keys.into())).collect();
        return output::line(&json!({"webhooks": all}).to_string());
    }
    let text = render(&webhooks);
    warn(&text, args.secrets.secrets == "env");
    match &args.out {
        None => output::print(&text),
        Some(path) => {
            write_new(path, &text)?;
            note!("{} webhooks written to {}", webhooks.len(), path.display());
            Ok(())
        }
    }
}

fn convert(from: System, documents: &[Value]) -> anyhow::Result<Vec<Webhook>> {
    let mut webhooks = Vec::new();
    match from {
        System::Convoy => systems::convoy(documents, &mut webhooks)?,
        System::Svix => documents.iter().try_for_each(|document| systems::svix(document, &mut webhooks))?,
        System::Flexgate => documents.iter().try_for_each(|document| systems::flexgate(document, &mut webhooks))?,
        System::Python => documents.iter().try_for_each(|document| systems::python(document, &mut webhooks))?,
    }
    if webhooks.is_empty() {
        bail!("there is no webhook in it");
    }
    Ok(webhooks)
}

fn read(path: &PathBuf) -> anyhow::Result<Value> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

fn render(webhooks: &[Webhook]) -> String {
    webhooks.iter().map(Webhook::render).collect::<Vec<_>>().join("\n")
}

/// Secrets may be in it: its owner alone reads it, and nothing is written over.
fn write_new(path: &PathBuf, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).with_context(|| format!("cannot make {} (it must not be there yet)", path.display()))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| format!("cannot write {}", path.display()))
}

/// What the parser will not like, so that it is known now. Variables are not there yet.
fn warn(text: &str, any_variable: bool) {
    let variable = |_: &str| any_variable.then(|| "0123456789abcdef".to_owned());
    if let Err(problems) = config::load_str(text, &BTreeMap::new(), &variable) {
        let count = problems.problems.len();
        note_part!("{}", problems.render(true));
        note!("the tables have {count} problem(s) to mend before they can be used: lines are those of the output\n");
    }
}

pub(crate) async fn export(global: &Global, args: ExportArgs) -> anyhow::Result<()> {
    let client = Client::new(global, &args.server)?;
    let mut rows = client.list("/v1/webhooks", &Query::default(), usize::MAX).await?;
    rows.retain(|row| match args.ids.is_empty() {
        true => args.all || row["origin"] == "api",
        false => args.ids.iter().any(|id| row["id"] == id.as_str()),
    });
    let mut missing = args.ids.iter().filter(|id| !rows.iter().any(|row| row["id"] == id.as_str()));
    if let Some(id) = missing.next() {
        bail!("there is no webhook `{id}`: see `tenterhook webhook list`");
    }
    let mut webhooks = Vec::new();
    for row in rows {
        let Value::Object(keys) = row else { continue };
        let mut webhook = of_api(keys);
        if args.secrets == "inline" && webhook.keys.contains_key("secret") {
            let answer = client.get(&format!("/v1/webhooks/{}/secret", segment(&webhook.id))).await?;
            webhook.keys.insert("secret".to_owned(), answer["secret"].clone());
            webhook.notes.retain(|note| !note.starts_with("secret: "));
        }
        webhooks.push(webhook);
    }
    if global.json {
        return output::line(
            &json!({"data": webhooks.iter().map(|webhook| {
            let mut keys = webhook.keys.clone();
            keys.insert("id".to_owned(), webhook.id.clone().into());
            Value::Object(keys)
        }).collect::<Vec<_>>()})
            .to_string(),
        );
    }
    if webhooks.is_empty() {
        note!("no webhook was made over the API; --all has those of config.toml");
        return Err(Failed.into());
    }
    output::print(&render(&webhooks))
}

/// Members that config.toml does not have.
const NOT_OF_THE_FILE: [&str; 13] = [
    "id",
    "origin",
    "file",
    "line",
    "created_at",
    "updated_at",
    "secret_preview",
    "status",
    "suspended",
    "disabled",
    "failing_since",
    "breaker_open",
    "previous_secrets",
];

/// Keys whose null means "off", not "the default".
const OFF: [&str; 1] = ["disable_after"];

/// As the API shows it; what it hides is left to be filled in.
fn of_api(mut row: Map<String, Value>) -> Webhook {
    let id = row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let preview = row.get("secret_preview").and_then(Value::as_str).map(str::to_owned);
    let mut webhook = Webhook { id: id.clone(), ..Webhook::default() };
    if let Some(why) = row.get("suspended").and_then(Value::as_str) {
        webhook.notes.push(format!("suspended: {why}"));
    }
    row.retain(|key, value| {
        let empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
        !NOT_OF_THE_FILE.contains(&key.as_str()) && (!value.is_null() || OFF.contains(&key.as_str())) && !empty
    });
    for (key, mut value) in row {
        if value.is_null() {
            value = false.into();
        }
        hide(&id, &key, &mut value, &mut webhook.notes);
        webhook.keys.insert(key, value);
    }
    if let Some(preview) = preview {
        let name = variable(&id, "secret");
        webhook.notes.push(format!("secret: set {name} (it is {preview})"));
        webhook.keys.insert("secret".to_owned(), filled_in(&name));
    }
    webhook
}

/// Puts variables where something is masked.
fn hide(id: &str, path: &str, value: &mut Value, notes: &mut Vec<String>) {
    match value {
        Value::String(text) if text.contains('…') && !path.starts_with("description") && !path.starts_with("metadata") => {
            let name = variable(id, path);
            notes.push(format!("{path}: set {name} (it is {text})"));
            *value = filled_in(&name);
        }
        Value::Array(items) => {
            items.iter_mut().enumerate().for_each(|(at, item)| hide(id, &format!("{path}_{}", at + 1), item, notes))
        }
        Value::Object(fields) => fields.iter_mut().for_each(|(key, value)| hide(id, &format!("{path}_{key}"), value, notes)),
        _ => {}
    }
}
