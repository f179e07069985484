//! The end of a lease: attempt, next state and next due time, in one commit.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::ordered::BLOCKED;
use super::rows::RetryRequest;
use super::writer::Writer;
use crate::model::lifecycle::{self, Change, Next};
use crate::model::{
    Attempt, AttemptOutcome, DeliveryState, LogLine, SentRequest, Settlement, Timestamp, Timings, Trigger, WebhookKey,
};
use crate::store::{Payload, Settle, Settled, TransformedRequest};

/// The part of an attempt that is stored as JSON.
#[derive(Deserialize)]
pub(super) struct Detail {
    #[serde(default)]
    pub(super) request: Option<SentRequest>,
    #[serde(default)]
    pub(super) response: Option<ResponseHead>,
    pub(super) timings: Timings,
    #[serde(default)]
    pub(super) log: Vec<LogLine>,
}

#[derive(Deserialize)]
pub(super) struct ResponseHead {
    pub(super) headers: Vec<(String, String)>,
    pub(super) truncated: bool,
}

/// The part of a transformed request that is stored as JSON; its body has a column of its own.
#[derive(Serialize, Deserialize)]
pub(super) struct RequestHead {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) url: Option<String>,
    pub(super) headers: Vec<(String, String)>,
}

/// As [`Detail`], to be written.
#[derive(Serialize)]
struct DetailOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a SentRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResponseHeadOut<'a>>,
    timings: Timings,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    log: &'a [LogLine],
}

#[derive(Serialize)]
struct ResponseHeadOut<'a> {
    headers: &'a [(String, String)],
    truncated: bool,
}

/// A [`Settle`] ready to be written.
pub(super) struct EncodedSettle {
    settle: Arc<Settle>,
    /// The attempt's [`Detail`].
    detail: String,
    /// The transformed request's [`RequestHead`].
    head: String,
}

/// Instead of a request's number: the event's envelope is sent.
pub(super) const ENVELOPE: i64 = 0;

/// Instead of a reason that may quote what was erased.
const ERASED_DURING_ATTEMPT: &str = "an event of the batch was erased during the attempt, which is not stored";

impl EncodedSettle {
    pub(super) fn new(settle: Arc<Settle>) -> Self {
        let detail = settle.attempt.as_ref().map_or_else(String::new, |attempt| {
            let response = attempt
                .response
                .as_ref()
                .map(|response| ResponseHeadOut { headers: &response.headers, truncated: response.truncated });
            to_json(&DetailOut { request: attempt.request.as_ref(), response, timings: attempt.timings, log: &attempt.log })
        });
        let head = match &settle.made {
            None | Some(Payload::Envelope) => String::new(),
            Some(Payload::Request(made)) => {
                to_json(&RequestHead { method: made.method.clone(), url: made.url.clone(), headers: made.headers.clone() })
            }
        };
        Self { settle, detail, head }
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings, numbers and lists always have a JSON form")
}

/// The row before the settlement.
struct Before {
    state: DeliveryState,
    spent: u32,
    count: u32,
    last: i64,
    request: Option<i64>,
    /// `None` also while another delivery of its key blocks it.
    due: Option<Timestamp>,
    retry: RetryRequest,
}

/// What a settlement changes, before anything is written.
struct Decision<'a> {
    next: Next<'a>,
    /// Whether the attempt is recorded.
    is_recorded: bool,
    /// Since when another attempt is due, because a retry was requested while this one was in flight.
    requested: Option<Timestamp>,
    /// Whether the retry request holds on: nothing was attempted for it.
    is_request_open: bool,
    /// Whether the attempt spends one of the retry budget.
    spends: bool,
}

/// `None`: nothing changes. `is_outdated`: what was sent held an event that has been erased, so that nothing that quotes it
/// may be stored.
fn decide<'a>(before: &Before, settle: &'a Settle, is_outdated: bool, now: Timestamp) -> Option<Decision<'a>> {
    let requested = before.due.filter(|_| settle.retry_requests.is_some_and(|count| count != before.retry.count));
    let change = Change::Settled { settlement: &settle.settlement, reason: settle.reason.as_deref(), asked: requested };
    let next = lifecycle::next(before.state, change, now)?;
    let reason = next.reason.map(|reason| if is_outdated { ERASED_DURING_ATTEMPT } else { reason });
    let is_scheduled = settle.attempt.as_ref().is_some_and(|attempt| attempt.trigger == Trigger::Scheduled);
    Some(Decision {
        next: Next { reason, ..next },
        is_recorded: settle.attempt.is_some() && !is_outdated,
        requested,
        is_request_open: requested.is_some() || (settle.attempt.is_none() && next.state.is_open()),
        spends: is_scheduled && !is_outdated && settle.settlement.spends_retry(),
    })
}

impl Writer {
    pub(super) fn settle(&mut self, encoded: &EncodedSettle) -> Result<Settled, rusqlite::Error> {
        let settle = &*encoded.settle;
        let (number, webhook) = (settle.delivery.number, settle.webhook);
        self.effects.settled.push(number);
        let Some(before) = self.before(number)? else {
            // It was erased: nobody needs it any longer.
            return Ok(Settled::default());
        };
        let now = self.clock.now();
        let is_outdated = self.is_outdated(settle)?;
        let Some(decision) = decide(&before, settle, is_outdated, now) else {
            return Ok(Settled { state: Some(before.state), due: None, kept: false });
        };
        let state = decision.next.state;
        let request = match &settle.made {
            _ if is_outdated => None,
            Some(Payload::Envelope) => Some(ENVELOPE),
            Some(Payload::Request(made)) => Some(self.insert_request(made, &encoded.head)?),
            None => before.request,
        };
        let last = self.record(encoded, &before, &decision, request, now)?;
        let due = self.update(number, webhook, &before, &decision, request, last, now)?;
        if state != before.state {
            self.tally.moved(&self.connection, webhook, Some(before.state), state, now)?;
        }
        if !state.is_open() {
            self.release_next(webhook, number, state)?;
        }
        if settle.settlement == Settlement::Halve && state.is_open() {
            self.halve(webhook, number, now)?;
        }
        if let Some(at) = due {
            if at <= now {
                self.handover.spill(webhook);
            }
            self.effects.due.push((webhook, at));
        }
        Ok(Settled { state: Some(state), due, kept: !is_outdated })
    }

