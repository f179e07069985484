//! From the files to the live snapshot: at start, and whenever they change. All or nothing: whatever is wrong, the
//! old snapshot goes on, and the reason is logged and kept for everyone to see.

mod change;
mod fingerprint;
mod secrets;
mod watch;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::watch::Hangup;
use self::watch::Watcher;
use crate::clock::Clock;
use crate::config::{self, Loaded, Problem, Problems, Settings};
use crate::control::Request;
use crate::model::{StorageKeys, WebhookKey};
use crate::operational::{Notice, Operational};
use crate::outbound::{Client, ClientOptions, OutboundError};
use crate::snapshot::{self, ConfigError, ConfigProblem, Live, Snapshot, Switchboard};
use crate::store::{ApiWebhook, Store, StoreError};
use crate::telemetry::{ConfigReload, Metrics};
use crate::transform::Host;

/// Files must have been quiet for this long: a save in place is not over with its first write.
const QUIET: Duration = Duration::from_millis(120);

/// Files that never are quiet are read all the same, in time for "live within a second".
const QUIET_WAIT_MAX: Duration = Duration::from_millis(500);

/// Looks at files that change under our eyes; after these the last one counts.
const LOOKS_MAX: usize = 4;

/// Why there is no new snapshot.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("the configuration has {} problem(s)", .0.problems.len())]
    Refused(Problems),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The WebAssembly host cannot start.
    #[error("{0}")]
    Host(String),
}

pub struct Reloader {
    path: PathBuf,
    store: Store,
    host: Host,
    clock: Clock,
    metrics: Arc<Metrics>,
    switchboard: Arc<Switchboard>,
    /// Kept while `[network]` stays the same, and with it the open connections.
    client: Mutex<Option<(ClientOptions, Client)>>,
    /// The last configuration that went live: what webhooks of the API are judged by, whatever the files say by now.
    good: Mutex<Option<Arc<Loaded>>>,
    /// Webhooks made by the API, as the store has them.
    api: Mutex<Vec<ApiWebhook>>,
    /// Of webhooks removed over the API since the start: what the dispatcher knows of one may be about the one before it.
    removed: Mutex<HashSet<WebhookKey>>,
    /// What the store seals with; `None` before the first look.
    keys: Mutex<Option<StorageKeys>>,
}

/// What has to be watched for changes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Watched {
    files: Vec<PathBuf>,
    dirs: Vec<PathBuf>,
}

/// What a look at the files came to, when nothing is wrong with them.
enum Look {
    /// They are what is live.
    Same(Arc<Loaded>),
    New(Box<Loaded>),
}

/// What makes one configuration the same as another, as `GET /v1/config` shows it.
pub fn fingerprint(loaded: &Loaded) -> String {
    fingerprint::of(loaded, &BTreeSet::new())
}

/// Reads the configuration as the process sees it.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    config::load(path, &|name| std::env::var(name).ok())
}

impl Reloader {
    pub fn new(path: PathBuf, store: Store, host: Host, clock: Clock, metrics: Arc<Metrics>, standing: Switchboard) -> Self {
        let (client, keys) = (Mutex::default(), Mutex::default());
        let (good, api, removed) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { path, store, host, clock, metrics, switchboard: Arc::new(standing), client, keys, good, api, removed }
    }

    /// The first snapshot, of what [`load`] gave.
    pub async fn first(&self, loaded: Loaded) -> Result<Snapshot, ReloadError> {
        log_warnings(&loaded);
        // First the keys: what the API made may be sealed.
        self.rekey(&loaded.settings.storage.keys).await?;
        let kept = self.store.api_webhooks().await?;
        self.edit_api(|webhooks| *webhooks = kept);
        let fingerprint = fingerprint::of(&loaded, &change::modules(change::judge_quietly(&self.api(), &loaded).values()));
        let snapshot = self.build(loaded, fingerprint, 1).await?;
        warn_of_broken(&snapshot);
        self.metrics.set_config_generation(1);
        Ok(snapshot)
    }

