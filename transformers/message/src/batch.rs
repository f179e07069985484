//! What a request that can be about one incident only makes of several events.

use tenterhook_transformer::Event;

use crate::key::{self, KeyOptions};
use crate::{Action, Assessment, AssessmentOptions, View};

/// What to send for a batch.
#[derive(Debug, PartialEq)]
pub enum Batch<'a> {
    /// None of the events is about an incident.
    Nothing,
    /// One incident: its last state, and all events about it.
    One { last: &'a Event, events: Vec<&'a Event> },
    /// Several incidents that are open at the end: the first event of them, and a key for them together.
    Open { first: &'a Event, key: String },
    /// Only the ends of this many incidents: one request cannot say that.
    Ends(usize),
}

struct Incident<'a> {
    key: String,
    action: Action,
    events: Vec<&'a Event>,
}

impl<'a> Batch<'a> {
    /// Events of one incident become its last state; of several, the incidents that are open at the end become one.
    pub fn of(events: &'a [Event], assessment: &AssessmentOptions<'_>, key_options: &KeyOptions<'_>) -> Self {
        let mut incidents: Vec<Incident<'a>> = Vec::new();
        for event in events {
            let view = View::new(event);
            let action = Assessment::of(&view, assessment).action;
            if action == Action::Ignore {
                continue;
            }
            let key = key::of(&view, key_options).text;
            match incidents.iter_mut().find(|known| known.key == key) {
                Some(known) => {
                    known.action = action;
                    known.events.push(event);
                }
                None => incidents.push(Incident { key, action, events: vec![event] }),
            }
        }
        let one = |incident: &Incident<'a>| match incident.events.last() {
            Some(last) => Self::One { last, events: incident.events.clone() },
            None => Self::Nothing,
        };
        match incidents.as_slice() {
            [] => return Self::Nothing,
            [incident] => return one(incident),
            _ => {}
        }
        let open: Vec<&Incident<'a>> = incidents.iter().filter(|incident| incident.action == Action::Trigger).collect();
        match open.as_slice() {
            [] => Self::Ends(incidents.len()),
            [incident] => one(incident),
            [first, ..] => {
                let mut keys: Vec<&str> = open.iter().map(|incident| incident.key.as_str()).collect();
                keys.sort_unstable();
                let key = key::bounded(format!("batch|{}", keys.join("|")), key_options.units_max);
                match first.events.last() {
                    Some(event) => Self::Open { first: event, key },
                    None => Self::Nothing,
                }
            }
        }
    }
}
