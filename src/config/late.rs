//! Problems that only show when handles are made (a module that is missing, options that it refuses), led back to the
//! part of the file that they are about. Owns the underlining of one option of a transformer.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::load::Loaded;
use super::settings::Location;
use super::text::json::span_at;
use super::text::parse::parse;
use super::text::problem::{Problem, Problems, Severity};
use super::text::report::Report;
use super::text::source_map::SourceMap;
use super::text::tree::{Node, Span, Table, Value};

impl Loaded {
    /// A problem found later at a place of these settings; of options that a transformer refuses, at the option that
    /// the message names.
    pub fn problem_at(&self, place: &Location, message: String, help: Option<String>) -> Problem {
        problem_at(&self.sources, place, message, help)
    }

    /// These problems as the reason why this configuration is refused after all.
    pub fn refused(&self, problems: Vec<Problem>) -> Problems {
        let draft = super::text::problem::Draft {
            settings: self.settings.clone(),
            unread: Vec::new(),
            unread_stages: Vec::new(),
            whole: true,
        };
        Problems {
            problems,
            files: self.files.clone(),
            include_dirs: self.include_dirs.clone(),
            fingerprint: self.fingerprint.clone(),
            draft: Arc::new(draft),
            sources: Arc::clone(&self.sources),
        }
    }
}

impl Problems {
    /// With more problems, found later: place, message, help. All of them in the order of the files.
    #[must_use]
    pub fn with_later(mut self, later: impl IntoIterator<Item = (Location, String, Option<String>)>) -> Self {
        let later = later.into_iter().map(|(place, message, help)| problem_at(&self.sources, &place, message, help));
        self.problems.extend(later.collect::<Vec<_>>());
        let files = &self.files;
        self.problems.sort_by_key(|problem| (files.iter().position(|file| *file == problem.file), problem.line, problem.column));
        // Webhooks that inherit a stage of `[defaults]` have its problem in common.
        self.problems.dedup();
        self
    }
}

fn problem_at(sources: &SourceMap, place: &Location, message: String, help: Option<String>) -> Problem {
    let span = sources.span_of(place);
    let span = span.map(|span| option_named(sources, span, &message).unwrap_or(span));
    let (line, column) = span.map_or((place.line as usize, place.column as usize), |span| sources.position(span));
    let excerpts = span.and_then(|span| sources.excerpt(span, None)).into_iter().collect();
    Problem { severity: Severity::Error, file: place.file.to_path_buf(), line, column, message, help, excerpts }
}

/// Where the option stands that a message about a stage names in backticks: trees are gone by now, so the file is parsed
/// again.
fn option_named(sources: &SourceMap, stage: Span, message: &str) -> Option<Span> {
    let mut report = Report::default();
    let text = Zeroizing::new(sources.text(stage.file).as_str().to_owned());
    let file = report.sources.add(sources.path(stage.file).to_owned(), text);
    let root = parse(file, &mut report);
    let wanted = Span { file, ..stage };
    let Value::Table(table) = &find(&root, wanted)?.value else { return None };
    let options = &table.get("options")?.node;
    let Value::Table(known) = &options.value else { return None };
    let named = message.split('`').skip(1).step_by(2);
    let paths = named.map(|name| name.split('.').skip_while(|part| *part == "options").map(str::to_owned).collect::<Vec<_>>());
    let path = paths.into_iter().find(|path| path.first().is_some_and(|first| known.get(first).is_some()))?;
    let found = span_at(options, &path, &report);
    Some(Span { file: stage.file, ..found })
}

/// The value at exactly this span.
fn find(table: &Table, wanted: Span) -> Option<&Node> {
    table.entries().iter().find_map(|entry| find_in(&entry.node, wanted))
}

fn find_in(node: &Node, wanted: Span) -> Option<&Node> {
    if node.span == wanted {
        return Some(node);
    }
    match &node.value {
        Value::Table(table) => find(table, wanted),
        Value::Array(nodes) | Value::Tables(nodes) => nodes.iter().find_map(|node| find_in(node, wanted)),
        _ => None,
    }
}
