//! Webhooks made by the API: stored in the store, validated like those of config.toml, live beside them. A change is
//! built whole first, then stored, then live: if anything is wrong, nothing has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{ReloadError, Reloader, fingerprint};
use crate::config::{FieldProblem, Fields, Judge, Judged, Loaded, Origin, WebhookSettings};
use crate::control::{Change, ChangeError, Changed, Effect};
use crate::model::{Limits, TransformStep, WebhookId, WebhookKey};
use crate::operational::Notice;
use crate::signing::{LiveSecret, Secret};
use crate::snapshot::{self, BuildProblem, Live, Parts, Snapshot};
use crate::store::ApiWebhook;
use crate::transform::{self, Module};

/// Webhooks made by the API: each change builds a snapshot of all, some 10 µs each.
const WEBHOOKS_MAX: usize = 10_000;

/// Webhooks of the API and their settings, as they go into a snapshot.
pub(super) type ApiSettings = BTreeMap<WebhookId, WebhookSettings>;

/// Those of the store under this configuration. One that is not valid any more is suspended.
pub(super) fn validate_all(webhooks: &[ApiWebhook], loaded: &Loaded) -> ApiSettings {
    let mut settled = ApiSettings::new();
    for webhook in webhooks {
        if let Some(declared) = loaded.settings.webhooks.get(&webhook.id) {
            let place = &declared.place;
            tracing::warn!(
                webhook = %webhook.id, file = %place.file.display(), line = place.line,
                "config.toml declares a webhook that was made over the API: the one of config.toml is used until it is removed there"
            );
            continue;
        }
        let times = (webhook.created, webhook.updated);
        match loaded.api_webhook(&webhook.id, &webhook.body, times, Judge::Accepted) {
            Ok(judged) => {
                settled.insert(webhook.id.clone(), judged.settings);
            }
            Err(problems) => suspend(&mut settled, webhook, loaded, &in_words(&problems)),
        }
    }
    settled
}

/// As [`validate_all`], for a reading that may change nothing: it logs nothing, and leaves out what is not valid.
pub(super) fn validate_quietly(webhooks: &[ApiWebhook], loaded: &Loaded) -> ApiSettings {
    let judge = |webhook: &ApiWebhook| {
        let times = (webhook.created, webhook.updated);
        let judged = loaded.api_webhook(&webhook.id, &webhook.body, times, Judge::Accepted).ok()?;
        Some((webhook.id.clone(), judged.settings))
    };
    webhooks.iter().filter(|webhook| !loaded.settings.webhooks.contains_key(&webhook.id)).filter_map(judge).collect()
}

fn in_words(problems: &[FieldProblem]) -> String {
    let words: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    words.join("; ")
}

fn suspend(settled: &mut ApiSettings, webhook: &ApiWebhook, loaded: &Loaded, why: &str) {
    tracing::error!(
        webhook = %webhook.id, why,
        "webhook made over the API is not valid under this configuration: it is disabled and its deliveries are held until it is valid"
    );
    let times = (webhook.created, webhook.updated);
    let Some(Judged { settings, .. }) = loaded.suspended(&webhook.id, &webhook.body, times) else { return };
    let origin = Origin::Api { created: times.0, updated: times.1, suspended: Some(why.to_owned()) };
    settled.insert(webhook.id.clone(), WebhookSettings { origin, ..settings });
}

/// Suspends the webhooks that a build refused; answers whether it refused nothing else.
pub(super) fn suspend_refused(
    settled: &mut ApiSettings,
    webhooks: &[ApiWebhook],
    loaded: &Loaded,
    problems: &[BuildProblem],
) -> bool {
    let of = |problem: &BuildProblem| webhooks.iter().find(|webhook| Loaded::is_place_of_api(&problem.place, &webhook.id));
    if problems.is_empty() || !problems.iter().all(|problem| of(problem).is_some()) {
        return false;
    }
    for problem in problems {
        if let Some(webhook) = of(problem) {
            suspend(settled, webhook, loaded, &problem.message);
        }
    }
    true
}

/// Modules that they use.
pub(super) fn modules<'a>(webhooks: impl IntoIterator<Item = &'a WebhookSettings>) -> BTreeSet<String> {
    webhooks.into_iter().flat_map(|webhook| &webhook.transform).map(|step| step.name.clone()).collect()
}

