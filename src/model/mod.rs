//! The values that every other module speaks in: ids, events, deliveries, attempts, and the pure decision of what
//! comes after an attempt. Refuses I/O, clocks and handles: everything here can be made in a test by hand.

mod address;
mod batch;
mod breaker;
mod delivery;
mod egress;
mod event;
mod id;
pub mod lifecycle;
mod network;
mod pace;
mod retry;
mod standing;
mod status;
mod storage_key;
mod time;
mod webhook;

pub use address::{ipv4_behind, is_metadata_range};
pub use batch::{BatchPolicy, Intake, OnGap};
pub use breaker::{Admission, Breaker, BreakerPolicy, Evidence, Open, Turn};
pub use delivery::{
    Attempt, AttemptOutcome, Cause, DeliveryState, Failure, LogLevel, LogLine, Outcome, ReceivedResponse, SentRequest, Timings,
    Trigger,
};
pub use egress::{
    Credential, EndpointAuth, NetworkEgress, NoProxy, OAuth2, Proxy, ProxyKind, ProxyPolicy, SendClient, TlsVersion,
    WebhookEgress, WebhookTls,
};
pub use event::{EVENT_TYPE_CHARS_MAX, Event, EventType, InvalidEventType, TENANT_CHARS_MAX};
pub use id::{AttemptId, DeliveryId, EVENT_ID_CHARS_MAX, EventId, InvalidId, Unmatched, WebhookId, WebhookKey};
pub use network::{NetworkPolicy, Refused};
pub use pace::{InvalidRate, Pace, Ramp, Rate};
pub use retry::{Asked, RETRY_AFTER_MAX, RetryOn, RetryPolicy, Schedule, Settlement};
pub use standing::{Condition, Disabled, DisabledBy, Failing, Standing};
pub use status::{InvalidStatusClass, StatusSet};
pub use storage_key::{InvalidStorageKey, StorageKey, StorageKeys};
pub use time::{InvalidTimestamp, Timestamp};
pub use webhook::{CONNECTION_HEADERS, EndpointUrl, Limits, TransformStep};
