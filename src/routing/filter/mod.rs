//! The field's JSON filter language over an event: `{id, type, timestamp, data, metadata, tenant}`.
//!
//! What it says is what npm's `simple-json-match` says, which other webhook systems use; `tests/judges/filters.mjs`
//! asks that library. In short: a value means equality, loosely as in JavaScript (`1` equals `"1"`); on an array it
//! means that some element does; a list means that the array contains each of its members; tables nest; all
//! conditions of a table must hold; a missing field satisfies nothing but `$exist = false`. The operators `$eq $neq
//! $gt $gte $lt $lte $in $nin $startsWith $endsWith` compare the value as a whole, so of an array only `$eq` and
//! `$neq` can be asked; nested conditions and `$or $and $not` are asked of each element, and one has to satisfy them
//! all. `$ref` is another field of the same event, with `[$index]` for the position in the array that is being compared.
//!
//! On purpose different:
//! - what the library silently never matches is refused when the filter is read (unknown operators, operators mixed
//!   with fields, operands of the wrong kind, references without a field), or does what it says (`$not` and `$and`
//!   below the root, `$ref` within `$or`, `null` and booleans in `$in`);
//! - `$contains` (a part of a text) and `$regex` (the `regex` crate) are ours;
//! - `$or` beside other operators is one more condition, there it makes the others void;
//! - `$eq` of objects ignores the order of keys, whole numbers are compared exactly beyond 2^53, and what `$ref`
//!   leads to is a value, never an operator.
//!
//! Bounded: [`DEPTH_MAX`], [`NODES_MAX`] when read, [`STEPS_MAX`] per event; no loops; a regular expression takes time linear in
//! the text, and its size is bounded (`compiled_regex`).

mod compiled_regex;
mod evaluate;
mod explain;
mod input;
mod lenient;
mod operators;
mod parse;
mod path;
mod reference;
mod suspicion;
#[cfg(test)]
mod tests;
mod value;

use serde_json::Value;

use compiled_regex::CompiledRegex;
pub use explain::Mismatch;
pub use input::FilterInput;
use operators::Operator;
pub use operators::{OPERATORS, OperatorRow};
pub use path::FieldPath;
use reference::Reference;

/// What an event has, from a filter's point of view.
pub const FIELDS: [&str; 6] = ["id", "type", "timestamp", "data", "metadata", "tenant"];

/// Tables within tables of one filter: deeper than any hand-written one, shallow enough for plain recursion.
const DEPTH_MAX: usize = 32;

/// Values and tables of one filter: a list of several hundred allowed ids still fits.
const NODES_MAX: usize = 1000;

/// Values compared for one event and one filter, some 10 ms: a large event with an ordinary filter needs a tenth of
/// it. Only two long arrays compared with each other by `$ref` come near, and who publishes must not choose our cost.
const STEPS_MAX: u32 = 1_000_000;

/// A webhook's filter, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    root: Condition,
    source: Value,
}

/// What is wrong with a filter, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct InvalidFilter {
    /// Keys (and array indices as text) from the filter's root to the offending part.
    pub path: Vec<String>,
    pub problem: String,
}

impl Filter {
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn parse(filter: &Value) -> Result<Self, Vec<InvalidFilter>> {
        let root = parse::parse(filter)?;
        Ok(Self { root, source: filter.clone() })
    }

    /// Parts that are allowed and probably not meant, as a key `>` or `gt` where an operator would be.
    pub fn suspicions(&self) -> Vec<InvalidFilter> {
        suspicion::suspicions(&self.source)
    }

    /// As it was written.
    pub fn as_json(&self) -> &Value {
        &self.source
    }

    /// # Errors
    /// The first clause that failed, with the value that it met.
    pub fn matches(&self, input: &FilterInput<'_>) -> Result<(), Mismatch> {
        let root = input.value()?;
        if evaluate::holds(&self.root, root)? { Ok(()) } else { Err(explain::explain(&self.root, root)) }
    }
}

/// A condition on one value, or on its absence.
#[derive(Debug, Clone, PartialEq)]
enum Condition {
    /// A plain string, number, boolean or null.
    Equals(Value),
    /// Each is satisfied by some element of the array.
    Contains(Vec<Condition>),
    /// The value of another field.
    SameAs(Reference),
    /// `$exist = false`.
    Absent,
    /// All hold. Neither of both: the field is there (`$exist = true`).
    All { comparisons: Vec<Comparison>, clauses: Vec<Clause> },
}

/// Compares the value as a whole.
#[derive(Debug, Clone, PartialEq)]
struct Comparison {
    operator: Operator,
    operand: Operand,
}

/// Looks into objects, and at each element of an array.
#[derive(Debug, Clone, PartialEq)]
enum Clause {
    Field(String, Condition),
    AnyOf(Vec<Condition>),
    AllOf(Vec<Condition>),
    Not(Condition),
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Value(Value),
    Reference(Reference),
    Regex(CompiledRegex),
}
