//! Lists, newest first, with cursors that stay right while rows arrive. Every read is bounded: a filter that
//! matches little answers what it found, and where to go on.

use rusqlite::{Connection, OptionalExtension, params};

use super::read::{event_record, is_indexed};
use super::rows::{self, DELIVERY_COLUMNS, EVENT_COLUMNS, Listed};
use super::states::with_states;
use crate::model::EventId;
use crate::store::{Cursor, DeliveryFilter, DeliveryRecord, EventFilter, EventRecord, Page};

/// Rows read in one call: some 20 ms.
const ROWS_READ_MAX: usize = 5000;

/// Publishers' clocks and the order of commits differ by less; beyond it, older rows cannot be within `since`.
const DISORDER_MS: i64 = 60_000;

pub(super) fn events(
    connection: &Connection,
    filter: &EventFilter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<EventRecord>, rusqlite::Error> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, e.first, e.targets, e.unmatched, e.seq FROM events e WHERE e.seq < ?1 ORDER BY e.seq DESC LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![after.map_or(i64::MAX, |cursor| cursor.0), ROWS_READ_MAX])?;
    let mut page = Page { rows: Vec::new(), next: None };
    let mut rows_read = 0;
    while let Some(row) = rows.next()? {
        rows_read += 1;
        let received = row.get::<_, i64>(3)?;
        if filter.since.is_some_and(|since| received < since.as_millis() - DISORDER_MS) {
            return Ok(Page { next: None, ..page });
        }
        let matches = filter
            .event_type
            .as_ref()
            .is_none_or(|kind| row.get_ref(1).and_then(|v| Ok(v.as_str()? == kind.as_str())).unwrap_or(false))
            && filter
                .tenant
                .as_ref()
                .is_none_or(|tenant| row.get_ref(4).and_then(|v| Ok(v.as_str_or_null()? == Some(tenant))).unwrap_or(false))
            && filter.since.is_none_or(|since| received >= since.as_millis())
            && filter.until.is_none_or(|until| received <= until.as_millis());
        if matches {
            page.rows.push(event_record(connection, row)?);
        }
        page.next = Some(Cursor(row.get(10)?));
        if page.rows.len() == limit {
            return Ok(page);
        }
    }
    if rows_read < ROWS_READ_MAX {
        page.next = None;
    }
    Ok(page)
}

pub(super) fn deliveries(
    connection: &Connection,
    filter: &DeliveryFilter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<DeliveryRecord>, rusqlite::Error> {
    let mut walk = Walk::new(connection, filter, after)?;
    let mut page = Page { rows: Vec::new(), next: None };
    while walk.rows_read < ROWS_READ_MAX {
        walk.rows_read += 1;
        let record = match walk.next()? {
            Step::End => return Ok(Page { next: None, ..page }),
            Step::Passed(number) => {
                page.next = Some(Cursor(number));
                continue;
            }
            Step::Row(listed) => listed.record,
        };
        let created = record.created_at.as_millis();
        let is_older = filter.since.is_some_and(|since| created < since.as_millis() - DISORDER_MS);
        // Half of a batch is younger than its events: what lies before it may be younger than they are as well.
        if is_older && !is_batch(connection, record.id.number)? {
            return Ok(Page { next: None, ..page });
        }
        page.next = Some(Cursor(record.id.number));
        if matches(filter, &record) {
            page.rows.push(record);
            if page.rows.len() == limit {
                break;
            }
        }
    }
    Ok(page)
}

fn is_batch(connection: &Connection, number: i64) -> Result<bool, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT EXISTS(SELECT 1 FROM members WHERE d = ?1)")?;
    statement.query_row([number], |row| row.get(0))
}

/// All but the event, which the walk has seen to: of a batch only the first is in the record.
fn matches(filter: &DeliveryFilter, record: &DeliveryRecord) -> bool {
    filter.webhook.as_ref().is_none_or(|webhook| *webhook == record.webhook)
        && filter.state.is_none_or(|state| state == record.state)
        && filter.event_type.as_ref().is_none_or(|kind| *kind == record.event_type)
        && filter.tenant.as_ref().is_none_or(|tenant| Some(tenant.as_str()) == record.tenant.as_deref())
        && filter.since.is_none_or(|since| record.created_at >= since)
        && filter.until.is_none_or(|until| record.created_at <= until)
}

