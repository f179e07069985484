//! The attributes of an event, from the options, the event, and what was stored of a CloudEvent that was published.

use std::borrow::Cow;

use tenterhook_message::{Json, Kind, Lines, View, tidy};

use crate::Options;

/// The source of events that name none.
const SOURCE: &str = "/tenterhook";

/// An attribute's value: text, or a number or boolean as JSON has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Text(Cow<'a, str>),
    Raw(&'a str),
}

/// Everything but the data. Names are unique.
#[derive(Debug)]
pub struct Attributes<'a> {
    pub all: Vec<(Cow<'a, str>, Value<'a>)>,
    /// Of the data. Absent, it is JSON, unless the encoding says otherwise.
    pub content_type: Option<Cow<'a, str>>,
    pub encoding: Encoding,
}

/// How the event's data represents that of the CloudEvent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Json,
    /// Bytes, as a Base64 text.
    Base64,
    /// It was published without data; the event's is null.
    NoData,
}

/// CloudEvents §3.1, attribute naming convention.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// RFC 3986 §2: characters that a URI reference cannot have are percent-encoded.
fn uri_characters(text: Cow<'_, str>) -> Cow<'_, str> {
    // A fragment has no `#` of its own, and brackets enclose the address of a host only.
    let fragment = text.find('#');
    let has_host = text.contains("://");
    let is_allowed = |at: usize, byte: u8| match byte {
        b'#' => fragment == Some(at),
        b'[' | b']' => has_host,
        b'%' => text.as_bytes().get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte),
    };
    if text.bytes().enumerate().all(|(at, byte)| is_allowed(at, byte)) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, byte) in text.bytes().enumerate() {
        if is_allowed(at, byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(out)
}

impl<'a> Attributes<'a> {
    pub fn of(view: &View<'a>, options: &'a Options) -> Self {
        let event = view.event;
        let published = view.metadata.and_then(|metadata| metadata.get("cloudevents"));
        let kept = |name: &str| published?.get(name)?.as_string().filter(|text| !text.is_empty());
        let own = |template: &Option<tenterhook_message::Template>| {
            let text = template.as_ref()?.render(view);
            (!text.trim().is_empty()).then(|| Cow::Owned(tidy(text.trim(), Lines::One).into_owned()))
        };
        let encoding = match kept("dataencoding").as_deref() {
            Some("base64") => Encoding::Base64,
            Some("none") if view.data.kind() == Kind::Null => Encoding::NoData,
            _ => Encoding::Json,
        };
        let mut attributes = Self { all: Vec::new(), content_type: kept("datacontenttype"), encoding };
        attributes.put("specversion", Value::Text("1.0".into()));
        attributes.put("id", Value::Text(kept("id").unwrap_or(Cow::Borrowed(&event.id))));
        let source = own(&options.source).or_else(|| kept("source")).unwrap_or(SOURCE.into());
        attributes.put("source", Value::Text(uri_characters(source)));
        attributes.put("type", Value::Text(own(&options.r#type).unwrap_or(Cow::Borrowed(&event.type_))));
        attributes.put("time", Value::Text(Cow::Borrowed(&event.timestamp)));
        let subject = own(&options.subject).or_else(|| kept("subject"));
        let schema = options.dataschema.as_deref().map(Cow::Borrowed).or_else(|| kept("dataschema"));
        for (name, text) in [("subject", subject), ("dataschema", schema.map(uri_characters))] {
            if let Some(text) = text {
                attributes.put(name, Value::Text(text));
            }
        }
        for (name, template) in &options.extensions {
            let text = template.render(view);
            if !text.trim().is_empty() {
                attributes.put(name.as_str(), Value::Text(Cow::Owned(tidy(text.trim(), Lines::One).into_owned())));
            }
        }
        if let Some(tenant) = &event.tenant {
            attributes.put("tenant", Value::Text(Cow::Borrowed(tenant)));
        }
        if let Some(published) = published {
            attributes.put_kept(published);
        }
        attributes
    }

    /// The extensions that it was published with.
    fn put_kept(&mut self, published: Json<'a>) {
        for (name, value) in published.members() {
            // `subject` and `dataschema` are there by now, unless they are empty, which CloudEvents does not allow.
            let known = matches!(&*name, "datacontenttype" | "dataencoding" | "data" | "dataschema" | "id" | "subject");
            if known || !is_name(&name) {
                continue;
            }
            match value.kind() {
                Kind::String => {
                    let text = value.as_string().unwrap_or_default();
                    self.put(name, Value::Text(text));
                }
                Kind::Number | Kind::Bool => self.put(name, Value::Raw(value.text())),
                Kind::Object | Kind::Array | Kind::Null => {}
            }
        }
    }

    /// The first value of a name is the one that counts.
    fn put(&mut self, name: impl Into<Cow<'a, str>>, value: Value<'a>) {
        let name = name.into();
        if self.all.iter().all(|(known, _)| *known != name) {
            self.all.push((name, value));
        }
    }
}
