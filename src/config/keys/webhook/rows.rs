//! The registry of a webhook's keys: one row per key says what it is, who may set it, how it is read and how it is
//! shown. `[defaults]`, the parser's messages, the JSON Schema, the API document, answers of the API, flags of the command
//! line and the tables of docs/config.md follow from these rows.

use std::time::Duration;

use serde_json::Value as Json;

use super::values::{events, filter, line, metadata, secrets, url};
use super::{Own, PolicyDraft, Rules};
use crate::config::keys::egress::{self, AUTH, WEBHOOK_NETWORK, WEBHOOK_TLS};
use crate::config::keys::headers::{self, HEADERS_MAX, SIGNATURE, SIGNATURES_MAX};
use crate::config::keys::key::{Key, Keys, Kind};
use crate::config::keys::lane::{self, BATCH, BREAKER, DISABLE_AFTER, EXPIRE_AFTER, ORDER};
use crate::config::keys::retry::{self, RETRY};
use crate::config::keys::transform::{self, STAGE, STAGES_MAX};
use crate::config::keys::{headers::SCHEME, read};
use crate::config::settings::WebhookSettings;
use crate::config::show;
use crate::config::text::report::Report;
use crate::config::text::tree::Node;
use crate::model::TENANT_CHARS_MAX;

/// A key of a webhook, with all that is known of it.
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) read: Read,
    /// As the API and `plan` show it, without anything secret; `None`: not among what is shown.
    pub(crate) show: fn(&WebhookSettings) -> Option<Json>,
}

/// Who may set a key, and how its value is read.
#[derive(Clone, Copy)]
pub(crate) enum Read {
    /// `[defaults]` too. A value that is refused changes nothing: the problem is reported.
    Shared(fn(&Key, &Node, &mut PolicyDraft, &mut Report)),
    /// The webhook alone; why `[defaults]` may not.
    Own { why: &'static str, read: fn(&Key, &Node, &mut Own, Rules<'_>, &mut Report) },
}

const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// A receiver that needs longer should answer 202 and work afterwards.
const TIMEOUT_MAX: Duration = Duration::from_secs(10 * 60);
const TEXT_CHARS_MAX: usize = 1_000;
pub(super) const PATTERNS_MAX: usize = 1_000;
/// During a rotation there are two; each costs an HMAC over the whole body.
pub(super) const SECRETS_MAX: usize = 5;

static STATUSES: Kind = Kind::List(&Kind::Status, 1, 1_000);
static CAUSES: Kind = Kind::Either(&[Kind::Choice(&["network", "timeout"]), Kind::Status]);

const fn shared(
    key: Key,
    read: fn(&Key, &Node, &mut PolicyDraft, &mut Report),
    show: fn(&WebhookSettings) -> Option<Json>,
) -> Row {
    Row { key, read: Read::Shared(read), show }
}

