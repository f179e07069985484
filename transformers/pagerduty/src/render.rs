//! From events to one request of the Events API v2.

use serde_json::value::RawValue;
use tenterhook_message::{
    Action, Batch, Content, Digest, IncidentKey, Lines, Severity, Style, Template, View, cut, incident_key, tidy,
};
use tenterhook_transformer::{Event, Level, Outcome, Request, log};

use crate::Options;
use crate::details::Details;
use crate::message::{Link, Message, Payload};

// <https://developer.pagerduty.com/docs/send-alert-event>
const SUMMARY_UNITS_MAX: usize = 1_024;
const MESSAGE_BYTES_MAX: usize = 512 * 1024;

/// The other texts have no documented limit; a line is enough.
const LINE_UNITS_MAX: usize = 255;

/// Everything but the details: summary, key, lines and links, at most six bytes for a character.
const FRAME_BYTES_MAX: usize = 80 * 1024;

/// A longer URL is not taken for a link.
const LINK_UNITS_MAX: usize = 2_048;

/// Keys of data that say where it happened, the best first.
const SOURCE_KEYS: [&str; 9] = ["source", "host", "hostname", "instance", "server", "service", "upstream", "route", "webhook"];
const COMPONENT_KEYS: [&str; 2] = ["component", "service"];

/// Kinds of events of a batch that the details name.
const DIGEST_GROUPS_MAX: usize = 50;

/// The incident of an event, or of several events of which it is the last.
pub fn single(event: &Event, batch: &[&Event], options: &Options) -> Result<Outcome, String> {
    let content = Content::new(event, &style(options));
    let action = content.action;
    if action == Action::Ignore {
        return Ok(Outcome::Drop(format!("`{}` neither triggers nor resolves an incident", event.type_)));
    }
    let mut details = Details::new(MESSAGE_BYTES_MAX - FRAME_BYTES_MAX);
    for (key, value) in [("event_id", &event.id), ("event_type", &event.type_)] {
        if content.view.get(key).is_none() {
            details.add_text(key, value);
        }
    }
    match &options.fields {
        Some(_) => content.fields.iter().for_each(|field| details.add_text(&field.label, &field.value)),
        None => details.add_all(&content.view),
    }
    let mut summary = summary(&content, options);
    if batch.len() > 1 {
        let digest = Digest::new(batch.iter().copied(), &style(options), DIGEST_GROUPS_MAX);
        let counts = digest.counts_line();
        details.add_text("batch", &counts);
        summary = format!("{} ({counts})", cut(&summary, SUMMARY_UNITS_MAX / 2));
    }
    let IncidentKey { text: key, warnings } = incident_key(&content.view, &options.key());
    warnings.iter().for_each(|warning| log(Level::Warn, warning));
    let links = links(&content);
    send(&content.view, options, Head { action, key, summary, severity: content.severity, links }, details)
}

/// A request can be about one incident only. Events of one incident become its last state; of several, the incidents that
/// are open at the end become one. Only if none is, there is nothing that one request could say.
pub fn digest(events: &[Event], options: &Options) -> Result<Outcome, String> {
    match Batch::of(events, &options.assessment(), &options.key()) {
        Batch::Nothing => Ok(Outcome::Drop(format!("none of the {} events triggers or resolves an incident", events.len()))),
        Batch::One { last, events } => single(last, &events, options),
        Batch::Ends(count) => Err(format!(
            "a batch resolves {count} incidents, and a request to PagerDuty can resolve one: remove `batch` from this webhook"
        )),
        Batch::Open { first, key } => {
            let view = View::new(first);
            let digest = Digest::new(events, &style(options), DIGEST_GROUPS_MAX);
            let mut details = Details::new(MESSAGE_BYTES_MAX - FRAME_BYTES_MAX);
            for group in &digest.groups {
                details.add_text(&group.sample.view.event.id, &format!("{}: {}", group.headline(), group.sample.line()));
            }
            let summary = format!("{}: {}", digest.title, digest.counts_line());
            let links = digest.groups.first().map(|group| links(&group.sample)).unwrap_or_default();
            send(&view, options, Head { action: Action::Trigger, key, summary, severity: digest.severity, links }, details)
        }
    }
}

/// Those that are short enough to be taken for links.
fn links(content: &Content<'_>) -> Vec<Link> {
    let fits = |(_, url): &(&str, &str)| url.len() <= LINK_UNITS_MAX;
    content.all_links().filter(fits).map(|(text, url)| Link { href: url.to_owned(), text: line(text) }).collect()
}

/// What a request says in one line.
struct Head {
    action: Action,
    key: String,
    summary: String,
    severity: Severity,
    links: Vec<Link>,
}

fn send(view: &View<'_>, options: &Options, head: Head, details: Details) -> Result<Outcome, String> {
    let render = |template: &Option<Template>| {
        template.as_ref().map(|template| line(&template.render(view))).filter(|text| !text.is_empty())
    };
    let first_of = |keys: &[&str]| keys.iter().find_map(|key| view.get(key).filter(|value| value.is_scalar())?.display());
    let source = render(&options.source)
        .or_else(|| first_of(&SOURCE_KEYS).map(|text| line(&text)).filter(|text| !text.is_empty()))
        .or_else(|| view.event.tenant.as_deref().map(line))
        .unwrap_or_else(|| "tenterhook".to_owned());
    let custom_details =
        RawValue::from_string(details.finish()).map_err(|error| format!("the event's data is no JSON: {error}"))?;
    let message = Message {
        routing_key: options.routing_key.as_deref(),
        event_action: head.action,
        dedup_key: head.key,
        client: "Tenterhook",
        client_url: head.links.first().map(|link| link.href.clone()),
        links: head.links,
        payload: Payload {
            summary: cut(&tidy(&head.summary, Lines::One), SUMMARY_UNITS_MAX).into_owned(),
            source,
            severity: head.severity.into(),
            timestamp: &view.event.timestamp,
            component: render(&options.component).or_else(|| first_of(&COMPONENT_KEYS).map(|text| line(&text))),
            group: render(&options.group),
            class: render(&options.class).unwrap_or_else(|| line(&view.event.type_)),
            custom_details,
        },
    };
    let body = serde_json::to_string(&message).map_err(|error| format!("the message is no JSON: {error}"))?;
    Ok(Outcome::Request(Request { url: options.url.clone(), ..Request::json(body) }))
}

/// The title of the options; else the type as words, with what the event says.
fn summary(content: &Content<'_>, options: &Options) -> String {
    let line = content.line();
    if options.title.is_some() || line.is_empty() { content.title.clone() } else { format!("{}: {line}", content.title) }
}

fn style(options: &Options) -> Style<'_> {
    Style {
        title: options.title.as_ref(),
        text: None,
        fields: options.fields.as_deref(),
        link: options.link.as_ref(),
        links: &options.links,
        assessment: options.assessment(),
        details: false,
        fields_max: if options.fields.is_some() { 100 } else { 4 },
        rest_bytes_max: 0,
    }
}

fn line(text: &str) -> String {
    cut(tidy(text, Lines::One).trim(), LINE_UNITS_MAX).into_owned()
}
