//! Following what happens: events and attempts in the order of their commits, from any position on. Followers
//! cost no memory here: they read what is stored anyway, and sleep while there is nothing new.

use rusqlite::{Connection, params};
use tokio::sync::watch;

use super::Embedded;
use super::read::event_record;
use super::rows::{self, DELIVERY_COLUMNS, EVENT_COLUMNS};
use crate::model::{AttemptId, AttemptOutcome, Trigger};
use crate::store::{FeedAttempt, FeedItem, Position, StoreError, Tail};

/// Bytes of events in one read: what one follower costs in memory.
const READ_BYTES_MAX: usize = 2 << 20;

impl Embedded {
    pub(in crate::store) fn commits(&self) -> watch::Receiver<()> {
        self.shared.handover.commits.subscribe()
    }

    /// The position of the newest event and attempt.
    pub(in crate::store) async fn tail_position(&self) -> Result<Position, StoreError> {
        self.read(|reader, _| tail_position(reader)).await
    }

    pub(in crate::store) async fn tail(&self, after: Position, limit: usize) -> Result<Tail, StoreError> {
        self.read(move |reader, _| tail(reader, after, limit)).await
    }
}

fn tail_position(connection: &Connection) -> Result<Position, rusqlite::Error> {
    let mut statement = connection
        .prepare_cached("SELECT coalesce((SELECT max(seq) FROM events), 0), coalesce((SELECT max(a) FROM attempts), 0)")?;
    statement.query_row([], |row| Ok(Position { event: row.get(0)?, attempt: row.get(1)? }))
}

/// Both sequences, merged by time as far as both are known.
fn tail(connection: &Connection, after: Position, limit: usize) -> Result<Tail, rusqlite::Error> {
    // One state of the file for both: an attempt must not show up before its event.
    let moment = connection.unchecked_transaction()?;
    let (events, more_events) = events(&moment, after.event, limit)?;
    let (attempts, more_attempts) = attempts(&moment, after.attempt, limit)?;
    drop(moment);
    let (mut events, mut attempts) = (events.into_iter().peekable(), attempts.into_iter().peekable());
    let mut tail = Tail { rows: Vec::new(), position: after, more: more_events || more_attempts };
    loop {
        let event_first = match (events.peek(), attempts.peek()) {
            (Some((_, event)), Some((_, attempt))) => event.event.received <= attempt.settled_at(),
            // The next of the other kind may belong before: the next read shows it.
            (Some(_), None) if more_attempts => break,
            (None, Some(_)) if more_events => break,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        if event_first {
            let Some((number, event)) = events.next() else { break };
            tail.position.event = number;
            tail.rows.push((tail.position, FeedItem::Event(Box::new(event))));
        } else {
            let Some((number, attempt)) = attempts.next() else { break };
            tail.position.attempt = number;
            tail.rows.push((tail.position, FeedItem::Attempt(Box::new(attempt))));
        }
    }
    Ok(tail)
}

type Numbered<T> = Vec<(i64, T)>;

fn events(
    connection: &Connection,
    after: i64,
    limit: usize,
) -> Result<(Numbered<crate::store::EventRecord>, bool), rusqlite::Error> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, e.first, e.targets, e.unmatched, e.seq FROM events e WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![after, limit])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let record = event_record(connection, row)?;
        bytes += record.event.size();
        found.push((row.get(10)?, record));
        if bytes >= READ_BYTES_MAX {
            return Ok((found, true));
        }
    }
    let more = found.len() == limit;
    Ok((found, more))
}

fn attempts(connection: &Connection, after: i64, limit: usize) -> Result<(Numbered<FeedAttempt>, bool), rusqlite::Error> {
    let sql = format!(
        "SELECT {DELIVERY_COLUMNS}, a.a, a.number, a.at, a.trigger, a.outcome, a.status, a.error_class, a.error, a.duration_us
         FROM attempts a JOIN deliveries d ON d.d = a.delivery JOIN events e ON e.seq = d.event JOIN webhooks w ON w.key = d.webhook
         WHERE a.a > ?1 ORDER BY a.a LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![after, limit], |row| {
        let number: i64 = row.get(12)?;
        let at = rows::timestamp(row, 14)?;
        let attempt = FeedAttempt {
            id: AttemptId { at, number },
            delivery: rows::delivery(row)?.record,
            number: row.get(13)?,
            at,
            trigger: Trigger::from_number(row.get(15)?).ok_or_else(|| rows::invalid(15, "not a trigger"))?,
            outcome: AttemptOutcome::from_number(row.get(16)?).ok_or_else(|| rows::invalid(16, "not an outcome"))?,
            status: row.get(17)?,
            error_class: row.get(18)?,
            error: row.get(19)?,
            duration: std::time::Duration::from_micros(row.get::<_, i64>(20)?.try_into().unwrap_or(0)),
        };
        Ok((number, attempt))
    })?;
    let found = rows.collect::<Result<Vec<_>, rusqlite::Error>>()?;
    let more = found.len() == limit;
    Ok((found, more))
}
