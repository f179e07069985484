//! A webhook that the API made, judged by the same code as those of config.toml: its JSON becomes a table of TOML, read
//! by the same parser and the same readers, and what they complain about is led back to the field. Refuses `${…}`: a
//! client of the API is not to read this process's environment.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use super::keys::secret::Slips;
use super::load::Loaded;
use super::settings::{Location, Origin, WebhookSettings};
use crate::config::keys::webhook::{self, Policies, Surroundings};
use crate::config::text::parse::parse;
use crate::config::text::report::Report;
use crate::config::text::tree::{Node, Table, Value};
use crate::model::{Timestamp, WebhookId};

/// What only the file may set: `network` opens addresses and `tls` reads files of this machine. A token for the API, least
/// of all a tenant's, permits neither.
const FILE_ONLY: [(&str, &str); 2] = [
    (
        "network",
        "`network` opens addresses: it can only be set in config.toml; declare the webhook there, or open the range in [network] allow",
    ),
    ("tls", "`tls` reads files of the server: it can only be set in config.toml; declare the webhook there"),
];

/// What is wrong with one field of a webhook that the API was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// A JSON pointer (RFC 6901), such as `/retry/max_retries`; empty when it is about the whole.
    pub field: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// A webhook that is whole, and the way back from its places to its fields.
#[derive(Debug)]
pub struct Judged {
    pub settings: WebhookSettings,
    pub fields: Fields,
}

/// The position of each field of a body in the text that was made of it.
#[derive(Debug, Default)]
pub struct Fields {
    line_starts: Vec<usize>,
    /// First byte, last byte, pointer: outer before inner.
    spans: Vec<(usize, usize, String)>,
}

/// Whether a webhook is new. The URL of a new one is checked; one that was accepted before is left to the guard that
/// checks each address when it is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    New,
    Accepted,
}

impl Loaded {
    /// A webhook of the API, with the defaults and the network of this configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn api_webhook(
        &self,
        id: &WebhookId,
        body: &Map<String, Json>,
        times: (Timestamp, Timestamp),
        judge: Judge,
    ) -> Result<Judged, Vec<FieldProblem>> {
        let mut refused = Vec::new();
        let mut text = format!("[webhooks.{id}]\n");
        for (key, value) in body {
            // Absent and null are the same: the default.
            if value.is_null() {
                continue;
            }
            let field = format!("/{}", escape(key));
            if let Some((_, message)) = FILE_ONLY.iter().find(|(name, _)| name == key) {
                refused.push(FieldProblem { field, message: (*message).to_owned(), help: None });
                continue;
            }
            text.push_str(&quoted(key));
            text.push_str(" = ");
            match toml(value, &field, &mut text) {
                Ok(()) => text.push('\n'),
                Err(problem) => {
                    refused.push(problem);
                    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
                }
            }
        }
        let mut report = Report::default();
        let file = report.sources.add(place_file(id), Zeroizing::new(text.clone()));
        let root = parse(file, &mut report);
        let fields = Fields::of(&text, &root, id);
        let confined = body.get("tenant").is_some_and(Json::is_string).then(|| self.defaults.for_a_tenant());
        let defaults = confined.as_ref().unwrap_or(&self.defaults);
        let network = (judge == Judge::New).then_some(&self.settings.network);
        let slips = if judge == Judge::New { Slips::New } else { Slips::Accepted };
        let mut around = Surroundings { defaults, network, slips, policies: Policies::default(), stages: Vec::new() };
        let entry = root.get("webhooks").and_then(|webhooks| match &webhooks.node.value {
            Value::Table(table) => table.get(id.as_str()),
            _ => None,
        });
        let settings = match entry.map(|entry| (entry, &entry.node.value)) {
            Some((entry, Value::Table(table))) => webhook::webhook(entry, table, &mut around, &mut report),
            _ => None,
        };
        let (problems, _, _) = report.finish();
        refused.extend(problems.into_iter().map(|problem| FieldProblem {
            field: fields.at(problem.line, problem.column),
            message: problem.message,
            help: problem.help,
        }));
        match settings.filter(|_| refused.is_empty()) {
            Some(settings) => {
                let origin = Origin::Api { created: times.0, updated: times.1, suspended: None };
                Ok(Judged { settings: WebhookSettings { origin, ..settings }, fields })
            }
            None => Err(refused),
        }
    }

    /// What a webhook becomes that was accepted before and is not valid any more: disabled, so that what waits for it is
    /// held until somebody fixes it.
    pub fn suspended(&self, id: &WebhookId, body: &Map<String, Json>, times: (Timestamp, Timestamp)) -> Option<Judged> {
        let least = ["url", "events", "tenant", "description"];
        let mut reduced: Map<String, Json> = body
            .iter()
            .filter(|(key, _)| least.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        reduced.insert("enabled".to_owned(), false.into());
        reduced.insert("transform".to_owned(), Json::Array(Vec::new()));
        self.api_webhook(id, &reduced, times, Judge::Accepted).ok()
    }

    /// Whether it is a place within this webhook of the API.
    pub fn is_place_of_api(place: &Location, id: &WebhookId) -> bool {
        *place.file == *place_file(id)
    }

    /// These settings with webhooks of the API among them. Those of config.toml win over others of the same id.
    pub fn with_api(&self, webhooks: impl IntoIterator<Item = WebhookSettings>) -> super::Settings {
        let mut settings = self.settings.clone();
        for webhook in webhooks {
            let all = Arc::make_mut(&mut settings.webhooks);
            all.entry(webhook.id.clone()).or_insert_with(|| Arc::new(webhook));
        }
        settings
    }
}

