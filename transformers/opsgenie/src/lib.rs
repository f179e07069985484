//! `opsgenie`: events as alerts, by the Alert API. Owns what opens, acknowledges and closes an alert, the alias that these
//! share, and the API's limits.

mod alert;
mod render;

use serde::Deserialize;
use tenterhook_message::{
    Action, AssessmentOptions, BySeverity, KeyOptions, Link, Path, Rules, Severity, Template, ValueRule, blank, check_links,
};
use tenterhook_transformer::{Description, Event, Outcome, Transformer, export};

use alert::{Priority, Responder};

/// The transformer.
pub struct Opsgenie;

/// What `transform = { use = "opsgenie", options = { … } }` can say; `options.schema.json` is its description.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    api_key: Option<String>,
    title: Option<Template>,
    text: Option<Template>,
    fields: Option<Vec<Path>>,
    link: Option<Template>,
    links: Vec<Link>,
    alias: Option<Template>,
    alias_fields: Option<Vec<Path>>,
    actions: Rules<Action>,
    action_from: Option<ValueRule<Action>>,
    severity: Rules<Severity>,
    severity_from: Option<ValueRule<Severity>>,
    priorities: BySeverity<Priority>,
    responders: Vec<Responder>,
    tags: Vec<Template>,
    entity: Option<Template>,
    source: Option<Template>,
}

// <https://docs.opsgenie.com/docs/alert-api#create-alert>
const ALIAS_UNITS_MAX: usize = 512;
const TAGS_MAX: usize = 20;
const RESPONDERS_MAX: usize = 50;

/// They are part of the description.
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
            template: self.alias.as_ref(),
            fields: self.alias_fields.as_deref(),
            template_option: "alias",
            fields_option: "alias_fields",
            units_max: ALIAS_UNITS_MAX,
        }
    }
}

impl Transformer for Opsgenie {
    type Options = Options;

    fn describe() -> Description {
        Description {
            name: "opsgenie".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Events as Opsgenie alerts: created, acknowledged and closed by their alias".to_owned(),
            options_schema: include_str!("../options.schema.json").to_owned(),
        }
    }

    fn check(options: &Options) -> Result<(), String> {
        // A credential: it is not shown.
        if options.api_key.as_deref().is_some_and(|key| blank(key) || !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err("option `api_key` must be the key of an API integration of Opsgenie: letters, digits and -".to_owned());
        }
        if options.alias.is_some() && options.alias_fields.is_some() {
            return Err("options `alias` and `alias_fields` exclude each other: the template is the whole alias".to_owned());
        }
        for (name, count, max) in
            [("tags", options.tags.len(), TAGS_MAX), ("responders", options.responders.len(), RESPONDERS_MAX)]
        {
            if count > max {
                return Err(format!("option `{name}` has {count}, {max} are allowed"));
            }
        }
        options.responders.iter().try_for_each(Responder::check)?;
        check_links(options.link.as_ref(), &options.links, LINKS_MAX)
    }

    fn transform(events: &[Event], options: &Options) -> Result<Outcome, String> {
        match events {
            [event] => render::single(event, &[], options),
            _ => render::digest(events, options),
        }
    }
}

export!(Opsgenie, arena);

#[cfg(test)]
mod tests;
