//! Verification: which dialect a request is signed in, whether the signature holds, and if not, what is wrong with
//! it in words. Comparisons are in constant time.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName};
use subtle::{Choice, ConstantTimeEq as _};

use super::ed25519::Signature;
use super::scheme::{GITHUB_EVENT, SLACK_TIMESTAMP, WEBHOOK_ID, WEBHOOK_TIMESTAMP, previous_header};
use super::sign::{Signed, Tag, keyed, tag};
use super::template::{Encoding, Field, Template};
use super::{InvalidSecret, Scheme, Secret, SignatureSpec};
use crate::model::Timestamp;

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
    #[error(
        "the request carries no signature header (webhook-signature, X-Tenterhook-Signature, X-Webhook-Signature, X-Hub-Signature-256, X-Slack-Signature, X-Shopify-Hmac-Sha256, or one of their forms under another name)"
    )]
    NoSignature,
    #[error("the header `{header}` is missing, without which `{signature}` cannot be verified: pass it on unchanged")]
    MissingHeader { header: HeaderName, signature: HeaderName },
    #[error("the request has no header `{header}`, where the signature should be ({scheme})")]
    NoHeader { header: HeaderName, scheme: &'static str },
    #[error("the header `{header}` is malformed: it should read {expected}")]
    Malformed { header: HeaderName, expected: String },
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

/// Verifies `body` (the raw bytes) against the strongest signature among `headers`, with any of `secrets`.
///
/// The dialect is told by the form of the values, so signatures under another header name are found too. A request
/// that carries several (a migration) is judged by the strongest: a replay must not get in by the weaker one.
/// `tolerance` holds both ways; [`Duration::MAX`] takes any time.
pub fn verify(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[Secret],
    now: Timestamp,
    tolerance: Duration,
) -> Result<Verified, VerifyError> {
    if secrets.is_empty() {
        return Err(VerifyError::NoSecret);
    }
    judge(Claim::read(headers)?, body, secrets, now, tolerance)
}

/// As [`verify`], of a dialect that is known: the way for templates, which have no form of their own.
pub fn verify_as(
    spec: &SignatureSpec,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[Secret],
    now: Timestamp,
    tolerance: Duration,
) -> Result<Verified, VerifyError> {
    if secrets.is_empty() {
        return Err(VerifyError::NoSecret);
    }
    judge(Claim::read_as(spec, headers)?, body, secrets, now, tolerance)
}

fn judge(
    claim: Claim<'_>,
    body: &[u8],
    secrets: &[Secret],
    now: Timestamp,
    tolerance: Duration,
) -> Result<Verified, VerifyError> {
    let mut signer = None;
    let mut refused = None;
    for (index, secret) in secrets.iter().enumerate() {
        match claim.holds(secret, body) {
            Ok(true) => {
                signer = Some(index);
                break;
            }
            Ok(false) => {}
            Err(error) => refused = Some(error),
        }
    }
    let Some(secret) = signer else {
        // With one secret that cannot sign so, that is the reason; among several it is one that belongs elsewhere.
        if let (Some(error), [_]) = (refused, secrets) {
            return Err(error.into());
        }
        let hint = secrets.iter().find_map(|secret| claim.near_miss(secret, body));
        return Err(VerifyError::NoMatch { scheme: claim.scheme, header: claim.header, hint });
    };
    let age = claim.signed_at.map(|at| check_age(at, now, tolerance)).transpose()?;
    Ok(Verified { scheme: claim.scheme, header: claim.header, age, secret })
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

/// What a request says about its signature.
struct Claim<'a> {
    scheme: Scheme,
    header: HeaderName,
    id: &'a [u8],
    seconds: &'a [u8],
    signed_at: Option<Timestamp>,
    tags: Vec<Tag>,
    /// Ed25519's, of Standard Webhooks alone.
    signatures: Vec<Signature>,
}

impl<'a> Claim<'a> {
    /// Strongest first: a signature over id and time, over time, over the body alone.
    fn read(headers: &'a HeaderMap) -> Result<Self, VerifyError> {
        let values = || headers.iter().filter_map(|(name, value)| value.to_str().ok().map(|text| (name, text)));
        let named = headers.contains_key(WEBHOOK_ID) || headers.contains_key(WEBHOOK_TIMESTAMP);
        let standard = Scheme::Standard.default_header();
        let found = values().find(|(name, text)| **name == standard && is_standard(text));
        if let Some((name, text)) = found.or_else(|| values().find(|(_, text)| named && is_standard(text))) {
            return Self::standard(headers, name, text);
        }
        if let Some((name, text)) = values().find(|(_, text)| timestamped(text).is_some()) {
            return Self::timestamped(name, text);
        }
        if let Some((name, _)) = values().find(|(name, text)| hex_behind("v0=", text).is_some() && !is_previous(name)) {
            return Self::slack(headers, name);
        }
        if let Some((name, _)) = values().find(|(name, text)| hex_behind("sha256=", text).is_some() && !is_previous(name)) {
            let github = *name == Scheme::Github.default_header() || headers.contains_key(GITHUB_EVENT);
            let scheme = if github { Scheme::Github } else { Scheme::Sha256 };
            return Ok(Self::of_body(scheme, name, tags_in(headers, name, |text| hex_behind("sha256=", text))));
        }
        let shopify = Scheme::Shopify.default_header();
        let signs = |name: &HeaderName| *name == shopify || ["sig", "hmac"].iter().any(|part| name.as_str().contains(part));
        if let Some((name, _)) = values().find(|(name, text)| signs(name) && base64_tag(text).is_some() && !is_previous(name)) {
            return Ok(Self::of_body(Scheme::Shopify, name, tags_in(headers, name, base64_tag)));
        }
        Err(unrecognised(headers))
    }

    /// What the request says in the dialect that it should be in.
    fn read_as(spec: &SignatureSpec, headers: &'a HeaderMap) -> Result<Self, VerifyError> {
        let name = spec.signature_header();
        let value = headers.get(&name).and_then(|value| value.to_str().ok());
        let text = value.ok_or_else(|| VerifyError::NoHeader { header: name.clone(), scheme: spec.scheme.name() })?;
        let malformed = || malformed(&spec.scheme, name.clone());
        let claim = match &spec.scheme {
            Scheme::Standard => Self::standard(headers, &name, text)?,
            Scheme::Timestamped => Self::timestamped(&name, text)?,
            Scheme::Slack => Self::slack(headers, &name)?,
            Scheme::Sha256 | Scheme::Github => {
                Self::of_body(spec.scheme.clone(), &name, tags_in(headers, &name, |text| hex_behind("sha256=", text)))
            }
            Scheme::Shopify => Self::of_body(Scheme::Shopify, &name, tags_in(headers, &name, base64_tag)),
            Scheme::Template(template) => Self::templated(template, spec, headers, &name)?,
        };
        if claim.tags.is_empty() && claim.signatures.is_empty() { Err(malformed()) } else { Ok(claim) }
    }

    fn standard(headers: &'a HeaderMap, name: &HeaderName, text: &str) -> Result<Self, VerifyError> {
        let id = companion(headers, WEBHOOK_ID, name)?;
        let seconds = companion(headers, WEBHOOK_TIMESTAMP, name)?;
        let signed_at = Some(time_in(&WEBHOOK_TIMESTAMP, seconds)?);
        let (tags, signatures) = (standard_tags(text), standard_signatures(text));
        Ok(Self { scheme: Scheme::Standard, header: name.clone(), id, seconds, signed_at, tags, signatures })
    }

    fn timestamped(name: &HeaderName, text: &'a str) -> Result<Self, VerifyError> {
        let (seconds, tags) = timestamped(text).ok_or_else(|| malformed(&Scheme::Timestamped, name.clone()))?;
        let signed_at = timestamp(seconds.as_bytes());
        let claim = Self::of_body(Scheme::Timestamped, name, tags);
        Ok(Self { seconds: seconds.as_bytes(), signed_at, ..claim })
    }

    fn slack(headers: &'a HeaderMap, name: &HeaderName) -> Result<Self, VerifyError> {
        let seconds = companion(headers, SLACK_TIMESTAMP, name)?;
        let signed_at = Some(time_in(&SLACK_TIMESTAMP, seconds)?);
        let claim = Self::of_body(Scheme::Slack, name, tags_in(headers, name, |text| hex_behind("v0=", text)));
        Ok(Self { seconds, signed_at, ..claim })
    }

    fn of_body(scheme: Scheme, name: &HeaderName, tags: Vec<Tag>) -> Self {
        Self { scheme, header: name.clone(), id: b"", seconds: b"", signed_at: None, tags, signatures: Vec::new() }
    }

    fn templated(
        template: &Template,
        spec: &SignatureSpec,
        headers: &'a HeaderMap,
        name: &HeaderName,
    ) -> Result<Self, VerifyError> {
        let values = values_in(headers, name);
        let read: Vec<Vec<(Field, &str)>> = values.iter().filter_map(|value| template.read(value)).collect();
        let field = |wanted: Field| read.iter().flatten().find(|(field, _)| *field == wanted).map(|(_, text)| text.as_bytes());
        let tags = read.iter().flatten().filter(|(field, _)| *field == Field::Signature);
        let tags: Vec<Tag> = tags.filter_map(|(_, text)| decode_tag(template.encoding(), text)).collect();
        if tags.is_empty() {
            return Err(malformed(&spec.scheme, name.clone()));
        }
        let claim = Self::of_body(spec.scheme.clone(), name, tags);
        let id = match field(Field::Id) {
            Some(id) => id,
            None => headers.get(WEBHOOK_ID).map_or(&b""[..], |value| value.as_bytes()),
        };
        if !template.signs_time() {
            return Ok(Self { id, ..claim });
        }
        let (source, seconds) = match field(Field::Timestamp) {
            Some(seconds) => (name, seconds),
            None => (&WEBHOOK_TIMESTAMP, companion(headers, WEBHOOK_TIMESTAMP, name)?),
        };
        Ok(Self { id, seconds, signed_at: Some(time_in(source, seconds)?), ..claim })
    }

    fn holds(&self, secret: &Secret, body: &[u8]) -> Result<bool, InvalidSecret> {
        if self.scheme == Scheme::Standard && secret.is_asymmetric() {
            let key = secret.verifying_key()?;
            let message = self.signed(body).whole(&self.scheme);
            return Ok(self.signatures.iter().any(|signature| key.holds(&message, signature)));
        }
        Ok(self.holds_with(&self.scheme.key(secret)?, body))
    }

    fn holds_with(&self, key: &[u8], body: &[u8]) -> bool {
        let expected = tag(&keyed(key), &self.scheme, &self.signed(body));
        self.tags.iter().fold(Choice::from(0), |found, tag| found | tag.ct_eq(&expected)).into()
    }

    fn signed<'b>(&'b self, body: &'b [u8]) -> Signed<'b> {
        Signed { id: self.id, seconds: self.seconds, body }
    }

    /// The mistakes that people make with a signature that should have held.
    fn near_miss(&self, secret: &Secret, body: &[u8]) -> Option<&'static str> {
        let holds = |body: &[u8]| self.holds(secret, body) == Ok(true);
        let trimmed = body.strip_suffix(b"\n").map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest));
        if trimmed.is_some_and(holds) {
            return Some("it matches without the newline at the end of the body, which something has added (an editor, `echo`)");
        }
        if holds(&[body, b"\n"].concat()) {
            return Some("it matches with a newline at the end of the body, which something has cut off");
        }
        if secret.is_asymmetric() {
            let only_symmetric = self.signatures.is_empty() && !self.tags.is_empty();
            return only_symmetric.then_some("the request is signed with a symmetric secret (`v1,`), not with an Ed25519 key");
        }
        if self.scheme == Scheme::Standard && self.tags.is_empty() {
            return Some("the request is signed with an Ed25519 key (`v1a,`): verify it with the public key (`whpk_…`)");
        }
        let key = self.scheme.key(secret).ok()?;
        let decoded = secret.decoded().ok()?;
        let text = secret.expose().as_bytes();
        let bare = text.strip_prefix(b"whsec_").unwrap_or(text);
        let others = [decoded.as_slice(), text, bare];
        let other = others.into_iter().filter(|other| *other != key.as_slice()).find(|other| self.holds_with(other, body))?;
        Some(if other == decoded.as_slice() {
            "it matches with the base64-decoded secret as key, but this scheme keys with the secret's whole text"
        } else if self.scheme == Scheme::Standard {
            "it matches with the secret's text as key, but Standard Webhooks decodes what follows `whsec_` from base64"
        } else {
            "it matches with the secret's text without `whsec_` as key, but this scheme keys with the whole text"
        })
    }
}

