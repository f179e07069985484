//! How the API protects itself: `[server.rate_limit]`, `[server.cors]`, `[server.tls]`. Owns their words and limits;
//! PEM files are read in `text::gather`; whether certificate and key are usable is checked in `snapshot::tls`.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use super::fields::check_keys;
use super::key::{Key, Keys, Kind};
use super::read;
use crate::config::settings::Location;
use crate::config::text::gather::Pems;
use crate::config::text::report::{Report, quote};
use crate::config::text::tree::{Entry, Node, Table};

pub(crate) static RATE_LIMIT: Keys = Keys::new(
    "[server.rate_limit]",
    &[
        Key::new("publish", Kind::Quota, "`POST /v1/events` and `POST /v1/sources/…`").example("5000/s").aliases(&["events"]),
        Key::new("read", Kind::Quota, "`GET`").example("600/m"),
        Key::new("manage", Kind::Quota, "Everything else, and `GET …/secret`").example("60/m").aliases(&["management"]),
        Key::new("test", Kind::Quota, "`POST /v1/webhooks/{id}/test`").example("5/m"),
    ],
);

pub(crate) static CORS: Keys = Keys::new(
    "[server.cors]",
    &[Key::new(
        "origins",
        Kind::List(&Kind::Text, 0, ORIGINS_MAX),
        "Whose pages may use the API: scheme, host and port, or `\"*\"` for every page",
    )
    .default("[]")
    .aliases(&["origin", "allowed_origins", "allow_origins"])],
);

pub(crate) static TLS: Keys = Keys::new(
    "[server.tls]",
    &[
        Key::new("cert", Kind::Path, "PEM file, or PEM text: the server's certificate first, then those of its issuers")
            .required()
            .aliases(&["certificate", "cert_file"]),
        Key::new("key", Kind::Path, "PEM file, or PEM text: its private key, without a password")
            .required()
            .aliases(&["private_key", "key_file"]),
    ],
);

const RATE_UNITS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3_600)];

/// More a second than one machine answers: who wants that wants no limit.
const RATE_COUNT_MAX: u32 = 1_000_000;

/// Each is compared with the `Origin` of every request.
const ORIGINS_MAX: usize = 100;

/// All of it off, unless the file says otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProtectionSettings {
    pub rate_limit: RateLimits,
    pub cors: CorsSettings,
    pub tls: Option<TlsSettings>,
}

/// Per client; `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimits {
    pub publish: Option<Quota>,
    pub read: Option<Quota>,
    pub manage: Option<Quota>,
    pub test: Option<Quota>,
}

/// Up to `count` requests in one burst; what is used comes back evenly, `count` per `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub count: NonZeroU32,
    pub period: Duration,
}

/// Whose pages may use the API from a browser.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsSettings {
    pub any: bool,
    /// As browsers write them: `https://app.example.com`.
    pub origins: Vec<String>,
}

/// The text of PEM files.
#[derive(Clone, PartialEq)]
pub struct TlsSettings {
    pub cert: String,
    pub key: Zeroizing<String>,
    pub cert_place: Location,
    pub key_place: Location,
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings").field("cert_place", &self.cert_place).finish_non_exhaustive()
    }
}

impl Quota {
    /// `5000/s`, `60/m`, `10/h`.
    fn parse(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once('/')?;
        let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
        let count = count.parse().ok().filter(|count| digits && *count <= RATE_COUNT_MAX)?;
        let (_, seconds) = RATE_UNITS.iter().find(|(name, _)| *name == unit)?;
        Some(Self { count: NonZeroU32::new(count)?, period: Duration::from_secs(*seconds) })
    }
}

/// The three tables below `[server]`.
pub(crate) fn protection(server: &Table, pems: &Pems, report: &mut Report) -> ProtectionSettings {
    let mut settings = ProtectionSettings::default();
    if let Some(table) = table(server, "rate_limit", report) {
        settings.rate_limit = rate_limits(table, report);
    }
    if let Some(table) = table(server, "cors", report) {
        settings.cors = cors(table, report);
    }
    if let Some(entry) = server.get("tls")
        && let Some(table) = table(server, "tls", report)
    {
        settings.tls = tls(entry, table, pems, report);
    }
    settings
}

fn table<'t>(server: &'t Table, name: &str, report: &mut Report) -> Option<&'t Table> {
    let entry = server.get(name)?;
    read::table(&entry.node, &format!("server.{name}"), &format!("[server.{name}]"), report)
}

fn rate_limits(table: &Table, report: &mut Report) -> RateLimits {
    check_keys(table, &RATE_LIMIT, report);
    let mut limits = RateLimits::default();
    let RateLimits { publish, read, manage, test } = &mut limits;
    let keys = [("publish", "5000/s", publish), ("read", "600/m", read), ("manage", "60/m", manage), ("test", "5/m", test)];
    for (key, example, limit) in keys {
        *limit = table.get(key).and_then(|entry| quota(&entry.node, key, example, report));
    }
    limits
}

