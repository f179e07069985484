//! Deliveries that go in the order of a key. Of each key only the first is ever due; the others are parked until the one
//! before them has ended, in the commit that ends it. So the order holds through failures, restarts and reloads, and
//! whoever claims need not know of it.

use rusqlite::{OptionalExtension, params};

use super::writer::Writer;
use crate::model::{DeliveryState, OnGap, WebhookKey};

/// In place of a due time: waits for another delivery, not for a time.
pub(super) const PARKED: i64 = i64::MAX;

/// Deliveries that one commit lets go when a key no longer blocks.
const UNBLOCK_MAX: usize = 500;

impl Writer {
    /// Which webhooks have deliveries in order: only those are looked up when something ends.
    pub(super) fn recover_lines(&mut self) -> Result<(), rusqlite::Error> {
        let mut statement = self.connection.prepare("SELECT DISTINCT webhook FROM ordered")?;
        let lines = statement.query_map([], |row| row.get(0).map(WebhookKey))?;
        self.lines = lines.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Puts a new delivery at the end of its key's line; `true` when others stand before it.
    pub(super) fn line_up(&mut self, webhook: WebhookKey, key: &str, gap: OnGap, number: i64) -> Result<bool, rusqlite::Error> {
        let behind = self
            .connection
            .prepare_cached("SELECT EXISTS(SELECT 1 FROM ordered WHERE webhook = ?1 AND key = ?2)")?
            .query_row(params![webhook.0, key], |row| row.get(0))?;
        self.connection
            .prepare_cached("INSERT INTO ordered(webhook, key, d, blocks) VALUES(?1, ?2, ?3, ?4)")?
            .execute(params![webhook.0, key, number, gap == OnGap::Block])?;
        self.lines.insert(webhook);
        Ok(behind)
    }

    /// Whether others stand before it.
    pub(super) fn is_behind(&self, webhook: WebhookKey, number: i64) -> Result<bool, rusqlite::Error> {
        if !self.lines.contains(&webhook) {
            return Ok(false);
        }
        let Some((key, _)) = self.place_in_line(number)? else { return Ok(false) };
        let mut statement =
            self.connection.prepare_cached("SELECT EXISTS(SELECT 1 FROM ordered WHERE webhook = ?1 AND key = ?2 AND d < ?3)")?;
        statement.query_row(params![webhook.0, key, number], |row| row.get(0))
    }

    /// A delivery has ended: the next of its key may go, unless this one was given up and blocks.
    pub(super) fn leave_line(&mut self, webhook: WebhookKey, number: i64, end: DeliveryState) -> Result<(), rusqlite::Error> {
        if !self.lines.contains(&webhook) {
            return Ok(());
        }
        let Some((key, blocks)) = self.place_in_line(number)? else { return Ok(()) };
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
        let let_go = self
            .connection
            .prepare_cached("UPDATE deliveries SET due = ?2 WHERE d = ?1 AND due = ?3")?
            .execute(params![next, now.as_millis(), PARKED])?;
        if let_go > 0 {
            self.make_due(webhook, now);
        }
        Ok(())
    }

    /// Whether it was given up and keeps its key from going on.
    pub(super) fn blocks(&self, webhook: WebhookKey, number: i64) -> Result<bool, rusqlite::Error> {
        Ok(self.lines.contains(&webhook) && self.place_in_line(number)?.is_some())
    }

    /// The webhook no longer blocks on what was given up: its keys go on. Only when none is left do the others lose
    /// their mark, by which a restart knows that there is something to be let go.
    pub(super) fn unblock(&mut self, webhook: WebhookKey) -> Result<u64, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT o.d FROM ordered o JOIN deliveries d ON d.d = o.d WHERE o.webhook = ?1 AND d.state = ?2 LIMIT ?3",
        )?;
        let rows = statement.query_map(params![webhook.0, DeliveryState::Failed as u8, UNBLOCK_MAX], |row| row.get(0))?;
        let failed = rows.collect::<Result<Vec<i64>, _>>()?;
        drop(statement);
        for number in &failed {
            // As one that was cancelled it blocks nothing.
            self.leave_line(webhook, *number, DeliveryState::Cancelled)?;
        }
        if failed.is_empty() {
            self.connection
                .prepare_cached("UPDATE ordered SET blocks = 0 WHERE webhook = ?1 AND blocks = 1")?
                .execute([webhook.0])?;
        }
        Ok(failed.len() as u64)
    }

    fn place_in_line(&self, number: i64) -> Result<Option<(String, bool)>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached("SELECT key, blocks FROM ordered WHERE d = ?1")?;
        statement.query_row([number], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    }
}
