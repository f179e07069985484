//! Verification: which dialect a request is signed in, whether the signature holds, and if not, what is wrong with
//! it in words. Comparisons are in constant time.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use subtle::{Choice, ConstantTimeEq as _};

use super::scheme::{GITHUB_EVENT, WEBHOOK_ID, WEBHOOK_TIMESTAMP};
use super::sign::{Tag, keyed, tag};
use super::{InvalidSecret, Scheme, Secret};
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
        "the request carries no signature header (webhook-signature, X-Tenterhook-Signature, X-Webhook-Signature, X-Hub-Signature-256, or one of their forms under another name)"
    )]
    NoSignature,
    #[error("the header `{header}` is missing, without which `{signature}` cannot be verified: pass it on unchanged")]
    MissingHeader { header: HeaderName, signature: HeaderName },
    #[error("the header `{header}` is malformed: it should read {expected}")]
    Malformed { header: HeaderName, expected: &'static str },
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
    let claim = Claim::read(headers)?;
    let mut signer = None;
    for (index, secret) in secrets.iter().enumerate() {
        if claim.holds(&claim.scheme.key(secret)?, body) {
            signer = Some(index);
            break;
        }
    }
    let Some(secret) = signer else {
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
}

impl<'a> Claim<'a> {
    /// Strongest first: a signature over id and time, over time, over the body alone.
    fn read(headers: &'a HeaderMap) -> Result<Self, VerifyError> {
        let values = || headers.iter().filter_map(|(name, value)| value.to_str().ok().map(|text| (name, text)));
        let named = headers.contains_key(WEBHOOK_ID) || headers.contains_key(WEBHOOK_TIMESTAMP);
        let standard = Scheme::Standard.default_header();
        let found = values().find(|(name, text)| **name == standard && !standard_tags(text).is_empty());
        if let Some((name, text)) = found.or_else(|| values().find(|(_, text)| named && !standard_tags(text).is_empty())) {
            return Self::standard(headers, name, standard_tags(text));
        }
        if let Some((name, (seconds, tags))) = values().find_map(|(name, text)| Some((name, timestamped(text)?))) {
            let signed_at = timestamp(seconds.as_bytes());
            let (scheme, header) = (Scheme::Timestamped, name.clone());
            return Ok(Self { scheme, header, id: b"", seconds: seconds.as_bytes(), signed_at, tags });
        }
        if let Some((name, tag)) = values().find_map(|(name, text)| Some((name, hex_tag(text.strip_prefix("sha256=")?)?))) {
            let github = *name == Scheme::Github.default_header() || headers.contains_key(GITHUB_EVENT);
            let scheme = if github { Scheme::Github } else { Scheme::Sha256 };
            return Ok(Self { scheme, header: name.clone(), id: b"", seconds: b"", signed_at: None, tags: vec![tag] });
        }
        Err(malformed(headers))
    }

    fn standard(headers: &'a HeaderMap, name: &HeaderName, tags: Vec<Tag>) -> Result<Self, VerifyError> {
        let get = |header: HeaderName| {
            let value = headers.get(&header).map(|value| value.as_bytes());
            value.ok_or(VerifyError::MissingHeader { header, signature: name.clone() })
        };
        let (id, seconds) = (get(WEBHOOK_ID)?, get(WEBHOOK_TIMESTAMP)?);
        let expected = "whole seconds since 1970, such as 1614265330";
        let signed_at = timestamp(seconds).ok_or(VerifyError::Malformed { header: WEBHOOK_TIMESTAMP, expected })?;
        Ok(Self { scheme: Scheme::Standard, header: name.clone(), id, seconds, signed_at: Some(signed_at), tags })
    }

    fn holds(&self, key: &[u8], body: &[u8]) -> bool {
        let expected = tag(&keyed(key), self.scheme, self.id, self.seconds, body);
        self.tags.iter().fold(Choice::from(0), |found, tag| found | tag.ct_eq(&expected)).into()
    }

    /// The mistakes that people make with a signature that should have held.
    fn near_miss(&self, secret: &Secret, body: &[u8]) -> Option<&'static str> {
        let key = self.scheme.key(secret).ok()?;
        let trimmed = body.strip_suffix(b"\n").map(|rest| rest.strip_suffix(b"\r").unwrap_or(rest));
        if trimmed.is_some_and(|trimmed| self.holds(&key, trimmed)) {
            return Some("it matches without the newline at the end of the body, which something has added (an editor, `echo`)");
        }
        if self.holds(&key, &[body, b"\n"].concat()) {
            return Some("it matches with a newline at the end of the body, which something has cut off");
        }
        let decoded = secret.decoded().ok()?;
        let text = secret.expose().as_bytes();
        let bare = text.strip_prefix(b"whsec_").unwrap_or(text);
        let others = [decoded.as_slice(), text, bare];
        let other = others.into_iter().filter(|other| *other != key.as_slice()).find(|other| self.holds(other, body))?;
        Some(if other == decoded.as_slice() {
            "it matches with the base64-decoded secret as key, but this scheme keys with the secret's whole text"
        } else if self.scheme == Scheme::Standard {
            "it matches with the secret's text as key, but Standard Webhooks decodes what follows `whsec_` from base64"
        } else {
            "it matches with the secret's text without `whsec_` as key, but this scheme keys with the whole text"
        })
    }
}

