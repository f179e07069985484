//! Builds a snapshot from settings: compiles every module and lets it check its options, keys every signer, builds the
//! index. Reports all problems at once; nothing goes live before all of it is whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Snapshot, StatusBoard, Webhook};
use crate::config::{Location, Problems, Settings, WebhookSettings};
use crate::model::{Limits, Timestamp, TransformStep, WebhookId, WebhookKey};
use crate::outbound::Client;
use crate::routing::Index;
use crate::signing::{LiveSecret, Signer};
use crate::transform::{self, Host, Module, Pipeline};

/// What a snapshot is built from, beside the settings.
pub struct Parts {
    pub settings: Settings,
    /// Of the configuration files; the modules' own hashes are added to it.
    pub fingerprint: String,
    pub generation: u64,
    pub loaded_at: Timestamp,
    pub client: Client,
    pub keys: HashMap<WebhookId, WebhookKey>,
    /// Stored secrets of webhooks that have none of their own, newest first.
    pub secrets: HashMap<WebhookId, Vec<LiveSecret>>,
    pub status_board: Arc<StatusBoard>,
}

/// Time that one module may take over all checks of a configuration: a formatter takes 50 µs for each, and a module that is
/// slow in them, by design or by mistake, must not hold up the reload of a thousand webhooks.
const CHECKS_TIME_MAX: Duration = Duration::from_secs(10);

/// A problem that only shows when handles are made.
#[derive(Debug)]
pub struct BuildProblem {
    pub place: Location,
    pub message: String,
    pub help: Option<String>,
}

pub async fn build(parts: Parts, host: &Host) -> Result<Snapshot, Vec<BuildProblem>> {
    let mut problems = Vec::new();
    let mut modules =
        Modules { settings: &parts.settings, host, loaded: HashMap::new(), checked: HashMap::new(), spent: HashMap::new() };
    let mut webhooks = Vec::with_capacity(parts.settings.webhooks.len());
    for settings in parts.settings.webhooks.values() {
        let Some(key) = parts.keys.get(&settings.id) else { continue };
        let secrets = live_secrets(settings, &parts.secrets);
        let signer = Signer::new(Arc::clone(&settings.signature), secrets)
            .map_err(|e| problems.push(BuildProblem { place: settings.place.clone(), message: e.to_string(), help: None }));
        let egress = parts
            .client
            .egress(&settings.egress)
            .map_err(|e| problems.push(BuildProblem { place: settings.place.clone(), message: e.to_string(), help: None }));
        let pipeline = modules.pipeline(settings, &mut problems).await;
        if let (Ok(signer), Ok(egress)) = (signer, egress) {
            webhooks.push(Arc::new(Webhook { settings: Arc::clone(settings), key: *key, signer, egress, pipeline }));
        }
    }
    let tls = parts.settings.server.protection.tls.as_ref().map(super::tls::server).transpose();
    let tls = tls.unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    if !problems.is_empty() {
        return Err(problems);
    }
    // One that could not be loaded is a problem, and there is none.
    let good = modules.loaded.into_iter().filter_map(|(name, loaded)| Some((name, loaded.ok()?))).collect();
    Ok(Snapshot { tls, ..assemble(parts, webhooks, good) })
}

/// What is wrong with the transformers of a configuration that is refused for other reasons: people get all problems at
/// once.
pub async fn check_transformers(problems: Problems, host: &Host) -> Problems {
    let draft = Arc::clone(&problems.draft);
    let settings = &draft.settings;
    let mut modules = Modules { settings, host, loaded: HashMap::new(), checked: HashMap::new(), spent: HashMap::new() };
    let mut found = Vec::new();
    for webhook in settings.webhooks.values() {
        modules.pipeline(webhook, &mut found).await;
    }
    for (step, place) in &draft.unread_stages {
        modules.stage(step, place, &mut found).await;
    }
    problems.with_later(found.into_iter().map(|problem| (problem.place, problem.message, problem.help)))
}

/// All secrets that sign, newest first.
fn live_secrets(settings: &WebhookSettings, stored: &HashMap<WebhookId, Vec<LiveSecret>>) -> Vec<LiveSecret> {
    match &settings.secret {
        Some(secret) => std::iter::once(secret).chain(&settings.previous_secrets).cloned().map(LiveSecret::lasting).collect(),
        None => stored.get(&settings.id).cloned().unwrap_or_default(),
    }
}

