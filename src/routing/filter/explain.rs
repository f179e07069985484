//! Why a filter said no: the first clause that failed, its path in the event, and the value that it met.

use std::fmt::Write as _;
use std::io;

use serde_json::Value;

use super::evaluate::Evaluation;
use super::{Clause, Comparison, Condition, Operand};

/// `data.errorRate: 0.2 is not > 0.5`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Mismatch {
    /// Where in the event.
    pub path: String,
    pub reason: String,
}

/// Bytes of a value that are shown: an id or a short text, not a document.
const SHOWN_BYTES_MAX: usize = 60;

/// Characters of a reason: it is stored with the event for every webhook whose filter refused it.
const REASON_CHARS_MAX: usize = 300;

/// Alternatives of an `$or` whose reasons are given.
const ALTERNATIVES_MAX: usize = 3;

impl Mismatch {
    pub(super) fn new(path: &str, reason: String) -> Self {
        let cut = reason.char_indices().nth(REASON_CHARS_MAX).map(|(at, _)| at);
        let reason = match cut {
            Some(at) => format!("{}…", &reason[..at]),
            None => reason,
        };
        Self { path: if path.is_empty() { "event".to_owned() } else { path.to_owned() }, reason }
    }
}

/// For a condition that does not hold.
pub(super) fn explain(condition: &Condition, root: &Value) -> Mismatch {
    let mut explanation = Explanation { evaluation: Evaluation::new(root), path: String::new(), alternatives: ALTERNATIVES_MAX };
    explanation.condition(condition, Some(root))
}

struct Explanation<'v> {
    evaluation: Evaluation<'v>,
    path: String,
    /// Only the outermost `$or` lists its alternatives, or nested ones would multiply.
    alternatives: usize,
}

