//! Settings into a snapshot: every module compiled and asked to check its options, every signer keyed, the index
//! built. All problems at once; nothing goes live before all of it is whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Snapshot, Switchboard, Webhook};
use crate::config::{Place, Settings, WebhookSettings};
use crate::model::{Limits, Timestamp, WebhookId, WebhookKey};
use crate::outbound::Client;
use crate::routing::Index;
use crate::signing::{InvalidSecret, LiveSecret, Signer};
use crate::transform::{self, Host, Module, Pipeline, Source};

/// What a snapshot is built from, beside the settings.
pub struct Parts {
    pub settings: Settings,
    /// Of the configuration files; the modules' own hashes are added to it.
    pub fingerprint: String,
    pub generation: u64,
    pub loaded_at: Timestamp,
    pub client: Client,
    pub keys: HashMap<WebhookId, WebhookKey>,
    /// Kept secrets of webhooks that have none of their own, newest first.
    pub secrets: HashMap<WebhookId, Vec<LiveSecret>>,
    pub switchboard: Arc<Switchboard>,
}

/// Time that one module may take over all checks of a configuration: a formatter takes 50 µs for each, and a module that is
/// slow in them, by design or by mistake, must not hold up the reload of a thousand webhooks.
const CHECKS_TIME_MAX: Duration = Duration::from_secs(10);

/// Something that only shows when handles are made.
#[derive(Debug)]
pub struct BuildProblem {
    pub place: Place,
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
    modules.load_the_unused().await;
    let (mut good, mut broken) = (HashMap::new(), BTreeMap::new());
    for (name, loaded) in modules.loaded {
        match loaded {
            Ok(module) => drop(good.insert(name, module)),
            Err(error) => drop(broken.insert(name, error)),
        }
    }
    Ok(Snapshot { tls, ..assemble(parts, webhooks, good, broken) })
}

/// All that sign, newest first.
fn live_secrets(settings: &WebhookSettings, kept: &HashMap<WebhookId, Vec<LiveSecret>>) -> Vec<LiveSecret> {
    match &settings.secret {
        Some(secret) => std::iter::once(secret).chain(&settings.previous_secrets).cloned().map(LiveSecret::lasting).collect(),
        None => kept.get(&settings.id).cloned().unwrap_or_default(),
    }
}

fn assemble(
    parts: Parts,
    webhooks: Vec<Arc<Webhook>>,
    modules: HashMap<String, Arc<Module>>,
    broken: BTreeMap<String, String>,
) -> Snapshot {
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
        switchboard: parts.switchboard,
        broken,
        webhooks,
        by_key: Arc::new(by_key),
        index: Arc::new(index),
    }
}

/// The live configuration, signing with the secrets that are kept now. Reads no file and compiles nothing, so that it
/// works whatever state the files are in.
///
/// # Errors
/// A webhook that could not sign with them, with the reason.
pub fn resign(current: &Snapshot, secrets: &HashMap<WebhookId, Vec<LiveSecret>>) -> Result<Snapshot, (WebhookId, InvalidSecret)> {
    let mut webhooks = Vec::with_capacity(current.webhooks.len());
    for webhook in &current.webhooks {
        let kept = match secrets.get(&webhook.settings.id) {
            Some(kept) if webhook.settings.secret.is_none() => kept,
            _ => {
                webhooks.push(Arc::clone(webhook));
                continue;
            }
        };
        let signer = Signer::new(Arc::clone(&webhook.settings.signature), kept.clone());
        let signer = signer.map_err(|e| (webhook.settings.id.clone(), e))?;
        webhooks.push(Arc::new(Webhook {
            settings: Arc::clone(&webhook.settings),
            key: webhook.key,
            signer,
            egress: webhook.egress.clone(),
            pipeline: webhook.pipeline.clone(),
        }));
    }
    Ok(Snapshot {
        generation: current.generation + 1,
        fingerprint: current.fingerprint.clone(),
        loaded_at: current.loaded_at,
        settings: Arc::clone(&current.settings),
        client: current.client.clone(),
        tls: current.tls.clone(),
        modules: current.modules.clone(),
        broken: current.broken.clone(),
        switchboard: Arc::clone(&current.switchboard),
        webhooks,
        by_key: Arc::clone(&current.by_key),
        index: Arc::clone(&current.index),
    })
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
            let place = webhook.transform_places.get(at).unwrap_or(&webhook.place).clone();
            let module = match self.module(&step.name).await {
                Ok(module) => module,
                Err(message) => {
                    problems.push(BuildProblem { place, message, help: None });
                    continue;
                }
            };
            if let Err(message) = self.check(&module, &step.options).await {
                problems.push(BuildProblem { place, message, help: None });
                continue;
            }
            stages.push((module, Arc::from(step.options.as_str())));
        }
        Some(Pipeline { stages })
    }

    async fn check(&mut self, module: &Module, options: &str) -> Result<(), String> {
        let key = (module.name().to_owned(), options.to_owned());
        if let Some(known) = self.checked.get(&key) {
            return known.clone();
        }
        let spent = self.spent.entry(module.name().to_owned()).or_default();
        if *spent > CHECKS_TIME_MAX {
            return Err(format!(
                "transformer `{}` took over {} s to check options: it is not asked any more in this reload",
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

    /// Files in `transformers/` that no webhook names yet: they are there to be used, and one that is broken is said to be
    /// so before anyone does.
    async fn load_the_unused(&mut self) {
        for (name, source) in transform::available(&self.settings.transformers_dir) {
            if matches!(source, Source::File(_)) {
                let _ = self.module(&name).await;
            }
        }
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
        let declared = self.settings.transformers.get(name);
        let path = declared.and_then(|declared| declared.path.as_deref());
        let source = transform::resolve(name, &self.settings.transformers_dir, path).map_err(|e| e.to_string())?;
        let limits = declared.map_or_else(Limits::default, |declared| declared.limits);
        let pin = declared.and_then(|declared| declared.sha256);
        self.host.load(name, source, limits, pin).await.map_err(|e| e.to_string())
    }
}
