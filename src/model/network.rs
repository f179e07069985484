//! Which addresses deliveries may go to: the SSRF guard's rules, pure. Refuses to resolve or dial: the dialler
//! calls [`NetworkPolicy::check_address`] for every single address right before.
//!
//! IANA's special-purpose registries are read strictly: an address that is not plain global unicast is blocked until
//! `[network] allow` opens it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

use super::address::{blocked_range, disguised, is_metadata, judged_address};

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
    #[error("the scheme `{scheme}` is not deliverable: use https:// (or http:// to an address inside `[network] allow`)")]
    Scheme { scheme: String },
    #[error("the URL has no host: write it as https://host/path")]
    NoHost,
    #[error(
        "the URL contains a user name or password: take it out and send it as a header (`headers = {{ Authorization = \"…\" }}`)"
    )]
    Credentials,
    #[error("{address} is in a blocked range ({range}): if this endpoint is yours, open it with `[network] allow = [\"{}\"]`", suggestion(.address))]
    Range { address: IpAddr, range: &'static str },
    #[error(
        "{address} is a cloud metadata service, which hands out credentials: it is never delivered to, not even when `[network] allow` covers it"
    )]
    Metadata { address: IpAddr },
    #[error("`{name}` is the name of a cloud metadata service, which hands out credentials: it is never delivered to")]
    MetadataName { name: String },
    #[error("{address} writes {inner} in disguise: use {inner} itself, which the rules can then judge")]
    Disguised { address: Ipv6Addr, inner: Ipv4Addr },
    #[error(
        "`{name}` means this machine (loopback, a blocked range): if this endpoint is yours, open it with `[network] allow = [\"127.0.0.1/32\", \"::1/128\"]`"
    )]
    LocalName { name: String },
    #[error("HTTPS required: plain http goes only to addresses inside `[network] allow`, and {target} is not: use https://, or open its range with {}", how_plain(.target))]
    PlainHttp { target: PlainTarget },
}

/// What a plain http URL points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlainTarget {
    Address(IpAddr),
    /// A name, while `allow` is empty: no address that it can resolve to would pass.
    Name(String),
}

impl fmt::Display for PlainTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => write!(f, "`{name}`"),
        }
    }
}

impl NetworkPolicy {
    /// What can be said of a URL before its name is resolved: scheme, credentials, literal addresses, and names
    /// that cannot pass whatever they resolve to. What is said of a name at last is said when it is dialled.
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        let plain_http = match url.scheme() {
            "https" => false,
            "http" => true,
            other => return Err(Refused::Scheme { scheme: other.to_owned() }),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        match url.host() {
            None => Err(Refused::NoHost),
            Some(Host::Ipv4(address)) => self.check_address(address.into(), plain_http),
            Some(Host::Ipv6(address)) => self.check_address(address.into(), plain_http),
            Some(Host::Domain(name)) => self.check_name(name, plain_http),
        }
    }

    /// For every address, literal or resolved, right before it is dialled.
    pub fn check_address(&self, address: IpAddr, plain_http: bool) -> Result<(), Refused> {
        let judged = judged_address(address);
        if is_metadata(judged) {
            return Err(Refused::Metadata { address });
        }
        if let Some((outer, inner)) = disguised(address) {
            return Err(Refused::Disguised { address: outer, inner });
        }
        if self.allow.iter().any(|range| range.contains(&judged)) {
            return Ok(());
        }
        if let Some(range) = blocked_range(judged) {
            return Err(Refused::Range { address, range });
        }
        if plain_http && self.https_only {
            return Err(Refused::PlainHttp { target: PlainTarget::Address(address) });
        }
        Ok(())
    }

    /// For a name that somebody else will resolve (a proxy): whatever it leads to cannot be judged here, so what is
    /// certain to be wrong is refused.
    pub fn check_unresolved(&self, name: &str, plain_http: bool) -> Result<(), Refused> {
        // In whatever spelling: the other side may understand it.
        if let Ok(Host::Ipv4(address)) = Host::parse(name) {
            return self.check_address(address.into(), plain_http);
        }
        if is_metadata_name(name) {
            return Err(Refused::MetadataName { name: name.to_owned() });
        }
        if is_local_name(name) {
            return Err(Refused::LocalName { name: name.to_owned() });
        }
        if plain_http && self.https_only {
            return Err(Refused::PlainHttp { target: PlainTarget::Name(name.to_owned()) });
        }
        Ok(())
    }

    fn check_name(&self, name: &str, plain_http: bool) -> Result<(), Refused> {
        if name.is_empty() {
            return Err(Refused::NoHost);
        }
        // A single label may well be a machine of one's own: what it resolves to is judged when it is dialled.
        if is_metadata_name(name) && name.trim_end_matches('.').contains('.') {
            return Err(Refused::MetadataName { name: name.to_owned() });
        }
        if !self.allow.is_empty() {
            return Ok(());
        }
        if is_local_name(name) {
            return Err(Refused::LocalName { name: name.to_owned() });
        }
        if plain_http && self.https_only {
            return Err(Refused::PlainHttp { target: PlainTarget::Name(name.to_owned()) });
        }
        Ok(())
    }
}

/// Names that lead to metadata services within the networks of Google, Amazon, Azure and Tencent. All of them have others that
/// lead there; those are for the proxy to refuse.
const METADATA_NAMES: [&str; 7] = [
    "metadata.google.internal",
    "metadata.azure.internal",
    "metadata.goog",
    "metadata",
    "instance-data",
    "instance-data.ec2.internal",
    "metadata.tencentyun.com",
];

fn is_metadata_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    METADATA_NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// RFC 6761 §6.3: `localhost` and everything below it is loopback.
fn is_local_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// The range that opens this address and no other.
fn suggestion(address: &IpAddr) -> IpNet {
    IpNet::from(judged_address(*address))
}

fn how_plain(target: &PlainTarget) -> String {
    match target {
        PlainTarget::Address(address) => format!("`[network] allow = [\"{}\"]`", suggestion(address)),
        PlainTarget::Name(_) => "`[network] allow`, as in [\"10.2.3.4/32\"]".to_owned(),
    }
}

#[cfg(test)]
mod tests;
