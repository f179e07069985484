//! Validation: everything that a reload does except going live; it opens no store and no socket.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Problem;
use crate::model::WebhookKey;
use crate::outbound::{Client, ClientOptions};
use crate::reload::{self, ReloadError};
use crate::signing::{LiveSecret, Secret};
use crate::snapshot::{self, Parts};
use crate::transform::{Host, HostOptions};

/// What a valid configuration consists of.
#[derive(Debug)]
pub struct CheckReport {
    pub webhooks: usize,
    /// Names of the modules in use.
    pub modules: Vec<String>,
    pub fingerprint: String,
    pub warnings: Vec<Problem>,
}

/// # Errors
/// What a reload would reject, with all its problems.
pub async fn check(path: &Path) -> Result<CheckReport, ReloadError> {
    let host = Host::new(HostOptions::default()).map_err(|e| ReloadError::Host(e.to_string()))?;
    let loaded = match reload::load(path) {
        Ok(loaded) => loaded,
        Err(problems) => return Err(ReloadError::Refused(snapshot::check_transformers(problems, &host).await)),
    };
    let settings = loaded.settings.clone();
    let client = Client::new(ClientOptions::read(settings.network.clone(), &settings.network_egress)?)?;
    let keys = settings.webhooks.keys().cloned().zip((1..).map(WebhookKey)).collect();
    let any = || vec![LiveSecret::lasting(Secret::generate())];
    let secrets: HashMap<_, _> = settings.webhooks.keys().map(|id| (id.clone(), any())).collect();
    let fingerprint = loaded.fingerprint.clone();
    let loaded_at = Clock::System.now();
    let status_board = Arc::default();
    let parts =
        Parts { settings, fingerprint: fingerprint.clone(), generation: 1, loaded_at, client, keys, secrets, status_board };
    let snapshot = snapshot::build(parts, &host).await.map_err(|problems| {
        let listed = problems.into_iter().map(|p| loaded.problem_at(&p.place, p.message, p.help)).collect();
        ReloadError::Refused(loaded.refused(listed))
    })?;
    let mut modules: Vec<String> = snapshot.modules.keys().cloned().collect();
    modules.sort();
    Ok(CheckReport { webhooks: snapshot.webhooks().len(), modules, fingerprint, warnings: loaded.warnings })
}