/// Nothing had the form of a signature: say so of the header that should have.
fn malformed(headers: &HeaderMap) -> VerifyError {
    for scheme in Scheme::ALL {
        let header = scheme.default_header();
        if headers.contains_key(&header) {
            let expected = match scheme {
                Scheme::Standard => "`v1,` and 44 characters of base64, several apart by one space",
                Scheme::Timestamped => "`t=<unix seconds>,v1=<64 hexadecimal digits>`",
                Scheme::Sha256 | Scheme::Github => "`sha256=` and 64 hexadecimal digits",
            };
            return VerifyError::Malformed { header, expected };
        }
    }
    VerifyError::NoSignature
}

/// The `v1` entries of a Standard Webhooks header; others (`v1a`) are passed over.
fn standard_tags(text: &str) -> Vec<Tag> {
    let entries = text.split(' ').filter_map(|entry| entry.strip_prefix("v1,"));
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

fn hex_tag(digits: &str) -> Option<Tag> {
    let mut tag = Tag::default();
    hex::decode_to_slice(digits, &mut tag).ok()?;
    Some(tag)
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
mod tests {
    use super::*;
    use crate::signing::{Message, SignatureSpec, Signer};
    use proptest::prelude::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const TOLERANCE: Duration = Duration::from_secs(300);

    fn secret(text: &str) -> Secret {
        Secret::parse(text).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn signed(spec: SignatureSpec, secrets: &[Secret], id: &str, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let message = Message { id, timestamp: at(1_614_265_330), event_type: "order.paid", body };
        Signer::new(&[spec], secrets).unwrap().sign(&message, &mut headers);
        headers
    }

    fn check(headers: &HeaderMap, body: &[u8], secrets: &[Secret]) -> Result<Verified, VerifyError> {
        verify(headers, body, secrets, at(1_614_265_333), TOLERANCE)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn every_scheme_verifies_under_its_own_and_another_header() {
        for scheme in Scheme::ALL {
            for header in [None, Some(HeaderName::from_static("x-my-sig"))] {
                let spec = SignatureSpec { scheme, header: header.clone() };
                let headers = signed(spec.clone(), &[secret(SECRET)], "evt_1", b"{}");
                let verified = check(&headers, b"{}", &[secret("another"), secret(SECRET)]).unwrap();
                assert_eq!((verified.scheme, verified.header, verified.secret), (scheme, spec.signature_header(), 1));
                let timed = matches!(scheme, Scheme::Standard | Scheme::Timestamped);
                assert_eq!(verified.age, timed.then_some(Duration::from_secs(3)));
            }
        }
    }

    #[test]
    fn during_a_rotation_either_secret_verifies() {
        for scheme in [Scheme::Standard, Scheme::Timestamped] {
            let (new, old) = (secret("the new one"), secret(SECRET));
            let headers = signed(SignatureSpec::new(scheme), &[new.clone(), old.clone()], "evt_1", b"{}");
            assert!(check(&headers, b"{}", &[new]).is_ok() && check(&headers, b"{}", &[old]).is_ok());
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let good = signed(SignatureSpec::new(Scheme::Standard), &[secret(SECRET)], "evt_1", b"{}");
        let late = |seconds: i64| {
            verify(&good, b"{}", &[secret(SECRET)], at(1_614_265_330 + seconds), TOLERANCE).unwrap_err().to_string()
        };
        assert_eq!(
            late(720),
            "the signature is right but 12 min old, 7 min over the tolerance of 5 min: a replayed request, or one of the two clocks is wrong"
        );
        assert_eq!(
            late(-360),
            "the signature is right but from 6 min in the future, over the tolerance of 5 min: one of the two clocks is wrong"
        );
        let text = |headers: &HeaderMap| check(headers, b"{}", &[secret(SECRET)]).unwrap_err().to_string();
        assert!(text(&HeaderMap::new()).starts_with("the request carries no signature header"));
        assert!(text(&headers(&[("webhook-id", "evt_1")])).starts_with("the request carries no signature header"));
        let mut without_id = good.clone();
        without_id.remove("webhook-id");
        assert_eq!(
            text(&without_id),
            "the header `webhook-id` is missing, without which `webhook-signature` cannot be verified: pass it on unchanged"
        );
        let mut bad_time = good.clone();
        bad_time.insert("webhook-timestamp", "+5".parse().unwrap());
        assert_eq!(
            text(&bad_time),
            "the header `webhook-timestamp` is malformed: it should read whole seconds since 1970, such as 1614265330"
        );
        assert_eq!(
            text(&headers(&[("x-hub-signature-256", "sha256=abc")])),
            "the header `x-hub-signature-256` is malformed: it should read `sha256=` and 64 hexadecimal digits"
        );
        let error = check(&good, b"{ }", &[secret(SECRET)]).unwrap_err().to_string();
        assert!(
            error.starts_with("no signature in `webhook-signature` (standard) matches: another secret signed it, or"),
            "{error}"
        );
        assert_eq!(check(&good, b"{}", &[]).unwrap_err(), VerifyError::NoSecret);
    }

    #[test]
    fn common_mistakes_are_recognised() {
        let hint = |headers: &HeaderMap, body: &[u8], key: &str| match check(headers, body, &[secret(key)]) {
            Err(VerifyError::NoMatch { hint: Some(hint), .. }) => hint,
            other => panic!("{other:?}"),
        };
        let good = signed(SignatureSpec::new(Scheme::Standard), &[secret(SECRET)], "evt_1", b"{}");
        assert!(hint(&good, b"{}\r\n", SECRET).starts_with("it matches without the newline"));
        let cut = signed(SignatureSpec::new(Scheme::Sha256), &[secret(SECRET)], "evt_1", b"{}\n");
        assert!(hint(&cut, b"{}", SECRET).starts_with("it matches with a newline"));
        let decoded = STANDARD.decode(&SECRET[6..]).unwrap();
        let sha256 = format!("sha256={}", hex::encode(tag(&keyed(&decoded), Scheme::Sha256, b"", b"", b"{}")));
        assert!(hint(&headers(&[("x-webhook-signature", &sha256)]), b"{}", SECRET).contains("base64-decoded secret"));
        let raw = STANDARD.encode(tag(&keyed(SECRET.as_bytes()), Scheme::Standard, b"evt_1", b"1614265330", b"{}"));
        let raw =
            headers(&[("webhook-id", "evt_1"), ("webhook-timestamp", "1614265330"), ("webhook-signature", &format!("v1,{raw}"))]);
        assert!(hint(&raw, b"{}", SECRET).contains("Standard Webhooks decodes"));
    }

    #[test]
    fn the_strongest_signature_decides_so_a_replay_cannot_use_a_weaker_one() {
        let specs = [SignatureSpec::new(Scheme::Sha256), SignatureSpec::new(Scheme::Standard)];
        let mut headers = HeaderMap::new();
        let message = Message { id: "evt_1", timestamp: at(1_614_265_330), event_type: "a.b", body: b"{}" };
        Signer::new(&specs, &[secret(SECRET)]).unwrap().sign(&message, &mut headers);
        let replayed = verify(&headers, b"{}", &[secret(SECRET)], at(1_614_300_000), TOLERANCE);
        assert!(matches!(replayed, Err(VerifyError::TooOld { .. })), "{replayed:?}");
        assert!(verify(&headers, b"{}", &[secret(SECRET)], at(1_714_300_000), Duration::MAX).is_ok());
    }

    #[test]
    fn entries_of_other_versions_are_passed_over() {
        let mut headers = signed(SignatureSpec::new(Scheme::Standard), &[secret(SECRET)], "evt_1", b"{}");
        let value = format!("v1a,AAAA v2,xyz {}", headers["webhook-signature"].to_str().unwrap());
        headers.insert("webhook-signature", value.parse().unwrap());
        assert!(check(&headers, b"{}", &[secret(SECRET)]).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies_and_any_flipped_bit_does_not(
            scheme in proptest::sample::select(Scheme::ALL.to_vec()),
            key in "[ -~]{1,40}",
            id in "[a-zA-Z0-9_]{1,40}",
            body in proptest::collection::vec(any::<u8>(), 1..200),
            position: prop::sample::Index,
            bit in 0_u8..8,
        ) {
            prop_assume!(Secret::parse(&key).is_ok());
            let secret = [secret(&key)];
            let headers = signed(SignatureSpec::new(scheme), &secret, &id, &body);
            prop_assert!(check(&headers, &body, &secret).is_ok());
            let mut flipped = body.clone();
            flipped[position.index(body.len())] ^= 1 << bit;
            prop_assert!(check(&headers, &flipped, &secret).is_err());
            let header = scheme.default_header();
            let mut bytes = headers[&header].as_bytes().to_vec();
            let index = position.index(bytes.len());
            bytes[index] = if bytes[index] == b'0' { b'1' } else { b'0' };
            let mut tampered = headers.clone();
            tampered.insert(header, http::HeaderValue::from_bytes(&bytes).unwrap());
            prop_assert!(check(&tampered, &body, &secret).is_err());
        }

        #[test]
        fn no_header_panics_the_verifier(value in ".{0,120}", body in ".{0,20}") {
            let Ok(value) = http::HeaderValue::from_bytes(value.as_bytes()) else { return Ok(()) };
            for scheme in Scheme::ALL {
                let mut headers = headers(&[("webhook-id", "a"), ("webhook-timestamp", "1")]);
                headers.insert(scheme.default_header(), value.clone());
                prop_assert!(check(&headers, body.as_bytes(), &[secret(SECRET)]).is_err());
            }
        }
    }
}