/// A header without which the one with the signature means nothing.
fn companion<'a>(headers: &'a HeaderMap, header: HeaderName, signature: &HeaderName) -> Result<&'a [u8], VerifyError> {
    let value = headers.get(&header).map(|value| value.as_bytes());
    value.ok_or_else(|| VerifyError::MissingHeader { header, signature: signature.clone() })
}

fn time_in(header: &HeaderName, seconds: &[u8]) -> Result<Timestamp, VerifyError> {
    let expected = "whole seconds since 1970, such as 1614265330".to_owned();
    timestamp(seconds).ok_or_else(|| VerifyError::Malformed { header: header.clone(), expected })
}

/// The values of a header that has room for one signature, and of its companion during a rotation.
fn values_in<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let previous = previous_header(name);
    let values = headers.get_all(name).into_iter().chain(headers.get_all(&previous));
    values.filter_map(|value| value.to_str().ok()).collect()
}

fn tags_in(headers: &HeaderMap, name: &HeaderName, read: impl Fn(&str) -> Option<Tag>) -> Vec<Tag> {
    values_in(headers, name).into_iter().filter_map(read).collect()
}

fn is_previous(name: &HeaderName) -> bool {
    name.as_str().ends_with("-previous")
}

/// Nothing had the form of a signature: say so of the header that should have.
fn unrecognised(headers: &HeaderMap) -> VerifyError {
    for scheme in Scheme::ALL {
        let header = scheme.default_header();
        if headers.contains_key(&header) {
            return malformed(&scheme, header);
        }
    }
    VerifyError::NoSignature
}

