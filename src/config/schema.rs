//! The JSON Schema of config.toml, for editors, and of a webhook's keys, for the API document: both are made of the
//! registry that the parser reads by. Refuses to judge what only the parser can (addresses, secrets, two keys together).

use serde_json::{Map, Value, json};

use super::keys::catalogue::{PRESETS, Preset};
use super::keys::document::ROOT;
use super::keys::key::{DefaultValue, Key, Keys, Kind};
use super::keys::webhook::rows::{ROWS, WEBHOOK};
use crate::routing::OPERATORS;

/// Text that comes from elsewhere is judged when it is filled in.
const FILLED_IN: &str = "\\$\\{";

const DURATION: &str = "^([0-9]+(ms|s|m|h|d))+$";
const SIZE: &str = "^[0-9]+([KMG]i?)?B$";
const RATE: &str = "^[0-9]+/[smhd]$|^[a-z]+$";
const QUOTA: &str = "^[0-9]+/[smh]$";
const STATUS: &str = "^([1-5][0-9][0-9]|[1-5]xx|[1-5][0-9][0-9]-[1-5][0-9][0-9])$";
const PATTERN: &str = "^(\\*\\*?|[A-Za-z0-9_:/-]+)(\\.(\\*\\*?|[A-Za-z0-9_:/-]+))*$";

/// JSON Schema (draft 2020-12) of config.toml.
pub fn schema() -> Value {
    let mut schema = Style::File.table(&ROOT);
    let head = [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("title", json!("Tenterhook's config.toml")),
        ("description", json!("Events, webhooks, retries, transformers: everything that Tenterhook does")),
        ("$defs", definitions()),
    ];
    if let Value::Object(fields) = &mut schema {
        fields.extend(head.map(|(key, value)| (key.to_owned(), value)));
    }
    schema
}

/// The keys of a webhook as a client of the API may send them, by name.
pub(crate) fn webhook_properties() -> Map<String, Value> {
    WEBHOOK.known().map(|key| (key.name.to_owned(), Style::Api.key(key))).collect()
}

/// The keys of a webhook as answers show them, by name: what is off, or not set, is null.
pub(crate) fn shown_properties() -> Map<String, Value> {
    let shown = |key: &Key| {
        let mut schema = Style::Api.key(&key.without_false());
        if !key.required && (key.or_false || key.default == DefaultValue::Absent) {
            schema = json!({"description": schema["description"].take(), "anyOf": [schema, {"type": "null"}]});
            if let Some(kind) = schema.pointer_mut("/anyOf/0").and_then(Value::as_object_mut) {
                kind.remove("description");
            }
        }
        schema
    };
    ROWS.iter().filter(|row| row.key.name != "secret").map(|row| (row.key.name.to_owned(), shown(&row.key))).collect()
}

fn definitions() -> Value {
    let text = |description: &str, pattern: &str| json!({"type": "string", "description": description, "pattern": format!("{pattern}|{FILLED_IN}")});
    json!({
        "duration": text("Such as 500ms, 15s, 2m, 1h, 7d, 1h30m", DURATION),
        "size": text("Such as 512B, 64KiB, 1MiB, 10MB", SIZE),
        "rate": text("Such as 50/s, 600/m; or the name of a service that has one: slack", RATE),
        "quota": text("Such as 5000/s, 60/m", QUOTA),
        "status": text("A status code (429), a class (5xx) or a range (500-503)", STATUS),
        "pattern": text("An event type; * is one part of a dotted name, ** any number, a bare * everything", PATTERN),
        "condition": condition(),
    })
}

/// What a filter asks of one value: operators, or fields within it.
fn condition() -> Value {
    let mut operators: Map<String, Value> = Map::new();
    for operator in OPERATORS {
        let mut schema = operand(operator.name);
        schema["description"] = operator.doc.into();
        operators.insert(operator.name.to_owned(), schema);
    }
    json!({
        "description": "A value that the field has to have, operators such as { \"$gt\" = 5 }, or fields within it",
        "anyOf": [
            {"type": ["string", "number", "boolean"]},
            {"type": "array"},
            {
                "type": "object", "properties": operators,
                "patternProperties": {"^[^$]": {"$ref": "#/$defs/condition"}}, "additionalProperties": false,
            },
        ],
    })
}

fn operand(operator: &str) -> Value {
    let conditions = json!({"type": "array", "items": {"$ref": "#/$defs/condition"}, "minItems": 1});
    let reference = json!({"type": "object", "properties": {"$ref": {"type": "string"}}, "required": ["$ref"]});
    match operator {
        "$or" | "$and" => conditions,
        "$not" => json!({"anyOf": [{"$ref": "#/$defs/condition"}]}),
        "$exist" => json!({"type": "boolean"}),
        "$ref" => json!({"type": "string"}),
        "$regex" => json!({"type": "string", "maxLength": 1024}),
        "$gt" | "$gte" | "$lt" | "$lte" => json!({"anyOf": [{"type": ["number", "string"]}, reference]}),
        "$contains" | "$startsWith" | "$endsWith" => {
            json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, reference]})
        }
        "$in" | "$nin" => json!({"anyOf": [{"type": ["array", "string", "number"]}, reference]}),
        _ => json!({}),
    }
}

