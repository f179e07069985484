//! Gauges that are read when somebody asks: the backlog, the status of webhooks, the store's disk. The series of a webhook
//! that is not in an answer end with it.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{IdLabel, StateLabel, WebhookLabel, WebhookStateLabel};
use crate::model::{DeliveryState, WebhookId};

/// What was read for one answer.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    /// Of all webhooks, those that are gone included.
    pub backlog: Backlog,
    pub oldest_pending_age: Duration,
    /// `None` where it cannot be read.
    pub disk: Option<Disk>,
    /// Those that are declared and have had a delivery, or are disabled.
    pub webhooks: Vec<WebhookGauges>,
}

/// Deliveries that are not finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    pub pending: u64,
    pub retrying: u64,
    pub held: u64,
}

/// In bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disk {
    /// The store's files.
    pub store: u64,
    /// What the file system has left for this user.
    pub free: u64,
}

#[derive(Debug, Clone)]
pub struct WebhookGauges {
    pub id: WebhookId,
    pub backlog: Backlog,
    pub oldest_pending_age: Duration,
    pub is_breaker_open: bool,
    pub is_disabled: bool,
}

type Seconds = Gauge<f64, AtomicU64>;

pub(super) struct Gauges {
    backlog: Family<StateLabel, Gauge>,
    oldest_pending_age: Seconds,
    store_size: Gauge,
    store_free: Gauge,
    webhook_backlog: Family<WebhookStateLabel, Gauge>,
    webhook_oldest_pending_age: Family<WebhookLabel, Seconds>,
    breaker_open: Family<WebhookLabel, Gauge>,
    disabled: Family<WebhookLabel, Gauge>,
}

impl Backlog {
    fn states(self) -> [(&'static str, u64); 3] {
        [
            (DeliveryState::Pending.name(), self.pending),
            (DeliveryState::Retrying.name(), self.retrying),
            (DeliveryState::Held.name(), self.held),
        ]
    }
}

impl Gauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let gauges = Self {
            backlog: Family::default(),
            oldest_pending_age: Gauge::default(),
            store_size: Gauge::default(),
            store_free: Gauge::default(),
            webhook_backlog: Family::default(),
            webhook_oldest_pending_age: Family::default(),
            breaker_open: Family::default(),
            disabled: Family::default(),
        };
        registry.register("backlog", "Deliveries that are not finished, by state", gauges.backlog.clone());
        let help = "How long the longest waiting of the due deliveries has been due";
        registry.register_with_unit("oldest_pending_age", help, Unit::Seconds, gauges.oldest_pending_age.clone());
        registry.register_with_unit("store_size", "Size of the store's files", Unit::Bytes, gauges.store_size.clone());
        let help = "Space that is free on the store's file system";
        registry.register_with_unit("store_free", help, Unit::Bytes, gauges.store_free.clone());
        let help = "Deliveries of a webhook that are not finished, by state";
        registry.register("webhook_backlog", help, gauges.webhook_backlog.clone());
        let help = "How long the longest waiting of a webhook's due deliveries has been due";
        let ages = gauges.webhook_oldest_pending_age.clone();
        registry.register_with_unit("webhook_oldest_pending_age", help, Unit::Seconds, ages);
        let help = "Whether a webhook's breaker is open: only probes are sent";
        registry.register("webhook_breaker_open", help, gauges.breaker_open.clone());
        let help = "Whether a webhook is disabled: by its configuration, an operator, or its endpoint";
        registry.register("webhook_disabled", help, gauges.disabled.clone());
        gauges
    }

    pub(super) fn set(&self, scrape: &Scrape) {
        for (state, count) in scrape.backlog.states() {
            self.backlog.get_or_create(&StateLabel { state }).set(signed(count));
        }
        self.oldest_pending_age.set(scrape.oldest_pending_age.as_secs_f64());
        if let Some(disk) = scrape.disk {
            self.store_size.set(signed(disk.store));
            self.store_free.set(signed(disk.free));
        }
        self.webhook_backlog.clear();
        self.webhook_oldest_pending_age.clear();
        self.breaker_open.clear();
        self.disabled.clear();
        for webhook in &scrape.webhooks {
            for (state, count) in webhook.backlog.states() {
                let label = WebhookStateLabel { webhook: IdLabel(webhook.id.clone()), state };
                self.webhook_backlog.get_or_create(&label).set(signed(count));
            }
            let label = WebhookLabel { webhook: IdLabel(webhook.id.clone()) };
            self.webhook_oldest_pending_age.get_or_create(&label).set(webhook.oldest_pending_age.as_secs_f64());
            self.breaker_open.get_or_create(&label).set(webhook.is_breaker_open.into());
            self.disabled.get_or_create(&label).set(webhook.is_disabled.into());
        }
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn each_answer_has_the_webhooks_that_it_was_given_and_no_others() {
        let metrics = Metrics::new();
        let webhook = |id: &str, held| WebhookGauges {
            id: WebhookId::parse(id).unwrap(),
            backlog: Backlog { pending: 1, retrying: 2, held },
            oldest_pending_age: Duration::from_millis(1500),
            is_breaker_open: held > 0,
            is_disabled: held == 0,
        };
        let backlog = Backlog { pending: 12, retrying: 0, held: 7 };
        let disk = Some(Disk { store: 4096, free: 1 << 40 });
        let webhooks = vec![webhook("a", 3), webhook("b", 0)];
        let text = metrics.scrape(&Scrape { backlog, oldest_pending_age: Duration::from_secs(2), disk, webhooks });
        for line in [
            r#"tenterhook_backlog{state="pending"} 12"#,
            r#"tenterhook_backlog{state="held"} 7"#,
            "tenterhook_oldest_pending_age_seconds 2.0",
            "tenterhook_store_size_bytes 4096",
            "tenterhook_store_free_bytes 1099511627776",
            r#"tenterhook_webhook_backlog{webhook="a",state="held"} 3"#,
            r#"tenterhook_webhook_oldest_pending_age_seconds{webhook="b"} 1.5"#,
            r#"tenterhook_webhook_breaker_open{webhook="a"} 1"#,
            r#"tenterhook_webhook_disabled{webhook="b"} 1"#,
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        let text = metrics.scrape(&Scrape { webhooks: vec![webhook("b", 1)], ..Scrape::default() });
        assert!(!text.contains(r#"webhook="a""#) && text.contains(r#"tenterhook_backlog{state="pending"} 0"#), "{text}");
    }
}
