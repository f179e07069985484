//! A dialect of the user's own: what is signed and how the header reads, as texts with placeholders. Refuses whatever
//! is no placeholder of ours, so that a misspelt one is an error and not a literal.

use std::fmt;

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Field {
    Id,
    Timestamp,
    Body,
    Signature,
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "timestamp" => Self::Timestamp,
            "body" => Self::Body,
            "signature" => Self::Signature,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Literal(String),
    Field(Field),
}

/// How the HMAC's bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    Hex,
    Base64,
    /// RFC 4648 §5, without padding.
    Base64Url,
}

impl Encoding {
    pub const ALL: [Self; 3] = [Self::Hex, Self::Base64, Self::Base64Url];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.name() == name)
    }
}

/// `{ template = "t={timestamp},s={signature}", content = "{timestamp}.{body}", encoding = "hex" }`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Template {
    /// As it was written.
    template: String,
    content: String,
    encoding: Encoding,
    pub(super) header: Vec<Part>,
    pub(super) signed: Vec<Part>,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    #[error(
        "unknown placeholder `{{{0}}}`: there are {{id}}, {{timestamp}} (in seconds) and {1}; a brace itself is written twice"
    )]
    Unknown(String, &'static str),
    #[error("a brace is not closed: a placeholder is written {{timestamp}}, a brace itself twice")]
    Open,
    #[error("there is no {{signature}} in it: nothing would be proved")]
    NoSignature,
    #[error("there is no {{body}} in it: anybody could change the body unseen")]
    NoBody,
    #[error("{{signature}} stands in it twice")]
    TwoSignatures,
    #[error("two placeholders touch each other: put something between them, or nobody can take them apart")]
    Touching,
    #[error("it has characters that a header cannot carry: visible ASCII and spaces only")]
    NotAHeader,
}

impl Template {
    /// # Errors
    /// `Err((true, …))` is about `template`, `Err((false, …))` about `content`.
    pub fn parse(template: &str, content: &str, encoding: Encoding) -> Result<Self, (bool, InvalidTemplate)> {
        let header = parse_header(template).map_err(|error| (true, error))?;
        let signed = parse_content(content).map_err(|error| (false, error))?;
        Ok(Self { template: template.to_owned(), content: content.to_owned(), encoding, header, signed })
    }

    pub fn template(&self) -> &str {
        &self.template
    }

    pub fn content(&self) -> &str {
        &self.content
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Whether the time is signed but a receiver would not find it in the header.
    pub(super) fn hides_time(&self) -> bool {
        self.signs_time() && !self.header.contains(&Part::Field(Field::Timestamp))
    }

    pub(super) fn signs_time(&self) -> bool {
        self.signed.contains(&Part::Field(Field::Timestamp))
    }

    /// Takes a header's value apart again: each placeholder runs to the literal behind it.
    pub(super) fn read<'v>(&self, value: &'v str) -> Option<Vec<(Field, &'v str)>> {
        let mut rest = value;
        let mut found = Vec::new();
        let mut parts = self.header.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Literal(text) => rest = rest.strip_prefix(text.as_str())?,
                Part::Field(field) => {
                    let end = match parts.peek() {
                        Some(Part::Literal(next)) => rest.find(next.as_str())?,
                        _ => rest.len(),
                    };
                    found.push((*field, &rest[..end]));
                    rest = &rest[end..];
                }
            }
        }
        rest.is_empty().then_some(found)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?} of {:?} in {})", self.template, self.content, self.encoding.name())
    }
}

fn parse_header(text: &str) -> Result<Vec<Part>, InvalidTemplate> {
    if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) || text.trim() != text {
        return Err(InvalidTemplate::NotAHeader);
    }
    let parts = parse(text, "{signature}", |field| field != Field::Body)?;
    let signatures = parts.iter().filter(|part| **part == Part::Field(Field::Signature)).count();
    match signatures {
        0 => return Err(InvalidTemplate::NoSignature),
        1 => {}
        _ => return Err(InvalidTemplate::TwoSignatures),
    }
    if parts.windows(2).any(|pair| matches!(pair, [Part::Field(_), Part::Field(_)])) {
        return Err(InvalidTemplate::Touching);
    }
    Ok(parts)
}

