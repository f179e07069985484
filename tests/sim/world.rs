//! One run: a store, webhooks of every kind, a stream of events, operators and restarts, all by the seed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tenterhook::clock::Clock;
use tenterhook::config;
use tenterhook::dispatch::Dispatcher;
use tenterhook::model::{Disabled, DisabledBy, Event, EventId, EventType, Timestamp, WebhookId};
use tenterhook::outbound::{Client, ClientOptions};
use tenterhook::snapshot::{self, Live, Parts, Switchboard};
use tenterhook::store::{NewEvent, StandingChange, Store, StoreOptions};
use tenterhook::telemetry::Metrics;
use tenterhook::transform::{Host, HostOptions};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::checks;
use crate::endpoints::Network;

/// One host for all runs: nothing here has a transformer.
static HOST: LazyLock<Host> = LazyLock::new(|| Host::new(HostOptions { cache_dir: None, instances_max: 1 }).unwrap());

/// Virtual time moves so far at once, and then real threads get their turn.
const STEP: Duration = Duration::from_millis(100);
const EVENTS: usize = 60;

fn settings() -> config::Settings {
    let webhook = |name: &str, more: &str| {
        format!(
            "[webhooks.{name}]\nurl = \"https://endpoint.example/{name}\"\nevents = [\"load.*\"]\n\
             secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\ntimeout = \"10s\"\n{more}\n"
        )
    };
    let quick = "retry = { max_retries = 8, initial_delay = \"200ms\", multiplier = 2, max_delay = \"5s\", jitter = 0.2 }\n";
    let text = webhook("steady", "")
        + &webhook("flaky", &format!("concurrency = 3\n{quick}"))
        + &webhook("ordered", &format!("order_by = \"data.key\"\n{quick}"))
        + &webhook("batched", &format!("batch = {{ max_events = 6, max_wait = \"2s\" }}\n{quick}"))
        + &webhook("paced", &format!("rate_limit = \"5/s\"\n{quick}"))
        + &webhook("broken", &format!("breaker = {{ failures = 3, window = \"1m\", cool_down = \"5s\" }}\n{quick}"))
        + &webhook("stuck", "concurrency = 2\nretry = { max_retries = 1, initial_delay = \"1s\" }")
        + &webhook("expiring", "expire_after = \"20s\"\nretry = { max_retries = 50, initial_delay = \"3s\", multiplier = 1 }");
    let loaded =
        config::load_str(&text, &BTreeMap::new(), &|_| None).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    loaded.settings
}

pub struct World {
    store: Option<Store>,
    pub network: Network,
    pub published: Vec<(EventId, Instant, u64, u64)>,
    pub restarts: Vec<Instant>,
    /// Deliveries that an operator laid hands on.
    pub touched: Vec<String>,
    directory: tempfile::TempDir,
    clock: Clock,
    live: Arc<Live>,
    running: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
    _standing_still: std::sync::mpsc::Sender<()>,
}

pub fn run(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(seed).await;
        world.live_through(&mut rng).await;
        world.network.heal();
        world.finish().await;
        checks::all(&world, seed).await;
        world.close().await;
    });
}

async fn open(directory: &std::path::Path, clock: &Clock) -> (Store, Arc<Live>) {
    let options = StoreOptions { path: directory.to_owned(), clock: clock.clone(), on_commit: None };
    let store = Store::open(options).await.unwrap();
    let settings = settings();
    let ids: Vec<WebhookId> = settings.webhooks.keys().cloned().collect();
    let keys = store.intern(ids.clone()).await.unwrap();
    let board = Switchboard::new(store.standings().await.unwrap());
    let parts = Parts {
        client: Client::new(ClientOptions::new(settings.network.clone())).unwrap(),
        settings,
        fingerprint: "sim".to_owned(),
        generation: 1,
        loaded_at: clock.now(),
        keys: ids.into_iter().zip(keys).collect(),
        secrets: HashMap::new(),
        switchboard: Arc::new(board),
    };
    let snapshot = snapshot::build(parts, &HOST).await.unwrap_or_else(|problems| panic!("{problems:?}"));
    (store, Arc::new(Live::new(snapshot)))
}

impl World {
    async fn new(seed: u64) -> Self {
        // In memory, where there is such a place: a crash here is a restart, so nothing hangs on what fsync promises.
        let memory = std::path::Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let clock = Clock::stopped_at(Timestamp::parse("2026-01-28T10:30:45Z").unwrap());
        // While a blocking task lives, tokio's paused clock moves only when it is told to.
        let (standing_still, until) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || until.recv());
        let (store, live) = open(directory.path(), &clock).await;
        let network = Network::new(seed);
        let (published, restarts, touched) = Default::default();
        let mut world = Self {
            store: Some(store),
            network,
            published,
            restarts,
            touched,
            directory,
            clock,
            live,
            running: None,
            _standing_still: standing_still,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let metrics = Arc::new(Metrics::new());
        let (store, live, clock) = (self.store().clone(), Arc::clone(&self.live), self.clock.clone());
        let dispatcher = Dispatcher::simulated(store, live, clock, metrics, self.network.endpoints());
        let stop = CancellationToken::new();
        let grace = Duration::ZERO;
        self.running = Some((stop.clone(), tokio::spawn(dispatcher.run(stop, move || grace))));
    }

