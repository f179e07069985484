//! From the files to the live snapshot: at start, and whenever they change. All or nothing: if anything is wrong, the
//! old snapshot stays live, and the reason is logged and shown by the API.

mod change;
mod file_loop;
mod fingerprint;
mod hangup;
mod outcome;
mod reading;
mod removal;
mod secrets;
mod stats;
#[cfg(test)]
mod tests;
mod unused;
mod watch;
mod writers;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::file_loop::FileLoop;
pub use self::hangup::Hangup;
use self::watch::Watcher;
use crate::clock::Clock;
use crate::config::{self, Loaded, Problems, Settings, Texts};
use crate::control::Request;
use crate::model::StorageKeys;
use crate::outbound::{Client, ClientOptions, OutboundError};
use crate::snapshot::{Live, Snapshot, StatusBoard};
use crate::store::{ApiWebhook, Store, StoreError};
use crate::telemetry::Metrics;
use crate::transform::Host;

/// Files must have been quiet for this long: a save in place is not over with its first write.
const QUIET: Duration = Duration::from_millis(120);

/// Files that never are quiet are read all the same, in time for "live within a second".
const QUIET_WAIT_MAX: Duration = Duration::from_millis(500);

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
    /// In place of some files, when another program holds the configuration.
    texts: Arc<Texts>,
    store: Store,
    host: Host,
    clock: Clock,
    metrics: Arc<Metrics>,
    status_board: Arc<StatusBoard>,
    /// Reused while `[network]` stays the same, and with it the open connections.
    client: Mutex<Option<(ClientOptions, Client)>>,
    /// The last configuration that went live: what webhooks of the API are judged by, whatever the files say by now.
    good: Mutex<Option<Arc<Loaded>>>,
    /// Which configuration was refused, until one is accepted.
    refused: Mutex<Option<String>>,
    /// Webhooks made by the API, as the store has them.
    api: Mutex<Vec<ApiWebhook>>,
    /// What the store seals with; `None` before the first configuration.
    keys: Mutex<Option<StorageKeys>>,
}

/// What makes one configuration the same as another, as `GET /v1/config` shows it.
pub fn fingerprint(loaded: &Loaded) -> String {
    fingerprint::of(loaded, &BTreeSet::new())
}

/// Reads the configuration as the process sees it.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    config::load(path, &|name| std::env::var(name).ok())
}

/// As [`load`], with texts in place of some files.
pub fn load_over(path: &Path, texts: &Texts) -> Result<Loaded, Problems> {
    config::load_over(path, texts, &|name| std::env::var(name).ok())
}

impl Reloader {
    pub fn new(path: PathBuf, store: Store, host: Host, clock: Clock, metrics: Arc<Metrics>, status_board: StatusBoard) -> Self {
        let (client, keys, refused) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (good, api) = (Mutex::default(), Mutex::default());
        let (status_board, texts) = (Arc::new(status_board), Arc::default());
        Self { path, texts, store, host, clock, metrics, status_board, client, keys, good, refused, api }
    }

    #[must_use]
    pub fn with_texts(self, texts: Arc<Texts>) -> Self {
        Self { texts, ..self }
    }

    /// The first snapshot, of what [`load`] gave. A start takes what it finds: there is no older configuration to keep.
    pub async fn first(&self, loaded: Loaded) -> Result<Snapshot, ReloadError> {
        outcome::log_warnings(&loaded);
        if !loaded.has_tables {
            tracing::warn!(file = %self.path.display(), "configuration has no table: it declares no webhooks and no tokens");
        }
        // First the keys: what the API made may be sealed.
        self.rekey(&loaded.settings.storage.keys).await?;
        let stored = self.store.api_webhooks().await?;
        self.edit_api(|webhooks| *webhooks = stored);
        let fingerprint = fingerprint::of(&loaded, &change::modules(change::validate_quietly(&self.api(), &loaded).values()));
        let snapshot = self.build(loaded, fingerprint, 1).await?;
        self.metrics.set_config_generation(1);
        self.metrics.config_read(true);
        Ok(snapshot)
    }

    /// Watches and reloads until `shutdown`.
    pub async fn run(
        self: Arc<Self>,
        live: Arc<Live>,
        hangup: Hangup,
        requests: mpsc::Receiver<Request>,
        shutdown: CancellationToken,
    ) {
        FileLoop::new(self, live, Watcher::start()).run(hangup, requests, shutdown).await;
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
        let mut current = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = &*current
            && *known == options
        {
            return Ok(client.clone());
        }
        let client = Client::new(options.clone())?;
        *current = Some((options, client.clone()));
        Ok(client)
    }
}
