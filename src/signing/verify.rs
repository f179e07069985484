//! Verification: whether a request's signature holds, and if not, what is wrong with it in words. Comparisons are in
//! constant time.

use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, Uri};

use super::claim::Claim;
use super::dialect::DIALECTS;
use super::{InvalidSecret, Scheme, Secret, SignatureSpec};
use crate::model::Timestamp;

/// A request as it arrived. Only dialects that sign the method or the URL need [`SignedRequest::sent_to`].
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    pub(super) headers: &'a HeaderMap,
    /// The raw bytes.
    pub(super) body: &'a [u8],
    pub(super) target: Option<(&'a Method, &'a Uri)>,
}

impl<'a> SignedRequest<'a> {
    pub fn new(headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        Self { headers, body, target: None }
    }

    /// The method, and the URL as the sender wrote it: with scheme, host and query.
    #[must_use]
    pub fn sent_to(self, method: &'a Method, url: &'a Uri) -> Self {
        Self { target: Some((method, url)), ..self }
    }
}

/// A request whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub scheme: Scheme,
    /// The header that the signature was read from.
    pub header: HeaderName,
    /// Since the request was signed; `None` for schemes that sign no time.
    pub age: Option<Duration>,
    /// The index of the secret that signed.
    pub secret: usize,
}

/// Why a request is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("the request carries no signature header ({}, or one of their forms under another name)", signature_headers())]
    NoSignature,
    #[error("the header `{header}` is missing, without which `{signature}` cannot be verified: pass it on unchanged")]
    MissingHeader { header: HeaderName, signature: HeaderName },
    #[error("the request has no header `{header}`, where the signature should be ({scheme})")]
    NoHeader { header: HeaderName, scheme: &'static str },
    #[error("the header `{header}` is malformed: it should read {expected}")]
    Malformed { header: HeaderName, expected: String },
    #[error("the signature covers the request's method or URL: say which they were, as the sender wrote them")]
    NoTarget,
    #[error("no signature in `{header}` ({scheme}) matches: {}", .hint.unwrap_or("another secret signed it, or the body is not byte for byte what was sent (verify the raw body, before any JSON parser)"))]
    NoMatch { scheme: Scheme, header: HeaderName, hint: Option<&'static str> },
    #[error("the signature is right but {} old, {} over the tolerance of {}: a replayed request, or one of the two clocks is wrong", words(*.age), words(.age.saturating_sub(*.tolerance)), words(*.tolerance))]
    TooOld { age: Duration, tolerance: Duration },
    #[error("the signature is right but from {} in the future, over the tolerance of {}: one of the two clocks is wrong", words(*.ahead), words(*.tolerance))]
    TooNew { ahead: Duration, tolerance: Duration },
    #[error("there is no secret to verify with")]
    NoSecret,
    #[error(transparent)]
    InvalidSecret(#[from] InvalidSecret),
}

fn signature_headers() -> String {
    DIALECTS.map(|dialect| dialect.header).join(", ")
}

/// Verifies the strongest signature of `request`, with any of `secrets`.
///
/// The dialect is recognised by the form of the values, so signatures under another header name are found too. A request
/// that carries several (a migration) is judged by the strongest: a replay must not get in by the weaker one.
/// `tolerance` holds both ways; [`Duration::MAX`] takes any time.
pub fn verify(
    request: &SignedRequest<'_>,
    secrets: &[Secret],
    now: Timestamp,
    tolerance: Duration,
) -> Result<Verified, VerifyError> {
    if secrets.is_empty() {
        return Err(VerifyError::NoSecret);
    }
    judge(&Claim::recognise(request)?, secrets, now, tolerance)
}

/// As [`verify`], of a dialect that is known: the way for templates, which no form of their own tells apart.
pub fn verify_as(
    spec: &SignatureSpec,
    request: &SignedRequest<'_>,
    secrets: &[Secret],
    now: Timestamp,
    tolerance: Duration,
) -> Result<Verified, VerifyError> {
    if secrets.is_empty() {
        return Err(VerifyError::NoSecret);
    }
    judge(&Claim::read(&spec.scheme, &spec.signature_header(), request)?, secrets, now, tolerance)
}

fn judge(claim: &Claim<'_>, secrets: &[Secret], now: Timestamp, tolerance: Duration) -> Result<Verified, VerifyError> {
    let mut signer = None;
    let mut refused = None;
    for (index, secret) in secrets.iter().enumerate() {
        match claim.holds(secret) {
            Ok(true) => {
                signer = Some(index);
                break;
            }
            Ok(false) => {}
            Err(error) => refused = Some(error),
        }
    }
    let (scheme, header) = (claim.scheme.clone(), claim.header.clone());
    let Some(secret) = signer else {
        // With one secret that cannot sign so, that is the reason; among several it is one that belongs elsewhere.
        if let (Some(error), [_]) = (refused, secrets) {
            return Err(error.into());
        }
        let hint = secrets.iter().find_map(|secret| claim.near_miss(secret));
        return Err(VerifyError::NoMatch { scheme, header, hint });
    };
    let age = claim.signed_at.map(|at| check_age(at, now, tolerance)).transpose()?;
    Ok(Verified { scheme, header, age, secret })
}

fn check_age(at: Timestamp, now: Timestamp, tolerance: Duration) -> Result<Duration, VerifyError> {
    let (age, ahead) = (at.until(now), now.until(at));
    // The wire has whole seconds: the fraction that signing cut off is not the sender's fault.
    if age > tolerance.saturating_add(Duration::from_secs(1)) {
        return Err(VerifyError::TooOld { age, tolerance });
    }
    if ahead > tolerance {
        return Err(VerifyError::TooNew { ahead, tolerance });
    }
    Ok(age)
}

/// A span as people say it, whole units rounded down.
fn words(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
