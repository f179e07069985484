//! JSON as TOML on one line, for tables that a program writes. Refuses to let a value name a variable by accident. Pure.

use serde_json::Value;

/// Members of `transform`, `signature`, `retry`, `batch` and `breaker` as the docs have them; others follow by name.
const FIRST: [&str; 16] = [
    "use",
    "scheme",
    "template",
    "content",
    "header",
    "encoding",
    "schedule",
    "max_retries",
    "initial_delay",
    "multiplier",
    "max_delay",
    "jitter",
    "max_events",
    "max_wait",
    "failures",
    "window",
];

/// Stands in a value for the `$` of a `${…}` that is to be filled in when the file is read; others are escaped.
pub const VARIABLE: char = '\u{f0000}';

/// Bare where TOML allows it.
pub fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if bare { name.to_owned() } else { quoted(name, false) }
}

/// On one line; `None` for null, which TOML does not have.
pub fn toml_value(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => quoted(text, true),
        Value::Array(items) => format!("[{}]", items.iter().filter_map(toml_value).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
            let fields =
                fields.into_iter().filter_map(|(name, value)| Some(format!("{} = {}", toml_key(name), toml_value(value)?)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
    })
}

/// TOML's integers have 64 bits with a sign; its floats need a point or an exponent.
fn number_text(number: &serde_json::Number) -> String {
    if number.is_i64() {
        return number.to_string();
    }
    let text = number.as_f64().unwrap_or(0.0).to_string();
    if text.contains(['.', 'e', 'E']) { text } else { format!("{text}.0") }
}

/// A basic string. In values `${` is escaped: nothing is filled in from the environment that does not say [`VARIABLE`].
fn quoted(text: &str, is_value: bool) -> String {
    let text = if is_value { text.replace("${", "$${").replace(VARIABLE, "$") } else { text.to_owned() };
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
