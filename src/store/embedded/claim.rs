//! Reading due deliveries of one webhook back from disk, in bounded pieces.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{self, EVENT_COLUMNS};
use super::settle::ENVELOPE;
use crate::model::{DeliveryId, Event, Timestamp, Trigger, WebhookKey};
use crate::store::{Claimed, Lease, Made};

struct Due {
    number: i64,
    event: i64,
    spent: u32,
    count: u32,
    trigger: Trigger,
    request: Option<i64>,
}

/// Oldest due first, without those in `leased`.
pub(super) fn claim(
    connection: &Connection,
    webhook: WebhookKey,
    now: Timestamp,
    limit: usize,
    leased: &[i64],
) -> Result<Claimed, rusqlite::Error> {
    let leased: HashSet<i64> = leased.iter().copied().collect();
    // What is leased is due on disk as well, and stands before the rest: look that far beyond it.
    let look = limit + leased.len() + 1;
    let mut numbers = due_numbers(connection, webhook, now, look)?;
    numbers.retain(|number| !leased.contains(number));
    let more = numbers.len() > limit;
    numbers.truncate(limit);
    let due = numbers.iter().filter_map(|number| read_due(connection, *number).transpose()).collect::<Result<Vec<_>, _>>()?;
    let mut events: HashMap<i64, Arc<Event>> = HashMap::new();
    let mut leases = Vec::with_capacity(due.len());
    for row in due {
        let event = match events.get(&row.event) {
            Some(event) => Arc::clone(event),
            None => {
                let Some(event) = read_event(connection, row.event)? else { continue };
                let event = Arc::new(event);
                events.insert(row.event, Arc::clone(&event));
                event
            }
        };
        let made = match row.request {
            None => None,
            Some(ENVELOPE) => Some(Made::Envelope),
            Some(request) => rows::made_request(connection, request)?.map(|made| Made::Request(Arc::new(made))),
        };
        leases.push(Lease {
            delivery: DeliveryId { created: event.received, number: row.number },
            webhook,
            event,
            attempts_spent: row.spent,
            attempt_count: row.count,
            trigger: row.trigger,
            made,
            slot: None,
        });
    }
    let next_due = connection
        .prepare_cached("SELECT min(due) FROM deliveries WHERE webhook = ?1 AND due > ?2")?
        .query_row(params![webhook.0, now.as_millis()], |row| row.get::<_, Option<i64>>(0))?
        .map(Timestamp::from_millis);
    Ok(Claimed { leases, more, next_due })
}

/// From the index alone: what is leased is passed over without a look at its row.
fn due_numbers(connection: &Connection, webhook: WebhookKey, now: Timestamp, look: usize) -> Result<Vec<i64>, rusqlite::Error> {
    let mut statement =
        connection.prepare_cached("SELECT d FROM deliveries WHERE webhook = ?1 AND due <= ?2 ORDER BY due, d LIMIT ?3")?;
    let rows = statement.query_map(params![webhook.0, now.as_millis(), look], |row| row.get(0))?;
    rows.collect()
}

fn read_due(connection: &Connection, number: i64) -> Result<Option<Due>, rusqlite::Error> {
    let mut statement = connection
        .prepare_cached("SELECT d, event, spent, count, trigger, request FROM deliveries WHERE d = ?1 AND due IS NOT NULL")?;
    let row = statement.query_row([number], |row| {
        Ok(Due {
            number: row.get(0)?,
            event: row.get(1)?,
            spent: row.get(2)?,
            count: row.get(3)?,
            trigger: Trigger::from_number(row.get(4)?).ok_or_else(|| rows::invalid(4, "not a trigger"))?,
            request: row.get(5)?,
        })
    });
    row.optional()
}

fn read_event(connection: &Connection, seq: i64) -> Result<Option<Event>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(&format!("SELECT {EVENT_COLUMNS} FROM events e WHERE e.seq = ?1"))?;
    statement.query_row([seq], |row| rows::event(row, 0)).optional()
}
