//! The request of a delivery: its bytes made once, its headers, its signature.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use super::conceal::{MASKED, is_credential};
use crate::model::{Event, LogLine, SentRequest, Timestamp, Timings, option_secrets, parts_of};
use crate::signing::{Message, SignatureSpec};
use crate::snapshot::Webhook;
use crate::store::{Lease, Payload, TransformedRequest};
use crate::telemetry::Metrics;
use crate::transform::{Output, RequestParts, same_origin};

static AGENT: HeaderValue = HeaderValue::from_static(concat!("tenterhook/", env!("CARGO_PKG_VERSION")));
static JSON: HeaderValue = HeaderValue::from_static("application/json");
static WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");

pub(super) struct Prepared {
    pub(super) outcome: RequestOutcome,
    /// Time spent waiting for an instance of a transformer.
    pub(super) waited: Duration,
    pub(super) timings: Timings,
    pub(super) log: Vec<LogLine>,
}

pub(super) enum RequestOutcome {
    /// `payload` is to be stored, so that later attempts send the same; `None` when an earlier one has made it.
    Request {
        request: Box<Request<Bytes>>,
        payload: Option<Payload>,
    },
    Drop {
        reason: String,
    },
    Failed {
        error: String,
    },
}

pub(super) async fn prepare(webhook: &Webhook, lease: &Lease, now: Timestamp, metrics: &Metrics) -> Prepared {
    let mut waited = Duration::ZERO;
    let (payload, timings, log) = match (&lease.made, &webhook.pipeline) {
        // A batch may be halved later, so what was sent is stored as it was.
        (None, None) if lease.batch.is_some() => (Ok(plain(array(lease))), Timings::default(), Vec::new()),
        (Some(made), _) => (Ok(made.clone()), Timings::default(), Vec::new()),
        (None, None) => (Ok(Payload::Envelope), Timings::default(), Vec::new()),
        (None, Some(pipeline)) => {
            let started = Instant::now();
            let events: Vec<&Event> = match &lease.batch {
                Some(events) => events.iter().map(AsRef::as_ref).collect(),
                None => vec![&*lease.event],
            };
            let count = |module: &str, took, failed| metrics.transformer(module).call(took, failed);
            let transformed = pipeline.run_observed(&events, count).await;
            waited = started.elapsed().saturating_sub(transformed.duration);
            let micros = u64::try_from(transformed.duration.as_micros()).unwrap_or(u64::MAX);
            let timings = Timings { transform_us: Some(micros), ..Timings::default() };
            let payload = match transformed.result {
                Ok(Output::Event(event)) => Ok(plain(event.envelope())),
                Ok(Output::Events(events)) => Ok(plain(Event::envelopes(&events))),
                Ok(Output::Request(parts)) => Ok(Payload::Request(Arc::new(stored(parts)))),
                Ok(Output::Drop { reason }) => Err(RequestOutcome::Drop { reason }),
                Err(error) => Err(RequestOutcome::Failed { error: error.to_string() }),
            };
            (payload, timings, transformed.log)
        }
    };
    let outcome = match payload {
        Err(end) => end,
        Ok(payload) => match build(webhook, lease, &payload, now) {
            Ok(request) => {
                RequestOutcome::Request { request: Box::new(request), payload: lease.made.is_none().then_some(payload) }
            }
            Err(error) => RequestOutcome::Failed { error },
        },
    };
    Prepared { outcome, waited, timings, log }
}

/// As it is stored: the host has checked its headers, which are text.
fn stored(parts: RequestParts) -> TransformedRequest {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    TransformedRequest {
        method: parts.method.map(|method| method.to_string()),
        url: parts.url,
        headers: parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: parts.body,
    }
}

/// An event that a transformer changed goes out in the usual envelope.
fn plain(body: Bytes) -> Payload {
    Payload::Request(Arc::new(TransformedRequest { method: None, url: None, headers: Vec::new(), body }))
}

