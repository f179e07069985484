//! Looking single things up, and counting.

use rusqlite::{Connection, OptionalExtension, params};

use super::ordered::BLOCKED;
use super::rows::{self, DELIVERY_COLUMNS, EVENT_COLUMNS};
use super::tally::HOUR_MS;
use crate::model::{DeliveryId, DeliveryState, EventId, Timestamp, WebhookId, WebhookKey};
use crate::store::Histogram;
use crate::store::{Backlog, DeliveryDetail, EventRecord, HourStats, KnownWebhook, Stats};

/// Buckets of the statistics: a day.
const HOURS_SHOWN: i64 = 24;

pub(super) fn known_webhooks(connection: &Connection) -> Result<Vec<KnownWebhook>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT w.id, w.key, w.pending + w.retrying, w.held, EXISTS(SELECT 1 FROM ordered o WHERE o.webhook = w.key AND o.blocks),
         w.removed FROM webhooks w",
    )?;
    let rows = statement.query_map([], |row| {
        let id = WebhookId::parse(row.get_ref(0)?.as_str()?).map_err(|e| rows::invalid(0, e))?;
        Ok(KnownWebhook {
            id,
            key: WebhookKey(row.get(1)?),
            waiting: row.get(2)?,
            held: row.get(3)?,
            blocks: row.get(4)?,
            removed_since: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_millis),
        })
    })?;
    rows.collect()
}

/// What is left of a sweep.
pub(super) struct OpenDeliveries {
    pub(super) webhook: String,
    pub(super) waiting: u64,
    pub(super) held: u64,
}

pub(super) fn open_deliveries(connection: &Connection, webhook: WebhookKey) -> Result<OpenDeliveries, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT id, pending + retrying, held FROM webhooks WHERE key = ?1")?;
    statement.query_row([webhook.0], |row| Ok(OpenDeliveries { webhook: row.get(0)?, waiting: row.get(1)?, held: row.get(2)? }))
}

