//! The file's shape and its settings.
//!
//! Every table is keyed by a number that only grows, so all writes of a commit land on the same few pages whatever
//! the number of webhooks. A webhook's deliveries are found newest first by following `prev` from `webhooks.head`
//! (a secondary index on them more than doubled the cost of an event); a delivery's attempts likewise from `last`.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// Stored in `user_version`; a file of a newer one is refused, one of an older one is brought up to date.
pub(super) const SCHEMA_VERSION: i64 = 1 + MIGRATIONS.len() as i64;

/// Stored in `application_id`, so that other tools and we tell a store from another SQLite file: "tnth".
pub(super) const APPLICATION_ID: i32 = 0x746e_7468;

/// Version 1. Never changed: what came later is in [`MIGRATIONS`], which new files go through as well.
pub(super) const SCHEMA: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE webhooks(
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, head INTEGER NOT NULL DEFAULT 0,
  pending INTEGER NOT NULL DEFAULT 0, retrying INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0,
  succeeded INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0,
  dropped INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, attempts_failed INTEGER NOT NULL DEFAULT 0,
  duration_us INTEGER NOT NULL DEFAULT 0, timed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE hours(
  webhook INTEGER NOT NULL, hour INTEGER NOT NULL, attempts INTEGER NOT NULL, attempts_failed INTEGER NOT NULL,
  succeeded INTEGER NOT NULL, failed INTEGER NOT NULL, dropped INTEGER NOT NULL, durations BLOB NOT NULL,
  PRIMARY KEY(webhook, hour)
) WITHOUT ROWID;
CREATE TABLE secrets(webhook INTEGER PRIMARY KEY, secret TEXT NOT NULL);

CREATE TABLE events(
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL, type TEXT NOT NULL, timestamp INTEGER NOT NULL, received INTEGER NOT NULL,
  tenant TEXT, metadata BLOB, first INTEGER NOT NULL, targets INTEGER NOT NULL, unmatched TEXT, data BLOB NOT NULL
);
CREATE UNIQUE INDEX events_id ON events(id);

CREATE TABLE deliveries(
  d INTEGER PRIMARY KEY, event INTEGER NOT NULL, webhook INTEGER NOT NULL, prev INTEGER NOT NULL,
  state INTEGER NOT NULL, due INTEGER, spent INTEGER NOT NULL DEFAULT 0, count INTEGER NOT NULL DEFAULT 0,
  trigger INTEGER NOT NULL DEFAULT 0, last INTEGER NOT NULL DEFAULT 0, request INTEGER, settled INTEGER, reason TEXT
);
CREATE INDEX deliveries_due ON deliveries(webhook, due) WHERE due IS NOT NULL;
CREATE INDEX deliveries_webhook_state ON deliveries(webhook, state) WHERE state IN (1, 2, 4, 5, 6);
CREATE INDEX deliveries_state ON deliveries(state) WHERE state IN (1, 2, 4, 5, 6);

CREATE TABLE requests(r INTEGER PRIMARY KEY, head TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE attempts(
  a INTEGER PRIMARY KEY, delivery INTEGER NOT NULL, prev INTEGER NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL,
  trigger INTEGER NOT NULL, outcome INTEGER NOT NULL, status INTEGER, error_class TEXT, error TEXT,
  duration_us INTEGER NOT NULL, request INTEGER, detail TEXT NOT NULL, response_body BLOB
);
";

/// From each version to the next.
const MIGRATIONS: [&str; 7] = [
    // 2: webhook statuses; deliveries that go in the order of a key; events that make up a batch.
    "
CREATE TABLE standings(webhook INTEGER PRIMARY KEY, disabled TEXT, condition TEXT);
CREATE TABLE ordered(
  webhook INTEGER NOT NULL, key TEXT NOT NULL, d INTEGER NOT NULL, blocks INTEGER NOT NULL, PRIMARY KEY(webhook, key, d)
) WITHOUT ROWID;
CREATE UNIQUE INDEX ordered_d ON ordered(d);
CREATE TABLE members(m INTEGER PRIMARY KEY, d INTEGER NOT NULL, event INTEGER NOT NULL);
CREATE INDEX members_d ON members(d, m);
",
    super::secrets::MIGRATION,
    super::idempotency::MIGRATION,
    super::work::MANAGEMENT,
    super::api_webhooks::MIGRATION,
    // 7: batches that hold other events than before.
    "ALTER TABLE deliveries ADD COLUMN edition INTEGER NOT NULL DEFAULT 0;",
    super::removed::MIGRATION,
];

/// Page size of new files: measured best for events of 1 KiB.
pub(super) const PAGE_BYTES: u32 = 8192;

/// How long a reader or the checkpointer waits for a lock that another of our own connections holds.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Prepared statements kept per connection: more than there are in the code.
const STATEMENTS_MAX: usize = 64;

pub(super) fn open_writer(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    // Before anything is written: a file of another program stays as it is.
    let version = version_of_ours(&connection)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: fsync of the WAL at every commit, or a power cut loses what was answered with 202.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    // What is deleted is overwritten, also in pages that a split or a merge leaves behind: erased data and old secrets do not
    // stay in the file's free space.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    if version > SCHEMA_VERSION {
        return Err(super::secrets::failure(format!(
            "its format is version {version}, this tenterhook reads version {SCHEMA_VERSION}: use the release that wrote it"
        )));
    }
    if version < SCHEMA_VERSION {
        migrate(&connection, version)?;
    }
    Ok(connection)
}

/// The version of a store; 0 for a new file. Fails for a database of another program.
fn version_of_ours(connection: &Connection) -> Result<i64, rusqlite::Error> {
    match foreign(connection)? {
        None => connection.pragma_query_value(None, "user_version", |row| row.get(0)),
        Some(what) => Err(super::secrets::failure(format!(
            "it is a database of another program ({what}): set another `[storage] path`, or move the file away"
        ))),
    }
}

/// By what a database shows that it is not a store of ours.
pub(super) fn foreign(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application == APPLICATION_ID {
        return Ok(None);
    }
    if application != 0 {
        return Ok(Some(format!("its application_id is {application:#x}")));
    }
    // Stores of versions 1 to 7 have no application_id.
    let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let tables = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let has_ours = ["deliveries", "events", "meta", "webhooks"].iter().all(|ours| tables.iter().any(|table| table == ours));
    Ok(match (version, tables.is_empty()) {
        (0, true) => None,
        (1.., _) if has_ours => None,
        (_, true) => Some(format!("its user_version is {version}, and it has no tables")),
        (_, false) => {
            let shown = tables.iter().take(3).map(|table| format!("`{table}`")).collect::<Vec<_>>();
            let more = if tables.len() > shown.len() { ", …" } else { "" };
            Some(format!("its tables: {}{more}", shown.join(", ")))
        }
    })
}

/// All or nothing: a crash in between leaves the version that was.
fn migrate(connection: &Connection, version: i64) -> Result<(), rusqlite::Error> {
    let first = if version == 0 { SCHEMA } else { "" };
    let done = usize::try_from(version - 1).unwrap_or(0);
    let rest = MIGRATIONS[done..].concat();
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {first} {rest} PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    ))?;
    if version > 0 {
        tracing::info!(from = version, to = SCHEMA_VERSION, "brought the store's format up to date");
    }
    Ok(())
}

