//! How requests leave: `[network]`'s proxy, certificate authorities and TLS version, and a webhook's `network`, `tls`
//! and `auth`. Refuses to read the files that it names: those who make handles do.

use std::path::PathBuf;

use ipnet::IpNet;
use url::{Host, Url};

use super::document::path;
use super::fields::check_keys;
use super::key::{Key, Keys, Kind};
use super::ranges;
use super::read::{self, list};
use super::secret::{self, Slips};
use crate::config::text::mask::show_url;
use crate::config::text::report::{Report, quote};
use crate::config::text::tree::{Entry, Node, Table, Value};
use crate::model::{
    Credential, EndpointAuth, EndpointUrl, NetworkEgress, NetworkPolicy, NoProxy, OAuth2, Proxy, ProxyKind, ProxyPolicy,
    SendClient, TlsVersion, WebhookTls,
};
use crate::signing::{Slip, slip};

pub(crate) static WEBHOOK_NETWORK: Keys = Keys::new(
    "a webhook's `network`",
    &[Key::new(
        "allow",
        Kind::List(&Kind::Text, 0, ALLOW_MAX),
        "Private networks that this webhook may be delivered to, as `[\"10.2.0.0/16\"]`",
    )
    .default("[]")
    .aliases(&["allowed"])],
)
.refusing(&[
    ("https_only", "it holds for all webhooks: set it in [network]"),
    ("proxy", "it holds for all webhooks: set it in [network], with exceptions in `no_proxy`"),
    ("no_proxy", "it holds for all webhooks: set it in [network]"),
    ("ca_file", "a webhook has it in `tls`"),
    ("min_tls_version", "a webhook has it in `tls`, as `min_version`"),
]);

const NO_VERIFY: &str = "anybody in between could then read and change everything: name your own CA in `ca_file`";
pub(crate) const TLS_VERSION: Kind = Kind::Choice(&["1.2", "1.3"]);

pub(crate) static WEBHOOK_TLS: Keys = Keys::new(
    "a webhook's `tls`",
    &[
        Key::new(
            "ca_file",
            Kind::Path,
            "PEM file of certificate authorities, trusted beside the machine's and `[network] ca_file`",
        )
        .aliases(&["ca"]),
        Key::new("cert_file", Kind::Path, "PEM file of the client certificate with its chain (mTLS); needs `key_file`")
            .aliases(&["cert", "crt_file", "client_cert"]),
        Key::new("key_file", Kind::Path, "PEM file of its private key").aliases(&["key", "client_key"]),
        Key::new("server_name", Kind::Text, "Instead of the URL's host, in the handshake (SNI) and against the certificate")
            .aliases(&["sni"]),
        Key::new("min_version", TLS_VERSION, "Never less than `[network] min_tls_version`")
            .example("1.2")
            .aliases(&["min_tls_version"]),
    ],
)
.refusing(&[("insecure_skip_verify", NO_VERIFY), ("verify", NO_VERIFY), ("verify_certificate", NO_VERIFY)]);

pub(crate) static AUTH: Keys = Keys::new(
    "a webhook's `auth`",
    &[
        Key::new("basic", Kind::Table(&BASIC), "User name and password").aliases(&["basic_auth"]),
        Key::new("bearer", Kind::Text, "A token; take it from the environment").aliases(&["token"]),
        Key::new("oauth2", Kind::Table(&OAUTH2), "A token from a token endpoint (client credentials, RFC 6749 §4.4)")
            .aliases(&["oauth", "client_credentials"]),
    ],
);

pub(crate) static BASIC: Keys = Keys::new(
    "`auth.basic`",
    &[
        Key::new("username", Kind::Text, "Without a colon").required().aliases(&["user", "name"]),
        Key::new("password", Kind::Text, "Take it from the environment").required().aliases(&["pass"]),
    ],
);

