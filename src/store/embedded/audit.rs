//! The audit log: who called what, when, from where, and with which result.

use rusqlite::{Row, params};

use super::Embedded;
use super::rows::timestamp;
use crate::model::Timestamp;
use crate::store::{AuditEntry, AuditFilter, AuditRecord, Cursor, Page, StoreError};

/// Rows removed in one commit.
const PRUNE_MAX: usize = 2000;

const COLUMNS: &str = "a, at, token, peer, request_id, method, path, action, status, detail";

fn record(row: &Row<'_>) -> Result<AuditRecord, rusqlite::Error> {
    Ok(AuditRecord {
        number: row.get(0)?,
        entry: AuditEntry {
            at: timestamp(row, 1)?,
            token: row.get(2)?,
            peer: row.get(3)?,
            request_id: row.get(4)?,
            method: row.get(5)?,
            path: row.get(6)?,
            action: row.get(7)?,
            status: row.get(8)?,
            detail: row.get(9)?,
        },
    })
}

impl Embedded {
    pub(in crate::store) async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.write(move |writer| {
            writer
                .connection
                .prepare_cached(
                    "INSERT INTO audit(at, token, peer, request_id, method, path, action, status, detail)
                     VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?
                .execute(params![
                    entry.at.as_millis(),
                    entry.token,
                    entry.peer,
                    entry.request_id,
                    entry.method,
                    entry.path,
                    entry.action,
                    entry.status,
                    entry.detail
                ])
                .map(|_| ())
        })
        .await
    }

    pub(in crate::store) async fn audit_log(
        &self,
        filter: AuditFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<AuditRecord>, StoreError> {
        self.read(move |reader, _| {
            let mut statement = reader.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM audit WHERE a < ?1 AND (?2 IS NULL OR token = ?2) AND (?3 IS NULL OR action = ?3)
                 AND (?4 IS NULL OR at >= ?4) AND (?5 IS NULL OR at <= ?5) AND (?6 IS NULL OR instr(path, ?6) > 0)
                 ORDER BY a DESC LIMIT ?7"
            ))?;
            let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
            let (since, until) = (millis(filter.since), millis(filter.until));
            let below = after.map_or(i64::MAX, |cursor| cursor.0);
            let values = params![below, filter.token, filter.action, since, until, filter.path, limit + 1];
            let rows = statement.query_map(values, record)?;
            let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let next = rows.last().filter(|_| more).map(|last| Cursor(last.number));
            Ok(Page { rows, next })
        })
        .await
    }

    /// Also jobs that ended, and failures counted, before then.
    pub(in crate::store) async fn prune_management(&self, audit: Timestamp, jobs: Timestamp) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let step = self
                .write(move |writer| {
                    let connection = &writer.connection;
                    let old = "DELETE FROM audit WHERE a IN (SELECT a FROM audit WHERE at < ?1 ORDER BY a LIMIT ?2)";
                    let removed = connection.prepare_cached(old)?.execute(params![audit.as_millis(), PRUNE_MAX])?;
                    let jobs = jobs.as_millis();
                    connection.prepare_cached("DELETE FROM jobs WHERE ended < ?1")?.execute([jobs])?;
                    let hour = jobs / super::tally::HOUR_MS;
                    connection.prepare_cached("DELETE FROM failures WHERE hour < ?1")?.execute([hour])?;
                    Ok(removed)
                })
                .await?;
            total += step as u64;
            if step < PRUNE_MAX {
                return Ok(total);
            }
        }
    }
}
