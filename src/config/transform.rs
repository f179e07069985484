//! `transform` of a webhook and `[transformers.NAME]`: which modules, with which options and limits. Whether a module
//! is there and takes its options is found out later, by those who can load it.

use std::num::NonZeroU32;
use std::time::Duration;

use super::document;
use super::json::table_to_json;
use super::read::{self, Keys, check_keys};
use super::report::{Report, quote};
use super::settings::{Place, TransformerSettings};
use super::tree::{Entry, Node, Table, Value};
use crate::model::{Limits, TransformStep};

pub(super) const STEP: Keys = Keys {
    table: "a stage of `transform`",
    known: &["use", "options"],
    later: &[],
    elsewhere: &[],
    refused: &[],
    aliases: &[("name", "use"), ("transformer", "use"), ("module", "use"), ("config", "options"), ("with", "options")],
};

pub(super) const TRANSFORMER: Keys = Keys {
    table: "a transformer",
    known: &["path", "sha256", "limits"],
    later: &[],
    elsewhere: &[],
    refused: &[],
    aliases: &[("file", "path"), ("hash", "sha256"), ("checksum", "sha256"), ("options", "limits")],
};

pub(super) const LIMITS: Keys = Keys {
    table: "`limits`",
    known: &["memory", "cpu", "output", "log", "instances"],
    later: &[],
    elsewhere: &[],
    refused: &[],
    aliases: &[("timeout", "cpu"), ("time", "cpu"), ("mem", "memory"), ("output_size", "output"), ("concurrency", "instances")],
};

const STEP_EXAMPLE: &str = "\"slack\" or { use = \"slack\", options = { channel = \"#ops\" } }";

/// Each stage is a call of its own, with the whole payload in and out.
const STAGES_MAX: usize = 8;

/// Options are handed to the module on every call.
const OPTIONS_BYTES_MAX: usize = 256 << 10;

/// From the smallest instance that runs at all, to as much as a 32-bit memory can have.
const MEMORY_BYTES: (u64, u64) = (1 << 20, 4 << 30);
const CPU: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(60));
const OUTPUT_BYTES: (u64, u64) = (1 << 10, 64 << 20);
const LOG_BYTES: (u64, u64) = (0, 1 << 20);
const INSTANCES: (i64, i64) = (1, 1_000);

/// The stages in order, and where each was declared.
pub(super) type Pipeline = (Vec<TransformStep>, Vec<Place>);

