//! An event's JSON as a value of MiniJinja, read where a template asks for it: any depth, any text, and numbers that keep
//! their spelling until something is calculated with them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use tenterhook_message::{Json, Kind, without_half_surrogates};

/// The value of a JSON text.
pub fn value(json: &str) -> Value {
    SPELLINGS.with_borrow_mut(HashMap::clear);
    let text: Arc<str> = without_half_surrogates(json).into();
    let whole = Json::new(&text);
    let range = range_of(&text, whole);
    part(&text, range)
}

thread_local! {
    /// How the number with these bits was written where it was read last: `19.90` is 19.9 for MiniJinja. A call has one
    /// thread, and an instance of its own.
    static SPELLINGS: RefCell<HashMap<u64, Arc<str>>> = RefCell::new(HashMap::new());
}

/// The number as the event has it, if it is one of the event's.
pub fn spelling(number: f64) -> Option<Arc<str>> {
    SPELLINGS.with_borrow(|known| known.get(&number.to_bits()).cloned())
}

/// An object or an array.
#[derive(Debug)]
pub struct Container {
    text: Arc<str>,
    range: Range<usize>,
    is_array: bool,
    children: OnceLock<Vec<Child>>,
}

#[derive(Debug)]
struct Child {
    key: Option<Arc<str>>,
    range: Range<usize>,
    /// Read once, so that a path in a loop is not read at every turn.
    container: OnceLock<Value>,
}

/// A number that no number of MiniJinja can hold: `1e400`.
#[derive(Debug)]
pub struct HugeNumber(Arc<str>);

fn range_of(text: &str, json: Json<'_>) -> Range<usize> {
    let start = json.text().as_ptr() as usize - text.as_ptr() as usize;
    start..start + json.text().len()
}

fn part(text: &Arc<str>, range: Range<usize>) -> Value {
    let json = Json::new(&text[range.clone()]);
    match json.kind() {
        Kind::Object | Kind::Array => Value::from_object(Container {
            text: Arc::clone(text),
            range,
            is_array: json.kind() == Kind::Array,
            children: OnceLock::new(),
        }),
        Kind::String => json.as_string().map_or(Value::UNDEFINED, |string| Value::from(&*string)),
        Kind::Number => number(json.text()),
        Kind::Bool => Value::from(json.text() == "true"),
        Kind::Null => Value::from(()),
    }
}

fn number(text: &str) -> Value {
    fn whole<T: std::str::FromStr + ToString + Into<Value>>(text: &str) -> Option<Value> {
        text.parse::<T>().ok().filter(|number| number.to_string() == text).map(Into::into)
    }
    let integer =
        whole::<i64>(text).or_else(|| whole::<u64>(text)).or_else(|| whole::<i128>(text)).or_else(|| whole::<u128>(text));
    integer.unwrap_or_else(|| match text.parse::<f64>() {
        Ok(number) if number.is_finite() => {
            SPELLINGS.with_borrow_mut(|known| known.insert(number.to_bits(), text.into()));
            Value::from(number)
        }
        _ => Value::from_object(HugeNumber(text.into())),
    })
}

impl Container {
    /// As it was published, except for half surrogates.
    pub fn json(&self) -> &str {
        &self.text[self.range.clone()]
    }

    fn children(&self) -> &[Child] {
        self.children.get_or_init(|| {
            let json = Json::new(self.json());
            let child = |key: Option<Arc<str>>, value: Json<'_>| Child {
                key,
                range: range_of(&self.text, value),
                container: OnceLock::new(),
            };
            if self.is_array {
                json.elements().map(|value| child(None, value)).collect()
            } else {
                json.members().map(|(key, value)| child(Some((*key).into()), value)).collect()
            }
        })
    }

    fn value_of(&self, child: &Child) -> Value {
        if self.text[child.range.clone()].starts_with(['{', '[']) {
            return child.container.get_or_init(|| part(&self.text, child.range.clone())).clone();
        }
        // Again each time: its spelling is that of the number that is shown next.
        part(&self.text, child.range.clone())
    }
}

impl Object for Container {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.is_array { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let children = self.children();
        let child = if self.is_array {
            children.get(key.as_usize()?)?
        } else {
            let key = key.as_str()?;
            children.iter().rev().find(|child| child.key.as_deref() == Some(key))?
        };
        Some(self.value_of(child))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let children = self.children();
        if self.is_array {
            return Enumerator::Seq(children.len());
        }
        let mut keys: Vec<Value> = Vec::with_capacity(children.len());
        let mut seen = std::collections::HashSet::with_capacity(children.len());
        keys.extend(children.iter().filter_map(|child| child.key.as_deref()).filter(|key| seen.insert(*key)).map(Value::from));
        Enumerator::Values(keys)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json())
    }
}

impl Object for HugeNumber {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