/// The cheapest way through the rows that a filter may match.
struct Walk<'a> {
    connection: &'a Connection,
    way: Way,
    /// Rows read ahead, newest last.
    ahead: Vec<Listed>,
    /// Rows read, those in search of the next included.
    rows_read: usize,
}

enum Way {
    /// Numbers below the first, down to the second (exclusive), narrowed by SQL.
    Range {
        below: i64,
        above: i64,
        narrow: String,
    },
    /// These, the last first.
    Numbers(Vec<i64>),
    /// One webhook's chain.
    Chain {
        webhook: i64,
        next: Link,
    },
    End,
}

/// Where a webhook's chain goes on.
#[derive(Clone, Copy)]
enum Link {
    /// At this number; 0: nowhere.
    At(i64),
    /// At the greatest number of the webhook's that is below: retention has taken the row that said which.
    Below(i64),
}

/// What one step of a walk came to.
enum Step {
    Row(Box<Listed>),
    /// Nothing to show down to this number.
    Passed(i64),
    End,
}

/// Rows read by one statement of a range.
const AHEAD: i64 = 256;

impl<'a> Walk<'a> {
    fn new(connection: &'a Connection, filter: &DeliveryFilter, after: Option<Cursor>) -> Result<Self, rusqlite::Error> {
        let below = after.map_or(i64::MAX, |cursor| cursor.0);
        let way = if let Some(id) = &filter.event_id {
            of_event(connection, id, below)?
        } else {
            let webhook = match &filter.webhook {
                Some(id) => {
                    let mut statement = connection.prepare_cached("SELECT key, head FROM webhooks WHERE id = ?1")?;
                    let found: Option<(i64, i64)> =
                        statement.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                    let Some(found) = found else {
                        return Ok(Self { connection, way: Way::End, ahead: Vec::new(), rows_read: 0 });
                    };
                    Some(found)
                }
                None => None,
            };
            // Literals: a parameter would prevent SQLite from using the partial indexes.
            let state = filter.state.filter(|state| is_indexed(*state)).map(|state| state as u8);
            match (webhook, state) {
                (Some((key, _)), Some(state)) => {
                    let narrow = &format!("AND d.webhook = {key} AND d.state = {state} AND d.state IN :indexed");
                    Way::Range { below, above: 0, narrow: with_states(narrow) }
                }
                (None, Some(state)) => {
                    let narrow = &format!("AND d.state = {state} AND d.state IN :indexed");
                    Way::Range { below, above: 0, narrow: with_states(narrow) }
                }
                (Some((webhook, head)), None) => chain_from(connection, after, webhook, head)?,
                (None, None) => Way::Range { below, above: 0, narrow: String::new() },
            }
        };
        Ok(Self { connection, way, ahead: Vec::new(), rows_read: 0 })
    }

    fn next(&mut self) -> Result<Step, rusqlite::Error> {
        if let Some(listed) = self.ahead.pop() {
            return Ok(Step::Row(Box::new(listed)));
        }
        match &mut self.way {
            Way::End => Ok(Step::End),
            Way::Numbers(numbers) => {
                let Some(number) = numbers.pop() else { return Ok(Step::End) };
                let sql = select("d.d = ?1");
                let found = self.connection.prepare_cached(&sql)?.query_row([number], rows::delivery).optional()?;
                Ok(found.map_or(Step::Passed(number), |listed| Step::Row(Box::new(listed))))
            }
            Way::Chain { webhook, next } => {
                let (step, link) = follow(self.connection, *webhook, *next, &mut self.rows_read)?;
                *next = link;
                Ok(step)
            }
            Way::Range { below, above, narrow } => {
                let sql = select(&format!("d.d < ?1 AND d.d > ?2 {narrow} ORDER BY d.d DESC LIMIT {AHEAD}"));
                let mut statement = self.connection.prepare_cached(&sql)?;
                let found = statement.query_map([*below, *above], rows::delivery)?;
                self.ahead = found.collect::<Result<Vec<_>, _>>()?;
                *below = self.ahead.last().map_or(0, |listed| listed.record.id.number);
                self.ahead.reverse();
                Ok(self.ahead.pop().map_or(Step::End, |listed| Step::Row(Box::new(listed))))
            }
        }
    }
}

