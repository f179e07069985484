//! What metrics, logs and operational events say about an attempt: what the store decided, and only after it did. During
//! the attempt an operator may have cancelled the delivery, or retried one that would have been given up.

use crate::model::{DeliveryState, WebhookId};
use crate::operational::Notice;
use crate::store::{Settle, Settled};
use crate::telemetry::WebhookMetrics;

/// Counts what became of the delivery, and logs one line per attempt that did not arrive; those that did are counted
/// only. Nothing is said about a delivery that was erased, or that another attempt has settled.
pub(super) fn report(metrics: &WebhookMetrics, id: &WebhookId, settle: &Settle, recorded: &Settled) {
    let Some(state) = recorded.state.filter(|_| recorded.kept) else { return };
    metrics.delivery(state);
    let attempt = settle.attempt.as_ref();
    let (number, error) = (attempt.map(|attempt| attempt.number), attempt.and_then(|attempt| attempt.error.as_deref()));
    let delivery = settle.delivery;
    match (state, recorded.due) {
        (DeliveryState::Failed, _) => {
            let error = error.or(settle.reason.as_deref());
            tracing::warn!(webhook = %id, %delivery, attempt = number, error, "delivery failed");
        }
        (DeliveryState::Retrying, Some(at)) => {
            tracing::info!(webhook = %id, %delivery, attempt = number, %at, error, "retry scheduled");
        }
        _ => tracing::debug!(webhook = %id, %delivery, attempt = number, state = state.name(), "attempt recorded"),
    }
}

/// Whether a notice about an attempt holds after all. Nothing is said about what was erased, and a delivery has failed
/// only if the store says so.
pub(super) fn is_true(notice: &Notice, recorded: &Settled) -> bool {
    let is_failed = recorded.state == Some(DeliveryState::Failed);
    recorded.kept && (is_failed || !matches!(notice, Notice::DeliveryFailed(_)))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::model::{DeliveryId, Settlement, Timestamp, WebhookKey};
    use crate::operational::FailedDelivery;
    use crate::telemetry::Metrics;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged, and the deliveries that are counted: succeeded, failed, cancelled, dropped.
    fn reported(recorded: &Settled) -> (String, [u64; 4]) {
        let (metrics, id) = (Metrics::new(), WebhookId::parse("ops").unwrap());
        let delivery = DeliveryId { created: Timestamp::from_millis(1), number: 1 };
        let settle = Settle {
            reason: Some("gave up after 4 attempts: no".to_owned()),
            ..Settle::untried(delivery, WebhookKey(1), Settlement::Fail)
        };
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        let handle = metrics.webhook(&id);
        tracing::subscriber::with_default(subscriber, || report(&handle, &id, &settle, recorded));
        let text = metrics.scrape(&crate::telemetry::Scrape::default());
        let count = |outcome: &str| {
            let start = format!("tenterhook_deliveries_total{{webhook=\"ops\",outcome=\"{outcome}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap()
        };
        let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        (logged, ["succeeded", "failed", "cancelled", "dropped"].map(count))
    }

    #[test]
    fn only_what_the_store_calls_failed_is_reported_as_failed() {
        let at = Some(Timestamp::from_millis(9));
        let settled = |state, due, kept| Settled { state: Some(state), due, kept };
        let (logged, counts) = reported(&settled(DeliveryState::Failed, None, true));
        assert!(logged.contains("WARN") && logged.contains("delivery failed") && logged.contains("gave up"), "{logged}");
        assert_eq!(counts, [0, 1, 0, 0]);
        // An operator cancelled it during the attempt, or retried it.
        assert_eq!(reported(&settled(DeliveryState::Cancelled, None, true)), (String::new(), [0, 0, 1, 0]));
        let (logged, counts) = reported(&settled(DeliveryState::Retrying, at, true));
        assert!(logged.contains("retry scheduled") && !logged.contains("failed"), "{logged}");
        assert_eq!(counts, [0; 4]);
        // Erased, or settled before.
        assert_eq!(reported(&Settled::default()), (String::new(), [0; 4]));
        assert_eq!(reported(&settled(DeliveryState::Failed, None, false)), (String::new(), [0; 4]));
    }

    #[test]
    fn a_notice_of_a_failure_is_raised_only_if_it_failed() {
        let failed = || FailedDelivery {
            webhook: WebhookId::parse("ops").unwrap(),
            delivery: DeliveryId { created: Timestamp::from_millis(1), number: 1 },
            event: Arc::new(crate::model::Event {
                id: crate::model::EventId::parse("e").unwrap(),
                kind: crate::model::EventType::parse("t").unwrap(),
                timestamp: Timestamp::default(),
                received: Timestamp::default(),
                data: bytes::Bytes::new(),
                metadata: None,
                tenant: None,
            }),
            attempts: 1,
            status: None,
            error: String::new(),
        };
        let recorded = |state, kept| Settled { state: Some(state), due: None, kept };
        let (failure, transform) = (Notice::DeliveryFailed(failed()), Notice::TransformFailed(failed()));
        assert!(is_true(&failure, &recorded(DeliveryState::Failed, true)));
        assert!(!is_true(&failure, &recorded(DeliveryState::Cancelled, true)));
        assert!(is_true(&transform, &recorded(DeliveryState::Retrying, true)));
        assert!(!is_true(&transform, &recorded(DeliveryState::Retrying, false)), "erased");
    }
}
