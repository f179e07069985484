//! What one webhook's requests leave with, when it is not what everybody else's do: addresses opened for it alone, a
//! client certificate, credentials. Connections made with one are never used with another.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::oauth::TokenSource;
use super::tls::{self, Identity};
use super::{Inner, OutboundError};
use crate::model::{EndpointAuth, NetworkPolicy, WebhookEgress};

/// Bytes of a PEM file: the whole of a system's CA bundle is a quarter of it.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Distinguishes connections that may not be shared: a digest of all that they were made with.
pub(super) type Realm = [u8; 16];

/// See the module. The default is the client's own; cheap to clone.
#[derive(Clone, Default)]
pub struct Egress(Option<Arc<Own>>);

struct Own {
    realm: Realm,
    policy: NetworkPolicy,
    /// `None`: the client's own.
    tls: Option<Arc<ClientConfig>>,
    server_name: Option<ServerName<'static>>,
    authorization: Option<Authorization>,
}

#[derive(Clone)]
pub(super) enum Authorization {
    Fixed(HeaderValue),
    OAuth2(Arc<TokenSource>),
}

/// What a connection is made with.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) realm: Realm,
    pub(super) policy: &'a NetworkPolicy,
    pub(super) tls: Option<&'a Arc<ClientConfig>>,
    pub(super) server_name: Option<&'a ServerName<'static>>,
}

impl Egress {
    pub(super) fn new(inner: &Inner, settings: &WebhookEgress) -> Result<Self, OutboundError> {
        if settings.is_plain() {
            return Ok(Self::default());
        }
        let network = inner.dialer.policy();
        let mut policy = network.clone();
        policy.allow.extend(&settings.allow);
        let (tls, server_name, digest) = own_tls(inner, settings)?;
        let mut realm = Realm::default();
        if !settings.allow.is_empty() || tls.is_some() || server_name.is_some() {
            let mut hash = Sha256::new().chain_update(digest);
            hash.update(format!("{:?}{:?}", settings.allow, settings.tls.server_name));
            realm.copy_from_slice(&hash.finalize()[..16]);
        }
        let authorization = settings.auth.as_ref().map(|auth| authorization(inner, auth, realm)).transpose()?;
        Ok(Self(Some(Arc::new(Own { realm, policy, tls, server_name, authorization }))))
    }

    /// Whether requests say who sends them.
    pub fn authorizes(&self) -> bool {
        self.authorization().is_some()
    }

    /// What requests say: for finding it in an answer. A token that is being asked for is not known yet.
    pub fn authorization_sent(&self) -> Option<HeaderValue> {
        match self.authorization()? {
            Authorization::Fixed(value) => Some(value.clone()),
            Authorization::OAuth2(source) => source.known(),
        }
    }

    pub(super) fn authorization(&self) -> Option<&Authorization> {
        self.0.as_ref()?.authorization.as_ref()
    }

    pub(super) fn terms<'a>(&'a self, client: Terms<'a>) -> Terms<'a> {
        match &self.0 {
            None => client,
            Some(own) => Terms {
                realm: own.realm,
                policy: &own.policy,
                tls: own.tls.as_ref().or(client.tls),
                server_name: own.server_name.as_ref(),
            },
        }
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Egress(plain)"),
            Some(own) => write!(f, "Egress({})", hex::encode(own.realm)),
        }
    }
}

type OwnTls = (Option<Arc<ClientConfig>>, Option<ServerName<'static>>, Vec<u8>);

/// The configuration when it differs from the client's, and a digest of what it was made of.
fn own_tls(inner: &Inner, settings: &WebhookEgress) -> Result<OwnTls, OutboundError> {
    let own = &settings.tls;
    let server_name = own.server_name.as_ref().map(|name| {
        let bad =
            |_| OutboundError::BadIdentity(format!("`tls.server_name` is not a name that a certificate can be for: {name}"));
        ServerName::try_from(name.clone()).map_err(bad)
    });
    let server_name = server_name.transpose()?;
    if own.ca_file.is_none() && own.cert_file.is_none() && own.min_version.is_none() {
        return Ok((None, server_name, Vec::new()));
    }
    let mut digest = Sha256::new();
    let mut read = |path: &Option<PathBuf>, key: &'static str| {
        let bytes = path.as_ref().map(|path| read_pem(path, key)).transpose()?;
        digest.update(Sha256::digest(bytes.as_deref().map_or(&b""[..], Vec::as_slice)));
        Ok::<_, OutboundError>(bytes)
    };
    let (ca, chain, key) =
        (read(&own.ca_file, "tls.ca_file")?, read(&own.cert_file, "tls.cert_file")?, read(&own.key_file, "tls.key_file")?);
    let min_version = own.min_version.unwrap_or_default().max(inner.min_tls);
    digest.update(min_version.name());
    let trust = match &ca {
        Some(pem) => {
            tls::check_roots(pem, "tls.ca_file")?;
            tls::trust(&inner.roots.with(pem))?
        }
        None => inner.trust.clone(),
    };
    let trust =
        trust.ok_or_else(|| OutboundError::BadRoots("this machine has no CA certificates: install ca-certificates".into()))?;
    let identity = chain.as_ref().zip(key.as_ref()).map(|(chain, key)| Identity { chain, key });
    let config = tls::client_config(trust, min_version, identity.as_ref())?;
    Ok((Some(config), server_name, digest.finalize().to_vec()))
}

fn authorization(inner: &Inner, auth: &EndpointAuth, realm: Realm) -> Result<Authorization, OutboundError> {
    let value = match auth {
        EndpointAuth::Basic { username, password } => basic(username, password.expose()),
        EndpointAuth::Bearer { token } => Zeroizing::new(format!("Bearer {}", token.expose())),
        EndpointAuth::OAuth2(settings) => return Ok(Authorization::OAuth2(inner.tokens.source(settings, realm)?)),
    };
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| OutboundError::BadIdentity("the credentials in `auth` have characters that a header cannot carry".into()))?;
    value.set_sensitive(true);
    Ok(Authorization::Fixed(value))
}

/// RFC 7617.
pub(super) fn basic(username: &str, password: &str) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{username}:{password}"));
    Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

/// `key` is the setting that names the file.
pub(super) fn read_pem(path: &Path, key: &str) -> Result<Zeroizing<Vec<u8>>, OutboundError> {
    use std::io::Read as _;
    let unreadable = |reason: String| OutboundError::Unreadable { key: key.to_owned(), path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > PEM_BYTES_MAX {
        return Err(unreadable("it is over 1 MiB, which no certificate is".to_owned()));
    }
    Ok(bytes)
}
