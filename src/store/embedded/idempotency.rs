//! Requests that must not be done twice: what each key was used for, and the answer that it got.
//!
//! A row without an answer is a request in flight. The next start removes those that a crash left: whether such a request
//! was done is not known, and a client that sends it again is served.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Embedded;
use super::writer::{Command, Writer};
use crate::model::Timestamp;
use crate::store::keyring::{Bound, Keyring};
use crate::store::{IdempotencyState, StoreError, StoredResponse};

pub(super) const MIGRATION: &str = "
CREATE TABLE idempotency(
  key BLOB PRIMARY KEY, request BLOB NOT NULL, at INTEGER NOT NULL, status INTEGER, headers TEXT, sealed_by TEXT, body BLOB
) WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency(at);
";

/// Old rows that go with each new one: they cannot pile up.
const REMOVED_AT_ONCE: u32 = 16;

/// Answers opened at once when another key takes over: each may be as large as an answer can be.
const SEALED_AT_ONCE: u32 = 64;

/// No request takes longer: one that is in flight since then lost its end (a full disk), and counts as never begun.
const IN_FLIGHT_MAX: Duration = Duration::from_secs(10 * 60);

/// A command for the writer.
pub(super) enum Step {
    Begin {
        key: [u8; 32],
        /// Digest of the request.
        request: [u8; 32],
        /// Older rows count as absent.
        since: Timestamp,
    },
    /// Without an answer: as if it had never been asked.
    End { key: [u8; 32], answer: Option<StoredResponse> },
}

impl Embedded {
    pub(in crate::store) async fn begin_idempotent(
        &self,
        key: [u8; 32],
        request: [u8; 32],
        since: Timestamp,
    ) -> Result<IdempotencyState, StoreError> {
        self.call(Command::Idempotency, Step::Begin { key, request, since }).await
    }

    pub(in crate::store) async fn end_idempotent(&self, key: [u8; 32], answer: Option<StoredResponse>) -> Result<(), StoreError> {
        self.call(Command::Idempotency, Step::End { key, answer }).await.map(|_| ())
    }
}

impl Writer {
    pub(super) fn idempotency_step(&self, step: &Step) -> Result<IdempotencyState, rusqlite::Error> {
        match step {
            Step::Begin { key, request, since } => self.begin_idempotent(key, request, *since),
            Step::End { key, answer: Some(answer) } => {
                let headers = serde_json::to_string(&answer.headers).unwrap_or_default();
                // An answer may show a secret, the one time that it is shown.
                let text = String::from_utf8_lossy(&answer.body);
                let (sealed_by, body) = self.keyring.seal(Bound::Answer, &text)?;
                self.connection
                    .prepare_cached("UPDATE idempotency SET status = ?2, headers = ?3, sealed_by = ?4, body = ?5 WHERE key = ?1")?
                    .execute(params![key, answer.status, headers, sealed_by, body])?;
                Ok(IdempotencyState::New)
            }
            Step::End { key, answer: None } => {
                self.connection.prepare_cached("DELETE FROM idempotency WHERE key = ?1")?.execute([key])?;
                Ok(IdempotencyState::New)
            }
        }
    }

    fn begin_idempotent(
        &self,
        key: &[u8; 32],
        request: &[u8; 32],
        since: Timestamp,
    ) -> Result<IdempotencyState, rusqlite::Error> {
        self.connection
            .prepare_cached(
                "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE at < ?1 ORDER BY at LIMIT ?2)",
            )?
            .execute(params![since.as_millis(), REMOVED_AT_ONCE])?;
        if let Some(found) = self.found(key, request, since)? {
            return Ok(found);
        }
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO idempotency(key, request, at) VALUES(?1, ?2, ?3)")?
            .execute(params![key, request, self.clock.now().as_millis()])?;
        Ok(IdempotencyState::New)
    }

    fn found(&self, key: &[u8; 32], request: &[u8; 32], since: Timestamp) -> Result<Option<IdempotencyState>, rusqlite::Error> {
        let lost = self.clock.now().before(IN_FLIGHT_MAX);
        let mut statement = self.connection.prepare_cached(
            "SELECT request, status, headers, body, sealed_by FROM idempotency
             WHERE key = ?1 AND at >= ?2 AND (status IS NOT NULL OR at >= ?3)",
        )?;
        statement
            .query_row(params![key, since.as_millis(), lost.as_millis()], |row| {
                if row.get_ref(0)?.as_blob()? != request {
                    return Ok(IdempotencyState::OtherRequest);
                }
                let Some(status) = row.get(1)? else { return Ok(IdempotencyState::InFlight) };
                let headers = serde_json::from_str(row.get_ref(2)?.as_str()?).map_err(|e| super::rows::invalid(2, e))?;
                let sealed_by = row.get_ref(4)?.as_str_or_null()?;
                let text = self.keyring.open(Bound::Answer, sealed_by, row.get_ref(3)?.as_blob()?)?;
                let body = bytes::Bytes::copy_from_slice(text.as_bytes());
                Ok(IdempotencyState::Done(StoredResponse { status, headers, body }))
            })
            .optional()
    }
}

/// The stored responses that are sealed otherwise than these keys would; answers how many those were. One that cannot be
/// opened any more goes: a client that sends its request again is served.
pub(super) fn reseal(connection: &Connection, keys: &Keyring) -> Result<u64, rusqlite::Error> {
    let (mut changed, mut after) = (0, Vec::new());
    loop {
        let mut statement = connection.prepare_cached(
            "SELECT key, sealed_by, body FROM idempotency
             WHERE key > ?1 AND status IS NOT NULL AND sealed_by IS NOT ?2 ORDER BY key LIMIT ?3",
        )?;
        let row = |row: &Row<'_>| {
            let (key, sealed_by) = (row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<String>>(1)?);
            Ok((key, keys.open(Bound::Answer, sealed_by.as_deref(), row.get_ref(2)?.as_blob()?).ok()))
        };
        let page: Vec<_> = statement.query_map(params![after, keys.current(), SEALED_AT_ONCE], row)?.collect::<Result<_, _>>()?;
        let Some((last, _)) = page.last() else { return Ok(changed) };
        after.clone_from(last);
        for (key, text) in &page {
            let Some(text) = text else {
                connection.prepare_cached("DELETE FROM idempotency WHERE key = ?1")?.execute([key])?;
                continue;
            };
            let (sealed_by, body) = keys.seal(Bound::Answer, text)?;
            connection
                .prepare_cached("UPDATE idempotency SET sealed_by = ?2, body = ?3 WHERE key = ?1")?
                .execute(params![key, sealed_by, body])?;
            changed += 1;
        }
    }
}

/// At start: nothing is in flight.
pub(super) fn recover(connection: &Connection) -> Result<(), rusqlite::Error> {
    let left = connection.execute("DELETE FROM idempotency WHERE status IS NULL", [])?;
    if left > 0 {
        tracing::info!(requests = left, "requests with an Idempotency-Key were in flight when the last process ended");
    }
    Ok(())
}
