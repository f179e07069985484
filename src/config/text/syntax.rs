//! What is wrong with a file's TOML, in words: the parser's errors without their echoes, and keys that clash.

use toml_parser::{Expected, ParseError};

use super::report::{Report, quote};
use super::tree::{Clash, ClashKind, FileId, Span};

/// One problem per line: what follows the first on a line is nearly always its echo. An unclosed bracket makes
/// echoes up to the end of the file.
pub(crate) fn report_syntax(file: FileId, text: &str, mut errors: Vec<ParseError>, report: &mut Report) {
    if errors.is_empty() {
        return;
    }
    report.sources.mark_broken(file);
    let unclosed = |error: &ParseError| matches!(error.description(), "unclosed array" | "unclosed inline table");
    let start_of = |error: &ParseError| {
        let place = if unclosed(error) { error.context() } else { None };
        place.or(error.unexpected()).or(error.context()).map_or(0, |span| span.start())
    };
    errors.sort_by_key(start_of);
    let silent_from = errors.iter().filter(|error| unclosed(error)).map(start_of).min().unwrap_or(usize::MAX);
    report.sources.mark_unreadable_after(file, silent_from);
    let mut last_line = None;
    for error in errors {
        let start = start_of(&error);
        if start > silent_from {
            break;
        }
        let line = report.sources.line(file, start);
        if last_line == Some(line) {
            continue;
        }
        last_line = Some(line);
        let end = match error.unexpected() {
            Some(span) if !unclosed(&error) => span.end(),
            _ => start + 1,
        };
        let (message, help) = syntax_message(&error, text.get(start..end).unwrap_or_default());
        let draft = report.error(Span { file, start, end }, message);
        if let Some(help) = help {
            draft.help(help);
        }
    }
}

/// The parser's words, or better ones where it cannot know what was meant.
fn syntax_message(error: &ParseError, found: &str) -> (String, Option<&'static str>) {
    let description = error.description();
    let (better, help) = match description {
        "string values must be quoted" if found.trim().is_empty() => (Some("there is no value"), Some("write key = value")),
        "string values must be quoted" => {
            let boolean = ["yes", "no", "on", "off", "True", "False", "TRUE", "FALSE"].contains(&found);
            let help = if boolean { "write true or false" } else { "write text in quotes: \"…\"" };
            (Some("this is no value"), Some(help))
        }
        "key with no value" | "missing value for key" => (Some("there is no `=` after the key"), Some("write key = value")),
        "unquoted keys cannot be empty" => (Some("a key is missing"), Some("write key = value")),
        "invalid basic string" | "invalid multi-line basic string" if found.trim().is_empty() => {
            (Some("the string is never closed"), Some("add the closing quote"))
        }
        "invalid literal string" | "invalid multi-line literal string" if found.trim().is_empty() => {
            (Some("the string is never closed"), Some("add the closing quote"))
        }
        "missing escaped value" => {
            (Some("there is no such escape"), Some("for a backslash write \\\\, or put the text in single quotes"))
        }
        "invalid float" | "invalid integer" | "invalid date-time" => (None, Some("if this is text, write it in quotes: \"…\"")),
        "unclosed table" | "unclosed array table" => (None, Some("a header looks like [webhooks.my-hook]")),
        "unclosed array" => (Some("the list is never closed"), Some("add `]`")),
        "unclosed inline table" => (Some("the table is never closed"), Some("add `}`")),
        "the number is out of range" => (None, Some("whole numbers go up to 9223372036854775807")),
        "missing comma between array elements" | "missing comma between key-value pairs" => {
            (None, Some("separate them with `,`"))
        }
        _ => (None, None),
    };
    if let Some(better) = better {
        return (format!("syntax error: {better}"), help);
    }
    let expected = error.expected().unwrap_or_default().iter().map(|expected| match expected {
        Expected::Literal("\n") => "the end of the line".to_owned(),
        Expected::Literal(literal) => format!("`{literal}`"),
        Expected::Description(description) => (*description).to_owned(),
        _ => "something else".to_owned(),
    });
    let expected: Vec<String> = expected.collect();
    let expected = if expected.is_empty() { String::new() } else { format!(", expected {}", expected.join(" or ")) };
    (format!("syntax error: {description}{expected}"), help)
}

pub(crate) fn report_clash(clash: &Clash, report: &mut Report) {
    let name = quote(&clash.key.name);
    let (message, label) = match clash.kind {
        ClashKind::Twice => (format!("{name} is set twice"), "first set"),
        ClashKind::Closed => (format!("{name} is a whole table already and cannot get more keys here"), "the table is"),
        ClashKind::NotATable => (format!("{name} is not a table and cannot get keys"), "it is set"),
    };
    let help = match clash.kind {
        ClashKind::Twice => "keep one of the two",
        ClashKind::Closed => "write all of its keys in one place",
        ClashKind::NotATable => "keep either the value or the table",
    };
    report.error(clash.key.span, message).help(help).also(clash.first, label);
}
