//! Reading rows back into the model's types.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

use super::ordered::BLOCKED;
use super::settle::{Detail, ENVELOPE, RequestHead};
use crate::model::{
    Attempt, AttemptId, AttemptOutcome, DeliveryId, DeliveryState, Event, EventId, EventType, ReceivedResponse, Timestamp,
    Trigger, WebhookId,
};
use crate::store::{AttemptRecord, DeliveryRecord, TransformedRequest};

/// The columns that [`event`] reads, in its order.
pub(super) const EVENT_COLUMNS: &str = "e.id, e.type, e.timestamp, e.received, e.tenant, e.metadata, e.data";

/// The columns that [`delivery`] reads, in its order; joined as `d`, `e`, `w`.
pub(super) const DELIVERY_COLUMNS: &str =
    "d.d, e.received, e.id, e.type, e.tenant, w.id, d.state, d.reason, d.count, d.due, d.prev, d.event";

/// A delivery's `trigger` column: what triggers the next attempt, whether its payload is built again, and how many retries
/// were requested since an attempt was last recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RetryRequest {
    pub(super) trigger: Trigger,
    pub(super) retransform: bool,
    pub(super) count: u32,
}

const RETRANSFORM: u32 = 8;
/// What [`RetryRequest::times`] counts in.
const COUNT_UNIT: u32 = 16;

/// The last four bits of the column.
pub(super) fn packed(trigger: Trigger, retransform: bool) -> u32 {
    trigger as u32 + if retransform { RETRANSFORM } else { 0 }
}

impl RetryRequest {
    pub(super) fn read(row: &Row<'_>, column: usize) -> Result<Self, rusqlite::Error> {
        let number: u32 = row.get(column)?;
        let kind = u8::try_from(number % RETRANSFORM).ok().and_then(Trigger::from_number);
        let trigger = kind.ok_or_else(|| invalid(column, "not a trigger"))?;
        Ok(Self { trigger, retransform: number % COUNT_UNIT >= RETRANSFORM, count: number / COUNT_UNIT })
    }

    /// The column's number.
    pub(super) fn number(self) -> u32 {
        self.count * COUNT_UNIT + packed(self.trigger, self.retransform)
    }
}

pub(super) fn invalid(column: usize, problem: impl std::fmt::Display) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, problem.to_string().into())
}

pub(super) fn state(row: &Row<'_>, column: usize) -> Result<DeliveryState, rusqlite::Error> {
    DeliveryState::from_number(row.get(column)?).ok_or_else(|| invalid(column, "not a delivery state"))
}

pub(super) fn timestamp(row: &Row<'_>, column: usize) -> Result<Timestamp, rusqlite::Error> {
    row.get(column).map(Timestamp::from_millis)
}

fn event_type(row: &Row<'_>, column: usize) -> Result<EventType, rusqlite::Error> {
    EventType::parse(row.get_ref(column)?.as_str()?).map_err(|e| invalid(column, e))
}

fn event_id(row: &Row<'_>, column: usize) -> Result<EventId, rusqlite::Error> {
    EventId::parse(row.get_ref(column)?.as_str()?).map_err(|e| invalid(column, e))
}

/// From [`EVENT_COLUMNS`], of which the first is at `from`.
pub(super) fn event(row: &Row<'_>, from: usize) -> Result<Event, rusqlite::Error> {
    Ok(Event {
        id: event_id(row, from)?,
        kind: event_type(row, from + 1)?,
        timestamp: timestamp(row, from + 2)?,
        received: timestamp(row, from + 3)?,
        tenant: row.get_ref(from + 4)?.as_str_or_null()?.map(Arc::from),
        metadata: row.get_ref(from + 5)?.as_blob_or_null()?.map(Bytes::copy_from_slice),
        data: Bytes::copy_from_slice(row.get_ref(from + 6)?.as_blob()?),
    })
}

/// A listed delivery, with what its neighbours in the file are found by.
pub(super) struct Listed {
    pub(super) record: DeliveryRecord,
    pub(super) prev: i64,
    pub(super) event: i64,
}

