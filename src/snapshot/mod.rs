//! One immutable snapshot of everything that a request or an attempt needs, and [`Live`], which swaps it. Reads no
//! configuration files and does not decide what is valid: `reload` does, before anything is swapped.

mod build;
mod derive;
mod live;
mod status_board;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use build::{BuildProblem, Parts, build, check_transformers};
pub use derive::{Unused, load_unused, with_secrets};
pub use live::{ConfigError, ConfigProblem, Live, StartedWith};
pub use status_board::StatusBoard;

use crate::config::{OrderBy, Settings, WebhookSettings};
use crate::model::{Event, Intake, Target, Timestamp, Unmatched, WebhookId, WebhookKey};
use crate::outbound::{Client, Egress};
use crate::routing::{FilterInput, Index};
use crate::signing::{LiveSecret, Secret, Signer};
use crate::transform::{Module, Pipeline};

/// Near misses stored with an event: enough to explain it, bounded when thousands of filters do not match.
const UNMATCHED_MAX: usize = 50;

/// A webhook with its live handles.
pub struct Webhook {
    pub settings: Arc<WebhookSettings>,
    pub key: WebhookKey,
    pub signer: Signer,
    /// What its requests leave with.
    pub egress: Egress,
    pub pipeline: Option<Pipeline>,
}

impl Webhook {
    /// Given or generated; `None` when nothing is signed.
    pub fn secret(&self) -> Option<&Secret> {
        self.signer.secrets().first().map(|newest| &newest.secret)
    }

    /// Those that it replaces and that still sign, newest first.
    pub fn previous_secrets(&self) -> &[LiveSecret] {
        self.signer.secrets().get(1..).unwrap_or_default()
    }
}

pub struct Snapshot {
    /// 1 for the configuration that the process started with.
    pub generation: u64,
    pub fingerprint: String,
    pub loaded_at: Timestamp,
    pub settings: Arc<Settings>,
    pub client: Client,
    /// How the API's listener speaks TLS; `None`: it does not.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// By name: every module that a webhook uses, and, once they are loaded, those that lie in `transformers/`.
    pub modules: HashMap<String, Arc<Module>>,
    /// Files in `transformers/` that no webhook uses and that cannot be, with the reason.
    pub broken: BTreeMap<String, String>,
    /// Shared by all snapshots: the status of a webhook survives reloads.
    pub status_board: Arc<StatusBoard>,
    /// In the order of their ids.
    webhooks: Vec<Arc<Webhook>>,
    by_key: Arc<HashMap<WebhookKey, u32>>,
    index: Arc<Index>,
}

/// Where an event goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Route {
    pub targets: Vec<Target>,
    /// Webhooks whose pattern matched and that still do not get it; the first [`UNMATCHED_MAX`].
    pub unmatched: Vec<Unmatched>,
}

impl Snapshot {
    /// In the order of their ids.
    pub fn webhooks(&self) -> &[Arc<Webhook>] {
        &self.webhooks
    }

    pub fn webhook(&self, id: &WebhookId) -> Option<&Arc<Webhook>> {
        self.webhooks.binary_search_by(|webhook| webhook.settings.id.cmp(id)).ok().map(|at| &self.webhooks[at])
    }

    pub fn by_key(&self, key: WebhookKey) -> Option<&Arc<Webhook>> {
        self.by_key.get(&key).map(|at| &self.webhooks[*at as usize])
    }

    /// Matches an event to webhooks: pattern, then switch and tenant, then filter.
    pub fn route(&self, event: &Event) -> Route {
        let mut candidates = Vec::new();
        self.index.matches(&event.kind, &mut candidates);
        let mut route = Route { targets: Vec::with_capacity(candidates.len()), ..Route::default() };
        let input = FilterInput::new(event);
        for at in candidates {
            let webhook = &self.webhooks[at];
            match self.refusal(webhook, event, &input) {
                None => {
                    route.targets.push(Target { webhook: webhook.key, intake: intake(&webhook.settings, &input) });
                }
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
        self.refusal(webhook, event, &FilterInput::new(event))
    }

    /// Whether both the configuration and the operator's switch enable it.
    pub fn is_enabled(&self, webhook: &Webhook) -> bool {
        webhook.settings.enabled && !self.status_board.is_disabled(webhook.key)
    }

    /// Why a webhook whose pattern matches does not get the event.
    fn refusal(&self, webhook: &Webhook, event: &Event, input: &FilterInput<'_>) -> Option<String> {
        if !webhook.settings.enabled {
            return Some("the webhook is disabled".to_owned());
        }
        if let Some(disabled) = self.status_board.status(webhook.key).disabled {
            return Some(format!("the webhook is disabled: {}", disabled.reason));
        }
        refusal(&webhook.settings, event, input)
    }
}

/// How an event enters the lane, if not by itself and at once.
fn intake(settings: &WebhookSettings, input: &FilterInput<'_>) -> Option<Intake> {
    if let Some(batch) = settings.lane.batch {
        return Some(Intake::Batched(batch));
    }
    let order = settings.lane.order.as_ref()?;
    let key = match &order.by {
        OrderBy::Webhook => "*".to_owned(),
        OrderBy::Field(path) => path.key(input)?,
    };
    Some(Intake::Ordered { key: key.into(), on_gap: order.on_gap })
}

fn refusal(settings: &WebhookSettings, event: &Event, input: &FilterInput<'_>) -> Option<String> {
    if settings.tenant != event.tenant {
        let name = |tenant: &Option<Arc<str>>| tenant.as_ref().map_or("no tenant".to_owned(), |name| format!("tenant `{name}`"));
        return Some(format!("the event has {}, the webhook takes {}", name(&event.tenant), name(&settings.tenant)));
    }
    let filter = settings.filter.as_ref()?;
    filter.matches(input).err().map(|mismatch| format!("filter: {mismatch}"))
}