pub(crate) static OAUTH2: Keys = Keys::new(
    "`auth.oauth2`",
    &[
        Key::new("token_url", Kind::Text, "The token endpoint; the same address rules as for `url`")
            .required()
            .aliases(&["url", "token_endpoint"]),
        Key::new("client_id", Kind::Text, "Of this client there").required().aliases(&["id"]),
        Key::new("client_secret", Kind::Text, "Take it from the environment").required().aliases(&["secret"]),
        Key::new("scopes", Kind::List(&Kind::Text, 0, SCOPES_MAX), "Requested with the token").default("[]").aliases(&["scope"]),
        Key::new("params", Kind::Texts(100), "More parameters of the token request, as `{ audience = \"…\" }`")
            .aliases(&["endpoint_params"]),
        Key::new("send_client", Kind::Choice(&["header", "body"]), "Where id and secret are sent").default("header"),
    ],
);

/// Ranges are searched one by one for every address dialled.
pub(crate) const ALLOW_MAX: usize = 1_000;
const AUTH_EXAMPLE: &str = "{ bearer = \"${TOKEN}\" }";
pub(crate) const NO_PROXY_MAX: usize = 1_000;
const CREDENTIAL_BYTES_MAX: usize = 4_096;
const SCOPES_MAX: usize = 50;

/// The part of `[network]` that is not about addresses.
pub(crate) fn network(table: &Table, report: &mut Report) -> NetworkEgress {
    let proxy = table.get("proxy").and_then(|entry| proxy(&entry.node, report));
    let except = table.get("no_proxy").map(|entry| no_proxy(&entry.node, report)).unwrap_or_default();
    if let (Some(entry), None) = (table.get("no_proxy"), table.get("proxy")) {
        report.warning(entry.key.span, "`no_proxy` is not used: there is no `proxy`");
    }
    NetworkEgress {
        proxy: proxy.map(|proxy| ProxyPolicy { proxy, except }),
        ca_file: table.get("ca_file").and_then(|entry| path(&entry.node, "ca_file", "ca.pem", report)),
        min_tls: table
            .get("min_tls_version")
            .and_then(|entry| tls_version(&entry.node, "min_tls_version", report))
            .unwrap_or_default(),
    }
}

fn proxy(node: &Node, report: &mut Report) -> Option<Proxy> {
    const EXAMPLE: &str = "http://egress.example:3128";
    const HELP: &str = "write \"http://host:port\", \"https://host:port\" (TLS to the proxy), \"socks5://host:port\" (names are resolved here) or \"socks5h://host:port\" (the proxy resolves them), with user:password@ before the host if it wants them";
    let text = read::string(node, "proxy", EXAMPLE, report)?;
    let shown = if text.expanded.is_some() { "what `${…}` comes to".to_owned() } else { quote(&show_url(text.value())) };
    let url = Url::parse(text.value()).ok();
    let kind = url.as_ref().and_then(|url| match url.scheme() {
        "http" => Some(ProxyKind::Http),
        "https" => Some(ProxyKind::Https),
        "socks5" => Some(ProxyKind::Socks5),
        "socks5h" => Some(ProxyKind::Socks5h),
        _ => None,
    });
    let (Some(kind), Some(url)) = (kind, url) else {
        report.error(node.span, format!("`proxy` is not the URL of a proxy: {shown}")).help(HELP);
        return None;
    };
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => Some(name.to_owned()),
        Some(Host::Ipv4(address)) => Some(address.to_string()),
        Some(Host::Ipv6(address)) => Some(address.to_string()),
        _ => None,
    };
    let default = match kind {
        ProxyKind::Http => 80,
        ProxyKind::Https => 443,
        ProxyKind::Socks5 | ProxyKind::Socks5h => 1080,
    };
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let (Some(host), true) = (host, bare) else {
        report.error(node.span, format!("`proxy` must be scheme, host and port alone: {shown}")).help(HELP);
        return None;
    };
    let decoded = |text: &str| percent_decoded(text);
    let (username, password) = (decoded(url.username()), url.password().map(decoded));
    let (Some(username), Some(password)) = (username, password.map_or(Some(None), |password| password.map(Some))) else {
        report.error(node.span, "`proxy`: its credentials are not UTF-8 once %XX is decoded");
        return None;
    };
    let password = password.or_else(|| (!username.is_empty()).then(String::new)).map(|password| Credential::new(&password));
    Some(Proxy { kind, host, port: url.port().unwrap_or(default), username, password })
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        match (first, more) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