/// What logs show as the file of a webhook of the API.
fn place_file(id: &WebhookId) -> PathBuf {
    PathBuf::from(format!("(API) {id}"))
}

impl Fields {
    fn of(text: &str, root: &Table, id: &WebhookId) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let mut fields = Self { line_starts: std::iter::once(0).chain(breaks).collect(), spans: Vec::new() };
        if let Some(Value::Table(webhooks)) = root.get("webhooks").map(|entry| &entry.node.value)
            && let Some(Value::Table(table)) = webhooks.get(id.as_str()).map(|entry| &entry.node.value)
        {
            fields.table(table, "");
        }
        fields
    }

    fn table(&mut self, table: &Table, pointer: &str) {
        for entry in table.entries() {
            let pointer = format!("{pointer}/{}", escape(&entry.key.name));
            let end = entry.node.span.end.max(entry.key.span.end);
            self.spans.push((entry.key.span.start, end, pointer.clone()));
            self.node(&entry.node, &pointer);
        }
    }

    fn node(&mut self, node: &Node, pointer: &str) {
        match &node.value {
            Value::Table(table) => self.table(table, pointer),
            Value::Array(nodes) => {
                for (at, node) in nodes.iter().enumerate() {
                    let pointer = format!("{pointer}/{at}");
                    self.spans.push((node.span.start, node.span.end, pointer.clone()));
                    self.node(node, &pointer);
                }
            }
            _ => {}
        }
    }

    /// The innermost field at a line and a column, both from 1. The text is ASCII: columns are bytes.
    fn at(&self, line: usize, column: usize) -> String {
        let offset = self.line_starts.get(line.saturating_sub(1)).map_or(0, |start| start + column.saturating_sub(1));
        let found = self.spans.iter().rev().find(|(start, end, _)| (*start..*end).contains(&offset));
        found.map(|(_, _, pointer)| pointer.clone()).unwrap_or_default()
    }

    pub fn of_place(&self, place: &Location) -> String {
        self.at(place.line as usize, place.column as usize)
    }
}

/// RFC 6901 §3.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A value as TOML writes it, on one line.
fn toml(value: &Json, field: &str, out: &mut String) -> Result<(), FieldProblem> {
    let refuse = |message: &str| Err(FieldProblem { field: field.to_owned(), message: message.to_owned(), help: None });
    match value {
        Json::Null => return refuse("null is not allowed within a value: leave the field out"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => out.push_str(&number.to_string()),
            (None, Some(number)) if number.is_finite() && !value.is_u64() => out.push_str(&format!("{number:?}")),
            _ => return refuse("the number is out of range"),
        },
        Json::String(text) => out.push_str(&quoted(text)),
        Json::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                toml(item, &format!("{field}/{at}"), out)?;
            }
            out.push(']');
        }
        Json::Object(fields) => {
            out.push_str("{ ");
            for (at, (key, item)) in fields.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                out.push_str(&quoted(key));
                out.push_str(" = ");
                toml(item, &format!("{field}/{}", escape(key)), out)?;
            }
            out.push_str(" }");
        }
    }
    Ok(())
}

/// A TOML basic string, ASCII alone; plain where it can be a bare key.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            c => out.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}
