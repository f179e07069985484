//! Signing: HMACs keyed once, when a snapshot is built, and streamed over the bytes that are sent.

use std::fmt;
use std::sync::{Arc, OnceLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use sha2::Sha256;

use super::dialect::Several;
use super::ed25519::SigningKey;
use super::pattern::{Facts, Field, render};
use super::scheme::previous_header;
use super::{InvalidSecret, LiveSecret, Scheme, SignatureSpec};
use crate::model::Timestamp;

pub(super) type HmacSha256 = Hmac<Sha256>;
pub(super) type Tag = [u8; 32];

/// What is signed, beside the headers.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Of the event (or the batch): the same on every attempt, so that a receiver recognises a repetition.
    pub id: &'a str,
    /// Of the attempt.
    pub timestamp: Timestamp,
    pub event_type: &'a str,
    pub method: &'a Method,
    /// With scheme and authority.
    pub uri: &'a Uri,
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
    keyed: OnceLock<Box<[KeyedScheme]>>,
}

/// A scheme with the keys that sign in it.
#[derive(Clone)]
struct KeyedScheme {
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
    /// `secrets` are all that are live, newest first. With several (a rotation), a dialect whose header has entries
    /// writes one for each of them; of the other dialects the newest secret signs in the header, and the older ones in a
    /// header of the same name with `-previous` appended.
    pub fn new(specs: Arc<[SignatureSpec]>, secrets: Vec<LiveSecret>) -> Result<Self, InvalidSecret> {
        if !specs.is_empty() && secrets.is_empty() {
            return Err(InvalidSecret::Missing);
        }
        for spec in specs.iter() {
            KeyedScheme::new(spec, &secrets)?;
        }
        Ok(Self { specs, secrets: secrets.into(), keyed: OnceLock::new() })
    }

    /// All that sign, newest first.
    pub fn secrets(&self) -> &[LiveSecret] {
        &self.secrets
    }

    /// Sets the schemes' headers; each replaces any of the same name. The headers that are signed are those that are
    /// already there.
    pub fn sign(&self, message: &Message<'_>, headers: &mut HeaderMap) {
        let make = || self.specs.iter().filter_map(|spec| KeyedScheme::new(spec, &self.secrets).ok()).collect();
        // `new` has tried each of them: none is missing.
        let keyed = self.keyed.get_or_init(make);
        let seconds = HeaderValue::from(message.timestamp.as_secs());
        let url = if keyed.iter().any(|one| one.scheme.covers(&Field::Url)) { message.uri.to_string() } else { String::new() };
        let mut facts = Facts {
            id: message.id.as_bytes(),
            seconds: seconds.as_bytes(),
            event_type: message.event_type.as_bytes(),
            method: message.method.as_str().as_bytes(),
            url: url.as_bytes(),
            headers: &HeaderMap::new(),
            body: message.body,
        };
        for companion in keyed.iter().flat_map(|one| one.scheme.companions()) {
            set(headers, HeaderName::from_static(companion.header), facts.of(&companion.value));
        }
        let mut signatures = Vec::with_capacity(keyed.len());
        facts.headers = headers;
        for one in keyed {
            one.sign(&facts, message.timestamp, &mut signatures);
        }
        for (name, _) in &signatures {
            headers.remove(name);
        }
        for (name, text) in signatures {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.append(name, value);
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.specs.iter().map(|spec| (&spec.scheme, spec.signature_header()))).finish()
    }
}

impl KeyedScheme {
    fn new(spec: &SignatureSpec, secrets: &[LiveSecret]) -> Result<Self, InvalidSecret> {
        let mut keys = Vec::with_capacity(secrets.len());
        let mut refused = None;
        for LiveSecret { secret, until } in secrets {
            let key = if secret.is_asymmetric() && spec.scheme.form().asymmetric.is_some() {
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

    /// Adds the headers of the signatures.
    fn sign(&self, facts: &Facts<'_>, at: Timestamp, headers: &mut Vec<(HeaderName, String)>) {
        let live = self.keys.iter().filter(|key| key.until.is_none_or(|until| until > at));
        match self.scheme.form().several {
            Several::Entries { lead, separator } => {
                let mut text = String::with_capacity(80 * self.keys.len() + 16);
                render(lead, facts, &[], self.scheme.form().encoding, &mut text);
                for live in live {
                    if !text.is_empty() {
                        text.push(separator);
                    }
                    self.push_entry(&live.key, facts, &mut text);
                }
                headers.push((self.header.clone(), text));
            }
            Several::Previous => {
                let mut name = self.header.clone();
                for live in live {
                    let mut text = String::with_capacity(80);
                    self.push_entry(&live.key, facts, &mut text);
                    headers.push((name, text));
                    name = previous_header(&self.header);
                }
            }
        }
    }

    fn push_entry(&self, key: &Key, facts: &Facts<'_>, text: &mut String) {
        let form = self.scheme.form();
        match key {
            Key::Hmac(mac) => render(form.entry, facts, &tag(mac, &self.scheme, facts), form.encoding, text),
            Key::Ed25519(key) => {
                let signature = key.sign(&facts.whole(self.scheme.content()));
                render(form.asymmetric.unwrap_or(form.entry), facts, &signature, form.encoding, text);
            }
        }
    }
}

/// Ids, times and event types of ours are visible ASCII; a text that no header can carry would be left out.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(name, value);
    }
}

pub(super) fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104 §2)")
}

pub(super) fn tag(mac: &HmacSha256, scheme: &Scheme, facts: &Facts<'_>) -> Tag {
    let mut mac = mac.clone();
    facts.each_part(scheme.content(), |part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