    async fn stop(&mut self) {
        if let Some((stop, running)) = self.running.take() {
            stop.cancel();
            running.await.unwrap();
        }
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("only closed in between")
    }

    async fn close(&mut self) {
        self.stop().await;
        if let Some(store) = self.store.take() {
            store.close().await;
        }
    }

    /// What is under way is cut off, as by a crash; what was promised is on disk.
    async fn restart(&mut self) {
        self.close().await;
        let (store, live) = open(self.directory.path(), &self.clock).await;
        (self.store, self.live) = (Some(store), live);
        self.restarts.push(Instant::now());
        self.start();
    }

    /// Lets the store's threads catch up, and what follows from that: a commit that goes through has everything before it
    /// behind it, and a read is behind the reads before it. Each round gives whoever was answered his turn.
    async fn settle_down(&self) {
        const ROUNDS: usize = 4;
        const TURNS: usize = 16;
        for _ in 0..ROUNDS {
            self.store().probe().await.unwrap();
            self.store().backlog().await.unwrap();
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
        }
    }

    /// The real threads get their turn first; while one blocks, virtual time stands still.
    async fn step(&self, by: Duration) {
        self.settle_down().await;
        self.clock.advance(by);
        tokio::time::advance(by).await;
    }

    async fn live_through(&mut self, rng: &mut StdRng) {
        for n in 0..EVENTS {
            self.publish(rng, u64::try_from(n).unwrap()).await;
            for _ in 0..rng.random_range(1..8) {
                self.step(STEP).await;
            }
            match rng.random_range(0..40) {
                0 => self.restart().await,
                1 => self.switch("flaky").await,
                2 => self.touch("flaky", rng).await,
                3 | 4 => self.network.set_down("/broken", true),
                5 | 6 => self.network.set_down("/broken", false),
                _ => {}
            }
        }
    }

    async fn publish(&mut self, rng: &mut StdRng, n: u64) {
        let key = rng.random_range(0..4_u64);
        let now = self.clock.now();
        let event = Event {
            id: EventId::parse(&format!("evt_{n}")).unwrap(),
            kind: EventType::parse("load.x").unwrap(),
            timestamp: now,
            received: now,
            data: Bytes::from(format!(r#"{{"key":{key},"n":{n}}}"#)),
            metadata: None,
            tenant: None,
        };
        let route = self.live.snapshot().route(&event);
        self.published.push((event.id.clone(), Instant::now(), key, n));
        let (targets, apart, unmatched) = (route.targets, route.apart, route.unmatched);
        let new = NewEvent { event: Arc::new(event), targets, apart, unmatched, timestamp_given: true };
        self.store().append(vec![new]).await.unwrap();
    }

    /// An operator switches a webhook off, and on again two seconds later.
    async fn switch(&mut self, webhook: &str) {
        let snapshot = self.live.snapshot();
        let key = snapshot.webhook(&WebhookId::parse(webhook).unwrap()).unwrap().key;
        let reason = "by the seed".to_owned();
        let disabled = Some(Disabled { by: DisabledBy::Operator, reason, at: self.clock.now(), endpoint: None });
        for disabled in [disabled, None] {
            self.store().stand(vec![(key, StandingChange::Disabled(disabled.clone()))]).await.unwrap();
            snapshot.switchboard.switch(key, disabled);
            for _ in 0..20 {
                self.step(STEP).await;
            }
        }
    }

    /// An operator retries or cancels some delivery.
    async fn touch(&mut self, webhook: &str, rng: &mut StdRng) {
        let filter =
            tenterhook::store::DeliveryFilter { webhook: Some(WebhookId::parse(webhook).unwrap()), ..Default::default() };
        let page = self.store().deliveries(filter, None, 50).await.unwrap();
        let Some(record) = page.rows.get(rng.random_range(0..page.rows.len().max(1))) else { return };
        self.touched.push(record.id.to_string());
        if rng.random_bool(0.5) {
            self.store().retry(record.id, false).await.unwrap();
        } else {
            self.store().cancel(record.id).await.unwrap();
        }
    }

    /// Until nothing is open; an hour is more than anything here may take.
    async fn finish(&self) {
        let deadline = Instant::now() + Duration::from_secs(3600);
        loop {
            let open = self.store().backlog().await.unwrap().open;
            if open == 0 {
                return;
            }
            if Instant::now() >= deadline {
                let page = self.store().deliveries(tenterhook::store::DeliveryFilter::default(), None, 250).await.unwrap();
                let open: Vec<_> = page.rows.iter().filter(|row| row.state.is_open()).collect();
                panic!("never ended: {open:#?}");
            }
            for _ in 0..10 {
                self.step(STEP * 2).await;
            }
        }
    }

    pub async fn check_store(&self) {
        let checked = Store::check(self.directory.path().to_owned(), self.clock.now()).await.unwrap();
        assert_eq!(checked.problems, Vec::<String>::new());
    }
}
