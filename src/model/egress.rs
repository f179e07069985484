//! What requests leave this machine with: proxies and who needs none, TLS versions, certificates and credentials.
//! Values and pure decisions; refuses to read files or to dial.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::EndpointUrl;

/// A password or token of somebody else's. Never shown, zeroised when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(Zeroizing<String>);

impl Credential {
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// For sending only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// `[network]`, as far as it is not about addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkEgress {
    pub proxy: Option<ProxyPolicy>,
    /// Certificate authorities beside those that the machine trusts.
    pub ca_file: Option<PathBuf>,
    pub min_tls: TlsVersion,
}

/// What one webhook's requests have of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookEgress {
    /// Ranges that this webhook may deliver into, beside those of `[network] allow`.
    pub allow: Vec<IpNet>,
    pub tls: WebhookTls,
    pub auth: Option<EndpointAuth>,
}

impl WebhookEgress {
    /// Whether it is like everybody else's.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Files that it is made of.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let WebhookTls { ca_file, cert_file, key_file, .. } = &self.tls;
        [ca_file, cert_file, key_file].into_iter().flatten()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    #[default]
    Tls12,
    Tls13,
}

impl TlsVersion {
    /// As config.toml writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// `tls = { … }` of a webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookTls {
    pub ca_file: Option<PathBuf>,
    /// The client certificate, with its chain, and its key: both or none.
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// Instead of the URL's host, in the handshake and against the certificate.
    pub server_name: Option<String>,
    pub min_version: Option<TlsVersion>,
}

/// How a request says who sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointAuth {
    Basic { username: String, password: Credential },
    Bearer { token: Credential },
    OAuth2(OAuth2),
}

/// RFC 6749 §4.4: client credentials for a token, the token for the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2 {
    pub token_url: EndpointUrl,
    pub client_id: String,
    pub client_secret: Credential,
    pub scopes: Vec<String>,
    /// More parameters of the token request, such as `audience`.
    pub params: Vec<(String, String)>,
    pub send: SendClient,
}

/// RFC 6749 §2.3.1: where the client's credentials stand in the token request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SendClient {
    /// In `Authorization: Basic`, which every server must understand.
    #[default]
    Header,
    Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// RFC 9110 §9.3.6: `CONNECT` for https, the absolute form for http. The proxy resolves names.
    Http,
    /// As [`ProxyKind::Http`], within TLS.
    Https,
    /// RFC 1928. Names are resolved here, and what is dialled was checked here.
    Socks5,
    /// RFC 1928. The proxy resolves names.
    Socks5h,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    pub kind: ProxyKind,
    /// Name or address, without brackets.
    pub host: String,
    pub port: u16,
    pub username: String,
    /// `None`: none are needed.
    pub password: Option<Credential>,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A proxy, and who is reached without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyPolicy {
    pub proxy: Proxy,
    pub except: Vec<NoProxy>,
}

/// One entry of `no_proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoProxy {
    /// This name, and every name below it; in lower case, without a leading dot.
    Domain(String),
    /// Literal addresses in this range.
    Range(IpNet),
}

impl NoProxy {
    /// `example.com`, `.example.com`, `*.example.com`, `10.0.0.0/8`, `10.0.0.1`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(range) = text.parse::<IpNet>() {
            return Some(Self::Range(range));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(Self::Range(address.into()));
        }
        let name = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text).trim_end_matches('.');
        let good = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        // `010.0.0.1` is no name, and no address that anything is compared with.
        let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        (name.split('.').all(good) && !numeric).then(|| Self::Domain(name.to_ascii_lowercase()))
    }

    fn covers(&self, host: &str, literal: Option<IpAddr>) -> bool {
        match (self, literal) {
            (Self::Range(range), Some(address)) => range.contains(&address.to_canonical()),
            (Self::Domain(domain), None) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                host.strip_suffix(domain.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
            (Self::Range(_), None) | (Self::Domain(_), Some(_)) => false,
        }
    }
}

impl ProxyPolicy {
    /// The proxy for requests to `host` (without brackets); `None`: straight there.
    pub fn for_host(&self, host: &str) -> Option<&Proxy> {
        let literal = host.parse::<IpAddr>().ok();
        (!self.except.iter().any(|except| except.covers(host, literal))).then_some(&self.proxy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(except: &[&str]) -> ProxyPolicy {
        let proxy =
            Proxy { kind: ProxyKind::Http, host: "egress".to_owned(), port: 3128, username: String::new(), password: None };
        ProxyPolicy { proxy, except: except.iter().map(|text| NoProxy::parse(text).unwrap()).collect() }
    }

    #[test]
    fn names_and_ranges_are_excepted_with_what_lies_below_them() {
        let policy = policy(&["internal.example", "*.corp", ".lan", "10.0.0.0/8", "192.0.2.7", "::1"]);
        for host in [
            "internal.example",
            "a.INTERNAL.example.",
            "corp",
            "a.b.corp",
            "x.lan",
            "10.1.2.3",
            "192.0.2.7",
            "::1",
            "::ffff:10.1.2.3",
        ] {
            assert_eq!(policy.for_host(host), None, "{host}");
        }
        for host in ["example", "notinternal.example", "internal.example.org", "11.0.0.1", "192.0.2.8", "10.example"] {
            assert!(policy.for_host(host).is_some(), "{host}");
        }
    }

    #[test]
    fn what_is_no_exception_is_refused_and_credentials_are_not_shown() {
        for text in ["", ".", "a..b", "a/b", "http://a", "a b", "10.0.0.0/40", "010.0.0.1", "10"] {
            assert_eq!(NoProxy::parse(text), None, "{text}");
        }
        assert_eq!(format!("{:?}", Credential::new("hunter22")), "…");
    }
}