    /// Watches and reloads until `shutdown`.
    pub async fn run(
        self: Arc<Self>,
        live: Arc<Live>,
        mut hangup: Hangup,
        mut requests: mpsc::Receiver<Request>,
        shutdown: CancellationToken,
    ) {
        let mut watcher = Watcher::start();
        let mut secret_changes = live.secret_changes();
        // What changed between the first load and the watch is seen by a look right away.
        let mut watched = self.settle_watches(&live, &mut watcher).await;
        loop {
            let by_signal = tokio::select! {
                () = shutdown.cancelled() => return,
                () = watcher.changed() => false,
                () = hangup.received() => true,
                Some(request) = requests.recv() => {
                    self.answer(&live, request).await;
                    continue;
                }
                Ok(()) = secret_changes.changed() => {
                    let changes = *secret_changes.borrow_and_update();
                    self.renew_secrets(&live, changes).await;
                    continue;
                }
            };
            if by_signal {
                tracing::info!("SIGHUP: reading the configuration again");
            } else {
                watcher.quiet(QUIET, QUIET_WAIT_MAX).await;
            }
            let now_watched = self.reload(&live).await;
            if now_watched != watched {
                watched = self.settle_watches(&live, &mut watcher).await;
            } else {
                watcher.watch(&watched);
            }
        }
    }

    /// Watches what the configuration consists of, which may change while we look.
    async fn settle_watches(&self, live: &Arc<Live>, watcher: &mut Watcher) -> Watched {
        let mut watched = Watched::default();
        // Twice suffices unless files change under our eyes, and then the watcher says so.
        for _ in 0..2 {
            let next = self.reload(live).await;
            watcher.watch(&next);
            if next == watched {
                break;
            }
            watched = next;
        }
        watched
    }

    /// One look at the files: publishes what is new and whole, remembers what is wrong.
    async fn reload(&self, live: &Arc<Live>) -> Watched {
        let Some((loaded, fingerprint)) = self.read_stable(&live.snapshot().fingerprint).await else {
            return Watched::default();
        };
        let current = live.snapshot();
        let loaded = match loaded {
            Ok(Look::Same(loaded)) => {
                live.unchanged();
                self.metrics.config_reload(ConfigReload::Unchanged);
                return self.watched(&loaded, &current);
            }
            Ok(Look::New(loaded)) => loaded,
            Err(problems) => {
                let watched =
                    Watched { files: problems.files.clone(), dirs: self.watched_dirs(&problems.include_dirs, &current) };
                self.reject(live, &problems).await;
                return watched;
            }
        };
        let watched = self.watched(&loaded, &current);
        if fingerprint == current.fingerprint {
            live.unchanged();
            self.metrics.config_reload(ConfigReload::Unchanged);
            return watched;
        }
        log_warnings(&loaded);
        warn_of_restarts(&current.settings, &loaded.settings);
        match self.build(*loaded, fingerprint, current.generation + 1).await {
            Ok(snapshot) => self.publish(live, snapshot).await,
            Err(ReloadError::Refused(problems)) => self.reject(live, &problems).await,
            Err(error) => {
                tracing::error!(%error, "the new configuration cannot go live");
                live.reject(ConfigError { message: error.to_string(), at: self.clock.now(), problems: Vec::new(), draft: None });
                self.metrics.config_reload(ConfigReload::Rejected);
            }
        }
        watched
    }

    /// Reads until two looks in a row agree: a save in place first empties the file, and half a file, or an empty one,
    /// may well be a valid configuration with fewer webhooks.
    async fn read_stable(&self, live: &str) -> Option<(Result<Look, Problems>, String)> {
        let mut last = self.read(live).await?;
        for _ in 0..LOOKS_MAX {
            if last.1 == live {
                break;
            }
            tokio::time::sleep(QUIET).await;
            let next = self.read(live).await?;
            let settled = next.1 == last.1;
            last = next;
            if settled {
                break;
            }
        }
        Some(last)
    }

