//! `${NAME}`, `${NAME:-default}` and `${file:path}` in the strings of a file. Owns the syntax (`$${` is a plain `${`);
//! refuses nesting, and expanding what it has expanded.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::files::{Files, Fingerprint, SECRET_FILE_BYTES_MAX};
use super::report::{Report, quote};
use super::tree::{Expanded, Node, Span, Table, Value};

/// What the strings of all files are filled in from.
pub(crate) struct Interpolator<'a> {
    pub(crate) files: &'a Files<'a>,
    pub(crate) env: super::gather::Env<'a>,
    /// Each `${file:…}`, there or not: to be watched.
    pub(crate) files_read: Vec<PathBuf>,
    pub(crate) fingerprint: Fingerprint,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Plain(&'t str),
    Variable { name: &'t str, default: Option<&'t str>, written: &'t str },
    File { path: &'t str, written: &'t str },
    Invalid { written: &'t str, problem: &'static str },
}

impl Interpolator<'_> {
    /// Fills in every string of a table. `dir` is the directory of its file. A string with a problem becomes
    /// [`Value::Broken`].
    pub(crate) fn expand(&mut self, table: &mut Table, dir: &Path, report: &mut Report) {
        for entry in table.entries_mut() {
            self.expand_node(&mut entry.node, dir, report);
        }
    }

    fn expand_node(&mut self, node: &mut Node, dir: &Path, report: &mut Report) {
        match &mut node.value {
            Value::String(text) if text.written.contains("${") => match self.expand_text(&text.written, node.span, dir, report) {
                Some(expanded) => text.expanded = Some(Box::new(expanded)),
                None => node.value = Value::Broken,
            },
            Value::Array(nodes) | Value::Tables(nodes) => {
                for node in nodes {
                    self.expand_node(node, dir, report);
                }
            }
            Value::Table(table) => self.expand(table, dir, report),
            Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Broken => {}
        }
    }

    fn expand_text(&mut self, written: &str, span: Span, dir: &Path, report: &mut Report) -> Option<Expanded> {
        let mut expanded = Expanded { value: Zeroizing::new(String::new()), foreign: Vec::new() };
        let mut whole = true;
        for piece in pieces(written) {
            let value = match piece {
                Piece::Plain(text) => {
                    expanded.value.push_str(text);
                    continue;
                }
                Piece::Variable { name, default, written } => self.variable(name, default, locate(written, span, report), report),
                Piece::File { path, written } => self.file(&dir.join(path), path, locate(written, span, report), report),
                Piece::Invalid { written, problem } => {
                    let at = locate(written, span, report);
                    report.error(at, problem).help("write ${NAME}, ${NAME:-default} or ${file:path}; $${ stands for a plain ${");
                    None
                }
            };
            match value {
                Some(Filled::Foreign(value)) => {
                    expanded.value.push_str(&value);
                    expanded.foreign.push(value);
                }
                Some(Filled::Default(value)) => expanded.value.push_str(&value),
                None => whole = false,
            }
        }
        whole.then_some(expanded)
    }

    fn variable(&mut self, name: &str, default: Option<&str>, at: Span, report: &mut Report) -> Option<Filled> {
        // As a shell's `$(…)` does: a secret that was written with `echo` ends with a line break, and nobody means it.
        let trimmed = |value: String| Zeroizing::new(Zeroizing::new(value).trim_end_matches(['\r', '\n']).to_owned());
        let value = (self.env)(name).map(trimmed);
        self.fingerprint.add(name.as_bytes());
        self.fingerprint.add(&[u8::from(value.is_some())]);
        self.fingerprint.add(value.as_ref().map_or(&[], |value| value.as_bytes()));
        match (value, default) {
            (Some(value), Some(default)) if value.is_empty() => Some(Filled::Default(default.to_owned())),
            (Some(value), _) => Some(Filled::Foreign(value)),
            (None, Some(default)) => Some(Filled::Default(default.to_owned())),
            (None, None) => {
                report
                    .error(at, format!("the environment variable {} is not set", quote(name)))
                    .help(format!("set it, or give a value to use without it: ${{{name}:-default}}"));
                None
            }
        }
    }

    fn file(&mut self, path: &Path, written: &str, at: Span, report: &mut Report) -> Option<Filled> {
        self.files_read.push(path.to_owned());
        self.fingerprint.add(path.as_os_str().as_encoded_bytes());
        let content = self.files.read(path, SECRET_FILE_BYTES_MAX);
        self.fingerprint.add(&[u8::from(content.is_ok())]);
        match content {
            Ok(content) => {
                self.fingerprint.add(content.as_bytes());
                Some(Filled::Foreign(Zeroizing::new(content.trim().to_owned())))
            }
            Err(problem) => {
                report
                    .error(at, format!("the file {} cannot be read: {problem}", quote(written)))
                    .help(format!("the path is {}", quote(&path.to_string_lossy())));
                None
            }
        }
    }
}

