//! The identity of a CloudEvent: its source together with its id (CloudEvents 1.0 §3.1).

use sha2::{Digest, Sha256};

use super::Refusal;
use crate::model::EventId;

/// What an event that came in as a CloudEvent is identified by, besides its tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudEventIdentity {
    pub id: String,
    /// A URI reference.
    pub source: String,
    /// As it was sent.
    source_given: String,
}

impl CloudEventIdentity {
    /// Characters of a source that no URI has are percent-encoded, as a sender that knows the rule would have done.
    pub fn new(source: String, id: String, refusal: &mut Refusal) -> Self {
        let encoded = percent_encoded(&source);
        if !is_uri_reference(&encoded) {
            let shown: String = source.chars().take(80).collect();
            let detail = format!(
                "`source` is {shown:?}, which is no URI reference: write a path such as \"/orders\", a URL or a \"urn:…\""
            );
            refusal.add("source", detail);
        }
        Self { id, source: encoded, source_given: source }
    }

    /// The same for the same CloudEvent, another one for every other source, id or tenant.
    pub fn event_id(&self, tenant: Option<&str>) -> EventId {
        let mut digest = Sha256::new();
        for part in [tenant.unwrap_or_default(), &self.source, &self.id] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        hashed(digest)
    }

    /// The id that earlier versions gave this event: its own where that could be one of ours, else a hash of source and id.
    pub(super) fn former_event_id(&self) -> EventId {
        EventId::parse(&self.id)
            .unwrap_or_else(|_| hashed(Sha256::new().chain_update(&self.source_given).chain_update([0]).chain_update(&self.id)))
    }

    /// Whether the metadata of a stored event is that of a CloudEvent with this identity; earlier versions left out an id
    /// that was the event's own.
    pub(super) fn is_in(&self, metadata: &[u8]) -> bool {
        #[derive(serde::Deserialize)]
        struct Metadata {
            cloudevents: Attributes,
        }
        #[derive(serde::Deserialize)]
        struct Attributes {
            source: String,
            id: Option<String>,
        }
        let attributes = serde_json::from_slice::<Metadata>(metadata).map(|metadata| metadata.cloudevents);
        attributes.is_ok_and(|stored| stored.source == self.source_given && stored.id.is_none_or(|id| id == self.id))
    }
}

fn hashed(digest: Sha256) -> EventId {
    let text = format!("ce_{}", hex::encode(&digest.finalize()[..16]));
    EventId::parse(&text).expect("letters, digits and an underscore, 35 of them, are an id")
}

/// The part between `//` and the path, if there is one.
fn authority(text: &str) -> Option<std::ops::Range<usize>> {
    let start = text.find("//")?;
    let before = &text[..start];
    (before.is_empty() || before.ends_with(':') && is_scheme(&before[..start - 1])).then(|| {
        let rest = &text[start + 2..];
        start + 2..start + 2 + rest.find(['/', '?', '#']).unwrap_or(rest.len())
    })
}

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// RFC 3986 §2: what is neither reserved nor unreserved is encoded.
fn percent_encoded(text: &str) -> String {
    let authority = authority(text).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    let mut in_fragment = false;
    for (at, byte) in text.bytes().enumerate() {
        let allowed = match byte {
            b'%' => {
                let digits = text.as_bytes().get(at + 1..at + 3);
                digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            }
            b'[' | b']' => authority.contains(&at),
            b'#' => !std::mem::replace(&mut in_fragment, true),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte),
        };
        if allowed {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// RFC 3986 §4.1, of a text that has only characters of URIs.
fn is_uri_reference(text: &str) -> bool {
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme_is_sound = first.split_once(':').is_none_or(|(scheme, _)| is_scheme(scheme));
    let authority = authority(text).map(|range| &text[range]);
    let host = authority.map(|authority| authority.rsplit_once('@').map_or(authority, |(_, host)| host));
    scheme_is_sound && host.is_none_or(is_host)
}

/// With its port; brackets only around the address that they are for.
fn is_host(text: &str) -> bool {
    let port_is_sound = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let port = if port.is_empty() { Some("") } else { port.strip_prefix(':') };
        return address.parse::<std::net::Ipv6Addr>().is_ok() && port.is_some_and(port_is_sound);
    }
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    !name.contains(['[', ']']) && port_is_sound(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(source: &str, id: &str) -> Result<CloudEventIdentity, String> {
        let mut refusal = Refusal::default();
        let identity = CloudEventIdentity::new(source.to_owned(), id.to_owned(), &mut refusal);
        refusal.or(|| Some(identity)).map_err(|refusal| refusal.detail())
    }

    #[test]
    fn tenant_source_and_id_together_make_the_event_id() {
        let id = |source: &str, id: &str, tenant| identity(source, id).unwrap().event_id(tenant);
        assert_eq!(id("/a", "1", None), id("/a", "1", None));
        for other in
            [id("/b", "1", None), id("/a", "2", None), id("/a", "1", Some("acme")), id("/a1", "", None), id("a", "/1", None)]
        {
            assert_ne!(id("/a", "1", None), other);
        }
        assert_ne!(id("b", "c", Some("a")), id("a", "b\0c", None), "a length stands before each part");
        assert!(id("/a", "1", None).as_str().starts_with("ce_"));
    }

    #[test]
    fn a_source_that_could_be_a_uri_reference_is_encoded() {
        for (source, encoded) in [
            ("/kafkasources/orders#orders", "/kafkasources/orders#orders"),
            ("urn:event:from:myapi/resource/123", "urn:event:from:myapi/resource/123"),
            ("https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
            ("//example.com/x?y=[1]", "//example.com/x?y=%5B1%5D"),
            ("/s \u{fc}", "/s%20%C3%BC"),
            ("/a%2Fb%zz", "/a%2Fb%25zz"),
            ("a<b>\"{c}|d\\e^`", "a%3Cb%3E%22%7Bc%7D%7Cd%5Ce%5E%60"),
            ("x#y#z", "x#y%23z"),
            ("mailto:ops@example.com", "mailto:ops@example.com"),
        ] {
            assert_eq!(identity(source, "1").unwrap().source, encoded);
        }
        for source in ["1a:b", ":x", "http://[x]/", "http://a:b:c/", "https://host:port/"] {
            let error = identity(source, "1").unwrap_err();
            assert!(error.contains("which is no URI reference: write a path such as \"/orders\""), "{source}: {error}");
        }
    }

    #[test]
    fn what_earlier_versions_stored_is_recognised() {
        let identity = identity("/s 1", "order-7").unwrap();
        assert_eq!(identity.former_event_id().as_str(), "order-7");
        assert!(identity.is_in(br#"{"cloudevents":{"source":"/s 1","subject":"x"}}"#));
        assert!(!identity.is_in(br#"{"cloudevents":{"source":"/s%201"}}"#));
        assert!(!identity.is_in(br#"{"cloudevents":{"source":"/s 1","id":"order-8"}}"#));
        assert!(!identity.is_in(br#"{"k":1}"#));
        let hashed = CloudEventIdentity { id: "1.2 3".into(), ..identity };
        assert!(hashed.former_event_id().as_str().starts_with("ce_"));
        assert!(hashed.is_in(br#"{"cloudevents":{"source":"/s 1","id":"1.2 3"}}"#));
    }
}
