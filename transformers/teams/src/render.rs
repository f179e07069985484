//! From content to a card, within the size that Teams takes.

use tenterhook_message::{Content, Digest, Lines, Severity, Style, cut, symbol, tidy};
use tenterhook_transformer::Event;

use crate::Options;
use crate::card::{Action, Attachment, Card, Element, Fact, Message, TextBlock, Width};
use crate::markdown::{code, text, visible};

/// A message of Teams has 28 KiB. Workflows puts the card into a message of its own as a JSON string, and Teams counts
/// that (MicrosoftDocs/msteams-docs#11274: 24,453 bytes were counted as 28,897, after an answer of 202). 1 KiB is left for
/// what Workflows puts around it.
/// <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>
const MESSAGE_BYTES_MAX: usize = 27 * 1024;

const TITLE_UNITS_MAX: usize = 250;
const LEAD_UNITS_MAX: usize = 4_000;
const FIELDS_MAX: usize = 25;
const LABEL_UNITS_MAX: usize = 100;
/// Of a kind of events in a digest: title, what it is about, times.
const HEADLINE_UNITS_MAX: usize = 240;
const VALUE_UNITS_MAX: usize = 1_000;
const REST_UNITS_MAX: usize = 8_000;

/// Nobody reads a card of more kinds of events.
const DIGEST_GROUPS_MAX: usize = 20;

/// A longer URL does not open.
const URL_UNITS_MAX: usize = 2_000;

/// The message as JSON text. Each text has room by itself; where they are too much together, all are cut to a half, and
/// again.
pub fn message(events: &[Event], options: &Options) -> Result<String, String> {
    let mut share = 1;
    loop {
        let card = match events {
            [event] => single(event, options, share),
            _ => digest(events, options, share),
        };
        let attachment = Attachment { content_type: "application/vnd.microsoft.card.adaptive", content: card };
        let message = Message { r#type: "message", attachments: [attachment] };
        let body = serde_json::to_string(&message).map_err(|error| format!("the card is no JSON: {error}"))?;
        if size_as_string(&body) <= MESSAGE_BYTES_MAX || share >= SHARE_MAX {
            return Ok(body);
        }
        share *= 2;
    }
}

/// At this share a card is little more than its title; then the links go too, which cannot be cut.
const SHARE_MAX: usize = 128;

/// Bytes of a JSON text within another: quotes and backslashes are escaped once more.
fn size_as_string(json: &str) -> usize {
    json.len() + json.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count() + 2
}

/// One event: a coloured title, lead, facts, the rest in a fixed-width font, and buttons.
fn single(event: &Event, options: &Options, share: usize) -> Card {
    let content = Content::new(event, &style(options));
    let mut body = vec![headline(&content.title, content.severity, options)];
    if let Some(lead) = &content.lead {
        let lead = text(lead.trim(), Lines::Many, LEAD_UNITS_MAX / share);
        body.push(Element::TextBlock(TextBlock { text: lead, wrap: true, ..TextBlock::default() }));
    }
    let facts: Vec<Fact> = content.fields.iter().map(|field| fact(&field.label, LABEL_UNITS_MAX, &field.value, share)).collect();
    if !facts.is_empty() {
        body.push(Element::FactSet { facts });
    }
    if !content.rest.is_empty() {
        let text = code(&content.rest, REST_UNITS_MAX / share);
        let block = TextBlock { text, wrap: true, font_type: Some("Monospace"), separator: true, ..TextBlock::default() };
        body.push(Element::TextBlock(block));
    }
    body.push(small(&origin(event)));
    let line = content.line();
    let fallback = if line.is_empty() { content.title.clone() } else { format!("{}: {line}", content.title) };
    card(options, body, &fallback, &content, share)
}

/// Several events: how many of what, then a fact for each kind.
fn digest(events: &[Event], options: &Options, share: usize) -> Card {
    let digest = Digest::new(events, &style(options), DIGEST_GROUPS_MAX);
    let counts = digest.counts_line();
    let lead = text(&counts, Lines::One, LEAD_UNITS_MAX / share);
    let mut body = vec![
        headline(&digest.title, digest.severity, options),
        Element::TextBlock(TextBlock { text: lead, wrap: true, ..TextBlock::default() }),
    ];
    let facts = digest.groups.iter().map(|group| {
        let title = symbol(group.severity, &options.emoji) + &group.headline();
        fact(&title, HEADLINE_UNITS_MAX, &group.sample.line(), share)
    });
    body.push(Element::FactSet { facts: facts.collect() });
    if digest.hidden > 0 {
        body.push(small(&format!("… and {} more", digest.hidden)));
    }
    match digest.groups.first() {
        Some(first) => card(options, body, &format!("{}: {counts}", digest.title), &first.sample, share),
        None => Card { actions: Vec::new(), ..frame(options, body, &counts) },
    }
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
        rest_bytes_max: 3 * REST_UNITS_MAX,
    }
}

