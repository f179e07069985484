//! The status of webhooks: disabled, failing, breaker open. It outlives every snapshot; routing, attempts and the API read
//! it. Holds only webhooks with a status other than the default, so that a hundred thousand others cost nothing.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::model::{Condition, Disabled, WebhookKey, WebhookStatus};

/// Parts of the board: a change copies one of them. When everything is down at once, ten thousand changes follow one
/// another, and each copies 40 entries instead of ten thousand.
const PARTS: usize = 256;

type Part = HashMap<WebhookKey, WebhookStatus>;

/// Read on every route and attempt, written when a webhook is switched or its breaker turns.
pub struct StatusBoard {
    parts: Box<[ArcSwap<Part>]>,
    /// Switched since the dispatcher last asked.
    switched: Mutex<Vec<WebhookKey>>,
    has_switched: Notify,
    /// Deleted over the API since the start: what is left of their deliveries is cancelled instead of held.
    deleted: Mutex<HashSet<WebhookKey>>,
}

impl Default for StatusBoard {
    fn default() -> Self {
        Self::new(HashMap::new())
    }
}

impl StatusBoard {
    /// As the store has it.
    pub fn new(statuses: HashMap<WebhookKey, WebhookStatus>) -> Self {
        let mut parts: Vec<Part> = vec![Part::new(); PARTS];
        for (webhook, status) in statuses {
            parts[index(webhook)].insert(webhook, status);
        }
        let parts = parts.into_iter().map(ArcSwap::from_pointee).collect();
        Self { parts, switched: Mutex::default(), has_switched: Notify::default(), deleted: Mutex::default() }
    }

    /// All with a status other than the default, in no order.
    pub fn all(&self) -> Vec<(WebhookKey, WebhookStatus)> {
        let part = |part: &ArcSwap<Part>| part.load().iter().map(|(key, status)| (*key, status.clone())).collect::<Vec<_>>();
        self.parts.iter().flat_map(part).collect()
    }

    /// Whether any breaker is open.
    pub fn has_open(&self) -> bool {
        self.parts.iter().any(|part| part.load().values().any(|status| status.condition.open.is_some()))
    }

    pub fn status(&self, webhook: WebhookKey) -> WebhookStatus {
        self.part(webhook).load().get(&webhook).cloned().unwrap_or_default()
    }

    pub fn is_disabled(&self, webhook: WebhookKey) -> bool {
        self.part(webhook).load().get(&webhook).is_some_and(|status| status.disabled.is_some())
    }

    /// `None` switches it on. To be called after the store has it.
    pub fn switch(&self, webhook: WebhookKey, disabled: Option<Disabled>) {
        self.update(webhook, |status| status.disabled.clone_from(&disabled));
        self.switched.lock().unwrap_or_else(PoisonError::into_inner).push(webhook);
        self.has_switched.notify_one();
    }

    pub fn set_condition(&self, webhook: WebhookKey, condition: Condition) {
        self.update(webhook, |status| status.condition = condition);
    }

    /// Waits for switched webhooks. Cancel-safe: what is taken is taken in the last poll.
    pub async fn switched(&self) -> Vec<WebhookKey> {
        loop {
            let news = self.has_switched.notified();
            let switched = std::mem::take(&mut *self.switched.lock().unwrap_or_else(PoisonError::into_inner));
            if !switched.is_empty() {
                return switched;
            }
            news.await;
        }
    }

    /// Deleted over the API, on purpose: nobody waits for its return. Its status stays until it is gone.
    pub fn delete(&self, webhook: WebhookKey) {
        self.deleted().insert(webhook);
    }

    /// As a webhook that is new.
    pub fn reset(&self, webhook: WebhookKey) {
        self.set_condition(webhook, Condition::default());
        self.switch(webhook, None);
    }

    pub fn is_deleted(&self, webhook: WebhookKey) -> bool {
        self.deleted().contains(&webhook)
    }

    /// Deleted webhooks that exist again are enabled: what the dispatcher knows of their breakers is about the ones before.
    pub fn restore(&self, exists: impl Fn(WebhookKey) -> bool) {
        let restored: Vec<WebhookKey> = self.deleted().extract_if(|key| exists(*key)).collect();
        for webhook in restored {
            if !self.is_disabled(webhook) {
                self.switch(webhook, None);
            }
        }
    }

    fn deleted(&self) -> MutexGuard<'_, HashSet<WebhookKey>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, webhook: WebhookKey, change: impl Fn(&mut WebhookStatus)) {
        self.part(webhook).rcu(|current| {
            let mut next = Part::clone(current);
            let mut status = next.remove(&webhook).unwrap_or_default();
            change(&mut status);
            if status != WebhookStatus::default() {
                next.insert(webhook, status);
            }
            next
        });
    }

    fn part(&self, webhook: WebhookKey) -> &ArcSwap<Part> {
        &self.parts[index(webhook)]
    }
}

fn index(webhook: WebhookKey) -> usize {
    usize::try_from(webhook.0.rem_euclid(PARTS as i64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DisabledBy, Open, Timestamp};

    #[tokio::test]
    async fn only_unusual_statuses_are_stored_and_switches_are_reported() {
        let board = StatusBoard::default();
        let disabled = Disabled { by: DisabledBy::Operator, reason: "r".to_owned(), at: Timestamp::default(), endpoint: None };
        board.switch(WebhookKey(1), Some(disabled));
        assert!(board.is_disabled(WebhookKey(1)) && !board.is_disabled(WebhookKey(2)));
        board.switch(WebhookKey(1), None);
        assert!(board.all().is_empty());
        assert_eq!(board.switched().await, [WebhookKey(1), WebhookKey(1)]);
        let failing = Condition { failing_since: Some(Timestamp::default()), ..Condition::default() };
        let keys: Vec<WebhookKey> = (0..1000).map(WebhookKey).collect();
        keys.iter().for_each(|key| board.set_condition(*key, failing));
        let mut stored: Vec<WebhookKey> = board.all().into_iter().map(|(key, _)| key).collect();
        stored.sort_unstable_by_key(|key| key.0);
        assert_eq!(stored, keys);
        assert!(!board.has_open());
        board.delete(WebhookKey(2));
        board.reset(WebhookKey(2));
        assert!(board.is_deleted(WebhookKey(2)) && board.status(WebhookKey(2)) == WebhookStatus::default());
        board.switched().await;
        board.restore(|key| key == WebhookKey(2));
        assert!(!board.is_deleted(WebhookKey(2)));
        assert_eq!(board.switched().await, [WebhookKey(2)]);
        board.set_condition(WebhookKey(2), failing);
        let open = Some(Open { since: Timestamp::default(), until: Timestamp::default() });
        board.set_condition(WebhookKey(7), Condition { open, ..failing });
        assert!(board.has_open());
        assert_eq!(StatusBoard::new(board.all().into_iter().collect()).status(WebhookKey(999)).condition, failing);
    }
}
