//! What an answer, or the lack of one, means for the delivery.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use url::{Position, Url};

use crate::model::{Asked, Cause, Failure, Outcome, RETRY_AFTER_MAX, ReceivedResponse, RetryPolicy, Timestamp, Timings};
use crate::outbound::{Response, SendError};

/// Response headers stored with an attempt; more than any honest server sends.
const HEADERS_STORED: usize = 100;

/// Where an endpoint says `disable` or `abort-message`.
const WEBHOOK_DELIVERY: &str = "webhook-delivery";

/// Characters of one header value stored with an attempt.
const HEADER_CHARS_STORED: usize = 1024;

/// An attempt's end, with what is stored of it.
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) status: Option<u16>,
    /// In words, with how to fix it.
    pub(super) error: Option<String>,
    pub(super) response: Option<ReceivedResponse>,
    pub(super) timings: Timings,
    /// What the endpoint asked for, with any answer.
    pub(super) asked: Option<Asked>,
}

impl Verdict {
    pub(super) fn failed(cause: Cause, error: String) -> Self {
        let outcome = Outcome::Failed(Failure::new(cause));
        Self { outcome, status: None, error: Some(error), response: None, timings: Timings::default(), asked: None }
    }

    pub(super) fn dropped(reason: String) -> Self {
        let outcome = Outcome::Dropped { reason };
        Self { outcome, status: None, error: None, response: None, timings: Timings::default(), asked: None }
    }
}

pub(super) fn answer(policy: &RetryPolicy, answer: Result<Response, SendError>, now: Timestamp) -> Verdict {
    let response = match answer {
        Ok(response) => response,
        Err(error) => {
            let verdict = Verdict::failed(error.cause, error.detail);
            let status = error.partial.as_ref().map(|partial| partial.status);
            let response = error.partial.map(|partial| ReceivedResponse {
                headers: stored_headers(&partial.headers),
                body: partial.body,
                truncated: true,
            });
            return Verdict { timings: error.timings, status, response, ..verdict };
        }
    };
    let status = response.status;
    let asked = response.headers.get(WEBHOOK_DELIVERY).and_then(|value| value.to_str().ok()).and_then(Asked::parse);
    let (outcome, error) = if policy.success.contains(status) {
        (Outcome::Delivered { status }, None)
    } else {
        // Of several delays the longest is meant.
        let retry_after = retry_after(&response.headers, now).max(retry_after_in_body(status, &response.body));
        (Outcome::Failed(Failure { cause: Cause::Status(status), retry_after, asked }), Some(explain(status, &response)))
    };
    let stored =
        ReceivedResponse { headers: stored_headers(&response.headers), body: response.body, truncated: response.truncated };
    Verdict { outcome, status: Some(status), error, response: Some(stored), timings: response.timings, asked }
}

fn explain(status: u16, response: &Response) -> String {
    let name = http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("an unknown status");
    let hint = match status {
        300..=399 => {
            let target = response.headers.get(http::header::LOCATION).and_then(|value| value.to_str().ok());
            let target = target.map_or_else(|| "nowhere".to_owned(), masked);
            return format!(
                "the endpoint answered {status} {name} to `{target}`: redirects are not followed, set the webhook's `url` to where it leads"
            );
        }
        502..=504 if response.via.is_some() => {
            let proxy = response.via.as_deref().unwrap_or_default();
            return format!(
                "the endpoint answered {status} {name}, or the proxy {proxy} answered for it: does that reach the endpoint?"
            );
        }
        401 | 403 => ": does the endpoint expect credentials in `headers`, or check the signature with another secret?",
        404 => ": is the path of the webhook's `url` right?",
        410 => ": the endpoint says that it is gone for good",
        413 => ": the body is larger than the endpoint takes",
        429 => ": the endpoint asks for fewer requests",
        _ => "",
    };
    format!("the endpoint answered {status} {name}{hint}")
}

/// Where a redirect leads, without path and query: sign-in pages and the like get tokens there.
fn masked(location: &str) -> String {
    const REST: &str = "…";
    match Url::parse(location) {
        Ok(url) if url.has_host() => {
            let origin = format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort]);
            let origin: String = origin.chars().take(200).collect();
            let rest = if url[Position::AfterPath..].is_empty() && url.path() == "/" { "" } else { REST };
            format!("{origin}/{rest}")
        }
        _ if location.starts_with('/') && !location.starts_with("//") => format!("/{REST}"),
        _ => REST.to_owned(),
    }
}

/// RFC 9110 section 10.2.3: seconds or a date; Discord sends fractions of seconds. The delay is at
/// most [`RETRY_AFTER_MAX`], and of several headers the longest counts.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    headers.get_all(RETRY_AFTER).iter().filter_map(|value| delay(value.to_str().ok()?.trim(), now)).max()
}