pub(super) fn delivery(row: &Row<'_>) -> Result<Listed, rusqlite::Error> {
    let created_at = timestamp(row, 1)?;
    let state = state(row, 6)?;
    let due: Option<i64> = row.get(9)?;
    let record = DeliveryRecord {
        id: DeliveryId { created: created_at, number: row.get(0)? },
        event_id: event_id(row, 2)?,
        event_type: event_type(row, 3)?,
        tenant: row.get_ref(4)?.as_str_or_null()?.map(Arc::from),
        webhook: WebhookId::parse(row.get_ref(5)?.as_str()?).map_err(|e| invalid(5, e))?,
        state,
        reason: row.get(7)?,
        attempt_count: row.get(8)?,
        created_at,
        next_attempt_at: match state {
            // Nobody knows when the one before it ends.
            DeliveryState::Pending | DeliveryState::Retrying if due == Some(BLOCKED) => None,
            DeliveryState::Pending | DeliveryState::Retrying => Some(due.map_or(created_at, Timestamp::from_millis)),
            _ => None,
        },
    };
    Ok(Listed { record, prev: row.get(10)?, event: row.get(11)? })
}

pub(super) fn transformed_request(connection: &Connection, request: i64) -> Result<Option<TransformedRequest>, rusqlite::Error> {
    let mut statement = connection.prepare_cached("SELECT head, body FROM requests WHERE r = ?1")?;
    statement
        .query_row([request], |row| {
            let head: RequestHead = serde_json::from_str(row.get_ref(0)?.as_str()?).map_err(|e| invalid(0, e))?;
            let body = Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?);
            Ok(TransformedRequest { method: head.method, url: head.url, headers: head.headers, body })
        })
        .optional()
}

/// Attempts of a delivery, newest first, following their chain from the last.
pub(super) fn attempts(connection: &Connection, last: i64, envelope: &Bytes) -> Result<Vec<AttemptRecord>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT a, prev, number, at, trigger, outcome, status, error_class, error, duration_us, request, detail, response_body
         FROM attempts WHERE a = ?1",
    )?;
    let mut attempts: Vec<AttemptRecord> = Vec::new();
    let mut next = last;
    while next > 0 {
        let Some((record, prev, request)) = statement.query_row([next], attempt).optional()? else { break };
        let mut record = record;
        record.request_body = match request {
            Some(ENVELOPE) | None => envelope.clone(),
            Some(request) => transformed_request(connection, request)?.map(|made| made.body).unwrap_or_default(),
        };
        attempts.push(record);
        // A chain only goes back; anything else would be a damaged file that we must not follow for ever.
        next = if prev < next { prev } else { 0 };
    }
    Ok(attempts)
}

fn attempt(row: &Row<'_>) -> Result<(AttemptRecord, i64, Option<i64>), rusqlite::Error> {
    let detail: Detail = serde_json::from_str(row.get_ref(11)?.as_str()?).map_err(|e| invalid(11, e))?;
    let body = row.get_ref(12)?.as_blob_or_null()?.map(Bytes::copy_from_slice).unwrap_or_default();
    let at = timestamp(row, 3)?;
    let attempt = Attempt {
        number: row.get(2)?,
        at,
        trigger: Trigger::from_number(row.get(4)?).ok_or_else(|| invalid(4, "not a trigger"))?,
        outcome: AttemptOutcome::from_number(row.get(5)?).ok_or_else(|| invalid(5, "not an outcome"))?,
        status: row.get(6)?,
        error_class: row.get(7)?,
        error: row.get(8)?,
        duration: std::time::Duration::from_micros(row.get::<_, i64>(9)?.try_into().unwrap_or(0)),
        request: detail.request,
        response: detail.response.map(|head| ReceivedResponse { headers: head.headers, body, truncated: head.truncated }),
        timings: detail.timings,
        log: detail.log,
    };
    let record = AttemptRecord { id: AttemptId { at, number: row.get(0)? }, attempt, request_body: Bytes::new() };
    Ok((record, row.get(1)?, row.get(10)?))
}
