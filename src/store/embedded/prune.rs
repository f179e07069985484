//! Retention: old events go with their deliveries and attempts, in commits small enough not to be noticed.

use rusqlite::{OptionalExtension, params};

use super::rows::timestamp;
use super::states::with_states;
use super::tally::HOUR_MS;
use super::writer::Writer;
use crate::model::{DeliveryState, Timestamp, WebhookKey};

/// Events read in one commit: with ten deliveries each still some 10 ms.
const EVENTS_MAX: usize = 200;

/// Bytes of the events removed in one commit: overwriting them takes as much of the WAL. Less on a small disk.
const BYTES_MAX: u64 = 4 << 20;

/// Hourly counts are stored for a month.
const HOURS_STORED: i64 = 31 * 24;

/// Rows of other kinds removed in one commit, and webhooks read: some 10 ms.
const ROWS_MAX: usize = 2000;

/// Where a round of retention goes on.
#[derive(Debug, Clone, Copy)]
pub(super) enum PruneAt {
    /// After the event of this number.
    Events(i64),
    /// After the webhook of this number.
    Hours(i64),
    Erased,
}

#[derive(Debug, Default)]
pub(super) struct PruneStep {
    /// Events.
    pub(super) removed: u64,
    /// Where the next step begins; `None` at the end.
    pub(super) next: Option<PruneAt>,
}

struct Seen {
    seq: i64,
    first: i64,
    targets: i64,
    received: Timestamp,
}

impl Writer {
    /// One step of a round: events first, then what is stored beside them.
    pub(super) fn prune(
        &mut self,
        at: PruneAt,
        events_before: Timestamp,
        failed_before: Timestamp,
    ) -> Result<PruneStep, rusqlite::Error> {
        match at {
            PruneAt::Events(after) => self.prune_events(after, events_before, failed_before),
            PruneAt::Hours(after) => {
                let next = self.prune_hours(after)?.map_or(PruneAt::Erased, PruneAt::Hours);
                Ok(PruneStep { removed: 0, next: Some(next) })
            }
            PruneAt::Erased => Ok(PruneStep { removed: 0, next: self.prune_erased()?.then_some(PruneAt::Erased) }),
        }
    }

    /// Reads the oldest events after number `after`. Open deliveries stay, failed ones stay until `failed_before`.
    fn prune_events(
        &mut self,
        after: i64,
        events_before: Timestamp,
        failed_before: Timestamp,
    ) -> Result<PruneStep, rusqlite::Error> {
        let (seen, is_cut) = self.next_events(after)?;
        let is_old = |event: &Seen| event.received < events_before;
        if seen.iter().any(is_old) {
            self.save_counters()?;
        }
        let mut removed = 0;
        for event in seen.iter().filter(|event| is_old(event)) {
            if self.is_spent(event, failed_before)? {
                self.remove(event)?;
                removed += 1;
            }
        }
        // Young ones alone end the round, since those after them are younger still; ones from the future, of a clock that
        // ran ahead, say nothing of those after them.
        let now = self.clock.now();
        let may_be_more = is_cut && seen.iter().any(|event| is_old(event) || event.received > now);
        let last = seen.last().filter(|_| may_be_more).map(|event| PruneAt::Events(event.seq));
        Ok(PruneStep { removed, next: Some(last.unwrap_or(PruneAt::Hours(0))) })
    }

    /// Numbers never come back, also when the newest rows go.
    pub(super) fn save_counters(&self) -> Result<(), rusqlite::Error> {
        self.save_meta("events", self.counters.event)?;
        self.save_meta("deliveries", self.counters.delivery)?;
        self.save_meta("attempts", self.counters.attempt)?;
        self.save_meta("requests", self.counters.request)
    }

