//! How requests leave: what is taken, and what is said of the rest.

use super::*;
use crate::config::WebhookSettings;
use crate::model::{EndpointAuth, NoProxy, ProxyKind, SendClient, TlsVersion};

fn only(loaded: &Loaded) -> &WebhookSettings {
    loaded.settings.webhooks.values().next().expect("the test declares one")
}

#[test]
fn the_networks_settings_arrive() {
    let loaded = load(
        "[network]\nproxy = \"socks5h://u%40x:p%3a@egress.example:1081\"\nno_proxy = [\"*.corp\", \"10.0.0.0/8\"]\nca_file = \"ca.pem\"\nmin_tls_version = \"1.3\"",
    );
    let egress = &loaded.settings.network_egress;
    let policy = egress.proxy.as_ref().unwrap();
    assert_eq!((policy.proxy.kind, policy.proxy.host.as_str(), policy.proxy.port), (ProxyKind::Socks5h, "egress.example", 1081));
    assert_eq!((policy.proxy.username.as_str(), policy.proxy.password.as_ref().unwrap().expose()), ("u@x", "p:"));
    assert_eq!(policy.except[0], NoProxy::Domain("corp".to_owned()));
    assert_eq!((egress.ca_file.as_ref().unwrap().to_str().unwrap(), egress.min_tls), ("ca.pem", TlsVersion::Tls13));
    let bare = load("[network]\nproxy = \"http://[::1]:3128/\"");
    let proxy = bare.settings.network_egress.proxy.as_ref().unwrap().proxy.clone();
    assert_eq!((proxy.host.as_str(), proxy.port, proxy.password), ("::1", 3128, None));
    let secure = load("[network]\nproxy = \"https://egress.example\"");
    let proxy = secure.settings.network_egress.proxy.as_ref().unwrap().proxy.clone();
    assert_eq!((proxy.kind, proxy.port), (ProxyKind::Https, 443));
}

#[test]
fn a_webhooks_own_egress_arrives() {
    let loaded = load(&webhook(
        r#"network = { allow = ["10.2.0.0/16"] }
tls = { ca_file = "ca.pem", cert_file = "c.pem", key_file = "c.key", server_name = "inner.example", min_version = "1.3" }
auth.oauth2 = { token_url = "https://login.example/token", client_id = "me", client_secret = "${TOKEN}", scopes = ["a"], params = { audience = "x" }, send_client = "body" }"#,
    ));
    let egress = &only(&loaded).egress;
    assert_eq!(egress.allow[0].to_string(), "10.2.0.0/16");
    assert_eq!(egress.files().count(), 3);
    assert_eq!((egress.tls.server_name.as_deref(), egress.tls.min_version), (Some("inner.example"), Some(TlsVersion::Tls13)));
    let Some(EndpointAuth::OAuth2(oauth2)) = &egress.auth else { panic!("{egress:?}") };
    assert_eq!((oauth2.client_secret.expose(), oauth2.send), ("tok-from-the-environment", SendClient::Body));
    assert!(!format!("{egress:?}").contains("tok-from"));
    let loaded = load("[webhooks.a]\nurl = \"http://10.2.3.4/\"\nevents = [\"*\"]\nnetwork = { allow = [\"10.2.0.0/16\"] }");
    assert_eq!(only(&loaded).egress.allow.len(), 1, "what it opens is open to its own URL");
    let inherited =
        load(&("[defaults]\nnetwork.allow = [\"10.2.0.0/16\"]\ntls.min_version = \"1.3\"\n".to_owned() + &webhook("")));
    assert_eq!((only(&inherited).egress.allow.len(), only(&inherited).egress.tls.min_version), (1, Some(TlsVersion::Tls13)));
}

#[test]
fn the_networks_mistakes_are_named() {
    const HELP: &str = "write \"http://host:port\", \"https://host:port\" (TLS to the proxy), \"socks5://host:port\" (names are resolved here) or \"socks5h://host:port\" (the proxy resolves them), with user:password@ before the host if it wants them";
    for (url, message) in [
        ("egress:3128", "is not the URL of a proxy: `egress:3128`"),
        ("ftp://egress:3128", "is not the URL of a proxy: `ftp://egress:3128`"),
        ("http://egress:3128/path", "must be scheme, host and port alone: `http://egress:3128/path`"),
    ] {
        assert_eq!(one(&format!("[network]\nproxy = \"{url}\"")), format!("2:9 `proxy` {message} | {HELP}"));
    }
    let hidden = problems("[network]\nproxy = \"ftp://u:hunter22@egress\"");
    assert!(!hidden.render(false).contains("hunter22"), "{}", hidden.render(false));
    expect(&[
        (
            "[network]\nproxy = \"http://a\"\nno_proxy = [\"a b\"]",
            "3:13 `no_proxy`: `a b` is neither a name nor an address range | write a name (with all below it), as in \"internal.example\", or a range such as \"10.0.0.0/8\"",
        ),
        (
            "[network]\nmin_tls_version = \"1.1\"",
            "2:19 `min_tls_version` must be \"1.2\" or \"1.3\", found `1.1` | older versions are broken and not supported",
        ),
        (
            "[network]\nproxy = \"http://a\"\nno_proxy = [\"10.1.1.1/8\"]",
            "3:13 `no_proxy`: `10.1.1.1/8` is not an address range | 10.1.1.1 lies within a range of that size: write \"10.0.0.0/8\"",
        ),
        (
            "[network]\nallow = [\"::ffff:10.0.0.0/104\"]",
            "2:10 `allow`: `::ffff:10.0.0.0/104` writes an IPv4 range as IPv6, which is never what is judged | write \"10.0.0.0/8\"",
        ),
        (
            "[network]\nallow = [\"169.254.169.254/32\"]",
            "2:10 `allow`: `169.254.169.254/32` is a cloud metadata service, which hands out credentials and is never delivered to | remove it",
        ),
        ("[network]\nca_file = \"\"", "2:11 `ca_file` must be a path such as \"ca.pem\""),
    ]);
}