/// `transform = "slack"`, a table, or a list of these.
pub(super) fn transform(node: &Node, report: &mut Report) -> Option<Pipeline> {
    let nodes = match &node.value {
        Value::Array(nodes) | Value::Tables(nodes) => nodes.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if !read::at_most(nodes.len(), STAGES_MAX, "stages", node, report) {
        return None;
    }
    let steps: Vec<TransformStep> = nodes.iter().filter_map(|node| step(node, report)).collect();
    let places = nodes.iter().map(|node| report.sources.place(node.span)).collect();
    (steps.len() == nodes.len()).then_some((steps, places))
}

fn step(node: &Node, report: &mut Report) -> Option<TransformStep> {
    match &node.value {
        Value::String(_) => Some(TransformStep { name: step_name(node, "transform", report)?, options: "{}".to_owned() }),
        Value::Table(table) => {
            let meant = check_keys(table, &STEP, report);
            let options = match table.get("options") {
                Some(entry) => options(entry, report),
                None => Some("{}".to_owned()),
            };
            let name = match table.get("use") {
                Some(entry) => step_name(&entry.node, "transform.use", report),
                None => {
                    if !meant.contains(&"use") && !report.sources.is_broken(node.span.file) {
                        report
                            .error(node.span, "`transform` does not say which transformer to `use`")
                            .help(format!("write {STEP_EXAMPLE}"));
                    }
                    None
                }
            };
            Some(TransformStep { name: name?, options: options? })
        }
        _ => {
            read::mismatch(node, "transform", &format!("{STEP_EXAMPLE}, or a list of these"), report);
            None
        }
    }
}

fn step_name(node: &Node, key: &str, report: &mut Report) -> Option<String> {
    let text = read::string(node, key, "slack", report)?;
    let name = text.value();
    let good = !name.is_empty() && name.len() <= 100 && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if !good {
        let help = if name.ends_with(".wasm") {
            "modules are called by name: put the file into transformers/ beside config.toml, or declare [transformers.NAME] with its path"
        } else {
            "use letters, digits, _ and -"
        };
        report.error_about(node.span, [node], &format!("`{key}` is not the name of a transformer:"), &quote(name)).help(help);
    }
    good.then(|| name.to_owned())
}

fn options(entry: &Entry, report: &mut Report) -> Option<String> {
    let table = read::table(&entry.node, "transform.options", "{ channel = \"#ops\" }", report)?;
    let options = serde_json::to_string(&table_to_json(table, report)?).ok()?;
    if options.len() > OPTIONS_BYTES_MAX {
        report
            .error(entry.key.span, format!("the options are larger than {}", super::units::show_size(OPTIONS_BYTES_MAX as u64)));
        return None;
    }
    Some(options)
}

/// `[transformers.NAME]`.
pub(super) fn transformer(entry: &Entry, table: &Table, report: &mut Report) -> Option<TransformerSettings> {
    check_keys(table, &TRANSFORMER, report);
    let good_name = document::check_name(entry, "transformer", report);
    let path = match table.get("path") {
        Some(entry) => Some(document::path(&entry.node, "path", "plugins/my_format.wasm", report)?),
        None => None,
    };
    let sha256 = match table.get("sha256") {
        Some(entry) => Some(sha256(&entry.node, report)?),
        None => None,
    };
    let limits = match table.get("limits") {
        Some(entry) => limits(&entry.node, report)?,
        None => Limits::default(),
    };
    let place = report.sources.place(entry.key.span);
    good_name.then_some(TransformerSettings { path, sha256, limits, place })
}

fn sha256(node: &Node, report: &mut Report) -> Option<[u8; 32]> {
    let text = read::string(node, "sha256", "9f86d081884c7d65…", report)?;
    let mut bytes = [0; 32];
    let good = hex::decode_to_slice(text.value(), &mut bytes).is_ok();
    if !good {
        report.error(node.span, "`sha256` must be 64 hexadecimal digits").help("take it from: sha256sum FILE.wasm");
    }
    good.then_some(bytes)
}

fn limits(node: &Node, report: &mut Report) -> Option<Limits> {
    let table = read::table(node, "limits", "{ memory = \"64MiB\", cpu = \"100ms\", output = \"2MiB\" }", report)?;
    check_keys(table, &LIMITS, report);
    let default = Limits::default();
    let size = |name: &str, range: (u64, u64), default: usize, report: &mut Report| match table.get(name) {
        Some(entry) => read::size(&entry.node, &format!("limits.{name}"), range.0..=range.1, "64MiB", report),
        None => Some(default),
    };
    let memory = size("memory", MEMORY_BYTES, default.memory, report);
    let output = size("output", OUTPUT_BYTES, default.output, report);
    let cpu = match table.get("cpu") {
        Some(entry) => read::duration(&entry.node, "limits.cpu", CPU.0..=CPU.1, "100ms", report),
        None => Some(default.cpu),
    };
    let log = size("log", LOG_BYTES, default.log, report);
    let instances = match table.get("instances") {
        Some(entry) => {
            let count = read::integer(&entry.node, "limits.instances", INSTANCES.0..=INSTANCES.1, 4, report)?;
            u32::try_from(count).ok().and_then(NonZeroU32::new)
        }
        None => None,
    };
    Some(Limits { memory: memory?, cpu: cpu?, output: output?, log: log?, instances })
}
