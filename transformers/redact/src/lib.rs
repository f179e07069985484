//! `redact`: values of an event dropped, masked or hashed before anything after it, or anyone, sees them. Event in, event
//! out: the first stage of a pipeline. Owns the search for values and what replaces them; what is not redacted stays
//! byte for byte as it was published.

mod redact;
mod report;
mod sha256;
mod target;

use serde::Deserialize;
use tenterhook_transformer::{Description, Event, Outcome, Transformer, export};

use redact::Redaction;
use target::Target;

/// The transformer.
pub struct Redact;

/// What `transform = { use = "redact", options = { … } }` can say; `options.schema.json` is its description.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    drop: Vec<Target>,
    mask: Vec<Target>,
    hash: Vec<Target>,
    /// Characters at the end of a masked text that stay.
    keep_last: usize,
    mask_with: String,
    hash_key: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { drop: Vec::new(), mask: Vec::new(), hash: Vec::new(), keep_last: 0, mask_with: "***".to_owned(), hash_key: None }
    }
}

/// Of a card's or an account's number, four digits are customary; more would be the value.
const KEEP_LAST_MAX: usize = 8;

const MASK_CHARS_MAX: usize = 100;

impl Transformer for Redact {
    type Options = Options;

    fn describe() -> Description {
        Description {
            name: "redact".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Values of an event dropped, masked or hashed, before anything else sees them".to_owned(),
            options_schema: include_str!("../options.schema.json").to_owned(),
        }
    }

    fn check(options: &Options) -> Result<(), String> {
        if options.drop.is_empty() && options.mask.is_empty() && options.hash.is_empty() {
            return Err(
                "nothing would be redacted: say what to `drop`, `mask` or `hash`, as in { mask = [\"password\"] }".to_owned()
            );
        }
        if options.keep_last > KEEP_LAST_MAX {
            return Err(format!("option `keep_last` is {}, {KEEP_LAST_MAX} are allowed", options.keep_last));
        }
        if options.mask_with.chars().count() > MASK_CHARS_MAX {
            return Err(format!("option `mask_with` is longer than {MASK_CHARS_MAX} characters"));
        }
        if options.hash_key.as_deref().is_some_and(str::is_empty) {
            return Err("option `hash_key` is empty".to_owned());
        }
        if options.hash_key.is_some() && options.hash.is_empty() {
            return Err("option `hash_key` is given, but nothing to `hash`".to_owned());
        }
        Ok(())
    }

    fn transform(events: &[Event], options: &Options) -> Result<Outcome, String> {
        let mut redaction = Redaction::new(options);
        let mut redacted: Vec<Event> = events.iter().map(|event| redaction.event(event)).collect();
        report::log(&redaction.rules);
        Ok(match redacted.len() {
            1 => Outcome::Event(redacted.remove(0)),
            _ => Outcome::Events(redacted),
        })
    }
}

export!(Redact, arena);

#[cfg(test)]
mod tests;
