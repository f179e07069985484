//! What a module returned, checked before anyone uses it: sizes, headers, method, event, URL.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde::de::IgnoredAny;
use url::Url;

use super::TransformError;
use super::bindings::{RawEvent, RawOutcome, RawRequest};
use super::state::printable;
use crate::model::{Event, EventType, Timestamp};
use crate::signing;

/// What becomes of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this event's envelope.
    Event(Box<Event>),
    /// Send the envelopes of these, as of a batch. Two at least.
    Events(Vec<Event>),
    Request(RequestParts),
    /// Send nothing, for this reason.
    Drop {
        reason: String,
    },
}

/// A request as its module made it. Without a `content-type`, it is JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestParts {
    pub body: Bytes,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub method: Option<Method>,
    /// Not checked yet: [`same_origin`] does, against the URL of the webhook.
    pub url: Option<String>,
}

/// More than any receiver asks for; servers commonly refuse more than 100.
const HEADERS_MAX: usize = 100;

/// Servers commonly refuse more than 8 to 16 KiB of headers, ours included.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Longer ones are refused by most servers.
const URL_BYTES_MAX: usize = 8 * 1024;

/// A reason is a sentence.
const REASON_BYTES_MAX: usize = 1024;

/// Methods that carry a webhook's body or plausibly none; not CONNECT or TRACE.
const METHODS: [Method; 6] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::GET, Method::HEAD];

/// Checks what `module` returned for these events (never none).
pub(super) fn check(module: &str, outcome: RawOutcome, originals: &[&Event], bytes_max: usize) -> Result<Output, TransformError> {
    match outcome {
        RawOutcome::Drop(reason) => Ok(Output::Drop { reason: printable(&reason, REASON_BYTES_MAX) }),
        RawOutcome::Event(event) => {
            bounded(module, "an event", payload_len(&event), bytes_max)?;
            check_event(event, originals).map(|event| Output::Event(Box::new(event))).map_err(refuse(module))
        }
        RawOutcome::Events(events) => {
            bounded(module, "events", events.iter().map(payload_len).sum(), bytes_max)?;
            let checked = events.into_iter().map(|event| check_event(event, originals)).collect::<Result<Vec<_>, _>>();
            let mut events = checked.map_err(refuse(module))?;
            match events.len() {
                0 => Err(refuse(module)("a list of no events; when nothing is left to send, it must drop them".to_owned())),
                1 => Ok(Output::Event(Box::new(events.remove(0)))),
                _ => Ok(Output::Events(events)),
            }
        }
        RawOutcome::Request(request) => {
            let header_bytes: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
            bounded(module, "a request", request.body.len() + header_bytes, bytes_max)?;
            check_request(request, header_bytes).map(Output::Request).map_err(refuse(module))
        }
    }
}

fn payload_len(event: &RawEvent) -> usize {
    event.data.len() + event.metadata.as_ref().map_or(0, String::len)
}

fn bounded(module: &str, what: &str, size: usize, limit: usize) -> Result<(), TransformError> {
    if size <= limit {
        return Ok(());
    }
    Err(TransformError::Output { module: module.to_owned(), found: format!("{what} of {size} bytes"), limit })
}

fn refuse(module: &str) -> impl Fn(String) -> TransformError {
    move |problem| TransformError::Refused { module: module.to_owned(), problem }
}

/// The original with what a module may change: type, timestamp, data and metadata. The original is the one of the same
/// id, or the first.
fn check_event(event: RawEvent, originals: &[&Event]) -> Result<Event, String> {
    let same = originals.iter().find(|original| original.id.as_str() == event.id);
    let original = same.or(originals.first()).ok_or("an event for no event")?;
    let kind = EventType::parse(&event.kind).map_err(|error| format!("an event that cannot be: {error}"))?;
    if kind.is_reserved() && kind != original.kind {
        return Err(format!("an event of the reserved type `{kind}`: webhook.… and tenterhook.… are Tenterhook's own"));
    }
    let timestamp =
        Timestamp::parse(&event.timestamp).map_err(|error| format!("an event whose timestamp cannot be read: {error}"))?;
    let json = |what: &str, text: &str| {
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| format!("an event whose {what} is no JSON: {error}"))
    };
    json("data", &event.data)?;
    if let Some(metadata) = &event.metadata {
        json("metadata", metadata)?;
        if !metadata.trim_start().starts_with('{') {
            return Err("an event whose metadata is JSON, but no object".to_owned());
        }
    }
    Ok(Event {
        id: original.id.clone(),
        kind,
        timestamp,
        received: original.received,
        data: Bytes::from(event.data),
        metadata: event.metadata.map(Bytes::from),
        tenant: original.tenant.as_ref().map(Arc::clone),
    })
}

