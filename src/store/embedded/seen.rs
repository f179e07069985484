//! Event types that were published, counted in the commits that store the events.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::Embedded;
use super::rows::{invalid, timestamp};
use crate::model::{EventType, Timestamp};
use crate::store::{SeenType, StoreError};

/// Types counted: a producer that puts ids into its types is not to fill the file.
const TYPES_MAX: usize = 10_000;

/// What the commit in progress adds.
#[derive(Default)]
pub(super) struct Seen {
    fresh: HashMap<EventType, (u64, Timestamp)>,
}

impl Seen {
    pub(super) fn count(&mut self, kind: &EventType, at: Timestamp) {
        match self.fresh.get_mut(kind) {
            Some((count, last)) => {
                *count += 1;
                *last = at.max(*last);
            }
            None => {
                self.fresh.insert(kind.clone(), (1, at));
            }
        }
    }

    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let mut update = connection.prepare_cached("UPDATE event_types SET events = events + ?2, last = ?3 WHERE type = ?1")?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO event_types(type, events, first, last) SELECT ?1, ?2, ?3, ?3
             WHERE (SELECT count(*) FROM event_types) < ?4",
        )?;
        for (kind, (count, at)) in self.fresh.drain() {
            if update.execute(params![kind.as_str(), count, at.as_millis()])? == 0 {
                insert.execute(params![kind.as_str(), count, at.as_millis(), TYPES_MAX])?;
            }
        }
        Ok(())
    }

    /// After a failed commit.
    pub(super) fn forget(&mut self) {
        self.fresh.clear();
    }
}

impl Embedded {
    /// In the order of their names.
    pub(in crate::store) async fn seen_types(&self) -> Result<Vec<SeenType>, StoreError> {
        self.read(|reader, _| {
            let mut statement = reader.prepare_cached("SELECT type, events, first, last FROM event_types ORDER BY type")?;
            let rows = statement.query_map([], |row| {
                Ok(SeenType {
                    kind: EventType::parse(row.get_ref(0)?.as_str()?).map_err(|e| invalid(0, e))?,
                    events: row.get(1)?,
                    first: timestamp(row, 2)?,
                    last: timestamp(row, 3)?,
                })
            })?;
            rows.collect()
        })
        .await
    }
}
