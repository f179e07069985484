//! What is kept of an attempt, without the credentials that were sent: those of the configuration's `headers` and `auth`.
//! An endpoint may send them back, in an error page that shows the request.

use bytes::Bytes;
use http::HeaderName;

use super::classify::Verdict;
use crate::snapshot::Webhook;

/// What stands in for a credential.
pub(super) const MASKED: &str = "…";

/// Shorter values are no credentials, and stand in many an answer by chance.
const SOUGHT_BYTES_MIN: usize = 8;

/// The same for headers whose names do not say what they are: `production` and `2022-11-28` are no credentials.
const SOUGHT_UNNAMED_BYTES_MIN: usize = 16;

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

/// Whether a header's value is not for everybody who may see attempts: by its name, or because the configuration sets it.
pub(super) fn is_credential(webhook: &Webhook, name: &HeaderName) -> bool {
    says_so(name) || !PLAIN.contains(&name.as_str()) && webhook.settings.headers.iter().any(|(set, _)| set == name)
}

fn says_so(name: &HeaderName) -> bool {
    ["auth", "token", "key", "secret", "cookie", "password"].iter().any(|part| name.as_str().contains(part))
}

/// Whether an answer is searched for it: what is masked there by mistake is lost to whoever looks for a fault.
fn is_sought(name: &HeaderName, value: &[u8]) -> bool {
    let is_word = value.contains(&b' ') || value.windows(3).any(|three| three == b"://");
    says_so(name) || value.len() >= SOUGHT_UNNAMED_BYTES_MIN && !is_word
}

/// The answer as it is kept, and the words about it.
pub(super) fn conceal(webhook: &Webhook, verdict: &mut Verdict) {
    let credentials = credentials(webhook);
    if credentials.is_empty() {
        return;
    }
    if let Some(error) = &mut verdict.error {
        mask(error, &credentials);
    }
    let Some(response) = &mut verdict.response else { return };
    for (_, value) in &mut response.headers {
        mask(value, &credentials);
    }
    for credential in &credentials {
        if let Some(masked) = replaced(&response.body, credential) {
            response.body = masked;
        }
    }
}

/// Longest first: one may be a part of another.
fn credentials(webhook: &Webhook) -> Vec<Vec<u8>> {
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
        .filter(|value| value.len() >= SOUGHT_BYTES_MIN)
        .collect();
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

/// `None`: it does not stand there.
fn replaced(body: &[u8], credential: &[u8]) -> Option<Bytes> {
    let mut masked = Vec::new();
    let mut rest = body;
    while let Some(at) = find(rest, credential) {
        masked.extend_from_slice(&rest[..at]);
        masked.extend_from_slice(MASKED.as_bytes());
        rest = &rest[at + credential.len()..];
    }
    if rest.len() == body.len() {
        return None;
    }
    masked.extend_from_slice(rest);
    Some(masked.into())
}

fn find(body: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = body.get(from..)?.iter().position(|byte| *byte == first) {
        if body[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_answers_by_chance_is_not_sought() {
        let sought = |name: &'static str, value: &str| is_sought(&HeaderName::from_static(name), value.as_bytes());
        assert!(sought("x-api-key", "production") && sought("x-session", "8c1f0a7be2d94c55"));
        assert!(!sought("x-environment", "production") && !sought("x-github-api-version", "2022-11-28"));
        assert!(!sought("x-callback", "https://app.example.com/") && !sought("x-team", "payments and refunds"));
    }

    #[test]
    fn a_credential_is_masked_wherever_it_stands_in_a_body() {
        let masked = |body: &str, wanted: &str| replaced(body.as_bytes(), wanted.as_bytes());
        assert_eq!(masked("nothing here", "hunter22"), None);
        assert_eq!(masked("hunter2", "hunter22"), None);
        assert_eq!(masked("hhunter22 and hunter22", "hunter22").unwrap(), "h… and …".as_bytes());
        assert_eq!(masked("hunter22", "hunter22").unwrap(), "…".as_bytes());
    }
}
