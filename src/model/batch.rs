//! How a webhook takes events in other ways than one by one, at once: in batches, or in order.

use std::sync::Arc;
use std::time::Duration;

use super::WebhookKey;

/// When a batch is full, or has waited long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPolicy {
    pub max_events: usize,
    /// From its first event on.
    pub max_wait: Duration,
    /// Bytes of the body.
    pub max_size: usize,
}

impl Default for BatchPolicy {
    /// A hundred events of 1 KiB are what receivers take without a thought; 1 MiB is the body limit of many.
    fn default() -> Self {
        Self { max_events: 100, max_wait: Duration::from_secs(5), max_size: 1 << 20 }
    }
}

/// What happens to a key's later deliveries when one is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// They wait until an operator retries or cancels it.
    Block,
    /// They go on without it.
    #[default]
    Skip,
}

/// How one event enters one webhook's lane, when it is not by itself and at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intake {
    /// After all earlier ones of this key.
    Ordered { key: Arc<str>, on_gap: OnFailure },
    /// Together with others.
    Batched(BatchPolicy),
}

/// A webhook that an event is delivered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub webhook: WebhookKey,
    /// `None`: a delivery of its own, due immediately.
    pub intake: Option<Intake>,
}

impl Target {
    /// A delivery of its own, due immediately.
    pub fn immediate(webhook: WebhookKey) -> Self {
        Self { webhook, intake: None }
    }
}
