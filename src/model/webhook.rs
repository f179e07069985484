//! Values of a webhook that several modules share.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use url::Url;

/// An endpoint's URL. Chat services put the credential into the path, so what is shown is masked.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(Url);

/// Hosts whose URL paths are credentials.
const SECRET_PATH_HOSTS: [&str; 8] = [
    "hooks.slack.com",
    "discord.com",
    "discordapp.com",
    "webhook.office.com",
    "logic.azure.com",
    "api.powerplatform.com",
    "hooks.zapier.com",
    "chat.googleapis.com",
];

impl EndpointUrl {
    pub fn new(url: Url) -> Self {
        Self(url)
    }

    /// With its secrets: for sending only.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// Equal for equal URLs, and no way back to one: to tell whether an endpoint is still the same.
    pub fn fingerprint(&self) -> u64 {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(self.0.as_str().as_bytes());
        digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// `https://hooks.slack.com/services/…3f2a`: recognisable, useless to a thief. The query is always masked.
    pub fn masked(&self) -> String {
        mask_url(&self.0)
    }
}

/// See [`EndpointUrl::masked`].
fn mask_url(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let secret_path =
        SECRET_PATH_HOSTS.iter().any(|h| host == *h || host.strip_suffix(h).is_some_and(|rest| rest.ends_with('.')));
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = url.path();
    let shown_path = if secret_path && path.len() > 1 {
        let first = path[1..].split('/').next().unwrap_or_default();
        let tail: String = path.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
        format!("/{first}/…{tail}")
    } else {
        path.to_owned()
    };
    let query = if url.query().is_some() { "?…" } else { "" };
    format!("{}://{host}{port}{shown_path}{query}", url.scheme())
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// Headers of the connection (RFC 9110 §7.6.1 and message framing) and of proxies; the client sets them, so
/// neither a configuration nor a transformer may.
pub const CONNECTION_HEADERS: [&str; 15] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// One stage of a webhook's pipeline: a module by name, and its options as JSON text (`{}` when none are given).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformStep {
    pub name: String,
    pub options: String,
}

/// What one call of a transformer may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Bytes of linear memory, summed over all memories of the instance.
    pub memory: usize,
    /// Time from the call to its end, everything included.
    pub cpu: Duration,
    /// Bytes of body and headers that it may return.
    pub output: usize,
    /// Bytes of the lines that it may log.
    pub log: usize,
    /// Calls of it at the same time; `None`: a quarter of what all modules have together.
    pub instances: Option<NonZeroU32>,
}

impl Default for Limits {
    /// Roomy for a formatter, a nuisance to nobody: Python guests want 40 MiB, JavaScript ones 8; a Rust formatter
    /// ends in 30 µs; no receiver we know takes more than 2 MiB; a log of 100 full lines is a long read.
    fn default() -> Self {
        Self { memory: 64 << 20, cpu: Duration::from_millis(100), output: 2 << 20, log: 100 << 10, instances: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(url: &str) -> String {
        EndpointUrl::new(Url::parse(url).unwrap()).masked()
    }

    #[test]
    fn chat_urls_and_queries_are_masked() {
        assert_eq!(masked("https://hooks.slack.com/services/T000/B000/XXXX3f2a"), "https://hooks.slack.com/services/…3f2a");
        assert_eq!(masked("https://acme.webhook.office.com/webhookb2/abc"), "https://acme.webhook.office.com/webhookb2/…/abc");
        assert_eq!(masked("https://example.com:8443/in?token=abc"), "https://example.com:8443/in?…");
        assert_eq!(masked("https://notdiscord.com/a/b"), "https://notdiscord.com/a/b");
    }
}
