//! TLS: whose certificates are trusted, and what a failure means in words.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::OutboundError;

/// Whose certificates are trusted.
#[derive(Debug, Clone)]
pub enum Roots {
    /// Those that the operating system trusts.
    System,
    /// These PEM blocks and no others.
    Pem(Vec<u8>),
}

/// TLS 1.2 and 1.3 with ALPN for HTTP/2 and HTTP/1.1. `None` on a machine that trusts nobody: https cannot be sent,
/// plain http can.
pub(super) fn client_config(roots: Roots) -> Result<Option<Arc<ClientConfig>>, OutboundError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let mut config = match roots {
        Roots::System => match Verifier::new(provider) {
            Ok(verifier) => builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth(),
            Err(error) => {
                tracing::warn!(%error, "no CA certificates on this machine: deliveries over https will fail; install ca-certificates or set SSL_CERT_FILE");
                return Ok(None);
            }
        },
        Roots::Pem(pem) => builder.with_root_certificates(parse(&pem)?).with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

fn parse(pem: &[u8]) -> Result<RootCertStore, OutboundError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| OutboundError::BadRoots(error.to_string()))?;
        store.add(certificate).map_err(|error| OutboundError::BadRoots(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(OutboundError::BadRoots("there is no certificate in it".to_owned()));
    }
    Ok(store)
}

/// A TLS failure in words, with how to mend it.
pub(super) fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(problem) => certificate_words(problem),
        rustls::Error::InvalidMessage(_) => "what listens there does not speak TLS: is it a plain http port?".to_owned(),
        rustls::Error::AlertReceived(alert) => {
            format!(
                "the endpoint refused with the alert {alert:?}: its own log says why (a client certificate it wants, a name it does not serve)"
            )
        }
        rustls::Error::PeerIncompatible(what) => {
            format!(
                "the endpoint and this client have no TLS version or cipher in common ({what:?}): enable TLS 1.2 or 1.3 there"
            )
        }
        other => other.to_string(),
    }
}

fn certificate_words(problem: &CertificateError) -> String {
    match problem {
        // A bad signature is an authority that has another one's name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no authority that this machine trusts has signed the endpoint's certificate: serve the whole chain with its intermediates, or add your own CA to this machine's trust store".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the endpoint's certificate has expired: renew it".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the endpoint's certificate is not valid yet: is one of the two clocks wrong?".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the endpoint's certificate is for another name ({problem}): use the name it was made for")
        }
        other => format!("the endpoint's certificate is not acceptable: {other}"),
    }
}
