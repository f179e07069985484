//! `tenterhook webhook …`: webhooks of the running server. Those of config.toml can be shown, enabled, disabled and
//! tested; they are changed in the file.

mod flags;
mod keys;

use anyhow::{Context, bail};
use http::Method;
use serde_json::{Map, Value, json};

use self::keys::Keys;
use super::Global;
use super::client::{Client, OtherServer, Query, Server, segment};
use super::output::{self, DIM, Table, YELLOW, cell, styled, text};
use crate::signing::Secret;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Create a webhook
    #[command(after_help = "Examples:
  tenterhook webhook create --type route.error --timeout 3s \\
      --url https://hooks.example.com/in --secret sk_live_9x8m2p
  tenterhook webhook create ops-slack --type 'circuit_breaker.*' \\
      --url \"$SLACK_URL\" --transform 'slack={\"channel\":\"#ops\"}'
  tenterhook webhook create orders --type order.created \\
      --url https://shop.example.com/hook --header 'X-Api-Key: abc' \\
      --filter '{\"data\":{\"total\":{\"$gt\":100}}}' \\
      --retry-schedule 15s,2m,10m,1h")]
    Create(Create),
    /// List all webhooks, those of config.toml included
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  tenterhook webhook list
  tenterhook webhook list --json \\
      | jq -r '.data[] | select(.status != \"enabled\") | .id'"
    )]
    List(List),
    /// Show one webhook with every key
    #[command(after_help = "Examples:
  tenterhook webhook show ops-slack")]
    Show(One),
    /// Change the given keys of a webhook
    #[command(after_help = "Examples:
  tenterhook webhook edit orders --timeout 10s --type order.created,order.paid
  tenterhook webhook edit orders --unset filter --set retry.max_retries=5")]
    Edit(Edit),
    /// Delete webhooks; their waiting deliveries are cancelled
    #[command(
        visible_alias = "rm",
        after_help = "Examples:
  tenterhook webhook delete orders"
    )]
    Delete(Several),
    /// Enable webhooks; held deliveries go on
    #[command(after_help = "Examples:
  tenterhook webhook enable ops-slack")]
    Enable(Several),
    /// Disable webhooks; their deliveries are held
    #[command(after_help = "Examples:
  tenterhook webhook disable ops-slack --reason 'maintenance until noon'")]
    Disable(Disable),
    /// Show the secret; the audit log records it
    #[command(after_help = "Examples:
  tenterhook webhook secret orders
  tenterhook webhook secret orders --public    # of an Ed25519 secret")]
    Secret(SecretArgs),
    /// Replace the secret; the old one signs too for a while
    #[command(after_help = "Examples:
  tenterhook webhook rotate orders
  tenterhook webhook rotate orders --overlap 1h")]
    Rotate(Rotate),
}

#[derive(clap::Args)]
struct Create {
    /// Its id: letters, digits, _ and - [default: generated]
    id: Option<String>,
    #[command(flatten)]
    keys: Keys,
    /// Create it disabled: it gets no events
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    server: OtherServer,
}

