//! Deliveries that stay in memory for long: rate-limited ones, those behind a breaker or an endpoint that hangs. Each would
//! hold the watermark back, and a restart reads all rows from the watermark on. So they are spilled: written as due, as
//! are those that found no room in memory in the first place.

use super::states::with_states;
use super::writer::Writer;

/// Numbers that the oldest delivery in memory may lag behind the newest: a restart reads as many rows in some milliseconds.
const LAG_MAX: i64 = 16_384;

/// In one commit: a millisecond's work.
const WRITTEN_MAX: usize = 256;

/// Makes one delivery that was handed over in memory due on disk, if it still waits there: since its event was received, but
/// not later than now (`?2`), whatever the clock showed then.
const MAKE_DUE: &str = "UPDATE deliveries SET due = min((SELECT received FROM events WHERE seq = deliveries.event), ?2)
     WHERE d = ?1 AND state = :pending AND due IS NULL";

impl Writer {
    pub(super) fn spill_oldest(&mut self) -> Result<(), rusqlite::Error> {
        let oldest = self.counters.delivery - LAG_MAX;
        if self.outstanding.first().is_none_or(|number| *number >= oldest) && self.unrecovered.is_empty() {
            return Ok(());
        }
        let late: Vec<i64> = self.outstanding.range(..oldest).take(WRITTEN_MAX).copied().collect();
        let now = self.clock.now();
        let mut statement = self.connection.prepare_cached(&with_states(MAKE_DUE))?;
        for number in &late {
            statement.execute([*number, now.as_millis()])?;
        }
        for (number, lease) in self.unrecovered.iter().take(WRITTEN_MAX) {
            statement.execute([*number, now.as_millis()])?;
            self.handover.spill(lease.webhook);
            self.effects.due.push((lease.webhook, lease.received.min(now)));
            self.effects.settled.push(*number);
        }
        drop(statement);
        // They leave `outstanding` once this is durable; a lane that holds them passes over them when it claims.
        self.effects.settled.extend(late);
        Ok(())
    }
}
