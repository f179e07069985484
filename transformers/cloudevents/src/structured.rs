//! The JSON event format: attributes and data in one object, the data byte for byte as it was published.

use tenterhook_message::{Kind, View, write_string};

use crate::Options;
use crate::attributes::{Attributes, Value};

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
    out.push_str(",\"datacontenttype\":");
    write_string(out, attributes.content_type.as_deref().unwrap_or("application/json"));
    let is_base64 = attributes.is_base64 && view.data.kind() == Kind::String;
    out.push_str(if is_base64 { ",\"data_base64\":" } else { ",\"data\":" });
    out.push_str(view.data.text());
    out.push('}');
}
