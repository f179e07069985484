//! TLS and HTTP/2.

use super::http2::frame;
use super::*;
use crate::model::{TlsVersion, WebhookEgress, WebhookTls};
use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

pub(super) type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate authority of the test's own.
pub(super) fn authority() -> Authority {
    authority_named("the test's authority")
}

fn authority_named(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub(super) fn acceptor(authority: &CertifiedIssuer<'static, KeyPair>, params: CertificateParams, alpn: &[&str]) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

pub(super) fn named(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

/// Answers over TLS with the request's version, `Host` or authority, and body; HTTP/2 if the client and `alpn` want it.
pub(super) async fn echo(acceptor: TlsAcceptor) -> Receiver {
    Receiver::start(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let stream = acceptor.accept(stream).await?;
            let service = service_fn(|request: Request<Incoming>| async move {
                let version = format!("{:?}", request.version());
                let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
                let authority = request.uri().authority().map(ToString::to_string);
                let body = request.into_body().collect().await?.to_bytes();
                let line = format!("{version} {} {}", host.or(authority).unwrap(), String::from_utf8_lossy(&body));
                Ok::<_, hyper::Error>(http::Response::new(Full::new(Bytes::from(line))))
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            server.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
        }
    })
    .await
}

pub(super) fn trusting(authority: &CertifiedIssuer<'static, KeyPair>) -> Client {
    let options = ClientOptions { roots: Roots::Pem(authority.pem().into_bytes()), ..options(&["127.0.0.0/8"]) };
    Client::with_resolver(options, Resolver::Custom(Arc::new(|_| Ok(vec![[127, 0, 0, 1].into()])))).unwrap()
}

pub(super) fn url(receiver: &Receiver, host: &str) -> String {
    format!("https://{host}:{}/in", receiver.address.port())
}

/// A client's certificate and key, in PEM.
pub(super) fn client_pem(authority: &CertifiedIssuer<'static, KeyPair>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = named("the-client").signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// An acceptor that speaks these versions only, and wants a client certificate of `clients` if there are any.
fn strict_acceptor(
    authority: &CertifiedIssuer<'static, KeyPair>,
    clients: Option<&CertifiedIssuer<'static, KeyPair>>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate = named("hooks.test").signed_by(&key, authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()))
}

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[tokio::test]
async fn a_connection_with_a_client_certificate_is_not_shared() {
    let (authority, clients) = (authority(), authority_named("the clients' authority"));
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = client_pem(&clients);
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let tls = WebhookTls { cert_file: file("c.pem", &chain), key_file: file("c.key", &key), ..WebhookTls::default() };
    for versions in [&BOTH[..1], &BOTH[1..]] {
        let receiver = echo(strict_acceptor(&authority, Some(&clients), versions)).await;
        let client = trusting(&authority);
        let own = client.egress(&WebhookEgress { tls: tls.clone(), ..WebhookEgress::default() }).unwrap();
        let address = url(&receiver, "hooks.test");
        assert_eq!(client.send_with(&own, post(&address), LIMITS).await.unwrap().status, 200);
        let error = client.send(post(&address), LIMITS).await.unwrap_err();
        assert_eq!(error.cause, Cause::Tls, "{}", error.detail);
        assert!(error.detail.contains("a client certificate that it wants: `tls.cert_file`"), "{}", error.detail);
        assert_eq!(client.send_with(&own, post(&address), LIMITS).await.unwrap().status, 200);
        assert_eq!(receiver.connections(), 2, "one with the certificate, one that was refused");
    }
}

#[tokio::test]
async fn old_versions_are_refused_from_the_bound_on() {
    let authority = authority();
    let old = echo(strict_acceptor(&authority, None, &BOTH[1..])).await;
    let new = echo(strict_acceptor(&authority, None, &BOTH[..1])).await;
    let roots = Roots::Pem(authority.pem().into_bytes());
    let resolver = || Resolver::Custom(Arc::new(|_| Ok(vec![[127, 0, 0, 1].into()])));
    for (min_tls, of_webhook, allowed) in [
        (TlsVersion::Tls12, None, true),
        (TlsVersion::Tls13, None, false),
        (TlsVersion::Tls12, Some(TlsVersion::Tls13), false),
        (TlsVersion::Tls13, Some(TlsVersion::Tls12), false),
    ] {
        let options = ClientOptions { roots: roots.clone(), min_tls, ..options(&["127.0.0.0/8"]) };
        let client = Client::with_resolver(options, resolver()).unwrap();
        let tls = WebhookTls { min_version: of_webhook, ..WebhookTls::default() };
        let own = client.egress(&WebhookEgress { tls, ..WebhookEgress::default() }).unwrap();
        assert_eq!(client.send_with(&own, post(&url(&new, "hooks.test")), LIMITS).await.unwrap().status, 200);
        let answer = client.send_with(&own, post(&url(&old, "hooks.test")), LIMITS).await;
        assert_eq!(answer.is_ok(), allowed, "{min_tls:?} {of_webhook:?} {answer:?}");
        if let Err(error) = answer {
            assert_eq!(error.cause, Cause::Tls);
            assert!(error.detail.contains("TLS version"), "{}", error.detail);
        }
    }
}

#[tokio::test]
async fn an_authority_or_another_name_may_be_one_webhooks_own() {
    let (known, strange) = (authority(), authority_named("a stranger"));
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, strange.pem()).unwrap();
    let client = trusting(&known);
    let with = |tls: WebhookTls| client.egress(&WebhookEgress { tls, ..WebhookEgress::default() }).unwrap();
    let own = with(WebhookTls { ca_file: Some(ca_file), ..WebhookTls::default() });
    for authority in [&known, &strange] {
        let receiver = echo(acceptor(authority, named("hooks.test"), &["h2"])).await;
        assert_eq!(client.send_with(&own, post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap().status, 200);
    }
    let receiver = echo(acceptor(&known, named("inner.test"), &["h2"])).await;
    let renamed = with(WebhookTls { server_name: Some("inner.test".to_owned()), ..WebhookTls::default() });
    let answer = client.send_with(&renamed, post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap();
    assert!(answer.body.starts_with(b"HTTP/2.0 hooks.test"), "{:?}", answer.body);
    assert_eq!(client.send(post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap_err().cause, Cause::Tls);
}

#[tokio::test]
async fn a_handshake_that_drips_ends_at_the_deadline() {
    let receiver = Receiver::start(|_, mut stream| async move {
        // The head of a record that announces 16 KiB of handshake.
        stream.write_all(&[22, 3, 3, 0x40, 0]).await?;
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            stream.write_all(&[2]).await?;
        }
    })
    .await;
    let error = trusting(&authority()).send(post(&url(&receiver, "hooks.test")), SHORT).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Timeout | Cause::Tls), "{}", error.detail);
}

#[tokio::test]
async fn http2_floods_end_with_a_named_cause() {
    let authority = authority();
    let tls = acceptor(&authority, named("hooks.test"), &["h2"]);
    let table: [(&str, Vec<u8>, Vec<u8>); 5] = [
        ("settings", vec![], frame(4, 0, 0, &[])),
        ("pings", vec![], frame(6, 0, 0, &[0; 8])),
        // `:status: 200`, never ended; then header fields without end.
        ("continuations", frame(1, 0, 1, &[0x88]), frame(9, 0, 1, &[0x00, 0x01, b'a', 0x01, b'b'])),
        ("informational answers", vec![], frame(1, 4, 1, &[0x08, 0x03, b'1', b'0', b'3'])),
        ("data", frame(1, 4, 1, &[0x88]), frame(0, 0, 1, &[])),
    ];
    for (what, first, flood) in table {
        let tls = tls.clone();
        let receiver = Receiver::start(move |_, stream| {
            let (tls, first, flood) = (tls.clone(), first.clone(), flood.clone());
            async move {
                let mut stream = tls.accept(stream).await?;
                let mut preface = [0; 24];
                stream.read_exact(&mut preface).await?;
                stream.write_all(&frame(4, 0, 0, &[])).await?;
                // Long enough for the request to be on stream 1.
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.write_all(&first).await?;
                loop {
                    stream.write_all(&flood).await?;
                }
            }
        })
        .await;
        let started = Instant::now();
        let client = trusting(&authority);
        let error = client.send(post(&url(&receiver, "hooks.test")), SHORT).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(5), "{what}");
        assert!(
            matches!(error.cause, Cause::Timeout | Cause::Protocol | Cause::Connection),
            "{what}: {:?} {}",
            error.cause,
            error.detail
        );
        assert!(!error.detail.is_empty());
    }
}

#[tokio::test]
async fn alpn_chooses_the_protocol_and_connections_are_used_again() {
    for (alpn, version) in [(&["h2", "http/1.1"][..], "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")] {
        let authority = authority();
        let receiver = echo(acceptor(&authority, named("hooks.test"), alpn)).await;
        let client = trusting(&authority);
        let first = client.send(post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap();
        let line = format!("{version} hooks.test:{} {{\"a\":1}}", receiver.address.port());
        assert_eq!(String::from_utf8_lossy(&first.body), line);
        assert!(first.timings.resolve_us.is_some() && first.timings.connect_us.is_some() && first.timings.tls_us.is_some());
        let second = client.send(post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap();
        assert!(second.timings.resolve_us.is_none() && second.timings.tls_us.is_none());
        assert_eq!(receiver.connections(), 1, "{version}");
    }
}

#[tokio::test]
async fn many_requests_at_once_share_few_http2_connections() {
    let authority = authority();
    let receiver = echo(acceptor(&authority, named("hooks.test"), &["h2"])).await;
    let client = trusting(&authority);
    client.send(post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap();
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let (client, url) = (client.clone(), url(&receiver, "hooks.test"));
        sends.spawn(async move { client.send(post(&url), LIMITS).await.unwrap().status });
    }
    assert!(sends.join_all().await.iter().all(|status| *status == 200));
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn an_unused_http2_connection_is_closed_and_a_new_one_opened() {
    let authority = authority();
    let receiver = echo(acceptor(&authority, named("hooks.test"), &["h2"])).await;
    let options = ClientOptions {
        roots: Roots::Pem(authority.pem().into_bytes()),
        idle_timeout: Duration::from_millis(40),
        ..options(&["127.0.0.0/8"])
    };
    let resolver = Resolver::Custom(Arc::new(|_| Ok(vec![[127, 0, 0, 1].into()])));
    let client = Client::with_resolver(options, resolver).unwrap();
    client.send(post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap();
    receiver.ended.notified().await;
    client.send(post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap();
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused_in_words() {
    let mut expired = named("hooks.test");
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let mut early = named("hooks.test");
    early.not_before = rcgen::date_time_ymd(2999, 1, 1);
    let (ours, namesake, stranger) = (authority(), authority(), authority_named("a stranger"));
    let table = [
        (acceptor(&namesake, named("hooks.test"), &["h2"]), "no authority that this machine trusts"),
        (acceptor(&stranger, named("hooks.test"), &["h2"]), "no authority that this machine trusts"),
        (acceptor(&ours, named("other.test"), &["h2"]), "is for another name"),
        (acceptor(&ours, expired, &["h2"]), "has expired: renew it"),
        (acceptor(&ours, early, &["h2"]), "is not valid yet"),
    ];
    for (acceptor, words) in table {
        let receiver = echo(acceptor).await;
        let error = trusting(&ours).send(post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap_err();
        assert_eq!(error.cause, Cause::Tls, "{}", error.detail);
        assert!(
            error.detail.starts_with("no TLS session with `hooks.test`: ") && error.detail.contains(words),
            "{}",
            error.detail
        );
    }
}

/// As `openssl req -x509` makes them: signed by itself, and trusted as such.
fn self_signed(params: CertificateParams) -> (TlsAcceptor, Client) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let options = ClientOptions { roots: Roots::Pem(certificate.pem().into_bytes()), ..options(&["127.0.0.0/8"]) };
    let resolver = Resolver::Custom(Arc::new(|_| Ok(vec![[127, 0, 0, 1].into()])));
    (TlsAcceptor::from(Arc::new(config)), Client::with_resolver(options, resolver).unwrap())
}

#[tokio::test]
async fn self_signed_certificates_are_trusted_or_refused_with_advice() {
    let mut of_an_authority = named("hooks.test");
    of_an_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut of_nobody_special = named("hooks.test");
    of_nobody_special.is_ca = IsCa::ExplicitNoCa;
    let mut for_clients = named("hooks.test");
    for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let table = [
        (of_an_authority, Some("-addext basicConstraints=CA:FALSE")),
        (for_clients, Some("is not made for servers")),
        (of_nobody_special, None),
    ];
    for (params, words) in table {
        let (acceptor, client) = self_signed(params);
        let receiver = echo(acceptor).await;
        let answer = client.send(post(&url(&receiver, "hooks.test")), LIMITS).await;
        match (answer, words) {
            (Ok(answer), None) => assert_eq!(answer.status, 200),
            (Err(error), Some(words)) => {
                assert_eq!(error.cause, Cause::Tls);
                assert!(error.detail.contains(words) && !error.detail.contains("Other"), "{}", error.detail);
            }
            (other, words) => panic!("{words:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn endpoints_without_tls_are_named() {
    let plain = Receiver::start(|_, mut stream| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
        until_closed(&mut stream).await
    })
    .await;
    let closing = Receiver::start(|_, mut stream| async move {
        stream.shutdown().await?;
        until_closed(&mut stream).await
    })
    .await;
    let silent = Receiver::start(|_, mut stream| async move { until_closed(&mut stream).await }).await;
    let client = trusting(&authority());
    let failure = async |receiver: &Receiver| client.send(post(&url(receiver, "hooks.test")), SHORT).await.unwrap_err();
    let error = failure(&plain).await;
    assert_eq!(error.cause, Cause::Tls);
    assert!(error.detail.contains("does not speak TLS: is it a plain http port?"), "{}", error.detail);
    let error = failure(&closing).await;
    assert_eq!(error.cause, Cause::Tls);
    assert!(error.detail.contains("closed the connection during the handshake"), "{}", error.detail);
    let error = failure(&silent).await;
    assert_eq!(error.cause, Cause::Timeout);
    assert!(error.detail.starts_with("the TLS handshake did not end within 300 ms (`timeout`)"), "{}", error.detail);
}

#[tokio::test]
async fn http2_endpoints_that_misbehave_are_named() {
    let authority = authority();
    let tls = acceptor(&authority, named("hooks.test"), &["h2"]);
    for (answer, cause) in [(&b"garbage that is no frame at all"[..], Cause::Protocol), (b"", Cause::Connection)] {
        let tls = tls.clone();
        let receiver = Receiver::start(move |_, stream| {
            let tls = tls.clone();
            async move {
                let mut stream = tls.accept(stream).await?;
                let mut preface = [0; 24];
                stream.read_exact(&mut preface).await?;
                stream.write_all(answer).await?;
                stream.shutdown().await?;
                until_closed(&mut stream).await
            }
        })
        .await;
        let error = trusting(&authority).send(post(&url(&receiver, "hooks.test")), LIMITS).await.unwrap_err();
        assert_eq!(error.cause, cause, "{}", error.detail);
    }
}

#[test]
fn roots_that_are_no_certificates_are_refused() {
    for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let options = ClientOptions { roots: Roots::Pem(pem.into()), ..options(&[]) };
        let error = Client::new(options).unwrap_err().to_string();
        assert!(error.starts_with("the CA certificates cannot be used: "), "{error}");
    }
}
