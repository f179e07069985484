//! Parts of a filter that are allowed and probably not meant: an operator without its `$`, a comparison within a text, a
//! pattern where a value belongs. Such a filter loads and never matches.

use serde_json::Value;

use super::operators::meant;
use super::{FIELDS, InvalidFilter};

pub(super) fn suspicions(filter: &Value) -> Vec<InvalidFilter> {
    let mut search = Search { path: Vec::new(), found: Vec::new() };
    search.event(filter);
    search.found
}

struct Search {
    path: Vec<String>,
    found: Vec<InvalidFilter>,
}

impl Search {
    fn suspect(&mut self, problem: String) {
        self.found.push(InvalidFilter { path: self.path.clone(), problem });
    }

    fn within(&mut self, key: &str, search: impl FnOnce(&mut Self)) {
        self.path.push(key.to_owned());
        search(self);
        self.path.pop();
    }

    fn each(&mut self, value: &Value, search: fn(&mut Self, &Value)) {
        for (at, member) in value.as_array().into_iter().flatten().enumerate() {
            self.within(&at.to_string(), |this| search(this, member));
        }
    }

    /// The root, and conditions on the event itself.
    fn event(&mut self, filter: &Value) {
        for (key, value) in filter.as_object().into_iter().flatten() {
            self.within(key, |this| match key.as_str() {
                "$or" | "$and" => this.each(value, Self::event),
                "$not" => this.event(value),
                "type" => this.event_type(value),
                key if FIELDS.contains(&key) => this.value(value, key != "data" && key != "metadata"),
                _ => {}
            });
        }
    }

    fn event_type(&mut self, value: &Value) {
        match value.as_str() {
            Some(text) if text.contains('*') => {
                self.suspect("no event type has a `*`: patterns belong to `events`, or write { \"$regex\" = '…' }".to_owned());
            }
            _ => self.value(value, true),
        }
    }

    /// `is_value`: whether a key here is probably an operator. The tables of `data` and `metadata` themselves hold fields
    /// of the user's.
    fn value(&mut self, value: &Value, is_value: bool) {
        match value {
            Value::Object(table) => {
                for (key, inner) in table {
                    self.within(key, |this| match key.as_str() {
                        "$or" | "$and" => this.each(inner, |this, member| this.value(member, true)),
                        "$not" => this.value(inner, is_value),
                        // An operand is a plain value.
                        operator if operator.starts_with('$') => {}
                        field => this.field(field, inner, is_value),
                    });
                }
            }
            Value::Array(_) => self.each(value, |this, member| this.value(member, true)),
            Value::String(text) => {
                if let Some(operator) = comparison_in(text) {
                    self.suspect(format!(
                        "the text {text:?} is compared as it is: did you mean {{ \"{operator}\" = {} }}?",
                        text.trim_start_matches(['<', '>', '=', '!', ' '])
                    ));
                }
            }
            _ => {}
        }
    }

    fn field(&mut self, name: &str, inner: &Value, may_be_operator: bool) {
        let symbol = !name.chars().any(|c| c.is_alphanumeric() || c == '_');
        let operand = !inner.is_object() && (!inner.is_array() || matches!(meant(name), Some("$in" | "$nin")));
        // Words with one letter wrong are names of fields.
        let exact = |operator: &str| symbol || EXACT.contains(&name.to_ascii_lowercase().as_str()) || name == &operator[1..];
        match meant(name).filter(|operator| operand && (symbol || may_be_operator) && exact(operator)) {
            Some(operator) => {
                self.suspect(format!("`{name}` is read as a field within the value: did you mean the operator `{operator}`?"));
            }
            None => self.value(inner, true),
        }
    }
}

/// Words that are no likely names of fields.
const EXACT: [&str; 20] = [
    "eq",
    "neq",
    "ne",
    "gt",
    "gte",
    "lt",
    "lte",
    "in",
    "nin",
    "not_in",
    "contains",
    "startswith",
    "starts_with",
    "endswith",
    "ends_with",
    "regex",
    "regexp",
    "matches",
    "exist",
    "exists",
];

/// `> 0.5`, `>=5`, `!= 3`: a comparison with a number, written as text.
fn comparison_in(text: &str) -> Option<&'static str> {
    let number = text.trim_start_matches(['<', '>', '=', '!']);
    let symbol = &text[..text.len() - number.len()];
    number.trim().parse::<f64>().ok().filter(|number| number.is_finite())?;
    if symbol.is_empty() { None } else { meant(symbol) }
}