pub(super) fn event(connection: &Connection, id: &EventId) -> Result<Option<EventRecord>, rusqlite::Error> {
    let sql = format!("SELECT {EVENT_COLUMNS}, e.first, e.targets, e.unmatched FROM events e WHERE e.id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row([id.as_str()], |row| event_record(connection, row)).optional()
}

/// From [`EVENT_COLUMNS`] and `first, targets, unmatched`.
pub(super) fn event_record(connection: &Connection, row: &rusqlite::Row<'_>) -> Result<EventRecord, rusqlite::Error> {
    let event = rows::event(row, 0)?;
    let first: i64 = row.get(7)?;
    let targets: i64 = row.get(8)?;
    let unmatched = match row.get_ref(9)?.as_str_or_null()? {
        Some(json) => serde_json::from_str(json).map_err(|e| rows::invalid(9, e))?,
        None => Vec::new(),
    };
    // Its own, and the batches that it is in.
    let mut statement = connection.prepare_cached(
        "SELECT d.d, w.id, d.state, ?3 FROM deliveries d JOIN webhooks w ON w.key = d.webhook WHERE d.d >= ?1 AND d.d < ?2
         UNION SELECT d.d, w.id, d.state, e.received FROM members m JOIN deliveries d ON d.d = m.d
         JOIN webhooks w ON w.key = d.webhook JOIN events e ON e.seq = d.event WHERE m.m >= ?1 AND m.m < ?2 ORDER BY 1",
    )?;
    let deliveries = statement.query_map([first, first + targets, event.received.as_millis()], |row| {
        let id = DeliveryId { created: rows::timestamp(row, 3)?, number: row.get(0)? };
        let webhook = WebhookId::parse(row.get_ref(1)?.as_str()?).map_err(|e| rows::invalid(1, e))?;
        Ok((id, webhook, rows::state(row, 2)?))
    })?;
    let deliveries = deliveries.collect::<Result<_, _>>()?;
    Ok(EventRecord { event, deliveries, unmatched })
}

pub(super) fn delivery(connection: &Connection, id: DeliveryId) -> Result<Option<DeliveryDetail>, rusqlite::Error> {
    let sql = format!(
        "SELECT {DELIVERY_COLUMNS}, d.last FROM deliveries d JOIN events e ON e.seq = d.event JOIN webhooks w ON w.key = d.webhook
         WHERE d.d = ?1 AND e.received = ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement
        .query_row(params![id.number, id.created.as_millis()], |row| Ok((rows::delivery(row)?, row.get::<_, i64>(12)?)))
        .optional()?;
    let Some((listed, last)) = found else { return Ok(None) };
    let sql = format!("SELECT {EVENT_COLUMNS} FROM events e WHERE e.seq = ?1");
    let event = connection.prepare_cached(&sql)?.query_row([listed.event], |row| rows::event(row, 0))?;
    let mut attempts = rows::attempts(connection, last, &event.envelope())?;
    attempts.reverse();
    let mut statement =
        connection.prepare_cached("SELECT e.id FROM members m JOIN events e ON e.seq = m.event WHERE m.d = ?1 ORDER BY m.m")?;
    let ids =
        statement.query_map([id.number], |row| EventId::parse(row.get_ref(0)?.as_str()?).map_err(|e| rows::invalid(0, e)))?;
    let batch = ids.collect::<Result<Vec<_>, _>>()?;
    Ok(Some(DeliveryDetail { record: listed.record, batch: (!batch.is_empty()).then_some(batch), attempts }))
}

pub(super) fn stats(connection: &Connection, webhook: Option<&WebhookId>, now: Timestamp) -> Result<Stats, rusqlite::Error> {
    let key: Option<i64> = match webhook {
        Some(id) => {
            let mut statement = connection.prepare_cached("SELECT key FROM webhooks WHERE id = ?1")?;
            let Some(key) = statement.query_row([id.as_str()], |row| row.get(0)).optional()? else { return Ok(Stats::default()) };
            Some(key)
        }
        None => None,
    };
    let mut statement = connection.prepare_cached(
        "SELECT total(pending), total(retrying), total(held), total(succeeded), total(failed), total(cancelled), total(dropped),
         total(attempts), total(attempts_failed), total(duration_us), total(timed) FROM webhooks WHERE ?1 IS NULL OR key = ?1",
    )?;
    let mut stats = statement.query_row([key], |row| {
        let mut states = [0; 7];
        for (at, state) in states.iter_mut().enumerate() {
            *state = whole(row.get(at)?);
        }
        Ok(Stats {
            states,
            attempts: whole(row.get(7)?),
            attempts_failed: whole(row.get(8)?),
            duration_us: whole(row.get(9)?),
            timed: whole(row.get(10)?),
            hours: Vec::new(),
            next_due: None,
        })
    })?;
    stats.hours = hours(connection, key, now)?;
    let next_due = match key {
        Some(_) => "SELECT min(due) FROM deliveries WHERE webhook = ?1 AND due < ?2",
        None => {
            "SELECT min((SELECT min(due) FROM deliveries WHERE webhook = w.key AND due < ?2)) FROM webhooks w WHERE ?1 IS NULL"
        }
    };
    let next_due: Option<i64> = connection.prepare_cached(next_due)?.query_row(params![key, BLOCKED], |row| row.get(0))?;
    stats.next_due = next_due.map(Timestamp::from_millis);
    Ok(stats)
}

/// Sums come as floating point (`total`), so that an overflow is no error.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits first")]
fn whole(sum: f64) -> u64 {
    sum.clamp(0.0, 2f64.powi(53)) as u64
}

fn hours(connection: &Connection, key: Option<i64>, now: Timestamp) -> Result<Vec<HourStats>, rusqlite::Error> {
    let this_hour = now.as_millis() / HOUR_MS;
    let first = this_hour - HOURS_SHOWN + 1;
    let mut hours: Vec<HourStats> = (first..=this_hour)
        .map(|hour| HourStats { start: Timestamp::from_millis(hour * HOUR_MS), ..HourStats::default() })
        .collect();
    let mut statement = connection.prepare_cached(
        "SELECT hour, attempts, attempts_failed, succeeded, failed, dropped, durations FROM hours
         WHERE hour >= ?1 AND hour <= ?2 AND (?3 IS NULL OR webhook = ?3)",
    )?;
    let mut rows = statement.query(params![first, this_hour, key])?;
    while let Some(row) = rows.next()? {
        let Some(hour) = usize::try_from(row.get::<_, i64>(0)? - first).ok().and_then(|at| hours.get_mut(at)) else { continue };
        hour.attempts += row.get::<_, u64>(1)?;
        hour.attempts_failed += row.get::<_, u64>(2)?;
        hour.succeeded += row.get::<_, u64>(3)?;
        hour.failed += row.get::<_, u64>(4)?;
        hour.dropped += row.get::<_, u64>(5)?;
        hour.durations.merge(&Histogram::from_bytes(row.get_ref(6)?.as_blob()?));
    }
    Ok(hours)
}

pub(super) fn backlog(connection: &Connection) -> Result<Backlog, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT total(pending + retrying + held), min((SELECT min(due) FROM deliveries WHERE webhook = w.key AND due < ?1))
         FROM webhooks w",
    )?;
    statement.query_row([BLOCKED], |row| {
        let oldest: Option<i64> = row.get(1)?;
        Ok(Backlog { open: whole(row.get(0)?), oldest_due: oldest.map(Timestamp::from_millis) })
    })
}

/// Whether a state has an index of its own: all but the two that nearly every delivery passes through.
pub(super) fn is_indexed(state: DeliveryState) -> bool {
    !matches!(state, DeliveryState::Pending | DeliveryState::Succeeded)
}
