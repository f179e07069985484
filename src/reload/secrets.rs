//! Secrets in the store: generated for webhooks that have none of their own, live when they change, sealed with the keys
//! of the live configuration. Reads no files.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::Reloader;
use crate::config::WebhookSettings;
use crate::model::{StorageKey, StorageKeys, WebhookId, WebhookKey};
use crate::operational::Notice;
use crate::signing::{LiveSecret, Secret};
use crate::snapshot::{self, Live};
use crate::store::StoreError;

impl Reloader {
    /// Makes the stored secrets live, of the webhooks whose secrets have changed.
    pub(super) async fn renew_secrets(&self, live: &Arc<Live>, changes: u64) {
        let current = live.snapshot();
        let changed = live.take_changed();
        let webhooks: Vec<_> = changed.iter().filter_map(|id| current.webhook(id)).collect();
        let keys = webhooks.iter().map(|webhook| (webhook.settings.id.clone(), webhook.key)).collect();
        let renewed = match self.generated_secrets(webhooks.iter().map(|webhook| &*webhook.settings), &keys, None).await {
            Ok(secrets) => snapshot::with_secrets(&current, &secrets).map_err(|(id, e)| format!("`{id}`: {e}")),
            Err(error) => Err(error.to_string()),
        };
        match renewed {
            Ok(snapshot) => {
                self.metrics.set_config_generation(snapshot.generation);
                live.replace(snapshot);
                live.secrets_are_live(changes);
                for webhook in changed {
                    self.raise(live, Notice::SecretRotated { webhook }).await;
                }
            }
            Err(error) => {
                live.put_back(changed);
                tracing::error!(
                    error,
                    "changed secrets cannot go live: the next change of a secret, or the next reload, tries again"
                );
            }
        }
    }

    /// Seals what is sealed at rest with the keys of this configuration, if they have changed.
    pub(super) async fn rekey(&self, keys: &StorageKeys) -> Result<(), StoreError> {
        if self.keys.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(keys) {
            return Ok(());
        }
        let changed = self.store.rekey(keys.clone()).await?;
        if changed > 0 {
            let key = keys.current.as_ref().map_or("none".to_owned(), StorageKey::id);
            tracing::info!(
                rows = changed,
                key,
                "secrets, webhooks made over the API and stored responses are sealed with another key now"
            );
        }
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Some(keys.clone());
        Ok(())
    }

    /// Secrets of webhooks that sign and have none: generated once, then read from the store. `but` gets none.
    pub(super) async fn generated_secrets(
        &self,
        webhooks: impl Iterator<Item = &WebhookSettings>,
        keys: &HashMap<WebhookId, WebhookKey>,
        but: Option<&WebhookId>,
    ) -> Result<HashMap<WebhookId, Vec<LiveSecret>>, StoreError> {
        let has_or_needs_none = |webhook: &WebhookSettings| webhook.secret.is_some() || webhook.signature.is_empty();
        let wanting = webhooks.filter(|webhook| !has_or_needs_none(webhook) && Some(&webhook.id) != but);
        let known = wanting.filter_map(|webhook| Some((&webhook.id, (*keys.get(&webhook.id)?, maker(webhook)))));
        let (ids, wanted): (Vec<_>, Vec<_>) = known.unzip();
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let stored = self.store.secrets(wanted).await?;
        let mut secrets = HashMap::new();
        for (id, stored) in ids.into_iter().zip(stored) {
            let live = stored.iter().map(|stored| Ok(LiveSecret { secret: Secret::parse(&stored.text)?, until: stored.until }));
            let live = live.collect::<Result<_, crate::signing::InvalidSecret>>();
            let live =
                live.map_err(|e| StoreError::Unavailable { reason: format!("the stored secret of `{id}` cannot be used: {e}") })?;
            secrets.insert(id.clone(), live);
        }
        Ok(secrets)
    }
}

/// What generates a webhook's secret: Standard Webhooks' form where the scheme uses it, plain text for other schemes.
fn maker(webhook: &WebhookSettings) -> fn() -> String {
    if webhook.signature.iter().any(|spec| spec.scheme.decodes_secrets()) {
        || Secret::generate().expose().to_owned()
    } else {
        || Secret::generate_hex().expose().to_owned()
    }
}
