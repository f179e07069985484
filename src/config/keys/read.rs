//! Reading typed values out of the tree: each function gives the value, or reports why not and gives nothing. Owns the
//! words of type and range errors; refuses to stop at the first.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::text::mask::is_secret_key;
use crate::config::text::report::{Report, quote};
use crate::config::text::tree::{Node, Table, Text, Value};
use crate::config::text::units::{parse_duration, parse_size, show_duration, show_size};

/// `a, b and c`, in backticks.
pub(crate) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// The known name that a user most likely meant: at most a third of its letters wrong.
pub(crate) fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let lower = name.to_ascii_lowercase().replace('-', "_");
    let distance = |known: &str| strsim::damerau_levenshtein(&lower, known);
    let best = known.iter().copied().min_by_key(|known| distance(known))?;
    let allowed = (best.chars().count() / 3).max(1);
    (lower.chars().count() <= 64 && distance(best) <= allowed).then_some(best)
}

/// Type error: what was expected, with an example, and what was found.
pub(crate) fn mismatch(node: &Node, key: &str, expected: &str, report: &mut Report) {
    mismatch_help(node, key, expected, None, report);
}

/// As [`mismatch`], with how to write it.
fn mismatch_help(node: &Node, key: &str, expected: &str, help: Option<String>, report: &mut Report) {
    if let Some(found) = found(node, key) {
        let draft = report.error(node.span, format!("`{key}` must be {expected}, found {found}"));
        if let Some(help) = help {
            draft.help(help);
        }
    }
}

/// `None` for what has been reported already. The text of strings is left to the excerpt, which knows what to hide.
fn found(node: &Node, key: &str) -> Option<String> {
    Some(match &node.value {
        Value::Integer(_) | Value::Float(_) if is_secret(key) => "a number".to_owned(),
        Value::String(_) => "a string".to_owned(),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the number {number}"),
        Value::Boolean(value) => format!("`{value}`"),
        Value::Datetime(_) => "a date or time".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Tables(_) => "a list of tables ([[…]])".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        Value::Broken => return None,
    })
}

/// Whether values of this key (`headers.X-Key`, `token`) may not be shown.
fn is_secret(key: &str) -> bool {
    key.split('.').any(is_secret_key)
}

pub(crate) fn string<'n>(node: &'n Node, key: &str, example: &str, report: &mut Report) -> Option<&'n Text> {
    match &node.value {
        Value::String(text) => Some(text),
        value => {
            let help = match value {
                Value::Integer(number) if !is_secret(key) => Some(format!("write it in quotes: \"{number}\"")),
                Value::Integer(_) => Some("write it in quotes".to_owned()),
                Value::Boolean(value) => Some(format!("write it in quotes: \"{value}\"")),
                Value::Float(_) | Value::Datetime(_) => Some("write it in quotes".to_owned()),
                _ => None,
            };
            mismatch_help(node, key, &format!("a string such as \"{example}\""), help, report);
            None
        }
    }
}

/// A text of a form of its own, for which a number in quotes would be refused as well.
pub(crate) fn form<'n>(node: &'n Node, key: &str, what: &str, example: &str, report: &mut Report) -> Option<&'n Text> {
    if let Value::String(text) = &node.value {
        return Some(text);
    }
    let unit = example.split_once('/').filter(|(count, _)| count.bytes().all(|byte| byte.is_ascii_digit()));
    let help = match (&node.value, unit) {
        (Value::Integer(number), Some((_, unit))) if *number > 0 => format!("write the unit of time: \"{number}/{unit}\""),
        _ => format!("write it as in \"{example}\""),
    };
    mismatch_help(node, key, &format!("{what} such as \"{example}\""), Some(help), report);
    None
}

pub(crate) fn boolean(node: &Node, key: &str, report: &mut Report) -> Option<bool> {
    match &node.value {
        Value::Boolean(value) => Some(*value),
        value => {
            let help = match value {
                Value::String(text) if matches!(text.written.as_str(), "true" | "false") => {
                    Some(format!("without quotes: {key} = {}", text.written))
                }
                _ => None,
            };
            mismatch_help(node, key, "true or false", help, report);
            None
        }
    }
}

pub(crate) fn integer(node: &Node, key: &str, range: RangeInclusive<i64>, example: &str, report: &mut Report) -> Option<i64> {
    match &node.value {
        Value::Integer(number) => within(*number, &range, |n| n.to_string(), node, key, report),
        value => {
            let help = match value {
                Value::String(text) if text.expanded.is_some() => Some("what `${…}` comes to is text, never a number".to_owned()),
                Value::String(text) if text.written.parse::<i64>().is_ok() => {
                    Some(format!("without quotes: {key} = {}", text.written))
                }
                _ => None,
            };
            mismatch_help(node, key, &format!("a whole number such as {example}"), help, report);
            None
        }
    }
}

