//! What is stored of an attempt, without the credentials that were sent: those of the configuration's `headers` and `auth`,
//! of the URL, and of transformers' options. An endpoint may send them back, in an error page that shows the request.

use http::{HeaderName, Uri};
use url::Url;

use super::classify::Verdict;
pub(super) use crate::model::MASKED;
use crate::model::{SECRET_BYTES_MIN, UNNAMED_SECRET_BYTES_MIN, mask_bytes, option_secrets, url_secrets};
use crate::snapshot::Webhook;

/// Headers that say who talks and how, and have no room for a credential.
const PLAIN: [&str; 10] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-language",
    "content-type",
    "origin",
    "prefer",
    "referer",
    "user-agent",
];

/// Whether a header's value is not for all who may see attempts: by its name, or because the configuration sets it.
pub(super) fn is_credential(webhook: &Webhook, name: &HeaderName) -> bool {
    names_credential(name) || !PLAIN.contains(&name.as_str()) && webhook.settings.headers.iter().any(|(set, _)| set == name)
}

fn names_credential(name: &HeaderName) -> bool {
    ["auth", "token", "key", "secret", "cookie", "password"].iter().any(|part| name.as_str().contains(part))
}

/// Whether an answer is searched for it: what is masked there by mistake is lost to those who search for a fault.
fn is_sought(name: &HeaderName, value: &[u8]) -> bool {
    let is_word = value.contains(&b' ') || value.windows(3).any(|three| three == b"://");
    names_credential(name) || value.len() >= UNNAMED_SECRET_BYTES_MIN && !is_word
}

/// Masks the answer, and the words about it. `uri` is where the request went: a transformer may have chosen another path
/// than the configuration.
pub(super) fn conceal(webhook: &Webhook, uri: &Uri, verdict: &mut Verdict) {
    if verdict.error.is_none() && verdict.response.is_none() {
        return;
    }
    let credentials = credentials(webhook, uri);
    if let Some(error) = &mut verdict.error {
        mask(error, &credentials);
    }
    let Some(response) = &mut verdict.response else { return };
    for (_, value) in &mut response.headers {
        mask(value, &credentials);
    }
    if let Some(masked) = mask_bytes(&response.body, &credentials) {
        response.body = masked;
    }
}

/// Longest first: one may be a part of another.
fn credentials(webhook: &Webhook, uri: &Uri) -> Vec<Vec<u8>> {
    let set = webhook.settings.headers.iter();
    let set = set.filter(|(name, value)| is_credential(webhook, name) && is_sought(name, value.as_bytes()));
    let set = set.map(|(_, value)| value.clone());
    // `Bearer x` and `Basic x`: what follows the scheme is the credential, whatever it is shown with.
    let sent = set.chain(webhook.egress.authorization_sent());
    let mut credentials: Vec<Vec<u8>> = sent
        .map(|value| {
            let bytes = value.as_bytes();
            let secret = ["Bearer ", "Basic "].iter().find_map(|scheme| bytes.strip_prefix(scheme.as_bytes()));
            secret.unwrap_or(bytes).to_vec()
        })
        .filter(|value| value.len() >= SECRET_BYTES_MIN)
        .collect();
    let in_url = Url::parse(&uri.to_string()).map(|url| url_secrets(&url)).unwrap_or_default();
    credentials.extend(in_url.into_iter().chain(option_secrets(&webhook.settings.transform)).map(String::into_bytes));
    credentials.sort_by_key(|value| std::cmp::Reverse(value.len()));
    credentials
}

fn mask(text: &mut String, credentials: &[Vec<u8>]) {
    for credential in credentials {
        if let Ok(credential) = std::str::from_utf8(credential)
            && text.contains(credential)
        {
            *text = text.replace(credential, MASKED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_occur_by_chance_are_not_sought() {
        let sought = |name: &'static str, value: &str| is_sought(&HeaderName::from_static(name), value.as_bytes());
        assert!(sought("x-api-key", "production") && sought("x-session", "8c1f0a7be2d94c55"));
        assert!(!sought("x-environment", "production") && !sought("x-github-api-version", "2022-11-28"));
        assert!(!sought("x-callback", "https://app.example.com/") && !sought("x-team", "payments and refunds"));
    }
}
