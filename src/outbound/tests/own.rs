//! What a webhook has of its own: addresses, certificates, credentials.

use super::*;
use crate::model::{Credential, EndpointAuth, EndpointUrl, OAuth2, SendClient, WebhookEgress, WebhookTls};
use std::sync::Mutex;

fn egress(auth: Option<EndpointAuth>) -> WebhookEgress {
    WebhookEgress { auth, ..WebhookEgress::default() }
}

fn opening(range: &str) -> WebhookEgress {
    WebhookEgress { allow: vec![range.parse().unwrap()], ..WebhookEgress::default() }
}

#[tokio::test]
async fn addresses_allowed_for_one_webhook_stay_closed_to_the_others() {
    let receiver = Receiver::start(|_, mut stream| async move {
        loop {
            read_request(&mut stream).await?;
            stream.write_all(OK.as_bytes()).await?;
        }
    })
    .await;
    let client = Client::new(options(&[])).unwrap();
    let (own, same) = (client.egress(&opening("127.0.0.1/32")).unwrap(), client.egress(&opening("127.0.0.1/32")).unwrap());
    let wider = client.egress(&opening("127.0.0.0/8")).unwrap();
    for egress in [&own, &same] {
        assert_eq!(client.send_with(egress, post(&receiver.url("/")), LIMITS).await.unwrap().status, 200);
    }
    assert_eq!(receiver.connections(), 1, "the same terms share connections");
    let error = client.send(post(&receiver.url("/")), LIMITS).await.unwrap_err();
    assert_eq!(error.cause, Cause::BlockedAddress, "{}", error.detail);
    assert_eq!(client.send_with(&wider, post(&receiver.url("/")), LIMITS).await.unwrap().status, 200);
    assert_eq!(receiver.connections(), 2);
    let everything = client.egress(&opening("0.0.0.0/0")).unwrap();
    let error = client.send_with(&everything, post("http://169.254.169.254/"), LIMITS).await.unwrap_err();
    assert!(error.detail.contains("metadata"), "{}", error.detail);
}

#[tokio::test]
async fn basic_and_bearer_are_sent_with_every_request() {
    let bearer = EndpointAuth::Bearer { token: Credential::new("abc") };
    let basic = EndpointAuth::Basic { username: "Aladdin".to_owned(), password: Credential::new("open sesame") };
    // RFC 7617's example.
    for (auth, header) in [(bearer, "bearer abc"), (basic, "basic qwxhzgrpbjpvcgvuihnlc2ftzq==")] {
        let (sender, mut seen) = mpsc::channel(4);
        let receiver = recording(sender).await;
        let client = client();
        let own = client.egress(&egress(Some(auth))).unwrap();
        assert!(own.authorizes());
        client.send_with(&own, post(&receiver.url("/")), LIMITS).await.unwrap();
        let request = seen.recv().await.unwrap().to_lowercase();
        assert!(request.contains(&format!("authorization: {header}\r\n")), "{request}");
    }
}

/// Answers 200 to every request, and passes it on.
async fn recording(sender: mpsc::Sender<String>) -> Receiver {
    Receiver::start(move |_, mut stream| {
        let sender = sender.clone();
        async move {
            loop {
                let request = read_request(&mut stream).await?;
                let _ = sender.send(request).await;
                stream.write_all(OK.as_bytes()).await?;
            }
        }
    })
    .await
}

/// A token server: hands out `token-1`, `token-2`, … with this answer's template, and remembers requests.
struct TokenServer {
    receiver: Receiver,
    requests: Arc<Mutex<Vec<String>>>,
}

