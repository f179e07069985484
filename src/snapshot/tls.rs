//! The API's certificate and key, as the listener uses them. Refuses a pair that does not belong together before
//! anything is swapped.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::BuildProblem;
use crate::config::TlsSettings;

/// HTTP/2 first: a browser's stream would otherwise hold one of its six connections.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

pub(super) fn server(settings: &TlsSettings) -> Result<Arc<ServerConfig>, BuildProblem> {
    let problem = |place: &crate::config::Location, message: String, help: &str| BuildProblem {
        place: place.clone(),
        message,
        help: Some(help.to_owned()),
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(settings.cert.as_bytes()).collect();
    let chain = match chain {
        Ok(chain) if !chain.is_empty() => chain,
        Ok(_) => {
            let message = "`cert` holds no certificate".to_owned();
            return Err(problem(
                &settings.cert_place,
                message,
                "it is a PEM file: -----BEGIN CERTIFICATE-----, the server's own first",
            ));
        }
        Err(error) => {
            return Err(problem(&settings.cert_place, format!("`cert` cannot be read: {error}"), "it is a PEM file"));
        }
    };
    let key = PrivateKeyDer::from_pem_slice(settings.key.as_bytes()).map_err(|error| {
        let message = format!("`key` holds no private key: {error}");
        problem(&settings.key_place, message, "it is a PEM file: -----BEGIN PRIVATE KEY-----, without a password")
    })?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| {
        let message = format!("certificate and key cannot be used: {error}");
        problem(&settings.key_place, message, "`key` must be the one that `cert` was made for")
    })?;
    config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use zeroize::Zeroizing;

    use super::*;
    use crate::config::Location;

    fn settings(cert: String, key: String) -> TlsSettings {
        let place = |line| Location { file: Path::new("config.toml").into(), line, column: 1, length: 1 };
        TlsSettings { cert, key: Zeroizing::new(key), cert_place: place(2), key_place: place(3) }
    }

    #[test]
    fn a_pair_that_does_not_belong_together_is_refused_where_it_stands() {
        let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (one, other) = (made("a.example"), made("b.example"));
        let (cert, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        assert!(server(&settings(cert.clone(), key.clone())).is_ok());
        let mixed = server(&settings(cert.clone(), other.signing_key.serialize_pem())).unwrap_err();
        assert!(mixed.message.starts_with("certificate and key cannot be used") && mixed.place.line == 3, "{mixed:?}");
        let empty = server(&settings("nothing".to_owned(), key.clone())).unwrap_err();
        assert_eq!((empty.message.as_str(), empty.place.line), ("`cert` holds no certificate", 2));
        let keyless = server(&settings(cert.clone(), cert)).unwrap_err();
        assert!(keyless.message.starts_with("`key` holds no private key"), "{}", keyless.message);
        assert!(!keyless.message.contains("BEGIN"), "{}", keyless.message);
    }
}