fn delay(text: &str, now: Timestamp) -> Option<Duration> {
    if text.starts_with(|c: char| c.is_ascii_digit())
        && let Ok(seconds) = text.parse::<f64>()
    {
        return Some(clamped(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    let at = Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).ok()?);
    Some(now.until(at).min(RETRY_AFTER_MAX))
}

fn clamped(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(RETRY_AFTER_MAX).min(RETRY_AFTER_MAX)
}

/// Discord says in the body of a 429 how long, to the millisecond: `{"retry_after": 0.65}`.
fn retry_after_in_body(status: u16, body: &[u8]) -> Option<Duration> {
    #[derive(serde::Deserialize)]
    struct Limited {
        retry_after: f64,
    }
    if status != 429 {
        return None;
    }
    serde_json::from_slice::<Limited>(body).ok().map(|limited| clamped(limited.retry_after))
}

fn stored_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(HEADER_CHARS_STORED).collect();
    headers.iter().take(HEADERS_STORED).map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(text).ok()?);
        retry_after(&headers, Timestamp::parse("2026-01-28T10:30:45Z").unwrap())
    }

    #[test]
    fn retry_after_is_seconds_a_fraction_or_a_date() {
        assert_eq!(parsed("120"), Some(Duration::from_secs(120)));
        assert_eq!(parsed(" 0.35 "), Some(Duration::from_millis(350)));
        assert_eq!(parsed("Wed, 28 Jan 2026 10:31:45 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(parsed("Wed, 28 Jan 2015 10:31:45 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn the_longest_of_several_retry_afters_counts() {
        let mut headers = HeaderMap::new();
        for text in ["2", "soon", "Wed, 28 Jan 2026 10:31:45 GMT", "30"] {
            headers.append(RETRY_AFTER, HeaderValue::from_static(text));
        }
        let now = Timestamp::parse("2026-01-28T10:30:45Z").unwrap();
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_a_peer_sends_is_clamped_or_ignored() {
        assert_eq!(parsed("1e300"), Some(RETRY_AFTER_MAX));
        assert_eq!(parsed("99999999999999999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(parsed("inf"), None);
        assert_eq!(parsed("nan"), None);
        assert_eq!(parsed("-5"), None);
        assert_eq!(parsed("soon"), None);
    }

    #[test]
    fn a_redirect_says_where_it_leads_and_that_it_is_not_followed() {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::LOCATION, HeaderValue::from_static("https://new.example/"));
        let response = Response {
            status: 301,
            headers,
            body: bytes::Bytes::new(),
            truncated: false,
            timings: Timings::default(),
            via: None,
        };
        let verdict = answer(&RetryPolicy::default(), Ok(response), Timestamp::default());
        assert_eq!(verdict.outcome, Outcome::Failed(Failure::new(Cause::Status(301))));
        let error = verdict.error.unwrap();
        assert!(error.contains("https://new.example/") && error.contains("not followed"), "{error}");
    }

    #[test]
    fn a_redirects_tokens_are_not_told() {
        for (location, shown) in [
            ("https://user:s3cr@login.example:8443/sso/s3cr?token=s3cr#s3cr", "`https://login.example:8443/…`"),
            ("https://new.example/?s3cr", "`https://new.example/…`"),
            ("http://[2001:db8::1]/s3cr", "`http://[2001:db8::1]/…`"),
            ("/in?token=s3cr", "`/…`"),
            ("//new.example/s3cr", "`…`"),
            ("s3cr", "`…`"),
            ("mailto:s3cr", "`…`"),
        ] {
            let error = answered(307, &[("location", location)], b"").error.unwrap();
            assert!(error.contains(shown) && !error.contains("s3cr"), "{error}");
        }
        assert!(answered(307, &[], b"").error.unwrap().contains("to `nowhere`"));
    }

    #[test]
    fn a_gateways_error_may_be_the_proxys() {
        let error = |status| {
            let via = Some("egress:3128".into());
            let (headers, body) = (HeaderMap::new(), bytes::Bytes::new());
            let response = Response { status, headers, body, truncated: false, timings: Timings::default(), via };
            answer(&RetryPolicy::default(), Ok(response), Timestamp::default()).error.unwrap()
        };
        for status in [502, 503, 504] {
            assert!(error(status).contains("or the proxy egress:3128 answered for it"), "{}", error(status));
        }
        assert!(!error(500).contains("proxy"));
        assert!(!answered(502, &[], b"").error.unwrap().contains("proxy"));
    }

    fn answered(status: u16, headers: &[(&'static str, &'static str)], body: &'static [u8]) -> Verdict {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
        let body = bytes::Bytes::from_static(body);
        let response = Response { status, headers, body, truncated: false, timings: Timings::default(), via: None };
        answer(&RetryPolicy::default(), Ok(response), Timestamp::default())
    }

    #[test]
    fn discord_says_in_the_body_how_long() {
        let hint = |status, headers: &[(&'static str, &'static str)], body| match answered(status, headers, body).outcome {
            Outcome::Failed(failure) => failure.retry_after,
            _ => None,
        };
        assert_eq!(hint(429, &[], br#"{"message":"rate limited","retry_after":0.65}"#), Some(Duration::from_millis(650)));
        assert_eq!(hint(429, &[("retry-after", "2")], br#"{"retry_after":0.65}"#), Some(Duration::from_secs(2)));
        assert_eq!(hint(429, &[("retry-after", "2")], br#"{"retry_after":64.57}"#), Some(Duration::from_millis(64_570)));
        assert_eq!(hint(429, &[], br#"{"retry_after":-1e300}"#), Some(Duration::ZERO));
        assert_eq!(hint(429, &[], br#"{"retry_after":1e300}"#), Some(RETRY_AFTER_MAX));
        assert_eq!(hint(500, &[], br#"{"retry_after":0.65}"#), None);
    }

    #[test]
    fn an_endpoint_may_ask_for_the_end() {
        assert_eq!(answered(500, &[("webhook-delivery", "abort-message")], b"").asked, Some(Asked::AbortMessage));
        let thanked = answered(200, &[("webhook-delivery", "disable")], b"");
        assert_eq!((thanked.outcome, thanked.asked), (Outcome::Delivered { status: 200 }, Some(Asked::Disable)));
        assert_eq!(answered(500, &[("webhook-delivery", "later")], b"").asked, None);
    }

    proptest! {
        #[test]
        fn no_header_panics_and_none_exceeds_a_day(text in "[ -~]{0,40}") {
            prop_assert!(parsed(&text).is_none_or(|delay| delay <= RETRY_AFTER_MAX));
        }
    }
}
