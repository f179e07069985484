//! `teams`: events as Adaptive Cards for Microsoft Teams, posted to a webhook of Workflows. Owns the size that Teams takes
//! and the disarming of a card's Markdown.

mod card;
mod markdown;
mod render;

use serde::Deserialize;
use tenterhook_message::{Action, AssessmentOptions, BySeverity, Link, Path, Rules, Severity, Template, ValueRule, check_links};
use tenterhook_transformer::{Description, Event, Outcome, Request, Transformer, export};

/// The transformer.
pub struct Teams;

/// What `transform = { use = "teams", options = { … } }` can say; `options.schema.json` is its description.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    title: Option<Template>,
    text: Option<Template>,
    fields: Option<Vec<Path>>,
    link: Option<Template>,
    links: Vec<Link>,
    severity: Rules<Severity>,
    severity_from: Option<ValueRule<Severity>>,
    action_from: Option<ValueRule<Action>>,
    emoji: BySeverity<String>,
    details: Option<bool>,
    full_width: bool,
}

/// Teams shows six actions of a card; what is more goes into a menu.
const LINKS_MAX: usize = 6;

impl Options {
    fn assessment(&self) -> AssessmentOptions<'_> {
        AssessmentOptions {
            severity: &self.severity,
            severity_from: self.severity_from.as_ref(),
            action_from: self.action_from.as_ref(),
            ..AssessmentOptions::NONE
        }
    }
}

impl Transformer for Teams {
    type Options = Options;

    fn describe() -> Description {
        Description {
            name: "teams".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Events as Adaptive Cards for Microsoft Teams, through Workflows".to_owned(),
            options_schema: include_str!("../options.schema.json").to_owned(),
        }
    }

    fn check(options: &Options) -> Result<(), String> {
        check_links(options.link.as_ref(), &options.links, LINKS_MAX)
    }

    fn transform(events: &[Event], options: &Options) -> Result<Outcome, String> {
        render::message(events, options).map(|body| Outcome::Request(Request::json(body)))
    }
}

export!(Teams, arena);

#[cfg(test)]
mod tests;