/// What a `${…}` came to.
enum Filled {
    /// From the environment or a file: never shown.
    Foreign(Zeroizing<String>),
    /// From the text itself.
    Default(String),
}

/// The span of a part of a string in the file; the whole string when escapes make it differ from its value.
fn locate(written: &str, string: Span, report: &Report) -> Span {
    match report.sources.raw(string).find(written) {
        Some(offset) => Span { start: string.start + offset, end: string.start + offset + written.len(), ..string },
        None => string,
    }
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(position) = rest.find("${") {
        if rest[..position].ends_with('$') {
            pieces.push(Piece::Plain(&rest[..position - 1]));
            pieces.push(Piece::Plain("${"));
            rest = &rest[position + 2..];
            continue;
        }
        pieces.push(Piece::Plain(&rest[..position]));
        let opened = &rest[position..];
        let Some(end) = opened.find('}') else {
            pieces.push(Piece::Invalid { written: opened, problem: "`${` is never closed by `}`" });
            return pieces;
        };
        pieces.push(reference(&opened[..=end]));
        rest = &opened[end + 1..];
    }
    pieces.push(Piece::Plain(rest));
    pieces
}

/// One `${…}`, braces included.
fn reference(written: &str) -> Piece<'_> {
    let inner = &written[2..written.len() - 1];
    let invalid = |problem| Piece::Invalid { written, problem };
    if let Some(path) = inner.strip_prefix("file:") {
        let path = path.trim();
        return if path.is_empty() { invalid("`${file:}` names no file") } else { Piece::File { path, written } };
    }
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if name.is_empty() {
        invalid("`${}` names no variable")
    } else if !letters || name.starts_with(|c: char| c.is_ascii_digit()) {
        invalid("this is not the name of an environment variable: letters, digits and _ only")
    } else if default.is_some_and(|default| default.contains("${")) {
        invalid("a default cannot hold another `${…}`")
    } else {
        Piece::Variable { name, default, written }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn references_are_told_from_plain_text() {
        let variable = |name, default, written| Piece::Variable { name, default, written };
        assert_eq!(
            pieces("a${B}c${D:-e f}$g"),
            [
                Piece::Plain("a"),
                variable("B", None, "${B}"),
                Piece::Plain("c"),
                variable("D", Some("e f"), "${D:-e f}"),
                Piece::Plain("$g")
            ]
        );
        assert_eq!(pieces("${file: x/y }")[1], Piece::File { path: "x/y", written: "${file: x/y }" });
        assert_eq!(pieces("a$${B}"), [Piece::Plain("a"), Piece::Plain("${"), Piece::Plain("B}")]);
    }

    #[test]
    fn malformed_references_are_named() {
        for text in ["${", "${A", "${}", "${file:}", "${a-b}", "${1A}", "${A:-${B}}"] {
            assert!(pieces(text).iter().any(|piece| matches!(piece, Piece::Invalid { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[${}:a-z\u{e9} -]{0,30}") {
            let _ = pieces(&text);
        }
    }
}
