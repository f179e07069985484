//! The end of a lease: attempt, next state and next due time, in one commit.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::ordered::PARKED;
use super::rows::Asked;
use super::writer::Writer;
use crate::model::lifecycle::{self, Change, Next};
use crate::model::{Attempt, AttemptOutcome, DeliveryState, LogLine, SentRequest, Settlement, Timestamp, Timings, Trigger};
use crate::store::{Made, MadeRequest, Settle, Settled};

/// What of an attempt is kept as JSON.
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

/// What of a made request is kept as JSON; its body stands beside it.
#[derive(Serialize, Deserialize)]
pub(super) struct MadeHead {
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
    /// The made request's [`MadeHead`].
    head: String,
}

/// In place of a request's number: the event's envelope is sent.
pub(super) const ENVELOPE: i64 = 0;

/// In place of a reason that may quote what was erased.
const ERASED_MEANWHILE: &str = "an event of the batch was erased during the attempt, which is not kept";

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
            None | Some(Made::Envelope) => String::new(),
            Some(Made::Request(made)) => {
                to_json(&MadeHead { method: made.method.clone(), url: made.url.clone(), headers: made.headers.clone() })
            }
        };
        Self { settle, detail, head }
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings, numbers and lists always have a JSON form")
}

/// The row as it stands before.
struct Before {
    state: DeliveryState,
    spent: u32,
    count: u32,
    last: i64,
    request: Option<i64>,
    /// `None` also while it waits in a line.
    due: Option<Timestamp>,
    asked: Asked,
}

impl Writer {
    pub(super) fn settle(&mut self, encoded: &EncodedSettle) -> Result<Settled, rusqlite::Error> {
        let settle = &*encoded.settle;
        let number = settle.delivery.number;
        self.effects.settled.push(number);
        let Some(before) = self.before(number)? else {
            // Erased meanwhile: nobody asks for it any longer.
            return Ok(Settled::default());
        };
        let now = self.clock.now();
        // What was sent held an event that was erased meanwhile: nothing that tells of it may be kept.
        let outdated = self.is_outdated(settle)?;
        // Asked for by hand while the attempt was under way: not this one, one more.
        let asked = before.due.filter(|_| settle.asks.is_some_and(|asks| asks != before.asked.times));
        let change = Change::Settled { settlement: &settle.settlement, reason: settle.reason.as_deref(), asked };
        let Some(Next { state, due, reason }) = lifecycle::next(before.state, change, now) else {
            return Ok(Settled { state: Some(before.state), due: None, kept: false });
        };
        let request = match &settle.made {
            _ if outdated => None,
            Some(Made::Envelope) => Some(ENVELOPE),
            Some(Made::Request(made)) => Some(self.insert_request(made, &encoded.head)?),
            None => before.request,
        };
        let (mut spent, mut count, mut last) = (before.spent, before.count, before.last);
        if let Some(attempt) = &settle.attempt {
            if !outdated {
                last = self.insert_attempt(number, before.last, attempt, &encoded.detail, request)?;
                count += 1;
                // A batch that was too large was not tried yet, in any of its halves.
                spent += u32::from(attempt.trigger == Trigger::Scheduled && settle.settlement != Settlement::Halve);
                self.count_failure(settle.webhook, attempt, now)?;
            }
            let sent = (attempt.outcome != AttemptOutcome::Dropped && attempt.status.is_some()).then_some(attempt.duration);
            self.tally.attempted(&self.connection, settle.webhook, attempt.outcome, sent, now)?;
        }
        // The attempt has its bytes; the next one makes its own, if that was asked for.
        let request = request.filter(|_| asked.is_none() || !before.asked.anew);
        // A wish stands until something was attempted for it.
        let wished = asked.is_some() || (settle.attempt.is_none() && state.is_open());
        // Retried by hand ahead of its turn, it waits again for those before it.
        let is_behind = due.is_some() && asked.is_none() && self.is_behind(settle.webhook, number)?;
        let due = due.filter(|_| !is_behind);
        let reason = reason.map(|reason| if outdated { ERASED_MEANWHILE } else { reason });
        let settled = (!state.is_open()).then(|| now.as_millis());
        self.connection
            .prepare_cached(
                "UPDATE deliveries SET state = ?2, due = ?3, spent = ?4, count = ?5, trigger = ?6, last = ?7, request = ?8,
                 settled = ?9, reason = CASE WHEN state = 5 AND ?2 = 5 THEN reason ELSE ?10 END WHERE d = ?1",
            )?
            .execute(params![
                number,
                state as u8,
                if is_behind { Some(PARKED) } else { due.map(|at| at.as_millis()) },
                spent,
                count,
                if wished { before.asked.number() } else { 0 },
                last,
                request,
                settled,
                reason
            ])?;
        if state != before.state {
            self.tally.moved(&self.connection, settle.webhook, Some(before.state), state, now)?;
        }
        if !state.is_open() {
            self.leave_line(settle.webhook, number, state)?;
        }
        if settle.settlement == Settlement::Halve && state.is_open() {
            self.halve(settle.webhook, number, now)?;
        }
        if let Some(at) = due {
            if at <= now {
                self.handover.spill(settle.webhook);
            }
            self.effects.due.push((settle.webhook, at));
        }
        Ok(Settled { state: Some(state), due, kept: !outdated })
    }

    fn before(&self, number: i64) -> Result<Option<Before>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT state, spent, count, last, request, nullif(due, ?2), trigger FROM deliveries WHERE d = ?1 AND event != 0",
        )?;
        statement
            .query_row([number, PARKED], |row| {
                Ok(Before {
                    state: super::rows::state(row, 0)?,
                    spent: row.get(1)?,
                    count: row.get(2)?,
                    last: row.get(3)?,
                    request: row.get(4)?,
                    due: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_millis),
                    asked: Asked::read(row, 6)?,
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

    fn insert_request(&mut self, made: &MadeRequest, head: &str) -> Result<i64, rusqlite::Error> {
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
