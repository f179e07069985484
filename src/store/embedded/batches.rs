//! Batches: a delivery of several events. Each event joins in the commit that stores it, so a batch is as durable as its
//! events; that it waits is only its due time. A batch that may have been claimed takes no more events.

use rusqlite::params;

use super::writer::Writer;
use crate::model::{BatchPolicy, DeliveryId, DeliveryState, Event, Timestamp, WebhookKey};
use crate::store::NewEvent;

/// The batch of a webhook that still takes events. Those of an earlier process take none: they are due as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenBatch {
    id: DeliveryId,
    due: Timestamp,
    events: usize,
    bytes: usize,
}

/// What an envelope has beside the event's own text: names, quotes, the timestamp, a comma.
const ENVELOPE_BYTES: usize = 80;

impl Writer {
    /// `number` was given out for this event; it is the batch's own when the event is its first.
    pub(super) fn join_batch(
        &mut self,
        new: &NewEvent,
        seq: i64,
        webhook: WebhookKey,
        number: i64,
        policy: &BatchPolicy,
    ) -> Result<DeliveryId, rusqlite::Error> {
        let now = self.clock.now();
        let bytes = size(&new.event);
        let open = self.batches.get(&webhook).copied().filter(|open| open.due > now);
        let has_room = |open: &OpenBatch| open.events < policy.max_events && open.bytes + bytes <= policy.max_size;
        let batch = match open {
            Some(open) if has_room(&open) => OpenBatch { events: open.events + 1, bytes: open.bytes + bytes, ..open },
            full => {
                if full.is_some() {
                    self.close_batch(webhook)?;
                }
                let due = now.after(policy.max_wait);
                self.insert_row(number, seq, webhook, Some(due.as_millis()), new.event.received)?;
                self.handover.batches(webhook);
                self.effects.due.push((webhook, due));
                let id = DeliveryId { created: new.event.received, number };
                OpenBatch { id, due, events: 1, bytes }
            }
        };
        self.connection.prepare_cached("INSERT INTO members(m, d, event) VALUES(?1, ?2, ?3)")?.execute(params![
            number,
            batch.id.number,
            seq
        ])?;
        self.batches.insert(webhook, batch);
        if batch.events >= policy.max_events {
            self.close_batch(webhook)?;
        }
        Ok(batch.id)
    }

    /// It takes nothing more and goes now.
    fn close_batch(&mut self, webhook: WebhookKey) -> Result<(), rusqlite::Error> {
        let Some(batch) = self.batches.remove(&webhook) else { return Ok(()) };
        let now = self.clock.now();
        self.connection
            .prepare_cached("UPDATE deliveries SET due = ?2 WHERE d = ?1 AND state = ?3 AND due > ?2")?
            .execute(params![batch.id.number, now.as_millis(), DeliveryState::Pending as u8])?;
        self.make_due(webhook, now);
        Ok(())
    }

    /// A claim of what is due at `now` finds the batch whole: nothing joins it any more.
    pub(super) fn close_due_batch(&mut self, webhook: WebhookKey, now: Timestamp) {
        if self.batches.get(&webhook).is_some_and(|open| open.due <= now) {
            self.batches.remove(&webhook);
        }
    }

    /// An operator did something with it.
    pub(super) fn close_changed_batch(&mut self, webhook: WebhookKey, number: i64) {
        if self.batches.get(&webhook).is_some_and(|open| open.id.number == number) {
            self.batches.remove(&webhook);
        }
    }

    /// The later half of its events becomes a delivery of its own; the payloads of both are built again.
    pub(super) fn halve(&mut self, webhook: WebhookKey, number: i64, now: Timestamp) -> Result<(), rusqlite::Error> {
        let mut statement = self.connection.prepare_cached("SELECT m, event FROM members WHERE d = ?1 ORDER BY m")?;
        let rows = statement.query_map([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let members = rows.collect::<Result<Vec<(i64, i64)>, _>>()?;
        drop(statement);
        let Some((first, event)) = members.get(members.len().div_ceil(2)).copied() else { return Ok(()) };
        self.counters.delivery += 1;
        let half = self.counters.delivery;
        self.insert_row(half, event, webhook, Some(now.as_millis()), now)?;
        self.connection
            .prepare_cached("UPDATE members SET d = ?2 WHERE d = ?1 AND m >= ?3")?
            .execute(params![number, half, first])?;
        self.connection
            .prepare_cached("UPDATE deliveries SET request = NULL, edition = edition + 1 WHERE d = ?1")?
            .execute([number])?;
        self.make_due(webhook, now);
        Ok(())
    }
}

fn size(event: &Event) -> usize {
    event.size() + event.id.as_str().len() + event.kind.as_str().len() + ENVELOPE_BYTES
}
