//! The store's files: what is erased is not in them, and what others do to them is noticed.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Connection;
use tenterhook::clock::Clock;
use tenterhook::model::{Event, EventId, Settlement, Timestamp, WebhookKey};
use tenterhook::store::{JobSpec, JobStep, NewEvent, Store, StoreError, StoreOptions, Subject};

use crate::store_contract::{NOW, attempt, event, new_event, open, settle, webhook};

const DATABASE: &str = "tenterhook.db";
const WAL: &str = "tenterhook.db-wal";

fn clock() -> Clock {
    Clock::stopped_at(Timestamp::parse(NOW).unwrap())
}

async fn opened(path: &Path) -> Result<Store, StoreError> {
    Store::open(StoreOptions { path: path.to_owned(), clock: clock(), on_commit: None }).await
}

/// How often a text is in a file.
fn count(path: &Path, text: &str) -> usize {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
}

/// Published and delivered, in groups, with the data between two words.
async fn delivered(store: &Store, hook: WebhookKey, ids: &[String], data: &str) {
    for ids in ids.chunks(10) {
        let event = |id: &str| Event { metadata: Some(Bytes::from_static(b"{\"user\":7}")), ..event(id, data) };
        let new = |id: &String| NewEvent { event: Arc::new(event(id)), ..new_event(id, &[hook]) };
        store.append(ids.iter().map(new).collect()).await.unwrap();
        for lease in store.ready().await.fresh {
            store.settle(Arc::new(settle(&lease, Some(attempt(1, 200)), Settlement::Succeed))).await.unwrap();
        }
    }
}

async fn erase(store: &Store, ids: &[String]) {
    let spec = JobSpec::Erase { subject: Subject::Tenant("t".to_owned()), until: Timestamp::parse(NOW).unwrap() };
    let job = store.create_job(spec, "test".to_owned(), None).await.unwrap();
    let step = JobStep { erase: ids.iter().map(|id| EventId::parse(id).unwrap()).collect(), ..JobStep::default() };
    assert_eq!(store.advance_job(job.number, step).await.unwrap().unwrap().done, ids.len() as u64);
    // The WAL is truncated after the commit of the job's end: the answer to a later command comes after it.
    store.probe().await.unwrap();
}

#[tokio::test]
async fn erased_data_is_in_no_file_of_the_store() {
    for (marked, others, bytes) in [(20, 200, 30), (72, 3, 900), (40, 40, 2500), (15, 30, 20_000)] {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), &clock()).await;
        let hook = webhook(&store, "a").await;
        let names = |kind: &str, n: usize| (0..n).map(|n| format!("evt_{kind}_{n}")).collect::<Vec<_>>();
        let mark = format!("\"MARKED-FOR-ERASURE{}\"", "m".repeat(bytes));
        let (erased, first, last) = (names("erased", marked), names("first", others), names("last", others));
        // Before, between and after what stays, so that pages are split and merged.
        delivered(&store, hook, &first, &format!("\"{}\"", "s".repeat(bytes))).await;
        let (early, late) = erased.split_at(marked / 2);
        delivered(&store, hook, early, &mark).await;
        delivered(&store, hook, &last, &format!("\"{}\"", "s".repeat(bytes / 2))).await;
        delivered(&store, hook, late, &mark).await;
        let found = || [DATABASE, WAL].map(|name| count(&directory.path().join(name), "MARKED-FOR-ERASURE"));
        assert!(found().iter().sum::<usize>() >= marked, "the search finds what is there");
        for part in erased.chunks(7) {
            erase(&store, part).await;
        }
        assert_eq!(found(), [0, 0], "{marked} of {bytes} bytes among {others}");
        store.close().await;
        drop(store);
        assert_eq!(found(), [0, 0], "after a clean stop");
    }
}

#[tokio::test]
async fn vacuum_removes_what_an_older_version_left_in_free_space() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), &clock()).await;
    let hook = webhook(&store, "a").await;
    let ids = (0..50).map(|n| format!("evt_{n}")).collect::<Vec<_>>();
    delivered(&store, hook, &ids, "\"1\"").await;
    let error = Store::vacuum(directory.path().to_owned()).await.unwrap_err().to_string();
    assert!(error.contains("another tenterhook is running"), "{error}");
    store.close().await;
    drop(store);
    let database = directory.path().join(DATABASE);
    // As an older version deleted: without overwriting.
    let file = Connection::open(&database).unwrap();
    file.execute_batch("PRAGMA secure_delete = OFF; CREATE TABLE rest(x); INSERT INTO rest VALUES('LEFT-BEHIND'); DELETE FROM rest; DROP TABLE rest").unwrap();
    file.close().unwrap();
    assert_eq!(count(&database, "LEFT-BEHIND"), 1);
    let vacuumed = Store::vacuum(directory.path().to_owned()).await.unwrap();
    assert!(vacuumed.after <= vacuumed.before, "{vacuumed:?}");
    assert_eq!(count(&database, "LEFT-BEHIND"), 0);
    let checked = Store::check(directory.path().to_owned(), clock().now()).await.unwrap();
    assert_eq!((checked.problems, checked.counts.map(|counts| counts.events)), (vec![], Some(50)));
    let store = open(directory.path(), &clock()).await;
    delivered(&store, hook, &["evt_after".to_owned()], "1").await;
}

