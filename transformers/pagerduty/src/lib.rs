//! `pagerduty`: events as incidents, by the Events API v2. Owns what triggers and what resolves, the key that both share,
//! and the API's limits; refuses to send what would page nobody or open an incident that nothing closes.

mod action;
mod details;
mod key;
mod message;
mod render;

use serde::Deserialize;
use tenterhook_message::{Path, Rules, Severity, Template, blank};
use tenterhook_transformer::{Description, Event, Outcome, Transformer, export};

use action::Action;

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
    severity: Rules<Severity>,
    fields: Option<Vec<Path>>,
    link: Option<Template>,
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
        match &options.link {
            Some(link) if !(link.starts_with("https://") || link.starts_with("http://")) => {
                Err("option `link` must begin with https:// or http://".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn transform(events: &[Event], options: &Options) -> Result<Outcome, String> {
        match events {
            [event] => render::single(event, options),
            _ => render::digest(events, options),
        }
    }
}

export!(PagerDuty);

#[cfg(test)]
mod tests;
