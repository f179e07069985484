//! `headers` and `signature`: what a delivery's requests carry besides the body. Refuses names that the connection or
//! the signature owns.

use http::{HeaderName, HeaderValue};

use super::read::{self, Keys, check_keys, list, nearest};
use super::report::{Report, quote};
use super::tree::{Entry, Node, Span, Table, Text, Value};
use crate::signing::{Scheme, SignatureSpec};

/// A request's own fields are few; receivers cut at 8 KiB of headers.
const HEADERS_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 4_096;

/// Set by the signature schemes, whichever a webhook has.
const SIGNATURE_HEADERS: [&str; 6] = [
    "x-webhook-signature",
    "x-tenterhook-signature",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-github-event",
    "x-github-delivery",
];

const SCHEMES: [(&str, Scheme); 4] = [
    ("standard", Scheme::Standard),
    ("sha256", Scheme::Sha256),
    ("timestamped", Scheme::Timestamped),
    ("github", Scheme::Github),
];
const SCHEME_NAMES: [&str; 5] = ["standard", "sha256", "timestamped", "github", "none"];
const LATER_SCHEMES: [&str; 3] = ["slack", "shopify", "template"];

pub(super) const SIGNATURE: Keys = Keys {
    table: "a signature",
    known: &["scheme", "header"],
    later: &["template", "content", "encoding"],
    elsewhere: &[],
    refused: &[],
    aliases: &[("type", "scheme"), ("algorithm", "scheme"), ("name", "header")],
};

const SIGNATURE_EXAMPLE: &str = "\"standard\" or { scheme = \"sha256\", header = \"X-My-Signature\" }";

/// Each costs an HMAC over the whole body.
const SIGNATURES_MAX: usize = 8;

/// One header, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
    pub(super) span: Span,
}

/// `headers = { "X-Api-Key" = "${KEY}" }`.
pub(super) fn headers(node: &Node, report: &mut Report) -> Option<Vec<Header>> {
    let table = read::table(node, "headers", "{ \"X-Api-Key\" = \"${KEY}\" }", report)?;
    if !read::at_most(table.entries().len(), HEADERS_MAX, "headers", node, report) {
        return None;
    }
    let mut headers: Vec<Header> = Vec::new();
    let mut whole = true;
    for entry in table.entries() {
        let name = header_name(&entry.key.name, entry.key.span, report).filter(|name| may_be_set(name, entry, report));
        let value = header_value(entry, report);
        let (Some(name), Some(value)) = (name, value) else {
            whole = false;
            continue;
        };
        if let Some(first) = headers.iter().find(|header| header.name == name) {
            let message = format!("the header {} is set twice: names of headers have no case", quote(&entry.key.name));
            report.error(entry.key.span, message).also(first.span, "first set");
            whole = false;
            continue;
        }
        headers.push(Header { name, value, span: entry.key.span });
    }
    whole.then_some(headers)
}

fn header_name(text: &str, span: Span, report: &mut Report) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    if name.is_none() {
        let message = format!("{} is not the name of a header", quote(text));
        report.error(span, message).help("letters, digits and - are safe, as in \"X-Api-Key\"");
    }
    name
}

fn may_be_set(name: &HeaderName, entry: &Entry, report: &mut Report) -> bool {
    let (name, span, shown) = (name.as_str(), entry.key.span, quote(&entry.key.name));
    if crate::model::CONNECTION_HEADERS.contains(&name) {
        report.error(span, format!("{shown} cannot be set: it belongs to the connection, not to the message"));
        return false;
    }
    if name.starts_with("webhook-") || SIGNATURE_HEADERS.contains(&name) {
        report
            .error(span, format!("{shown} cannot be set: it is the signature's"))
            .help("choose what is sent with signature = \"…\", and under which name with { scheme = \"…\", header = \"…\" }");
        return false;
    }
    true
}

fn header_value(entry: &Entry, report: &mut Report) -> Option<HeaderValue> {
    let key = format!("headers.{}", entry.key.name.chars().take(60).collect::<String>());
    let text = read::string(&entry.node, &key, "value", report)?;
    let too_long = text.value().len() > VALUE_BYTES_MAX;
    match HeaderValue::from_str(text.value()) {
        Ok(mut value) if !too_long => {
            // It may be a credential: never indexed by HTTP/2, never shown by `Debug`.
            value.set_sensitive(true);
            Some(value)
        }
        _ => {
            let problem = if too_long {
                format!("is longer than {VALUE_BYTES_MAX} bytes")
            } else {
                "has characters that a header cannot carry".to_owned()
            };
            let message = format!("the value of {} {problem}", quote(&entry.key.name));
            report.error(entry.node.span, message).help("visible characters, spaces and tabs, on one line");
            None
        }
    }
}

