//! `discord`: events as embeds of a Discord webhook. Owns Discord's limits and the disarming of its markup; refuses to let
//! an event mention anyone.

mod markdown;
mod message;
mod render;

use serde::Deserialize;
use tenterhook_message::{
    Action, AssessmentOptions, BySeverity, Color, Layout, Link, Path, Rules, Severity, Template, ValueRule, blank, check_links,
    units,
};
use tenterhook_transformer::{Description, Event, Outcome, Request, Transformer, export};

/// The transformer.
pub struct Discord;

/// What `transform = { use = "discord", options = { … } }` can say; `options.schema.json` is its description.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
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
    emoji: Option<BySeverity<String>>,
    colors: BySeverity<Color>,
    details: Option<bool>,
}

/// They share the description with everything else.
const LINKS_MAX: usize = 5;

/// <https://docs.discord.com/developers/resources/user#usernames-and-nicknames>
const USERNAME_UNITS_MAX: usize = 80;

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

impl Transformer for Discord {
    type Options = Options;

    fn describe() -> Description {
        Description {
            name: "discord".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Events as embeds of a Discord webhook".to_owned(),
            options_schema: include_str!("../options.schema.json").to_owned(),
        }
    }

    fn check(options: &Options) -> Result<(), String> {
        if let Some(username) = &options.username {
            let lower = username.to_lowercase();
            if blank(username) || units(username) > USERNAME_UNITS_MAX {
                return Err(format!("option `username` must have 1 to {USERNAME_UNITS_MAX} characters that can be seen"));
            }
            if let Some(word) = ["discord", "clyde", "```"].into_iter().find(|word| lower.contains(word)) {
                return Err(format!("option `username`: Discord refuses names that contain `{word}`"));
            }
            if matches!(lower.trim(), "everyone" | "here") {
                return Err(format!("option `username`: Discord refuses the name `{username}`"));
            }
        }
        if options.icon.as_deref().is_some_and(|icon| !icon.starts_with("https://")) {
            return Err("option `icon` must be the https URL of a picture".to_owned());
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

export!(Discord, arena);

#[cfg(test)]
mod tests;
