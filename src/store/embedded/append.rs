//! An event and its deliveries, in one commit.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{OptionalExtension, params};

use super::ordered::BLOCKED;
use super::writer::Writer;
use crate::model::{DeliveryId, DeliveryState, Intake, Target, Timestamp, Trigger, WebhookKey};
use crate::store::{Accepted, Lease, NewEvent};

/// What is stored under an id.
struct Known {
    same: bool,
    deliveries: u32,
}

/// What to do with one event of a call.
enum Verdict {
    Insert,
    Duplicate { deliveries: u32 },
    Conflict,
}

impl Writer {
    pub(super) fn append(&mut self, events: &[NewEvent]) -> Result<Vec<Accepted>, rusqlite::Error> {
        // All verdicts are reached before the first row is written, so a conflict has nothing to undo.
        let mut verdicts = Vec::with_capacity(events.len());
        let mut in_this_call: HashMap<&str, &NewEvent> = HashMap::new();
        for new in events {
            let known = match in_this_call.get(new.event.id.as_str()) {
                Some(first) => Some(Known { same: same_content(first, new), deliveries: target_count(first) }),
                None => self.known(new)?,
            };
            if events.len() > 1 && known.is_none() {
                in_this_call.insert(new.event.id.as_str(), new);
            }
            verdicts.push(match known {
                None => Verdict::Insert,
                Some(Known { same: true, deliveries }) => Verdict::Duplicate { deliveries },
                Some(Known { same: false, .. }) => Verdict::Conflict,
            });
        }
        let nothing_is_stored = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Conflict));
        let answers = events.iter().zip(verdicts).map(|(new, verdict)| {
            Ok(match verdict {
                Verdict::Insert if nothing_is_stored => Accepted::New { deliveries: Vec::new() },
                Verdict::Insert => Accepted::New { deliveries: self.insert(new)? },
                Verdict::Duplicate { deliveries } => Accepted::Duplicate { deliveries },
                Verdict::Conflict => Accepted::Conflict,
            })
        });
        answers.collect()
    }

    fn known(&self, new: &NewEvent) -> Result<Option<Known>, rusqlite::Error> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT type, timestamp, tenant, metadata, data, targets FROM events WHERE id = ?1")?;
        let event = &new.event;
        statement
            .query_row([event.id.as_str()], |row| {
                let same = row.get_ref(0)?.as_str()? == event.kind.as_str()
                    && (!new.timestamp_given || row.get::<_, i64>(1)? == event.timestamp.as_millis())
                    && row.get_ref(2)?.as_str_or_null()? == event.tenant.as_deref()
                    && row.get_ref(3)?.as_blob_or_null()? == event.metadata.as_deref()
                    && row.get_ref(4)?.as_blob()? == &event.data[..];
                Ok(Known { same, deliveries: row.get(5)? })
            })
            .optional()
    }

    fn insert(&mut self, new: &NewEvent) -> Result<Vec<DeliveryId>, rusqlite::Error> {
        let event = &new.event;
        self.counters.event += 1;
        let seq = self.counters.event;
        let first = self.counters.delivery + 1;
        let unmatched = (!new.unmatched.is_empty()).then(|| serde_json::to_string(&new.unmatched).unwrap_or_default());
        self.connection
            .prepare_cached(
                "INSERT INTO events(seq, id, type, timestamp, received, tenant, metadata, first, targets, unmatched, data)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                seq,
                event.id.as_str(),
                event.kind.as_str(),
                event.timestamp.as_millis(),
                event.received.as_millis(),
                event.tenant.as_deref(),
                event.metadata.as_deref(),
                first,
                target_count(new),
                unmatched,
                &event.data[..],
            ])?;
        self.seen.count(&event.kind, event.received);
        new.targets.iter().map(|target| self.insert_delivery(new, seq, target)).collect()
    }

    fn insert_delivery(&mut self, new: &NewEvent, seq: i64, target: &Target) -> Result<DeliveryId, rusqlite::Error> {
        let (event, webhook) = (&new.event, target.webhook);
        self.counters.delivery += 1;
        let number = self.counters.delivery;
        let id = DeliveryId { created: event.received, number };
        match &target.intake {
            Some(Intake::Batched(policy)) => return self.join_batch(new, seq, webhook, number, policy),
            Some(Intake::Ordered { key, on_gap }) if self.enqueue_in_order(webhook, key, *on_gap, number)? => {
                self.insert_row(number, seq, webhook, Some(BLOCKED), event.received)?;
                return Ok(id);
            }
            Some(Intake::Ordered { .. }) | None => {}
        }
        // A delivery that is handed over in memory is not entered into the index of due ones: a recovery finds it by the watermark.
        let Some(slot) = self.handover.reserve(webhook, event.size()) else {
            // At once: the clock may have been set back since the event was received.
            let due = event.received.min(self.clock.now());
            self.insert_row(number, seq, webhook, Some(due.as_millis()), event.received)?;
            self.handover.spill(webhook);
            self.effects.due.push((webhook, due));
            return Ok(id);
        };
        self.insert_row(number, seq, webhook, None, event.received)?;
        self.effects.fresh.push(Lease {
            delivery: id,
            webhook,
            event: Arc::clone(event),
            batch: None,
            attempts_spent: 0,
            attempt_count: 0,
            trigger: Trigger::Scheduled,
            retry_requests: 0,
            edition: 0,
            made: None,
            slot: Some(slot),
        });
        Ok(id)
    }

    /// A new delivery, the newest of its webhook.
    pub(super) fn insert_row(
        &mut self,
        number: i64,
        event: i64,
        webhook: WebhookKey,
        due: Option<i64>,
        now: Timestamp,
    ) -> Result<(), rusqlite::Error> {
        let prev = self.tally.chain(&self.connection, webhook, number)?;
        self.tally.moved(&self.connection, webhook, None, DeliveryState::Pending, now)?;
        self.connection
            .prepare_cached("INSERT INTO deliveries(d, event, webhook, prev, state, due) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![number, event, webhook.0, prev, DeliveryState::Pending as u8, due])?;
        Ok(())
    }
}

fn target_count(new: &NewEvent) -> u32 {
    u32::try_from(new.targets.len()).unwrap_or(u32::MAX)
}

fn same_content(first: &NewEvent, second: &NewEvent) -> bool {
    let (a, b) = (&first.event, &second.event);
    let same_time = |a: Timestamp, b: Timestamp| !second.timestamp_given || a == b;
    let same_bytes = |a: &Option<Bytes>, b: &Option<Bytes>| a == b;
    a.kind == b.kind
        && a.tenant == b.tenant
        && a.data == b.data
        && same_bytes(&a.metadata, &b.metadata)
        && same_time(a.timestamp, b.timestamp)
}
