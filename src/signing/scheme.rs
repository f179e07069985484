//! The signature dialects by name, and the headers each one writes.

use std::fmt;

use http::HeaderName;
use zeroize::Zeroizing;

use super::{InvalidSecret, Secret};

pub(super) const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
pub(super) const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(super) const GITHUB_EVENT: HeaderName = HeaderName::from_static("x-github-event");
pub(super) const GITHUB_DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Standard Webhooks: base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`, entries `v1,…` apart by spaces.
    Standard,
    /// `sha256=<hex of HMAC-SHA256(body)>`: no time, so a replay is not seen.
    Sha256,
    /// Stripe's form: `t=<unix>,v1=<hex of HMAC-SHA256("{t}.{body}")>`.
    Timestamped,
    /// `sha256=` under GitHub's header, with the event type and the delivery in headers of their own.
    Github,
}

impl Scheme {
    pub const ALL: [Self; 4] = [Self::Standard, Self::Sha256, Self::Timestamped, Self::Github];

    /// As config.toml writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Sha256 => "sha256",
            Self::Timestamped => "timestamped",
            Self::Github => "github",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }

    /// The header that the signature goes into unless a [`SignatureSpec`] names another.
    pub fn default_header(self) -> HeaderName {
        match self {
            Self::Standard => HeaderName::from_static("webhook-signature"),
            Self::Sha256 => HeaderName::from_static("x-webhook-signature"),
            Self::Timestamped => HeaderName::from_static("x-tenterhook-signature"),
            Self::Github => HeaderName::from_static("x-hub-signature-256"),
        }
    }

    /// The bytes that key the HMAC: Standard Webhooks decodes `whsec_` secrets, everybody else takes the text.
    pub(super) fn key(self, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, InvalidSecret> {
        match self {
            Self::Standard => secret.decoded(),
            Self::Sha256 | Self::Timestamped | Self::Github => Ok(Zeroizing::new(secret.expose().as_bytes().to_vec())),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One entry of `signature =`; an empty list is `"none"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureSpec {
    pub scheme: Scheme,
    /// Instead of the scheme's own signature header. Its other headers (`webhook-id`, `X-GitHub-Event`) keep theirs.
    pub header: Option<HeaderName>,
}

impl SignatureSpec {
    pub fn new(scheme: Scheme) -> Self {
        Self { scheme, header: None }
    }

    /// The header that the signature goes into.
    pub fn signature_header(&self) -> HeaderName {
        self.header.clone().unwrap_or_else(|| self.scheme.default_header())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_scheme() {
        for scheme in Scheme::ALL {
            assert_eq!(Scheme::from_name(scheme.name()), Some(scheme));
        }
        assert_eq!(Scheme::from_name("none"), None);
    }

    #[test]
    fn another_header_name_wins_over_the_schemes_own() {
        let own = SignatureSpec::new(Scheme::Sha256);
        assert_eq!(own.signature_header(), "x-webhook-signature");
        let other = SignatureSpec { header: Some(HeaderName::from_static("x-flexgate-signature")), ..own };
        assert_eq!(other.signature_header(), "x-flexgate-signature");
    }
}
