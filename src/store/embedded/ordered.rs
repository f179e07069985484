//! Ordered queues: one queue per key. Only its first delivery is due (a manual retry may go ahead); the others are blocked
//! until the one before them has ended, and are released in the commit that ends it. So the order holds through failures,
//! restarts and reloads, and a claim need not know of it.

use rusqlite::{OptionalExtension, params};

use super::writer::Writer;
use crate::model::{DeliveryState, OnFailure, WebhookKey};

/// Instead of a due time: waits for another delivery, not for a time.
pub(super) const BLOCKED: i64 = i64::MAX;

/// Deliveries that one commit releases when a key no longer blocks.
const UNBLOCK_MAX: usize = 500;

impl Writer {
    /// Which webhooks have deliveries in order: only their queues are read when a delivery ends.
    pub(super) fn recover_ordered_queues(&mut self) -> Result<(), rusqlite::Error> {
        let mut statement = self.connection.prepare("SELECT DISTINCT webhook FROM ordered")?;
        let webhooks = statement.query_map([], |row| row.get(0).map(WebhookKey))?;
        self.ordered_webhooks = webhooks.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Puts a new delivery at the end of its key's queue; `true` when others are before it.
    pub(super) fn enqueue_in_order(
        &mut self,
        webhook: WebhookKey,
        key: &str,
        gap: OnFailure,
        number: i64,
    ) -> Result<bool, rusqlite::Error> {
        let is_blocked = self
            .connection
            .prepare_cached("SELECT EXISTS(SELECT 1 FROM ordered WHERE webhook = ?1 AND key = ?2)")?
            .query_row(params![webhook.0, key], |row| row.get(0))?;
        self.connection
            .prepare_cached("INSERT INTO ordered(webhook, key, d, blocks) VALUES(?1, ?2, ?3, ?4)")?
            .execute(params![webhook.0, key, number, gap == OnFailure::Block])?;
        self.ordered_webhooks.insert(webhook);
        Ok(is_blocked)
    }

    /// Whether others of its key are before it.
    pub(super) fn is_blocked(&self, webhook: WebhookKey, number: i64) -> Result<bool, rusqlite::Error> {
        if !self.ordered_webhooks.contains(&webhook) {
            return Ok(false);
        }
        let Some((key, _)) = self.order_entry(number)? else { return Ok(false) };
        let mut statement =
            self.connection.prepare_cached("SELECT EXISTS(SELECT 1 FROM ordered WHERE webhook = ?1 AND key = ?2 AND d < ?3)")?;
        statement.query_row(params![webhook.0, key, number], |row| row.get(0))
    }

    /// A delivery has ended: releases the next of its key, unless this one was given up and blocks.
    pub(super) fn release_next(&mut self, webhook: WebhookKey, number: i64, end: DeliveryState) -> Result<(), rusqlite::Error> {
        if !self.ordered_webhooks.contains(&webhook) {
            return Ok(());
        }
        let Some((key, blocks)) = self.order_entry(number)? else { return Ok(()) };
        if blocks && end == DeliveryState::Failed {
            return Ok(());
        }
        self.connection
            .prepare_cached("DELETE FROM ordered WHERE webhook = ?1 AND key = ?2 AND d = ?3")?
            .execute(params![webhook.0, key, number])?;
        let next: Option<i64> = self
            .connection
            .prepare_cached("SELECT min(d) FROM ordered WHERE webhook = ?1 AND key = ?2")?
            .query_row(params![webhook.0, key], |row| row.get(0))?;
        let Some(next) = next else { return Ok(()) };
        let now = self.clock.now();
        let released = self
            .connection
            .prepare_cached("UPDATE deliveries SET due = ?2 WHERE d = ?1 AND due = ?3")?
            .execute(params![next, now.as_millis(), BLOCKED])?;
        if released > 0 {
            self.make_due(webhook, now);
        }
        Ok(())
    }

    /// For a delivery that was given up, which the caller checks: whether it still blocks its key.
    pub(super) fn blocks(&self, webhook: WebhookKey, number: i64) -> Result<bool, rusqlite::Error> {
        Ok(self.ordered_webhooks.contains(&webhook) && self.order_entry(number)?.is_some())
    }

    /// The webhook no longer blocks: takes up to `UNBLOCK_MAX` given-up deliveries out of their queues. `blocks` is cleared
    /// on the other rows only when none is left: a restart that still finds it set unblocks again.
    pub(super) fn unblock(&mut self, webhook: WebhookKey) -> Result<u64, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT o.d FROM ordered o JOIN deliveries d ON d.d = o.d WHERE o.webhook = ?1 AND d.state = ?2 LIMIT ?3",
        )?;
        let rows = statement.query_map(params![webhook.0, DeliveryState::Failed as u8, UNBLOCK_MAX], |row| row.get(0))?;
        let failed = rows.collect::<Result<Vec<i64>, _>>()?;
        drop(statement);
        for number in &failed {
            // Passed as `Cancelled`: a `Failed` one would stay and block. Its stored state remains failed.
            self.release_next(webhook, *number, DeliveryState::Cancelled)?;
        }
        if failed.is_empty() {
            self.connection
                .prepare_cached("UPDATE ordered SET blocks = 0 WHERE webhook = ?1 AND blocks = 1")?
                .execute([webhook.0])?;
        }
        Ok(failed.len() as u64)
    }

    fn order_entry(&self, number: i64) -> Result<Option<(String, bool)>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached("SELECT key, blocks FROM ordered WHERE d = ?1")?;
        statement.query_row([number], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    }
}
