//! Operational events: what happens to Tenterhook itself, on the same bus as everything else. Raised where it happens,
//! logged always, and stored when some webhook names its type. Refuses to let an operational event cause another: a notice
//! about an attempt is raised with the event that the attempt was about.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::model::{DeliveryId, Disabled, Event, EventId, EventType, Open, Timestamp, WebhookId};
use crate::publish::{Draft, Mode, Outcome, Publisher};
use crate::snapshot::{Live, Snapshot};
use crate::store::Store;

/// Raises operational events. Cheap to clone.
#[derive(Clone)]
pub struct Operational {
    store: Store,
    live: Arc<Live>,
    clock: Clock,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Notice {
    DeliveryFailed(FailedDelivery),
    /// A transformer failed; the delivery may be tried again.
    TransformFailed(FailedDelivery),
    Disabled {
        webhook: WebhookId,
        disabled: Disabled,
    },
    Enabled {
        webhook: WebhookId,
        reason: String,
    },
    BreakerOpened {
        webhook: WebhookId,
        open: Open,
        reason: String,
    },
    BreakerClosed {
        webhook: WebhookId,
        open_since: Timestamp,
    },
    /// Made over the API.
    Created {
        webhook: WebhookId,
    },
    Updated {
        webhook: WebhookId,
    },
    Deleted {
        webhook: WebhookId,
        /// Of the webhook: it cannot be looked up any more.
        tenant: Option<String>,
    },
    /// The new secret signs.
    SecretRotated {
        webhook: WebhookId,
    },
    ConfigReloaded {
        generation: u64,
        fingerprint: String,
        webhooks: usize,
    },
    ConfigRejected {
        message: String,
        problems: Value,
    },
}

#[derive(Debug, Clone)]
pub struct FailedDelivery {
    pub webhook: WebhookId,
    pub delivery: DeliveryId,
    pub event: Arc<Event>,
    pub attempts: u32,
    pub status: Option<u16>,
    pub error: String,
}

impl Notice {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DeliveryFailed(_) => "webhook.delivery.failed",
            Self::TransformFailed(_) => "webhook.transform.failed",
            Self::Disabled { .. } => "webhook.disabled",
            Self::Enabled { .. } => "webhook.enabled",
            Self::BreakerOpened { .. } => "webhook.breaker.opened",
            Self::BreakerClosed { .. } => "webhook.breaker.closed",
            Self::Created { .. } => "webhook.created",
            Self::Updated { .. } => "webhook.updated",
            Self::Deleted { .. } => "webhook.deleted",
            Self::SecretRotated { .. } => "webhook.secret.rotated",
            Self::ConfigReloaded { .. } => "tenterhook.config.reloaded",
            Self::ConfigRejected { .. } => "tenterhook.config.rejected",
        }
    }

    fn data(&self, snapshot: &Snapshot) -> Value {
        let tenant = |webhook: &WebhookId| snapshot.webhook(webhook).and_then(|webhook| webhook.settings.tenant.clone());
        match self {
            Self::DeliveryFailed(failed) | Self::TransformFailed(failed) => json!({
                "webhook": failed.webhook, "tenant": tenant(&failed.webhook), "delivery": failed.delivery,
                "event": {"id": failed.event.id, "type": failed.event.kind}, "attempts": failed.attempts,
                "status": failed.status, "error": failed.error,
            }),
            Self::Disabled { webhook, disabled } => json!({
                "webhook": webhook, "tenant": tenant(webhook), "by": disabled.by, "reason": disabled.reason, "at": disabled.at,
            }),
            Self::Enabled { webhook, reason } => json!({"webhook": webhook, "tenant": tenant(webhook), "reason": reason}),
            Self::BreakerOpened { webhook, open, reason } => json!({
                "webhook": webhook, "tenant": tenant(webhook), "since": open.since, "probe_at": open.until, "reason": reason,
            }),
            Self::BreakerClosed { webhook, open_since } => {
                json!({"webhook": webhook, "tenant": tenant(webhook), "open_since": open_since})
            }
            Self::Created { webhook } | Self::Updated { webhook } | Self::SecretRotated { webhook } => {
                json!({"webhook": webhook, "tenant": tenant(webhook)})
            }
            Self::Deleted { webhook, tenant } => json!({"webhook": webhook, "tenant": tenant}),
            Self::ConfigReloaded { generation, fingerprint, webhooks } => {
                json!({"generation": generation, "fingerprint": fingerprint, "webhooks": webhooks})
            }
            Self::ConfigRejected { message, problems } => json!({"message": message, "problems": problems}),
        }
    }
}

impl Operational {
    pub fn new(store: Store, live: Arc<Live>, clock: Clock) -> Self {
        Self { store, live, clock }
    }

    /// Puts it on the bus, unless no webhook wants it. At most once: an operational event that a crash or a full disk
    /// swallows is still in the log and in the state that it describes.
    pub async fn raise(&self, notice: &Notice) {
        let snapshot = self.live.snapshot();
        let now = self.clock.now();
        let kind = match EventType::parse(notice.kind()) {
            Ok(kind) => kind,
            Err(error) => {
                tracing::error!(%error, "an operational event has a bad type");
                return;
            }
        };
        let data = Bytes::from(notice.data(&snapshot).to_string());
        let event = Event { id: EventId::generate(), kind, timestamp: now, received: now, data, metadata: None, tenant: None };
        if snapshot.route(&event).targets.is_empty() {
            return;
        }
        let kind = notice.kind();
        let publisher = Publisher::uncounted(self.store.clone());
        let outcomes = publisher.accept(&snapshot, vec![Draft::new(event, true)], Mode::Each).await;
        if let Some(Outcome::Failed(error)) = outcomes.first() {
            tracing::warn!(kind, %error, "an operational event could not be stored");
        }
    }
}
