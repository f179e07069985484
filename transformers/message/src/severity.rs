//! How bad an event is, by its type's words, when nobody says otherwise.

use serde::{Deserialize, Serialize};

use crate::{Rules, View};

/// From a note to an emergency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    /// Something is well again, or was done.
    Success,
    Warning,
    Error,
    Critical,
}

/// Words of trouble, with how bad.
const TROUBLE: [(&str, Severity); 45] = [
    ("breached", Severity::Critical),
    ("compromised", Severity::Critical),
    ("crashed", Severity::Critical),
    ("critical", Severity::Critical),
    ("down", Severity::Critical),
    ("emergency", Severity::Critical),
    ("fatal", Severity::Critical),
    ("lost", Severity::Critical),
    ("outage", Severity::Critical),
    ("panic", Severity::Critical),
    ("alert", Severity::Error),
    ("broken", Severity::Error),
    ("dead", Severity::Error),
    ("error", Severity::Error),
    ("errored", Severity::Error),
    ("errors", Severity::Error),
    ("exhausted", Severity::Error),
    ("failed", Severity::Error),
    ("failing", Severity::Error),
    ("failure", Severity::Error),
    ("firing", Severity::Error),
    ("offline", Severity::Error),
    ("opened", Severity::Error),
    ("tripped", Severity::Error),
    ("unavailable", Severity::Error),
    ("unhealthy", Severity::Error),
    ("unreachable", Severity::Error),
    ("blocked", Severity::Warning),
    ("degraded", Severity::Warning),
    ("denied", Severity::Warning),
    ("disabled", Severity::Warning),
    ("exceeded", Severity::Warning),
    ("expired", Severity::Warning),
    ("expiring", Severity::Warning),
    ("half", Severity::Warning),
    ("lagging", Severity::Warning),
    ("limited", Severity::Warning),
    ("missed", Severity::Warning),
    ("rejected", Severity::Warning),
    ("retrying", Severity::Warning),
    ("slow", Severity::Warning),
    ("throttled", Severity::Warning),
    ("timeout", Severity::Warning),
    ("warn", Severity::Warning),
    ("warning", Severity::Warning),
];

/// Words that say that a trouble began: of [`TROUBLE`], those that stand for a state and not for its subject.
pub const FIRING: [&str; 32] = [
    "breached",
    "broken",
    "crashed",
    "critical",
    "dead",
    "degraded",
    "down",
    "error",
    "errored",
    "exceeded",
    "exhausted",
    "expired",
    "failed",
    "failing",
    "failure",
    "fatal",
    "firing",
    "lagging",
    "limited",
    "lost",
    "missed",
    "offline",
    "opened",
    "panic",
    "slow",
    "started",
    "throttled",
    "triggered",
    "tripped",
    "unavailable",
    "unhealthy",
    "unreachable",
];

/// Words that say that it is over.
pub const RECOVERED: [&str; 22] = [
    "back",
    "cleared",
    "closed",
    "completed",
    "connected",
    "ended",
    "fixed",
    "healthy",
    "normal",
    "ok",
    "online",
    "passed",
    "passing",
    "recovered",
    "reset",
    "resolved",
    "restored",
    "succeeded",
    "success",
    "successful",
    "up",
    "working",
];

impl Severity {
    /// What the options say of the type; else the event itself (`data.severity` or `data.level`, if it is one of
    /// ours); else the words of its type.
    pub fn of(view: &View<'_>, rules: &Rules<Severity>) -> Self {
        if let Some(severity) = rules.find(&view.event.type_) {
            return *severity;
        }
        let own = ["severity", "level"].into_iter().find_map(|key| view.get(key)?.as_string());
        own.and_then(|name| Self::from_name(&name)).unwrap_or_else(|| Self::of_type(&view.event.type_))
    }

    fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "critical" | "fatal" | "emergency" => Some(Self::Critical),
            "error" => Some(Self::Error),
            "warning" | "warn" => Some(Self::Warning),
            "success" | "ok" => Some(Self::Success),
            "info" | "notice" => Some(Self::Info),
            _ => None,
        }
    }

    /// The last known word decides: `error_budget.restored` is good news, `sign_up.failed` is not.
    fn of_type(event_type: &str) -> Self {
        // A ticket that is opened is no trouble, a breaker is.
        let opens_trouble = event_type.contains("breaker") || event_type.contains("incident");
        for word in event_type.rsplit(SEPARATORS) {
            if RECOVERED.contains(&word) {
                return Self::Success;
            }
            if let Some((_, severity)) = TROUBLE.iter().find(|(known, _)| *known == word && (word != "opened" || opens_trouble)) {
                return *severity;
            }
        }
        Self::Info
    }

    pub fn emoji(self) -> &'static str {
        match self {
            Self::Critical => "🚨",
            Self::Error => "🔴",
            Self::Warning => "🟠",
            Self::Success => "🟢",
            Self::Info => "🔵",
        }
    }

    /// 24 bits of red, green, blue.
    pub fn color(self) -> u32 {
        match self {
            Self::Critical => 0xB3_1B_1B,
            Self::Error => 0xE0_3E_3E,
            Self::Warning => 0xF2_9C_1F,
            Self::Success => 0x2E_A0_4D,
            Self::Info => 0x3B_82_F6,
        }
    }
}

/// What stands between the words of an event type.
const SEPARATORS: [char; 5] = ['.', '_', '-', ':', '/'];

#[cfg(test)]
mod tests {
    use super::*;
    use tenterhook_transformer::Event;

    #[test]
    fn words_of_the_type_decide() {
        for (event_type, severity) in [
            ("circuit_breaker.opened", Severity::Error),
            ("circuit_breaker.half_open", Severity::Warning),
            ("circuit_breaker.closed", Severity::Success),
            ("health.check_failed", Severity::Error),
            ("health.check_recovered", Severity::Success),
            ("rate_limit.exceeded", Severity::Warning),
            ("database.down", Severity::Critical),
            ("error_budget.restored", Severity::Success),
            ("route.error", Severity::Error),
            ("issue.opened", Severity::Info),
            ("order.created", Severity::Info),
        ] {
            assert_eq!(Severity::of_type(event_type), severity, "{event_type}");
        }
    }

    #[test]
    fn options_win_over_the_event_and_the_event_over_its_type() {
        let event = Event {
            id: "evt_1".to_owned(),
            type_: "job.failed".to_owned(),
            timestamp: String::new(),
            data: r#"{"severity":"WARNING"}"#.to_owned(),
            metadata: None,
            tenant: None,
        };
        let view = View::new(&event);
        assert_eq!(Severity::of(&view, &Rules::default()), Severity::Warning);
        let rules: Rules<Severity> = serde_json::from_str(r#"{"job.*":"critical"}"#).unwrap();
        assert_eq!(Severity::of(&view, &rules), Severity::Critical);
    }

    #[test]
    fn no_word_means_both_trouble_and_its_end() {
        assert!(RECOVERED.iter().all(|word| !FIRING.contains(word) && TROUBLE.iter().all(|(known, _)| known != word)));
    }
}
