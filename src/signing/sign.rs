//! Signing: HMACs keyed once, when a snapshot is built, and streamed over the bytes that are sent.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use super::scheme::{GITHUB_DELIVERY, GITHUB_EVENT, WEBHOOK_ID, WEBHOOK_TIMESTAMP};
use super::{InvalidSecret, Scheme, Secret, SignatureSpec};
use crate::model::Timestamp;

pub(super) type HmacSha256 = Hmac<Sha256>;
pub(super) type Tag = [u8; 32];

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Of the event (or the batch): the same on every attempt, so that a receiver can tell a repetition.
    pub id: &'a str,
    /// Of the attempt.
    pub timestamp: Timestamp,
    pub event_type: &'a str,
    /// The very bytes that are sent.
    pub body: &'a [u8],
}

/// Writes the signature headers of one webhook.
#[derive(Clone)]
pub struct Signer {
    dialects: Vec<Dialect>,
}

#[derive(Clone)]
struct Dialect {
    scheme: Scheme,
    header: HeaderName,
    /// One for each secret that signs, newest first.
    macs: Vec<HmacSha256>,
}

impl Signer {
    /// `secrets` are all that are live, newest first: with several (a rotation), `standard` and `timestamped` write
    /// an entry for each of them; the others have room for one and take the newest.
    pub fn new(specs: &[SignatureSpec], secrets: &[Secret]) -> Result<Self, InvalidSecret> {
        if !specs.is_empty() && secrets.is_empty() {
            return Err(InvalidSecret::Missing);
        }
        let dialects = specs.iter().map(|spec| Dialect::new(spec, secrets)).collect::<Result<_, _>>()?;
        Ok(Self { dialects })
    }

    /// Whether there is nothing to sign (`signature = "none"`).
    pub fn is_unsigned(&self) -> bool {
        self.dialects.is_empty()
    }

    /// Sets the schemes' own headers, in place of any of the same name.
    pub fn sign(&self, message: &Message<'_>, headers: &mut HeaderMap) {
        for dialect in &self.dialects {
            dialect.sign(message, headers);
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.dialects.iter().map(|dialect| (dialect.scheme, &dialect.header, dialect.macs.len()));
        f.debug_list().entries(entries).finish()
    }
}

impl Dialect {
    fn new(spec: &SignatureSpec, secrets: &[Secret]) -> Result<Self, InvalidSecret> {
        let count = match spec.scheme {
            Scheme::Standard | Scheme::Timestamped => secrets.len(),
            Scheme::Sha256 | Scheme::Github => 1,
        };
        let macs =
            secrets.iter().take(count).map(|secret| spec.scheme.key(secret).map(|key| keyed(&key))).collect::<Result<_, _>>()?;
        Ok(Self { scheme: spec.scheme, header: spec.signature_header(), macs })
    }

    fn sign(&self, message: &Message<'_>, headers: &mut HeaderMap) {
        let seconds = HeaderValue::from(message.timestamp.as_secs());
        let tags = self.macs.iter().map(|mac| tag(mac, self.scheme, message.id.as_bytes(), seconds.as_bytes(), message.body));
        let mut signature = String::with_capacity(80 * self.macs.len());
        match self.scheme {
            Scheme::Standard => {
                for tag in tags {
                    let space = if signature.is_empty() { "" } else { " " };
                    signature.push_str(space);
                    signature.push_str("v1,");
                    STANDARD.encode_string(tag, &mut signature);
                }
                set(headers, WEBHOOK_ID, message.id);
                headers.insert(WEBHOOK_TIMESTAMP, seconds.clone());
            }
            Scheme::Timestamped => {
                signature.push_str("t=");
                signature.push_str(seconds.to_str().unwrap_or_default());
                for tag in tags {
                    signature.push_str(",v1=");
                    push_hex(&mut signature, &tag);
                }
            }
            Scheme::Sha256 | Scheme::Github => {
                for tag in tags {
                    signature.push_str("sha256=");
                    push_hex(&mut signature, &tag);
                }
                if self.scheme == Scheme::Github {
                    set(headers, GITHUB_EVENT, message.event_type);
                    set(headers, GITHUB_DELIVERY, message.id);
                }
            }
        }
        set(headers, self.header.clone(), &signature);
    }
}

/// Ids and event types of ours are visible ASCII and signatures are too, so nothing is ever left out; a text that no
/// header can carry would be.
fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

pub(super) fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104 §2)")
}

