//! `$ref`: the path of another field, in the part of JSONPath that names exactly one place.

use serde_json::Value;

/// `data.items[$index].price`, from the event's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Number(usize),
    /// The position in the array being looked at: the first `[$index]` is the outermost array's.
    Index,
}

const HELP: &str = "write a path such as data.account.id, data.items[0] or data.items[$index].price";

impl Reference {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.strip_prefix('$').filter(|rest| rest.starts_with(['.', '['])).unwrap_or(text);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let step;
            (step, rest) = if let Some(inner) = rest.strip_prefix('[') {
                bracket(inner).ok_or_else(|| format!("`{text}` has a bracket that names no place: {HELP}"))?
            } else {
                let name = match rest.strip_prefix('.') {
                    Some(name) => name,
                    None if steps.is_empty() => rest,
                    None => return Err(format!("`{text}` goes on without a dot: {HELP}")),
                };
                let end = name.find(['.', '[']).unwrap_or(name.len());
                (Step::Key(name[..end].to_owned()), &name[end..])
            };
            if matches!(&step, Step::Key(name) if name.is_empty() || name == "*") {
                return Err(format!("`{text}` does not name one single place: {HELP}"));
            }
            steps.push(step);
        }
        match steps.first() {
            Some(Step::Key(_)) => Ok(Self { text: text.to_owned(), steps }),
            _ => Err(format!("`{text}` begins with no field of the event: {HELP}")),
        }
    }

    /// The field of the event that it begins with.
    pub(super) fn field(&self) -> &str {
        match &self.steps[..] {
            [Step::Key(name), ..] => name,
            _ => "",
        }
    }

    pub(super) fn has_index(&self) -> bool {
        self.steps.contains(&Step::Index)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The value that it leads to; null where there is none. `None` when an `[$index]` stands for no array.
    pub(super) fn resolve<'v>(&self, root: &'v Value, indexes: &[usize]) -> Option<&'v Value> {
        let mut at = Some(root);
        let mut indexes = indexes.iter();
        for step in &self.steps {
            at = match step {
                Step::Key(name) => at.and_then(|value| value.get(name)),
                Step::Number(number) => at.and_then(|value| value.get(number)),
                Step::Index => {
                    let index = indexes.next()?;
                    at.and_then(|value| value.get(index))
                }
            };
        }
        Some(at.unwrap_or(&Value::Null))
    }
}

/// What stands after `[`, up to and with its `]`.
fn bracket(inner: &str) -> Option<(Step, &str)> {
    for quote in ['"', '\''] {
        if let Some(quoted) = inner.strip_prefix(quote) {
            let (name, rest) = quoted.split_once(quote)?;
            return Some((Step::Key(name.to_owned()), rest.strip_prefix(']')?));
        }
    }
    let (inside, rest) = inner.split_once(']')?;
    let step = match inside {
        "$index" => Step::Index,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => Step::Number(digits.parse().ok()?),
        _ => return None,
    };
    Some((step, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_to_one_place() {
        let root = json!({"data": {"a b": [{"x": 1}, {"x": 2}], "n": 7}});
        for (text, indexes, expected) in [
            ("data.n", &[][..], json!(7)),
            ("$.data.n", &[], json!(7)),
            ("data['a b'][1].x", &[], json!(2)),
            ("data[\"a b\"][$index].x", &[1][..], json!(2)),
            ("data.nope.deeper", &[], json!(null)),
        ] {
            assert_eq!(Reference::parse(text).unwrap().resolve(&root, indexes), Some(&expected), "{text}");
        }
        assert_eq!(Reference::parse("data['a b'][$index]").unwrap().resolve(&root, &[]), None);
    }

    #[test]
    fn what_names_several_places_or_none_is_refused() {
        for text in ["", ".", "data..x", "data.*", "data[*]", "data[-1]", "data[1", "data[?(@.x)]", "[0]", "data[0]x", "data['x]"]
        {
            let error = Reference::parse(text).unwrap_err();
            assert!(error.contains("data.items[$index].price"), "{text}: {error}");
        }
    }
}