fn check_request(request: RawRequest, header_bytes: usize) -> Result<RequestParts, String> {
    if request.headers.len() > HEADERS_MAX {
        return Err(format!("{} headers, {HEADERS_MAX} are allowed", request.headers.len()));
    }
    if header_bytes > HEADER_BYTES_MAX {
        return Err(format!("{header_bytes} bytes of headers, {HEADER_BYTES_MAX} are allowed"));
    }
    let headers = request.headers.iter().map(|(name, value)| check_header(name, value)).collect::<Result<_, _>>()?;
    let method = request.method.as_deref().map(check_method).transpose()?;
    if let Some(url) = &request.url
        && url.len() > URL_BYTES_MAX
    {
        return Err(format!("a URL of {} bytes, {URL_BYTES_MAX} are allowed", url.len()));
    }
    Ok(RequestParts { body: request.body, headers, method, url: request.url })
}

fn check_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let shown: String = name.chars().take(64).collect();
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err(format!("a header with the name {shown:?}, which HTTP does not allow"));
    };
    // The value may be a credential: it is not shown.
    let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else {
        return Err(format!(
            "a value for the header `{shown}` that HTTP does not allow: line breaks and other controls are refused"
        ));
    };
    if crate::model::CONNECTION_HEADERS.contains(&parsed.as_str()) {
        return Err(format!("the header `{parsed}`, which belongs to the connection and is set when the request is sent"));
    }
    if signing::is_reserved(parsed.as_str()) {
        return Err(format!("the header `{parsed}`, which belongs to the signature and is set when the request is signed"));
    }
    Ok((parsed, value))
}

fn check_method(text: &str) -> Result<Method, String> {
    METHODS.iter().find(|method| method.as_str() == text).cloned().ok_or_else(|| {
        let allowed: Vec<&str> = METHODS.iter().map(Method::as_str).collect();
        format!("the method {:?}; there are {}", text.chars().take(32).collect::<String>(), allowed.join(", "))
    })
}