#[derive(clap::Args)]
struct List {
    /// At most this many
    #[arg(short = 'n', long, default_value_t = 1000, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
struct One {
    #[arg(value_name = "WEBHOOK")]
    id: String,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
struct Several {
    #[arg(value_name = "WEBHOOK", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
struct Disable {
    #[arg(value_name = "WEBHOOK", required = true)]
    ids: Vec<String>,
    /// The reason, shown with the webhook
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
struct Edit {
    #[arg(value_name = "WEBHOOK")]
    id: String,
    #[command(flatten)]
    keys: Keys,
    /// Set a key back to its default; may be given several times
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    #[command(flatten)]
    server: OtherServer,
}

#[derive(clap::Args)]
struct SecretArgs {
    #[arg(value_name = "WEBHOOK")]
    id: String,
    /// The public key of an Ed25519 secret, for receivers to verify with
    #[arg(long)]
    public: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Args)]
struct Rotate {
    #[arg(value_name = "WEBHOOK")]
    id: String,
    /// How long the old secret signs too
    #[arg(long, value_name = "TIME")]
    overlap: Option<String>,
    /// The new secret [default: generated]
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Create(args) => create(global, args).await,
        Command::List(args) => list(global, args).await,
        Command::Show(args) => {
            let webhook = Client::new(global, &args.server)?.get(&path(&args.id)).await?;
            output::answer(global, &webhook, || show(&webhook))
        }
        Command::Edit(args) => edit(global, args).await,
        Command::Delete(args) => delete(global, args).await,
        Command::Enable(Several { ids, server }) => switch(global, &server, &ids, "enable", None).await,
        Command::Disable(Disable { ids, reason, server }) => {
            let body = reason.map(|reason| json!({"reason": reason}));
            switch(global, &server, &ids, "disable", body.as_ref()).await
        }
        Command::Secret(args) => secret(global, args).await,
        Command::Rotate(args) => rotate(global, args).await,
    }
}

fn path(id: &str) -> String {
    format!("/v1/webhooks/{}", segment(id))
}

async fn create(global: &Global, args: Create) -> anyhow::Result<()> {
    let mut body = args.keys.to_json()?;
    for (key, flag) in [("url", "--url"), ("events", "--type")] {
        if !body.contains_key(key) {
            bail!("a webhook needs {flag}: see `tenterhook webhook create --help`");
        }
    }
    if let Some(id) = &args.id {
        body.insert("id".to_owned(), json!(id));
    }
    if args.disabled {
        body.insert("enabled".to_owned(), false.into());
    }
    let client = Client::new(global, &args.server.into())?;
    let webhook = client.send(Method::POST, "/v1/webhooks", Some(&Value::Object(body))).await?;
    output::answer(global, &webhook, || {
        let mut out = show(&webhook);
        if let Some(secret) = webhook["secret"].as_str() {
            out.push_str(&format!("\n{} {}\n", styled(YELLOW, "secret:"), output::one_line(secret)));
            out.push_str(&public_key_line(&webhook));
            let again = format!("`tenterhook webhook secret {}` shows it again\n", text(&webhook["id"]));
            out.push_str(&styled(DIM, &again));
        }
        out
    })
}

/// Alone on its line, for $(…).
async fn secret(global: &Global, args: SecretArgs) -> anyhow::Result<()> {
    let answer = Client::new(global, &args.server)?.get(&format!("{}/secret", path(&args.id))).await?;
    if !args.public {
        return output::answer(global, &answer, || format!("{}\n", text(&answer["secret"])));
    }
    let Some(key) = public_key(&answer) else {
        bail!(
            "the secret of `{}` is symmetric and has no public key: receivers need the secret itself; a webhook with a \
             public key has a `whsk_` secret",
            output::one_line(&args.id)
        );
    };
    output::answer(global, &json!({"id": args.id, "public_key": key}), || format!("{}\n", output::one_line(&key)))
}

/// What receivers of an Ed25519 signature verify with.
fn public_key(answer: &Value) -> Option<String> {
    let shown = answer["public_key"].as_str().map(str::to_owned);
    shown.or_else(|| Secret::parse(answer["secret"].as_str()?).ok()?.public_key())
}

fn public_key_line(answer: &Value) -> String {
    let key = public_key(answer);
    key.map_or_else(String::new, |key| format!("public key for receivers: {}\n", output::one_line(&key)))
}

async fn list(global: &Global, args: List) -> anyhow::Result<()> {
    let rows = Client::new(global, &args.server)?.list("/v1/webhooks", &Query::default(), args.limit).await?;
    output::answer(global, &json!({"data": rows}), || table(&rows))
}

async fn edit(global: &Global, args: Edit) -> anyhow::Result<()> {
    let mut body = args.keys.to_json()?;
    body.extend(args.unset.into_iter().map(|key| (key, Value::Null)));
    if body.is_empty() {
        bail!("nothing to change: give a flag, such as --timeout 10s, or --unset KEY");
    }
    let client = Client::new(global, &args.server.into())?;
    let webhook = client.send(Method::PATCH, &path(&args.id), Some(&Value::Object(body))).await?;
    output::answer(global, &webhook, || show(&webhook))
}

async fn delete(global: &Global, args: Several) -> anyhow::Result<()> {
    let client = Client::new(global, &args.server)?;
    for id in &args.ids {
        client.send(Method::DELETE, &path(id), None).await.with_context(|| id.clone())?;
        output::answer(global, &json!({"id": id, "deleted": true}), || format!("{id} deleted\n"))?;
    }
    Ok(())
}

async fn switch(global: &Global, server: &Server, ids: &[String], verb: &str, body: Option<&Value>) -> anyhow::Result<()> {
    let client = Client::new(global, server)?;
    for id in ids {
        let webhook = client.send(Method::POST, &format!("{}/{verb}", path(id)), body).await.with_context(|| id.clone())?;
        output::answer(global, &webhook, || {
            let (status, style) = output::state(&text(&webhook["status"]));
            format!("{id}  {}\n", styled(style, &status))
        })?;
    }
    Ok(())
}

async fn rotate(global: &Global, args: Rotate) -> anyhow::Result<()> {
    let mut body = Map::new();
    for (key, value) in [("overlap", args.overlap), ("secret", args.secret)] {
        body.extend(value.map(|value| (key.to_owned(), json!(value))));
    }
    let client = Client::new(global, &args.server)?;
    let answer = client.send(Method::POST, &format!("{}/rotate-secret", path(&args.id)), Some(&Value::Object(body))).await?;
    output::answer(global, &answer, || {
        let until = answer["previous_until"].as_str();
        let note = until.map_or_else(String::new, |until| styled(DIM, &format!("the old secret signs too until {until}\n")));
        format!("{}\n{}{note}", text(&answer["secret"]), public_key_line(&answer))
    })
}

fn table(rows: &[Value]) -> String {
    let mut table = Table::new(&["ID", "STATUS", "FROM", "EVENTS", "TRANSFORM", "URL", "DESCRIPTION"]);
    for row in rows {
        table.row([
            cell(text(&row["id"])),
            output::state(&text(&row["status"])),
            cell(from(row)),
            cell(output::cut(&text(&row["events"]), 48)),
            cell(stages(&row["transform"])),
            cell(output::cut(&text(&row["url"]), 64)),
            cell(output::cut(&text(&row["description"]), 40)),
        ]);
    }
    if table.is_empty() {
        "no webhooks: declare one in config.toml, or `tenterhook webhook create --help`\n".to_owned()
    } else {
        table.render()
    }
}

/// `config.toml:41`, or `api`.
fn from(row: &Value) -> String {
    match (row["file"].as_str(), &row["line"]) {
        (Some(file), line) if line.is_number() => {
            let name = std::path::Path::new(file).file_name().map_or_else(|| file.into(), std::ffi::OsStr::to_string_lossy);
            format!("{}:{line}", output::one_line(&name))
        }
        _ => text(&row["origin"]),
    }
}

fn stages(value: &Value) -> String {
    let names = value.as_array().into_iter().flatten().map(|stage| text(if stage.is_string() { stage } else { &stage["use"] }));
    let names: Vec<String> = names.collect();
    if names.is_empty() { output::NOTHING.to_owned() } else { names.join(" → ") }
}

/// Every key with a value; the most important first.
fn show(webhook: &Value) -> String {
    const FIRST: [&str; 7] = ["id", "status", "url", "events", "filter", "transform", "description"];
    const HIDDEN: [&str; 4] = ["secret", "public_key", "file", "line"];
    let Value::Object(keys) = webhook else { return String::new() };
    let rest = keys.keys().map(String::as_str).filter(|key| !FIRST.contains(key) && !HIDDEN.contains(key));
    let mut pairs = Vec::new();
    for key in FIRST.into_iter().filter(|key| keys.contains_key(*key)).chain(rest) {
        let value = &keys[key];
        let is_empty =
            value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
        if is_empty {
            continue;
        }
        let shown = match key {
            "status" => {
                let (name, style) = output::state(&text(value));
                styled(style, &name)
            }
            "origin" => from(webhook),
            _ if value.is_object()
                || value.is_array() && !value.as_array().is_some_and(|items| items.iter().all(Value::is_string)) =>
            {
                output::one_line(&value.to_string())
            }
            _ => text(value),
        };
        pairs.push((key, shown));
    }
    output::fields(&pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook() -> Value {
        json!({"id": "w", "status": "enabled", "origin": "config", "file": "/etc/tenterhook/config.toml", "line": 41, "url": "https://a.example/",
            "events": ["a.*", "b"], "transform": [{"use": "redact", "options": {}}, {"use": "slack", "options": {}}], "filter": null,
            "description": null, "retry": {"max_retries": 3}, "headers": {}, "secret_preview": "whsec_…3f2a"})
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_list_shows_where_each_was_declared() {
        let text = plain(&table(&[webhook(), json!({"id": "x", "origin": "api", "status": "disabled", "events": ["*"]})]));
        assert_eq!(
            text,
            "ID  STATUS    FROM            EVENTS  TRANSFORM       URL                 DESCRIPTION\n\
             w   enabled   config.toml:41  a.*, b  redact → slack  https://a.example/  -\n\
             x   disabled  api             *       -               -                   -\n"
        );
        assert!(table(&[]).contains("webhook create"));
    }

    #[test]
    fn one_shows_every_key_with_a_value() {
        let text = plain(&show(&webhook()));
        assert!(text.starts_with("id              w\nstatus          enabled\nurl "), "{text}");
        assert!(
            text.contains("origin          config.toml:41\n") && text.contains("retry           {\"max_retries\":3}\n"),
            "{text}"
        );
        assert!(!text.contains("filter") && !text.contains("headers"), "{text}");
    }
}
