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
use tenterhook::outbound::{Client, ClientOptions, Shortage};
use tenterhook::snapshot::{self, Live, Parts, Route, StatusBoard};
use tenterhook::store::{Access, DeliveryFilter, NewEvent, StatusChange, Store, StoreError, StoreOptions};
use tenterhook::telemetry::Metrics;
use tenterhook::transform::{Host, HostOptions};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::checks;
use crate::disk::Disk;
use crate::endpoints::{Call, Network};

/// One host for all runs: nothing here has a transformer.
static HOST: LazyLock<Host> = LazyLock::new(|| Host::new(HostOptions { cache_dir: None, instances_max: 1 }).unwrap());

const EVENTS: usize = 60;

/// How long the machine lacks something.
pub const SHORTAGE: Duration = Duration::from_millis(1500);

/// Of a request.
pub const TIMEOUT: Duration = Duration::from_secs(10);

pub fn webhook(name: &str, events: &str, more: &str) -> String {
    format!(
        "[webhooks.{name}]\nurl = \"https://endpoint.example/{name}\"\nevents = [\"{events}\"]\n\
         secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\ntimeout = \"{}s\"\n{more}\n",
        TIMEOUT.as_secs(),
    )
}

/// Webhooks of every kind.
fn every_kind() -> String {
    let webhook = |name: &str, more: &str| webhook(name, "load.*", more);
    let quick = "retry = { max_retries = 8, initial_delay = \"200ms\", multiplier = 2, max_delay = \"5s\", jitter = 0.2 }\n";
    webhook("steady", "")
        + &webhook("flaky", &format!("concurrency = 3\n{quick}"))
        + &webhook("ordered", &format!("order_by = \"data.key\"\n{quick}"))
        + &webhook("batched", &format!("batch = {{ max_events = 6, max_wait = \"2s\" }}\n{quick}"))
        + &webhook("paced", &format!("rate_limit = \"5/s\"\n{quick}"))
        + &webhook("broken", &format!("breaker = {{ failures = 3, window = \"1m\", cool_down = \"5s\" }}\n{quick}"))
        + &webhook("stuck", "concurrency = 2\nretry = { max_retries = 1, initial_delay = \"1s\" }")
        + &webhook("expiring", "expire_after = \"20s\"\nretry = { max_retries = 50, initial_delay = \"3s\", multiplier = 1 }")
}

pub struct World {
    store: Option<Store>,
    pub network: Network,
    pub disk: Disk,
    pub published: Vec<(EventId, Instant, u64, u64)>,
    pub restarts: Vec<Instant>,
    /// When the machine began to lack something, each time for [`SHORTAGE`].
    pub shortages: Vec<Instant>,
    /// Whether the clock was set.
    pub clock_was_set: bool,
    /// Deliveries that an operator laid hands on, and their events.
    pub touched: Vec<String>,
    /// Webhooks that were switched off and on.
    pub switched: Vec<&'static str>,
    pub began: Instant,
    config: String,
    directory: tempfile::TempDir,
    clock: Clock,
    live: Arc<Live>,
    running: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
}

/// Lives through what the seed says, holds it against the promises, and tells what happened.
/// `sets_clock`: the clock is set and the machine runs short of descriptors and ports, too.
pub fn run(seed: u64, sets_clock: bool) -> Vec<String> {
    in_virtual_time(async {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(seed, every_kind()).await;
        world.live_through(&mut rng, sets_clock).await;
        world.network.heal();
        world.disk.heal();
        world.insist(&mut rng).await;
        world.finish().await;
        checks::all(&world, seed).await;
        world.close().await;
        let tell = |call: &Call| format!("{:?} {} {:?} {:?}", call.at - world.began, call.path, call.status, call.body);
        world.network.all_calls().iter().map(tell).collect()
    })
}

pub fn in_virtual_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

