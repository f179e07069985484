//! When each webhook's lane has to be woken: one ordered index, so that one sleeper is enough for all.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::model::{Timestamp, WebhookKey};

/// By wall-clock time for deliveries on disk, by monotonic time for lanes that have to wait.
pub(super) struct DueIndex<T> {
    order: BTreeSet<(T, WebhookKey)>,
    at: HashMap<WebhookKey, T>,
}

impl<T> Default for DueIndex<T> {
    fn default() -> Self {
        Self { order: BTreeSet::new(), at: HashMap::new() }
    }
}

impl DueIndex<Timestamp> {
    /// The clock was set back: everything is due as far from now as before.
    pub(super) fn shift_back(&mut self, step: Duration) {
        let shifted = std::mem::take(&mut self.at).into_iter().map(|(webhook, at)| (webhook, at.before(step)));
        self.at = shifted.collect();
        self.order = self.at.iter().map(|(webhook, at)| (*at, *webhook)).collect();
    }
}

impl<T: Ord + Copy> DueIndex<T> {
    /// The earliest of all times that were set counts.
    pub(super) fn set(&mut self, webhook: WebhookKey, at: T) {
        match self.at.get(&webhook) {
            Some(known) if *known <= at => return,
            Some(known) => {
                self.order.remove(&(*known, webhook));
            }
            None => {}
        }
        self.at.insert(webhook, at);
        self.order.insert((at, webhook));
    }

    pub(super) fn first(&self) -> Option<T> {
        self.order.first().map(|(at, _)| *at)
    }

    /// A webhook whose time has come.
    pub(super) fn pop(&mut self, now: T) -> Option<WebhookKey> {
        let (at, webhook) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.order.pop_first();
        self.at.remove(&webhook);
        Some(webhook)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_come_in_the_order_of_their_earliest_time() {
        let mut due = DueIndex::default();
        let at = Timestamp::from_millis;
        due.set(WebhookKey(1), at(30));
        due.set(WebhookKey(2), at(20));
        due.set(WebhookKey(1), at(10));
        due.set(WebhookKey(1), at(40));
        assert_eq!(due.first(), Some(at(10)));
        assert_eq!(due.pop(at(25)), Some(WebhookKey(1)));
        assert_eq!(due.pop(at(25)), Some(WebhookKey(2)));
        assert_eq!(due.pop(at(25)), None);
        assert_eq!(due.first(), None);
    }

    #[test]
    fn a_clock_that_is_set_back_changes_no_distance() {
        let mut due = DueIndex::default();
        let at = Timestamp::from_millis;
        due.set(WebhookKey(1), at(3_600_004));
        due.set(WebhookKey(2), at(3_600_001));
        due.shift_back(Duration::from_secs(3600));
        due.set(WebhookKey(2), at(9));
        assert_eq!((due.pop(at(3)), due.first()), (Some(WebhookKey(2)), Some(at(4))));
        assert_eq!((due.pop(at(4)), due.first()), (Some(WebhookKey(1)), None));
    }
}