impl TokenServer {
    async fn start(status: u16, more: &'static str) -> Self {
        let requests = Arc::new(Mutex::new(Vec::<String>::new()));
        let seen = requests.clone();
        let receiver = Receiver::start(move |_, mut stream| {
            let seen = seen.clone();
            async move {
                loop {
                    let request = read_request(&mut stream).await?;
                    let number = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request);
                        seen.len()
                    };
                    let body = format!("{{\"access_token\":\"token-{number}\",\"token_type\":\"Bearer\"{more}}}");
                    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.write_all((head + &body).as_bytes()).await?;
                }
            }
        })
        .await;
        Self { receiver, requests }
    }

    fn asked(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn settings(&self, send: SendClient) -> OAuth2 {
        OAuth2 {
            token_url: EndpointUrl::new(url::Url::parse(&self.receiver.url("/token")).unwrap()),
            client_id: "me@x".to_owned(),
            client_secret: Credential::new("s3cr:t"),
            scopes: vec!["deliver".to_owned(), "more".to_owned()],
            params: vec![("audience".to_owned(), "https://api".to_owned())],
            send,
        }
    }
}

/// Takes only this token; counts requests.
async fn taking(good: &'static str) -> Receiver {
    Receiver::start(move |_, mut stream| async move {
        loop {
            let request = read_request(&mut stream).await?.to_lowercase();
            let taken = request.contains(&format!("authorization: bearer {good}\r\n"));
            let answer = if taken { OK } else { "HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n" };
            stream.write_all(answer.as_bytes()).await?;
        }
    })
    .await
}

#[tokio::test]
async fn one_token_serves_many_requests_and_reloads() {
    for (send, expected) in [
        (SendClient::Header, "authorization: basic bwulndb4onmzy3ilm0f0\r\n"),
        (SendClient::Body, "client_id=me%40x&client_secret=s3cr%3at"),
    ] {
        let tokens = TokenServer::start(200, ",\"expires_in\":3600").await;
        let endpoint = taking("token-1").await;
        let client = client();
        let settings = egress(Some(EndpointAuth::OAuth2(tokens.settings(send))));
        let own = client.egress(&settings).unwrap();
        let send = |own: Egress| {
            let (client, url) = (client.clone(), endpoint.url("/"));
            async move { client.send_with(&own, post(&url), LIMITS).await.unwrap().status }
        };
        let at_once = tokio::join!(send(own.clone()), send(own.clone()), send(own.clone()));
        assert_eq!(at_once, (200, 200, 200));
        assert_eq!(send(client.egress(&settings).unwrap()).await, 200);
        assert_eq!(tokens.asked(), 1);
        let request = tokens.requests.lock().unwrap()[0].to_lowercase();
        assert!(request.starts_with("post /token http/1.1\r\n") && request.contains(expected), "{request}");
        let form = "grant_type=client_credentials&scope=deliver+more&audience=https%3a%2f%2fapi";
        assert!(request.contains(form), "{request}");
    }
}

