//! Text as text: the Markdown that cards know, disarmed.

use tenterhook_message::{Escape, Lines, blank, escaped, tidy};

/// The text with every character of a card's Markdown escaped: emphasis, links, lists, and the braces of date functions.
/// A line break becomes a paragraph's: a single one is not shown everywhere.
pub fn text(raw: &str, lines: Lines, units_max: usize) -> String {
    let mut line_start = true;
    let mut digits = false;
    escaped(&tidy(raw, lines), units_max, |c, rest| {
        let (starts_line, after_digits) = (line_start, digits);
        line_start = c == '\n' || starts_line && c == ' ';
        digits = c.is_ascii_digit() && (starts_line || after_digits);
        match c {
            '\n' => Escape::Replace("\n\n"),
            '\\' | '*' | '_' | '[' | ']' | '`' | '~' | '<' => Escape::Backslash,
            '-' | '+' | '#' | '>' if starts_line => Escape::Backslash,
            // A numbered list.
            '.' | ')' if after_digits && rest[1..].chars().next().is_none_or(char::is_whitespace) => Escape::Backslash,
            // `{{DATE(…)}}` is computed where it is shown.
            '{' if rest.starts_with("{{") => Escape::Replace("{\u{200b}"),
            _ => Escape::Keep,
        }
    })
}

/// As [`text`], never blank: a fact without a value is not shown.
pub fn visible(raw: &str, lines: Lines, units_max: usize) -> String {
    let text = text(raw.trim(), lines, units_max);
    if blank(&text) { "—".to_owned() } else { text }
}

/// Pretty-printed JSON for a text in a fixed-width font: its indentation would be swallowed.
pub fn code(json: &str, units_max: usize) -> String {
    let mut line_start = true;
    escaped(&tidy(json, Lines::Many), units_max, |c, rest| {
        let starts_line = line_start;
        line_start = c == '\n' || starts_line && c == ' ';
        match c {
            ' ' if starts_line => Escape::Replace("\u{a0}"),
            '\n' => Escape::Replace("\n\n"),
            '\\' | '*' | '_' | '[' | ']' | '`' | '~' | '<' => Escape::Backslash,
            '-' | '+' | '#' | '>' if starts_line => Escape::Backslash,
            '{' if rest.starts_with("{{") => Escape::Replace("{\u{200b}"),
            _ => Escape::Keep,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        let line = |raw: &str| text(raw, Lines::Many, 1_000);
        assert_eq!(line("**b** _i_ [x](http://e.test)"), "\\*\\*b\\*\\* \\_i\\_ \\[x\\](http://e.test)");
        assert_eq!(line("1. one\n- two\n# h 2.5"), "1\\. one\n\n\\- two\n\n\\# h 2.5");
        assert_eq!(line("{{DATE(2026-01-01T00:00:00Z)}}"), "{\u{200b}{DATE(2026-01-01T00:00:00Z)}}");
        assert_eq!(code("{\n  \"a_b\": 1\n}", 100), "{\n\n\u{a0}\u{a0}\"a\\_b\": 1\n\n}");
        assert_eq!(visible(" \u{200b}", Lines::One, 10), "—");
    }
}