/// Whole numbers are taken too.
pub(crate) fn number(node: &Node, key: &str, range: RangeInclusive<f64>, example: &str, report: &mut Report) -> Option<f64> {
    let value = match &node.value {
        Value::Float(number) => *number,
        // Whole numbers of settings are far below 2^53.
        Value::Integer(number) => *number as f64,
        _ => {
            mismatch(node, key, &format!("a number such as {example}"), report);
            return None;
        }
    };
    within(value, &range, |n| n.to_string(), node, key, report)
}

fn within<T: PartialOrd + Copy>(
    value: T,
    range: &RangeInclusive<T>,
    show: impl Fn(T) -> String,
    node: &Node,
    key: &str,
    report: &mut Report,
) -> Option<T> {
    if range.contains(&value) {
        return Some(value);
    }
    let (from, to) = (show(*range.start()), show(*range.end()));
    report.error(node.span, format!("`{key}` must be {from} to {to}, found {}", show(value)));
    None
}

/// A string such as `"5s"` within a range.
pub(crate) fn duration(
    node: &Node,
    key: &str,
    range: RangeInclusive<Duration>,
    example: &str,
    report: &mut Report,
) -> Option<Duration> {
    let text = match &node.value {
        Value::String(text) => text,
        value => {
            let help = match value {
                Value::Integer(number) if *number >= 0 => {
                    Some(format!("write the unit: \"{number}s\" for seconds, \"{number}ms\" for milliseconds"))
                }
                _ => None,
            };
            mismatch_help(node, key, &format!("a duration such as \"{example}\""), help, report);
            return None;
        }
    };
    match parse_duration(text.value()) {
        Some(value) => within(value, &range, show_duration, node, key, report),
        None => {
            let what = format!("`{key}` is not a duration:");
            report
                .error_about(node.span, [node], &what, &quote(text.value()))
                .help(format!("write whole numbers with ms, s, m, h or d, as in \"{example}\" or \"1h30m\""));
            None
        }
    }
}

/// A string such as `"1MiB"` within a range, in bytes.
pub(crate) fn size(node: &Node, key: &str, range: RangeInclusive<u64>, example: &str, report: &mut Report) -> Option<usize> {
    let text = match &node.value {
        Value::String(text) => text,
        value => {
            let help = match value {
                Value::Integer(number) if *number >= 0 => Some(format!("write the unit: \"{number}B\" for bytes")),
                _ => None,
            };
            mismatch_help(node, key, &format!("a size such as \"{example}\""), help, report);
            return None;
        }
    };
    match parse_size(text.value()) {
        Some(value) => {
            let value = within(value, &range, show_size, node, key, report)?;
            usize::try_from(value).ok()
        }
        None => {
            let what = format!("`{key}` is not a size:");
            report
                .error_about(node.span, [node], &what, &quote(text.value()))
                .help(format!("write a whole number with B, KiB, MiB, GiB, KB, MB or GB, as in \"{example}\""));
            None
        }
    }
}

/// A list of anything; a bare string gets the brackets suggested.
pub(crate) fn array<'n>(node: &'n Node, key: &str, example: &str, report: &mut Report) -> Option<&'n [Node]> {
    match &node.value {
        Value::Array(nodes) => Some(nodes),
        value => {
            let help = match value {
                Value::String(_) => Some(format!("put it in brackets: {key} = [\"…\"]")),
                _ => None,
            };
            mismatch_help(node, key, &format!("a list such as {example}"), help, report);
            None
        }
    }
}

/// A list of strings, each with its node. Elements of other types are reported and left out.
pub(crate) fn strings<'n>(node: &'n Node, key: &str, example: &str, report: &mut Report) -> Option<Vec<(&'n Text, &'n Node)>> {
    let nodes = array(node, key, &format!("[\"{example}\"]"), report)?;
    let element = format!("{key}[]");
    Some(nodes.iter().filter_map(|node| Some((string(node, &element, example, report)?, node))).collect())
}

pub(crate) fn table<'n>(node: &'n Node, key: &str, example: &str, report: &mut Report) -> Option<&'n Table> {
    match &node.value {
        Value::Table(table) => Some(table),
        _ => {
            mismatch(node, key, &format!("a table such as {example}"), report);
            None
        }
    }
}

/// At most `max` of something.
pub(crate) fn at_most(count: usize, max: usize, what: impl Display, node: &Node, report: &mut Report) -> bool {
    if count > max {
        report.error(node.span, format!("there are {count} {what}, at most {max} are allowed"));
    }
    count <= max
}