#[tokio::test]
async fn a_wal_without_its_database_is_refused_and_stays() {
    for how in ["missing", "empty"] {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), &clock()).await;
        let hook = webhook(&store, "a").await;
        delivered(&store, hook, &["evt_1".to_owned()], "1").await;
        // As after kill -9: both as they are at this moment.
        let crashed = tempfile::tempdir().unwrap();
        store.append(vec![new_event("evt_2", &[])]).await.unwrap();
        let wal = crashed.path().join(WAL);
        std::fs::copy(directory.path().join(WAL), &wal).unwrap();
        let bytes = std::fs::metadata(&wal).unwrap().len();
        assert!(bytes > 32, "{bytes}");
        if how == "empty" {
            std::fs::write(crashed.path().join(DATABASE), []).unwrap();
        }
        let checked = Store::check(crashed.path().to_owned(), clock().now()).await.unwrap();
        assert!(checked.problems[0].contains(WAL), "{checked:?}");
        let Err(error) = opened(crashed.path()).await else { panic!("it started on a database that is {how}") };
        let error = error.to_string();
        assert!(error.contains(how) && error.contains(WAL) && error.contains("put the database back"), "{error}");
        assert_eq!(std::fs::metadata(&wal).unwrap().len(), bytes, "the WAL is as it was");
    }
}

#[tokio::test]
async fn a_foreign_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join(DATABASE);
    Connection::open(&database).unwrap().execute_batch("CREATE TABLE customers(id)").unwrap();
    let Err(error) = opened(directory.path()).await else { panic!("it took over the file") };
    assert!(error.to_string().contains("another program (its tables: `customers`)"), "{error}");
    let checked = Store::check(directory.path().to_owned(), clock().now()).await.unwrap();
    assert!(checked.problems[0].contains("`customers`"), "{checked:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_wal_removed_under_the_server_stops_it_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), &clock()).await;
    let hook = webhook(&store, "a").await;
    let ids = (0..70).map(|n| format!("evt_{n}")).collect::<Vec<_>>();
    delivered(&store, hook, &ids, "1").await;
    std::fs::remove_file(directory.path().join(WAL)).unwrap();
    let error = store.probe().await.unwrap_err().to_string();
    assert!(error.contains("tenterhook.db-wal was removed or replaced") && error.contains("start again"), "{error}");
    assert_eq!(store.failed().await.to_string(), error, "the process is told to stop");
    assert!(store.append(vec![new_event("evt_later", &[])]).await.is_err());
    // Everything that was answered is in the database.
    let copied = tempfile::tempdir().unwrap();
    std::fs::copy(directory.path().join(DATABASE), copied.path().join(DATABASE)).unwrap();
    let checked = Store::check(copied.path().to_owned(), clock().now()).await.unwrap();
    assert_eq!((checked.problems, checked.counts.map(|counts| counts.events)), (vec![], Some(70)));
}

#[cfg(unix)]
#[tokio::test]
async fn a_database_replaced_under_the_server_takes_no_more_events() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), &clock()).await;
    store.append(vec![new_event("evt_1", &[])]).await.unwrap();
    let database = directory.path().join(DATABASE);
    std::fs::copy(&database, directory.path().join("backup")).unwrap();
    std::fs::rename(directory.path().join("backup"), &database).unwrap();
    let error = store.append(vec![new_event("evt_2", &[])]).await.unwrap_err().to_string();
    assert!(error.contains("tenterhook.db was removed or replaced"), "{error}");
    assert_eq!(store.failed().await.to_string(), error);
}

#[tokio::test]
async fn a_backup_beside_a_writer_is_whole_and_goes_on_where_it_was() {
    let root = tempfile::tempdir().unwrap();
    let (source, backup, target) = (root.path().join("source"), root.path().join("backup.db"), root.path().join("target"));
    let store = opened(&source).await.unwrap();
    let hook = webhook(&store, "a").await;
    let ids: Vec<String> = (0..40).map(|n| format!("evt_{n}")).collect();
    delivered(&store, hook, &ids, "\"x\"").await;
    store.append(vec![new_event("evt_waits", &[hook])]).await.unwrap();
    // Events go on coming while it is written.
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        for n in 0..200 {
            writer.append(vec![new_event(&format!("evt_later_{n}"), &[hook])]).await.unwrap();
        }
    });
    let checked = Store::backup(source.clone(), backup.clone(), clock().now()).await.unwrap();
    writing.await.unwrap();
    assert_eq!(checked.problems, Vec::<String>::new());
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&backup.metadata().unwrap().permissions()) & 0o077, 0);

    let restored = Store::restore(backup, target.clone(), clock().now()).await.unwrap();
    assert_eq!(restored.counts.unwrap().events, checked.counts.unwrap().events);
    let restored = opened(&target).await.unwrap();
    let claimed = restored.claim(hook, 1, vec![]).await.unwrap().leases;
    assert_eq!(claimed[0].event.id.as_str(), "evt_waits", "what was handed over in memory is in it");
    drop(claimed);
    let error = Store::restore(root.path().join("backup.db"), target, clock().now()).await.unwrap_err();
    assert!(error.to_string().contains("another tenterhook is running"), "{error}");
}
