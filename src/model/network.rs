//! Which addresses deliveries may go to: the SSRF guard's rules, pure.

use std::net::IpAddr;

use ipnet::IpNet;
use url::Url;

/// `[network]` of config.toml, as far as addresses go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Ranges that private endpoints may live in.
    pub allow: Vec<IpNet>,
    /// Plain http only to addresses inside `allow`.
    pub https_only: bool,
}

/// Why an address or URL is refused: which rule, and how to allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("stub")]
    Stub,
}

impl NetworkPolicy {
    /// What can be said of a URL before its name is resolved: scheme, credentials, literal addresses.
    pub fn check_url(&self, _url: &Url) -> Result<(), Refused> {
        Ok(())
    }

    /// For every address, literal or resolved, right before it is dialled.
    pub fn check_address(&self, _address: IpAddr, _plain_http: bool) -> Result<(), Refused> {
        Ok(())
    }
}
