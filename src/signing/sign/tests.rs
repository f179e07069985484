//! What is signed, and how it reads.

use super::*;
use crate::signing::{Encoding, Secret, Template};
use std::time::Duration;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn signed(specs: &[SignatureSpec], secrets: &[&str], body: &str) -> HeaderMap {
    let secrets: Vec<LiveSecret> = secrets.iter().map(|text| LiveSecret::lasting(Secret::parse(text).unwrap())).collect();
    let mut headers = HeaderMap::new();
    let timestamp = Timestamp::from_millis(1_614_265_330_999);
    let message = Message { event_type: "order.paid", ..message("msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp, body.as_bytes()) };
    Signer::new(specs.into(), secrets).unwrap().sign(&message, &mut headers);
    headers
}

static URL: std::sync::LazyLock<Uri> = std::sync::LazyLock::new(|| Uri::from_static("https://hooks.example/in"));

fn message<'a>(id: &'a str, timestamp: Timestamp, body: &'a [u8]) -> Message<'a> {
    Message { id, timestamp, event_type: "a.b", method: &Method::POST, uri: &URL, body }
}

fn named(name: &str) -> SignatureSpec {
    spec(Scheme::from_name(name).unwrap())
}

fn spec(scheme: Scheme) -> SignatureSpec {
    SignatureSpec::new(scheme)
}

#[test]
fn the_standard_webhooks_vector_comes_out() {
    let headers = signed(&[spec(Scheme::STANDARD)], &[SECRET], r#"{"test": 2432232314}"#);
    assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_eq!(headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
    assert_eq!(headers["webhook-timestamp"], "1614265330");
    assert_eq!(headers.len(), 3);
}

#[test]
fn the_github_vector_comes_out_under_githubs_and_any_other_header() {
    let secret = "It's a Secret to Everybody";
    let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = signed(&[named("github")], &[secret], "Hello, World!");
    assert_eq!(headers["x-hub-signature-256"], expected);
    assert_eq!(headers["x-github-event"], "order.paid");
    assert_eq!(headers["x-github-delivery"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
    let other = SignatureSpec { header: Some(HeaderName::from_static("x-flexgate-signature")), ..named("sha256") };
    let headers = signed(&[other], &[secret], "Hello, World!");
    assert_eq!(headers["x-flexgate-signature"], expected);
    assert_eq!(headers.len(), 1);
}

#[test]
fn a_rotation_signs_with_every_secret_where_there_is_room() {
    let all = [spec(Scheme::STANDARD), named("timestamped"), named("sha256")];
    let headers = signed(&all, &["the new secret", SECRET], "{}");
    let standard: Vec<&str> = headers["webhook-signature"].to_str().unwrap().split(' ').collect();
    assert_eq!(standard.len(), 2);
    assert!(standard.iter().all(|entry| entry.starts_with("v1,") && entry.len() == 47));
    let timestamped: Vec<&str> = headers["x-tenterhook-signature"].to_str().unwrap().split(',').collect();
    assert_eq!(timestamped.len(), 3);
    assert_eq!(timestamped[0], "t=1614265330");
    assert!(timestamped[1..].iter().all(|entry| entry.starts_with("v1=") && entry.len() == 67));
    let newest = signed(&[named("sha256")], &["the new secret"], "{}");
    assert_eq!(headers["x-webhook-signature"], newest["x-webhook-signature"]);
    let older = signed(&[named("sha256")], &[SECRET], "{}");
    assert_eq!(headers["x-webhook-signature-previous"], older["x-webhook-signature"]);
}

#[test]
fn slacks_vector_comes_out() {
    // From Slack's "Verifying requests": secret, time and body as printed there.
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let secret = LiveSecret::lasting(Secret::parse("8f742231b10e8888abcd99yyyzzz85a5").unwrap());
    let timestamp = Timestamp::from_millis(1_531_420_618_000);
    let mut headers = HeaderMap::new();
    let signer = Signer::new([named("slack")].into(), vec![secret]).unwrap();
    signer.sign(&message("evt_1", timestamp, body.as_bytes()), &mut headers);
    assert_eq!(headers["x-slack-signature"], "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503");
    assert_eq!(headers["x-slack-request-timestamp"], "1531420618");
    assert_eq!(headers.len(), 2);
}

#[test]
fn shopifys_form_is_base64_of_the_body_alone() {
    let headers = signed(&[named("shopify")], &["It's a Secret to Everybody"], "Hello, World!");
    assert_eq!(headers["x-shopify-hmac-sha256"], "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=");
    assert_eq!((&headers["x-shopify-topic"], headers.len()), (&HeaderValue::from_static("order.paid"), 3));
}

#[test]
fn a_template_writes_what_its_texts_say() {
    let own = |template: &str, content: &str, encoding| {
        let template = Template::parse(template, content, encoding).unwrap();
        SignatureSpec { header: Some(HeaderName::from_static("x-my-sig")), scheme: Scheme::Template(Arc::new(template)) }
    };
    let stripe = signed(&[named("timestamped")], &[SECRET], "{}");
    let same = own("t={timestamp},v1={signature}", "{timestamp}.{body}", Encoding::Hex);
    let headers = signed(&[same], &[SECRET], "{}");
    assert_eq!(headers["x-my-sig"], stripe["x-tenterhook-signature"]);
    assert_eq!((headers.len(), headers.contains_key("webhook-id")), (2, true));
    let shopify = signed(&[named("shopify")], &[SECRET], "{}");
    let headers = signed(&[own("{signature}", "{body}", Encoding::Base64)], &[SECRET], "{}");
    assert_eq!(headers["x-my-sig"], shopify["x-shopify-hmac-sha256"]);
    let headers = signed(&[own("{id} {signature}", "{id}|{timestamp}|{body}", Encoding::Base64Url)], &[SECRET], "{}");
    let (id, signature) = headers["x-my-sig"].to_str().unwrap().split_once(' ').unwrap();
    assert_eq!((id, signature.len()), ("msg_p5jXN8AQM9LWM0D4loKWxJek", 43));
    assert_eq!(headers["webhook-timestamp"], "1614265330", "it is signed, so it must be sent");
}

#[test]
fn an_ed25519_key_signs_v1a_and_nothing_but_standard() {
    let key = Secret::generate_ed25519();
    let headers = signed(&[spec(Scheme::STANDARD)], &[key.expose()], "{}");
    let value = headers["webhook-signature"].to_str().unwrap();
    assert!(value.starts_with("v1a,") && value.len() == 4 + 88, "{value}");
    let both = signed(&[spec(Scheme::STANDARD), named("sha256")], &[SECRET, key.expose()], "{}");
    let value = both["webhook-signature"].to_str().unwrap();
    assert!(value.starts_with("v1,") && value.contains(" v1a,") && both.contains_key("x-webhook-signature"));
    let alone = Signer::new([named("sha256")].into(), vec![LiveSecret::lasting(key)]).unwrap_err();
    assert_eq!(alone, InvalidSecret::Asymmetric { scheme: "sha256" });
}

#[test]
fn a_retired_secret_signs_until_its_time_and_no_longer() {
    let now = Timestamp::from_millis(1_614_265_330_999);
    let until = |at| LiveSecret { secret: Secret::parse(SECRET).unwrap(), until: Some(at) };
    let new = LiveSecret::lasting(Secret::parse("the new one").unwrap());
    let entries = |old: LiveSecret| {
        let signer = Signer::new([spec(Scheme::STANDARD)].into(), vec![new.clone(), old]).unwrap();
        let mut headers = HeaderMap::new();
        signer.sign(&message("evt_1", now, b"{}"), &mut headers);
        headers["webhook-signature"].to_str().unwrap().split(' ').count()
    };
    assert_eq!(entries(until(now.after(Duration::from_millis(1)))), 2);
    assert_eq!(entries(until(now)), 1);
}

#[test]
fn nothing_is_written_when_nothing_signs() {
    let signer = Signer::new([].into(), Vec::new()).unwrap();
    let mut headers = HeaderMap::new();
    signer.sign(&message("a", Timestamp::from_millis(0), b"{}"), &mut headers);
    assert!(headers.is_empty());
    assert!(signed(&[], &[SECRET], "{}").is_empty());
    assert_eq!(Signer::new([spec(Scheme::STANDARD)].into(), Vec::new()).unwrap_err(), InvalidSecret::Missing);
}

#[test]
fn debug_shows_no_key() {
    let signer =
        Signer::new([named("sha256")].into(), vec![LiveSecret::lasting(Secret::parse("correct horse battery").unwrap())])
            .unwrap();
    assert_eq!(format!("{signer:?}"), "[(sha256, \"x-webhook-signature\")]");
}
