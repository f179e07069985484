//! Reading due deliveries of one webhook back from disk, in bounded pieces.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::handover::Handover;
use super::ordered::BLOCKED;
use super::rows::{self, EVENT_COLUMNS, RetryRequest};
use super::settle::ENVELOPE;
use crate::model::{DeliveryId, Event, Timestamp, WebhookKey};
use crate::store::{Claimed, Lease, Payload};

/// Bytes read in one claim: beyond it the rest is left to the next one.
const CLAIM_BYTES_MAX: usize = 4 << 20;

struct Due {
    number: i64,
    event: i64,
    spent: u32,
    count: u32,
    asked: RetryRequest,
    request: Option<i64>,
    edition: u32,
}

/// Oldest due first, without those in `leased`; at least one, if there is one.
pub(super) fn claim(
    connection: &Connection,
    handover: &Handover,
    webhook: WebhookKey,
    now: Timestamp,
    limit: usize,
    leased: &[i64],
) -> Result<Claimed, rusqlite::Error> {
    // One state of the file for all that is read of a delivery.
    let moment = connection.unchecked_transaction()?;
    let connection = &*moment;
    let leased: HashSet<i64> = leased.iter().copied().collect();
    // What is leased is due on disk as well, and comes before the rest: read that many more.
    let numbers_max = limit + leased.len() + 1;
    let mut numbers = due_numbers(connection, webhook, now, numbers_max)?;
    numbers.retain(|number| !leased.contains(number));
    let more = numbers.len() > limit;
    numbers.truncate(limit);
    let due = numbers.iter().filter_map(|number| read_due(connection, *number).transpose()).collect::<Result<Vec<_>, _>>()?;
    let mut events = Events { connection, read: HashMap::new() };
    let mut leases: Vec<Lease> = Vec::with_capacity(due.len());
    let (mut more, mut total) = (more, 0);
    for row in due {
        if total > CLAIM_BYTES_MAX {
            more = true;
            break;
        }
        let Some(event) = events.get(row.event)? else { continue };
        let batch = events.batch(row.number)?;
        let made = match row.request {
            None => None,
            Some(ENVELOPE) => Some(Payload::Envelope),
            Some(request) => rows::transformed_request(connection, request)?.map(|made| Payload::Request(Arc::new(made))),
        };
        let bytes = size(&event, batch.as_deref(), made.as_ref());
        let Some(slot) = handover.reserve_read(webhook, bytes, leases.is_empty()) else {
            more = true;
            break;
        };
        total += bytes;
        leases.push(Lease {
            delivery: DeliveryId { created: event.received, number: row.number },
            webhook,
            event,
            batch,
            attempts_spent: row.spent,
            attempt_count: row.count,
            trigger: row.asked.trigger,
            retry_requests: row.asked.count,
            edition: row.edition,
            made,
            slot: Some(slot),
        });
    }
    let next_due = connection
        .prepare_cached("SELECT min(due) FROM deliveries WHERE webhook = ?1 AND due > ?2 AND due < ?3")?
        .query_row(params![webhook.0, now.as_millis(), BLOCKED], |row| row.get::<_, Option<i64>>(0))?
        .map(Timestamp::from_millis);
    Ok(Claimed { leases, more, is_short: false, next_due })
}

/// From the index alone: what is leased is passed over without reading its row.
fn due_numbers(
    connection: &Connection,
    webhook: WebhookKey,
    now: Timestamp,
    numbers_max: usize,
) -> Result<Vec<i64>, rusqlite::Error> {
    let mut statement =
        connection.prepare_cached("SELECT d FROM deliveries WHERE webhook = ?1 AND due <= ?2 ORDER BY due, d LIMIT ?3")?;
    let rows = statement.query_map(params![webhook.0, now.as_millis(), numbers_max], |row| row.get(0))?;
    rows.collect()
}

fn read_due(connection: &Connection, number: i64) -> Result<Option<Due>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT d, event, spent, count, trigger, request, edition FROM deliveries WHERE d = ?1 AND due IS NOT NULL",
    )?;
    let row = statement.query_row([number], |row| {
        Ok(Due {
            number: row.get(0)?,
            event: row.get(1)?,
            spent: row.get(2)?,
            count: row.get(3)?,
            asked: RetryRequest::read(row, 4)?,
            request: row.get(5)?,
            edition: row.get(6)?,
        })
    });
    row.optional()
}

/// Events read for one claim, each once.
struct Events<'c> {
    connection: &'c Connection,
    read: HashMap<i64, Arc<Event>>,
}

/// Bytes that a lease takes in memory.
fn size(event: &Event, batch: Option<&[Arc<Event>]>, made: Option<&Payload>) -> usize {
    let events = batch.map_or(event.size(), |events| events.iter().map(|event| event.size()).sum());
    let made = match made {
        Some(Payload::Request(made)) => made.body.len(),
        Some(Payload::Envelope) | None => 0,
    };
    events + made
}

impl Events<'_> {
    fn get(&mut self, seq: i64) -> Result<Option<Arc<Event>>, rusqlite::Error> {
        if let Some(event) = self.read.get(&seq) {
            return Ok(Some(Arc::clone(event)));
        }
        let Some(event) = read_event(self.connection, seq)? else { return Ok(None) };
        let event = Arc::new(event);
        self.read.insert(seq, Arc::clone(&event));
        Ok(Some(event))
    }

    /// The events of a batch, in their order.
    fn batch(&mut self, delivery: i64) -> Result<Option<Arc<[Arc<Event>]>>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached("SELECT event FROM members WHERE d = ?1 ORDER BY m")?;
        let numbers = statement.query_map([delivery], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        if numbers.is_empty() {
            return Ok(None);
        }
        let events = numbers.into_iter().filter_map(|seq| self.get(seq).transpose()).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(events.into()))
    }
}

fn read_event(connection: &Connection, seq: i64) -> Result<Option<Event>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(&format!("SELECT {EVENT_COLUMNS} FROM events e WHERE e.seq = ?1"))?;
    statement.query_row([seq], |row| rows::event(row, 0)).optional()
}
