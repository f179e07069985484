//! From content to an embed, within Discord's limits.

use tenterhook_message::{BySeverity, Content, Digest, Layout, Lines, Severity, Style, color, cut, symbol, units};
use tenterhook_transformer::Event;

use crate::Options;
use crate::markdown::{code, text, visible};
use crate::message::{AllowedMentions, Embed, Field, Footer, Message};

// <https://docs.discord.com/developers/resources/message#embed-object-embed-limits>
const TITLE_UNITS_MAX: usize = 256;
const DESCRIPTION_UNITS_MAX: usize = 4_096;
const FIELDS_MAX: usize = 25;
const NAME_UNITS_MAX: usize = 256;
const VALUE_UNITS_MAX: usize = 1_024;
/// Over title, description, names, values and footer.
const EMBED_UNITS_MAX: usize = 6_000;

/// More plain values than these are read better as JSON.
const FIELDS_DEFAULT_MAX: usize = 15;

/// A wider field has a line of its own.
const INLINE_UNITS_MAX: usize = 40;

/// A longer URL is refused by Discord.
const URL_UNITS_MAX: usize = 2_000;

const FOOTER_UNITS_MAX: usize = 400;

/// Kept free for the lead and the code block while fields are added.
const DESCRIPTION_RESERVE: usize = 1_500;

/// One event: title, lead and details as the description, and fields.
pub fn single<'a>(event: &'a Event, options: &'a Options) -> Message<'a> {
    let content = Content::new(event, &style(options));
    let title = visible(&(title_symbol(content.severity, options) + &content.title), Lines::One, TITLE_UNITS_MAX);
    let footer = footer(event);
    let mut room = EMBED_UNITS_MAX - units(&title) - units(&footer);
    let mut fields = Vec::new();
    for field in &content.fields {
        let name = visible(&field.label, Lines::One, NAME_UNITS_MAX);
        let value = visible(&field.value, Lines::Many, VALUE_UNITS_MAX);
        let size = units(&name) + units(&value);
        if size + DESCRIPTION_RESERVE > room {
            break;
        }
        room -= size;
        let inline = match options.layout {
            Layout::Auto => size <= INLINE_UNITS_MAX,
            Layout::Columns => true,
            Layout::Rows => false,
        };
        fields.push(Field { name, value, inline });
    }
    let url = content.link.as_deref().filter(|link| units(link) <= URL_UNITS_MAX).map(str::to_owned);
    let embed = Embed {
        title,
        url,
        description: description(&content, room.min(DESCRIPTION_UNITS_MAX)),
        color: color(content.severity, &options.colors),
        fields,
        footer: Footer { text: footer },
        timestamp: &event.timestamp,
    };
    message(options, embed)
}

/// Before a title only if the options say so: the colour says it already.
fn title_symbol(severity: Severity, options: &Options) -> String {
    options.emoji.as_ref().map(|emoji| symbol(severity, emoji)).unwrap_or_default()
}

/// The lead, the links, then the rest as code in what room they leave.
fn description(content: &Content<'_>, units_max: usize) -> String {
    let mut out = content.lead.as_deref().map(|lead| text(lead.trim(), Lines::Many, units_max / 2)).unwrap_or_default();
    let links = links(content, units_max / 3);
    if !links.is_empty() {
        out.push_str(if out.is_empty() { "" } else { "\n" });
        out.push_str(&links);
    }
    if content.rest.is_empty() {
        return out;
    }
    let gap = if out.is_empty() { "" } else { "\n" };
    let code = code(&content.rest, units_max - units(&out) - gap.len());
    format!("{out}{gap}{code}")
}

/// `[Runbook](<https://…>)`, those for which there is room; the title has a link of its own.
fn links(content: &Content<'_>, units_max: usize) -> String {
    let mut line = String::new();
    for link in content.links.iter().filter(|link| !link.url.contains(['<', '>', ' ', '\n'])) {
        let name = visible(&link.text, Lines::One, 80);
        let gap = if line.is_empty() { "" } else { " · " };
        let written = format!("{gap}[{name}](<{}>)", link.url);
        if units(&line) + units(&written) <= units_max {
            line.push_str(&written);
        }
    }
    line
}

/// Several events: how many of what, then a field for each kind.
pub fn digest<'a>(events: &'a [Event], options: &'a Options) -> Message<'a> {
    let digest = Digest::new(events, &style(options), FIELDS_MAX);
    let title = visible(&(title_symbol(digest.severity, options) + &digest.title), Lines::One, TITLE_UNITS_MAX);
    let footer = events.last().map(footer).unwrap_or_default();
    let counts = text(&digest.counts_line(), Lines::One, DESCRIPTION_RESERVE - 50);
    let mut room = EMBED_UNITS_MAX - units(&title) - units(&footer) - DESCRIPTION_RESERVE;
    let mut fields = Vec::new();
    let usual = BySeverity::default();
    let mut hidden = digest.hidden;
    for group in &digest.groups {
        let symbols = options.emoji.as_ref().unwrap_or(&usual);
        let headline = symbol(group.severity, symbols) + &cut(&group.headline(), 240);
        let name = visible(&headline, Lines::One, NAME_UNITS_MAX);
        let value = visible(&group.sample.line(), Lines::One, 300);
        match room.checked_sub(units(&name) + units(&value)) {
            Some(left) => {
                room = left;
                fields.push(Field { name, value, inline: false });
            }
            None => {
                room = 0;
                hidden += group.count;
            }
        }
    }
    let more = if hidden > 0 { format!("\n… and {hidden} more") } else { String::new() };
    let embed = Embed {
        title,
        url: None,
        description: counts + &more,
        color: color(digest.severity, &options.colors),
        fields,
        footer: Footer { text: footer },
        timestamp: events.last().map_or("", |event| &event.timestamp),
    };
    message(options, embed)
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
        fields_max: if options.fields.is_some() { FIELDS_MAX } else { FIELDS_DEFAULT_MAX },
        rest_bytes_max: 3 * DESCRIPTION_UNITS_MAX,
    }
}

fn message<'a>(options: &'a Options, embed: Embed<'a>) -> Message<'a> {
    Message {
        username: options.username.as_deref(),
        avatar_url: options.icon.as_deref(),
        embeds: [embed],
        allowed_mentions: AllowedMentions { parse: [] },
    }
}

/// Footers know no Markdown: nothing to escape.
fn footer(event: &Event) -> String {
    let tenant = event.tenant.as_deref().map(|tenant| format!(" · {tenant}")).unwrap_or_default();
    cut(&format!("{}{tenant} · {}", event.type_, event.id), FOOTER_UNITS_MAX).into_owned()
}
