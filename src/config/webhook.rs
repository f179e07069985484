//! One webhook: what `[defaults]` and `[webhooks.ID]` may say, each checked, and how the two are merged.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::egress;
use super::headers::{self, Header};
use super::json::{self, span_at};
use super::lane;
use super::mask::show_url;
use super::read::{self, Keys, check_keys};
use super::report::{Report, quote};
use super::retry;
use super::settings::{Origin, WebhookSettings};
use super::transform::{self, Pipeline};
use super::tree::{Entry, Node, Table, Value};
use crate::model::{EndpointUrl, NetworkPolicy, RetryOn, RetryPolicy, Schedule, StatusSet, WebhookEgress, WebhookId, WebhookTls};
use crate::routing::{Filter, Pattern};
use crate::signing::{LiveSecret, Scheme, Secret, SignatureSpec, Signer};

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

const PATTERNS_MAX: usize = 1_000;
const TEXT_CHARS_MAX: usize = 1_000;
const TENANT_CHARS_MAX: usize = 200;
/// During a rotation there are two; each costs an HMAC over the whole body.
const SECRETS_MAX: usize = 5;
const METADATA_BYTES_MAX: usize = 16 << 10;

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
}

/// `[defaults]`.
pub(super) fn defaults(table: &Table, report: &mut Report) -> Policy {
    check_keys(table, &DEFAULTS, report);
    let policy = policy(table, report);
    lane::check_together(&policy.lane.clone().merged(&lane::Lane::default()), table, report);
    policy
}

/// `[webhooks.ID]`, merged with the defaults; `None` when something is wrong with it (reported).
pub(super) fn webhook(entry: &Entry, table: &Table, around: &Surroundings<'_>, report: &mut Report) -> Option<WebhookSettings> {
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
    let auth = table.get("auth").and_then(|entry| egress::webhook_auth(&entry.node, report));
    let merged = merged(id?, url?, events?, own, around.defaults, entry, report);
    let settings = WebhookSettings {
        description,
        secret: secrets.next(),
        previous_secrets: secrets.collect(),
        tenant: tenant.map(Arc::from),
        egress: WebhookEgress { auth, ..merged.egress },
        ..merged
    };
    check_together(&settings, table, entry, report);
    // A webhook with an error is never used, but what was built of it made the checks above possible.
    (report.errors() == errors_before).then_some(settings)
}

fn merged(
    id: WebhookId,
    url: EndpointUrl,
    events: Vec<Pattern>,
    own: Policy,
    defaults: &Policy,
    entry: &Entry,
    report: &mut Report,
) -> WebhookSettings {
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
    WebhookSettings {
        id,
        url,
        events,
        filter: own.filter.or_else(|| defaults.filter.clone()),
        transform,
        transform_places,
        secret: None,
        previous_secrets: Vec::new(),
        signature: own.signature.or_else(|| defaults.signature.clone()).unwrap_or_else(standard),
        headers,
        enabled: own.enabled.or(defaults.enabled).unwrap_or(true),
        description: None,
        tenant: None,
        retry,
        timeout,
        // The whole attempt ends at `timeout` anyway.
        connect_timeout: connect_timeout.min(timeout),
        concurrency: own.concurrency.or(defaults.concurrency).unwrap_or(CONCURRENCY_DEFAULT),
        lane: own.lane.merged(&defaults.lane),
        egress: WebhookEgress {
            allow: own.allow.or_else(|| defaults.allow.clone()).unwrap_or_default(),
            tls: own.tls.or_else(|| defaults.tls.clone()).unwrap_or_default(),
            auth: None,
        },
        metadata: own.metadata.or_else(|| defaults.metadata.clone()).unwrap_or_default(),
        place: report.sources.place(entry.key.span),
        origin: Origin::Config,
    }
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
    if let (Some(secret), true) = (table.get("secret"), settings.signature.is_empty()) {
        report.warning(secret.key.span, "`secret` is not used: signature is \"none\"");
    }
    if let (Some(entry), Some(secret)) = (table.get("secret"), &settings.secret) {
        let all = std::iter::once(secret).chain(&settings.previous_secrets);
        let secrets: Vec<LiveSecret> = all.cloned().map(LiveSecret::lasting).collect();
        if secrets.iter().any(|live| live.secret.is_asymmetric())
            && let Err(error) = Signer::new(&settings.signature, &secrets)
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

fn url(node: &Node, network: Option<&NetworkPolicy>, report: &mut Report) -> Option<EndpointUrl> {
    const EXAMPLE: &str = "write scheme and host, as in \"https://example.com/hook\"";
    let text = read::string(node, "url", "https://example.com/hook", report)?;
    let value = text.value();
    let foreign = text.expanded.is_some();
    let shown = if foreign { "what `${…}` comes to".to_owned() } else { quote(&show_url(value)) };
    let url = match Url::parse(value) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            // `localhost:9000/x` parses as the scheme `localhost`.
            let help = if value.contains("://") { "only https and http are delivered to" } else { EXAMPLE };
            report.error(node.span, format!("`url` is not an http or https URL: {shown}")).help(help);
            return None;
        }
        Ok(url) => url,
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            report.error(node.span, format!("`url` is not an absolute URL: {shown}")).help(EXAMPLE);
            return None;
        }
        Err(error) => {
            report.error(node.span, format!("`url` is not a valid URL: {shown}: {error}")).help(EXAMPLE);
            return None;
        }
    };
    if let Some(Err(refused)) = network.map(|network| network.check_url(&url)) {
        let message = format!("`url` is refused: {refused}");
        let secret_parts = [url.username(), url.password().unwrap_or_default(), url.path(), url.query().unwrap_or_default()];
        // Host and scheme may be said, also of a URL from the environment; the rest may be a credential.
        let leaks = foreign && secret_parts.iter().any(|part| part.len() > 3 && message.contains(part));
        let message = if leaks { format!("`url` is refused for {shown}") } else { message };
        report.error(node.span, message);
        return None;
    }
    Some(EndpointUrl::new(url))
}