impl Reloader {
    pub(super) async fn module(&self, live: &Live, name: &str) -> Result<Arc<Module>, String> {
        let snapshot = live.snapshot();
        if let Some(module) = snapshot.modules.get(name) {
            return Ok(Arc::clone(module));
        }
        let declared = snapshot.settings.transformers.get(name);
        let path = declared.and_then(|declared| declared.path.as_deref());
        let source = transform::resolve(name, &snapshot.settings.transformers_dir, path).map_err(|e| e.to_string())?;
        let limits = declared.map_or_else(Limits::default, |declared| declared.limits);
        let pin = declared.and_then(|declared| declared.sha256);
        self.host.load(name, source, limits, pin).await.map_err(|e| e.to_string())
    }

    pub(super) async fn change(
        &self,
        live: &Arc<Live>,
        change: Change,
        effect: Effect,
        tenant: Option<Arc<str>>,
    ) -> Result<Changed, ChangeError> {
        let Some(loaded) = self.good() else {
            return Err(ChangeError::Unavailable("no configuration is live yet".to_owned()));
        };
        let id = change.id().clone();
        let webhooks = self.api();
        let known = webhooks.iter().find(|webhook| webhook.id == id).cloned();
        // Checked here, where changes come one after the other: the caller may have seen an older snapshot.
        if let (Some(tenant), Some(known)) = (&tenant, &known)
            && known.tenant() != Some(&**tenant)
        {
            return Err(match change {
                Change::Create { .. } | Change::Replace { .. } => ChangeError::Exists,
                Change::Patch { .. } | Change::Delete { .. } => ChangeError::Unknown,
            });
        }
        let declared = loaded.settings.webhooks.get(&id);
        if let Some(declared) = declared
            && !(matches!(change, Change::Delete { .. }) && known.is_some())
        {
            return Err(ChangeError::Declared(declared.place.clone()));
        }
        let body = match (change, &known) {
            (Change::Create { .. }, Some(_)) => return Err(ChangeError::Exists),
            (Change::Patch { .. } | Change::Delete { .. }, None) => return Err(ChangeError::Unknown),
            (Change::Delete { .. }, Some(known)) => return self.delete(live, &loaded, known).await,
            (Change::Create { body, .. } | Change::Replace { body, .. }, _) => body,
            (Change::Patch { patch, .. }, Some(known)) => {
                let mut whole = Value::Object(known.body.clone());
                merge(&mut whole, Value::Object(patch));
                match whole {
                    Value::Object(body) => body,
                    _ => Map::new(),
                }
            }
        };
        if known.is_none() && webhooks.len() >= WEBHOOKS_MAX {
            return Err(ChangeError::Full(WEBHOOKS_MAX));
        }
        let now = self.clock.now();
        let created = known.as_ref().map_or(now, |known| known.created);
        let judged = loaded.api_webhook(&id, &body, (created, now), Judge::New).map_err(ChangeError::Invalid)?;
        if effect == Effect::DryRun {
            self.check_transform(live, &judged.settings.transform).await?;
            return Ok(Changed { snapshot: live.snapshot(), is_new: known.is_none() });
        }
        let webhook = ApiWebhook { id, body, created, updated: now };
        self.put(live, &loaded, webhook, judged, known.is_none()).await
    }

    /// What the build of a snapshot would say of these, without leaving anything behind.
    async fn check_transform(&self, live: &Live, steps: &[TransformStep]) -> Result<(), ChangeError> {
        for step in steps {
            let checked = match self.module(live, &step.name).await {
                Ok(module) => module.check(&step.options).await.map_err(|e| e.to_string()),
                Err(reason) => Err(reason),
            };
            if let Err(reason) = checked {
                let message = format!("the transformer `{}`: {reason}", step.name);
                return Err(ChangeError::Invalid(vec![FieldProblem { field: "/transform".to_owned(), message, help: None }]));
            }
        }
        Ok(())
    }

