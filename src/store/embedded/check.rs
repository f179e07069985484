//! Proof of the store's invariants, from the outside: reads the file as it is, beside a running server or without one, and
//! believes nothing that the writer believes.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::ordered::BLOCKED;
use super::schema::{self, SCHEMA_VERSION};
use super::states::with_states;
use crate::model::{AttemptId, DeliveryId, Timestamp};
use crate::store::{StoreCheck, StoreCounts};

/// Examples named of each kind of problem: enough to investigate it.
const EXAMPLES_MAX: usize = 5;

/// So far before its event a delivery may be due and still be right: the machine's clock may have been set back.
const CLOCK_SET_BACK_MS: i64 = 3_600_000;

/// What the numbers of a query identify.
#[derive(Clone, Copy)]
enum Of {
    Delivery,
    Webhook,
    Attempt,
}

/// What must not be there: what it is called, what it is, and the query for its numbers. `:blocked`, `:watermark`, `:given`
/// (the last delivery's number as retention wrote it), `:back` and the [states](with_states) are replaced by their values.
const FORBIDDEN: [(&str, Of, &str); 16] = [
    (
        "deliveries without their event",
        Of::Delivery,
        "SELECT d FROM deliveries d WHERE event != 0 AND NOT EXISTS(SELECT 1 FROM events e WHERE e.seq = d.event)",
    ),
    (
        "deliveries of a webhook that is not known, which nobody would claim",
        Of::Delivery,
        "SELECT d FROM deliveries d WHERE NOT EXISTS(SELECT 1 FROM webhooks w WHERE w.key = d.webhook)",
    ),
    // What was handed over in memory has no due time, and a restart finds it from the watermark on.
    (
        "deliveries that wait and are never due",
        Of::Delivery,
        "SELECT d FROM deliveries WHERE state IN :waiting AND due IS NULL AND NOT (state = :pending AND d >= :watermark)",
    ),
    (
        "deliveries due in the past, before they existed",
        Of::Delivery,
        "SELECT d.d FROM deliveries d JOIN events e ON e.seq = d.event WHERE d.due < e.received - :back",
    ),
    (
        "deliveries that have ended or are held and are due all the same",
        Of::Delivery,
        "SELECT d FROM deliveries WHERE state NOT IN :waiting AND due IS NOT NULL",
    ),
    ("deliveries that have ended at no time", Of::Delivery, "SELECT d FROM deliveries WHERE state IN :ended AND settled IS NULL"),
    (
        "deliveries that wait for another of their key, and there is none",
        Of::Delivery,
        "SELECT d.d FROM deliveries d WHERE d.due = :blocked AND NOT EXISTS(SELECT 1 FROM ordered o JOIN ordered b
         ON b.webhook = o.webhook AND b.key = o.key AND b.d < o.d WHERE o.d = d.d)",
    ),
    (
        "entries of ordered queues that nothing will ever remove",
        Of::Delivery,
        "SELECT o.d FROM ordered o WHERE NOT EXISTS(SELECT 1 FROM deliveries d WHERE d.d = o.d AND (d.state IN :open OR d.state = :failed))",
    ),
    (
        "events of a batch that are gone",
        Of::Delivery,
        "SELECT m.d FROM members m WHERE NOT EXISTS(SELECT 1 FROM events e WHERE e.seq = m.event)",
    ),
    (
        "deliveries whose attempts are not as many as they count",
        Of::Delivery,
        "SELECT d.d FROM deliveries d LEFT JOIN (SELECT delivery, count(*) AS n FROM attempts GROUP BY delivery) a ON a.delivery = d.d
         WHERE d.count != coalesce(a.n, 0)",
    ),
    ("deliveries that spent more attempts than they had", Of::Delivery, "SELECT d FROM deliveries WHERE spent > count"),
    (
        "attempts without their delivery",
        Of::Attempt,
        "SELECT a FROM attempts a WHERE NOT EXISTS(SELECT 1 FROM deliveries d WHERE d.d = a.delivery)",
    ),
    (
        "attempts whose request is gone",
        Of::Attempt,
        "SELECT a FROM attempts a WHERE request > 0 AND NOT EXISTS(SELECT 1 FROM requests r WHERE r.r = a.request)",
    ),
    // The newest may be gone: retention leaves an older one that is still open. Its number was given, and is in `meta` since.
    (
        "webhooks whose newest delivery is another one",
        Of::Webhook,
        "SELECT w.key FROM webhooks w JOIN (SELECT webhook, max(d) AS newest FROM deliveries GROUP BY webhook) d ON d.webhook = w.key
         WHERE w.head < d.newest OR w.head > max(d.newest, :given)",
    ),
    // Open deliveries are counted as they are; ended ones are counted since the store began, and their rows go with time.
    (
        "webhooks whose open deliveries are not as many as they count",
        Of::Webhook,
        "SELECT w.key FROM webhooks w LEFT JOIN (SELECT webhook, sum(state = :pending) AS p, sum(state = :retrying) AS r, sum(state = :held) AS h
         FROM deliveries GROUP BY webhook) d ON d.webhook = w.key
         WHERE w.pending != coalesce(d.p, 0) OR w.retrying != coalesce(d.r, 0) OR w.held != coalesce(d.h, 0)",
    ),
    (
        "webhooks with more ended deliveries than they count",
        Of::Webhook,
        "SELECT w.key FROM webhooks w JOIN (SELECT webhook, sum(state = :succeeded) AS s, sum(state = :failed) AS f, sum(state = :cancelled) AS c,
         sum(state = :dropped) AS x FROM deliveries GROUP BY webhook) d ON d.webhook = w.key
         WHERE w.succeeded < d.s OR w.failed < d.f OR w.cancelled < d.c OR w.dropped < d.x",
    ),
];

