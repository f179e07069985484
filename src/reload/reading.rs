//! Reading the files, off the runtime: what they say, and whether that differs from what is live.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::stats::Stats;
use super::watch::Watched;
use super::{QUIET, Reloader, change, fingerprint, load_over};
use crate::config::{Loaded, Problems};
use crate::transform::{self, Source};

/// Readings of files that change at the same moment; after these the last one counts.
const READINGS_MAX: usize = 4;

/// What the files say.
pub(super) struct Reading {
    pub(super) content: Content,
    /// Of what was read, good or bad.
    pub(super) fingerprint: String,
    pub(super) watched: Watched,
    /// Files of the live configuration that are not on disk.
    pub(super) missing: Vec<PathBuf>,
    /// Of what was watched before: taken before the files were read, so that a later change shows.
    pub(super) stats: Stats,
}

pub(super) enum Content {
    /// They say what is live.
    Live,
    New(Box<Loaded>),
    Refused(Problems),
}

/// What a reading needs to know.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) watched: Arc<Watched>,
    /// Files of the live configuration, its modules and certificates included.
    pub(super) live_files: Arc<Watched>,
    pub(super) fingerprint: String,
    pub(super) transformers_dir: PathBuf,
}

impl Reloader {
    /// Reads until two readings in a row agree: a save in place first empties the file.
    ///
    /// `None`: reading broke on a fault of our own, which is logged.
    pub(super) async fn read_stable(self: &Arc<Self>, known: &Known) -> Option<Reading> {
        let mut last = self.read(known).await?;
        for _ in 0..READINGS_MAX {
            if last.fingerprint == known.fingerprint {
                break;
            }
            tokio::time::sleep(QUIET).await;
            let next = self.read(known).await?;
            let is_stable = next.fingerprint == last.fingerprint;
            last = next;
            if is_stable {
                break;
            }
        }
        Some(last)
    }

    async fn read(self: &Arc<Self>, known: &Known) -> Option<Reading> {
        let (reloader, known) = (Arc::clone(self), known.clone());
        match tokio::task::spawn_blocking(move || reloader.read_now(&known)).await {
            Ok(reading) => Some(reading),
            Err(error) => {
                tracing::error!(%error, "reading the configuration broke on a fault of tenterhook's own");
                None
            }
        }
    }

    fn read_now(&self, known: &Known) -> Reading {
        let api = self.api();
        let whole = |loaded: &Loaded| fingerprint::of(loaded, &change::modules(change::validate_quietly(&api, loaded).values()));
        let stats = Stats::of(&known.watched);
        // Most readings are of files that are as they were, and what those say is known.
        if let Some(live) = self.good().filter(|good| good.is_on_disk() && whole(good) == known.fingerprint) {
            let (fingerprint, watched) = (known.fingerprint.clone(), watched(&live));
            return Reading { content: Content::Live, fingerprint, watched, missing: Vec::new(), stats };
        }
        let missing = known.live_files.files.iter().filter(|file| std::fs::metadata(file).is_err()).cloned().collect();
        match load_over(&self.path, &self.texts) {
            Ok(loaded) => {
                let (fingerprint, watched) = (whole(&loaded), watched(&loaded));
                let content = if fingerprint == known.fingerprint { Content::Live } else { Content::New(Box::new(loaded)) };
                Reading { content, fingerprint, watched, missing, stats }
            }
            Err(problems) => {
                let dirs = problems.include_dirs.iter().chain([&known.transformers_dir]).cloned();
                let files = problems.files.iter().cloned().chain(modules_in(&known.transformers_dir));
                let (watched, fingerprint) = (Watched::new(files, dirs), problems.fingerprint.clone());
                Reading { content: Content::Refused(problems), fingerprint, watched, missing, stats }
            }
        }
    }
}

/// Everything that this configuration was read from. Blocks: it lists `transformers/`.
pub(super) fn watched(loaded: &Loaded) -> Watched {
    let settings = &loaded.settings;
    let declared = settings.transformers.values().filter_map(|transformer| transformer.path.clone());
    let files = loaded.files.iter().cloned().chain(declared).chain(loaded.certificate_files().cloned());
    let dirs = loaded.include_dirs.iter().chain([&settings.transformers_dir]).cloned();
    Watched::new(files.chain(modules_in(&settings.transformers_dir)).collect::<BTreeSet<_>>(), dirs)
}

fn modules_in(dir: &Path) -> impl Iterator<Item = PathBuf> {
    transform::available(dir).into_values().filter_map(|source| match source {
        Source::File(path) => Some(path),
        Source::Prebuilt => None,
    })
}
