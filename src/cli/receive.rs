//! `tenterhook listen` beside a configuration: which secrets the receiver knows, and what it says when it starts.

use super::Global;
use super::client::{Client, Server};
use super::listen::{self, Args, KnownSecret};
use crate::reload;
use crate::signing::{Scheme, Secret, SignatureSpec};

pub(crate) async fn command(global: &Global, args: Args) -> anyhow::Result<()> {
    // Before it says that it listens: a signal right after that must end it in order.
    let shutdown = super::Signals::install().first();
    let known = known_secrets(global).await;
    let options = args.options(known, global.json)?;
    let secrets = options.secrets.len();
    let ready = |address| {
        if secrets == 0 {
            note!("listening on http://{address}; no secret known, signatures are not verified (give --secret)");
        } else {
            note!("listening on http://{address}; {secrets} secret(s) known");
        }
    };
    listen::run(options, shutdown, ready).await
}

/// Those in the configuration, and those that the local server generated for webhooks without one. All of it is optional,
/// and other problems of the configuration do not matter.
async fn known_secrets(global: &Global) -> Vec<KnownSecret> {
    let settings = match reload::load(&global.config) {
        Ok(loaded) => loaded.settings,
        Err(problems) => problems.draft.settings.clone(),
    };
    let client = if settings.webhooks.is_empty() { None } else { Client::new(global, &Server::default()).ok() };
    let mut known = Vec::new();
    for webhook in settings.webhooks.values() {
        let generated = webhook.secret.is_none() && !webhook.signature.is_empty();
        let secret = match (&webhook.secret, &client) {
            (Some(secret), _) => Some(secret.clone()),
            (None, Some(client)) if generated => generated_secret(client, webhook.id.as_str()).await,
            (None, _) => None,
        };
        let templates = webhook.signature.iter().filter(|spec| matches!(spec.scheme, Scheme::Template(_)));
        let templates: Vec<SignatureSpec> = templates.cloned().collect();
        let all = secret.into_iter().chain(webhook.previous_secrets.iter().cloned());
        known.extend(
            all.map(|secret| KnownSecret { templates: templates.clone(), ..KnownSecret::new(webhook.id.as_str(), secret) }),
        );
    }
    known
}

async fn generated_secret(client: &Client, webhook: &str) -> Option<Secret> {
    let answer = client.get(&format!("/v1/webhooks/{webhook}/secret")).await.ok()?;
    Secret::parse(answer["secret"].as_str()?).ok()
}
