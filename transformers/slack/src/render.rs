//! From content to blocks, within Slack's limits.

use tenterhook_message::{
    Content, Digest, Escape, Field, Layout, Lines, Severity, Style, color, cut, escaped, symbol, tidy, units, unix_seconds,
};
use tenterhook_transformer::Event;

use crate::Options;
use crate::message::{Attachment, Block, Message, Text};

// <https://docs.slack.dev/reference/block-kit/blocks>; Slack counts escapes as they are written.
const HEADER_UNITS_MAX: usize = 150;
const SECTION_UNITS_MAX: usize = 3_000;
const FIELDS_MAX: usize = 10;
const FIELD_UNITS_MAX: usize = 2_000;

/// Slack allows 50 blocks; nobody reads a message of more than 20 kinds of events.
const DIGEST_GROUPS_MAX: usize = 20;

/// A title, what it is about, and times.
const GROUP_UNITS_MAX: usize = 400;

/// A notification shows the first line or two.
const FALLBACK_UNITS_MAX: usize = 300;

/// A link's name.
const LINK_TEXT_UNITS_MAX: usize = 75;

/// Ten rows with their labels fit into a section.
const ROW_UNITS_MAX: usize = SECTION_UNITS_MAX / FIELDS_MAX - HEADER_UNITS_MAX - 10;

/// One event: headline, lead, fields, the rest as code, a link, and where it comes from.
pub fn single<'o>(event: &Event, options: &'o Options) -> Message<'o> {
    let content = Content::new(event, &style(options));
    let headline = symbol(content.severity, &options.emoji) + &content.title;
    let mut blocks = vec![Block::header(escape(&headline, HEADER_UNITS_MAX))];
    if let Some(lead) = &content.lead {
        blocks.push(Block::section(escape(lead, SECTION_UNITS_MAX)));
    }
    match options.layout {
        _ if content.fields.is_empty() => {}
        Layout::Auto | Layout::Columns => {
            blocks.push(Block::Section { text: None, fields: content.fields.iter().map(field).collect() });
        }
        Layout::Rows => blocks.extend(rows(&content.fields)),
    }
    if !content.rest.is_empty() {
        blocks.push(Block::section(code(&content.rest)));
    }
    blocks.extend(links(&content));
    blocks.push(origin(event));
    let line = content.line();
    let fallback = if line.is_empty() { headline } else { format!("{headline}: {line}") };
    message(options, &fallback, content.severity, blocks)
}

/// Several events: how many of what, then a section for each kind.
pub fn digest<'o>(events: &[Event], options: &'o Options) -> Message<'o> {
    let digest = Digest::new(events, &style(options), DIGEST_GROUPS_MAX);
    let headline = symbol(digest.severity, &options.emoji) + &digest.title;
    let counts = digest.counts_line();
    let mut blocks = vec![Block::header(escape(&headline, HEADER_UNITS_MAX)), Block::section(escape(&counts, SECTION_UNITS_MAX))];
    for group in &digest.groups {
        let title = escape(&group.headline(), GROUP_UNITS_MAX);
        let symbol = escape(&symbol(group.severity, &options.emoji), HEADER_UNITS_MAX);
        let head = format!("{symbol}*{title}* {}", when(&group.sample.view.event.timestamp));
        let line = escape(&group.sample.line(), SECTION_UNITS_MAX - units(&head) - 1);
        blocks.push(Block::section(if line.is_empty() { head } else { format!("{head}\n{line}") }));
    }
    if digest.hidden > 0 {
        blocks.push(Block::Context { elements: vec![Text::markdown(format!("… and {} more", digest.hidden))] });
    }
    message(options, &format!("{headline}: {counts}"), digest.severity, blocks)
}

fn style(options: &Options) -> Style<'_> {
    Style {
        title: options.title.as_ref(),
        text: options.text.as_ref(),
        fields: options.fields.as_deref(),
        link: options.link.as_ref(),
        links: &options.links,
        assessment: options.assessment(),
        details: options.details.unwrap_or(true),
        fields_max: FIELDS_MAX,
        rest_bytes_max: 3 * SECTION_UNITS_MAX,
    }
}

