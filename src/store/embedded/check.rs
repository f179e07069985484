//! Proof of the store's invariants, from the outside: reads the file as it is, beside a running server or without one, and
//! believes nothing that the writer believes.

use std::path::Path;

use rusqlite::{Connection, params};

use super::ordered::PARKED;
use super::schema;
use crate::model::Timestamp;
use crate::store::StoreCheck;

/// Examples named of each kind of problem: enough to look into it.
const EXAMPLES_MAX: usize = 5;

/// What must not be there: what it is called, and the query for its numbers. `:parked` and `:watermark` stand for those.
const FORBIDDEN: [(&str, &str); 15] = [
    ("deliveries without their event", "SELECT d FROM deliveries d WHERE event != 0 AND NOT EXISTS(SELECT 1 FROM events e WHERE e.seq = d.event)"),
    (
        "deliveries of a webhook that is not known, which nobody would claim",
        "SELECT d FROM deliveries d WHERE NOT EXISTS(SELECT 1 FROM webhooks w WHERE w.key = d.webhook)",
    ),
    // What was handed over in memory has no due time, and a restart finds it from the watermark on.
    (
        "deliveries that wait and are never due",
        "SELECT d FROM deliveries WHERE state IN (0, 1) AND due IS NULL AND NOT (state = 0 AND d >= :watermark)",
    ),
    ("deliveries that have ended or are held and are due all the same", "SELECT d FROM deliveries WHERE state > 1 AND due IS NOT NULL"),
    ("deliveries that have ended at no time", "SELECT d FROM deliveries WHERE state > 2 AND settled IS NULL"),
    (
        "deliveries that wait for another of their key, and there is none",
        "SELECT d.d FROM deliveries d WHERE d.due = :parked AND NOT EXISTS(SELECT 1 FROM ordered o JOIN ordered b
         ON b.webhook = o.webhook AND b.key = o.key AND b.d < o.d WHERE o.d = d.d)",
    ),
    (
        "places in the order of a key that nothing will ever leave",
        "SELECT o.d FROM ordered o WHERE NOT EXISTS(SELECT 1 FROM deliveries d WHERE d.d = o.d AND (d.state <= 2 OR d.state = 4))",
    ),
    ("events of a batch that are gone", "SELECT m FROM members m WHERE NOT EXISTS(SELECT 1 FROM events e WHERE e.seq = m.event)"),
    (
        "deliveries whose attempts are not as many as they count",
        "SELECT d.d FROM deliveries d LEFT JOIN (SELECT delivery, count(*) AS n FROM attempts GROUP BY delivery) a ON a.delivery = d.d
         WHERE d.count != coalesce(a.n, 0)",
    ),
    ("deliveries that spent more attempts than they had", "SELECT d FROM deliveries WHERE spent > count"),
    ("attempts without their delivery", "SELECT a FROM attempts a WHERE NOT EXISTS(SELECT 1 FROM deliveries d WHERE d.d = a.delivery)"),
    (
        "attempts whose request is gone",
        "SELECT a FROM attempts a WHERE request > 0 AND NOT EXISTS(SELECT 1 FROM requests r WHERE r.r = a.request)",
    ),
    (
        "webhooks whose newest delivery is another one",
        "SELECT w.key FROM webhooks w JOIN (SELECT webhook, max(d) AS newest FROM deliveries GROUP BY webhook) d ON d.webhook = w.key
         WHERE w.head != d.newest",
    ),
    // What is open is counted as it stands; what has ended is counted since the store began, and rows go with time.
    (
        "webhooks whose open deliveries are not as many as they count",
        "SELECT w.key FROM webhooks w LEFT JOIN (SELECT webhook, sum(state = 0) AS p, sum(state = 1) AS r, sum(state = 2) AS h
         FROM deliveries GROUP BY webhook) d ON d.webhook = w.key
         WHERE w.pending != coalesce(d.p, 0) OR w.retrying != coalesce(d.r, 0) OR w.held != coalesce(d.h, 0)",
    ),
    (
        "webhooks with more ended deliveries than they count",
        "SELECT w.key FROM webhooks w JOIN (SELECT webhook, sum(state = 3) AS s, sum(state = 4) AS f, sum(state = 5) AS c,
         sum(state = 6) AS x FROM deliveries GROUP BY webhook) d ON d.webhook = w.key
         WHERE w.succeeded < d.s OR w.failed < d.f OR w.cancelled < d.c OR w.dropped < d.x",
    ),
];

