//! Modules in `transformers/` that no webhook uses: loaded in the background, after the snapshot is live, so that they
//! delay neither a start nor a reload. The list of transformers shows them, and one that is broken is logged before
//! anybody uses it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::snapshot::{self, Live, Snapshot, Unused};
use crate::transform::Host;

pub(super) struct UnusedModules {
    host: Host,
    /// At most one: loading compiles, and one core is enough for what nobody waits for.
    running: JoinSet<Loaded>,
    /// What was logged of each broken file.
    warned: BTreeMap<String, String>,
}

/// Those of a snapshot.
pub(super) struct Loaded {
    of: Arc<Snapshot>,
    unused: Unused,
}

impl UnusedModules {
    pub(super) fn new(host: Host) -> Self {
        Self { host, running: JoinSet::new(), warned: BTreeMap::new() }
    }

    /// For the live snapshot. While those of another one are being loaded, it waits for its turn.
    pub(super) fn load(&mut self, live: &Live) {
        if self.running.is_empty() {
            let (of, host) = (live.snapshot(), self.host.clone());
            self.running.spawn(async move {
                let unused = snapshot::load_unused(&of, &host).await;
                Loaded { of, unused }
            });
        }
    }

    /// Cancel-safe.
    pub(super) async fn loaded(&mut self) -> Loaded {
        loop {
            match self.running.join_next().await {
                Some(Ok(loaded)) => return loaded,
                Some(Err(error)) => tracing::error!(%error, "loading unused modules broke on a fault of tenterhook's own"),
                None => std::future::pending().await,
            }
        }
    }

    /// Shows them in the live snapshot, if it is still the same.
    pub(super) fn show(&mut self, live: &Live, Loaded { of, unused }: Loaded) {
        if live.snapshot().generation != of.generation {
            return self.load(live);
        }
        for (name, error) in unused.broken.iter().filter(|(name, error)| self.warned.get(*name) != Some(error)) {
            tracing::warn!(transformer = %name, %error, "file in transformers/ cannot be used");
        }
        self.warned.clone_from(&unused.broken);
        if !unused.is_empty() {
            live.complete(of.with_unused(unused));
        }
    }
}
