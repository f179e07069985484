//! Deliveries that stay in memory for long: paced ones, those behind a breaker or an endpoint that hangs. Each would keep
//! the watermark where it is, and with it all that a restart has to look through; so they are written as due, which
//! is what those that never found room in memory are from the beginning.

use super::writer::Writer;

/// Numbers that the oldest delivery in memory may lag behind the newest: a restart looks through so many rows, some
/// milliseconds.
const LAG_MAX: i64 = 16_384;

/// In one commit: a millisecond's work.
const WRITTEN_MAX: usize = 256;

impl Writer {
    pub(super) fn write_laggards(&mut self) -> Result<(), rusqlite::Error> {
        let oldest = self.counters.delivery - LAG_MAX;
        if self.outstanding.first().is_none_or(|number| *number >= oldest) {
            return Ok(());
        }
        let late: Vec<i64> = self.outstanding.range(..oldest).take(WRITTEN_MAX).copied().collect();
        let mut statement = self.connection.prepare_cached(
            "UPDATE deliveries SET due = (SELECT received FROM events WHERE seq = deliveries.event)
             WHERE d = ?1 AND state = 0 AND due IS NULL",
        )?;
        for number in &late {
            statement.execute([number])?;
        }
        drop(statement);
        // No longer outstanding once this is durable; whoever has leased them passes over them when it claims.
        self.effects.settled.extend(late);
        Ok(())
    }
}
