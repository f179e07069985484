//! The feed for those who follow the store: events and attempts, each with the position after it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::{DeliveryRecord, EventRecord};
use crate::model::{AttemptId, AttemptOutcome, Timestamp, Trigger};

/// A position in the feed: the last event and the last attempt that were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    pub event: i64,
    pub attempt: i64,
}

/// Written as `event-attempt`; opaque to clients.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.event, self.attempt)
    }
}

impl Position {
    /// `None` for text that [`fmt::Display`] does not write.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0 && !text.starts_with('+'));
        let (event, attempt) = text.split_once('-')?;
        Some(Self { event: number(event)?, attempt: number(attempt)? })
    }
}

/// What one read found.
#[derive(Debug)]
pub struct Tail {
    pub rows: Vec<(Position, FeedItem)>,
    /// After all of it, also of what was passed over.
    pub position: Position,
    /// Another read will find more.
    pub more: bool,
}

#[derive(Debug)]
pub enum FeedItem {
    Event(Box<EventRecord>),
    Attempt(Box<FeedAttempt>),
}

/// An attempt without the bytes that went over the wire.
#[derive(Debug)]
pub struct FeedAttempt {
    pub id: AttemptId,
    /// Its state at the time of the read.
    pub delivery: DeliveryRecord,
    pub number: u32,
    pub at: Timestamp,
    pub trigger: Trigger,
    pub outcome: AttemptOutcome,
    pub status: Option<u16>,
    pub error_class: Option<Cow<'static, str>>,
    pub error: Option<String>,
    pub duration: Duration,
}

impl FeedAttempt {
    pub fn settled_at(&self) -> Timestamp {
        self.at.after(self.duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_text() {
        let position = Position { event: 12, attempt: 34 };
        assert_eq!(Position::parse(&position.to_string()), Some(position));
        for text in ["", "1", "1-", "-1", "a-b", "-1-2", "1--2", "+1-2", "99999999999999999999-1", "1-2-3"] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
    }
}
