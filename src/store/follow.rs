//! What is told to those who follow the store: events and attempts, each with the place after it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::{DeliveryRecord, EventRecord};
use crate::model::{AttemptId, AttemptOutcome, Timestamp, Trigger};

/// A place in what happened: the last event and the last attempt that were told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    pub event: i64,
    pub attempt: i64,
}

/// Written as `event-attempt`; opaque to clients.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.event, self.attempt)
    }
}

impl Place {
    /// `None` for what is no place of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0 && !text.starts_with('+'));
        let (event, attempt) = text.split_once('-')?;
        Some(Self { event: number(event)?, attempt: number(attempt)? })
    }
}

/// What one look found.
#[derive(Debug)]
pub struct Tail {
    pub rows: Vec<(Place, Told)>,
    /// After all of it, also of what was passed over.
    pub place: Place,
    /// Another look will find more.
    pub more: bool,
}

#[derive(Debug)]
pub enum Told {
    Event(Box<EventRecord>),
    Attempt(Box<ToldAttempt>),
}

/// An attempt without the bytes that went over the wire.
#[derive(Debug)]
pub struct ToldAttempt {
    pub id: AttemptId,
    /// As it stands at the look.
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

impl ToldAttempt {
    pub fn settled_at(&self) -> Timestamp {
        self.at.after(self.duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_as_it_went() {
        let place = Place { event: 12, attempt: 34 };
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        for text in ["", "1", "1-", "-1", "a-b", "-1-2", "1--2", "+1-2", "99999999999999999999-1", "1-2-3"] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }
}
