//! `slack`: events as messages of a Slack incoming webhook, in blocks. Owns Slack's limits and its escaping; refuses to
//! let an event's text be markup: mentions, links and channels in it stay text.

mod message;
mod render;

use serde::Deserialize;
use tenterhook_message::{
    Action, AssessmentOptions, BySeverity, Color, Layout, Link, Path, Rules, Severity, Template, ValueRule, check_links,
};
use tenterhook_transformer::{Description, Event, Outcome, Request, Transformer, export};

/// The transformer.
pub struct Slack;

/// What `transform = { use = "slack", options = { … } }` can say; `options.schema.json` is its description.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    channel: Option<String>,
    username: Option<String>,
    icon: Option<String>,
    title: Option<Template>,
    text: Option<Template>,
    fields: Option<Vec<Path>>,
    layout: Layout,
    link: Option<Template>,
    links: Vec<Link>,
    severity: Rules<Severity>,
    severity_from: Option<ValueRule<Severity>>,
    action_from: Option<ValueRule<Action>>,
    emoji: BySeverity<String>,
    colors: Option<BySeverity<Color>>,
    details: Option<bool>,
}

/// More would be no help to anyone, and a section holds them.
const LINKS_MAX: usize = 10;

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

impl Transformer for Slack {
    type Options = Options;

    fn describe() -> Description {
        Description {
            name: "slack".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Events as messages of a Slack incoming webhook".to_owned(),
            options_schema: include_str!("../options.schema.json").to_owned(),
        }
    }

    fn check(options: &Options) -> Result<(), String> {
        let is_blank = |text: &Option<String>| text.as_deref().is_some_and(tenterhook_message::blank);
        if is_blank(&options.channel) || is_blank(&options.username) {
            return Err("option `channel` or `username` is blank: leave it out for what the webhook was made with".to_owned());
        }
        if let Some(icon) = &options.icon {
            let emoji = icon.len() > 2 && icon.starts_with(':') && icon.ends_with(':');
            if !emoji && !icon.starts_with("https://") {
                return Err(format!(
                    "option `icon`: `{icon}` is neither an emoji such as `:bell:` nor the https URL of a picture"
                ));
            }
        }
        check_links(options.link.as_ref(), &options.links, LINKS_MAX)
    }

    fn transform(events: &[Event], options: &Options) -> Result<Outcome, String> {
        let message = match events {
            [event] => render::single(event, options),
            _ => render::digest(events, options),
        };
        let body = serde_json::to_string(&message).map_err(|error| format!("the message is no JSON: {error}"))?;
        Ok(Outcome::Request(Request::json(body)))
    }
}

export!(Slack, arena);

#[cfg(test)]
mod tests;