async fn open(config: &str, directory: &std::path::Path, clock: &Clock, disk: &Disk) -> (Store, Arc<Live>) {
    let options = StoreOptions { path: directory.to_owned(), clock: clock.clone(), on_commit: None };
    let store = Store::simulated(options, disk.simulated()).unwrap();
    let loaded =
        config::load_str(config, &BTreeMap::new(), &|_| None).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    let settings = loaded.settings;
    let ids: Vec<WebhookId> = settings.webhooks.keys().cloned().collect();
    let keys = store.intern(ids.clone()).await.unwrap();
    let board = StatusBoard::new(store.webhook_statuses().await.unwrap());
    let parts = Parts {
        client: Client::new(ClientOptions::new(settings.network.clone())).unwrap(),
        settings,
        fingerprint: "sim".to_owned(),
        generation: 1,
        loaded_at: clock.now(),
        keys: ids.into_iter().zip(keys).collect(),
        secrets: HashMap::new(),
        status_board: Arc::new(board),
    };
    let snapshot = snapshot::build(parts, &HOST).await.unwrap_or_else(|problems| panic!("{problems:?}"));
    (store, Arc::new(Live::new(snapshot)))
}

impl World {
    pub async fn new(seed: u64, config: String) -> Self {
        // In memory, where there is a file system there: a crash here is a restart, so nothing depends on fsync.
        let memory = std::path::Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let clock = Clock::with_tokio(Timestamp::parse("2026-01-28T10:30:45Z").unwrap());
        let (network, disk) = (Network::new(seed), Disk::new(seed));
        let (store, live) = open(&config, directory.path(), &clock, &disk).await;
        let (published, restarts, shortages, touched, switched) = Default::default();
        let mut world = Self {
            store: Some(store),
            network,
            disk,
            published,
            restarts,
            shortages,
            clock_was_set: false,
            touched,
            switched,
            config,
            began: Instant::now(),
            directory,
            clock,
            live,
            running: None,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let metrics = Arc::new(Metrics::new());
        let (store, live, clock) = (self.store().clone(), Arc::clone(&self.live), self.clock.clone());
        let dispatcher = Dispatcher::simulated(store, live, clock, metrics, self.network.simulation());
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

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("only closed in between")
    }

    pub async fn close(&mut self) {
        self.stop().await;
        if let Some(store) = self.store.take() {
            store.close().await;
        }
    }

    /// Attempts in flight are cut off; what was promised is on disk. At times the store is closed in order before, at
    /// others nothing more is written.
    async fn restart(&mut self, rng: &mut StdRng) {
        self.stop().await;
        if let Some(store) = self.store.take_if(|_| rng.random_bool(0.5)) {
            store.crash().await;
        }
        self.restart_after(|_| {}).await;
    }

    /// Stops in order, does something while nobody runs, and starts again.
    pub async fn restart_after(&mut self, while_stopped: impl FnOnce(&Clock)) {
        self.close().await;
        while_stopped(&self.clock);
        self.disk.heal();
        let (store, live) = open(&self.config, self.directory.path(), &self.clock, &self.disk).await;
        (self.store, self.live) = (Some(store), live);
        self.restarts.push(Instant::now());
        self.start();
    }

    async fn live_through(&mut self, rng: &mut StdRng, sets_clock: bool) {
        for n in 0..EVENTS {
            self.publish(rng, u64::try_from(n).unwrap()).await;
            tokio::time::sleep(Duration::from_millis(rng.random_range(50..800))).await;
            match rng.random_range(0..30) {
                0 => self.restart(rng).await,
                1 => self.switch(["flaky", "ordered", "batched"][rng.random_range(0..3)], rng).await,
                2 => self.touch(["flaky", "ordered", "batched", "broken", "paced"][rng.random_range(0..5)], rng).await,
                3 | 4 => self.network.set_down("/broken", true),
                5 | 6 => self.network.set_down("/broken", false),
                7 => self.disk.fail(Access::Commit),
                8 => self.disk.fail(Access::Read),
                9 if sets_clock => self.run_short(rng),
                10 if sets_clock => self.set_clock(rng),
                _ => {}
            }
        }
    }

    async fn publish(&mut self, rng: &mut StdRng, n: u64) {
        let key = rng.random_range(0..4_u64);
        let id = EventId::parse(&format!("evt_{n}")).unwrap();
        let at = Instant::now();
        match self.append(vec![(id.clone(), "load.x".to_owned(), format!(r#"{{"key":{key},"n":{n}}}"#))]).await {
            Ok(()) => self.published.push((id, at, key, n)),
            // The publisher gets the error, and may retry.
            Err(StoreError::Full { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Ids, types and data.
    pub async fn append(&self, events: Vec<(EventId, String, String)>) -> Result<(), StoreError> {
        let (now, snapshot) = (self.clock.now(), self.live.snapshot());
        let new = events.into_iter().map(|(id, kind, data)| {
            let kind = EventType::parse(&kind).unwrap();
            let (timestamp, received, data) = (now, now, Bytes::from(data));
            let event = Event { id, kind, timestamp, received, data, metadata: None, tenant: None };
            let Route { targets, unmatched } = snapshot.route(&event);
            NewEvent { event: Arc::new(event), targets, unmatched, timestamp_given: true }
        });
        self.store().append(new.collect()).await.map(|_| ())
    }

    /// An operator switches a webhook off, and on again two seconds later.
    async fn switch(&mut self, webhook: &'static str, rng: &mut StdRng) {
        self.switched.push(webhook);
        let snapshot = self.live.snapshot();
        let key = snapshot.webhook(&WebhookId::parse(webhook).unwrap()).unwrap().key;
        let reason = "by the seed".to_owned();
        let disabled = Some(Disabled { by: DisabledBy::Operator, reason, at: self.clock.now(), endpoint: None });
        for disabled in [disabled, None] {
            if rng.random_bool(0.4) {
                self.disk.fail(Access::Commit);
            }
            // Again, until it is saved, as an operator would.
            while self.store().save_status(vec![(key, StatusChange::Disabled(disabled.clone()))]).await.is_err() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            snapshot.status_board.switch(key, disabled);
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    /// An operator retries or cancels one of the last few deliveries.
    async fn touch(&mut self, webhook: &str, rng: &mut StdRng) {
        let filter = DeliveryFilter { webhook: Some(WebhookId::parse(webhook).unwrap()), ..Default::default() };
        let Ok(page) = self.store().deliveries(filter, None, 3).await else { return };
        let Some(record) = page.rows.get(rng.random_range(0..page.rows.len().max(1))) else { return };
        self.touched.extend([record.id.to_string(), record.event_id.to_string()]);
        // An error tells the operator that nothing was done.
        let _ = match rng.random_bool(0.7) {
            true => self.store().retry(record.id, rng.random_bool(0.5)).await,
            false => self.store().cancel(record.id).await,
        };
    }

    fn run_short(&mut self, rng: &mut StdRng) {
        self.shortages.push(Instant::now());
        self.network.run_short(Shortage::ALL[rng.random_range(0..Shortage::ALL.len())], SHORTAGE);
    }

    /// Forward by minutes, or back by up to an hour.
    fn set_clock(&mut self, rng: &mut StdRng) {
        self.clock_was_set = true;
        self.clock.set_by(rng.random_range(-3_600_000..300_000));
    }

    /// An impatient operator at the end, when nothing else would claim from disk again.
    async fn insist(&mut self, rng: &mut StdRng) {
        for webhook in ["flaky", "ordered", "batched", "broken", "paced"] {
            for _ in 0..4 {
                self.touch(webhook, rng).await;
                tokio::time::sleep(Duration::from_millis(rng.random_range(1..200))).await;
            }
        }
    }

    /// Until nothing is open. An hour is more than anything here may take, and an hour is what a clock that is set back
    /// right before a restart may add.
    async fn finish(&self) {
        let deadline = Instant::now() + Duration::from_secs(2 * 3600);
        while self.store().backlog().await.unwrap().open > 0 {
            if Instant::now() >= deadline {
                let page = self.store().deliveries(DeliveryFilter::default(), None, 250).await.unwrap();
                let open: Vec<_> = page.rows.iter().filter(|row| row.state.is_open()).collect();
                panic!("never ended: {open:#?}");
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    pub async fn check_store(&self) {
        let checked = Store::check(self.directory.path().to_owned(), self.clock.now()).await.unwrap();
        assert_eq!(checked.problems, Vec::<String>::new());
    }
}