    /// Stores and counts the attempt; answers the number of the delivery's last attempt.
    fn record(
        &mut self,
        encoded: &EncodedSettle,
        before: &Before,
        decision: &Decision<'_>,
        request: Option<i64>,
        now: Timestamp,
    ) -> Result<i64, rusqlite::Error> {
        let settle = &*encoded.settle;
        let Some(attempt) = &settle.attempt else { return Ok(before.last) };
        let sent = (attempt.outcome != AttemptOutcome::Dropped && attempt.status.is_some()).then_some(attempt.duration);
        self.tally.attempted(&self.connection, settle.webhook, attempt.outcome, sent, now)?;
        if !decision.is_recorded {
            return Ok(before.last);
        }
        self.count_failure(settle.webhook, attempt, now)?;
        self.insert_attempt(settle.delivery.number, before.last, attempt, &encoded.detail, request)
    }

    /// Writes the delivery's row; answers when it is due.
    #[expect(clippy::too_many_arguments, reason = "one row of the table")]
    fn update(
        &self,
        number: i64,
        webhook: WebhookKey,
        before: &Before,
        decision: &Decision<'_>,
        request: Option<i64>,
        last: i64,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, rusqlite::Error> {
        let Next { state, due, reason } = decision.next;
        // The attempt has its bytes; the next one builds its own, if that was requested.
        let request = request.filter(|_| decision.requested.is_none() || !before.retry.retransform);
        // A manual retry went ahead of its turn: now it waits again for those before it.
        let is_blocked = due.is_some() && decision.requested.is_none() && self.is_blocked(webhook, number)?;
        let due = due.filter(|_| !is_blocked);
        let settled = (!state.is_open()).then(|| now.as_millis());
        self.connection
            .prepare_cached(
                "UPDATE deliveries SET state = ?2, due = ?3, spent = ?4, count = ?5, trigger = ?6, last = ?7, request = ?8,
                 settled = ?9, reason = CASE WHEN state = ?11 AND ?2 = ?11 THEN reason ELSE ?10 END WHERE d = ?1",
            )?
            .execute(params![
                number,
                state as u8,
                if is_blocked { Some(BLOCKED) } else { due.map(|at| at.as_millis()) },
                before.spent + u32::from(decision.spends),
                before.count + u32::from(decision.is_recorded),
                if decision.is_request_open { before.retry.number() } else { 0 },
                last,
                request,
                settled,
                reason,
                DeliveryState::Cancelled as u8,
            ])?;
        Ok(due)
    }

    fn before(&self, number: i64) -> Result<Option<Before>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT state, spent, count, last, request, nullif(due, ?2), trigger FROM deliveries WHERE d = ?1 AND event != 0",
        )?;
        statement
            .query_row([number, BLOCKED], |row| {
                Ok(Before {
                    state: super::rows::state(row, 0)?,
                    spent: row.get(1)?,
                    count: row.get(2)?,
                    last: row.get(3)?,
                    request: row.get(4)?,
                    due: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_millis),
                    retry: RetryRequest::read(row, 6)?,
                })
            })
            .optional()
    }

    /// Whether the batch had more events when it was leased.
    fn is_outdated(&self, settle: &Settle) -> Result<bool, rusqlite::Error> {
        let Some(leased) = settle.batch else { return Ok(false) };
        let mut statement = self.connection.prepare_cached("SELECT count(*) FROM members WHERE d = ?1")?;
        let now: usize = statement.query_row([settle.delivery.number], |row| row.get(0))?;
        Ok(now < leased)
    }

    fn insert_request(&mut self, made: &TransformedRequest, head: &str) -> Result<i64, rusqlite::Error> {
        self.counters.request += 1;
        self.connection.prepare_cached("INSERT INTO requests(r, head, body) VALUES(?1, ?2, ?3)")?.execute(params![
            self.counters.request,
            head,
            &made.body[..]
        ])?;
        Ok(self.counters.request)
    }

    fn insert_attempt(
        &mut self,
        delivery: i64,
        prev: i64,
        attempt: &Attempt,
        detail: &str,
        request: Option<i64>,
    ) -> Result<i64, rusqlite::Error> {
        self.counters.attempt += 1;
        let number = self.counters.attempt;
        self.connection
            .prepare_cached(
                "INSERT INTO attempts(a, delivery, prev, number, at, trigger, outcome, status, error_class, error, duration_us,
                 request, detail, response_body) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                number,
                delivery,
                prev,
                attempt.number,
                attempt.at.as_millis(),
                attempt.trigger as u8,
                attempt.outcome as u8,
                attempt.status,
                attempt.error_class,
                attempt.error,
                i64::try_from(attempt.duration.as_micros()).unwrap_or(i64::MAX),
                request,
                detail,
                attempt.response.as_ref().map(|response| &response.body[..]),
            ])?;
        Ok(number)
    }
}
