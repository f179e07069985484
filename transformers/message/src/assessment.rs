//! How bad an event is and what it does to an incident, decided together: what resolves is a success, and a success never
//! triggers. Owns the order in which options, data and type are asked.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::state::{State, Strength};
use crate::{Path, Rules, Severity, View};

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

impl Action {
    /// The action that a system means by a word for the state of an alert.
    pub fn from_word(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "trigger" | "triggered" | "firing" | "fired" | "alerting" | "active" | "open" | "opened" | "problem" | "down"
            | "critical" | "error" | "fail" | "failed" | "failure" | "warning" | "nodata" | "no_data" => Some(Self::Trigger),
            "acknowledge" | "acknowledged" | "acked" | "ack" => Some(Self::Acknowledge),
            "resolve" | "resolved" | "recovered" | "recovery" | "ok" | "okay" | "normal" | "closed" | "fixed" | "cleared"
            | "clear" | "up" | "healthy" | "success" | "succeeded" | "inactive" | "dismissed" | "auto_dismissed" => {
                Some(Self::Resolve)
            }
            "ignore" | "ignored" => Some(Self::Ignore),
            _ => None,
        }
    }
}

/// A value of the event that decides, and what its words mean: `"data.status"`, or `{ path = "data.status", map = { … } }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueRule<T> {
    path: Path,
    map: BTreeMap<String, T>,
}

impl<T: Copy> ValueRule<T> {
    /// By the map, exactly and then in any case; else by the usual words.
    fn find(&self, view: &View<'_>, usual: impl Fn(&str) -> Option<T>) -> Option<T> {
        let word = view.value(&self.path)?;
        let in_any_case = || self.map.iter().find(|(known, _)| known.eq_ignore_ascii_case(word.trim())).map(|(_, value)| value);
        self.map.get(&*word).or_else(in_any_case).copied().or_else(|| usual(&word))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ValueRule<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, bound(deserialize = "T: Deserialize<'de>"))]
        struct Table<T> {
            path: Path,
            #[serde(default = "BTreeMap::new")]
            map: BTreeMap<String, T>,
        }

        struct Reader<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = ValueRule<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path such as \"data.status\", or { path = \"data.status\", map = { word = \"…\" } }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let path = Path::parse(text).map_err(E::custom)?;
                Ok(ValueRule { path, map: BTreeMap::new() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let Table { path, map } = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ValueRule { path, map })
            }
        }

        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// What the options say about severity and action.
#[derive(Debug, Clone, Copy)]
pub struct AssessmentOptions<'o> {
    pub severity: &'o Rules<Severity>,
    pub severity_from: Option<&'o ValueRule<Severity>>,
    pub actions: &'o Rules<Action>,
    pub action_from: Option<&'o ValueRule<Action>>,
}

impl AssessmentOptions<'_> {
    /// Nothing said.
    pub const NONE: AssessmentOptions<'static> =
        AssessmentOptions { severity: &Rules::NONE, severity_from: None, actions: &Rules::NONE, action_from: None };
}

/// How bad it is and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assessment {
    pub severity: Severity,
    pub action: Action,
}

/// Operational events that tell of a change and of no trouble.
const NOTES: [&str; 4] = ["webhook.created", "webhook.updated", "webhook.deleted", "webhook.secret.rotated"];

impl Assessment {
    /// Asked in this order: the value that the options name, their patterns, the outcome in the data, the words of the
    /// type. What nobody knows triggers.
    pub fn of(view: &View<'_>, options: &AssessmentOptions<'_>) -> Self {
        let event_type = view.event.type_.as_str();
        let state = State::of(view);
        let named = options.severity_from.and_then(|rule| rule.find(view, Severity::from_word));
        let own = Severity::of_data(view);
        let pattern = options.severity.find(event_type).copied();
        let chosen = named.or(pattern);
        let derived = match state {
            _ if NOTES.contains(&event_type) => Action::Ignore,
            State::Between => Action::Ignore,
            State::Acknowledged => Action::Acknowledge,
            State::Recovered(Strength::Strong) => Action::Resolve,
            // It is over, but not well.
            State::Recovered(Strength::Weak) if named.or(own) >= Some(Severity::Warning) => Action::Trigger,
            State::Recovered(Strength::Weak) => Action::Resolve,
            State::Unknown if chosen.or(own) == Some(Severity::Success) => Action::Resolve,
            State::Unknown | State::Undecided | State::Trouble(_) => Action::Trigger,
        };
        let action = Self::chosen_action(view, options).unwrap_or(derived);
        let severity = match (action, chosen.or(own).unwrap_or(state.severity())) {
            (Action::Resolve, _) => Severity::Success,
            // The data contradicts its type: trouble is never a success. A pattern is the operator's own word.
            (_, Severity::Success) if named.is_some() || pattern.is_none() => match state.severity() {
                Severity::Success => Severity::Info,
                severity => severity,
            },
            (_, Severity::Success) => Severity::Info,
            (_, severity) => severity,
        };
        Self { severity, action }
    }

