//! Deliveries and attempts: their states, and what one HTTP try came to.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// The state of a delivery. The numbers are the store's and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum DeliveryState {
    /// Not tried yet.
    Pending = 0,
    /// Tried, to be tried again.
    Retrying = 1,
    /// Waits until its webhook is enabled.
    Held = 2,
    Succeeded = 3,
    /// Gave up: a dead letter.
    Failed = 4,
    Cancelled = 5,
    /// A transformer said so.
    Dropped = 6,
}

impl DeliveryState {
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::Retrying, Self::Held, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Dropped];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Held => "held",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dropped => "dropped",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u8 == number)
    }

    /// Whether work is still to come.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Retrying | Self::Held)
    }
}

/// What made an attempt happen. Only scheduled ones spend the automatic budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Trigger {
    Scheduled = 0,
    Manual = 1,
    Replay = 2,
}

impl Trigger {
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Scheduled, Self::Manual, Self::Replay].into_iter().find(|trigger| *trigger as u8 == number)
    }
}

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Delivered { status: u16 },
    Dropped { reason: String },
    Failed(Failure),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub cause: Cause,
    /// What the endpoint asked for, already clamped to [`super::RETRY_AFTER_MAX`].
    pub retry_after: Option<Duration>,
    /// What else it asked for.
    pub asked: Option<super::Asked>,
}

impl Failure {
    /// Of an endpoint that asked for nothing.
    pub fn new(cause: Cause) -> Self {
        Self { cause, retry_after: None, asked: None }
    }
}

/// Why an attempt failed: each variant is a different thing to fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// An answer outside `success`.
    Status(u16),
    /// The name did not resolve.
    Resolve,
    /// The address is one that the SSRF guard refuses.
    BlockedAddress,
    /// No TCP connection.
    Connect,
    /// No TLS session: certificate, protocol or handshake.
    Tls,
    /// The connection broke before the answer was whole.
    Connection,
    /// What came back is not HTTP.
    Protocol,
    /// `timeout` or `connect_timeout` ran out.
    Timeout,
    /// No token for the endpoint could be had; nothing was sent.
    Auth,
    /// The transformer failed; nothing was sent.
    Transform,
}

impl Cause {
    /// The error class in the API and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Resolve => "resolve",
            Self::BlockedAddress => "blocked_address",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Connection => "connection",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::Auth => "auth",
            Self::Transform => "transform",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            other => f.write_str(other.name()),
        }
    }
}

/// How an attempt is shown: `succeeded`, `failed` or `dropped`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum AttemptOutcome {
    Succeeded = 0,
    Failed = 1,
    Dropped = 2,
}

impl AttemptOutcome {
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Succeeded, Self::Failed, Self::Dropped].into_iter().find(|outcome| *outcome as u8 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// The record of one attempt, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first attempt of the delivery.
    pub number: u32,
    pub at: Timestamp,
    pub trigger: Trigger,
    pub outcome: AttemptOutcome,
    pub status: Option<u16>,
    /// [`Cause::name`] of a failed attempt.
    pub error_class: Option<std::borrow::Cow<'static, str>>,
    /// In words, with how to fix it.
    pub error: Option<String>,
    pub duration: Duration,
    /// Nothing was sent when the transformer failed or dropped.
    pub request: Option<SentRequest>,
    pub response: Option<ReceivedResponse>,
    pub timings: Timings,
    /// What the transformers logged.
    pub log: Vec<LogLine>,
}

/// The request as sent; its body is the delivery's. Credentials among the headers are masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRequest {
    pub method: String,
    /// Masked where the URL is a secret.
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// Where credentials are in the body: those of transformers' options. A retry needs them, the record's readers do
    /// not.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub hidden: Vec<HiddenPart>,
}

/// Bytes of a body that are not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HiddenPart {
    pub at: usize,
    pub length: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedResponse {
    pub headers: Vec<(String, String)>,
    /// The first bytes of the body.
    pub body: Bytes,
    /// Whether there was more.
    pub truncated: bool,
}

/// How long each phase took, in microseconds; `None` where there was none (a re-used connection has no connect).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timings {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transform_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resolve_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connect_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls_us: Option<u64>,
    /// From the request's start (or the connection's readiness) to the answer's head.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_byte_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub body_us: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// A line that a transformer logged (or its standard error), stored with the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub level: LogLevel,
    pub message: String,
}