fn no_proxy(node: &Node, report: &mut Report) -> Vec<NoProxy> {
    let texts = read::strings(node, "no_proxy", "internal.example", report).unwrap_or_default();
    if !read::at_most(texts.len(), NO_PROXY_MAX, "exceptions", node, report) {
        return Vec::new();
    }
    let mut except = Vec::new();
    for (text, node) in texts {
        match NoProxy::parse(text.value()) {
            // A range is written as everywhere: one that could never match is refused.
            Some(NoProxy::Range(_)) if text.value().contains('/') => {
                except.extend(ranges::range("`no_proxy`:", text, node, report).map(NoProxy::Range));
            }
            Some(one) => except.push(one),
            None => {
                let problem = format!("{} is neither a name nor an address range", quote(text.value()));
                let help = "write a name (with all below it), as in \"internal.example\", or a range such as \"10.0.0.0/8\"";
                report.error_about(node.span, [node], "`no_proxy`:", &problem).help(help);
            }
        }
    }
    except
}

fn tls_version(node: &Node, key: &str, report: &mut Report) -> Option<TlsVersion> {
    let text = read::string(node, key, "1.2", report)?;
    match text.value() {
        "1.2" => Some(TlsVersion::Tls12),
        "1.3" => Some(TlsVersion::Tls13),
        other => {
            let what = format!("`{key}` must be \"1.2\" or \"1.3\", found");
            report.error_about(node.span, [node], &what, &quote(other)).help("older versions are broken and not supported");
            None
        }
    }
}

/// A webhook's `network = { allow = […] }`.
pub(crate) fn webhook_network(node: &Node, report: &mut Report) -> Option<Vec<IpNet>> {
    let table = read::table(node, "network", "{ allow = [\"10.2.0.0/16\"] }", report)?;
    check_keys(table, &WEBHOOK_NETWORK, report);
    let entry = table.get("allow")?;
    let texts = read::strings(&entry.node, "network.allow", "10.2.0.0/16", report)?;
    let count = texts.len();
    let opened = |(text, node)| ranges::opened("`network.allow`:", text, node, report);
    let ranges: Vec<IpNet> = texts.into_iter().filter_map(opened).collect();
    (ranges.len() == count).then_some(ranges)
}

/// A webhook's `tls = { … }`.
pub(crate) fn webhook_tls(node: &Node, report: &mut Report) -> Option<WebhookTls> {
    let example = "{ cert_file = \"client.pem\", key_file = \"client.key\" }";
    let table = read::table(node, "tls", example, report)?;
    check_keys(table, &WEBHOOK_TLS, report);
    let mut file = |key: &'static str, example: &str| -> Option<PathBuf> {
        table.get(key).and_then(|entry| path(&entry.node, key, example, report))
    };
    let (ca_file, cert_file, key_file) =
        (file("ca_file", "ca.pem"), file("cert_file", "client.pem"), file("key_file", "client.key"));
    for (one, other) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
        if let (Some(entry), None) = (table.get(one), table.get(other)) {
            report.error(entry.key.span, format!("`{one}` is of no use without `{other}`")).help(format!("write {example}"));
        }
    }
    let server_name = table.get("server_name").and_then(|entry| server_name(&entry.node, report));
    let min_version = table.get("min_version").and_then(|entry| tls_version(&entry.node, "min_version", report));
    Some(WebhookTls { ca_file, cert_file, key_file, server_name, min_version })
}

