//! One webhook: what `[defaults]` and `[webhooks.ID]` may say, each checked, and how the two are merged.

mod values;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub(super) use self::values::line;
use self::values::{events, filter, metadata, secrets, url};
use super::egress;
use super::headers::{self, Header};
use super::lane;
use super::read::{self, Keys, check_keys};
use super::report::{Report, quote};
use super::retry;
use super::settings::{Origin, Place, WebhookPolicy, WebhookSettings};
use super::transform::{self, Pipeline};
use super::tree::{Entry, Table};
use crate::model::{
    EndpointAuth, NetworkPolicy, RetryOn, RetryPolicy, Schedule, StatusSet, TENANT_CHARS_MAX, WebhookEgress, WebhookId,
    WebhookTls,
};
use crate::routing::Filter;
use crate::signing::{LiveSecret, Scheme, SignatureSpec, Signer};

/// Keys that a default can be given for.
pub(super) const SHARED: [&str; 20] = [
    "filter",
    "transform",
    "signature",
    "headers",
    "enabled",
    "retry",
    "retry_on",
    "success",
    "timeout",
    "connect_timeout",
    "concurrency",
    "network",
    "tls",
    "metadata",
    "rate_limit",
    "batch",
    "order_by",
    "breaker",
    "disable_after",
    "expire_after",
];

const LATER: &[&str] = &[];

const ALIASES: &[(&str, &str)] = &[
    ("endpoint", "url"),
    ("endpoint_url", "url"),
    ("target", "url"),
    ("uri", "url"),
    ("event", "events"),
    ("event_types", "events"),
    ("types", "events"),
    ("topics", "events"),
    ("filter_types", "events"),
    ("transformer", "transform"),
    ("transformers", "transform"),
    ("signing", "signature"),
    ("signing_secret", "secret"),
    ("retries", "retry"),
    ("header", "headers"),
    ("custom_headers", "headers"),
    ("disabled", "enabled"),
    ("max_concurrency", "concurrency"),
    ("name", "description"),
    ("tenant_id", "tenant"),
    ("labels", "metadata"),
    ("throttle", "rate_limit"),
    ("rate", "rate_limit"),
    ("circuit_breaker", "breaker"),
    ("ordering", "order_by"),
    ("ordered_by", "order_by"),
    ("ttl", "expire_after"),
    ("authentication", "auth"),
    ("authorization", "auth"),
];

pub(super) const WEBHOOK: Keys = Keys {
    table: "a webhook",
    known: &[
        "url",
        "events",
        "filter",
        "transform",
        "secret",
        "signature",
        "headers",
        "enabled",
        "description",
        "retry",
        "retry_on",
        "success",
        "timeout",
        "connect_timeout",
        "concurrency",
        "network",
        "tls",
        "auth",
        "tenant",
        "metadata",
        "rate_limit",
        "batch",
        "order_by",
        "breaker",
        "disable_after",
        "expire_after",
    ],
    later: LATER,
    elsewhere: &[],
    refused: &[],
    aliases: ALIASES,
};

pub(super) const DEFAULTS: Keys =
    Keys { table: "[defaults]", known: &SHARED, later: LATER, elsewhere: &[], refused: &NO_DEFAULT, aliases: ALIASES };

/// Why each of the others has no default.
const NO_DEFAULT: [(&str, &str); 6] = [
    ("auth", "each endpoint would learn what the others' credentials are"),
    ("url", "each webhook has its own"),
    ("events", "each webhook says itself what it receives"),
    ("secret", "with one secret for all, each receiver could sign for the others"),
    ("tenant", "a webhook that forgot its tenant would silently receive another's events"),
    ("description", "it describes one webhook"),
];

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// A receiver that needs longer should answer 202 and work afterwards.
const TIMEOUT_MAX: Duration = Duration::from_secs(10 * 60);

const CONCURRENCY_DEFAULT: usize = 10;
const CONCURRENCY_MAX: i64 = 1_000;

const TEXT_CHARS_MAX: usize = 1_000;

/// The keys of [`SHARED`], as far as a table sets them.
#[derive(Debug, Default, Clone)]
pub(super) struct Policy {
    filter: Option<Filter>,
    transform: Option<Pipeline>,
    signature: Option<Vec<SignatureSpec>>,
    headers: Vec<Header>,
    enabled: Option<bool>,
    retry: Option<(Schedule, f64)>,
    retry_on: Option<RetryOn>,
    success: Option<StatusSet>,
    timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    concurrency: Option<usize>,
    allow: Option<Vec<IpNet>>,
    tls: Option<WebhookTls>,
    metadata: Option<serde_json::Map<String, serde_json::Value>>,
    lane: lane::Lane,
}

impl Policy {
    pub(super) fn certificate_files(&self) -> impl Iterator<Item = &PathBuf> {
        let files = self.tls.iter().flat_map(|tls| [&tls.ca_file, &tls.cert_file, &tls.key_file]);
        files.filter_map(Option::as_ref)
    }

