//! Problems while they are being found: by span, in any order; sorted and given their excerpts at the end.

use super::json;
use super::mask::{HIDDEN, shows_key};
use super::problem::{Excerpt, Problem, Severity};
use super::source_map::SourceMap;
use super::tree::{Node, Span, Text};

/// Characters of a user's text within a message; the excerpt has the rest.
const QUOTE_CHARS_MAX: usize = 60;

/// Problems of one configuration: nobody reads more, and each costs a copy of its line.
const PROBLEMS_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) sources: SourceMap,
    drafts: Vec<Draft>,
    errors: usize,
}

/// A problem with its span; line, column and excerpt are added at the end.
#[derive(Debug)]
pub(crate) struct Draft {
    severity: Severity,
    span: Span,
    message: String,
    help: Option<String>,
    also: Vec<(Span, &'static str)>,
}

impl Draft {
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Another place that the problem is about; `label` reads on with "here" or "at …".
    pub(crate) fn also(&mut self, span: Span, label: &'static str) -> &mut Self {
        self.also.push((span, label));
        self
    }
}

impl Report {
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Draft {
        self.add(Severity::Error, span, message.into())
    }

    pub(crate) fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Draft {
        self.add(Severity::Warning, span, message.into())
    }

    /// A problem in words that quote these values, ours or another module's: dropped if they show anything of what a
    /// `${…}` came to, or of what an excerpt hides.
    pub(crate) fn error_about<'n>(
        &mut self,
        span: Span,
        values: impl IntoIterator<Item = &'n Node>,
        what: &str,
        problem: &str,
    ) -> &mut Draft {
        let message = self.without_secrets(values, what, problem);
        self.error(span, message)
    }

    /// As [`Report::error_about`], for what is allowed.
    pub(crate) fn warning_about<'n>(
        &mut self,
        span: Span,
        values: impl IntoIterator<Item = &'n Node>,
        what: &str,
        problem: &str,
    ) -> &mut Draft {
        let message = self.without_secrets(values, what, problem);
        self.warning(span, message)
    }

    fn without_secrets<'n>(&self, values: impl IntoIterator<Item = &'n Node>, what: &str, problem: &str) -> String {
        let shows_secret = values.into_iter().any(|node| {
            let foreign = json::texts(node).into_iter().flat_map(Text::foreign).any(|value| leaks(problem, value));
            foreign || self.sources.hidden(node.span).any(|value| leaks(problem, value))
        });
        if shows_secret {
            let what = if what.is_empty() { "this" } else { what.trim_end_matches(':') };
            format!("{what} is not valid; why is not said here, because that would show a value that may be secret")
        } else {
            format!("{what} {problem}").trim_start().to_owned()
        }
    }

    fn add(&mut self, severity: Severity, span: Span, message: String) -> &mut Draft {
        self.errors += usize::from(severity == Severity::Error);
        let position = self.drafts.len();
        self.drafts.push(Draft { severity, span, message, help: None, also: Vec::new() });
        &mut self.drafts[position]
    }

    /// How many errors there are so far.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Errors and warnings, each in the order of the files.
    pub(crate) fn finish(mut self) -> (Vec<Problem>, Vec<Problem>, SourceMap) {
        self.drafts.sort_by_key(|draft| draft.span);
        let sources = &self.sources;
        self.drafts.retain(|draft| sources.is_readable(draft.span));
        self.drafts.dedup_by(|next, first| next.span == first.span && next.message == first.message);
        let of = |severity: Severity| -> Vec<Problem> {
            let drafts = self.drafts.iter().filter(|draft| draft.severity == severity).take(PROBLEMS_MAX);
            drafts.map(|draft| problem(draft, &self.sources)).collect()
        };
        let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
        (errors, warnings, self.sources)
    }
}

fn problem(draft: &Draft, sources: &SourceMap) -> Problem {
    let (line, column) = sources.position(draft.span);
    let primary = sources.excerpt(draft.span, None);
    let others = draft.also.iter().filter_map(|(span, label)| sources.excerpt(*span, Some(format!("{label} here"))));
    let excerpts: Vec<Excerpt> = primary.into_iter().chain(others).collect();
    Problem {
        severity: draft.severity,
        file: sources.path(draft.span.file).to_owned(),
        line,
        column,
        message: format!("{}{}", draft.message, other_places(draft, sources)),
        help: draft.help.clone(),
        excerpts,
    }
}

/// ` (first set at config.toml:9:1)`: the message is also read without the excerpts.
fn other_places(draft: &Draft, sources: &SourceMap) -> String {
    let place = |(span, label): &(Span, &'static str)| {
        let (line, column) = sources.position(*span);
        format!(" ({label} at {}:{line}:{column})", sources.path(span.file).display())
    };
    draft.also.iter().map(place).collect()
}

/// A user's text within a message: in backticks, on one line, cut.
pub(crate) fn quote(text: &str) -> String {
    if shows_key(text) {
        return format!("`{HIDDEN}`");
    }
    let mut shown: String = text.chars().take(QUOTE_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().count() > QUOTE_CHARS_MAX {
        shown.push('…');
    }
    format!("`{}`", shown.replace("\\\"", "\"").replace("\\'", "'"))
}

/// Whether a message shows any four characters of a value, which may have been escaped or cut on its way there.
pub(crate) fn leaks(message: &str, value: &str) -> bool {
    const WINDOW: usize = 4;
    let chars: Vec<char> = value.chars().collect();
    if chars.is_empty() {
        return false;
    }
    chars.windows(WINDOW.min(chars.len())).any(|window| message.contains(&window.iter().collect::<String>()))
}
