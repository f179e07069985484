//! What attempts and background work say to the dispatcher's loop, and the guard that makes sure an attempt says it.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::health::AttemptReport;
use super::simulation::Simulation;
use crate::clock::Clock;
use crate::model::{DeliveryId, Timestamp, WebhookKey};
use crate::operational::Operational;
use crate::outbound::Shortage;
use crate::snapshot::Live;
use crate::store::{Lease, Store};
use crate::telemetry::Metrics;

/// What attempts share.
pub(super) struct Context {
    pub(super) store: Store,
    pub(super) live: Arc<Live>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) attempts: mpsc::Sender<AttemptMessage>,
    pub(super) control: mpsc::Sender<ControlMessage>,
    pub(super) operational: Operational,
    pub(super) simulation: Option<Simulation>,
}

/// What the loop has to know of an attempt: at most two messages each.
#[derive(Debug)]
pub(super) enum AttemptMessage {
    /// The request is over: the lane may start another.
    Sent { webhook: WebhookKey, report: AttemptReport },
    /// Recorded: the lease is over, and the delivery may be due `again`.
    Settled { webhook: WebhookKey, delivery: DeliveryId, again: Option<Timestamp> },
    /// Nothing was sent, because this machine lacked something: the lease goes back to its lane. The only message of
    /// its attempt.
    PutBack { lease: Box<Lease>, shortage: Shortage },
    /// It panicked, before or after the request was over.
    Panicked { webhook: WebhookKey, delivery: DeliveryId, is_sent: bool },
}

/// What else the loop has to know.
#[derive(Debug, Clone, Copy)]
pub(super) enum ControlMessage {
    /// Deliveries that were held are about to go on.
    Released { webhook: WebhookKey },
    /// The status of webhooks is in the store.
    StatusSaved,
}

/// Sends an attempt's messages, also when the attempt panics.
pub(super) struct AttemptGuard {
    context: Arc<Context>,
    webhook: WebhookKey,
    delivery: DeliveryId,
    is_sent: bool,
    is_over: bool,
    /// Of the repair of one that panicked: if that panics too, the delivery is claimed again then.
    repaired: Option<Timestamp>,
}

impl AttemptGuard {
    pub(super) fn new(context: &Arc<Context>, webhook: WebhookKey, delivery: DeliveryId) -> Self {
        Self { context: Arc::clone(context), webhook, delivery, is_sent: false, is_over: false, repaired: None }
    }

    /// For the repair of an attempt that panicked, which ends with the delivery due `at`.
    pub(super) fn of_repair(context: &Arc<Context>, webhook: WebhookKey, delivery: DeliveryId, at: Timestamp) -> Self {
        let mut guard = Self::new(context, webhook, delivery);
        guard.is_sent = true;
        guard.repaired = Some(at);
        guard
    }

    fn send(&self, message: AttemptMessage) {
        // There is room for all that attempts can send; it fails only when the loop has ended.
        let _ = self.context.attempts.try_send(message);
    }

    pub(super) fn sent(&mut self, report: AttemptReport) {
        self.is_sent = true;
        self.send(AttemptMessage::Sent { webhook: self.webhook, report });
    }

    pub(super) fn settled(mut self, again: Option<Timestamp>) {
        self.is_over = true;
        self.send(AttemptMessage::Settled { webhook: self.webhook, delivery: self.delivery, again });
    }

    pub(super) fn put_back(mut self, lease: Lease, shortage: Shortage) {
        self.is_over = true;
        self.send(AttemptMessage::PutBack { lease: Box::new(lease), shortage });
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        let (webhook, delivery) = (self.webhook, self.delivery);
        match self.repaired {
            _ if self.is_over => {}
            Some(_) => self.send(AttemptMessage::Settled { webhook, delivery, again: self.repaired }),
            None => self.send(AttemptMessage::Panicked { webhook, delivery, is_sent: self.is_sent }),
        }
    }
}