fn select(condition: &str) -> String {
    format!(
        "SELECT {DELIVERY_COLUMNS} FROM deliveries d JOIN events e ON e.seq = d.event JOIN webhooks w ON w.key = d.webhook
         WHERE {condition}"
    )
}

/// An event's deliveries, and the batches that it is in.
fn of_event(connection: &Connection, id: &EventId, below: i64) -> Result<Way, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT first, targets FROM events WHERE id = ?1")?;
    let found: Option<(i64, i64)> = statement.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((first, targets)) = found else { return Ok(Way::End) };
    let mut statement = connection.prepare_cached(
        "SELECT d FROM deliveries WHERE d >= ?1 AND d < ?2 UNION SELECT d FROM members WHERE m >= ?1 AND m < ?2 ORDER BY 1",
    )?;
    let numbers = statement.query_map([first, first + targets], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    Ok(Way::Numbers(numbers.into_iter().filter(|number| *number < below).collect()))
}

/// Where a webhook's chain goes on after the cursor's delivery; at its head without one.
fn chain_from(connection: &Connection, after: Option<Cursor>, webhook: i64, head: i64) -> Result<Way, rusqlite::Error> {
    let next = match after {
        None => Link::At(head),
        Some(Cursor(number)) => prev(connection, webhook, number)?,
    };
    Ok(Way::Chain { webhook, next })
}

/// What the chain leads to after this number, which may be no delivery of the webhook's (any longer).
fn prev(connection: &Connection, webhook: i64, number: i64) -> Result<Link, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT prev FROM deliveries WHERE d = ?1 AND webhook = ?2")?;
    let prev: Option<i64> = statement.query_row([number, webhook], |row| row.get(0)).optional()?;
    // A chain only goes back; anything else would be a damaged file that we must not follow for ever.
    Ok(prev.filter(|prev| *prev < number).map_or(Link::Below(number), Link::At))
}

/// One step along a webhook's chain, and where it goes on.
fn follow(connection: &Connection, webhook: i64, link: Link, rows_read: &mut usize) -> Result<(Step, Link), rusqlite::Error> {
    let number = match link {
        Link::At(0) => return Ok((Step::End, link)),
        Link::At(number) => number,
        Link::Below(below) => match greatest_below(connection, webhook, below, rows_read)? {
            Found::At(number) => number,
            Found::NoneDownTo(0) => return Ok((Step::End, Link::At(0))),
            Found::NoneDownTo(number) => return Ok((Step::Passed(number), Link::Below(number))),
        },
    };
    let sql = select("d.d = ?1 AND d.webhook = ?2");
    let found = connection.prepare_cached(&sql)?.query_row([number, webhook], rows::delivery).optional()?;
    Ok(match found {
        Some(listed) if listed.prev < number => {
            let next = Link::At(listed.prev);
            (Step::Row(Box::new(listed)), next)
        }
        Some(listed) => (Step::Row(Box::new(listed)), Link::Below(number)),
        // Erased, and only a link of the chain; or not there at all.
        None => (Step::Passed(number), prev(connection, webhook, number)?),
    })
}

enum Found {
    At(i64),
    /// 0: none at all.
    NoneDownTo(i64),
}

/// The greatest number of a webhook's deliveries below another, within the rows that one call may read.
fn greatest_below(connection: &Connection, webhook: i64, below: i64, rows_read: &mut usize) -> Result<Found, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT d, webhook FROM deliveries WHERE d < ?1 ORDER BY d DESC LIMIT ?2")?;
    let mut rows = statement.query(params![below, ROWS_READ_MAX])?;
    let (mut passed, mut last) = (0, 0);
    while let Some(row) = rows.next()? {
        (passed, last) = (passed + 1, row.get(0)?);
        *rows_read += 1;
        if row.get::<_, i64>(1)? == webhook {
            return Ok(Found::At(last));
        }
    }
    Ok(Found::NoneDownTo(if passed < ROWS_READ_MAX { 0 } else { last }))
}
