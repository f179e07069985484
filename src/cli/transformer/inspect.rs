//! `tenterhook transformer inspect`.

use std::io::Write;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Found, Modules, grouped};
use crate::cli::{Failed, Global};
use crate::transform::{Inspection, LoadError, Module, Source};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tenterhook transformer inspect slack
  tenterhook transformer inspect my_format.wasm --json")]
pub(super) struct Args {
    /// A transformer's name, or a file
    #[arg(value_name = "NAME|FILE")]
    module: String,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let modules = Modules::new(global)?;
    let Found { name, source, limits, pin } = modules.find(&args.module)?;
    let inspection = modules.host.inspect(&name, source.clone()).await;
    let loaded = match &inspection {
        Ok(_) => modules.host.load(&name, source.clone(), limits, pin).await,
        // Told once: it is the same problem.
        Err(error) => return report_unreadable(global, &name, error),
    };
    let (inspection, error) = (inspection?, loaded.as_ref().err().map(ToString::to_string));
    if global.json {
        let answer = as_json(&name, &source, &inspection, loaded.as_deref().ok(), error.as_deref());
        writeln!(std::io::stdout(), "{answer}")?;
    } else {
        print(&name, &source, &inspection, loaded.as_deref().ok(), error.as_deref());
    }
    if error.is_none() { Ok(()) } else { Err(Failed.into()) }
}

fn report_unreadable(global: &Global, name: &str, error: &LoadError) -> anyhow::Result<()> {
    if global.json {
        writeln!(std::io::stdout(), "{}", json!({ "name": name, "loads": false, "error": error.to_string() }))?;
    } else {
        say_no(&error.to_string());
    }
    Err(Failed.into())
}

fn say_no(error: &str) {
    let bad = anstyle::AnsiColor::Red.on_default().bold();
    say!("{bad}will not load{bad:#}: {error}");
}

fn kind(inspection: &Inspection) -> String {
    let version = inspection.wit_version().map(|version| format!(" for tenterhook:transformer@{version}")).unwrap_or_default();
    let kind = if inspection.is_core { "core module, made a component when it is loaded," } else { "component" };
    format!("{kind}{version}")
}

fn print(name: &str, source: &Source, inspection: &Inspection, module: Option<&Module>, error: Option<&str>) {
    let bold = anstyle::Style::new().bold();
    let origin = match source {
        Source::Prebuilt => "prebuilt".to_owned(),
        Source::File(path) => path.display().to_string(),
    };
    say!("{bold}{name}{bold:#} ({origin})");
    if let Some(module) = module {
        let described = module.description();
        say!("  is       {} {}: {}", described.name, described.version, described.summary);
    }
    say!("  kind     {}", kind(inspection));
    say!("  size     {} bytes", grouped(inspection.size));
    say!("  sha256   {}", hex::encode(inspection.sha256));
    say!("  imports  {}", join(&inspection.imports));
    say!("  exports  {}", join(&inspection.exports));
    if let Some(module) = module {
        let limits = module.limits();
        say!(
            "  limits   memory {} MiB, cpu {} ms, output {} KiB, log {} KiB, {} at a time",
            limits.memory >> 20,
            limits.cpu.as_millis(),
            limits.output >> 10,
            limits.log >> 10,
            module.instances_max()
        );
        say!("  options");
        let schema: Value = serde_json::from_str(&module.description().options_schema).unwrap_or_default();
        print_options(&schema);
    }
    if let Some(error) = error {
        say_no(error);
    }
}

fn join(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join("\n           ") }
}

/// Name, type and description of each; the whole schema is in `--json`.
fn print_options(schema: &Value) {
    let bold = anstyle::Style::new().bold();
    let Some(properties) = schema["properties"].as_object() else {
        say!("    {schema}");
        return;
    };
    let required = |name: &str| schema["required"].as_array().is_some_and(|list| list.iter().any(|item| item == name));
    for (name, option) in properties {
        let kind = match (&option["type"], &option["enum"]) {
            (Value::String(kind), _) => kind.clone(),
            (_, Value::Array(values)) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
            _ => "any".to_owned(),
        };
        let default = if option["default"].is_null() { String::new() } else { format!(", default {}", option["default"]) };
        let required = if required(name) { ", required" } else { "" };
        let description = option["description"].as_str().unwrap_or_default();
        say!("    {bold}{name}{bold:#} ({kind}{required}{default})\n        {description}");
    }
}

fn as_json(name: &str, source: &Source, inspection: &Inspection, module: Option<&Module>, error: Option<&str>) -> Value {
    let schema = module.and_then(|module| serde_json::from_str::<&RawValue>(&module.description().options_schema).ok());
    json!({
        "name": name,
        "origin": match source {
            Source::Prebuilt => "prebuilt".to_owned(),
            Source::File(path) => path.display().to_string(),
        },
        "loads": error.is_none(),
        "error": error,
        "kind": if inspection.is_core { "core module" } else { "component" },
        "wit_version": inspection.wit_version(),
        "size_bytes": inspection.size,
        "sha256": hex::encode(inspection.sha256),
        "imports": inspection.imports,
        "exports": inspection.exports,
        "module": module.map(|module| json!({
            "name": module.description().name,
            "version": module.description().version,
            "summary": module.description().summary,
        })),
        "options_schema": schema,
    })
}
