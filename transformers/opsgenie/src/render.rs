//! From events to one request of the Alert API.

use std::collections::BTreeMap;

use serde::Serialize;
use tenterhook_message::{
    Action, Batch, Content, Digest, IncidentKey, Lines, Style, Template, blank, cut, incident_key, tidy, units,
};
use tenterhook_transformer::{Event, Level, Outcome, Request, log};

use crate::Options;
use crate::alert::{Create, Note, Priority};

// <https://docs.opsgenie.com/docs/alert-api#create-alert>
const MESSAGE_UNITS_MAX: usize = 130;
const DESCRIPTION_UNITS_MAX: usize = 15_000;
const DETAILS_UNITS_MAX: usize = 8_000;
const ENTITY_UNITS_MAX: usize = 512;
const SOURCE_UNITS_MAX: usize = 100;
const TAG_UNITS_MAX: usize = 50;

/// The note may have 25,000; it says in a line why.
const NOTE_UNITS_MAX: usize = 1_000;

const FIELDS_MAX: usize = 50;
const VALUE_UNITS_MAX: usize = 1_000;

/// Kinds of events of a batch that the description names.
const DIGEST_GROUPS_MAX: usize = 50;

/// Keys of data that say what is affected, the best first.
const ENTITY_KEYS: [&str; 10] =
    ["entity", "service", "component", "host", "hostname", "instance", "server", "upstream", "route", "webhook"];

const ALERTS: &str = "/v2/alerts";

/// The alert of an event, or of several events of which it is the last.
pub fn single(event: &Event, batch: &[&Event], options: &Options) -> Result<Outcome, String> {
    let content = Content::new(event, &style(options));
    if content.action == Action::Ignore {
        return Ok(Outcome::Drop(format!("`{}` neither opens nor closes an alert", event.type_)));
    }
    let IncidentKey { text: alias, warnings } = incident_key(&content.view, &options.key());
    warnings.iter().for_each(|warning| log(Level::Warn, warning));
    match content.action {
        Action::Resolve => send(options, &at(&alias, "close"), &note(&content, options)),
        Action::Acknowledge => send(options, &at(&alias, "acknowledge"), &note(&content, options)),
        Action::Trigger | Action::Ignore => {
            let mut alert = create(&content, alias, options);
            if batch.len() > 1 {
                let counts = Digest::new(batch.iter().copied(), &style(options), DIGEST_GROUPS_MAX).counts_line();
                let gap = if alert.description.is_empty() { "" } else { "\n\n" };
                alert.description = cut(&format!("{counts}{gap}{}", alert.description), DESCRIPTION_UNITS_MAX).into_owned();
            }
            send(options, ALERTS, &alert)
        }
    }
}

/// A request can be about one alert only.
pub fn digest(events: &[Event], options: &Options) -> Result<Outcome, String> {
    match Batch::of(events, &options.assessment(), &options.key()) {
        Batch::Nothing => Ok(Outcome::Drop(format!("none of the {} events opens or closes an alert", events.len()))),
        Batch::One { last, events } => single(last, &events, options),
        Batch::Ends(count) => Err(format!(
            "a batch closes {count} alerts, and a request to Opsgenie can close one: remove `batch` from this webhook"
        )),
        Batch::Open { first, key } => {
            let digest = Digest::new(events, &style(options), DIGEST_GROUPS_MAX);
            let content = Content::new(first, &style(options));
            let lines: Vec<String> =
                digest.groups.iter().map(|group| format!("{}: {}", group.headline(), group.sample.line())).collect();
            let alert = Create {
                message: line(&format!("{}: {}", digest.title, digest.counts_line()), MESSAGE_UNITS_MAX),
                description: cut(&lines.join("\n"), DESCRIPTION_UNITS_MAX).into_owned(),
                details: BTreeMap::new(),
                priority: Priority::of(digest.severity, &options.priorities),
                ..create(&content, key, options)
            };
            send(options, ALERTS, &alert)
        }
    }
}