impl Explanation<'_> {
    fn here(&self, reason: String) -> Mismatch {
        Mismatch::new(&self.path, reason)
    }

    fn condition(&mut self, condition: &Condition, input: Option<&Value>) -> Mismatch {
        let Some(input) = input else { return self.here("is missing".to_owned()) };
        match condition {
            Condition::Absent => self.here(format!("is there ({}) and should not be", show(input))),
            Condition::Equals(expected) => self.here(match input {
                Value::Array(_) => format!("no element is {}", show(expected)),
                _ => format!("{} is not {}", show(input), show(expected)),
            }),
            Condition::Contains(members) => self.contains(members, input),
            Condition::SameAs(reference) => self.here(format!("{} is not the same as {}", show(input), reference.as_str())),
            Condition::All { comparisons, clauses } => {
                let failed = comparisons.iter().find(|comparison| self.evaluation.compares(comparison, input) != Some(true));
                match failed {
                    Some(comparison) => self.comparison(comparison, input),
                    None => self.clauses(clauses, input),
                }
            }
        }
    }

    fn contains(&mut self, members: &[Condition], input: &Value) -> Mismatch {
        if !input.is_array() {
            return self.here(format!("{} is not an array", show(input)));
        }
        let missing = members.iter().enumerate().find(|(_, member)| {
            let alone = Condition::Contains(vec![(*member).clone()]);
            !self.evaluation.holds(&alone, Some(input))
        });
        self.here(match missing {
            Some((_, Condition::Equals(expected))) => format!("no element is {}", show(expected)),
            Some((at, _)) => format!("no element satisfies member {at} of the list"),
            None => "not every member of the list is among its elements".to_owned(),
        })
    }

    fn comparison(&mut self, comparison: &Comparison, input: &Value) -> Mismatch {
        let mut shown = match &comparison.operand {
            Operand::Regex(regex) => show(&Value::String(regex.as_str().to_owned())),
            other => match self.evaluation.operand(other) {
                Some(operand) => show(operand),
                None => return self.here("[$index] is outside of an array".to_owned()),
            },
        };
        if let Operand::Reference(reference) = &comparison.operand {
            let _ = write!(shown, " ({})", reference.as_str());
        }
        let failed = comparison.operator.failed();
        let value = show(input);
        let reason = match self.evaluation.compares(comparison, input) {
            Some(_) => format!("{value} {failed} {shown}"),
            None => format!("{value} cannot be asked whether it {} {shown}", comparison.operator.asked()),
        };
        self.here(reason)
    }

    fn clauses(&mut self, clauses: &[Clause], input: &Value) -> Mismatch {
        if let Value::Array(items) = input {
            let Some(first) = items.first() else { return self.here("no element satisfies it: it is empty".to_owned()) };
            let path_len = self.path.len();
            self.path.push_str("[0]");
            let inner = self.element(clauses, first);
            self.path.truncate(path_len);
            return self.here(format!("no element satisfies it; the first: {inner}"));
        }
        let failed = clauses.iter().find(|clause| !self.evaluation.clause_holds(clause, input));
        match failed {
            Some(clause) => self.clause(clause, input),
            None => self.here("does not satisfy the filter".to_owned()),
        }
    }

    /// The first element of an array, with its position known to references.
    fn element(&mut self, clauses: &[Clause], item: &Value) -> Mismatch {
        if item.is_array() {
            return self.here(format!("{} does not satisfy it", show(item)));
        }
        let failed = self.evaluation.at(0, |evaluation| clauses.iter().find(|clause| !evaluation.clause_holds(clause, item)));
        match failed {
            // One level is enough to see what kind of element it is.
            Some(Clause::Field(name, condition)) => match (item.get(name), condition) {
                (Some(value), Condition::Equals(expected)) => {
                    Mismatch::new(&joined(&self.path, name), format!("{} is not {}", show(value), show(expected)))
                }
                (Some(value), _) => Mismatch::new(&joined(&self.path, name), format!("{} does not satisfy it", show(value))),
                (None, _) => Mismatch::new(&joined(&self.path, name), "is missing".to_owned()),
            },
            _ => self.here(format!("{} does not satisfy it", show(item))),
        }
    }

    /// `input` is no array.
    fn clause(&mut self, clause: &Clause, input: &Value) -> Mismatch {
        match clause {
            Clause::Field(name, condition) => {
                let Value::Object(fields) = input else {
                    return self.here(format!("{} is no object, so it has no field {name}", show(input)));
                };
                let path = joined(&self.path, name);
                let outer = std::mem::replace(&mut self.path, path);
                let inner = self.condition(condition, fields.get(name));
                self.path = outer;
                inner
            }
            Clause::AllOf(conditions) => {
                let failed = conditions.iter().find(|condition| !self.evaluation.holds(condition, Some(input)));
                match failed {
                    Some(condition) => self.condition(condition, Some(input)),
                    None => self.here("does not satisfy $and".to_owned()),
                }
            }
            Clause::AnyOf(conditions) => {
                let listed = std::mem::take(&mut self.alternatives);
                let mut reason = format!("none of the {} alternatives of $or holds", conditions.len());
                for (at, condition) in conditions.iter().take(listed).enumerate() {
                    let inner = self.condition(condition, Some(input));
                    let _ = write!(reason, "{}{inner}", if at == 0 { ": " } else { "; " });
                }
                self.alternatives = listed;
                self.here(reason)
            }
            Clause::Not(_) => self.here("satisfies what $not excludes".to_owned()),
        }
    }
}

fn joined(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-".contains(c));
    match (path, plain) {
        ("", true) => name.to_owned(),
        (path, true) => format!("{path}.{name}"),
        (path, false) => format!("{path}[{}]", show(&Value::String(name.to_owned()))),
    }
}

/// JSON, cut short: an array of a million elements is never written out.
fn show(value: &Value) -> String {
    let mut cut = Cut(Vec::new());
    let whole = serde_json::to_writer(&mut cut, value).is_ok();
    let mut text = String::from_utf8_lossy(&cut.0).into_owned();
    if !whole {
        text = text.trim_end_matches('\u{fffd}').to_owned();
        text.push('…');
    }
    text
}

struct Cut(Vec<u8>);

impl io::Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = SHOWN_BYTES_MAX.saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room { Err(io::Error::from(io::ErrorKind::WriteZero)) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
