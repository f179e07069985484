//! How webhooks stand at the moment: what outlives every snapshot, for whoever routes, attempts or shows. Holds only
//! those that are not simply well, so that a hundred thousand others cost nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::model::{Condition, Disabled, Standing, WebhookKey};

/// Parts of the board: a change copies one of them. When everything is down at once, ten thousand changes follow one
/// another, and each copies 40 entries instead of ten thousand.
const PARTS: usize = 256;

type Part = HashMap<WebhookKey, Standing>;

/// Read on every route and attempt, written when a webhook is switched or its breaker turns.
pub struct Switchboard {
    parts: Box<[ArcSwap<Part>]>,
    /// Switched since the dispatcher last looked.
    switched: Mutex<Vec<WebhookKey>>,
    news: Notify,
}

impl Default for Switchboard {
    fn default() -> Self {
        Self::new(HashMap::new())
    }
}

impl Switchboard {
    /// As the store has kept it.
    pub fn new(standings: HashMap<WebhookKey, Standing>) -> Self {
        let mut parts: Vec<Part> = vec![Part::new(); PARTS];
        for (webhook, standing) in standings {
            parts[index(webhook)].insert(webhook, standing);
        }
        let parts = parts.into_iter().map(ArcSwap::from_pointee).collect();
        Self { parts, switched: Mutex::default(), news: Notify::default() }
    }

    /// All that are not simply well, in no order.
    pub fn all(&self) -> Vec<(WebhookKey, Standing)> {
        let part = |part: &ArcSwap<Part>| part.load().iter().map(|(key, standing)| (*key, standing.clone())).collect::<Vec<_>>();
        self.parts.iter().flat_map(part).collect()
    }

    /// Whether any breaker is open.
    pub fn has_open(&self) -> bool {
        self.parts.iter().any(|part| part.load().values().any(|standing| standing.condition.open.is_some()))
    }

    pub fn standing(&self, webhook: WebhookKey) -> Standing {
        self.part(webhook).load().get(&webhook).cloned().unwrap_or_default()
    }

    pub fn is_disabled(&self, webhook: WebhookKey) -> bool {
        self.part(webhook).load().get(&webhook).is_some_and(|standing| standing.disabled.is_some())
    }

    /// `None` switches it on. To be called after the store has it.
    pub fn switch(&self, webhook: WebhookKey, disabled: Option<Disabled>) {
        self.update(webhook, |standing| standing.disabled.clone_from(&disabled));
        self.switched.lock().unwrap_or_else(PoisonError::into_inner).push(webhook);
        self.news.notify_one();
    }

    pub fn set_condition(&self, webhook: WebhookKey, condition: Condition) {
        self.update(webhook, |standing| standing.condition = condition);
    }

    /// Waits for switched webhooks. Cancel-safe: what is taken is taken in the last poll.
    pub async fn switched(&self) -> Vec<WebhookKey> {
        loop {
            let news = self.news.notified();
            let switched = std::mem::take(&mut *self.switched.lock().unwrap_or_else(PoisonError::into_inner));
            if !switched.is_empty() {
                return switched;
            }
            news.await;
        }
    }

    fn update(&self, webhook: WebhookKey, change: impl Fn(&mut Standing)) {
        self.part(webhook).rcu(|current| {
            let mut next = Part::clone(current);
            let mut standing = next.remove(&webhook).unwrap_or_default();
            change(&mut standing);
            if standing != Standing::default() {
                next.insert(webhook, standing);
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
    async fn only_what_is_not_well_is_held_and_switches_are_told() {
        let board = Switchboard::default();
        let disabled = Disabled { by: DisabledBy::Operator, reason: "r".to_owned(), at: Timestamp::default(), endpoint: None };
        board.switch(WebhookKey(1), Some(disabled));
        assert!(board.is_disabled(WebhookKey(1)) && !board.is_disabled(WebhookKey(2)));
        board.switch(WebhookKey(1), None);
        assert!(board.all().is_empty());
        assert_eq!(board.switched().await, [WebhookKey(1), WebhookKey(1)]);
        let failing = Condition { failing_since: Some(Timestamp::default()), ..Condition::default() };
        let keys: Vec<WebhookKey> = (0..1000).map(WebhookKey).collect();
        keys.iter().for_each(|key| board.set_condition(*key, failing));
        let mut told: Vec<WebhookKey> = board.all().into_iter().map(|(key, _)| key).collect();
        told.sort_unstable_by_key(|key| key.0);
        assert_eq!(told, keys);
        assert!(!board.has_open());
        let open = Some(Open { since: Timestamp::default(), until: Timestamp::default() });
        board.set_condition(WebhookKey(7), Condition { open, ..failing });
        assert!(board.has_open());
        assert_eq!(Switchboard::new(board.all().into_iter().collect()).standing(WebhookKey(999)).condition, failing);
    }
}
