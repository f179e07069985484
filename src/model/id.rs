//! Ids: what a user may choose (event ids, webhook ids) and what the store numbers (deliveries, attempts).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::Timestamp;

/// Long enough for a UUID with a prefix or a composed business key; short enough for a header and an index.
pub const EVENT_ID_CHARS_MAX: usize = 128;

/// A webhook id becomes a metric label, a URL segment and a file name.
const WEBHOOK_ID_CHARS_MAX: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct InvalidId {
    what: &'static str,
    problem: String,
}

/// The id of an event: chosen by the producer, or `evt_` and a UUIDv7.
///
/// Sent as `webhook-id`. No `.`: Standard Webhooks joins id, time and body with dots, and its ids have none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Arc<str>);

impl EventId {
    pub fn generate() -> Self {
        Self(format!("evt_{}", Uuid::now_v7().simple()).into())
    }

    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-:/~=+@".contains(c);
        check_id("event id", text, EVENT_ID_CHARS_MAX, allowed, "letters, digits and _ - : / ~ = + @ (no dots or spaces)")?;
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The TOML key of a webhook: letters, digits, `_` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebhookId(Arc<str>);

impl WebhookId {
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        check_id("webhook id", text, WEBHOOK_ID_CHARS_MAX, allowed, "letters, digits, _ and -")?;
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The store's own number of a webhook id; it stays the same for as long as the store exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebhookKey(pub i64);

/// Why a webhook did not get an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmatched {
    pub webhook: String,
    pub reason: String,
}

fn check_id(what: &'static str, text: &str, max: usize, allowed: impl Fn(char) -> bool, names: &str) -> Result<(), InvalidId> {
    let problem = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > max {
        format!("has {} characters, {max} are allowed", text.len())
    } else if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
        format!("`{}` contains {bad:?}: use {names}", text.escape_debug())
    } else {
        return Ok(());
    };
    Err(InvalidId { what, problem })
}

/// `dlv_` and a UUIDv7 whose random bits are the store's own number of the delivery: ids are unique, sort by
/// time, and lead back to their row without an index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    pub created: Timestamp,
    pub number: i64,
}

/// As [`DeliveryId`], with the prefix `att_`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    pub at: Timestamp,
    pub number: i64,
}

/// RFC 9562 version 7: 48 bits of milliseconds, version, 12 bits, variant, 62 bits. The number fills the last 62.
fn numbered_uuid(at: Timestamp, number: i64) -> Uuid {
    let millis = u128::try_from(at.as_millis()).unwrap_or(0) & 0xffff_ffff_ffff;
    let number = u128::try_from(number).unwrap_or(0) & ((1 << 62) - 1);
    Uuid::from_u128(millis << 80 | 0x7 << 76 | 0b10 << 62 | number)
}

fn parse_numbered(text: &str, prefix: &str) -> Option<(Timestamp, i64)> {
    let hex = text.strip_prefix(prefix)?;
    if hex.len() != 32 || hex.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let bits = Uuid::try_parse(hex).ok()?.as_u128();
    let at = Timestamp::from_millis(i64::try_from(bits >> 80).ok()?);
    let number = i64::try_from(bits & ((1 << 62) - 1)).ok()?;
    (numbered_uuid(at, number).as_u128() == bits).then_some((at, number))
}

impl DeliveryId {
    /// `None` for anything that is not a delivery id of ours.
    pub fn parse(text: &str) -> Option<Self> {
        parse_numbered(text, "dlv_").map(|(created, number)| Self { created, number })
    }
}

impl AttemptId {
    pub fn parse(text: &str) -> Option<Self> {
        parse_numbered(text, "att_").map(|(at, number)| Self { at, number })
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dlv_{}", numbered_uuid(self.created, self.number).simple())
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "att_{}", numbered_uuid(self.at, self.number).simple())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! debug_as_display_and_serialize {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
debug_as_display_and_serialize!(EventId, WebhookId, DeliveryId, AttemptId);

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        EventId::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_generated_event_id_is_a_valid_one() {
        let id = EventId::generate();
        assert_eq!(EventId::parse(id.as_str()).unwrap(), id);
        assert!(id.as_str().starts_with("evt_"));
    }

    #[test]
    fn an_event_id_with_a_dot_is_refused_with_what_is_allowed() {
        let error = EventId::parse("order.1").unwrap_err().to_string();
        assert_eq!(error, "event id `order.1` contains '.': use letters, digits and _ - : / ~ = + @ (no dots or spaces)");
    }

    #[test]
    fn a_webhook_id_is_a_plain_name() {
        assert!(WebhookId::parse("ops-slack_2").is_ok());
        assert!(WebhookId::parse("ops slack").is_err());
        assert!(WebhookId::parse("").is_err());
    }

    proptest! {
        #[test]
        fn delivery_ids_lead_back_to_their_number(millis in 0..253_402_300_799_999_i64, number in 0..(1_i64 << 62)) {
            let id = DeliveryId { created: Timestamp::from_millis(millis), number };
            prop_assert_eq!(DeliveryId::parse(&id.to_string()), Some(id));
            let uuid = Uuid::try_parse(&id.to_string()[4..]).unwrap();
            prop_assert_eq!(uuid.get_version_num(), 7);
        }

        #[test]
        fn no_text_panics_the_parsers(text in ".{0,60}") {
            let _ = (DeliveryId::parse(&text), AttemptId::parse(&text), EventId::parse(&text), WebhookId::parse(&text));
        }
    }
}
