//! The JSON event format: attributes and data in one object, the data byte for byte as it was published.

use tenterhook_message::{Kind, View, write_string};

use crate::Options;
use crate::attributes::{Attributes, Encoding, Value};

pub fn write(out: &mut String, view: &View<'_>, options: &Options) {
    let attributes = Attributes::of(view, options);
    for (at, (name, value)) in attributes.all.iter().enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        write_string(out, name);
        out.push(':');
        match value {
            Value::Text(text) => write_string(out, text),
            Value::Raw(raw) => out.push_str(raw),
        }
    }
    let is_json = attributes.encoding == Encoding::Json;
    if let Some(content_type) = attributes.content_type.as_deref().or(is_json.then_some("application/json")) {
        out.push_str(",\"datacontenttype\":");
        write_string(out, content_type);
    }
    if attributes.encoding != Encoding::NoData {
        let is_base64 = attributes.encoding == Encoding::Base64 && view.data.kind() == Kind::String;
        out.push_str(if is_base64 { ",\"data_base64\":" } else { ",\"data\":" });
        out.push_str(view.data.text());
    }
    out.push('}');
}