fn assemble(parts: Parts, webhooks: Vec<Arc<Webhook>>, modules: HashMap<String, Arc<Module>>) -> Snapshot {
    let by_key: HashMap<WebhookKey, u32> = (0..).zip(&webhooks).map(|(at, webhook)| (webhook.key, at)).collect();
    let index = Index::new(webhooks.iter().enumerate().map(|(at, webhook)| (at, &*webhook.settings.events)));
    Snapshot {
        generation: parts.generation,
        fingerprint: parts.fingerprint,
        loaded_at: parts.loaded_at,
        settings: Arc::new(parts.settings),
        client: parts.client,
        tls: None,
        modules,
        status_board: parts.status_board,
        broken: BTreeMap::new(),
        webhooks,
        by_key: Arc::new(by_key),
        index: Arc::new(index),
    }
}

/// Each module is loaded once, however many webhooks use it; so is its failure.
struct Modules<'a> {
    settings: &'a Settings,
    host: &'a Host,
    loaded: HashMap<String, Result<Arc<Module>, String>>,
    /// By module and options: a thousand webhooks usually have few.
    checked: HashMap<(String, String), Result<(), String>>,
    /// Over checks, by module.
    spent: HashMap<String, Duration>,
}

impl Modules<'_> {
    async fn pipeline(&mut self, webhook: &WebhookSettings, problems: &mut Vec<BuildProblem>) -> Option<Pipeline> {
        if webhook.transform.is_empty() {
            return None;
        }
        let mut stages = Vec::with_capacity(webhook.transform.len());
        for (at, step) in webhook.transform.iter().enumerate() {
            let place = webhook.transform_places.get(at).unwrap_or(&webhook.place);
            stages.extend(self.stage(step, place, problems).await);
        }
        Some(Pipeline { stages })
    }

    /// One stage with its options checked; `None` when it is refused.
    async fn stage(
        &mut self,
        step: &TransformStep,
        place: &Location,
        problems: &mut Vec<BuildProblem>,
    ) -> Option<(Arc<Module>, Arc<str>)> {
        let checked = match self.module(&step.name).await {
            Ok(module) => self.check(&module, &step.options).await.map(|()| module),
            Err(message) => Err(message),
        };
        match checked {
            Ok(module) => Some((module, Arc::from(step.options.as_str()))),
            Err(message) => {
                problems.push(BuildProblem { place: place.clone(), message, help: None });
                None
            }
        }
    }

    async fn check(&mut self, module: &Module, options: &str) -> Result<(), String> {
        let key = (module.name().to_owned(), options.to_owned());
        if let Some(known) = self.checked.get(&key) {
            return known.clone();
        }
        let spent = self.spent.entry(module.name().to_owned()).or_default();
        if *spent > CHECKS_TIME_MAX {
            return Err(format!(
                "transformer `{}` took over {} s to check options: it is not called any more in this reload",
                module.name(),
                CHECKS_TIME_MAX.as_secs()
            ));
        }
        let started = Instant::now();
        let result = module.check(options).await.map_err(|error| error.to_string());
        *spent += started.elapsed();
        self.checked.insert(key, result.clone());
        result
    }

    async fn module(&mut self, name: &str) -> Result<Arc<Module>, String> {
        if let Some(known) = self.loaded.get(name) {
            return known.clone();
        }
        let result = self.load(name).await;
        self.loaded.insert(name.to_owned(), result.clone());
        result
    }

    async fn load(&self, name: &str) -> Result<Arc<Module>, String> {
        load(self.settings, self.host, name).await
    }
}

/// The module of this name, as these settings declare it.
pub(super) async fn load(settings: &Settings, host: &Host, name: &str) -> Result<Arc<Module>, String> {
    let declared = settings.transformers.get(name);
    let path = declared.and_then(|declared| declared.path.as_deref());
    let source = transform::resolve(name, &settings.transformers_dir, path).map_err(|e| e.to_string())?;
    let limits = declared.map_or_else(Limits::default, |declared| declared.limits);
    let pin = declared.and_then(|declared| declared.sha256);
    host.load(name, source, limits, pin).await.map_err(|e| e.to_string())
}
