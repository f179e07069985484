//! How a value is written into the body: as JSON, or as text within a content type.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State};
use tenterhook_message::{Json, write_string};

use crate::document::{Container, HugeNumber, spelling};

/// The escaping of `application/x-www-form-urlencoded`.
pub const FORM: AutoEscape = AutoEscape::Custom(std::borrow::Cow::Borrowed("form"));

/// Sets how values are written, and the filters that depend on it.
pub fn install(environment: &mut Environment<'_>) {
    environment.set_formatter(format);
    environment.add_filter("tojson", to_json);
    environment.add_filter("string", to_string);
    environment.add_filter("urlencode", urlencode);
}

fn format(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let written = match (state.auto_escape(), value.as_str()) {
        (_, Some(text)) if value.is_safe() => text.to_owned(),
        (AutoEscape::Json, _) => json(value)?,
        (AutoEscape::Html, _) => escape_html(&text(value)?),
        (escape, _) if *escape == FORM => form_encoded(&text(value)?),
        _ => text(value)?,
    };
    out.write_str(&written).map_err(Error::from)
}

/// Strings as they are, nothing for what is not there, all else as JSON.
pub fn text(value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None if value.is_undefined() => Ok(String::new()),
        None => json(value),
    }
}

/// The value as JSON text: what is of the event as it was published.
pub fn json(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    write_json(&mut out, value)?;
    Ok(out)
}

fn write_json(out: &mut String, value: &Value) -> Result<(), Error> {
    if let Some(container) = value.downcast_object_ref::<Container>() {
        out.push_str(container.json());
        return Ok(());
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => write_number(out, value),
        ValueKind::Map => {
            let mut separator = '{';
            for key in value.try_iter()? {
                out.push(separator);
                separator = ',';
                write_string(out, &text(&key)?);
                out.push(':');
                write_json(out, &value.get_item(&key)?)?;
            }
            out.push_str(if separator == '{' { "{}" } else { "}" });
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let mut separator = '[';
            for item in value.try_iter()? {
                out.push(separator);
                separator = ',';
                write_json(out, &item)?;
            }
            out.push_str(if separator == '[' { "[]" } else { "]" });
        }
        ValueKind::Invalid => return Err(Error::new(ErrorKind::InvalidOperation, value.to_string())),
        _ if value.downcast_object_ref::<HugeNumber>().is_some() => out.push_str(&value.to_string()),
        _ => write_string(out, &value.to_string()),
    }
    Ok(())
}

/// As the event has it; what was calculated as MiniJinja writes it.
fn write_number(out: &mut String, value: &Value) {
    if value.is_integer() {
        out.push_str(&value.to_string());
        return;
    }
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_finite() => match spelling(number) {
            Some(spelling) => out.push_str(&spelling),
            None => out.push_str(&value.to_string()),
        },
        // JSON has neither infinities nor NaN.
        _ => out.push_str("null"),
    }
}

fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#x27;"),
            c => out.push(c),
        }
    }
    out
}

/// <https://url.spec.whatwg.org/#application-x-www-form-urlencoded-percent-encode-set>
fn form_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `{{ data | tojson }}`: JSON in every context; in HTML without characters that end a script.
fn to_json(state: &State<'_, '_>, value: &Value, indent: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let indent = indent.or(options.get("indent")?).is_some_and(|indent| indent.is_true());
    options.assert_all_used()?;
    let mut made = json(value)?;
    if indent {
        let compact = std::mem::take(&mut made);
        Json::new(&compact).pretty(&mut made, 0, usize::MAX);
    }
    match state.auto_escape() {
        AutoEscape::Html => {
            for (character, escape) in [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\'', "\\u0027")] {
                made = made.replace(character, escape);
            }
            Ok(Value::from_safe_string(made))
        }
        AutoEscape::None | AutoEscape::Json => Ok(Value::from_safe_string(made)),
        _ => Ok(Value::from(made)),
    }
}

fn to_string(value: &Value) -> Result<Value, Error> {
    if value.as_str().is_some() { Ok(value.clone()) } else { Ok(Value::from(text(value)?)) }
}

/// In a form values are encoded anyway: what says so itself is not encoded twice.
fn urlencode(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let encoded = minijinja::filters::urlencode(value)?;
    Ok(if *state.auto_escape() == FORM { Value::from_safe_string(encoded) } else { Value::from(encoded) })
}
