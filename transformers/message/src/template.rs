//! The little text templates of options: `{type} on {data.service}`. `{{` and `}}` are braces.

use serde::Deserialize;

use crate::{Path, View};

/// A text with values of an event in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Path),
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..];
            if brace.starts_with("{{") || brace.starts_with("}}") {
                literal.push_str(&brace[..1]);
                rest = &brace[2..];
                continue;
            }
            let Some((path, after)) = brace.strip_prefix('{').and_then(split_value) else {
                return Err(format!("`{text}` has a single brace: write a value as {{data.service}}, and a brace itself twice"));
            };
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Value(Path::parse(path.trim())?));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }

    /// The text with the event's values; those that are not there are empty.
    pub fn render(&self, view: &View<'_>) -> String {
        self.render_with(view, |value, out| out.push_str(value))
    }

    /// The text, its values written by `push_value` to the end of what is there already.
    pub(crate) fn render_with(&self, view: &View<'_>, mut push_value: impl FnMut(&str, &mut String)) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(path) => push_value(&view.value(path).unwrap_or_default(), &mut out),
            }
        }
        out
    }

    /// The path of a text that is one value and nothing else.
    pub fn only_path(&self) -> Option<&Path> {
        match self.parts.as_slice() {
            [Part::Value(path)] => Some(path),
            _ => None,
        }
    }

    /// Whether the text begins so, whatever the event.
    pub fn starts_with(&self, prefix: &str) -> bool {
        matches!(self.parts.first(), Some(Part::Text(text)) if text.starts_with(prefix))
    }

    /// Whether the text begins with a value of the event.
    pub fn starts_with_value(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Value(_)))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// The path up to its closing brace, and what follows; a brace within a quoted key does not close it.
fn split_value(inside: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut previous = '.';
    let mut is_escaped = false;
    for (at, c) in inside.char_indices() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some('"') if c == '\\' => is_escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            // A quote within a bare key is a character like any other.
            None if matches!(c, '"' | '\'') && matches!(previous, '.' | '[') => quote = Some(c),
            None if c == '}' => return Some((&inside[..at], &inside[at + 1..])),
            None => {}
        }
        previous = c;
    }
    None
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::event_with;

    fn render(template: &str, data: &str) -> String {
        let event = event_with("circuit_breaker.opened", data, r#"{"team":"sre"}"#);
        Template::parse(template).unwrap().render(&View::new(&event))
    }

    #[test]
    fn values_are_put_where_their_paths_are() {
        let data = r#"{"service":"api","tags":["a","b"],"n":1.50,"gone":null,"big":12345678901234567890123}"#;
        assert_eq!(
            render("{{{type}}} {title}: {data.service}/{data.tags.1} {data.n} {metadata.team}{tenant}{data.gone}", data),
            "{circuit_breaker.opened} Circuit breaker opened: api/b 1.50 sre"
        );
        assert_eq!(render("{data.tags} {data.tags[0]} {data.big}", data), r#"["a","b"] a 12345678901234567890123"#);
    }

    #[test]
    fn keys_with_dots_and_braces_are_quoted() {
        let data = r#"{"labels":{"app.kubernetes.io/name":"web","a}b":1,"it's":2,"q\"}":3}}"#;
        assert_eq!(render(r#"{data.labels."app.kubernetes.io/name"}!"#, data), "web!");
        assert_eq!(render(r#"{data.labels["app.kubernetes.io/name"]}"#, data), "web");
        assert_eq!(render(r#"{data.labels.'a}b'}-{data.labels.it's}"#, data), "1-2");
        assert_eq!(render(r#"{data.labels."q\"}"}"#, data), "3");
    }

    #[test]
    fn mistakes_are_named() {
        let error = Template::parse("a {data.x").unwrap_err();
        assert_eq!(error, "`a {data.x` has a single brace: write a value as {data.service}, and a brace itself twice");
        assert!(Template::parse("{nope}").unwrap_err().starts_with("`nope` names no value"));
        assert!(Template::parse("a } b").is_err());
    }
}
