//! What commands print: JSON for scripts, tables and colours for people. Owns the format of states, times and numbers;
//! colours go to terminals only.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::{Global, json};

pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const RED: Style = AnsiColor::Red.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(super) const CYAN: Style = AnsiColor::Cyan.on_default();

/// Between two columns.
const GAP: &str = "  ";

/// What is not there.
pub(super) const NOTHING: &str = "-";

/// The whole answer on one line, or what `human` makes of it.
pub(super) fn answer(global: &Global, value: &Value, human: impl FnOnce() -> String) -> anyhow::Result<()> {
    if global.json { line(&json::line(value)) } else { print(&human()) }
}

/// To standard output; a reader that has gone away is no reason to panic.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

pub(super) fn line(text: &str) -> anyhow::Result<()> {
    print(&format!("{text}\n"))
}

pub(super) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Rows under a head, each column as wide as its widest cell.
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<(String, Style)>>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|name| (*name).to_owned()).collect(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = (String, Style)>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn render(&self) -> String {
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.width());
                cells.chain([self.head[column].width()]).max().unwrap_or(0)
            })
            .collect();
        let head: Vec<(String, Style)> = self.head.iter().map(|name| (name.clone(), BOLD)).collect();
        std::iter::once(&head).chain(&self.rows).map(|row| render_row(row, &widths)).collect()
    }
}

/// The last cell is not padded: no line ends in white space.
fn render_row(row: &[(String, Style)], widths: &[usize]) -> String {
    let mut line = String::new();
    for (column, (text, style)) in row.iter().enumerate() {
        let last = column + 1 == row.len();
        line.push_str(&if *style == PLAIN { text.clone() } else { styled(*style, text) });
        if !last {
            let width = widths.get(column).copied().unwrap_or(0);
            line.push_str(&" ".repeat(width.saturating_sub(text.width())));
            line.push_str(GAP);
        }
    }
    line.push('\n');
    line
}

pub(super) fn cell(text: impl Into<String>) -> (String, Style) {
    (text.into(), PLAIN)
}

/// A state of a delivery, a webhook or a job in its colour.
pub(super) fn state(name: &str) -> (String, Style) {
    let style = match name {
        "succeeded" | "delivered" | "enabled" | "ok" | "finished" | "done" => GREEN,
        "failed" | "disabled" | "breaker_open" => RED,
        "retrying" | "held" | "running" => YELLOW,
        "pending" | "queued" => CYAN,
        _ => DIM,
    };
    (name.to_owned(), style)
}

/// A member as a cell's text: strings as they are, lists joined, nothing as `-`.
pub(super) fn text(value: &Value) -> String {
    if let Some(raw) = json::raw(value) {
        return one_line(raw);
    }
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) if text.is_empty() => NOTHING.to_owned(),
        Value::String(text) => one_line(text),
        Value::Array(items) if items.is_empty() => NOTHING.to_owned(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).map(one_line).collect::<Vec<_>>().join(", ")
        }
        other => json::line(other),
    }
}

/// JSON laid out for people, without touching a number, an escape or the order of its keys.
pub(super) fn laid_out(value: &Value, margin: &str) -> String {
    let text = json::raw(value).map_or_else(|| json::line(value), str::to_owned);
    super::terminal::indented(&text, margin)
}

/// Text of others may hold anything, escape sequences too.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

/// As [`one_line`], of several lines.
pub(super) fn lines(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '·' } else { c }).collect()
}

/// At most `chars` of a text.
pub(super) fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let head: String = text.chars().take(chars.saturating_sub(1)).collect();
    format!("{head}…")
}

/// `2026-01-28 10:30:45`: RFC 3339 in UTC without what a table has no room for.
pub(super) fn time(value: &Value) -> String {
    match value.as_str() {
        Some(text) if text.len() >= 19 && text.is_char_boundary(19) => text[..19].replace('T', " "),
        Some(text) => one_line(text),
        None => NOTHING.to_owned(),
    }
}

/// `145ms`, `1.2s`.
pub(super) fn millis(value: &Value) -> String {
    match value.as_f64() {
        None => NOTHING.to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.1}ms"),
        Some(ms) if ms < 1000.0 => format!("{ms:.0}ms"),
        Some(ms) => format!("{:.1}s", ms / 1000.0),
    }
}

/// `99.2%` of a share from 0 to 1.
pub(super) fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(|| NOTHING.to_owned(), |share| format!("{:.1}%", share * 100.0))
}

/// `name:  value` lines, their values in one column.
pub(super) fn fields(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    pairs
        .iter()
        .map(|(name, value)| format!("{}{}  {value}\n", styled(DIM, name), " ".repeat(width.saturating_sub(name.width()))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_in_no_space() {
        let mut table = Table::new(&["ID", "STATE", "URL"]);
        table.row([cell("a"), state("enabled"), cell("https://a.example/")]);
        table.row([cell("größer"), state("breaker_open"), cell("-")]);
        let text = plain(&table.render());
        assert_eq!(text, "ID      STATE         URL\na       enabled       https://a.example/\ngrößer  breaker_open  -\n");
    }

    #[test]
    fn texts_of_others_cannot_write_to_the_terminal() {
        assert_eq!(text(&json!("a\u{1b}[31mb\nc")), "a·[31mb·c");
        assert_eq!(lines("a\nb\u{7}"), "a\nb·");
    }

    #[test]
    fn numbers_and_times_are_short() {
        assert_eq!(time(&json!("2026-01-28T10:30:45.123Z")), "2026-01-28 10:30:45");
        assert_eq!(time(&json!(null)), "-");
        for (value, shown) in [(json!(0.42), "0.4ms"), (json!(145.4), "145ms"), (json!(1234.0), "1.2s"), (json!(null), "-")] {
            assert_eq!(millis(&value), shown);
        }
        assert_eq!(percent(&json!(0.9921)), "99.2%");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(text(&json!(["a.*", "b"])), "a.*, b");
        assert_eq!(plain(&fields(&[("id", "x".to_owned()), ("type", "y".to_owned())])), "id    x\ntype  y\n");
    }
}
