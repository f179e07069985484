//! The live snapshot, and what became of the last attempt to replace it.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::watch;

use super::Snapshot;
use crate::model::Timestamp;

/// Why the last reload was refused; cleared by the next good one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigError {
    pub message: String,
    pub at: Timestamp,
    pub problems: Vec<ConfigProblem>,
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

/// Shared by everything that needs the configuration of the moment. Take one snapshot at the top and carry it.
pub struct Live {
    current: ArcSwap<Snapshot>,
    last_error: Mutex<Option<ConfigError>>,
    generation: watch::Sender<u64>,
}

impl Live {
    pub fn new(first: Snapshot) -> Self {
        let (generation, _) = watch::channel(first.generation);
        Self { current: ArcSwap::from_pointee(first), last_error: Mutex::new(None), generation }
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Swaps the new snapshot in and clears the last error.
    pub fn publish(&self, next: Snapshot) {
        let generation = next.generation;
        self.current.store(Arc::new(next));
        self.set_error(None);
        self.generation.send_replace(generation);
    }

    /// Keeps the old snapshot and remembers why.
    pub fn reject(&self, error: ConfigError) {
        self.set_error(Some(error));
    }

    /// The reloaded files say what the live snapshot says: whatever was wrong is mended.
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
