//! What a message says about an event, before any target's markup: title, lead, fields, the rest. Plain text; the
//! target's module escapes and cuts.

use std::borrow::Cow;

use tenterhook_transformer::Event;

use crate::link::{Link, RenderedLink, main_link, named_link_keys, other_links};
use crate::text::{Lines, blank, cut, humanize, tidy, units};
use crate::{Action, Assessment, AssessmentOptions, Json, Member, Path, Severity, Template, View};

/// The options about content that every message transformer has.
#[derive(Debug, Clone, Copy)]
pub struct Style<'o> {
    pub title: Option<&'o Template>,
    /// Instead of the sentence that the event brings along.
    pub text: Option<&'o Template>,
    pub fields: Option<&'o [Path]>,
    pub link: Option<&'o Template>,
    pub links: &'o [Link],
    pub assessment: AssessmentOptions<'o>,
    /// Whether to show what is not a field as a code block.
    pub details: bool,
    /// The most fields; what is more goes to the rest.
    pub fields_max: usize,
    /// About the most bytes of the rest: what will be cut anyway is not made.
    pub rest_bytes_max: usize,
}

/// One event, ready to be put into a message.
#[derive(Debug, Clone)]
pub struct Content<'a> {
    pub view: View<'a>,
    pub severity: Severity,
    pub action: Action,
    /// Never blank.
    pub title: String,
    /// The sentence of the options, or that the event brings along: its `message`, `reason`, …
    pub lead: Option<Cow<'a, str>>,
    pub fields: Vec<Field<'a>>,
    /// Pretty-printed JSON of what is in neither lead nor fields; empty when that is nothing.
    pub rest: String,
    pub link: Option<String>,
    /// The links beside that one.
    pub links: Vec<RenderedLink>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    pub label: String,
    pub value: Cow<'a, str>,
}

/// Keys that hold a sentence for people, the best first.
const LEAD_KEYS: [&str; 7] = ["message", "summary", "reason", "error", "description", "detail", "text"];

/// A string that is longer than this, or has several lines, is no field: beside others it would be unreadable.
const FIELD_UNITS_MAX: usize = 200;

impl<'a> Content<'a> {
    pub fn new(event: &'a Event, style: &Style<'_>) -> Self {
        let view = View::new(event);
        let Assessment { severity, action } = Assessment::of(&view, &style.assessment);
        let (link, link_key) = main_link(&view, style.link);
        let mut content = Self {
            severity,
            action,
            title: title(&view, style.title),
            lead: None,
            fields: Vec::new(),
            rest: String::new(),
            link,
            links: other_links(&view, style.links),
            view,
        };
        match style.fields {
            Some(paths) => content.take_named_fields(paths, style),
            None => content.take_all_fields(style, link_key),
        }
        if let Some(text) = style.text {
            let text = text.render(&content.view);
            content.lead = (!blank(&text)).then(|| Cow::Owned(tidy(&text, Lines::Many).into_owned()));
        }
        content
    }

    /// Exactly those fields; then the rest is the data as a whole only where no field shows it.
    fn take_named_fields(&mut self, paths: &[Path], style: &Style<'_>) {
        self.fields = paths
            .iter()
            .filter_map(|path| Some(Field { label: humanize(path.name()), value: tidy_cow(self.view.value(path)?) }))
            .take(style.fields_max)
            .collect();
        let lead_key = self.take_lead(|key| paths.iter().any(|path| path.is_member(key)));
        if style.details {
            let shown = |key: &str| lead_key.is_some_and(|lead| lead == key) || paths.iter().any(|path| path.is_member(key));
            self.rest = rest(&self.view, style, shown);
        }
    }

    /// The scalars among the data's keys, in the order of the data.
    fn take_all_fields(&mut self, style: &Style<'_>, link_key: Option<&'static str>) {
        let lead_key = self.take_lead(|_| false);
        let named_links: Vec<&'static str> =
            if style.links.is_empty() { named_link_keys(&self.view).collect() } else { Vec::new() };
        // What is a link already needs no field.
        let mut shown: Vec<&str> = lead_key.into_iter().chain(link_key).chain(named_links).collect();
        for Member { key, value, .. } in &self.view.members {
            if self.fields.len() == style.fields_max {
                break;
            }
            if !value.is_scalar() || value.text().len() > 4 * FIELD_UNITS_MAX || shown.contains(&key.as_ref()) {
                continue;
            }
            // A null says nothing that is worth a field, nor a line of the rest.
            let Some(text) = value.display() else {
                shown.push(key);
                continue;
            };
            if units(&text) <= FIELD_UNITS_MAX && !text.contains('\n') {
                self.fields.push(Field { label: humanize(key), value: tidy_cow(text) });
                shown.push(key);
            }
        }
        if style.details {
            self.rest = rest(&self.view, style, |key| shown.contains(&key));
        }
    }

    /// Finds the lead among the data's keys that are not `used`, and says under which it was.
    fn take_lead(&mut self, used: impl Fn(&str) -> bool) -> Option<&'static str> {
        LEAD_KEYS.into_iter().filter(|key| !used(key)).find(|key| {
            let text = self.view.get(key).and_then(Json::as_string);
            self.lead = text.filter(|text| !blank(text)).map(tidy_cow);
            self.lead.is_some()
        })
    }

    /// `link` under the name "Open", and the others.
    pub fn all_links(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.link.iter().map(|url| ("Open", url.as_str()));
        own.chain(self.links.iter().map(|link| (link.text.as_str(), link.url.as_str())))
    }

    /// One line that stands for the event where there is no room for more: its lead, or its first fields.
    pub fn line(&self) -> String {
        if let Some(lead) = &self.lead {
            return tidy(lead, Lines::One).into_owned();
        }
        self.fields.iter().take(4).map(|field| format!("{}: {}", field.label, field.value)).collect::<Vec<_>>().join(" · ")
    }
}