    async fn put(
        &self,
        live: &Arc<Live>,
        loaded: &Arc<Loaded>,
        mut webhook: ApiWebhook,
        judged: Judged,
        is_new: bool,
    ) -> Result<Changed, ChangeError> {
        let Judged { mut settings, fields } = judged;
        // The secret is stored where generated ones are, and only there.
        let secret = settings.secret.take();
        webhook.body.remove("secret");
        let id = webhook.id.clone();
        let mut settled = self.api_settings(live);
        settled.insert(id.clone(), settings);
        let given = secret.clone().map(|secret| (id.clone(), secret));
        let snapshot = self.built(live, loaded, &settled, given).await.map_err(|problem| problem.at(&fields))?;
        let Some(key) = snapshot.webhook(&id).map(|webhook| webhook.key) else {
            return Err(ChangeError::Unavailable("the webhook is missing from the snapshot that was built for it".to_owned()));
        };
        let secret = secret.map(|secret| Zeroizing::new(secret.expose().to_owned()));
        self.store.put_api_webhook(webhook.clone(), key, secret).await?;
        self.edit_api(|webhooks| {
            webhooks.retain(|other| other.id != id);
            webhooks.push(webhook);
        });
        self.go_live(live, snapshot, &id);
        self.status_board.restore(|deleted| deleted == key);
        let notice = if is_new { Notice::Created { webhook: id } } else { Notice::Updated { webhook: id } };
        self.raise(live, notice).await;
        Ok(Changed { snapshot: live.snapshot(), is_new })
    }

    /// What waits for it is cancelled by the dispatcher, as for one that config.toml no longer declares.
    async fn delete(&self, live: &Arc<Live>, loaded: &Arc<Loaded>, known: &ApiWebhook) -> Result<Changed, ChangeError> {
        let (id, tenant) = (known.id.clone(), known.tenant().map(str::to_owned));
        let mut settled = self.api_settings(live);
        settled.remove(&id);
        let snapshot = self.built(live, loaded, &settled, None).await.map_err(|problem| problem.at(&Fields::default()))?;
        // What config.toml declares under this id stays, with its secrets and its status.
        let is_declared = loaded.settings.webhooks.contains_key(&id);
        let key = if is_declared { None } else { self.store.webhook_key(id.clone()).await? };
        self.store.delete_api_webhook(id.clone(), key.unwrap_or(WebhookKey(0))).await?;
        self.edit_api(|webhooks| webhooks.retain(|other| other.id != id));
        if let Some(key) = key {
            // Before it is gone: an attempt that finds no webhook cancels its delivery instead of holding it.
            self.status_board.delete(key);
        }
        self.go_live(live, snapshot, &id);
        if let Some(key) = key {
            self.status_board.reset(key);
        }
        self.raise(live, Notice::Deleted { webhook: id, tenant }).await;
        Ok(Changed { snapshot: live.snapshot(), is_new: false })
    }

    /// An error of the files stays an error, and is still shown.
    fn go_live(&self, live: &Live, snapshot: Snapshot, id: &WebhookId) {
        let generation = snapshot.generation;
        let error = live.last_error();
        live.publish(snapshot);
        if let Some(error) = error {
            live.reject(error);
        }
        self.metrics.set_config_generation(generation);
        tracing::info!(generation, webhook = %id, "change made over the API is live");
    }

    /// As they are in the live snapshot.
    fn api_settings(&self, live: &Live) -> ApiSettings {
        let snapshot = live.snapshot();
        let made = snapshot.settings.webhooks.values().filter(|webhook| webhook.origin != Origin::Config);
        made.map(|webhook| (webhook.id.clone(), WebhookSettings::clone(webhook))).collect()
    }

    async fn built(
        &self,
        live: &Live,
        loaded: &Arc<Loaded>,
        settled: &ApiSettings,
        given: Option<(WebhookId, Secret)>,
    ) -> Result<Snapshot, NotBuilt> {
        let fingerprint = {
            let (loaded, modules) = (Arc::clone(loaded), modules(settled.values()));
            let work = tokio::task::spawn_blocking(move || fingerprint::of(&loaded, &modules));
            work.await.map_err(|e| NotBuilt::Unavailable(e.to_string()))?
        };
        let generation = live.snapshot().generation + 1;
        let parts = self.parts(loaded, settled, fingerprint, generation, given).await?;
        snapshot::build(parts, &self.host).await.map_err(NotBuilt::Problems)
    }

