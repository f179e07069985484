//! Snapshots made of the live one: with other secrets, or with modules that nobody uses yet. Nothing is read from the
//! configuration's files for them, so they work while those are broken.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::build::load;
use super::{Snapshot, Webhook};
use crate::model::WebhookId;
use crate::signing::{InvalidSecret, LiveSecret, Signer};
use crate::transform::{self, Host, Module, Source};

/// The live configuration, signing with the secrets that are stored now. Reads no file and compiles nothing, so that it
/// works even if the files are broken.
///
/// # Errors
/// A webhook that could not sign with them, with the reason.
pub fn with_secrets(
    current: &Snapshot,
    secrets: &HashMap<WebhookId, Vec<LiveSecret>>,
) -> Result<Snapshot, (WebhookId, InvalidSecret)> {
    let mut webhooks = Vec::with_capacity(current.webhooks.len());
    for webhook in &current.webhooks {
        let stored = match secrets.get(&webhook.settings.id) {
            Some(stored) if webhook.settings.secret.is_none() => stored,
            _ => {
                webhooks.push(Arc::clone(webhook));
                continue;
            }
        };
        let signer = Signer::new(Arc::clone(&webhook.settings.signature), stored.clone());
        let signer = signer.map_err(|e| (webhook.settings.id.clone(), e))?;
        webhooks.push(Arc::new(Webhook {
            settings: Arc::clone(&webhook.settings),
            key: webhook.key,
            signer,
            egress: webhook.egress.clone(),
            pipeline: webhook.pipeline.clone(),
        }));
    }
    Ok(Snapshot { generation: current.generation + 1, webhooks, ..current.shallow_clone() })
}

/// Modules that lie in `transformers/` and that no webhook uses.
#[derive(Default)]
pub struct Unused {
    pub modules: HashMap<String, Arc<Module>>,
    /// Those that cannot be used, with the reason.
    pub broken: BTreeMap<String, String>,
}

impl Unused {
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty() && self.broken.is_empty()
    }
}

/// Loads what lies in `transformers/` and is not part of the snapshot. Compiles one module after the other.
pub async fn load_unused(snapshot: &Snapshot, host: &Host) -> Unused {
    let dir = snapshot.settings.transformers_dir.clone();
    let available = tokio::task::spawn_blocking(move || transform::available(&dir)).await.unwrap_or_default();
    let files = available.into_iter().filter(|(_, source)| matches!(source, Source::File(_)));
    let mut unused = Unused::default();
    for (name, _) in files.filter(|(name, _)| !snapshot.modules.contains_key(name)) {
        match load(&snapshot.settings, host, &name).await {
            Ok(module) => drop(unused.modules.insert(name, module)),
            Err(error) => drop(unused.broken.insert(name, error)),
        }
    }
    unused
}

impl Snapshot {
    /// The same generation: nothing changes for any webhook.
    #[must_use]
    pub fn with_unused(&self, unused: Unused) -> Self {
        let mut modules = self.modules.clone();
        modules.extend(unused.modules);
        Self { modules, broken: unused.broken, ..self.shallow_clone() }
    }

    fn shallow_clone(&self) -> Self {
        Self {
            generation: self.generation,
            fingerprint: self.fingerprint.clone(),
            loaded_at: self.loaded_at,
            settings: Arc::clone(&self.settings),
            client: self.client.clone(),
            tls: self.tls.clone(),
            modules: self.modules.clone(),
            broken: self.broken.clone(),
            status_board: Arc::clone(&self.status_board),
            webhooks: self.webhooks.clone(),
            by_key: Arc::clone(&self.by_key),
            index: Arc::clone(&self.index),
        }
    }
}
