//! Ways through proxies, against proxies of the test's own that do as RFC 9110 and RFC 1928 say.

use super::*;
use crate::model::{Credential, NoProxy, Proxy, ProxyKind};
use std::sync::Mutex;
use tokio::io::{AsyncWrite, copy_bidirectional};

/// What proxies were asked for, one line each.
type Asked = Arc<Mutex<Vec<String>>>;

/// Connects to the receiver whatever is asked for, and remembers what was.
async fn http_proxy(receiver: SocketAddr, asked: &Asked) -> Receiver {
    let asked = asked.clone();
    Receiver::start(move |_, stream| serve_http_proxy(stream, receiver, asked.clone())).await
}

/// The same, within TLS and for this machine's address.
async fn https_proxy(authority: &secure::Authority, receiver: SocketAddr, asked: &Asked) -> Receiver {
    let (acceptor, asked) = (secure::acceptor(authority, secure::named("127.0.0.1"), &["h2", "http/1.1"]), asked.clone());
    Receiver::start(move |_, stream| {
        let (acceptor, asked) = (acceptor.clone(), asked.clone());
        async move {
            let stream = acceptor.accept(stream).await?;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]), "a proxy is spoken to in HTTP/1.1");
            serve_http_proxy(stream, receiver, asked).await
        }
    })
    .await
}

