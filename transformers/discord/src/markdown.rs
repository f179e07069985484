//! Text as text: Discord's Markdown and mentions in it disarmed.

use tenterhook_message::{Escape, Lines, blank, escaped, tidy};

/// Written instead of nothing: Discord refuses fields without a name or value.
const NOTHING: &str = "—";

/// The text with every character of Markdown escaped, at most `units_max` long. An `@` cannot mention anyone, by
/// an invisible character behind it. Plain URLs stay links.
pub fn text(text: &str, lines: Lines, units_max: usize) -> String {
    let mut in_url = false;
    let mut line_start = true;
    escaped(&tidy(text, lines), units_max, |c, rest| {
        if !in_url {
            in_url = c == 'h' && (rest.starts_with("https://") || rest.starts_with("http://"));
        } else if c.is_whitespace() || "<>|`[]()\"\\".contains(c) {
            in_url = false;
        }
        let starts_line = line_start;
        line_start = c == '\n' || line_start && c == ' ';
        match c {
            '@' => Escape::Replace("@\u{200b}"),
            // In a link, Discord shows them as they are; a backslash would become part of the address.
            '_' | '*' | '~' | '#' if in_url => Escape::Keep,
            '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '[' | ']' | '(' | ')' | '#' => Escape::Backslash,
            // A list, a rule or small print.
            '-' | '+' if starts_line => Escape::Backslash,
            _ => Escape::Keep,
        }
    })
}

/// As [`text`], never blank.
pub fn visible(raw: &str, lines: Lines, units_max: usize) -> String {
    let text = text(raw.trim(), lines, units_max);
    if blank(&text) { NOTHING.to_owned() } else { text }
}

/// A code block of at most `units_max`; three backticks within would end it.
pub fn code(json: &str, units_max: usize) -> String {
    const OPEN: &str = "```json\n";
    const CLOSE: &str = "\n```";
    let Some(room) = units_max.checked_sub(OPEN.len() + CLOSE.len()).filter(|room| *room > 0) else {
        return String::new();
    };
    let cut = escaped(&tidy(json, Lines::Many), room, |c, rest| match c {
        '`' => Escape::Replace("\u{2bc}"),
        '@' if rest.starts_with("@everyone") || rest.starts_with("@here") => Escape::Replace("@\u{200b}"),
        _ => Escape::Keep,
    });
    format!("{OPEN}{cut}{CLOSE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_mentions_become_text() {
        let line = |raw: &str| text(raw, Lines::Many, 1_000);
        assert_eq!(line("**b** _i_ [x](http)"), "\\*\\*b\\*\\* \\_i\\_ \\[x\\]\\(http\\)");
        assert_eq!(line("@everyone <@1> <#2>"), "@\u{200b}everyone \\<@\u{200b}1\\> \\<\\#2\\>");
        assert_eq!(line("# h\n- l\n us-east-1"), "\\# h\n\\- l\n us-east-1");
        assert_eq!(line("see https://a.test/x_y#z-1) *"), "see https://a.test/x_y#z-1\\) \\*");
    }

    #[test]
    fn an_escape_is_never_cut_in_two() {
        assert_eq!(text("ab**", Lines::One, 5), "ab\\*…");
        assert_eq!(text("ab**", Lines::One, 4), "ab…");
    }

    #[test]
    fn nothing_is_shown_as_a_dash() {
        for raw in ["", " \u{200b}", "\n", "\u{3164}"] {
            assert_eq!(visible(raw, Lines::One, 100), "—");
        }
    }

    #[test]
    fn fences_do_not_end_the_code_block() {
        assert_eq!(code("a```b", 100), "```json\naʼʼʼb\n```");
        assert_eq!(code("abcdef", 17), "```json\nabcd…\n```");
        assert_eq!(code("abcdef", 12), "");
    }
}
