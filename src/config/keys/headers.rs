//! `headers` and `signature`: what a delivery's requests carry besides the body. Refuses names that the connection or
//! the signature owns.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::fields::check_keys;
use super::key::{Key, Keys, Kind};
use super::read::{self, list, nearest};
use crate::config::text::report::{Report, quote};
use crate::config::text::tree::{Entry, Node, Span, Table, Text, Value};
use crate::signing::{self, Encoding, SCHEME_NAMES, Scheme, SignatureSpec, Template};

/// A request's own fields are few; receivers cut at 8 KiB of headers.
pub(crate) const HEADERS_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 4_096;

/// `signature` as a name.
pub(crate) const SCHEME: Kind = Kind::Choice(&SCHEME_NAMES);

pub(crate) static SIGNATURE: Keys = Keys::new(
    "a signature",
    &[
        Key::new("scheme", SCHEME, "A dialect that has a name").aliases(&["type", "algorithm"]),
        Key::new("header", Kind::Text, "Another header than the dialect's own").aliases(&["name"]),
        Key::new("template", Kind::Text, "The header's value, instead of a `scheme`: `t={timestamp},s={signature}`")
            .aliases(&["format"]),
        Key::new("content", Kind::Text, "With a `template`: what is signed, as `{timestamp}.{body}`").aliases(&["payload"]),
        Key::new("encoding", Kind::Choice(&Encoding::NAMES), "With a `template`: of the signature").default("hex"),
    ],
);

const SIGNATURE_EXAMPLE: &str = "\"standard\" or { scheme = \"sha256\", header = \"X-My-Signature\" }";
const TEMPLATE_EXAMPLE: &str = "{ template = \"t={timestamp},s={signature}\", content = \"{timestamp}.{body}\", header = \"X-My-Signature\", encoding = \"hex\" }";

/// Each costs an HMAC over the whole body.
pub(crate) const SIGNATURES_MAX: usize = 8;

/// One header, and the span of its name.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
    pub(crate) span: Span,
}

/// `headers = { "X-Api-Key" = "${KEY}" }`.
pub(crate) fn headers(node: &Node, report: &mut Report) -> Option<Vec<Header>> {
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
    if signing::is_reserved(name) {
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
pub(crate) fn signature(node: &Node, report: &mut Report) -> Option<Vec<SignatureSpec>> {
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
            Some(Some(spec)) => match specs.iter().find(|(other, _)| collide(other, &spec)) {
                Some((other, first)) => {
                    let header = spec.signature_header();
                    let why =
                        if other.signature_header() == header { "" } else { " when a rotation moves one to `…-previous`" };
                    let message = format!("two signatures would be written to `{header}`{why}");
                    report.error(node.span, message).also(*first, "the other one is").help("give one of them another `header`");
                    whole = false;
                }
                None => specs.push((spec, node.span)),
            },
            Some(None) => {
                report.error(node.span, "\"none\" excludes other signatures").help("leave it out, or write signature = \"none\"");
                whole = false;
            }
            None => whole = false,
        }
    }
    whole.then(|| specs.into_iter().map(|(spec, _)| spec).collect())
}

/// Whether both go to one header, now or during a rotation, when the older signatures go to `HEADER-previous`.
fn collide(one: &SignatureSpec, other: &SignatureSpec) -> bool {
    let (one, other) = (one.signature_header(), other.signature_header());
    let moves_to = |from: &HeaderName, to: &HeaderName| to.as_str().strip_suffix("-previous") == Some(from.as_str());
    one == other || moves_to(&one, &other) || moves_to(&other, &one)
}

/// `Some(None)` is `"none"`.
fn spec(node: &Node, report: &mut Report) -> Option<Option<SignatureSpec>> {
    match &node.value {
        Value::String(text) => Some(scheme(text, node, report)?.map(SignatureSpec::new)),
        Value::Table(table) => spec_table(table, node, report),
        _ => {
            read::mismatch(node, "signature", &format!("{SIGNATURE_EXAMPLE}, or a list of these"), report);
            None
        }
    }
}

fn spec_table(table: &Table, node: &Node, report: &mut Report) -> Option<Option<SignatureSpec>> {
    let meant = check_keys(table, &SIGNATURE, report);
    let scheme = match (table.get("scheme"), table.get("template")) {
        (Some(scheme), Some(_)) => {
            report
                .error(scheme.key.span, "a signature has either a `scheme` or a `template`")
                .help("leave one of them out, or write two signatures in a list");
            None
        }
        (Some(entry), None) => {
            no_template_keys(table, report);
            scheme(read::string(&entry.node, "signature.scheme", "sha256", report)?, &entry.node, report)
        }
        (None, Some(entry)) => template(table, entry, report).map(Some),
        (None, None) => {
            if !meant.iter().any(|key| matches!(*key, "scheme" | "template")) {
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

fn no_template_keys(table: &Table, report: &mut Report) {
    for name in ["content", "encoding"] {
        if let Some(entry) = table.get(name) {
            report
                .error(entry.key.span, format!("`{name}` belongs to a `template`: a `scheme` says itself what is signed"))
                .help(format!("remove it, or write your own dialect: {TEMPLATE_EXAMPLE}"));
        }
    }
}

/// `{ template = "…", content = "…", encoding = "hex" }`: `header` is read with the other schemes'.
fn template(table: &Table, entry: &Entry, report: &mut Report) -> Option<Scheme> {
    let text = read::string(&entry.node, "signature.template", "t={timestamp},s={signature}", report);
    let encoding = match (table.get("encoding"), SIGNATURE.get("encoding")) {
        (Some(entry), Some(key)) => key.choice("signature.encoding", "", &entry.node, report).and_then(Encoding::from_name),
        _ => Some(Encoding::Hex),
    };
    let Some(content) = table.get("content") else {
        let problem = "the signature's `template` has no `content`, which says what is signed";
        report.error(entry.key.span, problem).help("add content = \"{timestamp}.{body}\"");
        return None;
    };
    let signed = read::string(&content.node, "signature.content", "{timestamp}.{body}", report)?;
    match Template::parse(text?.value(), signed.value(), encoding?) {
        Ok(template) => Some(Scheme::Template(Arc::new(template))),
        Err((about_template, problem)) => {
            let (node, what) = if about_template { (&entry.node, "`template`:") } else { (&content.node, "`content`:") };
            report.error_about(node.span, [node], what, &problem.to_string());
            None
        }
    }
}

/// A signature may go to any header that has no meaning of its own.
fn may_sign(name: &HeaderName, span: Span, report: &mut Report) -> bool {
    const TAKEN: [&str; 3] = ["content-type", "content-encoding", "user-agent"];
    let text = name.as_str();
    let taken = crate::model::CONNECTION_HEADERS.contains(&text) || TAKEN.contains(&text) || signing::is_companion(text);
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
    if let Some(scheme) = Scheme::from_name(name) {
        return Some(Some(scheme));
    }
    let help = match nearest(name, signing::scheme_names()).filter(|_| text.expanded.is_none()) {
        Some(known) => format!("did you mean \"{known}\"?"),
        None => format!("there are {}", list(signing::scheme_names())),
    };
    report.error_about(node.span, [node], "unknown signature scheme", &quote(name)).help(help);
    None
}
