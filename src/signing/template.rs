//! A dialect of the user's own: what is signed and how the header reads, as texts with placeholders. Refuses unknown
//! placeholders, so that a misspelt one is an error and not a literal.

use std::fmt;

use http::HeaderName;

use super::dialect::{is_companion, is_reserved};
use super::pattern::{Encoding, Field, Part};
use crate::model::CONNECTION_HEADERS;

/// Whether a header gets its value after the request was signed: when it leaves, or by another signature.
fn is_late(header: &str) -> bool {
    header == "authorization" || CONNECTION_HEADERS.contains(&header) || (is_reserved(header) && !is_companion(header))
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
    #[error("unknown placeholder `{{{0}}}`: there are {{id}}, {{timestamp}} (in seconds){1}; a brace itself is written twice")]
    Unknown(String, &'static str),
    #[error("`{{{0}}}` cannot be signed: that header gets its value after the request is signed")]
    LateHeader(String),
    #[error("a brace is not closed: a placeholder is written {{timestamp}}, a brace itself twice")]
    Open,
    #[error("there is no {{signature}} in it: nothing would be proved")]
    NoSignature,
    #[error("there is no {{body}} in it: anybody could change the body unseen")]
    NoBody,
    #[error("it has {{signature}} twice")]
    TwoSignatures,
    #[error("two placeholders touch each other: put something between them, or no receiver can tell where one ends")]
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
    let in_header = |name: &str| {
        Ok(match name {
            "id" => Field::Id,
            "timestamp" => Field::Timestamp,
            "signature" => Field::Signature,
            other => return Err(unknown(other, " and {signature}")),
        })
    };
    let parts = parse(text, in_header)?;
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
    let parts = parse(text, in_content)?;
    if !parts.contains(&Part::Field(Field::Body)) {
        return Err(InvalidTemplate::NoBody);
    }
    Ok(parts)
}

fn in_content(name: &str) -> Result<Field, InvalidTemplate> {
    let header = name.strip_prefix("header:").and_then(|header| HeaderName::from_bytes(header.as_bytes()).ok());
    Ok(match (name, header) {
        ("id", _) => Field::Id,
        ("timestamp", _) => Field::Timestamp,
        ("method", _) => Field::Method,
        ("url", _) => Field::Url,
        ("body", _) => Field::Body,
        (_, Some(header)) => {
            if is_late(header.as_str()) {
                return Err(InvalidTemplate::LateHeader(name.to_owned()));
            }
            Field::Header(header.as_str().into())
        }
        (other, None) => return Err(unknown(other, ", {method}, {url}, {header:NAME} and {body}")),
    })
}

fn unknown(name: &str, others: &'static str) -> InvalidTemplate {
    InvalidTemplate::Unknown(name.chars().take(40).collect(), others)
}

fn parse(text: &str, field: impl Fn(&str) -> Result<Field, InvalidTemplate>) -> Result<Vec<Part>, InvalidTemplate> {
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
                let field = field(&inner[..end])?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal).into()));
                }
                parts.push(Part::Field(field));
                while chars.next_if(|(next, _)| *next <= at + 1 + end).is_some() {}
            }
            other => literal.push(other),
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.into()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::pattern::read;
    use proptest::prelude::*;

    fn template(template: &str, content: &str) -> Result<Template, (bool, InvalidTemplate)> {
        Template::parse(template, content, Encoding::Hex)
    }

    #[test]
    fn what_proves_nothing_is_refused_in_words() {
        use InvalidTemplate::{LateHeader, NoBody, NoSignature, NotAHeader, Open, Touching, TwoSignatures};
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
            "unknown placeholder `{timestmp}`: there are {id}, {timestamp} (in seconds), {method}, {url}, {header:NAME} and {body}; a brace itself is written twice"
        );
        assert!(matches!(template("{body}{signature}", "{body}"), Err((true, InvalidTemplate::Unknown(..)))));
        for late in ["host", "Content-Length", "authorization", "webhook-signature"] {
            let error = template("{signature}", &format!("{{header:{late}}}{{body}}")).unwrap_err();
            assert_eq!(error, (false, LateHeader(format!("header:{late}"))));
        }
        assert!(template("{signature}", "{method}{url}{header:X-Request-Id}{body}").is_ok());
        assert!(matches!(template("{signature}", "{header:a b}{body}"), Err((false, InvalidTemplate::Unknown(..)))));
        assert!(matches!(template("{signature}", "{signature}{body}"), Err((false, InvalidTemplate::Unknown(..)))));
    }

    #[test]
    fn braces_written_twice_are_braces() {
        let json = template(r#"{{"s":"{signature}"}}"#, "{{{body}}}").unwrap();
        assert_eq!(
            json.header,
            [Part::Literal(r#"{"s":""#.into()), Part::Field(Field::Signature), Part::Literal(r#""}"#.into())]
        );
        assert_eq!(json.signed[0], Part::Literal("{".into()));
        assert_eq!(read(&json.header, r#"{"s":"abc"}"#), Some(vec![(&Field::Signature, "abc")]));
    }

    #[test]
    fn a_header_is_read_back_as_it_was_written() {
        let own = template("t={timestamp},s={signature}", "{timestamp}.{body}").unwrap();
        assert_eq!(read(&own.header, "t=16,s=ab,cd"), Some(vec![(&Field::Timestamp, "16"), (&Field::Signature, "ab,cd")]));
        for other in ["", "t=16", "t=16;s=ab", "x t=16,s=ab"] {
            assert_eq!(read(&own.header, other), None, "{other}");
        }
        assert!(own.signs_time() && !own.hides_time());
        assert!(template("{signature}", "{timestamp}.{body}").unwrap().hides_time());
    }

    proptest! {
        #[test]
        fn no_text_panics_the_parser(header in "[{}a-z=, ]{0,30}", content in "[{}a-z._é]{0,30}", value in ".{0,30}") {
            if let Ok(template) = template(&header, &content) {
                let _ = read(&template.header, &value);
            }
        }
    }
}