fn create<'o>(content: &Content<'_>, alias: String, options: &'o Options) -> Create<'o> {
    let view = &content.view;
    let own = |template: &Option<Template>, units_max: usize| {
        template.as_ref().map(|template| line(&template.render(view), units_max)).filter(|text| !blank(text))
    };
    let entity = ENTITY_KEYS.iter().find_map(|key| view.get(key).filter(|value| value.is_scalar())?.display());
    let tags = options.tags.iter().map(|tag| line(&tag.render(view), TAG_UNITS_MAX)).filter(|tag| !blank(tag));
    Create {
        message: line(&content.title, MESSAGE_UNITS_MAX),
        alias,
        description: description(content),
        responders: &options.responders,
        tags: tags.collect(),
        details: details(content),
        entity: own(&options.entity, ENTITY_UNITS_MAX)
            .or_else(|| entity.map(|text| line(&text, ENTITY_UNITS_MAX)).filter(|text| !blank(text))),
        source: own(&options.source, SOURCE_UNITS_MAX).unwrap_or_else(|| "Tenterhook".to_owned()),
        priority: Priority::of(content.severity, &options.priorities),
    }
}

/// The lead, the links, and what is in no detail, as JSON.
fn description(content: &Content<'_>) -> String {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(content.lead.as_deref().map(|lead| lead.trim().to_owned()));
    parts.extend(content.all_links().map(|(text, url)| format!("{}: {url}", tidy(text, Lines::One))));
    if !content.rest.is_empty() {
        parts.push(tidy(&content.rest, Lines::Many).into_owned());
    }
    cut(&parts.join("\n\n"), DESCRIPTION_UNITS_MAX).into_owned()
}

/// Names and values, as many as there is room for.
fn details(content: &Content<'_>) -> BTreeMap<String, String> {
    let event = content.view.event;
    let mut all = vec![("event_id".to_owned(), event.id.clone()), ("event_type".to_owned(), event.type_.clone())];
    all.push(("timestamp".to_owned(), event.timestamp.clone()));
    all.extend(event.tenant.iter().map(|tenant| ("tenant".to_owned(), line(tenant, 200))));
    for field in &content.fields {
        all.push((line(&field.label, 200), cut(&field.value, VALUE_UNITS_MAX).into_owned()));
    }
    let mut room = DETAILS_UNITS_MAX;
    let mut details = BTreeMap::new();
    for (key, value) in all {
        let size = units(&key) + units(&value);
        if size <= room && !blank(&key) {
            room -= size;
            details.insert(key, value);
        }
    }
    details
}

fn note(content: &Content<'_>, options: &Options) -> Note {
    let said = content.line();
    let note = if said.is_empty() { content.title.clone() } else { format!("{}: {said}", content.title) };
    let source = options.source.as_ref().map(|source| line(&source.render(&content.view), SOURCE_UNITS_MAX));
    Note {
        source: source.filter(|text| !blank(text)).unwrap_or_else(|| "Tenterhook".to_owned()),
        note: cut(&tidy(&note, Lines::One), NOTE_UNITS_MAX).into_owned(),
    }
}

/// Where an alert is found by its alias.
fn at(alias: &str, verb: &str) -> String {
    let mut path = format!("{ALERTS}/");
    for byte in alias.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("{path}/{verb}?identifierType=alias")
}

fn send(options: &Options, url: &str, body: &impl Serialize) -> Result<Outcome, String> {
    let body = serde_json::to_string(body).map_err(|error| format!("the alert is no JSON: {error}"))?;
    let mut request = Request { url: Some(url.to_owned()), ..Request::json(body) };
    if let Some(key) = &options.api_key {
        request = request.header("authorization", format!("GenieKey {key}"));
    }
    Ok(Outcome::Request(request))
}

fn style(options: &Options) -> Style<'_> {
    Style {
        title: options.title.as_ref(),
        text: options.text.as_ref(),
        fields: options.fields.as_deref(),
        link: options.link.as_ref(),
        links: &options.links,
        assessment: options.assessment(),
        details: true,
        fields_max: FIELDS_MAX,
        rest_bytes_max: 3 * DESCRIPTION_UNITS_MAX,
    }
}

fn line(text: &str, units_max: usize) -> String {
    cut(tidy(text, Lines::One).trim(), units_max).into_owned()
}