/// `signature = …`: empty for `"none"`.
pub(super) fn signature(node: &Node, report: &mut Report) -> Option<Vec<SignatureSpec>> {
    let nodes = match &node.value {
        Value::Array(nodes) => nodes.as_slice(),
        _ => return Some(spec(node, report)?.into_iter().collect()),
    };
    if nodes.is_empty() {
        report.error(node.span, "`signature` is an empty list").help("to send unsigned write signature = \"none\"");
        return None;
    }
    if !read::at_most(nodes.len(), SIGNATURES_MAX, "signatures", node, report) {
        return None;
    }
    let mut specs: Vec<(SignatureSpec, Span)> = Vec::new();
    let mut whole = true;
    for node in nodes {
        match spec(node, report) {
            Some(Some(spec)) => match specs.iter().find(|(other, _)| header_of(other) == header_of(&spec)) {
                Some((_, first)) => {
                    let message = format!("two signatures would be written to `{}`", header_of(&spec));
                    report.error(node.span, message).also(*first, "the other one is").help("give one of them another `header`");
                    whole = false;
                }
                None => specs.push((spec, node.span)),
            },
            Some(None) => {
                report
                    .error(node.span, "\"none\" cannot stand beside others")
                    .help("leave it out, or write signature = \"none\"");
                whole = false;
            }
            None => whole = false,
        }
    }
    whole.then(|| specs.into_iter().map(|(spec, _)| spec).collect())
}

/// The header that a signature goes to.
pub(super) fn header_of(spec: &SignatureSpec) -> &str {
    match &spec.header {
        Some(header) => header.as_str(),
        None => match spec.scheme {
            Scheme::Standard => "webhook-signature",
            Scheme::Sha256 => "x-webhook-signature",
            Scheme::Timestamped => "x-tenterhook-signature",
            Scheme::Github => "x-hub-signature-256",
        },
    }
}

/// `Some(None)` is `"none"`.
fn spec(node: &Node, report: &mut Report) -> Option<Option<SignatureSpec>> {
    match &node.value {
        Value::String(text) => Some(scheme(text, node, report)?.map(|scheme| SignatureSpec { scheme, header: None })),
        Value::Table(table) => spec_table(table, node, report),
        _ => {
            read::mismatch(node, "signature", &format!("{SIGNATURE_EXAMPLE}, or a list of these"), report);
            None
        }
    }
}

fn spec_table(table: &Table, node: &Node, report: &mut Report) -> Option<Option<SignatureSpec>> {
    let later = table.entries().iter().any(|entry| SIGNATURE.later.contains(&entry.key.name.as_str()));
    let meant = check_keys(table, &SIGNATURE, report);
    let scheme = match table.get("scheme") {
        Some(entry) => scheme(read::string(&entry.node, "signature.scheme", "sha256", report)?, &entry.node, report),
        None => {
            if !later && !meant.contains(&"scheme") {
                report.error(node.span, "the signature has no `scheme`").help(format!("write {SIGNATURE_EXAMPLE}"));
            }
            None
        }
    };
    let header = match table.get("header") {
        Some(entry) => {
            let text = read::string(&entry.node, "signature.header", "X-My-Signature", report)?;
            match text.expanded {
                Some(_) if HeaderName::from_bytes(text.value().as_bytes()).is_err() => {
                    report.error(entry.node.span, "`signature.header` is not the name of a header with its `${…}` filled in");
                    None
                }
                _ => header_name(text.value(), entry.node.span, report).filter(|name| may_sign(name, entry.node.span, report)),
            }
        }
        None => None,
    };
    match (scheme?, header, table.get("header")) {
        (None, _, Some(entry)) => {
            report.error(entry.key.span, "\"none\" has no header: nothing is signed").help("write signature = \"none\"");
            None
        }
        (_, None, Some(_)) => None,
        (scheme, header, _) => Some(scheme.map(|scheme| SignatureSpec { scheme, header })),
    }
}

/// A signature may go to any header that has no meaning of its own.
fn may_sign(name: &HeaderName, span: Span, report: &mut Report) -> bool {
    const TAKEN: [&str; 5] = ["webhook-id", "webhook-timestamp", "content-type", "content-encoding", "user-agent"];
    let taken = crate::model::CONNECTION_HEADERS.contains(&name.as_str()) || TAKEN.contains(&name.as_str());
    if taken {
        report.error(span, format!("a signature cannot go to `{name}`, which has a meaning of its own"));
    }
    !taken
}

fn scheme(text: &Text, node: &Node, report: &mut Report) -> Option<Option<Scheme>> {
    let name = text.value();
    if name == "none" {
        return Some(None);
    }
    if let Some((_, scheme)) = SCHEMES.iter().find(|(known, _)| *known == name) {
        return Some(Some(*scheme));
    }
    if LATER_SCHEMES.contains(&name) {
        report
            .error(node.span, format!("the signature scheme `{name}` is not available in this version"))
            .help(format!("there are {}", list(&SCHEME_NAMES)));
        return None;
    }
    let help = match nearest(name, &SCHEME_NAMES).filter(|_| text.expanded.is_none()) {
        Some(known) => format!("did you mean \"{known}\"?"),
        None => format!("there are {}", list(&SCHEME_NAMES)),
    };
    report.error_about(node.span, [node], "unknown signature scheme", &quote(name)).help(help);
    None
}

/// What may be written for `signature` as a name.
pub(super) fn scheme_names() -> &'static [&'static str] {
    &SCHEME_NAMES
}