#[test]
fn a_webhooks_mistakes_are_named() {
    expect_webhook(&[
        (
            "network = { https_only = false }",
            "4:13 `https_only` is not allowed in a webhook's `network`: it holds for all webhooks: set it in [network]",
        ),
        (
            "network = { allow = [\"10.2.3.4/16\"] }",
            "4:22 `network.allow`: `10.2.3.4/16` is not an address range | 10.2.3.4 lies within a range of that size: write \"10.2.0.0/16\"",
        ),
        (
            "tls = { cert_file = \"c.pem\" }",
            "4:9 `cert_file` is of no use without `key_file` | write { cert_file = \"client.pem\", key_file = \"client.key\" }",
        ),
        (
            "tls = { verify = false }",
            "4:9 `verify` is not allowed in a webhook's `tls`: anybody in between could then read and change everything: name your own CA in `ca_file`",
        ),
        ("tls = { server_name = \"a..b\" }", "4:23 `server_name` is not a host's name: `a..b`"),
        ("auth = {}", "4:8 `auth` is empty | write { bearer = \"${TOKEN}\" }, or one of `basic`, `bearer` and `oauth2`"),
        (
            "auth = { bearer = \"${TOKEN}\", basic = { username = \"a\", password = \"b\" } }",
            "4:31 `auth` has both `bearer` and `basic` (the other one is at config.toml:4:10) | a request has one Authorization",
        ),
        ("auth = { basic = { username = \"a\" } }", "4:18 `auth.basic` has no `password`"),
        (
            "auth = { oauth2 = { token_url = \"login\", client_id = \"a\", client_secret = \"b\" } }",
            "4:33 `auth.oauth2.token_url` is not an absolute https URL without user name and password | write it as in \"https://login.example.com/token\"",
        ),
        (
            "auth = { oauth2 = { token_url = \"https://a\", client_id = \"a\", client_secret = \"b\", scopes = [\"a b\"] } }",
            "4:94 this is not a scope: `a b` | one scope an entry",
        ),
        (
            "auth = { bearer = \"${TOKEN}\" }\nheaders = { Authorization = \"x\" }",
            "4:1 `auth` and the header `Authorization` are both set | remove one of them",
        ),
    ]);
    assert_eq!(
        one("[defaults]\nauth = { bearer = \"x\" }"),
        "2:1 `auth` is not allowed in [defaults]: each endpoint would learn what the others' credentials are"
    );
    let asked = |url: &str| {
        let auth = format!("auth.oauth2 = {{ token_url = \"{url}\", client_id = \"a\", client_secret = \"${{TOKEN}}\" }}");
        one(&webhook(&auth))
    };
    for (url, why) in [
        ("https://10.1.2.3/token", "10.1.2.3 is in a blocked range (private, 10.0.0.0/8)"),
        ("https://169.254.169.254/token", "169.254.169.254 is a cloud metadata service"),
        ("https://metadata.azure.internal./token", "`metadata.azure.internal.` is the name of a cloud metadata service"),
        ("http://login.example/token", "HTTPS required"),
    ] {
        assert!(asked(url).starts_with(&format!("4:29 `auth.oauth2.token_url` is refused: {why}")), "{}", asked(url));
    }
    load(&webhook(
        "network.allow = [\"10.1.0.0/16\"]\nauth.oauth2 = { token_url = \"http://10.1.2.3/t\", client_id = \"a\", client_secret = \"b\" }",
    ));
    for allow in ["", "[network]\nallow = [\"10.0.0.0/8\"]\n"] {
        let refused = problems(&format!("{allow}[webhooks.a]\nurl = \"https://metadata.google.internal/x\"\nevents = [\"*\"]"));
        assert!(lines(&refused)[0].contains("is the name of a cloud metadata service"), "{refused}");
    }
    let hidden = problems(&webhook("auth = { bearer = \"hunter22\", oauht2 = {} }"));
    assert!(!hidden.render(false).contains("hunter22"), "{}", hidden.render(false));
}

#[test]
fn certificates_of_the_defaults_are_watched_without_any_webhook() {
    let loaded = load("[defaults]\ntls = { ca_file = \"certs/ca.pem\" }\n");
    let files: Vec<_> = loaded.certificate_files().collect();
    assert!(files.len() == 1 && files[0].ends_with("certs/ca.pem"), "{files:?}");
}
