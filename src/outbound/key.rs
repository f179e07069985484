//! Whom a connection is to: scheme, host and port of a request's URI, and on what terms.

use std::net::IpAddr;

use http::Uri;
use http::uri::{Authority, Scheme};

use super::egress::Realm;
use super::fault::Fault;
use crate::model::{Cause, Refused};

/// Whom a connection is to. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    tls: bool,
    authority: Authority,
    /// What it was made with: connections of different realms are never mixed.
    realm: Realm,
}

impl Key {
    /// Refuses what [`crate::model::NetworkPolicy::check_url`] should have refused before.
    pub(super) fn of(uri: &Uri, realm: Realm) -> Result<Self, Fault> {
        let refused = |refused: Refused| Fault::new(Cause::BlockedAddress, refused.to_string());
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            other => {
                let scheme = other.map_or_else(String::new, ToString::to_string);
                return Err(refused(Refused::Scheme { scheme }));
            }
        };
        let authority =
            uri.authority().filter(|authority| !authority.host().is_empty()).ok_or_else(|| refused(Refused::NoHost))?;
        if authority.as_str().contains('@') {
            return Err(refused(Refused::Credentials));
        }
        Ok(Self { tls, authority: authority.clone(), realm })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls
    }

    /// Host and port as the URL writes them.
    pub(super) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    pub(super) fn authority_with_port(&self) -> String {
        format!("{}:{}", self.authority.host(), self.port())
    }

    /// Without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        let host = self.authority.host();
        host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
    }

    pub(super) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.tls { 443 } else { 80 })
    }

    pub(super) fn literal_address(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(uri: &str) -> Result<Key, Fault> {
        Key::of(&uri.parse().unwrap(), Realm::default())
    }

    #[test]
    fn ports_and_literal_addresses_are_read_from_the_authority() {
        let v6 = key("https://[2001:db8::1]:8443/in").unwrap();
        assert_eq!((v6.host(), v6.port(), v6.is_tls()), ("2001:db8::1", 8443, true));
        assert_eq!(v6.literal_address(), Some("2001:db8::1".parse().unwrap()));
        let name = key("http://example.com/in").unwrap();
        assert_eq!((name.host(), name.port(), name.is_tls()), ("example.com", 80, false));
        assert_eq!(name.literal_address(), None);
        assert_eq!(name.authority_with_port(), "example.com:80");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for uri in ["ftp://example.com/", "/relative", "https://user:pw@example.com/"] {
            assert_eq!(key(uri).unwrap_err().cause, Cause::BlockedAddress, "{uri}");
        }
    }
}
