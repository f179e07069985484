//! Tokens for endpoints (RFC 6749 §4.4): asked for once, cached until shortly before they expire, shared by all that use
//! the same client at the same token server.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Uri};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::egress::{Egress, Realm, basic};
use super::fault::{Fault, Stage};
use super::{Inner, OutboundError, Progress, SendLimits};
use crate::model::{Cause, OAuth2, SendClient};

/// Bytes of a token server's answer: a token with many claims has 4 KiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A server that does not say how long its token holds: an ordinary lifetime, and a 401 ends it sooner.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(5 * 60);

/// Whatever a server says.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A token is replaced this long before it expires: the request has to get there, and clocks differ.
const MARGIN: Duration = Duration::from_secs(30);

/// A token server that has just failed is not asked by every waiting attempt in turn.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(1);

const SHOWN_CHARS_MAX: usize = 200;

/// Token sources that somebody still uses.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    sources: Mutex<HashMap<[u8; 32], Weak<TokenSource>>>,
}

impl Tokens {
    /// The same one for the same settings, so that a reload keeps the token.
    pub(super) fn source(&self, settings: &OAuth2, realm: Realm) -> Result<Arc<TokenSource>, OutboundError> {
        let mut hash = Sha256::new().chain_update(realm);
        let secret = settings.client_secret.expose();
        hash.update(format!("{}\n{settings:?}\n{secret}", settings.token_url.expose()));
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|_, source| source.strong_count() > 0);
        let slot = sources.entry(hash.finalize().into()).or_default();
        if let Some(known) = slot.upgrade() {
            return Ok(known);
        }
        let uri = Uri::try_from(settings.token_url.expose().as_str())
            .map_err(|error| OutboundError::BadIdentity(format!("`token_url` cannot be requested: {error}")))?;
        let source = Arc::new(TokenSource { settings: settings.clone(), uri, state: tokio::sync::Mutex::default() });
        *slot = Arc::downgrade(&source);
        Ok(source)
    }
}

/// One client at one token server.
pub(super) struct TokenSource {
    settings: OAuth2,
    uri: Uri,
    /// Held while a token is asked for, so that only one attempt asks.
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Nothing,
    Token {
        header: HeaderValue,
        until: Instant,
    },
    Failed {
        detail: String,
        until: Instant,
    },
}

impl TokenSource {
    /// What to send as `Authorization`, and whether it was asked for just now. `refused` is one that the endpoint did
    /// not take.
    pub(super) async fn header(
        &self,
        inner: &Inner,
        egress: &Egress,
        limits: &SendLimits,
        refused: Option<&HeaderValue>,
        progress: &mut Progress,
    ) -> Result<(HeaderValue, bool), Fault> {
        progress.stage = Stage::Token;
        let mut state = self.state.lock().await;
        match &*state {
            State::Token { header, until } if *until > Instant::now() && refused != Some(header) => {
                return Ok((header.clone(), false));
            }
            State::Failed { detail, until } if *until > Instant::now() => return Err(Fault::new(Cause::Auth, detail.clone())),
            _ => {}
        }
        *state = State::Nothing;
        match self.ask(inner, egress, limits).await {
            Ok((header, lifetime)) => {
                let margin = MARGIN.min(lifetime / 5);
                *state = State::Token { header: header.clone(), until: Instant::now() + (lifetime - margin) };
                Ok((header, true))
            }
            // The token server was not asked, so nothing is remembered of it.
            Err(fault) if fault.shortage.is_some() => Err(fault),
            Err(fault) => {
                *state = State::Failed { detail: fault.detail.clone(), until: Instant::now() + FAILURE_REMEMBERED };
                Err(fault)
            }
        }
    }

    /// The token at hand, without asking for one.
    pub(super) fn known(&self) -> Option<HeaderValue> {
        match &*self.state.try_lock().ok()? {
            State::Token { header, .. } => Some(header.clone()),
            State::Nothing | State::Failed { .. } => None,
        }
    }

    async fn ask(&self, inner: &Inner, egress: &Egress, limits: &SendLimits) -> Result<(HeaderValue, Duration), Fault> {
        let server = self.settings.token_url.masked();
        let refused = |what: String| Fault::new(Cause::Auth, what);
        let limits = SendLimits { response_bytes_max: ANSWER_BYTES_MAX, ..*limits };
        let mut progress = Progress::default();
        let request = self.request().map_err(refused)?;
        let sent = inner.exchange_once(request, egress, &limits, &mut progress).await;
        let finished = sent.map_err(|fault| {
            let fault = progress.blame(fault);
            let detail = format!("no token from {server}: {}", fault.detail);
            Fault { cause: Cause::Auth, detail, ..fault }
        })?;
        let answer = inner.finish(finished, progress).await;
        read_answer(answer.status, &answer.body).map_err(|what| refused(format!("no token from {server}: {what}")))
    }