    /// As a tenant's own webhook inherits it: without the operator's credentials and the addresses opened by it.
    pub(super) fn for_a_tenant(&self) -> Self {
        Self { headers: Vec::new(), allow: None, tls: None, ..self.clone() }
    }
}

/// What judging a webhook takes besides its own table.
pub(super) struct Surroundings<'a> {
    pub(super) defaults: &'a Policy,
    /// `None` when `[network]` itself is wrong: then no URL can be judged.
    pub(super) network: Option<&'a NetworkPolicy>,
    /// Those of the webhooks before.
    pub(super) policies: Policies,
}

/// Policies that webhooks were seen to have, newest last, so that equal ones are one.
#[derive(Default)]
pub(super) struct Policies(VecDeque<Arc<WebhookPolicy>>);

impl Policies {
    /// Compared with: files are written by hand or from a template, and neither has many kinds of webhooks in turn.
    const KEPT: usize = 8;

    fn share(&mut self, policy: WebhookPolicy) -> Arc<WebhookPolicy> {
        if let Some(known) = self.0.iter().rev().find(|known| ***known == policy) {
            return Arc::clone(known);
        }
        let policy = Arc::new(policy);
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Arc::clone(&policy));
        policy
    }
}

/// `[defaults]`.
pub(super) fn defaults(table: &Table, report: &mut Report) -> Policy {
    check_keys(table, &DEFAULTS, report);
    let policy = policy(table, report);
    lane::check_together(&policy.lane.clone().merged(&lane::Lane::default()), table, report);
    policy
}

/// `[webhooks.ID]`, merged with the defaults; `None` when something is wrong with it (reported).
pub(super) fn webhook(
    entry: &Entry,
    table: &Table,
    around: &mut Surroundings<'_>,
    report: &mut Report,
) -> Option<WebhookSettings> {
    let errors_before = report.errors();
    let meant = check_keys(table, &WEBHOOK, report);
    let id = match WebhookId::parse(&entry.key.name) {
        Ok(id) => Some(id),
        Err(error) => {
            report.error(entry.key.span, error.to_string());
            None
        }
    };
    let missing = |key: &'static str, help: &str, report: &mut Report| {
        if !meant.contains(&key) && !report.sources.is_broken(entry.key.span.file) {
            report.error(entry.key.span, format!("the webhook {} has no `{key}`", quote(&entry.key.name))).help(help);
        }
    };
    let own = policy(table, report);
    let network = around.network.map(|network| {
        let allow = own.allow.as_ref().or(around.defaults.allow.as_ref()).into_iter().flatten();
        NetworkPolicy { allow: network.allow.iter().chain(allow).copied().collect(), ..*network }
    });
    let url = match table.get("url") {
        Some(entry) => url(&entry.node, network.as_ref(), report),
        None => {
            missing("url", "add url = \"https://…\"", report);
            None
        }
    };
    let events = match table.get("events") {
        Some(entry) => events(&entry.node, report),
        None => {
            missing("events", "add events = [\"order.*\"], or [\"*\"] for all", report);
            None
        }
    };
    let mut secrets = table.get("secret").and_then(|entry| secrets(&entry.node, report)).unwrap_or_default().into_iter();
    let description = table.get("description").and_then(|entry| line(&entry.node, "description", TEXT_CHARS_MAX, report));
    let tenant = table.get("tenant").and_then(|entry| line(&entry.node, "tenant", TENANT_CHARS_MAX, report));
    let auth = table.get("auth").and_then(|entry| egress::webhook_auth(&entry.node, network.as_ref(), report));
    let (policy, transform_places) = merged(own, around.defaults, auth);
    let settings = WebhookSettings {
        id: id?,
        url: url?,
        events: events?.into(),
        transform_places: transform_places.into(),
        description: description.map(Into::into),
        secret: secrets.next(),
        previous_secrets: secrets.collect(),
        tenant: tenant.map(Arc::from),
        place: report.sources.place(entry.key.span),
        origin: Origin::Config,
        policy: around.policies.share(policy),
    };
    check_together(&settings, table, entry, report);
    // A webhook with an error is never used, but what was built of it made the checks above possible.
    (report.errors() == errors_before).then_some(settings)
}

