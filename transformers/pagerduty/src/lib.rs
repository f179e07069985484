//! `pagerduty`: events as incidents, by the Events API v2. Owns what triggers and what resolves, the key that both share,
//! and the API's limits; refuses to send what would page nobody or open an incident that nothing closes.

mod details;
mod message;
mod render;

use serde::Deserialize;
use tenterhook_message::{
    Action, AssessmentOptions, KeyOptions, Link, Path, Rules, Severity, Template, ValueRule, blank, check_links,
};
use tenterhook_transformer::{Description, Event, Outcome, Transformer, export};

/// The transformer.
pub struct PagerDuty;

/// What `transform = { use = "pagerduty", options = { … } }` can say; `options.schema.json` is its description.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    routing_key: Option<String>,
    url: Option<String>,
    title: Option<Template>,
    source: Option<Template>,
    component: Option<Template>,
    group: Option<Template>,
    class: Option<Template>,
    dedup_key: Option<Template>,
    dedup_fields: Option<Vec<Path>>,
    actions: Rules<Action>,
    action_from: Option<ValueRule<Action>>,
    severity: Rules<Severity>,
    severity_from: Option<ValueRule<Severity>>,
    fields: Option<Vec<Path>>,
    link: Option<Template>,
    links: Vec<Link>,
}

/// <https://developer.pagerduty.com/docs/send-alert-event>
const KEY_UNITS_MAX: usize = 255;

/// A responder reads no more.
const LINKS_MAX: usize = 10;

impl Options {
    fn assessment(&self) -> AssessmentOptions<'_> {
        AssessmentOptions {
            severity: &self.severity,
            severity_from: self.severity_from.as_ref(),
            actions: &self.actions,
            action_from: self.action_from.as_ref(),
        }
    }

    fn key(&self) -> KeyOptions<'_> {
        KeyOptions {
            template: self.dedup_key.as_ref(),
            fields: self.dedup_fields.as_deref(),
            template_option: "dedup_key",
            fields_option: "dedup_fields",
            units_max: KEY_UNITS_MAX,
        }
    }
}

/// An integration key: 32 letters and digits.
const ROUTING_KEY_LEN: usize = 32;

impl Transformer for PagerDuty {
    type Options = Options;

    fn describe() -> Description {
        Description {
            name: "pagerduty".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Events as PagerDuty incidents: triggers and resolves (Events API v2)".to_owned(),
            options_schema: include_str!("../options.schema.json").to_owned(),
        }
    }

    fn check(options: &Options) -> Result<(), String> {
        match &options.routing_key {
            Some(key) if key.len() != ROUTING_KEY_LEN || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                // A credential: its length helps, its text does not belong into an error.
                return Err(format!(
                    "option `routing_key` has {} characters; an integration key of PagerDuty has {ROUTING_KEY_LEN} letters and digits",
                    key.chars().count()
                ));
            }
            None if options.url.is_none() => {
                return Err(
                    "the option `routing_key` is required: the integration key of a PagerDuty service (Events API v2)".to_owned()
                );
            }
            _ => {}
        }
        if options.url.as_deref().is_some_and(|url| blank(url) || !(url.starts_with("https://") || url.starts_with('/'))) {
            return Err("option `url` must be an https URL of the webhook's own origin, or a path in it".to_owned());
        }
        if options.dedup_key.is_some() && options.dedup_fields.is_some() {
            return Err("options `dedup_key` and `dedup_fields` exclude each other: the template is the whole key".to_owned());
        }
        check_links(options.link.as_ref(), &options.links, LINKS_MAX)
    }

    fn transform(events: &[Event], options: &Options) -> Result<Outcome, String> {
        match events {
            [event] => render::single(event, &[], options),
            _ => render::digest(events, options),
        }
    }
}

export!(PagerDuty, arena);

#[cfg(test)]
mod tests;
