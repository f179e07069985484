//! The little text templates of options: `{type} on {data.service}`. `{{` and `}}` are braces.

use serde::Deserialize;

use crate::{Path, View};

/// A text with places for values of an event.
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
            let Some((path, after)) = brace.strip_prefix('{').and_then(|inside| inside.split_once('}')) else {
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

    /// As [`Self::render`], the values percent-encoded so that they stay within one part of a URL.
    pub fn render_url(&self, view: &View<'_>) -> String {
        self.render_with(view, |value, out| {
            for byte in value.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    out.push(char::from(byte));
                } else {
                    let hex = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble & 15)]);
                    out.extend(['%', hex(byte >> 4), hex(byte)]);
                }
            }
        })
    }

    fn render_with(&self, view: &View<'_>, mut push_value: impl FnMut(&str, &mut String)) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(path) => push_value(&view.value(path).unwrap_or_default(), &mut out),
            }
        }
        out
    }

    /// The path of a text that is one place and nothing else.
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
    use tenterhook_transformer::Event;

    fn render(template: &str, data: &str) -> String {
        let event = Event {
            id: "evt_1".to_owned(),
            type_: "circuit_breaker.opened".to_owned(),
            timestamp: "2026-01-28T10:30:45.123Z".to_owned(),
            data: data.to_owned(),
            metadata: Some(r#"{"team":"sre"}"#.to_owned()),
            tenant: None,
        };
        Template::parse(template).unwrap().render(&View::new(&event))
    }

    #[test]
    fn values_are_put_in_their_places() {
        let data = r#"{"service":"api","tags":["a","b"],"n":1.50,"gone":null}"#;
        assert_eq!(
            render("{{{type}}} {title}: {data.service}/{data.tags.1} {data.n} {metadata.team}{tenant}{data.gone}", data),
            "{circuit_breaker.opened} Circuit breaker opened: api/b 1.50 sre"
        );
        assert_eq!(render("{data.tags}", data), r#"["a","b"]"#);
    }

    #[test]
    fn values_in_urls_cannot_leave_their_part() {
        let event = Event {
            id: "evt_1".to_owned(),
            type_: "a.b".to_owned(),
            timestamp: String::new(),
            data: r#"{"x":"../é?&#"}"#.to_owned(),
            metadata: None,
            tenant: None,
        };
        let template = Template::parse("https://x.test/{data.x}").unwrap();
        assert_eq!(template.render_url(&View::new(&event)), "https://x.test/..%2F%C3%A9%3F%26%23");
    }

    #[test]
    fn mistakes_are_named() {
        let error = Template::parse("a {data.x").unwrap_err();
        assert_eq!(error, "`a {data.x` has a single brace: write a value as {data.service}, and a brace itself twice");
        assert!(Template::parse("{nope}").unwrap_err().starts_with("`nope` names no value"));
        assert!(Template::parse("a } b").is_err());
    }
}
