//! Wall-clock instants as the wire shows them: UTC, milliseconds, RFC 3339.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since the Unix epoch, UTC. Shown and parsed as RFC 3339 with milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an RFC 3339 time such as 2026-01-28T10:30:45.123Z")]
pub struct InvalidTimestamp {
    text: String,
}

/// 9999-12-31T23:59:59.999Z: the last instant that RFC 3339 can write.
const MILLIS_MAX: i64 = 253_402_300_799_999;

impl Timestamp {
    /// Clamped to the years that RFC 3339 can write (1970 to 9999).
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(0, MILLIS_MAX))
    }

    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, as signatures write it.
    pub fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let parsed =
            DateTime::parse_from_rfc3339(text).map_err(|_| InvalidTimestamp { text: text.chars().take(64).collect() })?;
        let millis = parsed.timestamp_millis();
        if !(0..=MILLIS_MAX).contains(&millis) {
            return Err(InvalidTimestamp { text: text.chars().take(64).collect() });
        }
        Ok(Self(millis))
    }

    /// Saturates at the last instant that RFC 3339 can write.
    pub fn after(self, delay: Duration) -> Self {
        let millis = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    pub fn before(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// Time from `self` until `later`; zero when `later` is not later.
    pub fn until(self, later: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time: DateTime<Utc> = DateTime::from_timestamp_millis(self.0).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Timestamp::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_turned_into_utc_with_milliseconds() {
        let time = Timestamp::parse("2026-01-28T12:30:45.123456+02:00").unwrap();
        assert_eq!(time.to_string(), "2026-01-28T10:30:45.123Z");
    }

    #[test]
    fn a_delay_beyond_the_calendar_saturates() {
        let time = Timestamp::from_millis(1).after(Duration::MAX);
        assert_eq!(time.to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_bad_time_is_named_with_an_example() {
        let error = Timestamp::parse("yesterday").unwrap_err().to_string();
        assert!(error.contains("`yesterday`") && error.contains("2026-01-28T10:30:45.123Z"), "{error}");
    }
}
