//! Requests that two HTTP implementations could read in two ways: refused before anything else reads them, and their
//! connection ends (RFC 9112 §3.2, §6.1; RFC 9110 §11.6.2). An attacker behind a proxy lives on such differences.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use crate::http::problem::{Kind, Problem};

/// Goes along with every request that came over a connection of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnListener;

pub(crate) async fn check(request: Request, next: Next) -> Response {
    let Some(detail) = ambiguity(&request) else { return next.run(request).await };
    let mut response = Problem::new(Kind::BadRequest, detail).into_response();
    if request.version() < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn ambiguity(request: &Request) -> Option<&'static str> {
    let headers = request.headers();
    let count = |name: HeaderName| headers.get_all(name).iter().count();
    if count(AUTHORIZATION) > 1 {
        return Some("the request has several Authorization headers: send one");
    }
    // A program that mounts these routes in a server of its own may leave the rest to that.
    request.extensions().get::<OwnListener>()?;
    if count(HOST) > 1 {
        return Some("the request has several Host headers: send one");
    }
    if request.version() == Version::HTTP_11 && request.uri().authority().is_none() && count(HOST) == 0 {
        return Some("the request has no Host header, which HTTP/1.1 requires");
    }
    let is_authority = |host: &HeaderValue| host.is_empty() || Authority::try_from(host.as_bytes()).is_ok();
    if headers.get(HOST).is_some_and(|host| !is_authority(host)) {
        return Some("the Host header is not a host with an optional port");
    }
    if transfer_codings(headers) > 1 {
        return Some("the request has several transfer codings: send chunked once");
    }
    if count(TRANSFER_ENCODING) > 0 && count(CONTENT_LENGTH) > 0 {
        return Some("the request has both Transfer-Encoding and Content-Length: send one of them");
    }
    None
}

fn transfer_codings(headers: &HeaderMap) -> usize {
    let values = headers.get_all(TRANSFER_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter(|coding| !coding.trim().is_empty()).count()
}

/// Whether a request was addressed to this machine itself: `localhost` or a loopback address. A page on the web whose name
/// was made to resolve to 127.0.0.1 (DNS rebinding) sends its own name.
pub(crate) fn is_addressed_to_loopback(uri: &http::Uri, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let Some(authority) = uri.authority().cloned().or(host) else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn of(version: Version, uri: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let request = headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        ambiguity(&request.version(version).uri(uri).extension(OwnListener).body(Body::empty()).unwrap())
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let host = ("host", "localhost:8080");
        for (headers, part) in [
            (&[][..], "no Host"),
            (&[host, host], "several Host"),
            (&[("host", "a, b")], "is not a host"),
            (&[host, ("authorization", "Bearer a"), ("authorization", "Bearer a")], "several Authorization"),
            (&[host, ("transfer-encoding", "chunked, chunked")], "several transfer codings"),
            (&[host, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], "several transfer codings"),
            (&[host, ("transfer-encoding", "chunked"), ("content-length", "3")], "both Transfer-Encoding and Content-Length"),
        ] {
            let found = of(Version::HTTP_11, "/v1/events", headers);
            assert!(found.is_some_and(|found| found.contains(part)), "{headers:?}: {found:?}");
        }
    }

    #[test]
    fn ordinary_requests_pass() {
        let host = ("host", "localhost:8080");
        assert_eq!(of(Version::HTTP_11, "/", &[host, ("authorization", "Bearer a"), ("transfer-encoding", "chunked")]), None);
        assert_eq!(of(Version::HTTP_11, "/", &[("host", "[::1]:8080")]), None);
        assert_eq!(of(Version::HTTP_10, "/", &[]), None, "HTTP/1.0 has no Host");
        assert_eq!(of(Version::HTTP_2, "https://hooks.example/", &[]), None);
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        let is = |host: &'static str| {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            is_addressed_to_loopback(&"/metrics".parse().unwrap(), &headers)
        };
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:9", "127.8.9.1", "[::1]:80", "app.localhost", "[::ffff:127.0.0.1]"]
        {
            assert!(is(host), "{host}");
        }
        for host in ["evil.example:8080", "localhost.evil.example", "10.0.0.1", "", "127.0.0.1.evil.example"] {
            assert!(!is(host), "{host}");
        }
    }
}
