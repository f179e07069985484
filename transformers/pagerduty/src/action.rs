//! What an event does to an incident, by the words of its type.

use serde::{Deserialize, Serialize};
use tenterhook_message::{RECOVERED, Rules};

/// An action of the Events API v2, or none.
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

/// What the options say; else `resolve` for words such as `closed` and `recovered` at the end, `acknowledge` for
/// `acknowledged`, nothing for `half_open`, and `trigger` for all else.
pub fn of(event_type: &str, rules: &Rules<Action>) -> Action {
    if let Some(action) = rules.find(event_type) {
        return *action;
    }
    let last = event_type.rsplit('.').next().unwrap_or_default();
    let last_word = last.rsplit(['_', '-', ':', '/']).next().unwrap_or_default();
    if BETWEEN.contains(&last) {
        Action::Ignore
    } else if RECOVERED.contains(&last_word) {
        Action::Resolve
    } else if matches!(last_word, "acknowledged" | "acked") {
        Action::Acknowledge
    } else {
        Action::Trigger
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
            assert_eq!(of(event_type, &rules), action, "{event_type}");
        }
        let rules: Rules<Action> = serde_json::from_str(r#"{"**.half_open":"trigger","order.*":"ignore"}"#).unwrap();
        assert_eq!(of("circuit_breaker.half_open", &rules), Action::Trigger);
        assert_eq!(of("order.created", &rules), Action::Ignore);
    }
}
