//! What is wrong with a configuration, as people see it: place, message, help, the line underlined. Refuses to hold
//! anything secret: excerpts are masked before they get here.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::source_map::SourceMap;
use crate::config::settings::{Location, Settings};
use crate::model::TransformStep;

/// Problems shown in full; a file that is no configuration at all has one on every line.
const SHOWN_MAX: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// One thing that is wrong, and where.
///
/// Serialised as `{file, line, column, message}`, and `help` if there is any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
    /// The offending line first, then others that it is about.
    pub(crate) excerpts: Vec<Excerpt>,
}

/// One line of a file, its secrets hidden, with a part underlined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) text: String,
    /// Bytes of `text`.
    pub(crate) marked: Range<usize>,
    pub(crate) label: Option<String>,
}

/// As much of a refused configuration as could be read: to be compared with, never to be run.
#[derive(Debug, Clone)]
pub struct Draft {
    pub settings: Settings,
    /// Webhooks that are there and have problems of their own.
    pub unread: Vec<String>,
    /// The stages of their pipelines, as far as they could be read.
    pub unread_stages: Vec<(TransformStep, Location)>,
    /// Whether no file has syntax errors: what is missing in one that has may just not have been found.
    pub whole: bool,
}

/// Why a configuration was refused: everything at once, in the order of the files.
#[derive(Debug, Clone)]
pub struct Problems {
    pub problems: Vec<Problem>,
    /// Every file that was read or missing: to be watched, although loading failed.
    pub files: Vec<PathBuf>,
    /// Directories whose listing matters to `include`.
    pub include_dirs: Vec<PathBuf>,
    /// As that of a configuration that loads: the same bad content gives the same one.
    pub fingerprint: String,
    pub draft: Arc<Draft>,
    pub(crate) sources: Arc<SourceMap>,
}

impl Problem {
    /// In the manner of rustc, with a newline at the end.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut elements: Vec<Element<'_>> = Vec::new();
        for (position, excerpt) in self.excerpts.iter().enumerate() {
            let kind = if position == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
            let annotation = kind.span(excerpt.marked.clone()).label(excerpt.label.as_deref());
            let snippet = Snippet::source(excerpt.text.as_str()).line_start(excerpt.line).path(excerpt.file.to_string_lossy());
            elements.push(snippet.annotation(annotation).into());
        }
        if self.excerpts.is_empty() {
            elements.push(Origin::path(self.file.to_string_lossy()).line(self.line).char_column(self.column).into());
        }
        if let Some(help) = &self.help {
            elements.push(Level::HELP.message(help.as_str()).into());
        }
        let mut rendered = renderer.render(&[level.primary_title(self.message.as_str()).elements(elements)]);
        rendered.push('\n');
        // The renderer counts columns in what it shows; where something is hidden before, the file's are others.
        for excerpt in &self.excerpts {
            let place = |column: usize| format!("{}:{}:{column}", excerpt.file.display(), excerpt.line);
            let shown_column = excerpt.text[..excerpt.marked.start].chars().count() + 1;
            if shown_column != excerpt.column {
                let title_end = rendered.find('\n').unwrap_or(0);
                let (title, rest) = rendered.split_at(title_end);
                rendered = format!("{title}{}", rest.replacen(&place(shown_column), &place(excerpt.column), 1));
            }
        }
        rendered
    }
}

/// `config.toml:12:1: unknown key …`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.message)
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Problem", 4 + usize::from(self.help.is_some()))?;
        out.serialize_field("file", &self.file.to_string_lossy())?;
        out.serialize_field("line", &self.line)?;
        out.serialize_field("column", &self.column)?;
        out.serialize_field("message", &self.message)?;
        match &self.help {
            Some(help) => out.serialize_field("help", help)?,
            None => out.skip_field("help")?,
        }
        out.end()
    }
}

impl Problems {
    /// All of them, underlined, for a terminal or a log.
    pub fn render(&self, color: bool) -> String {
        let shown: Vec<String> = self.problems.iter().take(SHOWN_MAX).map(|problem| problem.render(color)).collect();
        let mut out = shown.join("\n");
        if self.problems.len() > SHOWN_MAX {
            out.push_str(&format!("\nand {} more problems\n", self.problems.len() - SHOWN_MAX));
        }
        out
    }
}

/// The first problem in one line, and how many more there are.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.split_first() {
            Some((first, [])) => first.fmt(f),
            Some((first, [_])) => write!(f, "{first} (and 1 more problem)"),
            Some((first, rest)) => write!(f, "{first} (and {} more problems)", rest.len()),
            None => f.write_str("the configuration was refused"),
        }
    }
}

impl std::error::Error for Problems {}
