//! Jobs that fail do not stop other jobs.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::Value;
use tenterhook::clock::Clock;
use tenterhook::model::{Event, Settlement};
use tenterhook::store::{JobSpec, NewEvent, Store, Subject};

use crate::harness::{Answer, Receiver, Server, head, webhook};
use crate::store_contract::{attempt, event, new_event, open, settle};

/// A directory whose store holds what a server will find at its start.
struct Prepared {
    directory: Arc<tempfile::TempDir>,
    store: Store,
}

impl Prepared {
    async fn new(config: &str) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(directory.path().join("config.toml"), config).unwrap();
        let store = open(&directory.path().join("data"), &Clock::System).await;
        Self { directory, store }
    }

    async fn event_of_tenant(&self, id: &str, tenant: &str) {
        let now = Clock::System.now();
        let event = Event { received: now, tenant: Some(tenant.into()), ..event(id, "1") };
        self.store.append(vec![NewEvent { event: Arc::new(event), ..new_event(id, &[]) }]).await.unwrap();
    }

    async fn erasure(&self, tenant: &str) -> String {
        let spec = JobSpec::Erase { subject: Subject::Tenant(tenant.to_owned()), until: Clock::System.now() };
        format!("job_{}", self.store.create_job(spec, "test".to_owned(), None).await.unwrap().number)
    }

    async fn start(self) -> Server {
        self.store.close().await;
        Server::start_in(self.directory).await
    }
}

fn file(directory: &Path) -> Connection {
    Connection::open(directory.join("data/tenterhook.db")).unwrap()
}

async fn shown(server: &Server, job: &str) -> Value {
    server.http().get(&format!("/v1/jobs/{job}")).await.1
}

#[tokio::test]
async fn replays_that_wait_keep_no_older_job_from_its_turn() {
    let receiver = Receiver::start().await;
    receiver.answer_always("/w", Answer::Hang);
    let config = head() + &webhook("w", &receiver.url("/w"), r#"["*"]"#, "timeout = \"60s\"");
    let prepared = Prepared::new(&config).await;
    let store = &prepared.store;
    let hook = crate::store_contract::webhook(store, "w").await;
    let now = Clock::System.now();
    let due = |n: usize| {
        let id = format!("evt_{n}");
        NewEvent { event: Arc::new(Event { received: now, ..event(&id, "1") }), ..new_event(&id, &[hook]) }
    };
    store.append((0..60).map(due).collect()).await.unwrap();
    for lease in store.ready().await.fresh {
        store.settle(Arc::new(settle(&lease, Some(attempt(1, 500)), Settlement::RetryAt(now)))).await.unwrap();
    }
    prepared.event_of_tenant("evt_acme", "acme").await;
    let erasure = prepared.erasure("acme").await;
    for _ in 0..40 {
        let (webhook, states, event_types) = ("w".to_owned(), vec![], vec![]);
        let spec = JobSpec::Replay { webhook, since: now, until: now, states, event_types, retransform: false };
        store.create_job(spec, "test".to_owned(), None).await.unwrap();
    }
    let server = prepared.start().await;
    server.eventually("the erasure is over", async || shown(&server, &erasure).await["state"] == "succeeded").await;
    assert_eq!(server.http().get("/v1/events/evt_acme").await.0, 404);
    let (_, running) = server.http().get("/v1/jobs?state=running&limit=100").await;
    assert_eq!(running["data"].as_array().unwrap().len(), 40, "the endpoint still hangs");
}

#[tokio::test]
async fn a_job_that_cannot_be_read_on_stops_no_other_and_is_tried_again() {
    let prepared = Prepared::new(&head()).await;
    prepared.event_of_tenant("evt_acme", "acme").await;
    prepared.event_of_tenant("evt_broken", "broken").await;
    let (older, broken) = (prepared.erasure("acme").await, prepared.erasure("broken").await);
    let path = prepared.directory.path().to_owned();
    let rename = move |from: &str, to: &str| {
        assert_eq!(file(&path).execute("UPDATE events SET id = ?2 WHERE id = ?1", (from, to)).unwrap(), 1);
    };
    rename("evt_broken", "no id at all");
    let server = prepared.start().await;
    server.eventually("the older one is over", async || shown(&server, &older).await["state"] == "succeeded").await;
    assert_eq!(shown(&server, &broken).await["state"], "running");
    rename("no id at all", "evt_broken");
    server.eventually("the other one as well", async || shown(&server, &broken).await["state"] == "succeeded").await;
    assert_eq!(shown(&server, &broken).await["progress"]["done"], 1);
}
