//! A configuration as the API shows it, for comparison with another.

mod diff;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::config::{Origin, Settings, WebhookSettings};
use crate::http::shapes;
use crate::model::{EndpointAuth, OAuth2};
use crate::signing::Secret;

pub use diff::{Change, Diff, needs_restart};

/// What is shown of a configuration: nothing that a thief could use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EffectiveConfig {
    /// As `GET /v1/config` has it.
    pub fingerprint: String,
    /// The tables besides `[webhooks]` and `[defaults]`.
    pub tables: Map<String, Value>,
    /// The keys of each webhook, `[defaults]` merged in; `secret` is a preview, null when one is generated.
    pub webhooks: BTreeMap<String, Map<String, Value>>,
    /// Of each webhook, its hidden parts by key: equal exactly when the hidden values are.
    pub(crate) hidden: BTreeMap<String, Vec<(&'static str, Vec<u8>)>>,
    /// As `hidden`, of the tables: table, key, and what is hidden there.
    pub(crate) hidden_in_tables: Vec<(&'static str, String, Vec<u8>)>,
}

impl EffectiveConfig {
    /// Of what the files declare: webhooks made over the API are none of their business.
    pub fn of(settings: &Settings, fingerprint: String) -> Self {
        let declared = || settings.webhooks.iter().filter(|(_, webhook)| webhook.origin == Origin::Config);
        let webhooks = declared().map(|(id, webhook)| (id.to_string(), shown(webhook))).collect();
        let hidden = declared().map(|(id, webhook)| (id.to_string(), hidden(webhook))).collect();
        let hidden_in_tables = shapes::settings::hidden(settings);
        Self { fingerprint, tables: shapes::settings::tables(settings), webhooks, hidden, hidden_in_tables }
    }

    /// Keys whose shown values are equal, while what is hidden of them is not. `None` in `other` means unknown.
    pub fn hidden_changes(&self, other: &Self, webhook: &str) -> Vec<&'static str> {
        let (Some(ours), Some(theirs)) = (self.hidden.get(webhook), other.hidden.get(webhook)) else { return Vec::new() };
        ours.iter().zip(theirs).filter(|(a, b)| a.1 != b.1).map(|(a, _)| a.0).collect()
    }

    /// Keys of a table that are in both, shown as equal and not so.
    pub fn hidden_table_changes(&self, other: &Self, table: &str) -> Vec<&str> {
        let ours = self.hidden_in_tables.iter().filter(|(name, ..)| *name == table);
        let theirs = |key: &String| other.hidden_in_tables.iter().find(|(name, at, _)| *name == table && at == key);
        let differs = |(_, key, value): &&(_, String, Vec<u8>)| theirs(key).is_some_and(|(.., other)| other != value);
        ours.filter(differs).map(|(_, key, _)| key.as_str()).collect()
    }
}

/// The keys of one webhook; `secret` is a preview.
pub fn shown(webhook: &WebhookSettings) -> Map<String, Value> {
    let mut shape = shapes::webhook::declared(webhook);
    shape.remove("id");
    shape.insert("secret".to_owned(), json!(webhook.secret.as_ref().map(Secret::preview)));
    shape
}

/// What masking could make equal that is not.
fn hidden(webhook: &WebhookSettings) -> Vec<(&'static str, Vec<u8>)> {
    let headers: Vec<u8> = webhook
        .headers
        .iter()
        .flat_map(|(name, value)| [name.as_str().as_bytes(), b"\0", value.as_bytes(), b"\0"].concat())
        .collect();
    let options: Vec<u8> = webhook.transform.iter().flat_map(|step| [step.options.as_bytes(), b"\0"].concat()).collect();
    let secrets = webhook.secret.iter().chain(&webhook.previous_secrets);
    let secrets: Vec<u8> = secrets.flat_map(|secret| [secret.expose().as_bytes(), b"\0"].concat()).collect();
    vec![
        ("url", webhook.url.expose().as_str().as_bytes().to_vec()),
        ("headers", headers),
        ("transform", options),
        ("secret", secrets),
        ("auth", webhook.egress.auth.as_ref().map(auth).unwrap_or_default()),
    ]
}

fn auth(auth: &EndpointAuth) -> Vec<u8> {
    match auth {
        EndpointAuth::Bearer { token } => token.expose().as_bytes().to_vec(),
        EndpointAuth::Basic { password, .. } => password.expose().as_bytes().to_vec(),
        EndpointAuth::OAuth2(OAuth2 { token_url, client_secret, params, send, .. }) => {
            format!("{}\0{}\0{params:?}\0{send:?}", token_url.expose(), client_secret.expose()).into_bytes()
        }
    }
}
