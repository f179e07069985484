//! One received delivery as text for people, or as one line of JSON.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::forward::Forwarded;
use crate::cli::terminal::{as_json, indented, one_line, push_escaped, sanitised};
use crate::model::Timestamp;
use crate::signing::Verified;

/// Bytes of a body shown to people: a screenful or ten. JSON lines carry it whole.
const SHOWN_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a binary body shown as hexadecimal.
const BINARY_BYTES_SHOWN: usize = 64;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DOUBT: Style = AnsiColor::Yellow.on_default();

/// Not shown: they say nothing about a delivery.
const BORING: [HeaderName; 6] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONNECTION,
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::TRANSFER_ENCODING,
];

/// Credentials: only a scheme before them (`Bearer`) is shown. A cookie's first word is a credential itself.
const CREDENTIALS: [HeaderName; 3] = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE];

/// The result of verifying the signature.
#[derive(Debug)]
pub(super) enum Verdict {
    Holds {
        by: String,
        preview: String,
        verified: Verified,
    },
    Fails(String),
    Unsigned,
    /// There is no secret to check with.
    Unchecked,
}

pub(super) struct Received<'a> {
    pub(super) at: Timestamp,
    pub(super) head: &'a http::request::Parts,
    pub(super) body: &'a [u8],
    pub(super) verdict: Verdict,
    /// What it is answered with.
    pub(super) status: StatusCode,
    /// How often this `webhook-id` came, this time included.
    pub(super) times: u32,
    pub(super) forwarded: Option<&'a Forwarded>,
}

/// Request line, verdict, headers of interest, body; ends with an empty line.
pub(super) fn for_people(received: &Received<'_>) -> String {
    let mut out = String::new();
    let time = received.at.to_string();
    let time = time.get(11..).unwrap_or(&time);
    let target = received.head.uri.path_and_query().map_or("/", |path| path.as_str());
    let method = received.head.method.as_str();
    let status = received.status;
    let colour = if status.is_success() { GOOD } else { BAD };
    let _ = write!(
        out,
        "{DIM}{time}{DIM:#}  {BOLD}{} {}{BOLD:#}  {colour}→ {}{colour:#}",
        clean(method),
        clean(target),
        status.as_u16()
    );
    if received.times > 1 {
        let _ = write!(out, "  {DOUBT}the same delivery, time {}{DOUBT:#}", received.times);
    }
    out.push('\n');
    let (style, words) = verdict_words(&received.verdict);
    let _ = writeln!(out, "  {style}{words}{style:#}");
    if let Some(forwarded) = received.forwarded {
        let (style, words) = match &forwarded.error {
            None => (colour, format!("forwarded to {}: {}", forwarded.to, forwarded.status.as_u16())),
            Some(error) => (BAD, format!("NOT forwarded to {}: {error}", forwarded.to)),
        };
        let _ = writeln!(out, "  {style}{}{style:#}", clean(&words));
    }
    for (name, value) in received.head.headers.iter().filter(|(name, _)| !BORING.contains(name)) {
        let _ = writeln!(out, "  {DIM}{name}:{DIM:#} {}", clean(&header_text(name, value)));
    }
    push_body(&mut out, received.body);
    out.push('\n');
    out
}

fn clean(text: &str) -> std::borrow::Cow<'_, str> {
    sanitised(text, false)
}

fn verdict_words(verdict: &Verdict) -> (Style, String) {
    match verdict {
        Verdict::Holds { by, preview, verified } => {
            let age = verified.age.map_or_else(String::new, |age| format!(", signed {} s ago", age.as_secs()));
            let Verified { scheme, header, .. } = verified;
            (GOOD, format!("signature ok: {scheme} in {header}, secret of {} ({preview}){age}", clean(by)))
        }
        Verdict::Fails(reason) => (BAD, format!("signature does NOT match: {}", clean(reason))),
        Verdict::Unsigned => (DOUBT, "unsigned".to_owned()),
        Verdict::Unchecked => (DOUBT, "signature not checked: give the webhook's secret with --secret".to_owned()),
    }
}

fn push_body(out: &mut String, body: &[u8]) {
    let shown = &body[..body.len().min(SHOWN_BYTES_MAX)];
    if body.is_empty() {
        let _ = writeln!(out, "  {DIM}(no body){DIM:#}");
    } else if let Some(json) = as_json(body).filter(|_| shown.len() == body.len()) {
        out.push_str(&indented(json, "  "));
        out.push('\n');
    } else if let Some(text) = as_text(shown) {
        for line in sanitised(text, true).lines() {
            let _ = writeln!(out, "  {line}");
        }
    } else {
        let first = &body[..body.len().min(BINARY_BYTES_SHOWN)];
        let _ = writeln!(out, "  {DIM}(binary){DIM:#} {}", hex::encode(first));
    }
    if shown.len() < body.len() {
        let _ = writeln!(out, "  {DIM}… {} bytes in all{DIM:#}", body.len());
    }
}

/// As much of it as is whole characters; `None` if it is no text at all.
fn as_text(bytes: &[u8]) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        // An incomplete last character comes from our cut at `SHOWN_BYTES_MAX`: it is still text.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

fn header_text(name: &HeaderName, value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    if CREDENTIALS.contains(name) {
        let scheme = text.split_once(' ').filter(|_| *name != header::COOKIE);
        let first = scheme.map_or("", |(first, _)| first);
        return format!("{first} …").trim_start().to_owned();
    }
    text.into_owned()
}

/// `{at, method, target, status, times, signature, forwarded, headers, body | body_text | body_base64}` and a line feed.
pub(super) fn json_line(received: &Received<'_>) -> String {
    let target = received.head.uri.path_and_query().map_or("/", |path| path.as_str());
    let fields = json!({
        "at": received.at,
        "method": received.head.method.as_str(),
        "target": target,
        "status": received.status.as_u16(),
        "times": received.times,
        "signature": verdict_json(&received.verdict),
        "forwarded": received.forwarded.map(|forwarded| json!({"to": forwarded.to, "error": forwarded.error})),
        "headers": headers_json(&received.head.headers),
    });
    let fields = fields.to_string();
    let mut out = String::with_capacity(fields.len() + received.body.len() + 32);
    push_escaped(&mut out, fields.strip_suffix('}').unwrap_or(&fields));
    if let Some(json) = as_json(received.body) {
        out.push_str(",\"body\":");
        out.push_str(&one_line(json));
    } else if let Ok(text) = std::str::from_utf8(received.body) {
        out.push_str(",\"body_text\":");
        push_escaped(&mut out, &Value::from(text).to_string());
    } else {
        let _ = write!(out, ",\"body_base64\":\"{}\"", STANDARD.encode(received.body));
    }
    out.push_str("}\n");
    out
}

fn verdict_json(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Holds { by, preview, verified } => json!({
            "result": "ok",
            "scheme": verified.scheme.name(),
            "header": verified.header.as_str(),
            "secret_of": by,
            "secret_preview": preview,
            "age_ms": verified.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        }),
        Verdict::Fails(reason) => json!({ "result": "failed", "error": reason }),
        Verdict::Unsigned => json!({ "result": "unsigned" }),
        Verdict::Unchecked => json!({ "result": "unchecked" }),
    }
}

/// Names to values, repeated ones joined by commas (RFC 9110 §5.3).
fn headers_json(headers: &HeaderMap) -> Value {
    let mut map = Map::new();
    for name in headers.keys() {
        let values: Vec<String> = headers.get_all(name).iter().map(|value| header_text(name, value)).collect();
        map.insert(name.as_str().to_owned(), Value::from(values.join(", ")));
    }
    Value::Object(map)
}
