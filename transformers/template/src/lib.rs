//! `template`: the request from MiniJinja templates in the configuration, without a build step. Owns the fuel that bounds a
//! template, the spelling of an event's numbers, and the escaping that its content type asks for; refuses a JSON body that
//! is none.

mod document;
mod output;
mod render;
mod structure;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tenterhook_transformer::{Description, Event, Outcome, Transformer, export};

/// The transformer.
pub struct Template;

/// What `transform = { use = "template", options = { … } }` can say; `options.schema.json` is its description.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    text: Option<String>,
    json: Option<Value>,
    content_type: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    url: Option<String>,
    method: Option<String>,
    #[serde(default)]
    strict: bool,
    #[serde(default = "fuel_usual")]
    fuel: u64,
}

/// About as many steps; a template of a screen over an event of 64 KB takes a tenth.
fn fuel_usual() -> u64 {
    200_000
}

/// At some 50 steps a microsecond, what the usual limit of time has room for.
const FUEL_MAX: u64 = 5_000_000;

impl Transformer for Template {
    type Options = Options;

    fn describe() -> Description {
        Description {
            name: "template".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "The body from a MiniJinja template in the configuration: text or JSON".to_owned(),
            options_schema: include_str!("../options.schema.json").to_owned(),
        }
    }

    fn check(options: &Options) -> Result<(), String> {
        if options.text.is_some() == options.json.is_some() {
            return Err("exactly one of the options `text` (a template) and `json` (a table of templates) is needed".to_owned());
        }
        if !(1..=FUEL_MAX).contains(&options.fuel) {
            return Err(format!("option `fuel` is {}, 1 to {FUEL_MAX} are allowed", options.fuel));
        }
        if options
            .url
            .as_deref()
            .is_some_and(|url| !(url.starts_with('/') || url.starts_with("https://") || url.starts_with("http://")))
        {
            return Err("option `url` must be a path (`/alerts/{{ data.id }}`) or a URL of the webhook's own origin".to_owned());
        }
        render::check(options)
    }

    fn transform(events: &[Event], options: &Options) -> Result<Outcome, String> {
        render::request(events, options).map(Outcome::Request)
    }
}

export!(Template);

#[cfg(test)]
mod tests;
