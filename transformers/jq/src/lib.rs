//! `jq`: the body, or the event, by a jq filter in the configuration. The language is jaq's, with what jq has beside it in
//! `defs.jq` and `assign.rs`; its `debug` and `stderr` write
//! into the attempt's log. Refuses results that are no JSON, and more than one of them.

mod assign;
mod filter;
mod logger;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use tenterhook_message::{Json, Kind, write_string};
use tenterhook_transformer::{Body, Description, Event, Outcome, Request, Transformer, export};

use filter::Filter;

/// The transformer.
pub struct Jq;

/// What `transform = { use = "jq", options = { … } }` can say; `options.schema.json` is its description.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    filter: String,
    #[serde(default)]
    result: Result_,
    #[serde(default)]
    args: BTreeMap<String, Box<RawValue>>,
    content_type: Option<String>,
}

/// What the filter's result is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Result_ {
    /// The body of the request.
    #[default]
    Body,
    /// The event's data, for the next stage.
    Data,
    /// The event: its `type`, `timestamp`, `data` and `metadata`.
    Event,
}

const FILTER_BYTES_MAX: usize = 64 * 1024;

impl Transformer for Jq {
    type Options = Options;

    fn describe() -> Description {
        Description {
            name: "jq".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "The body or the event by a jq filter (jaq)".to_owned(),
            options_schema: include_str!("../options.schema.json").to_owned(),
        }
    }

    fn check(options: &Options) -> Result<(), String> {
        if options.filter.len() > FILTER_BYTES_MAX {
            return Err(format!("option `filter` is longer than {FILTER_BYTES_MAX} bytes"));
        }
        let is_name = |name: &String| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if let Some(name) = options.args.keys().find(|name| !is_name(name)) {
            return Err(format!("option `args`: `{name}` is no name of a variable: letters, digits and _"));
        }
        if options.result != Result_::Body && options.content_type.is_some() {
            return Err("option `content_type` is of a body: leave `result` at \"body\", or leave it out".to_owned());
        }
        filter::compile(options, |_| ())
    }

    fn transform(events: &[Event], options: &Options) -> Result<Outcome, String> {
        logger::install();
        filter::compile(options, |filter| match options.result {
            Result_::Body => body(events, filter, options),
            Result_::Data | Result_::Event => changed(events, filter, options),
        })?
    }
}

/// One event, or an array of several, to a body.
fn body(events: &[Event], filter: &Filter<'_>, options: &Options) -> Result<Outcome, String> {
    let mut input = String::new();
    match events {
        [event] => write_event(&mut input, event),
        _ => {
            for (at, event) in events.iter().enumerate() {
                input.push(if at == 0 { '[' } else { ',' });
                write_event(&mut input, event);
            }
            input.push(']');
        }
    }
    let Some(result) = filter.run(&input)? else {
        return Ok(Outcome::Drop("the filter gave no result".to_owned()));
    };
    let json = Json::new(&result);
    let content_type = options.content_type.as_deref().unwrap_or("application/json");
    // Where a text is wanted, a string is one.
    let text = if content_type.contains("json") { None } else { json.as_string() };
    let body = Body::Text(text.map_or_else(|| json.text().to_owned(), |text| text.into_owned()));
    Ok(Outcome::Request(Request { body, ..Request::json("") }.header("content-type", content_type)))
}

/// Each event by itself; those without a result are gone.
fn changed(events: &[Event], filter: &Filter<'_>, options: &Options) -> Result<Outcome, String> {
    let mut made = Vec::with_capacity(events.len());
    for event in events {
        let mut input = String::new();
        write_event(&mut input, event);
        if let Some(result) = filter.run(&input)? {
            made.push(match options.result {
                Result_::Event => merged(event, Json::new(&result))?,
                Result_::Data | Result_::Body => Event { data: result, ..event.clone() },
            });
        }
    }
    Ok(match made.len() {
        0 => Outcome::Drop("the filter gave no result".to_owned()),
        1 => Outcome::Event(made.remove(0)),
        _ => Outcome::Events(made),
    })
}

fn merged(event: &Event, result: Json<'_>) -> Result<Event, String> {
    if result.kind() != Kind::Object {
        return Err("with `result = \"event\"` the filter must give an object such as {type, data}".to_owned());
    }
    let text = |key: &str, old: &str| match result.get(key) {
        None => Ok(old.to_owned()),
        Some(value) => {
            value.as_string().map(|text| text.into_owned()).ok_or_else(|| format!("the filter's `{key}` is no string"))
        }
    };
    let metadata = match result.get("metadata") {
        None => None,
        Some(value) if value.kind() == Kind::Null => None,
        Some(value) => Some(value.text().to_owned()),
    };
    Ok(Event {
        type_: text("type", &event.type_)?,
        timestamp: text("timestamp", &event.timestamp)?,
        data: result.get("data").map_or("null", Json::text).to_owned(),
        metadata,
        ..event.clone()
    })
}

/// `{id, type, timestamp, data}`, and `metadata` and `tenant` if there are any.
fn write_event(out: &mut String, event: &Event) {
    for (key, text) in [("{\"id\":", &event.id), (",\"type\":", &event.type_), (",\"timestamp\":", &event.timestamp)] {
        out.push_str(key);
        write_string(out, text);
    }
    out.push_str(",\"data\":");
    out.push_str(&event.data);
    if let Some(metadata) = &event.metadata {
        out.push_str(",\"metadata\":");
        out.push_str(metadata);
    }
    if let Some(tenant) = &event.tenant {
        out.push_str(",\"tenant\":");
        write_string(out, tenant);
    }
    out.push('}');
}

export!(Jq);

#[cfg(test)]
mod tests;
