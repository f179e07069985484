//! `[event_types."a.b"]`: the catalogue of event types, and the JSON schemas that their data must match. A schema is
//! compiled here, so that a bad one is a problem of the configuration and not of the first event.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use super::fields::check_keys;
use super::key::{Key, Keys, Kind};
use crate::config::text::files::{FILE_BYTES_MAX, Files, Fingerprint};
use crate::config::text::json;
use crate::config::text::report::{Report, quote};
use crate::config::text::tree::{Entry, Node, Table, Value};
use crate::model::EventType;

pub(crate) static EVENT_TYPE: Keys = Keys::new(
    "an event type",
    &[
        Key::new("description", Kind::Line(DESCRIPTION_CHARS_MAX), "For people").aliases(&["summary"]),
        Key::new(
            "schema",
            Kind::Either(&[Kind::Path, Kind::Free]),
            "A JSON Schema that `data` must match: other events of this type are refused with 422",
        )
        .aliases(&["json_schema"]),
    ],
);

/// Event types declared; each costs a compiled schema at most.
const TYPES_MAX: usize = 10_000;

const DESCRIPTION_CHARS_MAX: usize = 1_000;

/// Problems of one event that are named.
const PROBLEMS_MAX: usize = 10;

/// Characters of one of them: a schema with a thousand choices lists them all.
const PROBLEM_CHARS_MAX: usize = 300;

#[derive(Debug, Clone, PartialEq)]
pub struct EventTypeSettings {
    pub description: Option<String>,
    pub schema: Option<Schema>,
    /// The preset of `catalogue` that declares it; `None`: the file does.
    pub preset: Option<&'static str>,
}

/// A JSON schema, and its compiled form.
#[derive(Clone)]
pub struct Schema {
    pub json: Arc<Json>,
    validator: Arc<jsonschema::Validator>,
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({})", self.json)
    }
}

impl Schema {
    pub(crate) fn compile(json: Json) -> Result<Self, String> {
        let validator = jsonschema::validator_for(&json).map_err(|error| cut(&error.to_string()))?;
        Ok(Self { json: Arc::new(json), validator: Arc::new(validator) })
    }

    /// What is wrong with the data of an event, each with the JSON pointer of its place; empty when nothing is.
    pub fn problems(&self, data: &[u8]) -> Vec<(String, String)> {
        let data: Json = match serde_json::from_slice(data) {
            Ok(data) => data,
            Err(error) => return vec![(String::new(), format!("it is not JSON that a schema can judge: {error}"))],
        };
        let errors = self.validator.iter_errors(&data).take(PROBLEMS_MAX);
        errors.map(|error| (error.instance_path().to_string(), cut(&error.to_string()))).collect()
    }
}

fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(PROBLEM_CHARS_MAX).collect();
    if text.chars().count() > PROBLEM_CHARS_MAX {
        shown.push('…');
    }
    shown
}

/// Schema files that were read or missing, and their content, for the watcher.
#[derive(Default)]
pub(crate) struct SchemaFiles {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) content: Fingerprint,
}

pub(crate) fn event_types(
    entries: Vec<(&Entry, &Table)>,
    files: &Files<'_>,
    read: &mut SchemaFiles,
    report: &mut Report,
) -> BTreeMap<EventType, EventTypeSettings> {
    let mut types = BTreeMap::new();
    if let Some((entry, _)) = entries.get(TYPES_MAX) {
        report.error(entry.key.span, format!("more than {TYPES_MAX} event types"));
    }
    for (entry, table) in entries {
        check_keys(table, &EVENT_TYPE, report);
        let kind = match EventType::parse(&entry.key.name) {
            Ok(kind) => Some(kind),
            Err(error) => {
                let help = "dots need quotes here: [event_types.\"order.created\"]";
                report.error(entry.key.span, error.to_string()).help(help);
                None
            }
        };
        let description = table
            .get("description")
            .and_then(|entry| super::webhook::line(&entry.node, "description", DESCRIPTION_CHARS_MAX, report));
        let schema = table.get("schema").and_then(|entry| schema(&entry.node, files, read, report));
        if let Some(kind) = kind {
            types.insert(kind, EventTypeSettings { description, schema, preset: None });
        }
    }
    types
}

/// A path of a file, or the schema itself as a table.
fn schema(node: &Node, files: &Files<'_>, read: &mut SchemaFiles, report: &mut Report) -> Option<Schema> {
    let (json, what) = match &node.value {
        Value::String(text) => {
            let dir = report.sources.path(node.span.file).parent().unwrap_or(Path::new("")).to_owned();
            let path = dir.join(text.value());
            let shown = quote(&path.to_string_lossy());
            let content = files.read(&path, FILE_BYTES_MAX);
            read.content.add(path.as_os_str().as_encoded_bytes());
            read.content.add(content.as_ref().map_or(b"", |content| content.as_bytes()));
            read.paths.push(path);
            let content = match content {
                Ok(content) => content,
                Err(problem) => {
                    report.error(node.span, format!("the schema {shown} cannot be read: {problem}"));
                    return None;
                }
            };
            match serde_json::from_str::<Json>(&content) {
                Ok(json) => (json, format!("the schema {shown}")),
                Err(error) => {
                    report.error(node.span, format!("the schema {shown} is not JSON: {error}"));
                    return None;
                }
            }
        }
        Value::Table(_) => (json::to_json(node, report)?, "`schema`".to_owned()),
        _ => {
            super::read::mismatch(node, "schema", "the path of a JSON schema, or a table that is one", report);
            return None;
        }
    };
    match Schema::compile(json) {
        Ok(schema) => Some(schema),
        Err(error) => {
            report
                .error(node.span, format!("{what} is not a JSON schema that can be used: {error}"))
                .help("a schema has to be self-contained: references lead to places within it, not to other files or addresses");
            None
        }
    }
}