const fn own(
    key: Key,
    why: &'static str,
    read: fn(&Key, &Node, &mut Own, Rules<'_>, &mut Report),
    show: fn(&WebhookSettings) -> Option<Json>,
) -> Row {
    Row { key, read: Read::Own { why, read }, show }
}

const COUNT: usize = 26;

/// In the order of the documentation.
static ALL: [Row; COUNT] = [
    own(
        Key::new("url", Kind::Text, "The endpoint: absolute, https (http only inside `network.allow`), no user name or password")
            .required()
            .example("\"https://…\"")
            .aliases(&["endpoint", "endpoint_url", "target", "uri"]),
        "each webhook has its own",
        |_, node, own, rules, report| own.url = url(node, rules.network, report),
        |webhook| Some(webhook.url.masked().into()),
    ),
    own(
        Key::new(
            "events",
            Kind::List(&Kind::Pattern, 1, PATTERNS_MAX),
            "Which event types it receives: `*` is one part of a dotted name, `**` any number of parts, a bare `*` everything",
        )
        .required()
        .example("[\"order.*\"], or [\"*\"] for all")
        .aliases(&["event", "event_types", "types", "topics", "filter_types"]),
        "each webhook says itself what it receives",
        |_, node, own, _, report| own.events = events(node, report),
        |webhook| Some(webhook.events.iter().map(|pattern| pattern.as_str()).collect()),
    ),
    shared(
        Key::new("filter", Kind::Filter, "Only events that satisfy these conditions on id, type, timestamp, data, metadata, tenant")
            .link("filter"),
        |_, node, draft, report| set(&mut draft.policy.filter, filter(node, report).map(Some)),
        |webhook| Some(webhook.filter.as_ref().map_or(Json::Null, |filter| filter.as_json().clone())),
    ),
    shared(
        Key::new(
            "transform",
            Kind::Either(&[Kind::Text, Kind::Table(&STAGE), Kind::List(&STAGE_OR_NAME, 0, STAGES_MAX)]),
            "The transformers that make the request, first to last",
        )
        .default("[]")
        .link("transform")
        .aliases(&["transformer", "transformers"]),
        |_, node, draft, report| {
            if let Some((steps, places)) = transform::transform(node, report) {
                (draft.policy.transform, draft.stages) = (steps, places);
            }
        },
        |webhook| Some(show::transform(webhook)),
    ),
    own(
        Key::new(
            "secret",
            Kind::Either(&[Kind::Text, Kind::List(&Kind::Text, 1, SECRETS_MAX)]),
            "What signs the requests: `whsec_` and base64, `whsk_` and an Ed25519 key, or any text; a list signs with all, newest first",
        )
        .default_words("generated, and stored")
        .link("secret")
        .aliases(&["signing_secret"]),
        "with one secret for all, each receiver could sign for the others",
        |_, node, own, rules, report| own.secrets = secrets(node, rules.slips, report).unwrap_or_default(),
        |_| None,
    ),
    shared(
        Key::new(
            "signature",
            Kind::Either(&[SCHEME, Kind::Table(&SIGNATURE), Kind::List(&ONE_SIGNATURE, 1, SIGNATURES_MAX)]),
            "How requests are signed; a list sends several signatures",
        )
        .default("standard")
        .link("signature")
        .aliases(&["signing"]),
        |_, node, draft, report| set(&mut draft.policy.signature, headers::signature(node, report).map(Into::into)),
        |webhook| Some(show::signature(&webhook.signature)),
    ),
    shared(
        Key::new("headers", Kind::Texts(HEADERS_MAX), "Sent with every request; added to those of `[defaults]`, name by name")
            .default("{}")
            .link("headers")
            .aliases(&["header", "custom_headers"]),
        |_, node, draft, report| {
            for header in headers::headers(node, report).unwrap_or_default() {
                let headers = &mut draft.policy.headers;
                headers.retain(|(name, _)| *name != header.name);
                headers.push((header.name, header.value));
            }
        },
        |webhook| Some(show::headers(&webhook.headers)),
    ),
    shared(
        Key::new("enabled", Kind::Boolean, "`false`: its deliveries are held, and events published in that time are not delivered to it")
            .default("true")
            .link("breaker-disable_after")
            .aliases(&["disabled"]),
        |_, node, draft, report| set(&mut draft.policy.enabled, read::boolean(node, "enabled", report)),
        |webhook| Some(webhook.enabled.into()),
    ),
    own(
        Key::new("description", Kind::Line(TEXT_CHARS_MAX), "For people").aliases(&["name"]),
        "it describes one webhook",
        |_, node, own, _, report| own.description = line(node, "description", TEXT_CHARS_MAX, report),
        |webhook| Some(webhook.description.as_deref().into()),
    ),
    own(
        Key::new("tenant", Kind::Line(TENANT_CHARS_MAX), "Receives only events of this tenant; without it only events that have none")
            .aliases(&["tenant_id"]),
        "a webhook that forgot its tenant would silently receive another's events",
        |_, node, own, _, report| own.tenant = line(node, "tenant", TENANT_CHARS_MAX, report),
        |webhook| Some(webhook.tenant.as_deref().into()),
    ),
    shared(
        Key::new("retry", Kind::Table(&RETRY), "When a failed attempt is repeated").default("{}").link("retry-retry_on-success").aliases(&["retries"]),
        |_, node, draft, report| {
            if let Some((schedule, jitter)) = retry::retry(node, report) {
                (draft.policy.retry.schedule, draft.policy.retry.jitter) = (schedule, jitter);
            }
        },
        |webhook| Some(show::retry(&webhook.retry)),
    ),
    shared(
        Key::new("retry_on", Kind::List(&CAUSES, 0, 1_000), "Which failures are retried")
            .default("[\"network\", \"timeout\", \"408\", \"425\", \"429\", \"5xx\"]")
            .link("retry-retry_on-success"),
        |_, node, draft, report| set(&mut draft.policy.retry.on, retry::retry_on(node, report)),
        |webhook| Some(show::retry_on(&webhook.retry)),
    ),
    shared(
        Key::new("success", STATUSES, "Which statuses count as delivered").default("[\"2xx\"]").link("retry-retry_on-success"),
        |_, node, draft, report| set(&mut draft.policy.retry.success, retry::success(node, report)),
        |webhook| Some(show::statuses(&webhook.retry.success).into()),
    ),
    shared(
        Key::new(
            "timeout",
            Kind::Duration(TIMEOUT_MIN, TIMEOUT_MAX),
            "For a whole attempt; waiting for a free instance of a transformer is not counted",
        )
        .default("5s"),
        |key, node, draft, report| set(&mut draft.policy.timeout, key.duration("timeout", node, report)),
        |webhook| Some(show::duration(webhook.timeout).into()),
    ),
    shared(
        Key::new("connect_timeout", Kind::Duration(TIMEOUT_MIN, TIMEOUT_MAX), "Until the connection is open; never more than `timeout`")
            .default("2s"),
        |key, node, draft, report| set(&mut draft.policy.connect_timeout, key.duration("connect_timeout", node, report)),
        |webhook| Some(show::duration(webhook.connect_timeout).into()),
    ),
    shared(
        Key::new(
            "concurrency",
            Kind::Integer(1, 1_000),
            "Attempts in flight; across all webhooks 4,096, and as they fill up, each webhook's share shrinks",
        )
        .default("10")
        .aliases(&["max_concurrency"]),
        |key, node, draft, report| {
            let number = key.integer("concurrency", node, report).and_then(|number| usize::try_from(number).ok());
            set(&mut draft.policy.concurrency, number);
        },
        |webhook| Some(webhook.concurrency.into()),
    ),
    shared(
        Key::new("network", Kind::Table(&WEBHOOK_NETWORK), "Networks opened for this webhook alone, beside those of `[network] allow`"),
        |_, node, draft, report| set(&mut draft.policy.egress.allow, egress::webhook_network(node, report)),
        |webhook| show::network(&webhook.egress),
    ),
    shared(
        Key::new("tls", Kind::Table(&WEBHOOK_TLS), "Certificates, on either side").link("tls"),
        |_, node, draft, report| set(&mut draft.policy.egress.tls, egress::webhook_tls(node, report)),
        |webhook| show::tls(&webhook.egress.tls),
    ),
    own(
        Key::new("auth", Kind::Table(&AUTH), "Credentials for the endpoint: one of these")
            .link("auth")
            .aliases(&["authentication", "authorization"]),
        "each endpoint would learn what the others' credentials are",
        |_, node, own, rules, report| own.auth = egress::webhook_auth(node, rules.network, rules.slips, report),
        |webhook| webhook.egress.auth.as_ref().map(show::auth),
    ),
    shared(
        Key::new("metadata", Kind::Free, "Shown in the API, never sent; at most 16 KiB as JSON").default("{}").aliases(&["labels"]),
        |_, node, draft, report| set(&mut draft.policy.metadata, metadata(node, report)),
        |webhook| Some(webhook.metadata.clone().into()),
    ),
    shared(
        Key::new("rate_limit", Kind::Rate, "Attempts per time, evenly spread: `\"50/s\"`, `\"600/m\"`, `\"10/h\"`, `\"100/d\"`")
            .or_false()
            .link("rate_limit")
            .aliases(&["throttle", "rate"]),
        |_, node, draft, report| set(&mut draft.policy.lane.rate_limit, lane::optional(node, report, lane::rate)),
        |webhook| Some(webhook.lane.rate_limit.map(|rate| rate.to_string()).into()),
    ),
    shared(
        Key::new("batch", Kind::Either(&[Kind::Table(&BATCH), Kind::True]), "One request for many events; `true` takes the defaults")
            .or_false()
            .link("batch"),
        |_, node, draft, report| set(&mut draft.policy.lane.batch, lane::optional(node, report, lane::batch)),
        |webhook| Some(show::batch(&webhook.lane)),
    ),
    shared(
        Key::new(
            "order_by",
            Kind::Either(&[Kind::Text, Kind::Table(&ORDER)]),
            "Deliveries with the same value of this field go one after the other; `*` is the whole webhook",
        )
        .or_false()
        .link("order_by")
        .aliases(&["ordering", "ordered_by"]),
        |_, node, draft, report| set(&mut draft.policy.lane.order, lane::optional(node, report, lane::order)),
        |webhook| Some(show::order(&webhook.lane)),
    ),
    shared(
        Key::new(
            "breaker",
            Kind::Either(&[Kind::Table(&BREAKER), Kind::True]),
            "Stops attempts at an endpoint that fails, and probes it; `true` takes the defaults",
        )
        .or_false()
        .link("breaker-disable_after")
        .aliases(&["circuit_breaker"]),
        |_, node, draft, report| set(&mut draft.policy.lane.breaker, lane::optional(node, report, lane::breaker)),
        |webhook| Some(show::breaker(&webhook.lane)),
    ),
    shared(
        Key::new("disable_after", DISABLE_AFTER, "Disables the webhook after this long with nothing but failures")
            .default("5d")
            .or_false()
            .link("breaker-disable_after"),
        |key, node, draft, report| {
            let read = lane::optional(node, report, |node, report| key.duration("disable_after", node, report));
            set(&mut draft.policy.lane.disable_after, read);
        },
        |webhook| Some(webhook.lane.disable_after.map(show::duration).into()),
    ),
    shared(
        Key::new(
            "expire_after",
            EXPIRE_AFTER,
            "Gives up a delivery that is older than this when its turn comes, or whose next attempt would be later",
        )
        .example("1d")
        .or_false()
        .link("expire_after")
        .aliases(&["ttl"]),
        |key, node, draft, report| {
            let read = lane::optional(node, report, |node, report| key.duration("expire_after", node, report));
            set(&mut draft.policy.lane.expire_after, read);
        },
        |webhook| Some(webhook.lane.expire_after.map(show::duration).into()),
    ),
];

/// Parts of the product that this version does not have: refused by name; none of them, `false`, is what it has.
const LATER: [Key; 4] =
    [Key::later("max_pending"), Key::later("overflow"), Key::later("threshold").or_false(), Key::later("success_if").or_false()];

static STAGE_OR_NAME: Kind = Kind::Either(&[Kind::Text, Kind::Table(&STAGE)]);
static ONE_SIGNATURE: Kind = Kind::Either(&[SCHEME, Kind::Table(&SIGNATURE)]);

pub(crate) static ROWS: &[Row] = &ALL;

/// What `[webhooks.ID]` may have.
pub(crate) static WEBHOOK: Keys = Keys::new("a webhook", &WEBHOOK_KEYS);
static WEBHOOK_KEYS: [Key; COUNT + LATER.len()] = {
    let mut keys = [LATER[0]; COUNT + LATER.len()];
    let mut at = 0;
    while at < keys.len() {
        keys[at] = if at < COUNT { ALL[at].key } else { LATER[at - COUNT] };
        at += 1;
    }
    keys
};

/// What `[defaults]` may have: all that a webhook can inherit.
pub(crate) static DEFAULTS: Keys = Keys::new("[defaults]", &DEFAULT_KEYS).refusing(&REFUSED);
const OWN: usize = {
    let (mut count, mut at) = (0, 0);
    while at < COUNT {
        count += matches!(ALL[at].read, Read::Own { .. }) as usize;
        at += 1;
    }
    count
};
static DEFAULT_KEYS: [Key; COUNT - OWN + LATER.len()] = {
    let mut keys = [LATER[0]; COUNT - OWN + LATER.len()];
    let (mut to, mut at) = (0, 0);
    while at < COUNT + LATER.len() {
        if at >= COUNT {
            keys[to] = LATER[at - COUNT];
            to += 1;
        } else if matches!(ALL[at].read, Read::Shared(_)) {
            keys[to] = ALL[at].key;
            to += 1;
        }
        at += 1;
    }
    keys
};
static REFUSED: [(&str, &str); OWN] = {
    let mut refused = [("", ""); OWN];
    let (mut to, mut at) = (0, 0);
    while at < COUNT {
        if let Read::Own { why, .. } = ALL[at].read {
            refused[to] = (ALL[at].key.name, why);
            to += 1;
        }
        at += 1;
    }
    refused
};

fn set<T>(slot: &mut T, read: Option<T>) {
    if let Some(value) = read {
        *slot = value;
    }
}
