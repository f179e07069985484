//! One pass over an event's JSON text: what is redacted is written anew, all else is copied as it stands.

use tenterhook_message::{Json, Kind, write_string};
use tenterhook_transformer::Event;

use crate::Options;
use crate::place::{Place, plain};
use crate::sha256;

/// What happens to a value; the strongest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Hash,
    Mask,
    Drop,
}

pub struct Redaction<'o> {
    options: &'o Options,
    pointers: Vec<(Deed, &'o [Option<String>])>,
    keys: Vec<(Deed, &'o str)>,
}

impl<'o> Redaction<'o> {
    pub fn new(options: &'o Options) -> Self {
        let mut redaction = Self { options, pointers: Vec::new(), keys: Vec::new() };
        for (deed, places) in [(Deed::Drop, &options.drop), (Deed::Mask, &options.mask), (Deed::Hash, &options.hash)] {
            for place in places {
                match place {
                    Place::Pointer(parts) => redaction.pointers.push((deed, parts)),
                    Place::Key(key) => redaction.keys.push((deed, key)),
                }
            }
        }
        redaction
    }

    pub fn of(&self, event: &Event) -> Event {
        let data = self.text(&event.data, "data").unwrap_or_else(|| "null".to_owned());
        // Metadata is an object or nothing: a mask in its place would not be.
        let metadata = event.metadata.as_ref().and_then(|metadata| self.text(metadata, "metadata"));
        let metadata = metadata.filter(|text| Json::new(text).kind() == Kind::Object);
        Event { data, metadata, ..event.clone() }
    }

    /// The text with its values redacted; `None` when all of it is dropped.
    fn text(&self, text: &str, root: &str) -> Option<String> {
        let under = |(deed, parts): &(Deed, &'o [Option<String>])| {
            let (first, rest) = parts.split_first()?;
            (first.as_deref() == Some(root)).then_some((*deed, rest))
        };
        let pointers: Vec<(Deed, &[Option<String>])> = self.pointers.iter().filter_map(under).collect();
        let json = Json::new(text);
        let mut out = String::with_capacity(text.len());
        match strongest(&pointers) {
            Some(Deed::Drop) => return None,
            Some(deed) => self.write(&mut out, json, deed),
            None => self.walk(&mut out, json, &pointers),
        }
        Some(out)
    }

    /// Copies a value. Recursive: no deeper than published JSON is, which is bounded where it is taken in and by the stack
    /// of the sandbox.
    fn walk(&self, out: &mut String, json: Json<'_>, pointers: &[(Deed, &[Option<String>])]) {
        if pointers.is_empty() && self.keys.is_empty() {
            out.push_str(json.text());
            return;
        }
        match json.kind() {
            Kind::Object => {
                out.push('{');
                let mut first = true;
                for (raw_key, value) in json.raw_members() {
                    let key = Json::new(raw_key).as_string().unwrap_or_default();
                    let inner = step(pointers, &key);
                    let name = plain(&key);
                    let by_key = self.keys.iter().filter(|(_, known)| *known == name).map(|(deed, _)| *deed).max();
                    let deed = strongest(&inner).max(by_key);
                    if deed == Some(Deed::Drop) {
                        continue;
                    }
                    out.push_str(if first { "" } else { "," });
                    first = false;
                    out.push_str(raw_key);
                    out.push(':');
                    match deed {
                        Some(deed) => self.write(out, value, deed),
                        None => self.walk(out, value, &inner),
                    }
                }
                out.push('}');
            }
            Kind::Array => {
                out.push('[');
                let mut first = true;
                for (at, value) in json.elements().enumerate() {
                    let inner = step(pointers, &at.to_string());
                    let deed = strongest(&inner);
                    if deed == Some(Deed::Drop) {
                        continue;
                    }
                    out.push_str(if first { "" } else { "," });
                    first = false;
                    match deed {
                        Some(deed) => self.write(out, value, deed),
                        None => self.walk(out, value, &inner),
                    }
                }
                out.push(']');
            }
            Kind::String | Kind::Number | Kind::Bool | Kind::Null => out.push_str(json.text()),
        }
    }

    /// What stands in a value's place. A null says nothing and stays.
    fn write(&self, out: &mut String, json: Json<'_>, deed: Deed) {
        let Some(shown) = json.display() else {
            out.push_str("null");
            return;
        };
        if deed == Deed::Hash {
            let key = self.options.hash_key.as_deref().map(str::as_bytes);
            write_string(out, &format!("sha256:{}", sha256::hex(key, shown.as_bytes())));
            return;
        }
        let keep = if json.is_scalar() { self.options.keep_last } else { 0 };
        let length = shown.chars().count();
        // At least as much is hidden as is shown.
        let tail: String = if length >= 2 * keep { shown.chars().skip(length - keep).collect() } else { String::new() };
        write_string(out, &format!("{}{tail}", self.options.mask_with));
    }
}

/// The pointers that go on under this key, without it.
fn step<'p>(pointers: &[(Deed, &'p [Option<String>])], key: &str) -> Vec<(Deed, &'p [Option<String>])> {
    let goes_on = |(deed, parts): &(Deed, &'p [Option<String>])| {
        let (first, rest) = parts.split_first()?;
        first.as_deref().is_none_or(|part| part == key).then_some((*deed, rest))
    };
    pointers.iter().filter_map(goes_on).collect()
}

/// Of the pointers that end here.
fn strongest(pointers: &[(Deed, &[Option<String>])]) -> Option<Deed> {
    pointers.iter().filter(|(_, rest)| rest.is_empty()).map(|(deed, _)| *deed).max()
}
