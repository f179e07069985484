//! What operators see from outside: logs and metrics. Refuses payloads, secrets and unmasked URLs, and labels whose
//! values a stranger could choose.

pub mod logs;
pub mod metrics;

pub use metrics::{ConfigReload, EventOutcome, InFlight, Metrics, TransformerMetrics, WebhookMetrics};
