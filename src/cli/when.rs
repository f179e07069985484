//! Times on the command line: RFC 3339, or a duration back from now.

use crate::clock::Clock;
use crate::model::Timestamp;

/// `2026-01-28T10:30:45Z`, or `15m` for a quarter of an hour ago.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    at(text, Clock::System.now())
}

fn at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(span) = super::verify::parse_duration(text) {
        return Ok(now.before(span));
    }
    Timestamp::parse(text)
        .map_err(|_| "write a time as 2026-01-28T10:30:45Z, or as a duration back from now: 15m, 2h, 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_a_duration_back() {
        let now = Timestamp::parse("2026-01-28T10:30:00Z").unwrap();
        assert_eq!(at("15m", now).unwrap().to_string(), "2026-01-28T10:15:00.000Z");
        assert_eq!(at("2026-01-01T00:00:00Z", now).unwrap().to_string(), "2026-01-01T00:00:00.000Z");
        assert!(at("yesterday", now).unwrap_err().contains("duration back"));
    }
}