/// Pretty-printed JSON of the members that are not `shown`, or of data that has none.
fn rest(view: &View<'_>, style: &Style<'_>, shown: impl Fn(&str) -> bool) -> String {
    let mut out = String::new();
    if view.members.is_empty() {
        if !matches!(view.data.text(), "" | "null" | "{}") {
            view.data.pretty(&mut out, 0, style.rest_bytes_max);
        }
        return out;
    }
    for Member { raw_key, value, .. } in view.members.iter().filter(|member| !shown(&member.key)) {
        if out.len() > style.rest_bytes_max {
            break;
        }
        out.push_str(if out.is_empty() { "{\n  " } else { ",\n  " });
        out.push_str(&cut(raw_key, FIELD_UNITS_MAX));
        out.push_str(": ");
        value.pretty(&mut out, 1, style.rest_bytes_max);
    }
    if !out.is_empty() {
        out.push_str("\n}");
    }
    out
}

fn title(view: &View<'_>, template: Option<&Template>) -> String {
    let rendered = template.map(|template| template.render(view)).unwrap_or_default();
    let rendered = tidy(rendered.trim(), Lines::One).into_owned();
    if !blank(&rendered) {
        return rendered;
    }
    let words = humanize(&view.event.type_);
    if blank(&words) { "Event".to_owned() } else { words }
}

fn tidy_cow(text: Cow<'_, str>) -> Cow<'_, str> {
    match tidy(&text, Lines::Many) {
        Cow::Borrowed(_) => text,
        Cow::Owned(tidied) => Cow::Owned(tidied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::testing::event as event_of;

    fn event(data: &str) -> Event {
        event_of("circuit_breaker.opened", data)
    }

    fn style() -> Style<'static> {
        Style {
            title: None,
            text: None,
            fields: None,
            link: None,
            links: &[],
            assessment: AssessmentOptions::NONE,
            details: true,
            fields_max: 3,
            rest_bytes_max: 3_000,
        }
    }

    #[test]
    fn scalars_are_fields_the_message_leads_and_the_rest_is_json() {
        let event =
            event(r#"{"service":"api","message":"it broke","errorRate":0.75,"gone":null,"last":{"a":1},"x":true,"y":"z"}"#);
        let content = Content::new(&event, &style());
        assert_eq!(content.title, "Circuit breaker opened");
        assert_eq!(content.lead.as_deref(), Some("it broke"));
        let fields: Vec<_> = content.fields.iter().map(|f| (f.label.as_str(), f.value.as_ref())).collect();
        assert_eq!(fields, [("Service", "api"), ("Error rate", "0.75"), ("X", "true")]);
        assert_eq!(content.rest, "{\n  \"last\": {\n    \"a\": 1\n  },\n  \"y\": \"z\"\n}");
    }

    #[test]
    fn named_fields_are_taken_in_their_order() {
        let event = event(r#"{"a":1,"b":{"c":"deep"},"d":2}"#);
        let paths = [Path::parse("data.b.c").unwrap(), Path::parse("data.a").unwrap(), Path::parse("data.nope").unwrap()];
        let content = Content::new(&event, &Style { fields: Some(&paths), ..style() });
        let fields: Vec<_> = content.fields.iter().map(|f| (f.label.as_str(), f.value.as_ref())).collect();
        assert_eq!(fields, [("C", "deep"), ("A", "1")]);
        assert_eq!(content.rest, "{\n  \"b\": {\n    \"c\": \"deep\"\n  },\n  \"d\": 2\n}");
    }

    #[test]
    fn a_text_of_the_options_leads_in_place_of_the_event_s() {
        let event = event(r#"{"message":"it broke","x":1}"#);
        let text = Template::parse("x is {data.x}").unwrap();
        assert_eq!(Content::new(&event, &Style { text: Some(&text), ..style() }).lead.as_deref(), Some("x is 1"));
        let empty = Template::parse("{data.nope}").unwrap();
        assert_eq!(Content::new(&event, &Style { text: Some(&empty), ..style() }).lead, None);
    }

    #[test]
    fn data_that_is_no_object_is_the_rest() {
        assert_eq!(Content::new(&event("[1,2]"), &style()).rest, "[\n  1,\n  2\n]");
        assert_eq!(Content::new(&event("\"text\""), &style()).rest, "\"text\"");
        assert_eq!(Content::new(&event("null"), &style()).rest, "");
    }

    #[test]
    fn an_address_of_the_event_is_its_link_and_no_field() {
        let event = event(r#"{"service":"api","url":"https://x.test/1","runbook_url":"https://wiki.test/r"}"#);
        let content = Content::new(&event, &style());
        let links: Vec<(&str, &str)> = content.all_links().collect();
        assert_eq!(links, [("Open", "https://x.test/1"), ("Runbook", "https://wiki.test/r")]);
        let labels: Vec<&str> = content.fields.iter().map(|field| field.label.as_str()).collect();
        assert_eq!(labels, ["Service"]);
        assert_eq!(content.rest, "");
    }

    #[test]
    fn what_resolves_is_green() {
        let mut resolved = event(r#"{"severity":"critical"}"#);
        resolved.type_ = "x.resolved".to_owned();
        let content = Content::new(&resolved, &style());
        assert_eq!((content.severity, content.action), (Severity::Success, Action::Resolve));
    }
}
