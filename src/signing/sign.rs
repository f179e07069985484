//! Signing: HMACs keyed once, when a snapshot is built, and streamed over the bytes that are sent.

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use super::ed25519::SigningKey;
use super::scheme::{
    GITHUB_DELIVERY, GITHUB_EVENT, SHOPIFY_ID, SHOPIFY_TOPIC, SLACK_TIMESTAMP, WEBHOOK_ID, WEBHOOK_TIMESTAMP, previous_header,
};
use super::template::{Encoding, Field, Part, Template};
use super::{InvalidSecret, LiveSecret, Scheme, SignatureSpec};
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
    specs: Arc<[SignatureSpec]>,
    /// Newest first.
    secrets: Box<[LiveSecret]>,
    /// Made at the first use: keyed HMACs are many times larger than what they are made of, and of many webhooks few are
    /// busy.
    dialects: OnceLock<Box<[Dialect]>>,
}

#[derive(Clone)]
struct Dialect {
    scheme: Scheme,
    header: HeaderName,
    /// Newest first.
    keys: Vec<LiveKey>,
}

#[derive(Clone)]
struct LiveKey {
    key: Key,
    until: Option<Timestamp>,
}

#[derive(Clone)]
enum Key {
    Hmac(HmacSha256),
    Ed25519(SigningKey),
}

impl Signer {
    /// `secrets` are all that are live, newest first. With several (a rotation), `standard` and `timestamped` write
    /// an entry for each of them into their header; where there is room for one, the newest signs there and the others
    /// in a header of the same name with `-previous` behind it.
    pub fn new(specs: Arc<[SignatureSpec]>, secrets: Vec<LiveSecret>) -> Result<Self, InvalidSecret> {
        if !specs.is_empty() && secrets.is_empty() {
            return Err(InvalidSecret::Missing);
        }
        for spec in specs.iter() {
            Dialect::new(spec, &secrets)?;
        }
        Ok(Self { specs, secrets: secrets.into(), dialects: OnceLock::new() })
    }

    /// All that sign, newest first.
    pub fn secrets(&self) -> &[LiveSecret] {
        &self.secrets
    }

    /// Sets the schemes' own headers, in place of any of the same name.
    pub fn sign(&self, message: &Message<'_>, headers: &mut HeaderMap) {
        let make = || self.specs.iter().filter_map(|spec| Dialect::new(spec, &self.secrets).ok()).collect();
        // Each was made once already, by `new`: none is missing.
        for dialect in self.dialects.get_or_init(make) {
            dialect.sign(message, headers);
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.specs.iter().map(|spec| (&spec.scheme, spec.signature_header()))).finish()
    }
}

