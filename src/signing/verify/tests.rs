//! What verification says of good, bad and hostile requests.

use super::*;
use crate::signing::pattern::Facts;
use crate::signing::sign::{keyed, tag};
use crate::signing::{Encoding, LiveSecret, Message, Signer, Template};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use std::sync::Arc;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOLERANCE: Duration = Duration::from_secs(300);

fn secret(text: &str) -> Secret {
    Secret::parse(text).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn lasting(secrets: &[Secret]) -> Vec<LiveSecret> {
    secrets.iter().cloned().map(LiveSecret::lasting).collect()
}

fn signed(spec: SignatureSpec, secrets: &[Secret], id: &str, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    Signer::new([spec].into(), lasting(secrets)).unwrap().sign(&message(id, body), &mut headers);
    headers
}

static URL: std::sync::LazyLock<Uri> = std::sync::LazyLock::new(|| Uri::from_static("https://hooks.example/in?x=1"));

fn message<'a>(id: &'a str, body: &'a [u8]) -> Message<'a> {
    Message { id, timestamp: at(1_614_265_330), event_type: "order.paid", method: &Method::POST, uri: &URL, body }
}

fn scheme(name: &str) -> Scheme {
    Scheme::from_name(name).unwrap()
}

fn facts<'a>(id: &'a [u8], headers: &'a HeaderMap) -> Facts<'a> {
    Facts { id, seconds: b"1614265330", event_type: b"", method: b"", url: b"", headers, body: b"{}" }
}

fn check(headers: &HeaderMap, body: &[u8], secrets: &[Secret]) -> Result<Verified, VerifyError> {
    verify(&SignedRequest::new(headers, body), secrets, at(1_614_265_333), TOLERANCE)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

#[test]
fn every_scheme_verifies_under_its_own_and_another_header() {
    for scheme in Scheme::all() {
        for header in [None, Some(HeaderName::from_static("x-my-sig"))] {
            let spec = SignatureSpec { scheme: scheme.clone(), header: header.clone() };
            let headers = signed(spec.clone(), &[secret(SECRET)], "evt_1", b"{}");
            let verified = check(&headers, b"{}", &[secret("another"), secret(SECRET)]).unwrap();
            assert_eq!((verified.scheme, verified.header, verified.secret), (scheme.clone(), spec.signature_header(), 1));
            let timed = ["standard", "timestamped", "slack"].contains(&scheme.name());
            assert_eq!(verified.age, timed.then_some(Duration::from_secs(3)));
        }
    }
}

#[test]
fn during_a_rotation_either_secret_verifies() {
    for scheme in Scheme::all() {
        let (new, old) = (secret("the new one"), secret(SECRET));
        let headers = signed(SignatureSpec::new(scheme.clone()), &[new.clone(), old.clone()], "evt_1", b"{}");
        assert!(check(&headers, b"{}", &[new]).is_ok() && check(&headers, b"{}", &[old]).is_ok());
    }
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let good = signed(SignatureSpec::new(Scheme::STANDARD), &[secret(SECRET)], "evt_1", b"{}");
    let late = |seconds: i64| {
        verify(&SignedRequest::new(&good, b"{}"), &[secret(SECRET)], at(1_614_265_330 + seconds), TOLERANCE)
            .unwrap_err()
            .to_string()
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
    assert!(error.starts_with("no signature in `webhook-signature` (standard) matches: another secret signed it, or"), "{error}");
    assert_eq!(check(&good, b"{}", &[]).unwrap_err(), VerifyError::NoSecret);
}

#[test]
fn common_mistakes_are_recognised() {
    let hint = |headers: &HeaderMap, body: &[u8], key: &str| match check(headers, body, &[secret(key)]) {
        Err(VerifyError::NoMatch { hint: Some(hint), .. }) => hint,
        other => panic!("{other:?}"),
    };
    let good = signed(SignatureSpec::new(Scheme::STANDARD), &[secret(SECRET)], "evt_1", b"{}");
    assert!(hint(&good, b"{}\r\n", SECRET).starts_with("it matches without the newline"));
    let cut = signed(SignatureSpec::new(scheme("sha256")), &[secret(SECRET)], "evt_1", b"{}\n");
    assert!(hint(&cut, b"{}", SECRET).starts_with("it matches with a newline"));
    let decoded = STANDARD.decode(&SECRET[6..]).unwrap();
    let none = HeaderMap::new();
    let sha256 = format!("sha256={}", hex::encode(tag(&keyed(&decoded), &scheme("sha256"), &facts(b"", &none))));
    assert!(hint(&headers(&[("x-webhook-signature", &sha256)]), b"{}", SECRET).contains("base64-decoded secret"));
    let raw = STANDARD.encode(tag(&keyed(SECRET.as_bytes()), &Scheme::STANDARD, &facts(b"evt_1", &none)));
    let raw =
        headers(&[("webhook-id", "evt_1"), ("webhook-timestamp", "1614265330"), ("webhook-signature", &format!("v1,{raw}"))]);
    assert!(hint(&raw, b"{}", SECRET).contains("Standard Webhooks decodes"));
}

#[test]
fn the_strongest_signature_decides_so_a_replay_is_seen() {
    let specs = [SignatureSpec::new(scheme("sha256")), SignatureSpec::new(Scheme::STANDARD)];
    let mut headers = HeaderMap::new();
    Signer::new(specs.into(), lasting(&[secret(SECRET)])).unwrap().sign(&message("evt_1", b"{}"), &mut headers);
    let replayed = verify(&SignedRequest::new(&headers, b"{}"), &[secret(SECRET)], at(1_614_300_000), TOLERANCE);
    assert!(matches!(replayed, Err(VerifyError::TooOld { .. })), "{replayed:?}");
    assert!(verify(&SignedRequest::new(&headers, b"{}"), &[secret(SECRET)], at(1_714_300_000), Duration::MAX).is_ok());
}

#[test]
fn templates_verify_when_they_are_named() {
    for (text, content, encoding) in [
        ("t={timestamp},s={signature}", "{timestamp}.{body}", Encoding::Hex),
        ("{signature}", "{id}:{timestamp}:{body}", Encoding::Base64),
        ("{id};{signature};", "{id}{body}", Encoding::Base64Url),
    ] {
        let template = Scheme::Template(Arc::new(Template::parse(text, content, encoding).unwrap()));
        let spec = SignatureSpec { scheme: template, header: Some(HeaderName::from_static("x-my-sig")) };
        let (new, old) = (secret("the new one"), secret(SECRET));
        let headers = signed(spec.clone(), &[new.clone(), old.clone()], "evt_1", b"{}");
        let check = |headers: &HeaderMap, body: &[u8], secrets: &[Secret], now| {
            verify_as(&spec, &SignedRequest::new(headers, body), secrets, at(now), TOLERANCE)
        };
        for one in [new, old] {
            let verified = check(&headers, b"{}", &[one], 1_614_265_333).unwrap();
            assert_eq!(verified.age, content.contains("time").then_some(Duration::from_secs(3)));
        }
        assert!(check(&headers, b"{ }", &[secret(SECRET)], 1_614_265_333).is_err());
        let late = check(&headers, b"{}", &[secret(SECRET)], 1_614_300_000);
        assert_eq!(late.is_err(), content.contains("time"), "{late:?}");
        let missing = check(&HeaderMap::new(), b"{}", &[secret(SECRET)], 0).unwrap_err().to_string();
        assert_eq!(missing, "the request has no header `x-my-sig`, where the signature should be (template)");
        let mut bad = headers;
        bad.insert("x-my-sig", "nothing like it".parse().unwrap());
        bad.remove("x-my-sig-previous");
        let error = check(&bad, b"{}", &[secret(SECRET)], 0).unwrap_err().to_string();
        assert!(error.contains(&format!("should read `{text}`, the signature in")), "{error}");
    }
}

#[test]
fn ed25519_is_verified_with_either_half_of_the_key() {
    let key = Secret::generate_ed25519();
    let public = Secret::parse_verifying(&key.public_key().unwrap()).unwrap();
    let headers = signed(SignatureSpec::new(Scheme::STANDARD), std::slice::from_ref(&key), "evt_1", b"{}");
    for one in [key.clone(), public.clone()] {
        assert!(check(&headers, b"{}", &[secret(SECRET), one.clone()]).is_ok());
        assert!(check(&headers, b"{ }", &[one]).is_err());
    }
    let hint = |headers: &HeaderMap, key: &Secret| check(headers, b"{}", std::slice::from_ref(key)).unwrap_err().to_string();
    assert!(hint(&headers, &secret(SECRET)).contains("verify it with the public key (`whpk_…`)"));
    let symmetric = signed(SignatureSpec::new(Scheme::STANDARD), &[secret(SECRET)], "evt_1", b"{}");
    assert!(hint(&symmetric, &public).contains("signed with a symmetric secret"));
    let github = signed(SignatureSpec::new(scheme("github")), &[secret(SECRET)], "evt_1", b"{}");
    assert!(hint(&github, &public).contains("the dialect `github` has no such signatures"));
    let both = signed(SignatureSpec::new(Scheme::STANDARD), &[secret(SECRET), key], "evt_1", b"{}");
    assert!(check(&both, b"{}", &[public]).is_ok() && check(&both, b"{}", &[secret(SECRET)]).is_ok());
}

#[test]
fn entries_of_other_versions_are_skipped() {
    let mut headers = signed(SignatureSpec::new(Scheme::STANDARD), &[secret(SECRET)], "evt_1", b"{}");
    let value = format!("v1a,AAAA v2,xyz {}", headers["webhook-signature"].to_str().unwrap());
    headers.insert("webhook-signature", value.parse().unwrap());
    assert!(check(&headers, b"{}", &[secret(SECRET)]).is_ok());
}

#[test]
fn a_template_signs_method_url_and_headers() {
    let content = "{method}\n{url}\n{header:content-type}\n{header:webhook-id}\n{timestamp}\n{body}";
    let template = Template::parse("{signature}", content, Encoding::Base64).unwrap();
    let spec = SignatureSpec { scheme: Scheme::Template(Arc::new(template)), header: None };
    let mut headers = headers(&[("content-type", "application/json"), ("webhook-id", "forged")]);
    let signer = Signer::new([spec.clone()].into(), lasting(&[secret(SECRET)])).unwrap();
    signer.sign(&message("evt_1", b"{}"), &mut headers);
    assert_eq!(headers["webhook-id"], "evt_1");
    let check = |request: SignedRequest<'_>| verify_as(&spec, &request, &[secret(SECRET)], at(1_614_265_333), TOLERANCE);
    let request = SignedRequest::new(&headers, b"{}");
    assert!(check(request.sent_to(&Method::POST, &URL)).is_ok());
    assert_eq!(check(request), Err(VerifyError::NoTarget));
    assert!(check(request.sent_to(&Method::PUT, &URL)).is_err());
    assert!(check(request.sent_to(&Method::POST, &Uri::from_static("https://hooks.example/in?x=2"))).is_err());
    let mut other = headers.clone();
    other.insert("content-type", "text/plain".parse().unwrap());
    assert!(check(SignedRequest::new(&other, b"{}").sent_to(&Method::POST, &URL)).is_err());
}

#[test]
fn a_dialects_own_header_wins_over_a_form_elsewhere() {
    let all = ["sha256", "github", "shopify"].map(|name| SignatureSpec::new(scheme(name)));
    let mut headers = HeaderMap::new();
    Signer::new(all.into(), lasting(&[secret(SECRET)])).unwrap().sign(&message("evt_1", b"{}"), &mut headers);
    assert_eq!(check(&headers, b"{}", &[secret(SECRET)]).unwrap().scheme, scheme("sha256"));
    headers.remove("x-webhook-signature");
    assert_eq!(check(&headers, b"{}", &[secret(SECRET)]).unwrap().scheme, scheme("github"));
    headers.remove("x-hub-signature-256");
    assert_eq!(check(&headers, b"{}", &[secret(SECRET)]).unwrap().scheme, scheme("shopify"));
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_any_flipped_bit_does_not(
        scheme in proptest::sample::select(Scheme::all().collect::<Vec<_>>()),
        key in "[ -~]{1,40}",
        id in "[a-zA-Z0-9_]{1,40}",
        body in proptest::collection::vec(any::<u8>(), 1..200),
        position: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        prop_assume!(Secret::parse(&key).is_ok());
        let secret = [secret(&key)];
        let headers = signed(SignatureSpec::new(scheme.clone()), &secret, &id, &body);
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
        for scheme in Scheme::all() {
            let mut headers = headers(&[("webhook-id", "a"), ("webhook-timestamp", "1")]);
            headers.insert(scheme.default_header(), value.clone());
            prop_assert!(check(&headers, body.as_bytes(), &[secret(SECRET)]).is_err());
        }
    }
}