    /// What a pattern ignores is ignored. Otherwise the value, which is about this event, wins over a pattern.
    fn chosen_action(view: &View<'_>, options: &AssessmentOptions<'_>) -> Option<Action> {
        let pattern = options.actions.find(&view.event.type_).copied();
        if pattern == Some(Action::Ignore) {
            return pattern;
        }
        options.action_from.and_then(|rule| rule.find(view, Action::from_word)).or(pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::event;

    fn assess(event_type: &str, data: &str, options: &AssessmentOptions<'_>) -> (Severity, Action) {
        let Assessment { severity, action } = Assessment::of(&View::new(&event(event_type, data)), options);
        (severity, action)
    }

    const USUAL: AssessmentOptions<'_> = AssessmentOptions::NONE;

    #[test]
    fn severity_and_action_never_contradict_each_other() {
        for (event_type, data, severity, action) in [
            ("circuit_breaker.opened", "{}", Severity::Error, Action::Trigger),
            ("circuit_breaker.half_open", "{}", Severity::Warning, Action::Ignore),
            ("order.created", "{}", Severity::Info, Action::Trigger),
            ("order.created", r#"{"severity":"ok"}"#, Severity::Success, Action::Resolve),
            ("job.failed", r#"{"severity":"success"}"#, Severity::Error, Action::Trigger),
            ("x.resolved", r#"{"severity":"critical"}"#, Severity::Success, Action::Resolve),
            ("x.completed", r#"{"severity":"error"}"#, Severity::Error, Action::Trigger),
            ("x.completed", r#"{"conclusion":"failure"}"#, Severity::Error, Action::Trigger),
            ("x.completed", r#"{"conclusion":"success"}"#, Severity::Success, Action::Resolve),
            ("x.completed", r#"{"status":"queued"}"#, Severity::Info, Action::Trigger),
            ("github.code_scanning_alert.closed_by_user", "{}", Severity::Error, Action::Trigger),
            ("alertmanager.alert", r#"{"status":"firing","labels":{"severity":"page"}}"#, Severity::Critical, Action::Trigger),
            ("alertmanager.alert", r#"{"status":"resolved","labels":{"severity":"page"}}"#, Severity::Success, Action::Resolve),
            ("security_advisory.published", r#"{"severity":"high"}"#, Severity::Error, Action::Trigger),
            ("webhook.enabled", "{}", Severity::Success, Action::Resolve),
            ("webhook.updated", "{}", Severity::Info, Action::Ignore),
        ] {
            assert_eq!(assess(event_type, data, &USUAL), (severity, action), "{event_type} {data}");
        }
    }

    #[test]
    fn a_value_of_the_data_decides_by_map_and_by_usual_words() {
        let severity_from: ValueRule<Severity> = serde_json::from_str(r#""data.labels.severity""#).unwrap();
        let action_from: ValueRule<Action> =
            serde_json::from_str(r#"{"path":"data.state","map":{"Quiet":"ignore","bad":"trigger"}}"#).unwrap();
        let actions: Rules<Action> = serde_json::from_str(r#"{"noise.*":"ignore","**":"acknowledge"}"#).unwrap();
        let options = AssessmentOptions {
            severity_from: Some(&severity_from),
            action_from: Some(&action_from),
            actions: &actions,
            ..USUAL
        };
        let state = |word: &str| format!(r#"{{"state":"{word}","labels":{{"severity":"P3"}}}}"#);
        assert_eq!(assess("a.b", &state("bad"), &options), (Severity::Warning, Action::Trigger));
        assert_eq!(assess("a.b", &state("quiet"), &options), (Severity::Warning, Action::Ignore));
        assert_eq!(assess("a.b", &state("resolved"), &options), (Severity::Success, Action::Resolve));
        assert_eq!(assess("a.b", &state("odd"), &options).1, Action::Acknowledge);
        assert_eq!(assess("noise.b", &state("bad"), &options).1, Action::Ignore);
    }

    #[test]
    fn options_win_over_the_event_and_the_event_over_its_type() {
        assert_eq!(assess("job.failed", r#"{"severity":"WARNING"}"#, &USUAL).0, Severity::Warning);
        let severity: Rules<Severity> = serde_json::from_str(r#"{"job.*":"critical"}"#).unwrap();
        let options = AssessmentOptions { severity: &severity, ..USUAL };
        assert_eq!(assess("job.failed", r#"{"severity":"WARNING"}"#, &options).0, Severity::Critical);
        let actions: Rules<Action> = serde_json::from_str(r#"{"**.half_open":"trigger"}"#).unwrap();
        let options = AssessmentOptions { actions: &actions, ..USUAL };
        assert_eq!(assess("circuit_breaker.half_open", "{}", &options).1, Action::Trigger);
    }

    #[test]
    fn mistakes_in_a_value_rule_are_named() {
        let error = |text: &str| serde_json::from_str::<ValueRule<Action>>(text).unwrap_err().to_string();
        assert!(error("1").contains("expected a path such as \"data.status\""));
        assert!(error(r#""status""#).contains("`status` names no value of an event"));
        assert!(error(r#"{"path":"data.x","map":{"a":"wake"}}"#).contains("unknown variant `wake`"));
        assert!(error(r#"{"pth":"data.x"}"#).contains("unknown field `pth`"));
    }
}
