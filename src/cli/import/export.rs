//! `tenterhook export`: webhooks made over the API as tables of config.toml, with the keys that differ from the defaults.

use anyhow::{anyhow, bail};
use serde_json::{Map, Value, json};

use super::super::client::{Client, Query, Server, segment};
use super::super::{Failed, Global, output};
use super::table::{Webhook, filled_in, variable};
use crate::app;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook export > webhooks.d/from-api.toml
  tenterhook export orders --secrets inline
  tenterhook export --json

Keys with their default value are left out. Secrets and other values that the
API hides are taken from the environment, by the variables that the comments
name; --secrets inline asks the server for secrets, which the audit log
records.")]
pub(crate) struct ExportArgs {
    /// Only these [default: all that were made over the API]
    #[arg(value_name = "WEBHOOK")]
    ids: Vec<String>,
    /// Those of config.toml too, with what they take from `[defaults]`
    #[arg(long)]
    all: bool,
    /// Write secrets, or take them from the environment
    #[arg(long, default_value = "env", value_parser = ["inline", "env"])]
    secrets: String,
    #[command(flatten)]
    server: Server,
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
    let defaults = Defaults::of(global, &client)?;
    let mut webhooks = Vec::new();
    for row in rows {
        let Value::Object(keys) = row else { continue };
        let mut webhook = of_api(keys, &defaults);
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
        note!("no webhook was made over the API; --all includes those of config.toml");
        return Err(Failed.into());
    }
    let note = "keys with Tenterhook's own default are left out: a `[defaults]` table in the file would change them".to_owned();
    output::print(&super::render(if defaults.known { &[] } else { std::slice::from_ref(&note) }, &webhooks))
}

/// Written also when they are as the default: a table is read by them.
const ALWAYS: [&str; 2] = ["url", "events"];

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

/// What a webhook has that does not set a key.
pub(super) struct Defaults {
    /// Tenterhook's own.
    own: Map<String, Value>,
    /// With `[defaults]` of the configuration that the tables are for.
    here: Map<String, Value>,
    /// Whether that configuration is known.
    known: bool,
}

impl Defaults {
    fn of(global: &Global, client: &Client) -> anyhow::Result<Self> {
        let own = app::webhook_defaults(None).map_err(|problems| anyhow!("{problems}"))?;
        let here = if client.is_local() { app::webhook_defaults(Some(&global.config)).ok() } else { None };
        Ok(Self { known: here.is_some(), here: here.unwrap_or_else(|| own.clone()), own })
    }

    #[cfg(test)]
    pub(super) fn own() -> anyhow::Result<Self> {
        let own = app::webhook_defaults(None).map_err(|problems| anyhow!("{problems}"))?;
        Ok(Self { known: true, here: own.clone(), own })
    }

    fn is(&self, key: &str, value: &Value) -> bool {
        self.here.get(key).unwrap_or(&Value::Null) == value
    }

    /// The members of a table that differ; all of them where `[defaults]` sets the table.
    fn differing(&self, key: &str, value: Value) -> Value {
        match (value, self.here.get(key)) {
            (Value::Object(mut fields), Some(Value::Object(default))) if self.own.get(key) == self.here.get(key) => {
                fields.retain(|key, value| default.get(key) != Some(value));
                Value::Object(fields)
            }
            (value, _) => value,
        }
    }
}

/// As the API shows it; what it hides is left to be filled in.
pub(super) fn of_api(mut row: Map<String, Value>, defaults: &Defaults) -> Webhook {
    let id = row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let preview = row.get("secret_preview").and_then(Value::as_str).map(str::to_owned);
    let mut webhook = Webhook { id: id.clone(), ..Webhook::default() };
    if let Some(why) = row.get("suspended").and_then(Value::as_str) {
        webhook.notes.push(format!("suspended: {why}"));
    }
    row.retain(|key, value| {
        let is_default = !ALWAYS.contains(&key.as_str()) && defaults.is(key, value);
        !NOT_OF_THE_FILE.contains(&key.as_str()) && !is_default
    });
    for (key, value) in row {
        // Null where the default is something else: it was switched off.
        let mut value = if value.is_null() { false.into() } else { defaults.differing(&key, value) };
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
