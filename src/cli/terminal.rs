//! Text from the network, made fit for a terminal; JSON laid out without touching a number, an escape or the order of
//! keys, which a parser and printer would.

use std::borrow::Cow;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::de::IgnoredAny;

/// Beyond this, deeper levels are not moved further right.
const INDENT_LEVELS_MAX: usize = 32;

const KEY: Style = AnsiColor::Cyan.on_default();
const STRING: Style = AnsiColor::Green.on_default();
const SCALAR: Style = AnsiColor::Yellow.on_default();

/// Control characters (escape sequences begin with them), and those that reorder or hide the text around them.
pub(super) fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Dangerous characters become `\u{1b}`; line feeds and tabs stay where `lines` says so.
pub(super) fn sanitised(text: &str, lines: bool) -> Cow<'_, str> {
    let stays = |c: char| !is_dangerous(c) || (lines && matches!(c, '\n' | '\t'));
    if text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if stays(c) {
            clean.push(c);
        } else {
            clean.extend(c.escape_unicode());
        }
    }
    Cow::Owned(clean)
}

/// The text of a JSON document; `None` for anything else.
pub(super) fn as_json(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    Some(text)
}

/// A valid JSON document on one line. Dangerous characters become JSON's own escapes.
pub(super) fn one_line(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for token in Tokens(json) {
        match token {
            Token::Mark(mark) => out.push(mark),
            Token::String(text) | Token::Scalar(text) => push_escaped(&mut out, text),
        }
    }
    out
}

/// A valid JSON document with its levels indented by two spaces behind `margin`, in colours.
pub(super) fn indented(json: &str, margin: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut tokens = Tokens(json).peekable();
    out.push_str(margin);
    while let Some(token) = tokens.next() {
        match token {
            Token::Mark(open @ ('{' | '[')) => {
                out.push(open);
                match tokens.next_if(|next| matches!(next, Token::Mark('}' | ']'))) {
                    Some(Token::Mark(close)) => out.push(close),
                    _ => {
                        depth += 1;
                        new_line(&mut out, margin, depth);
                    }
                }
            }
            Token::Mark(close @ ('}' | ']')) => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, margin, depth);
                out.push(close);
            }
            Token::Mark(',') => {
                out.push(',');
                new_line(&mut out, margin, depth);
            }
            Token::Mark(':') => out.push_str(": "),
            Token::Mark(other) => out.push(other),
            Token::String(text) => {
                let style = if tokens.peek() == Some(&Token::Mark(':')) { KEY } else { STRING };
                push_styled(&mut out, text, style);
            }
            Token::Scalar(text) => push_styled(&mut out, text, SCALAR),
        }
    }
    out
}

fn new_line(out: &mut String, margin: &str, depth: usize) {
    out.push('\n');
    out.push_str(margin);
    for _ in 0..depth.min(INDENT_LEVELS_MAX) {
        out.push_str("  ");
    }
}

fn push_styled(out: &mut String, text: &str, style: Style) {
    let _ = write!(out, "{style}");
    push_escaped(out, text);
    let _ = write!(out, "{style:#}");
}

/// JSON strings may hold these characters; escaped (`\u001b`) they mean the same and have no effect on a terminal.
pub(super) fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        if is_dangerous(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// One of `{}[],:`.
    Mark(char),
    /// With its quotes.
    String(&'a str),
    /// A number, `true`, `false` or `null`.
    Scalar(&'a str),
}

/// The tokens of a document that is known to be valid.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.0.trim_start_matches([' ', '\t', '\n', '\r']);
        let first = rest.chars().next()?;
        let length = match first {
            '{' | '}' | '[' | ']' | ',' | ':' => 1,
            '"' => string_length(rest),
            _ => rest.find(['{', '}', '[', ']', ',', ':', ' ', '\t', '\n', '\r']).unwrap_or(rest.len()),
        };
        let (token, rest) = rest.split_at(length);
        self.0 = rest;
        Some(match first {
            '{' | '}' | '[' | ']' | ',' | ':' => Token::Mark(first),
            '"' => Token::String(token),
            _ => Token::Scalar(token),
        })
    }
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anstream::adapter::strip_str;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn numbers_escapes_and_the_order_of_keys_survive() {
        let json = r#"{"b":1.0e5,"a":[{},[],"x\"\\\u00e9",12345678901234567890123],"c":{"d":null}}"#;
        let expected = "  {\n    \"b\": 1.0e5,\n    \"a\": [\n      {},\n      [],\n      \"x\\\"\\\\\\u00e9\",\n      12345678901234567890123\n    ],\n    \"c\": {\n      \"d\": null\n    }\n  }";
        assert_eq!(strip_str(&indented(json, "  ")).to_string(), expected);
        assert_eq!(one_line(expected), json);
    }

    #[test]
    fn escape_sequences_and_reordering_marks_are_disarmed() {
        assert_eq!(sanitised("a\u{1b}[31mb\u{9b}c\u{202e}d\ne\tf", true), "a\\u{1b}[31mb\\u{9b}c\\u{202e}d\ne\tf");
        assert_eq!(sanitised("a\nb", false), "a\\u{a}b");
        assert!(matches!(sanitised("plain ünïcode", false), Cow::Borrowed(_)));
        assert_eq!(one_line("\"\u{9b}31m\u{7f}\u{202e}\""), "\"\\u009b31m\\u007f\\u202e\"");
    }

    #[test]
    fn depth_does_not_multiply_the_output() {
        let json = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        assert!(indented(&json, "").len() < json.len() * (2 * INDENT_LEVELS_MAX + 4));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(".{0,6}", inner, 0..4).prop_map(|map| map.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn layout_changes_nothing_but_space_and_disarms_everything(value in any_json()) {
            let text = value.to_string();
            for shown in [one_line(&text), strip_str(&indented(&text, " ")).to_string()] {
                prop_assert_eq!(&serde_json::from_str::<Value>(&shown).unwrap(), &value);
                prop_assert!(shown.chars().all(|c| c == '\n' || !is_dangerous(c)));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(json) = as_json(&bytes) {
                let _ = (one_line(json), indented(json, ""));
            }
            let text = String::from_utf8_lossy(&bytes);
            prop_assert!(sanitised(&text, true).chars().all(|c| matches!(c, '\n' | '\t') || !is_dangerous(c)));
        }
    }
}
