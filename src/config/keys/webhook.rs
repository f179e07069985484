//! One webhook: what `[defaults]` and `[webhooks.ID]` may set, and what a whole webhook has to satisfy. A webhook's keys
//! are read on top of what `[defaults]` gave, so that each key inherits without a word of its own.

pub(crate) mod rows;
mod values;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use self::rows::{DEFAULTS, ROWS, Read, WEBHOOK};
pub(crate) use self::values::line;
use super::fields::check_keys;
use super::lane;
use super::secret::Slips;
use crate::config::settings::{Location, Origin, WebhookPolicy, WebhookSettings};
use crate::config::text::report::{Report, quote};
use crate::config::text::tree::{Entry, Table};
use crate::model::{EndpointAuth, EndpointUrl, NetworkPolicy, TransformStep, WebhookEgress, WebhookId};
use crate::routing::Pattern;
use crate::signing::{LiveSecret, Secret, SignatureSpec, Signer};

/// What the keys that `[defaults]` may set come to, read so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct PolicyDraft {
    pub(crate) policy: WebhookPolicy,
    /// Where each stage of `transform` is declared.
    pub(crate) stages: Vec<Location>,
}

/// What the keys come to that only a webhook itself may set.
#[derive(Debug, Default)]
pub(crate) struct Own {
    url: Option<EndpointUrl>,
    events: Option<Vec<Pattern>>,
    secrets: Vec<Secret>,
    description: Option<String>,
    tenant: Option<String>,
    auth: Option<EndpointAuth>,
}

/// What the keys of one webhook are judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// With what the webhook's own `network` opens; `None` when that or `[network]` is wrong: then no URL is judged.
    network: Option<&'a NetworkPolicy>,
    slips: Slips,
}

impl PolicyDraft {
    pub(crate) fn certificate_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.policy.egress.files()
    }

    /// As a tenant's own webhook inherits it: without the operator's credentials and the addresses opened by it.
    pub(crate) fn for_a_tenant(&self) -> Self {
        let mut draft = self.clone();
        draft.policy.headers = Vec::new();
        draft.policy.egress = WebhookEgress::default();
        draft
    }
}

/// What judging a webhook takes besides its own table.
pub(crate) struct Surroundings<'a> {
    pub(crate) defaults: &'a PolicyDraft,
    /// `None` when `[network]` itself is wrong: then no URL can be judged.
    pub(crate) network: Option<&'a NetworkPolicy>,
    pub(crate) slips: Slips,
    /// Those of the webhooks before.
    pub(crate) policies: Policies,
    /// The transformers of webhooks that turned out to have problems.
    pub(crate) stages: Vec<(TransformStep, Location)>,
}

/// Policies that webhooks were seen to have, newest last, so that equal ones are one.
#[derive(Default)]
pub(crate) struct Policies(VecDeque<Arc<WebhookPolicy>>);

impl Policies {
    /// Compared with: files are written by people or from a template, and neither has many kinds of webhooks in turn.
    const COMPARED: usize = 8;

    fn share(&mut self, policy: WebhookPolicy) -> Arc<WebhookPolicy> {
        if let Some(known) = self.0.iter().rev().find(|known| ***known == policy) {
            return Arc::clone(known);
        }
        let policy = Arc::new(policy);
        if self.0.len() == Self::COMPARED {
            self.0.pop_front();
        }
        self.0.push_back(Arc::clone(&policy));
        policy
    }
}

/// `[defaults]`.
pub(crate) fn defaults(table: &Table, report: &mut Report) -> PolicyDraft {
    check_keys(table, &DEFAULTS, report);
    let mut draft = PolicyDraft::default();
    read_shared(table, &mut draft, report);
    lane::check_together(&mut draft.policy.lane, table, report);
    draft
}

fn read_shared(table: &Table, draft: &mut PolicyDraft, report: &mut Report) {
    for Entry { key, node } in table.entries() {
        if let Some(row) = ROWS.iter().find(|row| row.key.name == key.name)
            && let Read::Shared(read) = row.read
        {
            read(&row.key, node, draft, report);
        }
    }
}

/// `[webhooks.ID]`, on top of the defaults; `None` when something is wrong with it (reported).
pub(crate) fn webhook(
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
    let mut draft = around.defaults.clone();
    read_shared(table, &mut draft, report);
    let network = around.network.map(|network| {
        let opened = draft.policy.egress.allow.iter();
        NetworkPolicy { allow: network.allow.iter().chain(opened).copied().collect(), ..*network }
    });
    let rules = Rules { network: network.as_ref(), slips: around.slips };
    let mut own = Own::default();
    for Entry { key, node } in table.entries() {
        if let Some(row) = ROWS.iter().find(|row| row.key.name == key.name)
            && let Read::Own { read, .. } = row.read
        {
            read(&row.key, node, &mut own, rules, report);
        }
    }
    for row in ROWS.iter().filter(|row| row.key.required && table.get(row.key.name).is_none()) {
        let name = row.key.name;
        if !meant.contains(&name) && !report.sources.is_broken(entry.key.span.file) {
            let message = format!("the webhook {} has no `{name}`", quote(&entry.key.name));
            report.error(entry.key.span, message).help(format!("add {name} = {}", row.key.shown_example()));
        }
    }
    let PolicyDraft { mut policy, stages } = draft;
    let known = around.stages.len();
    around.stages.extend(policy.transform.iter().cloned().zip(stages.iter().cloned()));
    // The whole attempt ends at `timeout` anyway.
    policy.connect_timeout = policy.connect_timeout.min(policy.timeout);
    policy.egress.auth = own.auth;
    lane::check_together(&mut policy.lane, table, report);
    let mut secrets = own.secrets.into_iter();
    let settings = WebhookSettings {
        id: id?,
        url: own.url?,
        events: own.events?.into(),
        transform_places: stages.into(),
        description: own.description.map(Into::into),
        secret: secrets.next(),
        previous_secrets: secrets.collect(),
        tenant: own.tenant.map(Arc::from),
        place: report.sources.place(entry.key.span),
        origin: Origin::Config,
        policy: around.policies.share(policy),
    };
    check_together(&settings, table, entry, report);
    // A webhook with an error is never used, but what was built of it made the checks above possible.
    let good = report.errors() == errors_before;
    if good {
        around.stages.truncate(known);
    }
    good.then_some(settings)
}

/// What no key alone can be blamed for.
fn check_together(settings: &WebhookSettings, table: &Table, entry: &Entry, report: &mut Report) {
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