fn server_name(node: &Node, report: &mut Report) -> Option<String> {
    let text = read::string(node, "server_name", "hooks.example.com", report)?;
    let value = text.value();
    let good = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if value.len() > 253 || !value.split('.').all(good) {
        report.error_about(node.span, [node], "`server_name` is not a host's name:", &quote(value));
        return None;
    }
    Some(value.to_owned())
}

/// A webhook's `auth = { … }`.
pub(crate) fn webhook_auth(
    node: &Node,
    network: Option<&NetworkPolicy>,
    slips: Slips,
    report: &mut Report,
) -> Option<EndpointAuth> {
    let table = read::table(node, "auth", AUTH_EXAMPLE, report)?;
    let meant = check_keys(table, &AUTH, report);
    let mut known = table.entries().iter().filter(|entry| AUTH.names().contains(&entry.key.name.as_str()));
    let Some(first) = known.next() else {
        if meant.is_empty() && table.entries().is_empty() {
            let help = format!("write {AUTH_EXAMPLE}, or one of {}", list(&AUTH.names()));
            report.error(node.span, "`auth` is empty").help(help);
        }
        return None;
    };
    if let Some(second) = known.next() {
        let message = format!("`auth` has both `{}` and `{}`", first.key.name, second.key.name);
        report.error(second.key.span, message).also(first.key.span, "the other one is").help("a request has one Authorization");
        return None;
    }
    match first.key.name.as_str() {
        "bearer" => Some(EndpointAuth::Bearer { token: credential(&first.node, "auth.bearer", slips, report)? }),
        "basic" => basic(&first.node, slips, report),
        _ => oauth2(&first.node, network, slips, report).map(EndpointAuth::OAuth2),
    }
}

fn basic(node: &Node, slips: Slips, report: &mut Report) -> Option<EndpointAuth> {
    let example = "{ username = \"me\", password = \"${PASSWORD}\" }";
    let table = read::table(node, "auth.basic", example, report)?;
    let meant = check_keys(table, &BASIC, report);
    let username = required(table, "username", &meant, "`auth.basic`", node, report);
    let username = username.and_then(|entry| read::string(&entry.node, "auth.basic.username", "me", report));
    let password = required(table, "password", &meant, "`auth.basic`", node, report)
        .and_then(|entry| credential(&entry.node, "auth.basic.password", slips, report));
    let username = username?.value();
    if username.contains(':') || username.chars().any(char::is_control) {
        report.error(node.span, "`auth.basic.username` cannot have a colon or a control character in it (RFC 7617)");
        return None;
    }
    Some(EndpointAuth::Basic { username: username.to_owned(), password: password? })
}

fn oauth2(node: &Node, network: Option<&NetworkPolicy>, slips: Slips, report: &mut Report) -> Option<OAuth2> {
    const TABLE: &str = "`auth.oauth2`";
    let example = "{ token_url = \"https://…/token\", client_id = \"me\", client_secret = \"${SECRET}\" }";
    let table = read::table(node, "auth.oauth2", example, report)?;
    let meant = check_keys(table, &OAUTH2, report);
    let token_url =
        required(table, "token_url", &meant, TABLE, node, report).and_then(|entry| token_url(&entry.node, network, report));
    let client_id = required(table, "client_id", &meant, TABLE, node, report)
        .and_then(|entry| read::string(&entry.node, "auth.oauth2.client_id", "me", report));
    let client_secret = required(table, "client_secret", &meant, TABLE, node, report)
        .and_then(|entry| credential(&entry.node, "auth.oauth2.client_secret", slips, report));
    let scopes = table.get("scopes").map_or(Some(Vec::new()), |entry| scopes(&entry.node, report));
    let params = table.get("params").map_or(Some(Vec::new()), |entry| params(&entry.node, report));
    let send = match table.get("send_client") {
        Some(entry) => send_client(&entry.node, report),
        None => Some(SendClient::Header),
    };
    Some(OAuth2 {
        token_url: token_url?,
        client_id: client_id?.value().to_owned(),
        client_secret: client_secret?,
        scopes: scopes?,
        params: params?,
        send: send?,
    })
}

