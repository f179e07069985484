//! How webhooks stand at the moment: what outlives every snapshot, for whoever routes, attempts or shows. Holds only
//! those that are not simply well, so that a hundred thousand others cost nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::model::{Condition, Disabled, Standing, WebhookKey};

/// Read on every route and attempt, written when a webhook is switched or its breaker turns.
#[derive(Default)]
pub struct Switchboard {
    standings: ArcSwap<HashMap<WebhookKey, Standing>>,
    /// Switched since the dispatcher last looked.
    switched: Mutex<Vec<WebhookKey>>,
    news: Notify,
}

impl Switchboard {
    /// As the store has kept it.
    pub fn new(standings: HashMap<WebhookKey, Standing>) -> Self {
        Self { standings: ArcSwap::from_pointee(standings), ..Self::default() }
    }

    pub fn all(&self) -> Arc<HashMap<WebhookKey, Standing>> {
        self.standings.load_full()
    }

    pub fn standing(&self, webhook: WebhookKey) -> Standing {
        self.standings.load().get(&webhook).cloned().unwrap_or_default()
    }

    pub fn is_disabled(&self, webhook: WebhookKey) -> bool {
        self.standings.load().get(&webhook).is_some_and(|standing| standing.disabled.is_some())
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
        self.standings.rcu(|current| {
            let mut next = HashMap::clone(current);
            let mut standing = next.remove(&webhook).unwrap_or_default();
            change(&mut standing);
            if standing != Standing::default() {
                next.insert(webhook, standing);
            }
            next
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DisabledBy, Timestamp};

    #[tokio::test]
    async fn only_what_is_not_well_is_held_and_switches_are_told() {
        let board = Switchboard::default();
        let disabled = Disabled { by: DisabledBy::Operator, reason: "r".to_owned(), at: Timestamp::default(), endpoint: None };
        board.switch(WebhookKey(1), Some(disabled));
        assert!(board.is_disabled(WebhookKey(1)) && !board.is_disabled(WebhookKey(2)));
        board.switch(WebhookKey(1), None);
        assert!(board.all().is_empty());
        assert_eq!(board.switched().await, [WebhookKey(1), WebhookKey(1)]);
    }
}