fn events(node: &Node, report: &mut Report) -> Option<Vec<Pattern>> {
    let count = read::array(node, "events", "[\"order.*\"]", report)?.len();
    if count == 0 {
        report
            .error(node.span, "`events` is empty, so that the webhook would receive nothing")
            .help("name event types, as in [\"order.*\"]; [\"*\"] is all of them");
        return None;
    }
    if !read::at_most(count, PATTERNS_MAX, "patterns", node, report) {
        return None;
    }
    let mut patterns: Vec<Pattern> = Vec::with_capacity(count);
    for (text, node) in read::strings(node, "events", "order.*", report)? {
        match Pattern::parse(text.value()) {
            Ok(pattern) => {
                if patterns.contains(&pattern) {
                    report.warning(node.span, "this pattern stands in the list twice");
                }
                patterns.push(pattern);
            }
            Err(error) => {
                report.error_about(node.span, [node], "`events`:", &error.to_string());
            }
        }
    }
    (patterns.len() == count).then_some(patterns)
}

/// The parser's path leads back to the part of the file that it complains about.
fn filter(node: &Node, report: &mut Report) -> Option<Filter> {
    read::table(node, "filter", "{ data = { severity = \"high\" } }", report)?;
    let json = json::to_json(node, report)?;
    match Filter::parse(&json) {
        Ok(filter) => Some(filter),
        Err(errors) => {
            for error in errors {
                let span = span_at(node, &error.path, report);
                report.error_about(span, [node], "`filter`:", &error.problem);
            }
            None
        }
    }
}

/// One secret, or several of which the first is the newest: all of them sign.
fn secrets(node: &Node, report: &mut Report) -> Option<Vec<Secret>> {
    let Value::Array(nodes) = &node.value else { return Some(vec![secret(node, report)?]) };
    if nodes.is_empty() {
        report.error(node.span, "`secret` is an empty list").help("leave it out to have one generated");
        return None;
    }
    if !read::at_most(nodes.len(), SECRETS_MAX, "secrets", node, report) {
        return None;
    }
    let secrets: Vec<Option<Secret>> = nodes.iter().map(|node| secret(node, report)).collect();
    secrets.into_iter().collect()
}

fn secret(node: &Node, report: &mut Report) -> Option<Secret> {
    let text = read::string(node, "secret", "${OPS_SECRET}", report)?;
    match Secret::parse(text.value()) {
        Ok(secret) => Some(secret),
        Err(error) => {
            // Whatever the parser says, the secret is not in it.
            let problem = error.to_string();
            let shows =
                super::report::leaks(&problem.replace("whsec_", "").replace("whsk_", "").replace("whpk_", ""), text.value());
            if shows {
                report
                    .error(node.span, "`secret` cannot be used to sign")
                    .help("write whsec_ and base64, or any text of your own");
            } else {
                report.error(node.span, format!("`secret`: {problem}"));
            }
            None
        }
    }
}

pub(super) fn line(node: &Node, key: &str, chars_max: usize, report: &mut Report) -> Option<String> {
    let text = read::string(node, key, "acme", report)?;
    let value = text.value();
    let count = value.chars().count();
    if value.trim().is_empty() || count > chars_max || value.chars().any(|c| c.is_control() && c != '\n') {
        report.error(node.span, format!("`{key}` must be 1 to {chars_max} characters, none of them a control character"));
        return None;
    }
    Some(value.to_owned())
}

fn metadata(node: &Node, report: &mut Report) -> Option<serde_json::Map<String, serde_json::Value>> {
    let table = match &node.value {
        Value::Table(table) => table,
        _ => {
            read::mismatch(node, "metadata", "a table such as { team = \"sre\" }", report);
            return None;
        }
    };
    let map = json::table_to_json(table, report)?;
    let size = serde_json::to_string(&map).map_or(0, |text| text.len());
    if size > METADATA_BYTES_MAX {
        report.error(node.span, format!("`metadata` has {size} bytes as JSON, at most {METADATA_BYTES_MAX} are allowed"));
        return None;
    }
    Some(map)
}
