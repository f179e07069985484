//! What operators see from outside: logs and metrics. Refuses payloads, secrets and unmasked URLs, and labels whose
//! values a stranger could choose.

mod gauges;
mod labels;
#[cfg(feature = "cli")]
pub mod logs;
pub mod metrics;

pub use gauges::{Backlog, Disk, Scrape, WebhookGauges};
pub use metrics::{ConfigReload, EventOutcome, InFlight, Metrics, TransformerMetrics, WebhookMetrics};
