//! JSON text read in place. An event's data is published JSON of any size and depth: nothing is parsed into a
//! tree, nothing recurses, and what is not shown costs one pass over its bytes.

use std::borrow::Cow;

use crate::Step;

/// One JSON value, as text without surrounding white space. The text need not be valid: what cannot be
/// read has no members and no elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl<'a> Json<'a> {
    pub fn new(text: &'a str) -> Self {
        Self(text.trim_matches([' ', '\t', '\r', '\n']))
    }

    pub fn text(self) -> &'a str {
        self.0
    }

    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            _ => Kind::Null,
        }
    }

    pub fn is_scalar(self) -> bool {
        !matches!(self.kind(), Kind::Object | Kind::Array)
    }

    /// The value that the text begins with, and what follows it.
    pub fn split_first(text: &'a str) -> Option<(Self, &'a str)> {
        let text = text.trim_start_matches([' ', '\t', '\r', '\n']);
        let (value, rest) = text.split_at_checked(value_len(text)?)?;
        Some((Self(value), rest))
    }

    /// Keys and values of an object, as written; none of anything else.
    pub fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Json<'a>)> {
        self.raw_members().map(|(key, value)| (decode(key), value))
    }

    /// As [`Self::members`], the keys with their quotes and escapes.
    pub fn raw_members(self) -> impl Iterator<Item = (&'a str, Json<'a>)> {
        let mut items = Items::of(self, Kind::Object);
        std::iter::from_fn(move || {
            let key = items.next_value()?;
            (key.kind() == Kind::String).then_some(())?;
            items.take_byte(b':')?;
            let value = items.next_value()?;
            items.after_item();
            Some((key.0, value))
        })
    }

    /// The elements of an array; none of anything else.
    pub fn elements(self) -> impl Iterator<Item = Json<'a>> {
        let mut items = Items::of(self, Kind::Array);
        std::iter::from_fn(move || {
            let value = items.next_value()?;
            items.after_item();
            Some(value)
        })
    }

    /// The last member of that name, as most parsers take it.
    pub fn get(self, key: &str) -> Option<Json<'a>> {
        self.members().filter(|(name, _)| name == key).last().map(|(_, value)| value)
    }

    /// The value that a step of a path leads to: a member of an object, an element of an array.
    pub fn step(self, step: &Step) -> Option<Json<'a>> {
        match self.kind() {
            Kind::Object => self.get(step.key()?),
            Kind::Array => self.elements().nth(step.index()?),
            Kind::String | Kind::Number | Kind::Bool | Kind::Null => None,
        }
    }

    /// The content of a string. A lone surrogate becomes U+FFFD.
    pub fn as_string(self) -> Option<Cow<'a, str>> {
        (self.kind() == Kind::String).then(|| decode(self.0))
    }

    /// How a person would write it: strings without quotes, everything else as JSON. `None` for null.
    pub fn display(self) -> Option<Cow<'a, str>> {
        match self.kind() {
            Kind::Null => None,
            Kind::String => self.as_string(),
            Kind::Object | Kind::Array | Kind::Number | Kind::Bool => Some(Cow::Borrowed(self.0)),
        }
    }

    /// The value indented by two spaces, appended to `out` until that holds `bytes_max` or a little more. `depth`
    /// is the indentation of its last line.
    pub fn pretty(self, out: &mut String, depth: usize, bytes_max: usize) {
        let mut depth = depth;
        let mut rest = self.0;
        let mut previous = '\0';
        while let Some(c) = rest.chars().next() {
            if out.len() > bytes_max {
                return;
            }
            let mut taken = c.len_utf8();
            match c {
                ' ' | '\t' | '\r' | '\n' => {
                    rest = &rest[taken..];
                    continue;
                }
                '"' => {
                    taken = string_len(rest).unwrap_or(rest.len());
                    let shown = rest.floor_char_boundary(taken.min(bytes_max.saturating_sub(out.len()).saturating_add(1)));
                    push_value(out, &rest[..shown], previous, depth);
                }
                '}' | ']' => {
                    depth = depth.saturating_sub(1);
                    if !matches!(previous, '{' | '[') {
                        new_line(out, depth);
                    }
                    out.push(c);
                }
                ',' => out.push(','),
                ':' => out.push_str(": "),
                '{' | '[' => {
                    push_value(out, &rest[..taken], previous, depth);
                    depth += 1;
                }
                _ => {
                    taken = rest.find([',', '}', ']', ' ', '\t', '\r', '\n']).unwrap_or(rest.len()).max(taken);
                    push_value(out, &rest[..taken], previous, depth);
                }
            }
            previous = c;
            rest = &rest[taken..];
        }
    }
}

/// A value on a line of its own, unless it follows its key.
fn push_value(out: &mut String, text: &str, previous: char, depth: usize) {
    if matches!(previous, '{' | '[' | ',') {
        new_line(out, depth);
    }
    out.push_str(text);
}

