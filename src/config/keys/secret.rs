//! Secrets, tokens and other credentials as text: white space that came along with a variable or a file is no part of
//! them, and what is plainly a slip is refused or warned of. Refuses to show any of the text.

use crate::config::text::report::Report;
use crate::config::text::tree::{Node, Text};
use crate::signing::{slip, trim_secret};

/// What happens with a slip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slips {
    /// In a file: a certain one is an error, an odd text a warning.
    InFile,
    /// Sent to the API now: nobody would see a warning, so both are errors.
    New,
    /// Accepted before: it keeps its meaning.
    Accepted,
}

/// The text of a credential: what `${…}` brought is trimmed, as the content of `${file:…}` always is.
pub(crate) fn text_of(text: &Text) -> &str {
    if text.expanded.is_some() { trim_secret(text.value()) } else { text.value() }
}

/// Whether the text may be used.
pub(crate) fn check(text: &str, key: &str, slips: Slips, node: &Node, report: &mut Report) -> bool {
    let Some((slip, certain)) = slip(text).filter(|_| slips != Slips::Accepted) else { return true };
    if certain || slips == Slips::New {
        report.error(node.span, format!("`{key}` {slip}"));
        return false;
    }
    report.warning(node.span, format!("`{key}` {slip}"));
    true
}
