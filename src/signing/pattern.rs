//! Texts with placeholders: what a dialect signs, and how its header reads. One implementation writes them, streams them
//! into a hash and reads them back, for the named dialects and for the user's own.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;

/// What a placeholder stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Field {
    /// Of the event or the batch.
    Id,
    /// Of the attempt, in seconds since 1970.
    Timestamp,
    EventType,
    Method,
    /// The whole URL, with the query.
    Url,
    /// The value of a header, its name in lower case; empty if the request does not have it.
    Header(Box<str>),
    Body,
    Signature,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Literal(Cow<'static, str>),
    Field(Field),
}

/// A part of a dialect's row.
pub(super) const fn text(text: &'static str) -> Part {
    Part::Literal(Cow::Borrowed(text))
}

/// How the signature's bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    Hex,
    Base64,
    /// RFC 4648 §5, without padding.
    Base64Url,
}

impl Encoding {
    pub const ALL: [Self; 3] = [Self::Hex, Self::Base64, Self::Base64Url];
    pub const NAMES: [&str; 3] = [Self::Hex.name(), Self::Base64.name(), Self::Base64Url.name()];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.name() == name)
    }

    pub(super) fn push(self, bytes: &[u8], text: &mut String) {
        match self {
            Self::Hex => {
                for byte in bytes {
                    for nibble in [byte >> 4, byte & 15] {
                        text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
                    }
                }
            }
            Self::Base64 => STANDARD.encode_string(bytes, text),
            Self::Base64Url => URL_SAFE_NO_PAD.encode_string(bytes, text),
        }
    }

    /// `None` unless the text is exactly `N` bytes.
    pub(super) fn decode<const N: usize>(self, text: &str) -> Option<[u8; N]> {
        let bytes = match self {
            Self::Hex => hex::decode(text).ok()?,
            Self::Base64 => STANDARD.decode(text).ok()?,
            Self::Base64Url => URL_SAFE_NO_PAD.decode(text).ok()?,
        };
        bytes.try_into().ok()
    }
}

/// A request as placeholders see it.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) id: &'a [u8],
    pub(super) seconds: &'a [u8],
    pub(super) event_type: &'a [u8],
    pub(super) method: &'a [u8],
    pub(super) url: &'a [u8],
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

impl<'a> Facts<'a> {
    /// Nothing of [`Field::Signature`], which is made of the others.
    pub(super) fn of(&self, field: &Field) -> &'a [u8] {
        match field {
            Field::Id => self.id,
            Field::Timestamp => self.seconds,
            Field::EventType => self.event_type,
            Field::Method => self.method,
            Field::Url => self.url,
            Field::Header(name) => self.headers.get(&**name).map_or(b"", |value| value.as_bytes()),
            Field::Body => self.body,
            Field::Signature => b"",
        }
    }

    /// The text of a pattern, part by part: the body is never copied.
    pub(super) fn each_part(&self, pattern: &[Part], mut take: impl FnMut(&[u8])) {
        for part in pattern {
            match part {
                Part::Literal(text) => take(text.as_bytes()),
                Part::Field(field) => take(self.of(field)),
            }
        }
    }

    /// The text of a pattern in one piece.
    pub(super) fn whole(&self, pattern: &[Part]) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.body.len() + 128);
        self.each_part(pattern, |part| whole.extend_from_slice(part));
        whole
    }
}

/// Writes a header's value. What is not UTF-8 is left out; no id, time or event type is.
pub(super) fn render(pattern: &[Part], facts: &Facts<'_>, signature: &[u8], encoding: Encoding, text: &mut String) {
    for part in pattern {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Field(Field::Signature) => encoding.push(signature, text),
            Part::Field(field) => text.push_str(std::str::from_utf8(facts.of(field)).unwrap_or_default()),
        }
    }
}

/// Reads a header's value back: each placeholder runs to the literal after it.
pub(super) fn read<'p, 'v>(pattern: &'p [Part], value: &'v str) -> Option<Vec<(&'p Field, &'v str)>> {
    let mut rest = value;
    let mut found = Vec::new();
    let mut parts = pattern.iter().peekable();
    while let Some(part) = parts.next() {
        match part {
            Part::Literal(text) => rest = rest.strip_prefix(&**text)?,
            Part::Field(field) => {
                let end = match parts.peek() {
                    Some(Part::Literal(next)) => rest.find(&**next)?,
                    _ => rest.len(),
                };
                found.push((field, &rest[..end]));
                rest = &rest[end..];
            }
        }
    }
    rest.is_empty().then_some(found)
}
