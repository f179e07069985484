//! `tenterhook import` and `tenterhook export`: webhooks of other systems, and those made over the API, as tables of
//! config.toml.

mod export;
mod filter;
mod pages;
mod row;
mod systems;
pub(super) mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

pub(super) use self::export::{ExportArgs, export};
use self::pages::Page;
use self::table::{Webhook, filled_in, variable};
use super::{Global, output};
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
  tenterhook import --from svix --tenant acme page1.json page2.json
  tenterhook import --from convoy endpoints.json subscriptions.json \\
      --out webhooks.d/convoy.toml
  tenterhook import --from flexgate webhooks.json --secrets env
  curl … | tenterhook import --from python -

Receivers need no change: the body has the shape that they know (transformer
`envelope`), and so has the signature. What has no counterpart is named in a
comment; a webhook that would send what its receiver must not get is disabled.
Check the result with `tenterhook check` and `tenterhook plan`.")]
pub(crate) struct ImportArgs {
    /// The system that the export is from
    #[arg(long, value_enum)]
    from: System,
    /// The export: JSON files, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write to this file, which must not exist yet
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    secrets: Secrets,
    /// Send Tenterhook's own bodies: no transformer
    #[arg(long)]
    plain_body: bool,
    /// The webhooks receive only this tenant's events
    #[arg(long)]
    tenant: Option<String>,
    /// Take pages of a list although others are missing
    #[arg(long)]
    partial: bool,
}

#[derive(clap::Args)]
struct Secrets {
    /// Write secrets into the file, or take them from the environment
    #[arg(long, default_value = "inline", value_parser = ["inline", "env"])]
    secrets: String,
}

pub(crate) fn import(global: &Global, args: ImportArgs) -> anyhow::Result<()> {
    let documents = args.files.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let Imported { mut webhooks, notes } = convert(args.from, &documents, args.partial)?;
    for note in &notes {
        note!("note: {note}");
    }
    if args.from == System::Svix && args.tenant.is_none() {
        note!(
            "note: an application of Svix is one customer: without --tenant its endpoints receive every event that has no tenant"
        );
    }
    for webhook in &mut webhooks {
        if let Some(tenant) = &args.tenant {
            webhook.keys.insert("tenant".to_owned(), json!(tenant));
        }
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
    let text = render(&notes, &webhooks);
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

struct Imported {
    webhooks: Vec<Webhook>,
    /// About the export as a whole.
    notes: Vec<String>,
}

/// Turns one document of an export into webhooks.
type Converter = fn(&Value, &mut Vec<Webhook>) -> anyhow::Result<()>;

/// # Errors
/// It is no export of this system, or not all of it.
fn convert(from: System, documents: &[Value], partial: bool) -> anyhow::Result<Imported> {
    let (mut webhooks, mut notes) = (Vec::new(), Vec::new());
    let mut whole = |what: &str, pages: &[Page<'_>]| match pages::missing(pages) {
        None => Ok(()),
        Some(why) if partial => {
            notes.push(format!("{what} of the pages that were not given are missing: {why}"));
            Ok(())
        }
        Some(why) => bail!(
            "{what} are missing, {why}: fetch the other pages and give all of them as files, or take these alone with --partial"
        ),
    };
    match from {
        System::Convoy => {
            let lists = systems::convoy_lists(documents)?;
            for (what, is_subscriptions) in [("endpoints", false), ("subscriptions", true)] {
                let of_kind = lists.iter().filter(|list| list.is_subscriptions == is_subscriptions);
                let pages: Vec<_> = of_kind.map(|list| Page { document: list.part, rows: list.rows.len() }).collect();
                whole(what, &pages)?;
            }
            let alone = systems::convoy(&lists, &mut webhooks)?;
            if alone > 0 {
                notes.push(format!("{alone} subscriptions were left out: their endpoints are not in the export"));
            }
        }
        other => {
            let (members, convert): (&[&str], Converter) = match other {
                System::Svix => (&["data", "endpoints"], systems::svix),
                System::Flexgate => (&["webhooks", "data"], systems::flexgate),
                System::Python | System::Convoy => (&["webhooks", "data"], systems::python),
            };
            let rows = |document| Ok(Page { document, rows: systems::rows(document, members)?.len() });
            whole("webhooks", &documents.iter().map(rows).collect::<anyhow::Result<Vec<_>>>()?)?;
            documents.iter().try_for_each(|document| convert(document, &mut webhooks))?;
        }
    }
    if webhooks.is_empty() {
        bail!("there is no webhook in it");
    }
    Ok(Imported { webhooks, notes })
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

fn render(notes: &[String], webhooks: &[Webhook]) -> String {
    let tables: Vec<String> = webhooks.iter().map(Webhook::render).collect();
    let notes: String = notes.iter().map(|note| format!("# {}\n", note.replace(['\n', '\r'], " "))).collect();
    let gap = if notes.is_empty() { "" } else { "\n" };
    format!("{notes}{gap}{}", tables.join("\n"))
}

/// Secrets may be in it: only its owner can read it, and no file is overwritten.
fn write_new(path: &PathBuf, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).with_context(|| format!("cannot create {} (it must not exist yet)", path.display()))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| format!("cannot write {}", path.display()))
}

/// What the parser would refuse, so that it is known now. Variables need not be set yet.
fn warn(text: &str, any_variable: bool) {
    let variable = |_: &str| any_variable.then(|| "0123456789abcdef".to_owned());
    if let Err(problems) = config::load_str(text, &BTreeMap::new(), &variable) {
        let count = problems.problems.len();
        note_part!("{}", problems.render(true));
        note!("the tables have {count} problem(s) to fix before they can be used; line numbers are those of the output\n");
    }
}