/// A fault of the file is a finding, not an error.
pub(super) fn check(path: &Path, now: Timestamp) -> Result<StoreCheck, rusqlite::Error> {
    let mut found = StoreCheck::default();
    match inspect(path, now, &mut found) {
        Ok(()) => {}
        Err(error) if is_damage(&error) => found.problems.push(format!("the file cannot be read to its end: {error}")),
        Err(error) => match unfit(&error) {
            Some(what) => found.problems.push(format!("the file's tables are not those of its format: {what}")),
            None => return Err(error),
        },
    }
    if found.counts.is_none() || found.problems.iter().any(|problem| problem.starts_with(DAMAGED)) {
        found.advice.get_or_insert_with(|| way_out(path));
    }
    Ok(found)
}

const DAMAGED: &str = "the file is damaged: ";

fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure))
}

/// Where a query does not fit the tables: in which way.
fn unfit(error: &rusqlite::Error) -> Option<&str> {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => Some(msg),
        rusqlite::Error::SqliteFailure(failure, msg) if failure.code == ErrorCode::Unknown => msg.as_deref(),
        _ => None,
    }
}

fn way_out(path: &Path) -> String {
    let path = path.display();
    format!(
        "stop the server and copy {path} with its -wal and -shm away; then put a backup of the three back, or save what \
         can be read with a sqlite3 shell that can `.recover` (that of sqlite.org can, that of Debian 12 cannot): \
         `mkdir saved && sqlite3 {path} .recover | sqlite3 saved/tenterhook.db`, \
         which `tenterhook store check --data saved` judges before you start on it"
    )
}

fn inspect(path: &Path, now: Timestamp, found: &mut StoreCheck) -> Result<(), rusqlite::Error> {
    let mut connection = schema::open_reader(path)?;
    // One moment of the file, while a server may write.
    let moment = connection.transaction()?;
    let problems = &mut found.problems;
    damage(&moment, problems)?;
    if let Some((problem, advice)) = unknown_format(&moment, path)? {
        problems.push(problem);
        found.advice = Some(advice);
        return Ok(());
    }
    let meta = |key: &str| -> Result<i64, rusqlite::Error> {
        moment.query_row("SELECT coalesce((SELECT value FROM meta WHERE key = ?1), 0)", [key], |row| row.get(0))
    };
    let (watermark, given) = (meta("watermark")?, meta("deliveries")?);
    for (what, of, sql) in FORBIDDEN {
        let sql = with_states(sql).replace(":blocked", &BLOCKED.to_string()).replace(":watermark", &watermark.to_string());
        let sql = sql.replace(":back", &CLOCK_SET_BACK_MS.to_string()).replace(":given", &given.to_string());
        let numbers = numbers(&moment, &sql)?;
        if !numbers.is_empty() {
            let examples = numbers.iter().take(EXAMPLES_MAX).map(|number| name(&moment, of, *number));
            let mut examples = examples.collect::<Result<Vec<_>, _>>()?;
            examples.extend((numbers.len() > EXAMPLES_MAX).then(|| "…".to_owned()));
            problems.push(format!("{} {what}: {}", numbers.len(), examples.join(", ")));
        }
    }
    found.counts = Some(counts(&moment, watermark, now)?);
    Ok(())
}

