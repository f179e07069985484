//! From events to one request of the Events API v2.

use serde_json::value::RawValue;
use tenterhook_message::{Content, Digest, Lines, Severity, Style, Template, View, cut, tidy};
use tenterhook_transformer::{Event, Outcome, Request};

use crate::action::{self, Action};
use crate::details::Details;
use crate::message::{Link, Message, Payload};
use crate::{Options, key};

// <https://developer.pagerduty.com/docs/send-alert-event>
const SUMMARY_UNITS_MAX: usize = 1_024;
const MESSAGE_BYTES_MAX: usize = 512 * 1024;

/// The other texts have no documented limit; a line is enough.
const LINE_UNITS_MAX: usize = 255;

/// Everything but the details: summary, key, lines and links, at most six bytes for a character.
const FRAME_BYTES_MAX: usize = 40 * 1024;

/// A longer URL is not taken for a link.
const LINK_UNITS_MAX: usize = 2_048;

/// Keys of data that say where it happened, the best first.
const SOURCE_KEYS: [&str; 8] = ["source", "host", "hostname", "instance", "server", "service", "upstream", "route"];
const COMPONENT_KEYS: [&str; 2] = ["component", "service"];

/// Events of a batch that the details name.
const DIGEST_EVENTS_MAX: usize = 50;

pub fn single(event: &Event, options: &Options) -> Result<Outcome, String> {
    let action = action::of(&event.type_, &options.actions);
    if action == Action::Ignore {
        return Ok(Outcome::Drop(format!("`{}` neither triggers nor resolves an incident", event.type_)));
    }
    let content = Content::new(event, &style(options));
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
    let summary = summary(&content, options);
    let key = key::of(&content.view, options);
    send(&content.view, options, Head { action, key, summary, severity: content.severity }, details)
}

/// A request can be about one incident only. Events of one incident become its last state; of several, the incidents that
/// are open at the end become one. Only if none is, there is nothing that one request could say.
pub fn digest(events: &[Event], options: &Options) -> Result<Outcome, String> {
    let mut incidents: Vec<(String, Action, &Event)> = Vec::new();
    for event in events {
        let action = action::of(&event.type_, &options.actions);
        if action == Action::Ignore {
            continue;
        }
        let key = key::of(&View::new(event), options);
        match incidents.iter_mut().find(|(known, ..)| *known == key) {
            Some(known) => (known.1, known.2) = (action, event),
            None => incidents.push((key, action, event)),
        }
    }
    match incidents.as_slice() {
        [] => return Ok(Outcome::Drop(format!("none of the {} events triggers or resolves an incident", events.len()))),
        [(_, _, event)] => return single(event, options),
        _ => {}
    }
    let open: Vec<&(String, Action, &Event)> = incidents.iter().filter(|(_, action, _)| *action == Action::Trigger).collect();
    match open.as_slice() {
        [] => Err(format!(
            "a batch resolves {} incidents, and a request to PagerDuty can resolve one: remove `batch` from this webhook",
            incidents.len()
        )),
        [(_, _, event)] => single(event, options),
        [(_, _, first), ..] => {
            let view = View::new(first);
            let digest = Digest::new(events, &style(options), DIGEST_EVENTS_MAX);
            let mut details = Details::new(MESSAGE_BYTES_MAX - FRAME_BYTES_MAX);
            for content in &digest.shown {
                details.add_text(&content.view.event.id, &format!("{}: {}", content.title, content.line()));
            }
            let mut keys: Vec<&str> = open.iter().map(|(key, ..)| key.as_str()).collect();
            keys.sort_unstable();
            let summary = format!("{}: {}", digest.title, digest.counts_line());
            let key = key::bounded(format!("batch|{}", keys.join("|")));
            send(&view, options, Head { action: Action::Trigger, key, summary, severity: digest.severity }, details)
        }
    }
}

/// What a request says in one line.
struct Head {
    action: Action,
    key: String,
    summary: String,
    severity: Severity,
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
    let link = options.link.as_ref().map(|link| link.render_url(view)).filter(|link| link.len() <= LINK_UNITS_MAX);
    let custom_details =
        RawValue::from_string(details.finish()).map_err(|error| format!("the event's data is no JSON: {error}"))?;
    let message = Message {
        routing_key: options.routing_key.as_deref(),
        event_action: head.action,
        dedup_key: head.key,
        client: "Tenterhook",
        client_url: link.clone(),
        links: link.map(|href| Link { href, text: "Open" }).into_iter().collect(),
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
        fields: options.fields.as_deref(),
        link: None,
        severity: &options.severity,
        details: false,
        fields_max: if options.fields.is_some() { 100 } else { 4 },
        rest_bytes_max: 0,
    }
}

fn line(text: &str) -> String {
    cut(tidy(text, Lines::One).trim(), LINE_UNITS_MAX).into_owned()
}
