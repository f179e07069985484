//! The signature dialects by name, and the headers each one writes.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use zeroize::Zeroizing;

use super::{InvalidSecret, Secret, Template};

pub(super) const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
pub(super) const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(super) const GITHUB_EVENT: HeaderName = HeaderName::from_static("x-github-event");
pub(super) const GITHUB_DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");
pub(super) const SLACK_TIMESTAMP: HeaderName = HeaderName::from_static("x-slack-request-timestamp");
pub(super) const SHOPIFY_TOPIC: HeaderName = HeaderName::from_static("x-shopify-topic");
pub(super) const SHOPIFY_ID: HeaderName = HeaderName::from_static("x-shopify-webhook-id");

/// Behind a header's name: the same dialect under the secrets that a rotation is about to retire, where one header has
/// no room for several.
const PREVIOUS: &str = "-previous";

/// How a request is signed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Standard Webhooks: base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`, entries `v1,…` apart by spaces; with a
    /// `whsk_` key Ed25519 over the same, `v1a,…`.
    Standard,
    /// `sha256=<hex of HMAC-SHA256(body)>`: no time, so a replay is not seen.
    Sha256,
    /// Stripe's form: `t=<unix>,v1=<hex of HMAC-SHA256("{t}.{body}")>`.
    Timestamped,
    /// `sha256=` under GitHub's header, with the event type and the delivery in headers of their own.
    Github,
    /// Slack's form: `v0=<hex of HMAC-SHA256("v0:{t}:{body}")>`, the time in a header of its own.
    Slack,
    /// Shopify's form: base64 of HMAC-SHA256(body).
    Shopify,
    /// The user's own dialect.
    Template(Arc<Template>),
}

impl Scheme {
    /// Those that have a name of their own.
    pub const ALL: [Self; 6] = [Self::Standard, Self::Sha256, Self::Timestamped, Self::Github, Self::Slack, Self::Shopify];

    /// As config.toml writes it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Sha256 => "sha256",
            Self::Timestamped => "timestamped",
            Self::Github => "github",
            Self::Slack => "slack",
            Self::Shopify => "shopify",
            Self::Template(_) => "template",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }

    /// The header that the signature goes into unless a [`SignatureSpec`] names another.
    pub fn default_header(&self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::Standard => "webhook-signature",
            Self::Sha256 | Self::Template(_) => "x-webhook-signature",
            Self::Timestamped => "x-tenterhook-signature",
            Self::Github => "x-hub-signature-256",
            Self::Slack => "x-slack-signature",
            Self::Shopify => "x-shopify-hmac-sha256",
        })
    }

    /// Whether one header holds an entry for each live secret.
    pub(super) fn has_room_for_all(&self) -> bool {
        match self {
            Self::Standard | Self::Timestamped => true,
            Self::Sha256 | Self::Github | Self::Slack | Self::Shopify | Self::Template(_) => false,
        }
    }

    /// The bytes that key the HMAC: Standard Webhooks decodes `whsec_` secrets, everybody else takes the text.
    pub(super) fn key(&self, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, InvalidSecret> {
        if secret.is_asymmetric() {
            return Err(InvalidSecret::Asymmetric { scheme: self.name() });
        }
        match self {
            Self::Standard => secret.decoded(),
            Self::Sha256 | Self::Timestamped | Self::Github | Self::Slack | Self::Shopify | Self::Template(_) => {
                Ok(Zeroizing::new(secret.expose().as_bytes().to_vec()))
            }
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the signatures by secrets go that a rotation is about to retire.
pub(super) fn previous_header(header: &HeaderName) -> HeaderName {
    let name = format!("{header}{PREVIOUS}");
    HeaderName::try_from(name).expect("a header's name with `-previous` behind it is one, far below the 64 KiB limit")
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
        assert_eq!(previous_header(&own.signature_header()), "x-webhook-signature-previous");
        let other = SignatureSpec { header: Some(HeaderName::from_static("x-flexgate-signature")), ..own };
        assert_eq!(other.signature_header(), "x-flexgate-signature");
    }
}