impl Dialect {
    fn new(spec: &SignatureSpec, secrets: &[LiveSecret]) -> Result<Self, InvalidSecret> {
        let mut keys = Vec::with_capacity(secrets.len());
        let mut refused = None;
        for LiveSecret { secret, until } in secrets {
            let key = if spec.scheme == Scheme::Standard && secret.is_asymmetric() {
                secret.signing_key().map(Key::Ed25519)
            } else {
                spec.scheme.key(secret).map(|key| Key::Hmac(keyed(&key)))
            };
            match key {
                Ok(key) => keys.push(LiveKey { key, until: *until }),
                // On the way from one kind of secret to the other, the others sign.
                Err(error @ InvalidSecret::Asymmetric { .. }) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        match refused {
            Some(error) if keys.iter().all(|key| key.until.is_some()) => Err(error),
            _ => Ok(Self { scheme: spec.scheme.clone(), header: spec.signature_header(), keys }),
        }
    }

    fn sign(&self, message: &Message<'_>, headers: &mut HeaderMap) {
        let seconds = HeaderValue::from(message.timestamp.as_secs());
        let signed = Signed { id: message.id.as_bytes(), seconds: seconds.as_bytes(), body: message.body };
        let live = self.keys.iter().filter(|key| key.until.is_none_or(|until| until > message.timestamp));
        if self.scheme.has_room_for_all() {
            let mut text = String::with_capacity(80 * self.keys.len() + 16);
            if self.scheme == Scheme::Timestamped {
                text.push_str("t=");
                text.push_str(seconds.to_str().unwrap_or_default());
            }
            live.for_each(|live| self.push_entry(&mut text, &live.key, &signed));
            set(headers, self.header.clone(), &text);
        } else {
            let mut header = Some(self.header.clone());
            for live in live {
                let Key::Hmac(mac) = &live.key else { continue };
                let text = self.value(message, &seconds, &tag(mac, &self.scheme, &signed));
                match header.take() {
                    Some(header) => set(headers, header, &text),
                    None => add(headers, previous_header(&self.header), &text),
                }
            }
        }
        self.set_companions(message, seconds, headers);
    }

    /// One of several in a header.
    fn push_entry(&self, text: &mut String, key: &Key, signed: &Signed<'_>) {
        if self.scheme == Scheme::Timestamped {
            if let Key::Hmac(mac) = key {
                text.push_str(",v1=");
                push_hex(text, &tag(mac, &self.scheme, signed));
            }
            return;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        match key {
            Key::Hmac(mac) => {
                text.push_str("v1,");
                STANDARD.encode_string(tag(mac, &self.scheme, signed), text);
            }
            Key::Ed25519(key) => {
                text.push_str("v1a,");
                STANDARD.encode_string(key.sign(&signed.whole(&self.scheme)), text);
            }
        }
    }

    /// The whole of a header that has room for one.
    fn value(&self, message: &Message<'_>, seconds: &HeaderValue, tag: &Tag) -> String {
        let mut text = String::with_capacity(80);
        match &self.scheme {
            Scheme::Shopify => STANDARD.encode_string(tag, &mut text),
            Scheme::Template(template) => render(template, message.id, seconds.to_str().unwrap_or_default(), tag, &mut text),
            Scheme::Slack => {
                text.push_str("v0=");
                push_hex(&mut text, tag);
            }
            Scheme::Sha256 | Scheme::Github | Scheme::Standard | Scheme::Timestamped => {
                text.push_str("sha256=");
                push_hex(&mut text, tag);
            }
        }
        text
    }

    /// What receivers of the dialect look for beside the signature.
    fn set_companions(&self, message: &Message<'_>, seconds: HeaderValue, headers: &mut HeaderMap) {
        match &self.scheme {
            Scheme::Standard => {
                set(headers, WEBHOOK_ID, message.id);
                headers.insert(WEBHOOK_TIMESTAMP, seconds);
            }
            Scheme::Github => {
                set(headers, GITHUB_EVENT, message.event_type);
                set(headers, GITHUB_DELIVERY, message.id);
            }
            Scheme::Slack => drop(headers.insert(SLACK_TIMESTAMP, seconds)),
            Scheme::Shopify => {
                set(headers, SHOPIFY_TOPIC, message.event_type);
                set(headers, SHOPIFY_ID, message.id);
            }
            Scheme::Template(template) => {
                set(headers, WEBHOOK_ID, message.id);
                if template.hides_time() {
                    headers.insert(WEBHOOK_TIMESTAMP, seconds);
                }
            }
            Scheme::Sha256 | Scheme::Timestamped => {}
        }
    }
}

fn render(template: &Template, id: &str, seconds: &str, tag: &Tag, text: &mut String) {
    for part in &template.header {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Field(Field::Id) => text.push_str(id),
            Part::Field(Field::Timestamp) => text.push_str(seconds),
            Part::Field(Field::Signature) => match template.encoding() {
                Encoding::Hex => push_hex(text, tag),
                Encoding::Base64 => STANDARD.encode_string(tag, text),
                Encoding::Base64Url => URL_SAFE_NO_PAD.encode_string(tag, text),
            },
            // No template has it there: its parser refuses that.
            Part::Field(Field::Body) => {}
        }
    }
}

/// Ids and event types of ours are visible ASCII and signatures are too, so nothing is ever left out; a text that no
/// header can carry would be.
fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

fn add(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.append(name, value);
    }
}

pub(super) fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104 §2)")
}

/// What goes into a signature.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) id: &'a [u8],
    pub(super) seconds: &'a [u8],
    pub(super) body: &'a [u8],
}

impl Signed<'_> {
    /// A scheme's base text, part by part: the body is never copied.
    fn each_part(&self, scheme: &Scheme, mut take: impl FnMut(&[u8])) {
        match scheme {
            Scheme::Standard => [self.id, b".", self.seconds, b".", self.body].into_iter().for_each(take),
            Scheme::Timestamped => [self.seconds, b".", self.body].into_iter().for_each(take),
            Scheme::Slack => [b"v0:", self.seconds, b":", self.body].into_iter().for_each(take),
            Scheme::Sha256 | Scheme::Github | Scheme::Shopify => take(self.body),
            Scheme::Template(template) => {
                for part in &template.signed {
                    take(match part {
                        Part::Literal(text) => text.as_bytes(),
                        Part::Field(Field::Id) => self.id,
                        Part::Field(Field::Timestamp) => self.seconds,
                        Part::Field(Field::Body) => self.body,
                        // No content has it: its parser refuses that.
                        Part::Field(Field::Signature) => b"",
                    });
                }
            }
        }
    }

    /// In one piece, for Ed25519, which reads it twice.
    pub(super) fn whole(&self, scheme: &Scheme) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.id.len() + self.seconds.len() + self.body.len() + 2);
        self.each_part(scheme, |part| whole.extend_from_slice(part));
        whole
    }
}

pub(super) fn tag(mac: &HmacSha256, scheme: &Scheme, signed: &Signed<'_>) -> Tag {
    let mut mac = mac.clone();
    signed.each_part(scheme, |part| mac.update(part));
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
mod tests;
