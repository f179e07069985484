//! The validated settings: what the other modules see of config.toml.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::config::keys::event_types::EventTypeSettings;
use crate::config::keys::protection::ProtectionSettings;
use crate::model::{
    BatchPolicy, BreakerPolicy, EndpointUrl, EventType, Limits, NetworkEgress, NetworkPolicy, OnFailure, Rate, RetryPolicy,
    StorageKeys, Timestamp, TransformStep, WebhookEgress, WebhookId,
};
use crate::routing::{FieldPath, Filter, Pattern};
use crate::signing::{Scheme, Secret, SignatureSpec};

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub server: ServerSettings,
    /// Empty on a loopback listener: an admin token is made at first start.
    pub tokens: Vec<TokenSettings>,
    pub storage: StorageSettings,
    pub retention: RetentionSettings,
    pub network: NetworkPolicy,
    pub network_egress: NetworkEgress,
    /// Shared by every snapshot that they are the same in.
    pub webhooks: Arc<BTreeMap<WebhookId, Arc<WebhookSettings>>>,
    pub transformers: BTreeMap<String, TransformerSettings>,
    pub event_types: BTreeMap<EventType, EventTypeSettings>,
    /// `transformers/` beside config.toml, whether it exists or not.
    pub transformers_dir: PathBuf,
}

impl Settings {
    /// Certificates and keys, each a file that is watched like config.toml itself.
    pub fn certificate_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.network_egress.ca_file.iter().chain(self.webhooks.values().flat_map(|webhook| webhook.egress.files()))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServerSettings {
    pub listen: SocketAddr,
    /// Bytes of one event as published; default 1 MiB.
    pub max_event_size: usize,
    /// How long attempts may finish after SIGTERM; default 10 s.
    pub shutdown_grace: Duration,
    pub protection: ProtectionSettings,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TokenSettings {
    /// Its TOML key, for the audit log.
    pub name: String,
    pub token: Secret,
    pub scopes: Vec<Scope>,
    /// Sees and manages only what is this tenant's; `None`: everything.
    pub tenant: Option<Arc<str>>,
    pub place: Location,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Publish,
    Read,
    /// Implies the others.
    Manage,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StorageSettings {
    /// Absolute, or relative to the working directory; a relative one in the file is meant from the file's directory.
    pub path: PathBuf,
    /// What secrets at rest are sealed with.
    pub keys: StorageKeys,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RetentionSettings {
    pub events: Duration,
    pub failed: Duration,
    /// How long the deliveries of a webhook that disappeared from the file are held before they are cancelled; default 1 h.
    pub removed: Duration,
    /// The audit log; default 90 d.
    pub audit: Duration,
}

/// One webhook, `[defaults]` already merged in. What it has in common with others is its [`WebhookPolicy`], whose fields are
/// read as if they were its own.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookSettings {
    pub id: WebhookId,
    pub url: EndpointUrl,
    pub events: Box<[Pattern]>,
    /// Where each stage was declared (a default's is in `[defaults]`): as many as `transform` has.
    pub transform_places: Box<[Location]>,
    /// `None`: one is generated and stored, unless nothing is signed.
    pub secret: Option<Secret>,
    /// Those that it replaces: they sign too, newest first.
    pub previous_secrets: Box<[Secret]>,
    pub description: Option<Box<str>>,
    pub tenant: Option<Arc<str>>,
    pub place: Location,
    pub origin: Origin,
    pub policy: Arc<WebhookPolicy>,
}

/// How a webhook's deliveries are made. Equal ones are one in memory: of a hundred thousand webhooks most have the same.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookPolicy {
    pub filter: Option<Filter>,
    /// The pipeline, first stage first; empty without a transformer.
    pub transform: Vec<TransformStep>,
    /// Empty: `"none"`.
    pub signature: Arc<[SignatureSpec]>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub enabled: bool,
    pub retry: RetryPolicy,
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub concurrency: usize,
    pub lane: LanePolicy,
    pub egress: WebhookEgress,
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

impl Default for WebhookPolicy {
    /// What a webhook has that sets nothing, under a file that has no `[defaults]`.
    fn default() -> Self {
        Self {
            filter: None,
            transform: Vec::new(),
            signature: Arc::new([SignatureSpec::new(Scheme::STANDARD)]),
            headers: Vec::new(),
            enabled: true,
            retry: RetryPolicy::default(),
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            concurrency: 10,
            lane: LanePolicy::default(),
            egress: WebhookEgress::default(),
            metadata: serde_json::Map::new(),
        }
    }
}

impl Default for LanePolicy {
    fn default() -> Self {
        let disable_after = Some(Duration::from_secs(5 * 24 * 60 * 60));
        Self { rate_limit: None, batch: None, order: None, breaker: None, disable_after, expire_after: None }
    }
}

impl Deref for WebhookSettings {
    type Target = WebhookPolicy;

    fn deref(&self) -> &WebhookPolicy {
        &self.policy
    }
}

/// Who declared a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Config,
    Api {
        created: Timestamp,
        updated: Timestamp,
        /// Why it is disabled: it was valid when it was made, and is not under this configuration.
        suspended: Option<String>,
    },
}

/// What a webhook's lane does with its work.
#[derive(Debug, Clone, PartialEq)]
pub struct LanePolicy {
    pub rate_limit: Option<Rate>,
    /// Never beside `order`.
    pub batch: Option<BatchPolicy>,
    pub order: Option<OrderPolicy>,
    pub breaker: Option<BreakerPolicy>,
    /// Of nothing but failures; default 5 d.
    pub disable_after: Option<Duration>,
    /// Deliveries older than this are given up.
    pub expire_after: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OrderPolicy {
    pub by: OrderBy,
    pub on_gap: OnFailure,
}

#[derive(Debug, Clone, PartialEq)]
pub enum OrderBy {
    /// `"*"`: all deliveries of the webhook, one after the other.
    Webhook,
    /// Those of each value; an event without one has no order.
    Field(FieldPath),
}

#[derive(Debug, Clone, PartialEq)]
pub struct TransformerSettings {
    /// `None`: the file of that name in `transformers_dir`, or the built-in.
    pub path: Option<PathBuf>,
    pub sha256: Option<[u8; 32]>,
    pub limits: Limits,
    pub place: Location,
}

/// Where something was declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Shared by all places of the file.
    pub file: Arc<Path>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// Bytes that it covers.
    pub length: u32,
}
