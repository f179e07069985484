//! One immutable snapshot of everything that a request or an attempt needs, and the place where the live one is
//! swapped. Refuses to read files or to decide what is valid: `reload` does, before anything is swapped.

mod build;
mod live;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use build::{BuildProblem, Parts, build};
pub use live::{ConfigError, ConfigProblem, Live};

use crate::config::{Settings, WebhookSettings};
use crate::model::{Event, Timestamp, Unmatched, WebhookId, WebhookKey};
use crate::outbound::Client;
use crate::routing::{FilterInput, Index};
use crate::signing::{Secret, Signer};
use crate::transform::{Module, Pipeline};

/// Near misses kept with an event: enough to explain it, bounded when thousands of filters say no.
const UNMATCHED_MAX: usize = 50;

/// A webhook with its live handles.
pub struct Webhook {
    pub settings: Arc<WebhookSettings>,
    pub key: WebhookKey,
    /// Given or generated; `None` when nothing is signed.
    pub secret: Option<Secret>,
    pub signer: Signer,
    pub pipeline: Option<Pipeline>,
}

pub struct Snapshot {
    /// 1 for the configuration that the process started with.
    pub generation: u64,
    pub fingerprint: String,
    pub loaded_at: Timestamp,
    pub settings: Arc<Settings>,
    pub client: Client,
    /// By name: every module that a webhook uses, and those that lie in `transformers/`.
    pub modules: HashMap<String, Arc<Module>>,
    /// Files in `transformers/` that no webhook uses and that cannot be, with the reason.
    pub broken: BTreeMap<String, String>,
    webhooks: Vec<Arc<Webhook>>,
    by_id: HashMap<WebhookId, usize>,
    by_key: HashMap<WebhookKey, usize>,
    index: Index,
}

/// Where an event goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Route {
    pub targets: Vec<WebhookKey>,
    /// Webhooks whose pattern matched and that still do not get it; the first [`UNMATCHED_MAX`].
    pub unmatched: Vec<Unmatched>,
}

impl Snapshot {
    /// In the order of their ids.
    pub fn webhooks(&self) -> &[Arc<Webhook>] {
        &self.webhooks
    }

    pub fn webhook(&self, id: &WebhookId) -> Option<&Arc<Webhook>> {
        self.by_id.get(id).map(|at| &self.webhooks[*at])
    }

    pub fn by_key(&self, key: WebhookKey) -> Option<&Arc<Webhook>> {
        self.by_key.get(&key).map(|at| &self.webhooks[*at])
    }

    /// Matches an event to webhooks: pattern, then switch and tenant, then filter.
    pub fn route(&self, event: &Event) -> Route {
        let mut candidates = Vec::new();
        self.index.matches(&event.kind, &mut candidates);
        let mut route = Route { targets: Vec::with_capacity(candidates.len()), unmatched: Vec::new() };
        let input = FilterInput::new(event);
        for at in candidates {
            let webhook = &self.webhooks[at];
            match refusal(&webhook.settings, event, &input) {
                None => route.targets.push(webhook.key),
                Some(reason) if route.unmatched.len() < UNMATCHED_MAX => {
                    route.unmatched.push(Unmatched { webhook: webhook.settings.id.to_string(), reason });
                }
                Some(_) => {}
            }
        }
        route
    }

    /// Why a webhook would not get an event now, its pattern included; `None` when it would.
    pub fn explain(&self, webhook: &Webhook, event: &Event) -> Option<String> {
        let settings = &webhook.settings;
        if !settings.events.iter().any(|pattern| pattern.matches(&event.kind)) {
            return Some(format!("none of its patterns matches `{}`", event.kind));
        }
        refusal(settings, event, &FilterInput::new(event))
    }
}

/// Why a webhook whose pattern matches does not get the event.
fn refusal(settings: &WebhookSettings, event: &Event, input: &FilterInput<'_>) -> Option<String> {
    if !settings.enabled {
        return Some("the webhook is disabled".to_owned());
    }
    if settings.tenant != event.tenant {
        let name = |tenant: &Option<Arc<str>>| tenant.as_ref().map_or("no tenant".to_owned(), |name| format!("tenant `{name}`"));
        return Some(format!("the event has {}, the webhook takes {}", name(&event.tenant), name(&settings.tenant)));
    }
    let filter = settings.filter.as_ref()?;
    filter.matches(input).err().map(|mismatch| format!("filter: {mismatch}"))
}
