//! Credentials in an endpoint's URL and in transformers' options (PagerDuty's routing key): which values they are, and how
//! they are hidden in what is stored or shown.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value;
use url::Url;

use super::{EndpointUrl, HiddenPart, TransformStep};

/// What is shown instead of a credential.
pub const MASKED: &str = "…";

/// Shorter values are no credentials, and occur in many texts by chance.
pub const SECRET_BYTES_MIN: usize = 8;

/// The same for values whose names do not say what they are: `production` and `2022-11-28` are no credentials.
pub const UNNAMED_SECRET_BYTES_MIN: usize = 16;

/// Words in the names of options and parameters whose values are credentials.
const SECRET_WORDS: [&str; 6] = ["secret", "token", "password", "passwd", "authorization", "key"];

/// Keys that are no credentials: they name a field, or distinguish events.
const PLAIN_KEYS: [&str; 5] = ["batch", "dedup", "order", "partition", "field"];

/// Names of parameters that sign a URL (Azure's `sig`) or open it.
const SECRET_PARAMETERS: [&str; 4] = ["sig", "signature", "auth", "code"];

/// Whether a name says that its value is a credential.
fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word)) && !PLAIN_KEYS.iter().any(|word| name.contains(word))
}

/// The credentials in a URL: the segments of its path that [`EndpointUrl::masked`] hides, and the values of its query,
/// each as it is written and as it reads.
pub fn url_secrets(url: &Url) -> Vec<String> {
    let shown = EndpointUrl::new(url.clone()).masked();
    let segments = url.path_segments().into_iter().flatten();
    let hidden = segments.filter(|segment| segment.len() >= SECRET_BYTES_MIN && !shown.contains(*segment));
    let mut secrets: Vec<String> = hidden.flat_map(|segment| [segment.to_owned(), decoded(segment)]).collect();
    let raw = url.query().unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or(("", pair)));
    for (name, value) in raw {
        let is_named = names_secret(name) || SECRET_PARAMETERS.contains(&name);
        let shortest = if is_named { SECRET_BYTES_MIN } else { UNNAMED_SECRET_BYTES_MIN };
        let read = decoded(value);
        if value.len() >= shortest && !read.contains(' ') && !read.contains("://") {
            secrets.extend([value.to_owned(), read]);
        }
    }
    secrets.sort_unstable();
    secrets.dedup();
    secrets
}

fn decoded(text: &str) -> String {
    let read = url::form_urlencoded::parse(text.as_bytes()).next();
    read.map_or_else(String::new, |(name, _)| Cow::into_owned(name))
}

/// The values of options whose names say that they are credentials, in all stages of a pipeline.
pub fn option_secrets(steps: &[TransformStep]) -> Vec<String> {
    let mut secrets = Vec::new();
    for step in steps {
        // The host has read them before; what cannot be read hides nothing.
        if let Ok(options) = serde_json::from_str(&step.options) {
            collect(&options, false, &mut secrets);
        }
    }
    secrets.retain(|secret: &String| secret.len() >= SECRET_BYTES_MIN);
    secrets.sort_unstable();
    secrets.dedup();
    secrets
}

fn collect(value: &Value, is_secret: bool, secrets: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| collect(value, is_secret || names_secret(name), secrets));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, is_secret, secrets)),
        // Filled in with the event's own data, it is none: `{data.service}`.
        Value::String(text) if is_secret && !text.contains('{') => secrets.push(text.clone()),
        _ => {}
    }
}

/// `None`: none of them occurs. The longest is to be first: one may be a part of another.
pub fn mask_bytes<S: AsRef<[u8]>>(body: &Bytes, secrets: &[S]) -> Option<Bytes> {
    let mut masked: Option<Bytes> = None;
    for secret in secrets {
        if let Some(next) = replaced(masked.as_ref().unwrap_or(body), secret.as_ref()) {
            masked = Some(next);
        }
    }
    masked
}

/// Where the secrets are in a body, in its order and without overlaps.
pub fn parts_of(body: &[u8], secrets: &[String]) -> Vec<HiddenPart> {
    let mut parts = Vec::new();
    for secret in secrets {
        let mut from = 0;
        while let Some(at) = body.get(from..).and_then(|rest| find(rest, secret.as_bytes())) {
            parts.push(HiddenPart { at: from + at, length: secret.len() });
            from += at + secret.len();
        }
    }
    // Of two that begin at the same byte, the longer one.
    parts.sort_by_key(|part| (part.at, std::cmp::Reverse(part.length)));
    let mut end = 0;
    parts.retain(|part| {
        let is_apart = part.at >= end;
        end = end.max(part.at + part.length);
        is_apart
    });
    parts
}