fn malformed(scheme: &Scheme, header: HeaderName) -> VerifyError {
    let expected = match scheme {
        Scheme::Standard => "`v1,` and 44 characters of base64 (or `v1a,` and 88), several apart by one space".to_owned(),
        Scheme::Timestamped => "`t=<unix seconds>,v1=<64 hexadecimal digits>`".to_owned(),
        Scheme::Sha256 | Scheme::Github => "`sha256=` and 64 hexadecimal digits".to_owned(),
        Scheme::Slack => "`v0=` and 64 hexadecimal digits".to_owned(),
        Scheme::Shopify => "44 characters of base64".to_owned(),
        Scheme::Template(template) => format!("`{}`, the signature in {}", template.template(), template.encoding().name()),
    };
    VerifyError::Malformed { header, expected }
}

fn is_standard(text: &str) -> bool {
    !standard_tags(text).is_empty() || !standard_signatures(text).is_empty()
}

/// The `v1` entries of a Standard Webhooks header; others are passed over.
fn standard_tags(text: &str) -> Vec<Tag> {
    let entries = text.split(' ').filter_map(|entry| entry.strip_prefix("v1,"));
    entries.filter_map(|encoded| STANDARD.decode(encoded).ok()?.try_into().ok()).collect()
}

/// Its `v1a` entries.
fn standard_signatures(text: &str) -> Vec<Signature> {
    let entries = text.split(' ').filter_map(|entry| entry.strip_prefix("v1a,"));
    entries.filter_map(|encoded| STANDARD.decode(encoded).ok()?.try_into().ok()).collect()
}

