//! Secrets (zeroised, redacted), signature schemes, verification. Refuses I/O.

use std::fmt;

use http::HeaderName;
use zeroize::Zeroizing;

/// A webhook's signing secret: text as the user wrote it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    #[error("stub")]
    Stub,
}

impl Secret {
    /// Refuses what no scheme can use (empty, `whsec_` that is not base64, …).
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
    pub fn expose(&self) -> &str {
        &self.0
    }
    /// `whsec_…3f2a`.
    pub fn preview(&self) -> String {
        String::new()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.preview())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Standard,
    Sha256,
    Timestamped,
    Github,
}

/// One entry of `signature =`; an empty list is `"none"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureSpec {
    pub scheme: Scheme,
    /// Instead of the scheme's own signature header.
    pub header: Option<HeaderName>,
}
