//! Refusals: RFC 9457 problem details, each with a `detail` that says how to fix it.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::store::StoreError;

/// What went wrong, as far as a client acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    MalformedBody,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    BodyTimeout,
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    Invalid,
    RateLimited,
    Internal,
    Unavailable,
    StoreFull,
}

impl Kind {
    fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "The request makes no sense"),
            Self::MalformedBody => (StatusCode::BAD_REQUEST, "malformed-body", "The body cannot be read"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "A token is needed"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "The token may not do this"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method does not fit"),
            Self::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "body-timeout", "The body took too long"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "It collides with what is there"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body's type is not understood")
            }
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The content is not valid"),
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something broke"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available right now"),
            Self::StoreFull => (StatusCode::INSUFFICIENT_STORAGE, "store-full", "There is no room left"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Goes along with a problem's response, for the log and for the request's id, which is only known further out.
#[derive(Debug, Clone)]
pub(crate) struct ProblemBody(Value);

impl ProblemBody {
    pub(crate) fn detail(&self) -> Option<&str> {
        self.0["detail"].as_str()
    }

    pub(crate) fn with_request(mut self, id: &str) -> String {
        self.0["request_id"] = id.into();
        self.0.to_string()
    }
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), members: Map::new(), headers: Vec::new() }
    }

    /// An extension member (RFC 9457 §3.2).
    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        let id: String = id.chars().take(ID_CHARS_SHOWN).collect();
        Self::new(Kind::NotFound, format!("there is no {what} `{}`", id.escape_debug()))
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.kind.facts().0
    }

    pub(crate) fn to_json(&self) -> Value {
        let (status, slug, title) = self.kind.facts();
        let mut body = Map::new();
        body.insert("type".to_owned(), format!("urn:tenterhook:problem:{slug}").into());
        body.insert("title".to_owned(), title.into());
        body.insert("status".to_owned(), status.as_u16().into());
        body.insert("detail".to_owned(), json!(self.detail));
        body.extend(self.members.clone());
        Value::Object(body)
    }
}

/// Characters of a client's text that a problem repeats: enough to recognise it.
const ID_CHARS_SHOWN: usize = 140;

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.to_json();
        let mut response = (self.status(), body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.headers);
        response.extensions_mut().insert(ProblemBody(body));
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Full { .. } => Self::new(Kind::StoreFull, format!("nothing was stored: {error}")),
            // The log has the whole story, where the failure was seen; a client can only try again.
            StoreError::Poisoned { .. } => Self::new(
                Kind::Unavailable,
                "the store failed and this server is stopping; nothing of this request was stored: try again once it runs, \
                 and see its log for the reason",
            ),
            StoreError::Unavailable { .. } => {
                Self::new(Kind::Unavailable, format!("{error}; nothing of this request was stored: try again"))
                    .with_header(RETRY_AFTER, HeaderValue::from_static("1"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_rfc_9457_and_its_own() {
        let problem = Problem::new(Kind::Invalid, "2 of 3 events are not valid").with("errors", json!([{"index": 1}]));
        assert_eq!(
            problem.to_json(),
            json!({
                "type": "urn:tenterhook:problem:invalid", "title": "The content is not valid", "status": 422,
                "detail": "2 of 3 events are not valid", "errors": [{"index": 1}],
            })
        );
        let response = problem.into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn a_refusal_of_the_store_says_how_to_fix_it() {
        let full = Problem::from(StoreError::Full { path: "data".to_owned() });
        assert_eq!(full.status(), 507);
        assert_eq!(
            full.to_json()["detail"],
            "nothing was stored: the disk that holds data is full: free some space, or shorten `[retention]`"
        );
        let away = Problem::from(StoreError::Unavailable { reason: "it is closing".to_owned() }).into_response();
        assert_eq!((away.status().as_u16(), &away.headers()[RETRY_AFTER]), (503, &HeaderValue::from_static("1")));
        let poisoned = Problem::from(StoreError::Poisoned { path: "/secret/place".to_owned(), reason: "EIO".to_owned() });
        assert_eq!(poisoned.status(), 503);
        assert!(!poisoned.to_json().to_string().contains("/secret/place"));
    }
}