/// Who reads the schema.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// An editor of config.toml: strings may have a `${…}`, and share definitions.
    File,
    /// A client of the API, whose document has other definitions.
    Api,
}

impl Style {
    /// One kind of table: its known keys and no others.
    fn table(self, keys: &'static Keys) -> Value {
        let mut properties: Map<String, Value> = keys.known().map(|key| (key.name.to_owned(), self.key(key))).collect();
        for key in keys.keys.iter().filter(|key| key.later && key.or_false) {
            let none =
                json!({"const": false, "description": "Not available in this version: none, which is false, is what it has"});
            properties.insert(key.name.to_owned(), none);
        }
        let required: Vec<&str> = keys.known().filter(|key| key.required).map(|key| key.name).collect();
        let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }

    fn key(self, key: &Key) -> Value {
        let mut schema = self.kind(&key.kind);
        if key.or_false {
            schema = json!({"anyOf": [schema, {"const": false}]});
        }
        let default = key.default.shown().map_or_else(String::new, |text| format!(" [default: {text}]"));
        schema["description"] = format!("{}{default}", key.doc).into();
        schema
    }

    fn kind(self, kind: &Kind) -> Value {
        match *kind {
            Kind::Text | Kind::Path => json!({"type": "string"}),
            Kind::Line(max) => self.sized_text(max),
            Kind::Boolean => json!({"type": "boolean"}),
            Kind::Integer(from, to) => json!({"type": "integer", "minimum": from, "maximum": to}),
            Kind::Number(from, to) => json!({"type": "number", "minimum": from, "maximum": to}),
            Kind::Duration(..) => self.form("duration", DURATION),
            Kind::Size(..) => self.form("size", SIZE),
            Kind::Rate => self.form("rate", RATE),
            Kind::Quota => self.form("quota", QUOTA),
            Kind::Status => self.form("status", STATUS),
            Kind::Pattern => self.form("pattern", PATTERN),
            Kind::Choice(names) => self.or_filled_in(json!({"enum": names})),
            Kind::Preset => {
                let preset = |preset: &Preset| json!({"const": preset.name, "description": preset.summary});
                self.or_filled_in(json!({"anyOf": PRESETS.iter().map(preset).collect::<Vec<_>>()}))
            }
            Kind::Table(keys) => self.table(keys),
            Kind::Named(keys) => named(keys, self.table(keys)),
            Kind::Texts(max) => json!({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": max}),
            Kind::Free => json!({"type": "object"}),
            Kind::Filter => self.filter(),
            Kind::List(of, min, max) => {
                let mut schema = json!({"type": "array", "items": self.kind(of), "maxItems": max});
                if min > 0 {
                    schema["minItems"] = min.into();
                }
                schema
            }
            Kind::Either(kinds) => json!({"anyOf": kinds.iter().map(|kind| self.kind(kind)).collect::<Vec<_>>()}),
            Kind::True => json!({"const": true}),
        }
    }

    fn form(self, name: &str, pattern: &str) -> Value {
        match self {
            Self::File => json!({"$ref": format!("#/$defs/{name}")}),
            Self::Api => json!({"type": "string", "pattern": pattern}),
        }
    }

    /// What `${…}` comes to may be shorter than what is written.
    fn sized_text(self, max: usize) -> Value {
        match self {
            Self::File => json!({"type": "string"}),
            Self::Api => json!({"type": "string", "minLength": 1, "maxLength": max}),
        }
    }

    fn or_filled_in(self, schema: Value) -> Value {
        match self {
            Self::File => {
                let filled_in = json!({"type": "string", "pattern": FILLED_IN});
                let mut choices = match schema.get("anyOf").and_then(Value::as_array) {
                    Some(choices) => choices.clone(),
                    None => vec![schema],
                };
                choices.push(filled_in);
                json!({"anyOf": choices})
            }
            Self::Api => schema,
        }
    }

    fn filter(self) -> Value {
        if self == Self::Api {
            return json!({"type": "object"});
        }
        let condition = || json!({"$ref": "#/$defs/condition"});
        let mut fields: Map<String, Value> =
            crate::routing::FIELDS.into_iter().map(|field| (field.to_owned(), condition())).collect();
        for name in ["$or", "$and", "$not"] {
            fields.insert(name.to_owned(), operand(name));
        }
        json!({"type": "object", "properties": fields, "additionalProperties": false})
    }
}

/// `[table.NAME]`. Event types have dots in their names, and the parser's own rules.
fn named(keys: &Keys, entry: Value) -> Value {
    if keys.table == "an event type" {
        return json!({"type": "object", "additionalProperties": entry});
    }
    json!({"type": "object", "patternProperties": {"^[A-Za-z0-9_-]{1,100}$": entry}, "additionalProperties": false})
}
