//! How bad an event is.

use serde::{Deserialize, Serialize};

use crate::{Json, View};

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

impl Severity {
    /// The severity that a system means by a word: those of syslog, Alertmanager, Grafana, Opsgenie, advisories.
    pub fn from_word(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "critical" | "crit" | "fatal" | "emergency" | "emerg" | "panic" | "page" | "disaster" | "blocker" | "highest"
            | "urgent" | "p0" | "p1" | "sev0" | "sev1" | "sev-1" => Some(Self::Critical),
            "error" | "err" | "errors" | "high" | "major" | "severe" | "failure" | "p2" | "sev2" | "sev-2" => Some(Self::Error),
            "warning" | "warn" | "medium" | "moderate" | "minor" | "average" | "p3" | "sev3" | "sev-3" => Some(Self::Warning),
            "success" | "ok" | "okay" | "cleared" | "clear" | "resolved" => Some(Self::Success),
            "info" | "information" | "informational" | "notice" | "note" | "low" | "lowest" | "trivial" | "none" | "debug"
            | "trace" | "p4" | "p5" | "sev4" | "sev5" | "sev-4" | "sev-5" => Some(Self::Info),
            _ => None,
        }
    }

    /// What the data says itself: its `severity` or `level`, the `severity` of its `labels` (Alertmanager), or a
    /// `priority` of the form `P1`.
    pub(crate) fn of_data(view: &View<'_>) -> Option<Self> {
        let word = |json: Json<'_>| Self::from_word(&json.as_string()?);
        let label = |labels: &str| word(view.get(labels)?.get("severity")?);
        let of_priority = |json: Json<'_>| {
            let text = json.as_string()?;
            let is_level = matches!(text.as_bytes(), [b'P' | b'p', b'0'..=b'9']);
            is_level.then(|| Self::from_word(&text)).flatten()
        };
        let named = ["severity", "level"].into_iter().find_map(|key| word(view.get(key)?));
        named.or_else(|| ["labels", "commonLabels"].into_iter().find_map(label)).or_else(|| of_priority(view.get("priority")?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::event;

    #[test]
    fn other_systems_words_are_severities() {
        for (word, severity) in [
            ("CRITICAL", Severity::Critical),
            ("page", Severity::Critical),
            ("P1", Severity::Critical),
            ("high", Severity::Error),
            ("major", Severity::Error),
            ("P2", Severity::Error),
            ("medium", Severity::Warning),
            ("moderate", Severity::Warning),
            ("P3", Severity::Warning),
            ("low", Severity::Info),
            ("note", Severity::Info),
            ("none", Severity::Info),
            ("P4", Severity::Info),
            ("P5", Severity::Info),
            ("ok", Severity::Success),
        ] {
            assert_eq!(Severity::from_word(word), Some(severity), "{word}");
        }
        assert_eq!(Severity::from_word("purple"), None);
    }

    #[test]
    fn data_names_its_severity_in_several_places() {
        for (data, severity) in [
            (r#"{"severity":"high"}"#, Some(Severity::Error)),
            (r#"{"severity":"odd","level":"warn"}"#, Some(Severity::Warning)),
            (r#"{"labels":{"severity":"page"}}"#, Some(Severity::Critical)),
            (r#"{"priority":"P3"}"#, Some(Severity::Warning)),
            (r#"{"priority":"high"}"#, None),
            (r#"{"severity":3}"#, None),
        ] {
            assert_eq!(Severity::of_data(&View::new(&event("a.b", data))), severity, "{data}");
        }
    }
}
