//! What operators and reloads do: webhook numbers, sweeps over waiting deliveries, manual retry and cancel.

use rusqlite::{OptionalExtension, params};

use super::ordered::BLOCKED;
use super::rows;
use super::states::with_states;
use super::writer::Writer;
use crate::model::lifecycle::{self, Change, Next};
use crate::model::{DeliveryId, DeliveryState, Timestamp, Trigger, WebhookId, WebhookKey};
use crate::store::Sweep;

/// Deliveries that a sweep changes in one commit: some 10 ms, so that publishers hardly notice.
const SWEEP_MAX: usize = 2000;

impl Writer {
    pub(super) fn intern(&self, ids: &[WebhookId]) -> Result<Vec<WebhookKey>, rusqlite::Error> {
        let mut insert = self.connection.prepare_cached("INSERT INTO webhooks(id) VALUES(?1) ON CONFLICT(id) DO NOTHING")?;
        let mut select = self.connection.prepare_cached("SELECT key FROM webhooks WHERE id = ?1")?;
        let mut key = |id: &WebhookId| -> Result<WebhookKey, rusqlite::Error> {
            if let Some(key) = select.query_row([id.as_str()], |row| row.get(0)).optional()? {
                return Ok(WebhookKey(key));
            }
            insert.execute([id.as_str()])?;
            Ok(WebhookKey(self.connection.last_insert_rowid()))
        };
        ids.iter().map(&mut key).collect()
    }

    pub(super) fn sweep(&mut self, webhook: WebhookKey, sweep: Sweep) -> Result<u64, rusqlite::Error> {
        if sweep == Sweep::Unblock {
            return self.unblock(webhook);
        }
        let now = self.clock.now();
        let waiting = "SELECT d, state, count FROM deliveries WHERE webhook = ?1 AND due IS NOT NULL LIMIT ?2";
        let held = "SELECT d, state, count FROM deliveries WHERE webhook = ?1 AND state = :held AND state IN :indexed LIMIT ?2";
        let mut rows = match sweep {
            Sweep::Hold | Sweep::HoldRemoved => self.sweepable(waiting, webhook)?,
            Sweep::Release => self.sweepable(held, webhook)?,
            Sweep::Cancel => self.sweepable(waiting, webhook)?,
            Sweep::Unblock => Vec::new(),
        };
        if sweep == Sweep::Cancel && rows.is_empty() {
            rows = self.sweepable(held, webhook)?;
        }
        for (number, before, count) in &rows {
            let change = match sweep {
                Sweep::Hold => Change::Hold { reason: "the webhook is disabled" },
                Sweep::HoldRemoved => Change::Hold { reason: super::removed::REASON },
                Sweep::Release => Change::Release { tried: *count > 0 },
                Sweep::Cancel | Sweep::Unblock => Change::Cancel { reason: "the webhook was removed" },
            };
            self.change(*number, webhook, *before, change)?;
        }
        if sweep == Sweep::Release && !rows.is_empty() {
            self.make_due(webhook, now);
        }
        Ok(rows.len() as u64)
    }

    fn sweepable(&self, sql: &str, webhook: WebhookKey) -> Result<Vec<(i64, DeliveryState, u32)>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(&with_states(sql))?;
        let rows = statement
            .query_map(params![webhook.0, SWEEP_MAX], |row| Ok((row.get(0)?, super::rows::state(row, 1)?, row.get(2)?)))?;
        rows.collect()
    }

    pub(super) fn retry(&mut self, delivery: DeliveryId, retransform: bool) -> Result<Option<DeliveryState>, rusqlite::Error> {
        let Some((webhook, before)) = self.state_of(delivery)? else { return Ok(None) };
        let state = self.change(delivery.number, webhook, before, Change::Retry)?;
        self.request_retry(webhook, delivery.number, Trigger::Manual, retransform)?;
        Ok(Some(state))
    }

    /// Another attempt now, even if one is in flight: the lease that waits in memory is revoked, and an attempt in flight finds
    /// the request when it is settled. A replay has a budget of its own.
    pub(super) fn request_retry(
        &mut self,
        webhook: WebhookKey,
        number: i64,
        trigger: Trigger,
        retransform: bool,
    ) -> Result<(), rusqlite::Error> {
        let spent_factor = i64::from(trigger != Trigger::Replay);
        self.connection
            .prepare_cached(
                "UPDATE deliveries SET trigger = (trigger / 16 + 1) * 16 + ?2, spent = spent * ?4,
                 request = CASE WHEN ?3 THEN NULL ELSE request END WHERE d = ?1",
            )?
            .execute(params![number, rows::packed(trigger, retransform), retransform, spent_factor])?;
        self.make_due(webhook, self.clock.now());
        self.effects.cancelled.push((webhook, number));
        Ok(())
    }

    pub(super) fn cancel(&mut self, delivery: DeliveryId) -> Result<Option<DeliveryState>, rusqlite::Error> {
        let Some((webhook, before)) = self.state_of(delivery)? else { return Ok(None) };
        let change = if before == DeliveryState::Failed && self.blocks(webhook, delivery.number)? {
            Change::Waive { reason: "cancelled manually, so that its key goes on" }
        } else {
            Change::Cancel { reason: "cancelled manually" }
        };
        let state = self.change(delivery.number, webhook, before, change)?;
        if state != before {
            self.effects.cancelled.push((webhook, delivery.number));
        }
        Ok(Some(state))
    }

    pub(super) fn state_of(&self, delivery: DeliveryId) -> Result<Option<(WebhookKey, DeliveryState)>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT d.webhook, d.state FROM deliveries d JOIN events e ON e.seq = d.event WHERE d.d = ?1 AND e.received = ?2",
        )?;
        statement
            .query_row(params![delivery.number, delivery.created.as_millis()], |row| {
                Ok((WebhookKey(row.get(0)?), super::rows::state(row, 1)?))
            })
            .optional()
    }

    /// Writes what the change comes to; answers the state that it has then.
    pub(super) fn change(
        &mut self,
        number: i64,
        webhook: WebhookKey,
        before: DeliveryState,
        change: Change<'_>,
    ) -> Result<DeliveryState, rusqlite::Error> {
        let now = self.clock.now();
        let Some(Next { state, due, reason }) = lifecycle::next(before, change, now) else { return Ok(before) };
        let mut due = due.map(Timestamp::as_millis);
        if matches!(change, Change::Release { .. }) && self.is_blocked(webhook, number)? {
            due = Some(BLOCKED);
        }
        self.close_changed_batch(webhook, number);
        let settled = (!state.is_open()).then(|| now.as_millis());
        self.connection
            .prepare_cached("UPDATE deliveries SET state = ?2, due = ?3, settled = ?4, reason = ?5 WHERE d = ?1")?
            .execute(params![number, state as u8, due, settled, reason])?;
        // From here on a restart finds all of it in its row: the watermark need not wait for it.
        self.effects.settled.push(number);
        self.tally.moved(&self.connection, webhook, Some(before), state, now)?;
        if !state.is_open() {
            self.release_next(webhook, number, state)?;
        }
        Ok(state)
    }

    pub(super) fn make_due(&mut self, webhook: WebhookKey, at: Timestamp) {
        self.handover.spill(webhook);
        self.effects.due.push((webhook, at));
    }
}
