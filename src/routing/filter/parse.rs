//! Reading a filter: everything that is wrong with it at once, each with its path, and what to write instead.

use serde_json::{Map, Value};

use super::operators::{meant, names};
use super::value::is_plain;
use super::{
    Clause, Comparison, CompiledRegex, Condition, DEPTH_MAX, FIELDS, InvalidFilter, NODES_MAX, Operand, Operator, Reference,
};

/// How alike two words must be for the one to be suggested for the other.
const LIKENESS_MIN: f64 = 0.7;

pub(super) fn parse(filter: &Value) -> Result<Condition, Vec<InvalidFilter>> {
    let mut parser = Parser { path: Vec::new(), problems: Vec::new(), nodes: 0 };
    let root = match filter {
        Value::Object(fields) if fields.is_empty() => Some(Condition::All { comparisons: Vec::new(), clauses: Vec::new() }),
        _ => parser.condition(filter, Level::Event),
    };
    match root {
        Some(root) if parser.problems.is_empty() => Ok(root),
        _ => Err(parser.problems),
    }
}

/// What a table's keys are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Fields of the event: the root, and `$or`, `$and` and `$not` there.
    Event,
    /// Fields of any JSON.
    Value,
}

struct Parser {
    path: Vec<String>,
    problems: Vec<InvalidFilter>,
    nodes: usize,
}

impl Parser {
    fn refuse(&mut self, problem: impl Into<String>) {
        self.problems.push(InvalidFilter { path: self.path.clone(), problem: problem.into() });
    }

