//! `transform` of a webhook and `[transformers.NAME]`: which modules, with which options and limits. Whether a module
//! is there and takes its options is found out later, by those who can load it.

use std::num::NonZeroU32;
use std::time::Duration;

use super::document;
use super::fields::{Fields, check_keys};
use super::key::{Key, Keys, Kind};
use super::read;
use crate::config::settings::{Location, TransformerSettings};
use crate::config::text::json::table_to_json;
use crate::config::text::report::{Report, quote};
use crate::config::text::tree::{Entry, Node, Table, Value};
use crate::model::{Limits, TransformStep};

pub(crate) static STAGE: Keys = Keys::new(
    "a stage of `transform`",
    &[
        Key::new("use", Kind::Text, "Name of a transformer: built in, in transformers/, or of [transformers]")
            .required()
            .example("slack")
            .aliases(&["name", "transformer", "module"]),
        Key::new("options", Kind::Free, "Checked by the transformer itself").aliases(&["config", "with"]),
        Key::later("on_error"),
    ],
);

pub(crate) static TRANSFORMER: Keys = Keys::new(
    "a transformer",
    &[
        Key::new("path", Kind::Path, "The module's file")
            .default_words("`transformers/NAME.wasm`, or the built-in")
            .aliases(&["file"]),
        Key::new("sha256", Kind::Text, "64 hexadecimal digits that the file must have").aliases(&["hash", "checksum"]),
        Key::new("limits", Kind::Table(&LIMITS), "What one call may use").aliases(&["options"]),
    ],
);

pub(crate) static LIMITS: Keys = Keys::new(
    "`limits`",
    &[
        // From the smallest instance that runs at all, to as much as a 32-bit memory can have.
        Key::new("memory", Kind::Size(1 << 20, 4 << 30), "Memory of one instance, over all its memories")
            .default("64MiB")
            .aliases(&["mem"]),
        Key::new(
            "cpu",
            Kind::Duration(Duration::from_millis(1), Duration::from_secs(60)),
            "CPU and sleep time of one call; waiting for a free instance is not counted",
        )
        .default("100ms")
        .aliases(&["timeout", "time"]),
        Key::new("output", Kind::Size(1 << 10, 64 << 20), "Body and headers that it returns")
            .default("2MiB")
            .aliases(&["output_size"]),
        Key::new("log", Kind::Size(0, 1 << 20), "Lines that one call may log").default("100KiB"),
        Key::new("instances", Kind::Integer(1, 1_000), "Calls at the same time; others wait")
            .default_words("a quarter of what all have: twice the cores")
            .example("4")
            .aliases(&["concurrency"]),
    ],
);

const STEP_EXAMPLE: &str = "\"slack\" or { use = \"slack\", options = { channel = \"#ops\" } }";

/// Each stage is a call of its own, with the whole payload in and out.
pub(crate) const STAGES_MAX: usize = 8;

/// Options are handed to the module on every call.
const OPTIONS_BYTES_MAX: usize = 256 << 10;

/// The stages in order, and where each was declared.
pub(crate) type Pipeline = (Vec<TransformStep>, Vec<Location>);

/// `transform = "slack"`, a table, or a list of these.
pub(crate) fn transform(node: &Node, report: &mut Report) -> Option<Pipeline> {
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
            let meant = check_keys(table, &STAGE, report);
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
        report.error(
            entry.key.span,
            format!("the options are larger than {}", crate::config::text::units::show_size(OPTIONS_BYTES_MAX as u64)),
        );
        return None;
    }
    Some(options)
}

/// `[transformers.NAME]`.
pub(crate) fn transformer(entry: &Entry, table: &Table, report: &mut Report) -> Option<TransformerSettings> {
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
    let mut fields = Fields::new(table, &LIMITS, "limits.", report);
    let Limits { mut memory, mut cpu, mut output, mut log, mut instances } = Limits::default();
    fields.size("memory", &mut memory, report);
    fields.duration("cpu", &mut cpu, report);
    fields.size("output", &mut output, report);
    fields.size("log", &mut log, report);
    fields.with("instances", &mut instances, report, |key, shown, node, report| {
        Some(NonZeroU32::new(u32::try_from(key.integer(shown, node, report)?).ok()?))
    });
    fields.good.then_some(Limits { memory, cpu, output, log, instances })
}
