//! When each webhook's lane has to be looked at: one ordered index, so that one sleeper is enough for all.

use std::collections::{BTreeSet, HashMap};

use crate::model::WebhookKey;

/// By wall-clock time for what waits on disk, by monotonic time for what is paced.
pub(super) struct DueIndex<T> {
    order: BTreeSet<(T, WebhookKey)>,
    at: HashMap<WebhookKey, T>,
}

impl<T> Default for DueIndex<T> {
    fn default() -> Self {
        Self { order: BTreeSet::new(), at: HashMap::new() }
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
    use crate::model::Timestamp;

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
}