    fn request(&self) -> Result<Request<Bytes>, String> {
        let OAuth2 { client_id, client_secret, scopes, params, send, .. } = &self.settings;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !scopes.is_empty() {
            form.append_pair("scope", &scopes.join(" "));
        }
        form.extend_pairs(params);
        let mut request = Request::post(self.uri.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        match send {
            SendClient::Body => {
                form.append_pair("client_id", client_id).append_pair("client_secret", client_secret.expose());
            }
            SendClient::Header => {
                // RFC 6749 §2.3.1: both are form-encoded before they are joined.
                let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let secret = Zeroizing::new(encoded(client_secret.expose()));
                let mut value = HeaderValue::from_str(&basic(&encoded(client_id), &secret))
                    .map_err(|_| "the client's credentials cannot be put into a header".to_owned())?;
                value.set_sensitive(true);
                request = request.header(AUTHORIZATION, value);
            }
        }
        request.body(Bytes::from(form.finish())).map_err(|error| format!("the request for a token cannot be made: {error}"))
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("token_url", &self.settings.token_url).finish_non_exhaustive()
    }
}

/// RFC 6749 §5: the token and how long it holds, or what the server says instead.
fn read_answer(status: u16, body: &[u8]) -> Result<(HeaderValue, Duration), String> {
    let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |field: &str| {
        let text = answer[field].as_str()?;
        Some(text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect::<String>())
    };
    if !(200..300).contains(&status) {
        let said = text("error").map(|error| match text("error_description") {
            Some(description) => format!(" ({error}: {description})"),
            None => format!(" ({error})"),
        });
        let said = said.unwrap_or_default();
        return Err(format!("it answered {status}{said}: are `client_id`, `client_secret` and `scopes` right?"));
    }
    let token = answer["access_token"].as_str().ok_or("its answer has no `access_token`: is `token_url` right?")?;
    if token.trim().is_empty() {
        return Err("its answer's `access_token` is empty: may this client have what it asks for?".to_owned());
    }
    if let Some(kind) = text("token_type").filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(format!("its tokens are of the type `{kind}`, and only bearer tokens are understood"));
    }
    let value = Zeroizing::new(format!("Bearer {token}"));
    let mut header = HeaderValue::from_str(&value).map_err(|_| "its token has characters that a header cannot carry")?;
    header.set_sensitive(true);
    let seconds = match &answer["expires_in"] {
        serde_json::Value::String(text) => text.parse::<f64>().ok(),
        other => other.as_f64(),
    };
    let lifetime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(LIFETIME_DEFAULT);
    Ok((header, lifetime.min(LIFETIME_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_token_servers_are_read_or_named() {
        let read = |status, body: &str| read_answer(status, body.as_bytes());
        let (header, lifetime) = read(200, r#"{"access_token":"abc","token_type":"bearer","expires_in":3600}"#).unwrap();
        assert_eq!((header.to_str().unwrap(), lifetime), ("Bearer abc", Duration::from_secs(3600)));
        assert!(header.is_sensitive());
        let lifetime = |body: &str| read(200, body).unwrap().1;
        assert_eq!(lifetime(r#"{"access_token":"a","expires_in":"60"}"#), Duration::from_secs(60));
        assert_eq!(lifetime(r#"{"access_token":"a"}"#), LIFETIME_DEFAULT);
        assert_eq!(lifetime(r#"{"access_token":"a","expires_in":-5}"#), LIFETIME_DEFAULT);
        assert_eq!(lifetime(r#"{"access_token":"a","expires_in":1e300}"#), LIFETIME_DEFAULT);
        assert_eq!(lifetime(r#"{"access_token":"a","expires_in":1e9}"#), LIFETIME_MAX);
        let error = |status, body| read(status, body).unwrap_err();
        assert!(
            error(401, r#"{"error":"invalid_client","error_description":"no\nsuch"}"#).contains("401 (invalid_client: nosuch)")
        );
        assert!(error(500, "<html>").starts_with("it answered 500: are"));
        assert!(error(200, "<html>").contains("no `access_token`"));
        assert!(error(200, r#"{"access_token":""}"#).contains("`access_token` is empty"));
        assert!(error(200, r#"{"access_token":" ","expires_in":3600}"#).contains("`access_token` is empty"));
        assert!(error(200, r#"{"access_token":"a","token_type":"mac"}"#).contains("`mac`"));
        assert!(error(200, "{\"access_token\":\"a\\n\"}").contains("cannot carry"));
    }
}
