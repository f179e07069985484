//! Rare writes: closures that run in the commit of their group, and the tables that they need.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::Embedded;
use super::writer::{Command, Writer};
use crate::store::StoreError;

/// Schema step of management: webhooks made by the API, jobs, the audit log, event types seen, and
/// failures by class.
pub(super) const MANAGEMENT: &str = "
CREATE TABLE api_webhooks(id TEXT PRIMARY KEY, body TEXT NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE jobs(
  j INTEGER PRIMARY KEY, spec TEXT NOT NULL, state TEXT NOT NULL, reason TEXT, by TEXT NOT NULL, created INTEGER NOT NULL,
  updated INTEGER NOT NULL, ended INTEGER, position INTEGER, done INTEGER NOT NULL DEFAULT 0, total INTEGER
);
CREATE TABLE audit(
  a INTEGER PRIMARY KEY, at INTEGER NOT NULL, token TEXT NOT NULL, peer TEXT, request_id TEXT NOT NULL, method TEXT NOT NULL,
  path TEXT NOT NULL, action TEXT NOT NULL, status INTEGER NOT NULL, detail TEXT
);
CREATE TABLE event_types(type TEXT PRIMARY KEY, events INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO event_types SELECT type, count(*), min(received), max(received) FROM events GROUP BY type;
CREATE TABLE failures(
  webhook INTEGER NOT NULL, hour INTEGER NOT NULL, class TEXT NOT NULL, attempts INTEGER NOT NULL, at INTEGER NOT NULL,
  status INTEGER, error TEXT, PRIMARY KEY(webhook, hour, class)
) WITHOUT ROWID;
";

/// Runs again when the group that it came with broke.
type Run = Box<dyn Fn(&mut Writer) -> Result<(), rusqlite::Error> + Send>;

type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

pub(super) struct Work {
    pub(super) run: Run,
    pub(super) answer: Answer,
}

impl Embedded {
    /// Runs `work` on the writer; durable when it answers.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Writer) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = Arc::new(Mutex::new(None));
        let for_answer = Arc::clone(&done);
        let run: Run = Box::new(move |writer: &mut Writer| {
            let result = work(writer)?;
            *done.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            Ok(())
        });
        let (reply, answer) = oneshot::channel();
        let answered: Answer = Box::new(move |result: Result<(), StoreError>| {
            let value = for_answer.lock().unwrap_or_else(PoisonError::into_inner).take();
            let missing = || StoreError::Unavailable { reason: "a command of the store was not run".to_owned() };
            // The caller may be gone; the work is durable all the same.
            let _ = reply.send(result.and_then(|()| value.ok_or_else(missing)));
        });
        self.shared.workers.send(Command::Work(Work { run, answer: answered })).await.map_err(|_| self.why_gone())?;
        answer.await.map_err(|_| self.why_gone())?
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use crate::store::embedded::schema;

    #[test]
    fn a_file_without_management_gets_its_tables_and_seen_event_types() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tenterhook.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(schema::SCHEMA).unwrap();
        old.execute_batch(
            "PRAGMA user_version = 1;
             INSERT INTO events(id, type, timestamp, received, first, targets, data) VALUES
             ('a', 'order.created', 1, 10, 1, 0, ''), ('b', 'order.created', 1, 20, 1, 0, ''), ('c', 'x', 1, 30, 1, 0, '');",
        )
        .unwrap();
        drop(old);
        let connection = schema::open_writer(&path).unwrap();
        let mut statement = connection.prepare("SELECT type, events, first, last FROM event_types ORDER BY type").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        let rows: Vec<(String, i64, i64, i64)> = rows.collect::<Result<_, _>>().unwrap();
        assert_eq!(rows, [("order.created".to_owned(), 2, 10, 20), ("x".to_owned(), 1, 30, 30)]);
    }
}