#[tokio::test]
async fn a_token_is_replaced_before_it_expires_and_when_it_is_refused() {
    let tokens = TokenServer::start(200, ",\"expires_in\":0").await;
    let client = client();
    let own = client.egress(&egress(Some(EndpointAuth::OAuth2(tokens.settings(SendClient::Header))))).unwrap();
    let endpoint = taking("token-2").await;
    // The first token is not taken, and it is new: that is the endpoint's answer.
    assert_eq!(client.send_with(&own, post(&endpoint.url("/")), LIMITS).await.unwrap().status, 401);
    assert_eq!(client.send_with(&own, post(&endpoint.url("/")), LIMITS).await.unwrap().status, 200);
    assert_eq!(tokens.asked(), 2);

    let tokens = TokenServer::start(200, ",\"expires_in\":3600").await;
    let own = client.egress(&egress(Some(EndpointAuth::OAuth2(tokens.settings(SendClient::Header))))).unwrap();
    assert_eq!(client.send_with(&own, post(&taking("token-1").await.url("/")), LIMITS).await.unwrap().status, 200);
    // Withdrawn before its time: another one is fetched within the same attempt.
    assert_eq!(client.send_with(&own, post(&taking("token-2").await.url("/")), LIMITS).await.unwrap().status, 200);
    assert_eq!(client.send_with(&own, post(&taking("token-2").await.url("/")), LIMITS).await.unwrap().status, 200);
    assert_eq!(tokens.asked(), 2);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_reason_is_named() {
    let endpoint = taking("x").await;
    let client = client();
    let refusing = TokenServer::start(403, ",\"error\":\"invalid_client\"").await;
    let own = client.egress(&egress(Some(EndpointAuth::OAuth2(refusing.settings(SendClient::Header))))).unwrap();
    for _ in 0..3 {
        let error = client.send_with(&own, post(&endpoint.url("/")), LIMITS).await.unwrap_err();
        assert_eq!(error.cause, Cause::Auth);
        assert!(error.detail.contains("it answered 403 (invalid_client): are `client_id`"), "{}", error.detail);
        assert!(!error.detail.contains("s3cr"));
    }
    assert_eq!(refusing.asked(), 1, "a server that has just failed is left alone");

    let silent = Receiver::start(|_, mut stream| async move { until_closed(&mut stream).await }).await;
    let mut settings = refusing.settings(SendClient::Header);
    settings.token_url = EndpointUrl::new(url::Url::parse(&silent.url("/token")).unwrap());
    let own = client.egress(&egress(Some(EndpointAuth::OAuth2(settings.clone())))).unwrap();
    let error = client.send_with(&own, post(&endpoint.url("/")), SHORT).await.unwrap_err();
    assert_eq!(error.cause, Cause::Timeout);
    assert!(error.detail.starts_with("no token for the endpoint came within 300 ms"), "{}", error.detail);

    settings.token_url = EndpointUrl::new(url::Url::parse("http://169.254.169.254/token").unwrap());
    let own = client.egress(&egress(Some(EndpointAuth::OAuth2(settings)))).unwrap();
    let error = client.send_with(&own, post(&endpoint.url("/")), LIMITS).await.unwrap_err();
    assert!(error.cause == Cause::Auth && error.detail.contains("metadata"), "{}", error.detail);
    assert_eq!(endpoint.connections(), 0);
}

#[tokio::test]
async fn files_that_are_no_certificates_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let (authority, other) = (secure::authority(), secure::authority());
    let (chain, key) = secure::client_pem(&authority);
    let (_, strange_key) = secure::client_pem(&other);
    let client = client();
    let refused = |tls: WebhookTls| client.egress(&WebhookEgress { tls, ..WebhookEgress::default() }).unwrap_err().to_string();
    let (chain, key) = (file("client.pem", &chain), file("client.key", &key));
    let tls = |cert_file, key_file| WebhookTls { cert_file, key_file, ..WebhookTls::default() };
    let missing = Some(directory.path().join("missing.pem"));
    assert!(refused(tls(missing, key.clone())).starts_with("cannot read `tls.cert_file`, "));
    assert!(
        refused(tls(file("empty.pem", "\n"), key.clone())).ends_with("the certificate of `tls.cert_file`: the file is empty")
    );
    let words = refused(tls(key.clone(), key.clone()));
    assert!(words.ends_with("no certificate in it, but a private key (which belongs into a `key_file`)"), "{words}");
    assert!(!words.contains("CA certificates"), "{words}");
    assert!(refused(tls(chain.clone(), file("no.key", "x"))).contains("`tls.key_file` holds no private key in PEM"));
    assert!(refused(tls(chain.clone(), file("strange.key", &strange_key))).contains("does not belong to the certificate"));
    for (text, words) in [("hello", "there is no certificate in it"), ("", "the file is empty")] {
        let path = file("no-ca.pem", text);
        let ca = WebhookTls { ca_file: path.clone(), ..WebhookTls::default() };
        let own = refused(ca);
        let egress = NetworkEgress { ca_file: path, ..NetworkEgress::default() };
        let policy = NetworkPolicy { allow: vec![], https_only: true };
        let everybodys = ClientOptions::read(policy, &egress).unwrap_err().to_string();
        for (error, key) in [(own, "`tls.ca_file`"), (everybodys, "`[network] ca_file`")] {
            assert!(error.starts_with(&format!("the CA certificates cannot be used: {key}: {words}")), "{error}");
        }
    }
    assert!(client.egress(&WebhookEgress { tls: tls(chain, key), ..WebhookEgress::default() }).is_ok());
}
