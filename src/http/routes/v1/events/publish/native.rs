//! Tenterhook's own form of an event: `{id?, type, timestamp?, data?, metadata?, tenant?}`. `data` and `metadata` are
//! cut out of the body byte for byte, never parsed and written again.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::draft::{self, Defaults, Draft, Refusal};
use crate::model::{Event, EventId, Timestamp};
use crate::publish;

const FIELDS: [&str; 6] = ["id", "type", "timestamp", "data", "metadata", "tenant"];

/// An event has six; the rest of a thousand wrong ones need not be named.
const FIELDS_MAX: usize = 40;

/// How alike two words must be for the one to be suggested for the other.
const LIKENESS_MIN: f64 = 0.7;

/// The members of one JSON object, their values as text.
pub(super) struct Members<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

/// The elements of one JSON array as text, at most `max` of them.
pub(super) struct Elements<'a> {
    pub(super) texts: Vec<&'a RawValue>,
    /// All that there are.
    pub(super) count: usize,
}

/// Reads `text`, which lies within `body`. `index` is its position among the events of the request.
pub(super) fn parse(text: &str, body: &Bytes, defaults: &Defaults, index: usize) -> Result<Draft, Refusal> {
    let (event, timestamp_given) = event(text, body, defaults, index)?;
    Draft::new(event, timestamp_given)
}

/// As [`parse`], of an event that is not to be stored: its `data` may hold any JSON. Says also whether the producer gave the
/// timestamp.
pub(super) fn event(text: &str, body: &Bytes, defaults: &Defaults, index: usize) -> Result<(Event, bool), Refusal> {
    if let Some(detail) = draft::too_large(text.len(), defaults.event_bytes_max) {
        return Err(Refusal::of(detail));
    }
    let members = members_of(text, "an event")?;
    let mut refusal = Refusal::default();
    let mut fields = Fields::default();
    for (name, value) in &members.0 {
        fields.put(name, value, &mut refusal);
    }
    let id = fields.id.and_then(|value| text_of("id", value, &mut refusal)).and_then(|text| match EventId::parse(&text) {
        Ok(id) => Some(id),
        Err(error) => {
            refusal.add("id", error.to_string());
            None
        }
    });
    let kind = match fields.kind {
        Some(value) => text_of("type", value, &mut refusal).and_then(|text| draft::kind(&text, &mut refusal)),
        None => {
            refusal.add("type", "`type` is missing: name what happened, such as \"order.created\"");
            None
        }
    };
    let timestamp = fields
        .timestamp
        .and_then(|value| text_of("timestamp", value, &mut refusal))
        .and_then(|text| Timestamp::parse(&text).map_err(|error| refusal.add("timestamp", error.to_string())).ok());
    let tenant = fields.tenant.and_then(|value| text_of("tenant", value, &mut refusal));
    let tenant = tenant.and_then(|text| draft::tenant(&text, &mut refusal));
    if fields.metadata.is_some_and(|metadata| !metadata.get().starts_with('{')) {
        refusal.add("metadata", "`metadata` is not an object: write {\"key\": \"value\"}");
    }
    let event = refusal.or(|| {
        Some(Event {
            id: id.unwrap_or_else(|| defaults.id(index)),
            kind: kind?,
            timestamp: timestamp.unwrap_or(defaults.now),
            received: defaults.now,
            data: fields.data.map_or(Bytes::from_static(b"null"), |data| draft::keep(body, data)),
            metadata: fields.metadata.map(|metadata| draft::keep(body, metadata)),
            tenant,
        })
    })?;
    Ok((event, timestamp.is_some()))
}

/// The members of an object; `what` is what the text is expected to be.
pub(super) fn members_of<'t>(text: &'t str, what: &str) -> Result<Members<'t>, Refusal> {
    serde_json::from_str(text).map_err(|error| match publish::check_json(text.as_bytes(), "") {
        // Half a surrogate pair in the name of a member.
        Err(unreadable) if text.starts_with('{') => Refusal::of(unreadable.to_string()),
        _ => Refusal::of(format!("{what} is a JSON object: {error}")),
    })
}

#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a RawValue>,
    kind: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    tenant: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn put(&mut self, name: &str, value: &'a RawValue, refusal: &mut Refusal) {
        let field = match name {
            "id" => &mut self.id,
            "type" => &mut self.kind,
            "timestamp" => &mut self.timestamp,
            "data" => &mut self.data,
            "metadata" => &mut self.metadata,
            "tenant" => &mut self.tenant,
            unknown => return refusal.add(&shortened(unknown), unknown_field(unknown)),
        };
        if field.is_some() {
            return refusal.add(name, format!("`{name}` is given twice"));
        }
        // An optional field that is null is one that is not given; null data is data.
        if name == "data" || name == "type" || value.get() != "null" {
            *field = Some(value);
        }
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(60).collect()
}

fn unknown_field(name: &str) -> String {
    let scored = FIELDS.iter().map(|known| (strsim::jaro_winkler(name, known), *known));
    let closest = scored.filter(|(score, _)| *score >= LIKENESS_MIN).max_by(|a, b| a.0.total_cmp(&b.0));
    let shown = shortened(name);
    let shown = shown.escape_debug();
    match closest {
        Some((_, near)) => format!("unknown field `{shown}`, did you mean `{near}`?"),
        None => format!("unknown field `{shown}`: an event has {}; what is yours goes into data", FIELDS.join(", ")),
    }
}

/// The text of a JSON string.
pub(super) fn text_of(name: &str, value: &RawValue, refusal: &mut Refusal) -> Option<String> {
    match (serde_json::from_str::<String>(value.get()), publish::check_json(value.get().as_bytes(), name)) {
        (Ok(text), _) => return Some(text),
        (Err(_), Err(unreadable)) => refusal.add(name, unreadable.to_string()),
        (Err(_), Ok(())) => refusal.add(name, format!("`{name}` is not a string")),
    }
    None
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object such as {\"type\": \"order.created\", \"data\": {}}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::with_capacity(FIELDS.len());
        while let Some((Name(name), value)) = map.next_entry()? {
            if members.len() == FIELDS_MAX {
                return Err(serde::de::Error::custom(format!(
                    "more than {FIELDS_MAX} members, an event has {}",
                    FIELDS.join(", ")
                )));
            }
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

/// Reads an array and stores at most this number of elements.
pub(super) struct ElementsUpTo(pub(super) usize);

impl<'de> DeserializeSeed<'de> for ElementsUpTo {
    type Value = Elements<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Elements<'de>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ElementsUpTo {
    type Value = Elements<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Elements<'de>, A::Error> {
        let mut texts = Vec::new();
        while texts.len() < self.0 {
            match sequence.next_element()? {
                Some(text) => texts.push(text),
                None => return Ok(Elements { count: texts.len(), texts }),
            }
        }
        let mut count = texts.len();
        while sequence.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Elements { texts, count })
    }
}
