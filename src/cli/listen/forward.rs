//! `listen --forward-to`: hands each request to an application on this machine, byte for byte, and answers as it does.
//! Follows no redirects and sends nothing twice.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RETRY_AFTER, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, Request, StatusCode};
use url::Url;

use super::BODY_BYTES_MAX;
use crate::model::NetworkPolicy;
use crate::outbound::{Client, ClientOptions, SendLimits};

/// An application in a debugger is slow, and the sender's own timeout is shorter.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Are about one connection, not about the request (RFC 9110 §7.6.1); `Host` and the length are made again.
const OF_THE_CONNECTION: [HeaderName; 10] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Headers of the answer that the sender may care about.
const PASSED_BACK: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_ENCODING, RETRY_AFTER];

pub(super) struct Forwarder {
    http: Client,
    to: Url,
}

/// What the application answered, or why it did not.
pub(super) struct Forwarded {
    pub(super) to: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) error: Option<String>,
}

/// For clap.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    url.ok_or_else(|| "write a whole URL, such as http://localhost:3000/webhooks".to_owned())
}

impl Forwarder {
    pub(super) fn new(to: Url) -> anyhow::Result<Self> {
        // The user named this address: nothing to guard against.
        let everywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|range| range.parse().ok()).collect();
        let http = Client::new(ClientOptions::new(NetworkPolicy { allow: everywhere, https_only: false }))?;
        Ok(Self { http, to })
    }

    pub(super) async fn forward(&self, head: &http::request::Parts, body: Bytes) -> Forwarded {
        let to = target(&self.to, &head.uri);
        let failed = |error: String| Forwarded {
            to: to.to_string(),
            status: StatusCode::BAD_GATEWAY,
            headers: HeaderMap::new(),
            body: Bytes::from_static(br#"{"received":false,"detail":"it could not be forwarded"}"#),
            error: Some(error),
        };
        let mut request = Request::builder().method(head.method.clone()).uri(to.as_str());
        for (name, value) in head.headers.iter().filter(|(name, _)| !OF_THE_CONNECTION.contains(name)) {
            request = request.header(name, value);
        }
        let Ok(request) = request.body(body) else { return failed("the request has no form that can be forwarded".to_owned()) };
        let limits =
            SendLimits { timeout: TIMEOUT, spent: Duration::ZERO, connect_timeout: TIMEOUT, response_bytes_max: BODY_BYTES_MAX };
        match self.http.send(request, limits).await {
            Err(error) => failed(error.detail),
            Ok(answer) => {
                let passed = |name: &HeaderName| Some((name.clone(), answer.headers.get(name)?.clone()));
                Forwarded {
                    to: to.to_string(),
                    status: StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY),
                    headers: PASSED_BACK.iter().filter_map(passed).collect(),
                    body: answer.body,
                    error: None,
                }
            }
        }
    }
}

/// A URL with a path is the application's endpoint; one without takes the request's own path and query.
fn target(to: &Url, uri: &http::Uri) -> Url {
    let mut target = to.clone();
    if to.path() == "/" {
        target.set_path(uri.path());
        if to.query().is_none() {
            target.set_query(uri.query());
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_a_path_is_the_endpoint_and_one_without_takes_the_requests() {
        for (to, uri, expected) in [
            ("http://localhost:3000", "/in?x=1", "http://localhost:3000/in?x=1"),
            ("http://localhost:3000/", "/in", "http://localhost:3000/in"),
            ("http://localhost:3000/webhooks", "/in?x=1", "http://localhost:3000/webhooks"),
            ("http://localhost:3000/webhooks?y=2", "/in?x=1", "http://localhost:3000/webhooks?y=2"),
        ] {
            assert_eq!(target(&parse_url(to).unwrap(), &uri.parse().unwrap()).as_str(), expected);
        }
        for bad in ["localhost:3000", "3000", "/webhooks", "ftp://localhost/"] {
            assert!(parse_url(bad).unwrap_err().contains("http://localhost:3000"), "{bad}");
        }
    }
}