/// Why nothing can be said about what is in the file, and what to do.
fn unknown_format(connection: &Connection, path: &Path) -> Result<Option<(String, String)>, rusqlite::Error> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'table'", [], |row| row.get(0))?;
    let path = path.display();
    Ok(if let Some(what) = schema::foreign(connection)? {
        let problem = format!("{path} is a database of another program: {what}");
        Some((problem, "set another `[storage] path`, or move the file away and put the store back".to_owned()))
    } else if tables == 0 {
        let problem = format!("there is no store in {path}: the file is empty, without a single table");
        let advice = "put a backup back; without one, move the file away: the next start makes a new store, with nothing in it";
        Some((problem, advice.to_owned()))
    } else if version > SCHEMA_VERSION {
        let problem = format!(
            "the file's format is version {version}, which this tenterhook does not know: it knows up to {SCHEMA_VERSION}"
        );
        Some((problem, "check it, and run on it, with the release that wrote it or a later one".to_owned()))
    } else if version < SCHEMA_VERSION {
        let problem = format!(
            "the file's format is version {version}, which this tenterhook checks only once it is version {SCHEMA_VERSION}"
        );
        Some((
            problem,
            "start the server on it, which brings it up to date, or check it with the release that wrote it".to_owned(),
        ))
    } else {
        None
    })
}

fn counts(connection: &Connection, watermark: i64, now: Timestamp) -> Result<StoreCounts, rusqlite::Error> {
    let count = |sql: &str| connection.query_row(&with_states(sql), [], |row| row.get::<_, u64>(0));
    let due = "SELECT count(*), min(due) FROM deliveries WHERE due <= ?1";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, Option<i64>>(1)?));
    let (due, due_since) = connection.query_row(due, params![now.as_millis()], read)?;
    let in_memory = "SELECT count(*), min(e.received) FROM deliveries d LEFT JOIN events e ON e.seq = d.event
         WHERE d.state = :pending AND d.due IS NULL AND d.d >= ?1";
    let (in_memory, handed_over_since) = connection.query_row(&with_states(in_memory), params![watermark], read)?;
    Ok(StoreCounts {
        events: count("SELECT count(*) FROM events")?,
        deliveries: count("SELECT count(*) FROM deliveries")?,
        attempts: count("SELECT count(*) FROM attempts")?,
        open: count("SELECT count(*) FROM deliveries WHERE state IN :open")?,
        due: due + in_memory,
        in_memory,
        oldest_due: due_since.into_iter().chain(handed_over_since).min().map(Timestamp::from_millis),
    })
}

/// What SQLite itself finds: damaged pages, indexes that say something else than their tables. What was found before it
/// had to stop stays.
fn damage(connection: &Connection, problems: &mut Vec<String>) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        problems
            .extend(text.lines().filter(|line| *line != "ok" && !line.starts_with("***")).map(|line| format!("{DAMAGED}{line}")));
    }
    Ok(())
}

