//! Whether a condition holds: no text is made here, so that an event that does not match costs little.

use serde_json::Value;

use super::value::{compare, is_plain, loosely_equal};
use super::{Clause, Comparison, Condition, Mismatch, Operand, Operator, Reference, STEPS_MAX};

/// Bytes of text that a regular expression gets for a step: many expressions over one long text are as bounded as many
/// values.
const REGEX_BYTES_PER_STEP: usize = 8;

/// # Errors
/// More than [`STEPS_MAX`] values had to be compared.
pub(super) fn holds(condition: &Condition, root: &Value) -> Result<bool, Mismatch> {
    let mut evaluation = Evaluation::new(root);
    let holds = evaluation.holds(condition, Some(root));
    if evaluation.exhausted() {
        let reason = format!("too much to compare: more than {STEPS_MAX} values; compare less with $ref");
        return Err(Mismatch::new("filter", reason));
    }
    Ok(holds)
}

pub(super) struct Evaluation<'v> {
    root: &'v Value,
    /// Positions in the arrays that are being compared, outermost first.
    indexes: Vec<usize>,
    steps: u32,
}

impl<'v> Evaluation<'v> {
    pub(super) fn new(root: &'v Value) -> Self {
        Self { root, indexes: Vec::new(), steps: 0 }
    }

    /// From here on every answer is false.
    fn exhausted(&self) -> bool {
        self.steps > STEPS_MAX
    }

    fn spend(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_add(u32::try_from(steps).unwrap_or(u32::MAX));
        !self.exhausted()
    }

    pub(super) fn holds(&mut self, condition: &Condition, input: Option<&Value>) -> bool {
        if !self.spend(1) {
            return false;
        }
        let Some(input) = input else { return accepts_missing(condition) };
        match condition {
            Condition::Absent => false,
            Condition::Equals(expected) => match input {
                Value::Array(items) => self.some(items, |this, item| this.holds(condition, Some(item))),
                _ => loosely_equal(input, expected),
            },
            Condition::Contains(members) => match input {
                Value::Array(items) => members.iter().all(|member| self.some(items, |this, item| this.holds(member, Some(item)))),
                _ => false,
            },
            Condition::SameAs(reference) => self.same_as(reference, input),
            Condition::All { comparisons, clauses } => {
                comparisons.iter().all(|comparison| self.compares(comparison, input) == Some(true))
                    && self.clauses_hold(clauses, input)
            }
        }
    }

    /// `None`: the operator cannot be asked of such a value.
    pub(super) fn compares(&mut self, comparison: &Comparison, input: &Value) -> Option<bool> {
        if let Operand::Regex(regex) = &comparison.operand {
            let text = input.as_str()?;
            return self.spend(text.len() / REGEX_BYTES_PER_STEP).then(|| regex.is_match(text));
        }
        let operand = self.operand(&comparison.operand)?;
        if let (Operator::In | Operator::Nin | Operator::Contains | Operator::StartsWith | Operator::EndsWith, Value::Array(list)) =
            (comparison.operator, operand)
            && !self.spend(list.len())
        {
            return None;
        }
        compare(comparison.operator, input, operand)
    }

    /// `None`: an `[$index]` outside of an array, or no value at all.
    pub(super) fn operand<'o>(&self, operand: &'o Operand) -> Option<&'o Value>
    where
        'v: 'o,
    {
        match operand {
            Operand::Value(value) => Some(value),
            Operand::Reference(reference) => reference.resolve(self.root, &self.indexes),
            Operand::Regex(_) => None,
        }
    }

    /// All of them, on an array by one and the same element.
    pub(super) fn clauses_hold(&mut self, clauses: &[Clause], input: &Value) -> bool {
        if clauses.is_empty() {
            return true;
        }
        match input {
            Value::Array(items) => self.some(items, |this, item| this.clauses_hold(clauses, item)),
            _ => clauses.iter().all(|clause| self.clause_holds(clause, input)),
        }
    }

    /// `input` is no array.
    pub(super) fn clause_holds(&mut self, clause: &Clause, input: &Value) -> bool {
        match clause {
            Clause::Field(name, condition) => match input {
                Value::Object(fields) => self.holds(condition, fields.get(name)),
                _ => false,
            },
            Clause::AnyOf(conditions) => conditions.iter().any(|condition| self.holds(condition, Some(input))),
            Clause::AllOf(conditions) => conditions.iter().all(|condition| self.holds(condition, Some(input))),
            Clause::Not(condition) => !self.holds(condition, Some(input)) && !self.exhausted(),
        }
    }

    fn same_as(&mut self, reference: &Reference, input: &Value) -> bool {
        match input {
            Value::Array(items) => self.some(items, |this, item| this.same_as(reference, item)),
            _ => match reference.resolve(self.root, &self.indexes) {
                Some(expected) => self.covers(input, expected),
                None => false,
            },
        }
    }

    /// Whether `value` has everything that `expected` has, as a condition of that form would ask.
    fn covers(&mut self, value: &Value, expected: &Value) -> bool {
        if !self.spend(1) {
            return false;
        }
        match (value, expected) {
            (Value::Array(items), expected) if is_plain(expected) => items.iter().any(|item| self.covers(item, expected)),
            (Value::Array(items), Value::Array(members)) => {
                members.iter().all(|member| items.iter().any(|item| self.covers(item, member)))
            }
            (Value::Array(items), Value::Object(_)) => items.iter().any(|item| self.covers(item, expected)),
            (Value::Object(fields), Value::Object(members)) => {
                members.iter().all(|(name, member)| fields.get(name).is_some_and(|value| self.covers(value, member)))
            }
            _ => loosely_equal(value, expected),
        }
    }

    /// Whether some element does, each with its position known to references.
    fn some(&mut self, items: &[Value], mut test: impl FnMut(&mut Self, &Value) -> bool) -> bool {
        items.iter().enumerate().any(|(at, item)| {
            self.indexes.push(at);
            let found = self.spend(1) && test(self, item);
            self.indexes.pop();
            found
        })
    }

    /// For explanations: the same position as [`Self::some`] would have.
    pub(super) fn at<T>(&mut self, index: usize, evaluate: impl FnOnce(&mut Self) -> T) -> T {
        self.indexes.push(index);
        let result = evaluate(self);
        self.indexes.pop();
        result
    }
}

/// Absence satisfies `$exist = false` only, also as one of several alternatives.
fn accepts_missing(condition: &Condition) -> bool {
    match condition {
        Condition::Absent => true,
        Condition::All { comparisons, clauses } => {
            comparisons.is_empty()
                && !clauses.is_empty()
                && clauses.iter().all(|clause| match clause {
                    Clause::AnyOf(conditions) => conditions.iter().any(accepts_missing),
                    Clause::AllOf(conditions) => conditions.iter().all(accepts_missing),
                    Clause::Field(..) | Clause::Not(_) => false,
                })
        }
        Condition::Equals(_) | Condition::Contains(_) | Condition::SameAs(_) => false,
    }
}
