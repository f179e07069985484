//! A configuration file as the API would show it, for `tenterhook plan` and `tenterhook export`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::config::{self, Judge, Problems};
use crate::http::{EffectiveConfig, shown_webhook};
use crate::model::{Timestamp, WebhookId};
use crate::reload::{self, ReloadError};

/// Validates a configuration as a reload would, and describes it as the API does.
///
/// # Errors
/// What a reload would reject.
pub async fn picture(path: &Path) -> Result<EffectiveConfig, ReloadError> {
    super::check(path).await?;
    let loaded = reload::load(path).map_err(ReloadError::Refused)?;
    Ok(EffectiveConfig::of(&loaded.settings, reload::fingerprint(&loaded)))
}

/// What a webhook has that sets nothing but where it sends: with `[defaults]` of a configuration, or with none.
///
/// # Errors
/// Everything that is wrong with the configuration.
pub fn webhook_defaults(config: Option<&Path>) -> Result<Map<String, Value>, Problems> {
    let loaded = match config {
        Some(path) => reload::load(path)?,
        None => config::load_str("", &BTreeMap::new(), &|_| None)?,
    };
    let body = Map::from_iter([("url".to_owned(), "https://example.com/".into()), ("events".to_owned(), json!(["*"]))]);
    let id = WebhookId::parse("defaults").expect("it has letters only");
    let never = Timestamp::from_millis(0);
    // Both keys are valid under any configuration: `Judge::Accepted` does not check the URL's address.
    let judged = loaded.api_webhook(&id, &body, (never, never), Judge::Accepted).expect("a bare webhook is good");
    Ok(shown_webhook(&judged.settings))
}
