//! The shapes of requests of Opsgenie's Alert API, as far as they are used here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenterhook_message::{BySeverity, Severity};

/// <https://docs.opsgenie.com/docs/alert-api#create-alert>
#[derive(Debug, Serialize)]
pub struct Create<'a> {
    pub message: String,
    pub alias: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(skip_serializing_if = "<[Responder]>::is_empty")]
    pub responders: &'a [Responder],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    pub details: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    pub source: String,
    pub priority: Priority,
}

/// Of closing and acknowledging.
#[derive(Debug, Serialize)]
pub struct Note {
    pub source: String,
    pub note: String,
}

/// From the most urgent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Priority {
    P1,
    P2,
    P3,
    P4,
    P5,
}

impl Priority {
    pub fn of(severity: Severity, options: &BySeverity<Self>) -> Self {
        options.get(severity).copied().unwrap_or(match severity {
            Severity::Critical => Self::P1,
            Severity::Error => Self::P2,
            Severity::Warning => Self::P3,
            Severity::Success | Severity::Info => Self::P5,
        })
    }
}

/// Who is notified: a team, an escalation or a schedule by name or id, a user by name (an address) or id.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Responder {
    r#type: ResponderKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum ResponderKind {
    Team,
    User,
    Escalation,
    Schedule,
}

impl Responder {
    pub fn check(&self) -> Result<(), String> {
        let named = if self.r#type == ResponderKind::User { &self.username } else { &self.name };
        let other = if self.r#type == ResponderKind::User { &self.name } else { &self.username };
        if other.is_some() || named.is_some() == self.id.is_some() {
            return Err("option `responders`: a user has `username` or `id`, all others `name` or `id`".to_owned());
        }
        Ok(())
    }
}
