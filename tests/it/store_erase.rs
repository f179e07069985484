//! Erasing an event of a batch that is in flight.

use std::sync::Arc;

use bytes::Bytes;
use tenterhook::clock::Clock;
use tenterhook::model::{BatchPolicy, Event, EventId, Intake, ReceivedResponse, Settlement, Target, Timestamp, WebhookKey};
use tenterhook::store::{JobSpec, JobStep, Lease, NewEvent, Payload, Store, Subject, TransformedRequest};

use crate::harness::PATIENCE;
use crate::store_contract::{NOW, attempt, event, new_event, open, settle, webhook};

pub fn batched(id: &str, data: &str, hook: WebhookKey, at: Timestamp) -> NewEvent {
    let policy = BatchPolicy { max_events: 3, ..BatchPolicy::default() };
    let event = Event { received: at, ..event(id, data) };
    let targets = vec![Target { webhook: hook, intake: Some(Intake::Batched(policy)) }];
    NewEvent { event: Arc::new(event), targets, ..new_event(id, &[]) }
}

/// A full batch, leased.
pub async fn leased_batch(store: &Store, hook: WebhookKey, at: Timestamp) -> Lease {
    let events = ["evt_1", "evt_2", "evt_3"].map(|id| batched(id, &format!("\"words-of-{id}\""), hook, at));
    store.append(events.to_vec()).await.unwrap();
    store.ready().await;
    let lease = store.claim(hook, 10, vec![]).await.unwrap().leases.remove(0);
    assert_eq!(lease.batch.as_ref().map(|events| events.len()), Some(3));
    lease
}

async fn erase(store: &Store, id: &str) {
    let spec = JobSpec::Erase { subject: Subject::Tenant("t".to_owned()), until: Timestamp::parse(NOW).unwrap() };
    let job = store.create_job(spec, "test".to_owned(), None).await.unwrap();
    let step = JobStep { erase: vec![EventId::parse(id).unwrap()], ..JobStep::default() };
    assert_eq!(store.advance_job(job.number, step).await.unwrap().unwrap().done, 1);
}

/// The database, its WAL, and all other files there.
fn holds(directory: &std::path::Path, text: &str) -> bool {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
    let mut contents = files.map(|file| std::fs::read(file).unwrap());
    contents.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test]
async fn an_event_erased_while_its_batch_is_sent_is_neither_resent_nor_stored() {
    for settlement in [Settlement::RetryAt(Timestamp::parse(NOW).unwrap()), Settlement::Halve] {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
        let store = open(directory.path(), &clock).await;
        let hook = webhook(&store, "a").await;
        let lease = leased_batch(&store, hook, clock.now()).await;
        erase(&store, "evt_2").await;
        let ready = tokio::time::timeout(PATIENCE, store.ready()).await.expect("its lane gets the news");
        assert_eq!(ready.cancelled, [(hook, lease.delivery.number)], "a lane that has it waiting lets it go");
        assert!(ready.due.contains_key(&hook), "and reads it again");

        let mut ended = settle(&lease, Some(attempt(1, 413)), settlement.clone());
        let body = Bytes::from_static(b"[\"words-of-evt_1\",\"words-of-evt_2\",\"words-of-evt_3\"]");
        ended.made = Some(Payload::Request(Arc::new(TransformedRequest { method: None, url: None, headers: vec![], body })));
        ended.reason = Some("the endpoint does not like words-of-evt_2".to_owned());
        let answered = ended.attempt.as_mut().unwrap();
        answered.error = Some("no words-of-evt_2".to_owned());
        let body = Bytes::from_static(b"what is words-of-evt_2?");
        answered.response = Some(ReceivedResponse { headers: Vec::new(), body, truncated: false });
        let recorded = store.settle(Arc::new(ended)).await.unwrap();
        assert!(!recorded.kept, "and is not reported");

        let again = store.claim(hook, 10, vec![]).await.unwrap().leases;
        let events = again.iter().flat_map(|lease| lease.batch.as_deref().unwrap().iter().map(|event| event.id.to_string()));
        assert_eq!(events.collect::<Vec<_>>(), ["evt_1", "evt_3"]);
        assert!(again.iter().all(|lease| lease.made.is_none()), "built again");
        let detail = store.delivery(lease.delivery).await.unwrap().unwrap();
        assert!(detail.attempts.is_empty(), "{detail:?}");
        assert_eq!(store.stats(None).await.unwrap().attempts, 1, "and yet it is counted");
        store.close().await;
        assert!(holds(directory.path(), "words-of-evt_3") && !holds(directory.path(), "words-of-evt_2"));
        assert_eq!(Store::check(directory.path().to_owned(), clock.now()).await.unwrap().problems, Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_a_batch_has_made_goes_with_an_event_that_is_erased_out_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::stopped_at(Timestamp::parse(NOW).unwrap());
    let store = open(directory.path(), &clock).await;
    let hook = webhook(&store, "a").await;
    let lease = leased_batch(&store, hook, clock.now()).await;
    let mut failed = settle(&lease, Some(attempt(1, 500)), Settlement::RetryAt(clock.now()));
    let body = Bytes::from_static(b"words-of-evt_1 words-of-evt_2");
    failed.made = Some(Payload::Request(Arc::new(TransformedRequest { method: None, url: None, headers: vec![], body })));
    failed.reason = Some("words-of-evt_1 are not wanted".to_owned());
    failed.attempt.as_mut().unwrap().error.clone_from(&failed.reason);
    store.settle(Arc::new(failed)).await.unwrap();
    erase(&store, "evt_1").await;
    let again = store.claim(hook, 10, vec![]).await.unwrap().leases.remove(0);
    assert_eq!((again.made, again.batch.unwrap().len(), again.attempt_count), (None, 2, 0));
    store.close().await;
    assert!(holds(directory.path(), "words-of-evt_3") && !holds(directory.path(), "words-of-evt_1"));
}

#[tokio::test]
async fn an_event_whose_metadata_serde_cannot_hold_is_found_for_erasure() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), &Clock::stopped_at(Timestamp::parse(NOW).unwrap())).await;
    for (n, other) in [r#""\ud800""#, "1e400", r#""plain""#].into_iter().enumerate() {
        let metadata = Some(Bytes::from(format!(r#"{{"other": {other}, "user": "u-1"}}"#)));
        let id = format!("evt_{n}");
        store
            .append(vec![NewEvent { event: Arc::new(Event { metadata, ..event(&id, other) }), ..new_event(&id, &[]) }])
            .await
            .unwrap();
    }
    let subject = |user: &str| Subject::Metadata { key: "user".to_owned(), value: user.into() };
    let until = Timestamp::parse(NOW).unwrap();
    let found = async |user: &str| store.erasable(subject(user), until, None, 10).await.unwrap().rows.len();
    assert_eq!((found("u-1").await, found("u-2").await), (3, 0));
    assert_eq!(store.events(Default::default(), None, 10).await.unwrap().rows.len(), 3, "lists show them");
}
