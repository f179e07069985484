//! The live snapshot, and why the last reload was refused, if it was.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::watch;

use super::Snapshot;
use crate::config::Draft;
use crate::model::{Timestamp, WebhookId};

/// Why the last reload was refused; cleared by the next good one.
#[derive(Debug, Clone, Serialize)]
pub struct ConfigError {
    pub message: String,
    pub at: Timestamp,
    pub problems: Vec<ConfigProblem>,
    /// The refused configuration, as far as it could be read.
    #[serde(skip)]
    pub draft: Option<Arc<Draft>>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigProblem {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// With the line underlined, as `tenterhook check` shows it, secrets hidden.
    pub rendered: String,
}

/// Settings of the first configuration that hold until the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedWith {
    pub listen: SocketAddr,
    pub storage: PathBuf,
}

/// Shared by everything that needs the current configuration. Take one snapshot at the top and pass it on.
pub struct Live {
    current: ArcSwap<Snapshot>,
    started_with: StartedWith,
    last_error: Mutex<Option<ConfigError>>,
    generation: watch::Sender<u64>,
    /// Webhooks whose secrets in the store differ from those that sign.
    unsigned: Mutex<Vec<WebhookId>>,
    /// How often they have changed, and how many of the changes are live.
    secrets_changed: watch::Sender<u64>,
    secrets_live: watch::Sender<u64>,
}

/// A change of secrets takes one read of the store. A longer wait means that a reload is running, and the change goes live
/// with it.
const SECRETS_WAIT: Duration = Duration::from_secs(10);

impl Live {
    pub fn new(first: Snapshot) -> Self {
        let (generation, _) = watch::channel(first.generation);
        let (listen, storage) = (first.settings.server.listen, first.settings.storage.path.clone());
        let current = ArcSwap::from_pointee(first);
        let (secrets_changed, secrets_live) = (watch::Sender::new(0), watch::Sender::new(0));
        Self {
            current,
            started_with: StartedWith { listen, storage },
            last_error: Mutex::new(None),
            generation,
            unsigned: Mutex::default(),
            secrets_changed,
            secrets_live,
        }
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    pub fn started_with(&self) -> &StartedWith {
        &self.started_with
    }

    /// Swaps the new snapshot in and clears the last error.
    pub fn publish(&self, next: Snapshot) {
        self.set_error(None);
        self.replace(next);
    }

    /// Swaps the new snapshot in; an error of the files stays.
    pub fn replace(&self, next: Snapshot) {
        let (generation, live) = (next.generation, self.current.load().generation);
        assert!(generation >= live, "generation {generation} would replace {live}: it only grows");
        self.current.store(Arc::new(next));
        self.generation.send_replace(generation);
    }

    /// Swaps in the same generation with more to show: nothing that follows generations has to know.
    pub fn complete(&self, same: Snapshot) {
        debug_assert_eq!(same.generation, self.snapshot().generation, "a generation only grows");
        self.current.store(Arc::new(same));
    }

    /// To be called when a webhook's secret in the store has changed; says whether it is live.
    pub async fn secret_changed(&self, webhook: WebhookId) -> bool {
        self.unsigned.lock().unwrap_or_else(PoisonError::into_inner).push(webhook);
        let mut live = self.secrets_live.subscribe();
        let mut change = 0;
        self.secrets_changed.send_modify(|changes| {
            *changes += 1;
            change = *changes;
        });
        let waited = tokio::time::timeout(SECRETS_WAIT, live.wait_for(|live| *live >= change)).await;
        matches!(waited, Ok(Ok(_)))
    }

    /// Ticks with each change of secrets, for the reload loop; to be answered by [`Live::secrets_are_live`].
    pub fn secret_changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.secrets_changed.subscribe();
        if *changes.borrow() > *self.secrets_live.borrow() {
            changes.mark_changed();
        }
        changes
    }

    /// The webhooks whose secrets have changed, to be made live now.
    pub fn take_changed(&self) -> Vec<WebhookId> {
        std::mem::take(&mut *self.unsigned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns webhooks whose secrets could not be made live, for the next time.
    pub fn put_back(&self, webhooks: Vec<WebhookId>) {
        self.unsigned.lock().unwrap_or_else(PoisonError::into_inner).extend(webhooks);
    }

    pub fn secrets_are_live(&self, changes: u64) {
        self.secrets_live.send_replace(changes);
    }

    /// The old snapshot stays; remembers why.
    pub fn reject(&self, error: ConfigError) {
        self.set_error(Some(error));
    }

    /// The files say what is live: an error is over.
    pub fn unchanged(&self) {
        self.set_error(None);
    }

    pub fn last_error(&self) -> Option<ConfigError> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ticks with each generation that goes live.
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    fn set_error(&self, error: Option<ConfigError>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}
