//! A configuration as the API would show it, for comparison with another: what `tenterhook plan` looks at.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::config::WebhookSettings;
use crate::http;
use crate::reload::{self, ReloadError};
use crate::signing::Secret;

/// What is shown of a configuration: nothing that a thief could use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Picture {
    /// As `GET /v1/config` has it.
    pub fingerprint: String,
    /// The tables besides `[webhooks]` and `[defaults]`.
    pub tables: Map<String, Value>,
    /// The keys of each webhook, `[defaults]` merged in; `secret` is a preview, null when one is generated.
    pub webhooks: BTreeMap<String, Map<String, Value>>,
    /// Of each webhook, its hidden parts by key: equal when they are, whatever is shown of them.
    pub(crate) hidden: BTreeMap<String, Vec<(&'static str, Vec<u8>)>>,
}

impl Picture {
    /// Keys whose shown values are equal, while what is hidden of them is not. `None` in `other` means unknown.
    pub fn hidden_changes(&self, other: &Self, webhook: &str) -> Vec<&'static str> {
        let (Some(ours), Some(theirs)) = (self.hidden.get(webhook), other.hidden.get(webhook)) else { return Vec::new() };
        ours.iter().zip(theirs).filter(|(a, b)| a.1 != b.1).map(|(a, _)| a.0).collect()
    }
}

/// Validates a configuration as a reload would, and draws it.
///
/// # Errors
/// What a reload would refuse.
pub async fn picture(path: &Path) -> Result<Picture, ReloadError> {
    super::check(path).await?;
    let loaded = reload::load(path).map_err(ReloadError::Refused)?;
    let settings = &loaded.settings;
    let webhooks = settings.webhooks.iter().map(|(id, webhook)| (id.to_string(), shown(webhook))).collect();
    let hidden = settings.webhooks.iter().map(|(id, webhook)| (id.to_string(), hidden(webhook))).collect();
    Ok(Picture { fingerprint: reload::fingerprint(&loaded), tables: http::settings_shape(settings), webhooks, hidden })
}

fn shown(webhook: &WebhookSettings) -> Map<String, Value> {
    let mut shape = http::webhook_shape(webhook);
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
    vec![
        ("url", webhook.url.expose().as_str().as_bytes().to_vec()),
        ("headers", headers),
        ("transform", options),
        ("secret", webhook.secret.as_ref().map(|secret| secret.expose().as_bytes().to_vec()).unwrap_or_default()),
    ]
}