/// A batch's body: what each event would have been sent as.
fn array(lease: &Lease) -> Bytes {
    let events = lease.batch.as_deref().unwrap_or_default();
    let envelopes: Vec<Bytes> = events.iter().map(|event| event.envelope()).collect();
    let mut body = Vec::with_capacity(envelopes.iter().map(|envelope| envelope.len() + 1).sum::<usize>() + 1);
    body.push(b'[');
    for (at, envelope) in envelopes.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(envelope);
    }
    body.push(b']');
    body.into()
}

fn build(webhook: &Webhook, lease: &Lease, payload: &Payload, now: Timestamp) -> Result<Request<Bytes>, String> {
    let settings = &webhook.settings;
    let mut url = Cow::Borrowed(settings.url.expose());
    let mut headers = HeaderMap::with_capacity(8 + settings.headers.len());
    let mut method = Method::POST;
    headers.insert(CONTENT_TYPE, JSON.clone());
    headers.insert(USER_AGENT, AGENT.clone());
    for (name, value) in &settings.headers {
        headers.insert(name, value.clone());
    }
    let body = match payload {
        Payload::Envelope => lease.event.envelope(),
        Payload::Request(made) => {
            for (name, value) in &made.headers {
                let name =
                    HeaderName::try_from(name).map_err(|e| format!("the transformer's header `{name}` is not valid: {e}"))?;
                let value = HeaderValue::try_from(value)
                    .map_err(|e| format!("the value of the transformer's header `{name}` is not valid: {e}"))?;
                headers.insert(name, value);
            }
            if let Some(made) = &made.method {
                method = Method::try_from(made.as_str())
                    .map_err(|e| format!("the transformer's method `{made}` is not valid: {e}"))?;
            }
            if let Some(made) = &made.url {
                url = Cow::Owned(same_origin(settings.url.expose(), made)?);
            }
            made.body.clone()
        }
    };
    // A batch has the delivery's id, because no event's id is the others'. One that was halved, or lost an event, is something
    // else than what was sent under its id before.
    let id = match (&lease.batch, lease.edition) {
        (None, _) => Cow::Borrowed(lease.event.id.as_str()),
        (Some(_), 0) => Cow::Owned(lease.delivery.to_string()),
        (Some(_), edition) => Cow::Owned(format!("{}-{edition}", lease.delivery)),
    };
    let id = &*id;
    headers.insert(&WEBHOOK_ID, HeaderValue::from_str(id).map_err(|e| format!("the event's id is no header value: {e}"))?);
    let uri = Uri::try_from(url.as_str()).map_err(|e| format!("the endpoint's URL cannot be requested: {e}"))?;
    let event_type = lease.event.kind.as_str();
    let message = Message { id, timestamp: now, event_type, method: &method, uri: &uri, body: &body };
    webhook.signer.sign(&message, &mut headers);
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The request as it is recorded: credentials among its headers are masked.
pub(super) fn as_sent(webhook: &Webhook, request: &Request<Bytes>) -> SentRequest {
    // The configuration's and a transformer's. Signatures are no secrets, whatever their header is called.
    let signatures: Vec<HeaderName> = webhook.settings.signature.iter().map(SignatureSpec::signature_header).collect();
    let headers = request.headers().iter().map(|(name, value)| {
        let shown = if is_credential(webhook, name) && !signatures.contains(name) {
            MASKED.to_owned()
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        (name.as_str().to_owned(), shown)
    });
    // Set only when the request leaves.
    let authorization = webhook.egress.authorizes().then(|| ("authorization".to_owned(), MASKED.to_owned()));
    let headers = headers.chain(authorization);
    let url = match request.uri().path_and_query() {
        Some(path) if path.as_str() != webhook.settings.url.expose().path() => {
            let mut url = webhook.settings.url.expose().clone();
            url.set_path(path.path());
            url.set_query(path.query());
            crate::model::EndpointUrl::new(url).masked()
        }
        _ => webhook.settings.url.masked(),
    };
    let hidden = parts_of(request.body(), &option_secrets(&webhook.settings.transform));
    SentRequest { method: request.method().to_string(), url, headers: headers.collect(), hidden }
}
