//! `envelope`: the event as JSON in another system's shape: fields renamed, picked, added and wrapped, and the shapes of known
//! systems as presets. Data stays byte for byte as it was published.

mod preset;
mod shape;
mod time;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use tenterhook_message::{Path, Template, View};
use tenterhook_transformer::{Description, Event, Outcome, Request, Transformer, export};

use preset::Preset;
use shape::Shape;
use time::Format;

/// The transformer.
pub struct Envelope;

/// What `transform = { use = "envelope", options = { … } }` can say; `options.schema.json` is its description.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    preset: Option<Preset>,
    pick: Option<Vec<Path>>,
    rename: BTreeMap<String, String>,
    add: BTreeMap<String, Added>,
    wrap: Option<String>,
    timestamp: Option<Format>,
    data_only: bool,
    batch_key: Option<String>,
}

/// A text with values of the event in it, or any JSON.
#[derive(Debug)]
enum Added {
    Text(Template),
    Json(Box<RawValue>),
}

impl<'de> Deserialize<'de> for Added {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if !raw.get().starts_with('"') {
            return Ok(Self::Json(raw));
        }
        let text: String = serde_json::from_str(raw.get()).map_err(serde::de::Error::custom)?;
        Template::parse(&text).map(Self::Text).map_err(serde::de::Error::custom)
    }
}

impl Transformer for Envelope {
    type Options = Options;

    fn describe() -> Description {
        Description {
            name: "envelope".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "The body in another system's shape: fields renamed, picked, added and wrapped".to_owned(),
            options_schema: include_str!("../options.schema.json").to_owned(),
        }
    }

    fn check(options: &Options) -> Result<(), String> {
        Shape::new(options).map(|_| ())
    }

    fn transform(events: &[Event], options: &Options) -> Result<Outcome, String> {
        let shape = Shape::new(options)?;
        let mut body = String::new();
        match (events, &options.batch_key) {
            ([event], None) => shape.write(&mut body, &View::new(event)),
            (_, key) => {
                if let Some(key) = key {
                    body.push('{');
                    tenterhook_message::write_string(&mut body, key);
                    body.push(':');
                }
                for (at, event) in events.iter().enumerate() {
                    body.push(if at == 0 { '[' } else { ',' });
                    shape.write(&mut body, &View::new(event));
                }
                body.push_str(if key.is_some() { "]}" } else { "]" });
            }
        }
        Ok(Outcome::Request(Request::json(body)))
    }
}

export!(Envelope, arena);

#[cfg(test)]
mod tests;
