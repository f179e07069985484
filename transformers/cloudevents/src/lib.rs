//! `cloudevents`: events as CloudEvents 1.0 over HTTP, structured, binary or batched. Owns the mapping of an event's parts to
//! attributes; an event that came in as a CloudEvent goes out as the one that it was.

mod attributes;
mod binary;
mod structured;

use std::collections::BTreeMap;

use serde::Deserialize;
use tenterhook_message::{Template, View, blank};
use tenterhook_transformer::{Description, Event, Outcome, Request, Transformer, export};

use attributes::is_name;

/// The transformer.
pub struct CloudEvents;

/// What `transform = { use = "cloudevents", options = { … } }` can say; `options.schema.json` is its description.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    mode: Mode,
    source: Option<Template>,
    r#type: Option<Template>,
    subject: Option<Template>,
    dataschema: Option<String>,
    extensions: BTreeMap<String, Template>,
}

/// How an event is laid into the request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// The body is the event, attributes and data.
    #[default]
    Structured,
    /// Attributes are headers, the body is the data.
    Binary,
}

/// Attributes that have options of their own, or are the event's.
const RESERVED: [&str; 10] =
    ["data", "data_base64", "datacontenttype", "dataschema", "id", "source", "specversion", "subject", "time", "type"];

impl Transformer for CloudEvents {
    type Options = Options;

    fn describe() -> Description {
        Description {
            name: "cloudevents".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Events as CloudEvents 1.0: structured, binary and batched".to_owned(),
            options_schema: include_str!("../options.schema.json").to_owned(),
        }
    }

    fn check(options: &Options) -> Result<(), String> {
        for name in options.extensions.keys() {
            if RESERVED.contains(&name.as_str()) {
                return Err(format!(
                    "option `extensions`: `{name}` is no extension; `source`, `type`, `subject` and `dataschema` are options of their own"
                ));
            }
            if !is_name(name) {
                return Err(format!(
                    "option `extensions`: `{name}` is no attribute name: CloudEvents has lower-case letters and digits, at most 64"
                ));
            }
        }
        if options.dataschema.as_deref().is_some_and(|schema| blank(schema) || !schema.contains(':')) {
            return Err("option `dataschema` must be a URI".to_owned());
        }
        Ok(())
    }

    fn transform(events: &[Event], options: &Options) -> Result<Outcome, String> {
        let request = match (events, options.mode) {
            ([event], Mode::Binary) => binary::request(&View::new(event), options)?,
            ([event], Mode::Structured) => {
                let mut body = String::new();
                structured::write(&mut body, &View::new(event), options);
                Request::json(body).header("content-type", "application/cloudevents+json; charset=utf-8")
            }
            // Binary knows no batches.
            _ => {
                let mut body = String::from("[");
                for (at, event) in events.iter().enumerate() {
                    body.push_str(if at == 0 { "" } else { "," });
                    structured::write(&mut body, &View::new(event), options);
                }
                body.push(']');
                Request::json(body).header("content-type", "application/cloudevents-batch+json; charset=utf-8")
            }
        };
        Ok(Outcome::Request(request))
    }
}

export!(CloudEvents, arena);

#[cfg(test)]
mod tests;
