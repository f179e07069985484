//! The values that every other module speaks in: ids, events, deliveries, attempts, and the pure decision of what
//! comes after an attempt. Refuses I/O, clocks and handles, so that a test can make everything here.

mod address;
mod batch;
mod breaker;
mod delivery;
mod egress;
mod event;
mod field_path;
mod id;
pub mod lifecycle;
mod mask;
mod network;
mod rate_limiter;
mod retry;
mod schedule;
mod status;
mod storage_key;
mod time;
mod webhook;
mod webhook_status;

pub use address::{ipv4_behind, is_metadata_range};
pub use batch::{BatchPolicy, Intake, OnFailure, Target};
pub use breaker::{Admission, Breaker, BreakerPolicy, Evidence, Open, Turn};
pub use delivery::{
    Attempt, AttemptOutcome, Cause, DeliveryState, Failure, HiddenPart, LogLevel, LogLine, Outcome, ReceivedResponse,
    SentRequest, Timings, Trigger,
};
pub use egress::{
    Credential, EndpointAuth, NetworkEgress, NoProxy, OAuth2, Proxy, ProxyKind, ProxyPolicy, SendClient, TlsVersion,
    WebhookEgress, WebhookTls,
};
pub use event::{EVENT_TYPE_CHARS_MAX, Event, EventType, InvalidEventType, TENANT_CHARS_MAX};
pub use field_path::{FieldPath, Step};
pub use id::{AttemptId, DeliveryId, EVENT_ID_CHARS_MAX, EventId, InvalidId, Unmatched, WebhookId, WebhookKey};
pub use mask::{
    MASKED, SECRET_BYTES_MIN, UNNAMED_SECRET_BYTES_MIN, hide_parts, mask_bytes, option_secrets, parts_of, url_secrets,
};
pub use network::{NetworkPolicy, Refused};
pub use rate_limiter::{InvalidRate, Rate, RateLimiter, SlowStart};
pub use retry::{Asked, RETRY_AFTER_MAX, RetryOn, RetryPolicy, Settlement};
pub use schedule::{Curve, InvalidSchedule, Jitter, Schedule};
pub use status::{InvalidStatusClass, StatusSet};
pub use storage_key::{InvalidStorageKey, StorageKey, StorageKeys};
pub use time::{InvalidTimestamp, Timestamp};
pub use webhook::{CONNECTION_HEADERS, EndpointUrl, Limits, TransformStep};
pub use webhook_status::{Condition, Disabled, DisabledBy, Failing, WebhookStatus};
