//! TOML values as JSON: options of transformers, filters, metadata. Refuses what JSON cannot say.

use serde_json::{Map, Number, Value as Json};

use super::report::Report;
use super::tree::{Node, Span, Table, Text, Value};

/// Deeper values could not be read back by the parsers that get them.
const DEPTH_MAX: usize = 64;

/// `None` when a part cannot be said in JSON (reported), or was reported before.
pub(crate) fn to_json(node: &Node, report: &mut Report) -> Option<Json> {
    value(node, 0, report)
}

pub(crate) fn table_to_json(table: &Table, report: &mut Report) -> Option<Map<String, Json>> {
    map(table, 0, report)
}

fn value(node: &Node, depth: usize, report: &mut Report) -> Option<Json> {
    if depth > DEPTH_MAX {
        report.error(node.span, format!("this is nested deeper than {DEPTH_MAX} levels"));
        return None;
    }
    match &node.value {
        Value::String(text) => Some(Json::String(text.value().to_owned())),
        Value::Integer(number) => Some(Json::from(*number)),
        Value::Float(number) => {
            let json = Number::from_f64(*number).map(Json::Number);
            if json.is_none() {
                report.error(node.span, format!("JSON has no {number}"));
            }
            json
        }
        Value::Boolean(value) => Some(Json::Bool(*value)),
        Value::Datetime(text) => Some(Json::String(text.clone())),
        Value::Array(nodes) | Value::Tables(nodes) => {
            let values: Vec<Option<Json>> = nodes.iter().map(|node| value(node, depth + 1, report)).collect();
            values.into_iter().collect::<Option<_>>().map(Json::Array)
        }
        Value::Table(table) => map(table, depth, report).map(Json::Object),
        Value::Broken => None,
    }
}

fn map(table: &Table, depth: usize, report: &mut Report) -> Option<Map<String, Json>> {
    let values: Vec<Option<(String, Json)>> =
        table.entries().iter().map(|entry| Some((entry.key.name.clone(), value(&entry.node, depth + 1, report)?))).collect();
    values.into_iter().collect()
}

/// The span of the part at a path of keys and indices: key and value when they are on one line; the deepest part that
/// exists when the path leads too far.
pub(crate) fn span_at(node: &Node, path: &[String], report: &Report) -> Span {
    let mut node = node;
    let mut span = node.span;
    for step in path {
        let next = match &node.value {
            Value::Table(table) => {
                table.get(step).map(|entry| (&entry.node, with_value(entry.key.span, entry.node.span, report)))
            }
            Value::Array(nodes) | Value::Tables(nodes) => {
                step.parse::<usize>().ok().and_then(|index| nodes.get(index)).map(|node| (node, node.span))
            }
            _ => None,
        };
        let Some((inner, inner_span)) = next else { break };
        (node, span) = (inner, inner_span);
    }
    span
}

fn with_value(key: Span, value: Span, report: &Report) -> Span {
    let both = Span { end: value.end, ..key };
    let follows = key.file == value.file && key.end <= value.start;
    if follows && !report.sources.raw(both).contains('\n') { both } else { key }
}

/// Every string of a value, for what may not be shown of it.
pub(crate) fn texts(node: &Node) -> Vec<&Text> {
    match &node.value {
        Value::String(text) => vec![text],
        Value::Array(nodes) | Value::Tables(nodes) => nodes.iter().flat_map(texts).collect(),
        Value::Table(table) => table.entries().iter().flat_map(|entry| texts(&entry.node)).collect(),
        _ => Vec::new(),
    }
}