/// Where a request goes that named a URL of its own: `text` may be relative to `base`, the webhook's URL, or absolute
/// with the same scheme, host and port. The error shows origins only: paths and queries can be secrets.
pub fn same_origin(base: &Url, text: &str) -> Result<Url, String> {
    let url = base.join(text).map_err(|error| format!("the transformer's URL cannot be read: {error}"))?;
    let origin = |url: &Url| url.origin().ascii_serialization();
    if url.origin() != base.origin() {
        return Err(format!(
            "the transformer's URL goes to {}, the webhook's to {}: a transformer can change path and query only",
            origin(&url),
            origin(base)
        ));
    }
    if url.username() != base.username() || url.password() != base.password() {
        return Err("the transformer's URL brings credentials along: put them into the webhook's headers".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventId;

    fn original() -> Event {
        Event {
            id: EventId::parse("evt_1").unwrap(),
            kind: EventType::parse("order.created").unwrap(),
            timestamp: Timestamp::from_millis(1),
            received: Timestamp::from_millis(2),
            data: Bytes::from_static(b"{}"),
            metadata: None,
            tenant: Some("acme".into()),
        }
    }

    fn request(headers: &[(&str, &str)]) -> RawOutcome {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        RawOutcome::Request(RawRequest { body: Bytes::from_static(b"x"), headers, method: None, url: None })
    }

    fn error(outcome: RawOutcome) -> String {
        check("m", outcome, &[&original()], 1_000_000).unwrap_err().to_string()
    }

    #[test]
    fn a_content_type_and_own_headers_pass() {
        let output = check("m", request(&[("Content-Type", "text/xml"), ("X-Key", "é")]), &[&original()], 100).unwrap();
        let Output::Request(parts) = output else { panic!("no request") };
        assert_eq!(parts.headers[0].0, "content-type");
    }

    #[test]
    fn headers_that_split_or_steal_the_request_are_refused() {
        for (name, value, part) in [
            ("x\r\ny", "1", "which HTTP does not allow"),
            ("", "1", "which HTTP does not allow"),
            ("x-a", "1\r\nhost: evil", "`x-a` that HTTP does not allow"),
            ("Host", "evil", "`host`, which belongs to the connection"),
            ("Content-Length", "0", "belongs to the connection"),
            ("Transfer-Encoding", "chunked", "belongs to the connection"),
            ("Webhook-Signature", "v1,x", "belongs to the signature"),
            ("X-Webhook-Signature", "x", "belongs to the signature"),
            ("X-Hub-Signature-256", "x", "belongs to the signature"),
            ("X-Tenterhook-Signature", "x", "belongs to the signature"),
        ] {
            let error = error(request(&[(name, value)]));
            assert!(error.starts_with("transformer `m` returned ") && error.contains(part), "{error}");
            assert!(!error.contains("evil"), "{error}");
        }
    }

    #[test]
    fn too_many_headers_or_bytes_are_refused_with_the_limit() {
        assert!(error(request(&[("x-a", "1"); 101])).contains("101 headers, 100 are allowed"));
        let long = "v".repeat(20_000);
        assert!(error(request(&[("x-a", &long)])).contains("20003 bytes of headers, 16384 are allowed"));
        let error = check("m", request(&[("x-a", &long)]), &[&original()], 1024).unwrap_err().to_string();
        assert_eq!(error, "transformer `m` returned a request of 20004 bytes, more than its 1 KiB of output");
    }

    #[test]
    fn odd_methods_are_refused_with_those_there_are() {
        let outcome = RawOutcome::Request(RawRequest {
            body: Bytes::new(),
            headers: Vec::new(),
            method: Some("CONNECT".to_owned()),
            url: None,
        });
        assert!(error(outcome).ends_with("the method \"CONNECT\"; there are POST, PUT, PATCH, DELETE, GET, HEAD"));
    }

    #[test]
    fn an_event_keeps_its_id_and_tenant() {
        let raw = RawEvent {
            id: "evt_other".to_owned(),
            kind: "order.changed".to_owned(),
            timestamp: "2026-01-28T10:30:45Z".to_owned(),
            data: "[1]".to_owned(),
            metadata: Some("{}".to_owned()),
        };
        let Output::Event(event) = check("m", RawOutcome::Event(raw), &[&original()], 100).unwrap() else { panic!("no event") };
        assert_eq!((event.id, event.tenant, event.received), (original().id, original().tenant, original().received));
        assert_eq!((event.kind.as_str(), &event.data[..]), ("order.changed", &b"[1]"[..]));
    }

    #[test]
    fn several_events_keep_the_id_of_the_one_that_they_name() {
        let second = Event { id: EventId::parse("evt_2").unwrap(), tenant: None, ..original() };
        let raw = |id: &str| RawEvent {
            id: id.to_owned(),
            kind: "order.changed".to_owned(),
            timestamp: "2026-01-28T10:30:45Z".to_owned(),
            data: "1".to_owned(),
            metadata: None,
        };
        let outcome = RawOutcome::Events(vec![raw("evt_2"), raw("evt_1"), raw("evt_9")]);
        let Output::Events(events) = check("m", outcome, &[&original(), &second], 100).unwrap() else { panic!("no events") };
        let ids: Vec<(&str, Option<&str>)> = events.iter().map(|event| (event.id.as_str(), event.tenant.as_deref())).collect();
        assert_eq!(ids, [("evt_2", None), ("evt_1", Some("acme")), ("evt_1", Some("acme"))]);
        assert!(matches!(check("m", RawOutcome::Events(vec![raw("evt_1")]), &[&original()], 100), Ok(Output::Event(_))));
        assert!(
            error(RawOutcome::Events(Vec::new()))
                .ends_with("a list of no events; when nothing is left to send, it must drop them")
        );
        let many = RawOutcome::Events((0..200).map(|_| raw("evt_1")).collect());
        let error = check("m", many, &[&original()], 100).unwrap_err().to_string();
        assert_eq!(error, "transformer `m` returned events of 200 bytes, more than its 100 bytes of output");
    }

    #[test]
    fn events_that_cannot_be_are_refused() {
        let raw = |kind: &str, timestamp: &str, data: &str, metadata: Option<&str>| {
            RawOutcome::Event(RawEvent {
                id: String::new(),
                kind: kind.to_owned(),
                timestamp: timestamp.to_owned(),
                data: data.to_owned(),
                metadata: metadata.map(str::to_owned),
            })
        };
        let time = "2026-01-28T10:30:45Z";
        assert!(error(raw("a b", time, "1", None)).contains("an event that cannot be: event type `a b`"));
        assert!(error(raw("webhook.x", time, "1", None)).contains("reserved type `webhook.x`"));
        assert!(error(raw("a", "now", "1", None)).contains("`now` is not an RFC 3339 time"));
        assert!(error(raw("a", time, "{", None)).contains("whose data is no JSON: EOF"));
        assert!(error(raw("a", time, "{}}", None)).contains("whose data is no JSON"));
        assert!(error(raw("a", time, "1", Some("[]"))).contains("metadata is JSON, but no object"));
    }

    #[test]
    fn a_url_may_change_path_and_query_but_not_the_origin() {
        let base = Url::parse("https://a.test/hook/secret?x=1").unwrap();
        assert_eq!(same_origin(&base, "/other?y=2").unwrap().as_str(), "https://a.test/other?y=2");
        assert_eq!(same_origin(&base, "https://a.test:443/z").unwrap().as_str(), "https://a.test/z");
        for text in ["https://b.test/", "http://a.test/", "https://a.test:8443/", "//b.test/x", "file:///etc/passwd"] {
            let error = same_origin(&base, text).unwrap_err();
            assert!(error.contains("the webhook's to https://a.test:") && !error.contains("secret"), "{error}");
        }
        assert!(same_origin(&base, "https://u:p@a.test/").unwrap_err().contains("credentials"));
        assert!(same_origin(&base, "https://").unwrap_err().contains("cannot be read"));
    }
}