    /// The next events in their order, and whether one of the limits ended the list.
    fn next_events(&self, after: i64) -> Result<(Vec<Seen>, bool), rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT seq, first, targets, received, length(data) FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?;
        let mut rows = statement.query(params![after, EVENTS_MAX])?;
        let (mut seen, mut bytes) = (Vec::new(), 0);
        let bytes_max = BYTES_MAX.min(self.reserve.bytes() / 4);
        while let Some(row) = rows.next()? {
            seen.push(Seen { seq: row.get(0)?, first: row.get(1)?, targets: row.get(2)?, received: timestamp(row, 3)? });
            bytes += row.get::<_, u64>(4)?;
            if bytes > bytes_max {
                return Ok((seen, true));
            }
        }
        let is_cut = seen.len() == EVENTS_MAX;
        Ok((seen, is_cut))
    }

    fn is_spent(&self, event: &Seen, failed_before: Timestamp) -> Result<bool, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(&with_states(
            "SELECT NOT EXISTS(SELECT 1 FROM deliveries WHERE d >= ?1 AND d < ?2
             AND (state IN :open OR (state = :failed AND settled >= ?3)))
             AND NOT EXISTS(SELECT 1 FROM members m JOIN deliveries d ON d.d = m.d WHERE m.m >= ?1 AND m.m < ?2
             AND (d.state IN :open OR (d.state = :failed AND d.settled >= ?3)))",
        ))?;
        let end = event.first + event.targets;
        statement.query_row(params![event.first, end, failed_before.as_millis()], |row| row.get(0))
    }

    fn remove(&mut self, event: &Seen) -> Result<(), rusqlite::Error> {
        let end = event.first + event.targets;
        for delivery in self.own_deliveries(event)? {
            self.remove_attempts(delivery)?;
            self.connection.prepare_cached("DELETE FROM deliveries WHERE d = ?1")?.execute([delivery])?;
            // Deliveries that it blocked, as a dead letter too, go on.
            let line = self
                .connection
                .prepare_cached("SELECT webhook FROM ordered WHERE d = ?1")?
                .query_row([delivery], |row| row.get(0).map(WebhookKey))
                .optional()?;
            if let Some(webhook) = line {
                self.release_next(webhook, delivery, DeliveryState::Cancelled)?;
            }
            self.connection.prepare_cached("DELETE FROM ordered WHERE d = ?1")?.execute([delivery])?;
        }
        self.connection.prepare_cached("DELETE FROM members WHERE m >= ?1 AND m < ?2")?.execute([event.first, end])?;
        self.connection.prepare_cached("DELETE FROM events WHERE seq = ?1")?.execute([event.seq])?;
        Ok(())
    }

    /// Those of its own, and the batches that begin with it; others go with their first event.
    fn own_deliveries(&self, event: &Seen) -> Result<Vec<i64>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT d FROM deliveries WHERE d >= ?1 AND d < ?2
             UNION SELECT m.d FROM members m JOIN deliveries d ON d.d = m.d WHERE m.m >= ?1 AND m.m < ?2 AND d.event = ?3",
        )?;
        let rows = statement.query_map([event.first, event.first + event.targets, event.seq], |row| row.get(0))?;
        rows.collect()
    }

    /// Attempts of a delivery, with the requests that they sent.
    pub(super) fn remove_attempts(&self, delivery: i64) -> Result<(), rusqlite::Error> {
        let mut last = self
            .connection
            .prepare_cached("SELECT last FROM deliveries WHERE d = ?1")?
            .query_row([delivery], |row| row.get::<_, i64>(0))
            .optional()?
            .unwrap_or(0);
        while last > 0 {
            let (prev, request): (i64, Option<i64>) = self
                .connection
                .prepare_cached("DELETE FROM attempts WHERE a = ?1 RETURNING prev, request")?
                .query_row([last], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?
                .unwrap_or((0, None));
            if let Some(request) = request {
                self.connection.prepare_cached("DELETE FROM requests WHERE r = ?1")?.execute([request])?;
            }
            last = prev;
        }
        Ok(())
    }

    /// What is left of erased deliveries older than every event; answers whether there may be more.
    fn prune_erased(&self) -> Result<bool, rusqlite::Error> {
        let removed = self
            .connection
            .prepare_cached(
                "DELETE FROM deliveries WHERE d IN (SELECT d FROM deliveries WHERE event = 0
                 AND d < coalesce((SELECT first FROM events ORDER BY seq LIMIT 1), 0) ORDER BY d LIMIT ?1)",
            )?
            .execute([ROWS_MAX])?;
        if removed > 0 {
            self.save_counters()?;
        }
        Ok(removed == ROWS_MAX)
    }

    /// Of the webhooks after number `after`. Each webhook's rows are neighbours in the index, so its old ones are found without
    /// reading the others. Answers the last webhook that is done, if there may be more.
    fn prune_hours(&self, after: i64) -> Result<Option<i64>, rusqlite::Error> {
        let oldest = self.clock.now().as_millis() / HOUR_MS - HOURS_STORED;
        let mut webhooks = self.connection.prepare_cached("SELECT key FROM webhooks WHERE key > ?1 ORDER BY key LIMIT ?2")?;
        let keys = webhooks.query_map(params![after, ROWS_MAX], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        let mut delete = self.connection.prepare_cached(
            "DELETE FROM hours WHERE webhook = ?1
             AND hour IN (SELECT hour FROM hours WHERE webhook = ?1 AND hour < ?2 ORDER BY hour LIMIT ?3)",
        )?;
        let (mut done, mut removed) = (after, 0);
        for key in &keys {
            removed += delete.execute(params![key, oldest, ROWS_MAX - removed])?;
            if removed == ROWS_MAX {
                return Ok(Some(done));
            }
            done = *key;
        }
        Ok((keys.len() == ROWS_MAX).then_some(done))
    }
}