fn quota(node: &Node, key: &str, example: &str, report: &mut Report) -> Option<Quota> {
    let text = read::form(node, key, "a rate", example, report)?;
    let quota = Quota::parse(text.value());
    if quota.is_none() {
        report.error_about(node.span, [node], &format!("`{key}` is not a rate:"), &quote(text.value())).help(format!(
            "write a number from 1 to {RATE_COUNT_MAX} per s, m or h, as in \"{example}\"; without it there is no limit"
        ));
    }
    quota
}

fn cors(table: &Table, report: &mut Report) -> CorsSettings {
    const EXAMPLE: &str = "https://app.example.com";
    check_keys(table, &CORS, report);
    let mut settings = CorsSettings::default();
    let Some(entry) = table.get("origins") else { return settings };
    let texts = read::strings(&entry.node, "origins", EXAMPLE, report).unwrap_or_default();
    read::at_most(texts.len(), ORIGINS_MAX, "origins", &entry.node, report);
    for (text, node) in texts {
        match origin(text.value()) {
            Ok(None) => settings.any = true,
            Ok(Some(origin)) => settings.origins.push(origin),
            Err(help) => {
                let draft = report.error_about(node.span, [node], "`origins`: not an origin:", &quote(text.value()));
                if text.expanded.is_none() {
                    draft.help(help);
                }
            }
        }
    }
    settings
}

/// `None` for `*`; `Err` with how to write it.
fn origin(text: &str) -> Result<Option<String>, String> {
    if text == "*" {
        return Ok(None);
    }
    let example = "write scheme, host and port alone, as in \"https://app.example.com\", or \"*\" for every page".to_owned();
    let Ok(url) = Url::parse(text) else { return Err(example) };
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err(example);
    }
    let origin = url.origin().ascii_serialization();
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && !text.ends_with('/');
    if bare { Ok(Some(origin)) } else { Err(format!("write \"{origin}\": an origin has no path")) }
}

fn tls(entry: &Entry, table: &Table, pems: &Pems, report: &mut Report) -> Option<TlsSettings> {
    let meant = check_keys(table, &TLS, report);
    for (key, example) in [("cert", "tls/cert.pem"), ("key", "tls/key.pem")] {
        if table.get(key).is_none() && !meant.contains(&key) && !report.sources.is_broken(entry.key.span.file) {
            report.error(entry.node.span, format!("[server.tls] has no `{key}`")).help(format!("add {key} = \"{example}\""));
        }
    }
    let (cert, key) = (table.get("cert"), table.get("key"));
    let cert_text = cert.and_then(|entry| pem(&entry.node, "cert", "tls/cert.pem", pems, report));
    let key_text = key.and_then(|entry| pem(&entry.node, "key", "tls/key.pem", pems, report));
    let cert_place = report.sources.place(cert?.node.span);
    let key_place = report.sources.place(key?.node.span);
    Some(TlsSettings { cert: cert_text?.to_string(), key: key_text?, cert_place, key_place })
}

/// The content of the file that is named, or the text itself when it is PEM already.
fn pem(node: &Node, key: &str, example: &str, pems: &Pems, report: &mut Report) -> Option<Zeroizing<String>> {
    let text = read::string(node, key, example, report)?;
    if is_pem(text.value()) {
        return Some(Zeroizing::new(text.value().to_owned()));
    }
    match pems.get(&node.span) {
        Some(Ok(content)) => Some(content.clone()),
        Some(Err(problem)) => {
            let what = format!("`{key}`: the file");
            report.error_about(node.span, [node], &what, &format!("{} cannot be read: {problem}", quote(text.value())));
            None
        }
        None => None,
    }
}

pub(crate) fn is_pem(text: &str) -> bool {
    text.trim_start().starts_with("-----BEGIN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_with_their_unit() {
        let read = |text| Quota::parse(text).map(|quota| (quota.count.get(), quota.period.as_secs()));
        assert_eq!((read("5000/s"), read("60/m"), read("1/h")), (Some((5000, 1)), Some((60, 60)), Some((1, 3600))));
        for text in ["", "5", "/s", "0/s", "-1/s", "+1/s", "5/d", "5 /s", "1000001/s", "99999999999/s", "5/s/s", "1.5/s"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn an_origin_has_scheme_host_and_port_alone() {
        let good = [("https://App.example.com", "https://app.example.com"), ("http://localhost:3000", "http://localhost:3000")];
        for (text, is) in good {
            assert_eq!(origin(text), Ok(Some(is.to_owned())));
        }
        assert_eq!(origin("*"), Ok(None));
        assert_eq!(origin("https://a.com/x"), Err("write \"https://a.com\": an origin has no path".to_owned()));
        for text in ["", "app.example.com", "ftp://a.com", "https://u@a.com", "null", "https://a.com/", "*.example.com"] {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
