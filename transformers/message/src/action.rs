//! What an event does to an incident, by the words of its type: for targets that page people.

use serde::{Deserialize, Serialize};
use tenterhook_transformer::Event;

use crate::key::{self, KeyOptions};
use crate::{RECOVERED, Rules, View};

/// What to do to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Trigger,
    Acknowledge,
    Resolve,
    /// The event is dropped.
    Ignore,
}

/// States between trouble and its end. A breaker that is half open is being probed: the incident stays as it is. To
/// acknowledge it would stop it from paging, and to trigger it again would reopen what a late event follows.
const BETWEEN: [&str; 3] = ["half_open", "half-open", "half_opened"];

impl Action {
    /// What the options say; else `resolve` for words such as `closed` and `recovered` at the end, `acknowledge` for
    /// `acknowledged`, nothing for `half_open`, and `trigger` for all else.
    pub fn of(event_type: &str, rules: &Rules<Action>) -> Self {
        if let Some(action) = rules.find(event_type) {
            return *action;
        }
        let last = event_type.rsplit('.').next().unwrap_or_default();
        let last_word = last.rsplit(['_', '-', ':', '/']).next().unwrap_or_default();
        if BETWEEN.contains(&last) {
            Self::Ignore
        } else if RECOVERED.contains(&last_word) {
            Self::Resolve
        } else if matches!(last_word, "acknowledged" | "acked") {
            Self::Acknowledge
        } else {
            Self::Trigger
        }
    }
}

/// What a request that can be about one incident only makes of several events.
#[derive(Debug, PartialEq)]
pub enum Batch<'a> {
    /// None of them is about an incident.
    Nothing,
    /// The last state of one incident.
    One(&'a Event),
    /// Several incidents that are open at the end: the first event of them, and a key for them together.
    Open { first: &'a Event, key: String },
    /// Only the ends of so many incidents: one request cannot say that.
    Ends(usize),
}

impl<'a> Batch<'a> {
    /// Events of one incident become its last state; of several, the incidents that are open at the end become one.
    pub fn of(events: &'a [Event], rules: &Rules<Action>, key_options: &KeyOptions<'_>) -> Self {
        let mut incidents: Vec<(String, Action, &Event)> = Vec::new();
        for event in events {
            let action = Action::of(&event.type_, rules);
            if action == Action::Ignore {
                continue;
            }
            let key = key::of(&View::new(event), key_options);
            match incidents.iter_mut().find(|(known, ..)| *known == key) {
                Some(known) => (known.1, known.2) = (action, event),
                None => incidents.push((key, action, event)),
            }
        }
        match incidents.as_slice() {
            [] => return Self::Nothing,
            [(_, _, event)] => return Self::One(event),
            _ => {}
        }
        let open: Vec<&(String, Action, &Event)> = incidents.iter().filter(|(_, action, _)| *action == Action::Trigger).collect();
        match open.as_slice() {
            [] => Self::Ends(incidents.len()),
            [(_, _, event)] => Self::One(event),
            [(_, _, first), ..] => {
                let mut keys: Vec<&str> = open.iter().map(|(key, ..)| key.as_str()).collect();
                keys.sort_unstable();
                Self::Open { first, key: key::bounded(format!("batch|{}", keys.join("|")), key_options.units_max) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_decide_unless_the_options_do() {
        let rules = Rules::default();
        for (event_type, action) in [
            ("circuit_breaker.opened", Action::Trigger),
            ("circuit_breaker.half_open", Action::Ignore),
            ("circuit_breaker.closed", Action::Resolve),
            ("health.check_failed", Action::Trigger),
            ("health.check_recovered", Action::Resolve),
            ("incident.acknowledged", Action::Acknowledge),
            ("sign_up.failed", Action::Trigger),
            ("order.created", Action::Trigger),
        ] {
            assert_eq!(Action::of(event_type, &rules), action, "{event_type}");
        }
        let rules: Rules<Action> = serde_json::from_str(r#"{"**.half_open":"trigger","order.*":"ignore"}"#).unwrap();
        assert_eq!(Action::of("circuit_breaker.half_open", &rules), Action::Trigger);
        assert_eq!(Action::of("order.created", &rules), Action::Ignore);
    }
}