/// Judged like the endpoint's own URL: what is asked for a token is dialled by the same rules.
fn token_url(node: &Node, network: Option<&NetworkPolicy>, report: &mut Report) -> Option<EndpointUrl> {
    let text = read::string(node, "auth.oauth2.token_url", "https://login.example.com/token", report)?;
    let url = Url::parse(text.value());
    let good = |url: &Url| matches!(url.scheme(), "https" | "http") && url.username().is_empty() && url.password().is_none();
    let Some(url) = url.ok().filter(good) else {
        report
            .error(node.span, "`auth.oauth2.token_url` is not an absolute https URL without user name and password")
            .help("write it as in \"https://login.example.com/token\"");
        return None;
    };
    if let Some(Err(refused)) = network.map(|network| network.check_url(&url)) {
        report.error(node.span, format!("`auth.oauth2.token_url` is refused: {refused}"));
        return None;
    }
    Some(EndpointUrl::new(url))
}

fn scopes(node: &Node, report: &mut Report) -> Option<Vec<String>> {
    let texts = read::strings(node, "auth.oauth2.scopes", "deliver", report)?;
    if !read::at_most(texts.len(), SCOPES_MAX, "scopes", node, report) {
        return None;
    }
    let mut scopes = Vec::new();
    for (text, node) in texts {
        // RFC 6749 §3.3.
        if text.value().is_empty() || !text.value().bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte)) {
            report.error_about(node.span, [node], "this is not a scope:", &quote(text.value())).help("one scope an entry");
            return None;
        }
        scopes.push(text.value().to_owned());
    }
    Some(scopes)
}

fn params(node: &Node, report: &mut Report) -> Option<Vec<(String, String)>> {
    let table = read::table(node, "auth.oauth2.params", "{ audience = \"https://api.example.com\" }", report)?;
    let mut params = Vec::new();
    for Entry { key, node } in table.entries() {
        if ["grant_type", "scope", "client_id", "client_secret"].contains(&key.name.as_str()) {
            report.error(key.span, format!("`{}` is set by the request for a token itself", key.name));
            return None;
        }
        params.push((key.name.clone(), read::string(node, "auth.oauth2.params[]", "value", report)?.value().to_owned()));
    }
    Some(params)
}

fn send_client(node: &Node, report: &mut Report) -> Option<SendClient> {
    let name = OAUTH2.get("send_client")?.choice("auth.oauth2.send_client", "", node, report)?;
    Some(if name == "body" { SendClient::Body } else { SendClient::Header })
}

fn credential(node: &Node, key: &str, slips: Slips, report: &mut Report) -> Option<Credential> {
    let value = secret::text_of(read::string(node, key, "${SECRET}", report)?);
    if value.is_empty() || value.len() > CREDENTIAL_BYTES_MAX || value.chars().any(char::is_control) {
        let message = format!("`{key}` must be 1 to {CREDENTIAL_BYTES_MAX} bytes, none of them a control character");
        report.error(node.span, message);
        return None;
    }
    if let (Some((slip @ Slip::Authorization(_), _)), true) = (slip(value), slips != Slips::Accepted) {
        // The request would say `Bearer Bearer …`.
        report.error(node.span, format!("`{key}` {slip}"));
        return None;
    }
    // Other odd texts may be meant: a file's author sees the warning.
    let slips = if slips == Slips::InFile { slips } else { Slips::Accepted };
    secret::check(value, key, slips, node, report).then(|| Credential::new(value))
}

fn required<'t>(
    table: &'t Table,
    key: &'static str,
    meant: &[&'static str],
    what: &str,
    node: &Node,
    report: &mut Report,
) -> Option<&'t Entry> {
    let entry = table.get(key);
    if entry.is_none() && !meant.contains(&key) && !matches!(node.value, Value::Broken) {
        report.error(node.span, format!("{what} has no `{key}`"));
    }
    entry
}