    /// What a snapshot of these is built from; `given` is a secret that the store does not have yet.
    pub(super) async fn parts(
        &self,
        loaded: &Loaded,
        settled: &ApiSettings,
        fingerprint: String,
        generation: u64,
        given: Option<(WebhookId, Secret)>,
    ) -> Result<Parts, ReloadError> {
        let settings = loaded.with_api(settled.values().cloned());
        self.rekey(&settings.storage.keys).await?;
        let client = self.client(&settings)?;
        let ids: Vec<WebhookId> = settings.webhooks.keys().cloned().collect();
        let keys = self.store.intern(ids.clone()).await?;
        let keys: HashMap<WebhookId, WebhookKey> = ids.into_iter().zip(keys).collect();
        let but = given.as_ref().map(|(id, _)| id);
        let mut secrets = self.generated_secrets(settings.webhooks.values().map(|webhook| &**webhook), &keys, but).await?;
        secrets.extend(given.map(|(id, secret)| (id, vec![LiveSecret::lasting(secret)])));
        let (status_board, loaded_at) = (Arc::clone(&self.status_board), self.clock.now());
        Ok(Parts { settings, fingerprint, generation, loaded_at, client, keys, secrets, status_board })
    }
}

enum NotBuilt {
    Problems(Vec<BuildProblem>),
    Reload(ReloadError),
    Unavailable(String),
}

impl From<ReloadError> for NotBuilt {
    fn from(error: ReloadError) -> Self {
        Self::Reload(error)
    }
}

impl NotBuilt {
    fn at(self, fields: &Fields) -> ChangeError {
        match self {
            Self::Problems(problems) => {
                let shown = problems.into_iter().map(|problem| FieldProblem {
                    field: fields.of_place(&problem.place),
                    message: problem.message,
                    help: problem.help,
                });
                ChangeError::Invalid(shown.collect())
            }
            Self::Reload(ReloadError::Store(error)) => ChangeError::Store(error),
            Self::Reload(error) => ChangeError::Unavailable(error.to_string()),
            Self::Unavailable(reason) => ChangeError::Unavailable(reason),
        }
    }
}

/// RFC 7396 §2.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(fields) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(whole) = target else { return };
    for (name, value) in fields {
        if value.is_null() {
            whole.remove(&name);
        } else {
            merge(whole.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::reloader;
    use super::*;
    use serde_json::json;

    /// The caller has seen a snapshot that may be older than this change.
    #[tokio::test]
    async fn whose_webhook_it_is_is_judged_where_changes_come_one_after_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let (reloader, live) = reloader(directory.path(), "").await;
        let id = || WebhookId::parse("w").unwrap();
        let body = |tenant: &str| match json!({"url": "https://example.com/hook", "events": ["*"], "tenant": tenant}) {
            Value::Object(body) => body,
            _ => Map::new(),
        };
        let by = async |tenant: Option<&str>, change| reloader.change(&live, change, Effect::Live, tenant.map(Arc::from)).await;
        assert!(by(Some("acme"), Change::Create { id: id(), body: body("acme") }).await.is_ok());
        for effect in [Effect::DryRun, Effect::Live] {
            let by_globex = async |change| reloader.change(&live, change, effect, Some("globex".into())).await.err();
            assert!(matches!(by_globex(Change::Patch { id: id(), patch: body("globex") }).await, Some(ChangeError::Unknown)));
            assert!(matches!(by_globex(Change::Replace { id: id(), body: body("globex") }).await, Some(ChangeError::Exists)));
            assert!(matches!(by_globex(Change::Create { id: id(), body: body("globex") }).await, Some(ChangeError::Exists)));
            assert!(matches!(by_globex(Change::Delete { id: id() }).await, Some(ChangeError::Unknown)));
        }
        let tenant = |live: &Live| live.snapshot().webhook(&id()).and_then(|webhook| webhook.settings.tenant.clone());
        assert_eq!(tenant(&live).as_deref(), Some("acme"), "nothing has changed");
        assert!(by(Some("acme"), Change::Delete { id: id() }).await.is_ok());
        assert!(by(None, Change::Create { id: id(), body: body("globex") }).await.is_ok(), "who has no tenant may make any");
    }

    /// RFC 7396, appendix A.
    #[test]
    fn patches_merge_as_the_rfc_says() {
        for (target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let mut whole = target.clone();
            merge(&mut whole, patch.clone());
            assert_eq!(whole, result, "{target} with {patch}");
        }
    }
}
