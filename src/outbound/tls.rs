//! TLS: whose certificates are trusted, which one is shown, and what a failure means in words.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, OtherError, RootCertStore, SupportedProtocolVersion};
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
            let extra = if and.is_empty() { Vec::new() } else { certificates(and).map_err(OutboundError::BadRoots)? };
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
    for certificate in certificates(pem).map_err(OutboundError::BadRoots)? {
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
            let chain = certificates(chain).map_err(|what| bad(format!("the certificate of `tls.cert_file`: {what}")))?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
                bad("`tls.key_file` holds no private key in PEM (it begins with `-----BEGIN PRIVATE KEY-----`)".into())
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

/// Refuses what is no certificate authority's, named by its setting, before it is joined with others.
pub(super) fn check_roots(pem: &[u8], key: &str) -> Result<(), OutboundError> {
    certificates(pem).map(drop).map_err(|what| OutboundError::BadRoots(format!("`{key}`: {what}")))
}

/// The error says what is wrong with them.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| format!("it is not PEM ({error})"))?;
    if certificates.is_empty() {
        let what = if pem.trim_ascii().is_empty() {
            "the file is empty"
        } else if PrivateKeyDer::from_pem_slice(pem).is_ok() {
            "there is no certificate in it, but a private key (which belongs into a `key_file`)"
        } else {
            "there is no certificate in it (one begins with `-----BEGIN CERTIFICATE-----`)"
        };
        return Err(what.to_owned());
    }
    // The verifiers take over what they can and would only log the rest.
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        let unreadable = |_| "one of its blocks is no X.509 certificate: was it copied as a whole?".to_owned();
        store.add(certificate.clone()).map_err(unreadable)?;
    }
    Ok(certificates)
}

/// The same without HTTP/2: for proxies, and endpoints that want it so.
pub(super) fn http1_config(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A TLS failure in words, with how to fix it; `peer` is whom the session was to be with.
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
        CertificateError::NotValidForNameContext { .. } => {
            format!("{peer}'s certificate is for another name ({problem}): use the name it was made for")
        }
        CertificateError::NotValidForName => {
            format!("{peer}'s certificate is for another name: use the name it was made for")
        }
        CertificateError::Revoked => format!("{peer}'s certificate was revoked by its authority: have a new one made"),
        CertificateError::BadEncoding => {
            format!("{peer}'s certificate cannot be read (its encoding is broken): have a new one made")
        }
        CertificateError::UnhandledCriticalExtension => {
            format!("{peer}'s certificate, or its authority's, has a critical extension that is not understood here")
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            format!(
                "{peer}'s certificate is signed in a way that is not trusted any longer (SHA-1, or a weak key): have a new one made"
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => not_for_servers(peer),
        CertificateError::Other(OtherError(other)) => match other.downcast_ref::<webpki::Error>() {
            Some(error) => webpki_words(error, peer),
            None => format!("{peer}'s certificate is not acceptable: {other}"),
        },
        other => format!("{peer}'s certificate is not acceptable: {other}"),
    }
}

fn not_for_servers(peer: &str) -> String {
    format!("{peer}'s certificate is not made for servers: have one made with the extended key usage `serverAuth`")
}

/// What rustls has no names of its own for.
fn webpki_words(error: &webpki::Error, peer: &str) -> String {
    match error {
        webpki::Error::CaUsedAsEndEntity => format!(
            "{peer}'s certificate is that of an authority (CA:TRUE), which no server may show, not even when `ca_file` has it: make one that is no authority's (`openssl req -x509 … -addext basicConstraints=CA:FALSE`), or sign one with that authority"
        ),
        webpki::Error::EndEntityUsedAsCa => format!(
            "{peer}'s certificate was signed with one that is not an authority's (CA:FALSE): sign it with an authority's, and name that in `ca_file`"
        ),
        webpki::Error::UnsupportedCertVersion => {
            format!("{peer}'s certificate is older than X.509 version 3: have a new one made, with a subjectAltName")
        }
        webpki::Error::NameConstraintViolation => {
            format!("{peer}'s certificate is for a name that its authority may not vouch for (name constraints)")
        }
        webpki::Error::PathLenConstraintViolated => {
            format!("the chain of {peer}'s certificate has more intermediates than one of its authorities allows")
        }
        other => format!("{peer}'s certificate is not acceptable ({other:?}): have a new one made"),
    }
}
