//! Binary content mode of the HTTP binding: attributes are headers, the body is the data.

use tenterhook_message::{Kind, View};
use tenterhook_transformer::{Body, Request};

use crate::Options;
use crate::attributes::{Attributes, Encoding, Value};

pub fn request(view: &View<'_>, options: &Options) -> Result<Request, String> {
    let attributes = Attributes::of(view, options);
    let otherwise = match attributes.encoding {
        Encoding::Json => "application/json",
        // HTTP has no body without a type; this one says the least about it.
        Encoding::Base64 | Encoding::NoData => "application/octet-stream",
    };
    let content_type = attributes.content_type.as_deref().unwrap_or(otherwise);
    let text = (view.data.kind() == Kind::String).then(|| view.data.as_string()).flatten();
    let body = match text {
        _ if attributes.encoding == Encoding::NoData => Body::Bytes(Vec::new()),
        Some(text) if attributes.encoding == Encoding::Base64 => {
            Body::Bytes(decode(&text).ok_or("the event's data is no Base64, though its metadata says so")?)
        }
        // A text that was published as such is the body, not a JSON string of it.
        Some(text) if !is_json(content_type) => Body::Text(text.into_owned()),
        _ => Body::Text(view.data.text().to_owned()),
    };
    let mut request = Request { body, ..Request::json("") };
    for (name, value) in &attributes.all {
        let text = match value {
            Value::Text(text) => encode(text),
            Value::Raw(raw) => (*raw).to_owned(),
        };
        request = request.header(format!("ce-{name}"), text);
    }
    Ok(request.header("content-type", content_type))
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")
}

/// HTTP binding §3.1.3.2: all but visible ASCII, and `"` and `%`, is percent-encoded.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'%') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Base64 (RFC 4648 §4), its padding optional.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for byte in group {
            bits = bits << 6 | u32::from(value(*byte)?);
        }
        bits <<= 6 * (4 - group.len());
        let whole = match group.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        out.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8", "fo"), ("Zm9v", "foo"), ("Zm9vYmE=", "fooba")] {
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(decode("/+8=").unwrap(), [0xff, 0xef]);
        assert_eq!(decode("Z"), None);
        assert_eq!(decode("Z!"), None);
    }

    #[test]
    fn header_values_are_percent_encoded() {
        assert_eq!(encode("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(encode("a\"%\n/b"), "a%22%25%0A/b");
    }
}
