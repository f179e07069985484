//! TLS: whose certificates are trusted, which one is shown, and what a failure means in words.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_platform_verifier::Verifier;

use super::OutboundError;
use crate::model::TlsVersion;

/// Whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Those that the operating system trusts, and these PEM blocks.
    System { and: Vec<u8> },
    /// These PEM blocks and no others.
    Pem(Vec<u8>),
}

impl Roots {
    /// These, and more PEM blocks.
    pub(super) fn with(&self, more: &[u8]) -> Self {
        let joined = |pem: &[u8]| if pem.is_empty() { more.to_vec() } else { [pem, b"\n", more].concat() };
        match self {
            Self::System { and } => Self::System { and: joined(and) },
            Self::Pem(pem) => Self::Pem(joined(pem)),
        }
    }
}

/// Says whether an endpoint's certificate is to be trusted. Cheap to clone.
pub(super) type Trust = Arc<dyn ServerCertVerifier>;

/// A certificate that the client shows, with its chain, and the key to it; both in PEM.
pub(super) struct Identity<'a> {
    pub(super) chain: &'a [u8],
    pub(super) key: &'a [u8],
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// `None` on a machine that trusts nobody: https cannot be sent, plain http can.
pub(super) fn trust(roots: &Roots) -> Result<Option<Trust>, OutboundError> {
    match roots {
        Roots::System { and } => {
            let extra = if and.is_empty() { Vec::new() } else { certificates(and)? };
            match Verifier::new_with_extra_roots(extra, provider()) {
                Ok(verifier) => Ok(Some(Arc::new(verifier))),
                Err(error) if and.is_empty() => {
                    tracing::warn!(%error, "no CA certificates on this machine: deliveries over https will fail; install ca-certificates or set SSL_CERT_FILE");
                    Ok(None)
                }
                Err(error) => {
                    tracing::warn!(%error, "no CA certificates on this machine: only those of ca_file are trusted");
                    only(and).map(Some)
                }
            }
        }
        Roots::Pem(pem) => only(pem).map(Some),
    }
}

fn only(pem: &[u8]) -> Result<Trust, OutboundError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).map_err(|error| OutboundError::BadRoots(error.to_string()))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider()).build();
    verifier.map(|verifier| verifier as Trust).map_err(|error| OutboundError::BadRoots(error.to_string()))
}

/// TLS from `min_version` on with ALPN for HTTP/2 and HTTP/1.1.
pub(super) fn client_config(
    trust: Trust,
    min_version: TlsVersion,
    identity: Option<&Identity<'_>>,
) -> Result<Arc<ClientConfig>, OutboundError> {
    const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    let versions = match min_version {
        TlsVersion::Tls12 => BOTH,
        TlsVersion::Tls13 => &BOTH[..1],
    };
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(trust);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => {
            let bad = |what: String| OutboundError::BadIdentity(what);
            let chain = certificates(chain).map_err(|error| bad(error.to_string()))?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
                bad("the key file holds no private key in PEM (it begins with `-----BEGIN PRIVATE KEY-----`)".into())
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|error| bad(identity_words(&error)))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn identity_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
        other => other.to_string(),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, OutboundError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| OutboundError::BadRoots(error.to_string()))?;
    if certificates.is_empty() {
        return Err(OutboundError::BadRoots("there is no certificate in it".to_owned()));
    }
    // The verifiers take over what they can and would only log the rest.
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|error| OutboundError::BadRoots(error.to_string()))?;
    }
    Ok(certificates)
}

/// The same without HTTP/2: for proxies, and endpoints that want it so.
pub(super) fn http1_config(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A TLS failure in words, with how to mend it; `peer` is whom the session was to be with.
pub(super) fn words(error: &rustls::Error, peer: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(problem) => certificate_words(problem, peer),
        rustls::Error::InvalidMessage(_) => "what listens there does not speak TLS: is it a plain http port?".to_owned(),
        rustls::Error::AlertReceived(alert) => {
            format!(
                "{peer} refused with the alert {alert:?}: its own log says why (a client certificate that it wants: `tls.cert_file`; a name that it does not serve; a TLS version)"
            )
        }
        rustls::Error::PeerIncompatible(what) => {
            format!(
                "{peer} and this client have no TLS version or cipher in common ({what:?}): enable TLS 1.2 or 1.3 there (1.3 when `min_tls_version` says so)"
            )
        }
        other => other.to_string(),
    }
}

fn certificate_words(problem: &CertificateError, peer: &str) -> String {
    match problem {
        // A bad signature is an authority that has another one's name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!(
                "no authority that this machine trusts has signed {peer}'s certificate: serve the whole chain with its intermediates, or name your own CA's certificate with `ca_file`"
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("{peer}'s certificate has expired: renew it")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("{peer}'s certificate is not valid yet: is one of the two clocks wrong?")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("{peer}'s certificate is for another name ({problem}): use the name it was made for")
        }
        other => format!("{peer}'s certificate is not acceptable: {other}"),
    }
}