/// The body as it is shown.
pub fn hide_parts<'b>(body: &'b [u8], parts: &[HiddenPart]) -> Cow<'b, [u8]> {
    if parts.is_empty() {
        return Cow::Borrowed(body);
    }
    let mut shown = Vec::with_capacity(body.len());
    let mut from = 0;
    for part in parts {
        // What is stored of another body than the one that was sent hides nothing beyond its end.
        let Some(before) = body.get(from..part.at) else { break };
        shown.extend_from_slice(before);
        shown.extend_from_slice(MASKED.as_bytes());
        from = part.at.saturating_add(part.length);
    }
    shown.extend_from_slice(body.get(from..).unwrap_or_default());
    Cow::Owned(shown)
}

fn replaced(body: &[u8], secret: &[u8]) -> Option<Bytes> {
    let mut masked = Vec::new();
    let mut rest = body;
    while let Some(at) = find(rest, secret) {
        masked.extend_from_slice(&rest[..at]);
        masked.extend_from_slice(MASKED.as_bytes());
        rest = &rest[at + secret.len()..];
    }
    if rest.len() == body.len() {
        return None;
    }
    masked.extend_from_slice(rest);
    Some(masked.into())
}

fn find(body: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = body.get(from..)?.iter().position(|byte| *byte == first) {
        if body[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(url: &str) -> Vec<String> {
        url_secrets(&Url::parse(url).unwrap())
    }

    #[test]
    fn the_hidden_parts_of_a_url_are_its_secrets() {
        let slack = secrets("https://hooks.slack.com/services/T0000000001/B0000000001/XXXXXXXXXXXX3f2a");
        assert_eq!(slack, ["B0000000001", "T0000000001", "XXXXXXXXXXXX3f2a"]);
        assert_eq!(secrets("https://example.com/in?token=s3cr3t%2Fvalue"), ["s3cr3t%2Fvalue", "s3cr3t/value"]);
        let plain =
            "https://example.com/production/orders?environment=production&back=https%3A%2F%2Fexample.com%2F&api-key=short";
        assert_eq!(secrets(plain), Vec::<String>::new());
        assert_eq!(secrets("https://example.com/in?0123456789abcdef"), ["0123456789abcdef"], "without a name");
    }

    #[test]
    fn options_that_name_a_credential_are_secrets() {
        let step = |options: &str| TransformStep { name: "x".to_owned(), options: options.to_owned() };
        let steps = [
            step(r##"{"routing_key":"R0UT1NGK3Y","channel":"#operations","headers":{"X-Api-Token":["longenough","short"]}}"##),
            step(r#"{"dedup_key":"one-incident","secret_path":"{data.service}","Password":"pa55w0rd!"}"#),
            step("not JSON"),
        ];
        assert_eq!(option_secrets(&steps), ["R0UT1NGK3Y", "longenough", "pa55w0rd!"]);
    }

    #[test]
    fn a_body_is_shown_without_its_secrets() {
        let secrets = ["R0UT1NGK3Y".to_owned(), "R0UT1NGK3Y2".to_owned()];
        let shown = |body: &str| {
            let parts = parts_of(body.as_bytes(), &secrets);
            String::from_utf8(hide_parts(body.as_bytes(), &parts).into_owned()).unwrap()
        };
        assert_eq!(shown(r#"{"routing_key":"R0UT1NGK3Y","again":"R0UT1NGK3Y2"}"#), r#"{"routing_key":"…","again":"…"}"#);
        assert_eq!(shown("nothing"), "nothing");
        let beyond = [HiddenPart { at: 2, length: usize::MAX }, HiddenPart { at: 99, length: 1 }];
        assert_eq!(&*hide_parts(b"abc", &beyond), "ab…".as_bytes());
    }

    #[test]
    fn a_credential_is_masked_wherever_it_occurs() {
        let masked = |body: &'static str, wanted: &str| mask_bytes(&Bytes::from_static(body.as_bytes()), &[wanted]);
        assert_eq!(masked("nothing here", "hunter22"), None);
        assert_eq!(masked("hunter2", "hunter22"), None);
        assert_eq!(masked("hhunter22 and hunter22", "hunter22").unwrap(), "h… and …".as_bytes());
        assert_eq!(masked("hunter22", "hunter22").unwrap(), "…".as_bytes());
    }
}