fn card(options: &Options, body: Vec<Element>, fallback: &str, content: &Content<'_>, share: usize) -> Card {
    let action = |(title, url): (&str, &str)| Action {
        r#type: "Action.OpenUrl",
        title: cut(&tidy(title, Lines::One), LABEL_UNITS_MAX).into_owned(),
        url: url.to_owned(),
    };
    let links = content.all_links().filter(|(_, url)| url.len() <= URL_UNITS_MAX && share < SHARE_MAX);
    let actions = links.map(action).collect();
    Card { actions, ..frame(options, body, fallback) }
}

fn frame(options: &Options, body: Vec<Element>, fallback: &str) -> Card {
    Card {
        schema: "http://adaptivecards.io/schemas/adaptive-card.json",
        r#type: "AdaptiveCard",
        version: "1.4",
        fallback_text: cut(&tidy(fallback, Lines::One), 500).into_owned(),
        body,
        actions: Vec::new(),
        msteams: options.full_width.then_some(Width { width: "Full" }),
    }
}

/// The title on a ground in the severity's colour.
fn headline(title: &str, severity: Severity, options: &Options) -> Element {
    let title = symbol(severity, &options.emoji) + title;
    let text = visible(&title, Lines::One, TITLE_UNITS_MAX);
    let block = TextBlock { text, wrap: true, size: Some("Large"), weight: Some("Bolder"), ..TextBlock::default() };
    let style = match severity {
        Severity::Critical | Severity::Error => "attention",
        Severity::Warning => "warning",
        Severity::Success => "good",
        Severity::Info => "accent",
    };
    Element::Container { style, bleed: true, items: vec![Element::TextBlock(block)] }
}

fn fact(label: &str, label_units_max: usize, value: &str, share: usize) -> Fact {
    Fact {
        title: visible(label, Lines::One, label_units_max / share.min(4)),
        value: visible(value, Lines::Many, VALUE_UNITS_MAX / share),
    }
}

fn small(text: &str) -> Element {
    Element::TextBlock(TextBlock {
        text: text.to_owned(),
        wrap: true,
        size: Some("Small"),
        is_subtle: true,
        ..TextBlock::default()
    })
}

/// Time (in the reader's zone), type, tenant, id.
fn origin(event: &Event) -> String {
    let tenant = event.tenant.as_deref().map(|tenant| format!(" · {}", text(tenant, Lines::One, 100))).unwrap_or_default();
    let (kind, id) = (text(&event.type_, Lines::One, 250), text(&event.id, Lines::One, 250));
    format!("{} · {kind}{tenant} · {id}", when(&event.timestamp))
}

/// Cards compute dates of the form `2026-01-28T10:30:45Z` only; anything else is shown as it is.
fn when(timestamp: &str) -> String {
    let whole = timestamp.split_once('.').map(|(seconds, _)| seconds).or_else(|| timestamp.strip_suffix('Z'));
    let shaped = |seconds: &&str| {
        let bytes = seconds.as_bytes();
        let mark =
            |at: usize| [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].iter().find(|(position, _)| *position == at);
        bytes.len() == 19
            && bytes.iter().enumerate().all(|(at, byte)| mark(at).map_or(byte.is_ascii_digit(), |(_, mark)| byte == mark))
    };
    match whole.filter(|_| timestamp.ends_with('Z')).filter(shaped) {
        Some(seconds) => format!("{{{{DATE({seconds}Z,SHORT)}}}} {{{{TIME({seconds}Z)}}}}"),
        None => text(timestamp, Lines::One, 60),
    }
}