    /// One look, off the runtime; with the fingerprint of what was seen, good or bad.
    async fn read(&self, live: &str) -> Option<(Result<Look, Problems>, String)> {
        let (path, api, good, live) = (self.path.clone(), self.api(), self.good(), live.to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let whole = |loaded: &Loaded| fingerprint::of(loaded, &change::modules(change::judge_quietly(&api, loaded).values()));
            // Most looks are at files that are as they were, and what they say is known.
            if let Some(good) = good.filter(|good| good.is_on_disk() && whole(good) == live) {
                return (Ok(Look::Same(good)), live);
            }
            match load(&path) {
                Ok(loaded) => {
                    let fingerprint = whole(&loaded);
                    (Ok(Look::New(Box::new(loaded))), fingerprint)
                }
                Err(problems) => {
                    let fingerprint = problems.fingerprint.clone();
                    (Err(problems), fingerprint)
                }
            }
        });
        match read.await {
            Ok(read) => Some(read),
            Err(e) => {
                tracing::error!("reading the configuration broke on a fault of tenterhook's own: {e}");
                None
            }
        }
    }

    fn watched(&self, loaded: &Loaded, current: &Snapshot) -> Watched {
        let dirs = self.watched_dirs(&loaded.include_dirs, current);
        let mut files = loaded.files.clone();
        files.extend(loaded.settings.transformers.values().filter_map(|transformer| transformer.path.clone()));
        files.extend(loaded.certificate_files().cloned());
        Watched { files, dirs }
    }

    fn watched_dirs(&self, include_dirs: &[PathBuf], current: &Snapshot) -> Vec<PathBuf> {
        let mut dirs = include_dirs.to_vec();
        dirs.push(current.settings.transformers_dir.clone());
        dirs
    }

    async fn publish(&self, live: &Arc<Live>, snapshot: Snapshot) {
        let (generation, webhooks) = (snapshot.generation, snapshot.webhooks().len());
        let fingerprint = snapshot.fingerprint.clone();
        warn_of_broken(&snapshot);
        live.publish(snapshot);
        self.metrics.set_config_generation(generation);
        self.metrics.config_reload(ConfigReload::Applied);
        tracing::info!(generation, fingerprint, webhooks, "the configuration is live");
        self.raise(live, Notice::ConfigReloaded { generation, fingerprint, webhooks }).await;
    }

    async fn raise(&self, live: &Arc<Live>, notice: Notice) {
        Operational::new(self.store.clone(), Arc::clone(live), self.clock.clone()).raise(&notice).await;
    }

    async fn reject(&self, live: &Arc<Live>, problems: &Problems) {
        let listed: Vec<ConfigProblem> = problems.problems.iter().map(show).collect();
        let message = format!("{} problem(s) in the configuration: the one before stays live", listed.len());
        // The watcher may look at the same bad files more than once: said once is enough.
        let is_new = live.last_error().is_none_or(|last| last.problems != listed);
        if is_new {
            tracing::error!("{message}\n{}", problems.render(false));
        }
        let shown = serde_json::to_value(&listed).unwrap_or_default();
        let draft = Some(Arc::clone(&problems.draft));
        live.reject(ConfigError { message: message.clone(), at: self.clock.now(), problems: listed, draft });
        self.metrics.config_reload(ConfigReload::Rejected);
        if is_new {
            self.raise(live, Notice::ConfigRejected { message, problems: shown }).await;
        }
    }

    async fn build(&self, loaded: Loaded, fingerprint: String, generation: u64) -> Result<Snapshot, ReloadError> {
        let webhooks = self.api();
        let mut settled = change::judge_all(&webhooks, &loaded);
        let mut result =
            snapshot::build(self.parts(&loaded, &settled, fingerprint.clone(), generation, None).await?, &self.host).await;
        if let Err(problems) = &result
            && change::suspend_refused(&mut settled, &webhooks, &loaded, problems)
        {
            result = snapshot::build(self.parts(&loaded, &settled, fingerprint, generation, None).await?, &self.host).await;
        }
        let snapshot = result.map_err(|problems| {
            let listed = problems.into_iter().map(|p| loaded.problem_at(&p.place, p.message, p.help)).collect();
            ReloadError::Refused(loaded.refused(listed))
        })?;
        *self.good.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(loaded.without_texts()));
        Ok(snapshot)
    }

    fn good(&self) -> Option<Arc<Loaded>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn api(&self) -> Vec<ApiWebhook> {
        self.api.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn edit_api(&self, edit: impl FnOnce(&mut Vec<ApiWebhook>)) {
        edit(&mut self.api.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn client(&self, settings: &Settings) -> Result<Client, OutboundError> {
        let options = ClientOptions::read(settings.network.clone(), &settings.network_egress)?;
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = &*kept
            && *known == options
        {
            return Ok(client.clone());
        }
        let client = Client::new(options.clone())?;
        *kept = Some((options, client.clone()));
        Ok(client)
    }
}

fn show(problem: &Problem) -> ConfigProblem {
    ConfigProblem {
        file: problem.file.display().to_string(),
        line: problem.line,
        column: problem.column,
        message: problem.message.clone(),
        help: problem.help.clone(),
        rendered: problem.render(false),
    }
}

fn log_warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!("{}", warning.render(false));
    }
}

/// Modules that nobody uses harm nobody, whatever is wrong with them.
fn warn_of_broken(snapshot: &Snapshot) {
    for (name, error) in &snapshot.broken {
        tracing::warn!(transformer = %name, %error, "a file in transformers/ cannot be used");
    }
}

/// What is bound to the process cannot follow a reload; the rest does.
fn warn_of_restarts(old: &Settings, new: &Settings) {
    if old.server.listen != new.server.listen {
        tracing::warn!(now = %old.server.listen, wanted = %new.server.listen, "`server.listen` takes effect at the next start");
    }
    if old.storage.path != new.storage.path {
        tracing::warn!("`storage.path` takes effect at the next start");
    }
}