pub(super) fn open_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// A connection of its own for checkpoints, so that their fsyncs do not hold up a commit.
pub(super) fn open_checkpointer(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.busy_timeout(BUSY_WAIT)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_version_1_is_brought_up_to_date_with_all_that_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tenterhook.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(&format!(
            "{SCHEMA} PRAGMA user_version = 1; INSERT INTO webhooks(id) VALUES('a'); INSERT INTO secrets VALUES(1, 'whsec_old');"
        ))
        .unwrap();
        drop(old);
        let connection = open_writer(&path).unwrap();
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, SCHEMA_VERSION);
        let tables = |connection: &Connection| -> Vec<String> {
            let mut statement = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        };
        let fresh = directory.path().join("fresh.db");
        assert_eq!(tables(&connection), tables(&open_writer(&fresh).unwrap()), "old and new files have the same shape");
        let kept: String = connection.query_row("SELECT id FROM webhooks", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, "a");
        let secret: Vec<u8> =
            connection.query_row("SELECT secret FROM secrets WHERE webhook = 1 AND n = 1", [], |row| row.get(0)).unwrap();
        assert_eq!(secret, b"whsec_old");
    }

    #[test]
    fn a_file_of_a_later_version_is_refused_with_the_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tenterhook.db");
        open_writer(&path).unwrap().pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
        let error = open_writer(&path).unwrap_err().to_string();
        assert!(error.contains("use the release that wrote it"), "{error}");
    }

    #[test]
    fn a_database_of_another_program_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tenterhook.db");
        for (theirs, said) in [
            ("CREATE TABLE customers(id)", "its tables: `customers`"),
            ("CREATE TABLE a(x); CREATE TABLE b(x); CREATE TABLE c(x); CREATE TABLE d(x)", "`a`, `b`, `c`, …"),
            ("CREATE TABLE events(id); PRAGMA user_version = 3", "its tables: `events`"),
            ("PRAGMA application_id = 1196444487; CREATE TABLE gpkg(id)", "its application_id is 0x47504b47"),
            ("PRAGMA user_version = 5", "its user_version is 5"),
        ] {
            let _ = std::fs::remove_file(&path);
            Connection::open(&path).unwrap().execute_batch(theirs).unwrap();
            let before = std::fs::read(&path).unwrap();
            let error = open_writer(&path).unwrap_err().to_string();
            assert!(error.contains("a database of another program") && error.contains(said), "{error}");
            assert!(std::fs::read(&path).unwrap() == before, "{theirs}");
        }
    }
}