/// The HMAC over a scheme's base text, part by part: the body is never copied.
pub(super) fn tag(mac: &HmacSha256, scheme: Scheme, id: &[u8], seconds: &[u8], body: &[u8]) -> Tag {
    let mut mac = mac.clone();
    match scheme {
        Scheme::Standard => {
            mac.update(id);
            mac.update(b".");
            mac.update(seconds);
            mac.update(b".");
        }
        Scheme::Timestamped => {
            mac.update(seconds);
            mac.update(b".");
        }
        Scheme::Sha256 | Scheme::Github => {}
    }
    mac.update(body);
    mac.finalize().into_bytes().into()
}

fn push_hex(text: &mut String, tag: &Tag) {
    for byte in tag {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn signed(specs: &[SignatureSpec], secrets: &[&str], body: &str) -> HeaderMap {
        let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::parse(text).unwrap()).collect();
        let mut headers = HeaderMap::new();
        let message = Message {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp: Timestamp::from_millis(1_614_265_330_999),
            event_type: "order.paid",
            body: body.as_bytes(),
        };
        Signer::new(specs, &secrets).unwrap().sign(&message, &mut headers);
        headers
    }

    fn spec(scheme: Scheme) -> SignatureSpec {
        SignatureSpec::new(scheme)
    }

    #[test]
    fn the_standard_webhooks_vector_comes_out() {
        let headers = signed(&[spec(Scheme::Standard)], &[SECRET], r#"{"test": 2432232314}"#);
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        assert_eq!(headers.len(), 3);
    }

    #[test]
    fn the_github_vector_comes_out_under_githubs_and_any_other_header() {
        let secret = "It's a Secret to Everybody";
        let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = signed(&[spec(Scheme::Github)], &[secret], "Hello, World!");
        assert_eq!(headers["x-hub-signature-256"], expected);
        assert_eq!(headers["x-github-event"], "order.paid");
        assert_eq!(headers["x-github-delivery"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        let other = SignatureSpec { scheme: Scheme::Sha256, header: Some(HeaderName::from_static("x-flexgate-signature")) };
        let headers = signed(&[other], &[secret], "Hello, World!");
        assert_eq!(headers["x-flexgate-signature"], expected);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn a_rotation_signs_with_every_secret_where_there_is_room() {
        let all = [spec(Scheme::Standard), spec(Scheme::Timestamped), spec(Scheme::Sha256)];
        let headers = signed(&all, &["the new secret", SECRET], "{}");
        let standard: Vec<&str> = headers["webhook-signature"].to_str().unwrap().split(' ').collect();
        assert_eq!(standard.len(), 2);
        assert!(standard.iter().all(|entry| entry.starts_with("v1,") && entry.len() == 47));
        let timestamped: Vec<&str> = headers["x-tenterhook-signature"].to_str().unwrap().split(',').collect();
        assert_eq!(timestamped.len(), 3);
        assert_eq!(timestamped[0], "t=1614265330");
        assert!(timestamped[1..].iter().all(|entry| entry.starts_with("v1=") && entry.len() == 67));
        let newest = signed(&[spec(Scheme::Sha256)], &["the new secret"], "{}");
        assert_eq!(headers["x-webhook-signature"], newest["x-webhook-signature"]);
    }

    #[test]
    fn nothing_is_written_when_nothing_signs() {
        let signer = Signer::new(&[], &[]).unwrap();
        assert!(signer.is_unsigned());
        assert!(signed(&[], &[SECRET], "{}").is_empty());
        assert_eq!(Signer::new(&[spec(Scheme::Standard)], &[]).unwrap_err(), InvalidSecret::Missing);
    }

    #[test]
    fn debug_shows_no_key() {
        let signer = Signer::new(&[spec(Scheme::Sha256)], &[Secret::parse("correct horse battery").unwrap()]).unwrap();
        assert_eq!(format!("{signer:?}"), "[(Sha256, \"x-webhook-signature\", 1)]");
    }
}