    fn within<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(key.to_owned());
        let read = read(self);
        self.path.pop();
        read
    }

    /// Whether there is room for one more value; says so once when there is not.
    fn count(&mut self) -> bool {
        self.nodes += 1;
        if self.nodes == NODES_MAX + 1 {
            self.refuse(format!("the filter has more than {NODES_MAX} values: a transformer can decide more (drop)"));
        }
        if self.path.len() > DEPTH_MAX {
            self.refuse(format!("the filter nests deeper than {DEPTH_MAX} levels"));
            return false;
        }
        self.nodes <= NODES_MAX
    }

    /// `None` when it was refused.
    fn condition(&mut self, value: &Value, level: Level) -> Option<Condition> {
        if !self.count() {
            return None;
        }
        match value {
            Value::Object(table) => self.table(table, level),
            _ if level == Level::Event => {
                self.refuse(format!("is {}, and has to be a table of the event's fields: {}", kind(value), FIELDS.join(", ")));
                None
            }
            Value::Array(members) => self.list(members, Level::Value).map(Condition::Contains),
            plain => Some(Condition::Equals(plain.clone())),
        }
    }

    fn list(&mut self, members: &[Value], level: Level) -> Option<Vec<Condition>> {
        let mut conditions = Vec::with_capacity(members.len());
        for (at, member) in members.iter().enumerate() {
            conditions.push(self.within(&at.to_string(), |parser| parser.condition(member, level)));
        }
        conditions.into_iter().collect()
    }

    fn table(&mut self, table: &Map<String, Value>, level: Level) -> Option<Condition> {
        if table.is_empty() {
            self.refuse("an empty table says nothing: name a field or an operator, or { \"$exist\" = true } for any value");
            return None;
        }
        if level == Level::Value && !self.check_company(table) {
            return None;
        }
        if let Some(reference) = table.get("$ref").filter(|_| level == Level::Value) {
            return self.within("$ref", |parser| parser.reference(reference)).map(Condition::SameAs);
        }
        let problems_before = self.problems.len();
        let (mut comparisons, mut clauses) = (Vec::new(), Vec::new());
        let mut absent = false;
        for (key, value) in table {
            self.path.push(key.clone());
            match (key.as_str(), level) {
                ("$or" | "$and", _) => clauses.extend(self.alternatives(key, value, level)),
                ("$not", _) => clauses.extend(self.condition(value, level).map(Clause::Not)),
                (key, Level::Event) if names().contains(&key) => self.refuse(format!(
                    "{key} compares a value, and here is the event itself: name a field first, as in data.amount = {{ \"{key}\" = … }}"
                )),
                ("$exist", Level::Value) => match value {
                    Value::Bool(exists) => absent = !exists,
                    other => self.refuse(format!("$exist is true or false, not {}", kind(other))),
                },
                (key, _) if key.starts_with('$') => match Operator::from_key(key) {
                    Some(operator) => comparisons.extend(self.comparison(operator, key, value)),
                    None => self.unknown_operator(key),
                },
                (key, Level::Event) if !FIELDS.contains(&key) => self.unknown_field(key),
                (key, _) => {
                    let field = self.condition(value, Level::Value);
                    clauses.extend(field.map(|condition| Clause::Field(key.to_owned(), condition)));
                }
            }
            self.path.pop();
        }
        let condition = if absent { Condition::Absent } else { Condition::All { comparisons, clauses } };
        (self.problems.len() == problems_before).then_some(condition)
    }

    /// Which keys exclude each other in one table: the meaning would be a guess.
    fn check_company(&mut self, table: &Map<String, Value>) -> bool {
        if table.len() == 1 {
            return true;
        }
        if table.contains_key("$ref") {
            self.refuse("$ref is alone in its table: it is the value that this field has to have");
            return false;
        }
        if table.get("$exist") == Some(&Value::Bool(false)) {
            self.refuse("$exist = false is alone: a missing field has nothing else to compare");
            return false;
        }
        let compares = table.keys().find(|key| Operator::from_key(key).is_some() || *key == "$exist");
        let field = table.keys().find(|key| !key.starts_with('$'));
        if let (Some(operator), Some(field)) = (compares, field) {
            self.refuse(format!(
                "the operator {operator} and the field `{field}` are in one table: {operator} compares the whole value, so put \
                 both into $and = [{{ … }}, {{ … }}]"
            ));
            return false;
        }
        true
    }

    fn alternatives(&mut self, key: &str, value: &Value, level: Level) -> Option<Clause> {
        match value {
            Value::Array(members) if !members.is_empty() => {
                let conditions = self.list(members, level)?;
                Some(if key == "$or" { Clause::AnyOf(conditions) } else { Clause::AllOf(conditions) })
            }
            Value::Array(_) => {
                self.refuse(format!("{key} is empty: list at least one condition"));
                None
            }
            other => {
                self.refuse(format!("{key} is a list of conditions, not {}", kind(other)));
                None
            }
        }
    }

    fn comparison(&mut self, operator: Operator, key: &str, value: &Value) -> Option<Comparison> {
        if operator != Operator::Regex
            && let Value::Object(table) = value
            && let Some(first) = table.keys().find(|key| key.starts_with('$'))
        {
            if table.len() > 1 || first != "$ref" {
                self.refuse(format!("{key} compares with a plain value or with {{ \"$ref\" = \"data.other\" }} alone"));
                return None;
            }
            let reference = self.within("$ref", |parser| parser.reference(&table["$ref"]))?;
            return Some(Comparison { operator, operand: Operand::Reference(reference) });
        }
        let expected = match operator {
            Operator::Regex => return self.regex(value),
            Operator::Eq | Operator::Neq => None,
            Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => {
                let fits = matches!(value, Value::String(_) | Value::Number(_));
                (!fits).then_some("a number or a text")
            }
            Operator::In | Operator::Nin => {
                let fits = match value {
                    Value::Array(members) => members.iter().all(is_plain),
                    other => matches!(other, Value::String(_) | Value::Number(_)),
                };
                (!fits).then_some("a list of plain values, or a text to look for")
            }
            Operator::Contains | Operator::StartsWith | Operator::EndsWith => {
                let fits = match value {
                    Value::Array(members) => members.iter().all(Value::is_string),
                    other => other.is_string(),
                };
                (!fits).then_some("a text or a list of texts")
            }
        };
        if let Some(expected) = expected {
            self.refuse(format!("{key} takes {expected}, not {}", kind(value)));
            return None;
        }
        self.count_within(value).then(|| Comparison { operator, operand: Operand::Value(value.clone()) })
    }

    fn regex(&mut self, value: &Value) -> Option<Comparison> {
        let Value::String(pattern) = value else {
            self.refuse(format!("$regex takes a regular expression as a text, not {}", kind(value)));
            return None;
        };
        match CompiledRegex::new(pattern) {
            Ok(regex) if self.count() => Some(Comparison { operator: Operator::Regex, operand: Operand::Regex(regex) }),
            Ok(_) => None,
            Err(problem) => {
                self.refuse(problem);
                None
            }
        }
    }

    fn count_within(&mut self, value: &Value) -> bool {
        self.count()
            && match value {
                Value::Array(members) => {
                    members.iter().enumerate().all(|(at, member)| self.within(&at.to_string(), |p| p.count_within(member)))
                }
                Value::Object(fields) => fields.iter().all(|(key, value)| self.within(key, |p| p.count_within(value))),
                _ => true,
            }
    }

    fn reference(&mut self, value: &Value) -> Option<Reference> {
        let Value::String(text) = value else {
            self.refuse(format!("$ref is the path of another field, as in \"data.account.id\", not {}", kind(value)));
            return None;
        };
        Reference::parse(text).map_err(|problem| self.refuse(problem)).ok()
    }

    fn unknown_operator(&mut self, key: &str) {
        let hint = meant(key).map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
        self.refuse(format!("unknown operator `{key}`{hint}: there are {}", names().join(", ")));
    }

    fn unknown_field(&mut self, key: &str) {
        self.refuse(format!("an event has no field `{key}`{}", suggestion(key)));
    }
}

fn suggestion(field: &str) -> String {
    match closest(field, &FIELDS) {
        Some(near) => format!(", did you mean `{near}`?"),
        None => format!(": what was published is under data, so write data.{field}"),
    }
}

fn closest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let scored = known.iter().map(|known| (strsim::jaro_winkler(&word.to_lowercase(), &known.to_lowercase()), *known));
    scored.filter(|(score, _)| *score >= LIKENESS_MIN).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
