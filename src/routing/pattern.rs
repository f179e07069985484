//! Event type patterns: `*` is one whole segment, `**` any number of segments (none included), a bare `*` is all.
//!
//! Operational events (`webhook.…`, `tenterhook.…`) are for those who asked for them: only a pattern that spells their
//! first segment out matches them, never a wildcard.

use std::fmt;
use std::sync::Arc;

use crate::model::{EVENT_TYPE_CHARS_MAX, EventType};

/// `circuit_breaker.*`, `order.**`, `*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Arc<str>);

/// Why a pattern is refused, and how to write it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {problem}")]
pub struct InvalidPattern {
    problem: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    Literal(&'a str),
    /// Exactly one segment.
    One,
    /// Any number of segments.
    Any,
}

impl Pattern {
    /// # Errors
    /// A wildcard within a segment (`circuit_*`), an empty segment, a character that no event type has, more than
    /// [`EVENT_TYPE_CHARS_MAX`] characters.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let refuse = |problem: String| Err(InvalidPattern { problem });
        if text.is_empty() {
            return refuse("is empty: name an event type such as order.created, or * for all".to_owned());
        }
        if text.len() > EVENT_TYPE_CHARS_MAX {
            return refuse(format!("has {} characters, {EVENT_TYPE_CHARS_MAX} are allowed", text.len()));
        }
        let shown = text.escape_debug();
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-:/*".contains(*c))) {
            return refuse(format!(
                "`{shown}` contains {bad:?}: use letters, digits, _ - : / and dots between segments, * or ** for whole segments"
            ));
        }
        for segment in text.split('.') {
            if segment.is_empty() {
                return refuse(format!("`{shown}` has an empty segment: dots separate names, as in order.created"));
            }
            if segment.contains('*') && !matches!(segment, "*" | "**") {
                return refuse(format!(
                    "`{shown}` has a wildcard inside the segment `{segment}`: * is one whole segment and ** for any \
                     number of them, so write a whole segment (order.*), or list the types one by one"
                ));
            }
        }
        Ok(Self(text.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One pattern against one type, in time proportional to the product of their lengths. For many patterns there
    /// is the [`super::Index`].
    pub fn matches(&self, kind: &EventType) -> bool {
        let pattern: Vec<Segment<'_>> = self.segments().collect();
        if kind.is_reserved() && !matches!(pattern.first(), Some(Segment::Literal(_))) {
            return false;
        }
        let names: Vec<&str> = kind.as_str().split('.').collect();
        matches_segments(&pattern, &names)
    }

    /// A bare `*` comes out as `**`, which it means.
    pub(super) fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let all = &*self.0 == "*";
        self.0.split('.').map(move |segment| match segment {
            "*" if all => Segment::Any,
            "*" => Segment::One,
            "**" => Segment::Any,
            literal => Segment::Literal(literal),
        })
    }
}

/// The classic wildcard match with one backtrack point: a later `**` makes every earlier one irrelevant.
fn matches_segments(pattern: &[Segment<'_>], names: &[&str]) -> bool {
    let (mut at_pattern, mut at_name) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while at_name < names.len() {
        match pattern.get(at_pattern) {
            Some(Segment::Any) => {
                retry = Some((at_pattern + 1, at_name));
                at_pattern += 1;
                continue;
            }
            Some(Segment::One) => {}
            Some(Segment::Literal(literal)) if *literal == names[at_name] => {}
            Some(Segment::Literal(_)) | None => {
                let Some((pattern_from, name_from)) = retry else { return false };
                retry = Some((pattern_from, name_from + 1));
                (at_pattern, at_name) = (pattern_from, name_from + 1);
                continue;
            }
        }
        at_pattern += 1;
        at_name += 1;
    }
    pattern[at_pattern..].iter().all(|segment| *segment == Segment::Any)
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, kind: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(&EventType::parse(kind).unwrap())
    }

    #[test]
    fn one_star_is_exactly_one_segment() {
        assert!(matches("circuit_breaker.*", "circuit_breaker.opened"));
        assert!(!matches("circuit_breaker.*", "circuit_breaker"));
        assert!(!matches("circuit_breaker.*", "circuit_breaker.a.b"));
        assert!(matches("*.opened", "circuit_breaker.opened"));
        assert!(matches("*.*", "a.b") && !matches("*.*", "a"));
    }

    #[test]
    fn two_stars_are_any_number_of_segments_and_none() {
        for kind in ["a", "a.b", "a.b.c"] {
            assert!(matches("a.**", kind), "{kind}");
            assert!(matches("**", kind), "{kind}");
        }
        assert!(matches("a.**.z", "a.z") && matches("a.**.z", "a.b.z.z") && !matches("a.**.z", "a.z.b"));
        assert!(matches("**.a.**.b.**", "a.x.b") && !matches("**.a.**.b.**", "b.a"));
    }

    #[test]
    fn a_bare_star_means_all() {
        assert!(matches("*", "a") && matches("*", "a.b.c"));
    }

    #[test]
    fn operational_events_need_their_first_segment_spelled_out() {
        for pattern in ["*", "**", "*.delivery.failed", "**.failed"] {
            assert!(!matches(pattern, "webhook.delivery.failed"), "{pattern}");
            assert!(!matches(pattern, "tenterhook.delivery.failed"), "{pattern}");
        }
        assert!(matches("webhook.**", "webhook.delivery.failed"));
        assert!(matches("webhook.*.failed", "webhook.delivery.failed"));
        assert!(matches("tenterhook.config.rejected", "tenterhook.config.rejected"));
        assert!(matches("*", "webhooks.x"), "only the whole word is reserved");
    }

    #[test]
    fn a_wildcard_inside_a_segment_is_refused_with_the_way_out() {
        let error = Pattern::parse("circuit_*.x").unwrap_err().to_string();
        assert_eq!(
            error,
            "pattern `circuit_*.x` has a wildcard inside the segment `circuit_*`: * is one whole segment and ** for \
             any number of them, so write a whole segment (order.*), or list the types one by one"
        );
        assert!(Pattern::parse("a.***").is_err());
    }

    #[test]
    fn what_no_event_type_can_be_is_refused() {
        for (text, part) in
            [("", "is empty"), ("a..b", "empty segment"), ("a b", "contains ' '"), ("é", "contains 'é'"), ("a.", "empty segment")]
        {
            let error = Pattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Pattern::parse(&"a".repeat(201)).unwrap_err().to_string().contains("201 characters, 200 are allowed"));
    }
}