async fn serve_http_proxy(mut stream: impl AsyncRead + AsyncWrite + Unpin, receiver: SocketAddr, asked: Asked) -> io::Result<()> {
    let head = read_request(&mut stream).await?;
    asked.lock().unwrap().push(head.clone());
    if !head.starts_with("CONNECT ") {
        stream.write_all(OK.as_bytes()).await?;
        return until_closed(&mut stream).await;
    }
    if !head.contains("Proxy-Authorization: Basic dTpww6RzczovMQ==\r\n") {
        stream.write_all(b"HTTP/1.1 407 Who Are You\r\ncontent-length: 0\r\n\r\n").await?;
        return until_closed(&mut stream).await;
    }
    let mut endpoint = TcpStream::connect(receiver).await?;
    stream.write_all(b"HTTP/1.1 200 Connection Established\r\nvia: x\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut endpoint).await.map(|_| ())
}

/// RFC 1928, with or without RFC 1929.
async fn socks5_proxy(receiver: SocketAddr, with_password: bool, asked: &Asked) -> Receiver {
    let asked = asked.clone();
    Receiver::start(move |_, mut stream| {
        let asked = asked.clone();
        async move {
            let mut head = [0; 2];
            stream.read_exact(&mut head).await?;
            let mut methods = vec![0; usize::from(head[1])];
            stream.read_exact(&mut methods).await?;
            let wanted = if with_password { 2 } else { 0 };
            if !methods.contains(&wanted) {
                return stream.write_all(&[5, 0xff]).await;
            }
            stream.write_all(&[5, wanted]).await?;
            if with_password {
                let mut credentials = [0; 1 + 1 + 1 + 1 + 8];
                stream.read_exact(&mut credentials).await?;
                let good = credentials == *b"\x01\x01u\x08p\xc3\xa4ss:/1";
                stream.write_all(&[1, u8::from(!good)]).await?;
            }
            let mut request = [0; 4];
            stream.read_exact(&mut request).await?;
            assert_eq!(request[..3], [5, 1, 0]);
            let host = match request[3] {
                1 => {
                    let mut address = [0; 4];
                    stream.read_exact(&mut address).await?;
                    std::net::Ipv4Addr::from(address).to_string()
                }
                3 => {
                    let mut name = vec![0; usize::from(stream.read_u8().await?)];
                    stream.read_exact(&mut name).await?;
                    String::from_utf8(name).unwrap()
                }
                other => panic!("address type {other}"),
            };
            let port = stream.read_u16().await?;
            asked.lock().unwrap().push(format!("{host}:{port}"));
            if host.contains("forbidden") {
                return stream.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await;
            }
            let mut endpoint = TcpStream::connect(receiver).await?;
            stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
            copy_bidirectional(&mut stream, &mut endpoint).await.map(|_| ())
        }
    })
    .await
}

fn through(proxy: &Receiver, kind: ProxyKind, password: Option<&str>, options: ClientOptions) -> ClientOptions {
    let proxy = Proxy {
        kind,
        host: proxy.address.ip().to_string(),
        port: proxy.address.port(),
        username: if password.is_some() { "u".to_owned() } else { String::new() },
        password: password.map(Credential::new),
    };
    let except = vec![NoProxy::parse("direct.test").unwrap()];
    ClientOptions { proxy: Some(ProxyPolicy { proxy, except }), ..options }
}

fn nowhere() -> Resolver {
    Resolver::Custom(Arc::new(|name| panic!("{name} was resolved here")))
}

const PASSWORD: &str = "päss:/1";

#[tokio::test]
async fn https_goes_through_a_tunnel_with_its_name_and_its_own_tls() {
    let authority = secure::authority();
    let receiver = secure::echo(secure::acceptor(&authority, secure::named("hooks.test"), &["h2"])).await;
    let asked = Asked::default();
    let proxy = http_proxy(receiver.address, &asked).await;
    let roots = Roots::Pem(authority.pem().into_bytes());
    let options = through(&proxy, ProxyKind::Http, Some(PASSWORD), ClientOptions { roots, ..options(&[]) });
    let client = Client::with_resolver(options.clone(), nowhere()).unwrap();
    for _ in 0..2 {
        let answer = client.send(post("https://hooks.test/in"), LIMITS).await.unwrap();
        assert!(answer.body.starts_with(b"HTTP/2.0 hooks.test"), "{:?}", answer.body);
    }
    let requests = asked.lock().unwrap().clone();
    assert_eq!(requests.len(), 1, "the tunnel is used again: {requests:?}");
    assert!(requests[0].starts_with("CONNECT hooks.test:443 HTTP/1.1\r\nHost: hooks.test:443\r\n"), "{requests:?}");

    let mut wrong = options.clone();
    wrong.proxy.as_mut().unwrap().proxy.password = Some(Credential::new("wrong"));
    let error = Client::with_resolver(wrong, nowhere()).unwrap().send(post("https://hooks.test/in"), LIMITS).await.unwrap_err();
    assert_eq!(error.cause, Cause::Connect);
    assert!(error.detail.contains("does not take the credentials in `[network] proxy` (407)"), "{}", error.detail);
    let mut without = options;
    without.proxy.as_mut().unwrap().proxy.password = None;
    let error = Client::with_resolver(without, nowhere()).unwrap().send(post("https://hooks.test/in"), LIMITS).await.unwrap_err();
    assert!(error.detail.contains("it wants credentials: proxy = \"http://user:password@host:port\""), "{}", error.detail);
}

#[tokio::test]
async fn a_proxy_behind_tls_is_trusted_as_endpoints_are_and_hands_on_both() {
    let authority = secure::authority();
    let receiver = secure::echo(secure::acceptor(&authority, secure::named("hooks.test"), &["h2"])).await;
    let asked = Asked::default();
    let proxy = https_proxy(&authority, receiver.address, &asked).await;
    let lax = ClientOptions::new(NetworkPolicy { allow: vec![], https_only: false });
    let roots = Roots::Pem(authority.pem().into_bytes());
    let options = through(&proxy, ProxyKind::Https, Some(PASSWORD), ClientOptions { roots, ..lax });
    let client = Client::with_resolver(options.clone(), nowhere()).unwrap();
    for _ in 0..2 {
        let answer = client.send(post("https://hooks.test/in"), LIMITS).await.unwrap();
        assert!(answer.body.starts_with(b"HTTP/2.0 hooks.test"), "{:?}", answer.body);
    }
    assert_eq!(client.send(post("http://hooks.test/in"), LIMITS).await.unwrap().status, 200);
    let requests = asked.lock().unwrap().clone();
    assert_eq!(requests.len(), 2, "one tunnel, and one request in the absolute form: {requests:?}");
    assert!(requests[0].starts_with("CONNECT hooks.test:443 HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[1].starts_with("POST http://hooks.test/in HTTP/1.1\r\n"), "{requests:?}");

    // Nothing is said to one that somebody else vouches for, nor in the clear.
    let stranger = https_proxy(&secure::authority(), receiver.address, &asked).await;
    let plain = Receiver::start(|_, mut stream| async move {
        stream.read_u8().await?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await
    })
    .await;
    for (proxy, words) in [
        (&stranger, "no authority that this machine trusts has signed the proxy's certificate"),
        (&plain, "what listens there does not speak TLS"),
    ] {
        let options = through(proxy, ProxyKind::Https, Some(PASSWORD), options.clone());
        let client = Client::with_resolver(options, nowhere()).unwrap();
        let error = client.send(post("https://hooks.test/in"), LIMITS).await.unwrap_err();
        assert_eq!(error.cause, Cause::Connect, "{}", error.detail);
        let expected = format!("no TLS session with the proxy {}: {words}", proxy.address);
        assert!(error.detail.starts_with(&expected), "{}", error.detail);
    }
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn plain_http_is_handed_to_the_proxy_in_the_absolute_form() {
    let receiver = Receiver::answering(OK).await;
    let asked = Asked::default();
    let proxy = http_proxy(receiver.address, &asked).await;
    let lax = ClientOptions::new(NetworkPolicy { allow: vec![], https_only: false });
    let client = Client::with_resolver(through(&proxy, ProxyKind::Http, Some("x"), lax), nowhere()).unwrap();
    assert_eq!(client.send(post("http://hooks.test:8080/in?a=1"), LIMITS).await.unwrap().status, 200);
    let request = asked.lock().unwrap()[0].clone();
    assert!(request.starts_with("POST http://hooks.test:8080/in?a=1 HTTP/1.1\r\n"), "{request}");
    let request = request.to_lowercase();
    assert!(
        request.contains("host: hooks.test:8080\r\n") && request.contains("proxy-authorization: basic dtp4\r\n"),
        "{request}"
    );
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn what_a_proxy_does_to_a_plain_request_is_not_laid_at_the_endpoints_door() {
    const SILENCE: &str = "silence";
    let lax = ClientOptions::new(NetworkPolicy { allow: vec![], https_only: false });
    let send = async |answer: &'static str, password: Option<&str>| {
        let proxy = Receiver::start(move |_, mut stream| async move {
            read_request(&mut stream).await?;
            if answer == SILENCE {
                return until_closed(&mut stream).await;
            }
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            until_closed(&mut stream).await
        })
        .await;
        let options = through(&proxy, ProxyKind::Http, password, lax.clone());
        let client = Client::with_resolver(options, nowhere()).unwrap();
        (client.send(post("http://hooks.test/in"), SHORT).await, proxy.address)
    };
    let wants_credentials = "HTTP/1.1 407 Who Are You\r\ncontent-length: 0\r\n\r\n";
    for (password, words) in [
        (None, "it wants credentials: proxy = \"http://user:password@host:port\" (407)"),
        (Some("wrong"), "it does not take the credentials in `[network] proxy` (407)"),
    ] {
        let (answer, address) = send(wants_credentials, password).await;
        let error = answer.unwrap_err();
        assert_eq!(error.cause, Cause::Connect, "{}", error.detail);
        assert_eq!(error.detail, format!("the proxy {address} does not connect to hooks.test:80: {words}"));
        assert!(error.partial.is_none());
    }
    for (answer, cause, words) in [
        ("", Cause::Connection, "closed the connection before it answered"),
        (SILENCE, Cause::Timeout, "no answer came within 300 ms"),
        ("SSH-2.0-OpenSSH_9.2\r\n", Cause::Protocol, "is not HTTP"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Cause::Connection, "in the middle of its answer"),
    ] {
        let (answer, address) = send(answer, None).await;
        let error = answer.unwrap_err();
        assert_eq!(error.cause, cause, "{}", error.detail);
        assert!(error.detail.contains(words), "{}", error.detail);
        assert!(error.detail.ends_with(&format!(" (by way of the proxy {address}, whose fault it may be)")), "{}", error.detail);
    }
    let (answer, address) = send("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", None).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.via.as_deref()), (502, Some(address.to_string().as_str())));
    // Without a proxy a 407 is an answer like any other.
    let receiver = Receiver::answering(wants_credentials).await;
    let answer = client().send(post(&receiver.url("/")), LIMITS).await.unwrap();
    assert_eq!((answer.status, answer.via), (407, None));
}

#[tokio::test]
async fn localhost_behind_a_proxy_is_refused_with_the_way_out() {
    let asked = Asked::default();
    let proxy = socks5_proxy("127.0.0.1:1".parse().unwrap(), false, &asked).await;
    for kind in [ProxyKind::Http, ProxyKind::Socks5h] {
        let options = through(&proxy, kind, None, options(&["127.0.0.0/8"]));
        let error =
            Client::with_resolver(options, nowhere()).unwrap().send(post("https://db.localhost/"), LIMITS).await.unwrap_err();
        assert_eq!(error.cause, Cause::BlockedAddress);
        assert!(error.detail.contains("`[network] no_proxy = [\"db.localhost\"]`"), "{}", error.detail);
        assert!(!error.detail.contains("allow = "), "{}", error.detail);
    }
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn socks5_is_given_checked_addresses_and_socks5h_the_name() {
    for (kind, password, expected) in [
        (ProxyKind::Socks5, None, "127.0.0.1"),
        (ProxyKind::Socks5, Some(PASSWORD), "127.0.0.1"),
        (ProxyKind::Socks5h, None, "hooks.test"),
        (ProxyKind::Socks5h, Some(PASSWORD), "hooks.test"),
    ] {
        let authority = secure::authority();
        let receiver = secure::echo(secure::acceptor(&authority, secure::named("hooks.test"), &[])).await;
        let asked = Asked::default();
        let proxy = socks5_proxy(receiver.address, password.is_some(), &asked).await;
        let roots = Roots::Pem(authority.pem().into_bytes());
        let options = through(&proxy, kind, password, ClientOptions { roots, ..options(&["127.0.0.0/8"]) });
        let resolver = match kind {
            ProxyKind::Socks5 => Resolver::Custom(Arc::new(|_| Ok(vec![[127, 0, 0, 1].into()]))),
            _ => nowhere(),
        };
        let client = Client::with_resolver(options, resolver).unwrap();
        let answer = client.send(post("https://hooks.test:8443/in"), LIMITS).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(*asked.lock().unwrap(), [format!("{expected}:8443")]);
    }
}

#[tokio::test]
async fn the_guard_stands_before_the_proxy() {
    let receiver = Receiver::answering(OK).await;
    let asked = Asked::default();
    let http = http_proxy(receiver.address, &asked).await;
    let socks = socks5_proxy(receiver.address, false, &asked).await;
    let https = https_proxy(&secure::authority(), receiver.address, &asked).await;
    for (proxy, kind) in
        [(&http, ProxyKind::Http), (&https, ProxyKind::Https), (&socks, ProxyKind::Socks5), (&socks, ProxyKind::Socks5h)]
    {
        let metadata = Resolver::Custom(Arc::new(|_| Ok(vec![[169, 254, 169, 254].into()])));
        let client = Client::with_resolver(through(proxy, kind, None, options(&["10.0.0.0/8"])), metadata).unwrap();
        let mut urls = vec!["https://169.254.169.254/", "https://127.0.0.1/", "https://[::1]/", "http://93.184.216.34/"];
        urls.extend(if kind == ProxyKind::Socks5 {
            ["https://innocent.test/", "http://innocent.test/"]
        } else {
            ["https://localhost/", "http://innocent.test/"]
        });
        // The other spellings of what must not be reached, and the names that say so by themselves.
        urls.extend(["https://[::ffff:169.254.169.254]/", "https://[64:ff9b::a9fe:a9fe]/", "https://[::ffff:7f00:1]/"]);
        if kind != ProxyKind::Socks5 {
            urls.extend(["https://LOCALHOST./", "https://db.localhost/", "https://metadata.google.internal/"]);
            urls.extend(["https://Instance-Data./", "https://127.1/", "https://2130706433/", "https://0xa9fea9fe/"]);
        }
        for url in urls {
            let error = client.send(post(url), LIMITS).await.unwrap_err();
            assert_eq!(error.cause, Cause::BlockedAddress, "{kind:?} {url}: {}", error.detail);
        }
    }
    let connections = [&http, &https, &socks].map(Receiver::connections);
    assert!(asked.lock().unwrap().is_empty() && connections == [0; 3], "{connections:?}");
}

#[tokio::test]
async fn exceptions_are_reached_without_the_proxy() {
    let receiver = Receiver::answering(OK).await;
    let asked = Asked::default();
    let proxy = http_proxy(receiver.address, &asked).await;
    let resolver = Resolver::Custom(Arc::new(|_| Ok(vec![[127, 0, 0, 1].into()])));
    let client = Client::with_resolver(through(&proxy, ProxyKind::Http, None, options(&["127.0.0.0/8"])), resolver).unwrap();
    let url = format!("http://a.direct.test:{}/", receiver.address.port());
    assert_eq!(client.send(post(&url), LIMITS).await.unwrap().status, 200);
    assert_eq!((receiver.connections(), proxy.connections()), (1, 0));
}

#[tokio::test]
async fn proxies_that_misbehave_are_named() {
    let table: [(ProxyKind, &[u8], &str); 8] = [
        (ProxyKind::Http, b"HTTP/1.1 403 No\x07pe\r\n\r\n", "does not connect to hooks.test:443: it answered 403 Nope"),
        (ProxyKind::Http, b"SSH-2.0\r\n\r\n", "is not HTTP: is it an HTTP proxy"),
        (ProxyKind::Http, b"HTTP/1.1 200 OK\r\n\r\nand more", "sent bytes behind its answer"),
        (ProxyKind::Http, b"", "closed the connection"),
        (ProxyKind::Socks5h, b"HTTP/1.1 400 Bad\r\n\r\n", "is not SOCKS5: should it be http://?"),
        (ProxyKind::Socks5h, b"\x05\xff", "it wants credentials: proxy = \"socks5://"),
        (ProxyKind::Socks5h, b"\x05\x00\x05\x05\x00\x01", "the endpoint refused the connection"),
        (ProxyKind::Socks5h, b"\x05", "closed the connection"),
    ];
    for (kind, answer, words) in table {
        let proxy = Receiver::start(move |_, mut stream| async move {
            stream.read_u8().await?;
            stream.write_all(answer).await?;
            stream.shutdown().await?;
            until_closed(&mut stream).await
        })
        .await;
        let client = Client::with_resolver(through(&proxy, kind, None, options(&[])), nowhere()).unwrap();
        let error = client.send(post("https://hooks.test/"), LIMITS).await.unwrap_err();
        assert_eq!(error.cause, Cause::Connect, "{kind:?}: {}", error.detail);
        assert!(error.detail.contains(words), "{kind:?} {answer:?}: {}", error.detail);
    }
    let asked = Asked::default();
    let socks = socks5_proxy("127.0.0.1:1".parse().unwrap(), false, &asked).await;
    let client = Client::with_resolver(through(&socks, ProxyKind::Socks5h, None, options(&[])), nowhere()).unwrap();
    let error = client.send(post("https://forbidden.test/"), LIMITS).await.unwrap_err();
    assert!(error.detail.contains("its rules do not allow it"), "{}", error.detail);
    // Endless headers, silence, nobody there.
    let endless = Receiver::start(|_, mut stream| async move {
        stream.read_u8().await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
        loop {
            stream.write_all(b"a: b\r\n").await?;
        }
    })
    .await;
    let silent = Receiver::start(|_, mut stream| async move { until_closed(&mut stream).await }).await;
    let send = async |proxy: &Receiver| {
        let client = Client::with_resolver(through(proxy, ProxyKind::Http, None, options(&[])), nowhere()).unwrap();
        client.send(post("https://hooks.test/"), SHORT).await.unwrap_err()
    };
    let error = send(&endless).await;
    assert!(error.cause == Cause::Connect && error.detail.contains("more than 8 KiB of headers"), "{}", error.detail);
    let error = send(&silent).await;
    assert!(error.cause == Cause::Timeout && error.detail.starts_with("the proxy did not connect"), "{}", error.detail);
    let dead = through(&silent, ProxyKind::Http, None, options(&[]));
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut dead = dead;
    dead.proxy.as_mut().unwrap().proxy.port = port;
    let error = Client::with_resolver(dead, nowhere()).unwrap().send(post("https://hooks.test/"), LIMITS).await.unwrap_err();
    assert_eq!(
        error.detail,
        format!("no connection to the proxy 127.0.0.1:{port}: refused: is the endpoint running, is the port right?")
    );
}