fn merged(own: Policy, defaults: &Policy, auth: Option<EndpointAuth>) -> (WebhookPolicy, Vec<Place>) {
    let builtin = RetryPolicy::default();
    let (schedule, jitter) = own.retry.or_else(|| defaults.retry.clone()).unwrap_or((builtin.schedule, builtin.jitter));
    let retry = RetryPolicy {
        schedule,
        jitter,
        on: own.retry_on.or(defaults.retry_on).unwrap_or(builtin.on),
        success: own.success.or(defaults.success).unwrap_or(builtin.success),
    };
    let timeout = own.timeout.or(defaults.timeout).unwrap_or(TIMEOUT_DEFAULT);
    let connect_timeout = own.connect_timeout.or(defaults.connect_timeout).unwrap_or(CONNECT_TIMEOUT_DEFAULT);
    let (transform, transform_places) = own.transform.or_else(|| defaults.transform.clone()).unwrap_or_default();
    let inherited = defaults.headers.iter().filter(|default| !own.headers.iter().any(|header| header.name == default.name));
    let headers = inherited.chain(&own.headers).map(|header| (header.name.clone(), header.value.clone())).collect();
    let standard = || vec![SignatureSpec::new(Scheme::Standard)];
    let policy = WebhookPolicy {
        filter: own.filter.or_else(|| defaults.filter.clone()),
        transform,
        signature: own.signature.or_else(|| defaults.signature.clone()).unwrap_or_else(standard).into(),
        headers,
        enabled: own.enabled.or(defaults.enabled).unwrap_or(true),
        retry,
        timeout,
        // The whole attempt ends at `timeout` anyway.
        connect_timeout: connect_timeout.min(timeout),
        concurrency: own.concurrency.or(defaults.concurrency).unwrap_or(CONCURRENCY_DEFAULT),
        lane: own.lane.merged(&defaults.lane),
        egress: WebhookEgress {
            allow: own.allow.or_else(|| defaults.allow.clone()).unwrap_or_default(),
            tls: own.tls.or_else(|| defaults.tls.clone()).unwrap_or_default(),
            auth,
        },
        metadata: own.metadata.or_else(|| defaults.metadata.clone()).unwrap_or_default(),
    };
    (policy, transform_places)
}

/// What no key alone can be blamed for.
fn check_together(settings: &WebhookSettings, table: &Table, entry: &Entry, report: &mut Report) {
    lane::check_together(&settings.lane, table, report);
    let signed = |name: &http::HeaderName| {
        let plain = name.as_str().strip_suffix("-previous").unwrap_or(name.as_str());
        settings.signature.iter().map(SignatureSpec::signature_header).any(|header| header == *name || header == plain)
    };
    if let Some((name, _)) = settings.headers.iter().find(|(name, _)| signed(name)) {
        let at = table.get("headers").or(table.get("signature")).map_or(entry.key.span, |entry| entry.key.span);
        report
            .error(at, format!("the header `{name}` is set, and the signature goes there too"))
            .help("remove the header, or give the signature another one: { scheme = \"…\", header = \"…\" }");
    }
    if let Some(entry) = table.get("auth")
        && settings.headers.iter().any(|(name, _)| *name == http::header::AUTHORIZATION)
    {
        report.error(entry.key.span, "`auth` and the header `Authorization` are both set").help("remove one of them");
    }
    if let Some(entry) = table.get("auth")
        && signed(&http::header::AUTHORIZATION)
    {
        report
            .error(entry.key.span, "`auth` is set, and a signature goes to the header `Authorization` too, where only one can be")
            .help("give the signature another header: { scheme = \"…\", header = \"X-My-Signature\" }");
    }
    if let (Some(secret), true) = (table.get("secret"), settings.signature.is_empty()) {
        report.warning(secret.key.span, "`secret` is not used: signature is \"none\"");
    }
    if let (Some(entry), Some(secret)) = (table.get("secret"), &settings.secret) {
        let all = std::iter::once(secret).chain(&settings.previous_secrets);
        let secrets: Vec<LiveSecret> = all.cloned().map(LiveSecret::lasting).collect();
        if secrets.iter().any(|live| live.secret.is_asymmetric())
            && let Err(error) = Signer::new(Arc::clone(&settings.signature), secrets)
        {
            // Its words name the dialect, never the key.
            report.error(entry.node.span, format!("`secret`: {error}"));
        }
    }
}

/// The keys of [`SHARED`] in a table.
fn policy(table: &Table, report: &mut Report) -> Policy {
    let mut policy = Policy::default();
    for Entry { key, node } in table.entries() {
        match key.name.as_str() {
            "filter" => policy.filter = filter(node, report),
            "transform" => policy.transform = transform::transform(node, report),
            "signature" => policy.signature = headers::signature(node, report),
            "headers" => policy.headers = headers::headers(node, report).unwrap_or_default(),
            "enabled" => policy.enabled = read::boolean(node, "enabled", report),
            "retry" => policy.retry = retry::retry(node, report),
            "retry_on" => policy.retry_on = retry::retry_on(node, report),
            "success" => policy.success = retry::success(node, report),
            "timeout" => policy.timeout = read::duration(node, "timeout", TIMEOUT_MIN..=TIMEOUT_MAX, "5s", report),
            "connect_timeout" => {
                policy.connect_timeout = read::duration(node, "connect_timeout", TIMEOUT_MIN..=TIMEOUT_MAX, "2s", report);
            }
            "concurrency" => {
                let number = read::integer(node, "concurrency", 1..=CONCURRENCY_MAX, 10, report);
                policy.concurrency = number.and_then(|number| usize::try_from(number).ok());
            }
            "network" => policy.allow = egress::webhook_network(node, report),
            "tls" => policy.tls = egress::webhook_tls(node, report),
            "metadata" => policy.metadata = metadata(node, report),
            key if lane::KEYS.contains(&key) => policy.lane.read(key, node, report),
            _ => debug_assert!(!SHARED.contains(&key.name.as_str()), "a shared key that nobody reads"),
        }
    }
    policy
}