/// `t=…,v1=…[,v1=…]`, in any order, other keys passed over.
fn timestamped(text: &str) -> Option<(&str, Vec<Tag>)> {
    let pairs = || text.split(',').filter_map(|part| part.trim().split_once('='));
    let (_, seconds) = pairs().find(|(key, _)| *key == "t")?;
    timestamp(seconds.as_bytes())?;
    let tags: Vec<Tag> = pairs().filter(|(key, _)| *key == "v1").filter_map(|(_, digits)| hex_tag(digits)).collect();
    (!tags.is_empty()).then_some((seconds, tags))
}

fn decode_tag(encoding: Encoding, text: &str) -> Option<Tag> {
    match encoding {
        Encoding::Hex => hex_tag(text),
        Encoding::Base64 => base64_tag(text),
        Encoding::Base64Url => URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok(),
    }
}

fn hex_behind(prefix: &str, text: &str) -> Option<Tag> {
    hex_tag(text.strip_prefix(prefix)?)
}

fn hex_tag(digits: &str) -> Option<Tag> {
    let mut tag = Tag::default();
    hex::decode_to_slice(digits, &mut tag).ok()?;
    Some(tag)
}

fn base64_tag(text: &str) -> Option<Tag> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// Digits alone: `+5`, ` 5` and `5.0` would be signed as text but read as a time.
fn timestamp(digits: &[u8]) -> Option<Timestamp> {
    let plain = (1..=12).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let seconds: i64 = std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()?;
    Some(Timestamp::from_millis(seconds * 1000))
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