fn numbers(connection: &Connection, sql: &str) -> Result<Vec<i64>, rusqlite::Error> {
    let mut statement = connection.prepare(sql)?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// As the API calls it; by its number where not enough of it is there for a name.
fn name(connection: &Connection, of: Of, number: i64) -> Result<String, rusqlite::Error> {
    let text = |sql: &str| connection.query_row(sql, [number], |row| row.get::<_, String>(0)).optional();
    let millis = |sql: &str| connection.query_row(sql, [number], |row| row.get(0).map(Timestamp::from_millis)).optional();
    let name = match of {
        Of::Webhook => text("SELECT id FROM webhooks WHERE key = ?1")?,
        Of::Attempt => millis("SELECT at FROM attempts WHERE a = ?1")?.map(|at| AttemptId { at, number }.to_string()),
        Of::Delivery => {
            let created = millis("SELECT e.received FROM deliveries d JOIN events e ON e.seq = d.event WHERE d.d = ?1")?;
            let webhook = text("SELECT w.id FROM deliveries d JOIN webhooks w ON w.key = d.webhook WHERE d.d = ?1")?;
            let id = created.map(|created| DeliveryId { created, number }.to_string());
            let id = id.unwrap_or_else(|| format!("number {number}"));
            Some(webhook.map_or_else(|| id.clone(), |webhook| format!("{id} ({webhook})")))
        }
    };
    Ok(name.unwrap_or_else(|| format!("number {number}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store with one of everything, whole; then each kind of damage, and whether it is seen.
    #[test]
    fn every_kind_of_damage_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tenterhook.db");
        let connection = schema::open_writer(&path).unwrap();
        let whole = format!(
            "INSERT INTO webhooks(key, id, head, pending, retrying, held, succeeded, failed) VALUES(1, 'a', 6, 3, 1, 1, 1, 0);
             INSERT INTO meta(key, value) VALUES('watermark', 6);
             INSERT INTO events(seq, id, type, timestamp, received, first, targets, data) VALUES(1, 'e', 't', 0, 0, 1, 6, x'31');
             INSERT INTO requests(r, head, body) VALUES(1, '{{}}', x'31');
             INSERT INTO attempts(a, delivery, prev, number, at, trigger, outcome, duration_us, request, detail)
               VALUES(1, 1, 0, 1, 0, 0, 0, 1, 1, '{{}}');
             INSERT INTO deliveries(d, event, webhook, prev, state, due, spent, count, last, settled) VALUES
               (1, 1, 1, 0, 3, NULL, 1, 1, 1, 5), (2, 1, 1, 1, 1, 7, 0, 0, 0, NULL), (3, 1, 1, 2, 2, NULL, 0, 0, 0, NULL),
               (4, 1, 1, 3, 0, 9, 0, 0, 0, NULL), (5, 1, 1, 4, 0, {BLOCKED}, 0, 0, 0, NULL), (6, 1, 1, 5, 0, NULL, 0, 0, 0, NULL);
             INSERT INTO ordered(webhook, key, d, blocks) VALUES(1, 'k', 4, 0), (1, 'k', 5, 0);
             INSERT INTO members(m, d, event) VALUES(2, 2, 1);"
        );
        connection.execute_batch(&whole).unwrap();
        let now = Timestamp::from_millis(8);
        let checked = check(&path, now).unwrap();
        assert_eq!((checked.problems, checked.advice), (Vec::<String>::new(), None));
        let counts = checked.counts.unwrap();
        assert_eq!((counts.deliveries, counts.open, counts.due, counts.in_memory), (6, 5, 2, 1), "one of them in memory");
        assert_eq!(counts.oldest_due, Some(Timestamp::from_millis(0)), "when its event was received");
        for (damage, what) in [
            ("UPDATE deliveries SET event = 99 WHERE d = 4", "without their event"),
            ("UPDATE deliveries SET webhook = 99 WHERE d = 1", "not known"),
            ("UPDATE deliveries SET due = NULL WHERE d = 4", "never due"),
            ("UPDATE meta SET value = 7 WHERE key = 'watermark'", "never due"),
            ("UPDATE deliveries SET due = 5 WHERE d = 3", "due all the same"),
            ("UPDATE events SET received = 3600010", "due in the past, before they existed"),
            ("UPDATE deliveries SET settled = NULL WHERE d = 1", "ended at no time"),
            ("DELETE FROM ordered WHERE d = 4", "there is none"),
            ("INSERT INTO ordered(webhook, key, d, blocks) VALUES(1, 'x', 1, 0)", "nothing will ever remove"),
            ("UPDATE members SET event = 99", "events of a batch"),
            ("UPDATE deliveries SET count = 2 WHERE d = 1", "as they count"),
            ("UPDATE deliveries SET spent = 3 WHERE d = 1", "spent more"),
            ("UPDATE attempts SET delivery = 99", "attempts without their delivery"),
            ("DELETE FROM requests", "request is gone"),
            ("UPDATE webhooks SET head = 2", "newest delivery"),
            ("UPDATE webhooks SET head = 7", "newest delivery"),
            ("UPDATE webhooks SET held = 0", "open deliveries"),
            ("UPDATE webhooks SET succeeded = 0", "more ended"),
        ] {
            connection.execute_batch(&format!("BEGIN; {damage}; COMMIT")).unwrap();
            let problems = check(&path, now).unwrap().problems;
            assert!(problems.iter().any(|problem| problem.contains(what)), "{damage}: {problems:?}");
            for table in ["webhooks", "meta", "events", "requests", "attempts", "deliveries", "ordered", "members"] {
                connection.execute_batch(&format!("DELETE FROM {table}")).unwrap();
            }
            connection.execute_batch(&whole).unwrap();
        }
        assert_eq!(check(&path, now).unwrap().problems, Vec::<String>::new());
    }
    fn new_file(events: usize) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tenterhook.db");
        let connection = schema::open_writer(&path).unwrap();
        connection.execute_batch("INSERT INTO webhooks(key, id) VALUES(1, 'ops')").unwrap();
        for seq in 1..=events {
            let sql = "INSERT INTO events(seq, id, type, timestamp, received, first, targets, data) VALUES(?1, 'e' || ?1, 't', 0, 0, 1, 1, ?2)";
            connection.execute(sql, params![seq, vec![b'1'; 2000]]).unwrap();
        }
        // All of it is in the database, none in the WAL.
        connection.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
        (directory, path)
    }

    #[test]
    fn problems_name_what_the_api_names() {
        let (_directory, path) = new_file(1);
        let connection = Connection::open(&path).unwrap();
        let sql = "UPDATE webhooks SET head = 3, pending = 9;
             INSERT INTO deliveries(d, event, webhook, prev, state, due, count) VALUES(1, 1, 1, 0, 0, 1, 4), (3, 9, 2, 1, 0, 1, 0);
             INSERT INTO attempts(a, delivery, prev, number, at, trigger, outcome, duration_us, request, detail)
               VALUES(1, 77, 0, 1, 5, 0, 0, 1, 0, '{}')";
        connection.execute_batch(sql).unwrap();
        let problems = check(&path, Timestamp::from_millis(8)).unwrap().problems.join("\n");
        let delivery = DeliveryId { created: Timestamp::from_millis(0), number: 1 };
        let attempt = AttemptId { at: Timestamp::from_millis(5), number: 1 };
        for line in [
            format!("as they count: {delivery} (ops)"),
            format!("attempts without their delivery: {attempt}"),
            "open deliveries are not as many as they count: ops".to_owned(),
            "without their event: number 3".to_owned(),
        ] {
            assert!(problems.contains(&line), "no {line:?} in\n{problems}");
        }
    }

    #[test]
    fn a_damaged_file_is_told_line_by_line_with_the_way_out() {
        use std::io::{Seek, SeekFrom, Write};
        let (_directory, path) = new_file(200);
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        // Pages of events, and of other tables' roots, but not the first, which says what the file is.
        for page in [20, 24, 28] {
            file.seek(SeekFrom::Start(page * 8192)).unwrap();
            file.write_all(&[0xa5; 8192]).unwrap();
        }
        let checked = check(&path, Timestamp::from_millis(8)).unwrap();
        let lines = checked.problems.iter().filter(|problem| problem.starts_with(DAMAGED)).count();
        assert!(lines >= 3, "{checked:?}");
        let advice = checked.advice.unwrap();
        assert!(advice.contains("stop the server") && advice.contains(".recover"), "{advice}");

        std::fs::write(&path, vec![b'x'; 9000]).unwrap();
        let checked = check(&path, Timestamp::from_millis(8)).unwrap();
        assert!(checked.counts.is_none() && checked.advice.is_some(), "{checked:?}");
        assert!(checked.problems[0].contains("not a database"), "{checked:?}");
    }

    #[test]
    fn a_format_that_is_not_ours_and_an_empty_file_are_said_to_be_so() {
        let (_directory, path) = new_file(1);
        for (version, part) in [(99, "does not know: it knows up to"), (3, "checks only once it is version")] {
            Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
            let checked = check(&path, Timestamp::from_millis(8)).unwrap();
            let problem = &checked.problems[0];
            assert!(problem.contains(&format!("version {version}")) && problem.contains(part), "{problem}");
            assert!(problem.contains(&SCHEMA_VERSION.to_string()) && checked.advice.is_some(), "{problem}");
        }
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(&format!("PRAGMA user_version = {SCHEMA_VERSION}; DROP TABLE members")).unwrap();
        let checked = check(&path, Timestamp::from_millis(8)).unwrap();
        assert_eq!(checked.problems, ["the file's tables are not those of its format: no such table: members"]);
        drop(connection);
        std::fs::write(&path, "").unwrap();
        let checked = check(&path, Timestamp::from_millis(8)).unwrap();
        assert!(checked.problems[0].contains("the file is empty"), "{checked:?}");
        assert!(checked.advice.unwrap().contains("backup"));
    }
}
