//! Due times after the wall clock was set back. They are wall-clock times, so what was due in four seconds would wait as
//! long as the clock went back, and four seconds.

use std::time::Duration;

use rusqlite::params;

use super::Embedded;
use super::ordered::BLOCKED;
use super::writer::Writer;
use crate::model::{Timestamp, WebhookKey};
use crate::store::{DueCursor, ShiftedDue, StoreError};

/// Deliveries that are shifted in one commit: some 10 ms, so that publishers hardly notice.
const STEP_ROWS: usize = 2000;

impl Embedded {
    pub(in crate::store) async fn newest_record(&self) -> Result<Option<Timestamp>, StoreError> {
        let newest = "SELECT max(coalesce((SELECT received FROM events ORDER BY seq DESC LIMIT 1), 0),
                                 coalesce((SELECT at FROM attempts ORDER BY a DESC LIMIT 1), 0))";
        let newest = self.read(|connection, _| connection.query_row(newest, [], |row| row.get::<_, i64>(0))).await?;
        Ok((newest > 0).then(|| Timestamp::from_millis(newest)))
    }

    pub(in crate::store) async fn shift_due(
        &self,
        webhook: WebhookKey,
        after: Option<DueCursor>,
        step: Duration,
    ) -> Result<ShiftedDue, StoreError> {
        self.write(move |writer| writer.shift_due(webhook, after, step)).await
    }

    pub(in crate::store) async fn clamp_due(&self, webhook: WebhookKey, latest: Timestamp) -> Result<u64, StoreError> {
        self.write(move |writer| writer.clamp_due(webhook, latest)).await
    }
}

impl Writer {
    /// In the order of their due times, so that none is shifted twice: what was shifted is before the cursor.
    fn shift_due(
        &mut self,
        webhook: WebhookKey,
        after: Option<DueCursor>,
        step: Duration,
    ) -> Result<ShiftedDue, rusqlite::Error> {
        let now = self.clock.now();
        let DueCursor { due, number } = after.unwrap_or(DueCursor { due: now.as_millis(), number: i64::MAX });
        let mut select = self.connection.prepare_cached(
            "SELECT due, d FROM deliveries WHERE webhook = ?1 AND due >= ?2 AND due < ?3 AND (due, d) > (?2, ?4)
             ORDER BY due, d LIMIT ?5",
        )?;
        let rows = select.query_map(params![webhook.0, due, BLOCKED, number, STEP_ROWS], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows = rows.collect::<Result<Vec<(i64, i64)>, _>>()?;
        drop(select);
        let mut update = self.connection.prepare_cached("UPDATE deliveries SET due = ?2 WHERE d = ?1")?;
        let shifted = |due: i64| Timestamp::from_millis(due).before(step);
        for (due, number) in &rows {
            update.execute(params![number, shifted(*due).as_millis()])?;
        }
        drop(update);
        // A batch that waits is due earlier than it is known to be: nothing joins it any more.
        self.batches.remove(&webhook);
        if let Some((first, _)) = rows.first() {
            self.due_on_disk(webhook, shifted(*first), now);
        }
        let next = rows.last().filter(|_| rows.len() == STEP_ROWS).map(|(due, number)| DueCursor { due: *due, number: *number });
        Ok(ShiftedDue { deliveries: rows.len() as u64, next })
    }

    fn clamp_due(&mut self, webhook: WebhookKey, latest: Timestamp) -> Result<u64, rusqlite::Error> {
        let mut update =
            self.connection.prepare_cached("UPDATE deliveries SET due = ?2 WHERE webhook = ?1 AND due > ?2 AND due < ?3")?;
        let clamped = update.execute(params![webhook.0, latest.as_millis(), BLOCKED])?;
        drop(update);
        if clamped > 0 {
            self.due_on_disk(webhook, latest, self.clock.now());
        }
        Ok(clamped as u64)
    }

    fn due_on_disk(&mut self, webhook: WebhookKey, at: Timestamp, now: Timestamp) {
        if at <= now {
            self.handover.spill(webhook);
        }
        self.effects.due.push((webhook, at));
    }
}