fn message<'o>(options: &'o Options, fallback: &str, severity: Severity, blocks: Vec<Block>) -> Message<'o> {
    let icon = options.icon.as_deref();
    let (blocks, attachments) = match &options.colors {
        None => (blocks, None),
        Some(colors) => (Vec::new(), Some([Attachment { color: format!("#{:06X}", color(severity, colors)), blocks }])),
    };
    Message {
        channel: options.channel.as_deref(),
        username: options.username.as_deref(),
        icon_emoji: icon.filter(|icon| icon.starts_with(':')),
        icon_url: icon.filter(|icon| !icon.starts_with(':')),
        text: escape(&tidy(fallback, Lines::One), FALLBACK_UNITS_MAX),
        blocks,
        attachments,
    }
}

/// One below the other, as many as there is room for in a section.
fn rows(fields: &[Field<'_>]) -> Option<Block> {
    let mut lines = String::new();
    for field in fields {
        let label = escape(&tidy(&field.label, Lines::One), HEADER_UNITS_MAX);
        let value = escape(&field.value, ROW_UNITS_MAX);
        let gap = if lines.is_empty() { "" } else { "\n" };
        lines.push_str(&format!("{gap}*{label}:* {}", if value.trim().is_empty() { "—" } else { &value }));
    }
    (!lines.is_empty()).then(|| Block::section(lines))
}

fn field(field: &Field<'_>) -> Text {
    let label = escape(&tidy(&field.label, Lines::One), HEADER_UNITS_MAX);
    let head = if label.trim().is_empty() { String::new() } else { format!("*{label}*\n") };
    let value = escape(&field.value, FIELD_UNITS_MAX - units(&head));
    Text::markdown(head + if value.trim().is_empty() { "—" } else { &value })
}

/// `& < >` are the characters of Slack's markup; everything else is text.
/// <https://docs.slack.dev/messaging/formatting-message-text#escaping>
fn escape(text: &str, units_max: usize) -> String {
    escaped(text, units_max, |c, _| match c {
        '&' => Escape::Replace("&amp;"),
        '<' => Escape::Replace("&lt;"),
        '>' => Escape::Replace("&gt;"),
        _ => Escape::Keep,
    })
}

/// A code block; three backticks within would end it.
fn code(text: &str) -> String {
    const FENCE: &str = "```";
    let text = tidy(text, Lines::Many);
    let harmless = if text.contains(FENCE) { text.replace('`', "\u{2bc}") } else { text.into_owned() };
    format!("{FENCE}{}{FENCE}", escape(&harmless, SECTION_UNITS_MAX - 2 * FENCE.len()))
}

/// Those that Slack takes, in one line.
fn links(content: &Content<'_>) -> Option<Block> {
    let mut line = String::new();
    for (text, url) in content.all_links() {
        if url.contains(['|', '<', '>', ' ', '\n']) {
            continue;
        }
        let text = escape(&tidy(text, Lines::One).replace('|', "\u{2223}"), LINK_TEXT_UNITS_MAX);
        let link = format!("<{}|{text} ↗>", escape(url, usize::MAX));
        let gap = if line.is_empty() { "" } else { " · " };
        if units(&line) + units(gap) + units(&link) <= SECTION_UNITS_MAX {
            line.push_str(gap);
            line.push_str(&link);
        }
    }
    (!line.is_empty()).then(|| Block::section(line))
}

/// Type, time and id, in small print.
fn origin(event: &Event) -> Block {
    let tenant = event.tenant.as_deref().map(|tenant| format!(" · {}", escape(&cut(tenant, 100), 300))).unwrap_or_default();
    let event_type = escape(&event.type_, 250);
    let text = format!("{} · `{event_type}`{tenant} · {}", when(&event.timestamp), escape(&event.id, 250));
    Block::Context { elements: vec![Text::markdown(text)] }
}

/// A time that Slack shows in the reader's zone.
fn when(timestamp: &str) -> String {
    let shown = escape(timestamp, 60);
    match unix_seconds(timestamp) {
        Some(seconds) => format!("<!date^{seconds}^{{date_short_pretty}} {{time_secs}}|{shown}>"),
        None => shown,
    }
}
