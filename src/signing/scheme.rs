//! How a webhook signs: one of the named dialects or a template, under which header.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::HeaderName;
use zeroize::Zeroizing;

use super::dialect::{Companion, DIALECTS, Dialect, Form, KeyText, PREVIOUS, STANDARD, Several, WEBHOOK_ID, WEBHOOK_TIMESTAMP};
use super::pattern::{Field, Part};
use super::{InvalidSecret, Secret, Template};

/// How a request is signed.
#[derive(Clone)]
pub enum Scheme {
    Named(&'static Dialect),
    /// The user's own dialect.
    Template(Arc<Template>),
}

impl Scheme {
    /// Standard Webhooks, the default.
    pub const STANDARD: Self = Self::Named(&STANDARD);

    /// All that have a name of their own.
    pub fn all() -> impl Iterator<Item = Self> {
        DIALECTS.into_iter().map(Self::Named)
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|scheme| scheme.name() == name)
    }

    /// As config.toml writes it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Named(dialect) => dialect.name,
            Self::Template(_) => "template",
        }
    }

    /// The header that the signature goes into unless a [`SignatureSpec`] names another.
    pub fn default_header(&self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::Named(dialect) => dialect.header,
            Self::Template(_) => "x-webhook-signature",
        })
    }

    /// Whether `whsec_` secrets are decoded, so that one is worth generating.
    pub fn decodes_secrets(&self) -> bool {
        matches!(self, Self::Named(Dialect { key: KeyText::Decoded, .. }))
    }

    /// What is signed.
    pub(super) fn content(&self) -> &[Part] {
        match self {
            Self::Named(dialect) => dialect.content,
            Self::Template(template) => &template.signed,
        }
    }

    pub(super) fn form(&self) -> Form<'_> {
        match self {
            Self::Named(dialect) => dialect.form,
            Self::Template(own) => {
                Form { entry: &own.header, asymmetric: None, encoding: own.encoding(), several: Several::Previous }
            }
        }
    }

    pub(super) fn companions(&self) -> &'static [Companion] {
        match self {
            Self::Named(dialect) => dialect.companions,
            Self::Template(own) if own.hides_time() => &[WEBHOOK_ID, WEBHOOK_TIMESTAMP],
            Self::Template(_) => &[WEBHOOK_ID],
        }
    }

    /// Whether a field is part of what is signed.
    pub(super) fn covers(&self, field: &Field) -> bool {
        self.content().iter().any(|part| matches!(part, Part::Field(covered) if covered == field))
    }

    /// How many things beside the body are signed: each closes a way of replaying the request.
    pub(super) fn strength(&self) -> usize {
        self.content().iter().filter(|part| matches!(part, Part::Field(field) if *field != Field::Body)).count()
    }

    /// How the header should read, in words.
    pub(super) fn expected(&self) -> Cow<'static, str> {
        match self {
            Self::Named(dialect) => dialect.expected.into(),
            Self::Template(own) => format!("`{}`, the signature in {}", own.template(), own.encoding().name()).into(),
        }
    }

    /// The bytes that key the HMAC.
    pub(super) fn key(&self, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, InvalidSecret> {
        if secret.is_asymmetric() {
            return Err(InvalidSecret::Asymmetric { scheme: self.name() });
        }
        if self.decodes_secrets() { secret.decoded() } else { Ok(Zeroizing::new(secret.expose().as_bytes().to_vec())) }
    }
}

impl PartialEq for Scheme {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Named(one), Self::Named(other)) => one.name == other.name,
            (Self::Template(one), Self::Template(other)) => one == other,
            (Self::Named(_), Self::Template(_)) | (Self::Template(_), Self::Named(_)) => false,
        }
    }
}

impl Eq for Scheme {}

impl Hash for Scheme {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Named(dialect) => dialect.name.hash(state),
            Self::Template(template) => template.hash(state),
        }
    }
}

impl fmt::Debug for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(dialect) => f.write_str(dialect.name),
            Self::Template(template) => template.fmt(f),
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
    HeaderName::try_from(name).expect("a header's name with `-previous` appended is one, far below the 64 KiB limit")
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
        for scheme in Scheme::all() {
            assert_eq!(Scheme::from_name(scheme.name()), Some(scheme));
        }
        assert_eq!(Scheme::from_name("none"), None);
    }

    #[test]
    fn another_header_name_wins_over_the_schemes_own() {
        let own = SignatureSpec::new(Scheme::from_name("sha256").unwrap());
        assert_eq!(own.signature_header(), "x-webhook-signature");
        assert_eq!(previous_header(&own.signature_header()), "x-webhook-signature-previous");
        let other = SignatureSpec { header: Some(HeaderName::from_static("x-flexgate-signature")), ..own };
        assert_eq!(other.signature_header(), "x-flexgate-signature");
    }
}