fn parse_content(text: &str) -> Result<Vec<Part>, InvalidTemplate> {
    let parts = parse(text, "{body}", |field| field != Field::Signature)?;
    if !parts.contains(&Part::Field(Field::Body)) {
        return Err(InvalidTemplate::NoBody);
    }
    Ok(parts)
}

fn parse(text: &str, last: &'static str, allowed: impl Fn(Field) -> bool) -> Result<Vec<Part>, InvalidTemplate> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '{' | '}' if chars.peek().is_some_and(|(_, next)| *next == c) => {
                chars.next();
                literal.push(c);
            }
            '}' => return Err(InvalidTemplate::Open),
            '{' => {
                let inner = &text[at + 1..];
                let end = inner.find('}').ok_or(InvalidTemplate::Open)?;
                let name = &inner[..end];
                let unknown = || InvalidTemplate::Unknown(name.chars().take(40).collect(), last);
                let field = Field::named(name).filter(|field| allowed(*field)).ok_or_else(unknown)?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Field(field));
                while chars.next_if(|(next, _)| *next <= at + 1 + end).is_some() {}
            }
            other => literal.push(other),
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn template(template: &str, content: &str) -> Result<Template, (bool, InvalidTemplate)> {
        Template::parse(template, content, Encoding::Hex)
    }

    #[test]
    fn what_proves_nothing_is_refused_in_words() {
        use InvalidTemplate::{NoBody, NoSignature, NotAHeader, Open, Touching, TwoSignatures};
        for (header, content, about_header, error) in [
            ("t={timestamp}", "{body}", true, NoSignature),
            ("{signature}{signature}", "{body}", true, TwoSignatures),
            ("{id}{signature}", "{body}", true, Touching),
            ("{signature", "{body}", true, Open),
            ("signature}", "{body}", true, Open),
            ("{signature}\n", "{body}", true, NotAHeader),
            (" {signature}", "{body}", true, NotAHeader),
            ("é{signature}", "{body}", true, NotAHeader),
            ("{signature}", "{timestamp}", false, NoBody),
            ("{signature}", "", false, NoBody),
        ] {
            assert_eq!(template(header, content), Err((about_header, error)), "{header} {content}");
        }
        let (about_header, error) = template("{signature}", "{timestmp}.{body}").unwrap_err();
        assert!(!about_header);
        assert_eq!(
            error.to_string(),
            "unknown placeholder `{timestmp}`: there are {id}, {timestamp} (in seconds) and {body}; a brace itself is written twice"
        );
        assert!(matches!(template("{body}{signature}", "{body}"), Err((true, InvalidTemplate::Unknown(..)))));
        assert!(matches!(template("{signature}", "{signature}{body}"), Err((false, InvalidTemplate::Unknown(..)))));
    }

    #[test]
    fn braces_written_twice_are_braces() {
        let json = template(r#"{{"s":"{signature}"}}"#, "{{{body}}}").unwrap();
        assert_eq!(
            json.header,
            [Part::Literal(r#"{"s":""#.to_owned()), Part::Field(Field::Signature), Part::Literal(r#""}"#.to_owned())]
        );
        assert_eq!(json.signed[0], Part::Literal("{".to_owned()));
        assert_eq!(json.read(r#"{"s":"abc"}"#), Some(vec![(Field::Signature, "abc")]));
    }

    #[test]
    fn a_header_is_taken_apart_as_it_was_put_together() {
        let own = template("t={timestamp},s={signature}", "{timestamp}.{body}").unwrap();
        assert_eq!(own.read("t=16,s=ab,cd"), Some(vec![(Field::Timestamp, "16"), (Field::Signature, "ab,cd")]));
        for other in ["", "t=16", "t=16;s=ab", "x t=16,s=ab"] {
            assert_eq!(own.read(other), None, "{other}");
        }
        assert!(own.signs_time() && !own.hides_time());
        assert!(template("{signature}", "{timestamp}.{body}").unwrap().hides_time());
    }

    proptest! {
        #[test]
        fn no_text_panics_the_parser(header in "[{}a-z=, ]{0,30}", content in "[{}a-z._é]{0,30}", value in ".{0,30}") {
            if let Ok(template) = template(&header, &content) {
                let _ = template.read(&value);
            }
        }
    }
}