/// Deeper nesting than this is not indented any further: a thousand levels would be a megabyte of spaces.
const INDENT_MAX: usize = SPACES.len() / 2;
const SPACES: &str = "                                ";

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&SPACES[..2 * depth.min(INDENT_MAX)]);
}

/// Walks over the items of one container.
struct Items<'a> {
    rest: &'a str,
}

impl<'a> Items<'a> {
    fn of(json: Json<'a>, kind: Kind) -> Self {
        let inside = (json.kind() == kind).then(|| &json.0[1..]);
        Self { rest: inside.unwrap_or_default() }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn take_byte(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        (self.rest.as_bytes().first() == Some(&byte)).then(|| self.rest = &self.rest[1..])
    }

    /// Takes the comma, or ends the walk.
    fn after_item(&mut self) {
        if self.take_byte(b',').is_none() {
            self.rest = "";
        }
    }

    fn next_value(&mut self) -> Option<Json<'a>> {
        self.skip_space();
        let len = value_len(self.rest)?;
        let (value, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(Json(value))
    }
}

/// Bytes of the value that `text` begins with; `None` when there is none or it does not end.
fn value_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = match bytes.first()? {
        b'"' => return string_len(text),
        b'{' | b'[' => 0,
        _ => {
            let end = bytes.iter().position(|b| b",]}: \t\r\n\"".contains(b)).unwrap_or(bytes.len());
            return (end > 0).then_some(end);
        }
    };
    let mut depth = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at += string_len(text.get(at..)?)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Bytes of the string that `text` begins with, quotes included.
fn string_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The content of a string in quotes.
fn decode(quoted: &str) -> Cow<'_, str> {
    let inside = quoted.strip_prefix('"').unwrap_or(quoted);
    let inside = inside.strip_suffix('"').unwrap_or(inside);
    let Some(first) = inside.find('\\') else { return Cow::Borrowed(inside) };
    let mut out = String::with_capacity(inside.len());
    out.push_str(&inside[..first]);
    let mut rest = &inside[first..];
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (decoded, taken) = decode_escape(&rest[at..]);
        out.push(decoded);
        rest = &rest[at + taken..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character that an escape at the start of `text` stands for, and the escape's length in bytes.
fn decode_escape(text: &str) -> (char, usize) {
    let mut chars = text.chars();
    chars.next();
    match chars.next() {
        Some('n') => ('\n', 2),
        Some('t') => ('\t', 2),
        Some('r') => ('\r', 2),
        Some('b') => ('\u{8}', 2),
        Some('f') => ('\u{c}', 2),
        Some('u') => match (unit_at(text), text.get(6..).and_then(unit_at)) {
            (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
            }
            (Some(unit), _) => (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
            (None, _) => (char::REPLACEMENT_CHARACTER, 2),
        },
        Some(other) => (other, 1 + other.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

/// The number in `\uXXXX`.
fn unit_at(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

/// JSON text with U+FFFD for half surrogates: they are valid JSON but no text, and many parsers refuse a document for one.
pub fn without_half_surrogates(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        at += found;
        let low_follows = || matches!(text.get(at + 6..).and_then(unit_at), Some(0xdc00..0xe000));
        match unit_at(&text[at..]) {
            Some(0xd800..0xdc00) if low_follows() => at += 12,
            Some(0xd800..0xe000) => {
                out.push_str(&text[copied..at]);
                out.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            // The escaped character, so that a second backslash does not begin an escape.
            _ => at = text.len().min(at + 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8)),
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// How deep the arrays and objects of a JSON text are nested.
pub fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut at) = (0_usize, 0, 0);
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += text.get(at..).and_then(string_len).unwrap_or(text.len() - at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        at += 1;
    }
    deepest
}

/// The JSON text with whatever is nested deeper than `depth_max` as a string of its text.
pub fn limit_depth(text: &str, depth_max: usize) -> Cow<'_, str> {
    if depth(text) <= depth_max {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let (mut depth, mut copied, mut at) = (0_usize, 0, 0);
    while let Some(byte) = text.as_bytes().get(at) {
        let len = match byte {
            b'"' => text.get(at..).and_then(string_len).unwrap_or(text.len() - at),
            b'{' | b'[' if depth == depth_max => {
                let len = text.get(at..).and_then(value_len).unwrap_or(text.len() - at);
                out.push_str(&text[copied..at]);
                write_string(&mut out, &text[at..at + len]);
                copied = at + len;
                len
            }
            b'{' | b'[' => {
                depth += 1;
                1
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                1
            }
            _ => 1,
        };
        at += len;
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// Appends `text` as a JSON string, in quotes.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => {
                let hex = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
                out.push_str("\\u00");
                out.push(hex(control >> 4));
                out.push(hex(control));
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
