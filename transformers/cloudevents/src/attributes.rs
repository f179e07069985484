//! The attributes of an event, from the options, the event, and what is kept of a CloudEvent that was published.

use std::borrow::Cow;

use tenterhook_message::{Json, Kind, Lines, View, tidy};

use crate::Options;

/// Who knows no better is this source.
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
    /// Of the data; JSON when it is absent.
    pub content_type: Option<Cow<'a, str>>,
    /// Whether the data is bytes, as a Base64 text.
    pub is_base64: bool,
}

/// CloudEvents §3.1, attribute naming convention.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
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
        let mut attributes = Self { all: Vec::new(), content_type: kept("datacontenttype"), is_base64: false };
        attributes.is_base64 =
            kept("dataencoding").is_some_and(|encoding| encoding == "base64") && attributes.content_type.is_some();
        attributes.put("specversion", Value::Text("1.0".into()));
        attributes.put("id", Value::Text(kept("id").unwrap_or(Cow::Borrowed(&event.id))));
        attributes.put("source", Value::Text(own(&options.source).or_else(|| kept("source")).unwrap_or(SOURCE.into())));
        attributes.put("type", Value::Text(own(&options.r#type).unwrap_or(Cow::Borrowed(&event.type_))));
        attributes.put("time", Value::Text(Cow::Borrowed(&event.timestamp)));
        let subject = own(&options.subject).or_else(|| kept("subject"));
        let schema = options.dataschema.as_deref().map(Cow::Borrowed).or_else(|| kept("dataschema"));
        for (name, text) in [("subject", subject), ("dataschema", schema)] {
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
            let known = matches!(&*name, "datacontenttype" | "dataencoding" | "data" | "id");
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
