//! Text within limits. Lengths are in UTF-16 units: no target counts more than that for a character, so what fits here
//! fits there, whether it counts units, code points or graphemes.

use std::borrow::Cow;

/// Written instead of everything that was cut.
const ELLIPSIS: char = '…';

/// The length of a text in UTF-16 units.
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// The text, or as much of it as leaves room for the `…` at its end.
pub fn cut(text: &str, units_max: usize) -> Cow<'_, str> {
    // As many bytes as units or fewer: no need to count.
    if text.len() <= units_max || units(text) <= units_max {
        return Cow::Borrowed(text);
    }
    Cow::Owned(escaped(text, units_max, |_, _| Escape::Keep))
}

/// What to write for a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// The character.
    Keep,
    /// A backslash and the character.
    Backslash,
    /// This instead of it.
    Replace(&'static str),
}

/// The text with each character written as `escape` says (it is given the character, and the text from there on). When the
/// result would be longer than `units_max`, it ends with `…`, never within what was written for
/// one character.
pub fn escaped(text: &str, units_max: usize, mut escape: impl FnMut(char, &str) -> Escape) -> String {
    let mut out = String::with_capacity(text.len().min(units_max.saturating_mul(3)) + 16);
    // `text[run..]` up to where we are stays as it is and is not copied yet; `fits` is the length of the result up to
    // which there is room for the ellipsis.
    let (mut run, mut used, mut fits) = (0, 0, 0);
    for (at, c) in text.char_indices() {
        let after = at + c.len_utf8();
        match escape(c, &text[at..]) {
            Escape::Keep => used += c.len_utf16(),
            Escape::Backslash => {
                out.push_str(&text[run..at]);
                out.push('\\');
                run = at;
                used += 1 + c.len_utf16();
            }
            Escape::Replace(written) => {
                out.push_str(&text[run..at]);
                out.push_str(written);
                run = after;
                used += units(written);
            }
        }
        if used > units_max {
            out.push_str(&text[run..after]);
            out.truncate(fits);
            if units_max > 0 {
                out.push(ELLIPSIS);
            }
            return out;
        }
        if used < units_max {
            fits = out.len() + after - run;
        }
    }
    out.push_str(&text[run..]);
    out
}

/// A text for one line: line breaks, tabs and other controls become spaces, and characters that reorder the text
/// around them are left out. With `lines`, line breaks and tabs stay.
pub fn tidy(text: &str, lines: Lines) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') || byte == b'\n' && lines == Lines::Many) {
        return Cow::Borrowed(text);
    }
    let keeps = |c: char| !(is_reordering(c) || c.is_control() && !(lines == Lines::Many && matches!(c, '\n' | '\t')));
    if text.chars().all(keeps) {
        return Cow::Borrowed(text);
    }
    let replace = |c: char| match c {
        _ if keeps(c) => Some(c),
        '\r' if lines == Lines::Many => None,
        _ if is_reordering(c) => None,
        _ => Some(' '),
    };
    Cow::Owned(text.chars().filter_map(replace).collect())
}

/// How many lines a text may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    One,
    Many,
}

/// Bidirectional overrides and isolates: with them a title can be made to read as another.
fn is_reordering(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether nothing of the text can be seen. Discord refuses such a field.
pub fn blank(text: &str) -> bool {
    let invisible = |c: char| {
        matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
    };
    text.chars().all(|c| c.is_whitespace() || c.is_control() || invisible(c))
}

/// A key as a label: `circuit_breaker.opened` is "Circuit breaker opened", `errorRate` "Error rate", `accountID`
/// "Account ID".
pub fn humanize(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    let mut previous_lower = false;
    let mut chars = key.chars().peekable();
    while let Some(c) = chars.next() {
        if matches!(c, '_' | '-' | '.' | ':' | '/' | ' ') {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
            previous_lower = false;
            continue;
        }
        let hump = c.is_uppercase() && previous_lower;
        if hump {
            out.push(' ');
        }
        previous_lower = c.is_lowercase() || c.is_ascii_digit();
        if out.is_empty() {
            out.extend(c.to_uppercase());
        } else if hump && chars.peek().is_some_and(|next| next.is_lowercase()) {
            out.extend(c.to_lowercase());
        } else {
            out.push(c);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ampersand(c: char, _rest: &str) -> Escape {
        match c {
            '&' => Escape::Replace("&amp;"),
            '*' => Escape::Backslash,
            _ => Escape::Keep,
        }
    }

    #[test]
    fn a_cut_text_ends_with_an_ellipsis_and_fits() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 5), "abcd…");
        assert_eq!(cut("a😀😀", 4), "a😀…");
        assert_eq!(cut("ab", 1), "…");
        assert_eq!(cut("ab", 0), "");
    }

    #[test]
    fn an_escape_is_never_cut_in_two() {
        assert_eq!(escaped("a&b", 7, ampersand), "a&amp;b");
        assert_eq!(escaped("a&b", 6, ampersand), "a…");
        assert_eq!(escaped("a&bc", 7, ampersand), "a&amp;…");
        assert_eq!(escaped("ab**cd", 8, ampersand), "ab\\*\\*cd");
        assert_eq!(escaped("ab**", 5, ampersand), "ab\\*…");
        assert_eq!(escaped("ab**", 4, ampersand), "ab…");
    }

    #[test]
    fn keys_become_labels() {
        for (key, label) in [
            ("circuit_breaker.opened", "Circuit breaker opened"),
            ("errorRate", "Error rate"),
            ("accountID", "Account ID"),
            ("HTTPStatus", "HTTPStatus"),
            ("p99", "P99"),
            ("__", ""),
            ("éclat", "Éclat"),
        ] {
            assert_eq!(humanize(key), label);
        }
    }

    #[test]
    fn what_cannot_be_seen_is_blank() {
        assert!(blank("") && blank(" \n\u{200b}\u{3000}\u{feff}") && !blank(" x"));
        assert_eq!(tidy("a\r\nb\u{202e}c", Lines::One), "a  bc");
        assert_eq!(tidy("a\r\nb\u{202e}c\u{7}", Lines::Many), "a\nbc ");
    }

    proptest! {
        #[test]
        fn every_cut_fits(text in ".{0,60}", max in 0..60_usize) {
            prop_assert!(units(&cut(&text, max)) <= max);
            let result = escaped(&text, max, ampersand);
            prop_assert!(units(&result) <= max);
            prop_assert_eq!(result.matches('&').count(), result.matches("&amp;").count());
        }
    }
}
