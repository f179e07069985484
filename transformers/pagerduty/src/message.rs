//! The shape of an event of PagerDuty's Events API v2.

use serde::Serialize;
use serde_json::value::RawValue;
use tenterhook_message::{Action, Severity};

/// <https://developer.pagerduty.com/docs/send-alert-event>
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_key: Option<&'a str>,
    pub event_action: Action,
    pub dedup_key: String,
    pub client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_url: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    pub payload: Payload<'a>,
}

#[derive(Debug, Serialize)]
pub struct Link {
    pub href: String,
    pub text: String,
}

#[derive(Debug, Serialize)]
pub struct Payload<'a> {
    pub summary: String,
    pub source: String,
    pub severity: Level,
    pub timestamp: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub class: String,
    pub custom_details: Box<RawValue>,
}

/// PagerDuty's severities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Critical,
    Error,
    Warning,
    Info,
}

impl From<Severity> for Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Critical => Self::Critical,
            Severity::Error => Self::Error,
            Severity::Warning => Self::Warning,
            Severity::Success | Severity::Info => Self::Info,
        }
    }
}