pub(super) fn check(path: &Path, now: Timestamp) -> Result<StoreCheck, rusqlite::Error> {
    let mut connection = schema::open_reader(path)?;
    // One moment of the file, whatever a running server does meanwhile.
    let moment = connection.transaction()?;
    let mut problems = damage(&moment)?;
    let watermark: i64 =
        moment.query_row("SELECT coalesce((SELECT value FROM meta WHERE key = 'watermark'), 0)", [], |row| row.get(0))?;
    for (what, sql) in FORBIDDEN {
        let sql = sql.replace(":parked", &PARKED.to_string()).replace(":watermark", &watermark.to_string());
        let found = numbers(&moment, &sql)?;
        if !found.is_empty() {
            let examples: Vec<String> = found.iter().take(EXAMPLES_MAX).map(i64::to_string).collect();
            problems.push(format!("{} {what}: number {}", found.len(), examples.join(", ")));
        }
    }
    let count = |sql: &str| moment.query_row(sql, [], |row| row.get::<_, u64>(0));
    let (due, oldest): (u64, Option<i64>) =
        moment.query_row("SELECT count(*), min(due) FROM deliveries WHERE due <= ?1", params![now.as_millis()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    Ok(StoreCheck {
        events: count("SELECT count(*) FROM events")?,
        deliveries: count("SELECT count(*) FROM deliveries")?,
        attempts: count("SELECT count(*) FROM attempts")?,
        open: count("SELECT count(*) FROM deliveries WHERE state <= 2")?,
        due,
        oldest_due: oldest.map(Timestamp::from_millis),
        problems,
    })
}

/// What SQLite itself finds: damaged pages, indexes that say something else than their tables.
fn damage(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").map(|line| format!("the file is damaged: {line}")).collect())
}

fn numbers(connection: &Connection, sql: &str) -> Result<Vec<i64>, rusqlite::Error> {
    let mut statement = connection.prepare(sql)?;
    statement.query_map([], |row| row.get(0))?.collect()
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
               (4, 1, 1, 3, 0, 9, 0, 0, 0, NULL), (5, 1, 1, 4, 0, {PARKED}, 0, 0, 0, NULL), (6, 1, 1, 5, 0, NULL, 0, 0, 0, NULL);
             INSERT INTO ordered(webhook, key, d, blocks) VALUES(1, 'k', 4, 0), (1, 'k', 5, 0);
             INSERT INTO members(m, d, event) VALUES(2, 2, 1);"
        );
        connection.execute_batch(&whole).unwrap();
        let now = Timestamp::from_millis(8);
        let checked = check(&path, now).unwrap();
        assert_eq!(checked.problems, Vec::<String>::new());
        assert_eq!((checked.deliveries, checked.open, checked.due), (6, 5, 1));
        for (damage, what) in [
            ("UPDATE deliveries SET event = 99 WHERE d = 4", "without their event"),
            ("UPDATE deliveries SET webhook = 99 WHERE d = 1", "not known"),
            ("UPDATE deliveries SET due = NULL WHERE d = 4", "never due"),
            ("UPDATE meta SET value = 7 WHERE key = 'watermark'", "never due"),
            ("UPDATE deliveries SET due = 5 WHERE d = 3", "due all the same"),
            ("UPDATE deliveries SET settled = NULL WHERE d = 1", "ended at no time"),
            ("DELETE FROM ordered WHERE d = 4", "there is none"),
            ("INSERT INTO ordered(webhook, key, d, blocks) VALUES(1, 'x', 1, 0)", "nothing will ever leave"),
            ("UPDATE members SET event = 99", "events of a batch"),
            ("UPDATE deliveries SET count = 2 WHERE d = 1", "as they count"),
            ("UPDATE deliveries SET spent = 3 WHERE d = 1", "spent more"),
            ("UPDATE attempts SET delivery = 99", "attempts without their delivery"),
            ("DELETE FROM requests", "request is gone"),
            ("UPDATE webhooks SET head = 2", "newest delivery"),
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
}
